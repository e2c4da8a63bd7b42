package auth

import (
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

func schemes(t *testing.T, o Options) *Schemes {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDigest(t *testing.T) {
	const super = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="
	s := schemes(t, Options{SuperDigest: super})
	for text, want := range map[string]string{
		"super:test": super,
		"bob:pw":     "bob:ikIaKsbtGweaHnb/jKn7OHqbunM=",
		"abc":        "abc:qZk+NkcGgWq6PiVxeFDCbJzQ2J0=",
	} {
		if got := s.DigestID(text); got != want {
			t.Errorf("DigestID(%q) = %q, want %q", text, got, want)
		}
	}
	ids, code := s.Authenticate(Digest, []byte("super:test"), proto.ID{})
	if code != proto.ErrOK || len(ids) != 2 || ids[0].Scheme != Super || ids[1] != (proto.ID{Scheme: Digest, ID: super}) {
		t.Errorf("the superuser is %v, %v", ids, code)
	}
	if _, code := s.Authenticate(Digest, nil, proto.ID{}); code != proto.ErrAuthFailed {
		t.Errorf("null: %v", code)
	}
	if ids, code := s.Authenticate(IP, nil, proto.ID{Scheme: IP}); code != proto.ErrOK || len(ids) != 1 { // kazoo's empty text
		t.Errorf("null for an address: %v, %v", ids, code)
	}
	if _, code := s.Authenticate("kerberos", nil, proto.ID{}); code != proto.ErrAuthFailed {
		t.Errorf("an unknown scheme: %v", code)
	}
	off := schemes(t, Options{DigestDisabled: true})
	if _, code := off.Authenticate(Digest, []byte("a:b"), proto.ID{}); code != proto.ErrAuthFailed {
		t.Errorf("digest is off: %v", code)
	}
	if _, err := New(Options{DigestAlg: "MD4"}); err == nil {
		t.Error("an unknown algorithm is accepted")
	}
}

func TestValid(t *testing.T) {
	s := schemes(t, Options{})
	for _, c := range []struct {
		scheme, id string
		want       bool
	}{
		{Digest, "a:b", true}, {Digest, ":b", true}, {Digest, "a:b:", true},
		{Digest, "a:", false}, {Digest, ":", false}, {Digest, "a:b:c", false}, {Digest, "", false},
		{IP, "127.0.0.1", true}, {IP, "10.0.0.0/8", true}, {IP, "10.0.0.0/33", false}, {IP, "1.2.3", false},
		{IP, "::1", true}, {IP, "fe80::/10", true}, {IP, "0:0:0:0:0:0:0:1/128", true}, {IP, "host", false},
		{World, "anyone", false}, {Super, "", false}, {"x509", "CN=a", false},
	} {
		if got := s.Valid(proto.ID{Scheme: c.scheme, ID: c.id}); got != c.want {
			t.Errorf("Valid(%s:%s) = %v", c.scheme, c.id, got)
		}
	}
}

func TestMatches(t *testing.T) {
	s := schemes(t, Options{})
	for _, c := range []struct {
		have, want string
		ok         bool
	}{
		{"10.1.2.3", "10.0.0.0/8", true}, {"11.1.2.3", "10.0.0.0/8", false}, {"10.1.2.3", "10.1.2.3", true},
		{"0:0:0:0:0:0:0:1", "::1", true}, {"0:0:0:0:0:0:0:1", "0.0.0.0/0", false}, {"1.2.3.4", "::/0", false},
	} {
		if got := s.Matches(proto.ID{Scheme: IP, ID: c.have}, proto.ID{Scheme: IP, ID: c.want}); got != c.ok {
			t.Errorf("%s matches %s: %v", c.have, c.want, got)
		}
	}
}

func TestEnforce(t *testing.T) {
	s := schemes(t, Options{Enforce: []string{Digest}})
	if s.Satisfied([]proto.ID{{Scheme: IP, ID: "1.2.3.4"}}) || !s.Satisfied([]proto.ID{{Scheme: Digest, ID: "a:b"}}) {
		t.Error("enforced schemes are not enforced")
	}
	if !schemes(t, Options{}).Satisfied(nil) {
		t.Error("nothing is enforced, but a client is refused")
	}
}
