#!/usr/bin/env bash
# Installs what the tests need, on Debian, and runs them against build/zkd.
set -euo pipefail
cd "$(dirname "$0")/../.."
lib=$PWD/build/interop/lib
need() { command -v "$1" >/dev/null 2>&1; }
if ! need java || ! need mvn; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq openjdk-17-jre-headless maven >/dev/null
fi
if [ ! -f /usr/share/java/zookeeper.jar ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq zookeeper libzookeeper-java >/dev/null
fi
if ! ls "$lib"/zookeeper-3.9.*.jar >/dev/null 2>&1; then
  mvn -q -B -f daemon/interop/java/pom.xml dependency:copy-dependencies -DoutputDirectory="$lib"
fi
python3 -c 'import kazoo' 2>/dev/null || python3 -m pip install -q --break-system-packages kazoo 2>/dev/null || python3 -m pip install -q kazoo
[ -x build/zkd ] || make build
ZKD_BINARY=$PWD/build/zkd ZKD_JAVA_LIB=$lib exec go test -tags interop -count=1 -timeout 20m "$@" ./daemon/interop
