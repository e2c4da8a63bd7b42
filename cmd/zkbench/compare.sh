#!/usr/bin/env bash
# Runs zkd and Debian's Java ZooKeeper in turns on the same machine and prints one line a
# run. ROUNDS and TIME may be set, and ONLY to one workload; NODES with restart, OPS with disk.
# Needs what daemon/interop/run.sh installs.
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${ROUNDS:-3} time=${TIME:-5s} dir=$PWD/build/bench
bench=build/zkbench
prepare() { # name, port: makes an empty directory and its configuration; sets port and command
  rm -rf "${dir:?}/$1"; mkdir -p "$dir/$1/data"; port=$2
  cat > "$dir/$1/zoo.cfg" <<CFG
tickTime=2000
dataDir=$dir/$1/data
clientPort=$port
clientPortAddress=127.0.0.1
maxClientCnxns=0
4lw.commands.whitelist=*
admin.enableServer=false
CFG
  if [ "$1" = zkd ]; then
    command="build/zkd run -c $dir/zkd/zoo.cfg"
  else
    printf 'log4j.rootLogger=WARN, C\nlog4j.appender.C=org.apache.log4j.ConsoleAppender\nlog4j.appender.C.layout=org.apache.log4j.PatternLayout\n' > "$dir/java/log4j.properties"
    J=/usr/share/java
    command="java -Xmx3g -cp $dir/java:$J/zookeeper.jar:$J/slf4j-log4j12.jar:$J/log4j-1.2.jar:$J/netty-codec.jar:$J/netty-resolver.jar"
    command="$command org.apache.zookeeper.server.ZooKeeperServerMain $dir/java/zoo.cfg"
  fi
}
start() { # name, port: starts a server on an empty directory; sets pid too
  prepare "$@"
  $command > "$dir/$1/log" 2>&1 &
  pid=$!
  for _ in $(seq 300); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port"; printf srvr >&3; timeout 2 grep -q Mode: <&3) 2>/dev/null; then return; fi
    sleep 0.1
  done
  echo "$1 does not answer" >&2; exit 1
}
stop() { kill "$pid"; wait "$pid" 2>/dev/null || true; }
trap 'kill "${pid:-}" 2>/dev/null || true' EXIT
each() { # label, arguments of zkbench
  label=$1; shift
  for _ in $(seq "$rounds"); do
    for s in java zkd; do
      start $s $([ $s = java ] && echo 21810 || echo 21811)
      printf '%-12s %-5s ' "$label" "$s"
      "$bench" "$@" --server "127.0.0.1:$port" --pid "$pid" --dir "$dir/$s/data" || true
      stop
    done
  done
}
restarts() { # arguments of zkbench, which starts and kills the servers itself
  for s in java zkd; do
    prepare $s $([ $s = java ] && echo 21810 || echo 21811)
    printf '%-12s %-5s ' restart "$s"
    "$bench" restart "$@" --ops "$rounds" --server "127.0.0.1:$port" --start "$command" 2> "$dir/$s/log" || true
  done
}
ulimit -n "$(ulimit -Hn)"
[ "${ONLY:-}" = restart ] && { restarts --nodes "${NODES:-1000000}"; exit; }
each warm reads --time 2s > /dev/null
[ "${ONLY:-}" = disk ] && { each disk disk --ops "${OPS:-5000000}"; exit; }
[ -n "${ONLY:-}" ] && { each "$ONLY" $ONLY --time "$time"; exit; }
each reads     reads  --time "$time"
each writes100 writes --time "$time"
each writes1k  writes --size 1024 --time "$time"
each mixed1k   mixed --size 1024 --window 16 --time "$time"
each reads64x1 reads --conns 64 --window 1 --time "$time"
each writes64x1 writes --conns 64 --window 1 --time "$time"
each read1x1   reads --conns 1 --window 1 --time "$time"
each write1x1  writes --conns 1 --window 1 --time "$time"
each children  children --conns 16 --size 0 --time "$time"
each sessions  sessions --conns 64 --time "$time"
each fanout    fanout --nodes 10000 --time 2s
each reconnect reconnect --nodes 10000
each idle      idle --nodes 10000 --time 12s
each load      load --nodes 1000000
restarts --nodes 1000000
each disk      disk --ops 5000000
