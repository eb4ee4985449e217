# SPDX-License-Identifier: GPL-2.0-or-later
"""
All processes of OpenSIPS killed -9 at random moments under load, and started again: each SIP
request that was answered 200 is in Kafka, unchanged, and its report route is run.
"""

import random
import re
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import oracle  # noqa: E402
from opensips import case, load  # noqa: E402

KILLS = 20 if case.IS_LONG else 3
SEED = 20240229
DRAIN_S = 300

SCRIPT = """
route {
    if (kafka_publish("k1", $rb, $ci, "report"))
        sl_send_reply(200, "OK");
    else
        sl_send_reply(503, "$avp(kafka_error)");
}
route[report] { xlog("REPORT $avp(kafka_status) $avp(kafka_spool_id) $avp(kafka_key)\\n"); }
"""
REPORT = re.compile(r"REPORT (-?\d+) \S+:(\d+) (\S+)$", re.M)


class Kill(case.Case):
    kills = KILLS

    def one_round(self, one, number, seconds):
        """Loads it, kills it after so many seconds. Returns the Call-IDs answered 200, and sent."""
        prefix = f"r{number}"
        traffic = load.Load(
            one.config.sip_port,
            self.folder / "load.log",
            **{"outstanding": 24, "body": 512, "timeout": 1000, "prefix": prefix},
            answered=self.folder / f"answered-{number}",
        )
        time.sleep(seconds)
        one.kill9()
        figures = traffic.end()
        return traffic.answered(), [f"{i}@{prefix}" for i in range(figures["sent"])]

    def body_of(self, callid):
        """As sip-load writes it."""
        return (f"{callid} ".encode() + b"x" * 512)[:512]

    def test_answered_is_in_kafka(self):
        random_source = random.Random(SEED)
        self.start_broker()
        self.expected_lines += [case.OUTAGE, "report route"]
        one = self.server(SCRIPT, parameters=self.broker_id(), start=False)
        answered, sent, log = [], [], ""
        for number in range(self.kills):
            one.start()
            if random_source.random() < 0.3:
                self.embedded.command("down all")
            else:
                self.embedded.command("up all")
            mine, tried = self.one_round(one, number, 0.3 + random_source.random())
            answered += mine
            sent += tried
            log += one.log()
            self.assertEqual(one.bad_lines(self.expected_lines), [])
        self.embedded.command("up all")
        one.start()
        self.assertGreater(len(answered), self.kills * 100)
        self.wait_drained(one, DRAIN_S)
        log += one.log()
        self.stop(one)
        self.judge(answered, sent, list(self.embedded.records()), log)

    def judge(self, answered, sent, records, log):
        sequences = {each.key.decode(): int(each.spool_id.rpartition(":")[2]) for each in records}
        lost = [each for each in answered if each not in sequences]
        self.assertEqual(lost[:10], [], f"{len(lost)} of {len(answered)} are lost")
        published = [(sequences[each], each.encode(), self.body_of(each)) for each in answered]
        rest = set(sent) - set(answered)
        offered = [(each.encode(), self.body_of(each)) for each in rest]
        summary = oracle.judge(published, records, offered=offered)
        self.assertTrue(summary["ok"], summary)

        reported = {}
        for status, sequence, key in REPORT.findall(log):
            self.assertEqual(status, "0")
            self.assertEqual(sequences[key], int(sequence))
            reported[key] = reported.get(key, 0) + 1
        unreported = [each for each in answered if each not in reported]
        self.assertEqual(unreported[:10], [], f"{len(unreported)} were not reported")
        print(
            f"\n{self.kills} kills: {len(sent)} sent, {len(answered)} answered, all delivered and "
            f"reported; {summary['duplicates']} duplicates, "
            f"{sum(reported.values()) - len(reported)} reports twice",
            file=sys.stderr,
        )


if __name__ == "__main__":
    unittest.main()
