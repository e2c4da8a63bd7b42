package zab

import (
	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
)

// Config is what a peer needs to know of the server's settings.
type Config struct {
	ID       int64
	Ensemble *ensemble.Config // nil for a server on its own
	TickTime proto.Millis
	// InitLimit and SyncLimit are in ticks: how long a learner may take to synchronize,
	// and how long a leader and a learner may hear nothing of each other.
	InitLimit, SyncLimit int
	// MinNotify and MaxNotify bound the pause between notifications that are sent again;
	// the first is also how long an election waits for better votes. Zero means 200 ms
	// and 60 s. Source: FastLeaderElection.java.
	MinNotify, MaxNotify proto.Millis
	// WindowTxns and WindowBytes bound the committed transactions that are kept in memory
	// for learners that lack them.
	WindowTxns, WindowBytes int
	// EpochSize is how many zxids an epoch has; zero means all that fit. A test that wants
	// to see epochs end sets fewer.
	EpochSize uint32
	// Masters has an observer come to followers, at a port of their own, and to the leader
	// only in its turn.
	Masters bool
	// ObserverPause is how long an observer waits before it looks for a leader again.
	ObserverPause proto.Millis
}

// HardState are the epochs that a server keeps on disk.
type HardState struct {
	Accepted int64 // of the last leader that it agreed to follow
	Current  int64 // of the last leader with which it synchronized
}

// WriteKind says what a Write is.
type WriteKind uint8

// The kinds of writes.
const (
	WriteLog      WriteKind = iota // append Log to the log
	WriteHard                      // make Hard durable
	WriteTruncate                  // remove everything above Zxid from the log
	WriteInstall                   // replace image and log by the snapshot taken over, which is at Zxid
	WriteHealed                    // note that what had been lost is there again
)

// Write is something to be made durable. Writes are done one after the other, in order.
type Write struct {
	Kind WriteKind
	Pos  uint64 // what Durable is to be told when the write, with all before it, is durable
	Log  *proto.LogBatch
	Hard HardState
	Zxid proto.Zxid
}

// Notice is a notification for another server. Only the newest for each server counts.
type Notice struct {
	To int64
	N  proto.Notification
}

// BulkKind says what a Bulk is.
type BulkKind uint8

// The kinds of bulks.
const (
	// BulkSnap is a SNAP packet and the tree as it is now, which holds everything up to
	// the last committed transaction. The packet's zxid is Zxid. If After is not beyond it, a tree of
	// an earlier time will do, with its own zxid and with the committed history behind it. After is
	// where the learner's history ends.
	BulkSnap BulkKind = iota
	// BulkLog is the committed history in (After, Zxid], from the log once that holds it: a DIFF packet and
	// pairs of PROPOSAL and COMMIT. Where the log does not hold After and all that
	// follows, a SNAP of the tree at any later point takes its place.
	BulkLog
)

// Bulk is something large that belongs into a link's output in front of Out[At].
type Bulk struct {
	Kind  BulkKind
	At    int
	After proto.Zxid
	Zxid  proto.Zxid
	End   proto.Zxid // what is committed up to here belongs to the bulk, and the output goes on behind it
}

// Link is a connection of the quorum port, to the leader or from a learner. The adapter
// sets Owner and Master. After each step it takes Out and Bulks away and, where Close is set,
// closes the connection.
type Link struct {
	Owner any
	Out   []byte // packets to be sent
	Bulks []Bulk // in the order of At
	Close string // why the link is to be closed; empty while it is not
	// Refused tells, with Close, that who came does not belong here.
	Refused bool
	// Master tells that the link was made to the port for observers.
	Master bool

	touched bool
	closed  bool
	dialled bool
	learner // what a leader knows of who is at the other end
}

// Peer is the id of the server at the other end, 0 while it has not said.
func (l *Link) Peer() int64 { return l.id }

// Upward says whether this server is the learner of the one at the other end.
func (l *Link) Upward() bool { return l.dialled }

// Event is something that an operator wants to know.
type Event struct {
	What   string // "looking", "following", "leading", "observing", "serving", "learner", ...
	Peer   int64
	Epoch  int64
	Zxid   proto.Zxid
	Reason string
}

// Effects is what a peer wants done.
type Effects struct {
	Writes  []Write
	Notices []Notice
	Links   []*Link // have output or are to be closed; each is listed once
	Events  []Event
	// Dial, if Dialling is set, is the server whose quorum port is to be dialled from now
	// on instead of any other, or its port for observers, if Master is set; 0 is none.
	Dial     int64
	Dialling bool
	Master   bool
	// Redial asks for connections of the election to all servers that lack one.
	Redial bool
}
