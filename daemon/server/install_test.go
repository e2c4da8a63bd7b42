package server

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
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
	const znodes = 12_000
	for _, at := range []int64{1, 20, 50, 62, 66, 80, 150} {
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
		s := newServer(Options{Log: quietLog()})
		empty := newReplica(tree.New(tree.Options{Match: anyone{}}))
		s.step.replica, s.image.tree = empty, empty.Tree()
		s.log.store, s.image.store = st, st
		want := grown(t, znodes)
		zxid := want.LastZxid()
		fs.writes.Store(0)
		fs.at.Store(at)
		fs.refuse.Store(3)
		for err = store.ErrNoSpace; errors.Is(err, store.ErrNoSpace); {
			err = s.install(want, zxid)
		}
		if err = errors.Join(err, st.Close()); err != nil && !errors.Is(err, store.ErrDoubtful) {
			t.Fatalf("full from write %d: %v", at, err)
		}
		open.FS = nil
		if st, err = store.Open(open); err != nil {
			t.Fatalf("full from write %d: %v", at, err)
		}
		got, err := Recover(st, tree.Options{Match: anyone{}}, quietLog(), nil, nil)
		if err == nil && got.LastZxid() == zxid && got.Digest() != want.Digest() {
			err = errors.New("it is another tree")
		}
		if err = errors.Join(err, st.Close()); err != nil {
			t.Fatalf("full from write %d: %v", at, err)
		}
	}
}
