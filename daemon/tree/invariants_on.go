//go:build invariants

package tree

// invariants has Apply followed by a check of the whole tree.
const invariants = true
