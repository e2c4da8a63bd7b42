#!/usr/bin/env bash
# Runs three servers of one ensemble on loopback until Ctrl-C. Data and logs are kept in
# build/run; BASE is the client port of the first server, and the others are counted from it.
set -euo pipefail
cd "$(dirname "$0")/.."
base=${BASE:-2181} dir=$PWD/build/run
servers="" list=""
for i in 1 2 3; do
  servers+="server.$i=127.0.0.1:$((base + 700 + i)):$((base + 1700 + i))"$'\n'
  list+="${list:+,}127.0.0.1:$((base + i - 1))"
done
for i in 1 2 3; do
  for port in $((base + i - 1)) $((base + 700 + i)) $((base + 1700 + i)); do
    if (: < "/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "Port $port of server $i is taken (ss -ltnp 'sport = :$port' says by whom)." \
        "Other ports: make run BASE=$((base + 10000))" >&2
      exit 1
    fi
  done
done
pids=()
stop() {
  trap - INT TERM EXIT
  for pid in "${pids[@]}"; do
    [ -z "$pid" ] || kill -TERM "$pid" 2>/dev/null || true
  done
  wait
  echo "The servers have stopped."
}
trap stop EXIT
trap exit INT TERM
for i in 1 2 3; do
  mkdir -p "$dir/$i"
  echo "$i" > "$dir/$i/myid"
  cat > "$dir/$i.cfg" <<CFG
tickTime=2000
initLimit=10
syncLimit=5
dataDir=$dir/$i
clientPort=$((base + i - 1))
clientPortAddress=127.0.0.1
4lw.commands.whitelist=*
$servers
CFG
  build/zkd run -c "$dir/$i.cfg" >> "$dir/$i.log" 2>&1 &
  pids+=($!)
done
ready=
for _ in $(seq 100); do
  if build/zkctl --server "$list" status > "$dir/status" 2>&1 && grep -qw leader "$dir/status"; then
    ready=yes
    break
  fi
  for pid in "${pids[@]}"; do
    kill -0 "$pid" 2>/dev/null || { tail -n 3 "$dir"/*.log; exit 1; }
  done
  sleep 0.1
done
cat "$dir/status"
[ -n "$ready" ] || { tail -n 3 "$dir"/*.log; exit 1; }
echo
echo "connection string: $list"
echo "logs: $dir/*.log (Ctrl-C stops the servers)"
# A server that ends is started again by hand, so that one can look at what the others do.
left=3
while [ "$left" -gt 0 ]; do
  for i in 1 2 3; do
    pid=${pids[i - 1]}
    if [ -n "$pid" ] && ! kill -0 "$pid" 2>/dev/null; then
      code=0
      wait "$pid" || code=$?
      echo "Server $i has ended, code $code: $dir/$i.log says why. Start it again: build/zkd run -c build/run/$i.cfg"
      pids[i - 1]='' left=$((left - 1))
    fi
  done
  sleep 0.5
done
