package replica

import (
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zab"
)

// Now is the time of an input. Wall time goes into transactions and session ids,
// monotonic time measures timeouts; both are milliseconds.
type Now struct{ Wall, Mono proto.Millis }

// Authenticator proves who a client is.
type Authenticator interface {
	// Authenticate answers an auth packet that came from peer (the connection's "ip"
	// identity): the identities to add, or a code other than ErrOK.
	Authenticate(scheme string, data []byte, peer proto.ID) ([]proto.ID, proto.ErrCode)
	// User is the name that whoAmI shows for an identity.
	User(id proto.ID) string
	// Satisfied says whether these identities may send requests, where the
	// configuration demands that clients authenticate.
	Satisfied(ids []proto.ID) bool
}

// Config is what a replica needs to know of the server's settings.
type Config struct {
	ServerID   int64        // the id in the high byte of new session ids
	TickTime   proto.Millis // width of the buckets in which sessions expire
	MinTimeout proto.Millis // bounds of a session's negotiated timeout
	MaxTimeout proto.Millis

	ReapInterval  proto.Millis // between searches for containers and TTL znodes that are due
	ReapPerMinute int          // at most so many of them are deleted in a minute

	// Of a server of an ensemble.
	LocalSessions bool // new sessions are known to this server only
	Upgrading     bool // a local session becomes a global one when it creates an ephemeral
	ReadOnly      bool // without a quorum, clients that asked for it are served from the tree
	LeaderRefuses bool // while it leads, the server takes no clients

	// MaxRequest is the length of the longest request in bytes, default 1,048,575. A client's
	// identities are no longer, so that a request can be sent on with them. Source: jute.maxbuffer.
	MaxRequest int

	// Rifts are the parts of history that restores have undone, oldest first.
	Rifts []proto.Rift

	ReconfigEnabled bool // tells only which error a server on its own answers reconfig with

	Auth Authenticator
	Zab  zab.Config // without an ensemble the server is on its own
}

// Effects is what a replica wants done.
type Effects struct {
	zab.Effects
	// Install is the tree that a write of the kind WriteInstall makes durable. Nothing
	// changes it before that write has been reported.
	Install *tree.Tree
	// Rifts belong to that tree.
	Rifts []proto.Rift
	// Conns have output, or are to be closed. Each is listed once.
	Conns []*Conn
}
