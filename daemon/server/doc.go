// Package server drives a replica: it feeds it what clients send, has its transactions
// logged, sends its replies, and keeps the image on disk close behind it.
//
// Purpose: serial stepping without a goroutine of its own ("flat combining"). Whoever has
// an input and finds the replica free steps it on the spot and sends the replies; otherwise
// the input goes to the inbox, which the one who steps empties before he is done. A lone
// read costs no hand-over; under load batches form by themselves.
//
// Owns: the step lock and the inbox, the log writer and group commit, the image writer and
// when it writes, back-pressure by requests in flight, recovery, the order of stopping, the
// headroom of the garbage collector.
//
// Never knows: what a request means, file formats, configuration syntax, systemd.
//
// Invariants: the replica is stepped by one goroutine at a time; no input waits in the inbox
// while nobody steps; batches reach the log in the order in which the replica made them,
// and Durable is reported only for what Append has confirmed; output of a step is queued
// under the step lock and sent without it; the step lock is never held over I/O.
//
// Goroutines: the log writer, which waits until whoever steps leaves it work; the image
// writer; the ticker; besides them the goroutines of package cnxn step the replica.
package server
