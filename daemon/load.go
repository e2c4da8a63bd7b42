package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/zkd-project/zkd/daemon/server"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/transport"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zab"
)

// loaded is what a server starts from.
type loaded struct {
	tree   *tree.Tree
	found  zab.Recovered
	quorum *transport.Options
}

// spaceWait is how long a start waits for space on a full disk. It is less than systemd's
// patience with a start, and so much that systemd may try again for ever.
const (
	spaceWait  = time.Minute
	spaceEvery = time.Second
)

// loadInSpace is load, but waits a while for space if the disk is full, or until ctx ends.
func (p *process) loadInSpace(ctx context.Context, options tree.Options, notify *notifier) (*loaded, error) {
	began := time.Now()
	for try := 0; ; try++ {
		l, err := p.load(options, notify)
		if !errors.Is(err, store.ErrNoSpace) || time.Since(began) > spaceWait {
			return l, err
		}
		if try == 0 {
			p.log.WithError(err).WithField("event", "disk-full").Error("The disk is full: the start waits for space")
		}
		notify.tell("Waiting for space on the disk of " + p.cfg.DataDir + " or " + p.cfg.DataLogDir)
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(spaceEvery):
		}
	}
}

// load opens the store and reads what it holds. Where that is damaged a server of an
// ensemble begins with nothing, as the others have everything.
func (p *process) load(options tree.Options, notify *notifier) (*loaded, error) {
	l, err := p.tryLoad(options, notify)
	if err == nil || !errors.Is(err, store.ErrDamaged) || p.cfg.Ensemble == nil {
		return l, err
	}
	if !p.spared() {
		return nil, fmt.Errorf("%w; the others have no quorum without this server, so it cannot heal", err)
	}
	o := p.storeOptions()
	p.log.WithError(store.Cause(err)).WithFields(logrus.Fields{
		"event": "damage", "aside": strings.Join(o.Aside(), " "),
	}).Error("The data are damaged: they are moved aside, and this server does not vote until it has everything " +
		"from a leader; check the disk")
	if err := store.Quarantine(o, store.Cause(err)); err != nil {
		return nil, err
	}
	return p.tryLoad(options, notify)
}

// spared says whether the others have a quorum without this server.
func (p *process) spared() bool {
	return p.cfg.Ensemble.HasQuorum(func(id int64) bool { return id != p.cfg.ServerID })
}

func (p *process) tryLoad(options tree.Options, notify *notifier) (l *loaded, err error) {
	if p.store, err = p.openStore(); err != nil {
		return nil, err
	}
	l, p.loading.Progress = new(loaded), notify.recovering
	l.found, l.quorum = p.quorum()
	l.tree, err = server.Recover(p.store, options, p.log, &p.loading, l.found.Suffix)
	if err != nil {
		return nil, errors.Join(err, p.store.Close())
	}
	if l.found.Healing {
		p.log.WithField("event", "healing").
			Warn("The data were damaged: this server does not vote until it has everything from a leader")
	}
	return l, nil
}
