# SPDX-License-Identifier: GPL-2.0-or-later
"""
What the stock module's reference guide shows, word for word, on this project's module: a
configuration that was written for the stock module goes on working.
"""

import json
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import kafka  # noqa: E402
from opensips import case, sip  # noqa: E402

PUBLISH = """
route {
    if (kafka_publish("k1", $rb, $ci, "kafka_report"))
        sl_send_reply(200, "OK");
    else
        sl_send_reply(500, "Not published");
}
route[kafka_report] {
    xlog("Delivery status: $avp(kafka_status) for broker: $avp(kafka_id)\\n");
    xlog("Delivered: $avp(kafka_key) $avp(kafka_msg)\\n");
}
"""

EVENTS = """
startup_route {
    subscribe_event("E_PIKE_BLOCKED", "kafka:%s");
}
route {
    $avp(names) = "ip";
    $avp(values) = "192.168.2.11";
    raise_event("E_PIKE_BLOCKED", $avp(names), $avp(values));
    sl_send_reply(200, "OK");
}
"""


class Guide(case.Case):
    def publish_three(self, parameters):
        one = self.server(PUBLISH, parameters=parameters)
        requests = [sip.Request("MESSAGE", f"my msg content {i}") for i in range(3)]
        self.assertEqual(self.client(one).send_all(requests), [200, 200, 200])
        self.wait_logged(one, "Delivery status: 0 for broker: k1", len(requests))
        reports = self.wait_logged(one, "Delivered:", len(requests))
        self.assertEqual(
            sorted(line.partition("Delivered: ")[2] for line in reports),
            sorted(f"{each.callid} {each.body.decode()}" for each in requests),
        )
        self.stop(one)
        return requests

    def test_publish_with_key_and_report_route(self):
        self.start_broker()
        properties = "g.linger.ms=100&t.acks=all"
        requests = self.publish_three(self.broker_id(properties))
        records = self.wait_records(3, "t")
        self.assertEqual(
            sorted((each.key.decode(), each.payload) for each in records),
            sorted((each.callid, each.body) for each in requests),
        )

    def test_publish_of_a_variable_that_names_the_broker(self):
        self.start_broker()
        script = """
        route {
            $var(to) = "k2";
            if (!kafka_publish($rU, "to $rU", $ci)) { sl_send_reply(500, "No"); exit; }
            sl_send_reply(200, "OK");
        }
        """
        parameters = self.broker_id() + self.broker_id(topic="events", name="k2")
        one = self.server(script, parameters=parameters)
        requests = [sip.Request(user="k1"), sip.Request(user="k2")]
        self.assertEqual(self.client(one).send_all(requests), [200, 200])
        records = self.wait_records(2)
        self.assertEqual(
            sorted((each.topic, each.payload) for each in records),
            [("events", b"to k2"), ("t", b"to k1")],
        )
        self.stop(one)

    def test_event(self):
        self.start_broker()
        address = f"{self.embedded.bootstrap}/events?t.message.timeout.ms=1000&{case.QUICK}"
        one = self.server(EVENTS % address)
        self.assertEqual(self.client(one).send(sip.Request()), 200)
        (record,) = self.wait_records(1, "events")
        self.assertEqual(
            json.loads(record.payload),
            {"jsonrpc": "2.0", "method": "E_PIKE_BLOCKED", "params": {"ip": "192.168.2.11"}},
        )
        self.assertIsNone(record.key)
        self.stop(one)

    def test_event_by_mi(self):
        self.start_broker()
        one = self.server(EVENTS % f"{self.embedded.bootstrap}/events")
        parameters = {"ip": "192.168.2.12", "count": 7}
        one.mi("raise_event", event="E_PIKE_BLOCKED", params=json.dumps(parameters))
        (record,) = self.wait_records(1, "events")
        self.assertEqual(
            json.loads(record.payload),
            {"jsonrpc": "2.0", "method": "E_PIKE_BLOCKED", "params": parameters},
        )
        self.stop(one)

    def test_events_before_and_after_subscription_by_mi(self):
        self.start_broker()
        script = 'event_route[E_NEVER] { xlog("never\\n"); }\nroute { sl_send_reply(200, "OK"); }'
        one = self.server(script)
        socket = f"kafka:{self.embedded.bootstrap}/events?{case.QUICK}"
        one.mi("event_subscribe", "E_NEVER", socket)
        one.mi("raise_event", "E_NEVER", ["one"])
        (record,) = self.wait_records(1, "events")
        self.assertEqual(json.loads(record.payload)["params"], ["one"])
        self.stop(one)


@case.long_only
class GuideOnTheStockModule(Guide):
    """The scenarios are right: the stock module does the same."""

    is_upstream = True


class GuideWithRealKafka(case.Case):
    def test_publish_and_event(self):
        is_there, why_not = kafka.available()
        if not is_there:
            self.skipTest(why_not)
        folder = self.folder / "kafka"
        folder.mkdir()
        with kafka.KafkaCluster(folder) as cluster:
            cluster.create_topic("t", 2)
            cluster.create_topic("events")
            script = PUBLISH.replace(
                "route {",
                'startup_route { subscribe_event("E_PIKE_BLOCKED", '
                f'"kafka:{cluster.bootstrap}/events?key=callid"); }}\nroute {{',
                1,
            )
            parameters = self.broker_id("g.linger.ms=10&t.acks=all", bootstrap=cluster.bootstrap)
            one = self.server(script, parameters=parameters)
            requests = [sip.Request("MESSAGE", f"message {i}") for i in range(50)]
            self.assertEqual(self.client(one).send_all(requests), [200] * 50)
            one.mi("raise_event", event="E_PIKE_BLOCKED", params='{"ip": "192.168.2.11"}')
            self.wait_logged(one, "Delivery status: 0 for broker: k1", 50)
            self.stop(one)
            records = list(cluster.read("t", expect=50))
            events = list(cluster.read("events", expect=1))
        self.assertEqual(
            sorted((each.key.decode(), each.payload) for each in records),
            sorted((each.callid, each.body) for each in requests),
        )
        self.assertEqual(json.loads(events[0].payload)["params"], {"ip": "192.168.2.11"})


if __name__ == "__main__":
    unittest.main()
