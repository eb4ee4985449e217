# SPDX-License-Identifier: GPL-2.0-or-later
"""verify, salvage and compact: beside a pipeline that runs, and on what a killed one left."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import broker, forward, inspector, process  # noqa: E402

PAGE = 4096


def flip(path, at, mask=0x10):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ mask]))


def tree(folder):
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in Path(folder).iterdir()
        if path.is_file()
    }


class MendCase(inspector.InspectCase):
    def publish(self, count, *, address="127.0.0.1:1", spool=None, kills=True, line=b"x" * 300):
        """Lines that are accepted into a spool whose broker is not there; then it is killed."""
        program = forward.Started(
            self.folder / "forward.log",
            "--spool",
            spool or self.spool,
            "--broker",
            f"[cdr]{address}/cdrs",
            "--publish",
            "cdr",
            "--ack",
        )
        try:
            # Some at a time: nobody reads the acknowledgements while lines are written.
            for begin in range(0, count, 1000):
                numbers = range(begin, min(begin + 1000, count))
                program.write(b"%d " % i + line for i in numbers)
                read = program.read_sequences(len(numbers))
                self.assertEqual(len(read), len(numbers), program.log_tail())
        finally:
            if kills:
                program.kill9()
                program.popen.stdin.close()
                program.popen.stdout.close()
        return program

    def payloads(self, spool):
        """What waits, in order, with the spool-id it will have."""
        result = inspector.run("export", spool=spool)
        self.assertEqual(result.code, 0, result)
        records = [json.loads(line) for line in result.output.splitlines()]
        return [(each.get("payload"), each.get("spool_id")) for each in records if "payload" in each]


class VerifyTest(MendCase):
    def test_a_spool_that_a_killed_program_left_is_sound(self):
        inspector.make_kept_spool(self.spool)
        result = self.inspect("verify")
        self.assertEqual(result.code, 0, result)
        self.assert_golden("mend-verify-sound", result.output)
        document = self.inspect("verify", "--json").document()
        self.assertTrue(document["sound"] and document["whole"])
        self.assertEqual((document["waiting"], document["dead"], document["reports"]), (6, 3, 4))

    def test_damage_is_listed_by_rule(self):
        inspector.make_kept_spool(self.spool)
        path = self.spool / "data.mdb"
        # Older copies of its page have it too, on pages that are free.
        text = b"only a payload"
        path.write_bytes(path.read_bytes().replace(text, text.upper()))
        before = path.read_bytes()
        result = self.inspect("verify")
        self.assertEqual(result.code, 1, result)
        self.assert_golden("mend-verify-record", result.output, (r"page \d+", "page N"))
        document = self.inspect("verify", "--json").document()
        self.assertEqual([each["rule"] for each in document["findings"]], ["record"])
        self.assertEqual(path.read_bytes(), before)

    def test_no_spool_is_a_message(self):
        for make in (lambda: None, lambda: self.spool.mkdir(), lambda: (self.spool / "data.mdb").mkdir()):
            make()
            result = self.inspect("verify")
            self.assertEqual((result.code, result.output), (3, ""), result)
            self.assertIn("spool-inspect: ", result.said)

    def test_beside_a_pipeline_that_runs(self):
        with broker.EmbeddedBroker(self.folder, topics={"cdrs": 1}) as there:
            program = self.publish(2000, address=there.bootstrap, kills=False)
            try:
                for round_number in range(5):
                    program.write(b"%d more " % i + b"y" * 200 for i in range(1000))
                    result = self.inspect("verify", "--json")
                    self.assertEqual(result.code, 0, result)
                    self.assertTrue(result.document()["sound"], round_number)
                    self.assertEqual(len(program.read_sequences(1000)), 1000)
            finally:
                code, _ = program.finish()
            self.assertEqual(code, 0, program.log_tail())
        self.assertEqual(self.inspect("verify").code, 0)

    def test_progress_is_shown_on_a_terminal_and_leaves_no_trace(self):
        self.publish(3000)
        screen = inspector.Screen(
            ["sh", "-c", f"{process.program('spool-inspect')} --spool {self.spool} verify; sleep 99"],
            80,
            24,
        )
        self.addCleanup(screen.close)
        text = screen.wait_for("sound: 3000 waiting")
        self.assertEqual(len(text.strip().splitlines()), 1, text)


class SalvageTest(MendCase):
    def salvage(self, source, into, *more):
        return inspector.run("salvage", source, "--into", into, *more)

    def test_a_sound_spool_comes_through_whole(self):
        inspector.make_kept_spool(self.spool)
        before = tree(self.spool)
        saved = self.folder / "saved"
        result = self.salvage(self.spool, saved)
        self.assertEqual(result.code, 0, result)
        self.assert_golden("mend-salvage", result.output)
        self.assertEqual(tree(self.spool), before)
        self.assertEqual(inspector.run("verify", spool=saved).code, 0)
        self.assertEqual(self.payloads(saved), self.payloads(self.spool))

    def test_what_a_start_set_aside_is_saved_and_drained_with_its_old_ids(self):
        count = 500
        self.publish(count)
        wanted = self.payloads(self.spool)
        # A leaf's own number is wrong: the start finds it, or a later look does.
        size = (self.spool / "data.mdb").stat().st_size
        aside = self.spool / "damaged-20261121T081500Z"
        aside.mkdir()
        for name in ("data.mdb", "lock.mdb"):
            os.rename(self.spool / name, aside / name)
        flip(aside / "data.mdb", size // PAGE // 2 * PAGE + 16 * 8 + 7)
        result = inspector.run("salvage", aside, "--json")
        self.assertIn(result.code, (0, 1), result)
        document = result.document()
        saved = Path(f"{aside}-salvaged")
        self.assertEqual(document["into"], str(saved))
        self.assertGreaterEqual(document["waiting"] + document["damaged"], count - 20, result)
        self.assertTrue(set(self.payloads(saved)) <= set(wanted))
        with broker.EmbeddedBroker(self.folder, topics={"cdrs": 1}, record=True) as there:
            drained = forward.run(
                "--spool", saved, "--broker", f"[cdr]{there.bootstrap}/cdrs", "--drain", "--timeout", 60
            )
            self.assertEqual(drained.code, 0, drained)
            self.assertEqual(len(list(there.records())), document["waiting"])

    def test_an_owned_spool_and_a_full_folder_are_refused(self):
        program = self.publish(10, kills=False)
        try:
            result = self.salvage(self.spool, self.folder / "saved")
            self.assertEqual(result.code, 3, result)
            self.assertIn("in use by spool-forward", result.said)
        finally:
            program.kill9()
            program.popen.stdin.close()
            program.popen.stdout.close()
        result = self.salvage(self.spool, self.folder)
        self.assertEqual(result.code, 3, result)
        self.assertIn("not empty", result.said)

    def test_nothing_but_pages_is_left(self):
        self.publish(300)
        path = self.spool / "data.mdb"
        bytes_left = bytearray(path.read_bytes())
        bytes_left[: 2 * PAGE] = bytes(2 * PAGE)
        path.write_bytes(bytes_left)
        self.assertEqual(self.inspect("status").code, 3)
        result = self.salvage(self.spool, self.folder / "saved", "--json")
        self.assertEqual(result.code, 1, result)
        self.assertEqual(result.document()["waiting"], 300)


class CompactTest(MendCase):
    def lived(self):
        """A spool that was full of records which are gone."""
        with broker.EmbeddedBroker(self.folder, topics={"cdrs": 1}) as there:
            program = self.publish(20000, address=there.bootstrap, kills=False)
            self.assertEqual(program.finish()[0], 0, program.log_tail())
        self.publish(50)

    def test_it_gives_disk_back_and_keeps_what_is_there(self):
        self.lived()
        wanted = self.payloads(self.spool)
        before = (self.spool / "data.mdb").stat().st_size
        result = self.inspect("compact", "--json")
        self.assertEqual(result.code, 0, result)
        document = result.document()
        after = (self.spool / "data.mdb").stat().st_size
        self.assertEqual((document["before_bytes"], document["after_bytes"]), (before, after))
        self.assertLess(after, before)
        self.assertIn("of disk beside it", result.said)
        self.assertEqual(self.payloads(self.spool), wanted)
        self.assertEqual(self.inspect("verify").code, 0)
        # It goes on: sequences, too.
        self.publish(50)
        self.assertEqual(len(self.payloads(self.spool)), len(wanted) + 50)
        self.assertEqual(self.inspect("verify").code, 0)

    def test_a_spool_that_is_owned_or_damaged_stays_as_it_is(self):
        program = self.publish(10, kills=False)
        try:
            result = self.inspect("compact")
            self.assertEqual(result.code, 1, result)
            self.assertIn("in use by spool-forward", result.said)
        finally:
            program.kill9()
            program.popen.stdin.close()
            program.popen.stdout.close()
        path = self.spool / "data.mdb"
        before = path.read_bytes().replace(b"xxxx", b"xxXx")
        path.write_bytes(before)
        result = self.inspect("compact")
        self.assertEqual(result.code, 1, result)
        self.assertIn("nothing was changed", result.said)
        self.assertEqual((self.spool / "data.mdb").read_bytes(), before)

    def test_killed_at_any_moment_it_leaves_a_sound_spool(self):
        self.publish(4000)
        wanted = self.payloads(self.spool)
        sound = self.folder / "sound"
        shutil.copytree(self.spool, sound)
        took_s = time.monotonic()
        self.assertEqual(self.inspect("compact").code, 0)
        took_s = time.monotonic() - took_s
        dice = random.Random(11)
        ends = {"killed": 0, "done": 0}
        for _ in range(40):
            # What the last one left stays: the next one has to cope with it.
            shutil.copy(sound / "data.mdb", self.spool / "data.mdb")
            begin_s = time.monotonic()
            program = subprocess.Popen(
                [process.program("spool-inspect"), "--spool", str(self.spool), "compact"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                program.wait(dice.uniform(0.3, 1.05) * took_s)
                ends["done"] += 1
                # The first may have been slow, on a busy machine.
                took_s = min(took_s, time.monotonic() - begin_s)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
                ends["killed"] += 1
            result = self.inspect("verify")
            self.assertEqual(result.code, 0, result)
        self.assertGreater(ends["killed"], 5, ends)
        self.assertEqual(self.inspect("compact").code, 0)
        self.assertEqual(self.payloads(self.spool), wanted)
        self.assertFalse((self.spool / "compact.tmp").exists())


if __name__ == "__main__":
    unittest.main()
