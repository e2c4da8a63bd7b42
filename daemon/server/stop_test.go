package server

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/cnxn"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/tree"
)

// TestStopTellsOfProgress: a service manager gives more time to a stop that gets on.
func TestStopTellsOfProgress(t *testing.T) {
	var told atomic.Int64
	slow := &parts{left: 100}
	r := newRig(t, Options{Progress: func() { told.Add(1) }, Image: ImagePolicy{Age: time.Hour}}, func(r *rig) {
		r.s.image.tree = slow
	})
	if told.Load() != 0 {
		t.Error("it tells of progress while it serves")
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if n := told.Load(); n < 100 {
		t.Errorf("told of progress %d times while 100 parts of an image were written", n)
	}
}

// parts is a tree whose image takes many parts.
type parts struct{ left int }

func (s *parts) Dirty() (records, bytes, txns int) { return s.left, s.left, 0 }
func (s *parts) Cut(tree.DeltaSink) proto.Zxid     { return 0 }
func (s *parts) Drain(int) (done bool)             { s.left--; return s.left == 0 }

// resigning notes that a leader was told to resign, and how many connections there were.
type resigning struct {
	*checked
	s     *Server
	conns atomic.Int64
}

func (r *resigning) Resign() {
	r.s.ports.Visit(func(*cnxn.Conn) { r.conns.Add(1) })
	r.checked.Resign()
}

// TestStopResignsFirst: a leader takes nothing more from learners while its clients are still there to be answered.
func TestStopResignsFirst(t *testing.T) {
	var told resigning
	r := newRig(t, Options{}, func(r *rig) {
		told.checked, told.s = r.replica, r.s
		r.s.step.replica = &told
	})
	r.user()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if n := told.conns.Load(); n != 1 {
		t.Errorf("told to resign with %d clients connected, and not with 1", n)
	}
}
