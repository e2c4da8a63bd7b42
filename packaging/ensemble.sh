#!/usr/bin/env bash
# Runs three servers of one ensemble on loopback until Ctrl-C. Data and logs are kept in
# build/run; BASE is the client port of the first server.
set -euo pipefail
cd "$(dirname "$0")/.."
base=${BASE:-2181} dir=$PWD/build/run
servers="" list=""
for i in 1 2 3; do
  servers+="server.$i=127.0.0.1:$((base + 700 + i)):$((base + 1700 + i))"$'\n'
  list+="${list:+,}127.0.0.1:$((base + i - 1))"
done
pids=()
stop() {
  trap - INT TERM EXIT
  kill -TERM "${pids[@]}" 2>/dev/null || true
  wait "${pids[@]}" 2>/dev/null || true
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
wait
