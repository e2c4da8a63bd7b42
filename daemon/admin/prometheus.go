package admin

import (
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// collector shows the metrics to Prometheus. It keeps nothing: each scrape gathers anew.
type collector struct{ words *Words }

// Describe implements prometheus.Collector. Which metrics there are depends on the role
// and on the quotas, so none is announced.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	g := c.words.gather()
	for i := range g.list {
		out <- g.list[i].prometheus()
	}
	for _, mode := range []string{"standalone", "leader", "follower", "observer", "looking", "read-only"} {
		is := 0.0
		if Mode(&g.status) == mode {
			is = 1
		}
		d := prometheus.NewDesc("zkd_role", "1 for the server's role, 0 for the others.", []string{"role"}, nil)
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, is, mode)
	}
}

// prometheus is the metric as Prometheus takes it. ZooKeeper's help texts are the names.
func (m *Metric) prometheus() prometheus.Metric {
	help, labels, values := m.Help, []string(nil), []string(nil)
	if help == "" {
		help = m.Name
	}
	if m.Label != "" {
		labels, values = []string{m.Label}, []string{strings.ToValidUTF8(m.Of, "?")}
	}
	desc := prometheus.NewDesc(m.Name, help, labels, nil)
	switch m.Kind {
	case Summary, Advanced:
		return m.quantiles(desc)
	case Histogram:
		return m.histogram(desc)
	}
	kind := prometheus.GaugeValue
	if m.Kind == Counter {
		kind = prometheus.CounterValue
	}
	return prometheus.MustNewConstMetric(desc, kind, m.Value, values...)
}

// quantiles are those that Apache's provider shows.
func (m *Metric) quantiles(desc *prometheus.Desc) prometheus.Metric {
	shares := []float64{0.5}
	if m.Kind == Advanced {
		shares = []float64{0.5, 0.9, 0.95, 0.99}
	}
	q := make(map[float64]float64, len(shares))
	for _, s := range shares {
		q[s] = float64(m.Dist.Quantile(s)) * m.unit()
	}
	return prometheus.MustNewConstSummary(desc, uint64(m.Dist.Count), float64(m.Dist.Sum)*m.unit(), q)
}

// histogram has a bucket for every fourth power of two, at whose edges Dist is exact.
func (m *Metric) histogram(desc *prometheus.Desc) prometheus.Metric {
	const first, last, step = 4, 32, 2
	buckets := make(map[float64]uint64)
	for bit := first; bit <= last; bit += step {
		edge := int64(1) << bit
		buckets[float64(edge)*m.unit()] = m.Dist.AtMost(edge - 1)
	}
	return prometheus.MustNewConstHistogram(desc, uint64(m.Dist.Count), float64(m.Dist.Sum)*m.unit(), buckets)
}

// scrape makes the page for Prometheus; with runtime it also shows Go's own metrics.
func (w *Words) scrape(runtime bool) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{w})
	if runtime {
		r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}
