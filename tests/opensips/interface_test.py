# SPDX-License-Identifier: GPL-2.0-or-later
"""What the module offers beyond the stock one: functions, AVPs, parameters, and what it shows."""

import json
import os
import re
import signal
import subprocess
import sys
import unittest
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import process  # noqa: E402
from opensips import case, load, server, sip  # noqa: E402

# One SIP method for each form of the function; the answer says what the function said.
FORMS = """
route {
    $var(key) = $ci;
    $var(headers) = "";
    if ($hdr(X-Headers) != NULL)
        $var(headers) = $hdr(X-Headers);
    if (is_method("OPTIONS")) {
        kafka_publish("k1", $rb, $var(key), "report", $var(headers));
        route(answer, $rc);
    } else if (is_method("MESSAGE")) {
        async(kafka_publish("k1", $rb, $var(key), "report", $var(headers)), resumed);
    } else if (is_method("INFO")) {
        launch(kafka_publish("k1", $rb, $var(key), "report"), launched);
        sl_send_reply(202, "Launched");
    } else if (is_method("UPDATE")) {
        launch(kafka_publish("k1", $rb, $var(key)));
        sl_send_reply(202, "Launched");
    }
}
route[answer] {
    if ($param(1) > 0)
        sl_send_reply(200, "Accepted");
    else
        sl_send_reply(503, "$avp(kafka_error)");
}
route[resumed] {
    if ($rc > 0)
        t_reply(200, "Accepted");
    else
        t_reply(503, "$avp(kafka_error)");
}
route[launched] { xlog("LAUNCHED $rc $avp(kafka_error)\\n"); }
route[report] {
    xlog("REPORT $avp(kafka_id) $avp(kafka_status) $avp(kafka_key) error=$avp(kafka_error)"
        " at=$avp(kafka_partition)/$avp(kafka_offset) attempts=$avp(kafka_attempts)"
        " age=$avp(kafka_age) id=$avp(kafka_spool_id) $avp(kafka_msg)\\n");
}
"""
REPORT = re.compile(
    r"REPORT (\S+) (-?\d+) (\S+) error=(\S*) at=(-?\d+)/(-?\d+) attempts=(\d+) age=(\d+)"
    r" id=([0-9a-f-]{36}:\d+) (.*)"
)
LIMITED = 'modparam("event_kafka", "max_records", 5)\n'


class Forms(case.Case):
    def start(self, parameters="", properties=case.QUICK, **options):
        options.setdefault("modules", ["sipmsgops"])
        parameters = self.broker_id(properties) + parameters
        return self.server(FORMS, parameters=parameters, **options)

    def reports(self, one, count):
        return [REPORT.search(each).groups() for each in self.wait_logged(one, "REPORT ", count)]

    def test_each_form_publishes_and_reports(self):
        self.start_broker()
        one = self.start()
        requests = [
            sip.Request(method, f"body of {method} {i}")
            for i in range(20)
            for method in ("OPTIONS", "MESSAGE", "INFO", "UPDATE")
        ]
        statuses = self.client(one).send_all(requests)
        self.assertEqual(statuses, [200, 200, 202, 202] * 20)
        records = self.wait_records(80)
        self.assertEqual(
            sorted((each.key.decode(), each.payload) for each in records),
            sorted((each.callid, each.body) for each in requests),
        )
        reported = self.reports(one, 60)
        where = {each.spool_id: each for each in records}
        for name, status, key, error, partition, offset, attempts, _, spool_id, payload in reported:
            record = where[spool_id]
            self.assertEqual((name, status, error), ("k1", "0", ""))
            self.assertEqual((key.encode(), payload.encode()), (record.key, record.payload))
            self.assertEqual((int(partition), int(offset)), (record.partition, record.offset))
            self.assertGreaterEqual(int(attempts), 1)
        self.wait_logged(one, "LAUNCHED 1", 20)
        self.stop(one)

    def test_headers(self):
        self.start_broker()
        one = self.start()
        text = '{"content-type": "text/plain", "n": 5, "empty": "", "none": null, "u": "\\u00e9"}'
        for method in ("OPTIONS", "MESSAGE"):
            request = sip.Request(method, "x", headers=[f"X-Headers: {text}"])
            self.assertEqual(self.client(one).send(request), 200)
        for record in self.wait_records(2):
            headers = [each for each in record.headers if each[0] != "spool-id"]
            self.assertEqual(
                headers,
                [
                    ("content-type", b"text/plain"),
                    ("n", b"5"),
                    ("empty", b""),
                    ("none", None),
                    ("u", "é".encode()),
                ],
            )
            self.assertTrue(record.spool_id)
        for bad in ("no json", "[1]", '{"a": 1, "a": 2}', '{"spool-id": "x"}'):
            for method in ("OPTIONS", "MESSAGE"):
                request = sip.Request(method, "x", headers=[f"X-Headers: {bad}"])
                self.assertEqual(self.client(one).send(request), 503, bad)
        self.expected_lines.append("kafka_publish: ")
        self.stop(one)

    def test_refusals_say_why(self):
        self.start_broker().command("down all")
        self.expected_lines += [case.OUTAGE, "publishes are refused"]
        one = self.start(LIMITED, f"{case.QUICK}&g.message.max.bytes=1500")
        client = self.client(one)
        client.socket.settimeout(case.PATIENCE_S)

        def reason(request):
            client.socket.send(request.to_bytes(client.port, client.to_port))
            while True:
                line = client.socket.recv(4096).split(b"\r\n")[0].decode()
                if not line.startswith("SIP/2.0 100"):
                    return line

        big = "x" * 2000
        for method in ("OPTIONS", "MESSAGE"):
            self.assertEqual(reason(sip.Request(method, big)), "SIP/2.0 503 oversized")
        for _ in range(5):
            self.assertEqual(reason(sip.Request("OPTIONS", "x")), "SIP/2.0 200 Accepted")
        for method in ("OPTIONS", "MESSAGE"):
            self.assertEqual(reason(sip.Request(method, "x")), "SIP/2.0 503 full_records")
        self.assertEqual(client.send(sip.Request("INFO", "x")), 202)
        self.wait_logged(one, "LAUNCHED -1 full_records")

        # What is in the spool is delivered, and then there is room again.
        self.embedded.command("up all")
        self.wait_records(5)

        def is_accepted():
            return reason(sip.Request("OPTIONS", "x")) == "SIP/2.0 200 Accepted"

        self.wait(is_accepted, "there is room again")
        self.stop(one)

    def test_what_cannot_be_delivered_is_reported(self):
        self.start_broker()
        one = self.start(properties=f"{case.QUICK}&s.ttl.ms=300")
        self.expected_lines += [case.OUTAGE, "expired|dead"]
        self.embedded.command("down all")
        request = sip.Request("OPTIONS", "too late")
        self.assertEqual(self.client(one).send(request), 200)
        ((name, status, key, error, _, _, _, age_ms, _, payload),) = self.reports(one, 1)
        self.assertEqual((name, status, key), ("k1", "-1", request.callid))
        self.assertEqual((error, payload), ("expired", "too late"))
        self.assertGreaterEqual(int(age_ms), 300)
        self.stop(one)


    def test_kafka_process_that_hangs(self):
        """Whoever waits for a commit waits for the commit timeout, and goes on."""
        self.start_broker()
        one = self.start('modparam("event_kafka", "commit_timeout", 300)\n')
        client = self.client(one)
        self.assertEqual(client.send(sip.Request("OPTIONS", "before")), 200)
        (pid,) = one.process_ids("Kafka")
        self.assertIn(pid, one.pids())
        os.kill(pid, signal.SIGSTOP)
        try:
            statuses = client.send_all([sip.Request("OPTIONS", "x"), sip.Request("MESSAGE", "x")])
        finally:
            os.kill(pid, signal.SIGCONT)
        self.assertEqual(statuses, [503, 503])
        self.wait(lambda: client.send(sip.Request("OPTIONS", "after")) == 200, "it goes on")
        refused = one.statistic("kafka:refused_timeout") + one.statistic("kafka:refused_unknown")
        self.assertGreaterEqual(refused, 2)
        self.stop(one)


class Events(case.Case):
    """What the stock module's guide leaves open about the notification."""

    script = """
    startup_route { subscribe_event("E_TEST", "kafka:%s/events?key=callid"); }
    route {
        $avp(names) = "last";
        $avp(values) = "end";
        $avp(names) = "body";
        $avp(values) = $rb;
        $avp(names) = "number";
        $avp(values) = -42;
        raise_event("E_TEST", $avp(names), $avp(values));
        sl_send_reply(200, "OK");
    }
    """

    def parameters_of(self, payload):
        parsed = json.loads(payload, object_pairs_hook=list)
        self.assertEqual([name for name, _ in parsed], ["jsonrpc", "method", "params"])
        self.assertEqual(parsed[:2], [("jsonrpc", "2.0"), ("method", "E_TEST")])
        return parsed[2][1]

    def test_numbers_order_and_any_bytes(self):
        self.start_broker()
        one = self.server(self.script % self.embedded.bootstrap)
        # What is not UTF-8 is carried as the characters of these codes.
        bodies = {
            b'plain "quoted" \\ text': 'plain "quoted" \\ text',
            "h\u00e9\u4e16".encode(): "h\u00e9\u4e16",
            b"\xff\xfe\x80 \x01\x7f": "\u00ff\u00fe\u0080 \u0001\u007f",
        }
        requests = [sip.Request("MESSAGE", body) for body in bodies]
        for request in requests:
            self.assertEqual(self.client(one).send(request), 200)
        records = {each.key.decode(): each.payload for each in self.wait_records(3, "events")}
        for request in requests:
            # AVPs are a stack: the last one that was set is the first parameter.
            self.assertEqual(
                self.parameters_of(records[request.callid]),
                [("number", -42), ("body", bodies[request.body]), ("last", "end")],
            )
        self.stop(one)

    def test_array_and_none(self):
        self.start_broker()
        one = self.server(self.script % self.embedded.bootstrap)
        # MI hands each to some worker: the next one must not overtake it.
        one.mi("raise_event", "E_TEST", ["one", "2"])
        self.wait_records(1, "events")
        one.mi("raise_event", "E_TEST")
        found = [json.loads(each.payload) for each in self.wait_records(2, "events")]
        self.assertEqual(found[0]["params"], ["one", "2"])
        self.assertFalse(found[1].get("params"))
        self.stop(one)


class OrderOfParameters(case.Case):
    def test_defaults_of_addresses_may_stand_behind_them(self):
        self.start_broker().command("down all")
        self.expected_lines += [case.OUTAGE, "dead"]
        script = """
        route {
            kafka_publish("k1", $rb, $ci);
            sl_send_reply(200, "OK");
        }
        """
        defaults = 'modparam("event_kafka", "default_ttl", 500)\n'
        one = self.server(script, parameters=self.broker_id() + defaults)
        self.assertEqual(self.client(one).send(sip.Request("MESSAGE", "one")), 200)
        self.wait(lambda: one.statistic("kafka:expired") == 1, "it expires")
        self.stop(one)


class BadParameters(case.Case):
    """Each is refused at the start, by name."""

    def test_check_of_the_configuration_finds_a_wrong_property(self):
        """By "opensips -C": whoever restarts after that must not be surprised."""
        for properties, found in (("g.linger.ms=5", False), ("g.no.such=1", True)):
            parameters = f'modparam("event_kafka", "broker_id", "[k1]127.0.0.1:1/t?{properties}")\n'
            config = self.config("route { exit; }\n", parameters=parameters)
            path = self.folder / "checked.cfg"
            path.write_text(config.text(), encoding="utf-8")
            one = server.Server(self.folder, config)
            command = [self.tree.binary, "-C", "-f", path]
            ran = subprocess.run(command, env=one.env, capture_output=True, text=True, check=False)
            self.assertEqual(ran.returncode != 0, found, ran.stderr)
            self.assertEqual("g.no.such" in ran.stderr, found, ran.stderr)

    def test_each(self):
        for name, value in {
            "spool_dir": '"relative/path"',
            "max_bytes": '"many"',
            "max_records": "-1",
            "durability": '"maybe"',
            "commit_timeout": "0",
            "shutdown_flush": "4000",
            "high_mark": "101",
            "low_mark": "0",
            "default_ttl": '"soon"',
            "on_full": '"panic"',
            "broker_id": '"[k1]127.0.0.1:9092"',
        }.items():
            with self.subTest(name=name):
                self.assert_refused(f'modparam("event_kafka", "{name}", {value})\n', name)

    def test_the_same_id_twice(self):
        two = 'modparam("event_kafka", "broker_id", "[k1]127.0.0.1:1/t")\n' * 2
        self.assert_refused(two, "broker_id")

    def test_marks_the_wrong_way_round(self):
        marks = 'modparam("event_kafka", "high_mark", 50)\n'
        marks += 'modparam("event_kafka", "low_mark", 60)\n'
        self.assert_refused(marks, "low_mark")

    def test_function_with_an_unknown_id_or_route(self):
        known = 'modparam("event_kafka", "broker_id", "[k1]127.0.0.1:1/t")\n'
        for arguments, mention in (('"k2", "m"', "k2"), ('"k1", "m", "k", "nowhere"', "nowhere")):
            with self.subTest(arguments=arguments):
                script = f"route {{ kafka_publish({arguments}); }}\n"
                self.assert_refused(known, mention, script)

    def assert_refused(self, parameters, mention, script="route { exit; }\n"):
        one = self.server(script, parameters=parameters, start=False)
        with self.assertRaises(server.StartError) as caught:
            one.start()
        lines = [each for each in str(caught.exception).splitlines() if "event_kafka" in each]
        self.assertTrue(any(mention in each for each in lines), str(caught.exception)[-3000:])


class Operators(case.Case):
    """MI commands, statistics, status reports, events."""

    script = """
    event_route[E_KAFKA_DOWN] { xlog("EVENT down $param(destination) $param(reason)\\n"); }
    event_route[E_KAFKA_UP] { xlog("EVENT up $param(destination)\\n"); }
    event_route[E_KAFKA_FULL] { xlog("EVENT full $param(reason)\\n"); }
    event_route[E_KAFKA_DEAD] { xlog("EVENT dead $param(destination) $param(count)\\n"); }
    event_route[E_KAFKA_HIGH] { xlog("EVENT high $param(fill_percent)\\n"); }
    event_route[E_KAFKA_LOW] { xlog("EVENT low $param(fill_percent)\\n"); }
    route {
        if (kafka_publish("k1", $rb, $ci))
            sl_send_reply(200, "OK");
        else
            sl_send_reply(503, "$avp(kafka_error)");
    }
    """

    def start(self, parameters="", **options):
        return self.server(self.script, parameters=self.broker_id() + parameters, **options)

    def publish(self, one, count):
        statuses = self.client(one).send_all(sip.Request("MESSAGE", f"{i}") for i in range(count))
        return [statuses.count(200), len(statuses) - statuses.count(200)]

    def wait_statistic(self, one, name, value):
        self.wait(lambda: one.statistic(f"kafka:{name}") == value, f"kafka:{name} is {value}")

    def test_outage_in_events_statistics_and_reports(self):
        self.start_broker().command("down all")
        self.expected_lines.append(case.OUTAGE)
        one = self.start()
        self.assertEqual(self.publish(one, 30), [30, 0])
        self.wait_logged(one, "EVENT down [k1]t")
        self.wait_statistic(one, "queue_records", 30)
        self.assertEqual(one.statistic("kafka:queue_records_k1"), 30)
        self.assertLess(one.mi("sr_get_status", "kafka", "k1")["Status"], 0)
        self.assertGreater(one.mi("sr_get_status", "kafka", "spool")["Status"], 0)

        self.embedded.command("up all")
        self.wait_records(30)
        self.wait_logged(one, "EVENT up [k1]t")
        self.wait_statistic(one, "queue_records", 0)
        self.wait_statistic(one, "delivered", 30)
        self.assertEqual(one.statistic("kafka:appended"), 30)
        self.assertGreater(one.mi("sr_get_status", "kafka", "k1")["Status"], 0)
        self.stop(one)

    def test_commands(self):
        self.start_broker()
        one = self.start()

        def destination():
            return one.mi("kafka_status", "k1")["destinations"][0]

        self.assertTrue(one.mi("kafka_pause", "k1")["is_paused"])
        self.wait(lambda: destination()["state"] == "paused", "it is paused")
        self.assertEqual(self.publish(one, 10), [10, 0])
        listed = one.mi("kafka_list", "k1")["records"]
        payloads = {each["payload"] for each in listed}
        self.assertEqual(payloads, {str(i) for i in range(10)})
        first = listed[0]["sequence"]
        page = one.mi("kafka_list", destination="k1", what="waiting", count=3)
        self.assertEqual(len(page["records"]), 3)
        self.assertEqual(page["next"], first + 3)
        rest = one.mi("kafka_list", destination="k1", what="waiting", **{"from": page["next"]})
        self.assertEqual(len(rest["records"]), 7)

        dropped = one.mi("kafka_drop", destination="k1", what="waiting", sequence=first)
        self.assertEqual((dropped["records"], dropped["is_complete"]), (1, True))
        self.assertEqual(destination()["queue_records"], 9)
        self.assertFalse(one.mi("kafka_resume", "k1")["is_paused"])
        records = self.wait_records(9)
        left = payloads - {listed[0]["payload"]}
        self.assertEqual({each.payload.decode() for each in records}, left)
        one.mi("kafka_flush")
        for words in (["kafka_list", "nobody"], ["kafka_drop", "k1", "everything"]):
            with self.assertRaises(server.MiError):
                one.mi(*words)
        self.stop(one)

    def test_dead_letters_are_listed_requeued_and_dropped(self):
        self.start_broker(topics={"t": 1, "events": 1})
        one = self.start()
        self.expected_lines.append("dead")
        self.assertEqual(self.publish(one, 1), [1, 0])
        self.wait_records(1)
        # Refused by the broker, again and again, for its size.
        self.embedded.command("error Produce 3 MSG_SIZE_TOO_LARGE")
        self.assertEqual(self.publish(one, 3), [3, 0])
        self.wait(lambda: one.statistic("kafka:dead_records") >= 1, "a dead letter")
        dead = one.mi("kafka_list", "k1", "dead")["records"]
        self.assertEqual(dead[0]["error"], "MSG_SIZE_TOO_LARGE")
        done = one.mi("kafka_requeue", "k1")
        self.assertEqual((done["records"], done["is_complete"]), (len(dead), True))
        self.wait_records(4)
        self.wait_statistic(one, "dead_records", 0)
        self.wait_logged(one, "EVENT dead [k1]t")
        self.stop(one)

    def test_high_low_and_full(self):
        self.start_broker().command("down all")
        self.expected_lines += [case.OUTAGE, "publishes are refused"]
        limits = "".join(
            f'modparam("event_kafka", "{name}", {value})\n'
            for name, value in {"max_bytes": '"16M"', "high_mark": 50, "low_mark": 30}.items()
        )
        one = self.start(limits)
        figures = load.run(
            one.config.sip_port, self.folder / "load.log", count=4000, outstanding=8, body=7000
        )
        self.assertGreater(figures["answered"], 500)
        self.assertGreater(figures["refused"], 500)
        self.wait_logged(one, "EVENT high")
        self.wait_logged(one, "EVENT full full_bytes")
        self.embedded.command("up all")
        self.wait_logged(one, "EVENT low")
        self.wait_statistic(one, "queue_records", 0)
        self.stop(one)

    def test_prometheus(self):
        for name in ("httpd", "prometheus"):
            if not self.tree.has(name):
                self.skipTest(f"not here: {self.tree} has no {name}")
        self.start_broker()
        (port,) = process.free_ports(1)
        parameters = f'modparam("httpd", "ip", "127.0.0.1")\nmodparam("httpd", "port", {port})\n'
        parameters += 'modparam("prometheus", "statistics", "kafka:")\n'
        one = self.start(parameters, modules=["httpd", "prometheus"])
        self.assertEqual(self.publish(one, 5), [5, 0])
        self.wait_statistic(one, "delivered", 5)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as page:
            text = page.read().decode()
        self.assertRegex(text, r"(?m)^\S*_delivered(\{.*\})? 5$")
        self.stop(one)

    def test_no_secret_is_shown(self):
        self.start_broker()
        secret = "hunter2-of-the-test"
        properties = f"{case.QUICK}&g.sasl.password={secret}&g.ssl.key.password={secret}"
        extra = self.broker_id(properties, name="k2")
        one = self.start(extra, log_level=4)
        socket = f"kafka:{self.embedded.bootstrap}/events?g.sasl.password={secret}"
        one.mi("event_subscribe", "E_KAFKA_UP", socket)
        said = [one.log()]
        for words in (
            ["kafka_status"],
            ["subscribers_list"],
            ["sr_list_status"],
            ["sr_list_reports"],
        ):
            said.append(json.dumps(one.mi(*words)))
        self.assertIn("***", said[2])
        # OpenSIPS itself repeats a line of its configuration, or of MI, at its debug level.
        ours = [
            line
            for text in said
            for line in text.splitlines()
            if secret in line and ("event_kafka" in line or not re.match(r".* DBG:", line))
        ]
        self.assertEqual(ours, [])
        self.stop(one)


if __name__ == "__main__":
    unittest.main()
