// Package proto holds every word of ZooKeeper's protocols: operations, error and
// event codes, zxids, session ids, Stat, ACLs, client requests and replies, and the
// transactions that requests become.
//
// Purpose: one home for each record, whoever puts it on a wire or a disk.
//
// Owns: layouts and names. Numbers follow ZooDefs.java, KeeperException.java and
// zookeeper.jute of Apache ZooKeeper 3.9.
//
// Never knows: how a request is served; how bytes travel.
//
// Invariants: decoding never panics, never copies a path or data (what it returns
// aliases the input) and never allocates by a length field of the input.
package proto
