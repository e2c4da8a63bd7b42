package admin

import (
	"context"
	"encoding/binary"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/zkd-project/zkd/daemon/auth"
	"github.com/zkd-project/zkd/daemon/ensemble"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/tree"
	"github.com/zkd-project/zkd/daemon/zab"
)

// backend answers for a replica without a server around it.
type backend struct {
	r       *replica.Replica
	still   error
	auth    *auth.Schemes
	list    *ensemble.Config
	backups Backups
	backup  func() (Backup, error)
	restore func(in io.Reader, size int64, who string) (Restored, error)
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	s, err := auth.New(auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	now := replica.Now{Wall: 1_000_000, Mono: 1000}
	return &backend{auth: s, r: replica.New(replica.Config{
		ServerID: 1, TickTime: 2000, MinTimeout: 4000, MaxTimeout: 40000, ReapInterval: 60000, ReapPerMinute: 100, Auth: s,
	}, now, tree.New(tree.Options{Match: s}), zab.Recovered{})}
}

func (b *backend) Info() Info {
	return Info{
		Version: "3.9.5-zkd-test, built on today", ClientPort: 2181, DataDir: "/data", DataLogDir: "/log",
		TickTime: 2000, MaxClientCnxns: 60, MinSessionTimeout: 4000, MaxSessionTimeout: 40000, Backlog: -1,
		Backups: b.backups, Ensemble: b.list,
	}
}

func (*backend) Process() Process {
	return Process{Uptime: 5 * time.Second, OpenFiles: 3, MaxFiles: 1024, Environment: [][2]string{{"host.name", "h"}}}
}
func (b *backend) Ask(f func(*replica.Replica))     { f(b.r) }
func (*backend) Peer(*replica.Conn) (string, int64) { return "/127.0.0.1:5", 0 }
func (*backend) Usage() (image, log int64)          { return 10, 20 }
func (*backend) Metrics() []Metric                  { return nil }
func (*backend) Image() (proto.Zxid, int64)         { return 7, 1000 }
func (*backend) Learners() map[int64]Learner        { return nil }
func (b *backend) Authenticate(scheme string, data []byte, peer netip.Addr) ([]proto.ID, proto.ErrCode) {
	return b.auth.Authenticate(scheme, data, proto.ID{Scheme: "ip", ID: peer.String()})
}
func (b *backend) Backup(context.Context, string) (Backup, error) { return b.backup() }
func (b *backend) Restore(_ context.Context, in io.Reader, size int64, who string) (Restored, error) {
	return b.restore(in, size, who)
}
func (b *backend) Alive() error   { return b.still }
func (*backend) Now() replica.Now { return replica.Now{Wall: 1_000_000, Mono: 1000} }

// open gives the replica a connection with a session.
func (b *backend) open() {
	c := new(replica.Conn)
	b.r.Connect(b.Now(), c)
	req := proto.ConnectRequest{Timeout: 10000, Password: make([]byte, 16), HasReadOnly: true}
	b.r.Input(b.Now(), c, req.Append(nil))
	var e replica.Effects
	b.r.Effects(&e)
	b.r.Durable(b.Now(), e.Writes[0].Pos)
}

func TestAnswers(t *testing.T) {
	b := newBackend(t)
	w := New(b, []string{"*"})
	for word, want := range map[string]string{
		"ruok": "imok", "isro": "rw", "gtmk": "306",
		"srvr": "Zookeeper version: 3.9.5-zkd-test, built on today\nLatency min/avg/max: 0/0.0/0\nReceived: 0\nSent: 0\n" +
			"Connections: 0\nOutstanding: 0\nZxid: 0x0\nMode: standalone\nNode count: 5\n",
		"conf": "clientPort=2181\nsecureClientPort=-1\ndataDir=/data\ndataDirSize=10\ndataLogDir=/log\ndataLogSize=20\n" +
			"tickTime=2000\nmaxClientCnxns=60\nminSessionTimeout=4000\nmaxSessionTimeout=40000\n" +
			"clientPortListenBacklog=-1\nserverId=0\n",
		"dirs": "datadir_size: 10\nlogdir_size: 20\n",
		"envi": "Environment:\nzookeeper.version=3.9.5-zkd-test, built on today\nhost.name=h\n",
		"wchs": "0 connections watching 0 paths\nTotal watches:0\n", "wchc": "\n", "wchp": "\n", "cons": "\n", "hash": "",
		"dump": "SessionTracker dump:\nSession Sets (0)/(0):\nephemeral nodes dump:\nSessions with Ephemerals (0):\n" +
			"Connections dump:\nConnections Sets (0)/(0):\n",
	} {
		if got, known := w.Answer(word, nil); !known || string(got) != want {
			t.Errorf("%s: %q and not %q", word, got, want)
		}
	}
	if _, known := w.Answer("what", nil); known {
		t.Error("a word that is none is known")
	}
	if got, _ := w.Answer("stmk", binary.BigEndian.AppendUint64(nil, 17)); string(got) != "17" {
		t.Errorf("stmk: %q", got)
	}
}

func TestConnections(t *testing.T) {
	b := newBackend(t)
	b.open()
	w := New(b, []string{"*"})
	for word, want := range map[string]string{
		"cons": " /127.0.0.1:5[1](queued=0,recved=1,sent=1,sid=0x100000f42400000,lop=SESS,est=1000000,to=10000,lzxid=0x1," +
			"lresp=1000,llat=0,minlat=0,avglat=0,maxlat=0)\n\n",
		"stat": "Clients:\n /127.0.0.1:5[1](queued=0,recved=1,sent=1)\n\nLatency",
		"dump": "Session Sets (1)/(1):\n1 expire at ", "mntr": "zk_global_sessions\t1\n",
	} {
		if got, _ := w.Answer(word, nil); !strings.Contains(string(got), want) {
			t.Errorf("%s: %q has no %q", word, got, want)
		}
	}
}

func TestAllowed(t *testing.T) {
	w := New(newBackend(t), []string{"ruok"})
	if got, _ := w.Answer("mntr", nil); string(got) != "mntr is not executed because it is not in the whitelist.\n" {
		t.Errorf("%q", got)
	}
	if got, _ := w.Answer("srvr", nil); !strings.HasPrefix(string(got), "Zookeeper version") {
		t.Errorf("srvr is always allowed: %q", got)
	}
	w.Allow([]string{"*"})
	if got, _ := w.Answer("mntr", nil); !strings.Contains(string(got), "zk_znode_count\t5\n") {
		t.Errorf("%q", got)
	}
}

// looking is a server that looks for a leader.
func looking(t *testing.T, b *backend) *replica.Replica {
	t.Helper()
	list, err := ensemble.ParseText("server.1=h1:2888:3888\nserver.2=h2:2888:3888\nserver.3=h3:2888:3888\n")
	if err != nil {
		t.Fatal(err)
	}
	return replica.New(replica.Config{
		ServerID: 1, TickTime: 2000, MinTimeout: 4000, MaxTimeout: 40000, Zab: zab.Config{ID: 1, Ensemble: list, TickTime: 2000},
	}, b.Now(), tree.New(tree.Options{}), zab.Recovered{})
}

// TestNoQuorum asks a server that looks for a leader: what harms nobody is answered all the same.
func TestNoQuorum(t *testing.T) {
	b := newBackend(t)
	b.r = looking(t, b)
	w := New(b, []string{"*"})
	for word, want := range map[string]string{
		"ruok": "imok", "isro": "null", "srvr": notServing + "\nZookeeper version", "stat": "\nMode: looking\n",
		"mntr": "zk_server_state\tlooking\n", "conf": "clientPort=2181",
	} {
		if got, _ := w.Answer(word, nil); !strings.Contains(string(got), want) {
			t.Errorf("%s: %q has no %q", word, got, want)
		}
	}
	for _, word := range []string{"cons", "dump", "wchs"} {
		if got, _ := w.Answer(word, nil); string(got) != notServing+"\n" {
			t.Errorf("%s: %q", word, got)
		}
	}
}

func TestAverage(t *testing.T) {
	for _, c := range []struct {
		sum, count int64
		want       string
	}{{0, 0, "0.0"}, {4, 2, "2.0"}, {1, 3, "0.3333"}, {5, 2, "2.5"}} {
		if got := average(c.sum, c.count); got != c.want {
			t.Errorf("%d/%d is %s", c.sum, c.count, got)
		}
	}
}
