// Package cnxn is the client ports: it accepts connections, cuts what they send into
// frames, and sends what is queued for them.
//
// Purpose: carry frames between client sockets and a Handler with as few system calls,
// hand-overs and bytes of memory per connection as can be.
//
// Owns: listeners and their limits, client sockets, frame boundaries, the recognition
// of four-letter words, output queues, back-pressure towards the network, the time that
// a connection may take until its first frame.
//
// Never knows: what a frame says, sessions, the tree, the log.
//
// Invariants: frames of one connection are handed over in order, and never two at a
// time; output leaves in the order in which it was queued; a connection that is idle
// holds neither a buffer nor a goroutine; memory is never taken by a length field before
// the bytes are there; only the poller that reads a socket closes it, so that nobody
// writes to a file descriptor that already belongs to somebody else.
//
// Goroutines: a worker per poller, the first of which also accepts, and one to spare, so that a
// worker may block in Handler.Idle while another one polls in its place; a sweeper for
// timeouts; one goroutine per four-letter word, which ends with its answer. Output is
// written by whoever holds it; what a socket does not take at once is written by the
// worker that sees it writable again.
//
// Pollers of its own, in place of a goroutine per connection, because a connection that
// steps the replica on its own stack keeps a grown stack: measured with a step of 4 KiB,
// 9,000 idle connections took 10 to 18 KiB each, against 0.5 KiB here. The pollers wait
// through the Go runtime's own, so that they block no thread.
package cnxn
