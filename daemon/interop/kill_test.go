//go:build interop

package interop

import (
	"fmt"
	"strings"
	"time"

	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
)

// waitWrites waits until the server has taken a good many writes since its start.
func (p *process) waitWrites() {
	p.t.Helper()
	const enough = 300
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		var received int
		for line := range strings.Lines(p.word("srvr")) {
			fmt.Sscanf(line, "Received: %d", &received)
		}
		if received > enough {
			return
		}
	}
	p.t.Fatal("there are no writes to be interrupted")
}

func header(xid int32, op proto.Op, path string) []byte {
	return jute.AppendString(jute.AppendInt(jute.AppendInt(nil, xid), int32(op)), path)
}

// writeUntilGone writes, many requests under way, until the connection breaks, and
// returns the version that was acknowledged last.
func writeUntilGone(addr string, w int, version int32) map[string]int32 {
	acked := map[string]int32{}
	s, err := dial(addr, 60000, 0, nil)
	if err != nil {
		return acked
	}
	defer s.c.Close()
	b := jute.AppendBuffer(header(1, proto.OpCreate, key(w)), nil)
	s.send(jute.AppendInt(proto.AppendACLs(b, proto.OpenACLUnsafe), 0))
	s.frame()
	go func() {
		for v := version; ; v++ {
			b := jute.AppendBuffer(header(v+2, proto.OpSetData, key(w)), fmt.Appendf(nil, "%d", v+1))
			if s.send(jute.AppendInt(b, v)) != nil {
				return
			}
		}
	}()
	for {
		f, err := s.frame()
		if err != nil {
			return acked
		}
		d := jute.NewDecoder(f)
		d.Int()
		d.Long()
		if d.Int() != 0 {
			return acked
		}
		st := proto.DecodeStat(&d)
		acked[key(w)] = st.Version
	}
}

func versionOf(addr string, w int) (int32, error) {
	s, err := dial(addr, 60000, 0, nil)
	if err != nil {
		return 0, err
	}
	defer s.c.Close()
	s.send(jute.AppendBool(header(1, proto.OpGetData, key(w)), false))
	f, err := s.frame()
	if err != nil {
		return 0, err
	}
	d := jute.NewDecoder(f)
	d.Int()
	d.Long()
	if code := proto.ErrCode(d.Int()); code != proto.ErrOK {
		return 0, code
	}
	data := d.Buffer()
	st := proto.DecodeStat(&d)
	if st.Version > 0 && string(data) != fmt.Sprint(st.Version) {
		return 0, fmt.Errorf("version %d has the data %q", st.Version, data)
	}
	return st.Version, nil
}
