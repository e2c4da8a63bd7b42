// Package sim runs whole ensembles in one goroutine from one seed.
//
// Purpose: to find what is wrong with election, replication and sessions before sockets
// and disks do. Servers are the same replicas that zkd runs; networks, disks, clocks and
// clients are models that delay, break, lose and stop, as the seed says.
//
// Owns: the models, the faults, and the checks: same position, same tree; no acknowledged
// write is lost; no client sees history go back; one leader an epoch; after the faults
// have ended everybody serves and agrees.
//
// Never knows: LevelDB, sockets, the real clock.
//
// Invariants: the same seed and options give the same run.
package sim
