// Package daemon is a whole zkd process: it opens the store, recovers the tree, starts
// the server, and tells systemd and the log about it.
//
// Purpose: the only place where the parts are joined.
//
// Owns: the order of start and stop, signals, sd_notify and the watchdog, log output,
// exit codes.
//
// Never knows: protocols, the tree, file formats.
//
// Goroutines: one for signals and the watchdog.
package daemon
