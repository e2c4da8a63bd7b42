package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zkfile"
)

// TestBackupsEndWithTheServer has backups made all the time until the server stops, in front of
// which none may still read the store.
func TestBackupsEndWithTheServer(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(store.Options{ImageDir: dir, LogDir: dir, Log: quietLog()})
	if err != nil {
		t.Fatal(err)
	}
	tr, err := Recover(st, tree.Options{Match: anyone{}}, quietLog(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, Options{Store: st, Tree: tree.Options{Match: anyone{}}, Image: ImagePolicy{Records: 1}}, func(r *rig) {
		rep := newReplica(tr)
		r.replica.Replica, r.s.opts.Replica, r.s.image.tree = rep, rep, tr
		r.s.log.store, r.s.image.store = st, st
	})
	const znodes = 4 * checkEvery
	u := r.user()
	for i := range int32(znodes) {
		u.send(create(i, fmt.Sprintf("/%d", i), nil))
		if i%500 == 499 {
			for k := i - 499; k <= i; k++ {
				u.want(k, proto.ErrOK)
			}
		}
	}
	r.until("most of it is in the image", func() bool { return st.ImageZxid() > znodes/2 })
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.s.Backup(gone); !errors.Is(err, errGone) {
		t.Errorf("for somebody who has gone: %v", err)
	}
	var ended sync.WaitGroup
	var made atomic.Int64
	for range 3 {
		ended.Go(func() {
			for {
				b, err := r.s.Backup(context.Background())
				if err != nil {
					if !errors.Is(err, errStopped) {
						t.Error(err)
					}
					return
				}
				whole(t, b)
				made.Add(1)
			}
		})
	}
	r.until("some backups", func() bool { return made.Load() > 5 })
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
	ended.Wait()
}

// whole checks that a backup can be read, and is as long as it says.
func whole(t *testing.T, b *Backup) {
	t.Helper()
	var file bytes.Buffer
	n, err := b.WriteTo(&file)
	if err != nil || n != int64(file.Len()) {
		t.Errorf("%d bytes, and says %d: %v", file.Len(), n, err)
	}
	body := received{tree.NewBodyLoader(tree.Options{Match: anyone{}}, nil)}
	trailer, err := zkfile.ReadSnapshot(&file, body)
	if err != nil {
		t.Error(err)
		return
	}
	got, err := body.b.Finish(trailer.Last)
	if err != nil || got.Digest() != trailer.Digest || trailer.DigestZxid != b.Zxid() || trailer.Last != b.Zxid() {
		t.Errorf("%+v, but the digest is %#x: %v", trailer, got.Digest(), err)
	}
}

// TestStopWaitsForBackups: after the stop the store is closed.
func TestStopWaitsForBackups(t *testing.T) {
	r := newRig(t, Options{}, nil)
	r.s.backups.Add(1)
	r.halt()
	select {
	case <-r.ended:
		t.Error("it ended while a backup was read from the store")
	case <-time.After(50 * time.Millisecond):
	}
	r.s.backups.Done()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if _, err := r.s.Backup(context.Background()); !errors.Is(err, errStopped) {
		t.Errorf("a backup after the stop: %v", err)
	}
}
