#!/usr/bin/env bash
# box.sh up NAME ROOT [OPTION...] | run NAME COMMAND... | down NAME
# Boots a copy of a Debian root in a container with a systemd of its own; BOXDIR holds what
# belongs to it. Each box needs a control group of its own, or units of the same name collide.
set -eu
base=${BOXDIR:?} verb=$1 name=$2
shift 2
dir=$base/$name
case $verb in
up)
  root=$1
  shift
  mkdir -p "$dir"
  mount -t tmpfs -o size=2g,mode=755 tmpfs "$dir"
  mkdir "$dir"/{up,work,merged}
  mount -t overlay overlay -o "lowerdir=$root,upperdir=$dir/up,workdir=$dir/work" "$dir/merged"
  (
    for h in systemd unified; do
      [ -d /sys/fs/cgroup/$h ] || continue
      mkdir -p "/sys/fs/cgroup/$h/box-$name"
      echo $BASHPID > "/sys/fs/cgroup/$h/box-$name/cgroup.procs"
    done
    exec systemd-nspawn -q -D "$dir/merged" -M "$name" -b --register=no --keep-unit --console=pipe "$@" \
      </dev/null >"$base/$name.log" 2>&1
  ) &
  echo $! > "$base/$name.sup"
  for _ in $(seq 600); do
    init=$(pgrep -o -P "$(cat "$base/$name.sup")" || true)
    if [ -n "$init" ]; then
      case $(nsenter -t "$init" -a systemctl is-system-running 2>/dev/null || true) in
      running | degraded)
        echo "$init" > "$base/$name.init"
        exit 0
        ;;
      esac
    fi
    sleep 0.1
  done
  echo "box $name did not come up" >&2
  tail -20 "$base/$name.log" >&2
  exit 1
  ;;
run) exec nsenter -t "$(cat "$base/$name.init")" -a -- "$@" ;;
down)
  if [ -f "$base/$name.init" ]; then
    nsenter -t "$(cat "$base/$name.init")" -a systemctl poweroff 2>/dev/null || true
  fi
  for _ in $(seq 100); do
    kill -0 "$(cat "$base/$name.sup")" 2>/dev/null || break
    sleep 0.1
  done
  kill -9 "$(cat "$base/$name.sup")" 2>/dev/null || true
  umount "$dir/merged" || true
  umount "$dir" || true
  rmdir "$dir" 2>/dev/null || true
  rm -f "$base/$name".{sup,init,log}
  for h in systemd unified; do
    find "/sys/fs/cgroup/$h/box-$name" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
  ;;
esac
