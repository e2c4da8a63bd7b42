package transport

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// errFormat says that something is no packet, and errNothing that nothing came at all.
var (
	errFormat  = errors.New("what came is not a packet of a server")
	errNothing = errors.New("it was closed before it said anything")
)

// Bounds of connections: of those that have not said yet who they are, from all addresses and
// from one, and of learners beyond two for each server of the list.
const (
	maxHalfOpen = 256
	maxFromOne  = 32
	maxLinks    = 64
)

// greeted ends the time in which an accepted connection has not said who it is.
func (t *Transport) greeted(conn net.Conn) {
	host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.halfOpen[host]--; t.halfOpen[host] == 0 {
		delete(t.halfOpen, host)
	}
}

// welcome begins that time, unless there are too many like it.
func (t *Transport) welcome(conn net.Conn) bool {
	host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
	t.mu.Lock()
	defer t.mu.Unlock()
	all := 0
	for _, n := range t.halfOpen {
		all += n
	}
	if t.closed || all >= maxHalfOpen || t.halfOpen[host] >= maxFromOne {
		return false
	}
	t.halfOpen[host]++
	return true
}

// judge tells of an end that shows that a stranger was there.
func (l *Link) judge(known bool, err error) {
	l.mu.Lock()
	own, why, refused := l.closed, l.ending, l.refused
	l.mu.Unlock()
	switch {
	case l.dialled:
	case refused:
		l.t.strange.refuse(l.conn, why)
	case !own && !known && errors.Is(err, io.EOF):
		l.t.strange.refuse(l.conn, errNothing)
	case !own && !errors.Is(err, io.EOF) && (!known || errors.Is(err, errFormat)):
		l.t.strange.refuse(l.conn, err)
	}
}

// strangers logs connections that are refused, each address once in a while.
type strangers struct {
	log  logrus.FieldLogger
	mu   sync.Mutex
	seen map[string]time.Time
}

const (
	strangeEvery = time.Minute
	maxStrangers = 1024
)

// refuse closes a connection and tells of it.
func (s *strangers) refuse(conn net.Conn, err error) {
	_ = conn.Close() // it is a stranger's
	s.tell(conn, err)
}

func (s *strangers) tell(conn net.Conn, err error) {
	host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil || len(s.seen) >= maxStrangers {
		s.seen = make(map[string]time.Time)
	}
	if now := time.Now(); now.Sub(s.seen[host]) > strangeEvery {
		s.seen[host] = now
		log := s.log.WithError(err).WithFields(logrus.Fields{"address": conn.RemoteAddr(), "port": conn.LocalAddr()})
		if errors.Is(err, errNothing) { // a scanner, or a server that has reached another address of this one first
			log.Info("A connection to a port that is for servers only came to nothing")
			return
		}
		log.Warn("Refused a connection to a port that is for servers only")
	}
}
