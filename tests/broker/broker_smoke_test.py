# SPDX-License-Identifier: GPL-2.0-or-later
"""The embedded broker does what its commands say, and its recorder loses nothing."""

import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import broker, oracle, process, topic  # noqa: E402

UUID = "smoke"


def line(sequence, size_bytes=100):
    key = b"key-%d" % (sequence % 50)
    payload = b"%d " % sequence
    return key, payload + b"x" * (size_bytes - len(payload))


def produce(bootstrap, lines, *options, topic_name="t", timeout_s=60):
    """Produces (key, payload) lines with kcat; its exit code is 0 when all were delivered."""
    text = b"".join(b"%s\t%s\n" % each for each in lines)
    with tempfile.NamedTemporaryFile() as file:
        file.write(text)
        file.flush()
        return subprocess.run(
            ["kcat", "-P", "-b", bootstrap, "-t", topic_name, "-K", "\t", "-q", "-E"]
            + ["-X", "enable.idempotence=true", "-X", "log_level=2"]
            + ["-X", "reconnect.backoff.max.ms=500", *options, "-l", file.name],
            timeout=timeout_s,
            check=False,
            stderr=subprocess.DEVNULL,
        ).returncode


def with_id(record):
    """kcat cannot give each record its own header, so the id is made from the payload."""
    return record._replace(spool_id=f"{UUID}:{record.payload.split()[0].decode()}")


def judge(lines, records):
    published = [(number, *each) for number, each in enumerate(lines)]
    return oracle.judge(published, map(with_id, records))


class BrokerSmokeTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def start(self, **options):
        options.setdefault("topics", {"t": 4})
        embedded = broker.EmbeddedBroker(self.folder.name, **options)
        self.addCleanup(embedded.close)
        return embedded

    def test_records_are_read_back(self):
        embedded = self.start()
        lines = [line(number) for number in range(1000)]
        self.assertEqual(produce(embedded.bootstrap, lines), 0)
        summary = judge(lines, topic.read(embedded.bootstrap, "t"))
        self.assertTrue(summary["ok"], summary)
        summary = judge(lines, topic.read(embedded.bootstrap, "t", expect=1000))
        self.assertTrue(summary["ok"], summary)

    def test_recorder_keeps_what_the_broker_drops(self):
        embedded = self.start(topics={"t": 1}, record=True)
        lines = [line(number, 512) for number in range(100000)]
        self.assertEqual(produce(embedded.bootstrap, lines), 0)
        summary = judge(lines, embedded.records())
        self.assertTrue(summary["ok"], summary)
        self.assertEqual(summary["duplicates"], 0)
        # The broker itself has forgotten the beginning: that is what the recorder is for.
        self.assertLess(sum(1 for _ in topic.read(embedded.bootstrap, "t")), 100000)

    def test_recorder_follows_topics_made_later(self):
        embedded = self.start(record=True)
        embedded.command("create later 2")
        lines = [line(number) for number in range(1000)]
        self.assertEqual(produce(embedded.bootstrap, lines, topic_name="later"), 0)
        self.assertEqual(produce(embedded.bootstrap, lines, topic_name="by-itself"), 0)
        found = [each.topic for each in embedded.records()]
        self.assertEqual((found.count("later"), found.count("by-itself")), (1000, 1000))

    def test_outages_and_errors_keep_order(self):
        embedded = self.start(brokers=3, record=True)
        # librdkafka has up to five requests in flight only if they are that small. The mock
        # cluster alone would lose or reorder records here (see socket_hooks.h, cut).
        embedded.command("rtt all 5")
        lines = [line(number) for number in range(10000)]
        producer = BackgroundProducer(embedded.bootstrap, lines, "-X", "batch.num.messages=1")
        for command in (
            "error Produce 3 NOT_LEADER_FOR_PARTITION",
            "down all",
            "up all",
            "error Produce 2 REQUEST_TIMED_OUT",
            "leader t 0 1",
            "leader t 0 2",
            "error Produce 1 _TRANSPORT",
            "down 2",
            "up 2",
        ):
            embedded.command(command)
            time.sleep(0.2)
        self.assertIsNone(producer.popen.poll(), "the producer was too fast for the faults")
        self.assertEqual(producer.wait(), 0)
        embedded.command("rtt all 0")
        summary = judge(lines, embedded.records())
        self.assertTrue(summary["ok"], summary)

    def test_hung_broker_takes_nothing_until_it_goes_on(self):
        embedded = self.start(record=True)
        embedded.command("hang all")
        lines = [line(number) for number in range(1000)]
        producer = BackgroundProducer(embedded.bootstrap, lines)
        time.sleep(1)
        self.assertIsNone(producer.popen.poll())
        self.assertEqual(sum(1 for _ in embedded.records()), 0)
        embedded.command("unhang all")
        self.assertEqual(producer.wait(), 0)
        self.assertTrue(judge(lines, embedded.records())["ok"])

    def test_down_broker_refuses_and_comes_back_at_its_port(self):
        embedded = self.start()
        embedded.command("down all")
        with self.assertRaises(topic.TopicError) as caught:
            topic.admin(embedded.bootstrap, "brokers", timeout_s=1)
        self.assertEqual(caught.exception.code, 3)
        embedded.command("up all")
        self.assertEqual(topic.admin(embedded.bootstrap, "brokers")[0].split()[0], "1")

    def test_killed_broker_starts_again_at_its_port(self):
        first = self.start()
        first.program.kill9()
        second = self.start(port=first.port)
        self.assertEqual(first.bootstrap, second.bootstrap)
        self.assertEqual(produce(second.bootstrap, [line(1)]), 0)

    def test_leader_moves(self):
        embedded = self.start(brokers=3, topics={"t": 1})
        for leader in (1, 3, 2):
            embedded.command(f"leader t 0 {leader}")
            described = topic.admin(embedded.bootstrap, "describe", "t")
            self.assertEqual(described[0].split("\t")[1], str(leader))

    def test_wrong_commands_are_refused(self):
        embedded = self.start()
        for command in (
            "",
            "fly",
            "down",
            "down 2",
            "down 0",
            "down 1 1",
            "rtt all many",
            "rtt all -1",
            "error Produce 0 _TRANSPORT",
            "error Produce 1 NO_SUCH_CODE",
            "error Fly 1 _TRANSPORT",
            "leader t 0 9",
            "leader absent-topic-x 99999 1",
            "create t 0",
            "create t 4",
            "topic-error t NO_SUCH_CODE",
            "sync",
            "quit now",
        ):
            with self.subTest(command=command):
                with self.assertRaisesRegex(broker.BrokerError, "^error "):
                    embedded.command(command)

    def test_wrong_usage_is_said(self):
        for name, arguments in (
            ("test-broker", ["--brokers", "0"]),
            ("test-broker", ["--topic", "t:none"]),
            ("test-broker", ["--port", "65535"]),
            ("test-broker", ["--tell-port", "20000"]),
            ("test-broker", ["word"]),
            ("topic-read", []),
            ("topic-read", ["--brokers", "b", "--topic", "t", "--expect", "few"]),
            ("topic-read", ["--brokers", "b", "--topic", "t", "--property", "no.such=1"]),
            ("topic-admin", ["--brokers", "b"]),
            ("topic-admin", ["--brokers", "b", "create", "t"]),
            ("topic-admin", ["--brokers", "b", "allow", "t"]),
        ):
            with self.subTest(name=name, arguments=arguments):
                result = subprocess.run(
                    [process.program(name), *arguments],
                    capture_output=True,
                    text=True,
                    check=False,
                    stdin=subprocess.DEVNULL,
                )
                self.assertEqual(result.returncode, 2, result)
                self.assertRegex(result.stderr, f"^{name}: ")


class BackgroundProducer:
    """kcat in the background."""

    def __init__(self, bootstrap, lines, *options):
        self.file = tempfile.NamedTemporaryFile()
        self.file.write(b"".join(b"%s\t%s\n" % each for each in lines))
        self.file.flush()
        self.popen = subprocess.Popen(
            ["kcat", "-P", "-b", bootstrap, "-t", "t", "-K", "\t", "-q", "-E"]
            + ["-X", "enable.idempotence=true", "-X", "log_level=2"]
            + ["-X", "reconnect.backoff.max.ms=500", *options]
            + ["-l", self.file.name],
            stderr=subprocess.DEVNULL,
        )

    def wait(self):
        code = self.popen.wait(120)
        self.file.close()
        return code


if __name__ == "__main__":
    unittest.main()
