package server

import (
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
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
				err = s.sendSnap(io.Discard, snapshot{image: image, gone: gone}, 0)
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
