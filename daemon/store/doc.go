// Package store keeps the txn log and the tree's image in LevelDB.
//
// Purpose: what has been acknowledged survives, and what does not survive whole is
// found and named.
//
// Owns: the directories, their locks and formats; when bytes are forced to the disk;
// how much log is kept.
//
// Never knows: what a txn or an image record means.
//
// The log is a run of LevelDB databases, one a segment. A segment takes groups of txns
// until it is full and is only read from then on; old segments are deleted whole. So a
// byte of log is written once, nothing is ever compacted, and recovery changes no file
// that holds acknowledged txns. Each group carries the zxid and the checksum of the one
// before it. The image is one LevelDB database: a state of the tree at one zxid, written
// behind the log in atomic batches.
//
// Invariants: Append returns only after its txns are on the disk; the image's zxid is
// never above the log's; a group that does not follow its predecessor is an error; a
// sync that failed is never tried again (ErrDoubtful), because what the kernel then
// holds is unknown.
//
// Goroutines: one prepares the next log segment ahead of time; LevelDB has its own.
package store
