package daemon

import (
	"math/rand/v2"
	"time"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/transport"
	"github.com/zkd-project/zkd/daemon/zab"
)

// windowBytes bounds what is kept in memory for servers that lag behind.
const windowBytes = 32 << 20

// sendLimit bounds what waits for one learner, beside two of the longest transactions.
const sendLimit = 256 << 20

// quorum is what a server of an ensemble starts from, and its connections; a server on its
// own has neither.
func (p *process) quorum() (zab.Recovered, *transport.Options) {
	if p.cfg.Ensemble == nil {
		return zab.Recovered{}, nil
	}
	hard := p.store.HardState()
	return zab.Recovered{
			Hard:   zab.HardState{Accepted: hard.AcceptedEpoch, Current: hard.CurrentEpoch},
			Suffix: new(proto.LogBatch), Healing: p.store.Healing(),
		}, &transport.Options{
			ID: p.cfg.ServerID, Ensemble: p.cfg.Ensemble, ListenAll: p.cfg.ListenAll, MasterPort: p.cfg.MasterPort,
			ConnectTimeout: time.Duration(p.cfg.ConnectTimeout) * time.Millisecond,
			DialLimit:      time.Duration(p.cfg.InitLimit*p.cfg.TickTime) * time.Millisecond / 4,
			SendLimit:      sendLimit + 4*int64(p.cfg.MaxFrame),
			Log:            p.log,
		}
}

// zab is the part of the settings that concerns election and replication.
func (p *process) zab() zab.Config {
	c := p.cfg
	return zab.Config{
		ID: c.ServerID, Ensemble: c.Ensemble, TickTime: proto.Millis(c.TickTime),
		InitLimit: c.InitLimit, SyncLimit: c.SyncLimit,
		MinNotify: proto.Millis(c.MinNotify), MaxNotify: proto.Millis(c.MaxNotify),
		WindowTxns: windowTxns(c.Ensemble != nil, c.WindowTxns), WindowBytes: windowBytes,
		Masters: c.MasterPort > 0, ObserverPause: upTo(c.ReconnectDelay) + upTo(c.ElectionDelay),
	}
}

// upTo is a random time of at most so many milliseconds.
func upTo(ms int) proto.Millis { return proto.Millis(rand.IntN(ms + 1)) }

// windowTxns is how many transactions are kept for others; a server on its own keeps none.
func windowTxns(ensemble bool, n int) int {
	if !ensemble {
		return 0
	}
	return n
}
