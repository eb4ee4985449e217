# SPDX-License-Identifier: GPL-2.0-or-later
"""What a soak came to: a table for the terminal, a page with a plot for docs/."""

import ctypes
import datetime
import os
import re
import subprocess
import sys
from pathlib import Path

from harness import kafka
from soaking import happenings, memory, traffic

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20


def check():
    """Before a long run: can the plot be made at its end?"""
    try:
        import matplotlib  # noqa: F401  pylint: disable=import-outside-toplevel,unused-import
    except ImportError:
        sys.exit("tests/soak: --report needs matplotlib: apt-get install python3-matplotlib")


# --- Figures


def happened(soak, who):
    """(what, how often, seconds in all), the most frequent first."""
    lengths_s = {}
    for each, what, _, length_s in soak.context.events:
        if each == who:
            lengths_s.setdefault(what, []).append(length_s)
    rows = [(what, len(each), sum(each)) for what, each in lengths_s.items()]
    return sorted(rows, key=lambda row: -row[1])


def rows_of(soak):
    """(name, figure) of the run as a whole."""
    summary, load = soak.judgement.summary, soak.load
    outage_s = sum(seconds for _, _, seconds in happened(soak, "broker"))
    return [
        ("minutes under load", round(soak.load_seconds / 60, 1)),
        ("publishes tried", load.total("sent")),
        ("accepted", summary["accepted"]),
        ("refused", load.total("refused")),
        ("not answered in 5 s (OpenSIPS was down, or its disk slow)", load.total("timed_out")),
        ("... of both: delivered all the same", summary["unacknowledged"]),
        ("**lost**", summary["lost"]),
        ("changed", summary["corrupt"]),
        ("out of order within a key", summary["reordered"] + summary["split"]),
        ("stored twice", len(soak.judgement.stored_twice)),
        ("duplicates", summary["duplicates"]),
        ("report routes run", summary["reports"]),
        ("... more than once", summary["reports_again"]),
        ("... missing", summary["unreported"]),
        (
            "share of the time with a broken broker, percent",
            round(100 * outage_s / soak.load_seconds),
        ),
    ]


# --- For the terminal


def table(soak):
    rows = [(name.strip("*"), figure) for name, figure in rows_of(soak)]
    for who in ("host", "broker"):
        rows += [(f"{who}: {what}", number) for what, number, _ in happened(soak, who)]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {figure:>12,}" for name, figure in rows)


# --- The page


def said_by(*command):
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def librdkafka_version():
    library = ctypes.CDLL("librdkafka.so.1")
    library.rd_kafka_version_str.restype = ctypes.c_char_p
    return library.rd_kafka_version_str().decode()


def lmdb_version():
    library = ctypes.CDLL("liblmdb.so.0")
    numbers = [ctypes.c_int() for _ in range(3)]
    library.mdb_version(*map(ctypes.byref, numbers))
    return ".".join(str(each.value) for each in numbers)


def versions(soak):
    opensips = re.search(r"opensips ([\d.]+\S*)", said_by(soak.options.tree.binary, "-V"))[1]
    broker = soak.broker.name
    if soak.options.kafka:
        broker += " " + re.search(r"<kafka.version>(.*?)<", kafka.POM.read_text("utf-8"))[1]
    product = ("spool", "src", "tools")
    commit = said_by("git", "-C", ROOT, "log", "-1", "--format=%h", "--", *product)
    kernel = os.uname().release.split("-")[0]
    return (
        f"kafka-spool as of {commit}, OpenSIPS {opensips}, {broker}, librdkafka"
        f" {librdkafka_version()}, LMDB {lmdb_version()}, Linux {kernel}, {os.cpu_count()} cores"
    )


def repeat_command(soak):
    options = soak.options
    words = [f"--minutes {options.minutes:g}", f"--rate {options.rate}", f"--seed {options.seed}"]
    words += [f'--only "{options.only}"'] if options.only else []
    words += [] if options.durability == "sync" else [f"--durability {options.durability}"]
    words += ["--kafka"] if options.kafka else []
    words += ["--asan build/asan"] if options.asan else []
    return "SPOOL_BUILD_DIR=build/opensips tests/soak " + " ".join(words)


def markdown_table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += [
        "| "
        + " | ".join(f"{each:,}" if isinstance(each, (int, float)) else each for each in row)
        + " |"
        for row in rows
    ]
    return "\n".join(lines)


HAPPENED = {
    "kill -9": "all processes of OpenSIPS at once",
    "power loss": "what was not flushed to the disk is gone; OpenSIPS killed -9",
    "orderly restart": "each ended within 5 s, with exit code 0",
    "full disk": "filled to the last byte for 5 to 30 s",
    "stuck disk": "no write or flush ends for 0.5 to 3 s: publishes are refused after 1 s",
    "slow disk": "each write waits up to 80 ms, for some seconds",
    "killed -9": "and started again",
    "stopped": "the orderly way, and started again",
    "hangs": "takes connections, and answers nothing",
    "refuses": "closes and refuses connections",
    "slow": "answers 300 ms late",
    "not leader": "answers with errors",
}


def happenings_text(soak):
    rows = []
    for who in ("host", "broker"):
        rows += [
            (what, number, f"{seconds:.0f}", HAPPENED[what])
            for what, number, seconds in happened(soak, who)
        ]
    operator = happened(soak, "operator")
    told = ", ".join(f"{what} {number}" for what, number, _ in operator)
    table_text = markdown_table(("what", "times", "seconds in all", ""), rows)
    return f"{table_text}\n\nThe operator's commands: {told}."


TREND = """\
In an outage memory goes up with the records that are in-flight, and the allocator keeps some of it
for a while: the slope follows the outages. Growth is a lowest that rises by more than a quarter and
by more than 8 MiB; a soak with growth has failed."""


def trend_text(soak):
    rows = [
        (
            each.name,
            *(f"{value / MIB:.1f}" for value in (each.median, each.first, each.last)),
            f"{each.slope / MIB:+.1f}",
        )
        for each in memory.trends(soak.sampler.samples)
    ]
    if not rows:
        return "The run was too short to say whether memory has a trend."
    head = ("MiB, in the last part, without restarts", "median", "lowest in its first third")
    head += ("lowest in its last third", "slope by the hour")
    return f"{markdown_table(head, rows)}\n\n{TREND}"


PAGE = """\
# Soak

Written by `tests/soak` on {date}. OpenSIPS publishes under SIP load in four ways:
`kafka_publish()`, `async(kafka_publish())`, to a destination with a time-to-live of {ttl_s} s, and
by events. Everything below happens to it meanwhile, at moments drawn from a seed. At the end each
request that was answered 200 is looked for in the topics, and each report in the log.

{versions}.

{result}

## What happened meanwhile

{happened}

{sanitized}## Over time

![Records, memory and file size over time](pictures/soak.svg)

{trend}

{duplicates}

## Repeat it

```sh soak
{repeat}
```

The seed decides what happens, and for how long; what it meets depends on the machine. That the
power losses are real shows a setting by which each may cost the last commit: this finds lost
records.

```sh soak
SPOOL_BUILD_DIR=build/opensips tests/soak --minutes 5 --only "power loss" --durability nometasync
```
"""


DUPLICATES = """\
There are {duplicates:,} copies, each with the `spool-id` of its record. OpenSIPS ended {ends}
times: what was in-flight then is sent again. And the module counted {possible:,} possible duplicates:
records that it tried again in an outage while Kafka's answer to them was missing; some of those had
arrived. Reports run again after an end of OpenSIPS, and for records that expired and were requeued:
these have two outcomes."""


def sanitized_text(soak):
    """Nothing where all starts had the same module."""
    if soak.options.asan is None:
        return ""
    return (
        "Every second start had the module built with AddressSanitizer and"
        " UndefinedBehaviorSanitizer. They found nothing; what memory such a process takes says"
        " nothing, and is left out below.\n\n"
    )


def counted(samples, field):
    """What a statistic counted in all, over the restarts that begin it anew."""
    total = last = 0
    for value in (getattr(each, field) for each in samples):
        if value is not None:
            total += value - last if value >= last else value
            last = value
    return total


def duplicates_text(soak):
    names = happenings.HostFaults.restarts
    ends = sum(number for what, number, _ in happened(soak, "host") if what in names)
    return DUPLICATES.format(
        duplicates=soak.judgement.summary["duplicates"],
        ends=ends,
        possible=counted(soak.sampler.samples, "possible_duplicates"),
    )


def write(soak, path):
    """The page, and its plot beside it."""
    pictures = path.parent / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    from soaking import plot  # pylint: disable=import-outside-toplevel

    plot.write(soak, pictures / "soak.svg")
    text = PAGE.format(
        date=datetime.datetime.now(datetime.timezone.utc).date(),
        ttl_s=traffic.BRIEF_TTL_MS // 1000,
        versions=versions(soak),
        result=markdown_table(("", ""), rows_of(soak)),
        happened=happenings_text(soak),
        sanitized=sanitized_text(soak),
        trend=trend_text(soak),
        duplicates=duplicates_text(soak),
        repeat=repeat_command(soak),
    )
    path.write_text(text, encoding="utf-8")
