package replica_test

import (
	"testing"

	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/jute"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zab"
)

// TestHeldClientThatDoesNotWait sends requests behind a connect request that has to wait for
// a leader to be found.
func TestHeldClientThatDoesNotWait(t *testing.T) {
	auth := new(fakeAuth)
	members, err := ensemble.ParseText("server.1=h1:1:2:participant\n")
	if err != nil {
		t.Fatal(err)
	}
	now := replica.Now{Wall: 1_000_000, Mono: 5_000}
	r := replica.New(replica.Config{
		ServerID: 1, TickTime: 2000, MinTimeout: 4000, MaxTimeout: 40000, ReapInterval: 60_000, ReapPerMinute: 1, Auth: auth,
		Zab: zab.Config{ID: 1, Ensemble: members, TickTime: 2000, InitLimit: 10, SyncLimit: 5, WindowTxns: 9, WindowBytes: 9},
	}, now, tree.New(tree.Options{Match: auth}), zab.Recovered{})
	w := &world{t: t, r: r, now: now}
	if r.Serving() {
		t.Fatal("it serves before its epoch is on the disk")
	}
	c := &replica.Conn{Owner: "a", IDs: []proto.ID{{Scheme: "ip", ID: "127.0.0.1"}}}
	hello := proto.ConnectRequest{Timeout: 10_000}
	r.Connect(now, c)
	for _, frame := range [][]byte{
		hello.Append(nil), w.encode("create", []string{"1", "/x", "data"}), w.encode("get", []string{"2", "/x"}),
	} {
		r.Input(now, c, frame)
	}
	var got []int32
	for range 50 {
		now.Mono += 100
		r.Tick(now)
		var e replica.Effects
		r.Effects(&e)
		for _, wr := range e.Writes {
			r.Durable(now, wr.Pos)
		}
		if c.Abort {
			t.Fatal("the connection was closed")
		}
	}
	d := jute.NewDecoder(c.Out.B)
	d.Buffer() // the answer to the connect request
	for len(d.Rest()) > 0 {
		got = append(got, jute.Int(d.Buffer()))
	}
	if len(got) != 2 || got[0] != 1 || got[1] != 2 {
		t.Errorf("answered %v", got)
	}
	if n := r.Outstanding(); n != 0 {
		t.Errorf("%d requests are outstanding", n)
	}
}
