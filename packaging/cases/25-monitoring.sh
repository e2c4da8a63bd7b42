say "alerts"
if [ ! -x build/tools/prometheus/usr/bin/promtool ]; then # unpacked, so that no service starts here
  rm -rf build/tools/prometheus
  mkdir -p build/tools/prometheus
  (cd build/tools/prometheus && { apt-get download -qq prometheus 2>/dev/null ||
    { apt-get update -qq && apt-get download -qq prometheus; }; } && dpkg-deb -x prometheus_*.deb .)
fi
promtool=$PWD/build/tools/prometheus/usr/bin/promtool
(cd packaging/monitoring && $promtool check rules alerts.yml && $promtool test rules alerts_test.yml)

say "metrics, health and commands"
up mon --private-network
at mon dpkg -i $deb >/dev/null 2>&1
wait_for mon "active" systemctl is-active --quiet zkd
same mon "$(at mon stat -c '%U:%G %a' /run/zkd/zkd.sock)" "zkd:zkd 660" "who may ask"
same mon "$(at mon ss -Hltn | wc -l)" 1 "ports that are listened on" # nothing on the network unless asked for
# The box has no curl; its socket is reached from here.
init=$(cat "$BOXDIR/zkd$run-mon.init")
page() { curl -fsS --unix-socket "/proc/$init/root/run/zkd/zkd.sock" "http://local$1"; }
[ "$(page /livez)" = ok ] || fail mon "not alive"
[ "$(page /readyz)" = standalone ] || fail mon "not ready"
page /metrics > "$work/metrics"
# Its rules of style do not fit ZooKeeper's names; a page that cannot be parsed exits with 1.
$promtool check metrics < "$work/metrics" > "$work/metrics.lint" 2>&1 || [ $? = 3 ] || fail mon "$(cat "$work/metrics.lint")"
grep -q '^zkd_serving 1$' "$work/metrics"
grep -q '^znode_count 5$' "$work/metrics"
page /commands/monitor > "$work/monitor" # a pipe that grep -q closes would fail curl
grep -q '"znode_count": 5' "$work/monitor"
printf 'metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\nadmin.serverPort=8080\n' |
  put mon /etc/zkd/zoo.cfg.d/monitoring.cfg
at mon systemctl restart zkd
has mon "*:7000" ss -Hltn
has mon "*:8080" ss -Hltn
