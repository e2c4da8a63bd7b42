package auth

import (
	"crypto/sha1" // the digest scheme's default; its hashes are public names, not secrets kept by it
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/zkd-project/zkd/daemon/proto"
)

// Names of the schemes.
const (
	World  = "world"
	IP     = "ip"
	Digest = "digest"
	Super  = "super"
)

// Options are the settings of the schemes.
type Options struct {
	DigestDisabled bool
	DigestAlg      string   // SHA1 (the default), SHA-256, SHA-384, SHA-512 and the forms without a dash
	SuperDigest    string   // "super:" and a base64 hash; "" is no superuser
	Enforce        []string // clients must have an identity of one of these schemes; none is no demand
}

// Schemes knows the authentication schemes. It is safe for concurrent use.
type Schemes struct {
	opt  Options
	hash func() hash.Hash
}

// New checks the settings.
func New(o Options) (*Schemes, error) {
	s := &Schemes{opt: o}
	switch strings.ToUpper(strings.ReplaceAll(o.DigestAlg, "-", "")) {
	case "", "SHA1", "SHA":
		s.hash = sha1.New
	case "SHA256":
		s.hash = sha256.New
	case "SHA384":
		s.hash = sha512.New384
	case "SHA512":
		s.hash = sha512.New
	default:
		return nil, fmt.Errorf("auth: digest algorithm %q is not known; use SHA1, SHA-256, SHA-384 or SHA-512",
			o.DigestAlg)
	}
	if o.SuperDigest != "" && !strings.HasPrefix(o.SuperDigest, "super:") {
		return nil, fmt.Errorf("auth: superDigest must begin with %q", "super:")
	}
	return s, nil
}

// DigestID is the identity of the scheme digest for "user:password": the user and the
// hash of the whole text. Source: DigestAuthenticationProvider.java.
func (s *Schemes) DigestID(credentials string) string {
	user, _, _ := strings.Cut(credentials, ":")
	h := s.hash()
	h.Write([]byte(credentials))
	return user + ":" + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// Authenticate answers an auth packet that came from peer; data is nil for null, which proves nothing in
// the scheme digest.
func (s *Schemes) Authenticate(scheme string, data []byte, peer proto.ID) ([]proto.ID, proto.ErrCode) {
	switch {
	case scheme == IP:
		return []proto.ID{peer}, proto.ErrOK
	case scheme == Digest && !s.opt.DigestDisabled && data != nil:
		id := s.DigestID(string(data))
		ids := []proto.ID{{Scheme: Digest, ID: id}}
		if id == s.opt.SuperDigest {
			ids = []proto.ID{{Scheme: Super}, ids[0]}
		}
		return ids, proto.ErrOK
	}
	return nil, proto.ErrAuthFailed
}

// User is the name that whoAmI shows.
func (s *Schemes) User(id proto.ID) string {
	if id.Scheme == Digest {
		user, _, _ := strings.Cut(id.ID, ":")
		return user
	}
	return id.ID
}

// Satisfied says whether these identities may send requests.
func (s *Schemes) Satisfied(ids []proto.ID) bool {
	if len(s.opt.Enforce) == 0 {
		return true
	}
	return slices.ContainsFunc(ids, func(id proto.ID) bool { return slices.Contains(s.opt.Enforce, id.Scheme) })
}

// Authenticated says whether "auth" in an ACL stands for identities of this scheme.
func (s *Schemes) Authenticated(scheme string) bool { return scheme == Digest && !s.opt.DigestDisabled }

// Valid says whether an identity may stand in an ACL.
func (s *Schemes) Valid(id proto.ID) bool {
	switch id.Scheme {
	case Digest:
		return !s.opt.DigestDisabled && len(javaSplit(id.ID)) == 2
	case IP:
		_, ok := parsePrefix(id.ID)
		return ok
	}
	return false
}

// javaSplit splits at colons and drops empty parts at the end, as Java's String.split does.
func javaSplit(text string) []string {
	parts := strings.Split(text, ":")
	for len(parts) > 0 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	return parts
}

// Matches says whether a connection's identity satisfies an ACL entry's of its scheme.
func (s *Schemes) Matches(have, want proto.ID) bool {
	if have.Scheme != IP {
		return have.ID == want.ID
	}
	addr, err := netip.ParseAddr(have.ID)
	prefix, ok := parsePrefix(want.ID)
	return err == nil && ok && prefix.Contains(addr.Unmap())
}

// parsePrefix reads "address" or "address/bits".
func parsePrefix(text string) (netip.Prefix, bool) {
	host, length, sliced := strings.Cut(text, "/")
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, false
	}
	n := addr.BitLen()
	if sliced {
		if n, err = strconv.Atoi(length); err != nil || n < 0 || n > addr.BitLen() {
			return netip.Prefix{}, false
		}
	}
	return netip.PrefixFrom(addr, n), true
}
