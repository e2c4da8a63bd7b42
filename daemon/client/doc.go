// Package client is a small ZooKeeper client for zkd's own tools.
//
// Purpose: one request at a time over one session.
//
// Owns: the connection, its handshake, the matching of replies to requests, chroot-free
// paths as they are typed.
//
// Never knows: how results are shown; the server's packages.
//
// Invariants: an error of the server is a proto.ErrCode; after an error of the
// connection the client is of no more use.
package client
