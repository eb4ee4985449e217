#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Reads a topic that kafka-spool writes into a database, each record once, whatever happens.

    consumer_database.py BROKERS TOPIC GROUP DATABASE [--idle-exit SECONDS]

Needs Debian's python3-confluent-kafka, or confluent-kafka from PyPI. The database is SQLite here,
so that this runs as it stands; the statements are PostgreSQL's too. docs/consumers.md says why this
is the best way.
"""

import argparse
import sqlite3
import time

from confluent_kafka import Consumer, KafkaException

BATCH = 500

TABLE = """
CREATE TABLE IF NOT EXISTS cdrs (
    spool_id TEXT PRIMARY KEY,
    payload  TEXT NOT NULL
)
"""
INSERT = "INSERT INTO cdrs (spool_id, payload) VALUES (?, ?) ON CONFLICT (spool_id) DO NOTHING"


def spool_id_of(message):
    """Of a record that somebody else wrote: where it is, which is as unique."""
    value = dict(message.headers() or []).get("spool-id")
    if value is not None:
        return value.decode()
    return f"{message.topic()}/{message.partition()}/{message.offset()}"


def store(database, messages):
    """All or nothing."""
    with database:
        database.executemany(
            INSERT,
            [(spool_id_of(each), each.value().decode(errors="replace")) for each in messages],
        )


def run(options):
    database = sqlite3.connect(options.database)
    database.execute(TABLE)
    consumer = Consumer(
        {
            "bootstrap.servers": options.brokers,
            "group.id": options.group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([options.topic])
    heard_at = time.monotonic()
    while not 0 < options.idle_exit <= time.monotonic() - heard_at:
        messages = consumer.consume(BATCH, timeout=0.5)
        for each in messages:
            if each.error():
                raise KafkaException(each.error())
        if messages or not consumer.assignment():
            heard_at = time.monotonic()
        if messages:
            store(database, messages)
            # Only now: what was not stored is read again.
            consumer.commit(asynchronous=False)
    consumer.close()


def main():
    parser = argparse.ArgumentParser(description="Stores each record of a topic once.")
    parser.add_argument("brokers")
    parser.add_argument("topic")
    parser.add_argument("group")
    parser.add_argument("database")
    parser.add_argument("--idle-exit", type=float, default=0, metavar="SECONDS")
    try:
        run(parser.parse_args())
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
