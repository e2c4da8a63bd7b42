package daemon

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/zkd-project/zkd/daemon/admin"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
)

const (
	statusEvery  = 5 * time.Second
	extendBy     = 30 * time.Second
	defaultAlive = 10 * time.Second // without a watchdog, how long a standstill is tolerated unreported
)

// notifier tells systemd how the service is, if systemd started it.
type notifier struct {
	log    logrus.FieldLogger
	status string
}

func newNotifier(log logrus.FieldLogger) *notifier { return &notifier{log: log} }

func (n *notifier) send(state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		n.log.WithError(err).Debug("systemd was not notified")
	}
}

func (n *notifier) ready(status string) {
	n.status = status
	n.send(sd.SdNotifyReady + "\nSTATUS=" + status)
}

func (n *notifier) stopping() { n.send(sd.SdNotifyStopping + "\nSTATUS=Stopping") }

// recovering asks for more time; it is called when there is progress.
func (n *notifier) recovering() {
	n.send(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d\nSTATUS=Recovering the tree", extendBy.Microseconds()))
}

func (n *notifier) tell(status string) {
	if status != n.status {
		n.status = status
		n.send("STATUS=" + status)
	}
}

func (n *notifier) reloading() {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		n.log.WithError(err).Debug("there is no monotonic clock")
	}
	n.send(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", sd.SdNotifyReloading, ts.Nano()/1000))
}

// watch feeds the watchdog while the server is alive, keeps the status line fresh, and
// reloads the configuration on SIGHUP, until ctx ends.
func (p *process) watch(ctx context.Context, n *notifier) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	interval, err := sd.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		interval = 2 * defaultAlive
	}
	feed := time.NewTicker(interval / 2)
	defer feed.Stop()
	status := time.NewTicker(statusEvery)
	defer status.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-feed.C:
			if err := p.server.Alive(interval); err != nil {
				p.log.WithError(err).Error("The server stands still")
				continue
			}
			n.send(sd.SdNotifyWatchdog)
		case <-status.C:
			n.tell(p.describe())
		case <-hup:
			n.reloading()
			if err := p.reload(); err != nil {
				p.log.WithError(err).Error("The configuration was not reloaded; the old one stays")
				n.ready("reload failed: " + err.Error())
				continue
			}
			p.log.Info("The configuration was reloaded")
			n.ready(p.describe())
		}
	}
}

// role is the server's part in its ensemble.
func (p *process) role(s *replica.Status) string {
	mode := admin.Mode(s)
	if s.Solo {
		return mode
	}
	q, n := &s.Quorum, len(p.cfg.Ensemble.Members)
	switch {
	case !s.Serving:
		return fmt.Sprintf("%s, without a quorum of %d", mode, n)
	case s.Role == proto.Leading:
		seen := 1
		for _, l := range q.Learners {
			if l.Synced {
				seen++
			}
		}
		return fmt.Sprintf("leader of %d, epoch %d, %d of %d servers seen", n, q.Epoch, seen, n)
	}
	return fmt.Sprintf("%s of %d, led by %d, epoch %d", mode, n, q.Leader, q.Epoch)
}

// describe is the server's state in one line.
func (p *process) describe() string {
	var s replica.Status
	p.server.Ask(func(r *replica.Replica) { s = r.Status() })
	line := fmt.Sprintf("%s, zxid %v, %d sessions, %d connections", p.role(&s), s.Zxid, s.Sessions, s.Connections)
	if p.store.Status().NoSpace {
		line += "; DISK FULL: writes wait"
	}
	if !p.cfg.ForceSync {
		line += "; forceSync=no: writes can be lost"
	}
	return line
}
