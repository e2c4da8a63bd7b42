package daemon

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/zkd-project/zkd/daemon/admin"
	"github.com/zkd-project/zkd/daemon/auth"
	"github.com/zkd-project/zkd/daemon/cnxn"
	"github.com/zkd-project/zkd/daemon/config"
	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/server"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/transport"
)

// Info implements admin.Backend.
func (p *process) Info() admin.Info {
	c := p.cfg
	return admin.Info{
		Version: ProtocolVersion(), ClientPort: c.ClientPort, DataDir: c.DataDir, DataLogDir: c.DataLogDir,
		TickTime: c.TickTime, MaxClientCnxns: p.applied.Load().MaxClientCnxns, MinSessionTimeout: c.MinSessionTimeout,
		MaxSessionTimeout: c.MaxSessionTimeout, Backlog: c.Backlog,
		Settings: p.settings, Ensemble: p.members.Load(), ServerID: c.ServerID,
		InitLimit: c.InitLimit, SyncLimit: c.SyncLimit,
		LocalSessions: c.LocalSessions,
		Backups: admin.Backups{
			Enabled: c.AdminSnapshot, Every: time.Duration(c.AdminRate) * time.Millisecond, Restore: c.AdminRestore,
		},
	}
}

// Authenticate implements admin.Backend.
func (p *process) Authenticate(scheme string, data []byte, peer netip.Addr) ([]proto.ID, proto.ErrCode) {
	return p.auth.Authenticate(scheme, data, proto.ID{Scheme: auth.IP, ID: cnxn.JavaIP(peer)})
}

// Backup implements admin.Backend.
func (p *process) Backup(ctx context.Context, who string) (admin.Backup, error) {
	start := time.Now()
	b, err := p.server.Backup(ctx)
	log := p.log.WithFields(logrus.Fields{"event": eventBackup, "for": who})
	if err != nil {
		log.WithError(err).Warn("There is no backup")
		return nil, err
	}
	log.WithFields(logrus.Fields{"zxid": b.Zxid(), "ms": time.Since(start).Milliseconds()}).
		Info("A backup is handed over")
	return b, nil
}

// Restore implements admin.Backend.
func (p *process) Restore(ctx context.Context, in io.Reader, size int64, who string) (admin.Restored, error) {
	start := time.Now()
	log := p.log.WithFields(logrus.Fields{"event": eventRestore, "for": who})
	log.WithField("bytes", size).Info("A snapshot is coming that is to replace all data")
	r, err := p.server.Restore(ctx, in, size)
	if err != nil {
		log.WithError(err).Warn("Nothing was restored")
		return admin.Restored{}, noRestore{err}
	}
	log.WithFields(logrus.Fields{
		"zxid": r.Zxid, "snapshot": r.Snapshot, "znodes": r.Counts.Znodes, "sessions": r.Counts.Sessions,
		"ms": time.Since(start).Milliseconds(),
	}).Warn("All data were replaced by a snapshot")
	return admin.Restored{Zxid: r.Zxid, Snapshot: r.Snapshot}, nil
}

// noRestore is why there was no restore, and what admin calls that.
type noRestore struct{ error }

// Is implements what errors.Is asks for.
func (n noRestore) Is(target error) bool {
	switch target {
	case admin.ErrUnfit:
		return errors.Is(n.error, server.ErrUnfit)
	case admin.ErrTooBig:
		return errors.Is(n.error, store.ErrNoSpace)
	case admin.ErrNotNow:
		return errors.Is(n.error, server.ErrRestoring) || errors.Is(n.error, server.ErrNoRestore)
	}
	return false
}

// Learners implements admin.Backend.
func (p *process) Learners() map[int64]admin.Learner {
	all := make(map[int64]admin.Learner)
	p.server.VisitLearners(func(id int64, l *transport.Link) {
		all[id] = admin.Learner{Addr: l.RemoteAddr(), Since: l.Since().UnixMilli(), Queued: l.Queued()}
	})
	return all
}

// shown are the settings that are not defaults, without what is secret.
func shown(c *config.Config) (list [][2]string) {
	for _, s := range c.Settings {
		if s.Source != "default" && !ensemble.Concerns(s.Key) { // the list of servers is shown as such
			list = append(list, [2]string{s.Key, s.Shown()})
		}
	}
	return list
}

// Alive implements admin.Backend.
func (p *process) Alive() error { return p.server.Alive(aliveLimit) }

// Image implements admin.Backend.
func (p *process) Image() (zxid proto.Zxid, at int64) {
	s := p.store.Status()
	if s.ImageAt.IsZero() {
		return s.ImageZxid, p.start.Unix()
	}
	return s.ImageZxid, s.ImageAt.Unix()
}

// Process implements admin.Backend.
func (p *process) Process() admin.Process {
	open, _ := filepath.Glob("/proc/self/fd/*")
	host, _ := os.Hostname()
	dir, _ := os.Getwd()
	var uts unix.Utsname
	_ = unix.Uname(&uts) // an empty release is all that an error leaves
	return admin.Process{
		Uptime: time.Since(p.start), OpenFiles: int64(len(open)), MaxFiles: int64(fileLimit()),
		Environment: [][2]string{
			{"host.name", host}, {"go.version", runtime.Version()}, {"os.name", "Linux"},
			{"os.arch", runtime.GOARCH}, {"os.version", unix.ByteSliceToString(uts.Release[:])},
			{"user.dir", dir}, {"cpus", strconv.Itoa(runtime.GOMAXPROCS(0))},
		},
	}
}

// Ask implements admin.Backend.
func (p *process) Ask(f func(*replica.Replica)) { p.server.Ask(f) }

// Peer implements admin.Backend.
func (p *process) Peer(c *replica.Conn) (addr string, queued int64) {
	return server.PortOf(c).RemoteAddr(), int64(c.Pending())
}

// Usage implements admin.Backend.
func (p *process) Usage() (image, log int64) { return p.store.Usage() }

// Now implements admin.Backend.
func (p *process) Now() replica.Now { return server.Now() }

func fileLimit() uint64 {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return l.Cur
}

// warnFiles tells when there are few file descriptors. Go raises the soft limit to the
// hard one by itself.
func warnFiles(log logrus.FieldLogger) {
	const enough = 4096
	if n := fileLimit(); n < enough {
		log.WithField("limit", n).Warn("Few files may be open, and each client needs one; raise LimitNOFILE")
	}
}
