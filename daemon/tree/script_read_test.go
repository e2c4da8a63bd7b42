package tree

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

var scriptReads = map[string]proto.Op{
	"exists": proto.OpExists, "get": proto.OpGetData, "ls": proto.OpGetChildren, "ls2": proto.OpGetChildren2,
	"getacl": proto.OpGetACL, "count": proto.OpGetAllChildrenNumber, "ephemerals": proto.OpGetEphemerals,
	"addwatch": proto.OpAddWatch, "checkwatches": proto.OpCheckWatches, "removewatches": proto.OpRemoveWatches,
	"multiread": proto.OpMultiRead,
}

// read runs a read, if the line is one: a path, then "watch", or "mode=N".
func (s *script) read(f []string) bool {
	switch f[0] {
	case "setwatches":
		s.setWatches(f[1:])
		return true
	case "reapable":
		s.t.Reapable(proto.Millis(number(f[1])), int(number(f[2])), func(p []byte) { fmt.Fprintf(&s.out, "%s\n", p) })
		return true
	case "watches":
		conns, paths, total := s.t.WatchSummary()
		fmt.Fprintf(&s.out, "%d connections, %d paths, %d watches, %d in both tables\n",
			conns, paths, total, s.t.Counts().Watches)
		return true
	case "quotas":
		var quotas []string
		s.t.VisitQuotas(func(q Quota) { quotas = append(quotas, fmt.Sprintf("%+v\n", q)) })
		slices.Sort(quotas)
		s.out.WriteString(strings.Join(quotas, ""))
		return true
	}
	op, ok := scriptReads[f[0]]
	if !ok {
		return false
	}
	req := proto.Request{Op: op, Watch: slices.Contains(f, "watch")}
	if len(f) > 1 {
		req.Path = text(f[1])
	}
	for _, w := range f {
		if value, ok := strings.CutPrefix(w, "mode="); ok {
			req.Mode = int32(number(value))
		}
	}
	if op == proto.OpMultiRead {
		req.Ops = scriptMultiRead(f[1:])
	}
	var out proto.Out
	code := s.t.Read(&s.c, &req, &out)
	if code != proto.ErrOK {
		fmt.Fprintln(&s.out, code)
		if out.Len() > 0 {
			panic("an error with a body")
		}
		return true
	}
	d := jute.NewDecoder(flat(&out))
	s.body(op, &d)
	if d.Err() != nil || len(d.Rest()) > 0 {
		panic(fmt.Sprintf("the body of %v: %v, %d bytes left", op, d.Err(), len(d.Rest())))
	}
	return true
}

// flat joins the parts of an output.
func flat(o *proto.Out) (b []byte) {
	at := 0
	for _, r := range o.Refs {
		b = append(append(b, o.B[at:r.At]...), r.V...)
		at = r.At
	}
	return append(b, o.B[at:]...)
}

// scriptMultiRead reads words like "getdata:/a".
func scriptMultiRead(words []string) (b []byte) {
	for _, w := range words {
		op, path, _ := strings.Cut(w, ":")
		b = appendMultiHeader(b, scriptOps[op], false, -1)
		b = jute.AppendString(b, path)
		if r := scriptOps[op]; r == proto.OpGetData || r == proto.OpGetChildren {
			b = jute.AppendBool(b, true) // the watch flag, to be ignored
		} else {
			b = jute.AppendInt(b, -1)
		}
	}
	return appendMultiHeader(b, proto.OpError, true, -1)
}

func (s *script) body(op proto.Op, d *jute.Decoder) {
	switch op {
	case proto.OpExists:
		fmt.Fprintln(&s.out, statText(proto.DecodeStat(d)))
	case proto.OpGetData:
		data := d.Buffer()
		word := fmt.Sprintf("%q", data)
		if data == nil {
			word = "null"
		} else if len(data) > 100 {
			word = fmt.Sprintf("%d bytes", len(data))
		}
		fmt.Fprintln(&s.out, word, statText(proto.DecodeStat(d)))
	case proto.OpGetChildren:
		fmt.Fprintln(&s.out, names(d))
	case proto.OpGetChildren2:
		fmt.Fprintln(&s.out, names(d), statText(proto.DecodeStat(d)))
	case proto.OpGetACL:
		acls, _ := proto.DecodeACLs(d)
		fmt.Fprintln(&s.out, acls, statText(proto.DecodeStat(d)))
	case proto.OpGetAllChildrenNumber:
		fmt.Fprintln(&s.out, d.Int())
	case proto.OpGetEphemerals:
		fmt.Fprintln(&s.out, names(d))
	case proto.OpAddWatch:
		fmt.Fprintln(&s.out, "code", d.Int())
	case proto.OpMultiRead:
		s.multiReadBody(d)
	default:
		fmt.Fprintln(&s.out, "ok")
	}
}

func names(d *jute.Decoder) []string {
	list := []string{}
	for range d.Count(4) {
		list = append(list, string(d.Buffer()))
	}
	slices.Sort(list)
	return list
}

func (s *script) multiReadBody(d *jute.Decoder) {
	for {
		op, done, code := proto.Op(d.Int()), d.Bool(), proto.ErrCode(d.Int())
		if done {
			return
		}
		if op == proto.OpError {
			if got := proto.ErrCode(d.Int()); got != code {
				panic("two codes")
			}
			fmt.Fprintln(&s.out, code)
			continue
		}
		s.body(op, d)
	}
}

// setWatches runs "setwatches ZXID data=/a,/b exist=/c child=/d persistent=/e recursive=/f".
func (s *script) setWatches(f []string) {
	lists := map[string]string{}
	for _, w := range f[1:] {
		key, value, _ := strings.Cut(w, "=")
		lists[key] = value
	}
	req := proto.Request{Op: proto.OpSetWatches2, Relative: proto.Zxid(number(f[0]))}
	for _, key := range []string{"data", "exist", "child", "persistent", "recursive"} {
		paths := strings.FieldsFunc(lists[key], func(r rune) bool { return r == ',' })
		req.Lists = jute.AppendInt(req.Lists, int32(len(paths)))
		for _, p := range paths {
			req.Lists = jute.AppendString(req.Lists, p)
		}
	}
	var out proto.Out
	fmt.Fprintf(&s.out, "%v\n", s.t.SetWatches(&s.c, &req, &out))
	for b := out.B; len(b) > 0; {
		d := jute.NewDecoder(b)
		frame := d.Buffer()
		b = d.Rest()
		d = jute.NewDecoder(frame)
		xid, zxid, code := d.Int(), d.Long(), d.Int()
		typ, state, path := proto.EventType(d.Int()), d.Int(), d.Buffer()
		fmt.Fprintf(&s.out, "  -> xid %d zxid %d code %d: %v state %d %s\n", xid, zxid, code, typ, state, path)
	}
}
