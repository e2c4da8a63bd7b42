package admin

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/zkd-project/zkd/daemon/proto"
)

// entry is one name and value as the word mntr tells them.
type entry struct {
	name  string
	value any
}

// monitor answers mntr: one line a value, a tab between name and value.
func (w *Words) monitor(b *strings.Builder, _ []byte) {
	for _, e := range w.monitored() {
		fmt.Fprintf(b, "zk_%s\t%v\n", e.name, e.value)
	}
}

// monitored is all that mntr and the command monitor tell, in order.
func (w *Words) monitored() []entry {
	g := w.gather()
	list := []entry{{"version", w.backend.Info().Version}, {"server_state", Mode(&g.status)}}
	doing := map[proto.State]string{
		proto.Leading: "leading", proto.Following: "following", proto.Observing: "observing",
	}
	if what, ok := doing[g.status.Role]; ok && !g.status.Solo {
		list = append(list, entry{"peer_state", what + " - broadcast"})
	}
	for i := range g.list {
		list = g.list[i].entries(list)
	}
	return list
}

// entries appends a metric in the form of mntr, where a label is part of the name and a
// distribution is several values. Source: DefaultMetricsProvider.java and AvgMinMaxCounter.java.
func (m *Metric) entries(list []entry) []entry {
	name := m.Name
	if m.Label != "" {
		name = m.Of + "_" + name
	}
	d := m.Dist
	if d == nil {
		if m.Text != "" {
			return append(list, entry{name, text(m.Text)})
		}
		return append(list, entry{name, int64(m.Value)})
	}
	scaled := func(n int64) any {
		if m.Unit == 0 {
			return n
		}
		return text(strconv.FormatFloat(float64(n)*m.Unit, 'g', 6, 64))
	}
	mean := text(average(d.Sum, d.Count))
	if m.Unit != 0 {
		mean = text(strconv.FormatFloat(d.Mean()*m.Unit, 'g', 6, 64))
	}
	list = append(list, entry{"avg_" + name, mean}, entry{"min_" + name, scaled(d.Min)},
		entry{"max_" + name, scaled(d.Max)}, entry{"cnt_" + name, d.Count}, entry{"sum_" + name, scaled(d.Sum)})
	if m.Kind != Summary {
		for _, q := range []struct {
			name  string
			share float64
		}{{"p50_", 0.5}, {"p95_", 0.95}, {"p99_", 0.99}, {"p999_", 0.999}} {
			list = append(list, entry{q.name + name, scaled(d.Quantile(q.share))})
		}
	}
	return list
}

// text is a number that is printed already.
type text string

// MarshalJSON implements json.Marshaler.
func (t text) MarshalJSON() ([]byte, error) { return []byte(t), nil }
