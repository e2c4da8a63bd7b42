package daemon

import (
	"errors"

	"github.com/sirupsen/logrus"

	"github.com/zkd-project/zkd/daemon/auth"
	"github.com/zkd-project/zkd/daemon/config"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/server"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/tree"
)

// Check opens the data of a server that is not running, reads all of it, and returns
// the zxid up to which they are whole. With acceptLoss a damaged log is cut where the
// damage begins, and what is behind it is moved aside.
func Check(cfg *config.Config, log logrus.FieldLogger, acceptLoss bool) (zxid proto.Zxid, err error) {
	st, err := store.Open(store.Options{
		ImageDir: cfg.DataDir, LogDir: cfg.DataLogDir, Log: log, AcceptLoss: acceptLoss,
	})
	if err != nil {
		return 0, err
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
		return 0, err
	}
	return t.LastZxid(), nil
}
