# SPDX-License-Identifier: GPL-2.0-or-later
"""spool-forward against the embedded broker: what goes in comes out, whatever happens between."""

import signal
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import broker, forward, oracle, process, topic  # noqa: E402

# For what takes as long as its work takes: only a hung program needs more.
PATIENCE_S = forward.PATIENCE_S

# A client that notices a mended broker soon. Timeouts are short, so that a hang is one.
QUICK = "g.reconnect.backoff.ms=20&g.reconnect.backoff.max.ms=100&g.socket.timeout.ms=1000"


def keyed(numbers, keys=7):
    return [(b"key-%d" % (number % keys), b"payload %d" % number) for number in numbers]


def join(pairs):
    return [key + b"|" + payload for key, payload in pairs]


class BrokerCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.spool = self.folder / "spool"

    def start_broker(self, name="broker", **options):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        options.setdefault("topics", {"t": 4})
        embedded = broker.EmbeddedBroker(folder, record=True, **options)
        self.addCleanup(embedded.close)
        return embedded

    def address(self, embedded, *, identity="k1", topic="t", properties=""):
        return f"[{identity}]{embedded.bootstrap}/{topic}?{QUICK}&{properties}".rstrip("&")

    def run_forward(self, *arguments, **options):
        return forward.run("--spool", self.spool, *arguments, **options)

    def start_forward(self, *arguments, **options):
        started = forward.Started(
            self.folder / "spool-forward.log", "--spool", self.spool, *arguments, **options
        )
        self.addCleanup(lambda: started.kill9() if started.is_alive() else None)
        return started

    def publish(self, embedded, pairs, *arguments, **options):
        """Publishes and drains. Returns the result and the published, for the oracle."""
        result = self.run_forward(
            *["--broker", self.address(embedded), "--publish", "k1", "-K", "|", "--ack"],
            *["--drain", "--json", *arguments],
            lines=join(pairs),
            **options,
        )
        return result, self.published(result.sequences(), pairs)

    def published(self, sequences, pairs):
        return [(sequence, *pair) for sequence, pair in zip(sequences, pairs)]

    def count_written(self, embedded):
        return int(embedded.command("sync"))

    def wait_written(self, embedded, count):
        process.wait_until(
            lambda: self.count_written(embedded) >= count, PATIENCE_S, f"{count} are written"
        )

    def assert_judged(self, embedded, published, *, offered=(), **expected):
        summary = oracle.judge(published, embedded.records(), offered=offered)
        self.assertTrue(summary["ok"], summary)
        for name, value in expected.items():
            self.assertEqual(summary[name], value, summary)
        return summary

    def drain(self, embedded, *arguments):
        result = self.run_forward(
            "--broker", self.address(embedded), "--drain", "--json", *arguments
        )
        self.assertEqual(result.code, 0, result)
        return result


class ContentTest(BrokerCase):
    """What a record is made of."""

    def test_all_lines_arrive_once_and_in_order(self):
        embedded = self.start_broker()
        pairs = keyed(range(20000))
        result, published = self.publish(embedded, pairs)
        self.assertEqual(result.code, 0, result)
        self.assertEqual(result.sequences(), list(range(1, 20001)))
        self.assert_judged(embedded, published, accepted=20000, duplicates=0)
        statistics = result.statistics()
        for name, value in {"appended": 20000, "delivered": 20000, "waiting": 0}.items():
            self.assertEqual(statistics[name], value, statistics)
        self.assertEqual(result.said, "")

    def test_keys_and_headers(self):
        embedded = self.start_broker()
        lines = [b"a::b::c", b"no delimiter", b"::empty key", b"empty payload::", b"a:b"]
        result = self.run_forward(
            *["--broker", self.address(embedded), "--publish", "k1", "--drain"],
            *["-K", "::", "-H", "origin=edge=1", "-H", "empty=", "-H", "origin=twice"],
            lines=lines,
        )
        self.assertEqual(result.code, 0, result)
        records = {record.spool_id.split(":")[1]: record for record in embedded.records()}
        found = [(records[str(i)].key, records[str(i)].payload or b"") for i in range(1, 6)]
        self.assertEqual(
            found,
            [(b"a", b"b::c"), (None, b"no delimiter"), (b"", b"empty key")]
            + [(b"empty payload", b""), (None, b"a:b")],
        )
        for record in records.values():
            headers = [header for header in record.headers if header[0] != "spool-id"]
            self.assertEqual(
                [(name, value or b"") for name, value in headers],
                [("origin", b"edge=1"), ("empty", b""), ("origin", b"twice")],
            )

    def test_any_bytes_are_carried_unchanged(self):
        embedded = self.start_broker(topics={"t": 1})
        large = bytes(range(256)).replace(b"\n", b"\r") * 4096
        lines = [b"", b"\0", b"a\0b", b"\xff\xfe\x80", b"\r", b" ", b"\t", large, b"", b"last"]
        properties = "g.message.max.bytes=2000000"
        result = self.run_forward(
            *["--broker", self.address(embedded, properties=properties)],
            *["--publish", "k1", "--ack", "--drain"],
            text=b"\n".join(lines),  # the last line has no line feed
        )
        self.assertEqual(result.code, 0, result)
        published = [(sequence, None, line) for sequence, line in enumerate(lines, 1)]
        self.assertEqual(result.sequences(), [sequence for sequence, _, _ in published])
        records = [record._replace(payload=record.payload or b"") for record in embedded.records()]
        summary = oracle.judge(published, records)
        self.assertTrue(summary["ok"], summary)
        self.assertEqual([record.payload for record in records], lines)

    def test_timestamp_is_the_time_of_the_publish(self):
        embedded = self.start_broker()
        before_ms = int(time.time() * 1000)
        address = ["--broker", self.address(embedded)]
        result = self.run_forward(*address, "--publish", "k1", "--flush", "0", lines=[b"x"])
        self.assertEqual(result.code, 0, result)
        after_ms = int(time.time() * 1000)
        self.drain(embedded)
        for record in embedded.records():
            self.assertTrue(before_ms <= record.timestamp_ms <= after_ms)

    def test_input_that_comes_slowly_is_acknowledged_at_once(self):
        embedded = self.start_broker()
        arguments = ["--broker", self.address(embedded), "--publish", "k1", "--ack"]
        program = self.start_forward(*arguments)
        for expected in range(1, 6):
            program.write([b"one line"])
            self.assertEqual(program.read_sequences(1), [expected])
        self.assertEqual(program.finish(), (0, b""))


class EndTest(BrokerCase):
    """Signals and kills."""

    def publish_endlessly(self, embedded, *arguments):
        """Starts it, and a feeder that never ends by itself."""
        program = self.start_forward(
            *["--broker", self.address(embedded), "--publish", "k1", "-K", "|", "--ack"],
            *arguments,
        )
        return program

    def feed_until_ended(self, program, pairs, signal_after, number):
        """Writes all it takes, and sends the signal after so many acknowledgements."""
        handed_over = 0
        sequences = []
        try:
            while handed_over < len(pairs):
                part = pairs[handed_over : handed_over + 200]
                handed_over += len(part)
                program.write(join(part))
                sequences += program.read_sequences(len(part))
                if len(sequences) >= signal_after:
                    program.signal(number)
                    signal_after = sys.maxsize
        except BrokenPipeError:
            pass
        code, rest = program.finish()
        sequences += [int(line) for line in rest.splitlines(keepends=True) if line.endswith(b"\n")]
        return code, sequences, pairs[len(sequences) : handed_over]

    def check_nothing_lost(self, embedded, pairs, sequences, unacknowledged):
        self.drain(embedded)
        self.assertGreater(len(sequences), 0)
        self.assert_judged(
            embedded, self.published(sequences, pairs), offered=unacknowledged
        )

    def test_sigterm_while_publishing_loses_nothing(self):
        embedded = self.start_broker()
        pairs = keyed(range(200000))
        program = self.publish_endlessly(embedded)
        code, sequences, rest = self.feed_until_ended(program, pairs, 2000, signal.SIGTERM)
        self.assertEqual(code, 0, program.log_tail())
        self.assertLess(len(sequences), len(pairs))
        self.check_nothing_lost(embedded, pairs, sequences, rest)

    def test_kill_while_publishing_loses_nothing(self):
        embedded = self.start_broker()
        pairs = keyed(range(200000))
        program = self.publish_endlessly(embedded)
        code, sequences, rest = self.feed_until_ended(program, pairs, 2000, signal.SIGKILL)
        self.assertEqual(code, -9)
        self.check_nothing_lost(embedded, pairs, sequences, rest)

    def end_took_s(self, program):
        begin = time.monotonic()
        program.signal(signal.SIGTERM)
        self.assertEqual(program.finish()[0], 0)
        return time.monotonic() - begin

    def test_sigterm_ends_in_time_with_a_hanging_broker_and_loses_nothing(self):
        embedded = self.start_broker()
        # How long this machine takes when there is nothing to wait for.
        program = self.start_forward("--broker", self.address(embedded), "--publish", "k1", "--ack")
        program.write([b"first"])
        first = program.read_sequences(1)
        self.wait_written(embedded, 1)
        plain_s = self.end_took_s(program)
        embedded.command("hang all")
        pairs = [(None, b"%d" % number) for number in range(2000)]
        program = self.start_forward(
            *["--broker", self.address(embedded), "--publish", "k1", "--ack", "--flush", "500"]
        )
        program.write([payload for _, payload in pairs])
        sequences = program.read_sequences(len(pairs))
        took_s = self.end_took_s(program)
        self.assertLess(took_s, plain_s + 0.5 + 1.5)
        embedded.command("unhang all")
        self.drain(embedded)
        published = [(first[0], None, b"first")] + self.published(sequences, pairs)
        self.assert_judged(embedded, published, accepted=2001)

    def test_end_without_drain_waits_for_what_is_in_flight(self):
        embedded = self.start_broker()
        address = ["--broker", self.address(embedded)]
        service = self.start_forward(*address, "--publish", "k1", "--ack", "--flush", "60000")
        embedded.command("rtt all 300")
        service.write([b"x"] * 10)
        self.assertEqual(len(service.read_sequences(10)), 10)
        self.assertEqual(service.finish()[0], 0)
        self.assertLessEqual(self.count_written(embedded), 10)
        # What was not read by then is still there, and nothing is there twice.
        self.drain(embedded)
        self.assertEqual(self.count_written(embedded), 10)

    def test_service_forwards_what_others_left(self):
        embedded = self.start_broker()
        pairs = keyed(range(100))
        embedded.command("down all")
        arguments = ["--broker", self.address(embedded), "--publish", "k1", "-K", "|"]
        result = self.run_forward(*arguments, "--ack", "--flush", "0", lines=join(pairs))
        self.assertEqual(result.code, 0, result)
        embedded.command("up all")
        service = self.start_forward("--broker", self.address(embedded))
        self.wait_written(embedded, 100)
        service.signal(signal.SIGTERM)
        self.assertEqual(service.finish()[0], 0)
        self.drain(embedded)
        self.assert_judged(embedded, self.published(result.sequences(), pairs))


class OutageTest(BrokerCase):
    """Brokers that are away, hang, or refuse."""

    def test_broker_that_is_down_at_first(self):
        embedded = self.start_broker()
        embedded.command("down all")
        program = self.start_forward(
            *["--broker", self.address(embedded), "--publish", "k1", "-K", "|", "--ack"],
            *["--drain"],
        )
        pairs = keyed(range(500))
        program.write(join(pairs))
        sequences = program.read_sequences(500)
        program.wait_said("brokers_down [k1]t: ")
        embedded.command("up all")
        self.assertEqual(program.finish()[0], 0)
        self.assertTrue(program.has_said("brokers_up [k1]t: records are delivered again"))
        self.assert_judged(embedded, self.published(sequences, pairs), duplicates=0)

    def interrupt(self, begin, noticed, end):
        """
        Publishes a third before, a third during and a third after an outage, which is over when
        the program has said that it noticed.
        """
        embedded = self.start_broker(brokers=3)
        for partition in range(4):
            embedded.command(f"leader t {partition} {1 + partition % 3}")
        program = self.start_forward(
            *["--broker", self.address(embedded), "--publish", "k1", "-K", "|", "--ack"],
            *["--drain"],
        )
        pairs = keyed(range(6000), keys=50)
        sequences = []
        for part in range(3):
            program.write(join(pairs[2000 * part : 2000 * (part + 1)]))
            sequences += program.read_sequences(2000)
            if part == 0:
                embedded.command(begin)
            elif part == 1:
                program.wait_said(noticed)
                embedded.command(end)
        code, _ = program.finish()
        self.assertEqual(code, 0, program.log_tail())
        return embedded, self.published(sequences, pairs)

    def test_broker_that_goes_down_and_comes_back(self):
        embedded, published = self.interrupt("down all", "brokers_down [k1]t: ", "up all")
        self.assert_judged(embedded, published, accepted=6000)

    def test_broker_that_hangs_and_goes_on(self):
        embedded, published = self.interrupt("hang all", "brokers_down [k1]t: ", "unhang all")
        self.assert_judged(embedded, published, accepted=6000)

    def test_one_broker_of_three_that_goes_down(self):
        embedded, published = self.interrupt("down 2", "Connection refused", "up 2")
        self.assert_judged(embedded, published, accepted=6000)

    def test_errors_of_each_kind_of_request(self):
        cases = (
            ("Produce", "NOT_LEADER_FOR_PARTITION", 5),
            ("Produce", "REQUEST_TIMED_OUT", 5),
            ("Produce", "NOT_ENOUGH_REPLICAS", 5),
            ("Produce", "NOT_ENOUGH_REPLICAS_AFTER_APPEND", 3),
            ("Produce", "_TRANSPORT", 3),
            ("Produce", "KAFKA_STORAGE_ERROR", 3),
            ("Produce", "TOPIC_AUTHORIZATION_FAILED", 1),
            ("Produce", "MSG_SIZE_TOO_LARGE", 1),
            ("Produce", "INVALID_RECORD", 1),
            ("Produce", "OUT_OF_ORDER_SEQUENCE_NUMBER", 1),
            ("Produce", "UNKNOWN_PRODUCER_ID", 1),
            ("Produce", "INVALID_PRODUCER_EPOCH", 1),
            ("Metadata", "LEADER_NOT_AVAILABLE", 3),
            ("Metadata", "_TRANSPORT", 3),
            ("InitProducerId", "COORDINATOR_LOAD_IN_PROGRESS", 3),
            ("InitProducerId", "_TRANSPORT", 3),
            ("ApiVersions", "_TRANSPORT", 2),
        )
        for number, (request, code, count) in enumerate(cases):
            with self.subTest(request=request, code=code):
                self.spool = self.folder / f"spool-{number}"
                embedded = self.start_broker(f"broker-{number}", topics={"t": 1})
                embedded.command(f"error {request} {count} {code}")
                pairs = keyed(range(300))
                result, published = self.publish(embedded, pairs)
                self.assertEqual(result.code, 0, result)
                self.assertEqual(result.statistics()["dead_letters"], 0, result)
                self.assert_judged(embedded, published, accepted=300)

    def test_unknown_topic_is_held_and_delivered_once_it_is_there(self):
        embedded = self.start_broker()
        embedded.command("topic-error t UNKNOWN_TOPIC_OR_PART")
        properties = "g.topic.metadata.propagation.max.ms=100"
        program = self.start_forward(
            *["--broker", self.address(embedded, properties=properties), "--publish", "k1"],
            *["-K", "|", "--ack", "--drain"],
        )
        pairs = keyed(range(100))
        program.write(join(pairs))
        sequences = program.read_sequences(100)
        program.wait_said("held [k1]t: ")
        embedded.command("topic-error t NO_ERROR")
        self.assertEqual(program.finish()[0], 0)
        self.assertTrue(program.has_said("brokers_up [k1]t: "))
        self.assert_judged(embedded, self.published(sequences, pairs), duplicates=0)


class ExpiryTest(BrokerCase):
    def expire(self, properties):
        embedded = self.start_broker()
        embedded.command("down all")
        address = self.address(embedded, properties=f"s.ttl.ms=300{properties}")
        result = self.run_forward(
            *["--broker", address, "--publish", "k1", "--drain", "--json"], lines=[b"x"] * 50
        )
        self.assertEqual(result.code, 0, result)
        embedded.command("up all")
        self.assertEqual(self.count_written(embedded), 0)
        statistics = result.statistics()
        self.assertEqual(statistics["expired"], 50)
        self.assertEqual(statistics["waiting"], 0)
        return statistics

    def test_records_expire_while_no_broker_can_be_reached(self):
        self.assertEqual(self.expire("")["dead_letters"], 50)

    def test_expired_records_are_dropped_if_so_configured(self):
        self.assertEqual(self.expire("&s.on.expire=drop")["dead_letters"], 0)


class IsolationTest(BrokerCase):
    def test_destination_flows_while_another_hangs(self):
        hung = self.start_broker("hung")
        well = self.start_broker("well")
        hung.command("hang all")
        brokers = [
            *["--broker", self.address(hung, identity="k1")],
            *["--broker", self.address(well, identity="k2")],
        ]
        pairs = keyed(range(3000))
        publish = ["-K", "|", "--ack"]
        first = self.run_forward(
            *brokers, "--publish", "k1", *publish, "--flush", "0", lines=join(pairs)
        )
        self.assertEqual(first.code, 0, first)
        program = self.start_forward(*brokers, "--publish", "k2", *publish, "--drain")
        program.write(join(pairs))
        sequences = program.read_sequences(3000)
        self.wait_written(well, 3000)
        self.assert_judged(well, self.published(sequences, pairs), duplicates=0)
        self.assertEqual(self.count_written(hung), 0)
        hung.command("unhang all")
        self.assertEqual(program.finish()[0], 0)
        self.assert_judged(hung, self.published(first.sequences(), pairs))

    def test_destinations_of_one_broker_do_not_share_their_trouble(self):
        embedded = self.start_broker(topics={"bad": 1, "good": 2})
        embedded.command("topic-error bad UNKNOWN_TOPIC_OR_PART")
        properties = "g.topic.metadata.propagation.max.ms=100"
        brokers = [
            *["--broker", self.address(embedded, topic="bad", properties=properties)],
            "--broker",
            self.address(embedded, identity="k2", topic="good", properties=properties),
        ]
        first = self.run_forward(
            *brokers, "--publish", "k1", "--ack", "--flush", "0", lines=[b"x"] * 10
        )
        self.assertEqual(first.code, 0, first)
        program = self.start_forward(*brokers, "--publish", "k2", "-K", "|", "--ack", "--drain")
        pairs = keyed(range(3000))
        program.write(join(pairs))
        sequences = program.read_sequences(3000)
        program.wait_said("held [k1]bad: ")
        good = topic.read(embedded.bootstrap, "good", expect=3000, timeout_s=PATIENCE_S)
        summary = oracle.judge(self.published(sequences, pairs), good)
        self.assertTrue(summary["ok"], summary)
        self.assertEqual(summary["duplicates"], 0)
        self.assertFalse(program.has_said("[k2]good: "))
        embedded.command("topic-error bad NO_ERROR")
        self.assertEqual(program.finish()[0], 0)
        self.assertEqual(self.count_written(embedded), 3010)


class FullTest(BrokerCase):
    def test_publishing_goes_on_when_a_full_spool_was_drained(self):
        embedded = self.start_broker()
        embedded.command("down all")
        arguments = ["--broker", self.address(embedded), "--publish", "k1", "-K", "|", "--ack"]
        limit = ["--max-bytes", "1M", "--flush", "0"]
        pairs = [(b"k%d" % (i % 5), b"%05d" % i + b"x" * 1000) for i in range(3000)]
        result = self.run_forward(*arguments, *limit, lines=join(pairs))
        self.assertEqual(result.code, 5, result)
        first = result.sequences()
        self.assertGreater(len(first), 100)
        embedded.command("up all")
        self.drain(embedded, "--max-bytes", "1M")
        rest = pairs[len(first) : len(first) + 200]
        result = self.run_forward(*arguments, *limit, "--drain", lines=join(rest))
        self.assertEqual(result.code, 0, result)
        published = self.published(first, pairs) + self.published(result.sequences(), rest)
        # Lines behind the one that was refused were under way: each may have been accepted.
        self.assert_judged(embedded, published, offered=pairs[len(first) :])


if __name__ == "__main__":
    unittest.main()
