# SPDX-License-Identifier: GPL-2.0-or-later
"""The embedded broker (test-broker) as an object. "test-broker --help" lists the commands."""

import subprocess
from pathlib import Path

from harness import process, topic


class BrokerError(RuntimeError):
    """A command was refused, or the broker has ended."""


class EmbeddedBroker:
    """
    Starts test-broker at fixed ports, so that it can be started again at the same address.

    topics: name -> number of partitions. record: every record that is accepted goes to a file,
    which records() reads: the broker itself forgets all but the last few megabytes. told_port: the
    first of the ports that clients are told instead; somebody has to pass on from there.
    """

    def __init__(
        self, folder, *, brokers=1, topics=None, record=False, port=None, told_port=None
    ):
        self.folder = Path(folder)
        self.port = port or process.free_port_range(brokers)
        self.record_path = self.folder / "recorded.tsv" if record else None
        arguments = [process.program("test-broker"), "--brokers", brokers, "--port", self.port]
        if told_port is not None:
            arguments += ["--tell-port", told_port]
        for name, partitions in (topics or {}).items():
            arguments += ["--topic", f"{name}:{partitions}"]
        if record:
            arguments += ["--record", self.record_path]
        self.program = process.Program(
            arguments,
            self.folder / "test-broker.log",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        words = self.program.popen.stdout.readline().split()
        if words[:1] != ["bootstrap"]:
            code = self.program.popen.wait()
            raise BrokerError(f"test-broker ended with {code}: {self.program.log_tail()}")
        self.bootstrap = words[1]

    def command(self, line):
        """Sends one command; returns what follows "ok"."""
        try:
            self.program.popen.stdin.write(line + "\n")
            self.program.popen.stdin.flush()
            answer = self.program.popen.stdout.readline().strip()
        except BrokenPipeError:
            answer = ""
        if answer.split(" ")[0] != "ok":
            raise BrokerError(answer or f"test-broker has ended: {self.program.log_tail()}")
        return answer[len("ok ") :]

    def records(self, only=None):
        """
        Everything that was accepted so far, or what was for one topic, in the order of each
        partition.
        """
        self.command("sync")
        return topic.parse_file(self.record_path, only)

    def close(self):
        """Ends it; BrokerError if the recorder lost a record."""
        self.program.popen.stdin.close()
        code = self.program.popen.wait(90)
        self.program.popen.stdout.close()
        if code not in (0, -9):
            raise BrokerError(f"test-broker ended with {code}: {self.program.log_tail()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
