"""kazoo's client with servers that are read-only for a while; they are named on the command line."""
import queue
import sys
import threading
import time

from kazoo.client import KazooClient
from kazoo.exceptions import NotReadOnlyCallError
from kazoo.protocol.states import KazooState, KeeperState

changed = queue.Queue()
c = KazooClient(hosts=sys.argv[1], timeout=10, read_only=True)
c.add_listener(changed.put)
c.start(timeout=60)
assert c.client_state == KeeperState.CONNECTED_RO, c.client_state
data, stat = c.get("/a")
assert data == b"x", data
try:
    c.set("/a", b"y")
    raise SystemExit("a read-only server accepted a write")
except NotReadOnlyCallError:
    pass
assert c.exists("/b") is None
print("reading", flush=True)
deadline = time.time() + 90
while time.time() < deadline:
    try:
        if c.client_state == KeeperState.CONNECTED:
            c.create("/python", b"")
            print("all well", flush=True)
            c.stop()
            sys.exit(0)
    except Exception as e:
        print(repr(e), file=sys.stderr)
    time.sleep(0.1)
raise SystemExit("no read-write server was found: %s" % c.client_state)
