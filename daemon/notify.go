package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/sirupsen/logrus"

	"github.com/zkd-project/zkd/daemon/config"
	"golang.org/x/sys/unix"
)

const (
	statusEvery  = 5 * time.Second
	extendBy     = 30 * time.Second
	extendEvery  = time.Second
	defaultAlive = 10 * time.Second // without a watchdog, how long a standstill is tolerated unreported
)

// notifier tells systemd how the service is, if systemd started it. It is safe for
// concurrent use.
type notifier struct {
	log logrus.FieldLogger

	mu       sync.Mutex
	status   string
	extended time.Time // when more time was asked for, for the end
}

func newNotifier(log logrus.FieldLogger) *notifier { return &notifier{log: log} }

// send sends a state, and with it a status line unless that is empty.
func (n *notifier) send(state, status string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if status != "" {
		status = strings.Join(strings.Fields(status), " ") // a line break would end the value
		n.status = status
		state = strings.TrimPrefix(state+"\nSTATUS="+status, "\n")
	}
	if _, err := sd.SdNotify(false, state); err != nil {
		n.log.WithError(err).Debug("systemd was not notified")
	}
}

func (n *notifier) ready(status string)    { n.send(sd.SdNotifyReady, status) }
func (n *notifier) stopping(status string) { n.send(sd.SdNotifyStopping, status) }
func (n *notifier) alive()                 { n.send(sd.SdNotifyWatchdog, "") }

// recovering asks for more time; it is called when there is progress.
func (n *notifier) recovering() {
	n.send(extend(), "Recovering the tree")
}

// progressed asks for more time for the end, at most once a second; it is called when there is
// progress.
func (n *notifier) progressed() {
	n.mu.Lock()
	now := time.Now()
	due := now.Sub(n.extended) >= extendEvery
	if due {
		n.extended = now
	}
	n.mu.Unlock()
	if due {
		n.send(extend(), "")
	}
}

// extend is what tells systemd that more time than the unit gives is needed.
func extend() string { return fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", extendBy.Microseconds()) }

// tell sends a status line that differs from the last one.
func (n *notifier) tell(status string) {
	n.mu.Lock()
	same := status == n.status
	n.mu.Unlock()
	if !same {
		n.send("", status)
	}
}

func (n *notifier) reloading() {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		n.log.WithError(err).Debug("there is no monotonic clock")
	}
	n.send(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", sd.SdNotifyReloading, ts.Nano()/1000), "")
}

// Fail tells the log and systemd why the process ends. It is for the end of main.
func Fail(log logrus.FieldLogger, err error) {
	all := []error{err}
	var wrong *config.Wrong
	if errors.As(err, &wrong) {
		all = wrong.Errors
	}
	for _, e := range all {
		log.WithFields(logrus.Fields{"event": eventFailed, "exit": ExitCode(err)}).Error(e)
	}
	newNotifier(log).send("", "Failed: "+all[0].Error())
}

// watch feeds the watchdog while the server is alive, keeps the status line fresh, and
// reloads the configuration on SIGHUP, until ctx ends, which it reports at once.
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
			p.log.WithField("event", eventStopping).Info("Stopping")
			n.stopping(p.farewell())
			return
		case <-feed.C:
			if err := p.server.Alive(interval); err != nil {
				p.log.WithError(err).WithField("event", eventStandstill).Error("The server stands still")
				continue
			}
			n.alive()
		case <-status.C:
			n.tell(p.describe())
		case <-hup:
			n.reloading()
			if err := p.reload(); err != nil {
				p.log.WithError(err).WithField("event", eventReloadFailed).
					Error("The configuration was not reloaded; the old one stays")
				n.ready("Reload failed, the old configuration stays: " + err.Error())
				continue
			}
			p.log.WithField("event", eventReloaded).Info("The configuration was reloaded")
			n.ready(p.describe())
		}
	}
}
