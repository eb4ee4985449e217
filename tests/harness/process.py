# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs under test: where they are, started with their pid known, stopped by that pid."""

import os
import random
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

# Below the ports that the kernel gives to outgoing connections, so that a stopped program finds
# its port free when it starts again.
PORT_LOW = 12000
PORT_HIGH = 30000

# Where a build has programs, below its folder.
FOLDERS = [
    *[f"tests/{each}" for each in ("bench", "broker", "crash", "format", "fuzz", "inspect")],
    *[f"tests/{each}" for each in ("opensips", "race", "sim")],
    *["tools", "tools/inspect", "tests", "."],
]


def program(name):
    """The path of a built program. SPOOL_BUILD_DIR says where they were built."""
    build_dir = os.environ.get("SPOOL_BUILD_DIR")
    if not build_dir:
        raise RuntimeError("set SPOOL_BUILD_DIR to the folder that the programs were built in")
    for folder in FOLDERS:
        path = Path(build_dir) / folder / name
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    raise RuntimeError(f"{name} was not built in {build_dir}")


class Ports:
    """
    Ports on 127.0.0.1 for this process alone. A broker that is down has given its ports back, and is
    to find them free: so no other test may be given them. Each process has a part of them, which a
    name of the kernel's stands for until it ends, and hands them out in turn.
    """

    PARTS = 45

    def __init__(self):
        self.lock = threading.Lock()
        self.pid = None
        self.claim = None

    def _take_part(self):
        size = (PORT_HIGH - PORT_LOW) // self.PARTS
        for part in random.sample(range(self.PARTS), self.PARTS):
            self.claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                self.claim.bind(f"\0kafka-spool-test-ports-{part}")
            except OSError:
                self.claim.close()
                continue
            self.pid = os.getpid()
            self.low = self.next = PORT_LOW + part * size
            self.high = self.low + size
            return
        raise RuntimeError("all ports for tests are in use: are other tests running?")

    def take(self, count):
        """The first of count ports in a row that nobody listens on."""
        with self.lock:
            if self.pid != os.getpid():
                self._take_part()
            for _ in range(self.high - self.low):
                if self.next + count > self.high:
                    self.next = self.low
                first, self.next = self.next, self.next + count
                if all(map(is_free, range(first, first + count))):
                    return first
        raise RuntimeError(f"no {count} free ports from {self.low} to {self.high}")


def is_free(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


PORTS = Ports()


def free_ports(count):
    """Ports on 127.0.0.1 that nobody listens on at the moment."""
    return [PORTS.take(1) for _ in range(count)]


def free_port_range(count):
    """The first of count free ports in a row."""
    return PORTS.take(count)


def wait_until(condition, deadline_s, what):
    """Returns the condition's first true value; TimeoutError after deadline_s."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"not within {deadline_s} s: {what}")
        time.sleep(0.05)


def resident_bytes(pid, field="VmRSS"):
    """VmRSS (now) or VmHWM (the most so far) of a process."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no {field}")


class Program:
    """One started program. Its standard error, and its output unless it is piped, go to a log."""

    def __init__(self, arguments, log_path, **options):
        self.arguments = [str(each) for each in arguments]
        self.log_path = Path(log_path)
        with open(self.log_path, "ab") as log:
            options.setdefault("stdout", log)
            options.setdefault("stdin", subprocess.DEVNULL)
            self.popen = subprocess.Popen(self.arguments, stderr=log, **options)
        self.pid = self.popen.pid

    def is_alive(self):
        return self.popen.poll() is None

    def signal(self, number):
        # poll() first: the pid is ours until it was waited for.
        if self.is_alive():
            os.kill(self.pid, number)

    def kill9(self):
        self.signal(signal.SIGKILL)
        return self.popen.wait()

    def sigstop(self):
        self.signal(signal.SIGSTOP)

    def sigcont(self):
        self.signal(signal.SIGCONT)

    def terminate(self, deadline_s=30):
        """SIGTERM, then SIGKILL if that does not end it. Returns the exit code."""
        self.sigcont()
        self.signal(signal.SIGTERM)
        try:
            return self.popen.wait(deadline_s)
        except subprocess.TimeoutExpired:
            return self.kill9()

    def log_tail(self, lines=20):
        text = self.log_path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])
