package config

import (
	"os"
	"path/filepath"
)

const (
	prometheusProvider = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider"
	defaultProvider    = "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider"
	adminPort          = 8080 // ZooKeeper's default
)

// places works out where metrics, health and commands are served. ZooKeeper opens a port for
// commands unless it is told not to; here nothing is open on the network that was not asked for.
func (c *Config) places(l *loader) {
	if _, asked := l.source["admin.enableServer"]; asked && c.AdminEnabled && c.AdminPort == 0 {
		c.AdminPort = adminPort
	}
	if !c.AdminEnabled {
		c.AdminPort = 0
	}
	switch c.MetricsClass {
	case prometheusProvider:
	case "", defaultProvider:
		c.MetricsPort = 0
	default:
		c.MetricsPort = 0
		c.Warnings = append(c.Warnings, "metricsProvider.className="+c.MetricsClass+
			" is not here; "+prometheusProvider+" serves metrics for Prometheus")
	}
	if https, source := l.value("metricsProvider.httpsPort"); c.MetricsPort != 0 && https != "" &&
		l.source["metricsProvider.httpPort"] == "" {
		c.MetricsPort = 0
		c.Warnings = append(c.Warnings, source+": metricsProvider.httpsPort is set, metricsProvider.httpPort is not:"+
			" metrics are not served on the network, as zkd has no TLS yet")
	}
	if dir := os.Getenv("RUNTIME_DIRECTORY"); c.AdminSocket == "" && filepath.IsAbs(dir) {
		c.AdminSocket = filepath.Join(dir, "zkd.sock")
	}
}
