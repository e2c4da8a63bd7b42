package tree

import (
	"bytes"
	"hash/maphash"
	"slices"
	"unicode/utf8"
)

// validPath applies the rules for a path that a write names. Characters are judged as
// Java sees them: malformed UTF-8 becomes U+FFFD, and what lies beyond the basic plane
// a pair of surrogates; both are refused. Source: PathUtils.java.
func validPath(p []byte) bool {
	if len(p) == 0 || p[0] != '/' {
		return false
	}
	if len(p) == 1 {
		return true
	}
	if p[len(p)-1] == '/' {
		return false
	}
	start := 1
	for i := 1; i <= len(p); i++ {
		if i == len(p) || p[i] == '/' {
			if badComponent(p[start:i]) {
				return false
			}
			start = i + 1
		}
	}
	return true
}

func badComponent(c []byte) bool {
	if len(c) == 0 || (c[0] == '.' && (len(c) == 1 || (len(c) == 2 && c[1] == '.'))) {
		return true
	}
	for i := 0; i < len(c); {
		if c[i] < utf8.RuneSelf {
			if c[i] < 0x20 || c[i] == 0x7F {
				return true
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(c[i:])
		if r == utf8.RuneError || r <= 0x9F || (r >= 0xD800 && r <= 0xF8FF) || r >= 0xFFF0 {
			return true
		}
		i += size
	}
	return false
}

// lightPath applies the weaker rules for a path that a delete names.
func lightPath(p []byte) bool {
	return bytes.IndexByte(p, '/') >= 0 && bytes.IndexByte(p, 0) < 0 && !special(p)
}

// special says whether the znode at p belongs to the system and cannot be deleted.
func special(p []byte) bool {
	switch string(p) {
	case "/", systemPath, quotaPath, configPath:
		return true
	}
	return false
}

// parentPath is the text before the last slash; "" stands for the root.
func parentPath(p []byte) []byte { return p[:max(bytes.LastIndexByte(p, '/'), 0)] }

// lastName is the text after the last slash.
func lastName(p []byte) []byte { return p[bytes.LastIndexByte(p, '/')+1:] }

var rootPath = []byte("/")

// lookup finds the znode at p; "" is the root too.
func (t *Tree) lookup(p []byte) nodeID {
	if len(p) <= 1 {
		if len(p) == 0 || p[0] == '/' {
			return root
		}
		return none
	}
	i := bytes.LastIndexByte(p, '/')
	if i < 0 || i == len(p)-1 {
		return none
	}
	parent := root
	if i > 0 {
		if parent = t.directory(p[:i]); parent == none {
			return none
		}
	}
	return t.find(parent, p[i+1:])
}

// directories remembers where the parents of looked up paths are: requests have few
// parents in common.
type directories struct {
	seed    maphash.Seed
	entries [dirEntries]directory
}

type directory struct {
	id   nodeID // none in a free entry
	size uint8  // of path
	path [dirPath]byte
}

const (
	dirEntries = 64
	dirPath    = 59 // bytes of the longest path that is remembered
)

func (d *directories) entry(p []byte) *directory {
	return &d.entries[maphash.Bytes(d.seed, p)%dirEntries]
}

// forget must be called before a znode goes.
func (d *directories) forget(p []byte) {
	if len(p) > dirPath {
		return
	}
	if e := d.entry(p); string(e.path[:e.size]) == string(p) {
		e.id = none
	}
}

// directory finds the znode at p, which has at least one byte.
func (t *Tree) directory(p []byte) nodeID {
	if len(p) > dirPath {
		return t.walk(p)
	}
	e := t.dirs.entry(p)
	if e.id != none && string(e.path[:e.size]) == string(p) {
		return e.id
	}
	id := t.walk(p)
	if id != none {
		e.id, e.size = id, uint8(copy(e.path[:], p))
	}
	return id
}

// walk finds the znode at p from the root on.
func (t *Tree) walk(p []byte) nodeID {
	if p[0] != '/' {
		return none
	}
	for id, rest := root, p[1:]; ; {
		name := rest
		i := bytes.IndexByte(rest, '/')
		if i >= 0 {
			name = rest[:i]
		}
		if len(name) == 0 {
			return none
		}
		if id = t.find(id, name); id == none || i < 0 {
			return id
		}
		rest = rest[i+1:]
	}
}

// appendPath appends the path of a znode.
func (t *Tree) appendPath(b []byte, id nodeID) []byte {
	if id == root {
		return append(b, '/')
	}
	size := 0
	for i := id; i != root; i = t.nodes.at(i).parent {
		size += len(t.nameOf(t.nodes.at(i))) + 1
	}
	start := len(b)
	b = slices.Grow(b, size)[:start+size]
	end := len(b)
	for i := id; i != root; {
		n := t.nodes.at(i)
		name := t.nameOf(n)
		end -= len(name)
		copy(b[end:], name)
		end--
		b[end] = '/'
		i = n.parent
	}
	return b
}
