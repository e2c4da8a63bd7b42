#!/usr/bin/env bash
# A server without anything joins an ensemble of zkd, and one of Debian's Java ZooKeeper: how
# long until it serves, and what the leader's clients notice meanwhile. NODES, RATE, ROUNDS and KINDS may
# be set. Needs what daemon/interop/run.sh installs.
set -euo pipefail
cd "$(dirname "$0")/../.."
nodes=${NODES:-1000000} rate=${RATE:-1000} rounds=${ROUNDS:-1} dir=$PWD/build/bench-snap
bench=build/zkbench pids=()
word() { (exec 3<>"/dev/tcp/127.0.0.1/$1"; printf srvr >&3; timeout 2 cat <&3) 2>/dev/null || true; }
start() { # kind, first port, server
  local i=$3 home=$dir/$1/$3
  mkdir -p "$home/data"; echo "$i" > "$home/data/myid"
  { printf 'tickTime=2000\ninitLimit=30\nsyncLimit=10\nmaxClientCnxns=0\n4lw.commands.whitelist=*\nadmin.enableServer=false\n'
    echo "dataDir=$home/data"; echo "clientPort=$(($2 + i))"; echo clientPortAddress=127.0.0.1
    for j in 1 2 3; do echo "server.$j=127.0.0.1:$(($2 + 100 + j)):$(($2 + 200 + j))"; done
  } > "$home/zoo.cfg"
  if [ "$1" = zkd ]; then
    build/zkd run -c "$home/zoo.cfg" > "$home/log" 2>&1 &
  else
    printf 'log4j.rootLogger=WARN, C\nlog4j.appender.C=org.apache.log4j.ConsoleAppender\nlog4j.appender.C.layout=org.apache.log4j.PatternLayout\n' > "$home/log4j.properties"
    J=/usr/share/java
    java -Xmx3g -cp "$home:$J/zookeeper.jar:$J/slf4j-log4j12.jar:$J/log4j-1.2.jar:$J/netty-codec.jar:$J/netty-resolver.jar" \
      org.apache.zookeeper.server.quorum.QuorumPeerMain "$home/zoo.cfg" > "$home/log" 2>&1 &
  fi
  pids+=($!)
}
until_mode() { # port, mode
  for _ in $(seq 6000); do
    if word "$1" | grep -q "^Mode: $2"; then return; fi
    sleep 0.02
  done
  echo "no $2 at $1" >&2; exit 1
}
stop() { [ ${#pids[@]} = 0 ] || { kill "${pids[@]}" 2>/dev/null || true; wait "${pids[@]}" 2>/dev/null || true; }; pids=(); }
trap stop EXIT
for _ in $(seq "$rounds"); do
  for s in ${KINDS:-java zkd}; do
    port=$([ $s = java ] && echo 23500 || echo 24500)
    rm -rf "${dir:?}/$s"
    start $s "$port" 1; start $s "$port" 2
    until_mode $((port + 2)) leader
    leader=127.0.0.1:$((port + 2))
    printf '%-5s load:  ' $s; "$bench" load --nodes "$nodes" --server "$leader"
    sleep 15
    printf '%-5s quiet: ' $s; "$bench" openloop --rate "$rate" --nodes 1000 --time 8s --server "$leader" --pid "${pids[1]}"
    printf '%-5s while it joins: ' $s
    "$bench" openloop --rate "$rate" --nodes 1000 --time "${TIME:-12s}" --server "$leader" --pid "${pids[1]}" > "$dir/during" & load=$!
    sleep 1
    began=$(date +%s%N)
    start $s "$port" 3
    until_mode $((port + 3)) follower
    served=$((($(date +%s%N) - began) / 1000000))
    wait $load
    cat "$dir/during"
    echo "$s serves after $served ms; resident MB: $(for p in "${pids[@]}"; do awk '/VmRSS/{printf "%d ", $2/1024}' "/proc/$p/status"; done)"
    stop
  done
done
