package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	fewBytes  = 1 << 30
	fewFiles  = 4096
	syncTries = 20
	slowSync  = 20 * time.Millisecond
	mostSkew  = 2 * time.Second
	blockSize = 4 << 10

	speedBlocks = 8  // of a MB each
	slowWrite   = 20 // MB in a second
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
		d.wrong("disk", "let the user zkd write there, and look at dmesg for errors of the disk", "%s: %v", dir, err)
	case took > slowSync:
		d.warn("disk", "give dataLogDir a faster disk of its own: every write waits for it",
			"%s: a write takes %v until it is durable", dir, took.Round(time.Microsecond))
	default:
		d.ok("disk", "%s: a write takes %v until it is durable", dir, took.Round(time.Microsecond))
	}
	if err != nil {
		return
	}
	const fix = "use a faster disk: snapshots for servers that lack much go through it"
	switch speed, err := writeSpeed(dir); {
	case err != nil:
		d.wrong("disk", "make space, and look at dmesg for errors of the disk", "%s: %v", dir, err)
	case speed < slowWrite:
		d.warn("disk", fix, "%s: %.0f MB are written in a second", dir, speed)
	default:
		d.ok("disk", "%s: %.0f MB are written in a second", dir, speed)
	}
}

// writeSpeed is how many MB in a second are written durably.
func writeSpeed(dir string) (speed float64, err error) {
	f, err := os.CreateTemp(dir, ".zkctl-doctor-*")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i * i) // a disk that compresses is not to be flattered
	}
	start := time.Now()
	for range speedBlocks {
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
	}
	if err := syscall.Fdatasync(int(f.Fd())); err != nil {
		return 0, err
	}
	return speedBlocks / time.Since(start).Seconds(), nil
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

// tool runs a program and returns what it says.
type tool func(name string, args ...string) (string, error)

func runTool(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	return string(out), err
}

// sandbox looks whether the unit of a configuration lets the service write to its directories.
func (d *doctor) sandbox(file string, run tool) {
	if filepath.Dir(file) != "/etc/zkd" {
		return // no unit reads it
	}
	unit := "zkd"
	if name := strings.TrimSuffix(filepath.Base(file), ".cfg"); name != "zoo" {
		unit = "zkd@" + name
	}
	text, err := run("systemctl", "show", unit, "-p", "ProtectSystem,StateDirectory,ReadWritePaths")
	if err != nil {
		return // there is no systemd here
	}
	values := make(map[string]string)
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[key] = value
	}
	if values["ProtectSystem"] != "strict" {
		return
	}
	var writable []string
	for _, dir := range strings.Fields(values["StateDirectory"]) {
		writable = append(writable, filepath.Join("/var/lib", dir))
	}
	for _, path := range strings.Fields(values["ReadWritePaths"]) {
		writable = append(writable, strings.TrimLeft(path, "-+"))
	}
	for i, dir := range slices.Compact([]string{d.cfg.DataDir, d.cfg.DataLogDir}) {
		key := []string{"dataDir", "dataLogDir"}[i]
		if slices.ContainsFunc(writable, func(top string) bool { return within(dir, top) }) {
			d.ok("sandbox", "%s.service may write to %s", unit, dir)
			continue
		}
		fix := fmt.Sprintf("systemctl edit %s, with ReadWritePaths=%s in [Service] and RequiresMountsFor=%s in [Unit]"+
			"; then restart it", unit, dir, dir)
		d.warn("sandbox", fix, "%s %s is not among what %s.service may write to: %s",
			key, dir, unit, strings.Join(writable, " "))
	}
}

// within says whether a directory is another one or below it, wherever symbolic links lead.
func within(dir, top string) bool {
	follow := func(path string) string {
		if to, err := filepath.EvalSymlinks(path); err == nil {
			return to
		}
		return filepath.Clean(path)
	}
	rest, err := filepath.Rel(follow(top), follow(dir))
	return err == nil && rest != ".." && !strings.HasPrefix(rest, "../")
}

// firewall looks whether this machine lets the others in.
func (d *doctor) firewall(run tool) {
	ports := make(map[string][]int)
	if ip := net.ParseIP(d.cfg.ClientPortAddress); ip == nil || !ip.IsLoopback() {
		ports["zkd-client"] = []int{d.cfg.ClientPort}
	}
	if list := d.cfg.Ensemble; list != nil {
		for _, a := range list.Member(d.cfg.ServerID).Addresses {
			ports["zkd-quorum"] = append(ports["zkd-quorum"], a.Quorum, a.Election)
		}
	}
	if len(ports) == 0 {
		d.ok("firewall", "no port is for other machines: clients are served at %s", d.cfg.ClientPortAddress)
		return
	}
	rules, name, err := rulesOf(run)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		d.ok("firewall", "there is none that is known: neither firewalld, nor ufw, nor nftables")
	case err != nil:
		d.warn("firewall", "run zkctl doctor as root", "%s does not tell its rules: %v", name, err)
	case rules == "":
		d.ok("firewall", "%s filters nothing", name)
	default:
		for _, service := range []string{"zkd-client", "zkd-quorum"} {
			d.opened(name, rules, service, ports[service])
		}
	}
}

// opened looks for ports, or for the service that the package brings for them, in rules.
func (d *doctor) opened(name, rules, service string, ports []int) {
	fixes := map[string]string{
		"firewalld zkd-client": "firewall-cmd --permanent --add-service=zkd && firewall-cmd --reload",
		"firewalld zkd-quorum": "firewall-cmd --permanent --add-rich-rule='rule family=ipv4 source address=NET " +
			"service name=zkd-quorum accept' && firewall-cmd --reload",
		"ufw zkd-client":      "ufw allow from NET to any app zkd-client",
		"ufw zkd-quorum":      "ufw allow from NET to any app zkd-quorum",
		"nftables zkd-client": "let the clients' networks reach it",
		"nftables zkd-quorum": "let the other servers reach it",
	}
	words := strings.FieldsFunc(rules, func(r rune) bool {
		return strings.ContainsRune(" \t\n,{}\"", r)
	})
	has := func(word string) bool { return slices.Contains(words, word) }
	firewalld := map[string]string{"zkd-client": "zkd", "zkd-quorum": "zkd-quorum"}
	for _, port := range ports {
		n := strconv.Itoa(port)
		switch {
		case has(n), has(n + "/tcp"), name == "ufw" && has(service), name == "firewalld" && has(firewalld[service]):
			d.ok("firewall", "%s has a rule for port %d", name, port)
		default:
			d.warn("firewall", fixes[name+" "+service], "%s filters, and has no rule for port %d", name, port)
		}
	}
}

// rulesOf is the text of the rules of the firewall that is in force, empty if it filters nothing.
func rulesOf(run tool) (rules, name string, err error) {
	if state, err := run("firewall-cmd", "--state"); err == nil && strings.TrimSpace(state) == "running" {
		rules, err = run("firewall-cmd", "--list-all")
		return rules, "firewalld", err
	}
	if state, err := run("ufw", "status"); err == nil && strings.Contains(state, "Status: active") {
		return state, "ufw", nil
	}
	rules, err = run("nft", "list", "ruleset")
	if err == nil && !strings.Contains(rules, "policy drop") && !strings.Contains(rules, "reject") &&
		!strings.Contains(rules, "drop") {
		rules = ""
	}
	return rules, "nftables", err
}
