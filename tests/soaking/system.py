# SPDX-License-Identifier: GPL-2.0-or-later
"""A soak as a whole: the parts, started, kept going, ended and judged."""

import shutil
import tempfile
import time
from pathlib import Path

from harness import process
from opensips import server, tree
from soaking import brokers, disk, happenings, judging, samples, traffic

DISK_BYTES = 256 << 20
SPOOL_BYTES = "128M"
SHM_MB = 64
DRAIN_S = 300
# The last part of a run has no restarts: there a trend of memory would show.
STEADY_SHARE = 0.4


class Soak:
    """start(), go(), finish(); close() in any case. options: of the command line."""

    def __init__(self, options):
        self.options = options
        self.folder = Path(tempfile.mkdtemp(prefix="soak-"))
        self.context = happenings.Run(options.seed)
        self.broker = self.disk = self.host = self.load = self.sampler = None
        self.servers = []
        self.happenings = []
        self.judgement = None
        self.begin = None
        self.load_seconds = 0

    def start(self):
        self.disk = disk.Disk(self.folder, DISK_BYTES)
        kind = brokers.Kafka if self.options.kafka else brokers.Embedded
        self.broker = kind(self.folder / "broker")
        self.servers = self._servers()
        self.servers[0].start()
        self.begin = self.context.begin = time.monotonic()
        steady_at = self.begin + self.options.minutes * 60 * (1 - STEADY_SHARE)
        faults = happenings.BrokerFaults(self.context, self.broker)
        self.host = happenings.HostFaults(
            self.context, self.servers, self.disk, steady_at, self.options.only
        )
        operator = happenings.Operator(self.context, self.host, self.spool)
        self.happenings = [faults, self.host, operator]
        self.sampler = samples.Sampler(
            self.folder / "samples.csv", self.begin, faults, self.host, self.spool
        )
        self.load = traffic.Traffic(self.folder, self.servers[0].config.sip_port, self.options.rate)
        for each in (self.sampler, *self.happenings):
            each.start()

    @property
    def spool(self):
        return self.disk.path / "spool"

    def _servers(self):
        """With this build's module, and one with that of --asan."""
        ports = server.free_udp_ports(2)
        bootstrap = self.broker.bootstrap
        modules = [self.options.tree.ours()]
        if self.options.asan is not None:
            modules.append((self.options.asan / tree.MODULE).resolve(strict=True))
        more = f'modparam("event_kafka", "max_bytes", "{SPOOL_BYTES}")\n'
        more += f'modparam("event_kafka", "durability", "{self.options.durability}")\n'
        configs = [
            server.Config(
                self.options.tree,
                module,
                traffic.script(bootstrap),
                parameters=traffic.addresses(bootstrap) + more,
                modules=["sipmsgops"],
                spool=self.spool,
                ports=ports,
            )
            for module in modules
        ]
        return [server.Server(self.folder, each, shm_mb=SHM_MB) for each in configs]

    # --- While it runs

    def go(self, say):
        """Until the time is over or something failed. say: told once a minute how it goes."""
        end = self.begin + self.options.minutes * 60
        next_word = self.begin + 60
        while not self.context.over.is_set() and time.monotonic() < end:
            self.context.sleep(1)
            if not self.load.is_alive():
                self.context.fail("a load has ended by itself")
            if time.monotonic() >= next_word:
                next_word += 60
                say(self._word())
        self.context.over.set()

    def _word(self):
        done = {
            what: count for (who, what), count in self.context.counts.items() if who != "operator"
        }
        last = self.sampler.samples[-1] if self.sampler.samples else None
        minutes = (time.monotonic() - self.begin) / 60
        waiting = last.queue_records if last else None
        return f"{minutes:.0f} min: accepted {last and last.appended}, waiting {waiting}, {done}"

    # --- The end

    def finish(self):
        """Mends all, drains, stops, and judges. RuntimeError, TimeoutError: it could not."""
        for each in self.happenings:
            each.join()
        self.load_seconds = time.monotonic() - self.begin
        self.load.end()
        if self.context.failure:
            raise RuntimeError(self.context.failure)
        process.wait_until(self._is_drained, DRAIN_S, "all is delivered and reported")
        self.sampler.stop()
        self.host.end_orderly()
        if not self.happenings[-1].inspect("verify"):
            raise RuntimeError("the spool is damaged at the end")
        self.judgement = judging.Judgement(self.broker, self.load).read()
        self.judgement.judge_reports(self.host.server.log_path)

    def _is_drained(self):
        """Requeues what expired, until nothing is left."""
        try:
            row = self.host.server.mi("kafka_status")["all"]
            if row["dead_records"]:
                self.host.server.mi("kafka_requeue", "brief")
        except (OSError, server.MiError):
            return False
        return not any(row[f"{each}_records"] for each in ("queue", "report", "dead"))

    def close(self, is_kept):
        """Ends what runs. is_kept: the folder stays, the spool in its disk.img."""
        self.context.over.set()
        for each in self.happenings:
            if each.is_alive():
                each.join()
        if self.load is not None:
            for each in self.load.loads.values():
                each.program.kill9()
        if self.sampler is not None:
            self.sampler.stop()
        for each in self.servers:
            if each.program is not None:
                each.kill9()
        if self.broker is not None:
            self.broker.close()
        if self.disk is not None:
            self.disk.close()
        if not is_kept:
            shutil.rmtree(self.folder)
