say "the same package on Debian 13, with its systemd"
make_root "$BOXDIR/trixieroot" "" trixie
ROOT=$BOXDIR/trixieroot up thirteen --private-network
has thirteen "systemd 257" systemctl --version
at thirteen sh -c "DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $deb" >/dev/null 2>&1
wait_for thirteen "active after the installation" systemctl is-active --quiet zkd
has thirteen "standalone, zxid" systemctl status zkd
has thirteen "exposure level for zkd.service: 1." systemd-analyze security --no-pager zkd
same thirteen "$(at thirteen systemd-analyze verify zkd.service zkd@x.service zkd.target --man=no 2>&1)" "" "systemd-analyze verify"
has thirteen "Clients can connect" journalctl --no-pager -x -u zkd
at thirteen zkctl doctor >/dev/null || fail thirteen "$(at thirteen zkctl doctor)"
has thirteen "Created /a" zkctl create /a first
at thirteen systemctl reload zkd
has thirteen "The configuration was reloaded" journalctl --no-pager ZKD_EVENT=reloaded
p=$(pid thirteen)
at thirteen kill -9 "$p"
other_pid thirteen "$p"
has thirteen "first" zkctl get /a
at thirteen sh -c 'DEBIAN_FRONTEND=noninteractive apt-get purge -y -qq zkd' >/dev/null 2>&1
at thirteen sh -c '[ ! -e /var/lib/zkd ] && [ ! -e /etc/zkd ]' || fail thirteen "the purge left something"
same thirteen "$(at thirteen systemctl --failed --no-legend --plain 2>&1)" "" "failed units"
