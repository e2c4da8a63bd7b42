//go:build interop

package interop

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

type kind int

const (
	kindCreate kind = iota + 1
	kindSet
	kindDelete
	kindGet
)

// input and output are what a client asked of a znode, and what it was told.
type input struct {
	kind    kind
	key     int
	value   string
	version int32
}

type output struct {
	unknown bool // the connection was lost before the reply
	code    proto.ErrCode
	value   string
	version int32
}

// znode is the state of one.
type znode struct {
	exists  bool
	value   string
	version int32
}

// step is what a request does to a znode, and what it is told.
func (z znode) step(in input) (znode, output) {
	switch {
	case in.kind == kindCreate && z.exists:
		return z, output{code: proto.ErrNodeExists}
	case in.kind == kindCreate:
		return znode{exists: true, value: in.value}, output{}
	case !z.exists:
		return z, output{code: proto.ErrNoNode}
	case in.kind == kindGet:
		return z, output{value: z.value, version: z.version}
	case in.version != -1 && in.version != z.version:
		return z, output{code: proto.ErrBadVersion}
	case in.kind == kindDelete:
		return znode{}, output{}
	}
	z.value, z.version = in.value, z.version+1
	return z, output{version: z.version}
}

// znodes is the model: each znode is alone. A request without an answer was done or not.
var znodes = porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := make([][]porcupine.Operation, loadKeys)
		for _, op := range history {
			k := op.Input.(input).key
			parts[k] = append(parts[k], op)
		}
		return slices.DeleteFunc(parts, func(p []porcupine.Operation) bool { return len(p) == 0 })
	},
	Init: func() []any { return []any{znode{}} },
	Step: func(state, in, out any) []any {
		z := state.(znode)
		next, told := z.step(in.(input))
		switch want := out.(output); {
		case want.unknown && next != z:
			return []any{z, next}
		case want.unknown || want == told:
			return []any{next}
		}
		return nil
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v %+v", in, out) },
}

// stamped is a write that was answered.
type stamped struct {
	zxid      proto.Zxid
	call, end time.Duration
}

// check ends the load and checks what the clients have noted.
func (l *load) check() {
	l.c.t.Helper()
	l.flows()
	l.stop.Store(true)
	l.running.Wait()
	if l.err != nil {
		l.c.t.Fatal(l.err)
	}
	for _, cl := range l.clients {
		cl.settle(time.Hour)
	}
	l.readAll()
	l.checkZxids()
	l.checkEphemerals()
	l.c.sameTrees()
	unknown := 0
	for _, op := range l.ops {
		if op.Output.(output).unknown {
			unknown++
		}
	}
	model := znodes.ToModel()
	switch result, info := porcupine.CheckOperationsVerbose(model, l.ops, time.Minute); result {
	case porcupine.Illegal:
		l.c.t.Fatalf("the history of %d requests is not linearizable; see %s", len(l.ops), l.draw(model, info))
	case porcupine.Unknown:
		l.c.t.Fatalf("porcupine did not come to an end with %d requests, %d of them without an answer", len(l.ops), unknown)
	}
	l.c.t.Logf("linearizable: %d requests, %d of them without an answer; clients moved %d times, %d sessions ended unasked",
		len(l.ops), unknown, l.moves, l.expired)
}

// draw leaves a picture of a history behind.
func (l *load) draw(model porcupine.Model, info porcupine.LinearizationInfo) string {
	file, err := os.CreateTemp("", "zkd-history-*.html")
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	if err := porcupine.Visualize(model, info, file); err != nil {
		return err.Error()
	}
	return file.Name()
}

// readAll reads everything from every server, as part of the history: what was
// acknowledged has to be there.
func (l *load) readAll() {
	l.c.t.Helper()
	for i, p := range l.c.servers {
		s := l.c.reader(p)
		for k := range loadKeys {
			call := l.now()
			code, d := s.ask(jute.AppendBool(header(2, proto.OpGetData, keyPath(k)), false))
			out := output{code: code}
			if code == proto.ErrOK {
				out.value = string(d.Buffer())
				out.version = proto.DecodeStat(&d).Version
			}
			l.ops = append(l.ops, porcupine.Operation{ClientId: len(l.clients) + i,
				Input: input{kind: kindGet, key: k}, Call: int64(call), Output: out, Return: int64(l.now())})
		}
		s.c.Close()
	}
}

// reader is a session at a server that has got everything that was committed.
func (c *cluster) reader(p *process) *asker {
	c.t.Helper()
	var err error
	for range 100 {
		var s *session
		if s, err = dial(p.addr, 10000, 0, nil); err == nil && s.id != 0 {
			a := &asker{session: s, p: p}
			a.ask(header(1, proto.OpSync, "/"))
			return a
		}
		time.Sleep(50 * time.Millisecond)
	}
	c.t.Fatalf("%s (%s) takes no session: %v", p.addr, p.name, err)
	return nil
}

// asker is a session that asks one thing after the other.
type asker struct {
	*session
	p *process
}

func (a *asker) ask(b []byte) (proto.ErrCode, jute.Decoder) {
	a.p.t.Helper()
	a.send(b)
	f, err := a.frame()
	if err != nil {
		a.p.t.Fatalf("%s (%s), asked for %q: %v%s", a.p.name, a.p.mode(), b, err, a.p.threads())
	}
	d := jute.NewDecoder(f)
	d.Int()
	d.Long()
	return proto.ErrCode(d.Int()), d
}

// checkZxids checks that writes have numbers of their own, which grow with time.
func (l *load) checkZxids() {
	l.c.t.Helper()
	byCall := slices.Clone(l.writes)
	slices.SortFunc(byCall, func(a, b stamped) int { return int(a.call - b.call) })
	slices.SortFunc(l.writes, func(a, b stamped) int { return int(a.end - b.end) })
	seen, last, n := make(map[proto.Zxid]bool), stamped{}, 0
	for _, w := range byCall {
		for ; n < len(l.writes) && l.writes[n].end < w.call; n++ {
			if l.writes[n].zxid > last.zxid {
				last = l.writes[n]
			}
		}
		if w.zxid <= last.zxid {
			l.c.t.Fatalf("a write sent at %v has got zxid %v; one that was answered at %v has %v", w.call, w.zxid, last.end, last.zxid)
		}
		if seen[w.zxid] {
			l.c.t.Fatalf("two writes have got zxid %v", w.zxid)
		}
		seen[w.zxid] = true
	}
}

// checkEphemerals waits until the ephemerals of sessions that are over are gone, and
// checks that those of sessions that go on are there, on every server.
func (l *load) checkEphemerals() {
	l.c.t.Helper()
	var live, sure []string
	for _, cl := range l.clients {
		name := strings.TrimPrefix(cl.own, "/e/")
		if cl.own != "" {
			live = append(live, name)
		}
		if cl.sure {
			sure = append(sure, name)
		}
	}
	lacks := func(has, wanted []string) []string {
		return slices.DeleteFunc(slices.Clone(wanted), func(n string) bool { return slices.Contains(has, n) })
	}
	began := time.Now() // the sessions end some time after, as nobody keeps them alive any more
	for _, p := range l.c.servers {
		deadline := time.Now().Add(4 * loadTimeout)
		for {
			s := l.c.reader(p)
			code, d := s.ask(jute.AppendBool(header(2, proto.OpGetChildren, "/e"), false))
			s.c.Close()
			if code != proto.ErrOK {
				l.c.t.Fatalf("the children of /e: %v", code)
			}
			var got []string
			for range d.Int() {
				got = append(got, string(d.Buffer()))
			}
			if missing := lacks(got, sure); len(missing) > 0 && time.Since(began) < loadTimeout/2 {
				l.c.t.Fatalf("%s lacks %v, of sessions that go on", p.addr, missing)
			}
			if len(lacks(live, got)) == 0 {
				break
			}
			if time.Now().After(deadline) {
				l.c.t.Fatalf("%s still has %v, of which only %v have a session that goes on", p.addr, got, live)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
}

// sameTrees checks that all servers that tell had the same tree at the same zxid: they
// tell it at each 128th.
func (c *cluster) sameTrees() {
	c.t.Helper()
	s := c.reader(c.servers[c.leader()])
	for range 130 {
		s.ask(jute.AppendInt(jute.AppendBuffer(header(2, proto.OpSetData, "/"), nil), -1))
	}
	s.c.Close()
	at := make(map[string]string)
	common := 0
	for i, p := range c.servers {
		if p.hasHole() {
			continue
		}
		c.reader(p).c.Close() // it is up to date now
		for line := range strings.Lines(p.word("hash")) {
			zxid, digest, ok := strings.Cut(strings.TrimSpace(line), ": ")
			if !ok || digest == "0" {
				continue
			}
			if n, err := strconv.ParseInt(digest, 10, 64); err == nil && n < 0 { // Java has no other long
				digest = strconv.FormatUint(uint64(n), 10)
			}
			if other := at[zxid]; other != "" && other != digest {
				c.t.Fatalf("server %d (%s) had a tree with digest %s at %s; another one had %s", i+1, p.name, digest, zxid, other)
			} else if other != "" {
				common++
			}
			at[zxid] = digest
		}
	}
	c.t.Logf("%d digests of trees were equal to those of others", common)
	if common == 0 && !slices.ContainsFunc(c.servers, (*process).hasHole) {
		c.t.Fatal("no digests to compare")
	}
}
