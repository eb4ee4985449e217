#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
The examples for consumers process each record once: copies after a crash and late records with old
sequences in one topic, on real Kafka. And the commands of docs/consumers.md.
"""

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "docs")]

from blocks_test import blocks  # noqa: E402
from harness import forward, inspector, kafka  # noqa: E402
from sandbox import Sandbox  # noqa: E402

EXAMPLES = TESTS.parent / "docs/examples"
COUNT = 600
KEYS = 11
LATE = 5
# On a busy machine a consumer may wait for its first record for some seconds.
IDLE_S = 5
# Fewer than there are records, more than there are between a record and its copy in a partition.
REMEMBER = COUNT

PAYLOADS = {name: [b"%s %d" % (name.encode(), i) for i in range(COUNT)] for name in ("one", "two")}


def python():
    """The one that has confluent_kafka: Debian's, or the one that runs this."""
    has_it = "import confluent_kafka"
    for each in ("/usr/bin/python3", sys.executable):
        if subprocess.run([each, "-c", has_it], capture_output=True, check=False).returncode == 0:
            return each
    return None


@unittest.skipUnless(*kafka.available())
class Consumers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="consumers-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        cls.cluster = kafka.KafkaCluster(cls.folder / "kafka")
        cls.enterClassContext(cls.cluster)
        cls.classes = cls.folder / "classes"
        compiler = ["javac", "-cp", f"{kafka.libraries()}/*", "-d", cls.classes]
        subprocess.run([*compiler, EXAMPLES / "Consumer.java"], check=True)

    def setUp(self):
        self.topic = self.id().rpartition(".")[2].replace("_", "-")
        self.cluster.create_topic(self.topic, partitions=3)
        self.spools = {name: self.folder / f"{self.topic}-{name}" for name in ("one", "two", "copy")}

    # --- What is in the topic --------------------------------------------------------------------

    def publish(self, name):
        """Leaves its records in a spool."""
        lines = [b"key-%d|%s" % (i % KEYS, each) for i, each in enumerate(PAYLOADS[name])]
        address = f"[k]127.0.0.1:1/{self.topic}"
        arguments = ["--spool", self.spools[name], "--broker", address, "--flush", "0"]
        result = forward.run(*arguments, "--publish", "k", "-K", "|", lines=lines)
        self.assertEqual(result.code, 0, result)

    def drain(self, name):
        address = f"[k]{self.cluster.bootstrap}/{self.topic}"
        result = forward.run("--spool", self.spools[name], "--broker", address, "--drain")
        self.assertEqual(result.code, 0, result)

    def inspect(self, name, *arguments):
        result = inspector.run(*arguments, spool=self.spools[name])
        self.assertEqual(result.code, 0, result)

    def fill_first_half(self):
        """All of the first spool, a record of it late; the spool is copied before, as it was when
        nothing was delivered: what a crash makes of a window, at its worst."""
        self.publish("one")
        shutil.copytree(self.spools["one"], self.spools["copy"])
        self.inspect("one", "expire", str(LATE), "--yes")
        self.drain("one")
        self.inspect("one", "dead", "requeue", "--all", "--yes")
        self.drain("one")

    def fill_second_half(self):
        """Copies of all, and another spool, which gives the same sequences again."""
        self.drain("copy")
        self.publish("two")
        self.drain("two")

    # --- Who reads it ----------------------------------------------------------------------------

    def consume(self, *command):
        """The payloads that it processed, and what it said."""
        result = subprocess.run(
            list(map(str, command)), capture_output=True, check=False, timeout=120
        )
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return result.stdout.splitlines(), result.stderr.decode()

    def consume_in_python(self, *more):
        interpreter = python()
        if interpreter is None:
            self.skipTest("no confluent_kafka: python3-confluent-kafka has it")
        words = [self.cluster.bootstrap, self.topic, "group", "--remember", REMEMBER]
        return self.consume(
            interpreter, EXAMPLES / "consumer.py", *words, "--idle-exit", IDLE_S, *more
        )

    def consume_in_java(self):
        java = ["java", "-Xmx128m", "-cp", f"{self.classes}:{kafka.libraries()}/*", "Consumer"]
        return self.consume(*java, self.cluster.bootstrap, self.topic, "group", REMEMBER, IDLE_S)

    def assert_each_once(self, consume):
        """Also by a consumer that is started again between the records and their copies."""
        self.fill_first_half()
        processed, _ = consume()
        self.assertEqual(sorted(processed), sorted(PAYLOADS["one"]))
        same_key = [each for each in processed if int(each.split()[1]) % KEYS == (LATE - 1) % KEYS]
        self.assertEqual(same_key[-1], PAYLOADS["one"][LATE - 1], "the late one came last")
        self.fill_second_half()
        processed, said = consume()
        self.assertEqual(sorted(processed), sorted(PAYLOADS["two"]))
        self.assertIn(f"{COUNT} copies were dropped", said)

    def test_python_processes_each_once(self):
        self.assert_each_once(self.consume_in_python)

    def test_java_processes_each_once(self):
        self.assert_each_once(self.consume_in_java)

    def test_database_has_each_once(self):
        interpreter = python()
        if interpreter is None:
            self.skipTest("no confluent_kafka: python3-confluent-kafka has it")
        self.fill_first_half()
        self.fill_second_half()
        database = self.folder / "database"
        words = [self.cluster.bootstrap, self.topic, "group", database, "--idle-exit", IDLE_S]
        self.consume(interpreter, EXAMPLES / "consumer_database.py", *words)
        with sqlite3.connect(database) as connection:
            rows = [row[0].encode() for row in connection.execute("SELECT payload FROM cdrs")]
        self.assertEqual(sorted(rows), sorted(PAYLOADS["one"] + PAYLOADS["two"]))

    def test_topic_has_the_copies(self):
        """Otherwise the others prove nothing; and the highest sequence would lose the late one."""
        self.fill_first_half()
        self.fill_second_half()
        highest, lost = {}, 0
        for record in self.cluster.read(self.topic, expect=3 * COUNT):
            uuid, _, sequence = record.spool_id.partition(":")
            at = (uuid, record.partition)
            if int(sequence) <= highest.get(at, 0) and record.payload == PAYLOADS["one"][LATE - 1]:
                lost += 1
            highest[at] = max(highest.get(at, 0), int(sequence))
        self.assertEqual(lost, 2, "the late record and its copy")

    def test_commands_of_the_document(self):
        self.publish("one")
        self.cluster.create_topic("cdrs")
        for block in blocks("sh"):
            if block.scene == "consumers":
                with self.subTest(block=str(block)), Sandbox() as sandbox:
                    sandbox.hosts = self.cluster.bootstrap
                    sandbox.more_replacements = [
                        ("/usr/share/java/kafka", str(kafka.libraries())),
                        ("docs/examples/", f"{EXAMPLES}/"),
                        ("--idle-exit 20", "--idle-exit 1"),
                        ("100000 20", "100000 1"),
                    ]
                    sandbox.run(block.text)


if __name__ == "__main__":
    unittest.main()
