# SPDX-License-Identifier: GPL-2.0-or-later
"""The brokers of a soak: one interface to the embedded one and to real Kafka, and their faults."""

from harness import broker, kafka, process, topic

TOPICS = {"calls": 4, "brief": 2, "events": 2}
READ_S = 300


class Embedded:
    """librdkafka's mock broker, in a process of its own."""

    name = "embedded broker"

    def __init__(self, folder):
        folder.mkdir()
        self.broker = broker.EmbeddedBroker(folder, record=True, topics=TOPICS)
        self.bootstrap = self.broker.bootstrap
        # name -> (how it begins, how it ends)
        self.faults = {
            "refuses": (self._commands("down all"), self._commands("up all")),
            "hangs": (self._commands("hang all"), self._commands("unhang all")),
            "slow": (self._commands("rtt all 300"), self._commands("rtt all 0")),
            "not leader": (
                self._commands("error Produce 20 NOT_LEADER_FOR_PARTITION all"),
                self._commands(),
            ),
        }

    def _commands(self, *lines):
        return lambda: [self.broker.command(line) for line in lines]

    def resident_bytes(self):
        return process.resident_bytes(self.broker.program.pid)

    def read(self, name):
        return self.broker.records(name)

    def close(self):
        self.broker.close()


class Kafka:
    """One node of Apache Kafka."""

    name = "Apache Kafka"

    def __init__(self, folder):
        self.cluster = kafka.KafkaCluster(folder, nodes=1)
        self.cluster.__enter__()
        self.bootstrap = self.cluster.bootstrap
        for name, partitions in TOPICS.items():
            self.cluster.create_topic(name, partitions)
        self.faults = {
            "killed -9": (lambda: self.cluster.kill9(0), self._start),
            "stopped": (lambda: self.cluster.stop(0), self._start),
            "hangs": (lambda: self.cluster.sigstop(0), lambda: self.cluster.cont(0)),
        }

    def _start(self):
        self.cluster.restart(0)
        self.cluster.wait_ready()

    def resident_bytes(self):
        return self.cluster.resident_bytes("VmRSS")

    def read(self, name):
        return topic.read(self.bootstrap, name, timeout_s=READ_S)

    def close(self):
        self.cluster.close()
