package config

import (
	"strings"

	"github.com/zkd-project/zkd/daemon/ensemble"
)

// Config is a server's settings. Times are milliseconds, sizes are bytes.
type Config struct {
	File     string // that was read
	LogLevel string

	DataDir           string
	DataLogDir        string // DataDir if it is not set
	ClientPort        int
	ClientPortAddress string
	Backlog           int

	TickTime          int
	MinSessionTimeout int // 2 ticks if it is not set
	MaxSessionTimeout int // 20 ticks if it is not set
	SessionlessTime   int

	// Ensemble lists the servers of an ensemble; it is nil for a server on its own.
	Ensemble       *ensemble.Config
	ServerID       int64 // of this server in the ensemble, from the file myid
	InitLimit      int
	SyncLimit      int
	Standalone     bool
	PeerType       string
	DynamicFile    string // that lists the servers in the place of File
	StrayID        bool   // there is a file myid, but no list of servers
	ListenAll      bool
	ConnectTimeout int
	MinNotify      int
	MaxNotify      int
	WindowTxns     int
	MasterPort     int
	ReconnectDelay int
	ElectionDelay  int

	LocalSessions bool
	Upgrading     bool // of local sessions
	ReadOnlyMode  bool
	LeaderServes  bool

	MaxClientCnxns   int
	MaxCnxns         int
	MaxFrame         int
	OutstandingLimit int
	KeepAlive        bool

	ForceSync      bool
	SlowSync       int
	AutocreateDirs bool

	Words []string // four-letter words; "*" is all

	ExtendedTypes    bool
	Emulate353       bool
	EnforceQuota     bool
	SkipACL          bool
	ReconfigEnabled  bool
	ContainerEvery   int
	ContainerPerMin  int
	ContainerMaxIdle int

	DigestEnabled bool
	DigestAlg     string
	SuperDigest   string
	EnforceAuth   bool
	AuthSchemes   []string

	AdminEnabled   bool
	AdminPort      int // of the commands by HTTP; 0 is none
	AdminAddress   string
	AdminPath      string
	AdminIdle      int
	AdminSocket    string // "" is none
	AdminSnapshot  bool
	AdminRestore   bool
	AdminRate      int
	MetricsClass   string
	MetricsHost    string
	MetricsPort    int // 0 is none
	MetricsRuntime bool

	Settings []Setting // all that were set, and the defaults of the rest
	Warnings []string
	Unread   []string // secrets that only the service can read, after LoadBeside
}

// Setting is one setting as check-config shows it.
type Setting struct {
	Key    string
	Value  string
	Source string // file:line, the environment variable, or "default"
	Class  Class
}

// Shown is the value as others may see it: without secrets, but with the names of those that
// systemd keeps.
func (s *Setting) Shown() string {
	key := strings.ToLower(s.Key)
	secret := strings.HasSuffix(key, "password") || strings.HasSuffix(key, "superdigest")
	if secret && s.Value != "" && !strings.HasPrefix(s.Value, "cred:") {
		return "(not shown)"
	}
	return s.Value
}

// Class is how much of a setting's meaning in ZooKeeper it has here.
type Class string

// The classes of settings.
const (
	Effective Class = "effective" // has ZooKeeper's meaning
	Later     Class = "later"     // is checked, but has no effect in this version
	// Restricting settings keep somebody out by means that this version lacks: values that do so
	// are refused, others have no effect.
	Restricting Class = "restricting"
	Ignored     Class = "ignored" // has no effect here, for the reason that the row tells
)

// Key is one row of the table.
type Key struct {
	Name    string
	Aliases []string // other spellings
	Kind    Kind
	Default string
	Min     int64 // of numbers
	Max     int64
	Class   Class
	Help    string // one sentence
	Reason  string // why it has no effect, for Ignored
	Reload  bool   // takes effect on a reload
	guard   *guard // for Restricting
	field   func(*Config) any
}

// Kind is the form of a value.
type Kind string

// The kinds of values.
const (
	Number Kind = "number"
	Bool   Kind = "true or false"
	Text   Kind = "text"
	List   Kind = "comma-separated list"
)
