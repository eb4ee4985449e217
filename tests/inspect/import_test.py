# SPDX-License-Identifier: GPL-2.0-or-later
"""export and import: nothing is lost on the way, whatever breaks an import off."""

import base64
import json
import os
import random
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import acting, forward, inspector, process  # noqa: E402

UUID = "0188cf3a-0000-7000-8000-00000000000%d"
RECORDS_COUNT = 3000


def any_bytes(draw, most):
    """Bytes as the lines have them: under which name, and as what."""
    size = draw.randrange(most)
    if draw.random() < 0.5:
        letters = "aZ09 \"\\/\n\r\t\x01\x7f\u00e4\u20ac\U0001f600"
        return "", "".join(draw.choice(letters) for _ in range(size))
    raw = b"\xff" + draw.randbytes(size)
    return "_base64", base64.b64encode(raw).decode()


def with_bytes(document, name, value):
    document[name + value[0]] = value[1]


def any_line(draw, sequence):
    """A line as an export of some spool could have it."""
    place = draw.choice(["queue", "queue", "queue", "dead", "reports"])
    document = {
        "format": "spool-inspect/export/1",
        "place": place,
        "destination": draw.choice(["[k1]t", "[k2]u", "broker:9092/plain"]),
        "address": "broker:9092/plain",
        "spool_id": f"{UUID % draw.randrange(10)}:{draw.randrange(1, 2**63)}",
        "sequence": sequence,
    }
    if place != "queue":
        document.update(reason=draw.choice(["dead", "expired"]), error=draw.randrange(-200, 100))
        document.update(attempts=draw.randrange(2**32), settled_ms=draw.randrange(2**41))
    if place == "dead":
        document["first_attempt_ms"] = draw.choice([None, draw.randrange(1, 2**41)])
    elif place == "reports":
        document.update(partition=draw.randrange(-1, 100), offset=draw.randrange(-1, 2**62))
        document["payload_left_out"] = draw.random() < 0.5
    if place == "dead" and draw.random() < 0.1:
        # What no program could decode. As it is: it has no spool-id of its own.
        document["reason"] = "corrupt"
        document["stored_base64"] = "/w" + "AA" * 20 + "=="
        document["spool_id"] = None
        return document
    document["published_ms"] = draw.randrange(2**41)
    document["expires_ms"] = draw.choice([None, draw.randrange(1, 2**62)])
    with_bytes(document, "key", draw.choice([("", None), any_bytes(draw, 20)]))
    document["headers"] = []
    for _ in range(draw.randrange(4)):
        header = {}
        with_bytes(header, "name", any_bytes(draw, 10))
        with_bytes(header, "value", draw.choice([("", None), any_bytes(draw, 30)]))
        document["headers"].append(header)
    with_bytes(document, "payload", any_bytes(draw, draw.choice([20, 200, 6000])))
    route = draw.choice([None, "cdr_report"]) if place != "reports" else "cdr_report"
    document["report_route"] = route
    return document


def comparable(documents):
    """What must be the same in another spool: everything but the sequences there, and addresses
    of destinations that the spool knows better."""
    kept = []
    for each in documents:
        each = dict(each)
        del each["sequence"], each["address"]
        if "stored_base64" in each:
            del each["spool_id"]
        kept.append(json.dumps(each, sort_keys=True))
    return sorted(kept)


class ImportCase(acting.ActCase):
    def make_spool(self, name):
        """An empty spool with one destination."""
        path = self.folder / name
        result = forward.run(
            *["--spool", path, "--broker", self.dead_address("k1"), "--drain"],
        )
        self.assertEqual(result.code, 0, result)
        return path

    def write(self, documents, name="lines.jsonl"):
        path = self.folder / name
        text = "".join(json.dumps(each) + "\n" for each in documents)
        path.write_text(text, encoding="utf-8")
        return path


class LosslessTest(ImportCase):
    def test_random_records_go_there_and_back(self):
        seed = int(os.environ.get("SPOOL_SEED", "20261125"))
        draw = random.Random(seed)
        documents = [any_line(draw, number) for number in range(1, RECORDS_COUNT + 1)]
        for each in documents:
            each["spool_id"] = each["spool_id"] or f"{UUID % 0}:1"
            inspector.validate(each)
        self.spool = self.make_spool("first")
        answer = self.document("import", self.write(documents))
        self.assertEqual(answer["records"], RECORDS_COUNT, f"SPOOL_SEED={seed}")
        self.assert_sound()
        first = self.export()
        self.assertEqual(comparable(first), comparable(documents), f"SPOOL_SEED={seed}")
        # And on into another, through a pipe.
        second = self.make_spool("second")
        text = self.do("export").output.encode()
        self.do("import", "-", spool=second, stdin=None, input=text)
        self.assertEqual(comparable(self.export(spool=second)), comparable(first))

    def test_a_spool_of_an_earlier_version(self):
        self.old_spool()
        before = self.export()
        self.assertEqual(len(before), 13)
        other = self.make_spool("other")
        answer = self.document("import", self.write(before), spool=other)
        self.assertEqual((answer["queue"], answer["dead"], answer["reports"]), (6, 3, 4))
        self.assertEqual(comparable(self.export(spool=other)), comparable(before))
        self.do("verify", spool=other)

    def test_filters_choose_what_is_exported(self):
        self.old_spool()
        self.assertEqual(len(self.export("--place", "reports", "--destination", "2")), 3)
        self.assertEqual([each["sequence"] for each in self.export("--from", "9")], [9, 10, 11])
        self.assertEqual(
            [each["place"] for each in self.export("--key", "call-2")],
            ["dead"] * 2 + ["reports"] * 4,
        )

    def test_export_of_a_spool_into_itself_ends(self):
        self.old_spool()
        text = self.do("export").output.encode()
        command = [process.program("spool-inspect"), "--spool", self.spool]
        with subprocess.Popen([*command, "export"], stdout=subprocess.PIPE) as exporting:
            result = inspector.run("import", "-", spool=self.spool, stdin=exporting.stdout)
            exporting.stdout.close()
        self.assertEqual((result.code, exporting.returncode), (0, 0), result)
        self.assertEqual(len(self.export()), 2 * len(text.splitlines()))
        self.assert_sound()


class DeliveryTest(ImportCase):
    def test_imported_records_are_delivered_with_their_old_ids(self):
        """By a pipeline that runs already, in their order, behind what it had."""
        embedded = self.start_broker()
        self.killed_spool(acting.lines(500))
        old = self.export()
        self.spool = self.folder / "new"
        program = self.start_forward(
            *["--broker", self.address(embedded), "--publish", "k1", "--ack"]
        )
        program.write([b"mine"])
        self.wait_written(embedded, 1)
        answer = self.document("import", self.write(old))
        self.assertEqual(answer["records"], 500)
        self.wait_written(embedded, 501)
        found = [(each.spool_id, each.timestamp_ms) for each in embedded.records()]
        wanted = [(each["spool_id"], each["published_ms"]) for each in old]
        self.assertEqual(found[1:], wanted)

    def test_an_unknown_destination_is_made_and_flows_when_it_is_configured(self):
        embedded = self.start_broker()
        self.killed_spool(acting.lines(5), identity="k9")
        old = self.export()
        self.spool = self.make_spool("new")
        owner = self.start_forward("--broker", self.dead_address("k1"))
        process.wait_until(
            lambda: "spool-forward" in self.inspect("status").output, acting.PATIENCE_S, "it runs"
        )
        self.do("import", self.write(old))
        # The owner knows nothing of it, and gives its number to nobody.
        owner.terminate()
        result = forward.run(
            *["--spool", self.spool, "--broker", self.address(embedded, "k5", "u")],
            *["--broker", self.address(embedded, "k9"), "--broker", self.dead_address("k1")],
            *["--drain"],
        )
        self.assertEqual(result.code, 0, result)
        self.assertEqual([record.topic for record in embedded.records()], ["t"] * 5)

    def test_into_one_destination(self):
        self.old_spool()
        old = self.export("--place", "queue")
        self.spool = self.make_spool("new")
        self.do("import", self.write(old), "--into", "k1")
        self.assertEqual({each["destination"] for each in self.export()}, {"[k1]t"})


class BrokenOffTest(ImportCase):
    def setUp(self):
        super().setUp()
        self.killed_spool(acting.lines(9000))
        text = self.do("export").output
        self.path = self.folder / "lines.jsonl"
        self.path.write_text(text, encoding="utf-8")
        self.wanted = [json.loads(line)["spool_id"] for line in text.splitlines()]
        self.spool = self.make_spool("new")

    def ids(self):
        result = self.do("export")
        return [json.loads(line)["spool_id"] for line in result.output.splitlines()]

    def test_a_killed_import_goes_on_without_a_record_twice(self):
        kills = 0
        for _ in range(4):
            done = sum(each["records"] for each in self.audit())
            program = process.Program(
                [process.program("spool-inspect"), "--spool", self.spool, "import", self.path],
                self.folder / "inspect.log",
                stdout=subprocess.DEVNULL,
            )

            def has_begun():
                now = sum(each["records"] for each in self.audit())
                return not program.is_alive() or now > done

            process.wait_until(has_begun, acting.PATIENCE_S, "it has begun")
            kills += program.kill9() == -9
            self.assertEqual(self.ids(), self.wanted[: len(self.ids())])
        self.assertGreater(kills, 0)
        answer = self.document("import", self.path)
        self.assertEqual(answer["lines_before"] + answer["records"], 9000)
        self.assertEqual(self.ids(), self.wanted)
        self.assert_sound()
        self.assertEqual(self.document("import", self.path)["records"], 0)
        self.assertEqual(self.document("import", self.path, "--again")["records"], 9000)

    def test_another_file_that_begins_differently_is_imported_in_full(self):
        self.do("import", self.path)
        lines = self.path.read_text("utf-8").splitlines(keepends=True)
        other = self.folder / "other.jsonl"
        other.write_text("".join(lines[1:4]), encoding="utf-8")
        self.assertEqual(self.document("import", other)["records"], 3)

    def test_a_full_spool_takes_what_fits_and_goes_on_later(self):
        small = self.folder / "small"
        result = forward.run(
            *["--spool", small, "--broker", self.dead_address(), "--max-bytes", "1M", "--drain"]
        )
        self.assertEqual(result.code, 0, result)
        self.spool = small
        result = self.do("import", self.path, "--json", code=1)
        self.assertIn("full", result.said)
        answer = result.documents()[0]
        self.assertFalse(answer["whole"])
        self.assertEqual(self.ids(), self.wanted[: answer["lines_done"]])
        self.do("drop", "--all", "--yes")
        self.document("import", self.path)
        self.assertEqual(self.ids(), self.wanted[answer["lines_done"] :])
        self.assert_sound()


class BadLineTest(ImportCase):
    def setUp(self):
        super().setUp()
        self.old_spool()
        self.good = self.do("export").output.splitlines(keepends=True)
        self.spool = self.make_spool("new")

    def bad_file(self, line):
        path = self.folder / "bad.jsonl"
        path.write_text("".join([*self.good[:3], line, *self.good[3:]]), encoding="utf-8")
        return path

    def test_of_a_file_nothing_is_imported(self):
        for line, said in [
            ("no json\n", "line 4: no JSON"),
            ("\n", "line 4: no JSON"),
            (self.good[3][:100] + "\n", "line 4: no JSON"),
            (self.good[3].replace("export/1", "export/2"), 'line 4: "format"'),
            (self.good[3].replace('"queue"', '"elsewhere"'), 'line 4: "place"'),
        ]:
            result = self.do("import", self.bad_file(line), code=1)
            self.assertIn(said, result.said)
            self.assertIn("nothing was imported", result.said)
        self.assertEqual(self.export(), [])
        self.assertEqual(self.audit(), [])

    def test_of_a_pipe_the_lines_in_front_are_imported(self):
        text = self.bad_file("no json\n").read_bytes()
        result = self.do("import", "-", code=1, stdin=None, input=text)
        self.assertIn("line 4", result.said)
        self.assertIn("lines 1 to 3 of standard input are in the spool", result.said)
        self.assertEqual(len(self.export()), 3)

    def test_an_endless_line_is_refused_with_bounded_memory(self):
        path = self.folder / "zeros"
        with open(path, "wb") as file:
            file.truncate(200 << 20)
        result = self.do("import", path, code=1)
        self.assertIn("line 1: longer than the line of any record", result.said)

    def test_what_cannot_be_read_is_said(self):
        for path, said in [
            (self.folder / "nowhere", "No such file"),
            (self.folder, "a folder"),
        ]:
            self.assertIn(said, self.do("import", path, code=2).said)
        self.assertIn("which FILE", self.do("import", code=2).said)
        self.do("import", self.bad_file("\n"), "--into", "nobody", code=2)
        (self.folder / "empty").touch()
        self.assertEqual(self.document("import", self.folder / "empty")["records"], 0)


if __name__ == "__main__":
    unittest.main()
