// Package jute is Apache's record encoding: big-endian integers, length-prefixed
// buffers and strings, counted vectors. No tags, no padding, no alignment.
//
// Purpose: turn bytes into values and back, without reflection and without copying.
//
// Owns: the length limits and the distinction between null (length -1) and empty.
//
// Never knows: what a record means; sockets; files.
//
// Invariants: a Decoder never reads past its input and never allocates from a
// length field; after its first error it returns zero values and keeps that error.
// Slices that it returns alias the input.
//
// Source: zookeeper-jute, BinaryInputArchive.java and BinaryOutputArchive.java.
package jute
