#!/usr/bin/env bash
# Installs the packages in booted systemd boxes and uses them as an administrator would:
# one server through its whole life, and three on a switch as an ensemble. Runs as root on
# Debian and installs what it needs.
set -euo pipefail
cd "$(dirname "$0")/.."
export BOXDIR=$PWD/build/boxes
root=$BOXDIR/root box=packaging/box.sh net=zkdtest
deb=$(ls build/zkd_*_amd64.deb)
if [ "$(id -u)" != 0 ] || ! unshare -m mount -t tmpfs tmpfs /mnt 2>/dev/null || [ "$(dpkg --print-architecture)" != amd64 ]; then
  echo "SKIPPED: booting a system in a box needs root, the right to mount, and Debian on amd64"
  exit 0
fi
if ! command -v mmdebstrap systemd-nspawn lintian rpm >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq mmdebstrap systemd-container lintian rpm >/dev/null
fi
mkdir -p "$BOXDIR"
if [ ! -d "$root/etc" ]; then
  mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus,iproute2,procps,ca-certificates \
    bookworm "$root" /etc/apt/sources.list.d/debian.sources
fi
ups=()
up() { $box up "$1" "$root" --bind-ro="$PWD/build:/pkgs" "${@:2}"; ups+=("$1"); }
cleanup() {
  for b in "${ups[@]}"; do $box down "$b" || true; done
  ip netns del $net 2>/dev/null || true
}
trap cleanup EXIT
at() { $box run "$@"; }
say() { printf '\n== %s\n' "$*"; }
fail() { echo "FAILED: $*" >&2; at "${1%%:*}" journalctl -u zkd --no-pager -n 20 >&2 || true; exit 1; }
wait_for() { # box, what, command...
  local b=$1 what=$2
  shift 2
  for _ in $(seq 150); do
    if at "$b" "$@" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  fail "$b: $what"
}
has() { # box, text, command...
  local b=$1 text=$2 out
  shift 2
  out=$(at "$b" "$@" 2>&1) || true
  case $out in *"$text"*) ;; *) fail "$b: no \"$text\" in: $out" ;; esac
}

say "the files of the packages"
lintian --fail-on error "$deb"
rpm -qpl build/zkd-*.x86_64.rpm >/dev/null
systemd-analyze verify --man=no systemd/zkd.service 2>&1 | grep -v "is not executable" || true

say "one server: install, status, reload, crash, upgrade, remove, purge"
up one --private-network
at one ip link set lo up
at one dpkg -i "/pkgs/$(basename "$deb")" >/dev/null
wait_for one "active after the installation" systemctl is-active --quiet zkd
has one "enabled" systemctl is-enabled zkd
has one "standalone, zxid" systemctl status zkd
has one "Created /a" zkctl create /a first
has one "exposure level for zkd.service: 1." systemd-analyze security --no-pager zkd
pid=$(at one systemctl show -P MainPID zkd)
at one sh -c 'echo maxClientCnxns=7 > /etc/zkd/zoo.cfg.d/limits.cfg'
at one systemctl reload zkd
has one "The configuration was reloaded" journalctl -u zkd --no-pager
[ "$pid" = "$(at one systemctl show -P MainPID zkd)" ] || fail "one: the reload restarted it"
at one kill -9 "$pid"
wait_for one "alive again after kill -9" sh -c "[ \$(systemctl show -P MainPID zkd) != 0 ] && [ \$(systemctl show -P MainPID zkd) != $pid ] && systemctl is-active --quiet zkd"
has one "first" zkctl get /a
at one sh -c 'echo "# edited" >> /etc/zkd/zoo.cfg'
pid=$(at one systemctl show -P MainPID zkd)
at one dpkg -i --force-confdef "/pkgs/$(basename "$deb")" >/dev/null
has one "# edited" cat /etc/zkd/zoo.cfg
wait_for one "restarted by the upgrade" sh -c "[ \$(systemctl show -P MainPID zkd) != $pid ] && systemctl is-active --quiet zkd"
at one sh -c 'echo "tickTime=fast" > /etc/zkd/zoo.cfg.d/wrong.cfg; systemctl restart zkd' 2>/dev/null && fail "one: starts with a wrong setting"
has one 'wrong.cfg:1: tickTime: "fast" is not a whole number' journalctl -u zkd --no-pager
has one "status=78" systemctl status zkd
at one sh -c 'rm /etc/zkd/zoo.cfg.d/wrong.cfg; systemctl reset-failed zkd; systemctl start zkd'
at one dpkg -r zkd >/dev/null
has one "inactive" systemctl is-active zkd
at one dpkg -i "/pkgs/$(basename "$deb")" >/dev/null
wait_for one "active after the second installation" systemctl is-active --quiet zkd
has one "first" zkctl get /a
at one dpkg -P zkd >/dev/null
at one sh -c '[ ! -e /var/lib/zkd ] && [ ! -e /etc/zkd/zoo.cfg ]' || fail "one: the purge left something"

say "three servers on a switch: an ensemble from three installations"
ip netns add $net
ip netns exec $net ip link add br0 type bridge
ip netns exec $net ip link set br0 up
start=$SECONDS
for i in 1 2 3; do
  nsenter --net=/run/netns/$net $box up zk$i "$root" --bind-ro="$PWD/build:/pkgs" --network-bridge=br0
  ups+=("zk$i")
  at zk$i sh -c "ip link set lo up; ip addr add 10.9.0.$i/24 dev host0; ip link set host0 up"
  at zk$i dpkg -i "/pkgs/$(basename "$deb")" >/dev/null
  at zk$i sh -c "printf 'server.1=10.9.0.1:2888:3888\nserver.2=10.9.0.2:2888:3888\nserver.3=10.9.0.3:2888:3888\n' > /etc/zkd/zoo.cfg.d/ensemble.cfg
    echo $i > /var/lib/zkd/myid; sed -i '/^clientPortAddress/d' /etc/zkd/zoo.cfg; systemctl restart zkd"
done
export_list=10.9.0.1:2181,10.9.0.2:2181,10.9.0.3:2181
for i in 1 2 3; do wait_for zk$i "serves" sh -c "zkctl status | grep -Eq 'leader|follower'"; done
echo "an ensemble after $((SECONDS - start)) s"
at zk1 zkctl --server $export_list status
has zk1 "of 3" systemctl status zkd
has zk2 "Created /e" zkctl create /e one
has zk3 "one" sh -c 'zkctl sync / >/dev/null; zkctl get /e'
at zk1 ip link set host0 down
for i in 2 3; do wait_for zk$i "goes on without server 1" sh -c "zkctl --timeout 3s set /e two-$i"; done
at zk1 ip link set host0 up
wait_for zk1 "comes back" sh -c "zkctl sync / && zkctl get /e | grep -q two-3"
for i in 1 2 3; do
  at zk$i dpkg -i --force-confdef "/pkgs/$(basename "$deb")" >/dev/null # upgrade, one after the other
  wait_for zk$i "serves after its upgrade" sh -c "zkctl status | grep -Eq 'leader|follower'"
done
has zk1 "two-3" sh -c 'zkctl sync / >/dev/null; zkctl get /e'
say "all packages work"
