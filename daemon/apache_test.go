package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// The files testdata/apache-* tell what servers of Apache ZooKeeper 3.9.5 answered: for each
// role and command the fields with the kinds of their values, and the metrics with theirs.

func lines(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

func fetch(t *testing.T, port int, path string) []byte {
	t.Helper()
	r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, r.Status, err)
	}
	return b
}

// shape adds the fields of a JSON value with the kinds of what they hold.
func shape(value any, path string, into map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for k, x := range v {
			if k == "" || k[0] >= '0' && k[0] <= '9' || k[0] == '/' {
				k = "*" // an id or a path
			}
			shape(x, strings.TrimPrefix(path+"."+k, "."), into)
		}
	case []any:
		for _, x := range v {
			shape(x, path+"[]", into)
		}
	case nil:
		into[path+" null"] = true
	case bool:
		into[path+" bool"] = true
	case float64:
		into[path+" number"] = true
	default:
		into[path+" text"] = true
	}
}

// TestApachesCommands compares the commands by HTTP, field by field.
func TestApachesCommands(t *testing.T) {
	e := newTrio(t)
	e.roles[2] = ":observer"
	for i := range 3 {
		e.admin[i] = freePort(t)
		e.start(i)
		defer e.halt(i)
	}
	at := map[string]int{}
	for i := range 3 {
		at[e.await(i)] = e.admin[i]
		c := connect(t, e.addr(i))
		defer c.Close()
		path := fmt.Sprintf("/e%d", i)
		if _, err := c.Create(path, nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := c.GetW(path); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if strings.Contains(string(fetch(t, at["leader"], "/commands/observers")), `"sid": 3`) {
			break
		}
	}
	compareCommands(t, at)
	compareMetrics(t, at)
}

func compareCommands(t *testing.T, at map[string]int) {
	t.Helper()
	answers := map[string]map[string]bool{}
	checked := 0
	for _, line := range lines(t, "testdata/apache-commands") {
		role, rest, _ := strings.Cut(line, " ")
		command, field, _ := strings.Cut(rest, " ")
		if at[role] == 0 {
			continue // a server on its own is compared elsewhere
		}
		answer := answers[role+command]
		if answer == nil {
			answer = map[string]bool{}
			answers[role+command] = answer
			var value any
			page := fetch(t, at[role], "/commands/"+command)
			if err := json.Unmarshal(page, &value); err != nil {
				t.Fatalf("%s of a %s: %v: %s", command, role, err, page)
			}
			shape(value, "", answer)
		}
		if checked++; !answer[field] {
			t.Errorf("%s of a %s has no %s", command, role, field)
		}
	}
	if checked < 200 {
		t.Errorf("only %d fields were compared", checked)
	}
}

// ours are metrics that only zkd or a later ZooKeeper has.
var ours = regexp.MustCompile(`^(zkd_|go_|process_|promhttp_|op_count_|epoch$|last_(logged|durable|committed)_zxid$|` +
	`quota_)`)

// compareMetrics looks for metrics that have no like in ZooKeeper, or are of another kind.
func compareMetrics(t *testing.T, at map[string]int) {
	t.Helper()
	kinds := map[string]string{}
	for _, line := range lines(t, "testdata/apache-metrics") {
		name, kind, _ := strings.Cut(line, " ")
		kinds[name] = kind
	}
	found := map[string]bool{}
	for role, port := range at {
		for line := range strings.Lines(string(fetch(t, port, "/metrics"))) {
			name, kind, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "# TYPE "), " ")
			if !ok || !strings.HasPrefix(line, "# TYPE ") {
				continue
			}
			found[name] = true
			if !ours.MatchString(name) && kinds[name] != kind {
				t.Errorf("%s of a %s is a %s, and Apache's a %q", name, role, kind, kinds[name])
			}
		}
	}
	for _, want := range []string{"quorum_size 2", "learners 2", "synced_followers 1", "synced_observers 1"} {
		if page := string(fetch(t, at["leader"], "/metrics")); !strings.Contains(page, "\n"+want+"\n") {
			t.Errorf("the leader of two voters and an observer does not tell %s", want)
		}
	}
	for role, port := range at {
		page := "\n" + string(fetch(t, port, "/metrics"))
		if uptime := value(page, "leader_uptime"); (uptime > 0) != (role == "leader") || uptime > 60_000 {
			t.Errorf("%s: leader_uptime %v", role, uptime)
		}
		if diffs := value(page, "diff_count"); diffs < 0 || role == "leader" && diffs < 2 || value(page, "snap_count") != 0 {
			t.Errorf("%s: diff_count %v, snap_count %v", role, diffs, value(page, "snap_count"))
		}
		for _, name := range []string{"startup_snap_load_time", "startup_txns_load_time", "startup_txns_loaded", "dbinittime"} {
			if value(page, name+"_count") != 1 {
				t.Errorf("%s: %s_count %v", role, name, value(page, name+"_count"))
			}
		}
	}
	if len(found) < 80 {
		t.Errorf("only %d metrics", len(found))
	}
	checkUses(t, found)
}

// value is that of a metric in a page, or -1.
func value(page, name string) float64 {
	_, rest, ok := strings.Cut(page, "\n"+name+" ")
	text, _, _ := strings.Cut(rest, "\n")
	v, err := strconv.ParseFloat(text, 64)
	if !ok || err != nil {
		return -1
	}
	return v
}

// checkUses looks for metrics that the dashboard and the alerts name, and no server has.
func checkUses(t *testing.T, found map[string]bool) {
	t.Helper()
	rule := regexp.MustCompile(`(?m)expr"?: "?(.*)$`)
	label := regexp.MustCompile(`\{[^}]*\}|\[[^\]]*\]`)
	name := regexp.MustCompile(`[a-z_]+[a-z]`)
	words := map[string]bool{"up": true, "histogram_quantile": true, "rate": true, "increase": true}
	for _, file := range []string{"../packaging/monitoring/alerts.yml", "../packaging/monitoring/dashboard.json"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		rules := rule.FindAllStringSubmatch(string(text), -1)
		if len(rules) < 5 {
			t.Errorf("%s: only %d rules were found", file, len(rules))
		}
		for _, m := range rules {
			for _, n := range name.FindAllString(label.ReplaceAllString(m[1], ""), -1) {
				base := strings.TrimSuffix(strings.TrimSuffix(n, "_bucket"), "_count")
				if !words[n] && !found[n] && !found[base] {
					t.Errorf("%s names %s, which no server has", file, n)
				}
			}
		}
	}
}
