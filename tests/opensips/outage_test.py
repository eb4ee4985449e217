# SPDX-License-Identifier: GPL-2.0-or-later
"""
An outage with Debian's 32 MB of shared memory: the broker refuses, then hangs, while SIP goes on.
It costs disk and nothing else: no publish fails, replies stay quick, shared memory stays flat, and
afterwards all is delivered and each report route was run.
"""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from opensips import case, load  # noqa: E402

SHM_MB = 32
COUNT = 500_000 if case.IS_LONG else 50_000
# How much longer the slowest hundredth of the replies may take than with a broker.
SLOWER = 3
# Shared memory in which reports are under way, and what tm and others keep.
GROWTH_BYTES = 2 << 20
DRAIN_S = 600

SCRIPT = """
route {
    if (kafka_publish("k1", $rb, $ci, "report"))
        sl_send_reply(200, "OK");
    else
        sl_send_reply(503, "$avp(kafka_error)");
}
route[report] {
    if ($avp(kafka_status) == 0)
        update_stat("reports", 1);
    else
        update_stat("failures", 1);
}
"""
COUNTERS = """
modparam("statistics", "variable", "reports")
modparam("statistics", "variable", "failures")
"""


class Outage(case.Case):
    count = COUNT

    def load(self, one, count, **options):
        options.setdefault("outstanding", 16)
        return load.run(
            one.config.sip_port,
            self.folder / "load.log",
            **{"count": count, "timeout": 10000, "body": 512, **options},
        )

    def test_refusing_then_hanging(self):
        self.start_broker()
        self.expected_lines.append(case.OUTAGE)
        one = self.server(
            SCRIPT,
            parameters=COUNTERS + self.broker_id(),
            modules=["statistics"],
            shm_mb=SHM_MB,
        )
        # Work of the same size with a broker: what is normal.
        count = self.count
        normal_count = count // 10
        normal = self.load(one, normal_count)
        self.assertEqual(normal["answered"], normal_count, normal)
        self.wait(lambda: one.statistic("reports") == normal_count, "all is normal", DRAIN_S)
        used_bytes = one.statistic("shmem:used_size")

        samples = []
        for state in ("down", "hang"):
            if state == "hang":
                self.embedded.command("hang all")
                self.embedded.command("up all")
            else:
                self.embedded.command("down all")
            for _ in range(5):
                figures = self.load(one, count // 10, first=normal_count + len(samples) * count)
                self.assertEqual(figures["answered"], count // 10, (state, figures))
                grown_bytes = one.statistic("shmem:used_size") - used_bytes
                samples.append((state, figures["p99_us"], figures["max_us"], grown_bytes))
        print(f"\nnormal p99: {normal['p99_us']} us; in the outage: {samples}", file=sys.stderr)
        self.assertTrue(one.is_alive())
        for state, _, _, grown_bytes in samples:
            self.assertLess(grown_bytes, GROWTH_BYTES, (state, samples))
        # A shared machine has moments of its own: the middle of the ten is compared.
        p99_us = sorted(each[1] for each in samples)[len(samples) // 2]
        if case.IS_LONG:
            self.assertLessEqual(p99_us, SLOWER * normal["p99_us"], (normal, samples))

        self.embedded.command("unhang all")
        total = normal_count + count
        self.wait(lambda: one.statistic("reports") >= total, "every report route ran", DRAIN_S)
        self.assertEqual(one.statistic("failures"), 0)
        found = {each.key for each in self.wait_records(total, "t", DRAIN_S)}
        self.assertEqual(len(found), total)
        self.assertEqual(one.statistic("kafka:queue_records"), 0)
        self.assertLess(one.statistic("shmem:used_size") - used_bytes, GROWTH_BYTES)
        self.assertLess(len(one.log().splitlines()), 200)
        self.stop(one)


if __name__ == "__main__":
    unittest.main()
