# SPDX-License-Identifier: GPL-2.0-or-later
"""spool-inspect as tests use it, and the spools that it is shown."""

import json
import os
import re
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

from harness import broker, forward, process

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = forward.PATIENCE_S

# A client that notices a mended broker soon.
QUICK = "g.reconnect.backoff.ms=20&g.reconnect.backoff.max.ms=100&g.socket.timeout.ms=1000"

# What differs from run to run in texts that are compared with golden files.
VARYING = [
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"), "TIME"),
    (re.compile(r"\b\d+d \d+h\b"), "AGE"),
    (re.compile(r"\S+ \(uid \d+(, logged in as \S+)?\) with"), "WHO with"),
    (re.compile(r"checksum [0-9a-f]{16}"), "checksum CRC"),
    (re.compile(r"pid \d+"), "pid PID"),
    (re.compile(r"  +"), "  "),
]


class Result:
    """What a run came to: output and said are text."""

    def __init__(self, code, output, said):
        self.code = code
        self.output = output.decode()
        self.said = said.decode()

    def documents(self):
        return [json.loads(line) for line in self.output.splitlines()]

    def __repr__(self):
        return f"exit {self.code}; printed: {self.output[-2000:]}; said: {self.said[-2000:]}"


def run(spool, *arguments, text=b"", **options):
    """Runs it with the text on standard input."""
    result = subprocess.run(
        [process.program("spool-inspect"), "--spool", str(spool), *map(str, arguments)],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=PATIENCE_S,
        check=False,
        **options,
    )
    return Result(result.returncode, result.stdout, result.stderr)


def unpack_old(name, folder):
    """A spool that an earlier version made and a kill -9 ended: tests/format. Its path."""
    with tarfile.open(ROOT / "tests" / "format" / f"{name}.tar.xz") as archive:
        archive.extractall(folder)
    return Path(folder) / "spool"


class InspectCase(unittest.TestCase):
    """A folder for each test, spools in it, and what runs on them."""

    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.spool = self.folder / "spool"

    # --- spool-inspect

    def inspect(self, *arguments, code=0, spool=None, **options):
        """Runs it; the exit code must be that one."""
        result = run(spool or self.spool, *arguments, **options)
        self.assertEqual(result.code, code, result)
        return result

    def documents(self, *arguments, **options):
        return self.inspect(*arguments, "--json", **options).documents()

    def document(self, *arguments, **options):
        documents = self.documents(*arguments, **options)
        self.assertEqual(len(documents), 1, documents)
        return documents[0]

    def sequences(self, *arguments):
        """Of what waits, or with "dead" first, of the dead letters."""
        words = ["dead", "ls"] if arguments[:1] == ("dead",) else ["ls"]
        rest = arguments[1:] if arguments[:1] == ("dead",) else arguments
        return [each["sequence"] for each in self.documents(*words, *rest, "--limit", 0)]

    def export(self, *arguments, spool=None):
        result = self.inspect("export", *arguments, spool=spool)
        return result.documents()

    def audit(self):
        return self.documents("audit")

    def assert_golden(self, name, text):
        """Compares with tests/inspect/golden/NAME.txt; SPOOL_GOLDEN=write writes it instead."""
        text = text.replace(str(self.folder), "FOLDER")
        for pattern, replacement in VARYING:
            text = pattern.sub(replacement, text)
        text = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
        path = ROOT / "tests" / "inspect" / "golden" / f"{name}.txt"
        if os.environ.get("SPOOL_GOLDEN") == "write":
            path.write_text(text, encoding="utf-8")
        self.assertEqual(text, path.read_text(encoding="utf-8"))

    # --- Spools

    def old_spool(self, name="format-1"):
        self.spool = unpack_old(name, self.folder)
        return self.spool

    def dead_address(self, identity="k1", topic="t"):
        """An address where nobody is."""
        return f"[{identity}]127.0.0.1:1/{topic}?{QUICK}"

    def start_forward(self, *arguments, **options):
        started = forward.Started(
            self.folder / "spool-forward.log", "--spool", self.spool, *arguments, **options
        )
        self.addCleanup(lambda: started.kill9() if started.is_alive() else None)
        return started

    def killed_spool(self, lines, *arguments, address=None, identity="k1"):
        """Publishes the lines (KEY|PAYLOAD) to nobody, and kills the publisher. Sequences."""
        program = self.start_forward(
            *["--broker", address or self.dead_address(identity)],
            *["--publish", identity, "-K", "|", "--ack", *arguments],
        )
        program.write(lines)
        sequences = program.read_sequences(len(lines))
        program.kill9()
        program.popen.stdin.close()
        program.popen.stdout.close()
        self.assertEqual(len(sequences), len(lines), program.log_tail())
        return sequences

    def start_broker(self, **options):
        options.setdefault("topics", {"t": 1, "u": 1})
        embedded = broker.EmbeddedBroker(self.folder, record=True, **options)
        self.addCleanup(embedded.close)
        return embedded

    def address(self, embedded, identity="k1", topic="t"):
        return f"[{identity}]{embedded.bootstrap}/{topic}?{QUICK}"

    def wait_written(self, embedded, count):
        process.wait_until(
            lambda: int(embedded.command("sync")) >= count, PATIENCE_S, f"{count} are written"
        )

    def spool_ids(self, embedded):
        """Of what the broker has, in its order, as sequences of the spool's own."""
        return [int(record.spool_id.split(":")[1]) for record in embedded.records()]
