package daemon

import (
	"errors"
	"fmt"

	"github.com/sirupsen/logrus"

	"github.com/zkd-project/zkd/daemon/auth"
	"github.com/zkd-project/zkd/daemon/config"
	"github.com/zkd-project/zkd/daemon/migrate"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/server"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
)

// refuseApache refuses directories that hold the data of a server of Apache's and none of
// zkd's: an empty server in their place would be believed by its ensemble.
func refuseApache(cfg *config.Config) error {
	found, err := store.HasData(store.Options{ImageDir: cfg.DataDir, LogDir: cfg.DataLogDir})
	dirs := migrate.Dirs{Data: cfg.DataDir, Log: cfg.DataLogDir}
	if err != nil || found || !migrate.Found(dirs) {
		return err
	}
	command := "zkctl import --from " + cfg.DataDir
	if cfg.DataLogDir != cfg.DataDir {
		command += " --log-from " + cfg.DataLogDir
	}
	return fmt.Errorf("%w: %s holds the data of a server of Apache's and none of zkd's; take them over with: "+
		"%s -c %s; or give zkd an empty dataDir, which the other servers of an ensemble fill",
		store.ErrForeign, cfg.DataDir, command, cfg.File)
}

// healable adds to the error of damaged data that the other servers have what is damaged.
func healable(err error, cfg *config.Config) error {
	if !errors.Is(err, store.ErrDamaged) || cfg.Ensemble == nil {
		return err
	}
	if !cfg.Ensemble.HasQuorum(func(id int64) bool { return id != cfg.ServerID }) {
		return fmt.Errorf("%w; the other servers of %s have no quorum without this one, so it cannot heal from them",
			err, cfg.File)
	}
	return fmt.Errorf("%w; but %s lists other servers: if they have a quorum, no backup is needed, "+
		"starting this server moves the damage aside and heals it from them", err, cfg.File)
}

// Check opens the data of a server that is not running, reads all of it, and returns
// the zxid up to which they are whole. With acceptLoss a damaged log is cut where the
// damage begins, and what is behind it is moved aside.
func Check(cfg *config.Config, log logrus.FieldLogger, acceptLoss bool) (zxid proto.Zxid, err error) {
	st, err := store.Open(store.Options{
		ImageDir: cfg.DataDir, LogDir: cfg.DataLogDir, Log: log, AcceptLoss: acceptLoss,
	})
	if err != nil {
		return 0, healable(misplaced(err, cfg), cfg)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if st.Healing() {
		log.WithField("event", "healing").
			Warn("The data were damaged and moved aside: the server does not vote before it has everything anew")
	}
	schemes, err := auth.New(auth.Options{})
	if err != nil {
		return 0, err
	}
	t, err := server.Recover(st, tree.Options{Match: schemes, ExtendedTypes: cfg.ExtendedTypes}, log, nil, nil)
	if err != nil {
		return 0, healable(err, cfg)
	}
	return t.LastZxid(), nil
}
