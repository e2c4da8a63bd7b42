package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/zkd-project/zkd/daemon/ensemble"
)

// standaloneID is the id of a server on its own.
const standaloneID = 1

const secureClientPort = "secureClientPort"

// join reads the list of servers, and finds this server in it.
func (c *Config) join(l *loader) {
	c.ServerID = standaloneID
	list := l.list()
	switch {
	case list == nil:
		return
	case len(list.Members) == 0:
		c.stray("there is no list of servers")
		return
	case len(list.Members) == 1 && c.Standalone:
		only := &list.Members[0]
		c.stray("the list has only server "+strconv.FormatInt(only.ID, 10), only.ID)
		c.clientAddress(l, only)
		return
	case c.DataDir == "":
		return
	}
	if err := c.readMyID(list); err != nil {
		l.fail(err)
		return
	}
	c.checkOwners(l, list)
	me := list.Member(c.ServerID)
	line := fmt.Sprintf("server.%d", c.ServerID)
	role := "participant"
	if me.Observer {
		role = "observer"
	}
	if c.PeerType != "" && !strings.EqualFold(c.PeerType, role) {
		l.wrong(l.source["peerType"], "peerType", "it is %s, but %s: %s makes this server %s; let them agree",
			c.PeerType, l.source[line], line, role)
	}
	c.clientAddress(l, me)
	c.checkPorts(l, me)
	if n := voters(list); n%2 == 0 {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%d servers vote: an ensemble with an even number of them "+
			"survives no more failures than one with %d", n, n-1))
	}
	c.Ensemble = list
}

// checkOwners refuses servers whose session ids would look like the marks of TTL znodes: their ephemerals
// would outlive their sessions. Source: EphemeralType.java, validateServerId.
func (c *Config) checkOwners(l *loader, list *ensemble.Config) {
	const most, most353 = 254, 127
	for i := range list.Members {
		id := list.Members[i].ID
		line := fmt.Sprintf("server.%d", id)
		switch {
		case c.ExtendedTypes && id > most:
			l.wrong(l.source[line], line, "with extendedTypesEnabled=true there may be no server above %d", most)
		case c.ExtendedTypes && c.Emulate353 && id > most353:
			l.wrong(l.source[line], line, "with emulate353TTLNodes=true there may be no server above %d", most353)
		}
	}
}

// checkPorts refuses ports for clients and observers that this server has for something else: an error of
// listening would tell of another process.
func (c *Config) checkPorts(l *loader, me *ensemble.Member) {
	line := fmt.Sprintf("server.%d", me.ID)
	wrong := func(key string, port int, other string) {
		l.wrong(cmp.Or(l.source[key], l.source[line]), key, "this server has port %d for something else already, "+
			"by %s: %s; give one of them another port", port, cmp.Or(l.source[other], "default"), other)
	}
	for _, a := range me.Addresses {
		client := net.ParseIP(c.ClientPortAddress)
		same := c.ClientPortAddress == "" || client.IsUnspecified() || strings.EqualFold(c.ClientPortAddress, a.Host)
		switch {
		case (same || c.ListenAll) && (c.ClientPort == a.Quorum || c.ClientPort == a.Election):
			wrong("clientPort", c.ClientPort, line)
			return
		case c.MasterPort == 0 || me.Observer:
		case c.MasterPort == a.Quorum || c.MasterPort == a.Election:
			wrong("observerMasterPort", c.MasterPort, line)
			return
		case (same || c.ListenAll) && c.MasterPort == c.ClientPort:
			wrong("observerMasterPort", c.MasterPort, "clientPort")
			return
		}
	}
}

// list is the list of servers, or nil if it is wrong.
func (l *loader) list() *ensemble.Config {
	var good []ensemble.Setting // lines that are not wrong by themselves
	var errs []error
	for _, m := range l.members {
		if _, err := ensemble.Parse([]ensemble.Setting{m}); errors.Is(err, ensemble.ErrSyntax) {
			errs = append(errs, err)
		} else {
			good = append(good, m)
		}
	}
	var e *ensemble.Error
	if len(errs) > 0 { // what lacks a wrong line is not wrong for that
		good = slices.DeleteFunc(good, func(m ensemble.Setting) bool { return !strings.HasPrefix(m.Key, "server.") })
	}
	list, err := ensemble.Parse(good)
	if err != nil && (len(errs) == 0 || errors.As(err, &e) && e.Key != "") {
		errs = append(errs, err)
	}
	for _, err := range errs {
		source := l.file
		if errors.As(err, &e) && l.source[e.Key] != "" {
			source = l.source[e.Key]
		}
		l.fail(fmt.Errorf("%w: %s: %w", ErrConfig, source, err))
	}
	if len(errs) > 0 || l.unlisted {
		return nil
	}
	list.Version = l.version
	return list
}

// clientAddress takes from a server's own line where clients connect, unless settings of their own
// say so; both have to agree.
func (c *Config) clientAddress(l *loader, me *ensemble.Member) {
	if me.Client == "" {
		return
	}
	line := fmt.Sprintf("server.%d", me.ID)
	wrong := func(key, mine, theirs string) {
		l.wrong(l.source[key], key, "it is %s, but %s: %s has %s; let them agree, or remove %s",
			mine, l.source[line], line, theirs, key)
	}
	host, text, err := net.SplitHostPort(me.Client)
	if err != nil {
		l.wrong(l.source[line], line, "%w", err)
		return
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		l.wrong(l.source[line], line, "%w", err)
		return
	}
	if l.source["clientPort"] == "" {
		c.ClientPort, l.source["clientPort"] = port, l.source[line]
		c.show("clientPort", text, l.source[line])
	}
	if c.ClientPort != port && !l.bad["clientPort"] {
		wrong("clientPort", strconv.Itoa(c.ClientPort), text)
	}
	mine, theirs := net.ParseIP(c.ClientPortAddress), net.ParseIP(host)
	switch {
	case theirs != nil && theirs.IsUnspecified(): // the narrower one counts
	case c.ClientPortAddress == "":
		c.ClientPortAddress = host
		c.show("clientPortAddress", host, l.source[line])
	case mine != nil && theirs != nil && !mine.IsUnspecified() && !mine.Equal(theirs):
		wrong("clientPortAddress", c.ClientPortAddress, host)
	}
}

// show has a setting's row tell a value that it has from elsewhere.
func (c *Config) show(key, value, source string) {
	i := slices.IndexFunc(c.Settings, func(s Setting) bool { return s.Key == key })
	c.Settings[i].Value, c.Settings[i].Source = value, source
}

// stray warns of a file myid that is of no use: who put it there most likely believes this server to
// be one of an ensemble. ZooKeeper's runs on its own then, too.
func (c *Config) stray(why string, known ...int64) {
	file := filepath.Join(c.DataDir, "myid")
	text, err := os.ReadFile(file)
	if err != nil {
		return
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if id, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64); err == nil && slices.Contains(known, id) {
		return
	}
	c.StrayID = true
	c.Warnings = append(c.Warnings, fmt.Sprintf("%s holds %q, as a server of an ensemble has it, but %s: "+
		"THIS SERVER RUNS ON ITS OWN, with data of its own; if it belongs to an ensemble, stop it and give it the "+
		"server.N lines or dynamicConfigFile, and if not, delete %s", file, line, why, file))
}

// checkSecure refuses to serve clients in the clear where they were to be served by TLS only.
func (c *Config) checkSecure(l *loader) {
	const key = secureClientPort
	value, source := l.value(key)
	if value == "" || value == "0" {
		return
	}
	if l.source["clientPort"] != "" {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s: %s has no effect in this version: zkd has no TLS yet, so "+
			"clients that connect to port %s find nothing there", source, key, value))
		return
	}
	l.wrong(source, key, "only TLS is to be served, which zkd does not have yet; "+
		"set clientPort to accept that clients are served without it, and remove %s", key)
}

func voters(list *ensemble.Config) (n int) {
	list.Voters(func(int64) { n++ })
	return n
}

// readMyID reads which of the servers this one is.
func (c *Config) readMyID(list *ensemble.Config) error {
	file := filepath.Join(c.DataDir, "myid")
	text, err := os.ReadFile(file)
	if err != nil {
		first := list.Members[0].ID
		return fmt.Errorf("%w: %w: the file must hold the id of this server, one of %s; "+
			"for server.%d write: echo %d > %s", ErrConfig, err, ids(list), first, first, file)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	id, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	if err != nil {
		return fmt.Errorf("%w: %s holds %q and not the id of this server, one of %s; for server.%d write: echo %d > %s",
			ErrConfig, file, line, ids(list), list.Members[0].ID, list.Members[0].ID, file)
	}
	if list.Member(id) == nil {
		return fmt.Errorf("%w: %s says that this is server %d, but %s lists only %s; correct one of the two",
			ErrConfig, file, id, c.File, ids(list))
	}
	c.ServerID = id
	return nil
}

// ids lists the servers with their hosts.
func ids(list *ensemble.Config) string {
	parts := make([]string, len(list.Members))
	for i := range list.Members {
		parts[i] = fmt.Sprintf("%d (%s)", list.Members[i].ID, list.Members[i].Addresses[0].Host)
	}
	return strings.Join(parts, ", ")
}
