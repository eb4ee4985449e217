# SPDX-License-Identifier: GPL-2.0-or-later
"""
Where the documents' shell blocks run: a folder that has what the reader's host would have. A block
runs word for word, but for hosts and absolute paths, which become the test's own.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from harness import broker, forward, inspector, process

PATIENCE_S = 120

# The reader's folders that become the test's own.
FOLDERS = ("/var/spool/", "/var/lib/", "/mnt/", "/usr/lib/x86_64-linux-gnu/")
SPOOL = "/var/spool/opensips/kafka"

# A client that finds a broker soon.
QUICK = "g.reconnect.backoff.ms=20&g.reconnect.backoff.max.ms=100"
NOBODY = "127.0.0.1:1"

# What a command may end with, beside 0: spool-inspect says by 1 that somebody has to look.
MAY_FAIL = re.compile(r"1 (\S*/)?spool-inspect( --spool \S+)?( status\b.*| salvage\b.*| --json)?$")

SCRIPT = """\
set -o pipefail
trap 'echo "$? $BASH_COMMAND" >&9' ERR
"""

WRAPPER = """\
#!/bin/sh
exec {program} {options} "$@"
"""

# Stands for systemd: the pipeline of the scene is what runs as "opensips".
SYSTEMCTL = """\
#!/bin/sh
echo "$1" > {folder}/systemctl.ask
while [ -e {folder}/systemctl.ask ]; do sleep 0.05; done
"""

# An endless reader would never end.
TAIL = """\
#!/bin/sh
[ "$1" != -F ] || {{ shift; exec cat "$@"; }}
exec /usr/bin/tail "$@"
"""

CDRS = """\
#!/bin/sh
for i in 1 2 3 4 5; do echo "call-$i@sip1|{{\\"duration_s\\": $i}}"; done
"""


class BlockError(AssertionError):
    """A command of a block failed."""


class Sandbox:
    """A context manager. hosts: what stands for the brokers that the documents name."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="docs-"))
        self.bin = self.folder / "bin"
        self.here = self.folder / "here"
        self.hosts = NOBODY
        self.embedded = None
        self.owner = None
        self.owner_arguments = []
        self.environment = {}
        self.more_replacements = []
        for folder in (self.bin, self.here):
            folder.mkdir()
        for folder in FOLDERS:
            self.path(folder).mkdir(parents=True)
        self.path("/var/lib/prometheus/node-exporter").mkdir(parents=True)
        self.path("/var/spool/opensips").mkdir(parents=True)
        self.path("/var/spool/kafka").mkdir()
        for name, options in (("spool-inspect", f"--spool {self.spool}"), ("spool-forward", "")):
            program = Path(process.program(name)).resolve()
            self.tool(name, WRAPPER, program=program, options=options)
        self.tool("systemctl", SYSTEMCTL, folder=self.folder)
        self.tool("tail", TAIL)
        self.tool("generate-cdrs", CDRS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end_owner()
        if self.embedded is not None:
            self.embedded.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- What is there ---------------------------------------------------------------------------

    def path(self, absolute):
        """Where the reader's path is here."""
        return self.folder / "root" / absolute.lstrip("/")

    @property
    def spool(self):
        return self.path(SPOOL)

    def tool(self, name, text, **values):
        path = self.bin / name
        path.write_text(text.format(**values), encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def start_broker(self, *topics):
        folder = self.folder / "broker"
        folder.mkdir()
        self.embedded = broker.EmbeddedBroker(
            folder, topics={each: 4 for each in topics}, record=True
        )
        self.hosts = self.embedded.bootstrap

    def address(self, identity, topic, hosts=None):
        return f"[{identity}]{hosts or self.hosts}/{topic}?{QUICK}"

    # --- What runs -------------------------------------------------------------------------------

    def publish(self, count, identity="cdr", topic="cdrs", spool=None):
        """Leaves so many records in a spool that nobody owns afterwards."""
        lines = [b"call-%d@sip1|payload of record %d" % (i % 7, i) for i in range(1, count + 1)]
        result = forward.run(
            *["--spool", spool or self.spool, "--flush", "0", "-K", "|"],
            *["--broker", self.address(identity, topic, NOBODY), "--publish", identity],
            lines=lines,
        )
        if result.code != 0:
            raise BlockError(f"cannot publish: {result}")

    def inspect(self, *arguments):
        subprocess.run(
            [process.program("spool-inspect"), "--spool", self.spool, *map(str, arguments)],
            check=True,
            capture_output=True,
            timeout=PATIENCE_S,
        )

    def start_owner(self, *addresses):
        """A pipeline that goes on, as OpenSIPS's would."""
        self.owner_arguments = ["--spool", self.spool, "--flush", "0"]
        for each in addresses:
            self.owner_arguments += ["--broker", each]
        self.start_owner_again()

    def start_owner_again(self):
        self.owner = forward.Started(
            self.folder / "owner.log", *self.owner_arguments, stdin=subprocess.DEVNULL
        )
        addresses = self.owner_arguments.count("--broker")
        process.wait_until(
            lambda: self.configured_count() == addresses, PATIENCE_S, "the pipeline runs"
        )

    def configured_count(self):
        """How many destinations a living owner forwards."""
        status = json.loads(inspector.run("status", "--json", spool=self.spool).output)
        live = [each["live"] for each in status["destinations"]] if status["owner"]["live"] else []
        return sum(each["configured"] for each in live)

    def end_owner(self):
        if self.owner is not None:
            self.owner.terminate()
            self.owner.popen.stdout.close()
            self.owner = None

    # --- Blocks ----------------------------------------------------------------------------------

    def replaced(self, text):
        for before, after in self.more_replacements:
            text = text.replace(before, after)
        for folder in FOLDERS:
            text = text.replace(folder, f"{self.path(folder)}/")
        return re.sub(r"kafka1:9092(,kafka\d:9092)*", self.hosts, text)

    def serve_systemctl(self):
        asked = self.folder / "systemctl.ask"
        if asked.exists() and asked.read_text(encoding="utf-8").endswith("\n"):
            wanted = asked.read_text(encoding="utf-8").strip()
            if wanted == "stop":
                self.end_owner()
            else:
                self.start_owner_again()
            asked.unlink()

    def run(self, text):
        """Runs a block. Returns what it printed; BlockError when a command failed."""
        failures = self.folder / "failures"
        output = self.folder / "output"
        script = SCRIPT + self.replaced(text)
        environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"}
        environment.update(self.environment)
        with open(failures, "w", encoding="utf-8") as failed, open(output, "wb") as said:
            with subprocess.Popen(
                ["bash", "-c", f"exec 9>&{failed.fileno()}\n{script}"],
                cwd=self.here,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                pass_fds=[failed.fileno()],
            ) as shell:

                def has_ended():
                    self.serve_systemctl()
                    return shell.poll() is not None

                try:
                    process.wait_until(has_ended, PATIENCE_S, "the block ends")
                except TimeoutError:
                    shell.kill()
                    raise
        printed = output.read_text(encoding="utf-8", errors="replace")
        failed = failures.read_text(encoding="utf-8").splitlines()
        bad = [line for line in failed if not MAY_FAIL.match(line)]
        if bad or "Sanitizer" in printed:
            raise BlockError(f"failed: {bad}; it printed:\n{printed}")
        return printed
