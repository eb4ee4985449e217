# SPDX-License-Identifier: GPL-2.0-or-later
"""
Faults of the embedded broker's three brokers and of the network before them, each in the middle of a
workload: see harness/faults.py.

The embedded broker adds no partitions, deletes no topics and does not look at sizes or times: it is
told to answer as if. It does not remember producers either, so a lost answer there is a duplicate.
Real Kafka has all of it: tests/kafka/faults_test.py.

By hand, from a seed:

    SPOOL_BUILD_DIR=build/asan python3 tests/broker/faults_test.py --seed 7 --fault hang
    SPOOL_BUILD_DIR=build/asan python3 tests/broker/faults_test.py --seed 7 --minutes 30
"""

import dataclasses
import random
import sys
import tempfile
import time
import unittest
from concurrent import futures
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import broker, faults, network, process, proxy, topic  # noqa: E402

BROKERS = 3
PARTITIONS = 4
# Trials at once. Each waits most of its time.
TRIALS_AT_ONCE = 4

FORGETFUL = "answers lost; the embedded broker remembers no producer"

NAMES = (
    *("refuse", "hang", "slow", "leader", "topic", "authorisation", "size", "disk", "replicas"),
    *("kill", "sequence", "producer", "epoch", "time"),
    *("cut_request", "cut_answer", "latency", "narrow", "loss", "half_open"),
    *("lost_some", "lost_all"),
)
# Tried once more with a second destination, which must not notice.
BESIDE = ("hang", "authorisation", "half_open")
# In a network of their own.
LOSING_PACKETS = ("lost_some", "lost_all")


class Ground:
    """Three brokers, a proxy before each, and a trial."""

    def __init__(self, folder, seed=1, **options):
        self.folder = folder
        folder.mkdir(parents=True)
        told_port = process.free_port_range(BROKERS)
        self.brokers_count = 0
        self.logs = []
        self.start_brokers(told_port=told_port)
        self.proxies = [
            proxy.Proxy(told_port + at, self.embedded.port + at, seed) for at in range(BROKERS)
        ]
        bootstrap = ",".join(f"127.0.0.1:{each.port}" for each in self.proxies)
        self.address = f"[k1]{bootstrap}/t?{faults.QUICK}"
        self.trial = faults.Trial(
            folder / "trial", self.address, seed=seed, forgetful=FORGETFUL, **options
        )
        self.links_before = 0

    def start_brokers(self, **options):
        self.brokers_count += 1
        folder = self.folder / f"brokers-{self.brokers_count}"
        folder.mkdir()
        self.embedded = broker.EmbeddedBroker(
            folder, brokers=BROKERS, topics={"t": PARTITIONS}, record=True, **options
        )
        self.spread()

    def spread(self, by=0):
        """Each partition is led by another broker."""
        for partition in range(PARTITIONS):
            self.command(f"leader t {partition} {1 + (partition + by) % BROKERS}")

    def command(self, *lines):
        for line in lines:
            self.embedded.command(line)

    def kill_brokers(self):
        """kill -9 of all. They forget what they had, so it is recorded before."""
        self.command("hang all")
        self.logs.append(list(self.embedded.records()))
        self.embedded.program.kill9()
        self.embedded.close()

    def restart_brokers(self):
        self.start_brokers(port=self.embedded.port, told_port=self.proxies[0].port)

    def all_logs(self):
        return [*self.logs, list(self.embedded.records())]

    def hits(self):
        return sum(each.hits_count for each in self.proxies)

    def links(self):
        return sum(each.links_count for each in self.proxies)

    def close(self):
        for each in self.proxies:
            each.close()
        self.embedded.close()

    # --- Faults

    def each_proxy(self, act):
        def do(_):
            for each in self.proxies:
                act(each)

        return do

    def set_proxies(self, **values):
        return self.each_proxy(lambda each: [setattr(each, *pair) for pair in values.items()])

    def commands(self, *lines):
        return lambda _: self.command(*lines)

    def fault(self, name, begin, end=(), felt=None, **options):
        """Of commands."""
        return faults.Fault(
            name, self.commands(*begin), self.commands(*end), felt or (lambda _: True), **options
        )

    def answer(self, name, code, count=2, felt=None, brokers="all"):
        """Produce requests are answered with an error; after that the connection ends."""

        def begin(_):
            self.links_before = self.links()
            self.command(f"error Produce {count} {code} {brokers}")

        return faults.Fault(name, begin, felt=felt or (lambda _: self.links() > self.links_before))

    def cut(self, what):
        before = []

        def begin(_):
            before.append(self.hits())
            for each in self.proxies:
                each.cut(what, 2)

        return faults.Fault(
            f"reset, {what} lost", begin, felt=lambda _: self.hits() >= before[-1] + 2 * BROKERS
        )

    def change_leaders(self):
        leaders = [1 + (partition + 1) % BROKERS for partition in range(PARTITIONS)]

        def have_changed(_):
            lines = topic.admin(self.embedded.bootstrap, "describe", "t")
            return [int(line.split("\t")[1]) for line in lines] == leaders

        return faults.Fault("leader change", lambda _: self.spread(1), felt=have_changed)

    def lose_packets(self, name, share):
        ports = [each.port for each in self.proxies]
        return faults.Fault(
            name,
            lambda _: network.lose(ports, share),
            lambda _: network.restore(),
            faults.said("brokers_down") if share == 1 else (lambda _: network.lost_count() > 20),
            hold_s=2,
        )

    def of_brokers(self):
        """What brokers do, in what order they are tried."""
        down = faults.said("brokers_down")
        held = faults.said("held [k1]t")
        unknown, forbidden = "UNKNOWN_TOPIC_OR_PART", "TOPIC_AUTHORIZATION_FAILED"
        lost = faults.said("producer_lost")
        return {
            "refuse": self.fault("refuse", ["down all"], ["up all"], down),
            "hang": self.fault("hang", ["hang all"], ["unhang all"], down),
            "slow": self.fault("slow (0.4 s)", ["rtt all 400"], ["rtt all 0"], faults.waiting(300)),
            "leader": self.change_leaders(),
            "topic": self.fault(
                "topic gone and back",
                [f"topic-error t {unknown}", f"error Produce 1 {unknown}"],
                ["topic-error t NO_ERROR"],
                held,
            ),
            "authorisation": self.fault(
                "authorisation withdrawn",
                [f"topic-error t {forbidden}", f"error Produce 1 {forbidden}"],
                ["topic-error t NO_ERROR"],
                held,
            ),
            "size": self.answer("batch too large", "MSG_SIZE_TOO_LARGE", 1),
            "disk": self.answer("disk full on a broker", "KAFKA_STORAGE_ERROR", 4, brokers="1"),
            "replicas": self.answer("not enough replicas", "NOT_ENOUGH_REPLICAS_AFTER_APPEND"),
            "kill": faults.Fault(
                "all brokers kill -9",
                lambda _: self.kill_brokers(),
                lambda _: self.restart_brokers(),
                down,
            ),
            "sequence": self.answer("out of order", "OUT_OF_ORDER_SEQUENCE_NUMBER", 1, lost),
            "producer": self.answer("unknown producer id", "UNKNOWN_PRODUCER_ID", 1),
            "epoch": self.answer("old producer epoch", "INVALID_PRODUCER_EPOCH", 1),
            "time": self.answer("time skew", "INVALID_TIMESTAMP", 1, held),
        }

    def of_networks(self):
        down = faults.said("brokers_down")
        mend = self.each_proxy(proxy.Proxy.mend)
        late = faults.waiting(300)
        return {
            "cut_request": self.cut("request"),
            "cut_answer": self.cut("answer"),
            "latency": faults.Fault("latency (0.3 s)", self.set_proxies(latency_s=0.3), mend, late),
            "narrow": faults.Fault("40 kB/s", self.set_proxies(bytes_per_s=40000), mend, late),
            "loss": faults.Fault("20% of chunks late", self.set_proxies(loss=0.2), mend, hold_s=2),
            "half_open": faults.Fault(
                "half-open", self.each_proxy(proxy.Proxy.half_open), mend, down
            ),
            "lost_some": self.lose_packets("5% of packets lost", 0.05),
            "lost_all": self.lose_packets("all packets lost", 1),
        }

    def faults(self):
        return {**self.of_brokers(), **self.of_networks()}


def run_one(folder, name, seed=1):
    """A trial of one fault, on brokers of its own. Returns its row."""
    ground = Ground(folder / name, seed)
    try:
        fault = ground.faults()[name]
        ground.trial.go_through([fault])
        return faults.check(ground.trial, fault.name, ground.all_logs())
    finally:
        ground.close()


def run_beside(folder, name, seed=1):
    """Another broker is published to while these have the fault. Returns both rows."""
    ground = Ground(folder / f"{name}-beside", seed)
    healthy = folder / f"{name}-healthy"
    healthy.mkdir()
    try:
        with broker.EmbeddedBroker(healthy, topics={"t": PARTITIONS}, record=True) as other:
            fault = ground.faults()[name]
            ground.trial.go_beside(fault, f"[k2]{other.bootstrap}/t?{faults.QUICK}")
            return (
                faults.check(ground.trial, f"{fault.name}: [k1]", ground.all_logs()),
                faults.check(
                    ground.trial, "    [k2], beside it", [list(other.records())], identity="k2"
                ),
            )
    finally:
        ground.close()


def run_with_lost_packets(folder, name, seed=1):
    """The same in a network of its own."""
    with network.own():
        return run_one(folder, name, seed)


def run_these(folder, names, seed):
    for name in names:
        yield (run_with_lost_packets if name in LOSING_PACKETS else run_one)(folder, name, seed)


def run_random(folder, seed, minutes):
    """Faults in a random order, and crashes of spool-forward among them. Returns the row."""
    dice = random.Random(seed)
    ground = Ground(folder / f"random-{seed}", seed, rate=300)
    trial = ground.trial
    choice = [each for name, each in ground.faults().items() if name not in LOSING_PACKETS]
    choice.append(faults.Fault("crash", faults.Trial.crash))
    end = time.monotonic() + minutes * 60

    def drawn():
        while time.monotonic() < end:
            fault = dice.choice(choice)
            print(f"seed {seed}: {trial.accepted_count()} accepted: {fault.name}", flush=True)
            yield dataclasses.replace(fault, hold_s=dice.uniform(0, 4))

    try:
        trial.go_through(drawn())
        return faults.check(trial, f"random, seed {seed}", ground.all_logs())
    finally:
        ground.close()


class FaultsTest(unittest.TestCase):
    """All trials begin with the first test, a few at once; each test waits for its own."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="kafka-spool-")
        cls.addClassCleanup(folder.cleanup)
        pool = futures.ThreadPoolExecutor(TRIALS_AT_ONCE)
        cls.addClassCleanup(pool.shutdown, cancel_futures=True)
        cls.rows = []
        cls.trials = {
            name: pool.submit(
                run_with_lost_packets if name in LOSING_PACKETS else run_one,
                Path(folder.name),
                name,
            )
            for name in NAMES
            if name not in LOSING_PACKETS or network.available()[0]
        }
        cls.beside = {name: pool.submit(run_beside, Path(folder.name), name) for name in BESIDE}

    @classmethod
    def tearDownClass(cls):
        print(faults.table(cls.rows, "\nembedded broker"), file=sys.stderr)

    def test_another_broker_flows_beside_it(self):
        for name in BESIDE:
            with self.subTest(name=name):
                self.rows += self.beside[name].result()


def add_test(name):
    def test(self):
        if name in LOSING_PACKETS and not network.available()[0]:
            print(f"SKIPPED, {network.available()[1]}", file=sys.stderr)
            self.skipTest(network.available()[1])
        self.rows.append(self.trials[name].result())

    setattr(FaultsTest, f"test_{name}", test)


for each_name in NAMES:
    add_test(each_name)


if __name__ == "__main__":
    sys.exit(faults.main(__doc__, NAMES, run_these, run_random))
