/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads a topic that kafka-spool writes, and processes each record once.
 *
 *     java -cp 'JARS/*' Consumer.java BROKERS TOPIC GROUP [REMEMBER [IDLE_EXIT_SECONDS]]
 *
 * Needs Java 11 and org.apache.kafka:kafka-clients. Replace process(). docs/consumers.md says what
 * this drops and what it cannot.
 */

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public class Consumer implements ConsumerRebalanceListener {
    private static final Duration POLL = Duration.ofMillis(200);

    private final KafkaConsumer<byte[], byte[]> consumer;
    private final Seen seen;
    private final int remember;
    /* The offset up to which an earlier run processed. */
    private final Map<TopicPartition, Long> processedBefore = new HashMap<>();
    private final Map<TopicPartition, OffsetAndMetadata> toCommit = new HashMap<>();
    private long copiesCount;

    /* What is to be done once for each record. */
    private static void process(ConsumerRecord<byte[], byte[]> record) {
        System.out.println(new String(record.value(), StandardCharsets.UTF_8));
    }

    /* The last sequences of each spool. Not the highest one: see docs/consumers.md. */
    private static class Seen {
        private final int remember;
        private final Map<String, LinkedHashSet<Long>> spools = new HashMap<>();

        Seen(int remember) {
            this.remember = remember;
        }

        /* Whether it was not there before. */
        boolean add(String spoolId) {
            int colon = spoolId.indexOf(':');
            long sequence = Long.parseUnsignedLong(spoolId.substring(colon + 1));
            Set<Long> known =
                    spools.computeIfAbsent(
                            spoolId.substring(0, colon), each -> new LinkedHashSet<>());
            boolean isNew = known.add(sequence);
            if (known.size() > remember) {
                known.remove(known.iterator().next());
            }
            return isNew;
        }
    }

    Consumer(String brokers, String group, int remember) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", brokers);
        properties.put("group.id", group);
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "earliest");
        properties.put("key.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("value.deserializer", ByteArrayDeserializer.class.getName());
        this.consumer = new KafkaConsumer<>(properties);
        this.seen = new Seen(remember);
        this.remember = remember;
    }

    /* Begins earlier than the group has come, to fill the memory again. */
    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        Map<TopicPartition, Long> low = consumer.beginningOffsets(partitions);
        Map<TopicPartition, OffsetAndMetadata> committed =
                consumer.committed(Set.copyOf(partitions));
        for (TopicPartition partition : partitions) {
            OffsetAndMetadata at = committed.get(partition);
            long begin = low.get(partition);
            long processed = at == null ? begin : Math.max(begin, at.offset());
            processedBefore.put(partition, processed);
            consumer.seek(partition, Math.max(begin, processed - remember));
        }
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        commit();
    }

    private void take(ConsumerRecord<byte[], byte[]> record) {
        TopicPartition partition = new TopicPartition(record.topic(), record.partition());
        Header header = record.headers().lastHeader("spool-id");
        boolean isNew =
                header == null || seen.add(new String(header.value(), StandardCharsets.US_ASCII));
        if (record.offset() < processedBefore.getOrDefault(partition, 0L)) {
            return; /* read again for the memory only */
        }
        if (isNew) {
            process(record);
        } else {
            copiesCount++;
        }
        toCommit.put(partition, new OffsetAndMetadata(record.offset() + 1));
    }

    private void commit() {
        if (!toCommit.isEmpty()) {
            consumer.commitSync(toCommit);
            toCommit.clear();
        }
    }

    void run(String topic, double idleExitSeconds) {
        consumer.subscribe(List.of(topic), this);
        long heardAt = System.nanoTime();
        while (idleExitSeconds == 0 || System.nanoTime() - heardAt < idleExitSeconds * 1e9) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                take(record);
                heardAt = System.nanoTime();
            }
            if (consumer.assignment().isEmpty()) {
                heardAt = System.nanoTime(); /* it has not joined its group yet */
            }
            commit();
        }
        consumer.close();
        System.err.println(copiesCount + " copies were dropped");
    }

    public static void main(String[] words) {
        if (words.length < 3) {
            System.err.println("Consumer BROKERS TOPIC GROUP [REMEMBER [IDLE_EXIT_SECONDS]]");
            System.exit(2);
        }
        int remember = words.length > 3 ? Integer.parseInt(words[3]) : 100000;
        double idleExitSeconds = words.length > 4 ? Double.parseDouble(words[4]) : 0;
        new Consumer(words[0], words[2], remember).run(words[1], idleExitSeconds);
    }
}
