say "several servers on one host"
up host --private-network
at host dpkg -i $deb >/dev/null 2>&1
for i in 1 2; do
  printf 'dataDir=/var/lib/zkd-%s\nclientPort=%s\nclientPortAddress=127.0.0.1\n' $i 210$i | put host /etc/zkd/$i.cfg
  at host systemctl enable --now --quiet zkd@$i
done
has host "Created /a" zkctl --server 127.0.0.1:2101 create /a
has host "Node does not exist" zkctl --server 127.0.0.1:2102 get /a
at host sh -c 'echo maxClientCnxns=5 >> /etc/zkd/2.cfg; systemctl reload zkd@2'
has host "The configuration was reloaded" journalctl -u zkd@2 --no-pager
p=$(pid host zkd@1)
at host dpkg -i $deb >/dev/null 2>&1
[ "$p" != "$(pid host zkd@1)" ] || fail host "the upgrade left an instance as it was"
at host systemctl stop zkd.target
for u in zkd zkd@1 zkd@2; do has host "inactive" systemctl is-active $u; done
at host systemctl start zkd zkd@1 zkd@2
at host dpkg -r zkd >/dev/null 2>&1
at host sh -c '! pgrep -x zkd' || fail host "a server still runs after the removal"
at host dpkg -i $deb >/dev/null 2>&1
at host systemctl start zkd@1 zkd@2
at host systemctl stop zkd@1
at host systemctl clean --what=state zkd@1
at host sh -c '[ ! -e /var/lib/zkd-1 ] && [ -e /var/lib/zkd-2 ] && [ -e /var/lib/zkd ]' || fail host "systemctl clean"

say "Apache's package in place"
up apache --private-network
at apache sh -c 'mkdir -p /tmp/z/DEBIAN && printf "Package: zookeeper\nVersion: 3.8.0\nArchitecture: all\nMaintainer: n <n@n>\nDescription: d\n" \
  > /tmp/z/DEBIAN/control && dpkg-deb -b /tmp/z /tmp/z.deb && dpkg -i /tmp/z.deb' >/dev/null 2>&1
has apache "zkd was not started; see /usr/share/doc/zkd/MIGRATION.md" dpkg -i $deb
has apache "inactive" systemctl is-active zkd
has apache "disabled" systemctl is-enabled zkd
at apache test -e /usr/share/doc/zkd/MIGRATION.md
at apache systemctl enable --now --quiet zkd
p=$(pid apache)
at apache dpkg -i $deb >/dev/null 2>&1
other_pid apache "$p"

say "another server in place, from a tarball"
up tarball --private-network
at tarball sh -c 'mkdir -p /etc/init.d && touch /etc/init.d/zookeeper-server'
has tarball "zkd: /etc/init.d/zookeeper-server is here, so zkd was not started" dpkg -i $deb
at tarball sh -c 'rm /etc/init.d/zookeeper-server; dpkg -P zkd' >/dev/null 2>&1
at tarball systemd-run --quiet --socket-property=ListenStream=2181 --unit=other --remain-after-exit true
has tarball "zkd: another program listens at port 2181, so zkd was not started" dpkg -i $deb
has tarball "inactive" systemctl is-active zkd
at tarball systemctl stop other.socket
at tarball systemctl enable --now --quiet zkd
down tarball

say "a system that is not running: an image in the making"
make_root "$root"
image "$root"
cp "build/${deb#/pkgs/}" "$work/${olddeb#/old/}" "$image/"
in_image dpkg -i "/${olddeb#/old/}"
in_image dpkg -i "/${deb#/pkgs/}"
in_image test -L /etc/systemd/system/multi-user.target.wants/zkd.service
in_image dpkg -r zkd
in_image dpkg -P zkd
[ ! -e "$image/var/lib/zkd" ]
