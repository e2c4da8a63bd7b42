package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/cnxn"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
)

// TestOrder has many connections pipeline reads behind writes: each reply must come in
// its turn, and each read must see the write before it.
func TestOrder(t *testing.T) {
	const users, rounds = 12, 200
	r := newRig(t, Options{}, func(r *rig) { r.s.opts.Ports.Pollers = 3 })
	var wg sync.WaitGroup
	for i := range users {
		u := r.user()
		path := fmt.Sprintf("/n%d", i)
		u.send(create(1, path, nil))
		u.want(1, proto.ErrOK)
		wg.Go(func() {
			for n := range int32(rounds) {
				b := set(3*n, path, fmt.Append(nil, n))
				b = append(b, get(3*n+1, path)...)
				b = append(b, get(3*n+2, "/none")...)
				if _, err := u.Write(b); err != nil {
					t.Error(err)
					return
				}
			}
		})
		wg.Go(func() {
			for n := range int32(rounds) {
				u.want(3*n, proto.ErrOK)
				if got := string(dataOf(u.want(3*n+1, proto.ErrOK))); got != fmt.Sprint(n) {
					t.Errorf("read %q after writing %d", got, n)
				}
				u.want(3*n+2, proto.ErrNoNode)
			}
		})
	}
	wg.Wait()
	st := r.s.Status()
	if st.Replica.Outstanding != 0 || st.Txns != users*(rounds+2) || st.Waiting != 0 {
		t.Errorf("%+v", st)
	}
}

// TestNothingIsAnsweredBeforeItIsDurable holds the log: reads go on, writes wait.
func TestNothingIsAnsweredBeforeItIsDurable(t *testing.T) {
	r := newRig(t, Options{}, nil)
	writer, reader := r.user(), r.user()
	writer.send(create(1, "/a", hundred))
	writer.want(1, proto.ErrOK)
	release := r.log.hold()
	writer.send(set(2, "/a", []byte("new")))
	r.until("the write is on its way", func() bool { return r.log.busy.Load() == 1 })
	writer.quiet(reader)
	reader.send(get(1, "/a"))
	if got := dataOf(reader.want(1, proto.ErrOK)); !bytes.Equal(got, hundred) {
		t.Errorf("read %q, which is not durable", got)
	}
	release()
	writer.want(2, proto.ErrOK)
	reader.send(get(2, "/a"))
	if got := dataOf(reader.want(2, proto.ErrOK)); string(got) != "new" {
		t.Errorf("read %q after the write was answered", got)
	}
}

// TestGroupCommit holds the log while writes come, which must then go in one append.
func TestGroupCommit(t *testing.T) {
	const writers = 50
	r := newRig(t, Options{}, nil)
	var users []*user
	for range writers {
		users = append(users, r.user())
	}
	release := r.log.hold()
	before := r.log.Status().Syncs
	users[0].send(create(1, "/a", nil))
	r.until("the first write is on its way", func() bool { return r.log.busy.Load() == 1 })
	for _, u := range users[1:] {
		u.send(create(1, "/a", nil))
	}
	r.until("all writes wait", func() bool { return r.s.Status().Replica.Outstanding == writers })
	release()
	users[0].want(1, proto.ErrOK)
	for _, u := range users[1:] {
		u.want(1, proto.ErrNodeExists)
	}
	if n := r.log.Status().Syncs - before; n != 2 {
		t.Errorf("%d writes took %d appends, want 2", writers, n)
	}
}

func TestNoSpaceInTheLog(t *testing.T) {
	r := newRig(t, Options{}, nil)
	writer, reader := r.user(), r.user()
	full := fmt.Errorf("append: %w", store.ErrNoSpace)
	r.log.fail(full, 3)
	writer.send(create(1, "/a", nil))
	r.until("the state is shown", func() bool { return r.s.Status().LogFull })
	reader.send(get(1, "/a"))
	reader.want(1, proto.ErrNoNode)
	reader.send(create(2, "/b", nil)) // comes behind the one that waits
	reader.want(2, proto.ErrOK)
	writer.want(1, proto.ErrOK)
	if st := r.s.Status(); st.LogFull {
		t.Error("the state is still shown")
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

func TestStopWhileTheDiskIsFull(t *testing.T) {
	r := newRig(t, Options{Drain: 50 * time.Millisecond}, nil)
	u := r.user()
	full := fmt.Errorf("append: %w", store.ErrNoSpace)
	r.log.fail(full, 10_000)
	u.send(create(1, "/a", nil))
	r.until("the disk is full", func() bool { return r.s.Status().LogFull })
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	u.wantEnd()
}

// TestFailingLog checks that nothing is acknowledged after the log failed, and that the
// server ends with the reason.
func TestFailingLog(t *testing.T) {
	broken := errors.New("input/output error")
	r := newRig(t, Options{}, nil)
	a, b := r.user(), r.user()
	r.log.fail(broken, 1)
	a.send(create(1, "/a", nil))
	a.wantEnd()
	b.wantEnd()
	<-r.ended
	if !errors.Is(r.err, broken) {
		t.Errorf("Run returned %v", r.err)
	}
	if r.image.at() != 0 {
		t.Error("an image was written after the log had failed")
	}
}

// TestCrowd checks that a connection with requests under way is not read beyond the
// limit, that another one still is, and that all requests are answered in the end.
func TestCrowd(t *testing.T) {
	const limit, writes = 20, 500
	r := newRig(t, Options{Outstanding: limit}, nil)
	writer, reader := r.user(), r.user()
	release := r.log.hold()
	var all []byte
	for i := range int32(writes) {
		all = append(all, create(i, fmt.Sprintf("/%d", i), nil)...)
	}
	writer.send(all)
	r.until("input waits", func() bool { return r.s.Status().Stalled > 0 })
	reader.send(get(1, "/none"))
	reader.want(1, proto.ErrNoNode)
	if n := r.s.Status().Replica.Outstanding; n != limit {
		t.Errorf("%d requests are under way, the limit is %d", n, limit)
	}
	release()
	for i := range int32(writes) {
		writer.want(i, proto.ErrOK)
	}
}

// TestSlowReaderWithManyRequests has replies pile up and checks that requests wait for
// them, that memory stays within bounds, and that all come in the end.
func TestSlowReaderWithManyRequests(t *testing.T) {
	const reads, size = 3000, 7000
	r := newRig(t, Options{}, func(r *rig) { r.s.opts.Ports.QueueSoft = 256 << 10 })
	u := r.user()
	u.send(create(0, "/a", make([]byte, size)))
	u.want(0, proto.ErrOK)
	var all []byte
	for i := range int32(reads) {
		all = append(all, get(i, "/a")...)
	}
	before := r.replica.inputs.Load()
	go func() {
		if _, err := u.Write(all); err != nil {
			t.Error(err)
		}
	}()
	var queued int64
	r.until("replies pile up", func() bool {
		r.s.Ports().Visit(func(c *cnxn.Conn) { queued = c.Queued() })
		return queued >= 256<<10
	})
	if queued > 512<<10 {
		t.Errorf("%d bytes are queued", queued)
	}
	if n := r.replica.inputs.Load() - before; n >= reads {
		t.Error("all requests were taken up although nothing was read")
	}
	for i := range int32(reads) {
		if got := dataOf(u.want(i, proto.ErrOK)); len(got) != size {
			t.Fatalf("read %d bytes", len(got))
		}
	}
}

// TestStopAnswersWhatIsUnderWay stops the server while writes wait for the disk.
func TestStopAnswersWhatIsUnderWay(t *testing.T) {
	r := newRig(t, Options{Drain: patience}, nil)
	u := r.user()
	release := r.log.hold()
	u.send(create(1, "/a", nil))
	r.until("the write is on its way", func() bool { return r.log.busy.Load() == 1 })
	r.halt()
	r.until("no more requests are taken", func() bool {
		var stopping bool
		r.s.Ask(func(*replica.Replica) { stopping = r.s.step.stopping })
		return stopping
	})
	u.send(get(2, "/a"))
	release()
	u.want(1, proto.ErrOK)
	u.wantEnd()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if r.image.at() != 2 {
		t.Errorf("the image is at %v", r.image.at())
	}
}

func TestClientThatClosesItsSession(t *testing.T) {
	r := newRig(t, Options{}, nil)
	u := r.user()
	u.send(framed(request(7, proto.OpCloseSession)))
	u.want(7, proto.ErrOK)
	u.wantEnd()
}

// TestResume closes a connection and takes its session up again; the older connection of
// two is closed.
func TestResume(t *testing.T) {
	r := newRig(t, Options{}, nil)
	a := r.user()
	again := proto.ConnectRequest{Timeout: 30_000, Session: a.session.Session, Password: a.session.Password[:]}
	b := r.raw()
	b.hello(again)
	a.wantEnd()
	if b.session.Session != a.session.Session {
		t.Error("the session was not resumed")
	}
	b.Close()
	c := r.raw()
	c.hello(again)
	if c.session.Session != a.session.Session {
		t.Error("the session was not resumed")
	}
	again.Password = make([]byte, 16)
	d := r.raw()
	d.hello(again)
	if d.session.Session != 0 || d.session.Timeout != 0 {
		t.Errorf("a wrong password got %+v", d.session)
	}
	d.wantEnd()
}

// TestFanOut has many watch one znode: the events leave by other goroutines than the
// step's, and all arrive, the writer's before its reply.
func TestFanOut(t *testing.T) {
	const watchers = 3 * manyConns
	r := newRig(t, Options{}, nil)
	var users []*user
	for range watchers {
		users = append(users, r.user())
	}
	writer := users[0]
	writer.send(create(1, "/a", nil))
	writer.want(1, proto.ErrOK)
	for round := range int32(3) {
		for _, u := range users {
			b := get(2, "/a")
			b[len(b)-1] = 1 // watch
			u.send(b)
		}
		for _, u := range users {
			u.want(2, proto.ErrOK)
		}
		writer.send(set(3, "/a", fmt.Append(nil, round)))
		for _, u := range users {
			u.want(proto.XidNotification, proto.ErrOK)
		}
		writer.want(3, proto.ErrOK)
	}
}

func TestFourLetterWord(t *testing.T) {
	r := newRig(t, Options{}, nil)
	u := r.raw()
	u.send([]byte("ruok"))
	if got, err := io.ReadAll(u); string(got) != "imok" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAlive(t *testing.T) {
	r := newRig(t, Options{}, nil)
	u := r.user()
	r.until("it is alive", func() bool { return r.s.Alive(time.Minute) == nil })
	release := r.log.hold()
	u.send(create(1, "/a", nil))
	r.until("a write that takes long is noticed", func() bool { return r.s.Alive(20*time.Millisecond) != nil })
	if err := r.s.Alive(time.Minute); err != nil {
		t.Error(err)
	}
	release()
	u.want(1, proto.ErrOK)
	stuck := make(chan struct{})
	go r.s.Ask(func(*replica.Replica) { <-stuck })
	r.until("a step that takes long is noticed", func() bool { return r.s.Alive(150*time.Millisecond) != nil })
	close(stuck)
	r.until("it is alive again", func() bool { return r.s.Alive(time.Minute) == nil })
}

func TestAsk(t *testing.T) {
	r := newRig(t, Options{}, nil)
	u := r.user()
	u.send(create(1, "/a", nil))
	u.want(1, proto.ErrOK)
	var zxid proto.Zxid
	r.s.Ask(func(rep *replica.Replica) { zxid = rep.Tree().LastZxid() })
	if zxid != 2 {
		t.Errorf("at %v", zxid)
	}
}

func TestGCPercent(t *testing.T) {
	for _, tt := range []struct {
		live, rate uint64
		headroom   uint64 // about
	}{
		{1 << 20, 0, 4 << 20}, {4 << 20, 0, 8 << 20}, {64 << 20, 0, 8 << 20}, {320 << 20, 0, 20 << 20}, {1 << 30, 0, 64 << 20},
		{32 << 30, 0, 640 << 20}, {64 << 20, 100 << 20, 25 << 20}, {320 << 20, 40 << 20, 20 << 20}, {320 << 20, 2 << 30, 64 << 20},
	} {
		got := tt.live * uint64(gcPercent(tt.live, tt.rate)) / 100
		if got < tt.headroom*9/10 || got > tt.headroom*11/10 {
			t.Errorf("%d MiB live: %d MiB of garbage, want about %d", tt.live>>20, got>>20, tt.headroom>>20)
		}
	}
}

// TestRestart runs a server on a real store twice.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	open := func() (*store.Store, *tree.Tree) {
		st, err := store.Open(store.Options{ImageDir: dir, LogDir: dir, Log: quietLog()})
		if err != nil {
			t.Fatal(err)
		}
		tr, err := Recover(st, tree.Options{Match: anyone{}}, quietLog(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return st, tr
	}
	const znodes = 300
	st, tr := open()
	r := newRig(t, Options{}, func(r *rig) {
		rep := newReplica(tr)
		r.replica.Replica, r.s.opts.Replica, r.s.image.tree = rep, rep, tr
		r.s.log.store, r.s.image.store = st, st
	})
	u := r.user()
	for i := range int32(znodes) {
		u.send(create(i, fmt.Sprintf("/%d", i), hundred))
	}
	for i := range int32(znodes) {
		u.want(i, proto.ErrOK)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	digest := tr.Digest()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	st, tr = open()
	defer st.Close()
	if tr.Digest() != digest || tr.LastZxid() != znodes+1 || st.ImageZxid() != znodes+1 {
		t.Errorf("after the restart: digest %x at %v, image at %v", tr.Digest(), tr.LastZxid(), st.ImageZxid())
	}
	if _, ok := tr.Session(u.session.Session); !ok {
		t.Error("the session is gone")
	}
}

// ahead is a tree that is always ahead of this server's log.
type ahead struct{}

func (ahead) Dirty() (records, bytes, txns int) { return 1, 1, 1 }
func (ahead) Cut(tree.DeltaSink) proto.Zxid     { return 1 << 40 }
func (ahead) Drain(int) (done bool)             { return true }

// TestStopWhileTheLogIsBehind stops while the image waits for a log that does not get on:
// the others of the ensemble have committed what this server's full disk does not take.
func TestStopWhileTheLogIsBehind(t *testing.T) {
	for _, age := range []time.Duration{time.Millisecond, time.Hour} {
		r := newRig(t, Options{Drain: 50 * time.Millisecond, Image: ImagePolicy{Age: age}}, func(r *rig) {
			r.s.image.tree = ahead{}
		})
		time.Sleep(2 * imagePeriod)
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if r.image.at() != 0 {
			t.Error("the image was written ahead of the log")
		}
	}
}
