package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/zkd-project/zkd/daemon/client"
	"github.com/zkd-project/zkd/daemon/config"
	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
)

// finding is one thing that doctor looked at.
type finding struct {
	Level string `json:"level"` // "ok", "warning" or "error"
	Topic string `json:"topic"`
	Text  string `json:"text"`
	Fix   string `json:"fix,omitempty"`
}

// doctor collects findings.
type doctor struct {
	g    *globals
	cfg  *config.Config
	list []finding
}

func (d *doctor) ok(topic, format string, args ...any) {
	d.list = append(d.list, finding{"ok", topic, fmt.Sprintf(format, args...), ""})
}

func (d *doctor) warn(topic, fix, format string, args ...any) {
	d.list = append(d.list, finding{"warning", topic, fmt.Sprintf(format, args...), fix})
}

func (d *doctor) wrong(topic, fix, format string, args ...any) {
	d.list = append(d.list, finding{"error", topic, fmt.Sprintf(format, args...), fix})
}

func (g *globals) doctorCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "doctor", Args: cobra.NoArgs,
		Short: "Look for what is wrong with this machine's server and the way to the others",
		Long: "doctor reads the configuration, looks at names, ports, disks and limits of this machine, and asks\n" +
			"the servers of the ensemble. It leaves nothing behind; for a moment there is a small file in each\n" +
			"data directory and an ephemeral znode /zkctl-doctor-N. It fails if it finds an error, not for a warning.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &doctor{g: g}
			d.examine(file)
			return d.report(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&file, "config", "/etc/zkd/zoo.cfg", "the server's configuration")
	return cmd
}

func (d *doctor) examine(file string) {
	var err error
	if d.cfg, err = config.Load(file); err != nil && !errors.Is(err, config.ErrCredential) {
		d.wrong("configuration", "mend the line that is named; zkd check-config looks again", "%v", err)
		return
	}
	d.ok("configuration", "%s can be read", file)
	for _, w := range d.cfg.Warnings {
		d.warn("configuration", "", "%s", w)
	}
	dirs := []string{d.cfg.DataDir, d.cfg.DataLogDir}
	slices.Sort(dirs)
	for _, dir := range slices.Compact(dirs) {
		d.disk(dir)
	}
	d.files()
	own := net.JoinHostPort(localAddress(d.cfg.ClientPortAddress), strconv.Itoa(d.cfg.ClientPort))
	if d.server("this server", own, true) != "" {
		d.clock(own)
	}
	if d.cfg.Ensemble != nil {
		d.ensemble()
	}
}

// localAddress is an address at which a server that listens on listen can be asked here.
func localAddress(listen string) string {
	if ip := net.ParseIP(listen); listen == "" || ip != nil && ip.IsUnspecified() {
		return "127.0.0.1"
	}
	return listen
}

const (
	fewBytes  = 1 << 30
	fewFiles  = 4096
	syncTries = 20
	slowSync  = 20 * time.Millisecond
	mostSkew  = 2 * time.Second
	blockSize = 4 << 10
)

// disk measures how much space there is, and how long a write takes to be durable.
func (d *doctor) disk(dir string) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		d.wrong("disk", "start the service once, or make the directory for the user zkd", "%s: %v", dir, err)
		return
	}
	if free := int64(st.Bavail) * st.Bsize; free < fewBytes {
		d.warn("disk", "make space: writes wait when the disk is full", "%s has %d MB left", dir, free>>20)
	} else {
		d.ok("disk", "%s has %.1f GB left", dir, float64(free)/(1<<30))
	}
	took, err := syncTime(dir)
	switch {
	case errors.Is(err, os.ErrPermission):
		d.warn("disk", "run zkctl doctor as root", "%s: the speed was not measured: %v", dir, err)
	case err != nil:
		d.wrong("disk", "", "%s: %v", dir, err)
	case took > slowSync:
		d.warn("disk", "give dataLogDir a faster disk of its own: every write waits for it",
			"%s: a write takes %v until it is durable", dir, took.Round(time.Microsecond))
	default:
		d.ok("disk", "%s: a write takes %v until it is durable", dir, took.Round(time.Microsecond))
	}
}

// syncTime is the median time of a small durable append.
func syncTime(dir string) (took time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".zkctl-doctor-*")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	var all []time.Duration
	for range syncTries {
		start := time.Now()
		if _, err := f.Write(make([]byte, blockSize/syncTries)); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		all = append(all, time.Since(start))
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

// files looks at the limit of open files of the server that runs here, or else of this process.
func (d *doctor) files() {
	text, err := os.ReadFile(filepath.Join(d.cfg.DataDir, "LOCK"))
	limits, bad := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(text)), "limits"))
	if err != nil || bad != nil || strings.TrimSpace(string(text)) == "" {
		d.warn("files", "start it, and run zkctl doctor as root", "no running server was found to look at its limits")
		return
	}
	for line := range strings.Lines(string(limits)) {
		rest, found := strings.CutPrefix(line, "Max open files")
		if !found {
			continue
		}
		if n, err := strconv.Atoi(strings.Fields(rest)[0]); err == nil && n < fewFiles {
			d.warn("files", "raise LimitNOFILE in a drop-in of the unit",
				"the server may open %d files; each client needs one", n)
			return
		}
		d.ok("files", "the server may open %s files", strings.Fields(rest)[0])
	}
}

// server asks one server how it is.
func (d *doctor) server(name, addr string, own bool) (version string) {
	s := d.g.ask(addr)
	switch {
	case s.Error == "":
		d.ok("servers", "%s, %s: %s, zxid %s, %s", name, addr, s.Mode, s.Zxid, s.Version)
	case own:
		d.wrong("servers", "systemctl status zkd tells more", "%s, %s: %s", name, addr, s.Error)
	default:
		d.warn("servers", "", "%s, %s: %s", name, addr, s.Error)
	}
	return s.Version
}

// ensemble looks at the way to the other servers, and at what they say of themselves.
func (d *doctor) ensemble() {
	d.ok("myid", "this is server %d of %d", d.cfg.ServerID, len(d.cfg.Ensemble.Members))
	if n := len(d.cfg.Ensemble.Members); n%2 == 0 {
		d.warn("ensemble", "an odd number survives as many losses", "%d servers", n)
	}
	versions := make(map[string][]string)
	for i := range d.cfg.Ensemble.Members {
		m := &d.cfg.Ensemble.Members[i]
		name := fmt.Sprintf("server.%d", m.ID)
		for _, a := range m.Addresses {
			if d.resolves(name, a.Host, m.ID == d.cfg.ServerID) && m.ID != d.cfg.ServerID {
				d.reaches(name, a)
			}
		}
		addr := m.Client
		if addr == "" {
			addr = net.JoinHostPort(m.Addresses[0].Host, strconv.Itoa(d.cfg.ClientPort))
		}
		if m.ID != d.cfg.ServerID {
			version := d.server(name, addr, false)
			versions[version] = append(versions[version], name)
			d.compare(name, addr)
		}
	}
	delete(versions, "")
	if len(versions) > 1 {
		d.warn("versions", "upgrade the older ones, one after the other", "the others differ: %v", versions)
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
		for _, ip := range ips {
			if l, err := net.Listen("tcp", net.JoinHostPort(ip, "0")); err == nil {
				l.Close()
				d.ok("names", "%s is %s, an address of this machine", host, ip)
				if parsed := net.ParseIP(ip); parsed.IsLoopback() && len(d.cfg.Ensemble.Members) > 1 {
					d.warn("names", "take it off the line of 127.0.1.1 in /etc/hosts, or set quorumListenOnAllIPs=true",
						"%s is %s here, where other machines cannot reach it", host, ip)
				}
				return true
			}
		}
		d.wrong("names", "correct server."+strconv.FormatInt(d.cfg.ServerID, 10)+" or myid",
			"%s is %v, which is no address of this machine", host, ips)
		return true
	}
	d.ok("names", "%s, %s, is %v", name, host, ips)
	return true
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
func (d *doctor) compare(name, addr string) {
	text, err := client.Word(addr, "conf", d.g.timeout)
	if err != nil || !strings.Contains(text, "tickTime=") {
		return
	}
	theirs := make(map[string]string)
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		theirs[key] = value
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
	for _, m := range d.cfg.Ensemble.Members {
		key := fmt.Sprintf("server.%d", m.ID)
		if !strings.Contains(text, key+"=") && strings.Contains(text, "membership") {
			d.wrong("settings", "make the server.N lines the same on all servers", "%s does not know %s", name, key)
		}
	}
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

func (d *doctor) report(out io.Writer) error {
	bad := 0
	for _, f := range d.list {
		if f.Level == "error" {
			bad++
		}
	}
	if d.g.json {
		if err := json.NewEncoder(out).Encode(d.list); err != nil {
			return err
		}
	} else {
		t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, f := range d.list {
			fmt.Fprintf(t, "%s\t%s\t%s\n", f.Level, f.Topic, f.Text)
			if f.Fix != "" {
				fmt.Fprintf(t, "\t\t→ %s\n", f.Fix)
			}
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d errors", bad)
	}
	return nil
}
