#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
The quickstart's demonstration: 100,000 CDR lines through spool-forward into the embedded broker, which goes
down and comes back, while spool-forward is killed -9 and started again. Exit 0 only if nothing is lost.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import broker, chaos  # noqa: E402


def cdr_lines(count, seed):
    generator = Path(__file__).resolve().parents[1] / "harness" / "cdr_lines.py"
    output = subprocess.run(
        [sys.executable, generator, "--count", str(count), "--seed", str(seed)],
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    return output.splitlines()


def say(text):
    print(f"quickstart: {text}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=int, default=10000, help="lines a second")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="kafka-spool-") as folder:
        folder = Path(folder)
        lines = cdr_lines(options.lines, options.seed)
        with broker.EmbeddedBroker(folder, topics={"cdrs": 8}, record=True) as embedded:
            begin = time.monotonic()

            def event(command, text):
                def run():
                    say(f"{time.monotonic() - begin:4.1f} s: {text}")
                    embedded.command(command)

                return run

            demo = chaos.Chaos(
                folder,
                f"[cdr]{embedded.bootstrap}/cdrs",
                lines,
                seed=options.seed,
                kills=3,
                lines_per_second=options.rate,
                broker_events=[
                    (2.0, event("down all", "the broker goes down")),
                    (6.0, event("up all", "the broker is back")),
                ],
            )
            say(f"{len(lines):,} CDR lines go in at {options.rate:,} a second; "
                "spool-forward is killed -9 four times")
            demo.run()
            summary = demo.judge(embedded.records())
        print(chaos.table(demo, summary))
        say("nothing was lost" if summary["ok"] else f"FAILED: {summary}")
        return 0 if summary["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
