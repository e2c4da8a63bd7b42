say "three servers on a switch: an ensemble from three installations, as docs/INSTALL.md tells"
network net
start=$SECONDS
list=10.9.0.1:2181,10.9.0.2:2181,10.9.0.3:2181
for i in 1 2 3; do
  up_on net zk$i 10.9.0.$i/24
  for j in 1 2 3; do echo "10.9.0.$j zk$j"; done | at zk$i sh -c 'cat >> /etc/hosts'
  at zk$i dpkg -i $olddeb >/dev/null 2>&1
  at zk$i zkctl ls / >/dev/null # somebody looks around first
  at zk$i zkctl init --id $i --server 1=zk1 --server 2=zk2 --server 3=zk3 >/dev/null
  at zk$i systemctl restart zkd
done
serves() { at "$1" zkctl wait --ready --for 60s >/dev/null || fail "$1" "it does not serve $2"; }
for i in 1 2 3; do
  at zk$i zkctl wait --ready --for 30s
  serves zk$i "in the new ensemble"
done
same zk2 "$(at zk2 stat -c '%U' /var/lib/zkd/myid)" zkd "the owner of myid"
echo "an ensemble after $((SECONDS - start)) s, with the time to start three systems"
at zk1 zkctl --server $list status
wait_for zk1 "sees the others" sh -c 'systemctl status zkd | grep "of 3, .*3 of 3 servers seen"'
has zk1 "serving" journalctl --no-pager -o cat --output-fields=ZKD_STATE ZKD_EVENT=election
at zk1 zkctl doctor >/dev/null || fail zk1 "$(at zk1 zkctl doctor)"
has zk2 "Created /e" zkctl create /e one
has zk3 "one" sh -c 'zkctl sync / >/dev/null; zkctl get /e'

# Writes until told to stop, and keeps a list of what was acknowledged.
at zk1 zkctl create /load >/dev/null
at zk1 sh -c "while [ ! -e /tmp/stop ]; do
    n=\$(zkctl --server $list --timeout 5s create -s /load/n x 2>/dev/null) && echo \"\${n#Created }\" >> /tmp/acknowledged || echo x >> /tmp/refused
  done" &
load=$!
written() { at zk1 sh -c 'cat /tmp/acknowledged 2>/dev/null | wc -l'; }
goes_on() { # what: until there are ten more writes
  local enough=$(($(written) + 10))
  wait_for zk1 "writes go on $1" sh -c "[ \$(wc -l < /tmp/acknowledged) -ge $enough ]"
}
goes_on "with three servers"

say "under load, one server is cut off, and comes back"
at zk3 ip link set host0 down
goes_on "without server 3"
for i in 1 2; do at zk$i zkctl --timeout 10s set /e two-$i >/dev/null; done
wait_for zk3 "knows that it is alone" sh -c 'systemctl status zkd | grep "without a quorum of 3.*1 of 3 servers seen"'
at zk3 ip link set host0 up
wait_for zk3 "comes back" sh -c "zkctl sync / && zkctl get /e | grep -q two-2"

say "under load, upgrade one server after the other"
for i in 2 3 1; do
  before=$(pid zk$i)
  at zk$i dpkg -i --force-confdef --force-confold $deb >/dev/null 2>&1
  [ "$before" != "$(pid zk$i)" ] || fail zk$i "the upgrade did not restart it"
  serves zk$i "after its upgrade"
  goes_on "after the upgrade of server $i"
done

say "under load, a server moves to another address, and the others are told by a reload"
for i in 1 2; do
  before=$(pid zk$i)
  at zk$i sed -i 's/^server.3=zk3:/server.3=10.9.0.33:/' /etc/zkd/zoo.cfg.d/ensemble.cfg
  at zk$i systemctl reload zkd
  same zk$i "$(pid zk$i)" "$before" "the process before and after the reload"
  lacks zk$i "after a restart" systemctl status zkd
done
at zk3 sh -c 'ip addr del 10.9.0.3/24 dev host0; ip addr add 10.9.0.33/24 dev host0
  sed -i s/^server.3=zk3:/server.3=10.9.0.33:/ /etc/zkd/zoo.cfg.d/ensemble.cfg; systemctl restart zkd'
serves zk3 "at its new address"
has zk1 "server.3=10.9.0.33:2888:3888" zkctl get /zookeeper/config
list=10.9.0.1:2181,10.9.0.2:2181,10.9.0.33:2181

goes_on "at the end"
at zk1 touch /tmp/stop
wait $load
refused=$(at zk1 sh -c 'cat /tmp/refused 2>/dev/null | wc -l')
for i in 1 2 3; do
  missing=$(at zk$i sh -c 'zkctl sync / >/dev/null; zkctl ls /load | tr -d "[]" | tr "," "\n" | sed "s/ *//; s|^|/load/|" | sort > /tmp/there'
    at zk1 sort /tmp/acknowledged | at zk$i sh -c 'comm -23 - /tmp/there | wc -l')
  same zk$i "$missing" 0 "acknowledged writes that server $i lacks"
done
echo "$(written) writes were acknowledged and all are there; $refused were refused meanwhile"
has zk1 "two-2" zkctl get /e

say "one server dies with its disk, and is installed anew"
at zk3 systemctl kill -s KILL zkd
at zk3 dpkg -P zkd >/dev/null 2>&1
has zk2 "Created /f" zkctl --server $list create /f three
at zk3 dpkg -i $deb >/dev/null 2>&1
at zk3 rm -f /etc/zkd/zoo.cfg.d/ensemble.cfg
at zk3 zkctl init --id 3 --server 1=zk1 --server 2=zk2 --server 3=10.9.0.33 >/dev/null
at zk3 systemctl restart zkd
serves zk3 "with an empty disk"
has zk3 "three" sh -c 'zkctl sync / >/dev/null; zkctl get /f'
