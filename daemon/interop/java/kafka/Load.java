import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.serialization.*;

/**
 * Makes a topic for each line of input, "NAME BROKERS", once so many brokers are known, with a replica on each, and produces
 * into all of them; in the end it reads everything again.
 */
public class Load {
  static final Set<String> acked = ConcurrentHashMap.newKeySet();
  static final Queue<Exception> failures = new ConcurrentLinkedQueue<>();
  static final List<String> topics = Collections.synchronizedList(new ArrayList<>());
  static final AtomicLong answered = new AtomicLong(); // the largest number of a message that was
  static volatile boolean stop;
  static volatile long sent;

  public static void main(String[] args) throws Exception {
    Map<String, Object> p = new HashMap<>(Map.of("bootstrap.servers", args[0], "acks", "all", "enable.idempotence", true,
        "delivery.timeout.ms", 90000, "request.timeout.ms", 5000, "retry.backoff.max.ms", 200));
    try (Admin admin = Admin.create(p);
        KafkaProducer<String, String> producer = new KafkaProducer<>(p, new StringSerializer(), new StringSerializer())) {
      Thread load = new Thread(() -> produce(producer));
      BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
      for (String line; (line = in.readLine()) != null; ) {
        String[] words = line.split(" ");
        int controller = create(admin, words[0], Integer.parseInt(words[1]));
        topics.add(words[0]);
        if (topics.size() == 1) load.start();
        long from = sent + topics.size();
        for (int i = 0; answered.get() <= from; i++) {
          if (i == 6000) throw new Exception("nothing is acknowledged");
          Thread.sleep(10);
        }
        System.out.println("flows " + controller + " " + acked.size());
      }
      stop = true;
      load.join();
      producer.flush();
    }
    if (!failures.isEmpty()) throw failures.peek();
    readAll(args[0]);
    System.out.println("all well " + acked.size());
  }

  /** Returns the controller's id. */
  static int create(Admin admin, String name, int brokers) throws Exception {
    for (int i = 0; ; i++) {
      Node controller = null;
      try {
        DescribeClusterResult cluster = admin.describeCluster();
        controller = cluster.controller().get();
        if (cluster.nodes().get().size() != brokers || controller == null)
          throw new ExecutionException(new Exception(cluster.nodes().get() + " in place of " + brokers + " brokers"));
        admin.createTopics(List.of(new NewTopic(name, 3, (short) brokers))).all().get();
        return controller.id();
      } catch (ExecutionException e) {
        if (e.getCause() instanceof TopicExistsException) return controller.id(); // of a try that was not answered
        if (i == 200) throw e;
        Thread.sleep(300);
      }
    }
  }

  static void produce(KafkaProducer<String, String> producer) {
    while (!stop) {
      long n = ++sent;
      String topic = topics.get((int) (n % topics.size()));
      producer.send(new ProducerRecord<>(topic, "k" + n % 7, Long.toString(n)), (m, e) -> {
        if (e != null) failures.add(e);
        else acked.add(topic + "/" + n);
        answered.accumulateAndGet(n, Math::max);
      });
      try {
        Thread.sleep(2);
      } catch (InterruptedException e) {
        return;
      }
    }
  }

  static void readAll(String servers) throws Exception {
    Map<String, Object> p = Map.of("bootstrap.servers", servers, "group.id", "all", "auto.offset.reset", "earliest");
    try (KafkaConsumer<String, String> c = new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer())) {
      List<TopicPartition> parts = new ArrayList<>();
      for (String t : topics) for (int i = 0; i < 3; i++) parts.add(new TopicPartition(t, i));
      c.assign(parts);
      c.seekToBeginning(parts);
      Map<TopicPartition, Long> ends = c.endOffsets(parts), last = new HashMap<>();
      Set<String> seen = new HashSet<>();
      while (parts.stream().anyMatch(t -> c.position(t) < ends.get(t))) {
        for (ConsumerRecord<String, String> r : c.poll(Duration.ofSeconds(1))) {
          TopicPartition t = new TopicPartition(r.topic(), r.partition());
          long n = Long.parseLong(r.value());
          if (last.getOrDefault(t, 0L) >= n) throw new Exception(t + ": " + n + " after " + last.get(t));
          last.put(t, n);
          seen.add(r.topic() + "/" + n);
        }
      }
      acked.stream().filter(a -> !seen.contains(a)).findFirst().ifPresent(a -> {
        throw new RuntimeException(a + " was acknowledged and is not there");
      });
    }
  }
}
