#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""spool-forward and real Kafka: leaders that die, logins, topics that are not there yet."""

import json
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import chaos, kafka, process  # noqa: E402

DRAIN_S = 120


def lines(count):
    return [b"key-%d|%d %s" % (n % 97, n, b"x" * 200) for n in range(count)]


@unittest.skipUnless(*kafka.available())
class SpoolForwardKafkaTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kafka-spool-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def start(self, **options):
        cluster = kafka.KafkaCluster(self.folder / "kafka", **options)
        self.enterContext(cluster)
        return cluster

    def forward(self, address, *options, text=b""):
        """Runs spool-forward to its end; returns (exit code, output, what it said)."""
        result = subprocess.run(
            [process.program("spool-forward"), "--spool", self.folder / "spool"]
            + ["--broker", address, *map(str, options)],
            input=text,
            capture_output=True,
            timeout=DRAIN_S + 60,
            check=False,
        )
        return result.returncode, result.stdout.decode(), result.stderr.decode()

    def sasl_address(self, cluster, password_path):
        properties = "&".join(
            "g." + each for each in cluster.client_properties(password_path=password_path)
        )
        return f"[k1]{cluster.bootstrap}/t?{properties}"

    def test_leaders_die_one_after_the_other(self):
        cluster = self.start(nodes=3)
        cluster.create_topic("t", partitions=3, replication=3)
        run = chaos.Chaos(
            self.folder,
            f"[k1]{cluster.bootstrap}/t",
            lines(30000),
            seed=1,
            kills=1,
            lines_per_second=1500,
        )

        def kill_leaders():
            for _ in range(2):
                time.sleep(3)
                victim = cluster.leader("t", 0)
                cluster.kill9(victim)
                time.sleep(2)
                cluster.restart(victim)
                cluster.wait_ready()
                process.wait_until(
                    lambda: len(cluster.in_sync("t", 0)) == 3, 60, "all replicas are in sync"
                )

        killer = threading.Thread(target=kill_leaders)
        killer.start()
        try:
            run.run(DRAIN_S)
        finally:
            killer.join()
        summary = run.judge(cluster.read("t"))
        print(chaos.table(run, summary), file=sys.stderr)
        self.assertTrue(summary["ok"], summary)
        self.assertEqual(summary["accepted"], 30000)

    def test_password_from_a_file(self):
        cluster = self.start(sasl=True)
        cluster.create_topic("t")
        address = self.sasl_address(cluster, cluster.password_path)
        code, output, said = self.forward(
            address, "--publish", "k1", "--drain", "--timeout", DRAIN_S, text=b"a\nb\n"
        )
        self.assertEqual(code, 0, said)
        self.assertEqual([each.payload for each in cluster.read("t")], [b"a", b"b"])
        self.assertNotIn(cluster.password, output + said)

    def test_wrong_password_holds_and_loses_nothing(self):
        cluster = self.start(sasl=True)
        cluster.create_topic("t")
        wrong = self.folder / "wrong-password"
        wrong.touch(mode=0o600)
        wrong.write_text("canary-of-a-wrong-password\n", encoding="ascii")
        address = self.sasl_address(cluster, wrong)
        code, output, said = self.forward(
            address, "--publish", "k1", "--drain", "--timeout", 5, "--json", text=b"a\nb\n"
        )
        self.assertEqual(code, 4, said)
        self.assertRegex(said, r"held \[k1\]t: .*[Aa]uthentication")
        statistics = json.loads(output)
        self.assertEqual((statistics["waiting"], statistics["dead_letters"]), (2, 0))
        self.assertNotIn("canary", output + said)
        for path in (self.folder / "spool").iterdir():
            self.assertNotIn(b"canary", path.read_bytes(), path)

        wrong.write_text(cluster.password + "\n", encoding="ascii")
        code, _, said = self.forward(address, "--drain", "--timeout", DRAIN_S)
        self.assertEqual(code, 0, said)
        self.assertEqual([each.payload for each in cluster.read("t")], [b"a", b"b"])

    def test_unknown_topic_holds_until_it_is_made(self):
        cluster = self.start()
        address = f"[k1]{cluster.bootstrap}/t?g.topic.metadata.propagation.max.ms=1000"
        program = process.Program(
            [process.program("spool-forward"), "--spool", self.folder / "spool"]
            + ["--broker", address, "--publish", "k1", "--drain", "--timeout", DRAIN_S, "--json"],
            self.folder / "spool-forward.log",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        program.popen.stdin.write(b"a\nb\n")
        program.popen.stdin.close()
        process.wait_until(
            lambda: "held [k1]t: UNKNOWN_TOPIC" in program.log_tail().replace(": _", ": "),
            DRAIN_S,
            "the destination is held",
        )
        cluster.create_topic("t")
        output = program.popen.stdout.read()
        program.popen.stdout.close()
        self.assertEqual(program.popen.wait(), 0, program.log_tail())
        statistics = json.loads(output)
        self.assertEqual((statistics["delivered"], statistics["dead"]), (2, 0))
        self.assertEqual([each.payload for each in cluster.read("t")], [b"a", b"b"])

    def reject_some(self, cluster, topic, large, *, properties=""):
        """Lines of three keys, a few of them larger than the topic takes. Returns what arrives."""
        cluster.create_topic(topic, partitions=3)
        cluster.set_topic(topic, "max.message.bytes=20000")
        text = b"".join(
            b"key-%d|%d %s\n" % (n % 3, n, b"x" * (100000 if n in large else 200))
            for n in range(3000)
        )
        # Many small batches: there is always one behind the one that Kafka rejects.
        small = "g.batch.num.messages=20&g.linger.ms=0"
        address = f"[{topic}]{cluster.bootstrap}/{topic}?{small}{properties}"
        words = ("--publish", topic, "-K", "|", "--drain", "--timeout", DRAIN_S)
        code, _, said = self.forward(address, *words, text=text)
        self.assertEqual(code, 0, said)
        self.assertEqual(said.count("became a dead letter"), len(large), said)
        return [int(record.payload.split()[0]) for record in cluster.read(topic)]

    def assert_in_order(self, numbers, large):
        for key in range(3):
            wanted = [n for n in range(key, 3000, 3) if n not in large]
            firsts = list(dict.fromkeys(n for n in numbers if n % 3 == key))
            self.assertEqual(firsts, wanted, f"key {key}")

    def test_nothing_passes_a_batch_that_kafka_rejects(self):
        cluster = self.start()
        # In the first batch: Kafka has nothing yet to compare the sequence of the second with.
        numbers = self.reject_some(cluster, "first", {5})
        self.assert_in_order(numbers, {5})
        large = {100, 101, 1500, 2900}
        numbers = self.reject_some(cluster, "later", large)
        self.assert_in_order(numbers, large)
        without = "&g.enable.idempotence=false"
        numbers = self.reject_some(cluster, "without", large, properties=without)
        self.assert_in_order(numbers, large)


if __name__ == "__main__":
    unittest.main()
