# SPDX-License-Identifier: GPL-2.0-or-later
"""
OpenSIPS starts and serves whatever the broker, the spool and the disk do, and stops within the five
seconds after which it would kill its processes.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import process  # noqa: E402
from opensips import case, load, sip  # noqa: E402

DISK_BYTES = 24 << 20
SCRIPT = """
route {
    if (kafka_publish("k1", $rb, $ci, "report"))
        sl_send_reply(200, "OK");
    else
        sl_send_reply(503, "$avp(kafka_error)");
}
route[report] {
    if ($avp(kafka_status) == 0)
        update_stat("reports", 1);
    else
        update_stat("failures", 1);
}
"""
COUNTERS = """
modparam("statistics", "variable", "reports")
modparam("statistics", "variable", "failures")
"""
BACKLOG = 50_000 if case.IS_LONG else 5000
# Longer than OpenSIPS takes on an idle machine, shorter than any client of Kafka waits.
START_LIMIT_S = 15


class StartStop(case.Case):
    def opensips(self, parameters=None, **options):
        options.setdefault("modules", ["statistics"])
        parameters = COUNTERS + (parameters or self.broker_id())
        return self.server(SCRIPT, parameters=parameters, **options)

    def publish(self, one, count=20):
        statuses = self.client(one).send_all(
            sip.Request("MESSAGE", f"payload {number}") for number in range(count)
        )
        self.assertEqual(statuses, [200] * count)

    def load(self, one, count, **options):
        """Any number, answered 200 or not. Returns sip-load's figures."""
        return load.run(
            *(one.config.sip_port, self.folder / "load.log"),
            **{"count": count, "outstanding": 16, "timeout": 10000, **options},
        )


class Start(StartStop):
    def assert_serves(self, parameters):
        begin = time.monotonic()
        one = self.opensips(parameters, start=False)
        one.start()
        self.publish(one)
        self.assertLess(time.monotonic() - begin, START_LIMIT_S)
        return one

    def test_broker_that_refuses(self):
        self.start_broker().command("down all")
        self.expected_lines.append(case.OUTAGE)
        one = self.assert_serves(self.broker_id())
        self.embedded.command("up all")
        self.wait_records(20)
        self.wait(lambda: one.statistic("reports") == 20, "the reports")
        self.stop(one)

    def test_broker_that_hangs(self):
        """It takes connections, and never answers."""
        self.expected_lines.append(case.OUTAGE)
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            one = self.assert_serves(self.broker_id(bootstrap=address))
            self.stop(one)

    def test_broker_whose_name_is_unknown(self):
        self.expected_lines.append(case.OUTAGE)
        one = self.assert_serves(self.broker_id(bootstrap="kafka.invalid:9092"))
        self.stop(one)


class Spool(StartStop):
    def test_damaged_is_set_aside(self):
        self.start_broker()
        one = self.opensips()
        self.publish(one)
        self.wait_records(20)
        self.stop(one)
        data = self.spool / "data.mdb"
        size_bytes = data.stat().st_size
        data.write_bytes(b"\xa5" * size_bytes)
        one.start()
        self.publish(one)
        self.wait_records(40)
        self.expected_lines.append("set_aside|set aside|aside")
        self.assertTrue(one.bad_lines(), "nothing was said loudly")
        kept = [
            each
            for each in self.folder.rglob("data.mdb")
            if each != data and each.read_bytes()[:16] == b"\xa5" * 16
        ]
        self.assertEqual(len(kept), 1, list(self.folder.rglob("*")))
        self.stop(one)

    def test_of_another_owner(self):
        """A second OpenSIPS on the same folder: it starts, says why, and accepts nothing."""
        self.start_broker()
        first = self.opensips()
        self.publish(first)
        other_folder = self.folder / "other"
        other_folder.mkdir()
        second = self.opensips(start=False)
        second.folder = other_folder
        second.config_path = other_folder / "opensips.cfg"
        second.log_path = other_folder / "opensips.log"
        second.command = [
            second.config_path if str(each).endswith("opensips.cfg") else each
            for each in second.command
        ]
        second.start()
        statuses = self.client(second).send_all(sip.Request("MESSAGE", "x") for _ in range(5))
        self.assertEqual(set(statuses), {503})
        self.wait_logged(second, "nothing is accepted until this is mended")
        self.stop(first)
        # It takes over when the first one is gone.
        client = self.client(second)
        self.wait(lambda: client.send(sip.Request("MESSAGE", "x")) == 200, "it is accepted")
        self.expected_lines.append("nothing is accepted until")
        self.stop(second)

    def test_the_default_folder(self):
        """No parameter names it: /var/spool/opensips/kafka, here of a mount of its own."""
        allowed = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True)
        if allowed.returncode != 0:
            self.skipTest("not here: no mount namespaces")
        self.start_broker()
        own = 'mount -t tmpfs tmpfs /var/spool && exec "$@"'
        one = self.opensips(spool=None, before=["unshare", "--mount", "sh", "-c", own, "sh"])
        self.publish(one)
        (pid,) = one.process_ids("Kafka")
        self.assertTrue(Path(f"/proc/{pid}/root/var/spool/opensips/kafka/data.mdb").is_file())
        self.stop(one)


class Disk(StartStop):
    def setUp(self):
        super().setUp()
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        self.spool = self.disk / "spool"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", self.disk],
            capture_output=True,
            check=False,
        )
        if mounted.returncode != 0:
            self.skipTest("not here: no small file system can be mounted")
        self.addCleanup(subprocess.run, ["umount", "--lazy", self.disk], check=False)
        self.filler = self.disk / "filler"
        self.expected_lines += [case.OUTAGE, "disk", "refused", "No space", "full"]

    def fill(self):
        with open(self.filler, "ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)

    def test_full_at_the_start(self):
        self.start_broker()
        self.fill()
        one = self.opensips()
        statuses = self.client(one).send_all(sip.Request("MESSAGE", "x") for _ in range(5))
        self.assertEqual(set(statuses), {503})
        self.filler.unlink()
        client = self.client(one)
        self.wait(lambda: client.send(sip.Request("MESSAGE", "x")) == 200, "it is accepted")
        self.wait_records(1)
        self.stop(one)

    def test_full_while_it_runs(self):
        self.start_broker().command("down all")
        one = self.opensips()
        self.publish(one)
        self.fill()
        figures = self.load(one, 20000, body=2000)
        accepted = 20 + figures["answered"]
        self.assertGreater(figures["refused"], 0)
        self.assertEqual(figures["timed_out"], 0)
        self.assertTrue(one.is_alive())
        self.embedded.command("up all")
        self.wait(lambda: one.statistic("reports") == accepted, "what was accepted is reported")
        self.assertEqual(len(self.wait_records(accepted)), accepted)
        self.publish(one)
        self.stop(one)


class Stop(StartStop):
    def backlog(self, one, count=BACKLOG):
        figures = self.load(one, count, outstanding=64)
        self.assertEqual(figures["answered"], count)
        return count

    def test_broker_that_hangs_and_a_backlog(self):
        self.start_broker()
        one = self.opensips()
        self.publish(one)
        self.wait_records(20)
        self.embedded.command("hang all")
        count = 20 + self.backlog(one)
        self.stop(one)
        self.embedded.command("unhang all")
        one.start()
        self.wait_drained(one, 120)
        keys = {each.key for each in self.embedded.records()}
        self.assertEqual(len(keys), count)
        self.stop(one)

    def test_broker_that_refuses_and_a_backlog(self):
        self.start_broker().command("down all")
        self.expected_lines.append(case.OUTAGE)
        one = self.opensips()
        count = self.backlog(one)
        self.stop(one)
        self.embedded.command("up all")
        one.start()
        self.wait(lambda: one.statistic("reports") == count, "every report route ran", 120)
        self.stop(one)

    def test_under_load(self):
        """What was answered 200 while OpenSIPS went down is there afterwards."""
        self.start_broker()
        one = self.opensips()
        traffic = load.Load(
            *(one.config.sip_port, self.folder / "load.log"),
            **{"outstanding": 64, "timeout": 1000, "answered": self.folder / "answered"},
        )
        time.sleep(1)
        self.stop(one)
        traffic.end()
        answered = traffic.answered()
        self.assertGreater(len(answered), 100)
        one.start()
        self.wait_drained(one, 120)
        keys = {each.key.decode() for each in self.embedded.records()}
        self.assertEqual([each for each in answered if each not in keys][:10], [])
        self.stop(one)

    def test_name_server_that_does_not_answer(self):
        """librdkafka's thread waits for a name then, and cannot be told to stop."""
        self.expected_lines.append(case.OUTAGE)
        allowed = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True)
        if allowed.returncode != 0:
            self.skipTest("not here: no mount namespaces")
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as silent:
            try:
                silent.bind(("127.0.0.53", 53))
            except OSError as error:
                self.skipTest(f"not here: no name server's port can be had: {error}")
            resolv = self.folder / "resolv.conf"
            resolv.write_text("nameserver 127.0.0.53\n", encoding="ascii")
            own = f'mount --bind {resolv} /etc/resolv.conf && exec "$@"'
            one = self.opensips(
                self.broker_id(bootstrap="kafka.example:9092"),
                before=["unshare", "--mount", "sh", "-c", own, "sh"],
            )
            self.publish(one)
            self.wait(lambda: silent.recv(512), "the name is asked for")
            self.stop(one)


class Processes(StartStop):
    def test_nothing_of_lmdb_or_librdkafka_in_sip_workers(self):
        """No thread beside a worker's own, no file of the spool, no connection to the broker."""
        self.start_broker()
        one = self.opensips()
        self.publish(one)
        self.wait_records(20)
        (kafka,) = one.process_ids("Kafka")
        for pid in one.pids():
            threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
            maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
            if pid == kafka:
                self.assertGreater(threads, 2)
                self.assertIn("data.mdb", maps)
                continue
            self.assertEqual(threads, 1, pid)
            self.assertNotIn("data.mdb", maps)
            for fd in Path(f"/proc/{pid}/fd").iterdir():
                self.assertNotIn("spool/", os.readlink(fd))
        self.stop(one)

    def test_main_process_that_is_killed(self):
        """Nobody tells the Kafka process to end then, and it ends all the same."""
        self.start_broker()
        one = self.opensips()
        self.publish(one)
        (kafka,) = one.process_ids("Kafka")
        one.program.kill9()
        process.wait_until(lambda: kafka not in one.pids(), 30, "the Kafka process has ended")
        one.kill9()
        one.start()
        self.publish(one)
        self.stop(one)


if __name__ == "__main__":
    unittest.main()
