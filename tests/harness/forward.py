# SPDX-License-Identifier: GPL-2.0-or-later
"""spool-forward as tests use it: run to its end, or started and talked to."""

import json
import subprocess

from harness import process

# For a run that is to end by itself: only a hung program takes so long.
PATIENCE_S = 120


class Result:
    """What a run came to. said: its standard error, as text."""

    def __init__(self, code, output, said):
        self.code = code
        self.output = output
        self.said = said.decode(errors="replace")

    def sequences(self):
        return [int(line) for line in self.output.splitlines() if not line.startswith(b"{")]

    def statistics(self):
        return json.loads(self.output.splitlines()[-1])

    def __repr__(self):
        return f"exit {self.code}; said: {self.said}"


def run(*arguments, lines=None, text=None, **options):
    """Runs it with these lines (or this text) on standard input."""
    if text is None:
        text = b"".join(line + b"\n" for line in lines or [])
    result = subprocess.run(
        [process.program("spool-forward"), *map(str, arguments)],
        input=text,
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        timeout=PATIENCE_S,
        check=False,
        **options,
    )
    return Result(result.returncode, result.stdout or b"", result.stderr)


class Started(process.Program):
    """A run that goes on. Its standard error goes to the log."""

    def __init__(self, log_path, *arguments, **options):
        options.setdefault("stdin", subprocess.PIPE)
        options.setdefault("stdout", subprocess.PIPE)
        super().__init__([process.program("spool-forward"), *arguments], log_path, **options)

    def write(self, lines):
        self.popen.stdin.write(b"".join(line + b"\n" for line in lines))
        self.popen.stdin.flush()

    def read_sequences(self, count):
        """So many acknowledgements; fewer when it ends before."""
        sequences = []
        while len(sequences) < count:
            line = self.popen.stdout.readline()
            if not line.endswith(b"\n"):
                break
            sequences.append(int(line))
        return sequences

    def has_said(self, text):
        return text in self.log_path.read_text(encoding="utf-8", errors="replace")

    def wait_said(self, text):
        process.wait_until(lambda: self.has_said(text), PATIENCE_S, f"it says {text!r}")

    def finish(self):
        """Waits for its end. Returns its exit code and the rest of its output."""
        if not self.popen.stdin.closed:
            try:
                self.popen.stdin.close()
            except BrokenPipeError:
                pass
        output = self.popen.stdout.read()
        self.popen.stdout.close()
        return self.popen.wait(PATIENCE_S), output
