say "three servers on a switch: an ensemble from three installations, as docs/INSTALL.md tells"
network net
start=$SECONDS
list=10.9.0.1:2181,10.9.0.2:2181,10.9.0.3:2181
for i in 1 2 3; do
  up_on net zk$i 10.9.0.$i/24
  for j in 1 2 3; do echo "10.9.0.$j zk$j"; done | at zk$i sh -c 'cat >> /etc/hosts'
  at zk$i dpkg -i $deb >/dev/null 2>&1
  at zk$i zkctl init --id $i --server 1=zk1 --server 2=zk2 --server 3=zk3 >/dev/null
  at zk$i systemctl restart zkd
done
serves() { wait_for "$1" "serves $2" sh -c "zkctl status | grep -Eq 'leader|follower'"; }
for i in 1 2 3; do
  at zk$i zkctl wait --for 30s
  serves zk$i "in the new ensemble"
done
same zk2 "$(at zk2 stat -c '%U' /var/lib/zkd/myid)" zkd "the owner of myid"
echo "an ensemble after $((SECONDS - start)) s, with the time to start three systems"
at zk1 zkctl --server $list status
has zk1 "of 3" systemctl status zkd
has zk1 "serving" journalctl --no-pager -o cat --output-fields=ZKD_STATE ZKD_EVENT=election
has zk2 "Created /e" zkctl create /e one
has zk3 "one" sh -c 'zkctl sync / >/dev/null; zkctl get /e'

say "one server is cut off, and comes back"
at zk1 ip link set host0 down
for i in 2 3; do wait_for zk$i "goes on without server 1" sh -c "zkctl --timeout 3s set /e two-$i"; done
wait_for zk1 "knows that it is alone" sh -c 'systemctl status zkd | grep "without a quorum of 3"'
at zk1 ip link set host0 up
wait_for zk1 "comes back" sh -c "zkctl sync / && zkctl get /e | grep -q two-3"

say "upgrade, one server after the other, under load"
at zk1 zkctl create /load >/dev/null
# Writes until told to stop, and keeps a list of what was acknowledged.
at zk1 sh -c "while [ ! -e /tmp/stop ]; do
    n=\$(zkctl --server $list --timeout 5s create -s /load/n x 2>/dev/null) && echo \"\${n#Created }\" >> /tmp/acknowledged || echo x >> /tmp/refused
  done" &
load=$!
for i in 2 3 1; do
  before=$(pid zk$i)
  at zk$i dpkg -i --force-confdef --force-confold $deb >/dev/null 2>&1
  [ "$before" != "$(pid zk$i)" ] || fail zk$i "the upgrade did not restart it"
  serves zk$i "after its upgrade"
done
at zk1 touch /tmp/stop
wait $load
acknowledged=$(at zk1 sh -c 'wc -l < /tmp/acknowledged')
refused=$(at zk1 sh -c 'cat /tmp/refused 2>/dev/null | wc -l')
for i in 1 2 3; do
  missing=$(at zk$i sh -c 'zkctl sync / >/dev/null; zkctl ls /load | tr -d "[]" | tr "," "\n" | sed "s/ *//; s|^|/load/|" | sort > /tmp/there'
    at zk1 sort /tmp/acknowledged | at zk$i sh -c 'comm -23 - /tmp/there | wc -l')
  same zk$i "$missing" 0 "acknowledged writes that server $i lacks"
done
echo "$acknowledged writes were acknowledged and all are there; $refused were refused meanwhile"
[ "$acknowledged" -gt 20 ] || fail zk1 "too few writes to say anything"
has zk1 "two-3" zkctl get /e

say "one server dies with its disk, and is installed anew"
at zk3 systemctl kill -s KILL zkd
at zk3 dpkg -P zkd >/dev/null 2>&1
has zk2 "Created /f" zkctl --server $list create /f three
at zk3 dpkg -i $deb >/dev/null 2>&1
at zk3 sh -c "printf 'server.%s\n' 1=zk1:2888:3888 2=zk2:2888:3888 3=zk3:2888:3888 > /etc/zkd/zoo.cfg.d/ensemble.cfg
  echo 3 > /var/lib/zkd/myid
  sed -i '/^clientPortAddress/d' /etc/zkd/zoo.cfg && systemctl restart zkd"
serves zk3 "with an empty disk"
has zk3 "three" sh -c 'zkctl sync / >/dev/null; zkctl get /f'
