# SPDX-License-Identifier: GPL-2.0-or-later
"""spool-forward's command line, and the exit codes that need no broker."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import forward, process  # noqa: E402

BROKER = "[k1]127.0.0.1:1/t"
CANARY = "canary-Tr0ub4dor"

# Options after "--spool DIR --broker BROKER", and what must be said.
WRONG_OPTIONS = (
    (["--max-bytes", "x"], r"--max-bytes: 'x' is not a number from 0 to"),
    (["--max-bytes", ""], r"--max-bytes: '' is not a number"),
    (["--max-bytes", "M"], r"--max-bytes: '' is not a number"),
    (["--max-bytes", "10m"], r"--max-bytes: '10m' is not a number"),
    (["--max-bytes", "1.5G"], r"--max-bytes: '1\.5' is not a number"),
    (["--max-bytes", "1GB"], r"--max-bytes: '1GB' is not a number"),
    (["--max-bytes", "-1M"], r"--max-bytes: '-1' is not a number"),
    (["--max-bytes", "17T"], r"--max-bytes: '17' is not a number from 0 to 16"),
    (["--max-bytes", "1" * 60], r"--max-bytes: '1+' is not a number"),
    (["--max-bytes", "1048575"], r"--max-bytes: at least 1M is needed"),
    (["--max-bytes", "0"], r"--max-bytes: at least 1M is needed"),
    (["--max-records", "ten"], r"--max-records: 'ten' is not a number"),
    (["--max-records", " 10"], r"--max-records: ' 10' is not a number"),
    (["--max-records", "10K"], r"--max-records: '10K' is not a number"),
    (["--commit-timeout", "1s"], r"--commit-timeout: '1s' is not a number"),
    (["--commit-timeout", "3600001"], r"--commit-timeout: '3600001' is not a number from 0 to"),
    (["--flush", "soon"], r"--flush: 'soon' is not a number"),
    (["--flush", "99999999"], r"--flush: '99999999' is not a number from 0 to 3600000"),
    (["--timeout", "1h"], r"--timeout: '1h' is not a number"),
    (["--timeout", "5"], r"--timeout goes with --drain"),
    (["--durability", "none"], r"--durability: 'sync' or 'nometasync', not 'none'"),
    (["--durability", ""], r"--durability: 'sync' or 'nometasync', not ''"),
    (["--publish", "k2"], r"--publish: no --broker has the ID 'k2'"),
    (["--publish", ""], r"--publish: no --broker has the ID ''"),
    (["-K", "|"], r"-K, -H, --ack and --keep go with --publish ID"),
    (["-H", "a=b"], r"-K, -H, --ack and --keep go with --publish ID"),
    (["--ack"], r"-K, -H, --ack and --keep go with --publish ID"),
    (["--keep"], r"-K, -H, --ack and --keep go with --publish ID"),
    (["--publish", "k1", "--ack", "--keep"], r"--ack and --keep exclude each other"),
    (["--publish", "k1", "-K", ""], r"-K: the delimiter is empty"),
    (["--publish", "k1", "-H", "novalue"], r"-H: 'novalue' is not NAME=VALUE"),
    (["--publish", "k1", "-H", "=value"], r"-H: '=value' is not NAME=VALUE"),
    (["--publish", "k1", "-H", "spool-id=1"], r"-H: 'spool-id' is the spool's own header"),
    (["--publish", "k1"] + ["-H", "a=b"] * 257, r"-H: more than 256 headers"),
    (["--broker", BROKER], r"--broker: '\[k1\]t' is given twice"),
    (["--broker", "[k1]127.0.0.1:2/u"], r"--broker: '.*' is given twice"),
    (["--broker", "127.0.0.1"], r"--broker: "),
    (["--broker", "[k2]h:9092/t?g.no.such=1"], r"--broker: .*no\.such"),
    (["--broker", "[k2]h:9092/t?g.linger.ms=soon"], r"--broker: .*linger\.ms"),
    (["--broker", "[k2]h:9092/t?s.ttl.ms=never"], r"--broker: .*s\.ttl\.ms"),
    (["word"], r"'word' belongs to no option"),
    (["--publish"], r"requires an argument"),
    (["--no-such-option"], r"unrecognized option"),
    (["-Z"], r"invalid option"),
)


class OptionsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.spool = self.folder / "spool"

    def run_spool(self, *arguments, **options):
        return forward.run("--spool", self.spool, "--broker", BROKER, *arguments, **options)

    def test_wrong_options_are_refused_before_anything_is_made(self):
        for options, expected in WRONG_OPTIONS:
            with self.subTest(options=options[:4]):
                result = self.run_spool(*options)
                self.assertEqual(result.code, 2, result)
                self.assertRegex(result.said, f"^spool-forward: .*{expected}|{expected}")
                self.assertEqual(result.output, b"")
                self.assertFalse(self.spool.exists())

    def test_needed_options_are_named(self):
        for arguments, expected in (
            ([], "--spool DIR is needed"),
            (["--broker", BROKER], "--spool DIR is needed"),
            (["--spool", self.spool], r"--broker '\[ID\]ADDRESS' is needed"),
            (["--spool", ""], r"--broker '\[ID\]ADDRESS' is needed"),
        ):
            with self.subTest(arguments=arguments):
                result = forward.run(*arguments)
                self.assertEqual(result.code, 2, result)
                self.assertRegex(result.said, expected)

    def test_help_and_version_are_no_errors(self):
        for option, expected in (
            ("--help", "Exit codes: 0 done"),
            ("--usage", "--spool"),
            ("--version", r"spool-forward \d+\.\d+\.\d+ \(librdkafka \d"),
        ):
            result = forward.run(option)
            self.assertEqual(result.code, 0, result)
            self.assertRegex(re.sub(r"\s+", " ", result.output.decode()), expected)

    def test_wrong_address_never_shows_its_secret(self):
        for address in (
            f"[k2]h:9092/t?g.sasl.password={CANARY}&g.no.such=1",
            f"[k2]h:9092/t?g.sasl.password={CANARY}&g.sasl.password={CANARY}",
            f"[k2]h:9092/t?g.sasl.pasword={CANARY}",
            f"[k2]h:9092/?g.ssl.key.password={CANARY}",
            f"[k1]h:9092/t?g.sasl.password={CANARY}",
        ):
            with self.subTest(address=address):
                result = self.run_spool("--broker", address)
                self.assertEqual(result.code, 2, result)
                self.assertNotIn(CANARY, result.said)


class SpoolTest(unittest.TestCase):
    """Exit code 3: the spool cannot be opened, with a message that says why."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.spool = self.folder / "spool"

    def run_spool(self, *arguments, spool=None, **options):
        return forward.run(
            "--spool", spool or self.spool, "--broker", BROKER, *arguments, **options
        )

    def make_spool(self):
        result = self.run_spool("--drain")
        self.assertEqual(result.code, 0, result)

    def assert_refused(self, result, expected):
        self.assertEqual(result.code, 3, result)
        self.assertRegex(result.said, expected)

    def test_spool_of_another_process_is_refused(self):
        owner = forward.Started(
            self.folder / "owner.log", "--spool", self.spool, "--broker", BROKER
        )
        self.addCleanup(owner.finish)
        self.addCleanup(owner.terminate)
        process.wait_until((self.spool / "data.mdb").exists, 60, "the spool is made")
        self.assert_refused(self.run_spool("--drain"), rf"spool-forward.*{owner.pid}")

    def test_what_is_no_folder_is_refused(self):
        self.spool.write_text("a file")
        self.assert_refused(self.run_spool("--drain"), re.escape(str(self.spool)))
        self.assertEqual(self.spool.read_text(), "a file")

    def test_folder_below_a_file_is_refused(self):
        (self.folder / "file").write_text("")
        spool = self.folder / "file" / "spool"
        self.assert_refused(self.run_spool("--drain", spool=spool), re.escape(str(spool)))

    @unittest.skipIf(os.getuid() != 0, "only root can act as another user")
    def test_folder_without_permission_is_refused(self):
        self.folder.chmod(0o755)
        self.make_spool()
        result = self.run_spool("--drain", user=65534, group=65534, extra_groups=[])
        self.assert_refused(result, re.escape(str(self.spool)))
        fresh = self.folder / "fresh"
        result = self.run_spool("--drain", spool=fresh, user=65534, group=65534, extra_groups=[])
        self.assert_refused(result, re.escape(str(fresh)))

    def test_newer_format_is_refused_and_left_alone(self):
        self.make_spool()
        path = self.spool / "data.mdb"
        content = path.read_bytes()
        mark = b"format" + (1).to_bytes(4, "little")
        self.assertIn(mark, content)
        newer = content.replace(mark, b"format" + (2).to_bytes(4, "little"))
        path.write_bytes(newer)
        self.assert_refused(self.run_spool("--drain"), r"format")
        self.assertEqual(path.read_bytes(), newer)

    def test_full_disk_is_refused_without_a_signal(self):
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", disk],
            capture_output=True,
            check=False,
        )
        if mounted.returncode != 0:
            self.skipTest("no file system can be mounted here")
        self.addCleanup(subprocess.run, ["umount", disk], check=True)
        with open(disk / "ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(b"x" * 4096)
            except OSError:
                pass
        self.assert_refused(self.run_spool("--drain", spool=disk / "spool"), r"(?i)full|space")
        (disk / "ballast").unlink()

    def test_damaged_spool_is_set_aside_and_a_new_one_started(self):
        self.make_spool()
        path = self.spool / "data.mdb"
        path.write_bytes(b"\x5a" * path.stat().st_size)
        result = self.run_spool("--drain")
        self.assertEqual(result.code, 0, result)
        self.assertRegex(result.said, r"set_aside: the spool was damaged: it is kept in ")
        kept = Path(re.search(r"kept in (\S+), and", result.said).group(1))
        self.assertTrue((kept / "data.mdb").exists())


class PublishTest(unittest.TestCase):
    """What publishing needs no broker for: its port answers nothing."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.spool = self.folder / "spool"

    def publish(self, *arguments, broker=BROKER, **options):
        return forward.run(
            *["--spool", self.spool, "--broker", broker, "--publish", "k1", "--flush", "0"],
            *["--ack", *arguments],
            **options,
        )

    def test_lines_are_acknowledged_in_their_order(self):
        result = self.publish(lines=[b"line %d" % number for number in range(5000)])
        self.assertEqual(result.code, 0, result)
        self.assertEqual(result.sequences(), list(range(1, 5001)))

    def test_limit_of_records_names_line_and_reason(self):
        result = self.publish("--max-records", 10, lines=[b"x"] * 30)
        self.assertEqual(result.code, 5, result)
        self.assertEqual(result.sequences(), list(range(1, 11)))
        self.assertRegex(result.said, r"line 11 was .*records.*10 of \d+ lines")
        # What was accepted is there, and nothing else is taken.
        result = self.publish("--max-records", 10, "--json", lines=[b"x"])
        self.assertEqual(result.code, 5, result)
        self.assertRegex(result.said, r"line 1 was ")
        self.assertEqual(result.statistics()["waiting"], 10)
        self.assertEqual(result.statistics()["refused"], {"full_records": 1})

    def test_limit_of_a_destination_names_line_and_reason(self):
        broker = BROKER + "?s.max.records=3"
        result = self.publish("--json", broker=broker, lines=[b"x"] * 5)
        self.assertEqual(result.code, 5, result)
        self.assertRegex(result.said, r"line 4 was .*destination")
        self.assertEqual(list(result.statistics()["refused"]), ["full_destination_records"])

    def test_limit_of_bytes_names_line_and_reason(self):
        result = self.publish("--max-bytes", "1M", "--json", lines=[b"x" * 10000] * 200)
        self.assertEqual(result.code, 5, result)
        self.assertRegex(result.said, r"line \d+ was .*")
        statistics = result.statistics()
        self.assertEqual(set(statistics["refused"]), {"full_bytes"})
        self.assertGreater(statistics["waiting"], 10)
        self.assertLess(statistics["waiting"], 110)

    def test_dropping_the_oldest_refuses_nothing(self):
        broker = BROKER + "?s.max.records=3&s.on.full=drop-oldest"
        lines = [b"x"] * 50
        result = self.publish("--json", broker=broker, lines=lines)
        self.assertEqual(result.code, 0, result)
        statistics = result.statistics()
        # What is in-flight is not dropped; what waits is.
        self.assertEqual(statistics["appended"], 50)
        self.assertEqual(statistics["waiting"] + statistics["dropped"], 50)

    def test_oversized_line_names_line_and_reason(self):
        for size in (2000000, 5000000, 20000000):
            with self.subTest(size=size):
                lines = [b"small", b"small", b"x" * size, b"never read"]
                result = self.publish(lines=lines)
                self.assertEqual(result.code, 5, result)
                self.assertEqual(len(result.sequences()), 2)
                self.assertRegex(result.said, r"line 3 was .*(large|long|size)")

    def test_records_without_a_broker_option_are_kept_and_said(self):
        self.assertEqual(self.publish(lines=[b"x"] * 3).code, 0)
        other = ["--spool", self.spool, "--broker", "[other]127.0.0.1:1/t", "--drain", "--json"]
        result = forward.run(*other)
        self.assertEqual(result.code, 6, result)
        self.assertRegex(result.said, r"no --broker names: they stay in it")
        self.assertEqual(result.statistics()["waiting"], 3)

    def test_drain_that_takes_too_long_ends(self):
        result = self.publish("--drain", "--timeout", 1, lines=[b"x"] * 3)
        self.assertEqual(result.code, 4, result)
        self.assertEqual(len(result.sequences()), 3)
        self.assertRegex(result.said, r"the timeout passed before the spool was empty")

    def test_output_that_cannot_be_written_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            result = self.publish(lines=[b"x"] * 3, stdout=full)
        self.assertEqual(result.code, 7, result)
        self.assertRegex(result.said, r"standard output: ")

    def test_statistics_have_these_names(self):
        result = self.publish("--json", "--durability", "nometasync", lines=[b"x"] * 3)
        statistics = result.statistics()
        self.assertEqual(
            list(statistics),
            ["spool", "elapsed_ms", "appended", "delivered", "dead", "expired", "dropped"]
            + ["corrupt", "waiting", "dead_letters", "refused", "commits", "failed_commits"]
            + ["commit_us_mean", "commit_us_max", "destinations"],
        )
        self.assertEqual(
            list(statistics["destinations"][0]),
            ["address", "waiting", "dead_letters", "retries", "possible_duplicates"]
            + ["producers_lost", "last_error"],
        )
        self.assertRegex(statistics["spool"], r"^[0-9a-f-]{36}$")
        self.assertEqual(statistics["destinations"][0]["address"], BROKER)
        for name, value in {"appended": 3, "delivered": 0, "waiting": 3}.items():
            self.assertEqual(statistics[name], value)

    def test_service_manager_hears_of_start_and_end(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(self.folder / "notify"))
            manager.settimeout(forward.PATIENCE_S)
            environment = dict(os.environ, NOTIFY_SOCKET=str(self.folder / "notify"))
            service = forward.Started(
                self.folder / "service.log",
                *["--spool", self.spool, "--broker", BROKER],
                env=environment,
            )
            self.assertEqual(manager.recv(100), b"READY=1")
            service.signal(signal.SIGTERM)
            self.assertEqual(manager.recv(100), b"STOPPING=1")
            self.assertEqual(service.finish()[0], 0)

    def test_secrets_are_in_no_output_and_no_file(self):
        secret = self.folder / "password"
        secret.write_text(CANARY + "-file\n")
        secret.chmod(0o600)
        address = (
            f"{BROKER}?g.security.protocol=SASL_PLAINTEXT&g.sasl.mechanisms=PLAIN"
            f"&g.sasl.username={CANARY}-user"
        )
        for password in (f"g.sasl.password={CANARY}", f"g.sasl.password.file={secret}"):
            result = forward.run(
                *["--spool", self.spool, "--broker", f"{address}&{password}"],
                *["--publish", "k1", "--ack", "--drain", "--timeout", 2, "--flush", 0, "--json"],
                lines=[b"a line"] * 3,
            )
            self.assertEqual(result.code, 4, result)
            self.assertNotIn(CANARY, result.said)
            self.assertNotIn(CANARY.encode(), result.output)
            self.assertIn("g.sasl.password", result.statistics()["destinations"][0]["address"])
        for path in self.spool.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                self.assertNotIn(CANARY.encode(), content, path)
        # The search itself works: what is no secret is found.
        self.assertIn(b"a line", (self.spool / "data.mdb").read_bytes())
        shutil.rmtree(self.spool)


if __name__ == "__main__":
    unittest.main()
