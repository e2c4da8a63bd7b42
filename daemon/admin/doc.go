// Package admin answers four-letter words.
//
// Purpose: one table of words, with Apache's texts, so that monitors and clients that
// read them need no change.
//
// Owns: the texts, the list of words that are allowed.
//
// Never knows: sockets, files, how state is kept. It asks.
//
// Source: the classes of server/command in Apache ZooKeeper 3.9.
package admin
