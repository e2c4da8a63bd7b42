#!/usr/bin/env bash
# Installs what the tests of zkd's own ensembles need, on Debian, and runs them against build/zkd.
set -euo pipefail
cd "$(dirname "$0")/../.."
missing=()
for need in ip:iproute2 nft:nftables strace:strace; do
  command -v "${need%:*}" >/dev/null 2>&1 || missing+=("${need#*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
ZKD_BINARY=$PWD/build/zkd exec go test -tags interop -count=1 -timeout 20m "$@" ./daemon/interop
