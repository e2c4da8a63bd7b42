package config

import (
	"fmt"
	"slices"
	"strings"
)

// guard is what a setting demands of who comes in. Without it everybody would be let in, so a
// value that demands it is refused.
type guard struct {
	names    string
	harmless string // values that demand nothing
	lacks    string // what it takes
	whom     string // who is to be kept out
}

const off = "false no off 0"

// guards are settings that keep somebody out, by means that this version lacks.
var guards = []guard{
	{"sslQuorum", off, "TLS", "other servers"},
	{"ssl.quorum.clientAuth", "none want", "TLS", "other servers"},
	{"quorum.auth.enableSasl quorum.auth.learnerRequireSasl quorum.auth.serverRequireSasl",
		off, "SASL", "other servers"},
	{"ssl.clientAuth", "none want", "TLS", "clients"},
	{"sessionRequireClientSASLAuth", off, "SASL", "clients"},
	{"admin.forceHttps admin.needClientAuth", off, "TLS", "users of the commands by HTTP"},
}

func (g *guard) help() string {
	return fmt.Sprintf("Demands %s of %s, which zkd does not have yet: only the values %s are accepted, "+
		"without effect.", g.lacks, g.whom, strings.ReplaceAll(g.harmless, " ", ", "))
}

// check refuses a value that demands something.
func (g *guard) check(value string) error {
	if value == "" || slices.Contains(strings.Fields(g.harmless), strings.ToLower(value)) {
		return nil
	}
	return fmt.Errorf("%q demands %s of %s, which zkd does not have yet; remove it to accept that they "+
		"are not authenticated, and let only hosts that are trusted reach the port", value, g.lacks, g.whom)
}

// javaAuth is where ZooKeeper's own authentication classes are.
const javaAuth = "org.apache.zookeeper.server.auth."

// providers are ZooKeeper's own authentication classes and their schemes; yes says that zkd has
// the scheme.
var providers = map[string]struct {
	scheme string
	yes    bool
}{
	"DigestAuthenticationProvider":   {"digest", true},
	"IPAuthenticationProvider":       {"ip", true},
	"SASLAuthenticationProvider":     {"sasl", false},
	"X509AuthenticationProvider":     {"x509", false},
	"EnsembleAuthenticationProvider": {"ensemble", false},
	"KeyAuthenticationProvider":      {"key", false},
}

// provider judges a line authProvider.NAME: a class that is not known may do anything, among it
// keep somebody out.
func (l *loader) provider(s Setting) error {
	class := strings.TrimPrefix(s.Value, javaAuth)
	p, known := providers[class]
	switch {
	case s.Value == "":
		l.warn("%s: %s names no class; it has no effect", s.Source, s.Key)
	case !known || class == s.Value:
		return fmt.Errorf("%w: %s: %s: zkd cannot run the class %s and has the schemes digest and ip; remove it to "+
			"accept that nobody is authenticated by it, and that what only its identities may open stays closed",
			ErrConfig, s.Source, s.Key, s.Value)
	case !p.yes:
		l.warn("%s: %s has no effect in this version: nobody can authenticate with the scheme %s, and what only its "+
			"identities may open stays closed", s.Source, s.Key, p.scheme)
	}
	return nil
}
