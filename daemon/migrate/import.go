package migrate

import (
	"fmt"

	"github.com/sirupsen/logrus"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/server"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
)

// Report tells what was moved.
type Report struct {
	Zxid     proto.Zxid `json:"zxid"`
	Accepted int64      `json:"acceptedEpoch"`
	Current  int64      `json:"currentEpoch"`
	Znodes   int        `json:"znodes"`
	Sessions int        `json:"sessions"`
	Digest   uint64     `json:"digest"`
	Compared int        `json:"digestsCompared"` // with what Apache's server wrote
	Snapshot string     `json:"snapshot"`
	Txns     int        `json:"txns"` // behind the snapshot
	TTL      bool       `json:"ttl"`  // there are TTL znodes
	Notes    []string   `json:"notes,omitempty"`
}

// what is all that must be equal on both sides.
type what struct {
	zxid     proto.Zxid
	digest   uint64
	counts   tree.Counts
	sessions int64 // sum of ids and timeouts
}

func whatOf(t *tree.Tree) what {
	w := what{zxid: t.LastZxid(), digest: t.Digest(), counts: t.Counts()}
	t.Sessions(func(id proto.SessionID, timeout int32) { w.sessions += int64(id) * int64(timeout) })
	return w
}

func (w what) differs(got what) error {
	if w == got {
		return nil
	}
	return fmt.Errorf("migrate: what was written is not what was read: zxid %v and %v, digest %#x and %#x, %+v and %+v",
		w.zxid, got.zxid, w.digest, got.digest, w.counts, got.counts)
}

func (w what) report(s *State) *Report {
	return &Report{
		Zxid: s.Zxid, Accepted: s.Accepted, Current: s.Current, Znodes: w.counts.Znodes, Sessions: w.counts.Sessions,
		Digest: w.digest, Compared: s.Digests, Snapshot: s.Snapshot, Txns: s.Txns, TTL: s.TTL, Notes: s.Notes,
	}
}

// Import reads Apache's files and writes zkd's, where there must be none yet. allowed is
// asked before anything is written.
func Import(from Dirs, to store.Options, o Options, allowed func(*Report) error) (*Report, error) {
	if err := store.Importable(to); err != nil {
		return nil, err
	}
	if !o.Running {
		if err := from.inUse(); err != nil {
			return nil, err
		}
	}
	s, err := Read(from, o)
	if err != nil {
		return nil, err
	}
	want := whatOf(s.Tree)
	report := want.report(s)
	if err := allowed(report); err != nil {
		return nil, err
	}
	o.say("writing %d znodes to %s", report.Znodes, to.ImageDir)
	return report, store.Import(to, store.Content{
		Zxid: s.Zxid, Hard: store.HardState{AcceptedEpoch: s.Accepted, CurrentEpoch: s.Current},
		Fill: func(b *store.ImageBatch, flush func() error) error {
			t := s.Tree
			s.Tree = nil // it goes before the other one is made
			return fillWith(t, b, flush)
		},
		Check: func(st *store.Store) error {
			o.say("reading what was written")
			t, err := server.Recover(st, o.Tree, quiet(), nil, nil)
			if err != nil {
				return err
			}
			return want.differs(whatOf(t))
		},
	})
}

// slice is how many records are written at a time.
const slice = 8192

func fillWith(t *tree.Tree, b *store.ImageBatch, flush func() error) error {
	t.CutWhole(b)
	for {
		done := t.Drain(slice)
		if err := flush(); err != nil || done {
			return err
		}
	}
}

// quiet is a log for what is told otherwise.
func quiet() logrus.FieldLogger {
	log := logrus.New()
	log.SetLevel(logrus.ErrorLevel)
	return log
}
