#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Faults of three Apache Kafka brokers and of the network before them, each in the middle of a workload:
see harness/faults.py. Replication is 3, and two copies are needed for an answer.

SPOOL_FAULTS_LONG=1 tries them all, otherwise those that take a moment. By hand, from a seed:

    SPOOL_BUILD_DIR=build/asan python3 tests/kafka/faults_test.py --seed 7 --fault hang
    SPOOL_BUILD_DIR=build/asan python3 tests/kafka/faults_test.py --seed 7 --minutes 30
"""

import contextlib
import dataclasses
import os
import random
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import broker, faults, forward, inspector, kafka, network, process, proxy  # noqa: E402

NODES = 3
PARTITIONS = 4
DISK_MB = 4096
LARGE_BYTES = 30000
SETTINGS = {
    # Who led before leads again soon after a restart: two changes of leaders for each.
    "leader.imbalance.check.interval.seconds": 2,
    "leader.imbalance.per.broker.percentage": 0,
    "producer.id.expiration.check.interval.ms": 500,
}

SHORT = (
    *("recreated", "partitions", "size", "time"),
    *("kill", "cut_answer", "half_open", "sequence"),
)
LONG = (
    *("leader", "authorisation", "hang", "refuse", "zombie", "disk", "clock", "expired"),
    *("cut_request", "latency", "narrow", "loss", "lost_some", "lost_all"),
)
IS_LONG = os.environ.get("SPOOL_FAULTS_LONG") == "1"


class Disk:
    """A disk of memory for one node's records, that can become full."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True)
        done = self.mount(f"size={DISK_MB}m")
        self.why_not = done.stderr.strip() if done.returncode != 0 else ""

    def mount(self, options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def fill(self):
        """It becomes as small as what is on it."""

        def is_full():
            disk = os.statvfs(self.folder)
            used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
            # Refused when more came meanwhile.
            return self.mount(f"remount,size={used}").returncode == 0

        process.wait_until(is_full, faults.PATIENCE_S, "the disk is full")

    def mend(self):
        self.mount(f"remount,size={DISK_MB}m")

    def close(self):
        if not self.why_not:
            subprocess.run(["umount", str(self.folder)], check=True)


class Ground:
    """Three nodes, and a proxy before each. A context manager."""

    def __init__(self, folder, seed=1):
        self.folder = folder
        self.seed = seed
        self.topics_count = 0
        self.stack = contextlib.ExitStack()
        ports = process.free_ports(NODES)
        self.cluster = kafka.KafkaCluster(
            folder / "kafka", NODES, acls=True, told_ports=ports, settings=SETTINGS
        )
        self.proxies = []

    def __enter__(self):
        kafka.libraries()  # may need the network that others have
        with contextlib.ExitStack() as stack:
            self.has_own_network = network.available()[0]
            if self.has_own_network:
                stack.enter_context(network.own())
            self.disk = Disk(self.cluster.nodes[2].data)
            stack.callback(self.disk.close)
            for node in self.cluster.nodes:
                self.proxies.append(proxy.Proxy(node.told_port, node.port, self.seed))
                stack.callback(self.proxies[-1].close)
            stack.enter_context(self.cluster)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def address(self, topic_name, identity="k1"):
        properties = [f"g.{each}" for each in self.cluster.client_properties()]
        properties.append(faults.QUICK)
        return f"[{identity}]{self.cluster.bootstrap}/{topic_name}?{'&'.join(properties)}"

    def make_topic(self, name):
        self.topics_count += 1
        topic_name = f"{name}-{self.topics_count}"
        self.cluster.create_topic(topic_name, PARTITIONS)
        self.cluster.allow(topic_name)
        return topic_name

    def trial(self, name, **options):
        topic_name = self.make_topic(name)
        options.setdefault("seed", self.seed)
        trial = faults.Trial(self.folder / topic_name, self.address(topic_name), **options)
        trial.topic = topic_name
        return trial

    def read(self, trial):
        return list(self.cluster.read(trial.topic, timeout_s=60))

    # --- Faults of the network

    def each_proxy(self, act):
        def do(_):
            for each in self.proxies:
                act(each)

        return do

    def set_proxies(self, **values):
        return self.each_proxy(lambda each: [setattr(each, *pair) for pair in values.items()])

    def hits(self):
        return sum(each.hits_count for each in self.proxies)

    def hit(self, name, act, count=2, **options):
        """The next Produce requests through each proxy meet a fate."""
        before = []

        def begin(_):
            before.append(self.hits())
            for each in self.proxies:
                act(each)

        return faults.Fault(
            name, begin, felt=lambda _: self.hits() >= before[-1] + count * NODES, **options
        )

    def lose_packets(self, name, share):
        ports = [node.told_port for node in self.cluster.nodes]
        return faults.Fault(
            name,
            lambda _: network.lose(ports, share),
            lambda _: network.restore(),
            faults.said("brokers_down") if share == 1 else (lambda _: network.lost_count() > 20),
            hold_s=3,
        )

    def lose_a_request(self, each):
        """Some are on the way at once, so that others follow the lost one."""
        each.latency_s = 0.1
        each.drop(1)

    def of_networks(self):
        down, late = faults.said("brokers_down"), faults.waiting(300)
        mend = self.each_proxy(proxy.Proxy.mend)
        return {
            "refuse": faults.Fault("refuse", self.each_proxy(proxy.Proxy.refuse), mend, down),
            "cut_request": self.hit("reset, request lost", lambda each: each.cut("request", 2)),
            "cut_answer": self.hit("reset, answer lost", lambda each: each.cut("answer", 2)),
            "sequence": self.hit("out of order", self.lose_a_request, 1, end=mend, hold_s=2),
            "half_open": faults.Fault(
                "half-open", self.each_proxy(proxy.Proxy.half_open), mend, down
            ),
            "latency": faults.Fault("latency (0.3 s)", self.set_proxies(latency_s=0.3), mend, late),
            "narrow": faults.Fault("40 kB/s", self.set_proxies(bytes_per_s=40000), mend, late),
            "loss": faults.Fault("20% of chunks late", self.set_proxies(loss=0.2), mend, hold_s=2),
            "lost_some": self.lose_packets("5% of packets lost", 0.05),
            "lost_all": self.lose_packets("all packets lost", 1),
        }

    # --- Faults of brokers

    def each_node(self, act):
        def do(_):
            for number in range(NODES):
                act(number)

        return do

    def recover(self, trial):
        """Whoever does not run is started; all copies are complete."""
        for node in self.cluster.nodes:
            if not node.is_running():
                self.cluster.restart(node.number)
        self.cluster.wait_ready()
        for partition in range(PARTITIONS):
            process.wait_until(
                lambda at=partition: len(self.cluster.in_sync(trial.topic, at)) == NODES,
                faults.PATIENCE_S,
                "all copies are complete",
            )

    def without_leader(self, name, act, end):
        """The leader of the first partition goes, and another takes its place."""
        gone = []

        def begin(trial):
            gone.append(self.cluster.leader(trial.topic, 0))
            act(gone[-1])

        def is_led_again(trial):
            return self.cluster.leader(trial.topic, 0) not in (None, gone[-1])

        return faults.Fault(name, begin, lambda trial: end(trial, gone[-1]), is_led_again)

    def expire_producers(self, setting):
        def do(_):
            for number in range(NODES):
                self.cluster.set_broker(number, setting)
            for each in self.proxies:
                if setting == "-":
                    each.go_on()
                else:
                    each.stall()

        return do

    def set_clock(self, trial, shift_s):
        """The last node starts again with another clock, and leads what it led before."""
        self.cluster.kill9(2)
        shift = {"LD_PRELOAD": process.program("shifted-clock.so"), "SHIFTED_CLOCK_S": str(shift_s)}
        self.cluster.nodes[2].environment = {**os.environ, **shift}
        self.recover(trial)

    def begin_slow_clock(self, trial):
        """For that node records are from 2 hours ahead; Kafka 4 takes 1 hour where nothing is set."""
        self.set_clock(trial, -7200)
        # Last: nothing is copied to that node from now on, either.
        self.cluster.set_topic(trial.topic, "message.timestamp.after.max.ms=3600000")

    def end_slow_clock(self, trial):
        self.set_clock(trial, 0)
        self.cluster.set_topic(trial.topic)

    def of_brokers(self):
        down, held = faults.said("brokers_down"), faults.said("held [k1]")
        kill_all = self.each_node(self.cluster.kill9)
        return {
            "leader": self.without_leader(
                "leader kill -9", self.cluster.kill9, lambda trial, _: self.recover(trial)
            ),
            "zombie": self.without_leader(
                "leader hangs, goes on",
                self.cluster.sigstop,
                lambda trial, number: self.cluster.cont(number) or self.recover(trial),
            ),
            "kill": faults.Fault("all brokers kill -9", kill_all, self.recover, down),
            "hang": faults.Fault(
                "hang",
                self.each_node(self.cluster.sigstop),
                self.each_node(self.cluster.cont),
                down,
                hold_s=4,
            ),
            "disk": faults.Fault(
                "disk full on a broker",
                lambda _: self.disk.fill(),
                lambda trial: self.disk.mend() or self.recover(trial),
                lambda _: not self.cluster.nodes[2].is_running(),
                hold_s=3,
            ),
            "clock": faults.Fault(
                "a broker's clock 2 h slow",
                self.begin_slow_clock,
                self.end_slow_clock,
                held,
            ),
            "expired": faults.Fault(
                "producer id expired",
                self.expire_producers("producer.id.expiration.ms=1000"),
                self.expire_producers("-"),
                faults.waiting(500),
                hold_s=4,
            ),
        }

    # --- Faults of one topic

    def of_topics(self):
        held = faults.said("held [k1]")
        limit = LARGE_BYTES * 2 // 3
        return {
            "recreated": faults.Fault(
                "topic deleted, made anew",
                lambda trial: self.cluster.delete_topic(trial.topic),
                self.make_anew,
                held,
            ),
            "partitions": faults.Fault(
                "partitions added",
                lambda trial: self.cluster.add_partitions(trial.topic, 2 * PARTITIONS),
                hold_s=4,
            ),
            "authorisation": faults.Fault(
                "authorisation withdrawn",
                lambda trial: self.cluster.forbid(trial.topic),
                lambda trial: self.cluster.allow(trial.topic),
                held,
            ),
            "size": faults.Fault(
                "message size lowered",
                lambda trial: self.cluster.set_topic(trial.topic, f"max.message.bytes={limit}"),
                lambda trial: self.cluster.set_topic(trial.topic),
                lambda trial: trial.counters()["dead_records"] > 0,
            ),
            "time": faults.Fault(
                "records too old for it",
                lambda trial: self.cluster.set_topic(
                    trial.topic, "message.timestamp.before.max.ms=1"
                ),
                lambda trial: self.cluster.set_topic(trial.topic),
                held,
            ),
        }

    def make_anew(self, trial):
        """What was in the topic is gone with it; what waits now must be in the new one."""
        trial.kept = trial.sequences_in("queue")
        self.cluster.create_topic(trial.topic, PARTITIONS)

    def all_faults(self):
        return {**self.of_topics(), **self.of_brokers(), **self.of_networks()}


def check_recreated(ground, trial, name):
    kept = set(trial.kept)
    lost = {
        sequence for sequence, _, _ in trial.published["k1"] if sequence < max(kept) and
        sequence not in kept
    }
    return faults.check(trial, name, [ground.read(trial)], excused=lost)


def check_partitions(ground, trial, name):
    records = ground.read(trial)
    if max(record.partition for record in records) < PARTITIONS:
        raise AssertionError("no record is in a new partition")
    return faults.check(trial, name, [records], keys_may_move=True)


def check_size(ground, trial, name):
    """Only what is too large is dead; requeued, it arrives."""
    dead = set(trial.sequences_in("dead"))
    large = {
        sequence for sequence, _, payload in trial.published["k1"] if len(payload) >= LARGE_BYTES
    }
    if not dead <= large:
        raise AssertionError(f"dead and not large: {sorted(dead - large)[:10]}")
    row = faults.check(trial, name, [ground.read(trial)], dead=dead)
    inspector.run("dead", "requeue", "--all", "--yes", spool=trial.spool)
    drained = forward.run("--spool", trial.spool, "--broker", trial.addresses[0], "--drain")
    found = {record.spool_id.split(":")[1] for record in ground.read(trial)}
    missing = [each for each in dead if str(each) not in found]
    if drained.code != 0 or missing:
        raise AssertionError(f"requeued, and not there: {missing[:10]}; {drained}")
    return row


OPTIONS = {
    "size": {"rate": 200, "large_share": 0.02, "large_bytes": LARGE_BYTES},
    "expired": {"forgetful": "answers lost, and the producer forgotten"},
}
CHECKS = {"recreated": check_recreated, "partitions": check_partitions, "size": check_size}


def run_trial(ground, name):
    """Goes through the fault, and returns the row."""
    fault = ground.all_faults()[name]
    trial = ground.trial(name, **OPTIONS.get(name, {}))
    trial.go_through([fault])
    check = CHECKS.get(name)
    if check is not None:
        return check(ground, trial, fault.name)
    return faults.check(trial, fault.name, [ground.read(trial)])


def run_these(folder, names, seed):
    if not names:
        return
    with Ground(folder / "these", seed) as ground:
        for name in names:
            yield run_trial(ground, name)


def run_random(folder, seed, minutes):
    """Faults in a random order, and crashes of spool-forward among them. Returns the row."""
    dice = random.Random(seed)
    end = time.monotonic() + minutes * 60
    with Ground(folder / f"random-{seed}", seed) as ground:
        # The others lose or move what is in the topic, or make dead letters, and are judged alone.
        unfit = {*CHECKS, "expired"}
        if not ground.has_own_network:
            unfit |= {"lost_some", "lost_all"}
        choice = [each for name, each in ground.all_faults().items() if name not in unfit]
        choice.append(faults.Fault("crash", faults.Trial.crash))
        trial = ground.trial("random", rate=300)

        def drawn():
            while time.monotonic() < end:
                fault = dice.choice(choice)
                print(f"seed {seed}: {trial.accepted_count()} accepted: {fault.name}", flush=True)
                yield dataclasses.replace(fault, hold_s=dice.uniform(0, 6))

        trial.go_through(drawn())
        return faults.check(trial, f"random, seed {seed}", [ground.read(trial)])


def setUpModule():
    is_there, why_not = kafka.available()
    if not is_there:
        raise unittest.SkipTest(why_not)
    folder = tempfile.TemporaryDirectory(prefix="kafka-spool-")
    unittest.addModuleCleanup(folder.cleanup)
    ground = Ground(Path(folder.name))
    unittest.enterModuleContext(ground)
    FaultsTest.ground = ground
    FaultsTest.rows = []


class FaultsTest(unittest.TestCase):
    """All on one cluster, one after the other."""

    ground = None
    rows = None

    @classmethod
    def tearDownClass(cls):
        print(faults.table(cls.rows, "\nApache Kafka, 3 brokers"), file=sys.stderr)

    def setUp(self):
        # A failure must not break the tests behind it.
        self.addCleanup(self.mend)

    def mend(self):
        for each in self.ground.proxies:
            each.mend()
        for node in self.ground.cluster.nodes:
            self.ground.cluster.cont(node.number)

    def skip(self, why_not):
        print(f"SKIPPED: {why_not}", file=sys.stderr)
        self.skipTest(why_not)

    def check(self, name):
        ground = self.ground
        if name in ("lost_some", "lost_all") and not ground.has_own_network:
            self.skip(network.available()[1])
        if name == "disk" and ground.disk.why_not:
            self.skip(f"no small disk here: {ground.disk.why_not}")
        self.rows.append(run_trial(ground, name))

    def beside(self, name, address):
        """[k2] at that address flows while [k1] has that fault."""
        trial = self.ground.trial(f"{name}-beside")
        fault = self.ground.all_faults()[name]
        trial.go_beside(fault, address)
        self.rows.append(faults.check(trial, f"{fault.name}; [k1]", [self.ground.read(trial)]))
        return trial

    def test_another_topic_flows_while_authorisation_is_withdrawn(self):
        other = self.ground.make_topic("other")
        trial = self.beside("authorisation", self.ground.address(other, "k2"))
        records = list(self.ground.cluster.read(other))
        self.rows.append(faults.check(trial, "  ... [k2] beside it", [records], identity="k2"))

    def test_another_cluster_flows_while_this_one_hangs(self):
        folder = self.ground.folder / "embedded"
        folder.mkdir()
        with broker.EmbeddedBroker(folder, topics={"t": 4}, record=True) as embedded:
            address = f"[k2]{embedded.bootstrap}/t?{faults.QUICK}"
            trial = self.beside("hang", address)
            logs = [list(embedded.records())]
        self.rows.append(faults.check(trial, "  ... [k2] beside it", logs, identity="k2"))


def add_test(name):
    setattr(FaultsTest, f"test_{name}", lambda self: self.check(name))


for each_name in (*SHORT, *(LONG if IS_LONG else ())):
    add_test(each_name)


if __name__ == "__main__":
    sys.exit(faults.main(__doc__, (*SHORT, *LONG), run_these, run_random))
