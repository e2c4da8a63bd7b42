// Package ensemble knows which servers form an ensemble and what a quorum of them is.
//
// Purpose: the list of members as zoo.cfg gives it and as servers exchange it, their
// roles, and majority and hierarchical quorums.
//
// Owns: the syntax of server.N, group.N and weight.N, and of the configuration text.
//
// Never knows: sockets, files, names' resolution, zxids, who is leading.
//
// Invariants: a Config that Parse returned names every server once, no two at the same
// address, has at least one participant, and groups that cover all participants or none.
// A Config is never changed.
package ensemble
