package proto

import "strconv"

// Op is an operation: the type field of a request or of a transaction.
type Op int32

// The operations. Source: ZooDefs.java, OpCode.
const (
	OpError                Op = -1
	OpCreateSession        Op = -10
	OpCloseSession         Op = -11
	OpNotification         Op = 0
	OpCreate               Op = 1
	OpDelete               Op = 2
	OpExists               Op = 3
	OpGetData              Op = 4
	OpSetData              Op = 5
	OpGetACL               Op = 6
	OpSetACL               Op = 7
	OpGetChildren          Op = 8
	OpSync                 Op = 9
	OpPing                 Op = 11
	OpGetChildren2         Op = 12
	OpCheck                Op = 13
	OpMulti                Op = 14
	OpCreate2              Op = 15
	OpReconfig             Op = 16
	OpCheckWatches         Op = 17
	OpRemoveWatches        Op = 18
	OpCreateContainer      Op = 19
	OpDeleteContainer      Op = 20
	OpCreateTTL            Op = 21
	OpMultiRead            Op = 22
	OpAuth                 Op = 100
	OpSetWatches           Op = 101
	OpSASL                 Op = 102
	OpGetEphemerals        Op = 103
	OpGetAllChildrenNumber Op = 104
	OpSetWatches2          Op = 105
	OpAddWatch             Op = 106
	OpWhoAmI               Op = 107
)

// opNames also tell which operations exist. The four-letter forms are Apache's
// names of a connection's last operation (FinalRequestProcessor.java).
var opNames = map[Op]struct{ name, short string }{
	OpError:                {"error", "NA"},
	OpCreateSession:        {"createSession", "SESS"},
	OpCloseSession:         {"closeSession", "CLOS"},
	OpNotification:         {"notification", "NA"},
	OpCreate:               {"create", "CREA"},
	OpDelete:               {"delete", "DELE"},
	OpExists:               {"exists", "EXIS"},
	OpGetData:              {"getData", "GETD"},
	OpSetData:              {"setData", "SETD"},
	OpGetACL:               {"getACL", "GETA"},
	OpSetACL:               {"setACL", "SETA"},
	OpGetChildren:          {"getChildren", "GETC"},
	OpSync:                 {"sync", "SYNC"},
	OpPing:                 {"ping", "PING"},
	OpGetChildren2:         {"getChildren2", "GETC"},
	OpCheck:                {"check", "CHEC"},
	OpMulti:                {"multi", "MULT"},
	OpCreate2:              {"create2", "CREA"},
	OpReconfig:             {"reconfig", "RECO"},
	OpCheckWatches:         {"checkWatches", "CHKW"},
	OpRemoveWatches:        {"removeWatches", "REMW"},
	OpCreateContainer:      {"createContainer", "CREA"},
	OpDeleteContainer:      {"deleteContainer", "DELE"},
	OpCreateTTL:            {"createTTL", "CREA"},
	OpMultiRead:            {"multiRead", "MLTR"},
	OpAuth:                 {"auth", "NA"},
	OpSetWatches:           {"setWatches", "SETW"},
	OpSASL:                 {"sasl", "NA"},
	OpGetEphemerals:        {"getEphemerals", "GETE"},
	OpGetAllChildrenNumber: {"getAllChildrenNumber", "GETACN"},
	OpSetWatches2:          {"setWatches2", "STW2"},
	OpAddWatch:             {"addWatch", "ADDW"},
	OpWhoAmI:               {"whoAmI", "HOMI"},
}

// String is the operation's name, or "op N" for an unknown one.
func (op Op) String() string {
	if n, ok := opNames[op]; ok {
		return n.name
	}
	return "op " + strconv.Itoa(int(op))
}

// Short is Apache's four-letter form, as the "lop" field of the word "cons" shows it.
func (op Op) Short() string {
	if n, ok := opNames[op]; ok {
		return n.short
	}
	return "NA"
}

// IsWrite says whether requests of this type become transactions.
func (op Op) IsWrite() bool {
	switch op {
	case OpCreate, OpDelete, OpSetData, OpSetACL, OpMulti, OpCreate2, OpReconfig,
		OpCreateContainer, OpDeleteContainer, OpCreateTTL, OpCreateSession, OpCloseSession:
		return true
	}
	return false
}

// IsTxn says whether transactions of this type exist.
func (op Op) IsTxn() bool { return op == OpError || op.IsWrite() }

// ErrCode is the error field of a reply. It is an error whenever it is not ErrOK.
type ErrCode int32

// The error codes. Source: KeeperException.java, Code.
const (
	ErrOK                      ErrCode = 0
	ErrSystem                  ErrCode = -1
	ErrRuntimeInconsistency    ErrCode = -2
	ErrDataInconsistency       ErrCode = -3
	ErrConnectionLoss          ErrCode = -4
	ErrMarshalling             ErrCode = -5
	ErrUnimplemented           ErrCode = -6
	ErrOperationTimeout        ErrCode = -7
	ErrBadArguments            ErrCode = -8
	ErrUnknownSession          ErrCode = -12
	ErrNewConfigNoQuorum       ErrCode = -13
	ErrReconfigInProgress      ErrCode = -14
	ErrAPI                     ErrCode = -100
	ErrNoNode                  ErrCode = -101
	ErrNoAuth                  ErrCode = -102
	ErrBadVersion              ErrCode = -103
	ErrNoChildrenForEphemerals ErrCode = -108
	ErrNodeExists              ErrCode = -110
	ErrNotEmpty                ErrCode = -111
	ErrSessionExpired          ErrCode = -112
	ErrInvalidCallback         ErrCode = -113
	ErrInvalidACL              ErrCode = -114
	ErrAuthFailed              ErrCode = -115
	ErrSessionMoved            ErrCode = -118
	ErrNotReadOnly             ErrCode = -119
	ErrEphemeralOnLocalSession ErrCode = -120
	ErrNoWatcher               ErrCode = -121
	ErrRequestTimeout          ErrCode = -122
	ErrReconfigDisabled        ErrCode = -123
	ErrRequireSASLAuth         ErrCode = -124
	ErrQuotaExceeded           ErrCode = -125
	ErrThrottledOp             ErrCode = -127
)

var errNames = map[ErrCode]string{
	ErrOK:                      "ok",
	ErrSystem:                  "system error",
	ErrRuntimeInconsistency:    "runtime inconsistency",
	ErrDataInconsistency:       "data inconsistency",
	ErrConnectionLoss:          "connection loss",
	ErrMarshalling:             "marshalling error",
	ErrUnimplemented:           "unimplemented",
	ErrOperationTimeout:        "operation timeout",
	ErrBadArguments:            "bad arguments",
	ErrUnknownSession:          "unknown session",
	ErrNewConfigNoQuorum:       "no quorum of the new config is connected",
	ErrReconfigInProgress:      "reconfig in progress",
	ErrAPI:                     "API error",
	ErrNoNode:                  "no node",
	ErrNoAuth:                  "not authorized",
	ErrBadVersion:              "bad version",
	ErrNoChildrenForEphemerals: "ephemerals cannot have children",
	ErrNodeExists:              "node exists",
	ErrNotEmpty:                "node not empty",
	ErrSessionExpired:          "session expired",
	ErrInvalidCallback:         "invalid callback",
	ErrInvalidACL:              "invalid ACL",
	ErrAuthFailed:              "authentication failed",
	ErrSessionMoved:            "session moved",
	ErrNotReadOnly:             "not a read-only call",
	ErrEphemeralOnLocalSession: "ephemeral on a local session",
	ErrNoWatcher:               "no such watcher",
	ErrRequestTimeout:          "request timeout",
	ErrReconfigDisabled:        "reconfig is disabled",
	ErrRequireSASLAuth:         "session closed: authentication is required",
	ErrQuotaExceeded:           "quota exceeded",
	ErrThrottledOp:             "throttled",
}

// Error is the code's text with its number.
func (e ErrCode) Error() string {
	if s, ok := errNames[e]; ok {
		return s + " (" + strconv.Itoa(int(e)) + ")"
	}
	return "error " + strconv.Itoa(int(e))
}

// EventType tells what happened to a watched znode.
type EventType int32

// The event types. Source: Watcher.java, Event.EventType.
const (
	EventNone                   EventType = -1
	EventNodeCreated            EventType = 1
	EventNodeDeleted            EventType = 2
	EventNodeDataChanged        EventType = 3
	EventNodeChildrenChanged    EventType = 4
	EventDataWatchRemoved       EventType = 5
	EventChildWatchRemoved      EventType = 6
	EventPersistentWatchRemoved EventType = 7
)

// String is Apache's name of the event type.
func (e EventType) String() string {
	switch e {
	case EventNone:
		return "None"
	case EventNodeCreated:
		return "NodeCreated"
	case EventNodeDeleted:
		return "NodeDeleted"
	case EventNodeDataChanged:
		return "NodeDataChanged"
	case EventNodeChildrenChanged:
		return "NodeChildrenChanged"
	case EventDataWatchRemoved:
		return "DataWatchRemoved"
	case EventChildWatchRemoved:
		return "ChildWatchRemoved"
	case EventPersistentWatchRemoved:
		return "PersistentWatchRemoved"
	}
	return "event " + strconv.Itoa(int(e))
}

// StateSyncConnected is the state field of every event that a server sends.
const StateSyncConnected int32 = 3

// Perms is a set of permission bits of an ACL entry.
type Perms int32

// The permission bits. Source: ZooDefs.java, Perms.
const (
	PermRead   Perms = 1
	PermWrite  Perms = 2
	PermCreate Perms = 4
	PermDelete Perms = 8
	PermAdmin  Perms = 16
	PermAll    Perms = 31
)

// The create modes: the flags field of the create family. Source: CreateMode.java.
const (
	FlagPersistent              int32 = 0
	FlagEphemeral               int32 = 1
	FlagSequential              int32 = 2
	FlagEphemeralSequential     int32 = 3
	FlagContainer               int32 = 4
	FlagTTL                     int32 = 5
	FlagPersistentSequentialTTL int32 = 6
)

// The type argument of removeWatches and checkWatches. Source: Watcher.java, WatcherType.
const (
	WatcherChildren            int32 = 1
	WatcherData                int32 = 2
	WatcherAny                 int32 = 3
	WatcherPersistent          int32 = 4
	WatcherPersistentRecursive int32 = 5
)

// The mode argument of addWatch. Source: AddWatchMode.java.
const (
	AddWatchPersistent          int32 = 0
	AddWatchPersistentRecursive int32 = 1
)

// Reserved xids. Source: ClientCnxn.java.
const (
	XidNotification int32 = -1
	XidPing         int32 = -2
	XidAuth         int32 = -4
	XidSetWatches   int32 = -8
)
