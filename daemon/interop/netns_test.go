//go:build interop

package interop

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// connect dials an address, which is in another network namespace if it is "name@host:port".
func connect(addr string, timeout time.Duration) (net.Conn, error) {
	name, inside, is := strings.Cut(addr, "@")
	if !is {
		return net.DialTimeout("tcp", addr, timeout)
	}
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result)
	go func() {
		var r result
		r.err = within(name, func() (err error) {
			r.conn, err = net.DialTimeout("tcp", inside, timeout)
			return err
		})
		done <- r
	}()
	r := <-done
	return r.conn, r.err
}

// within runs f in a network namespace. The thread comes back: servers end with the thread
// that has started them.
func within(name string, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	there, err := os.Open("/run/netns/" + name)
	if err != nil {
		return err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	defer func() {
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(err) // nothing on this thread would be where it should
		}
	}()
	return f()
}

// lan is a network of namespaces: a switch, a machine for each server, and one for clients.
type lan struct {
	t     *testing.T
	names []string // of the machines; the last one is the clients'
	hub   string
}

var lans atomic.Int32

// newLAN makes a network for n servers. It takes root, ip and nft.
func newLAN(t *testing.T, n int) *lan {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root: run this as root, or leave it out with -skip '^TestEnsembleNet'")
	}
	prefix := fmt.Sprintf("zkd%d-%d-", os.Getpid(), lans.Add(1))
	l := &lan{t: t, hub: prefix + "hub"}
	t.Cleanup(l.remove)
	l.run("ip", "netns", "add", l.hub)
	l.run("ip", "-n", l.hub, "link", "add", "br0", "type", "bridge")
	l.run("ip", "-n", l.hub, "link", "set", "br0", "up")
	for i := range n + 1 {
		name := fmt.Sprintf("%s%d", prefix, i+1)
		l.run("ip", "netns", "add", name)
		l.names = append(l.names, name)
		port := fmt.Sprintf("p%d", i+1)
		l.run("ip", "-n", l.hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
		l.run("ip", "-n", l.hub, "link", "set", port, "master", "br0", "up")
		l.run("ip", "-n", name, "address", "add", l.host(i)+"/24", "dev", "eth0")
		l.run("ip", "-n", name, "link", "set", "eth0", "up")
		l.run("ip", "-n", name, "link", "set", "lo", "up")
		l.nft(i, "add table inet zkd\nadd chain inet zkd in { type filter hook input priority 0; policy accept; }\n")
	}
	return l
}

func (l *lan) host(i int) string { return fmt.Sprintf("10.213.77.%d", i+1) }

func (l *lan) remove() {
	for _, name := range append(l.names, l.hub) {
		exec.Command("ip", "netns", "delete", name).Run()
	}
}

func (l *lan) run(name string, args ...string) {
	l.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		l.t.Fatalf("%s %s: %v: %s; it is in Debian's iproute2 or nftables", name, strings.Join(args, " "), err, out)
	}
}

func (l *lan) nft(i int, rules string) {
	l.t.Helper()
	cmd := exec.Command("ip", "netns", "exec", l.names[i], "nft", "-f", "-")
	cmd.Stdin = bytes.NewBufferString(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("nft on machine %d: %v: %s; it is in Debian's nftables", i+1, err, out)
	}
}

// cut loses everything that one machine sends to another.
func (l *lan) cut(from, to int) {
	l.nft(to, fmt.Sprintf("add rule inet zkd in ip saddr %s drop\n", l.host(from)))
}

// lose loses some percent of all that a machine gets.
func (l *lan) lose(at, percent int) {
	l.nft(at, fmt.Sprintf("add rule inet zkd in numgen random mod 100 < %d drop\n", percent))
}

// heal undoes cut and lose.
func (l *lan) heal() {
	for i := range l.names {
		l.nft(i, "flush chain inet zkd in\n")
	}
}

// link takes the cable of a machine out, or puts it back.
func (l *lan) link(i int, up bool) {
	state := map[bool]string{true: "up", false: "down"}[up]
	l.run("ip", "-n", l.hub, "link", "set", fmt.Sprintf("p%d", i+1), state)
}

// slow makes the link of a machine slow, both ways, until the returned function is called.
// Where the kernel has netem, it also delays.
func (l *lan) slow(i int) (undo func()) {
	port := fmt.Sprintf("p%d", i+1)
	how := []string{"netem", "delay", "40ms", "20ms", "rate", "2mbit", "loss", "1%"}
	if exec.Command("tc", append([]string{"-n", l.names[i], "qdisc", "add", "dev", "eth0", "root"}, how...)...).Run() != nil {
		l.t.Log("this kernel has no netem: the link is slow and loses packets, but does not delay them")
		how = []string{"tbf", "rate", "2mbit", "burst", "10kb", "latency", "100ms"}
		l.run("tc", append([]string{"-n", l.names[i], "qdisc", "add", "dev", "eth0", "root"}, how...)...)
		l.lose(i, 3)
	}
	l.run("tc", append([]string{"-n", l.hub, "qdisc", "add", "dev", port, "root"}, how...)...)
	return func() {
		l.run("tc", "-n", l.names[i], "qdisc", "del", "dev", "eth0", "root")
		l.run("tc", "-n", l.hub, "qdisc", "del", "dev", port, "root")
		l.heal()
	}
}
