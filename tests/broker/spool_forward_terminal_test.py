# SPDX-License-Identifier: GPL-2.0-or-later
"""What somebody sees who runs spool-forward in a terminal."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import process  # noqa: E402

COLUMNS = 60
CLEAR = "\r\x1b[K"


def read_all(terminal):
    """Everything until the program's end, which a terminal tells as an error."""
    output = b""
    while True:
        try:
            output += os.read(terminal, 4096)
        except OSError:
            return output.decode()


class TerminalTest(unittest.TestCase):
    def run_in_terminal(self, *arguments, text):
        with tempfile.TemporaryDirectory() as folder:
            terminal, side = pty.openpty()
            fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
            program = subprocess.Popen(
                [process.program("spool-forward"), "--spool", f"{folder}/spool", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=side,
            )
            os.close(side)
            program.stdin.write(text)
            program.stdin.close()
            output = read_all(terminal)
            os.close(terminal)
            return program.wait(), output

    def test_progress_is_one_line_that_stands_alone(self):
        # Nobody listens at port 1: there are log lines between those of progress.
        code, output = self.run_in_terminal(
            *["--broker", "[k1]127.0.0.1:1/t", "--publish", "k1", "--drain", "--timeout", "3"],
            *["--flush", "0"],
            text=b"a\nb\nc\n",
        )
        self.assertEqual(code, 4, output)
        lines = output.split("\r\n")
        progress = [part for line in lines for part in line.split(CLEAR)[:-1] if part]
        self.assertTrue(progress, output)
        for part in progress:
            self.assertRegex(part, r"^\d+ accepted, \d+ delivered, \d+ waiting, \w+")
            self.assertLess(len(part), COLUMNS)
        self.assertTrue(progress[-1].startswith("3 accepted, 0 delivered, 3 waiting"), progress)
        # What stays: lines of their own, and nothing after the last.
        for line in lines[:-1]:
            self.assertRegex(line.split(CLEAR)[-1], "^spool-forward: ")
        self.assertEqual(lines[-1].split(CLEAR)[-1], "")


if __name__ == "__main__":
    unittest.main()
