// Package config reads zoo.cfg: Apache's own file and keys, drop-ins beside it, and the
// environment.
//
// Purpose: one table row a setting, from which parsing, checking, messages and
// documentation come.
//
// Owns: names, units, defaults and ranges of settings; which of them have an effect.
//
// Never knows: what a value is for at run time.
//
// Invariants: an error names file, line and key and says what to do; a key that is not
// known is never an error; nothing is written.
package config
