package migrate

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zkfile"
)

// Options say how careful to be, and whom to tell.
type Options struct {
	Tree tree.Options
	// NoLog takes a directory in which there are no logs.
	NoLog bool
	// Running takes a directory that a server seems to run on.
	Running bool
	// Force goes on where transactions are missing, or the digest is not what it should be.
	Force bool
	// Progress is told what is being done; it may be nil.
	Progress func(text string)
}

func (o *Options) say(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}

// State is what a directory's files make.
type State struct {
	Tree     *tree.Tree
	Zxid     proto.Zxid
	Accepted int64 // epochs
	Current  int64
	Snapshot string // the file that was taken
	Txns     int    // applied behind it
	Digests  int    // that were compared, and were right
	TTL      bool   // there are TTL znodes, or were
	Notes    []string
}

func (s *State) note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

// maxTries is how many snapshots are tried. Source: FileSnap.java.
const maxTries = 100

// Read builds the tree from the newest snapshot that is whole and the logs behind it.
func Read(from Dirs, o Options) (*State, error) {
	if err := from.check(); err != nil {
		return nil, err
	}
	r := &reader{o: o, s: new(State)}
	if err := r.snapshot(from); err != nil {
		return nil, err
	}
	if err := r.logs(from); err != nil {
		return nil, err
	}
	if err := r.finish(); err != nil {
		return nil, err
	}
	return r.s, r.s.epochs(filesDir(from.Data))
}

// ReadSnapshot reads one snapshot and compares its digest, unless it is a mixture.
func ReadSnapshot(path string, o Options) (*State, error) {
	f := file{path: path}
	var ok bool
	if f.zxid, f.how, ok = zkfile.ParseSnapshotName(filepath.Base(path)); !ok {
		return nil, fmt.Errorf("%w: %s does not have the name of a snapshot", ErrSource, path)
	}
	r := &reader{o: o, s: new(State)}
	if err := r.load(f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r.compareSnapshot()
	if r.wrong > 0 {
		return nil, fmt.Errorf("%w: %s: the digest of the tree is %#x and not %#x", ErrSource, path,
			r.s.Tree.Digest(), r.trailer.Digest)
	}
	if r.settled > f.zxid {
		r.s.note("it was written while the server went on, and holds parts of txns up to %v", r.settled)
	}
	return r.s, nil
}

// reader is a read under way.
type reader struct {
	o       Options
	s       *State
	base    proto.Zxid // of the snapshot's name
	trailer zkfile.Trailer
	settled proto.Zxid // from here on the tree is what the txns say, and no mixture
	again   int        // txns that came a second time
	wrong   int        // digests that were not right
	last    bool       // whether the last one compared was right
	first   proto.Zxid // of those that were not
	txn     proto.Txn
	res     tree.Result
}

// snapshot loads the newest snapshot that can be read.
func (r *reader) snapshot(from Dirs) error {
	files, err := from.snapshots()
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%w: there is no snapshot in %s; every server of Apache's has one after its first start: "+
			"is that its dataDir?", ErrSource, filesDir(from.Data))
	}
	var failed error
	for _, f := range files[:min(len(files), maxTries)] {
		r.o.say("reading %s", f.path)
		err := r.load(f)
		if errors.Is(err, os.ErrPermission) {
			return err
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", f.path, err))
			r.s.note("%s cannot be read (%v); an older one was taken", f.path, err)
			continue
		}
		r.compareSnapshot()
		return nil
	}
	return fmt.Errorf("%w: none of the %d snapshots can be read: %w", ErrSource, len(files), failed)
}

// Owners that are no sessions. Source: EphemeralType.java.
const (
	ttlOwner       = 0xff // high byte
	containerOwner = -1 << 63
)

// IsEphemeral says whether an owner, as it is stored, is a session.
func IsEphemeral(owner int64) bool {
	return owner != 0 && owner != containerOwner && uint64(owner)>>56 != ttlOwner
}

// TTL is the time in milliseconds of an owner that is one.
func TTL(owner int64) (ms int64, ok bool) {
	return owner & (1<<40 - 1), uint64(owner)>>56 == ttlOwner
}

// body passes the parts of a snapshot on to what builds the tree.
type body struct {
	b    *tree.BodyLoader
	last proto.Zxid // the largest one seen
	ttl  bool
	done int
	o    *Options
}

// Session implements zkfile.Sink.
func (b *body) Session(id proto.SessionID, timeout int32) error { return b.b.Session(id, timeout) }

// ACL implements zkfile.Sink.
func (b *body) ACL(number int64, encoded []byte) error { return b.b.ACL(number, encoded) }

// Znode implements zkfile.Sink.
func (b *body) Znode(z *zkfile.Znode) error {
	b.last = max(b.last, z.Czxid, z.Mzxid, z.Pzxid)
	if b.done++; b.done%progressEvery == 0 {
		b.o.say("%d znodes", b.done)
	}
	b.ttl = b.ttl || uint64(z.EphemeralOf)>>56 == ttlOwner
	return b.b.Znode(z.Path, z.Data, z.ACL, &tree.StatPersisted{
		Czxid: z.Czxid, Mzxid: z.Mzxid, Pzxid: z.Pzxid, Ctime: z.Ctime, Mtime: z.Mtime,
		Version: z.Version, Cversion: z.Cversion, Aversion: z.Aversion, Owner: z.EphemeralOf,
	})
}

// load reads a snapshot. It was written while the server went on, so the tree may hold what
// came after the zxid in its name.
func (r *reader) load(f file) error {
	in, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	plain, err := f.how.NewReader(in)
	if err != nil {
		return err
	}
	b := &body{b: tree.NewBodyLoader(r.o.Tree, nil), o: &r.o}
	b.b.Recount = true
	trailer, err := zkfile.ReadSnapshot(plain, b)
	if err != nil {
		return err
	}
	t, err := b.b.Finish(f.zxid)
	if err != nil {
		return err
	}
	r.s.Tree, r.s.Snapshot, r.s.Zxid, r.s.TTL = t, f.path, f.zxid, b.ttl
	r.base, r.trailer = f.zxid, trailer
	r.settled = max(f.zxid, b.last, trailer.DigestZxid, trailer.Last) // the latter two are 0 if they are not there
	return nil
}

// logs applies what was logged after the snapshot.
func (r *reader) logs(from Dirs) error {
	files, err := from.logs()
	if err != nil {
		return err
	}
	if len(files) == 0 && !r.o.NoLog { // also behind snapshot.0, all that a young server with a dataLogDir has here
		return fmt.Errorf("%w: there are no logs in %s, and without them everything after zxid %v is missing; name "+
			"their directory, the dataLogDir of zoo.cfg, with --log-from, or say --snapshot-only if there are none",
			ErrSource, filesDir(from.log()), r.base)
	}
	start := 0
	for i, f := range files {
		if f.zxid <= r.base {
			start = i
		}
	}
	for _, f := range files[start:] {
		if err := r.log(f); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) log(f file) error {
	r.o.say("reading %s", f.path)
	in, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	l, err := zkfile.NewLogReader(in, st.Size())
	for err == nil {
		var b []byte
		if b, err = l.Next(); err == nil {
			err = r.apply(b)
		}
	}
	var bad *zkfile.BadRecord
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &bad) && bad.Torn():
		r.s.note("%s: what was being written at byte %d was not finished, and does not count (%s)",
			f.path, bad.Offset, bad.Reason)
		return nil
	case errors.As(err, &bad):
		return fmt.Errorf("%w: %s: %w; take another server's data, or see what 'zkctl log --recover' can keep",
			ErrSource, f.path, err)
	}
	return fmt.Errorf("%s: %w", f.path, err)
}

const progressEvery = 250_000

// apply applies a txn that the snapshot may not hold.
func (r *reader) apply(b []byte) error {
	if err := r.txn.Decode(b); err != nil {
		return fmt.Errorf("%w: %w", ErrSource, err)
	}
	z, last := r.txn.Zxid, r.s.Zxid
	if z <= r.base {
		return nil
	}
	switch {
	case z <= last:
		r.again++
	case z == last+1, z.Epoch() > last.Epoch() && z.Counter() == 1:
	case !r.o.Force:
		return fmt.Errorf("%w: after txn %v comes %v: those in between are missing; take another server's data, "+
			"or say --force to do without them", ErrSource, last, z)
	default:
		r.s.note("txns between %v and %v are missing", last, z)
	}
	r.s.TTL = r.s.TTL || makesTTL(&r.txn)
	t := r.s.Tree
	t.Apply(&r.txn, &r.res)
	t.ClearEvents()
	r.s.Zxid = max(last, z)
	if r.s.Txns++; r.s.Txns%progressEvery == 0 {
		r.o.say("%d txns, up to %v", r.s.Txns, z)
	}
	if z > r.settled && r.txn.HasDigest {
		r.compare(z, r.txn.Digest)
	}
	if z == r.trailer.DigestZxid {
		r.compareSnapshot()
	}
	return nil
}

func makesTTL(txn *proto.Txn) bool {
	return txn.Type == proto.OpCreateTTL || slices.ContainsFunc(txn.Ops, func(op proto.Txn) bool {
		return op.Type == proto.OpCreateTTL
	})
}

// compareSnapshot compares the tree with the digest that the snapshot carries. The one that a
// server writes at its first start carries none that means something.
func (r *reader) compareSnapshot() {
	t := &r.trailer
	if t.HasDigest && t.DigestZxid > 0 && t.DigestVersion == proto.DigestVersion && t.DigestZxid == r.s.Zxid {
		r.compare(r.s.Zxid, t.Digest)
	}
}

func (r *reader) compare(zxid proto.Zxid, want uint64) {
	r.last = r.s.Tree.Digest() == want
	if r.last {
		r.s.Digests++
		return
	}
	if r.wrong++; r.wrong == 1 {
		r.first = zxid
	}
}

// finish judges the whole.
func (r *reader) finish() error {
	s := r.s
	if r.again > 0 {
		s.note("%d txns come again in the logs, as with Apache's servers", r.again)
	}
	if s.Zxid < r.settled {
		text := fmt.Sprintf("%s holds parts of txns up to %v, but the logs end at %v", s.Snapshot, r.settled, s.Zxid)
		if !r.o.Force {
			return fmt.Errorf("%w: %s; take another server's data, or say --force to do with that", ErrSource, text)
		}
		s.note("%s", text)
	}
	if r.wrong > 0 {
		text := fmt.Sprintf("%d digests of the tree are not what the files say, the first one at %v", r.wrong, r.first)
		if !r.last && !r.o.Force {
			return fmt.Errorf("%w: %s: this server's data are not what the ensemble had; take another server's, "+
				"or say --force to take them all the same", ErrSource, text)
		}
		s.note("%s", text)
	}
	return nil
}

// epochs reads the epochs, which a server on its own does not have.
func (s *State) epochs(dir string) error {
	zxidEpoch := s.Zxid.Epoch64()
	current, noCurrent, err := number(filepath.Join(dir, zkfile.CurrentEpoch))
	if err != nil {
		return err
	}
	accepted, noAccepted, err := number(filepath.Join(dir, zkfile.AcceptedEpoch))
	if err != nil {
		return err
	}
	if noCurrent {
		current = zxidEpoch
	}
	if noAccepted {
		accepted = current
	}
	if accepted < current {
		return fmt.Errorf("%w: %s says that %s is %d and %s %d; it is never less", ErrSource, dir,
			zkfile.AcceptedEpoch, accepted, zkfile.CurrentEpoch, current)
	}
	if current < zxidEpoch { // it stopped between writing its history and the epoch
		s.note("the last txn is of epoch %d, and %s was %d; it is now the former",
			zxidEpoch, zkfile.CurrentEpoch, current)
		current = zxidEpoch
	}
	s.Current, s.Accepted = current, max(accepted, current)
	return nil
}
