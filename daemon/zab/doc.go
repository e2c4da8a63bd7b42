// Package zab is one server's part in an ensemble: election, discovery,
// synchronization and broadcast, as Apache's servers speak them.
//
// Purpose: to decide who leads and what is committed. Inputs are notifications of the
// election, packets of the quorum port, the news that something is on disk, and the
// time; effects are messages, writes and links to be dialled or closed.
//
// Owns: the server's role and phase, the epochs, the history (which transactions are
// logged, which are committed), who of the learners knows what.
//
// Never knows: what a transaction says, sessions, sockets, files, clocks.
//
// Invariants: writes are reported durable in the order in which they were asked for; an
// ACK leaves only after its transaction and everything before it is durable; the epochs
// are durable before anything follows from them, the accepted one before ACKEPOCH or
// LEADERINFO, the current one after the synchronized history and before the ACK of
// NEWLEADER; a server that looks for a leader advertises what its disk would give after
// a restart; commits follow each other without a gap, and nothing committed is cut.
//
// A COMMIT that comes before UPTODATE is not believed until UPTODATE: a leader that has
// not been confirmed sends the end of its own log as committed, which it may not be.
//
// The methods of a Peer must not be called concurrently.
//
// Source: the paper "Zab: High-performance broadcast for primary-backup systems", and
// Leader.java, LearnerHandler.java, Learner.java, FastLeaderElection.java.
package zab
