// Package replica is one whole server less its input and output: it steps the tree
// and the sessions together and keeps each client's requests and replies in order.
//
// Purpose: the part of zkd that decides. Inputs are frames of clients, the news that
// the log is durable, and the time; effects are transactions to be logged and bytes to
// be sent. The same inputs always give the same effects.
//
// Owns: client sessions and when they expire, the order of every connection's requests
// and replies, the numbering of transactions, the delivery of watch events.
//
// Never knows: sockets, files, goroutines, clocks. Time comes in with each input.
//
// Invariants: a connection's replies leave in the order of its requests; a watch event
// leaves before any reply that shows its cause; a write is answered only after its
// transaction was reported durable; a read sees every earlier write of its own
// connection and no later one; transactions are applied in zxid order without a gap.
//
// The methods of a Replica must not be called concurrently.
package replica
