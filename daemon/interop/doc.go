// Package interop tests zkd with real clients and against Apache's own server.
//
// Purpose: everything that a mock of our own would not notice. The tests need the build
// tag interop and what run.sh installs.
package interop
