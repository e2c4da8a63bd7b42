say "one server: from its installation to its purge"
up one --private-network
at one dpkg -i $olddeb 2>&1 >/dev/null | grep -v '^Creat' && fail one "the installation says more than it should"
wait_for one "active after the installation" systemctl is-active --quiet zkd
has one "enabled" systemctl is-enabled zkd
has one "zkd:/var/lib/zkd:/usr/sbin/nologin" sh -c "getent passwd zkd | cut -d: -f1,6,7"
has one "zkd:zkd 750" stat -c "%U:%G %a" /var/lib/zkd
has one "root:zkd 640" stat -c "%U:%G %a" /etc/zkd/zoo.cfg
has one "127.0.0.1:2181" ss -Hltn
same one "$(at one ss -Hltn | wc -l)" 1 "ports that are listened on"
has one "standalone, zxid" systemctl status zkd
has one "exposure level for zkd.service: 1." systemd-analyze security --no-pager zkd
same one "$(at one systemd-analyze verify zkd.service zkd@x.service zkd.target --man=no 2>&1)" "" "systemd-analyze verify"
has one "Ready" journalctl --no-pager ZKD_EVENT=ready
has one "Clients can connect" journalctl --no-pager -x -u zkd
echo "ready after $(at one journalctl --no-pager -o cat --output-fields=ZKD_MS ZKD_EVENT=ready | tail -n 1) ms," \
  "$(at one sh -c 'grep VmRSS /proc/$(systemctl show -P MainPID zkd)/status' | tr -s '\t ' ' ')"
rss=$(at one sh -c 'awk "/VmRSS/ {print \$2}" /proc/$(systemctl show -P MainPID zkd)/status')
[ "$rss" -le 20480 ] || fail one "an idle server takes $rss kB"
for _ in 1 2 3 4 5; do # a machine that does other things may be slow now and then
  at one sh -c 'systemctl reset-failed zkd; systemctl restart zkd'
done
fastest=$(at one journalctl --no-pager -o cat --output-fields=ZKD_MS ZKD_EVENT=ready | sort -n | head -n 1)
[ "$fastest" -le 100 ] || fail one "a start takes $fastest ms"
has one "the server may open" zkctl doctor
at one zkctl doctor >/dev/null || fail one "$(at one zkctl doctor)"
at one zkctl wait --ready
has one "Created /a" zkctl create /a first

say "reload"
p=$(pid one)
echo "4lw.commands.whitelist=*" | put one /etc/zkd/zoo.cfg.d/words.cfg
at one systemctl reload zkd
has one "The configuration was reloaded" journalctl --no-pager ZKD_EVENT=reloaded
echo "initLimit=20" | put one /etc/zkd/zoo.cfg.d/limit.cfg
at one systemctl reload zkd
has one "only after a restart: initLimit" systemctl status zkd
echo "tickTime=fast" | put one /etc/zkd/zoo.cfg.d/wrong.cfg
at one systemctl reload zkd 2>/dev/null && fail one "a wrong configuration is reloaded"
has one 'wrong.cfg:1: tickTime: "fast" is not a whole number' journalctl -u zkd --no-pager
has one "active" systemctl is-active zkd
same one "$(pid one)" "$p" "the process before and after reloads"
has one "first" zkctl get /a

say "a wrong configuration, and a port that is taken"
at one systemctl restart zkd 2>/dev/null && fail one "it starts with a wrong setting"
has one "status=78/CONFIG" systemctl status zkd
has one 'Failed: configuration: /etc/zkd/zoo.cfg.d/wrong.cfg:1: tickTime: "fast"' systemctl status zkd
same one "$(at one systemctl show -P NRestarts zkd)" 0 "restarts after a wrong setting"
at one sh -c 'rm /etc/zkd/zoo.cfg.d/*.cfg; systemctl reset-failed zkd; systemctl start zkd'
at one sh -c 'printf "dataDir=/var/lib/zkd-two\nclientPort=2181\n" > /etc/zkd/two.cfg'
at one systemctl start zkd@two 2>/dev/null && fail one "two servers on a port"
has one "another process has the port" journalctl -u zkd@two --no-pager
at one sh -c 'systemctl stop zkd@two; systemctl reset-failed zkd@two 2>/dev/null; rm -r /etc/zkd/two.cfg /var/lib/zkd-two'

say "kill -9, standstill, crash loop"
p=$(pid one)
at one kill -9 "$p"
other_pid one "$p"
has one "first" zkctl get /a
at one mkdir -p /etc/systemd/system/zkd.service.d
printf '[Service]\nWatchdogSec=2s\nTimeoutAbortSec=2s\nRestartSec=100ms\n' | put one /etc/systemd/system/zkd.service.d/test.conf
at one systemctl daemon-reload
at one systemctl restart zkd
p=$(pid one)
sleep 5 # longer than the watchdog's limit: a server that works is left alone
same one "$(pid one)" "$p" "the process before and after two limits of the watchdog"
at one kill -STOP "$p"
other_pid one "$p"
has one "Watchdog timeout" journalctl -u zkd --no-pager
at one systemctl reset-failed zkd
crashes=0
while ! at one systemctl is-failed --quiet zkd; do
  p=$(pid one)
  if [ "$p" = 0 ]; then continue; fi
  at one kill -9 "$p" 2>/dev/null || continue
  crashes=$((crashes + 1))
  [ $crashes -lt 9 ] || fail one "started again without end"
  wait_for one "killed" sh -c "[ \$(systemctl show -P MainPID zkd) != $p ]"
  wait_for one "started again, or given up" sh -c 'systemctl is-active --quiet zkd || systemctl is-failed --quiet zkd'
done
has one "Start request repeated too quickly" journalctl -u zkd --no-pager
at one sh -c 'rm -r /etc/systemd/system/zkd.service.d; systemctl daemon-reload; systemctl reset-failed zkd; systemctl start zkd'
has one "first" zkctl get /a

say "a secret that only the service can read"
at one sh -c '(umask 077; printf "super:%s" $(printf super:secret | openssl dgst -sha1 -binary | openssl base64) > /etc/zkd/superdigest)
  mkdir -p /etc/systemd/system/zkd.service.d
  printf "[Service]\nLoadCredential=superdigest:/etc/zkd/superdigest\n" > /etc/systemd/system/zkd.service.d/secret.conf
  echo DigestAuthenticationProvider.superDigest=cred:superdigest > /etc/zkd/zoo.cfg.d/super.cfg
  systemctl daemon-reload; systemctl restart zkd'
has one "Created /locked" zkctl create /locked x world:anyone:r
has one "Insufficient permission" zkctl set /locked y
at one zkctl --auth digest:super:secret set /locked y >/dev/null || fail one "the superuser may not write"
at one systemctl reload zkd || fail one "no reload with a secret"
at one sh -c 'rm -r /etc/systemd/system/zkd.service.d /etc/zkd/zoo.cfg.d/super.cfg /etc/zkd/superdigest; systemctl daemon-reload; systemctl restart zkd'

say "upgrade, with a configuration that was edited; downgrade"
at one sh -c 'echo "# edited" >> /etc/zkd/zoo.cfg'
sum=$(at one sha256sum /etc/zkd/zoo.cfg)
p=$(pid one)
at one sh -c "DEBIAN_FRONTEND=noninteractive dpkg -i --force-confdef --force-confold $deb" >/dev/null 2>&1
same one "$(at one sha256sum /etc/zkd/zoo.cfg)" "$sum" "zoo.cfg before and after the upgrade"
has one "root:zkd 640" stat -c "%U:%G %a" /etc/zkd/zoo.cfg
other_pid one "$p"
has one "first" zkctl get /a
at one sh -c 'sed -i s/=yes/=no/ /etc/default/zkd'
# What systemd reads there need not be a shell's.
put one /tmp/more <<'END'
ZKD_4LW_COMMANDS_WHITELIST=ruok, srvr, mntr
ZKD_NOTHING=$(touch /run/not-a-shell); touch /run/not-a-shell (
  ZKD_RESTART_ON_UPGRADE = "no"  
END
at one sh -c 'cp /etc/default/zkd /tmp/before; cat /tmp/more >> /etc/default/zkd'
p=$(pid one)
at one dpkg -i --force-confdef --force-confold --force-downgrade $olddeb >/dev/null 2>&1 ||
  fail one "no upgrade with an environment file that is no shell script"
same one "$(at one dpkg-query -W -f '${db:Status-Status}' zkd)" installed "the package's state"
at one sh -c '[ ! -e /run/not-a-shell ]' || fail one "the environment file was run as a program"
same one "$(pid one)" "$p" "the process before and after an upgrade that is not to restart it"
at one systemctl restart zkd
has one "first" zkctl get /a
p=$(pid one)
echo ' ZKD_RESTART_ON_UPGRADE=yes ' | at one sh -c 'cat >> /etc/default/zkd'
at one dpkg -i --force-confdef --force-confold $deb >/dev/null 2>&1
other_pid one "$p"
at one cp /tmp/before /etc/default/zkd

say "remove, install again, purge"
at one dpkg -r zkd >/dev/null 2>&1
has one "inactive" systemctl is-active zkd
at one sh -c '! pgrep -x zkd' || fail one "it still runs"
at one dpkg -i $deb >/dev/null 2>&1
wait_for one "active after the second installation" systemctl is-active --quiet zkd
has one "enabled" systemctl is-enabled zkd
has one "first" zkctl get /a
at one sh -c 'touch /etc/zkd/zoo.cfg.d/mine.cfg'
at one sh -c 'systemctl stop zkd; mkdir -p /var/lib/zkd/log; mount -t tmpfs tmpfs /var/lib/zkd/log; touch /var/lib/zkd/log/theirs'
at one dpkg -r zkd >/dev/null 2>&1
has one "/var/lib/zkd/log is left as it is: a file system is mounted there" dpkg -P zkd
same one "$(at one dpkg-query -W -f '${db:Status-Status}' zkd 2>/dev/null || echo gone)" gone "the package's state"
at one sh -c '[ -e /var/lib/zkd/log/theirs ]' || fail one "the purge emptied a disk that is mounted in the data directory"
same one "$(at one ls -A /var/lib/zkd)" log "what a purge leaves beside the mounted disk"
at one sh -c 'umount /var/lib/zkd/log; rmdir /var/lib/zkd/log /var/lib/zkd'
at one sh -c '[ ! -e /var/lib/zkd ] && [ ! -e /etc/zkd/zoo.cfg ] && [ ! -e /etc/default/zkd ]' || fail one "the purge left something"
at one sh -c '[ -e /etc/zkd/zoo.cfg.d/mine.cfg ]' || fail one "the purge took a file of the administrator's"
same one "$(at one dpkg -P zkd 2>&1 | grep -v "isn't installed" | grep -c . || true)" 0 "lines of a second purge"
at one dpkg -i $deb >/dev/null 2>&1
wait_for one "active after the purge" systemctl is-active --quiet zkd
has one "Node does not exist" zkctl get /a
lacks one "edited" cat /etc/zkd/zoo.cfg
