package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zab"
	"github.com/zkd-project/zkd/daemon/zkfile"
)

// maxTrees is how many trees are made at a time for those who need everything; each is as large
// as the server's own.
const maxTrees = 2

// errGone says that nobody waits any more.
var errGone = errors.New("server: the connection was closed meanwhile")

// snapshot is what a tree of its own is made from.
type snapshot struct {
	image *store.Snapshot
	at    proto.Zxid      // what was committed when it was asked for
	gone  <-chan struct{} // closed when nobody waits for it any more
}

// bulk makes what writes a bulk to a link that is open until gone is closed; the step lock is held.
func (s *Server) bulk(b zab.Bulk, gone <-chan struct{}) func(w io.Writer) error {
	from := snapshot{at: b.End, gone: gone}
	var failed error
	from.image, failed = s.opts.Store.SnapshotImage()
	sent := make(chan struct{})
	if failed == nil {
		s.senders.Go(func() { // the link may end before the bulk's turn comes
			select {
			case <-sent:
			case <-gone:
			}
			from.image.Release()
		})
	}
	return func(w io.Writer) error {
		defer close(sent)
		return inBackground(func() error { return s.sendBulk(w, b, from, failed) })
	}
}

// sendBulk writes a bulk, from the image as it was when the bulk was asked for, unless making
// it has failed.
func (s *Server) sendBulk(w io.Writer, b zab.Bulk, from snapshot, failed error) error {
	if b.Kind == zab.BulkLog {
		done, err := s.sendLog(w, b, from.gone)
		if done {
			s.count.diffs.Add(1)
		}
		if done || err != nil {
			return err
		}
		b.Zxid = from.at
	}
	if failed != nil {
		return failed
	}
	return s.sendSnap(w, from, b)
}

// sendLog sends history from the log. done is false, and nothing was sent, if the log does
// not reach back so far, or so much is missing that a snapshot is shorter.
func (s *Server) sendLog(w io.Writer, b zab.Bulk, gone <-chan struct{}) (done bool, err error) {
	if !s.opts.Store.HasLogged(b.After) {
		return false, nil
	}
	sent, err := s.sendHistory(w, proto.AppendPacket(nil, proto.PacketDiff, b.Zxid, nil), b.After, b.Zxid, gone)
	if !sent && errors.Is(err, store.ErrLogTrimmed) {
		return false, nil
	}
	return true, err
}

// sendHistory sends a packet and what the log holds in (after, upTo], as soon as it does.
func (s *Server) sendHistory(
	w io.Writer, first []byte, after, upTo proto.Zxid, gone <-chan struct{},
) (sent bool, err error) {
	if err := s.awaitLog(upTo, gone); err != nil {
		return false, err
	}
	buf := first
	err = s.opts.Store.ReadLog(after, upTo, func(zxid proto.Zxid, txn []byte) error {
		buf = proto.AppendPacket(buf, proto.PacketProposal, zxid, txn)
		buf = proto.AppendPacket(buf, proto.PacketCommit, zxid, nil)
		_, err := w.Write(buf)
		buf, sent = buf[:0], true
		return err
	})
	if err == nil && len(buf) > 0 {
		_, err = w.Write(buf)
	}
	return sent, err
}

// sendSnap sends a tree to one who needs everything: the image as it was when it was asked for, and
// the history behind it. So the server goes on meanwhile, and needs little memory for it.
func (s *Server) sendSnap(w io.Writer, from snapshot, b zab.Bulk) error {
	select {
	case s.quorum.trees <- struct{}{}:
		defer func() { <-s.quorum.trees }()
	case <-from.gone:
		return errGone
	case <-s.failing:
		return errStopped
	case <-s.halted:
		return errStopped
	}
	s.count.snaps.Add(1)
	start := time.Now()
	base, err := from.image.Zxid()
	if err != nil {
		return err
	}
	if base == 0 || b.After > base {
		base, err = b.Zxid, s.sendTree(w, from, b.Zxid)
	} else {
		err = s.sendImage(w, from, base)
	}
	s.opts.Log.WithFields(logrus.Fields{"zxid": base, "ms": time.Since(start).Milliseconds()}).
		Info("Sent a snapshot to a learner")
	return err
}

// sendImage sends an image, as it is, and the history behind it.
func (s *Server) sendImage(w io.Writer, from snapshot, base proto.Zxid) error {
	put := func(b []byte) error {
		if err := s.cancelled(from.gone); err != nil {
			return err
		}
		_, err := w.Write(b)
		return err
	}
	err := put(proto.AppendPacket(nil, proto.PacketSnap, base, nil))
	if err == nil {
		err = tree.WriteImageBody(imageSource{from.image}, put)
	}
	if err == nil {
		err = put(zkfile.AppendSignature(nil))
	}
	if err == nil && base < from.at {
		_, err = s.sendHistory(w, nil, base, from.at, from.gone)
	}
	return err
}

// imageSource is a snapshot of an image.
type imageSource struct{ *store.Snapshot }

// Read implements tree.ImageSource.
func (i imageSource) Read(kind byte, f func(key, value []byte) error) error {
	return i.ReadKind(kind, f)
}

// sendTree sends the tree as it was at a zxid, made from the image and the log behind it. It is for those
// who must not be given an earlier one: a server of Apache's takes up what its own log holds beyond it.
func (s *Server) sendTree(w io.Writer, from snapshot, zxid proto.Zxid) error {
	t, err := s.treeAt(from)
	if err != nil {
		return err
	}
	if _, err := w.Write(proto.AppendPacket(nil, proto.PacketSnap, zxid, nil)); err != nil {
		return err
	}
	err = t.WriteBody(func(b []byte) error {
		_, err := w.Write(b)
		return err
	})
	if err == nil {
		_, err = w.Write(zkfile.AppendSignature(nil))
	}
	return err
}

// awaitLog waits until this server's log holds everything up to a zxid: others may have committed it
// before.
func (s *Server) awaitLog(at proto.Zxid, gone <-chan struct{}) error {
	for s.opts.Store.Status().LastLogged < at {
		if err := s.cancelled(gone); err != nil {
			return err
		}
		time.Sleep(slicePause)
	}
	return nil
}

// treeAt makes a tree of its own that holds what was committed at a zxid, unless the server ends
// before that, or nobody waits for it any more.
func (s *Server) treeAt(from snapshot) (*tree.Tree, error) {
	image, at := from.image, from.at
	l := tree.NewLoader(s.opts.Tree)
	if err := image.Read(s.unlessGone(from.gone, l.Put)); err != nil {
		return nil, err
	}
	base, err := image.Zxid()
	if err != nil {
		return nil, err
	}
	if base > at { // another image has come and is not in use yet
		return nil, store.ErrReplaced
	}
	t, err := l.Finish()
	if err != nil || base == at {
		return t, err
	}
	if err := s.awaitLog(at, from.gone); err != nil {
		return nil, err
	}
	var txn proto.Txn
	var res tree.Result
	err = s.opts.Store.ReadLog(base, at, func(_ proto.Zxid, b []byte) error {
		if err := txn.Decode(b); err != nil {
			return err
		}
		t.Apply(&txn, &res)
		t.ClearEvents()
		return nil
	})
	return t, err
}

// cancelled says why a tree that is being made is not wanted any more, if it is not.
func (s *Server) cancelled(gone <-chan struct{}) error {
	select {
	case <-s.failing:
		return errStopped
	case <-s.halted:
		return errStopped
	case <-gone:
		return errGone
	default:
		return nil
	}
}

// checkEvery is how many records are read before a look at whether they are still wanted.
const checkEvery = 1024

// unlessGone is f as long as what it makes is wanted.
func (s *Server) unlessGone(gone <-chan struct{}, f func(key, value []byte) error) func(key, value []byte) error {
	n := 0
	return func(key, value []byte) error {
		if n++; n%checkEvery == 0 {
			if err := s.cancelled(gone); err != nil {
				return err
			}
		}
		return f(key, value)
	}
}

// received is a snapshot that is being received.
type received struct{ b *tree.BodyLoader }

// Session implements zkfile.Sink.
func (r received) Session(id proto.SessionID, timeout int32) error { return r.b.Session(id, timeout) }

// ACL implements zkfile.Sink.
func (r received) ACL(number int64, encoded []byte) error { return r.b.ACL(number, encoded) }

// Znode implements zkfile.Sink.
func (r received) Znode(z *zkfile.Znode) error {
	return r.b.Znode(z.Path, z.Data, z.ACL, &tree.StatPersisted{
		Czxid: z.Czxid, Mzxid: z.Mzxid, Pzxid: z.Pzxid, Ctime: z.Ctime, Mtime: z.Mtime,
		Version: z.Version, Cversion: z.Cversion, Aversion: z.Aversion, Owner: z.EphemeralOf,
	})
}

// finishSnap reads a body, and makes a tree of it.
func finishSnap(r *bufio.Reader, b *tree.BodyLoader, zxid proto.Zxid) (*tree.Tree, error) {
	if err := zkfile.ReadBody(r, received{b}); err != nil {
		return nil, err
	}
	if err := zkfile.ReadSignature(r); err != nil {
		return nil, err
	}
	t, err := b.Finish(zxid)
	if err != nil {
		return nil, fmt.Errorf("it does not make a tree: %w", err)
	}
	return t, nil
}

// readSnap reads the body behind a SNAP packet. The image for it is written meanwhile.
func (s *Server) readSnap(r *bufio.Reader, zxid proto.Zxid) (*tree.Tree, error) {
	start := time.Now()
	b := tree.NewBodyLoader(s.opts.Tree, nil)
	a := s.image.arrivals.begin(s.log.store, s.image.store)
	b.Znodes = a
	t, err := finishSnap(r, b, zxid)
	a.end(t)
	if err != nil {
		return nil, err
	}
	s.opts.Log.WithFields(logrus.Fields{
		"zxid": zxid, "znodes": t.Counts().Znodes, "ms": time.Since(start).Milliseconds(),
	}).Info("Received a snapshot from the leader")
	return t, nil
}
