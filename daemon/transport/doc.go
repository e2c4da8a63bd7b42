// Package transport carries what the servers of an ensemble say to each other, on
// Apache's wire.
//
// Purpose: connections of the election port, one for each pair of servers, and of the
// quorum port, from learners to their leader.
//
// Owns: who dials whom, the first message of an election connection, frames, the order
// of what is sent on a link, and the limits that keep strangers from doing harm.
//
// Never knows: what votes and packets mean, who leads, files.
//
// Invariants: what is queued on a link arrives in that order or not at all; of several
// notifications for one server that has not got any, it gets the newest; a stranger
// costs one log line a while and disturbs nobody.
//
// Goroutines: one for each listener; one for each election peer that this server dials;
// two for each connection.
//
// Source: QuorumCnxManager.java, LearnerHandler.java and Learner.java.
package transport
