#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Lines like those that a SIP server writes about its calls: "callid|{json}".

    tests/harness/cdr_lines.py --count N [--seed S]

The same count and seed give the same bytes, everywhere. Calls overlap: each has an event when it
begins, one when it is answered and one when it ends (or only two, when nobody answers), with the
lines of other calls in between, so that the order within a key means something. No two lines are
the same.
"""

import argparse
import random
import sys

# Calls that are going on at the same time.
LIVE_CALLS = 500
FIRST_WALL_MS = 1_767_225_600_000
METHODS = ("UDP", "TCP", "TLS", "WSS")
FAILURES = ((486, "Busy Here"), (487, "Request Terminated"), (480, "Temporarily Unavailable"))


class Call:
    """One call, from its first line to its last."""

    def __init__(self, random_bits, number, now_ms):
        bits = random_bits(128)
        self.key = f"{bits >> 64:016x}-{number}@10.{bits & 255}.{bits >> 8 & 255}.1"
        self.caller = f"+4930{bits >> 16 & 0xFFFFFF:08d}"
        self.callee = f"+4420{bits >> 40 & 0xFFFFFF:08d}"
        self.trunk = f"carrier-{number % 7}"
        self.transport = METHODS[bits >> 64 & 3]
        self.is_answered = bits >> 66 & 7 != 0
        self.failure = FAILURES[(bits >> 69) % len(FAILURES)]
        self.begin_ms = now_ms
        self.answered_ms = None
        self.events_count = 0

    def next_event(self, now_ms):
        """(the event's part of the JSON, whether it was the call's last)."""
        self.events_count += 1
        if self.events_count == 1:
            return '"event":"invite"', False
        if not self.is_answered:
            code, reason = self.failure
            setup = now_ms - self.begin_ms
            return f'"event":"failed","code":{code},"reason":"{reason}","setup_ms":{setup}', True
        if self.events_count == 2:
            self.answered_ms = now_ms
            setup = now_ms - self.begin_ms
            return f'"event":"answered","code":200,"reason":"OK","setup_ms":{setup}', False
        duration = now_ms - self.answered_ms
        by = "caller" if duration & 1 else "callee"
        return f'"event":"ended","ended_by":"{by}","duration_ms":{duration},"rated":true', True


def cdr_lines(count, seed=1):
    """Yields count lines as str, without line ends."""
    # Only getrandbits(): its bits for a seed are the same in all versions of Python.
    random_bits = random.Random(seed).getrandbits
    calls_count = 0
    now_ms = FIRST_WALL_MS
    live = []
    for number in range(1, count + 1):
        now_ms += random_bits(4)
        if len(live) < LIVE_CALLS and (not live or random_bits(2) != 0 or len(live) < 16):
            calls_count += 1
            live.append(Call(random_bits, calls_count, now_ms))
            at = -1
        else:
            at = random_bits(32) % len(live)
        call = live[at]
        event, is_last = call.next_event(now_ms)
        yield (
            f'{call.key}|{{"record":{number},"time_ms":{now_ms},{event},"callid":"{call.key}",'
            f'"caller":"sip:{call.caller}@example.org","callee":"sip:{call.callee}@example.net",'
            f'"transport":"{call.transport}","trunk":"{call.trunk}",'
            f'"server":"edge-{number % 5}.example.org"}}'
        )
        if is_last:
            live[at] = live[-1]
            live.pop()


def main():
    parser = argparse.ArgumentParser(description="Writes CDR-like lines to standard output.")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    part = []
    for line in cdr_lines(options.count, options.seed):
        part.append(line)
        if len(part) == 1000:
            sys.stdout.write("\n".join(part) + "\n")
            part.clear()
    sys.stdout.write("".join(line + "\n" for line in part))


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        sys.exit(1)
