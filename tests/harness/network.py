# SPDX-License-Identifier: GPL-2.0-or-later
"""
A network of one's own, in which packets can be lost. Needs root, and nft with random numbers.

The thread that enters it, and whatever it starts from then on, has a loopback device of its own;
everything else of the machine goes on as before.
"""

import contextlib
import ctypes
import functools
import os
import subprocess

CLONE_NEWNET = 0x40000000
TABLE = "spool_test"


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


def _call(name, *arguments):
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


@contextlib.contextmanager
def own():
    """A context manager; OSError when this machine has no such thing for us."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("unshare", CLONE_NEWNET)
        try:
            _run("ip", "link", "set", "lo", "up")
            _run("nft", "add", "table", "inet", TABLE)
            chain = "{ type filter hook input priority 0; }"
            _run("nft", "add", "chain", "inet", TABLE, "input", chain)
            yield
        finally:
            _call("setns", before, CLONE_NEWNET)
    finally:
        os.close(before)


@functools.lru_cache(maxsize=None)
def available():
    """(True, "") or (False, why not)."""
    try:
        with own():
            lose([1], 0.5)
    except OSError as error:
        return False, f"no network of its own, so no packet was lost: {error}"
    return True, ""


def lose(ports, share):
    """From now on so many of the packets to and from these ports (0 to 1) are lost."""
    restore()
    some = "{ " + ", ".join(map(str, ports)) + " }"
    luck = f"numgen random mod 1000 < {int(share * 1000)}" if share < 1 else ""
    for side in ("dport", "sport"):
        rule = f"tcp {side} {some} {luck} counter drop".split()
        _run("nft", "add", "rule", "inet", TABLE, "input", *rule)


def restore():
    _run("nft", "flush", "chain", "inet", TABLE, "input")


def lost_count():
    """Packets lost since lose()."""
    text = subprocess.run(
        ["nft", "list", "chain", "inet", TABLE, "input"], capture_output=True, text=True, check=True
    ).stdout.split()
    return sum(int(text[at + 1]) for at, word in enumerate(text) if word == "packets")
