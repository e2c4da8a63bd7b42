package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/zkd-project/zkd/daemon/admin"
	"github.com/zkd-project/zkd/daemon/auth"
	"github.com/zkd-project/zkd/daemon/cnxn"
	"github.com/zkd-project/zkd/daemon/config"
	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/server"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
)

// Exit codes of the process.
const (
	ExitOK      = 0
	ExitFailure = 1  // unexpected
	ExitDataDir = 3  // a data directory is damaged, foreign, in use, or cannot be used
	ExitPort    = 14 // a port cannot be bound
	ExitConfig  = 78 // the configuration is wrong; see sysexits.h
)

// ErrPort says that an address cannot be listened on.
var ErrPort = errors.New("daemon: cannot listen")

// ExitCode is the process's exit code for an error of Run or of config.Load.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, config.ErrConfig):
		return ExitConfig
	case errors.Is(err, store.ErrDamaged), errors.Is(err, store.ErrForeign), errors.Is(err, store.ErrInUse),
		errors.Is(err, ErrDirectory):
		return ExitDataDir
	case errors.Is(err, ErrPort):
		return ExitPort
	}
	return ExitFailure
}

// process is a running server with what surrounds it.
type process struct {
	cfg    *config.Config
	log    logrus.FieldLogger
	store  *store.Store
	server *server.Server
	words  *admin.Words
	auth   *auth.Schemes
	start  time.Time

	loading server.Loading // what the start took

	settings [][2]string // as shown to who asks by HTTP

	applied  atomic.Pointer[config.Config]   // what the last reload read, cfg before that
	members  atomic.Pointer[ensemble.Config] // the list of servers in force, nil for a server on its own
	servedAt atomic.Int64                    // unix time since which there is no quorum; 0 if there is one
}

// Run runs a server until ctx ends. ready, which may be nil, is called once clients can
// connect, with the addresses that are listened on.
func Run(ctx context.Context, cfg *config.Config, log logrus.FieldLogger, ready func([]net.Addr)) (err error) {
	p := &process{cfg: cfg, log: log, start: time.Now(), settings: shown(cfg)}
	p.applied.Store(cfg)
	p.members.Store(cfg.Ensemble)
	setLevel(log, cfg.LogLevel)
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	warnFiles(log)
	notify := newNotifier(log)
	if err := p.newServer(ctx, notify); err != nil {
		if ctx.Err() != nil && errors.Is(err, store.ErrNoSpace) {
			return nil // it was told to stop while it waited for space
		}
		return err
	}
	defer func() { err = errors.Join(err, p.store.Close()) }()
	pages := p.words.Listen(p.places(), log)
	defer pages.Close()
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.watch(running, notify)
	}()
	err = p.server.Run(ctx, func() {
		log.WithFields(logrus.Fields{
			"event": eventReady, "addresses": fmt.Sprint(p.server.Addrs()), "ms": time.Since(p.start).Milliseconds(),
		}).Info("Ready")
		notify.ready(p.describe())
		if ready != nil {
			ready(p.server.Addrs())
		}
	})
	cancel()
	<-done
	return err
}

func (p *process) openStore() (*store.Store, error) {
	for i, dir := range []string{p.cfg.DataDir, p.cfg.DataLogDir} {
		if _, err := os.Stat(dir); err != nil && !p.cfg.AutocreateDirs {
			key := []string{"dataDir", "dataLogDir"}[i]
			return nil, fmt.Errorf("%w: %s: %s: %w; make it, or set datadir.autocreate=true",
				config.ErrConfig, p.cfg.Source(key), key, err)
		}
	}
	if err := refuseApache(p.cfg); err != nil {
		return nil, misplaced(err, p.cfg)
	}
	// LevelDB's buffers are big and stay empty for a while. In memory that was used before they
	// would have to be cleared, and so count; collecting garbage between their makings does that.
	percent, limit := debug.SetGCPercent(-1), debug.SetMemoryLimit(-1)
	debug.SetMemoryLimit(min(limit, 128<<20))
	defer func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}()
	st, err := store.Open(p.storeOptions())
	return st, misplaced(sandboxed(err, p.cfg), p.cfg)
}

// sandboxed adds to an error what to do where it is the unit that forbids a directory.
func sandboxed(err error, cfg *config.Config) error {
	unit := os.Getenv("INVOCATION_ID") != "" || os.Getenv("NOTIFY_SOCKET") != ""
	if !errors.Is(err, syscall.EROFS) || !unit {
		return err
	}
	return fmt.Errorf("%w; unless the disk is mounted read-only, the unit does not let the service write there: "+
		"name %s in ReadWritePaths= and RequiresMountsFor= in a drop-in, with systemctl edit; see zoo.cfg(5)",
		err, strings.Join(slices.Compact([]string{cfg.DataDir, cfg.DataLogDir}), " and "))
}

func (p *process) storeOptions() store.Options {
	return store.Options{
		ImageDir: p.cfg.DataDir, LogDir: p.cfg.DataLogDir, Log: p.log,
		NoSync: !p.cfg.ForceSync, SlowSync: time.Duration(p.cfg.SlowSync) * time.Millisecond,
	}
}

// newServer opens the store, recovers the tree, and binds the ports.
func (p *process) newServer(ctx context.Context, notify *notifier) (err error) {
	schemes, err := p.schemes()
	if err != nil {
		return err
	}
	p.auth = schemes
	options := tree.Options{
		ExtendedTypes: p.cfg.ExtendedTypes, Emulate353: p.cfg.Emulate353, EnforceQuota: p.cfg.EnforceQuota,
		SkipACL: p.cfg.SkipACL, Match: schemes, ContainerMaxNeverUsed: proto.Millis(p.cfg.ContainerMaxIdle),
		MaxRequest: p.cfg.MaxFrame,
	}
	l, err := p.loadInSpace(ctx, options, notify)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.store.Close())
		}
	}()
	ms := func(n int) proto.Millis { return proto.Millis(n) }
	r := replica.New(replica.Config{
		ServerID: p.cfg.ServerID, TickTime: ms(p.cfg.TickTime),
		MinTimeout: ms(p.cfg.MinSessionTimeout), MaxTimeout: ms(p.cfg.MaxSessionTimeout),
		ReapInterval: ms(p.cfg.ContainerEvery), ReapPerMinute: p.cfg.ContainerPerMin,
		LocalSessions: p.cfg.LocalSessions, Upgrading: p.cfg.Upgrading,
		ReadOnly: p.cfg.ReadOnlyMode, LeaderRefuses: !p.cfg.LeaderServes,
		MaxRequest: p.cfg.MaxFrame, ReconfigEnabled: p.cfg.ReconfigEnabled, Auth: schemes, Zab: p.zab(),
		Rifts: p.store.Rifts(),
	}, server.Now(), l.tree, l.found)
	p.words = admin.New(p, p.cfg.Words)
	p.server, err = server.New(server.Options{
		Ports: cnxn.Options{
			Addresses: []string{net.JoinHostPort(p.cfg.ClientPortAddress, strconv.Itoa(p.cfg.ClientPort))},
			Backlog:   p.cfg.Backlog, MaxFrame: p.cfg.MaxFrame, Limits: limits(p.cfg),
			FirstFrame: time.Duration(p.cfg.SessionlessTime) * time.Millisecond, Log: p.log,
		},
		Replica: r, Store: p.store, Tree: options, Quorum: l.quorum, Log: p.log,
		Outstanding: int64(p.cfg.OutstandingLimit), Progress: notify.progressed,
		FourLetter: func(_ *cnxn.Conn, word string, arg []byte) ([]byte, bool) { return p.words.Answer(word, arg) },
	})
	if err != nil {
		return p.unbound(err)
	}
	return nil
}

func limits(c *config.Config) cnxn.Limits {
	return cnxn.Limits{PerIP: c.MaxClientCnxns, Total: c.MaxCnxns}
}

func (p *process) schemes() (*auth.Schemes, error) {
	o := auth.Options{
		DigestDisabled: !p.cfg.DigestEnabled, DigestAlg: p.cfg.DigestAlg, SuperDigest: p.cfg.SuperDigest,
	}
	if p.cfg.EnforceAuth {
		o.Enforce = p.cfg.AuthSchemes
	}
	s, err := auth.New(o)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", config.ErrConfig, p.cfg.File, err)
	}
	return s, nil
}

// reload reads the configuration again and applies what can be changed on the way.
func (p *process) reload() error {
	next, err := config.Load(p.cfg.File)
	if err != nil {
		return err
	}
	for _, key := range config.Changed(p.cfg, next) {
		if !key.Reload {
			p.log.WithFields(logrus.Fields{"event": eventRestartNeeded, "key": key.Name}).
				Warn("The setting has changed; it takes effect after a restart")
		}
	}
	for _, w := range next.Warnings {
		if !slices.Contains(p.applied.Load().Warnings, w) {
			p.log.Warn(w)
		}
	}
	p.applied.Store(next)
	if now := p.members.Load(); now != nil && config.Readdressed(now, next) {
		p.server.Readdress(next.Ensemble)
		p.members.Store(next.Ensemble)
	}
	p.server.Ports().SetLimits(limits(next))
	p.words.Allow(next.Words)
	setLevel(p.log, next.LogLevel)
	return nil
}

// setLevel sets what a logger writes; the configuration has checked the level's name.
func setLevel(log logrus.FieldLogger, name string) {
	if l, ok := log.(*logrus.Logger); ok {
		if level, err := logrus.ParseLevel(name); err == nil {
			l.SetLevel(level)
		}
	}
}
