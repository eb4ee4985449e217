#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Reads a topic that kafka-spool writes, and processes each record once.

    consumer.py BROKERS TOPIC GROUP [--remember N] [--idle-exit SECONDS]

Needs Debian's python3-confluent-kafka, or confluent-kafka from PyPI. Replace process().
docs/consumers.md says what this drops and what it cannot.
"""

import argparse
import collections
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

COMMIT_EVERY_S = 1.0


def process(message):
    """What is to be done once for each record."""
    print(message.value().decode(errors="replace"), flush=True)


class Seen:
    """The last sequences of each spool. Not the highest one: see docs/consumers.md."""

    def __init__(self, remember):
        self.remember = remember
        self.spools = {}

    def add(self, spool_id):
        """Whether it was not there before."""
        spool, _, number = spool_id.partition(b":")
        sequence = int(number)
        known, order = self.spools.setdefault(spool, (set(), collections.deque()))
        if sequence in known:
            return False
        known.add(sequence)
        order.append(sequence)
        if len(order) > self.remember:
            known.discard(order.popleft())
        return True


class Reader:
    def __init__(self, options):
        self.options = options
        self.seen = Seen(options.remember)
        self.processed_before = {}  # partition -> the offset up to which an earlier run processed
        self.to_commit = {}  # partition -> the next offset
        self.copies_count = 0
        self.consumer = Consumer(
            {
                "bootstrap.servers": options.brokers,
                "group.id": options.group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        self.consumer.subscribe(
            [options.topic], on_assign=self.on_assign, on_revoke=lambda *_: self.commit()
        )

    def on_assign(self, consumer, partitions):
        """Begins earlier than the group has come, to fill the memory again."""
        for partition in consumer.committed(partitions, timeout=30):
            low, _ = consumer.get_watermark_offsets(partition, timeout=30)
            committed = max(partition.offset, low)  # OFFSET_INVALID is negative
            self.processed_before[partition.partition] = committed
            begin = max(low, committed - self.options.remember)
            at = [each for each in partitions if each.partition == partition.partition]
            at[0].offset = begin if begin > 0 else OFFSET_BEGINNING
        consumer.assign(partitions)

    def take(self, message):
        spool_id = dict(message.headers() or []).get("spool-id")
        is_new = spool_id is None or self.seen.add(spool_id)
        if message.offset() < self.processed_before.get(message.partition(), 0):
            return  # read again for the memory only
        if is_new:
            process(message)
        else:
            self.copies_count += 1
        self.to_commit[message.partition()] = message.offset() + 1

    def commit(self):
        offsets = [
            TopicPartition(self.options.topic, partition, offset)
            for partition, offset in self.to_commit.items()
        ]
        self.to_commit.clear()
        if offsets:
            self.consumer.commit(offsets=offsets, asynchronous=False)

    def run(self):
        committed_at = heard_at = time.monotonic()
        while True:
            message = self.consumer.poll(0.2)
            now = time.monotonic()
            if message is not None:
                if message.error():
                    raise KafkaException(message.error())
                heard_at = now
                self.take(message)
            if not self.consumer.assignment():
                heard_at = now  # it has not joined its group yet
            if now - committed_at >= COMMIT_EVERY_S:
                committed_at = now
                self.commit()
            if 0 < self.options.idle_exit <= now - heard_at:
                return


def main():
    parser = argparse.ArgumentParser(description="Processes each record of a topic once.")
    parser.add_argument("brokers")
    parser.add_argument("topic")
    parser.add_argument("group")
    parser.add_argument("--remember", type=int, default=100000, metavar="N")
    parser.add_argument("--idle-exit", type=float, default=0, metavar="SECONDS")
    reader = Reader(parser.parse_args())
    try:
        reader.run()
    except KeyboardInterrupt:
        pass
    finally:
        reader.commit()
        reader.consumer.close()
        print(f"{reader.copies_count} copies were dropped", file=sys.stderr)


if __name__ == "__main__":
    main()
