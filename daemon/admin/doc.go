// Package admin answers four-letter words, and serves metrics, health and commands by HTTP.
//
// Purpose: tables of words, commands and metrics, with Apache's names and texts, so that
// monitors and clients that read them need no change.
//
// Owns: the texts, the list of words that are allowed, how often a backup may be made.
//
// Never knows: sockets, files, how state is kept. It asks.
//
// Source: the classes of server/command in Apache ZooKeeper 3.9.
package admin
