package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zkfile"
)

// fullFS is a disk that is full from some write on, until it has refused a few.
type fullFS struct {
	store.OS
	writes, at, refuse atomic.Int64 // so far; the first one that is refused; how many are
}

func (f *fullFS) Create(name string) (store.File, error) {
	file, err := f.OS.Create(name)
	return &fullFile{file, f}, err
}

type fullFile struct {
	store.File
	fs *fullFS
}

func (f *fullFile) Write(b []byte) (int, error) {
	if f.fs.writes.Add(1) >= f.fs.at.Load() && f.fs.refuse.Add(-1) >= 0 {
		return 0, syscall.ENOSPC
	}
	return f.File.Write(b)
}

// grown is a tree with some znodes, a session with an ephemeral, and a list of its own.
func grown(t *testing.T, znodes int) *tree.Tree {
	t.Helper()
	tr := tree.New(tree.Options{Match: anyone{}})
	var res tree.Result
	zxid := proto.Zxid(0)
	apply := func(txn proto.Txn) {
		zxid++
		txn.Zxid, txn.Time = zxid, 1
		tr.Apply(&txn, &res)
		if res.Err != proto.ErrOK {
			t.Fatal(res.Err)
		}
	}
	own := proto.AppendACLs(nil, []proto.ACL{{Perms: proto.PermAll, ID: proto.ID{Scheme: "digest", ID: "a:b"}}})
	apply(proto.Txn{TxnHeader: proto.TxnHeader{Type: proto.OpCreateSession, Session: 77}, Timeout: 1000})
	for i := range znodes {
		apply(proto.Txn{
			TxnHeader: proto.TxnHeader{Type: proto.OpCreate, Session: 77}, Path: fmt.Appendf(nil, "/n%d", i),
			Data: make([]byte, 100), ACL: own, Ephemeral: i == 0, ParentCversion: int32(i + 1),
		})
	}
	return tr
}

// TestInstallOnAFullDisk has the disk fill up while a new image is written, or replaces the
// old one: once there is space, the image holds the whole tree, be it after another start.
func TestInstallOnAFullDisk(t *testing.T) {
	for _, at := range []int64{1, 20, 50, 62, 66, 80, 150} {
		installAt(t, at, func(_ *Server, want *tree.Tree) *tree.Tree { return want })
	}
}

// TestArrivalOnAFullDisk is the same with a tree whose image is written while it comes.
func TestArrivalOnAFullDisk(t *testing.T) {
	written := 0
	for _, at := range []int64{1, 2, 5, 10, 20, 50, 62, 66, 80, 150, 1 << 40} {
		installAt(t, at, func(s *Server, want *tree.Tree) *tree.Tree {
			got, err := s.readSnap(bufio.NewReader(bytes.NewReader(bodyOf(t, want))), want.LastZxid())
			if err != nil {
				t.Fatal(err)
			}
			if s.image.arrivals.now != nil {
				written++
			}
			return got
		})
	}
	if written == 0 {
		t.Error("no image was written while its tree came")
	}
}

// bodyOf is what stands behind a SNAP packet.
func bodyOf(t *testing.T, tr *tree.Tree) []byte {
	t.Helper()
	var body []byte
	if err := tr.WriteBody(func(b []byte) error { body = append(body, b...); return nil }); err != nil {
		t.Fatal(err)
	}
	return zkfile.AppendSignature(body)
}

// TestArrivals: an image goes with the tree that it was written for, and with no other one; one
// whose tree does not come whole, or that comes later, takes it away.
func TestArrivals(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(store.Options{ImageDir: dir, LogDir: dir, Log: quietLog()})
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(Options{Log: quietLog(), Tree: tree.Options{Match: anyone{}}})
	s.log.store, s.image.store = st, st
	body := bodyOf(t, grown(t, 100))
	snap := func(b []byte) (*tree.Tree, error) { return s.readSnap(bufio.NewReader(bytes.NewReader(b)), 101) }
	first, err := snap(body)
	if err != nil {
		t.Fatal(err)
	}
	second, err := snap(body)
	if err != nil {
		t.Fatal(err)
	}
	if s.image.arrivals.take(first) != nil {
		t.Error("the first tree got the second one's image")
	}
	if s.image.arrivals.take(second) != nil {
		t.Error("an image was left though another tree is to be installed")
	}
	s.image.arrivals.done()
	if _, err := snap(body[:len(body)-1]); err == nil || s.image.arrivals.now != nil {
		t.Errorf("half a tree: %v", err)
	}
	last, err := snap(body)
	if err != nil {
		t.Fatal(err)
	}
	n := s.image.arrivals.take(last)
	if n == nil {
		t.Fatal("no image for the last tree")
	}
	if _, err := snap(body); err != nil || s.image.arrivals.now != nil { // while that one is being installed
		t.Errorf("another image was begun: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "image-new")); err != nil {
		t.Errorf("the image was taken away: %v", err)
	}
	n.Abort()
	s.image.arrivals.done()
	if _, err := snap(body); err != nil || s.image.arrivals.now == nil {
		t.Errorf("no image is written any more: %v", err)
	}
	s.image.arrivals.abandon()
	if s.image.arrivals.now != nil {
		t.Error("the image of a leader that is gone is kept")
	}
	if _, err := os.Stat(filepath.Join(dir, "image-new")); !os.IsNotExist(err) {
		t.Errorf("the image is still there: %v", err)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

// installAt installs a tree on a disk that is full from some write on, refuses three, and then has space.
func installAt(t *testing.T, at int64, arrive func(s *Server, want *tree.Tree) *tree.Tree) {
	t.Helper()
	const znodes = 12_000
	dir := t.TempDir()
	fs := new(fullFS)
	fs.at.Store(1 << 60)
	open := store.Options{ImageDir: dir, LogDir: dir, Log: quietLog(), FS: fs}
	st, err := store.Open(open)
	if err == nil {
		err = st.Replay(0, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(Options{Log: quietLog(), Tree: tree.Options{Match: anyone{}}})
	empty := newReplica(tree.New(tree.Options{Match: anyone{}}))
	s.step.replica, s.image.tree = empty, empty.Tree()
	s.log.store, s.image.store = st, st
	want := grown(t, znodes)
	zxid := want.LastZxid()
	fs.writes.Store(0)
	fs.at.Store(at)
	fs.refuse.Store(3)
	came := arrive(s, want)
	for err = store.ErrNoSpace; errors.Is(err, store.ErrNoSpace); {
		err = s.install(came, zxid, nil)
	}
	err = errors.Join(err, st.Close())
	doubtful := errors.Is(err, store.ErrDoubtful)
	if err != nil && !doubtful {
		t.Fatalf("full from write %d: %v", at, err)
	}
	open.FS = nil
	if st, err = store.Open(open); err != nil {
		t.Fatalf("full from write %d: %v", at, err)
	}
	got, err := Recover(st, tree.Options{Match: anyone{}}, quietLog(), nil, nil)
	if err == nil && (got.LastZxid() != zxid && !doubtful || got.LastZxid() == zxid && got.Digest() != want.Digest()) {
		err = fmt.Errorf("it is another tree, at %v", got.LastZxid())
	}
	if err = errors.Join(err, st.Close()); err != nil {
		t.Fatalf("full from write %d: %v", at, err)
	}
}
