# SPDX-License-Identifier: GPL-2.0-or-later
"""
What the documents' shell blocks find when they run. A block names its scene behind the language:

    ```sh left        runs where a pipeline was killed and records wait

Each block of the document gets a scene of its own, so blocks do not build on each other.
"""

import os
import subprocess

from harness import inspector
from sandbox import NOBODY

SCENES = {}

# Blocks that other parts of tests/run hold, and which.
ELSEWHERE = {
    "opensips": "tests/docs/opensips_test.py runs it on a real OpenSIPS",
    "build": "tests/docs/opensips_test.py builds the module with it",
    "consumers": "tests/kafka/consumers_test.py runs it on a real Kafka",
    "packages": "tests/packages runs it in a clean Debian",
    "project": "it starts what is running now: tests/run, and tools/quickstart, which shows the same",
    "bench": "it measures: tests/run bench",
    "soak": "it takes as long as it says: tests/run soak",
}


def scene(function):
    """A function that prepares a sandbox; its name is the scene's."""
    SCENES[function.__name__] = function
    return function


@scene
def empty(sandbox):
    """Brokers, and no spool yet."""
    sandbox.start_broker("cdrs")
    sandbox.path("/mnt/old").mkdir()


@scene
def pipeline(sandbox):
    """A pipeline that runs: cdrs are delivered, the records of "debug" find nobody."""
    sandbox.start_broker("cdrs")
    sandbox.publish(100, "debug", "debug")
    sandbox.publish(100)
    debug = sandbox.address("debug", "debug", NOBODY)
    sandbox.start_owner(sandbox.address("cdr", "cdrs"), debug)


@scene
def left(sandbox):
    """A spool with records that nobody owns, and another one that is in use at /mnt/new."""
    sandbox.start_broker("cdrs")
    sandbox.publish(1000)
    sandbox.publish(1, spool=sandbox.path("/mnt/new"))


@scene
def dead(sandbox):
    """Dead letters, 3 among them."""
    sandbox.publish(10)
    sandbox.inspect("expire", "2-4", "--yes")


@scene
def many(sandbox):
    """So many records that 4711 is one, and dead letters."""
    sandbox.publish(5000)
    sandbox.inspect("expire", "1-3", "--yes")
    (sandbox.here / "cdr.log").write_text("call-1|one\ncall-2|two\n", encoding="utf-8")
    sandbox.start_broker("cdrs")


@scene
def damaged(sandbox):
    """A spool that was damaged, set aside, and followed by a new one."""
    sandbox.publish(2000)
    data = sandbox.spool / "data.mdb"
    used = int(
        subprocess.run(
            ["sh", "-c", f"{sandbox.bin}/spool-inspect status --json; true"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.partition('"file_bytes":')[2].partition(",")[0]
    )
    os.truncate(data, used - 5 * 4096)
    sandbox.publish(10)
    assert list(sandbox.spool.glob("damaged-*")), "nothing was set aside"
    sandbox.start_broker("cdrs")


@scene
def stopped(sandbox):
    """A pipeline that systemctl stops and starts."""
    sandbox.publish(1000)
    sandbox.start_owner(sandbox.address("cdr", "cdrs", NOBODY))


@scene
def archive(sandbox):
    """kafka-spool.tar.gz, as the old host packed it."""
    sandbox.start_broker("cdrs")
    sandbox.publish(1000)
    packed = sandbox.here / "kafka-spool.tar.gz"
    folder = sandbox.spool.parent
    subprocess.run(["tar", "-C", folder, "-czf", packed, "kafka"], check=True)
    sandbox.path("/mnt/old").mkdir()


@scene
def migration(sandbox):
    """Records that wait for a topic that is not configured any more; its follower is."""
    sandbox.start_broker("cdrs-v2")
    sandbox.publish(1000)
    sandbox.start_owner(sandbox.address("cdr", "cdrs-v2"))


@scene
def kept(sandbox):
    """Everything in it that a spool can hold, left by a program that was killed."""
    inspector.make_kept_spool(sandbox.spool)
