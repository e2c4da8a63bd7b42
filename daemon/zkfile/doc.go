// Package zkfile reads and writes what Apache's servers put into files and streams.
//
// Purpose: the body of a snapshot, as it travels after a SNAP packet.
//
// Owns: the formats, and the limits on lengths in them.
//
// Never knows: directories, LevelDB, the tree's form in memory.
//
// Invariants: no length in a stream makes a reader allocate more than what has arrived.
//
// Source: FileSnap.java, SerializeUtils.java, DataTree.java.
package zkfile
