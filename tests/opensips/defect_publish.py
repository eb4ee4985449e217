# SPDX-License-Identifier: GPL-2.0-or-later
"""Defects of the stock module's kafka_publish(), its report routes, and its stop."""

import os
import signal

from opensips import case, load, sip
from opensips.defect import (
    Defect,
    ask,
    demand,
    demand_alive,
    demand_clean_stop,
    demand_refused_at_start,
    is_soon,
    ours,
    scenario,
)
from opensips.server import StartError

PUBLISH = """
route {
    if (kafka_publish("k1", $rb, $ci, "report"))
        sl_send_reply(200, "OK");
    else
        sl_send_reply(500, "Not published");
}
route[report] {
    update_stat("reports", 1);
}
"""

# The stock module's workers may hang, and then each request takes its timeout.
LOAD_S = 120

OK = 'route { sl_send_reply(200, "OK"); }\n'


def start_refusing_broker(test):
    """A broker that is not there until it is told to come up."""
    test.start_broker().command("down all")
    test.expected_lines.append(case.OUTAGE)


def counting(test, script=PUBLISH, parameters="", **options):
    """OpenSIPS with a destination k1 that counts its reports."""
    options.setdefault("modules", ["statistics"])
    counter = 'modparam("statistics", "variable", "reports")\n'
    return test.server(script, parameters=counter + test.broker_id() + parameters, **options)


@scenario()
def d01_publish_without_key(test):
    test.start_broker()
    script = """
    route {
        if (kafka_publish("k1", "without a key"))
            sl_send_reply(200, "OK");
    }
    """
    one = test.server(script, parameters=test.broker_id())
    test.client(one).send(sip.Request("INFO"), timeout_s=5)
    demand_alive(one, "a publish without a key")
    (record,) = test.wait_records(1, "t")
    test.assertEqual((record.key, record.payload), (None, b"without a key"))
    test.stop(one)


def signal_one(one, pid, number):
    """To a process of this OpenSIPS, if it is still there."""
    if pid in one.pids():
        os.kill(pid, number)


@scenario()
def d03_kafka_process_that_hangs(test):
    test.start_broker()
    one = counting(test, parameters=ours(test, 'modparam("event_kafka", "commit_timeout", 1)\n'))

    def is_published():
        return test.client(one).send(sip.Request("MESSAGE", "one")) == 200

    test.wait(is_published, "publishes are accepted")
    (pid,) = one.process_ids("Kafka")
    test.assertIn(pid, one.pids())
    signal_one(one, pid, signal.SIGSTOP)
    # The stock module's pipe has room for 8,192 pointers.
    load.run(
        one.config.sip_port,
        test.folder / "load.log",
        **{"count": 9000, "outstanding": 64, "timeout": 3000, "seconds": LOAD_S},
    )
    demand_alive(one, "9,000 publishes while its Kafka process hung")
    signal_one(one, pid, signal.SIGCONT)
    test.wait(is_published, "publishes are accepted again")
    test.stop(one)


@scenario(attempts=8)
def d04_reports_after_a_broker_that_refused(test):
    """Whether the stock module's reports stall depends on which of two threads is first."""
    start_refusing_broker(test)
    one = counting(test, before=["taskset", "--cpu-list", "0"])
    statuses = test.client(one).send_all(sip.Request("MESSAGE", f"{i}") for i in range(200))
    test.assertEqual(statuses, [200] * 200)
    test.embedded.command("up all")
    test.wait_records(200, "t")
    demand(
        is_soon(lambda: one.statistic("reports") >= 200, 10),
        "200 records were delivered, and their reports do not come",
    )
    test.stop(one)


@scenario()
def d05_d06_shared_memory_in_an_outage(test):
    """600-byte payloads, Debian's 32 MB of shared memory, and a broker that refuses."""
    start_refusing_broker(test)
    one = counting(test, shm_mb=32)
    test.assertEqual(test.client(one).send(sip.Request("MESSAGE", "before")), 200)
    used_bytes = one.statistic("shmem:used_size")
    count = 60000 if test.is_upstream or case.IS_LONG else 20000
    figures = load.run(
        one.config.sip_port,
        test.folder / "load.log",
        **{"count": count, "outstanding": 64, "body": 600, "timeout": 5000, "seconds": LOAD_S},
    )
    grown_bytes = one.statistic("shmem:used_size") - used_bytes if one.is_alive() else 0
    demand_alive(one, f"{count} publishes in an outage")
    demand(figures["answered"] == count, f"publishes were refused: {figures}")
    demand(grown_bytes < 1 << 20, f"shared memory grew by {grown_bytes} bytes")
    test.stop(one)


@scenario()
def d13_bad_property(test):
    test.start_broker()
    demand_refused_at_start(test, OK, "acks", parameters=test.broker_id("t.acks=bogus"))


@scenario()
def d13_unknown_property(test):
    test.start_broker()
    demand_refused_at_start(test, OK, "foo", parameters=test.broker_id("g.foo=1"))


@scenario()
def d14_property_with_equals_and_ampersand(test):
    """A password with both. In our addresses, "&" in a value is written %26."""
    test.start_broker()
    ampersand = "&" if test.is_upstream else "%26"
    properties = f"g.client.id=a=b{ampersand}c&g.linger.ms=5"
    one = test.server(OK, parameters=test.broker_id(properties), start=False)
    try:
        one.start()
    except StartError as end:
        raise Defect(f"not started: {end}") from end
    test.stop(one)


@scenario()
def d16_report_route_that_launch_names_too(test):
    test.start_broker()
    script = """
    route {
        kafka_publish("k1", "message", "key", "report");
        if (is_method("INFO"))
            launch(usleep(1000), report);
        sl_send_reply(200, "OK");
    }
    route[report] { xlog("REPORTED $avp(kafka_status)\\n"); }
    """
    one = test.server(
        script, parameters=test.broker_id(), modules=["cfgutils", "sipmsgops"], start=False
    )
    try:
        one.start()
    except StartError as end:
        test.assertIn("does not exist", str(end))
        raise Defect(f"not started: {end}") from end
    test.assertEqual(test.client(one).send(sip.Request()), 200)
    test.wait_logged(one, "REPORTED 0")
    test.stop(one)


@scenario(attempts=3)
def d17_stop_while_reports_wait(test):
    """Each report route takes 50 ms, so thousands of reports wait when the stop comes."""
    script = PUBLISH.replace('update_stat("reports", 1);', 'usleep(50000);')
    test.start_broker()
    one = counting(test, script, modules=["cfgutils", "statistics"])
    test.assertEqual(test.client(one).send(sip.Request("MESSAGE", "first")), 200)
    test.wait_records(1, "t")
    test.embedded.command("hang all")
    figures = load.run(
        one.config.sip_port, test.folder / "load.log", count=6000, outstanding=32, timeout=5000
    )
    test.assertEqual(figures["answered"], 6000)
    test.embedded.command("unhang all")
    test.wait_records(6001, "t")
    demand_clean_stop(test, one)


@scenario()
def d18_stop_in_an_outage(test):
    """What was accepted is delivered by the next start, and reported."""
    start_refusing_broker(test)
    one = counting(test)
    requests = [sip.Request("MESSAGE", f"payload {i}") for i in range(100)]
    test.assertEqual(test.client(one).send_all(requests), [200] * 100)
    test.stop(one)
    test.embedded.command("up all")
    one.start()
    demand(
        is_soon(lambda: len(list(test.embedded.records())) >= 100, 10),
        "accepted records were lost by a stop",
    )
    test.wait(lambda: one.statistic("reports") >= 100, "the reports of before the stop")
    payloads = sorted(each.payload for each in test.embedded.records())
    test.assertEqual(payloads, sorted(each.body for each in requests))
    test.stop(one)


@scenario(attempts=0)
def d21_publishes_leak_nothing(test):
    """
    Neither those that are refused, for their size, nor those that are reported. The stock module
    accepts what is too large, so it shows nothing here.
    """
    test.start_broker()
    script = PUBLISH.replace('"k1"', '"$rU"')
    small = test.broker_id("g.message.max.bytes=1000", name="small")
    one = counting(test, script, parameters=small)
    client = test.client(one)

    def publish(count):
        statuses = client.send_all(
            sip.Request("MESSAGE", "x" * 3000, user=user)
            for _ in range(count)
            for user in ("k1", "small")
        )
        test.assertEqual(statuses, [200, 500] * count)

    publish(100)
    test.wait(lambda: one.statistic("reports") >= 100, "the first reports")
    used_bytes = one.statistic("shmem:used_size")
    publish(1000)
    test.wait(lambda: one.statistic("reports") >= 1100, "all reports")
    grown_bytes = one.statistic("shmem:used_size") - used_bytes
    test.assertLess(grown_bytes, 32 << 10)
    test.stop(one)


@scenario()
def d24_log_of_the_client(test):
    """What librdkafka says goes through OpenSIPS's log, or is nowhere once it is a daemon."""
    start_refusing_broker(test)
    one = counting(test)
    test.assertEqual(test.client(one).send(sip.Request("MESSAGE", "in an outage")), 200)
    test.wait_logged(one, "onnect")
    raw = [line for line in one.log().splitlines() if line.startswith("%")]
    demand(not raw, f"raw lines in the log: {raw[:1]}")
    test.stop(one)


@scenario()
def d25_mi_statistics_async_headers(test):
    test.start_broker()
    script = """
    route { async(kafka_publish("k1", "message", $ci, , '{"name": "value"}'), done); }
    route[done] { t_reply(200, "OK"); }
    """
    one = test.server(script, parameters=test.broker_id(), start=False)
    try:
        one.start()
    except StartError as end:
        raise Defect(f"not started: {end}") from end
    test.assertEqual(test.client(one).send(sip.Request()), 200)
    (record,) = test.wait_records(1, "t")
    test.assertIn(("name", b"value"), record.headers)
    for words in (["kafka_status"], ["kafka_list", "k1"]):
        answer = ask(one, *words, after=words[0])
        test.assertIsInstance(answer, dict, answer)
    test.assertTrue(one.mi("get_statistics", ["kafka:"]))
    test.stop(one)
