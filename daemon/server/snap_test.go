package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zab"
)

// TestSnapshotsTakeTurns has more learners want a snapshot than trees may be made for at a time: each
// gets one in its turn, and one that has gone away none.
func TestSnapshotsTakeTurns(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	st, err := store.Open(store.Options{ImageDir: dir, LogDir: dir, Log: quietLog()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	s := newServer(Options{Store: st, Log: quietLog(), Tree: tree.Options{}})
	fresh := tree.New(tree.Options{})
	b := st.NewImageBatch()
	fresh.CutWhole(b)
	fresh.Drain(100)
	if err := errors.Join(st.Replay(0, func(proto.Zxid, []byte) error { return nil }), st.WriteImage(b, 0)); err != nil {
		t.Fatal(err)
	}
	send := func(gone chan struct{}) chan error {
		done := make(chan error, 1)
		go func() {
			image, err := st.SnapshotImage()
			if err == nil {
				defer image.Release()
				err = s.sendSnap(io.Discard, snapshot{image: image, gone: gone}, zab.Bulk{})
			}
			done <- err
		}()
		return done
	}
	for range maxTrees {
		s.quorum.trees <- struct{}{}
	}
	left := make(chan struct{})
	patient, gone := send(make(chan struct{})), send(left)
	close(left)
	if err := <-gone; !errors.Is(err, errGone) {
		t.Errorf("one that has gone away: %v", err)
	}
	select {
	case err := <-patient:
		t.Errorf("out of turn: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	<-s.quorum.trees
	if err := <-patient; err != nil {
		t.Errorf("in its turn: %v", err)
	}
	if n := len(s.quorum.trees); n != maxTrees-1 {
		t.Errorf("%d turns are taken", n)
	}
}

// TestSnapshotIsTheImageAndHistory: who needs everything gets the image as it was, which is behind, and the
// history up to what was committed when it asked, also when the image has gone on since, and the
// log might have been trimmed; who might have more than the image gets the tree.
func TestSnapshotIsTheImageAndHistory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	st, err := store.Open(store.Options{ImageDir: dir, LogDir: dir, Log: quietLog(), SegmentBytes: 64 << 10, KeepBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Replay(0, func(proto.Zxid, []byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	tr := tree.New(tree.Options{Match: anyone{}})
	var batch proto.LogBatch
	grow := func(n int) {
		t.Helper()
		var res tree.Result
		for range n {
			batch.Reset()
			txn := proto.Txn{
				TxnHeader: proto.TxnHeader{Type: proto.OpCreate, Zxid: tr.LastZxid() + 1, Time: 1},
				Path:      fmt.Appendf(nil, "/n%d", tr.LastZxid()), Data: make([]byte, 4<<10), ACL: proto.AppendACLs(nil, proto.OpenACLUnsafe),
				ParentCversion: int32(tr.LastZxid() + 1),
			}
			batch.Add(txn.Zxid, &txn)
			if err := st.Append(&batch); err != nil {
				t.Fatal(err)
			}
			if tr.Apply(&txn, &res); res.Err != proto.ErrOK {
				t.Fatal(res.Err)
			}
		}
	}
	write := func() {
		t.Helper()
		b := st.NewImageBatch()
		tr.Cut(b)
		for !tr.Drain(1000) {
		}
		if err := st.WriteImage(b, tr.LastZxid()); err != nil {
			t.Fatal(err)
		}
	}
	s := newServer(Options{Store: st, Log: quietLog(), Tree: tree.Options{Match: anyone{}}})
	grow(50)
	write()
	grow(50)
	at, digest := tr.LastZxid(), tr.Digest()
	image, err := st.SnapshotImage()
	if err != nil {
		t.Fatal(err)
	}
	grow(100) // the log has other segments by now
	write()
	for after, base := range map[proto.Zxid]proto.Zxid{0: 50, 50: 50, 51: at} {
		var out bytes.Buffer
		if err := s.sendSnap(&out, snapshot{image: image, at: at}, zab.Bulk{After: after, Zxid: at}); err != nil {
			t.Fatal(err)
		}
		got, zxid := learned(t, &out)
		if zxid != base || got.LastZxid() != at || got.Digest() != digest {
			t.Errorf("from %v: a snapshot at %v, and a tree at %v, want %v and %v", after, zxid, got.LastZxid(), base, at)
		}
	}
	if st.HasLogged(1) || !st.HasLogged(50) {
		t.Error("the log does not hold what is behind the snapshot")
	}
	image.Release()
	grow(1)
	write()
	if err := st.ReadLog(50, at, func(proto.Zxid, []byte) error { return nil }); !errors.Is(err, store.ErrLogTrimmed) {
		t.Errorf("the log is still kept: %v", err)
	}
}

// learned is the tree that a learner makes of a SNAP and what follows, and the packet's zxid.
func learned(t *testing.T, from *bytes.Buffer) (*tree.Tree, proto.Zxid) {
	t.Helper()
	var p proto.Packet
	n, err := p.Decode(from.Bytes(), 1<<20)
	if err != nil || p.Type != proto.PacketSnap {
		t.Fatalf("%v %v", p.Type, err)
	}
	from.Next(n)
	base := p.Zxid
	b := tree.NewBodyLoader(tree.Options{Match: anyone{}}, nil)
	r := bufio.NewReader(from)
	tr, err := finishSnap(r, b, base)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	var txn proto.Txn
	var res tree.Result
	for len(rest) > 0 {
		n, err := p.Decode(rest, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
		if p.Type == proto.PacketProposal {
			if err := txn.Decode(p.Data); err != nil {
				t.Fatal(err)
			}
		} else if p.Zxid != txn.Zxid {
			t.Fatalf("%v at %v behind the proposal of %v", p.Type, p.Zxid, txn.Zxid)
		} else {
			tr.Apply(&txn, &res)
		}
	}
	return tr, base
}
