# SPDX-License-Identifier: GPL-2.0-or-later
"""What bash offers behind spool-inspect, and what is installed."""

import os
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import inspector, process  # noqa: E402

SCRIPT = inspector.ROOT / "tools/spool-inspect.bash"


class CompletionTest(inspector.InspectCase):
    def complete(self, *words):
        """What is offered for the last of the words."""
        folder = Path(process.program("spool-inspect")).resolve().parent
        result = subprocess.run(
            [
                "bash",
                "-c",
                f'source {SCRIPT}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _spool_inspect; '
                'printf "%s\\n" "${COMPREPLY[@]}"',
                "bash",
                "spool-inspect",
                *map(str, words),
            ],
            env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(result.stderr, "")
        return result.stdout.split()

    def test_commands(self):
        self.assertEqual(self.complete("sta"), ["status"])
        self.assertIn("metrics", self.complete(""))
        self.assertEqual(self.complete("dead"), ["dead"])
        self.assertEqual(self.complete("--spool", "x", "dead", "sh"), ["show"])

    def test_options(self):
        self.assertEqual(self.complete("status", "--max-d"), ["--max-depth"])
        self.assertEqual(self.complete("dead", "ls", "--older"), ["--older-than"])
        self.assertIn("--spool", self.complete("--"))
        self.assertIn("--help", self.complete("ls", "--"))
        self.assertEqual(self.complete("show", "--as", "r"), ["raw"])

    def test_destinations_folders_and_files(self):
        inspector.make_kept_spool(self.spool)
        words = ["--spool", self.spool]
        # The second has no ID: it goes by its number.
        self.assertEqual(self.complete(*words, "pause", ""), ["cdr", "2"])
        self.assertEqual(self.complete(*words, "ls", "--destination", "c"), ["cdr"])
        self.assertEqual(self.complete("ls", "--spool", "spo"), ["spool"])
        (self.folder / "given.jsonl").touch()
        self.assertEqual(self.complete("import", "giv"), ["given.jsonl"])

    def test_where_no_spool_is_nothing_is_offered(self):
        self.assertEqual(self.complete("--spool", self.spool, "pause", ""), [])


class InstallTest(inspector.InspectCase):
    def test_program_and_completion_are_installed(self):
        result = subprocess.run(
            ["cmake", "--install", os.environ["SPOOL_BUILD_DIR"], "--prefix", str(self.folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(result.returncode, 0, result)
        self.assertTrue(os.access(self.folder / "bin/spool-inspect", os.X_OK))
        completion = self.folder / "share/bash-completion/completions/spool-inspect"
        self.assertEqual(completion.read_bytes(), SCRIPT.read_bytes())


class ManPageTest(unittest.TestCase):
    def test_every_command_and_exit_code_is_in_the_man_page(self):
        page = (inspector.ROOT / "docs/man/spool-inspect.1.scd").read_text(encoding="utf-8")
        commands = inspector.run("--help").output.split("Commands")[1].split("Examples")[0]
        for line in commands.splitlines()[1:]:
            name = line[2:17].strip()
            if name:
                self.assertIn(f"*{name}*", page.replace("] ", "*"), name)


if __name__ == "__main__":
    unittest.main()
