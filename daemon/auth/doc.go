// Package auth proves who a client is and says what an identity in an ACL means.
//
// Purpose: the authentication schemes world, ip, digest and super.
//
// Owns: the form of each scheme's identities, password hashes, the superuser, the demand
// that clients authenticate.
//
// Never knows: znodes, sessions, sockets.
//
// Invariants: an identity is added to a connection only after its proof; a refused proof
// is final for the connection, so nothing transient is ever refused.
package auth
