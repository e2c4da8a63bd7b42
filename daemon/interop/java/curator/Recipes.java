import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.ZooDefs;

/** Curator's recipes against the server at args[0]. It asks for a restart by printing "restart". */
class Recipes {
    static String server;

    public static void main(String[] args) throws Exception {
        server = args[0];
        CuratorFramework a = client(), b = client();
        mutex(a, b);
        latch(a, b);
        counters(a, b);
        barriers(a, b);
        transactions(a);
        acls(a);
        restart(a, b);
        a.close();
        b.close();
        System.out.println("all well");
        System.exit(0);
    }

    static CuratorFramework client() throws Exception {
        CuratorFramework c = CuratorFrameworkFactory.builder().connectString(server).sessionTimeoutMs(20000)
            .connectionTimeoutMs(5000).retryPolicy(new RetryNTimes(100, 100)).build();
        c.start();
        check(c.blockUntilConnected(20, TimeUnit.SECONDS), "connects");
        return c;
    }

    static void check(boolean ok, String what) {
        if (!ok) {
            System.out.println("NOT SO: " + what);
            System.exit(1);
        }
    }

    static void await(Callable<Boolean> condition, String what) throws Exception {
        for (int i = 0; i < 300; i++) {
            if (condition.call()) {
                return;
            }
            Thread.sleep(100);
        }
        check(false, what);
    }

    static byte[] bytes(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }

    static void mutex(CuratorFramework a, CuratorFramework b) throws Exception {
        a.create().creatingParentsIfNeeded().forPath("/mutex/n", bytes("0"));
        Thread[] all = new Thread[4];
        for (int t = 0; t < all.length; t++) {
            CuratorFramework c = t % 2 == 0 ? a : b;
            all[t] = new Thread(() -> {
                try {
                    InterProcessMutex m = new InterProcessMutex(c, "/mutex/lock");
                    for (int i = 0; i < 25; i++) {
                        m.acquire();
                        int n = Integer.parseInt(new String(c.getData().forPath("/mutex/n")));
                        c.setData().forPath("/mutex/n", bytes("" + (n + 1)));
                        m.release();
                    }
                } catch (Exception e) {
                    check(false, "mutex: " + e);
                }
            });
            all[t].start();
        }
        for (Thread t : all) {
            t.join();
        }
        check(new String(a.getData().forPath("/mutex/n")).equals("100"), "a mutex excludes");
    }

    static void latch(CuratorFramework a, CuratorFramework b) throws Exception {
        LeaderLatch first = new LeaderLatch(a, "/latch", "a"), second = new LeaderLatch(b, "/latch", "b");
        first.start();
        await(first::hasLeadership, "the first one leads");
        second.start();
        await(() -> second.getParticipants().size() == 2, "both take part");
        check(!second.hasLeadership() && second.getLeader().getId().equals("a"), "the second one does not lead");
        first.close();
        await(second::hasLeadership, "the second one leads after the first one");
        second.close();
    }

    static void counters(CuratorFramework a, CuratorFramework b) throws Exception {
        DistributedAtomicLong x = new DistributedAtomicLong(a, "/atomic", new RetryNTimes(100, 10));
        DistributedAtomicLong y = new DistributedAtomicLong(b, "/atomic", new RetryNTimes(100, 10));
        for (int i = 0; i < 20; i++) {
            check(x.increment().succeeded() && y.add(2L).succeeded(), "adds");
        }
        check(x.get().postValue() == 60L, "an atomic counter counts");
        SharedCount p = new SharedCount(a, "/shared", 7), q = new SharedCount(b, "/shared", 7);
        p.start();
        q.start();
        check(p.trySetCount(p.getVersionedValue(), 8), "sets a shared count");
        await(() -> q.getCount() == 8, "sees a shared count");
        p.close();
        q.close();
    }

    static void barriers(CuratorFramework a, CuratorFramework b) throws Exception {
        DistributedBarrier here = new DistributedBarrier(a, "/barrier"), there = new DistributedBarrier(b, "/barrier");
        here.setBarrier();
        check(!there.waitOnBarrier(200, TimeUnit.MILLISECONDS), "a barrier holds");
        here.removeBarrier();
        check(there.waitOnBarrier(20, TimeUnit.SECONDS), "a barrier opens");
        BlockingQueue<Boolean> done = new LinkedBlockingQueue<>();
        for (CuratorFramework c : List.of(a, b)) {
            new Thread(() -> {
                try {
                    DistributedDoubleBarrier d = new DistributedDoubleBarrier(c, "/double", 2);
                    done.add(d.enter(20, TimeUnit.SECONDS) && d.leave(20, TimeUnit.SECONDS));
                } catch (Exception e) {
                    done.add(false);
                }
            }).start();
        }
        for (int i = 0; i < 2; i++) {
            Boolean ok = done.poll(60, TimeUnit.SECONDS);
            check(ok != null && ok, "a double barrier");
        }
    }

    static void transactions(CuratorFramework a) throws Exception {
        a.transaction().forOperations(
            a.transactionOp().create().forPath("/t", bytes("1")),
            a.transactionOp().create().forPath("/t/u"),
            a.transactionOp().setData().withVersion(0).forPath("/t", bytes("2")));
        try {
            a.transaction().forOperations(
                a.transactionOp().delete().forPath("/t/u"),
                a.transactionOp().check().withVersion(5).forPath("/t"));
            check(false, "a transaction with a failing check");
        } catch (KeeperException.BadVersionException e) {
            check(a.checkExists().forPath("/t/u") != null, "nothing of it is done");
        }
        a.create().withMode(CreateMode.CONTAINER).forPath("/container");
        check(a.getZookeeperClient().getZooKeeper().getAllChildrenNumber("/t") == 1, "counts descendants");
    }

    static void acls(CuratorFramework a) throws Exception {
        CuratorFramework bob = CuratorFrameworkFactory.builder().connectString(server).sessionTimeoutMs(20000)
            .retryPolicy(new RetryNTimes(100, 100)).authorization("digest", bytes("bob:secret")).build();
        bob.start();
        bob.create().withACL(ZooDefs.Ids.CREATOR_ALL_ACL).forPath("/bob", bytes("mine"));
        check(new String(bob.getData().forPath("/bob")).equals("mine"), "bob reads");
        try {
            a.getData().forPath("/bob");
            check(false, "somebody else reads");
        } catch (KeeperException.NoAuthException e) {
            bob.delete().forPath("/bob");
        }
        bob.close();
    }

    /** Leadership, an ephemeral and a cache last while the server is killed and started again. */
    static void restart(CuratorFramework a, CuratorFramework b) throws Exception {
        LeaderLatch leads = new LeaderLatch(a, "/last", "a"), waits = new LeaderLatch(b, "/last", "b");
        leads.start();
        await(leads::hasLeadership, "leads");
        waits.start();
        PersistentNode node = new PersistentNode(a, CreateMode.EPHEMERAL, false, "/node", bytes("here"));
        node.start();
        check(node.waitForInitialCreate(20, TimeUnit.SECONDS), "makes a node");
        b.create().creatingParentsIfNeeded().forPath("/cached/x", bytes("1"));
        CuratorCache cache = CuratorCache.build(a, "/cached");
        cache.start();
        await(() -> cache.get("/cached/x").isPresent(), "caches");
        long owner = b.checkExists().forPath("/node").getEphemeralOwner();
        System.out.println("restart");
        check(System.in.read() == '\n', "is told that the server runs again");
        await(() -> b.checkExists().forPath("/node") != null, "the ephemeral is there");
        check(b.checkExists().forPath("/node").getEphemeralOwner() == owner, "of the same session");
        // Both give up their places when the connection comes back, and the first one to stand in the queue again leads.
        await(() -> leads.hasLeadership() || waits.hasLeadership(), "one leads again");
        LeaderLatch first = leads.hasLeadership() ? leads : waits, second = first == leads ? waits : leads;
        check(!second.hasLeadership(), "one leads at a time");
        b.setData().forPath("/cached/x", bytes("2"));
        b.create().forPath("/cached/y", bytes("3"));
        await(() -> cache.get("/cached/x").map(d -> new String(d.getData()).equals("2")).orElse(false)
            && cache.get("/cached/y").isPresent(), "the cache sees what comes after the restart");
        b.delete().forPath("/node");
        await(() -> b.checkExists().forPath("/node") != null, "a persistent node comes back");
        node.close();
        cache.close();
        first.close();
        await(second::hasLeadership, "the other one leads");
        second.close();
    }
}
