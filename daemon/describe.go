package daemon

import (
	"fmt"
	"strings"
	"time"

	"github.com/zkd-project/zkd/daemon/admin"
	"github.com/zkd-project/zkd/daemon/config"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
)

// role is the server's part in its ensemble.
func (p *process) role(s *replica.Status) string {
	mode := admin.Mode(s)
	if s.Solo {
		return mode
	}
	q, n := &s.Quorum, len(p.cfg.Ensemble.Members)
	switch {
	case !s.Serving:
		return fmt.Sprintf("%s, without a quorum of %d%s, %s", mode, n, p.without(), seen(p.server.Seen(), n))
	case s.Role == proto.Leading:
		p.servedAt.Store(0)
		synced := 1
		for _, l := range q.Learners {
			if l.Synced {
				synced++
			}
		}
		return fmt.Sprintf("leader of %d, epoch %d, %s", n, q.Epoch, seen(synced, n))
	}
	p.servedAt.Store(0)
	return fmt.Sprintf("%s of %d, led by %d, epoch %d, %s", mode, n, q.Leader, q.Epoch, seen(p.server.Seen(), n))
}

func seen(k, n int) string { return fmt.Sprintf("%d of %d servers seen", k, n) }

// without tells for how long there has been no quorum, as far as status lines have shown it.
func (p *process) without() string {
	now := time.Now().Unix()
	if p.servedAt.CompareAndSwap(0, now) {
		return ""
	}
	return fmt.Sprintf(" for %d s", now-p.servedAt.Load())
}

// describe is the server's state in one line.
func (p *process) describe() string {
	var s replica.Status
	p.server.Ask(func(r *replica.Replica) { s = r.Status() })
	line := fmt.Sprintf("%s, zxid %v, %d sessions, %d connections", p.role(&s), s.Zxid, s.Sessions, s.Connections)
	if s.Quorum.Healing {
		line += "; HEALING: the data were damaged, this server does not vote"
	}
	if p.store.Status().NoSpace {
		line += "; DISK FULL: writes wait"
	}
	if !p.cfg.ForceSync {
		line += "; forceSync=no: writes can be lost"
	}
	if p.cfg.StrayID {
		line += "; NOT IN AN ENSEMBLE: there is a file myid, but no list of servers"
	}
	var waiting []string
	for _, key := range config.Changed(p.cfg, p.applied.Load()) {
		if !key.Reload {
			waiting = append(waiting, key.Name)
		}
	}
	if len(waiting) > 0 {
		line += "; changed, but in force only after a restart: " + strings.Join(waiting, ", ")
	}
	return line
}

// farewell says what a stop begins with.
func (p *process) farewell() string {
	var s replica.Status
	p.server.Ask(func(r *replica.Replica) { s = r.Status() })
	if !s.Solo && s.Role == proto.Leading {
		return "Stopping: no new requests, so that the others can elect a leader"
	}
	return fmt.Sprintf("Stopping: %d requests are under way", s.Outstanding)
}
