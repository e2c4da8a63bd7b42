package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/zkd-project/zkd/daemon/client"
	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
)

// own asks this machine's server how it is.
func (d *doctor) own(addr string) (version string) {
	s := d.g.ask(addr)
	if s.Error == "" {
		d.ok("servers", "this server, %s: %s, zxid %s, %s", addr, s.Mode, s.Zxid, s.Version)
	} else {
		d.wrong("servers", "systemctl status zkd tells more", "this server, %s: %s", addr, s.Error)
	}
	return s.Version
}

// clientAddress is where a server's clients go. Without a port in its line of the list, this
// server's own is assumed.
func (d *doctor) clientAddress(m *ensemble.Member) (addr string, assumed bool) {
	host, port := m.Addresses[0].Host, strconv.Itoa(d.cfg.ClientPort)
	if m.Client == "" {
		return net.JoinHostPort(host, port), true
	}
	if h, p, err := net.SplitHostPort(m.Client); err == nil {
		if ip := net.ParseIP(h); ip == nil || !ip.IsUnspecified() {
			host = h
		}
		port = p
	}
	return net.JoinHostPort(host, port), false
}

// other asks another server how it is, and whether it is the one that was meant.
func (d *doctor) other(m *ensemble.Member) (version string) {
	name := fmt.Sprintf("server.%d", m.ID)
	addr, assumed := d.clientAddress(m)
	at, line := addr, fmt.Sprintf("put its client port behind its line in the list, %s=...;PORT, or look there with "+
		"zkctl --server HOST:PORT status", name)
	if assumed {
		at += " (this server's clientPort, which is assumed for all)"
	}
	s := d.g.ask(addr)
	if s.Error != "" {
		d.warn("servers", "systemctl status zkd there; its port must be open to this machine",
			"%s, %s: %s", name, at, s.Error)
		return s.Version
	}
	conf := d.configured(addr)
	id, known := conf["serverId"]
	switch {
	case known && id != strconv.FormatInt(m.ID, 10) && assumed:
		d.warn("servers", line, "%s could not be checked: at %s, server %s answers", name, at, id)
		return ""
	case known && id != strconv.FormatInt(m.ID, 10):
		d.wrong("servers", "correct the line, or the file myid there", "%s: at %s, server %s answers", name, at, id)
		return ""
	case !known && assumed && d.shared(m):
		d.warn("servers", line, "%s could not be checked: at %s, a server answers that does not tell its number "+
			"(it does not allow the word conf): %s, zxid %s, %s", name, at, s.Mode, s.Zxid, s.Version)
		return ""
	}
	if known {
		at = addr // it was found there
	}
	d.ok("servers", "%s, %s: %s, zxid %s, %s", name, at, s.Mode, s.Zxid, s.Version)
	d.compare(name, addr, conf)
	return s.Version
}

// shared says whether another server of the list is on the host of this one, and so might
// have answered in its place.
func (d *doctor) shared(m *ensemble.Member) bool {
	ips, _ := net.LookupHost(m.Addresses[0].Host)
	for i := range d.cfg.Ensemble.Members {
		if o := &d.cfg.Ensemble.Members[i]; o.ID != m.ID {
			theirs, _ := net.LookupHost(o.Addresses[0].Host)
			if slices.ContainsFunc(theirs, func(ip string) bool { return slices.Contains(ips, ip) }) {
				return true
			}
		}
	}
	return false
}

// configured is what the word conf tells; it is empty if it is not allowed.
func (d *doctor) configured(addr string) map[string]string {
	values := make(map[string]string)
	text, err := client.Word(addr, "conf", d.g.timeout)
	if err != nil {
		return values
	}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			values[key] = value
		} else if key == "membership:" {
			values[membership] = "" // a list of servers follows
		}
	}
	return values
}

const membership = "membership"

// ensemble looks at the way to the other servers, and at what they say of themselves.
func (d *doctor) ensemble(own string) {
	d.ok("myid", "this is server %d of %d", d.cfg.ServerID, len(d.cfg.Ensemble.Members))
	if n := len(d.cfg.Ensemble.Members); n%2 == 0 {
		d.warn("ensemble", "an odd number survives as many losses", "%d servers", n)
	}
	versions := map[string][]string{own: {"this server"}}
	for i := range d.cfg.Ensemble.Members {
		m := &d.cfg.Ensemble.Members[i]
		name := fmt.Sprintf("server.%d", m.ID)
		for _, a := range m.Addresses {
			if d.resolves(name, a.Host, m.ID == d.cfg.ServerID) && m.ID != d.cfg.ServerID {
				d.reaches(name, a)
			}
		}
		if m.ID != d.cfg.ServerID {
			version := d.other(m)
			versions[version] = append(versions[version], name)
		}
	}
	delete(versions, "")
	if len(versions) > 1 {
		d.warn("versions", "upgrade the older ones, one after the other", "the servers differ: %v", versions)
	}
}

// resolves looks a name up, and back, and says whether there is an address.
func (d *doctor) resolves(name, host string, own bool) bool {
	ips, err := net.LookupHost(host)
	if err != nil {
		d.wrong("names", "mend DNS, or put the host into /etc/hosts on all machines", "%s: %v", name, err)
		return false
	}
	if own {
		if ip := ownAddress(ips); ip != "" {
			d.ok("names", "%s is %s, an address of this machine", host, ip)
			if net.ParseIP(ip).IsLoopback() && !d.oneMachine() {
				d.warn("names", loopbackFix(host, name), "%s, %s, is %s here, where other machines cannot reach it",
					name, host, ip)
			}
			return true
		}
		d.wrong("names", "correct server."+strconv.FormatInt(d.cfg.ServerID, 10)+" or myid",
			"%s is %v, which is no address of this machine", host, ips)
		return true
	}
	d.ok("names", "%s, %s, is %v", name, host, ips)
	d.backwards(host, ips)
	return true
}

// oneMachine says whether all servers are at addresses of this machine alone, as for a trial.
func (d *doctor) oneMachine() bool {
	for i := range d.cfg.Ensemble.Members {
		for _, a := range d.cfg.Ensemble.Members[i].Addresses {
			ips, err := net.LookupHost(a.Host)
			if err != nil || slices.ContainsFunc(ips, func(ip string) bool { return !net.ParseIP(ip).IsLoopback() }) {
				return false
			}
		}
	}
	return true
}

// backwards looks for the name of an address that a name has led to.
func (d *doctor) backwards(host string, ips []string) {
	if net.ParseIP(host) != nil {
		return // it has no name that could be wrong
	}
	for _, ip := range ips {
		names, err := net.LookupAddr(ip)
		same := func(name string) bool {
			name = strings.TrimSuffix(name, ".")
			return strings.EqualFold(name, host) || strings.EqualFold(strings.Split(name, ".")[0], host)
		}
		if err != nil || !slices.ContainsFunc(names, same) {
			d.warn("names", "add it to DNS or /etc/hosts: messages and other tools show servers by name",
				"%s is %s, but %s is %s", host, ip, ip, cmp.Or(strings.Join(names, ", "), "no name"))
		} else {
			d.ok("names", "%s is %s", ip, host)
		}
	}
}

// reaches tries the ports between servers. Only a leader listens at the quorum port.
func (d *doctor) reaches(name string, a ensemble.Address) {
	addr := net.JoinHostPort(a.Host, strconv.Itoa(a.Election))
	c, err := net.DialTimeout("tcp", addr, d.g.timeout)
	switch {
	case err == nil:
		c.Close()
		d.ok("ports", "%s, %s: the election port answers", name, addr)
	case errors.Is(err, syscall.ECONNREFUSED):
		d.warn("ports", "start it there", "%s, %s: nothing listens at the election port", name, addr)
	default:
		d.wrong("ports", fmt.Sprintf("let %d and %d through the firewall between the servers", a.Quorum, a.Election),
			"%s, %s: %v", name, addr, err)
	}
}

// compare compares settings and clocks with another server's.
func (d *doctor) compare(name, addr string, theirs map[string]string) {
	if _, ok := theirs["tickTime"]; !ok {
		return
	}
	if n, ok := d.monitored(addr)["zk_zkd_max_request_bytes"]; ok && n != float64(d.cfg.MaxFrame) {
		d.warn("settings", "make them the same on all servers", "jute.maxbuffer: %s has %.0f, this server %d",
			name, n, d.cfg.MaxFrame)
	}
	for key, mine := range map[string]int{
		"tickTime": d.cfg.TickTime, "initLimit": d.cfg.InitLimit, "syncLimit": d.cfg.SyncLimit,
		"minSessionTimeout": d.cfg.MinSessionTimeout, "maxSessionTimeout": d.cfg.MaxSessionTimeout,
	} {
		if other, ok := theirs[key]; ok && other != strconv.Itoa(mine) {
			d.warn("settings", "make them the same on all servers",
				"%s: %s has %s, this server %d", key, name, other, mine)
		}
	}
	if _, ok := theirs[membership]; ok {
		d.drift(name, theirs)
	}
}

// drift compares the lists of servers.
func (d *doctor) drift(name string, theirs map[string]string) {
	const fix = "make the server.N lines the same on all servers, and reload or restart them"
	mine := make(map[string]string)
	for line := range strings.Lines(d.cfg.Ensemble.String()) {
		if key, value, _ := strings.Cut(strings.TrimSpace(line), "="); key != "version" {
			mine[key] = value
		}
	}
	same := true
	for _, key := range slices.Sorted(maps.Keys(mine)) {
		switch value, ok := theirs[key]; {
		case !ok:
			d.wrong("settings", fix, "%s does not know %s", name, key)
		case value != mine[key]:
			d.warn("settings", fix, "%s: %s has %s, this server %s", key, name, value, mine[key])
		default:
			continue
		}
		same = false
	}
	for _, key := range slices.Sorted(maps.Keys(theirs)) {
		if _, ok := mine[key]; !ok && ensemble.Concerns(key) {
			d.wrong("settings", fix, "%s has %s=%s, which this server does not know", name, key, theirs[key])
			same = false
		}
	}
	version := strconv.FormatInt(d.cfg.Ensemble.Version, 16)
	if other, ok := theirs["version"]; ok && other != version {
		d.wrong("settings", "give all the same dynamicConfigFile, or the newest version=N beside the server.N lines",
			"%s has version %s of the list of servers, this server %s: who has a newer one may not follow who has an "+
				"older one", name, other, version)
		same = false
	}
	if same {
		d.ok("settings", "%s has the same list of servers", name)
	}
}

// requests looks at the limit of requests, which clients have, too.
func (d *doctor) requests() {
	if d.cfg.MaxFrame != usualFrame {
		d.warn("requests", "give every client and every server the same, Java's by -Djute.maxbuffer",
			"jute.maxbuffer is %d here; others have %d unless they are told", d.cfg.MaxFrame, usualFrame)
	} else {
		d.ok("requests", "jute.maxbuffer is %d, as clients have it", usualFrame)
	}
}

// usualFrame is ZooKeeper's jute.maxbuffer.
const usualFrame = 1048575

// numbers looks at what a server has counted since it started.
func (d *doctor) numbers(addr string) {
	values := d.monitored(addr)
	if n, ok := values["zk_max_client_response_size"]; ok && n > float64(d.cfg.MaxFrame) {
		d.warn("requests", "split the znode with so many children or so much data, or raise jute.maxbuffer everywhere",
			"a reply of %.0f bytes was sent; Java's clients refuse more than jute.maxbuffer", n)
	}
	if n, ok := values["zk_max_fsynctime"]; ok {
		mean := time.Duration(values["zk_avg_fsynctime"] * float64(time.Millisecond))
		if mean > slowSync {
			d.warn("disk", "give dataLogDir a faster disk of its own: every write waits for it",
				"the server's writes to its log take %v on average, %.0f ms at most", mean.Round(time.Microsecond), n)
		} else {
			d.ok("disk", "the server's writes to its log take %v on average, %.0f ms at most",
				mean.Round(time.Microsecond), n)
		}
	}
}

// monitored are the numbers that the word mntr tells.
func (d *doctor) monitored(addr string) map[string]float64 {
	values := make(map[string]float64)
	text, err := client.Word(addr, "mntr", d.g.timeout)
	if err != nil {
		return values
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			values[name] = n
		}
	}
	return values
}

// clock compares the leader's clock with this machine's, by a znode's time.
func (d *doctor) clock(addr string) {
	g := *d.g
	g.servers, g.shell = addr, nil
	err := g.with(func(c *client.Client) error {
		before := time.Now()
		const flags = proto.FlagEphemeral | proto.FlagSequential
		path, err := c.Create("/zkctl-doctor-", nil, client.CreateOptions{Flags: flags})
		if err != nil {
			return err
		}
		st, err := c.Stat(path)
		if err != nil {
			return err
		}
		made := time.UnixMilli(int64(st.Ctime))
		if made.Before(before.Add(-mostSkew)) || made.After(time.Now().Add(mostSkew)) {
			d.warn("clocks", "run a time service on all machines",
				"the leader's clock and this one differ by %v", made.Sub(before).Round(time.Millisecond))
		} else {
			d.ok("clocks", "the clock that stamps changes agrees with this one")
		}
		return nil
	})
	if err != nil {
		d.warn("writes", "zkctl status shows whether there is a leader", "no znode can be made: %v", err)
	}
}
