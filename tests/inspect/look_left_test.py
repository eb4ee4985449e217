# SPDX-License-Identifier: GPL-2.0-or-later
"""spool-inspect's looking commands on a spool that a killed program left, and where there is none."""

import fcntl
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import inspector, process  # noqa: E402

NOBODY = 65534
# Escape, bell, C1, and what turns the direction of writing: none may reach a terminal.
CONTROLS = [chr(code) for code in [*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x2066, 0xFEFF]]
for kept in "\n\t":
    CONTROLS.remove(kept)


def tree(folder):
    """Each file's content and owner, but for the locks of readers, which looking has to take."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        status = path.stat()
        content = b"" if path.name == "lock.mdb" or path.is_dir() else path.read_bytes()
        found[str(path)] = (status.st_uid, status.st_gid, status.st_mode, content)
    return found


class LeftTest(inspector.InspectCase):
    def setUp(self):
        super().setUp()
        inspector.make_kept_spool(self.spool)

    def test_text_is_as_people_saw_it_last(self):
        for name, arguments, code in [
            ("left-status", [], 1),
            ("left-ls", ["ls"], 0),
            ("left-ls-filtered", ["ls", "--destination", "cdr", "--contains", "only a"], 0),
            ("left-dead-ls", ["dead", "ls"], 0),
            ("left-show", ["show", "6", "7", "8", "10", "11"], 0),
            ("left-show-text", ["show", "11", "--as", "text"], 0),
            ("left-show-hex", ["show", "6", "--as", "hex"], 0),
            ("left-dead-show", ["dead", "show", "1", "2", "3"], 0),
            ("left-metrics", ["metrics"], 0),
        ]:
            with self.subTest(name):
                result = self.inspect(*arguments)
                self.assertEqual(result.code, code, result)
                self.assertEqual(result.said, "")
                # Figures that follow from the disk, or from the time that has passed since.
                self.assert_golden(
                    name,
                    result.output,
                    (r"(disk_free_bytes|oldest_age_seconds.*?|claimed_bytes) [\d.e+]+", r"\1 N"),
                )

    def test_what_is_no_text_is_shown_as_hex(self):
        lines = self.inspect("show", "9").output.splitlines()
        self.assertEqual(
            lines[8],
            "00000000  00 00 00 01 02 03 04 06 08 0a 0c 0f 12 15 18 1c  ................",
        )
        self.assertEqual(len(lines), 8 + -(-9000 // 16))

    def test_help_names_every_command_and_each_has_examples(self):
        said = inspector.run("--help")
        self.assertEqual(said.code, 0)
        commands = said.output.split("Commands")[1].split("Examples")[0].splitlines()[1:]
        names = [line[2:17].strip() for line in commands if line.strip()]
        self.assertIn("dead show", names)
        for name in names:
            with self.subTest(name):
                helped = inspector.run(*name.split(), "--help")
                self.assertEqual(helped.code, 0, helped)
                self.assertRegex(helped.output, r"\nExamples?:\n  spool-inspect")
                self.assertIn(f"Usage: spool-inspect {name}", helped.output)

    def test_no_control_character_is_printed(self):
        for arguments in [["ls"], ["show", "9", "11"], ["show", "9", "--as", "text"]]:
            output = self.inspect(*arguments).output
            self.assertEqual([each for each in CONTROLS if each in output], [], arguments)
        document = self.inspect("show", "11", "--json")
        self.assertEqual([each for each in CONTROLS if each in document.output], [])
        self.assertEqual(document.document()["payload"], "\x1b[31mescape\x07\t\r\n")

    def test_json_keeps_its_schema_and_every_byte(self):
        status = self.inspect("--json")
        self.assertEqual(status.code, 1)
        self.assertEqual(status.document()["counters"]["queue_records"], 6)
        lines = self.inspect("ls", "--json").documents()
        self.assertEqual([line["sequence"] for line in lines], [6, 7, 9, 8, 10, 11])
        dead = self.inspect("dead", "ls", "--json").documents()
        self.assertEqual([line["reason"] for line in dead], ["dead", "corrupt", "expired"])
        self.assertEqual(dead[0]["error_name"], "MSG_SIZE_TOO_LARGE")
        shown = self.inspect("show", "6", "9", "--json").documents()
        headers = [(each.get("name"), each.get("value")) for each in shown[0]["headers"]]
        self.assertEqual(headers[0], ("origin", "edge-1"))
        self.assertEqual(headers[1], ("null", None))
        self.assertEqual(shown[0]["headers"][3]["value_base64"], "AP/+gA==")
        raw = self.inspect("show", "9", "--as", "raw").bytes
        self.assertEqual(len(raw), shown[1]["payload_bytes"])
        corrupt = self.inspect("dead", "show", "2", "--json").document()
        self.assertFalse(corrupt["readable"])
        self.assertEqual(self.inspect("watch", "--help").code, 0)

    def test_filters(self):
        def sequences(*arguments):
            result = self.inspect("ls", "--json", *arguments)
            self.assertEqual(result.code, 0, result)
            return [line["sequence"] for line in result.documents()]

        self.assertEqual(sequences("--from", "7", "--to", "9"), [7, 9, 8])
        self.assertEqual(sequences("--destination", "2", "--from", "9"), [10, 11])
        self.assertEqual(sequences("--key", "call-1"), [6])
        self.assertEqual(sequences("--key", ""), [8])
        self.assertEqual(sequences("--larger-than", "8K"), [9])
        self.assertEqual(sequences("--smaller-than", "52"), [10])
        self.assertEqual(sequences("--contains", "alice"), [6])
        self.assertEqual(sequences("--newer-than", "1h"), [])
        self.assertEqual(len(sequences("--older-than", "52w")), 6)
        limited = self.inspect("ls", "--json", "--limit", "1", "--destination", "cdr")
        self.assertEqual([line["sequence"] for line in limited.documents()], [6])
        self.assertIn("--from 7", limited.said)

    def test_what_is_typed_wrong_is_a_usage_error(self):
        for arguments in [
            ["nope"],
            ["dead"],
            ["dead", "nope"],
            ["status", "--max-age", "soon"],
            ["status", "--max-depth", "0"],
            ["ls", "--older-than", "-3s"],
            ["ls", "--from", "x"],
            ["ls", "--destination", "unknown"],
            ["ls", "extra"],
            ["show"],
            ["show", "6", "--as", "picture"],
            ["show", "six"],
            ["metrics", "--output", "x", "--json"],
            ["watch", "--interval", "1ms"],
            ["watch"],
        ]:
            result = self.inspect(*arguments)
            self.assertEqual(result.code, 2, (arguments, result))
            self.assertIn("spool-inspect", result.said)

    def test_what_is_gone_is_said(self):
        result = self.inspect("show", "6", "999")
        self.assertEqual(result.code, 1)
        self.assertIn("999", result.said)
        self.assertIn("call-1", result.output)

    def test_checks_with_limits(self):
        # Nobody owns it: that stays a reason, whatever the limits are.
        self.assertEqual(self.inspect("status", "--max-depth", "1000").code, 1)
        result = self.inspect("status", "--max-age", "1d", "--max-depth", "2", "--json")
        reasons = " ".join(each["text"] for each in result.document()["reasons"])
        self.assertIn("(limit 1d 0h)", reasons)
        self.assertIn("3 records wait (limit 2)", reasons)

    def test_looking_changes_nothing(self):
        before = tree(self.spool)
        for arguments in [[], ["ls"], ["show", "6"], ["dead", "ls"], ["metrics"]]:
            self.inspect(*arguments)
        self.assertEqual(tree(self.spool), before)

    def test_a_full_standard_output_is_said(self):
        with open("/dev/full", "wb") as full:
            result = subprocess.run(
                [process.program("spool-inspect"), "--spool", str(self.spool), "ls"],
                stdout=full,
                stderr=subprocess.PIPE,
                check=False,
            )
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(b"No space left", result.stderr)

    def test_metrics_replaces_its_file_as_a_whole(self):
        output = self.folder / "spool.prom"
        output.write_text("old", encoding="ascii")
        result = self.inspect("metrics", "--output", output)
        self.assertEqual(result.code, 0, result)
        text = output.read_text(encoding="utf-8")
        self.assertIn('kafka_spool_queue_records{destination="[cdr]cdrs"} 3\n', text)
        self.assertEqual([each.name for each in self.folder.iterdir()].count("spool.prom"), 1)
        self.assertEqual(list(self.folder.glob("*.tmp")), [])
        self.assertEqual(output.stat().st_mode & 0o777, 0o644 & ~os.umask(os.umask(0)) & 0o777)
        shutil.rmtree(self.spool)
        result = self.inspect("metrics", "--output", output)
        self.assertEqual(result.code, 3)
        self.assertTrue(output.read_text(encoding="utf-8").endswith("kafka_spool_up 0\n"))
        result = self.inspect("metrics", "--output", self.folder / "none/x.prom")
        self.assertEqual(result.code, 1)
        self.assertIn("No such file", result.said)

    def test_metrics_is_prometheus_format_and_documented(self):
        documented = (inspector.ROOT / "docs/metrics.md").read_text(encoding="utf-8")
        names = set()
        for line in self.inspect("metrics").output.splitlines():
            if line.startswith("# TYPE "):
                names.add(line.split()[2])
            elif not line.startswith("# HELP "):
                self.assertRegex(line, r'^kafka_spool_\w+(\{\w+="[^"\\]*"\})? [0-9.e+-]+$')
                self.assertIn(line.split("{")[0].split(" ")[0], names)
        for name in names:
            self.assertIn(f"`{name}`", documented)


class TerminalTest(inspector.InspectCase):
    """On a terminal of 80 columns: what a pipe does not see."""

    def setUp(self):
        super().setUp()
        inspector.make_kept_spool(self.spool)

    def in_terminal(self, *arguments, **environment):
        terminal, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = {"LC_ALL": "C.UTF-8", "TERM": "xterm", **environment}
        program = subprocess.Popen(
            [process.program("spool-inspect"), "--spool", str(self.spool), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=side,
            stderr=side,
            env={**os.environ, "NO_COLOR": "", **environment},
        )
        os.close(side)
        output = b""
        while True:
            try:
                output += os.read(terminal, 4096)
            except OSError:  # a terminal tells the program's end as an error
                break
        os.close(terminal)
        return program.wait(), output.decode().replace("\r\n", "\n")

    def test_colour_is_for_terminals_that_want_it(self):
        code, output = self.in_terminal("status")
        self.assertEqual(code, 1)
        self.assertTrue(output.startswith("\x1b[1;31mneeds attention\x1b[0m\n"), output)
        self.assertNotIn("\x1b", self.in_terminal("status", NO_COLOR="1")[1])
        self.assertNotIn("\x1b", self.in_terminal("status", TERM="dumb")[1])
        self.assertNotIn("\x1b", self.inspect("status").output)

    def test_lists_fit_its_width_and_nothing_controls_it(self):
        code, output = self.in_terminal("ls")
        self.assertEqual(code, 0)
        lines = output.splitlines()
        self.assertEqual(len(lines), 7, output)
        self.assertLessEqual(max(map(len, lines)), 80, output)
        for arguments in [["ls"], ["show", "9", "11"], ["dead", "show", "1"]]:
            self.assertNotIn("\x1b", self.in_terminal(*arguments)[1])

    def test_raw_is_not_for_terminals(self):
        code, output = self.in_terminal("show", "11", "--as", "raw")
        self.assertEqual(code, 2)
        self.assertNotIn("\x1b", output)
        self.assertEqual(self.inspect("show", "11", "--as", "raw").bytes[:5], b"\x1b[31m")


class NoSpoolTest(inspector.InspectCase):
    def assert_refused(self, what, *arguments):
        for command in [["status"], ["ls"], ["show", "1"], ["dead", "ls"], ["metrics"]]:
            result = self.inspect(*command, *arguments)
            self.assertEqual(result.code, 3, (command, result))
            self.assertIn(what, result.said)
            self.assertEqual(len(result.said.splitlines()), 1, result)

    def test_no_folder(self):
        self.assert_refused("No such file or directory")
        self.assertFalse(self.spool.exists())

    def test_an_empty_folder_stays_empty(self):
        self.spool.mkdir()
        self.assert_refused("there is no spool in this folder")
        self.assertEqual(list(self.spool.iterdir()), [])

    def test_files_of_others(self):
        self.spool.mkdir()
        data = self.spool / "data.mdb"
        for content in [b"", b"somebody's text\n", bytes(100000)]:
            data.write_bytes(content)
            self.assert_refused("data.mdb")
            self.assertEqual(data.read_bytes(), content)
            self.assertEqual(list(self.spool.iterdir()), [data])
        data.unlink()
        data.mkdir()
        self.assert_refused("not a regular file")
        data.rmdir()
        os.mkfifo(data)
        self.assert_refused("not a regular file")
        data.unlink()
        data.symlink_to("/dev/zero")
        self.assert_refused("not a regular file")

    def test_a_file_instead_of_a_folder(self):
        self.spool.write_text("x", encoding="ascii")
        self.assert_refused("Not a directory")

    def test_a_newer_format_is_said(self):
        inspector.make_kept_spool(self.spool)
        # "format" is a u32 right behind its key, in the leaf of meta that is in use, and in older
        # copies of it.
        data = self.spool / "data.mdb"
        content = data.read_bytes()
        self.assertIn(b"format\x01\x00\x00\x00", content)
        data.write_bytes(content.replace(b"format\x01\x00\x00\x00", b"format\x02\x00\x00\x00"))
        self.assert_refused("use a newer version")

    @unittest.skipUnless(os.geteuid() == 0, "not here: only root can be somebody else")
    def test_no_permission(self):
        inspector.make_kept_spool(self.spool)
        self.folder.chmod(0o755)
        for path in self.spool.iterdir():
            path.chmod(0o600)
        result = self.inspect("status", user=NOBODY, group=NOBODY, extra_groups=[])
        self.assertEqual(result.code, 3, result)
        self.spool.chmod(0o755)
        result = self.inspect("status", user=NOBODY, group=NOBODY, extra_groups=[])
        self.assertEqual(result.code, 3, result)
        self.assertIn("belongs to user id 0", result.said)

    @unittest.skipUnless(os.geteuid() == 0, "not here: only root can become somebody else")
    def test_root_becomes_the_folders_owner(self):
        inspector.make_kept_spool(self.spool)
        self.folder.chmod(0o755)
        for path in [self.spool, *self.spool.iterdir()]:
            os.chown(path, NOBODY, NOBODY)
        # It has to be made anew: by whom?
        (self.spool / "lock.mdb").unlink()
        self.assertEqual(self.inspect("ls").code, 0)
        for path in self.spool.iterdir():
            status = path.stat()
            self.assertEqual((status.st_uid, status.st_gid), (NOBODY, NOBODY), path)
            self.assertEqual(status.st_mode & 0o007, 0, path)
        # The collector's folder is root's: the file is written there all the same.
        output = self.folder / "root.prom"
        self.assertEqual(self.inspect("metrics", "--output", output).code, 0)
        self.assertIn("kafka_spool_up 1\n", output.read_text(encoding="utf-8"))
        self.assertEqual(output.stat().st_uid, 0)


class EarlierFormatTest(inspector.InspectCase):
    def test_spools_of_every_earlier_format_are_read(self):
        kept = sorted((inspector.ROOT / "tests/format").glob("*.tar.xz"))
        self.assertGreater(len(kept), 0)
        for archive in kept:
            with self.subTest(archive.name):
                shutil.unpack_archive(archive, self.folder / archive.name)
                spool = self.folder / archive.name / "spool"
                status = inspector.run("status", "--json", spool=spool).document()
                self.assertGreater(status["counters"]["queue_records"], 0)
                lines = inspector.run("ls", "--json", "--limit", "0", spool=spool).documents()
                self.assertEqual(len(lines), status["counters"]["queue_records"])
                dead = inspector.run("dead", "ls", "--json", spool=spool).documents()
                self.assertEqual(len(dead), status["counters"]["dead_records"])


if __name__ == "__main__":
    unittest.main()
