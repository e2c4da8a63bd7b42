// Package meter counts and measures.
//
// Purpose: distributions whose keeping costs a few nanoseconds and no memory, so that the
// pure packages can keep them on the path of every request.
//
// Owns: the buckets and the arithmetic of quantiles.
//
// Never knows: what is measured, units, names, how values are shown.
//
// Invariants: nothing here locks or allocates; whoever keeps a value guards it. A quantile
// is within an eighth of the truth, and never outside of what was seen.
package meter
