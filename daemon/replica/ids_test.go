package replica_test

import (
	"strings"
	"testing"
)

// TestTooManyIdentities has a client prove who it is under one long name after the other: it is
// refused before a request could not be sent on with them any more.
func TestTooManyIdentities(t *testing.T) {
	w := newWorld(t)
	w.request([]string{"a", "connect"})
	w.effects()
	w.durable()
	w.effects()
	w.out.Reset()
	for _, name := range []string{"x", "y", "x", "z"} {
		w.request([]string{"a", "auth", "-4", "digest", strings.Repeat(name, 400<<10) + ":pw"})
		w.effects()
	}
	const ok = "a: xid -4 zxid 0x0 ok (0)\n"
	if got := w.out.String(); got != ok+ok+ok+"a: xid -4 zxid 0x0 authentication failed (-115)\na: closed\n" {
		t.Errorf("answered\n%s", got)
	}
}
