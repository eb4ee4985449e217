# SPDX-License-Identifier: GPL-2.0-or-later
"""spool-inspect as tests use it: run, its text compared with golden files, its JSON with schemas."""

import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import jsonschema

from harness import process

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/inspect/golden"
PATIENCE_S = 120

# A secret of the configuration: nothing that is printed may have it.
CANARY = "canary-7f3a9c-secret"

# What differs from run to run, and what stands for it in golden files. Columns keep their places
# only where the replacement is as wide: tables are compared without runs of spaces.
VOLATILE = [
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "TIME"),
    (r"\b(\d+d \d+h|\d+h \d+m|\d+m \d+s|\d+s|\d+ms)\b", "AGE"),
    (r"pid \d+", "pid PID"),
    (r"127\.0\.0\.1:\d+", "BROKER"),
    (r"\d+(\.\d+)? ms \((median|99 %)\)", r"MS ms (\2)"),
    (r"[\d.]+ (B|[KMGT]iB) free", "SIZE free"),
]


class Result:
    """What a run came to: exit code, standard output and error as text."""

    def __init__(self, code, output, said):
        self.code = code
        self.bytes = output
        self.output = output.decode(errors="replace")
        self.said = said.decode(errors="replace")

    def documents(self):
        """The lines as JSON, each held against the schema of its format."""
        documents = [json.loads(line) for line in self.output.splitlines()]
        for document in documents:
            validate(document)
        return documents

    def document(self):
        documents = self.documents()
        assert len(documents) == 1, self
        return documents[0]

    def __repr__(self):
        return f"exit {self.code}; output: {self.output}; said: {self.said}"


def schema_path(name):
    """docs/schema/status-1.json for spool-inspect/status/1."""
    words = name.split("/")
    assert words[0] == "spool-inspect" and len(words) == 3, name
    return ROOT / f"docs/schema/{words[1]}-{words[2]}.json"


@functools.lru_cache(None)
def validator(name):
    schema = json.loads(schema_path(name).read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def validate(document):
    validator(document["format"]).validate(document)


def run(*arguments, spool=None, **options):
    """Runs it. options: as subprocess.run()'s."""
    command = [process.program("spool-inspect")]
    if spool is not None:
        command += ["--spool", str(spool)]
    options.setdefault("stdin", subprocess.DEVNULL)
    result = subprocess.run(
        command + [str(each) for each in arguments],
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
        **options,
    )
    ran = Result(result.returncode, result.stdout, result.stderr)
    assert CANARY not in ran.output + ran.said, f"the secret is shown: {ran}"
    assert "Sanitizer" not in ran.said, ran.said
    return ran


def normalise(text, *more):
    """Without what differs from run to run. more: further (expression, replacement)."""
    for expression, replacement in [*more, *VOLATILE]:
        text = re.sub(expression, replacement, text)
    lines = [re.sub(r" {2,}", "  ", line).rstrip() for line in text.splitlines()]
    return "\n".join(lines) + "\n"


class InspectCase(unittest.TestCase):
    """A test with a folder of its own."""

    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.spool = self.folder / "spool"

    def inspect(self, *arguments, **options):
        return run(*arguments, spool=self.spool, **options)

    def assert_golden(self, name, text, *more):
        """Holds text against tests/inspect/golden/NAME.txt; with SPOOL_GOLDEN=write, writes it."""
        text = normalise(text, (re.escape(str(self.folder)), "FOLDER"), *more)
        path = GOLDEN / f"{name}.txt"
        if os.environ.get("SPOOL_GOLDEN") == "write":
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.assertEqual(text, path.read_text(encoding="utf-8"), name)


def make_kept_spool(folder):
    """A spool with everything in it that can be stored, as a program left it that was killed."""
    made = subprocess.run(
        [process.program("make-spool"), str(folder)], capture_output=True, check=False
    )
    assert made.returncode == -9, made


class Screen:
    """A terminal of that size, as a person sees it."""

    def __init__(self, command, width, height, environment=None):
        self.socket = tempfile.mkdtemp()
        words = ["env"] + [f"{name}={value}" for name, value in (environment or {}).items()]
        size = ["-x", str(width), "-y", str(height)]
        self.tmux("-f", "/dev/null", "new-session", "-d", *size, *words, *map(str, command))
        self.tmux("set-option", "-g", "remain-on-exit", "on")

    def tmux(self, *words):
        made = subprocess.run(
            ["tmux", "-S", f"{self.socket}/s", "-u", *words],
            capture_output=True,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8", "TERM": "screen-256color"},
        )
        assert made.returncode == 0, made
        return made.stdout.decode()

    def text(self):
        return self.tmux("capture-pane", "-p")

    def wait_for(self, text):
        return process.wait_until(
            lambda: self.text() if text in self.text() else None, PATIENCE_S, f"it shows {text!r}"
        )

    def press(self, key):
        self.tmux("send-keys", key)

    def resize(self, width, height):
        self.tmux("resize-window", "-x", str(width), "-y", str(height))

    def is_dead(self):
        return self.tmux("list-panes", "-F", "#{pane_dead}").strip() == "1"

    def close(self):
        subprocess.run(
            ["tmux", "-S", f"{self.socket}/s", "kill-server"], capture_output=True, check=False
        )
        shutil.rmtree(self.socket)
