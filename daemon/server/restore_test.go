package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zkfile"
)

// fresh is how many znodes a new tree has.
const fresh = 4

// restoreRig is a rig on a store.
type restoreRig struct {
	*rig
	dir string
	st  *store.Store
	fs  *fullFS
}

func newRestoreRig(t *testing.T) *restoreRig {
	t.Helper()
	dir, fs := t.TempDir(), new(fullFS)
	fs.at.Store(1 << 60)
	st, err := store.Open(store.Options{ImageDir: dir, LogDir: dir, Log: quietLog(), FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	tr, err := Recover(st, tree.Options{Match: anyone{}}, quietLog(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &restoreRig{dir: dir, st: st, fs: fs}
	r.rig = newRig(t, Options{Store: st, Tree: tree.Options{Match: anyone{}}}, func(r *rig) {
		rep := newReplica(tr)
		r.replica.Replica, r.s.opts.Replica, r.s.image.tree = rep, rep, tr
		r.s.log.store, r.s.image.store = st, st
	})
	return r
}

// end stops the server, and says what the next start would find.
func (r *restoreRig) end() *tree.Tree {
	r.t.Helper()
	if err := errors.Join(r.stop(), r.st.Close()); err != nil {
		r.t.Fatal(err)
	}
	return found(r.t, r.dir)
}

// found is the tree that a start would find.
func found(t testing.TB, dir string) *tree.Tree {
	t.Helper()
	st, err := store.Open(store.Options{ImageDir: dir, LogDir: dir, Log: quietLog()})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Recover(st, tree.Options{Match: anyone{}}, quietLog(), nil, nil)
	if err := errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
	return got
}

func (r *restoreRig) restore(b []byte) (*Restored, error) {
	return r.s.Restore(context.Background(), bytes.NewReader(b), int64(len(b)))
}

// zxid is where the server is.
func (r *restoreRig) zxid() (at proto.Zxid) {
	r.s.Ask(func(rep *replica.Replica) { at = rep.Tree().LastZxid() })
	return at
}

// fileOf is a snapshot's file.
func fileOf(t testing.TB, tr *tree.Tree, change func(*zkfile.Trailer)) []byte {
	t.Helper()
	trailer := zkfile.Trailer{
		HasDigest: true, DigestZxid: tr.LastZxid(), DigestVersion: proto.DigestVersion, Digest: tr.Digest(),
		HasLast: true, Last: tr.LastZxid(),
	}
	if change != nil {
		change(&trailer)
	}
	var b bytes.Buffer
	if err := zkfile.WriteSnapshot(&b, trailer, tr.WriteBody); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestRestore replaces everything while the server runs, twice, and once more after another start.
func TestRestore(t *testing.T) {
	const znodes = 12_000
	want := grown(t, znodes)
	r := newRestoreRig(t)
	u := r.user()
	u.send(create(1, "/here", nil))
	u.want(1, proto.ErrOK)
	start := proto.Zxid(0)
	for i := range 2 {
		got, err := r.restore(fileOf(t, want, nil))
		if err != nil {
			t.Fatal(err)
		}
		start = proto.Zxid(int64(i+1) << 32)
		if got.Snapshot != want.LastZxid() || got.Zxid != start || got.Counts != want.Counts() {
			t.Errorf("%+v", got)
		}
		u.wantEnd()
		u = r.user() // the first txn
		u.send(append(get(1, "/here"), append(get(2, "/n7"), create(3, "/here", nil)...)...))
		u.want(1, proto.ErrNoNode)
		u.want(2, proto.ErrNoAuth) // it is somebody's
		u.want(3, proto.ErrOK)
	}
	old := r.raw()
	id := proto.SessionID(77) // of grown; its client has seen the whole snapshot
	password := id.Password()
	old.hello(proto.ConnectRequest{Timeout: 30_000, Session: id, Password: password[:], LastZxidSeen: want.LastZxid()})
	if old.session.Session != id {
		t.Errorf("a session that the snapshot has: %+v", old.session)
	}
	b, err := r.s.Backup(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	whole(t, b)
	last := r.zxid()
	if rifts := r.st.Rifts(); len(rifts) != 1 || rifts[0] != (proto.Rift{After: want.LastZxid(), Before: start}) {
		t.Errorf("%v", rifts)
	}
	got := r.end()
	if got.LastZxid() != last || last < start+2 || got.Counts().Znodes != want.Counts().Znodes+1 {
		t.Errorf("after another start: at %v, not %v, and %+v", got.LastZxid(), last, got.Counts())
	}
}

// TestWhatIsNotRestored sends everything that is no whole snapshot. Clients notice nothing.
func TestWhatIsNotRestored(t *testing.T) {
	good := grown(t, 40)
	whole := fileOf(t, good, nil)
	r := newRestoreRig(t)
	u := r.user()
	u.send(create(1, "/here", []byte("x")))
	u.want(1, proto.ErrOK)
	before := r.zxid()
	refused := func(what string, b []byte, why string) {
		t.Helper()
		got, err := r.restore(b)
		if !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
		u.send(ping())
		u.want(proto.XidPing, proto.ErrOK)
	}
	refused("nothing", nil, "ends too early")
	refused("a text", []byte(strings.Repeat("no snapshot ", 100)), "does not begin with ZKSN")
	refused("a log", append([]byte("ZKLG"), whole[4:]...), "does not begin with ZKSN")
	refused("something behind it", append(bytes.Clone(whole), 0), "")
	for n := 0; n < len(whole); n += 1 + n/16 {
		refused(fmt.Sprintf("the first %d bytes of %d", n, len(whole)), whole[:n], "")
	}
	refused("all but one byte", whole[:len(whole)-1], "")
	random := rand.New(rand.NewPCG(1, 1))
	for range 150 {
		flipped := bytes.Clone(whole)
		at := random.IntN(8 * len(flipped))
		flipped[at/8] ^= 1 << (at % 8)
		if at/8 >= 8 && at/8 < 16 { // the database's number, which nobody looks at, but the checksum does
			refused("another database", flipped, "checksum")
			continue
		}
		refused(fmt.Sprintf("bit %d flipped", at), flipped, "")
	}
	refused("no digest", fileOf(t, good, func(x *zkfile.Trailer) { x.HasDigest = false }), "no digest")
	refused("a wrong digest", fileOf(t, good, func(x *zkfile.Trailer) { x.Digest++ }), "digest of its tree")
	refused("a mixture", fileOf(t, good, func(x *zkfile.Trailer) { x.DigestZxid-- }), "parts of txn 0x29")
	refused("a zxid that is none", fileOf(t, good, func(x *zkfile.Trailer) { x.DigestZxid = -1 }), "cannot be at")
	refused("the last epoch", fileOf(t, good, func(x *zkfile.Trailer) { x.DigestZxid = 1<<63 - 1 }), "no epoch")
	refused("an ephemeral of nobody", without(whole, 77), "but not the session")
	u.send(get(2, "/here"))
	u.want(2, proto.ErrOK)
	if last := r.zxid(); last != before {
		t.Errorf("%v is not %v", last, before)
	}
	if _, err := os.Stat(filepath.Join(r.dir, "image-new")); !os.IsNotExist(err) {
		t.Errorf("an image was left: %v", err)
	}
	if got := r.end(); got.LastZxid() < before || got.Counts().Znodes != fresh+1 {
		t.Errorf("%v %+v", got.LastZxid(), got.Counts())
	}
}

// without leaves a session out of a snapshot's file, whose other parts remain as they are.
func without(whole []byte, id proto.SessionID) []byte {
	var t bytes.Buffer
	body := whole[16:]
	body = append([]byte{0, 0, 0, 0}, body[4+12:]...) // grown has one session
	// what follows the body is written anew
	end := len(body) - 3*(8+4+1) - (8 + 4 + 8) - 8
	trailer, err := zkfile.ReadSnapshot(bytes.NewReader(whole), ignore{})
	if err != nil || id == 0 {
		panic(err)
	}
	err = zkfile.WriteSnapshot(&t, trailer, func(flush func([]byte) error) error { return flush(body[:end]) })
	if err != nil {
		panic(err)
	}
	return t.Bytes()
}

// ignore takes the parts of a snapshot.
type ignore struct{}

func (ignore) Session(proto.SessionID, int32) error { return nil }
func (ignore) ACL(int64, []byte) error              { return nil }
func (ignore) Znode(*zkfile.Znode) error            { return nil }

// TestTTLNeedsItsSetting: without it TTL znodes would be ephemerals of sessions that there are not.
func TestTTLNeedsItsSetting(t *testing.T) {
	opt := tree.Options{Match: anyone{}, ExtendedTypes: true}
	tr := tree.New(opt)
	var res tree.Result
	tr.Apply(&proto.Txn{
		TxnHeader: proto.TxnHeader{Zxid: 1, Type: proto.OpCreateTTL}, Path: []byte("/ttl"), TTL: 1000, ParentCversion: 1,
		ACL: proto.AppendACLs(nil, proto.OpenACLUnsafe),
	}, &res)
	if res.Err != proto.ErrOK {
		t.Fatal(res.Err)
	}
	r := newRestoreRig(t)
	defer r.end()
	if _, err := r.restore(fileOf(t, tr, nil)); !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), "extendedTypesEnabled") {
		t.Error(err)
	}
	r.s.opts.Tree.ExtendedTypes = true
	if _, err := r.restore(fileOf(t, tr, nil)); err != nil {
		t.Error(err)
	}
}

// TestTooLarge sends more than the disk has room for, and says so before, or not.
func TestTooLarge(t *testing.T) {
	file := fileOf(t, grown(t, 12_000), nil)
	r := newRestoreRig(t)
	defer r.end()
	size, free := int64(len(file)), int64(0)
	r.s.restoring.free = func() (int64, error) { return free, nil }
	tooLarge := func(what string, in io.Reader, size int64) {
		t.Helper()
		if _, err := r.s.Restore(context.Background(), in, size); !errors.Is(err, store.ErrNoSpace) {
			t.Errorf("%s: %v", what, err)
		}
	}
	tooLarge("a full disk", nil, -1)
	free = keepFree + size - 1
	tooLarge("more than is free", nil, size)
	r.s.restoring.free = func() (int64, error) { free -= lookEvery; return free, nil }
	free = keepFree + lookEvery + size/2
	tooLarge("one that fills the disk", bytes.NewReader(file), -1)
	r.s.restoring.free = nil
	if _, err := r.restore(file); err != nil {
		t.Error(err)
	}
}

// TestRestoreOnAFullDisk has the disk fill up at every point: either all is as it was, and the server serves, or all is
// new. Its client may write afterwards.
func TestRestoreOnAFullDisk(t *testing.T) {
	want := grown(t, 12_000)
	file := fileOf(t, want, nil)
	failed := 0
	for at := int64(1); ; at += 1 + at/3 {
		r := newRestoreRig(t)
		u := r.user()
		u.send(create(1, "/here", []byte("x")))
		u.want(1, proto.ErrOK)
		r.fs.writes.Store(0)
		r.fs.at.Store(at)
		r.fs.refuse.Store(3)
		_, err := r.restore(file)
		r.fs.at.Store(1 << 60)
		doubtful := errors.Is(err, store.ErrDoubtful)
		if err != nil {
			failed++
		}
		if err != nil && !errors.Is(err, store.ErrNoSpace) && !doubtful {
			t.Errorf("full from write %d: %v", at, err)
		}
		restored := err == nil
		if !doubtful {
			again := r.user()
			again.send(get(2, "/here"))
			if restored {
				again.want(2, proto.ErrNoNode)
			} else {
				again.want(2, proto.ErrOK)
			}
			again.send(create(3, "/more", nil))
			again.want(3, proto.ErrOK)
		}
		err = r.stop()
		if err = errors.Join(err, r.st.Close()); err != nil && !doubtful {
			t.Errorf("full from write %d: %v", at, err)
		}
		got := found(t, r.dir).Counts().Znodes
		if old, new := got == fresh+1 || got == fresh+2, got >= want.Counts().Znodes; restored && !new || !doubtful && !restored && !old || !old && !new {
			t.Errorf("full from write %d: %v, and then there are %d znodes", at, restored, got)
		}
		if r.fs.refuse.Load() > 2 { // nothing was refused any more
			break
		}
	}
	if failed < 5 {
		t.Errorf("%d restores failed", failed)
	}
}

// blocking is an upload that stands still after some bytes.
type blocking struct {
	r    io.Reader
	gate chan struct{}
}

func (b *blocking) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err == io.EOF {
		<-b.gate
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// TestSlowUpload: the server goes on while a snapshot comes, lets no second one in, and stops without waiting for it.
func TestSlowUpload(t *testing.T) {
	file := fileOf(t, grown(t, 40), nil)
	r := newRestoreRig(t)
	u := r.user()
	up := &blocking{bytes.NewReader(file[:len(file)/2]), make(chan struct{})}
	ended := make(chan error)
	go func() {
		_, err := r.s.Restore(context.Background(), up, -1)
		ended <- err
	}()
	r.until("the first is under way", r.s.restoring.under.Load)
	if _, err := r.restore(file); !errors.Is(err, ErrRestoring) {
		t.Errorf("a second one: %v", err)
	}
	u.send(create(1, "/here", nil))
	u.want(1, proto.ErrOK)
	start := time.Now()
	got := r.end()
	if took := time.Since(start); took > patience/2 {
		t.Errorf("the stop took %v", took)
	}
	close(up.gate)
	if err := <-ended; !errors.Is(err, errStopped) {
		t.Error(err)
	}
	if _, err := r.restore(file); !errors.Is(err, ErrNoRestore) {
		t.Errorf("after the stop: %v", err)
	}
	if got.Counts().Znodes != fresh+1 {
		t.Errorf("%+v", got.Counts())
	}
}

// TestUploadOfOneWhoHasGone ends early.
func TestUploadOfOneWhoHasGone(t *testing.T) {
	r := newRestoreRig(t)
	defer r.end()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.s.Restore(ctx, bytes.NewReader(fileOf(t, grown(t, 1), nil)), -1); !errors.Is(err, errGone) {
		t.Error(err)
	}
}

// TestRestoreUnderLoad has clients write until their connections end, and backups made meanwhile.
func TestRestoreUnderLoad(t *testing.T) {
	want := grown(t, 5000)
	file := fileOf(t, want, nil)
	r := newRestoreRig(t)
	halt, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; ; n++ {
			u := r.user()
			for i := int32(1); ; i++ {
				select {
				case <-halt:
					return
				default:
				}
				if _, err := u.Write(create(i, fmt.Sprintf("/w%d-%d", n, i), hundred)); err != nil {
					break
				}
				if _, err := u.readFrame(); err != nil {
					break
				}
			}
		}
	}()
	backups := make(chan int)
	go func() {
		made := 0
		defer func() { backups <- made }()
		for {
			select {
			case <-halt:
				return
			default:
			}
			b, err := r.s.Backup(context.Background())
			if err == nil {
				whole(t, b)
				made++
			} else if !errors.Is(err, store.ErrReplaced) && !errors.Is(err, store.ErrLogTrimmed) {
				t.Error(err)
			}
		}
	}()
	for range 5 {
		if _, err := r.restore(file); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	close(halt)
	<-ended
	if made := <-backups; made == 0 {
		t.Error("there was no backup")
	}
	got := r.end()
	if got.LastZxid().Epoch() != 5 || got.Counts().Znodes < want.Counts().Znodes {
		t.Errorf("%v %+v", got.LastZxid(), got.Counts())
	}
}

// TestRestoreWaitsForTheImage: while the image is being written the server goes on, and then is restored.
func TestRestoreWaitsForTheImage(t *testing.T) {
	r := newRestoreRig(t)
	defer r.end()
	file := fileOf(t, grown(t, 10), nil)
	r.s.image.mu.Lock()
	ended := make(chan error)
	go func() {
		_, err := r.restore(file)
		ended <- err
	}()
	r.until("it waits", r.s.restoring.still.Load)
	u := r.user()
	u.send(create(1, "/here", nil))
	u.want(1, proto.ErrOK)
	r.s.image.mu.Unlock()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	r.s.image.mu.Lock()
	r.s.image.full.Store(true)
	go func() {
		_, err := r.restore(file)
		ended <- err
	}()
	if err := <-ended; !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("while the image's disk is full: %v", err)
	}
	r.s.image.full.Store(false)
	r.s.image.mu.Unlock()
	r.until("the image is written again", func() bool { return !r.s.restoring.still.Load() })
}
