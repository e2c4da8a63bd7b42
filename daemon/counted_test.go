package daemon

import (
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/zkd-project/zkd/daemon/client"
	"github.com/zkd-project/zkd/daemon/proto"
)

// TestRefusedAndDropped counts requests beyond a hard quota, and clients that went without a word.
func TestRefusedAndDropped(t *testing.T) {
	s := startWith(t, t.TempDir(), "enforceQuota=true\n")
	defer s.stop()
	c := connect(t, s.addr)
	defer c.Close()
	open := zk.WorldACL(zk.PermAll)
	for _, z := range [][2]string{
		{"/app", ""}, {"/zookeeper/quota/app", ""}, {"/zookeeper/quota/app/zookeeper_stats", "count=1,bytes=0"},
		{"/zookeeper/quota/app/zookeeper_limits", "count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=2"}, {"/app/a", ""},
	} {
		if _, err := c.Create(z[0], []byte(z[1]), 0, open); err != nil {
			t.Fatalf("%s: %v", z[0], err)
		}
	}
	for range 3 {
		if _, err := c.Create("/app/b", nil, 0, open); err == nil {
			t.Fatal("the quota is not enforced")
		}
	}
	connect(t, s.addr).Close() // as it should be
	text := monitored(t, s.addr)
	for _, line := range []string{"zk_connection_drop_count\t0\n", "zk_app_quota_exceeded_error_per_namespace\t3\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q in %s", line, text)
		}
	}
	r := dialRaw(t, s.addr)
	if r.ask((&proto.ConnectRequest{Timeout: 10000, Password: make([]byte, 16)}).Append(nil)) == nil {
		t.Fatal("no session")
	}
	r.conn.Close()
	until(t, "who has gone is counted", func() bool {
		return strings.Contains(monitored(t, s.addr), "zk_connection_drop_count\t1\n")
	})
}

func monitored(t *testing.T, addr string) string {
	t.Helper()
	text, err := client.Word(addr, "mntr", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
