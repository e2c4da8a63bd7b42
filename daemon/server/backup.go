package server

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zkfile"
)

// Backup is what was committed at one zxid. It has a tree of its own, so that the server goes on.
type Backup struct {
	tree *tree.Tree
}

// backupTries is how often a backup is begun anew because log or image have gone meanwhile.
const backupTries = 3

// Backup makes a backup of what is committed now, from the image and the log behind it. It takes
// the step lock for a moment only, and as much memory as the tree once more. It waits for no turn
// behind learners, nor they for it.
func (s *Server) Backup(ctx context.Context) (*Backup, error) {
	for try := 1; ; try++ {
		b, err := s.tryBackup(ctx)
		if try == backupTries || !errors.Is(err, store.ErrLogTrimmed) && !errors.Is(err, store.ErrReplaced) {
			return b, err
		}
	}
}

func (s *Server) tryBackup(ctx context.Context) (*Backup, error) {
	var (
		from   = snapshot{gone: ctx.Done()}
		digest uint64
		err    = errStopped
	)
	s.hold(func() {
		if s.step.stopping {
			return
		}
		t := s.opts.Replica.Tree()
		from.at, digest = t.LastZxid(), t.Digest()
		if from.image, err = s.opts.Store.SnapshotImage(); err == nil {
			s.backups.Add(1) // before the stop waits for them, as that takes the lock first
		}
	})
	if err != nil {
		return nil, err
	}
	defer s.backups.Done()
	defer from.image.Release()
	b := new(Backup)
	err = inBackground(func() (err error) {
		b.tree, err = s.treeAt(from)
		return err
	})
	if err != nil {
		return nil, err
	}
	if last := b.tree.LastZxid(); last != from.at || b.tree.Digest() != digest {
		return nil, fmt.Errorf("%w: image and log make a tree at %v with the digest %#x, but the server's is at %v "+
			"with %#x", store.ErrDamaged, last, b.tree.Digest(), from.at, digest)
	}
	return b, nil
}

// Zxid is that of the last transaction in it.
func (b *Backup) Zxid() proto.Zxid { return b.tree.LastZxid() }

// WriteTo implements io.WriterTo: it writes a snapshot as Apache's 3.9 does, with the digest and the
// zxid, from which a server can tell what it is without the file's name.
func (b *Backup) WriteTo(w io.Writer) (n int64, err error) {
	c := &counted{w: w}
	err = inBackground(func() error {
		t := b.tree
		return zkfile.WriteSnapshot(c, zkfile.Trailer{
			HasDigest: true, DigestZxid: t.LastZxid(), DigestVersion: proto.DigestVersion, Digest: t.Digest(),
			HasLast: true, Last: t.LastZxid(),
		}, t.WriteBody)
	})
	return c.n, err
}

// counted counts what is written.
type counted struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
