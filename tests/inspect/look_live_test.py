# SPDX-License-Identifier: GPL-2.0-or-later
"""spool-inspect's looking commands beside a pipeline that runs: in order, in an outage, held, full."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import broker, forward, inspector, process  # noqa: E402

PATIENCE_S = forward.PATIENCE_S
QUICK = "g.reconnect.backoff.ms=20&g.reconnect.backoff.max.ms=100&g.socket.timeout.ms=60000"


class LiveCase(inspector.InspectCase):
    def start_broker(self):
        folder = self.folder / "broker"
        folder.mkdir()
        embedded = broker.EmbeddedBroker(folder, topics={"t": 1})
        self.addCleanup(embedded.close)
        return embedded

    def start_forward(self, embedded, *arguments, properties="", identity="k1"):
        address = (
            f"[{identity}]{embedded.bootstrap}/t?{QUICK}&g.sasl.password={inspector.CANARY}"
            + properties
        )
        started = forward.Started(
            self.folder / "spool-forward.log",
            *["--spool", self.spool, "--broker", address, "--publish", identity, "-K", "|"],
            *["--ack", *arguments],
        )
        self.addCleanup(self.end, started)
        return started

    def end(self, program):
        program.kill9()
        program.popen.stdin.close()
        program.popen.stdout.close()

    def publish(self, program, count, payload='{"call": %d}'):
        program.write([b"key-%d|" % (i % 7) + (payload % i).encode() for i in range(count)])
        sequences = program.read_sequences(count)
        self.assertEqual(len(sequences), count)
        return sequences

    def wait_status(self, condition, what):
        """Waits until the status is so; it."""

        def look():
            status = self.inspect("--json").document()
            return status if condition(status) else None

        return process.wait_until(look, PATIENCE_S, what)

    def wait_error(self):
        """Waits until the owner tells of an error of the one destination."""

        def has_error(status):
            live = status["destinations"][0]["live"] if status["destinations"] else None
            return live is not None and live["error"] != 0

        return self.wait_status(has_error, "there is an error")

    def only(self, status):
        self.assertEqual(len(status["destinations"]), 1, status)
        return status["destinations"][0]


class FlowingTest(LiveCase):
    def test_everything_is_delivered(self):
        embedded = self.start_broker()
        program = self.start_forward(embedded, "--durability", "nometasync", "--max-records", "500")
        self.publish(program, 100)
        status = self.wait_status(
            lambda it: it["counters"]["delivered"] == 100
            and it["destinations"][0]["live"]["inflight_records"] == 0
            and it["destinations"][0]["live"]["out_per_s"] > 0,
            "100 are delivered",
        )
        self.assertEqual(status["verdict"], "healthy")
        self.assertEqual(status["durability"], "nometasync")
        self.assertEqual(status["space"]["max_records"], 500)
        self.assertEqual(status["owner"]["name"], f"spool-forward, pid {program.pid}")
        self.assertTrue(self.only(status)["live"]["configured"])
        result = self.inspect()
        self.assertEqual(result.code, 0, result)
        volatile = [
            (r"(\[k1\]t\s+flowing\s+0\s+0 B\s+-\s+0)\s+[\d.]+\s+[\d.]+", r"\1  IN  OUT"),
            (r"[\d.]+ [KM]iB of 4.0 GiB .*; the file is .*", "FILL"),
        ]
        self.assert_golden("live-flowing", result.output, *volatile)
        metrics = self.inspect("metrics").output
        self.assertIn('kafka_spool_delivered_total{destination="[k1]t"} 100\n', metrics)
        self.assertIn('kafka_spool_configured{destination="[k1]t"} 1\n', metrics)
        self.assertIn("kafka_spool_owner_live 1\n", metrics)

        # The owner is killed: what it said last is no more what is.
        program.kill9()
        result = self.inspect("--json")
        self.assertEqual(result.code, 0)  # nothing waits
        status = result.document()
        self.assertFalse(status["owner"]["present"])
        self.assertIsNone(self.only(status)["live"])
        self.assertEqual(self.only(status)["state"], "no owner")

    def test_no_secret_is_in_the_folder(self):
        embedded = self.start_broker()
        embedded.command("down all")
        program = self.start_forward(embedded)
        self.publish(program, 3)
        self.wait_error()
        for arguments in [["ls"], ["show", "1"], ["ls", "--json"], ["metrics"], ["verify"]]:
            self.inspect(*arguments)  # each run is searched for it
        for path in self.spool.iterdir():
            self.assertNotIn(inspector.CANARY.encode(), path.read_bytes(), path)


class OutageTest(LiveCase):
    def test_broker_is_down_then_the_owner_is_killed(self):
        embedded = self.start_broker()
        embedded.command("down all")
        program = self.start_forward(embedded)
        self.publish(program, 20)
        status = self.wait_error()
        # After ten seconds it counts as stalled.
        self.assertIn(status["verdict"], ("waiting", "stalled"))
        destination = self.only(status)
        self.assertEqual(destination["counters"]["queue_records"], 20)
        self.assertIn("_TRANSPORT", destination["live"]["error_text"])
        result = self.inspect("status")
        self.assertEqual(result.code, 1)
        self.assertIn("Connection refused", result.output)
        # Judged by limits alone, a short outage is no alarm.
        self.assertEqual(self.inspect("status", "--max-depth", "20", "--max-age", "1h").code, 0)
        result = self.inspect("status", "--max-depth", "19")
        self.assertEqual(result.code, 1)
        self.assertTrue(result.output.startswith("needs attention\n"), result)
        self.assert_lists_all(20)

        program.kill9()
        result = self.inspect("--json")
        self.assertEqual(result.code, 1)
        self.assertIn("no process owns the spool", result.document()["reasons"][0]["text"])
        self.assert_lists_all(20)

    def assert_lists_all(self, count):
        lines = self.inspect("ls", "--json").documents()
        self.assertEqual([line["sequence"] for line in lines], list(range(1, count + 1)))
        result = self.inspect("ls", "--to", "4")
        self.assert_golden("live-ls", result.output)
        result = self.inspect("show", "4")
        self.assert_golden("live-show", result.output)

    def test_broker_hangs(self):
        embedded = self.start_broker()
        program = self.start_forward(embedded)
        self.publish(program, 1)
        self.wait_status(lambda it: it["counters"]["delivered"] == 1, "one is delivered")
        embedded.command("hang all")
        self.publish(program, 30)
        status = self.wait_status(lambda it: it["verdict"] == "stalled", "it stalls")
        destination = self.only(status)
        self.assertEqual(destination["state"], "stalled")
        self.assertEqual(destination["live"]["inflight_records"], 30)
        self.assertIn("30 records in-flight", status["reasons"][0]["text"])
        embedded.command("unhang all")
        self.wait_status(lambda it: it["verdict"] == "healthy", "it goes on")

    def test_dead_letter(self):
        embedded = self.start_broker()
        program = self.start_forward(embedded)
        embedded.command("error Produce 20 INVALID_RECORD")
        self.publish(program, 1)
        status = self.wait_status(lambda it: it["counters"]["dead_records"] == 1, "it is dead")
        self.assertEqual(status["verdict"], "needs attention")
        result = self.inspect("dead", "ls")
        self.assertEqual(result.code, 0, result)
        # The column of ages is as wide as they are.
        volatile = [(r"(INVALID_RECORD\s+)\d+", r"\1N"), (r" +AGE BYTES", "  AGE BYTES")]
        self.assert_golden("live-dead-ls", result.output, *volatile)
        self.assert_golden(
            "live-dead-show",
            self.inspect("dead", "show", "1").output,
            (r"(attempts\s+)\d+", r"\1N"),
        )
        document = self.inspect("dead", "show", "1", "--json").document()
        self.assertEqual(document["error_name"], "INVALID_RECORD")
        self.assertGreater(document["attempts"], 0)
        self.assertGreaterEqual(document["settled_ms"], document["first_attempt_ms"])
        program.kill9()
        self.assert_golden("live-dead-ls", self.inspect("dead", "ls").output, *volatile)

    def test_held_destination_says_why(self):
        embedded = self.start_broker()
        program = self.start_forward(embedded)
        embedded.command("error Produce 1000 TOPIC_AUTHORIZATION_FAILED")
        self.publish(program, 2)
        status = self.wait_status(lambda it: self.only(it)["state"] == "held", "it is held")
        self.assertEqual(status["verdict"], "needs attention")
        self.assertIn("TOPIC_AUTHORIZATION_FAILED", status["reasons"][0]["text"])
        self.assertIn('kafka_spool_held{destination="[k1]t"} 1', self.inspect("metrics").output)

    def test_paused_and_not_configured(self):
        embedded = self.start_broker()
        program = self.start_forward(embedded)
        self.publish(program, 1)
        self.assertEqual(self.inspect("pause", "k1").code, 0)
        self.wait_status(lambda it: self.only(it)["state"] == "paused", "it is paused")
        time.sleep(1)  # a running forwarder sees it within a second
        self.publish(program, 3)
        status = self.wait_status(
            lambda it: it["counters"]["queue_records"] == 3, "what was in-flight is delivered"
        )
        self.assertEqual(status["verdict"], "waiting")
        self.assertIn("resume", status["reasons"][0]["text"])
        self.assertEqual(self.inspect("resume", "k1").code, 0)
        self.wait_status(lambda it: it["counters"]["queue_records"] == 0, "it goes on")

        embedded.command("hang all")
        self.publish(program, 2)
        program.kill9()
        embedded.command("unhang all")
        self.start_forward(embedded, identity="other")
        # What the killed one wrote a moment ago is not taken for the next one's word.
        status = self.wait_status(lambda it: it["owner"]["live"], "the next owner is there")
        states = {each["destination"]: each["state"] for each in status["destinations"]}
        self.assertEqual(states, {"[k1]t": "not configured", "[other]t": "flowing"})
        self.assertIn("[k1]t is not configured and 2 records wait", status["reasons"][0]["text"])

    def test_owner_that_hangs_is_told_from_one_that_lives(self):
        embedded = self.start_broker()
        program = self.start_forward(embedded)
        self.publish(program, 1)
        self.wait_status(lambda it: it["counters"]["delivered"] == 1, "one is delivered")
        program.sigstop()
        status = self.wait_status(lambda it: not it["owner"]["live"], "it is silent")
        self.assertTrue(status["owner"]["present"])
        self.assertIn("it may hang", status["reasons"][0]["text"])
        program.sigcont()
        self.wait_status(lambda it: it["verdict"] == "healthy", "it is back")


class FullTest(LiveCase):
    def test_limit_of_the_file(self):
        embedded = self.start_broker()
        embedded.command("down all")
        program = self.start_forward(embedded, "--max-bytes", "2M")
        try:
            program.write([b"k|" + b"x" * 3000 for _ in range(1000)])
        except BrokenPipeError:
            pass  # it ended at the first line that was refused
        process.wait_until(lambda: not program.is_alive(), PATIENCE_S, "a line is refused")
        status = self.inspect("--json").document()
        self.assertEqual(status["verdict"], "full")
        self.assertIn("2.0 MiB", status["reasons"][0]["text"])
        self.assertEqual(self.inspect().code, 1)

    def test_limits_of_records(self):
        embedded = self.start_broker()
        embedded.command("down all")
        program = self.start_forward(
            embedded, "--max-records", "10", properties="&s.max.records=5&s.on.full=drop-oldest"
        )
        self.publish(program, 8)
        status = self.wait_status(
            lambda it: any("[k1]t has reached its limit" in r["text"] for r in it["reasons"]),
            "its own limit is said",
        )
        self.assertEqual(status["verdict"], "needs attention")
        self.assertEqual(self.only(status)["counters"]["queue_records"], 5)


class WatchTest(LiveCase):
    def screen(self, width, height, **environment):
        screen = inspector.Screen(
            [process.program("spool-inspect"), "--spool", self.spool, "watch"],
            width,
            height,
            {"LC_ALL": "C.UTF-8", **environment},
        )
        self.addCleanup(screen.close)
        return screen

    VOLATILE = [
        (r"[▁▂▃▄▅▆▇█]+", "SPARK"),
        (r"owner spool-forward.*", "OWNER"),
        (r"(?<=\s)\d+\.\d(?=\s)", "RATE"),
        (r"(\[k1\]t .*?\d+)  (SPARK  )?AGE", r"\1  SPARK  AGE"),
        # In lines that break where the port's digits end.
        (r"_TRANSPORT[^?]*?\n(?=OWNER)", "ERROR\n"),
        (r"_TRANSPORT.*", "ERROR"),
    ]

    def assert_screen(self, name, screen):
        text = inspector.normalise(screen.text())
        for expression, replacement in self.VOLATILE:
            text = re.sub(expression, replacement, text)
        self.assert_golden(name, re.sub(r"\n{3,}", "\n\n", text))

    def test_screens_at_two_sizes_and_an_end_of_the_owner(self):
        embedded = self.start_broker()
        embedded.command("down all")
        program = self.start_forward(embedded)
        self.publish(program, 12)
        # From then on nothing changes by itself, however slow the machine is.
        self.wait_status(lambda it: it["verdict"] == "stalled", "it stalls")
        small = self.screen(80, 24)
        small.wait_for("█")
        lines = small.text().splitlines()
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assert_screen("watch-80x24", small)
        small.resize(200, 50)
        small.wait_for("LAST ERROR")
        self.assert_screen("watch-200x50", small)
        small.press("p")
        small.wait_for("frozen")
        self.publish(program, 3)
        time.sleep(1.5)
        self.assertNotIn(" 15 ", small.text())
        small.press("p")
        small.wait_for(" 15 ")
        program.kill9()
        small.wait_for("no process owns the spool")
        small.press("q")
        process.wait_until(small.is_dead, PATIENCE_S, "q ends it")

    def test_plain_terminal(self):
        inspector.make_kept_spool(self.spool)
        screen = self.screen(80, 24, LC_ALL="C", NO_COLOR="1", TERM="vt100")
        screen.wait_for("@")
        text = screen.text()
        self.assertIn("[cdr]cdrs", text)
        self.assertEqual([each for each in text if ord(each) > 127], [])

    def test_no_transaction_is_held_between_two_looks(self):
        embedded = self.start_broker()
        self.start_forward(embedded)
        process.wait_until(lambda: self.inspect("--json").code == 0, PATIENCE_S, "it is there")
        watch = subprocess.Popen(
            [process.program("spool-inspect"), "--spool", self.spool, "watch", "--json"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            for _ in range(3):
                inspector.validate(json.loads(watch.stdout.readline()))
                readers = self.inspect("--json").document()["readers"]
                self.assertEqual(readers["count"], 0, readers)
        finally:
            watch.send_signal(signal.SIGTERM)
            watch.stdout.close()
            self.assertEqual(watch.wait(PATIENCE_S), 0)

    def test_a_spool_that_is_replaced_is_watched_on(self):
        inspector.make_kept_spool(self.spool)
        screen = self.screen(80, 24)
        screen.wait_for("[cdr]cdrs")
        os.rename(self.spool / "data.mdb", self.folder / "old.mdb")
        screen.wait_for("there is no spool")
        os.rename(self.folder / "old.mdb", self.spool / "data.mdb")
        screen.wait_for("[cdr]cdrs")


if __name__ == "__main__":
    unittest.main()
