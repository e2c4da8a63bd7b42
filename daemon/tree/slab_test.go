package tree

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/zkd-project/zkd/daemon/proto"
)

// TestClasses has every size in a class that is large enough and not wasteful.
func TestClasses(t *testing.T) {
	last := -1
	for n := 1; n <= maxCell; n++ {
		class, size := classOf(n)
		if size < n || class < last || class > last+1 || class >= cellClasses {
			t.Fatalf("%d bytes: class %d of %d bytes after class %d", n, class, size, last)
		}
		if waste := size - n; waste >= cellStep && waste > n/8 {
			t.Fatalf("%d bytes in %d", n, size)
		}
		last = class
	}
	if last != cellClasses-1 {
		t.Errorf("the last class is %d", last)
	}
}

// TestCells takes and gives back cells at random; each keeps what was written in it.
func TestCells(t *testing.T) {
	var c cells
	r := rand.New(rand.NewPCG(1, 2))
	type cell struct {
		ref  uint32
		want []byte
	}
	var used []cell
	for i := range 20_000 {
		if len(used) > 0 && r.IntN(5) < 2 {
			k := r.IntN(len(used))
			if got := c.at(used[k].ref, len(used[k].want)); !bytes.Equal(got, used[k].want) {
				t.Fatalf("step %d: a cell of %d bytes has changed", i, len(used[k].want))
			}
			c.release(used[k].ref, len(used[k].want))
			used[k] = used[len(used)-1]
			used = used[:len(used)-1]
			continue
		}
		size := 1 + r.IntN(300)
		if r.IntN(10) == 0 {
			size = 1 + r.IntN(2*maxCell)
		}
		n := cell{c.alloc(size), bytes.Repeat([]byte{byte(i)}, size)}
		copy(c.at(n.ref, size), n.want)
		used = append(used, n)
	}
	for _, n := range used {
		if !bytes.Equal(c.at(n.ref, len(n.want)), n.want) {
			t.Fatalf("a cell of %d bytes has changed", len(n.want))
		}
	}
}

// TestIndex puts numbers in and out, with hashes that collide.
func TestIndex(t *testing.T) {
	x := newIndex(2)
	r := rand.New(rand.NewPCG(3, 4))
	in := make(map[uint32]uint32)
	for range 50_000 {
		id := 1 + r.Uint32N(3000)
		hash := id % 700 * 0x9E3779B1
		if _, ok := in[id]; ok {
			x.remove(hash, id)
			delete(in, id)
		} else {
			x.insert(hash, id)
			in[id] = hash
		}
	}
	for id := uint32(1); id <= 3000; id++ {
		hash := id % 700 * 0x9E3779B1
		_, want := in[id]
		if got := x.find(hash, func(n uint32) bool { return n == id }) == id; got != want {
			t.Fatalf("%d: %v, want %v", id, got, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("what is not there was removed")
		}
	}()
	x.remove(12345, 1)
}

// TestVec keeps what is pushed and some of its memory.
func TestVec(t *testing.T) {
	var v vec[int]
	for range 2 {
		for i := range 100 * vecChunk {
			v.push(i)
		}
		for i := range v.len() {
			if *v.at(i) != i {
				t.Fatalf("%d at %d", *v.at(i), i)
			}
		}
		if v.pop() != 100*vecChunk-1 {
			t.Fatal("not the last one")
		}
		v.clear()
		if v.len() != 0 || len(v.chunks) != vecSpare {
			t.Fatalf("%d chunks are kept", len(v.chunks))
		}
	}
}

// TestSlotsAreUsedAgain deletes most of a tree, loads it, and fills it again: the
// numbers of the znodes do not grow.
func TestSlotsAreUsedAgain(t *testing.T) {
	d := newDriver()
	d.create("/d", nil)
	const many = 5 * chunkLen
	for i := range many {
		d.create(fmt.Sprintf("/d/n%d", i), []byte("x"))
	}
	last := d.t.nodes.used
	for i := range many {
		if i != 3*chunkLen { // the first and one in the middle stay: chunks without any znode
			d.do(&proto.Request{Op: proto.OpDelete, Path: fmt.Appendf(nil, "/d/n%d", i), Version: -1})
		}
	}
	image := make(map[string]string)
	d.t.Cut(&mapSink{image})
	for !d.t.Drain(100) {
	}
	for _, tr := range []*Tree{d.t, load(t, image)} {
		e := &driver{t: tr, zxid: d.zxid}
		for i := range many {
			if i != 3*chunkLen {
				e.create(fmt.Sprintf("/d/again%d", i), nil)
			}
		}
		if tr.nodes.used > last {
			t.Errorf("slot %d is used, %d was the last one", tr.nodes.used, last)
		}
		if err := tr.check(); err != nil {
			t.Error(err)
		}
	}
}

// TestLongNames have their length in four bytes, and are found.
func TestLongNames(t *testing.T) {
	d := newDriver()
	for _, n := range []int{253, 254, 255, 256, 4000, 5000, 100_000} {
		path := "/" + string(bytes.Repeat([]byte("x"), n))
		d.create(path, []byte("data"))
		if z, ok := d.t.Lookup(path); !ok || string(z.Data) != "data" {
			t.Errorf("a name of %d bytes: %q %v", n, z.Data, ok)
		}
		if code := d.do(&proto.Request{Op: proto.OpSetData, Path: []byte(path), Data: []byte("more data"), Version: -1}); code != 0 {
			t.Error(code)
		}
		d.create(path+"/child", nil)
	}
	image := make(map[string]string)
	d.t.Cut(&mapSink{image})
	for !d.t.Drain(100) {
	}
	if got := dumpTree(load(t, image)); got != dumpTree(d.t) {
		t.Error("the image is another tree")
	}
	if err := d.t.check(); err != nil {
		t.Error(err)
	}
}

// TestReaperHeap adds, moves and removes at random and takes out in order.
func TestReaperHeap(t *testing.T) {
	r, rnd := newReaper(), rand.New(rand.NewPCG(5, 6))
	for range 20_000 {
		id := nodeID(1 + rnd.Uint32N(500))
		switch {
		case !r.holds(id):
			r.add(id, proto.Millis(rnd.IntN(1000)))
		case rnd.IntN(3) == 0:
			r.remove(id)
		default:
			r.set(id, proto.Millis(rnd.IntN(1000)))
		}
	}
	last := proto.Millis(-1)
	for r.heap.len() > 0 {
		first := *r.heap.at(0)
		if first.at < last {
			t.Fatalf("%d after %d", first.at, last)
		}
		last = first.at
		r.remove(first.id)
	}
	if len(r.pos) != 0 {
		t.Errorf("%d are left", len(r.pos))
	}
}

// TestReapableIsBounded stops at the limit and goes on in the next call.
func TestReapableIsBounded(t *testing.T) {
	d := newDriver()
	for i := range 3000 {
		req := proto.Request{
			Op: proto.OpCreateTTL, Path: fmt.Appendf(nil, "/t%d", i), ACL: openACL, Flags: proto.FlagTTL, TTL: 10,
		}
		if d.do(&req) != proto.ErrOK {
			t.Fatal("refused")
		}
	}
	seen := make(map[string]bool)
	for range 3 {
		d.t.Reapable(5000, 1000, func(p []byte) { seen[string(p)] = true })
	}
	if len(seen) != 3000 {
		t.Errorf("%d are due", len(seen))
	}
	d.t.Reapable(5000, 1000, func(p []byte) { t.Errorf("%s once more", p) })
}

// TestNumbersOfCellsEnd: the number of a cell must not become that of another one.
func TestNumbersOfCellsEnd(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("there was another cell")
		}
	}()
	c := new(cells)
	class, _ := classOf(maxCell)
	k := &c.classes[class]
	k.chunks = make([]*[cellChunk]byte, 1<<(32-slotBits))
	k.slots = cellChunk / maxCell
	c.alloc(maxCell)
}
