package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zkfile"
)

var (
	// ErrNoRestore says that this server cannot be restored while it runs.
	ErrNoRestore = errors.New("server: only a server on its own that serves can be restored while it runs")
	// ErrUnfit says that what came is no snapshot to restore from. Nothing has changed.
	ErrUnfit = errors.New("the snapshot cannot be restored")
	// ErrRestoring says that a restore is under way.
	ErrRestoring = errors.New("server: another restore is under way")
)

// restoring is the state of a restore.
type restoring struct {
	under   atomic.Bool
	still   atomic.Bool                // the image is not written
	swapped atomic.Pointer[chan error] // told why, if the data could not be replaced
	free    func() (int64, error)      // in place of the store's Free
}

// Restored tells of a restore.
type Restored struct {
	Zxid     proto.Zxid // at which the server is now
	Snapshot proto.Zxid // that the data had where they come from
	Counts   tree.Counts
}

// Restore replaces all data by a snapshot: an upload of size bytes, or of -1 if that is not known. The image is
// written while it comes, and the server goes on. Only when everything has been checked the server stops
// serving, for as long as it takes to put the new image in the old one's place. An error means that nothing
// has changed, or that the server fails and the next start finds the old data or the new.
func (s *Server) Restore(ctx context.Context, r io.Reader, size int64) (*Restored, error) {
	if !s.restoring.under.CompareAndSwap(false, true) {
		return nil, ErrRestoring
	}
	defer s.restoring.under.Store(false)
	alone := false
	s.hold(func() {
		st := s.opts.Replica.Status()
		alone = st.Solo && st.Serving && !s.step.stopping
	})
	if !alone {
		return nil, ErrNoRestore
	}
	if err := s.roomFor(max(size, 0)); err != nil {
		return nil, err
	}
	in := &upload{r: r, gone: ctx.Done(), s: s}
	var b *restorable
	err := inBackground(func() (err error) {
		b, err = s.readUpload(in)
		return err
	})
	if err != nil {
		return nil, err
	}
	done := Restored{Zxid: b.tree.LastZxid(), Snapshot: b.zxid, Counts: b.tree.Counts()}
	if err := s.replaceBy(b); err != nil {
		s.image.arrivals.abandon()
		return nil, err
	}
	return &done, nil
}

// keepFree is how many bytes of the disk a restore leaves to the log.
const keepFree = 64 << 20

// roomFor refuses what is too large for the disk.
func (s *Server) roomFor(size int64) error {
	find := s.restoring.free
	if find == nil {
		find = s.opts.Store.Free
	}
	free, err := find()
	if err != nil {
		return err
	}
	if free-keepFree < size {
		return fmt.Errorf("%w: %d MiB are free, and %d MiB of them are kept for the log", store.ErrNoSpace,
			free>>20, keepFree>>20)
	}
	return nil
}

// upload is what comes in. It ends early when nobody wants it, or there is no room for it.
type upload struct {
	r       io.Reader
	s       *Server
	gone    <-chan struct{}
	n, next int64 // bytes so far, and from which on to look again
}

const lookEvery = 1 << 20 // bytes

// Read implements io.Reader.
func (u *upload) Read(b []byte) (int, error) {
	if u.n >= u.next {
		u.next = u.n + lookEvery
		if err := u.s.cancelled(u.gone); err != nil {
			return 0, err
		}
		if err := u.s.roomFor(0); err != nil {
			return 0, err
		}
	}
	n, err := u.r.Read(b)
	u.n += int64(n)
	return n, err
}

// restorable is a snapshot that has been checked.
type restorable struct {
	tree *tree.Tree
	zxid proto.Zxid // as the snapshot says; the tree stands elsewhere
}

// snapshotSink is what is received, and the largest zxid in it.
type snapshotSink struct {
	received
	last proto.Zxid
	ttl  bool
}

// Znode implements zkfile.Sink.
func (k *snapshotSink) Znode(z *zkfile.Znode) error {
	const ttlOwner = 0xff // high byte
	k.last = max(k.last, z.Czxid, z.Mzxid, z.Pzxid)
	k.ttl = k.ttl || uint64(z.EphemeralOf)>>56 == ttlOwner
	return k.received.Znode(z)
}

// readUpload reads a snapshot and checks it. Its image is written meanwhile.
func (s *Server) readUpload(r io.Reader) (b *restorable, err error) {
	l := tree.NewBodyLoader(s.opts.Tree, nil)
	a := s.image.arrivals.begin(s.log.store, s.image.store)
	l.Znodes = a
	defer func() {
		if err != nil {
			a.end(nil)
			return
		}
		a.end(b.tree)
		err = a.failed()
	}()
	sink := &snapshotSink{received: received{l}}
	trailer, err := zkfile.ReadSnapshot(bufio.NewReaderSize(r, uploadBuffer), sink)
	switch {
	case errors.Is(err, zkfile.ErrFormat) || errors.Is(err, tree.ErrImage):
		return nil, fmt.Errorf("%w: %w", ErrUnfit, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("%w: it ends too early", ErrUnfit)
	case err != nil:
		return nil, err
	}
	if err := s.judge(&trailer, sink); err != nil {
		return nil, err
	}
	b = &restorable{zxid: trailer.DigestZxid}
	var at proto.Zxid
	s.hold(func() { at = s.opts.Replica.RestorePoint(b.zxid) })
	if at == 0 {
		return nil, fmt.Errorf("%w: there is no epoch after that of %v", ErrUnfit, b.zxid)
	}
	if b.tree, err = l.Finish(at); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	return b, checkTree(b.tree, &trailer)
}

const uploadBuffer = 64 << 10

// judge looks at what the snapshot says of itself.
func (s *Server) judge(t *zkfile.Trailer, k *snapshotSink) error {
	switch {
	case !t.HasDigest || t.DigestVersion != proto.DigestVersion:
		return fmt.Errorf("%w: it carries no digest to check it by; "+
			"zkctl import takes it while the server is stopped", ErrUnfit)
	case t.DigestZxid < 0:
		return fmt.Errorf("%w: it cannot be at zxid %v", ErrUnfit, t.DigestZxid)
	case k.last > t.DigestZxid:
		return fmt.Errorf("%w: it is at %v but has parts of txn %v, because its server went on while it was written",
			ErrUnfit, t.DigestZxid, k.last)
	case k.ttl && !s.opts.Tree.ExtendedTypes:
		return fmt.Errorf("%w: it has TTL znodes, and extendedTypesEnabled is not set", ErrUnfit)
	}
	return nil
}

// checkTree compares the digest, and looks for ephemerals that nobody would ever delete.
func checkTree(t *tree.Tree, trailer *zkfile.Trailer) error {
	if got := t.Digest(); got != trailer.Digest {
		return fmt.Errorf("%w: the digest of its tree is %#x, and it says %#x; it was written while "+
			"its server went on, or is not what was written", ErrUnfit, got, trailer.Digest)
	}
	var err error
	t.VisitEphemerals(func(s proto.SessionID, count int) {
		if _, known := t.Session(s); !known {
			err = fmt.Errorf("%w: it has %d ephemerals of session %v, but not the session", ErrUnfit, count, s)
		}
	})
	return err
}

// replaceBy puts what was checked in the place of what there is.
func (s *Server) replaceBy(b *restorable) error {
	r, paused := s.opts.Replica, false
	defer s.restoring.still.Store(false)
	if err := s.stillImage(); err != nil {
		return err
	}
	s.hold(func() {
		if !s.step.stopping && r.Pause(s.step.now) {
			paused = true
			s.backups.Add(1)
		}
	})
	if !paused {
		return errStopped
	}
	defer s.backups.Done()
	if err := s.awaitRest(r); err != nil {
		s.hold(func() { r.Resume(s.step.now) })
		return err
	}
	failed := make(chan error, 1)
	s.restoring.swapped.Store(&failed)
	defer s.restoring.swapped.Store(nil)
	s.hold(func() { r.Restore(s.step.now, b.tree, b.zxid) })
	for done := false; !done; {
		select {
		case err := <-failed:
			return err
		case <-s.failing:
			return s.failure
		case <-time.After(slicePause):
			s.hold(func() { done = r.Tree() == b.tree && r.Serving() })
		}
	}
	return nil
}

// stillImage waits until nobody writes the image, which may take a while, and has nobody begin: the exchange
// would have to wait for it, and clients with it.
func (s *Server) stillImage() error {
	for s.restoring.still.Store(true); !s.image.mu.TryLock(); time.Sleep(slicePause) {
		if err := s.cancelled(nil); err != nil {
			return err
		}
		if s.image.full.Load() {
			return fmt.Errorf("%w: the image's disk is full", store.ErrNoSpace)
		}
	}
	s.image.mu.Unlock()
	return nil
}

// awaitRest waits until what was under way is on the disk.
func (s *Server) awaitRest(r *replica.Replica) error {
	for limit := time.Now().Add(s.opts.Drain); ; time.Sleep(slicePause) {
		rests := false
		s.hold(func() { rests = r.Rests() })
		select {
		case <-s.failing:
			return s.failure
		default:
		}
		switch {
		case rests:
			return nil
		case s.log.full.Load():
			return fmt.Errorf("%w: the log's disk is full", store.ErrNoSpace)
		case time.Now().After(limit):
			return fmt.Errorf("server: what is under way was not on the disk after %v", s.opts.Drain)
		}
	}
}

// giveUpRestore has the server go on with the data that it has, if it was being restored. The write
// that was to replace them must not have taken place.
func (s *Server) giveUpRestore(err error) bool {
	failed := s.restoring.swapped.Load()
	if failed == nil {
		return false
	}
	s.hold(func() { s.opts.Replica.Resume(s.step.now) })
	*failed <- err
	return true
}
