package server

import (
	"errors"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/zkd-project/zkd/daemon/cnxn"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/store"
	"github.com/zkd-project/zkd/daemon/transport"
	"github.com/zkd-project/zkd/daemon/tree"
)

// Options are the parts and settings of a server. Zero settings stand for the defaults.
type Options struct {
	Ports   cnxn.Options
	Replica *replica.Replica
	Store   *store.Store
	Tree    tree.Options // for trees that are sent and received
	// Quorum, if it is set, are the connections to the other servers of the ensemble.
	Quorum *transport.Options
	// FourLetter answers four-letter words; known is false for what is none.
	FourLetter func(c *cnxn.Conn, word string, arg []byte) (answer []byte, known bool)

	// Outstanding is the number of requests without a reply from which on a connection
	// that waits for one is not read; default 1000. Source: globalOutstandingLimit.
	Outstanding int64
	Image       ImagePolicy
	// Drain is how long a stop waits for requests under way; default 2 s.
	Drain time.Duration
	// Progress, which may be nil, is called whenever a stop has got further.
	Progress func()

	Log logrus.FieldLogger
}

// ImagePolicy says when the image is written: as soon as one of the limits is reached.
type ImagePolicy struct {
	Records int           // changed since the last time; default 32,768
	Bytes   int           // of them; default 16 MiB
	Txns    int           // that a start would replay; default 1,000,000, and a twentieth before the first time
	Age     time.Duration // of the oldest change; default 5 s
}

func (o *Options) setDefaults() error {
	if o.Outstanding <= 0 {
		o.Outstanding = 1000
	}
	if o.Image.Records <= 0 {
		o.Image.Records = 32 << 10
	}
	if o.Image.Bytes <= 0 {
		o.Image.Bytes = 16 << 20
	}
	if o.Image.Txns <= 0 {
		o.Image.Txns = 1_000_000
	}
	if o.Image.Age <= 0 {
		o.Image.Age = 5 * time.Second
	}
	if o.Drain <= 0 {
		o.Drain = 2 * time.Second
	}
	if o.Progress == nil {
		o.Progress = func() {}
	}
	if o.FourLetter == nil || o.Log == nil {
		return errors.New("server: no answerer for four-letter words, or no logger")
	}
	return nil
}

// stepper is what is driven: a *replica.Replica, or a stand-in.
type stepper interface {
	Connect(now replica.Now, c *replica.Conn)
	Input(now replica.Now, c *replica.Conn, frame []byte)
	Disconnect(c *replica.Conn)
	Durable(now replica.Now, pos uint64)
	Tick(now replica.Now)
	Effects(e *replica.Effects)
	Status() replica.Status
	Outstanding() int64
	Serving() bool
	Resign()
}

// appender is the log: a *store.Store, or a stand-in.
type appender interface {
	Append(b *proto.LogBatch) error
	SetHardState(h store.HardState) error
	TruncateAfter(zxid proto.Zxid) error
	Install() (*store.Installation, error)
	Healed() error
	Status() store.Status
}

// imager takes deltas of the image: a *store.Store, or a stand-in.
type imager interface {
	NewImageBatch() *store.ImageBatch
	WriteImage(b *store.ImageBatch, zxid proto.Zxid) error
	Hurry(hurry bool)
}

// changer is what the deltas are of: a *tree.Tree, or a stand-in.
type changer interface {
	Dirty() (records, bytes, txns int)
	Cut(sink tree.DeltaSink) proto.Zxid
	Drain(most int) (done bool)
}
