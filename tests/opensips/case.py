# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of this folder stand on: a folder, an embedded broker, OpenSIPS, a judge."""

import json
import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

from harness import broker, process
from opensips import server, sip, tree

# For conditions that come within a moment on an idle machine.
PATIENCE_S = 60

# What is logged when no broker of a destination answers.
OUTAGE = r"event_kafka:\w+: brokers_down:"

# What takes minutes is run when tests/run opensips_long asks for it.
IS_LONG = os.environ.get("SPOOL_OPENSIPS_LONG") == "1"

# A client that finds a broker again at once, so that tests need not wait.
QUICK = "g.reconnect.backoff.ms=20&g.reconnect.backoff.max.ms=100"


def long_only(test):
    """A test or a class of tests that belongs to the long set alone: it is not there otherwise."""
    return test if IS_LONG else None


class Case(unittest.TestCase):
    """One OpenSIPS after another in a folder. Its log has nothing bad in it, unless expected."""

    maxDiff = None
    topics = {"t": 4, "events": 1}
    tree = None
    is_upstream = False

    @classmethod
    def setUpClass(cls):
        cls.tree = cls.tree or tree.main()
        if cls.tree is None:
            print(f"\nSKIPPED: {tree.NO_TREE}", file=sys.stderr)
            raise unittest.SkipTest(tree.NO_TREE)
        if cls.is_upstream and not cls.tree.has("event_kafka"):
            reason = f"not here: {cls.tree} has no event_kafka of its own to compare with"
            print(f"\nSKIPPED: {reason}", file=sys.stderr)
            raise unittest.SkipTest(reason)

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="opensips-"))
        # Who runs as another user must get here.
        self.folder.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.spool = self.folder / "spool"
        self.embedded = None
        self.servers = []
        self.expected_lines = []  # expressions of bad lines that this test brings about
        self.addCleanup(self._kill_servers)

    def _kill_servers(self):
        for each in self.servers:
            if each.program is not None:
                each.kill9()

    # --- Parts -----------------------------------------------------------------------------------

    def start_broker(self, **options):
        """The embedded broker, once for a test."""
        if self.embedded is None:
            folder = self.folder / "broker"
            folder.mkdir()
            options.setdefault("topics", self.topics)
            self.embedded = broker.EmbeddedBroker(folder, record=True, **options)
            self.addCleanup(self.embedded.close)
        return self.embedded

    def broker_id(self, properties=QUICK, topic="t", name="k1", bootstrap=None):
        address = f"[{name}]{bootstrap or self.embedded.bootstrap}/{topic}?{properties}"
        return f'modparam("event_kafka", "broker_id", "{address}")\n'

    def config(self, script, *, parameters="", **options):
        if self.is_upstream:
            module = self.tree.upstream()
            options.pop("spool", None)
        else:
            module = self.tree.ours()
            options.setdefault("spool", self.spool)
        return server.Config(self.tree, module, script, parameters=parameters, **options)

    def server(self, script, *, parameters="", start=True, **options):
        """OpenSIPS with this script, started unless start is False. Others: Config's, Server's."""
        names = ("shm_mb", "pkg_mb", "before", "options", "env")
        server_options = {name: options.pop(name) for name in names if name in options}
        config = self.config(script, parameters=parameters, **options)
        one = server.Server(self.folder, config, **server_options)
        self.servers.append(one)
        if start:
            one.start()
            self._wait_subscribed(one, script)
        return one

    def _wait_subscribed(self, one, script):
        """
        MI answers before a worker has run the startup route; what is raised until then has no
        subscriber. A subscription that is refused never comes.
        """
        if "startup_route" not in script or "subscribe_event" not in script:
            return
        try:
            process.wait_until(
                lambda: '"socket"' in json.dumps(one.mi("subscribers_list")), 5, "a subscription"
            )
        except (TimeoutError, OSError):
            pass

    def client(self, one):
        client = sip.Client(one.config.sip_port)
        self.addCleanup(client.close)
        return client

    # --- Judging ---------------------------------------------------------------------------------

    def stop(self, one):
        """Stops it and judges how it lived and ended."""
        self.assertTrue(one.is_alive(), f"OpenSIPS ended by itself:\n{one.log()[-4000:]}")
        code = one.terminate()
        self.assertEqual(one.bad_lines(self.expected_lines), [])
        self.assertEqual(code, 0, one.log()[-4000:])
        self.assertEqual(one.core_files(), [])
        self.assertEqual("\n\n".join(one.sanitizer_reports()), "")
        # Whoever takes longer is killed.
        self.assertLess(one.stop_seconds, server.STOP_S, one.log()[-4000:])
        self.assertNotIn("shutdown timeout", one.log())

    def wait(self, condition, what, timeout_s=PATIENCE_S):
        return process.wait_until(condition, timeout_s, what)

    def wait_logged(self, one, pattern, count=1, timeout_s=PATIENCE_S):
        """Waits for so many lines with this text, and returns them."""

        def logged():
            lines = [line for line in one.log().splitlines() if pattern in line]
            return lines if len(lines) >= count else None

        try:
            return process.wait_until(logged, timeout_s, f"{count} x {pattern!r} in the log")
        except TimeoutError as late:
            raise AssertionError(f"{late}; the log's end:\n{one.log()[-4000:]}") from late

    def wait_drained(self, one, timeout_s=PATIENCE_S):
        """Waits until nothing waits to be delivered or reported."""

        def is_drained():
            try:
                row = one.mi("kafka_status")["all"]
            except server.MiError:
                return False  # the spool is not open yet
            return row["queue_records"] == 0 and row["report_records"] == 0

        process.wait_until(is_drained, timeout_s, "all is delivered and reported")

    def wait_records(self, count, topic=None, timeout_s=PATIENCE_S):
        """Waits until the broker has so many records of a topic, and returns them."""
        found = []

        def has_records():
            found[:] = self.embedded.records(topic)
            return len(found) >= count

        try:
            process.wait_until(has_records, timeout_s, f"{count} records")
        except TimeoutError as late:
            raise AssertionError(f"{late}, {len(found)} came") from late
        return found
