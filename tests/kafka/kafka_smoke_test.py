# SPDX-License-Identifier: GPL-2.0-or-later
"""
Real Kafka can be started, killed, stopped and read by the tests; it keeps what it acknowledged.

Where Kafka cannot be had (no Maven, no network) these tests are skipped with the reason; with
CI=true that is a failure.
"""

import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import kafka, process, topic  # noqa: E402


def setUpModule():
    is_available, reason = kafka.available()
    if not is_available:
        print(f"SKIPPED: {reason}", file=sys.stderr)
        raise unittest.SkipTest(reason)


def lines(first, count):
    return [(b"key-%d" % (n % 50), b"%d " % n + b"x" * 100) for n in range(first, first + count)]


def produce(cluster, records):
    """Produces (key, payload) to topic t with kcat; returns its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        # kcat takes no password from a file, but properties.
        properties = Path(folder) / "properties"
        properties.touch(mode=0o600)
        properties.write_text(
            "\n".join(cluster.client_properties()).replace(
                f"sasl.password.file={cluster.password_path}", f"sasl.password={cluster.password}"
            ),
            encoding="ascii",
        )
        data = Path(folder) / "lines"
        data.write_bytes(b"".join(b"%s\t%s\n" % each for each in records))
        return subprocess.run(
            ["kcat", "-P", "-F", properties, "-b", cluster.bootstrap, "-t", "t", "-K", "\t"]
            + ["-q", "-E", "-X", "enable.idempotence=true", "-X", "log_level=2", "-l", data],
            timeout=120,
            check=False,
            stderr=subprocess.DEVNULL,
        ).returncode


def contents(cluster, **options):
    return sorted((each.key, each.payload) for each in cluster.read("t", **options))


class KafkaTest(unittest.TestCase):
    def start(self, **options):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="kafka-spool-test-"))
        begin = time.monotonic()
        cluster = self.enterContext(kafka.KafkaCluster(folder, **options))
        self.addCleanup(self.report, cluster, time.monotonic() - begin)
        return cluster

    def report(self, cluster, up_s):
        print(
            f"{len(cluster.nodes)} node(s), up in {up_s:.1f} s, "
            f"at most {cluster.resident_bytes() >> 20} MiB resident in all",
            file=sys.stderr,
        )

    def test_one_node_keeps_what_it_acknowledged_through_kill9(self):
        cluster = self.start()
        cluster.create_topic("t", 4)
        self.assertEqual(produce(cluster, lines(0, 20000)), 0)
        self.assertEqual(contents(cluster), sorted(lines(0, 20000)))
        cluster.kill9(0)
        with self.assertRaises(topic.TopicError):
            list(cluster.read("t", timeout_s=1))
        cluster.restart(0)
        self.assertEqual(contents(cluster, expect=20000), sorted(lines(0, 20000)))
        self.assertEqual(produce(cluster, lines(20000, 100)), 0)
        self.assertEqual(contents(cluster), sorted(lines(0, 20100)))

    def test_stopped_node_hangs_and_goes_on(self):
        cluster = self.start()
        cluster.create_topic("t")
        cluster.sigstop(0)
        with self.assertRaises(topic.TopicError) as caught:
            topic.admin(cluster.bootstrap, "brokers", timeout_s=2)
        self.assertEqual(caught.exception.code, 3)
        cluster.cont(0)
        self.assertEqual(produce(cluster, lines(0, 100)), 0)
        self.assertEqual(contents(cluster), sorted(lines(0, 100)))

    def test_three_nodes_elect_another_leader(self):
        cluster = self.start(nodes=3)
        cluster.create_topic("t", 1, replication=3)
        self.assertEqual(produce(cluster, lines(0, 1000)), 0)
        first = cluster.leader("t", 0)
        cluster.kill9(first)
        process.wait_until(
            lambda: cluster.leader("t", 0) not in (None, first), 30, "another leader"
        )
        self.assertEqual(produce(cluster, lines(1000, 1000)), 0)
        cluster.restart(first)
        process.wait_until(lambda: len(cluster.in_sync("t", 0)) == 3, 60, "all are in sync")
        self.assertEqual(contents(cluster), sorted(lines(0, 2000)))

    def test_login_over_tls(self):
        cluster = self.start(sasl=True)
        cluster.create_topic("t")
        self.assertEqual(produce(cluster, lines(0, 100)), 0)
        read = contents(cluster, properties=cluster.client_properties())
        self.assertEqual(read, sorted(lines(0, 100)))

        wrong = cluster.folder / "wrong-password"
        wrong.write_text("not-the-secret\n", encoding="ascii")
        with self.subTest("a wrong password"):
            with self.assertRaisesRegex(topic.TopicError, "(?i)authentication") as caught:
                list(cluster.read("t", properties=cluster.client_properties(wrong)))
            self.assertEqual(caught.exception.code, 1)
            self.assertNotIn("not-the-secret", str(caught.exception))
        with self.subTest("no login"):
            with self.assertRaises(topic.TopicError):
                list(cluster.read("t", properties=[], timeout_s=2))
        with self.subTest("an authority that did not sign the server's certificate"):
            other, _ = kafka.make_authority(cluster.folder, "somebody-else")
            with self.assertRaisesRegex(topic.TopicError, "(?i)certificate"):
                list(cluster.read("t", properties=cluster.client_properties(ca_path=other)))


if __name__ == "__main__":
    unittest.main()
