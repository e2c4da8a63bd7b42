import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;

/** Apache's client with servers that are read-only for a while; they are named by the argument. */
public class ReadOnly {
    public static void main(String[] args) throws Exception {
        LinkedBlockingQueue<KeeperState> states = new LinkedBlockingQueue<>();
        ZooKeeper zk = new ZooKeeper(args[0], 10000, e -> states.add(e.getState()), true);
        await(states, KeeperState.ConnectedReadOnly);
        if (!new String(zk.getData("/a", true, null)).equals("x")) {
            throw new Exception("/a holds something else");
        }
        try {
            zk.setData("/a", new byte[0], -1);
            throw new Exception("a read-only server accepted a write");
        } catch (KeeperException.NotReadOnlyException expected) {
        }
        System.out.println("reading");
        await(states, KeeperState.SyncConnected);
        zk.create("/java", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        System.out.println("all well");
        zk.close();
    }

    private static void await(LinkedBlockingQueue<KeeperState> states, KeeperState wanted) throws Exception {
        for (KeeperState s = null; s != wanted; ) {
            s = states.poll(90, TimeUnit.SECONDS);
            if (s == null) {
                throw new Exception("the client never came to be " + wanted);
            }
        }
    }
}
