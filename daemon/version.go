package daemon

import (
	"runtime/debug"
)

// Version and Built are set when zkd is linked for a release.
var (
	Version = "0.1.0-dev"
	Built   = ""
)

// speaks is the release of Apache ZooKeeper whose protocol is spoken. Clients and
// monitors read the first numbers of the version line and take features from them.
const speaks = "3.9.5"

// ProtocolVersion is the version line of the four-letter words.
func ProtocolVersion() string {
	return speaks + "-zkd-" + Version + ", built on " + built()
}

func built() string {
	if Built != "" {
		return Built
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.time" && s.Value != "" {
				return s.Value
			}
		}
	}
	return "an unknown date"
}
