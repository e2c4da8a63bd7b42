package proto

import "strconv"

// Zxid is a position in the ensemble's history: the leader's epoch in the high 32
// bits, a counter of that epoch's proposals in the low ones.
type Zxid int64

// MakeZxid joins an epoch and a counter.
func MakeZxid(epoch Epoch, counter uint32) Zxid { return Zxid(int64(epoch)<<32 | int64(counter)) }

// Epoch is the leadership under which the proposal was made.
func (z Zxid) Epoch() Epoch { return Epoch(z >> 32) }

// Epoch64 is Epoch in the width in which servers exchange it.
func (z Zxid) Epoch64() int64 { return int64(z) >> 32 }

// Counter is the proposal's number within its epoch.
func (z Zxid) Counter() uint32 { return uint32(z) }

// String is the zxid in hexadecimal with 0x in front.
func (z Zxid) String() string { return "0x" + strconv.FormatUint(uint64(z), 16) }

// Epoch numbers a leadership.
type Epoch int32

// SessionID names a session: the server's id in the high byte, then the time of its start.
type SessionID int64

// String is the id in hexadecimal with 0x in front.
func (s SessionID) String() string { return "0x" + strconv.FormatUint(uint64(s), 16) }

// Millis is an instant or a duration in milliseconds. Which clock it is taken from
// is said where it is used: txn times are wall time, timeouts are monotonic.
type Millis int64

// PasswordLen is the length of a session's password in bytes.
const PasswordLen = 16

// Password computes the session's password. It is a checksum and not a secret, and
// the same on Apache's servers, so that sessions can move between them and zkd.
//
// Source: ZooKeeperServer.java, generatePasswd (java.util.Random over the id).
func (s SessionID) Password() [PasswordLen]byte {
	const (
		superSecret = 0xB3415C00
		multiplier  = 0x5DEECE66D
		addend      = 0xB
		mask        = 1<<48 - 1
	)
	state := (uint64(s) ^ superSecret ^ multiplier) & mask
	var p [PasswordLen]byte
	for i := 0; i < PasswordLen; i += 4 {
		state = (state*multiplier + addend) & mask
		v := uint32(state >> 16)
		p[i], p[i+1], p[i+2], p[i+3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
	}
	return p
}
