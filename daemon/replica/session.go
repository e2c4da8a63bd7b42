package replica

import (
	"slices"

	"github.com/zkd-project/zkd/daemon/proto"
)

// session is the liveness of one session; that it exists is the tree's to know.
type session struct {
	id      proto.SessionID
	timeout proto.Millis
	expiry  proto.Millis // monotonic time
	bucket  proto.Millis // under which the session is filed, at most expiry
	closing bool         // its closeSession is under way: no more requests
	heard   bool         // listed in sessions.touched
	// local tells that only this server knows the session, and lets it expire.
	local     bool
	upgrading bool  // local still, but its creation is on its way
	offered   bool  // local still, as far as is known: its creation was on its way once
	guest     bool  // local, and gone with read-only mode
	left      bool  // local; a connection that is gone may have requests under way
	owner     int64 // the server through which the client comes, as the leader knows it
	conn      *Conn
}

// sessions knows when each session expires. Sessions are filed in buckets one tick
// wide. A touch moves no session: one whose bucket falls due too early is filed anew.
//
// Source of the rounding: ExpiryQueue.java. A session expires between its timeout and
// one tick more after it was last heard of.
type sessions struct {
	tick    proto.Millis
	server  int64 // whose sessions the local ones are
	byID    map[proto.SessionID]*session
	buckets map[proto.Millis][]*session
	next    proto.Millis // the earliest bucket that may exist
	lastID  proto.SessionID
	locals  int // in byID

	coming map[proto.SessionID]*session // are being created, as far as their leader knows them
	// On a learner nothing but local sessions expires; the leader is told who was heard of.
	learner bool
	touched []*session
}

func newSessions(tick proto.Millis, server int64) *sessions {
	return &sessions{
		tick:    tick,
		server:  server,
		byID:    make(map[proto.SessionID]*session),
		buckets: make(map[proto.Millis][]*session),
		coming:  make(map[proto.SessionID]*session),
		learner: true,
	}
}

// firstID is where a server's session ids start: the server's id in the high byte,
// then 40 bits of wall time, then 16 of a counter. Source: SessionTrackerImpl.java.
func firstID(server int64, wall proto.Millis) proto.SessionID {
	return proto.SessionID(uint64(wall)<<24>>8 | uint64(server)<<56)
}

// idsAfter is where session ids go on when the clock has been set back and there is a
// session of a time that is still to come. Those that came after it may have been closed,
// and no id may come again, so the wall time adds some distance to it.
func idsAfter(last proto.SessionID, wall proto.Millis) proto.SessionID {
	const times = 1<<40 - 1
	then := uint64(last)>>16&times + 1 + uint64(wall)&(1<<20-1)
	return proto.SessionID(uint64(last)>>56<<56 | then&times<<16)
}

// containerOwner is the ephemeral owner that marks a container, so no session's id.
const containerOwner = proto.SessionID(-1 << 63)

// nextID allocates a session id.
func (s *sessions) nextID() proto.SessionID {
	s.lastID++
	if s.lastID == containerOwner {
		s.lastID++
	}
	return s.lastID
}

// add starts to watch over a session; was, if it is not nil, is what is known of it.
func (s *sessions) add(now Now, id proto.SessionID, timeout proto.Millis, was *session) *session {
	sess := &session{id: id, timeout: timeout}
	if was != nil {
		sess = was
		sess.local, sess.upgrading, sess.timeout = false, false, max(sess.timeout, timeout)
	}
	s.byID[id] = sess
	s.touch(now, sess)
	if !s.learner {
		s.file(sess)
	}
	return sess
}

// addLocal starts to watch over a session of this server's own.
func (s *sessions) addLocal(now Now, id proto.SessionID, timeout proto.Millis) *session {
	sess := &session{id: id, timeout: timeout, local: true, owner: s.server}
	s.byID[id] = sess
	s.locals++
	s.touch(now, sess)
	s.file(sess)
	return sess
}

// expect notes that a session is being created through a server.
func (s *sessions) expect(id proto.SessionID, server int64) {
	sess := s.known(id)
	if sess == nil {
		sess = &session{id: id}
	}
	sess.owner = server
	s.coming[id] = sess
}

// known is a session that is there, or is being created.
func (s *sessions) known(id proto.SessionID) *session {
	if sess := s.byID[id]; sess != nil {
		return sess
	}
	return s.coming[id]
}

// arrive notes that a session has been created.
func (s *sessions) arrive(now Now, id proto.SessionID, timeout proto.Millis) *session {
	sess, was := s.byID[id], s.coming[id]
	delete(s.coming, id)
	switch {
	case sess == nil:
		sess = s.add(now, id, timeout, was)
	case sess.local:
		s.globalize(now, sess)
	default: // its server had asked twice
		s.touch(now, sess)
	}
	return sess
}

// globalize notes that everybody knows a session now that was local.
func (s *sessions) globalize(now Now, sess *session) {
	sess.local, sess.upgrading, sess.offered, sess.guest = false, false, false, false
	s.locals--
	s.touch(now, sess)
}

// keepLocal takes over the local sessions of before, but for those that may have become global and
// ended in the history that was left out.
func (s *sessions) keepLocal(now Now, before *sessions) {
	for _, id := range before.ids() {
		if was := before.byID[id]; was.local && !was.offered && s.byID[id] == nil {
			sess := s.addLocal(now, id, was.timeout)
			sess.guest, sess.left = was.guest, was.left
		}
	}
}

// dismiss forgets the sessions of read-only mode.
func (s *sessions) dismiss() {
	for _, sess := range s.byID {
		if sess.guest {
			s.remove(sess)
		}
	}
}

// become starts to work for a learner or for a leader. Every session gets a full timeout.
func (s *sessions) become(now Now, learner bool) {
	clear(s.buckets)
	s.next, s.learner = 0, learner
	clear(s.coming)
	for _, sess := range s.touched {
		sess.heard = false
	}
	s.touched = s.touched[:0]
	for _, id := range s.ids() {
		sess := s.byID[id]
		sess.closing, sess.upgrading, sess.expiry, sess.bucket = false, false, 0, 0
		if !sess.local {
			sess.owner = 0
		}
		if !learner || sess.local {
			s.touch(now, sess)
			s.file(sess)
		}
	}
}

// taken calls f for each session that was heard of since the last call.
func (s *sessions) taken(f func(id proto.SessionID, timeout proto.Millis)) {
	for _, sess := range s.touched {
		sess.heard = false
		if s.byID[sess.id] == sess {
			f(sess.id, sess.timeout)
		}
	}
	clear(s.touched)
	s.touched = s.touched[:0]
}

func (s *sessions) remove(sess *session) {
	delete(s.byID, sess.id)
	if sess.local {
		s.locals--
	}
}

// touch notes that the session's client was heard of.
func (s *sessions) touch(now Now, sess *session) {
	if s.learner && !sess.local {
		if !sess.heard {
			sess.heard = true
			s.touched = append(s.touched, sess)
		}
		return
	}
	sess.expiry = max(sess.expiry, s.fresh(now, sess))
	if sess.bucket > sess.expiry {
		panic("replica: session is filed behind its expiry")
	}
}

// fresh is when a session expires whose client is heard of now.
func (s *sessions) fresh(now Now, sess *session) proto.Millis {
	return ((now.Mono+sess.timeout)/s.tick + 1) * s.tick
}

// forgive gives every session the time during which this process did not run: what its
// client sent then has not been looked at yet. A client that was heard of since gains nothing by it.
func (s *sessions) forgive(now Now, gap proto.Millis) {
	for _, sess := range s.byID {
		if !s.learner || sess.local {
			later := sess.expiry + (gap+s.tick-1)/s.tick*s.tick
			sess.expiry = max(sess.expiry, min(later, s.fresh(now, sess)))
		}
	}
}

// retime gives a session that reconnects its newly negotiated timeout.
func (s *sessions) retime(now Now, sess *session, timeout proto.Millis) {
	sess.timeout = timeout
	s.touch(now, sess)
}

func (s *sessions) file(sess *session) {
	sess.bucket = sess.expiry
	s.buckets[sess.bucket] = append(s.buckets[sess.bucket], sess)
	if s.next == 0 || sess.bucket < s.next {
		s.next = sess.bucket
	}
}

// expired lists sessions whose time is up, at most limit of them.
func (s *sessions) expired(now Now, limit int) (up []*session) {
	for s.next != 0 && s.next <= now.Mono {
		due := s.buckets[s.next]
		for len(due) > 0 {
			if len(up) == limit {
				s.buckets[s.next] = due
				return up
			}
			sess := due[len(due)-1]
			due = due[:len(due)-1]
			switch {
			case s.byID[sess.id] != sess || sess.closing:
			case sess.expiry > now.Mono:
				s.file(sess)
			default:
				up = append(up, sess)
			}
		}
		delete(s.buckets, s.next)
		s.advance()
	}
	return up
}

// advance finds the next bucket: one tick on, or the earliest there is after a gap.
func (s *sessions) advance() {
	if len(s.buckets) == 0 {
		s.next = 0
		return
	}
	if _, ok := s.buckets[s.next+s.tick]; ok {
		s.next += s.tick
		return
	}
	s.next = 0
	for at := range s.buckets {
		if s.next == 0 || at < s.next {
			s.next = at
		}
	}
}

// ids are the ids of all sessions, in order.
func (s *sessions) ids() []proto.SessionID {
	ids := make([]proto.SessionID, 0, len(s.byID))
	for id := range s.byID {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
