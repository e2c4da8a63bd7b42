package cnxn

import (
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// DefaultMaxFrame is the longest frame that is taken from a client, in bytes.
//
// Source: BinaryInputArchive.java, jute.maxbuffer.
const DefaultMaxFrame = 1048575

// maxMaxFrame keeps frame lengths apart from four-letter words: no word is below it.
const maxMaxFrame = 1 << 30

// Limits are what may be changed while the ports are open.
type Limits struct {
	PerIP int // connections from one address; 0 = no limit
	Total int // connections in all; 0 = no limit
}

// Options are the settings of the client ports. Zero values stand for the defaults.
type Options struct {
	Addresses []string // host:port of each listener; an empty host stands for all addresses
	Backlog   int      // of connections not accepted yet; default: the kernel's maximum
	Limits    Limits

	MaxFrame    int           // longest frame in bytes, inclusive; default DefaultMaxFrame
	FirstFrame  time.Duration // time until a connection's first frame is whole; default 10 s
	KeepAlive   time.Duration // idle time until the kernel probes the peer; default 60 s
	QueueSoft   int           // bytes of unsent output above which input is not read; default 1 MiB
	QueueHard   int           // bytes of unsent output above which the connection is closed; default 16 MiB
	MaxFiles    int           // descriptors in use, by whomever, above which no client is let in; default leaves some
	Pollers     int           // goroutines that read sockets at a time; default half of GOMAXPROCS
	ClosePeriod time.Duration // how long a connection that is closed may take to read its last output; default 5 s

	Log logrus.FieldLogger
}

func (o *Options) setDefaults() error {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	defTime := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.MaxFrame, DefaultMaxFrame)
	def(&o.QueueSoft, 1<<20)
	def(&o.QueueHard, 16<<20)
	def(&o.MaxFiles, filesForClients())
	def(&o.Pollers, max(1, runtime.GOMAXPROCS(0)/2))
	defTime(&o.FirstFrame, 10*time.Second)
	defTime(&o.KeepAlive, time.Minute)
	defTime(&o.ClosePeriod, 5*time.Second)
	switch {
	case o.MaxFrame > maxMaxFrame:
		return fmt.Errorf("cnxn: a longest frame of %d bytes is above %d", o.MaxFrame, maxMaxFrame)
	case o.QueueHard < o.QueueSoft:
		return fmt.Errorf("cnxn: the hard limit of queued output, %d bytes, is below the soft one, %d",
			o.QueueHard, o.QueueSoft)
	case o.Log == nil:
		return fmt.Errorf("cnxn: no logger")
	}
	return nil
}

// spareFiles are the descriptors that are left to the rest of the server: without any the log
// cannot be written, and clients could bring all servers of an ensemble down.
const spareFiles = 256

// filesForClients is the number of descriptors up to which clients are let in.
func filesForClients() int {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil || l.Cur > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(l.Cur) - min(spareFiles, int(l.Cur)/2)
}

// Handler takes what the client ports bring. Open, Input and Closed of one connection
// are called one after the other; those of different connections at the same time.
// None of them may block.
type Handler interface {
	// Open announces a connection that has sent its first whole frame. Connections that
	// only ask a four-letter word are not announced.
	Open(c *Conn)
	// Input hands over whole frames. The handler owns buf until it calls buf.Release.
	Input(c *Conn, buf *Buffer)
	// Drained tells that output of a connection that was Full has been sent.
	Drained(c *Conn)
	// Closed tells that a connection which was announced is gone.
	Closed(c *Conn)
	// FourLetter answers a four-letter word; known is false for what is none. It runs on
	// a goroutine of its own and may block. arg is what follows "stmk", else nil.
	FourLetter(c *Conn, word string, arg []byte) (answer []byte, known bool)
	// Due tells whether Idle has something to do. It is asked after each round of input.
	Due() bool
	// Idle does what was left over from input and may block, after it has called detach:
	// from then on another goroutine polls in this one's place.
	Idle(detach func())
}

// Stats counts what happened at the client ports since they were opened.
type Stats struct {
	Connections int64 // open now
	Accepted    int64
	RefusedIP   int64 // by Limits.PerIP
	RefusedAll  int64 // by Limits.Total or MaxFiles
	BadFrames   int64 // closed for a frame length out of range
	Late        int64 // closed for want of a first frame
	Dropped     int64 // closed because the client's end was
	Slow        int64 // closed because unsent output went above the hard limit
	Paused      int64 // times that a connection's input was not read for back-pressure
	Words       int64 // four-letter words answered
	Received    int64 // frames
	Sent        int64 // frames
}
