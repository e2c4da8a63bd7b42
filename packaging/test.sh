#!/usr/bin/env bash
# Tests the packages as an administrator would use them, mostly in booted systemd boxes.
#
#   packaging/test.sh [CASE...]    a case is a file in packaging/cases; all of them without arguments
#
# It runs as root on Debian and installs what it needs. To add a case, add a file: it is run in a
# shell of its own that has the functions below, and boxes that it started are taken down after it.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ] || [ "$(dpkg --print-architecture 2>/dev/null)" != amd64 ]; then
  echo "SKIPPED: the tests of the packages need root on Debian on amd64"
  exit 0
fi
if ! unshare -m mount -t tmpfs tmpfs /mnt 2>/dev/null; then
  echo "SKIPPED: booting a system in a box needs the right to mount"
  exit 0
fi
for c in mmdebstrap systemd-nspawn lintian rpmlint rpm shellcheck piuparts createrepo_c gpg dpkg-scanpackages curl; do
  command -v $c >/dev/null && continue
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap systemd-container lintian \
    rpmlint rpm shellcheck piuparts createrepo-c gnupg dpkg-dev iproute2 curl >/dev/null
  break
done
export BOXDIR=$PWD/build/boxes run=$$ work=$PWD/build/test
mkdir -p "$BOXDIR" "$work"
root=$BOXDIR/root rpmroot=$BOXDIR/rpmroot
make_root() { # directory, more packages, [release of Debian]
  if [ -e "$1/.complete" ]; then return; fi
  rm -rf "$1"
  sed "s/bookworm/${3:-bookworm}/g" /etc/apt/sources.list.d/debian.sources > "$work/debian.sources"
  mmdebstrap --quiet --variant=minbase --dpkgopt=force-unsafe-io --include="systemd,systemd-sysv,dbus,iproute2,procps,ca-certificates${2:+,$2}" \
    "${3:-bookworm}" "$1" "$work/debian.sources"
  touch "$1/.complete"
}
version=$(ls build/zkd_*_amd64.deb) version=${version#build/zkd_} version=${version%-1_amd64.deb}
deb=/pkgs/zkd_$version-1_amd64.deb rpm=/pkgs/zkd-$version-1.x86_64.rpm

# An older package with another default in its zoo.cfg, to upgrade from.
old=0.0.9
make_old() {
  (cat etc/zkd/zoo.cfg; echo "# as it was in $old") > "$work/zoo.cfg"
  sed "s|src: etc/zkd/zoo.cfg|src: $work/zoo.cfg|" nfpm.yaml > "$work/old.yaml"
  for p in deb rpm; do
    ARCH=amd64 VERSION=$old build/tools/nfpm package -f "$work/old.yaml" -p $p -t "$work/" >/dev/null
  done
}
make_old
olddeb=/old/zkd_$old-1_amd64.deb oldrpm=/old/zkd-$old-1.x86_64.rpm

say() { printf '\n== %s\n' "$*"; }
boxes=() networks=() images=()
up() { # box, [options of systemd-nspawn]; ROOT chooses another root than the plain one
  make_root "$root"
  packaging/box.sh up "zkd$run-$1" "${ROOT:-$root}" --bind-ro="$PWD/build:/pkgs" --bind-ro="$work:/old" "${@:2}"
  boxes+=("$1")
  at "$1" ip link set lo up
}
down() { packaging/box.sh down "zkd$run-$1" || true; }
at() { packaging/box.sh run "zkd$run-$1" "${@:2}"; } # box, command...
network() { # name
  networks+=("zkd$run-$1")
  ip netns add "zkd$run-$1"
  ip netns exec "zkd$run-$1" ip link add br0 type bridge
  ip netns exec "zkd$run-$1" ip link set br0 up
}
up_on() { # network, box, address/bits
  make_root "$root"
  nsenter --net="/run/netns/zkd$run-$1" packaging/box.sh up "zkd$run-$2" "${ROOT:-$root}" \
    --bind-ro="$PWD/build:/pkgs" --bind-ro="$work:/old" --network-bridge=br0
  boxes+=("$2")
  at "$2" sh -c "ip link set lo up; ip addr add $3 dev host0; ip link set host0 up"
}
image() { # root: a copy of it in which no system runs, as where images are made; its path is $image
  image=$(mktemp -d)
  mount -t tmpfs tmpfs "$image"
  images+=("$image")
  mkdir "$image"/{up,work,merged}
  mount -t overlay overlay -o "lowerdir=$1,upperdir=$image/up,workdir=$image/work" "$image/merged"
  image=$image/merged
}
in_image() { chroot "$image" "$@" >/dev/null; }
cleanup() {
  for i in "${images[@]}"; do umount "$i/merged" "$i"; rmdir "$i"; done
  for b in "${boxes[@]}"; do down "$b"; done
  for n in "${networks[@]}"; do ip netns del "$n" 2>/dev/null || true; done
}
fail() { # box, text
  echo "FAILED: $1: $2" >&2
  at "$1" journalctl -u 'zkd*' --no-pager -n 30 >&2 || true
  exit 1
}
wait_for() { # box, what, command...
  for _ in $(seq 300); do
    if at "$1" "${@:3}" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  fail "$1" "$2"
}
has() { # box, text, command...
  local out
  for _ in $(seq 30); do
    out=$(at "$1" "${@:3}" 2>&1) || true
    case $out in *"$2"*) return ;; esac
    [ "$3" = journalctl ] || break # what a process wrote before its end comes to the journal a little later
    sleep 0.1
  done
  fail "$1" "no \"$2\" in what ${*:3} says: $out"
}
lacks() { # box, text, command...
  local out
  out=$(at "$1" "${@:3}" 2>&1) || true
  case $out in *"$2"*) fail "$1" "\"$2\" in what ${*:3} says: $out" ;; esac
}
same() { [ "$2" = "$3" ] || fail "$1" "$4: $2 and $3"; } # box, value, value, what
pid() { at "$1" systemctl show -P MainPID "${2:-zkd}"; } # box, [unit]
other_pid() { # box, pid: until the service runs again as another process
  wait_for "$1" "running again, not as process $2" sh -c \
    "p=\$(systemctl show -P MainPID zkd); [ \$p != 0 ] && [ \$p != $2 ] && systemctl is-active --quiet zkd"
}
put() { at "$1" sh -c "cat > $2"; } # box, file: from the standard input

cases=("$@")
if [ ${#cases[@]} = 0 ]; then
  for f in packaging/cases/*.sh; do f=${f##*/}; cases+=("${f%.sh}"); done
fi
for c in "${cases[@]}"; do
  started=$SECONDS
  ( trap cleanup EXIT; . "packaging/cases/$c.sh" )
  echo "-- $c: $((SECONDS - started)) s"
done
say "all packages work"
