package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
)

// command is one of Apache's commands by HTTP. Source of names and fields: Commands.java.
type command struct {
	names []string // the first one is its own
	idle  bool     // is answered without a quorum, too
	run   func(*Words, *object, url.Values) error

	// Instead of run: a command that writes its answer itself, and is asked by POST or by GET.
	serve func(*Words, http.ResponseWriter, *http.Request)
	post  bool
}

var commands = []command{
	{names: []string{"configuration", "conf", "config"}, run: (*Words).configuration},
	{names: []string{"connection_stat_reset", "crst"}, run: func(w *Words, _ *object, _ url.Values) error {
		w.backend.Ask(func(r *replica.Replica) { r.VisitConns((*replica.Conn).ResetStats) })
		return nil
	}},
	{names: []string{"connections", "cons"}, run: (*Words).connections},
	{names: []string{"dirs"}, run: func(w *Words, o *object, _ url.Values) error {
		image, log := w.backend.Usage()
		o.put("datadir_size", image)
		o.put("logdir_size", log)
		return nil
	}},
	{names: []string{"dump"}, run: (*Words).sessionsDump},
	{names: []string{"environment", "env", "envi"}, idle: true, run: func(w *Words, o *object, _ url.Values) error {
		o.put("zookeeper.version", w.backend.Info().Version)
		for _, e := range w.backend.Process().Environment {
			o.put(e[0], e[1])
		}
		return nil
	}},
	{names: []string{"get_trace_mask", "gtmk"}, idle: true, run: func(w *Words, o *object, _ url.Values) error {
		o.put("tracemask", w.trace.Load())
		return nil
	}},
	{names: []string{"hash"}, run: (*Words).digests},
	{names: []string{"initial_configuration", "icfg"}, run: (*Words).initialConfiguration},
	{names: []string{"is_read_only", "isro"}, run: func(w *Words, o *object, _ url.Values) error {
		o.put("read_only", w.status().ReadOnly)
		return nil
	}},
	{names: []string{"last_snapshot", "lsnp"}, run: func(w *Words, o *object, _ url.Values) error {
		zxid, at := w.backend.Image()
		o.put("zxid", strconv.FormatUint(uint64(zxid), 16))
		o.put("timestamp", at)
		return nil
	}},
	{names: []string{"leader", "lead"}, run: (*Words).leader},
	{names: []string{"monitor", "mntr"}, idle: true, run: func(w *Words, o *object, _ url.Values) error {
		*o = append(*o, w.monitored()...)
		return nil
	}},
	{names: []string{"observer_connection_stat_reset", "orst"}, run: nothing}, // there are no such counters
	{names: []string{"observers", "obsr"}, run: (*Words).observers},
	{names: []string{"restore", "rest"}, serve: (*Words).restore, post: true},
	{names: []string{"ruok"}, run: nothing},
	{names: []string{"server_stats", "srvr"}, run: (*Words).serverStats},
	{names: []string{"set_trace_mask", "stmk"}, idle: true, run: (*Words).traceMask},
	{names: []string{"snapshot", "snap"}, serve: (*Words).snapshot},
	{names: []string{"stat_reset", "srst"}, run: func(w *Words, _ *object, _ url.Values) error {
		w.backend.Ask((*replica.Replica).ResetStats)
		return nil
	}},
	{names: []string{"stats", "stat"}, run: func(w *Words, o *object, q url.Values) error {
		if err := w.serverStats(o, q); err != nil {
			return err
		}
		return w.connections(o, q)
	}},
	{names: []string{"system_properties", "sysp"}, idle: true, run: (*Words).systemProperties},
	{names: []string{"voting_view"}, run: (*Words).votingView},
	{names: []string{"watch_summary", "wchs"}, run: func(w *Words, o *object, _ url.Values) error {
		w.backend.Ask(func(r *replica.Replica) {
			conns, paths, total := r.Tree().WatchSummary()
			o.put("num_connections", conns)
			o.put("num_paths", paths)
			o.put("num_total_watches", total)
		})
		return nil
	}},
	{names: []string{"watches", "wchc"}, run: (*Words).watches},
	{names: []string{"watches_by_path", "wchp"}, run: (*Words).watchesByPathCommand},
	{names: []string{"zabstate"}, idle: true, run: (*Words).zabState},
}

// Command answers a command of the HTTP admin server.
func (w *Words) Command(name string, query url.Values) any {
	var o object
	end := func(name string, err error) object {
		o.put("command", name)
		if err == nil {
			o.put("error", nil)
		} else {
			o.put("error", err.Error())
		}
		return o
	}
	c := find(name)
	if c == nil || c.run == nil {
		return end(name, fmt.Errorf("Unknown command: %s", name)) //nolint:staticcheck // Apache's text
	}
	if s := w.status(); !c.idle && !s.Serving && !s.ReadOnly {
		return end(c.names[0], fmt.Errorf(notServing)) //nolint:staticcheck // Apache's text
	}
	return end(c.names[0], c.run(w, &o, query))
}

func find(name string) *command {
	i := slices.IndexFunc(commands, func(c command) bool { return slices.Contains(c.names, name) })
	if i < 0 {
		return nil
	}
	return &commands[i]
}

func nothing(*Words, *object, url.Values) error { return nil }

// initialConfiguration shows what was set as lines of zoo.cfg.
func (w *Words) initialConfiguration(o *object, _ url.Values) error {
	i := w.backend.Info()
	var b strings.Builder
	for _, s := range i.Settings {
		fmt.Fprintf(&b, "%s=%s\n", s[0], s[1])
	}
	if i.Ensemble != nil {
		fmt.Fprintln(&b, i.Ensemble)
	}
	o.put("initial_configuration", b.String())
	return nil
}

// systemProperties shows the settings by the names that they have as properties in Java.
func (w *Words) systemProperties(o *object, _ url.Values) error {
	list := slices.Clone(w.backend.Process().Environment)
	for _, s := range w.backend.Info().Settings {
		list = append(list, [2]string{"zookeeper." + strings.TrimPrefix(s[0], "zookeeper."), s[1]})
	}
	slices.SortFunc(list, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	for _, e := range list {
		o.put(e[0], e[1])
	}
	return nil
}

func (w *Words) configuration(o *object, _ url.Values) error {
	i := w.backend.Info()
	o.put("client_port", i.ClientPort)
	o.put("data_dir", i.DataDir)
	o.put("data_log_dir", i.DataLogDir)
	o.put("tick_time", i.TickTime)
	o.put("max_client_cnxns", i.MaxClientCnxns)
	o.put("min_session_timeout", i.MinSessionTimeout)
	o.put("max_session_timeout", i.MaxSessionTimeout)
	o.put("server_id", i.ServerID)
	o.put("client_port_listen_backlog", i.Backlog)
	return nil
}

func (w *Words) traceMask(o *object, q url.Values) error {
	if !q.Has("traceMask") {
		return fmt.Errorf("setTraceMask requires long traceMask argument")
	}
	n, err := strconv.ParseInt(q.Get("traceMask"), 10, 64)
	if err != nil {
		return fmt.Errorf("setTraceMask requires long traceMask argument, got %s", q.Get("traceMask"))
	}
	w.trace.Store(n)
	o.put("tracemask", n)
	return nil
}

func (w *Words) digests(o *object, _ url.Values) error {
	list := []object{}
	w.backend.Ask(func(r *replica.Replica) {
		for _, d := range r.Tree().Digests() {
			at := object{{"zxid", int64(d.Zxid)}, {"digest", int64(d.Digest)}, {"digest_version", 2}}
			list = append(list, at)
		}
	})
	o.put("digests", list)
	return nil
}

func (w *Words) serverStats(o *object, _ url.Values) error {
	g := w.gather()
	s := &g.status
	value := make(map[string]int64)
	for i := range g.list {
		value[g.list[i].Name] = int64(g.list[i].Value)
	}
	image, log := w.backend.Usage()
	replies := object{
		{"last_buffer_size", value["last_client_response_size"]},
		{"min_buffer_size", value["min_client_response_size"]},
		{"max_buffer_size", value["max_client_response_size"]},
	}
	o.put("version", w.backend.Info().Version)
	o.put("read_only", s.ReadOnly)
	o.put("server_stats", object{
		{"packets_sent", s.Sent}, {"packets_received", s.Received},
		{"fsync_threshold_exceed_count", value["zkd_slow_syncs_total"]}, {"client_response_stats", replies},
		{"data_dir_size", image}, {"log_dir_size", log},
		{"last_processed_zxid", int64(s.Zxid)}, {"server_state", Mode(s)},
		{"outstanding_requests", s.Outstanding}, {"avg_latency", text(average(int64(s.Latency), s.Replies))},
		{"max_latency", s.MaxLatency}, {"min_latency", s.MinLatency},
		{"num_alive_client_connections", s.Connections},
		{"auth_failed_count", s.AuthFailed}, {"non_mtlsremote_conn_count", 0}, {"non_mtlslocal_conn_count", 0},
		{"provider_null", false}, {"uptime", w.backend.Process().Uptime.Milliseconds()},
	})
	o.put("client_response", replies)
	if Mode(s) == "leader" {
		o.put("proposal_stats", object{
			{"last_buffer_size", value["last_proposal_size"]}, {"min_buffer_size", value["min_proposal_size"]},
			{"max_buffer_size", value["max_proposal_size"]},
		})
	}
	o.put("node_count", value["znode_count"])
	return nil
}

func (w *Words) connections(o *object, _ url.Values) error {
	list := []object{}
	w.backend.Ask(func(r *replica.Replica) {
		r.VisitConns(func(c *replica.Conn) {
			addr, _ := w.backend.Peer(c)
			s := &c.Stats
			one := object{
				{"remote_socket_address", strings.TrimPrefix(addr, "/")}, {"interest_ops", text(interest(c))},
				{"outstanding_requests", c.Pending()}, {"packets_received", s.Received}, {"packets_sent", s.Sent},
			}
			if c.Session() != 0 {
				avg := proto.Millis(0)
				if s.Replies > 0 {
					avg = s.Latency / proto.Millis(s.Replies)
				}
				one = append(one, object{
					{"session_id", int64(c.Session())}, {"last_operation", s.LastOp.Short()},
					{"established", s.Established}, {"session_timeout", c.Timeout()},
					{"last_cxid", s.LastCxid}, {"last_zxid", int64(s.LastZxid)},
					{"last_response_time", s.LastResponse}, {"last_latency", s.LastLatency},
					{"min_latency", s.MinLatency}, {"avg_latency", avg}, {"max_latency", s.MaxLatency},
				}...)
			}
			list = append(list, one)
		})
	})
	o.put("connections", list)
	o.put("secure_connections", []object{})
	return nil
}
