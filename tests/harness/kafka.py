# SPDX-License-Identifier: GPL-2.0-or-later
"""
Apache Kafka for tests: one or three KRaft nodes, each broker and controller, on fixed ports of
127.0.0.1, that can be killed, stopped, continued and started again.

kill9() leaves the page cache alone, so what a node had acknowledged is still in its log when it
starts again, although nothing was flushed; only a power loss would take that.
"""

import base64
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

from harness import process, topic

POM = Path(__file__).resolve().parents[1] / "kafka" / "pom.xml"
MAVEN_SECONDS = 600
START_SECONDS = 300
ANSWER_SECONDS = 30
HEAP_MB = {1: 512, 3: 256}
USER = "tester"


class KafkaUnavailable(RuntimeError):
    """Kafka cannot be had here; the message says why."""


def libraries():
    """The folder of Kafka's jars. The first call after pom.xml changed asks Maven for them."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise KafkaUnavailable(f"{program} is not installed")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    version = hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    folder = home / "kafka-spool-tests" / f"kafka-{version}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Complete or not there: a run that was killed leaves another folder behind.
    with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
        copied = Path(unfinished) / "jars"
        copy_jars(copied)
        try:
            copied.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another run was first
                raise
    return folder


def copy_jars(folder):
    command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=MAVEN_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise KafkaUnavailable(f"Maven took longer than {MAVEN_SECONDS} s") from late
    if result.returncode != 0:
        lines = (result.stdout + result.stderr).strip().splitlines()
        raise KafkaUnavailable("Maven failed: " + " | ".join(lines[:3]))


@functools.lru_cache(maxsize=None)
def available():
    """(True, "") or (False, why not). In CI the lack of Kafka is an error instead."""
    try:
        libraries()
    except KafkaUnavailable as reason:
        if os.environ.get("CI") == "true":
            raise
        return False, f"no real Kafka, so nothing was tested: {reason}"
    return True, ""


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_authority(folder, name="ca"):
    """A certificate authority: folder/NAME.pem and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", 2),
        *("-subj", f"/CN={name} of the tests", "-keyout", key, "-out", certificate),
    )
    return certificate, key


def make_server_certificate(folder, authority):
    """A certificate for 127.0.0.1 with its key, in one PEM file as Java reads it."""
    key, request, certificate, extensions = (
        folder / f"server.{each}" for each in ("key", "csr", "crt", "ext")
    )
    extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n", encoding="ascii")
    openssl(
        *("req", "-newkey", "rsa:2048", "-nodes", "-sha256", "-subj", "/CN=127.0.0.1"),
        *("-keyout", key, "-out", request),
    )
    openssl(
        *("x509", "-req", "-in", request, "-CA", authority[0], "-CAkey", authority[1]),
        *("-CAcreateserial", "-days", 2, "-sha256", "-extfile", extensions, "-out", certificate),
    )
    both = folder / "server.pem"
    both.touch(mode=0o600)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both


class Node:
    """One broker and controller: where it is, and its process while it runs."""

    def __init__(self, number, folder, ports):
        self.number = number
        self.folder = folder
        self.port, self.controller_port, self.internal_port = ports
        self.told_port = self.port  # where clients are told that it is
        self.data = folder / "data"
        self.environment = None  # None: like ours
        self.properties = folder / "server.properties"
        self.program = None

    def is_running(self):
        return self.program is not None and self.program.is_alive()


class KafkaCluster:
    """
    A context manager; inside it, the cluster answers. nodes: 1 or 3, numbered from 0.

    sasl: clients log in with SASL/PLAIN over TLS, and client_properties() says how. acls: they log in
    without TLS, and may write to the topics that allow() names. told_ports: clients are told that the
    nodes are there; somebody has to pass on from there to each node's port. settings: more of the
    server's.

    What this object asks and reads itself goes by the nodes' internal listeners: without a login,
    with all rights, by nobody who passes on.
    """

    def __init__(
        self, folder, nodes=1, sasl=False, *, acls=False, told_ports=None, settings=None
    ):
        self.folder = Path(folder)
        self.heap_mb = HEAP_MB[nodes]
        self.sasl = sasl
        self.acls = acls
        self.settings = settings or {}
        self.password = "test-" + uuid.uuid4().hex
        self.password_path = self.folder / "password"
        self.ca_path = self.folder / "ca.pem"
        self.server_path = None
        ports = process.free_ports(3 * nodes)
        self.nodes = [
            Node(number, self.folder / f"node-{number}", ports[3 * number : 3 * number + 3])
            for number in range(nodes)
        ]
        for node, port in zip(self.nodes, told_ports or []):
            node.told_port = port
        self.bootstrap = ",".join(f"127.0.0.1:{node.told_port}" for node in self.nodes)
        self.internal_bootstrap = ",".join(
            f"127.0.0.1:{node.internal_port}" for node in self.nodes
        )

    def __enter__(self):
        try:
            for node in self.nodes:
                node.folder.mkdir(parents=True, exist_ok=True)
            if self.sasl or self.acls:
                self._make_secrets()
            self._format()
            for node in self.nodes:
                self.restart(node.number)
            self.wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    # --- Configuration ---------------------------------------------------------------------------

    def _make_secrets(self):
        self.password_path.touch(mode=0o600)
        self.password_path.write_text(self.password + "\n", encoding="ascii")
        if self.sasl:
            self.server_path = make_server_certificate(self.folder, make_authority(self.folder))

    def client_properties(self, password_path=None, ca_path=None):
        """librdkafka's properties for a client, as name=value."""
        if not self.sasl and not self.acls:
            return []
        properties = [
            f"security.protocol={'sasl_ssl' if self.sasl else 'sasl_plaintext'}",
            "sasl.mechanism=PLAIN",
            f"sasl.username={USER}",
            f"sasl.password.file={password_path or self.password_path}",
        ]
        if self.sasl:
            properties.append(f"ssl.ca.location={ca_path or self.ca_path}")
        return properties

    def _server_properties(self, node):
        internal = f"INTERNAL://127.0.0.1:{node.internal_port}"
        listeners = f"CLIENT://127.0.0.1:{node.port},{internal}"
        controllers = [f"{each.number}@127.0.0.1:{each.controller_port}" for each in self.nodes]
        client_protocol = "PLAINTEXT"
        if self.sasl or self.acls:
            client_protocol = "SASL_SSL" if self.sasl else "SASL_PLAINTEXT"
        replicas = len(self.nodes)
        properties = {
            "process.roles": "broker,controller",
            "node.id": node.number,
            "controller.quorum.voters": ",".join(controllers),
            "controller.listener.names": "CONTROLLER",
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{node.controller_port}",
            "advertised.listeners": f"CLIENT://127.0.0.1:{node.told_port},{internal}",
            "listener.security.protocol.map": f"CLIENT:{client_protocol},INTERNAL:PLAINTEXT,"
            "CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "INTERNAL",
            "log.dirs": node.data,
            "metadata.log.dir": node.folder / "metadata",
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": 0,
            "default.replication.factor": replicas,
            "min.insync.replicas": min(2, replicas),
            "offsets.topic.replication.factor": replicas,
            "offsets.topic.num.partitions": 1,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.num.partitions": 1,
            # A dead node is noticed after this, instead of after 9 seconds.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            # A node that hangs while it starts goes on afterwards, instead of ending.
            "initial.broker.registration.timeout.ms": 600000,
            # Small: what is tested runs beside it. The buffer would take 128 MB of the heap.
            "num.network.threads": 2,
            "num.io.threads": 2,
            "background.threads": 2,
            "log.cleaner.dedupe.buffer.size": 4 << 20,
        }
        if self.sasl or self.acls:
            properties |= {
                "listener.name.client.sasl.enabled.mechanisms": "PLAIN",
                "listener.name.client.plain.sasl.jaas.config": "org.apache.kafka.common.security."
                f'plain.PlainLoginModule required user_{USER}="{self.password}";',
            }
        if self.acls:
            properties |= {
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                # Who comes by the other listeners.
                "super.users": "User:ANONYMOUS",
            }
        if self.sasl:
            properties |= {
                "listener.name.client.ssl.keystore.type": "PEM",
                "listener.name.client.ssl.keystore.location": self.server_path,
            }
        properties |= self.settings
        return "".join(f"{name}={value}\n" for name, value in properties.items())

    def _java(self, heap_mb, *arguments):
        return [
            "java",
            f"-Xmx{heap_mb}m",
            "-XX:+UseSerialGC",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
            "-cp",
            f"{libraries()}/*",
            *arguments,
        ]

    def _format(self):
        """All nodes at once: most of it is the start of Java."""
        # 16 bytes in URL base64, which may not start with "-": that would be an option.
        cluster_id = "K" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        formatting = []
        for node in self.nodes:
            node.properties.touch(mode=0o600)
            node.properties.write_text(self._server_properties(node), encoding="utf-8")
            tool = ("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", node.properties)
            formatting.append(process.Program(self._java(64, *tool), node.folder / "format.log"))
        for program in formatting:
            if program.popen.wait() != 0:
                raise RuntimeError(f"Kafka's storage: {program.log_tail()}")

    # --- Life ------------------------------------------------------------------------------------

    def restart(self, number):
        """Starts a node that was killed or stopped; wait_ready() waits for it."""
        node = self.nodes[number]
        if node.is_running():
            raise RuntimeError(f"node {number} is running")
        command = self._java(self.heap_mb, "kafka.Kafka", node.properties)
        node.program = process.Program(
            command, node.folder / "server.log", env=node.environment
        )

    def wait_ready(self):
        """Waits until every node that runs is registered and answers."""
        running = [node for node in self.nodes if node.is_running()]

        def is_ready():
            for node in running:
                if not node.is_running():
                    raise RuntimeError(f"node {node.number} ended: {node.program.log_tail()}")
            return all(self._answers(node, len(running)) for node in running)

        process.wait_until(is_ready, START_SECONDS, f"{len(running)} Kafka nodes answer")

    def _answers(self, node, brokers_count):
        try:
            bootstrap = f"127.0.0.1:{node.internal_port}"
            lines = self._admin("brokers", bootstrap=bootstrap, timeout_s=ANSWER_SECONDS)
            return len(lines) >= brokers_count
        except topic.TopicError:
            return False

    def kill9(self, number):
        self.nodes[number].program.kill9()

    def stop(self, number):
        """The orderly way, by SIGTERM."""
        self.nodes[number].program.terminate()

    def sigstop(self, number):
        self.nodes[number].program.sigstop()

    def cont(self, number):
        self.nodes[number].program.sigcont()

    def close(self):
        """Kills all nodes: nothing of them is kept."""
        for node in self.nodes:
            if node.program is not None:
                node.program.kill9()

    def resident_bytes(self, field="VmHWM"):
        """The memory of all nodes that run: the most so far (VmHWM), or now (VmRSS)."""
        return sum(
            process.resident_bytes(node.program.pid, field)
            for node in self.nodes
            if node.is_running()
        )

    # --- Topics ----------------------------------------------------------------------------------

    def _admin(self, *words, bootstrap=None, timeout_s=START_SECONDS):
        return topic.admin(bootstrap or self.internal_bootstrap, *words, timeout_s=timeout_s)

    def create_topic(self, name, partitions=1, replication=None):
        self._admin("create", name, partitions, replication or len(self.nodes))

    def delete_topic(self, name):
        self._admin("delete", name)

    def add_partitions(self, name, partitions):
        self._admin("partitions", name, partitions)

    def set_topic(self, name, setting="-"):
        """The topic's only setting of its own, as NAME=VALUE; none."""
        self._admin("set", name, setting)

    def set_broker(self, number, setting="-"):
        self._admin("set-broker", number, setting)

    def allow(self, name):
        """Clients may write to the topic (with acls)."""
        self._admin("allow", name, USER)

    def forbid(self, name):
        self._admin("forbid", name, USER)

    def _describe(self, name, partition):
        for line in self._admin("describe", name):
            number, leader, _, in_sync = line.split("\t")
            if int(number) == partition:
                return int(leader), [int(each) for each in in_sync.split(",") if each]
        raise RuntimeError(f"{name} has no partition {partition}")

    def leader(self, name, partition):
        """The number of the node that leads the partition; None: no node does."""
        leader, _ = self._describe(name, partition)
        return leader if leader >= 0 else None

    def in_sync(self, name, partition):
        """The numbers of the nodes whose copy of the partition is complete."""
        return self._describe(name, partition)[1]

    def read(self, name, **options):
        """All records of a topic: see topic.read. With properties, as a client reads them."""
        bootstrap = self.bootstrap if "properties" in options else self.internal_bootstrap
        return topic.read(bootstrap, name, **options)
