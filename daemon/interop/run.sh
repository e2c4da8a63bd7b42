#!/usr/bin/env bash
# Installs what the tests need, on Debian, and runs them against build/zkd.
set -euo pipefail
cd "$(dirname "$0")/../.."
lib=$PWD/build/interop/lib
need() { command -v "$1" >/dev/null 2>&1; }
if ! need javac || ! need mvn; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq openjdk-17-jdk-headless maven >/dev/null
fi
if ! need gcc || [ ! -f /usr/include/zookeeper/zookeeper.h ] || [ ! -x /usr/lib/zookeeper/bin/cli_mt ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev libzookeeper-mt-dev zookeeper-bin >/dev/null
fi
if [ ! -f /usr/share/java/zookeeper.jar ] || [ ! -f /usr/share/java/commons-cli.jar ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq zookeeper libzookeeper-java libcommons-cli-java >/dev/null
fi
if ! ls "$lib"/zookeeper-3.9.*.jar >/dev/null 2>&1; then
  mvn -q -B -f daemon/interop/java/pom.xml dependency:copy-dependencies -DoutputDirectory="$lib"
fi
old=$PWD/build/interop/old
if ! ls "$old"/zookeeper-3.5.*.jar >/dev/null 2>&1; then
  mvn -q -B -f daemon/interop/java/old/pom.xml dependency:copy-dependencies -DoutputDirectory="$old"
fi
admin=$PWD/build/interop/admin
if ! ls "$admin"/jetty-servlet-*.jar >/dev/null 2>&1; then
  mvn -q -B -f daemon/interop/java/admin/pom.xml dependency:copy-dependencies -DoutputDirectory="$admin"
fi
curator=$PWD/build/interop/curator
if ! ls "$curator"/curator-recipes-*.jar >/dev/null 2>&1; then
  mvn -q -B -f daemon/interop/java/curator/pom.xml dependency:copy-dependencies -DoutputDirectory="$curator"
fi
kafka=$PWD/build/interop/kafka
if ! ls "$kafka"/kafka_2.13-*.jar >/dev/null 2>&1; then
  mvn -q -B -f daemon/interop/java/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory="$kafka"
fi
missing=() tools=(ip:iproute2 nft:nftables)
[ -z "${CLICKHOUSE:-}" ] || tools+=(clickhouse-server:clickhouse-server)
for tool in "${tools[@]}"; do
  need "${tool%:*}" || missing+=("${tool#*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
if ! need node || ! need npm; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
fi
node=$PWD/build/interop/node
[ -d "$node/node_modules/node-zookeeper-client" ] ||
  npm install --silent --no-audit --no-fund --prefix "$node" node-zookeeper-client@1.1.3 >/dev/null
python3 -c 'import kazoo' 2>/dev/null || python3 -m pip install -q --break-system-packages kazoo 2>/dev/null || python3 -m pip install -q kazoo
[ -x build/zkd ] || make build
ZKD_BINARY=$PWD/build/zkd ZKD_JAVA_LIB=$lib ZKD_JAVA_OLD=$old ZKD_JAVA_ADMIN=$admin ZKD_CURATOR_LIB=$curator ZKD_KAFKA_LIB=$kafka ZKD_NODE_MODULES=$node/node_modules exec go test -tags interop -count=1 -timeout 20m "$@" ./daemon/interop
