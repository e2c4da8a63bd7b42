//go:build interop

package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// disk is a small file system that has the data of a server.
type disk struct {
	t   *testing.T
	dir string
}

// smallDisk gives a server that has not been started a disk of its own. It takes root.
func (c *cluster) smallDisk(i int) *disk {
	c.t.Helper()
	if os.Geteuid() != 0 {
		c.t.Fatal("mounting takes root: run this as root, or leave it out with -skip '^TestEnsembleDisk'")
	}
	d := &disk{t: c.t, dir: filepath.Join(c.dirs[i], c.servers[i].name, "data")}
	if err := unix.Mount("tmpfs", d.dir, "tmpfs", 0, "size=192m"); err != nil {
		c.t.Fatalf("mount a tmpfs on %s: %v", d.dir, err)
	}
	c.t.Cleanup(func() {
		c.servers[i].kill()
		if err := unix.Unmount(d.dir, unix.MNT_DETACH); err != nil {
			c.t.Errorf("unmount %s: %v", d.dir, err)
		}
	})
	c.become(i, c.servers[i].name)
	return d
}

// fill leaves no space, also when some comes free, until the returned function is called.
func (d *disk) fill() (empty func()) {
	d.t.Helper()
	f, err := os.Create(filepath.Join(d.dir, "filler"))
	if err != nil {
		d.t.Fatal(err)
	}
	more := func() {
		for _, size := range []int{1 << 20, 4 << 10} {
			for b, err := make([]byte, size), error(nil); err == nil; {
				_, err = f.Write(b)
			}
		}
	}
	more()
	var stop atomic.Bool
	var running sync.WaitGroup
	running.Go(func() {
		for ; !stop.Load(); time.Sleep(10 * time.Millisecond) {
			more()
		}
	})
	return func() {
		stop.Store(true)
		running.Wait()
		f.Close()
		if err := os.Remove(f.Name()); err != nil {
			d.t.Fatal(err)
		}
	}
}

// says counts what a server has logged.
func (p *process) says(what string) int {
	b, _ := os.ReadFile(p.log)
	return strings.Count(string(b), what)
}

// resident is the memory that a process has, in MiB.
func (p *process) resident() int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	var size, pages int
	fmt.Sscan(string(b), &size, &pages)
	return pages * os.Getpagesize() >> 20
}

// full says whether a server has said last that its disk is full.
func (p *process) full() bool { return p.says("event=log-full") > p.says("event=log-writable") }

// flood writes until a server says that its disk is full, and still does a while later:
// what it had in store has to be used up first.
func (c *cluster) flood(at int) {
	c.t.Helper()
	big := make([]byte, 256<<10)
	via := at
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if c.servers[at].full() {
			time.Sleep(500 * time.Millisecond)
			if c.servers[at].full() {
				return
			}
		}
		via = (via + 1) % 3
		s, err := dial(c.servers[via].addr, 10000, 0, nil)
		for err == nil && s.id != 0 && !c.servers[at].full() {
			s.send(jute.AppendInt(jute.AppendBuffer(header(1, proto.OpSetData, "/b"), big), -1))
			_, err = s.await(time.Second)
		}
		if s != nil {
			s.c.Close()
		}
	}
	c.t.Fatalf("the disk of server %d is full, and it does not say so", at+1)
}

// TestEnsembleDiskFull fills the disk of a follower, of the leader, and of both at once
// under clients. The server says so, the ensemble goes on as long as a quorum has space, and
// everything is whole again by itself after there is space.
func TestEnsembleDiskFull(t *testing.T) {
	c := newCluster(t, "zkd", "zkd", "zkd")
	c.tick = 500
	var disks []*disk
	for i := range c.servers {
		disks = append(disks, c.smallDisk(i))
	}
	c.start()
	l := c.load(6, proto.OpSync)
	for _, who := range []string{"a follower", "the leader", "leader and follower"} {
		l.flows()
		leader := c.leader()
		full := map[string][]int{"a follower": {(leader + 1) % 3}, "the leader": {leader}, "leader and follower": {leader, (leader + 1) % 3}}[who]
		var empty []func()
		for _, i := range full {
			empty = append(empty, disks[i].fill())
		}
		for _, i := range full {
			c.flood(i)
		}
		if len(full) == 1 {
			flows := l.flows()
			time.Sleep(count1("FULL", 4))
			l.flows()
			if c.leader() == full[0] {
				t.Fatalf("server %d still leads, though it cannot write, and the others can", full[0]+1)
			}
			t.Logf("the disk of %s is full: all clients wrote again after %v; server %d has %d MiB", who,
				flows.Round(time.Millisecond), full[0]+1, c.servers[full[0]].resident())
		} else {
			time.Sleep(2 * time.Second)
			since := l.now()
			time.Sleep(count1("FULL", 4))
			for _, cl := range l.clients {
				if cl.progress.Load() > int64(since) {
					t.Fatalf("two of three disks are full, and client %d has had a write answered", cl.id)
				}
			}
		}
		for _, f := range empty {
			f()
		}
		freed := time.Now()
		flows := l.flows()
		c.awaitAll()
		t.Logf("there is space again: all clients wrote after %v, whole again after %v", flows.Round(time.Millisecond),
			time.Since(freed).Round(time.Millisecond))
	}
	l.check()
}

// count1 is a time in seconds from the environment.
func count1(name string, otherwise int) time.Duration {
	return time.Duration(count(name, otherwise)) * time.Second
}

// TestEnsembleDiskFails has a disk fail a sync, of a follower and of the leader: the server
// ends, as nobody knows what is on that disk, and the ensemble goes on without it. It takes
// strace, which has the kernel say EIO.
func TestEnsembleDiskFails(t *testing.T) {
	c := newCluster(t, "zkd", "zkd", "zkd")
	c.start()
	l := c.load(6, proto.OpSync)
	for _, leads := range []bool{false, true} {
		l.flows()
		victim := (c.leader() + 1) % 3
		if leads {
			victim = c.leader()
		}
		p := c.servers[victim]
		strace := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync",
			"-e", "inject=fdatasync:error=EIO", "-p", fmt.Sprint(p.cmd.Process.Pid))
		strace.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := strace.Start(); err != nil {
			t.Fatalf("strace: %v; it is in Debian's strace", err)
		}
		ended := make(chan error, 1)
		go func() { ended <- p.cmd.Wait() }()
		select {
		case err := <-ended:
			if err == nil || p.says("the disk failed, and what it holds is in doubt") == 0 {
				t.Fatalf("server %d has ended with %v and has not said why", victim+1, err)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("server %d goes on though its disk fails", victim+1)
		}
		strace.Wait()
		flows := l.flows()
		p.launch()
		c.awaitAll()
		t.Logf("a disk has failed, of the leader: %v; all clients wrote again after %v", leads, flows.Round(time.Millisecond))
	}
	l.check()
}
