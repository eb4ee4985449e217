# SPDX-License-Identifier: GPL-2.0-or-later
"""sip-load as an object. The program's head comment says what it does."""

import json
import subprocess

from harness import process


class Load:
    """Starts it at once. Options are sip-load's, with _ for -."""

    def __init__(self, port, log_path, **options):
        self.answered_path = options.get("answered")
        self.prefix = options.get("prefix", "load")
        arguments = [process.program("sip-load"), "--port", port]
        for name, value in options.items():
            arguments += [f"--{name}", value]
        self.program = process.Program(arguments, log_path, stdout=subprocess.PIPE, text=True)

    def finish(self, timeout_s=None):
        """Waits for its end. Returns its figures."""
        output, _ = self.program.popen.communicate(timeout=timeout_s)
        if self.program.popen.returncode != 0:
            raise RuntimeError(f"sip-load failed: {self.program.log_tail()}")
        return json.loads(output)

    def end(self):
        """Tells it to send no more, and waits for what is under way. Returns its figures."""
        self.program.signal(15)
        return self.finish(timeout_s=120)

    def answered(self):
        """The Call-IDs that were answered 200, in the order of the answers."""
        with open(self.answered_path, encoding="ascii") as lines:
            return [f"{line.strip()}@{self.prefix}" for line in lines]


def run(port, log_path, **options):
    return Load(port, log_path, **options).finish()
