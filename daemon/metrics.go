package daemon

import (
	"net"
	"strconv"
	"time"

	"github.com/zkd-project/zkd/daemon/admin"
	"github.com/zkd-project/zkd/daemon/proto"
	"github.com/zkd-project/zkd/daemon/server"
)

// aliveLimit is how long a standstill is tolerated by who asks for the server's health.
const aliveLimit = 10 * time.Second

// Metrics implements admin.Backend: what zkd tells beyond ZooKeeper's metrics.
func (p *process) Metrics() []admin.Metric {
	s, m, logged := p.server.Status(), p.server.Meters(), p.store.Meters()
	flag := func(name, help string, on bool) admin.Metric {
		v := 0.0
		if on {
			v = 1
		}
		return admin.Metric{Name: name, Help: help, Value: v}
	}
	gauge := func(name, help string, v int64) admin.Metric {
		return admin.Metric{Name: name, Help: help, Value: float64(v)}
	}
	count := func(name, help string, v int64) admin.Metric {
		return admin.Metric{Name: name, Help: help, Kind: admin.Counter, Value: float64(v)}
	}
	const micro, nano = 1e-6, 1e-9
	list := []admin.Metric{
		count("connection_rejected", "", s.Ports.RefusedIP+s.Ports.RefusedAll),
		count("connection_drop_count", "", s.Ports.Dropped),
		count("sessionless_connections_expired", "", s.Ports.Late),
		count("large_requests_rejected", "", s.Ports.BadFrames),
		{Name: "fsynctime", Kind: admin.Summary, Dist: &logged.Sync, Unit: 1e-3},
		{Name: "snapshottime", Kind: admin.Summary, Dist: &logged.Image, Unit: 1e-3},
		{Name: "sync_processor_batch_size", Kind: admin.Summary, Dist: &m.Batch},

		{Name: "startup_snap_load_time", Kind: admin.Summary, Dist: &p.loading.Image},
		{Name: "startup_txns_load_time", Kind: admin.Summary, Dist: &p.loading.Log},
		{Name: "startup_txns_loaded", Kind: admin.Summary, Dist: &p.loading.Txns},
		{Name: "dbinittime", Kind: admin.Summary, Dist: &p.loading.All},
		count("diff_count", "", s.Replica.Quorum.Diffs+s.Diffs),
		count("snap_count", "", s.Snaps),

		flag("zkd_serving", "1 while the server serves clients.", s.Replica.Serving),
		flag("zkd_healing", "1 while there is no vote because the data were damaged.", s.Replica.Quorum.Healing),
		flag("zkd_log_full", "1 while writes wait because the disk of the log is full.", s.LogFull),
		flag("zkd_image_full", "1 while the disk of the image is full, and the log grows.", s.ImageFull),
		{Name: "zkd_fsync_seconds", Help: "Time that a write to the log took until it was on the disk.",
			Kind: admin.Histogram, Dist: &logged.Sync, Unit: micro},
		{Name: "zkd_image_seconds", Help: "Time that writing a delta of the image took.",
			Kind: admin.Histogram, Dist: &logged.Image, Unit: micro},
		{Name: "zkd_step_seconds", Help: "Time for which a step held the state machine.",
			Kind: admin.Histogram, Dist: &m.Step, Unit: nano},
		{Name: "zkd_inbox_inputs", Help: "Inputs that a step found waiting.", Kind: admin.Advanced, Dist: &m.Depth},
		gauge("zkd_inbox", "Inputs that wait to be stepped.", s.Waiting),
		gauge("zkd_image_missing_records", "Changed records that the image on disk lacks.", int64(s.Dirty)),
		gauge("zkd_image_zxid", "Zxid of the image on disk.", int64(s.Store.ImageZxid)),
		gauge("zkd_log_bytes", "Bytes appended to the log's segments that are kept.", s.Store.LogBytes),
		gauge("zkd_max_request_bytes", "Largest request that is taken, jute.maxbuffer.", int64(p.cfg.MaxFrame)),
		count("zkd_slow_syncs_total", "Writes to the log that took longer than allowed.", s.Store.SlowSyncs),
		count("zkd_log_writes_total", "Groups of transactions written to the log.", s.Appends),
		count("zkd_logged_txns_total", "Transactions written to the log.", s.Txns),
		count("zkd_images_total", "Deltas written to the image.", s.Images),
		count("zkd_stalled_total", "Times that requests waited because too many were under way.", s.Stalled),
		count("zkd_slow_readers_total", "Connections closed because they did not read their replies.", s.Ports.Slow),
		count("zkd_four_letter_words_total", "Four-letter words answered.", s.Ports.Words),
	}
	return append(list, lags(&s)...)
}

// lags tell how far the learners of a leader are behind.
func lags(s *server.Status) []admin.Metric {
	var list []admin.Metric
	if s.Replica.Solo || s.Replica.Role != proto.Leading {
		return nil
	}
	q := &s.Replica.Quorum
	for _, l := range q.Learners {
		behind := int64(0)
		if l.Acked.Epoch() == q.Logged.Epoch() {
			behind = max(int64(q.Logged-l.Acked), 0)
		}
		id := strconv.FormatInt(l.ID, 10)
		list = append(list,
			admin.Metric{Name: "zkd_learner_lag_txns", Label: "sid", Of: id, Value: float64(behind),
				Help: "Transactions of this epoch that a learner has not acknowledged; observers never do."},
			admin.Metric{Name: "zkd_learner_seen_seconds", Label: "sid", Of: id, Value: float64(l.LastSeen) / 1e3,
				Help: "Time since a learner was heard of."})
	}
	return list
}

// places are where metrics, health and commands are served.
func (p *process) places() []admin.Port {
	c := p.cfg
	at := func(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
	idle := time.Duration(c.AdminIdle) * time.Millisecond
	var list []admin.Port
	if c.AdminSocket != "" {
		list = append(list, admin.Port{Network: "unix", Address: c.AdminSocket, Idle: idle,
			Pages: admin.Pages{Metrics: true, Runtime: c.MetricsRuntime, Health: true, Commands: c.AdminPath}})
	}
	commands := admin.Pages{Health: true, Commands: c.AdminPath}
	metrics := admin.Pages{Health: true, Metrics: true, Runtime: c.MetricsRuntime}
	if c.AdminPort != 0 && c.AdminPort == c.MetricsPort && c.AdminAddress == c.MetricsHost {
		metrics.Commands = c.AdminPath
	} else if c.AdminPort != 0 {
		address := at(c.AdminAddress, c.AdminPort)
		list = append(list, admin.Port{Network: "tcp", Address: address, Idle: idle, Pages: commands})
	}
	if c.MetricsPort != 0 {
		address := at(c.MetricsHost, c.MetricsPort)
		list = append(list, admin.Port{Network: "tcp", Address: address, Idle: idle, Pages: metrics})
	}
	return list
}
