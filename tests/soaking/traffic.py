# SPDX-License-Identifier: GPL-2.0-or-later
"""
What is published in a soak: SIP requests of four methods, one for each way to publish. A request is
answered 200 if and only if its publish was accepted.
"""

import json
from typing import NamedTuple

from opensips import load

# Unanswered for so long, a request counts as neither accepted nor refused.
REPLY_MS = 5000
# What expires in an outage becomes a dead letter, which an operator requeues.
BRIEF_TTL_MS = 4000
EVENT = "E_SOAK"
QUICK = "g.reconnect.backoff.ms=50&g.reconnect.backoff.max.ms=500"


class Kind(NamedTuple):
    """One way to publish. share: of all publishes. has_report: a report route is named."""

    name: str
    method: str
    topic: str
    share: float
    body_bytes: int
    has_report: bool


KINDS = (
    Kind("plain", "MESSAGE", "calls", 0.4, 512, True),
    Kind("async", "INFO", "calls", 0.3, 900, True),
    Kind("brief", "NOTIFY", "brief", 0.15, 2500, True),
    Kind("event", "OPTIONS", "events", 0.15, 300, False),
)

# A hundred keys, the last two digits of the request's number, so that the order within a key
# means something. "brief" has no key: what is requeued comes late, and that is right.
SCRIPT = """
startup_route { subscribe_event("%(event)s", "kafka:%(bootstrap)s/events?key=callid&%(quick)s"); }
route {
    $var(key) = "key-" + $(ci{s.select,0,@}{s.substr,-2,0});
    if (is_method("MESSAGE")) {
        kafka_publish("calls", $rb, $var(key), "report");
        route(answer, $rc);
    } else if (is_method("INFO")) {
        async(kafka_publish("calls", $rb, $var(key), "report"), resumed);
    } else if (is_method("NOTIFY")) {
        kafka_publish("brief", $rb, , "report");
        route(answer, $rc);
    } else {
        $avp(names) = "body";
        $avp(values) = $rb;
        raise_event("%(event)s", $avp(names), $avp(values));
        route(answer, $rc);
    }
}
route[answer] {
    if ($param(1) > 0)
        sl_send_reply(200, "Accepted");
    else
        sl_send_reply(503, "Not accepted");
}
route[resumed] {
    if ($rc > 0)
        t_reply(200, "Accepted");
    else
        t_reply(503, "Not accepted");
}
route[report] { xlog("REPORT $avp(kafka_status) $avp(kafka_spool_id)\\n"); }
"""


def script(bootstrap):
    return SCRIPT % {"event": EVENT, "bootstrap": bootstrap, "quick": QUICK}


def addresses(bootstrap):
    """The module's parameters for the destinations that have an ID."""
    rows = {"calls": QUICK, "brief": f"{QUICK}&s.ttl.ms={BRIEF_TTL_MS}&s.on.expire=dead"}
    return "".join(
        f'modparam("event_kafka", "broker_id", "[{name}]{bootstrap}/{name}?{properties}")\n'
        for name, properties in rows.items()
    )


class Traffic:
    """All kinds at once, from the start until end()."""

    def __init__(self, folder, port, rate):
        self.folder = folder
        self.loads = {
            kind: load.Load(
                port,
                folder / f"load-{kind.name}.log",
                method=kind.method,
                prefix=kind.name,
                first=10,  # two digits from the first on
                rate=max(1, round(rate * kind.share)),
                body=kind.body_bytes,
                timeout=REPLY_MS,
                answered=self.answered_path(kind),
            )
            for kind in KINDS
        }
        self.figures = {}

    def answered_path(self, kind):
        return self.folder / f"answered-{kind.name}"

    def is_alive(self):
        return all(each.program.is_alive() for each in self.loads.values())

    def end(self):
        """Stops it, and keeps the figures of each kind."""
        for each in self.loads.values():
            each.program.signal(15)
        self.figures = {kind: each.finish(timeout_s=120) for kind, each in self.loads.items()}

    def total(self, name):
        return sum(each[name] for each in self.figures.values())

    # --- What was published

    def numbers(self, kind):
        """(those that were accepted, those that may have been): sets of requests' numbers."""
        with open(self.answered_path(kind), encoding="ascii") as lines:
            accepted = set(map(int, lines))
        return accepted, set(range(10, 10 + self.figures[kind]["sent"])) - accepted


def body_of(kind, number):
    """As sip-load writes it."""
    text = f"{number}@{kind.name} ".encode()
    return text + b"x" * (kind.body_bytes - len(text))


def key_of(kind, number):
    """As the script makes it."""
    if kind.name == "event":
        return f"{number}@{kind.name}".encode()
    return None if kind.name == "brief" else b"key-%02d" % (number % 100)


def body_in(record):
    """The body that a record was published with; None: it is no record of the soak's."""
    payload = record.payload
    if record.topic != "events":
        return payload
    try:
        notification = json.loads(payload)
        if notification.pop("jsonrpc") != "2.0" or notification.pop("method") != EVENT:
            return None
        (name, value), *rest = notification.pop("params").items()
        return value.encode() if name == "body" and not rest and not notification else None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
