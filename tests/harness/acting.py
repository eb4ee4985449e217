# SPDX-License-Identifier: GPL-2.0-or-later
"""Spools that spool-inspect acts on, and pipelines beside it."""

import json
import tarfile

from harness import broker, forward, inspector, process

PATIENCE_S = forward.PATIENCE_S

# A client that notices a mended broker soon.
QUICK = "g.reconnect.backoff.ms=20&g.reconnect.backoff.max.ms=100&g.socket.timeout.ms=1000"

# Beside inspector.VOLATILE, in what is compared with golden files.
VOLATILE = [
    (r"\S+ \(uid \d+(, logged in as \S+)?\) with", "WHO with"),
    (r"checksum [0-9a-f]{16}", "checksum CRC"),
]


def lines(count, size=0):
    """KEY|PAYLOAD, with five keys."""
    return [b"key-%d|payload %d %s" % (i % 5, i, b"x" * size) for i in range(1, count + 1)]


class ActCase(inspector.InspectCase):
    """A spool for each test, what acts on it, and what runs beside."""

    # --- spool-inspect

    def do(self, *arguments, code=0, spool=None, **options):
        """Runs it; the exit code must be that one."""
        result = inspector.run(*arguments, spool=spool or self.spool, **options)
        self.assertEqual(result.code, code, result)
        return result

    def documents(self, *arguments, **options):
        return self.do(*arguments, "--json", **options).documents()

    def document(self, *arguments, **options):
        documents = self.documents(*arguments, **options)
        self.assertEqual(len(documents), 1, documents)
        return documents[0]

    def sequences(self, *arguments):
        """Of what waits, or with "dead" first, of the dead letters."""
        place, *rest = arguments if arguments[:1] == ("dead",) else ("queue", *arguments)
        # Many of them, and not held against a schema each: that takes a while.
        result = self.do("export", "--place", place, *rest)
        return [json.loads(line)["sequence"] for line in result.output.splitlines()]

    def export(self, *arguments, spool=None):
        return self.do("export", *arguments, spool=spool).documents()

    def audit(self):
        return self.documents("audit")

    def assert_sound(self):
        """Every page, record and invariant: S2 and S4 are among them."""
        self.do("verify")

    # --- Spools

    def old_spool(self, name="format-1"):
        """A spool that an earlier version made and a kill -9 ended, as self.spool."""
        with tarfile.open(inspector.ROOT / "tests" / "format" / f"{name}.tar.xz") as archive:
            archive.extractall(self.spool.parent)

    def dead_address(self, identity="k1", topic="t"):
        """An address where nobody is."""
        return f"[{identity}]127.0.0.1:1/{topic}?{QUICK}"

    def start_forward(self, *arguments, **options):
        started = forward.Started(
            self.folder / "spool-forward.log", "--spool", self.spool, *arguments, **options
        )
        self.addCleanup(self.end_forward, started)
        return started

    def end_forward(self, started):
        if started.is_alive():
            started.kill9()
        for stream in (started.popen.stdin, started.popen.stdout):
            try:
                stream.close()
            except BrokenPipeError:
                pass

    def killed_spool(self, published, *arguments, identity="k1"):
        """Publishes the lines to nobody, and kills the publisher. Their sequences."""
        program = self.start_forward(
            *["--broker", self.dead_address(identity)],
            *["--publish", identity, "-K", "|", "--ack", *arguments],
        )
        sequences = []
        for at in range(0, len(published), 1000):
            part = published[at : at + 1000]
            program.write(part)
            sequences += program.read_sequences(len(part))
        program.kill9()
        self.assertEqual(len(sequences), len(published), program.log_tail())
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

    def delivered(self, embedded):
        """The sequences that the broker has, in its order."""
        return [int(record.spool_id.split(":")[1]) for record in embedded.records()]
