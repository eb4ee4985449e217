# SPDX-License-Identifier: GPL-2.0-or-later
"""drop, expire, move, dead requeue, dead drop: on spools that a kill left, and on live pipelines."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import acting, forward, inspector, process  # noqa: E402


class DryRunTest(acting.ActCase):
    """Without --yes nothing happens, and the answer says what would."""

    COMMANDS = [
        ["drop", "--all"],
        ["expire", "--all"],
        ["move", "--all", "--into", "2"],
        ["dead", "requeue", "--all"],
        ["dead", "drop", "--all"],
    ]

    def test_nothing_is_changed(self):
        self.old_spool()
        before = self.export()
        for command in self.COMMANDS:
            answer = self.document(*command)
            self.assertFalse(answer["done"])
            self.assertGreater(answer["found_records"], 0)
            self.assertEqual(answer["done_records"], 0)
        self.assertEqual(self.export(), before)
        self.assertEqual(self.audit(), [])

    def test_an_export_is_not_written(self):
        self.old_spool()
        path = self.folder / "out.jsonl"
        self.do("drop", "--all", "--export", path)
        self.assertFalse(path.exists())

    def test_the_answer_in_words(self):
        self.old_spool()
        text = ""
        for command in self.COMMANDS + [["drop", "7"], ["drop", "--key", "nobody's"]]:
            text += f"$ {' '.join(command)}\n" + self.do(*command).output
        self.assert_golden("act-dry-run", text, *acting.VOLATILE)

    def test_the_help_names_every_option(self):
        for command in [each[:-1] for each in self.COMMANDS[:2]] + [["move"], ["dead", "drop"]]:
            result = self.do(*command, "--help")
            for word in ("--yes", "--export", "--older-than", "Examples:"[:7]):
                self.assertIn(word, result.output)

    def test_what_is_not_said_is_refused(self):
        self.old_spool()
        for arguments, said in [
            (["drop"], "say which"),
            (["drop", "7", "--all"], "say which"),
            (["drop", "seven"], "one SEQUENCE"),
            (["drop", "9-7"], "one SEQUENCE"),
            (["drop", "7", "8"], "one SEQUENCE"),
            (["drop", "7", "--into", "2"], "--into"),
            (["move", "7"], "--into"),
            (["move", "7", "--into", "nobody"], "nobody"),
            (["drop", "--destination", "nobody"], "nobody"),
            (["drop", "--older-than", "yesterday"], "yesterday"),
        ]:
            with self.subTest(arguments=arguments):
                result = self.do(*arguments, "--yes", code=2)
                self.assertIn(said, result.said)
        self.assertEqual(self.audit(), [])


class DoneTest(acting.ActCase):
    """Each act on the spool of an earlier version."""

    def test_drop_by_sequence_and_by_filter(self):
        self.old_spool()
        answer = self.document("drop", "7", "--yes")
        self.assertEqual((answer["found_records"], answer["done_records"]), (1, 1))
        self.assertEqual(self.sequences(), [6, 9, 8, 10, 11])
        self.do("drop", "--key", "no payload", "--yes")
        self.assertEqual(self.sequences(), [6, 9, 8, 11])
        self.do("drop", "8-9", "--yes")
        self.assertEqual(self.sequences(), [6, 11])
        self.do("drop", "--destination", "cdr", "--larger-than", "100", "--yes")
        self.assertEqual(self.sequences(), [11])
        self.assertEqual([each["act"] for each in self.audit()], ["drop"] * 4)

    def test_a_dropped_record_gets_its_report(self):
        self.old_spool()
        before = self.export("--place", "reports")
        self.do("drop", "6", "--yes")
        after = self.export("--place", "reports")
        self.assertEqual(after[:-1], before)
        report = after[-1]
        self.assertEqual((report["sequence"], report["reason"]), (6, "dropped"))
        self.assertEqual(report["report_route"], "cdr_report")

    def test_expire_keeps_them_as_dead_letters(self):
        self.old_spool()
        self.do("expire", "--destination", "cdr", "--yes")
        self.assertEqual(self.sequences("dead"), [1, 2, 6, 7, 9, 3])
        dead = {each["sequence"]: each["reason"] for each in self.documents("dead", "ls")}
        self.assertEqual((dead[6], dead[1]), ("expired", "dead"))
        self.assertEqual(self.export("--place", "reports")[-1]["reason"], "expired")

    def test_move_keeps_sequence_id_and_order(self):
        self.old_spool()
        before = {each["sequence"]: each for each in self.export("--place", "queue")}
        answer = self.document("move", "--destination", "2", "--into", "cdr", "--yes")
        self.assertEqual(answer["into"], "[cdr]cdrs")
        self.assertEqual(self.sequences(), [6, 7, 8, 9, 10, 11])
        for record in self.export("--place", "queue"):
            old = before[record["sequence"]]
            self.assertEqual(record["destination"], "[cdr]cdrs")
            for name in ("spool_id", "published_ms", "expires_ms", "report_route", "headers"):
                self.assertEqual(record[name], old[name])
        # Moving there again finds all of them there.
        answer = self.document("move", "--all", "--into", "cdr", "--yes")
        self.assertEqual((answer["found_records"], answer["skipped_records"]), (0, 6))

    def test_dead_letters_are_requeued_but_for_damaged_ones(self):
        self.old_spool()
        answer = self.document("dead", "requeue", "--all", "--yes")
        self.assertEqual((answer["done_records"], answer["skipped_records"]), (2, 1))
        self.assertEqual(self.sequences("dead"), [2])
        self.assertEqual(self.sequences(), [1, 6, 7, 9, 3, 8, 10, 11])
        queue = {each["sequence"]: each for each in self.export("--place", "queue")}
        self.assertIsNone(queue[3]["expires_ms"])  # it had expired, and is wanted now
        self.assertTrue(queue[1]["spool_id"].endswith(":1"))

    def test_one_dead_letter_into_another_destination(self):
        self.old_spool()
        self.do("dead", "requeue", "1", "--into", "2", "--yes")
        self.assertEqual(self.sequences("--destination", "2"), [1, 8, 10, 11])

    def test_dead_drop(self):
        self.old_spool()
        self.do("dead", "drop", "--destination", "cdr", "--yes")
        self.assertEqual(self.sequences("dead"), [3])

    def test_the_answers_in_words(self):
        self.old_spool()
        text = ""
        for command in [
            ["drop", "7", "--yes", "--export", str(self.folder / "seven.jsonl")],
            ["expire", "--key", "call-1", "--yes"],
            ["move", "--destination", "2", "--into", "cdr", "--yes"],
            ["dead", "requeue", "--all", "--yes"],
            ["dead", "drop", "--all", "--yes"],
            ["drop", "--key", "nobody's", "--yes"],
            ["pause", "cdr"],
            ["resume", "cdr", "2"],
            ["import", str(self.folder / "seven.jsonl")],
            ["audit"],
        ]:
            text += f"$ {' '.join(command)}\n" + self.do(*command).output
        self.assert_golden("act-done", text, *acting.VOLATILE)

    def test_what_comes_later_is_not_meant(self):
        """A record that is published while the command looks is left alone."""
        self.killed_spool(acting.lines(5))
        embedded_filter = ["--from", "1", "--to", "1000"]
        self.do("drop", *embedded_filter, "--yes")
        self.assertEqual(self.killed_spool(acting.lines(1)), [6])
        self.assertEqual(self.sequences(), [6])


class ExportTest(acting.ActCase):
    """--export: what is touched is on disk before."""

    def test_the_file_is_what_was_removed(self):
        self.old_spool()
        path = self.folder / "out.jsonl"
        before = self.export("--place", "queue", "--destination", "cdr")
        self.do("drop", "--destination", "cdr", "--export", path, "--yes")
        written = [json.loads(each) for each in path.read_text("utf-8").splitlines()]
        self.assertEqual(written, before)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)

    def test_a_file_that_cannot_be_written_stops_everything(self):
        self.old_spool()
        before = self.export()
        there = self.folder / "there.jsonl"
        there.write_text("mine", encoding="utf-8")
        for path, said in [
            (there, "File exists"),
            (self.folder / "no" / "folder.jsonl", "No such file"),
            (self.spool / "inside.jsonl", "in the spool's folder"),
        ]:
            result = self.do("drop", "--all", "--export", path, "--yes", code=2)
            self.assertIn(said, result.said)
        self.assertEqual(there.read_text("utf-8"), "mine")
        self.assertEqual(self.export(), before)

    def test_a_full_disk_stops_everything(self):
        self.killed_spool(acting.lines(2000, 200))
        path = self.folder / "out.jsonl"

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))

        result = self.do(
            "drop", "--all", "--export", path, "--yes", code=1, preexec_fn=limit
        )
        self.assertIn("nothing was changed", result.said)
        self.assertEqual(len(self.sequences()), 2000)
        self.assertEqual(self.audit(), [])

    def test_an_exported_drop_can_be_undone(self):
        self.killed_spool(acting.lines(2500))
        before = self.export()
        path = self.folder / "out.jsonl"
        self.do("drop", "--all", "--export", path, "--yes")
        self.assertEqual(self.sequences(), [])
        self.do("import", path)
        after = self.export()
        for old, new in zip(before, after):
            self.assertNotEqual(old.pop("sequence"), new.pop("sequence"))
        self.assertEqual(after, before)


class OwnerTest(acting.ActCase):
    """Run by root on a spool of another user."""

    NOBODY = 65534

    def test_no_file_of_the_spool_becomes_roots(self):
        if os.geteuid() != 0:
            self.skipTest("not here: only root can become somebody else")
        self.old_spool()
        for path in [self.spool, *self.spool.iterdir()]:
            os.chown(path, self.NOBODY, self.NOBODY)
        # So that the spool's owner gets there at all.
        self.folder.chmod(0o711)
        (self.spool / "lock.mdb").unlink()
        mine = self.folder / "mine.jsonl"
        self.do("pause", "cdr")
        self.do("drop", "--all", "--export", mine, "--yes")
        self.do("import", mine)
        self.do("dead", "requeue", "--all", "--yes")
        owners = {path.name: path.stat().st_uid for path in self.spool.iterdir()}
        self.assertIn("lock.mdb", owners)
        self.assertEqual(set(owners.values()), {self.NOBODY}, owners)
        # What was exported is for whoever ran the program.
        self.assertEqual((mine.stat().st_uid, mine.stat().st_mode & 0o777), (0, 0o600))
        self.assertIn("root (uid 0", self.audit()[0]["who"])


class LiveTest(acting.ActCase):
    """While a pipeline owns the spool."""

    def test_drop_while_records_are_delivered_at_full_speed(self):
        """Nothing that is not named is lost, nothing is delivered twice, nobody stumbles."""
        embedded = self.start_broker()
        count = 60000
        program = self.start_forward(
            *["--broker", self.address(embedded)],
            *["--publish", "k1", "-K", "|", "--ack", "--json"],
        )
        program.write(acting.lines(1))
        acknowledged = program.read_sequences(1)
        feeder = threading.Thread(target=lambda: program.write(acting.lines(count)[1:]))
        reader = threading.Thread(
            target=lambda: acknowledged.extend(program.read_sequences(count - 1))
        )
        feeder.start()
        reader.start()
        dropped = 0
        runs = 0
        while reader.is_alive():
            answer = self.document("drop", "--key", "key-3", "--yes")
            dropped += answer["done_records"]
            runs += 1
        feeder.join()
        reader.join()
        self.assertEqual(len(acknowledged), count, program.log_tail())
        code, output = program.finish()
        self.assertEqual(code, 0, program.log_tail())
        self.do("resume", "k1")
        result = forward.run(
            *["--spool", self.spool, "--broker", self.address(embedded), "--drain"]
        )
        self.assertEqual(result.code, 0, result)
        found = self.delivered(embedded)
        expected = {i for i in range(1, count + 1) if i % 5 != 3}
        self.assertEqual(expected - set(found), set())
        self.assertEqual(len(found), len(set(found)))
        # Each of those that were named was dropped, or delivered before, or both.
        named = count // 5
        self.assertGreaterEqual(len(set(found)) - len(expected) + dropped, named)
        self.assertGreater(runs, 1)
        self.assertEqual(sum(each["records"] for each in self.audit()), dropped)

    def test_moved_records_are_delivered_at_their_new_destination(self):
        embedded = self.start_broker()
        self.killed_spool(acting.lines(3000))
        self.start_forward(
            *["--broker", self.dead_address("k1"), "--broker", self.address(embedded, "k2", "u")]
        )
        process.wait_until(
            lambda: "[k2]u" in self.inspect("status").output, acting.PATIENCE_S, "k2 is known"
        )
        answer = self.document("move", "--destination", "k1", "--into", "k2", "--yes")
        self.assertEqual(answer["done_records"], 3000)
        self.wait_written(embedded, 3000)
        self.assertEqual(sorted(set(self.delivered(embedded))), list(range(1, 3001)))
        self.assertEqual({record.topic for record in embedded.records()}, {"u"})

    def test_requeued_records_are_delivered_with_their_ids(self):
        embedded = self.start_broker()
        self.killed_spool(acting.lines(10))
        self.do("expire", "3-5", "--yes")
        self.start_forward("--broker", self.address(embedded))
        self.wait_written(embedded, 7)
        self.do("dead", "requeue", "4", "--yes")
        self.wait_written(embedded, 8)
        self.do("dead", "requeue", "--all", "--yes")
        self.wait_written(embedded, 10)
        found = self.delivered(embedded)
        self.assertEqual(found, [1, 2, 6, 7, 8, 9, 10, 4, 3, 5])

    def test_in_flight_records_are_said(self):
        self.killed_spool(acting.lines(50))
        embedded = self.start_broker()
        embedded.command("hang all")
        program = self.start_forward("--broker", self.address(embedded))

        def answer():
            return self.document("drop", "--all")

        process.wait_until(
            lambda: answer()["inflight_records_max"] == 50, acting.PATIENCE_S, "all in-flight"
        )
        found = answer()
        self.assertIn(f"pid {program.pid}", found["forwarder"])
        self.assertIn("Up to 50 of them are in-flight", self.do("drop", "--all").output)
        # Handed to Kafka already: dropped here, delivered there.
        self.do("drop", "--all", "--yes")
        self.assertEqual(self.sequences(), [])
        embedded.command("unhang all")
        self.wait_written(embedded, 50)

    def test_two_programs_at_once_do_each_thing_once(self):
        self.killed_spool(acting.lines(20000))
        answers = []

        def drop():
            answers.append(self.document("drop", "--all", "--yes")["done_records"])

        threads = [threading.Thread(target=drop) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sum(answers), 20000, answers)
        self.assertEqual(self.sequences(), [])
        self.assertEqual(sum(each["records"] for each in self.audit()), 20000)


class PauseTest(acting.ActCase):
    def test_a_running_forwarder_sees_it_within_a_second(self):
        embedded = self.start_broker()
        program = self.start_forward(
            *["--broker", self.address(embedded), "--publish", "k1", "--ack"]
        )
        program.write([b"before"])
        self.wait_written(embedded, 1)
        answer = self.document("pause", "k1")
        self.assertEqual((answer["paused"], answer["changed"]), (True, True))
        self.assertIsNotNone(answer["since_ms"])
        time.sleep(1)
        program.write([b"while"])
        program.read_sequences(2)
        time.sleep(1)
        self.assertEqual(int(embedded.command("sync")), 1)
        self.assertFalse(self.document("pause", "k1")["changed"])
        # Kept across a restart, and across a kill.
        program.kill9()
        self.start_forward("--broker", self.address(embedded))
        time.sleep(1)
        self.assertEqual(int(embedded.command("sync")), 1)
        begin = time.monotonic()
        self.assertFalse(self.document("resume", "k1")["paused"])
        self.wait_written(embedded, 2)
        self.assertLess(time.monotonic() - begin, 5)
        self.assertEqual([each["act"] for each in self.audit()], ["pause", "resume"])

    def test_all_are_found_before_the_first_is_changed(self):
        self.old_spool()
        result = self.do("pause", "cdr", "nobody", code=2)
        self.assertIn("nobody", result.said)
        self.assertEqual(self.audit(), [])


class KillTest(acting.ActCase):
    """spool-inspect killed in the middle: each record is in one place, and the log is right (S2)."""

    COUNT = 12000

    def run_and_kill(self, *arguments):
        """Runs until the first batches are there, and kills it. Whether it was still at work."""
        program = process.Program(
            [process.program("spool-inspect"), "--spool", self.spool, *arguments],
            self.folder / "inspect.log",
            stdout=subprocess.DEVNULL,
        )

        def has_begun():
            return not program.is_alive() or any(each["records"] > 0 for each in self.audit())

        process.wait_until(has_begun, acting.PATIENCE_S, "it has begun")
        return program.kill9() == -9

    def check(self):
        """Every sequence is in one place at most; what the log counts is exact. The log's count."""
        self.assert_sound()
        places = self.sequences() + self.sequences("dead")
        self.assertEqual(len(places), len(set(places)))
        return places, sum(each["records"] for each in self.audit())

    def test_drop(self):
        self.killed_spool(acting.lines(self.COUNT))
        was_killed = self.run_and_kill("drop", "--all", "--yes")
        places, done = self.check()
        self.assertEqual(len(places) + done, self.COUNT)
        if was_killed:
            self.assertGreater(len(places), 0)
        self.do("drop", "--all", "--yes")
        self.assertEqual(self.check(), ([], self.COUNT))

    def test_expire_and_requeue(self):
        self.killed_spool(acting.lines(self.COUNT))
        self.run_and_kill("expire", "--all", "--yes")
        places, done = self.check()
        self.assertEqual(len(places), self.COUNT)
        self.assertEqual(len(self.sequences("dead")), done)
        self.do("dead", "requeue", "--all", "--yes")
        self.assertEqual(sorted(self.sequences()), list(range(1, self.COUNT + 1)))

    def test_move(self):
        self.killed_spool(acting.lines(self.COUNT))
        self.killed_spool(acting.lines(1), identity="k2")
        self.run_and_kill("move", "--destination", "k1", "--into", "k2", "--yes")
        places, done = self.check()
        self.assertEqual(len(places), self.COUNT + 1)
        self.assertEqual(len(self.sequences("--destination", "k2")), done + 1)
        self.do("move", "--destination", "k1", "--into", "k2", "--yes")
        self.assertEqual(self.sequences(), list(range(1, self.COUNT + 2)))


class FullTest(acting.ActCase):
    """A spool that is full to its limit."""

    def fill(self, size):
        """Publishes until it refuses. How many it took."""
        result = forward.run(
            *["--spool", self.spool, "--broker", self.dead_address(), "--max-bytes", "1M"],
            *["--publish", "k1", "-K", "|", "--ack", "--flush", "0"],
            lines=acting.lines(1500, size),
        )
        self.assertEqual(result.code, 5, result)
        return len(result.sequences())

    def test_drop_works_and_makes_room(self):
        count = self.fill(1000)
        self.assertEqual(self.document("drop", "--all", "--yes")["done_records"], count)
        self.assertGreater(self.fill(1000), 0)

    def test_expire_that_finds_no_room_says_so_and_loses_nothing(self):
        # As a record it shares a page, as a dead letter it takes one of its own.
        count = self.fill(1950)
        result = self.do("expire", "--all", "--yes", "--json", code=1)
        self.assertIn("is full", result.said)
        done = result.documents()[0]["done_records"]
        self.assertLess(done, count)
        self.assertEqual(len(self.sequences()) + len(self.sequences("dead")), count)
        self.assertEqual(len(self.sequences("dead")), done)
        self.assertEqual(sum(each["records"] for each in self.audit()), done)


if __name__ == "__main__":
    unittest.main()
