package tree

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/zkd-project/zkd/daemon/jute"
)

// ImageSource is an image that does not change.
type ImageSource interface {
	// Read calls f for the records whose keys have the given first byte, in the order of the
	// keys. key and value are good during the call.
	Read(kind byte, f func(key, value []byte) error) error
	// Get returns the value of a record, or nil if there is none.
	Get(key []byte) ([]byte, error)
}

// WriteImageBody does for the tree of an image what WriteBody does for a tree, without making
// it: the znodes come in the order of their numbers, each after its parent. The flush in front of which
// the body ends comes only if the image holds together. Memory is needed for the paths of the
// znodes that have children, and for the numbers of those that are older than their parents.
func WriteImageBody(src ImageSource, flush func(b []byte) error) error {
	return writeImageBody(src, flush, maxPaths)
}

func writeImageBody(src ImageSource, flush func(b []byte) error, mostKept int) error {
	w := imageBody{
		src: src, flush: flush, paths: make(map[nodeID]string), mostKept: mostKept, late: make(map[nodeID]bool),
	}
	if err := w.head(); err != nil {
		return err
	}
	err := src.Read(keyNode, func(key, value []byte) error {
		if len(key) != 5 {
			return fmt.Errorf("%w: a record with the key %x", ErrImage, key)
		}
		return w.znode(nodeID(binary.BigEndian.Uint32(key[1:])), value)
	})
	if err != nil {
		return err
	}
	for _, id := range w.waiting {
		if err := w.lateZnode(id); err != nil {
			return err
		}
	}
	if w.nodes != w.meta.nodes || w.digest.sum != w.meta.digest {
		return fmt.Errorf("%w: at %v it has %d of %d znodes, and the digest %#x and not %#x",
			ErrImage, w.meta.zxid, w.nodes, w.meta.nodes, w.digest.sum, w.meta.digest)
	}
	return flush(jute.AppendString(w.b, "/"))
}

// imageBody is a body that is being written from an image.
type imageBody struct {
	src      ImageSource
	flush    func(b []byte) error
	b        []byte // not handed over yet
	meta     meta
	nodes    uint64            // that have been written
	digest   digest            // of those
	paths    map[nodeID]string // of some of those that may have children
	kept     int               // bytes of paths
	mostKept int
	late     map[nodeID]bool // znodes that came before their parents, and whether they are written
	waiting  []nodeID        // the keys of late
	path     []byte          // scratch
}

// head writes what stands in front of the znodes.
func (w *imageBody) head() error {
	m, err := w.src.Get([]byte{keyMeta})
	if err != nil {
		return err
	}
	if w.meta, err = decodeMeta(m); err != nil {
		return err
	}
	w.b = jute.AppendInt(w.b, int32(w.meta.sessions))
	n := uint64(0)
	err = w.src.Read(keySession, func(key, value []byte) error {
		if n++; len(key) != 9 || len(value) != 4 {
			return fmt.Errorf("%w: a record with the key %x", ErrImage, key)
		}
		w.b = append(append(w.b, key[1:]...), value...)
		return w.handOver()
	})
	if err == nil && n != w.meta.sessions {
		err = fmt.Errorf("%w: it has %d of %d sessions", ErrImage, n, w.meta.sessions)
	}
	if err != nil {
		return err
	}
	w.b, n = jute.AppendInt(w.b, int32(w.meta.acls)), 0
	err = w.src.Read(keyACL, func(key, value []byte) error {
		if n++; len(key) != 5 {
			return fmt.Errorf("%w: a record with the key %x", ErrImage, key)
		}
		w.b = append(jute.AppendLong(w.b, int64(binary.BigEndian.Uint32(key[1:]))+1), value...)
		return w.handOver()
	})
	if err == nil && n != w.meta.acls {
		err = fmt.Errorf("%w: it has %d of %d ACLs", ErrImage, n, w.meta.acls)
	}
	return err
}

func (w *imageBody) handOver() error {
	if len(w.b) < bodyChunk {
		return nil
	}
	err := w.flush(w.b)
	w.b = w.b[:0]
	return err
}

// znode writes a znode, or notes that its parent is still to come.
func (w *imageBody) znode(id nodeID, value []byte) error {
	r, err := decodeRecord(value)
	if err != nil {
		return fmt.Errorf("znode %d: %w", id, err)
	}
	if _, waits := w.late[r.parent]; waits || r.parent > id {
		w.late[id] = false
		w.waiting = append(w.waiting, id)
		return nil
	}
	return w.write(id, &r)
}

// lateZnode writes a znode that has waited, after those above it that have, too.
func (w *imageBody) lateZnode(id nodeID) error {
	var chain []nodeID
	for up := id; ; {
		if done, waits := w.late[up]; done || !waits {
			break
		}
		if chain = append(chain, up); len(chain) > len(w.waiting) {
			return fmt.Errorf("%w: znode %d is below itself", ErrImage, id)
		}
		r, err := w.record(up)
		if err != nil {
			return err
		}
		up = r.parent
	}
	for i := len(chain) - 1; i >= 0; i-- {
		r, err := w.record(chain[i])
		if err == nil {
			err = w.write(chain[i], &r)
		}
		if err != nil {
			return err
		}
		w.late[chain[i]] = true
	}
	return nil
}

// record reads a znode that must be there.
func (w *imageBody) record(id nodeID) (r record, err error) {
	key := keyOfNode(id)
	v, err := w.src.Get(key[:])
	if err != nil {
		return r, err
	}
	if r, err = decodeRecord(v); err != nil {
		return r, fmt.Errorf("znode %d: %w", id, err)
	}
	return r, nil
}

// write writes a znode whose parent has been written.
func (w *imageBody) write(id nodeID, r *record) error {
	w.path = w.path[:0]
	if id != root {
		above, err := w.pathOf(r.parent)
		if err != nil {
			return err
		}
		w.path = append(append(append(w.path, above...), '/'), r.name...)
	}
	if r.cversion != 0 || r.pzxid != r.czxid { // it has or had children
		w.remember(id, string(w.path))
	}
	z := full{history: r.history, family: family{pzxid: r.pzxid, cversion: r.cversion}, data: r.data}
	w.digest.sum += uint64(w.digest.of(&r.node, w.path, &z))
	w.nodes++
	w.b = appendBodyNode(w.b, w.path, &r.node, &z, r.data == nil)
	return w.handOver()
}

// pathOf is the path of a znode that has been written, with "" for the root.
func (w *imageBody) pathOf(id nodeID) (string, error) {
	path, known := w.paths[id]
	if known || id == root {
		return path, nil
	}
	var names []string // from the bottom up
	for up := id; up != root && !known; {
		r, err := w.record(up)
		if err != nil {
			return "", err
		}
		if names = append(names, string(r.name)); uint64(len(names)) > w.meta.nodes {
			return "", fmt.Errorf("%w: znode %d is below itself", ErrImage, id)
		}
		up = r.parent
		path, known = w.paths[up]
	}
	for _, name := range slices.Backward(names) {
		path += "/" + name
	}
	w.remember(id, path)
	return path, nil
}

// maxPaths is how many bytes of paths are kept: a deep tree has paths that are much longer than it is.
const maxPaths = 64 << 20

// remember keeps a path. Those that are forgotten are put together from records again.
func (w *imageBody) remember(id nodeID, path string) {
	if w.kept += len(path); w.kept > w.mostKept {
		clear(w.paths)
		w.kept = len(path)
	}
	w.paths[id] = path
}
