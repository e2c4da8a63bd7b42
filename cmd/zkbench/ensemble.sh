#!/usr/bin/env bash
# Runs ensembles of three zkd and of three of Debian's Java ZooKeeper in turns on the same
# machine and prints one line a run. ROUNDS and TIME may be set. Needs what
# daemon/interop/run.sh installs.
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${ROUNDS:-3} time=${TIME:-4s} dir=$PWD/build/bench3
bench=build/zkbench pids=() list="" leader="" follower=""
word() { (exec 3<>"/dev/tcp/127.0.0.1/$1"; printf srvr >&3; timeout 2 cat <&3) 2>/dev/null || true; }
start() { # kind, first port: starts three servers on empty directories
  rm -rf "$dir/$1"; pids=() list=""
  for i in 1 2 3; do
    mkdir -p "$dir/$1/$i/data"; echo $i > "$dir/$1/$i/data/myid"
    { printf 'tickTime=2000\ninitLimit=10\nsyncLimit=5\nmaxClientCnxns=0\n4lw.commands.whitelist=*\nadmin.enableServer=false\n'
      echo "dataDir=$dir/$1/$i/data"; echo "clientPort=$(($2 + i))"; echo clientPortAddress=127.0.0.1
      for j in 1 2 3; do echo "server.$j=127.0.0.1:$(($2 + 100 + j)):$(($2 + 200 + j))"; done
    } > "$dir/$1/$i/zoo.cfg"
    if [ "$1" = zkd ]; then
      build/zkd run -c "$dir/$1/$i/zoo.cfg" > "$dir/$1/$i/log" 2>&1 &
    else
      printf 'log4j.rootLogger=WARN, C\nlog4j.appender.C=org.apache.log4j.ConsoleAppender\nlog4j.appender.C.layout=org.apache.log4j.PatternLayout\n' > "$dir/$1/$i/log4j.properties"
      J=/usr/share/java
      java -Xmx1g -cp "$dir/$1/$i:$J/zookeeper.jar:$J/slf4j-log4j12.jar:$J/log4j-1.2.jar:$J/netty-codec.jar:$J/netty-resolver.jar" \
        org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/$1/$i/zoo.cfg" > "$dir/$1/$i/log" 2>&1 &
    fi
    pids+=($!); list+="${list:+,}127.0.0.1:$(($2 + i))"
  done
  for i in 1 2 3; do
    for _ in $(seq 300); do
      mode=$(word $(($2 + i)) | sed -n 's/^Mode: //p')
      case $mode in leader) leader=127.0.0.1:$(($2 + i)); break;; follower) follower=127.0.0.1:$(($2 + i)); break;; esac
      sleep 0.1
    done
  done
}
stop() { [ ${#pids[@]} = 0 ] || { kill "${pids[@]}" 2>/dev/null || true; wait "${pids[@]}" 2>/dev/null || true; }; pids=(); }
trap stop EXIT
each() { # label, who (list, leader or follower), arguments of zkbench
  label=$1 who=$2; shift 2
  for _ in $(seq "$rounds"); do
    for s in java zkd; do
      start $s $([ $s = java ] && echo 21500 || echo 22500)
      "$bench" "$1" --server "${!who}" --conns 15 --time 2s > /dev/null || true # warm
      printf '%-12s %-5s ' "$label" "$s"
      "$bench" "$@" --server "${!who}" --pid "$(IFS=,; echo "${pids[*]}")" --time "$time" || true
      stop
    done
  done
}
each writes100  list     writes --conns 15
each writes1k   list     writes --conns 15 --size 1024
each mixed1k    list     mixed --conns 15 --size 1024 --window 16
each reads      list     reads --conns 15
each leader1x1  leader   writes --conns 1 --window 1
each follower1x1 follower writes --conns 1 --window 1
each sessions   list     sessions --conns 48
