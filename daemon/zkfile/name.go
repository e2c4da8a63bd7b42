package zkfile

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/zkd-project/zkd/daemon/proto"
)

// Names in a data directory. Source: Util.java and QuorumPeer.java.
const (
	VersionDir    = "version-2"
	AcceptedEpoch = "acceptedEpoch"
	CurrentEpoch  = "currentEpoch"
	ServerID      = "myid"

	snapshotPrefix = "snapshot."
	logPrefix      = "log."
)

// SnapshotName is the name of the snapshot of the state at zxid.
func SnapshotName(zxid proto.Zxid, c Compression) string {
	return snapshotPrefix + strconv.FormatUint(uint64(zxid), 16) + c.extension()
}

// LogName is the name of the log that begins with zxid.
func LogName(zxid proto.Zxid) string { return logPrefix + strconv.FormatUint(uint64(zxid), 16) }

// ParseSnapshotName tells what a file is, if it is a snapshot.
func ParseSnapshotName(name string) (zxid proto.Zxid, c Compression, ok bool) {
	rest, ok := strings.CutPrefix(name, snapshotPrefix)
	if !ok {
		return 0, Plain, false
	}
	number, extension, _ := strings.Cut(rest, ".")
	for _, c = range []Compression{Plain, Gzip, Snappy} {
		if strings.TrimPrefix(c.extension(), ".") == strings.ToLower(extension) {
			zxid, ok = parseZxid(number)
			return zxid, c, ok
		}
	}
	return 0, Plain, false
}

// ParseLogName tells which zxid a log begins with, if the file is one.
func ParseLogName(name string) (zxid proto.Zxid, ok bool) {
	number, ok := strings.CutPrefix(name, logPrefix)
	if !ok {
		return 0, false
	}
	return parseZxid(number)
}

func parseZxid(text string) (proto.Zxid, bool) {
	n, err := strconv.ParseInt(text, 16, 64)
	return proto.Zxid(n), err == nil && n >= 0
}

// ParseNumber reads the files acceptedEpoch, currentEpoch and myid.
func ParseNumber(text []byte) (int64, error) {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	n, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %.40q is not a number", ErrFormat, line)
	}
	return n, nil
}
