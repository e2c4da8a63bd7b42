package tree

import (
	"bytes"
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
	if p[0] != '/' {
		return none
	}
	id, rest := root, p[1:]
	for {
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
