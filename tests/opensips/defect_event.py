# SPDX-License-Identifier: GPL-2.0-or-later
"""Defects of the stock module's event sockets."""

import time

from opensips import server, sip
from opensips.defect import (
    ask,
    demand,
    demand_alive,
    demand_clean_stop,
    scenario,
)

# A subscription for one second, or for none, has ended after this: the core counts whole seconds.
EXPIRED_S = 2.5

RAISE = """
route {
    raise_event("E_TEST");
    sl_send_reply(200, "OK");
}
"""
SUBSCRIBED = 'startup_route { subscribe_event("E_TEST", "kafka:%s"); }\n' + RAISE


def socket(test, properties=""):
    return f"kafka:{test.start_broker().bootstrap}/events{properties}"


def raise_event(test, one):
    test.assertEqual(test.client(one).send(sip.Request()), 200)


@scenario()
def d02_malformed_sockets(test):
    one = test.server(RAISE)
    test.expected_lines.append("kafka|event|evi|socket")
    for text in ("a/b/c?", "127.0.0.1:9/t?", "127.0.0.1:9/t?x", "/", "a"):
        text = f"kafka:{text}"
        answer = ask(one, "event_subscribe", "E_TEST", text, after=f"subscribing {text}")
        demand_alive(one, f"subscribing {text}")
        test.assertIsInstance(answer, server.MiError, text)
    raise_event(test, one)
    test.stop(one)


@scenario()
def d07_key_of_an_event(test):
    address = socket(test, "?key=callid")
    one = test.server(SUBSCRIBED % address[len("kafka:") :])
    request = sip.Request()
    test.assertEqual(test.client(one).send(request), 200)
    (record,) = test.wait_records(1, "events")
    demand(record.key == request.callid.encode(), f"the record's key is {record.key}")
    test.stop(one)


@scenario(attempts=0)
def d08_key_of_an_event_without_a_message(test):
    """From MI and from a timer. The stock module never gets so far (D7)."""
    address = socket(test, "?key=callid")
    timer = 'timer_route[each_second, 1] { raise_event("E_TEST"); }\n'
    one = test.server(SUBSCRIBED % address[len("kafka:") :] + timer)
    one.mi("raise_event", "E_TEST", ["by MI"])
    records = test.wait_records(2, "events")
    test.assertEqual({each.key for each in records}, {None})
    test.stop(one)


@scenario()
def d09_subscribing_again(test):
    one = test.server(RAISE)
    address = socket(test)
    for _ in range(3):
        one.mi("event_subscribe", "E_TEST", address)
    raise_event(test, one)
    test.wait_records(1, "events")
    time.sleep(0.5)
    count = len(list(test.embedded.records()))
    demand(count == 1, f"one event was published {count} times")

    one.mi("event_subscribe", "E_TEST", address, 0)
    time.sleep(EXPIRED_S)
    raise_event(test, one)
    time.sleep(0.5)
    count = len(list(test.embedded.records()))
    demand(count == 1, "it is published after it was unsubscribed")
    test.stop(one)


@scenario()
def d09_one_subscriber_by_mi(test):
    address = socket(test)
    one = test.server(RAISE)
    one.mi("event_subscribe", "E_TEST", address)
    ask(one, "subscribers_list", "E_TEST", address, after="asking for a subscriber")
    used_bytes = one.statistic("shmem:used_size")
    for _ in range(100):
        answer = ask(one, "subscribers_list", "E_TEST", address, after="asking for a subscriber")
        demand(not isinstance(answer, server.MiError), f"the subscriber is not found: {answer}")
    grown_bytes = one.statistic("shmem:used_size") - used_bytes
    demand(grown_bytes < 4096, f"100 questions took {grown_bytes} bytes of shared memory")
    test.stop(one)


@scenario()
def d10_stop_after_a_socket_expired(test):
    one = test.server(RAISE)
    one.mi("event_subscribe", "E_TEST", socket(test), 1)
    raise_event(test, one)
    test.wait_records(1, "events")
    time.sleep(EXPIRED_S)
    raise_event(test, one)  # the core frees what has expired
    time.sleep(0.3)
    demand_alive(one, "a socket that expired")
    demand_clean_stop(test, one)


@scenario(attempts=0)
def d11_sockets_from_many_processes(test):
    """Eight workers subscribe at once. It takes luck to see the stock module's list break."""
    topics = {f"topic{i}": 1 for i in range(24)}
    test.start_broker(topics=topics)
    script = f"""
    route {{
        if (is_method("INFO"))
            subscribe_event("E_TEST", "kafka:{test.embedded.bootstrap}/$rU");
        else
            raise_event("E_TEST");
        sl_send_reply(200, "OK");
    }}
    """
    one = test.server(script, workers=8, modules=["sipmsgops"])
    client = test.client(one)
    statuses = client.send_all(
        [sip.Request("INFO", user=name) for name in [*topics, *topics]], window=48
    )
    test.assertEqual(set(statuses), {200})
    raise_event(test, one)
    records = test.wait_records(len(topics))
    test.assertEqual(sorted(each.topic for each in records), sorted(topics))
    test.stop(one)


@scenario()
def d15_unknown_key(test):
    address = socket(test, "?key=bogus")
    one = test.server(RAISE)
    test.expected_lines.append("key|event|evi")
    answer = ask(one, "event_subscribe", "E_TEST", address, after="an unknown key")
    demand(isinstance(answer, server.MiError), "key=bogus was accepted")
    test.stop(one)


@scenario()
def d13_bad_property_of_a_socket(test):
    address = socket(test, "?t.acks=bogus")
    one = test.server(RAISE)
    test.expected_lines.append("acks|event|evi")
    answer = ask(one, "event_subscribe", "E_TEST", address, after="a bad property")
    demand(isinstance(answer, server.MiError), "t.acks=bogus was accepted")
    test.stop(one)


@scenario(attempts=0)
def d21_subscriptions_leak_nothing(test):
    """Subscribed, expired, and subscribed again. With the stock module that is D10."""
    addresses = [socket(test, f"?g.linger.ms={i}") for i in range(20)]
    one = test.server(RAISE)

    def subscribe_all():
        for address in addresses:
            one.mi("event_subscribe", "E_TEST", address, 1)
        raise_event(test, one)
        time.sleep(EXPIRED_S)
        raise_event(test, one)  # the core frees what has expired

    subscribe_all()
    used_bytes = one.statistic("shmem:used_size")
    for _ in range(2):
        subscribe_all()
    grown_bytes = one.statistic("shmem:used_size") - used_bytes
    demand(grown_bytes < 2048, f"shared memory grew by {grown_bytes} bytes")
    test.stop(one)


@scenario()
def d27_properties_in_the_list(test):
    properties = "?g.linger.ms=7&key=callid"
    one = test.server(RAISE)
    one.mi("event_subscribe", "E_TEST", socket(test, properties))
    listed = str(one.mi("subscribers_list"))
    demand("g.linger.ms=7" in listed, f"no properties in {listed}")
    test.stop(one)
