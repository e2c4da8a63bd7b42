// Package sim runs whole ensembles in one goroutine from one seed.
//
// Purpose: to find what is wrong with election, replication and sessions before sockets
// and disks do. Servers are the same replicas that zkd runs; networks, disks, clocks and
// clients are models that delay, break, lose and stop, as the seed says.
//
// Owns: the models, the faults, and the checks. What is logged, acknowledged, applied and
// said is compared after every step with what is on the disks: a zxid stands for one
// transaction after one other; committed is what a quorum has on its disks, one sequence
// that every server applies; votes and ACKs say what a restart would find; equal positions
// mean equal trees. A model of the tree through all of time says what each request should
// have become and each read should show, that each request is done once and in its turn,
// that a write comes after those that were known to be done, that no session ends early,
// and that each watch event comes once, and before anything that shows its cause. After
// the faults have ended everybody serves and agrees, and sessions without clients end.
//
// Never knows: LevelDB, sockets, the real clock.
//
// Invariants: the same seed gives the same run.
package sim
