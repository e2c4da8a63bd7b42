// Package tree is the replicated state: znodes, ACLs, quotas, ephemerals, containers,
// TTL znodes, the sessions that exist, and the watch tables.
//
// Purpose: three verbs. Prepare turns a request into a transaction, checked against
// the tree and what has been promised but is not committed. Apply makes a committed
// transaction take effect. Read answers from what is committed.
//
// Owns: the layout of millions of znodes in memory, the overlay of uncommitted changes,
// Stat arithmetic, the tree digest, the form of a znode in the image.
//
// Never knows: who leads, who is connected where, how identities were proved (it asks a
// Matcher), disks, clocks.
//
// Invariants: Apply of what Prepare promised gives exactly what was promised; applying a
// transaction twice gives what applying it once gives; nothing of the overlay shows in a
// read; the digest is the sum over all znodes at all times.
//
// Memory: znodes are fixed-size records in chunks, addressed by number; a znode's name,
// data and history share one cell of a size class; what it keeps about its children is
// apart, as most have none. None of it holds a pointer, so the collector's work does not
// grow with the tree, and the same goes for watches. Large cells are ordinary immutable
// slices, which readers may keep. Nothing grows by being copied, so that no step pays for
// a large tree.
package tree
