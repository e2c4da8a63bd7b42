package admin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/replica"
	"github.com/zkd-project/zkd/daemon/tree"
)

func (w *Words) watchSummary(b *strings.Builder, _ []byte) {
	w.backend.Ask(func(r *replica.Replica) {
		conns, paths, total := r.Tree().WatchSummary()
		fmt.Fprintf(b, "%d connections watching %d paths\nTotal watches:%d\n", conns, paths, total)
	})
}

func (w *Words) watchesByConn(b *strings.Builder, _ []byte) {
	paths := make(map[proto.SessionID][]string)
	w.watched(func(path string, sessions []proto.SessionID) {
		for _, s := range sessions {
			paths[s] = append(paths[s], path)
		}
	})
	for _, s := range sortedKeys(paths) {
		slices.Sort(paths[s])
		fmt.Fprintf(b, "%v\n\t%s\n", s, strings.Join(paths[s], "\n\t"))
	}
	b.WriteByte('\n')
}

func (w *Words) watchesByPath(b *strings.Builder, _ []byte) {
	watchers := make(map[string][]proto.SessionID)
	w.watched(func(path string, sessions []proto.SessionID) { watchers[path] = sessions })
	for _, path := range sortedKeys(watchers) {
		b.WriteString(path + "\n")
		slices.Sort(watchers[path])
		for _, s := range watchers[path] {
			fmt.Fprintf(b, "\t%v\n", s)
		}
	}
	b.WriteByte('\n')
}

// watched calls f for each watched path with the sessions that watch it.
func (w *Words) watched(f func(path string, sessions []proto.SessionID)) {
	w.backend.Ask(func(r *replica.Replica) {
		r.Tree().Watched(func(path string, watchers []tree.WatcherID) {
			var sessions []proto.SessionID
			for _, id := range watchers {
				if c := r.ConnOf(uint32(id)); c != nil {
					sessions = append(sessions, c.Session())
				}
			}
			f(path, sessions)
		})
	})
}

func sortedKeys[K ~string | ~int64, V any](m map[K]V) []K {
	list := make([]K, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// monitor answers mntr: one line a value, a tab between name and value.
func (w *Words) monitor(b *strings.Builder, _ []byte) {
	var s replica.Status
	var c tree.Counts
	var quotas []tree.Quota
	w.backend.Ask(func(r *replica.Replica) {
		s, c = r.Status(), r.Tree().Counts()
		r.Tree().VisitQuotas(func(q tree.Quota) { quotas = append(quotas, q) })
	})
	p := w.backend.Process()
	line := func(name string, value any) { fmt.Fprintf(b, "zk_%s\t%v\n", name, value) }
	line("version", w.backend.Info().Version)
	line("server_state", Mode(&s))
	line("avg_latency", average(int64(s.Latency), s.Replies))
	line("max_latency", s.MaxLatency)
	line("min_latency", s.MinLatency)
	line("packets_received", s.Received)
	line("packets_sent", s.Sent)
	line("num_alive_connections", s.Connections)
	line("outstanding_requests", s.Outstanding)
	line("uptime", p.Uptime.Milliseconds())
	line("znode_count", c.Znodes+1)
	line("watch_count", c.Watches)
	line("ephemerals_count", c.Ephemerals)
	line("approximate_data_size", c.DataBytes)
	line("global_sessions", s.Sessions)
	line("local_sessions", 0)
	line("open_file_descriptor_count", p.OpenFiles)
	line("max_file_descriptor_count", p.MaxFiles)
	line("auth_failed_count", s.AuthFailed)
	line("stale_sessions_expired", s.Expired)
	ensembleLines(&s, line)
	for _, q := range quotas {
		ns := strings.TrimPrefix(q.Path, "/")
		line(ns+"_quota_count_limit_per_namespace", q.CountLimit)
		line(ns+"_quota_bytes_limit_per_namespace", q.BytesLimit)
		line(ns+"_quota_count_usage_per_namespace", q.CountUsed)
		line(ns+"_quota_bytes_usage_per_namespace", q.BytesUsed)
	}
}

// ensembleLines are those that only a server of an ensemble has.
func ensembleLines(s *replica.Status, line func(name string, value any)) {
	if s.Solo {
		return
	}
	doing := map[proto.State]string{
		proto.Leading: "leading", proto.Following: "following", proto.Observing: "observing",
	}
	line("peer_state", doing[s.Role]+" - broadcast")
	line("quorum_size", s.Quorum.Members)
	line("epoch", s.Quorum.Epoch)
	line("last_logged_zxid", int64(s.Quorum.Logged))
	line("last_durable_zxid", int64(s.Quorum.Durable))
	if s.Role != proto.Leading {
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
	line("learners", len(s.Quorum.Learners))
	line("synced_followers", synced)
	line("synced_non_voting_followers", other)
	line("synced_observers", observers)
	line("pending_syncs", s.Syncs)
}
