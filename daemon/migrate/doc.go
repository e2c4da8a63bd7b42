// Package migrate moves the data of a server that is stopped from Apache's files to zkd's,
// and back.
//
// Purpose: what a server of Apache's would have in memory after its start is what zkd has,
// and the other way round: znodes with all of their Stat, sessions, zxid and epochs.
//
// Owns: which of the files in a data directory count, and what is good enough to go on with.
//
// Never knows: formats of records, LevelDB, clients.
//
// Invariants: the directory that is read is not changed. The one that is written is usable
// only when it is complete and has been read again. Where Apache's servers go on silently with
// less than there was, this stops and says so.
//
// Source: FileTxnSnapLog.java, FileSnap.java, FileTxnLog.java and QuorumPeer.java.
package migrate
