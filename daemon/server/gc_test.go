package server

import "testing"

// TestIdleness follows a load, what it leaves behind, and quiet times after it.
func TestIdleness(t *testing.T) {
	const mb = 1 << 20
	i, allocated := newIdleness(), uint64(0)
	for n, s := range []struct {
		free, garbage, more uint64
		want                bool
	}{
		{1 * mb, 0, 50 * mb, false},
		{20 * mb, 5 * mb, 50 * mb, false},
		{40 * mb, 5 * mb, 50 * mb, false}, // it will be used again
		{60 * mb, 5 * mb, 50 * mb, true},  // far too much
		{60 * mb, 5 * mb, 50 * mb, false},
		{60 * mb, 5 * mb, 0, false},
		{60 * mb, 5 * mb, 0, true}, // quiet
		{40 * mb, 5 * mb, 0, false}, {40 * mb, 5 * mb, 0, false}, {40 * mb, 5 * mb, 0, false}, {40 * mb, 5 * mb, 0, false},
		{40 * mb, 5 * mb, 0, false}, {40 * mb, 5 * mb, 0, false}, {40 * mb, 5 * mb, 0, false}, {40 * mb, 5 * mb, 0, false},
		{40 * mb, 5 * mb, 0, false},
		{40 * mb, 5 * mb, 0, true}, // after ten seconds again
		{0, 1 * mb, 0, false}, {0, 1 * mb, 0, false}, {0, 1 * mb, 0, false}, {0, 1 * mb, 0, false}, {0, 1 * mb, 0, false},
		{0, 1 * mb, 0, false}, {0, 1 * mb, 0, false}, {0, 1 * mb, 0, false}, {0, 1 * mb, 0, false}, {0, 1 * mb, 0, false},
		{1 * mb, 4 * mb, mb, false}, // not quiet
		{1 * mb, 4 * mb, 0, false},  // one quiet second
		{1 * mb, 4 * mb, 1, true},
		{1 * mb, 4 * mb, 1, false},
	} {
		allocated += s.more
		if got := i.second(s.free, s.garbage, allocated); got != s.want {
			t.Errorf("second %d: %v", n, got)
		}
	}
	if i := newIdleness(); i.second(0, 0, 1<<30) || i.second(10*mb, 0, 1<<30) || !i.second(10*mb, 0, 1<<30) {
		t.Error("a restart leaves as much behind")
	}
}
