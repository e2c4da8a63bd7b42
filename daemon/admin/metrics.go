package admin

import (
	"strings"

	"github.com/zkd-project/zkd/daemon/meter"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/tree"
)

// MetricKind is what a metric's value is.
type MetricKind uint8

// The kinds of metrics. Summary and Advanced are ZooKeeper's two sets of quantiles.
const (
	Gauge MetricKind = iota
	Counter
	Summary
	Advanced
	Histogram
)

// Metric is one value that monitors see, by its name in Prometheus.
type Metric struct {
	Name  string
	Help  string // "" for ZooKeeper's metrics, which have none
	Kind  MetricKind
	Value float64     // of a gauge or counter
	Dist  *meter.Dist // of the other kinds
	Unit  float64     // that Dist's numbers are multiplied with; 0 is 1
	Label string      // the name of the label, if it has one
	Of    string      // the label's value
	Text  string      // how the word mntr prints Value, if not as a whole number
}

func (m *Metric) unit() float64 {
	if m.Unit == 0 {
		return 1
	}
	return m.Unit
}

// metrics collects what there is to tell at one moment.
type metrics struct {
	status replica.Status
	list   []Metric
}

func (g *metrics) gauge(name string, v int64) {
	g.list = append(g.list, Metric{Name: name, Value: float64(v)})
}

func (g *metrics) count(name string, v int64) {
	g.list = append(g.list, Metric{Name: name, Kind: Counter, Value: float64(v)})
}

func (g *metrics) dist(kind MetricKind, name string, d *meter.Dist) {
	g.list = append(g.list, Metric{Name: name, Kind: kind, Dist: d})
}

func (g *metrics) keyed(kind MetricKind, name, key string, v int64) {
	g.list = append(g.list, Metric{Name: name, Kind: kind, Value: float64(v), Label: "key", Of: key})
}

// gather asks for all metrics. Names and kinds are those of ServerMetrics.java and of
// registerMetrics in ZooKeeperServer.java and its subclasses, as far as zkd has the like.
func (w *Words) gather() *metrics {
	g := new(metrics)
	var c tree.Counts
	var quotas []tree.Quota
	m := new(replica.Meters)
	w.backend.Ask(func(r *replica.Replica) {
		g.status, c, *m = r.Status(), r.Tree().Counts(), *r.Meters()
		r.Tree().VisitQuotas(func(q tree.Quota) { quotas = append(quotas, q) })
	})
	g.gauges(w.backend.Process(), &c, m)
	voters := 0
	if list := w.backend.Info().Ensemble; list != nil {
		list.Voters(func(int64) { voters++ })
	}
	g.ensemble(m, voters)
	if d, leads := m.LeadingFor(w.backend.Now().Mono); leads {
		g.gauge("leader_uptime", int64(d))
	}
	for _, q := range quotas {
		ns := strings.TrimPrefix(q.Path, "/")
		g.keyed(Gauge, "quota_count_limit_per_namespace", ns, q.CountLimit)
		g.keyed(Gauge, "quota_bytes_limit_per_namespace", ns, q.BytesLimit)
		g.keyed(Gauge, "quota_count_usage_per_namespace", ns, q.CountUsed)
		g.keyed(Gauge, "quota_bytes_usage_per_namespace", ns, q.BytesUsed)
		g.keyed(Counter, "quota_exceeded_error_per_namespace", ns, q.Refused)
	}
	g.counters(m)
	g.count("snapshot_error_count", w.backups.failed.Load())
	g.count("snapshot_rate_limited_count", w.backups.limited.Load())
	g.count("restore_error_count", w.restores.failed.Load())
	g.count("restore_rate_limited_count", w.restores.limited.Load())
	g.dist(Summary, "restore_time", w.restoreTime.get())
	g.operations(m)
	g.summaries(m)
	g.list = append(g.list, w.backend.Metrics()...)
	return g
}

func (g *metrics) gauges(p Process, c *tree.Counts, m *replica.Meters) {
	s := &g.status
	mean := average(int64(s.Latency), s.Replies)
	avg := 0.0
	if s.Replies > 0 {
		avg = float64(s.Latency) / float64(s.Replies)
	}
	g.list = append(g.list, Metric{Name: "avg_latency", Value: avg, Text: mean})
	g.gauge("max_latency", int64(s.MaxLatency))
	g.gauge("min_latency", int64(s.MinLatency))
	g.gauge("packets_received", s.Received)
	g.gauge("packets_sent", s.Sent)
	g.gauge("num_alive_connections", s.Connections)
	g.gauge("outstanding_requests", s.Outstanding)
	g.gauge("uptime", p.Uptime.Milliseconds())
	g.gauge("znode_count", int64(c.Znodes)+1)
	g.gauge("watch_count", int64(c.Watches))
	g.gauge("ephemerals_count", int64(c.Ephemerals))
	g.gauge("approximate_data_size", c.DataBytes)
	g.gauge("global_sessions", int64(s.Sessions))
	g.gauge("local_sessions", int64(s.Local))
	g.gauge("open_file_descriptor_count", p.OpenFiles)
	g.gauge("max_file_descriptor_count", p.MaxFiles)
	g.gauge("auth_failed_count", s.AuthFailed)
	last, least, greatest := m.ReplySize.Values()
	g.gauge("last_client_response_size", last)
	g.gauge("min_client_response_size", least)
	g.gauge("max_client_response_size", greatest)
}

// ensemble are those that only a server of an ensemble has.
func (g *metrics) ensemble(m *replica.Meters, voters int) {
	s := &g.status
	if s.Solo {
		return
	}
	g.gauge("quorum_size", int64(voters))
	g.gauge("epoch", s.Quorum.Epoch)
	g.gauge("last_logged_zxid", int64(s.Quorum.Logged))
	g.gauge("last_durable_zxid", int64(s.Quorum.Durable))
	g.gauge("last_committed_zxid", int64(s.Quorum.Commit))
	if s.Role != proto.Leading && s.Role != proto.Following {
		return
	}
	synced, other, observers := 0, 0, 0
	for _, l := range s.Quorum.Learners {
		switch {
		case !l.Synced:
		case l.Voter:
			synced++
		case l.Observer:
			observers++
		default:
			other++
		}
	}
	if s.Role == proto.Following {
		g.gauge("synced_observers", int64(observers))
		return
	}
	g.gauge("learners", int64(len(s.Quorum.Learners)))
	g.gauge("synced_followers", int64(synced))
	g.gauge("synced_non_voting_followers", int64(other))
	g.gauge("synced_observers", int64(observers))
	g.gauge("pending_syncs", int64(s.Syncs))
	last, least, greatest := m.ProposalSize.Values()
	g.gauge("last_proposal_size", last)
	g.gauge("min_proposal_size", least)
	g.gauge("max_proposal_size", greatest)
}

func (g *metrics) counters(m *replica.Meters) {
	g.count("bytes_received_count", m.BytesReceived)
	g.count("response_bytes", m.BytesSent)
	g.count("watch_bytes", m.WatchBytes)
	g.count("connection_request_count", m.Connects)
	g.count("connection_revalidate_count", m.Reconnects)
	g.count("revalidate_count", m.Revalidations)
	g.count("stale_sessions_expired", g.status.Expired)
	g.count("proposal_count", m.Proposals)
	g.count("commit_count", m.Commits)
	g.count("learner_commit_received_count", m.LearnerCommits)
	g.count("learner_proposal_received_count", m.LearnerProposed)
	g.count("looking_count", m.Elections)
}

func (g *metrics) operations(m *replica.Meters) {
	for _, o := range []struct {
		name string
		ops  []proto.Op
	}{
		{"add_watch", []proto.Op{proto.OpAddWatch}}, {"check", []proto.Op{proto.OpCheck}},
		{"check_watches", []proto.Op{proto.OpCheckWatches}}, {"close_session", []proto.Op{proto.OpCloseSession}},
		{"create", []proto.Op{proto.OpCreate, proto.OpCreate2, proto.OpCreateContainer, proto.OpCreateTTL}},
		{"create_session", []proto.Op{proto.OpCreateSession}}, {"delete", []proto.Op{proto.OpDelete}},
		{"exists", []proto.Op{proto.OpExists}}, {"get_acl", []proto.Op{proto.OpGetACL}},
		{"get_all_children_number", []proto.Op{proto.OpGetAllChildrenNumber}},
		{"get_children", []proto.Op{proto.OpGetChildren, proto.OpGetChildren2}},
		{"get_data", []proto.Op{proto.OpGetData}}, {"get_ephemerals", []proto.Op{proto.OpGetEphemerals}},
		{"multi", []proto.Op{proto.OpMulti}}, {"multi_read", []proto.Op{proto.OpMultiRead}},
		{"ping", []proto.Op{proto.OpPing}}, {"reconfig", []proto.Op{proto.OpReconfig}},
		{"remove_watches", []proto.Op{proto.OpRemoveWatches}}, {"set_acl", []proto.Op{proto.OpSetACL}},
		{"set_data", []proto.Op{proto.OpSetData}},
		{"set_watches", []proto.Op{proto.OpSetWatches, proto.OpSetWatches2}},
		{"sync", []proto.Op{proto.OpSync}}, {"who_am_i", []proto.Op{proto.OpWhoAmI}},
	} {
		g.count("op_count_"+o.name, m.Ops(o.ops...))
	}
	g.count("op_count_total", m.Served())
}

func (g *metrics) summaries(m *replica.Meters) {
	g.dist(Summary, "election_time", &m.Election)
	g.dist(Summary, "unavailable_time", &m.Unavailable)
	g.dist(Summary, "leader_unavailable_time", &m.LeaderUnavailable)
	g.dist(Summary, "follower_sync_time", &m.FollowerSync)
	g.dist(Summary, "observer_sync_time", &m.ObserverSync)
	g.dist(Summary, "node_created_watch_count", &m.Created)
	g.dist(Summary, "node_deleted_watch_count", &m.Deleted)
	g.dist(Summary, "node_changed_watch_count", &m.Changed)
	g.dist(Summary, "node_children_watch_count", &m.Children)
	g.dist(Advanced, "readlatency", &m.Read)
	g.dist(Advanced, "updatelatency", &m.Update)
	g.dist(Advanced, "propagation_latency", &m.Propagation)
	g.dist(Advanced, "quorum_ack_latency", &m.QuorumAck)
}
