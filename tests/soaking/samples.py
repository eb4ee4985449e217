# SPDX-License-Identifier: GPL-2.0-or-later
"""How the system is, every few seconds, as lines of a CSV file."""

import csv
import threading
import time
from pathlib import Path
from typing import NamedTuple

from opensips import server

INTERVAL_S = 5
MI_S = 2


class Sample(NamedTuple):
    """None: it could not be asked at that moment. Bytes, records, seconds since the start."""

    seconds: float
    broker: str  # what happens to it, "" when nothing does
    host: str
    is_steady: bool
    is_asan: bool = False  # the module is that of --asan, whose memory says nothing
    kafka_anonymous: int = None  # memory of the Kafka process: its own, of files (the spool's map)
    kafka_file: int = None
    worker_anonymous: int = None  # of the SIP worker with the most
    shm_used: int = None
    file_size: int = None  # data.mdb
    file_allocated: int = None
    disk_used: int = None  # pages that hold something
    queue_records: int = None
    inflight_records: int = None
    dead_records: int = None
    report_records: int = None
    appended: int = None
    delivered: int = None
    retries: int = None
    producers_lost: int = None
    possible_duplicates: int = None


def memory(pid, field):
    """RssAnon or RssFile of a process; None: it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


class Sampler(threading.Thread):
    """Until stop()."""

    def __init__(self, path, begin, broker_faults, host, spool):
        super().__init__(name="samples")
        self.path = path
        self.broker_faults = broker_faults
        self.host = host
        self.data = spool / "data.mdb"
        self.begin = begin
        self.samples = []
        self.pids = (None, None, [])  # the server's, the Kafka process's, the workers'
        self.stopped = threading.Event()

    def run(self):
        with open(self.path, "w", encoding="ascii", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(Sample._fields)
            while not self.stopped.wait(INTERVAL_S):
                self.samples.append(self._take())
                writer.writerow(self.samples[-1])
                file.flush()

    def stop(self):
        self.stopped.set()
        self.join()

    def _take(self):
        found = {}
        try:
            found.update(self._ask(self.host.server))
        except (OSError, KeyError, ValueError, server.MiError):
            pass  # it is down, or starts
        try:
            status = self.data.stat()
            found.update(file_size=status.st_size, file_allocated=status.st_blocks * 512)
        except OSError:
            pass
        return Sample(
            seconds=round(time.monotonic() - self.begin, 1),
            broker=self.broker_faults.state,
            host=self.host.state,
            is_steady=self.host.is_steady,
            is_asan=self.host.server is not self.host.servers[0],
            **found,
        )

    def _ask(self, one):
        pid = one.program.pid
        if self.pids[0] != pid:
            listed = one.mi("ps", timeout_s=MI_S)["Processes"]
            kafka = [each["PID"] for each in listed if "Kafka" in each["Type"]]
            workers = [each["PID"] for each in listed if "SIP receiver" in each["Type"]]
            self.pids = (pid, kafka[0] if kafka else None, workers)
        told = one.mi("get_statistics", ["kafka:", "shmem:"], timeout_s=MI_S)
        names = ("queue_records", "inflight_records", "dead_records", "report_records")
        names += ("appended", "delivered", "retries", "producers_lost", "possible_duplicates")
        workers = [memory(each, "RssAnon") for each in self.pids[2]]
        return {
            **{name: int(told[f"kafka:{name}"]) for name in names},
            "disk_used": int(told["kafka:used_bytes"]),
            "shm_used": int(told["shmem:used_size"]),
            "kafka_anonymous": memory(self.pids[1], "RssAnon"),
            "kafka_file": memory(self.pids[1], "RssFile"),
            "worker_anonymous": max((each for each in workers if each), default=None),
        }
