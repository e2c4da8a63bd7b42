// Package zkfile reads and writes what Apache's servers put into files and streams.
//
// Purpose: the files of a data directory, snapshot.ZXID and log.ZXID, the epochs, and the
// body of a snapshot as it travels after a SNAP packet.
//
// Owns: the formats, what may be compressed how, the limits on lengths in them, and where a
// file that is not whole stops to be good.
//
// Never knows: directories, LevelDB, the tree's form in memory, what a txn means.
//
// Invariants: no length in a stream makes a reader allocate much more than what has arrived.
//
// Source: FileSnap.java, SnapStream.java, FileTxnLog.java, SerializeUtils.java, DataTree.java,
// and SnappyOutputStream.java of snappy-java.
package zkfile
