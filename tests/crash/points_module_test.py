# SPDX-License-Identifier: GPL-2.0-or-later
"""
OpenSIPS with the module: whichever of its processes is killed -9 at a point of spool/point.h, all of
it ends, and after the next start each SIP request that was answered 200 is in Kafka, and reported.
"""

import re
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crash import point_case, point_table  # noqa: E402
from harness import inspector, process  # noqa: E402
from opensips import kill_test, load, server  # noqa: E402

PATIENCE_S = 30
COUNT = 60
DROPS = 6
NOBODY = "127.0.0.1:1"

# OPTIONS waits for its commit, MESSAGE is resumed after it; INFO goes to where nobody is.
SCRIPT = """
route {
    if (is_method("MESSAGE"))
        async(kafka_publish("k1", $rb, $ci, "report"), resumed);
    else if (is_method("INFO") && kafka_publish("k2", $rb, $ci))
        sl_send_reply(200, "OK");
    else if (is_method("OPTIONS") && kafka_publish("k1", $rb, $ci, "report"))
        sl_send_reply(200, "OK");
    else
        sl_send_reply(503, "$avp(kafka_error)");
}
route[resumed] {
    if ($rc > 0)
        t_reply(200, "OK");
    else
        t_reply(503, "$avp(kafka_error)");
}
route[report] { xlog("REPORT $avp(kafka_status) $avp(kafka_spool_id) $avp(kafka_key)\\n"); }
"""
KILLED = re.compile(r"exited by a signal 9")


class PointsModuleTest(kill_test.Kill):
    test_answered_is_in_kafka = None
    topics = {"t": 4, "u": 1}

    def setUp(self):
        super().setUp()
        self.answered = []
        self.sent = []
        self.dropped = set()  # Call-IDs that an operator dropped, or was about to
        self.logs = ""
        self.rounds = 0

    # --- One life of OpenSIPS

    def one(self, second, **options):
        parameters = "".join(
            [
                self.broker_id(),
                self.broker_id(topic="u", name="k2", bootstrap=second),
                *[self.broker_id(topic="u", name=f"k{number}") for number in range(3, 6)],
            ]
        )
        options.setdefault("modules", ["sipmsgops"])
        return self.server(SCRIPT, parameters=parameters, start=False, **options)

    def die(self, scenario, kill):
        """A process dies at its point, and all others with it."""
        self.rounds += 1
        ended = ""
        one = self.one(NOBODY, env={"SPOOL_KILL_AT": kill})
        try:
            one.start()
            getattr(self, scenario)(one)
            process.wait_until(lambda: not one.is_alive(), PATIENCE_S, "all of it ends")
        except (server.StartError, TimeoutError) as error:
            ended = str(error)
        code = None if one.is_alive() else one.program.popen.returncode
        one.kill9()
        self.logs += one.log()
        self.assert_sound()
        died = code == point_case.DIED or KILLED.search(one.log())
        if scenario == "module_stop":
            # OpenSIPS does not say how a process ended then. Who ends in order leaves this empty.
            died = (self.spool / "owner.lock").read_bytes() != b""
        self.assertTrue(died, f"{kill} was not reached: {ended}\n{one.log()[-2000:]}")

    def assert_sound(self):
        verified = inspector.run("verify", spool=self.spool)
        self.assertIn(verified.code, (0, point_case.NO_SPOOL), verified)

    def load(self, one, method, count=COUNT):
        prefix = f"r{self.rounds}{method}"
        traffic = load.Load(
            one.config.sip_port,
            self.folder / "load.log",
            **{"method": method, "count": count, "outstanding": 8, "body": 512, "timeout": 1000},
            prefix=prefix,
            answered=self.folder / f"answered-{prefix}",
        )
        while traffic.program.is_alive() and one.is_alive():
            time.sleep(0.02)
        figures = traffic.finish(PATIENCE_S) if one.is_alive() else traffic.end()
        self.answered += traffic.answered()
        self.sent += [f"{i}@{prefix}" for i in range(figures["sent"])]

    # --- Scenarios

    def module_start(self, one):
        """It dies before it answers anybody, or just then."""

    def module_publish(self, one):
        self.load(one, "OPTIONS")
        if one.is_alive():
            self.load(one, "MESSAGE")

    def module_report(self, one):
        self.load(one, "OPTIONS")
        until = time.monotonic() + 5
        while one.is_alive() and time.monotonic() < until:
            time.sleep(0.05)

    def module_command(self, one):
        self.load(one, "INFO", DROPS)
        try:
            for each in one.mi("kafka_list", destination="k2", what="waiting")["records"][:DROPS]:
                self.dropped.add(each["key"])
                number = each["sequence"]
                one.mi("kafka_drop", destination="k2", what="waiting", sequence=number)
        except (server.MiError, TimeoutError, OSError):
            pass

    def module_stop(self, one):
        self.load(one, "OPTIONS")
        one.program.signal(15)

    # --- All

    def chosen(self, scenario):
        """Each point at its first, second and a random hit; hits are counted for each process."""
        for each, name, is_once in point_table.pairs():
            other = point_case.random_source(scenario, name).randint(3, 5)
            if each == scenario:
                yield from (f"{name}:{hit}" for hit in ([1] if is_once else [1, 2, other]))

    def check(self, scenario):
        self.start_broker()
        kills = list(self.chosen(scenario))
        self.kills = len(kills)
        for kill in kills:
            with self.subTest(kill_at=kill, seed=point_case.SEED):
                self.die(scenario, kill)
        last = self.one(self.embedded.bootstrap)
        last.start()
        self.rounds += 1
        self.load(last, "OPTIONS")
        self.wait_drained(last)
        self.stop(last)
        self.logs += last.log()
        self.assert_sound()
        kept = [each for each in self.answered if each not in self.dropped]
        reported = [each for each in kept if "INFO" not in each]
        records = [each for each in self.embedded.records() if each.topic == "t"]
        self.judge(reported, [each for each in self.sent if "INFO" not in each], records, self.logs)
        there = {each.key.decode() for each in self.embedded.records() if each.topic == "u"}
        self.assertEqual([each for each in kept if "INFO" in each and each not in there], [])


def add_tests(test):
    for scenario in sorted({each for each, _, _ in point_table.pairs()}):
        if hasattr(test, scenario):
            setattr(test, f"test_{scenario}", lambda self, scenario=scenario: self.check(scenario))


add_tests(PointsModuleTest)

if __name__ == "__main__":
    unittest.main()
