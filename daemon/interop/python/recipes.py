"""kazoo's client and recipes against the server named on the command line."""
import sys
import threading

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NoAuthError, NodeExistsError, RolledBackError
from kazoo.protocol.states import KazooState
from kazoo.security import make_digest_acl

hosts = sys.argv[1]


def client(**kw):
    c = KazooClient(hosts=hosts, timeout=10, **kw)
    c.start(timeout=20)
    return c


a, b = client(), client()

# Plain operations, versions and errors.
a.create("/k", b"one")
assert a.get("/k")[0] == b"one"
assert a.set("/k", b"two", version=0).version == 1
try:
    a.set("/k", b"three", version=0)
    raise SystemExit("a wrong version was accepted")
except BadVersionError:
    pass
try:
    a.create("/k")
    raise SystemExit("a znode was created twice")
except NodeExistsError:
    pass
assert [a.create("/k/s-", sequence=True) for _ in range(3)][2] == "/k/s-0000000002"

# Transactions.
t = a.transaction()
t.create("/t", b"x")
t.set_data("/k", b"four", version=1)
t.check("/k", 2)
r = t.commit()
assert r[0] == "/t" and r[1].version == 2 and r[2] is True, r
t = a.transaction()
t.create("/u")
t.check("/k", 99)
r = t.commit()
assert isinstance(r[0], RolledBackError) and isinstance(r[1], BadVersionError), r
assert a.exists("/u") is None

# Watches.
seen = threading.Event()
a.get("/k", watch=lambda e: seen.set())
b.set("/k", b"five")
assert seen.wait(10), "no data watch"
children = []
many = threading.Event()


@a.ChildrenWatch("/k")
def watch(names):
    children.append(len(names))
    if len(names) == 5:
        many.set()


b.create("/k/x")
b.create("/k/y")
assert many.wait(10), children

# ACLs and digest authentication.
c = client(auth_data=[("digest", "bob:pw")])
c.create("/private", b"", acl=[make_digest_acl("bob", "pw", all=True)])
try:
    a.get("/private")
    raise SystemExit("an ACL was not heeded")
except NoAuthError:
    pass
assert c.get("/private")[0] == b""

# Recipes.
lock_a, lock_b = a.Lock("/lock", "a"), b.Lock("/lock", "b")
assert lock_a.acquire(timeout=10) and not lock_b.acquire(blocking=False)
lock_a.release()
assert lock_b.acquire(timeout=10)
lock_b.release()

n = a.Counter("/counter")
for _ in range(5):
    n += 2
assert b.Counter("/counter").value == 10

q = a.Queue("/queue")
q.put(b"1")
q.put(b"2")
assert [b.Queue("/queue").get(), b.Queue("/queue").get()] == [b"1", b"2"]

barrier = a.Barrier("/barrier")
barrier.create()
assert not b.Barrier("/barrier").wait(0.2)
barrier.remove()
assert b.Barrier("/barrier").wait(10)

elected = threading.Event()
election = a.Election("/election", "a")
threading.Thread(target=lambda: election.run(elected.set), daemon=True).start()
assert elected.wait(10)

party = a.Party("/party", "a")
party.join()
assert "a" in list(b.Party("/party", "b"))

# Ephemerals go with their session.
gone = threading.Event()
c.create("/e", ephemeral=True)
assert a.exists("/e", watch=lambda e: gone.set())
c.stop()
assert gone.wait(10), "an ephemeral outlived its session"
assert a.state == KazooState.CONNECTED and b"imok" in a.command(b"ruok").encode()
a.stop()
b.stop()
print("all well")
