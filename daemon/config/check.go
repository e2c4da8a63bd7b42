package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// levels are the values of logLevel.
var levels = []string{"trace", "debug", "info", "warn", "error"}

// Words are the four-letter words there are.
var Words = strings.Fields("ruok isro gtmk stmk srvr stat cons crst srst conf dirs dump envi wchs wchc wchp mntr hash")

// check looks at settings that depend on each other.
func (c *Config) check(l *loader) {
	if c.MinSessionTimeout == -1 {
		c.MinSessionTimeout = 2 * c.TickTime
	}
	if c.MaxSessionTimeout == -1 {
		c.MaxSessionTimeout = 20 * c.TickTime
	}
	if c.DataLogDir == "" {
		c.DataLogDir = c.DataDir
	}
	if c.DataDir == "" {
		l.wrong(l.source["dataDir"], "dataDir",
			"is not set; name the directory that holds the data, for example dataDir=/var/lib/zkd")
	}
	timeouts := l.bad["tickTime"] || l.bad["minSessionTimeout"] || l.bad["maxSessionTimeout"]
	if c.MinSessionTimeout > c.MaxSessionTimeout && !timeouts {
		l.wrong(l.source["minSessionTimeout"], "minSessionTimeout", "%d is above maxSessionTimeout, which is %d",
			c.MinSessionTimeout, c.MaxSessionTimeout)
	}
	if !slices.Contains(levels, c.LogLevel) {
		l.wrong(l.source["logLevel"], "logLevel", "%q is no level; give one of %s",
			c.LogLevel, strings.Join(levels, ", "))
	}
	if c.EnforceAuth && len(c.AuthSchemes) == 0 {
		l.wrong(l.source["enforce.auth.schemes"], "enforce.auth.schemes",
			"must be set where enforce.auth.enabled is true, for example to digest")
	}
	c.checkDigest(l)
	c.join(l)
	c.checkSecure(l)
	if !strings.HasPrefix(c.AdminPath, "/") || strings.ContainsAny(c.AdminPath, "{} ?#") {
		l.wrong(l.source["admin.commandURL"], "admin.commandURL", "%q is not a path, such as /commands", c.AdminPath)
	}
	c.places(l)
	c.checkWords(l)
	if !c.ForceSync {
		c.Warnings = append(c.Warnings, l.source["forceSync"]+
			": forceSync=no: writes are acknowledged before they are on the disk, and can be lost")
	}
	if !c.KeepAlive {
		c.Warnings = append(c.Warnings, l.source["clientTcpKeepAlive"]+
			": clientTcpKeepAlive=false has no effect: idle client connections are always probed")
	}
	if c.SkipACL {
		c.Warnings = append(c.Warnings, l.source["skipACL"]+": skipACL=yes: no ACL is checked")
	}
}

// digests are the hashes that the scheme digest knows, in capitals and without dashes.
var digests = []string{"", "SHA", "SHA1", "SHA256", "SHA384", "SHA512"}

// checkDigest looks at the settings of the scheme digest.
func (c *Config) checkDigest(l *loader) {
	const alg, super = "DigestAuthenticationProvider.digestAlg", "DigestAuthenticationProvider.superDigest"
	if !slices.Contains(digests, strings.ToUpper(strings.ReplaceAll(c.DigestAlg, "-", ""))) {
		l.wrong(l.source[alg], alg, "%q is not known; give SHA1, SHA-256, SHA-384 or SHA-512", c.DigestAlg)
	}
	switch {
	case c.SuperDigest == "":
	case !strings.HasPrefix(c.SuperDigest, "super:"):
		l.wrong(l.source[super], super, "it must begin with super:")
	case !c.DigestEnabled:
		c.Warnings = append(c.Warnings, l.source[super]+": "+super+" has no effect where the scheme digest is off")
	}
}

// checkWords warns of four-letter words that are none.
func (c *Config) checkWords(l *loader) {
	const key = "4lw.commands.whitelist"
	for _, word := range c.Words {
		if word == "*" || slices.Contains(Words, word) {
			continue
		}
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s: %s: %s is not a four-letter word; it has no effect%s",
			l.source[key], key, word, meant(nearest(word, slices.Values(Words)))))
	}
}

// units are the words of a number's help that tell what it counts.
var units = map[string]string{"illiseconds": "milliseconds", " bytes": "bytes", "Ticks": "ticks"}

// example says what a value that is no number should be.
func (k *Key) example(value string) string {
	unit := "a number"
	for _, word := range slices.Sorted(maps.Keys(units)) {
		if strings.Contains(k.Help, word) {
			unit = units[word]
			break
		}
	}
	example := k.Default
	if d, err := time.ParseDuration(value); err == nil && unit == "milliseconds" && d.Milliseconds() >= k.Min {
		example = fmt.Sprint(d.Milliseconds())
	} else if strings.HasPrefix(example, "-") || example == "0" && unit != "a number" {
		example = fmt.Sprint(max(k.Min, 2000))
	}
	return fmt.Sprintf(": give %s, e.g. %s", unit, example)
}
