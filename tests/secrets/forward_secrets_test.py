# SPDX-License-Identifier: GPL-2.0-or-later
"""
A canary in every secret property, given in each way, with librdkafka at its debug level: neither
spool-forward nor spool-inspect shows it, and no byte of it comes into the spool.
"""

import os
import sys
import unittest
from concurrent import futures
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import acting, canary, forward, inspector, process, secret_case  # noqa: E402
from harness.secret_case import DEBUG, NOBODY, SECRET, VISIBLE  # noqa: E402

USAGE = 2
TIMED_OUT = 4
# librdkafka 2.0.2 frees nothing of a PKCS#12; what is looked for here are secrets.
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
AT_ONCE = 8
EXPORTS = ("queue", "dead", "reports")


class ForwardSecrets(secret_case.SecretsMixin, acting.ActCase):
    def publish(self, number, address):
        """A line, and a second in which its delivery fails, in a spool of its own."""
        return forward.run(
            *["--spool", self.spool / str(number), "--broker", address, "--publish", "k1"],
            *["--ack", "--drain", "--timeout", 1, "--flush", 0, "--json"],
            lines=[b"a line"],
            env=ENVIRONMENT,
        )

    def publish_all(self, addresses, code):
        """All of them at once, since each waits. Yields what was said, when nothing leaked."""
        self.spool.mkdir()
        with futures.ThreadPoolExecutor(AT_ONCE) as pool:
            results = list(pool.map(self.publish, range(len(addresses)), addresses))
        for address, result in zip(addresses, results):
            with self.subTest(address):
                self.assertEqual(result.code, code, result)
                said = result.said + result.output.decode()
                self.assert_kept(said)
                yield said

    def test_what_librdkafka_takes(self):
        addresses = [f"[k1]{NOBODY}/t?{DEBUG}&{each}" for each in self.groups()]
        for said in self.publish_all(addresses, TIMED_OUT):
            # What was searched has the address in it.
            self.assertIn(VISIBLE, said)

    def test_what_librdkafka_complains_of(self):
        addresses = [f"[k1]{NOBODY}/t?{DEBUG}&{each}" for each in self.failing_groups()]
        for said in self.publish_all(addresses, TIMED_OUT):
            self.assertIn("held [k1]t", said)

    def test_what_is_refused(self):
        for said in self.publish_all(secret_case.wrong_addresses(), USAGE):
            self.assertIn("--broker", said)

    def test_a_planted_leak_is_found(self):
        """A secret where no secret belongs is found, in what is said and in the spool."""
        self.spool.mkdir()
        address = f"[k1]{NOBODY}/t?{DEBUG.replace(VISIBLE, SECRET)}"
        result = self.publish(1, address)
        self.assertTrue(canary.leaks(result.output, self.secrets), result)
        self.assertTrue(canary.leaks_in(self.spool, self.secrets))


class InspectSecrets(secret_case.SecretsMixin, acting.ActCase):
    """While an owner runs whose librdkafka complains of a secret; and on what it leaves behind."""

    def start(self):
        """One destination is complained of, the other's records expire."""
        wrong = self.failing_groups()[0]
        brief = f"{secret_case.PLAIN}&g.sasl.username={SECRET}&g.sasl.password={SECRET}&s.ttl.ms=1"
        self.killed_spool([b"k|waits"] * 3, identity="k1")
        owner = self.start_forward(
            *["--broker", f"[k1]{NOBODY}/t?{DEBUG}&{wrong}"],
            *["--broker", f"[k2]{NOBODY}/u?{DEBUG}&{brief}"],
            *["--publish", "k2", "-K", "|", "--ack"],
            env=ENVIRONMENT,
        )
        owner.write([b"k|expires"] * 3)
        owner.read_sequences(3)
        owner.wait_said("held [k1]t")
        self.wait_expired()
        return owner

    def wait_expired(self):
        process.wait_until(
            lambda: len(self.sequences("dead")) == 3, inspector.PATIENCE_S, "three dead letters"
        )

    def say(self, *words):
        """What it says; nothing is known of its exit code but that it is no crash."""
        result = inspector.run(*words, spool=self.spool, env=ENVIRONMENT)
        self.assertIn(result.code, range(4), result)
        return result.output + result.said

    def everything(self):
        """What each command says, as a table and as JSON."""
        waiting, dead = self.sequences()[0], self.sequences("dead")[0]
        commands = [
            *([], ["ls"], ["dead", "ls"], ["show", waiting], ["dead", "show", dead]),
            *(["audit"], ["verify"], ["metrics"], ["compact"], ["--help"]),
            *(["pause", "k1"], ["resume", "k1"], ["pause", "no-such"]),
            *([*each, "--all"] for each in (["drop"], ["expire"], ["dead", "drop"])),
            *(["move", "--into", "k2", "--all"], ["dead", "requeue", str(dead), "--yes"]),
            ["ls", "--contains", "wait", "--destination", "k1"],
        ]
        said = [self.say(*each, *more) for each in commands for more in ((), ("--json",))]
        return said + [self.say("export", "--place", place) for place in EXPORTS]

    def watched(self):
        """What is on the screen of "watch"."""
        command = [process.program("spool-inspect"), "--spool", self.spool, "watch"]
        screen = inspector.Screen(command, 200, 50, {"LC_ALL": "C.UTF-8"})
        self.addCleanup(screen.close)
        return screen.wait_for("k1")

    def test_live_and_left_behind(self):
        owner = self.start()
        live = [self.watched(), *self.everything()]
        self.assert_kept(*live, owner.log_path.read_bytes())
        # What was searched has the complaint in it, and the addresses.
        for word in ("Unrecognized sasl.oauthbearer.config", VISIBLE, "g.sasl.password=***"):
            self.assertIn(word, "".join(live))
        owner.kill9()
        self.assert_kept(*self.everything())
        exported = self.folder / "exported.jsonl"
        self.say("drop", "--all", "--yes", "--export", str(exported))
        self.assert_kept(exported.read_bytes(), self.say("import", str(exported)))
        salvaged = self.folder / "salvaged"
        self.say("salvage", "--into", str(salvaged), "--all")
        self.assertEqual(canary.leaks_in(salvaged, self.secrets), [])


if __name__ == "__main__":
    unittest.main()
