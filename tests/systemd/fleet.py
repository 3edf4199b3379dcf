"""Three Debian systems with Kafka as systemd units, and handles to make them misbehave."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

# type: ignore[import-untyped,unused-ignore]
from kafka import KafkaAdminClient

from ..lab.command import Finished, Running, environment
from ..lab.daemon import LabError, wait_for
from ..lab.jars import fetch_jars
from ..lab.needs import program
from . import units
from .network import Network, address_of, on_the_bridge, remove_networks
from .rootfs import OPERATOR, SERVICE_USER, make_rootfs
from .system import (
    Bind,
    System,
    groups_left,
    kill_all_in,
    remove_groups,
    unmount,
)
from .witness import PATIENCE, Witness

STATE = Path("/run/kafka-rolling-restart-systemd")
LOCK = Path("/run/kafka-rolling-restart-systemd.lock")
CLUSTER_ID = "kafkaRollingRestart0lab"
TOPIC = "orders"
FIRST_CONTROLLER = 101
ZOOKEEPER_ID = 201
HEAP = "256m"
FILES = {
    units.BROKER: "server.properties",
    units.CONTROLLER: "controller.properties",
    units.ZOOKEEPER: "zookeeper.properties",
}
SETTLE_TIMEOUT = 90.0  # s
RUN_TIMEOUT = 600.0  # s
QUICK_CHECKS = ("--check-interval", "1", "--check-count", "3", "--no-confirm")
SSH_CONFIG = """\
Host 192.0.2.*
    User {user}
    IdentityFile {folder}/key
    UserKnownHostsFile {folder}/known_hosts
"""


@dataclass(frozen=True)
class _Part:
    """What a node does in its cluster: its unit, the version of Kafka, and its settings."""

    unit: str
    version: str
    text: str


@dataclass(frozen=True)
class Node:
    """A node of the cluster: a unit of a system."""

    id: int
    system: System
    unit: str = units.BROKER

    def show(self, name: str) -> str:
        """Return a property of the unit, by systemd's own word."""
        return self.system.run(f"systemctl show -p {name} --value {self.unit}")

    @property
    def properties(self) -> str:
        """The file with its settings, on its host."""
        return f"/etc/kafka/{FILES[self.unit]}"

    @property
    def data(self) -> str:
        """Its log folder, on its host."""
        return _data(self.unit)

    @property
    def invocation(self) -> str:
        """What systemd calls this run of the unit."""
        return self.show("InvocationID")

    @property
    def pid(self) -> int:
        """The main process inside, 0 where it does not run."""
        return int(self.show("MainPID"))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the JVM by hand, behind systemd's back."""
        self.system.run(f"kill -{number.value} {self.pid}")

    def invocations(self) -> list[str]:
        """Return every run of the unit that wrote to the journal."""
        field = "--output=cat --output-fields=_SYSTEMD_INVOCATION_ID"
        return self.system.run(f"journalctl --quiet -u {self.unit} {field} | sort -u").split()

    def journal(self, lines: int = 30) -> str:
        """Return the end of what the unit and systemd said of it."""
        return self.system.run(f"journalctl --quiet --no-pager -n {lines} -u {self.unit}")


class Fleet:
    """Systems 1, 2 and 3 that live for as long as the `with` block.

    They have no cluster until `combined`, `with_controllers` or `on_zookeeper` lays one out.
    """

    def __init__(self, styles: Mapping[int, units.Style] = units.STYLES) -> None:
        self.styles = dict(styles)
        self.systems: dict[int, System] = {}
        self.nodes: dict[int, Node] = {}
        self._parts: dict[int, _Part] = {}
        self._lock: IO[str] | None = None
        self._network: Network | None = None

    def __enter__(self) -> Fleet:
        self._lock = LOCK.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        remove_leftovers()
        try:
            self._build()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    @property
    def brokers(self) -> list[Node]:
        """The nodes that are brokers."""
        return [one for one in self.nodes.values() if one.unit == units.BROKER]

    @property
    def bootstrap(self) -> str:
        """Every broker, as `--bootstrap-server` takes them."""
        return ",".join(f"{address_of(number)}:{units.KAFKA_PORT}" for number in self.systems)

    @property
    def home(self) -> Path:
        """The home folder of who runs the tool."""
        return STATE / "home"

    def launch(self, *arguments: str) -> Running:
        """Launch the tool."""
        with on_the_bridge():
            return Running(arguments, environment(self.home), self.home)

    def roll(self, *arguments: str, timeout: float = RUN_TIMEOUT) -> Finished:
        """Roll the cluster with quick checks."""
        running = self.launch("--bootstrap-server", self.bootstrap, *QUICK_CHECKS, *arguments)
        return running.finish(timeout)

    def witness(self) -> Witness:
        """Return a witness of the brokers' ports."""
        ports = {one.id: (address_of(one.id), units.KAFKA_PORT) for one in self.brokers}
        return Witness(ports)

    # Clusters

    def combined(self) -> None:
        """Have a healthy KRaft cluster of which each node is broker and controller."""
        voters = {number: address_of(number) for number in self.systems}
        self._have(
            {one: _kraft(one, units.BROKER, ("broker", "controller"), voters) for one in voters}
        )

    def with_controllers(self) -> None:
        """Have a healthy KRaft cluster with a broker and a controller on each host, as two
        units."""
        voters = {FIRST_CONTROLLER - 1 + number: address_of(number) for number in self.systems}
        parts = {one: _kraft(one, units.BROKER, ("broker",), voters) for one in self.systems}
        for one in voters:
            parts[one] = _kraft(one, units.CONTROLLER, ("controller",), voters)
        self._have(parts)

    def on_zookeeper(self) -> None:
        """Have a healthy cluster of Kafka 3.9 on one ZooKeeper, which is on the first host."""
        text = units.zookeeper_properties(_data(units.ZOOKEEPER))
        parts = {ZOOKEEPER_ID: _Part(units.ZOOKEEPER, "3.9", text)}
        for one in self.systems:
            text = units.zookeeper_broker_properties(
                one, address_of(one), self.zookeeper, _data(units.BROKER)
            )
            parts[one] = _Part(units.BROKER, "3.9", text)
        self._have(parts)

    @property
    def zookeeper(self) -> str:
        """The address of the ZooKeeper, where there is one."""
        return f"{address_of(_host_number(ZOOKEEPER_ID))}:{units.ZOOKEEPER_PORT}"

    def mend(self) -> None:
        """Make every host as it was before a test."""
        for node in self.nodes.values():
            self._write_files(node)
        for system in self.systems.values():
            system.run("systemctl daemon-reload; systemctl reset-failed")
        for node in self.nodes.values():
            if node.pid:
                node.signal(signal.SIGCONT)
            node.system.run(f"systemctl start {node.unit}")
        self.wait_healthy()

    def _have(self, parts: Mapping[int, _Part]) -> None:
        if parts == self._parts and not self._why_unhealthy():
            return
        for node in self.nodes.values():
            node.system.run(f"systemctl kill -s KILL {node.unit}; systemctl stop {node.unit}")
        self._parts = dict(parts)
        self.nodes = {
            number: Node(number, self.systems[_host_number(number)], part.unit)
            for number, part in parts.items()
        }
        for node in self.nodes.values():
            self._write_files(node)
            self._make_storage(node)
        for node in self.nodes.values():
            node.system.run(f"systemctl start {node.unit}")
        self.wait_healthy()

    def _write_files(self, node: Node) -> None:
        """Write what tells a node what it is."""
        part, style = self._parts[node.id], self.styles[_host_number(node.id)]
        node.system.write(node.properties.lstrip("/"), part.text)
        unit = units.unit(node.unit, style, HEAP, part.version, node.properties)
        node.system.write(f"etc/systemd/system/{node.unit}.service", unit)
        node.system.run(f"rm -rf /etc/systemd/system/{node.unit}.service.d")
        script = units.run_class_script(HEAP, part.version)
        node.system.write(units.RUN_CLASS.lstrip("/"), script, 0o755)

    def _make_storage(self, node: Node) -> None:
        """Make the storage of a node anew, as its own user; in KRaft it has to be formatted."""
        part = self._parts[node.id]
        node.system.run(f"systemctl daemon-reload; rm -rf {node.data}")
        if "process.roles" in part.text:
            libs = units.LIBS[part.version]
            java = f"java -Xmx64m -XX:TieredStopAtLevel=1 -cp '{libs}/*'"
            form = f"kafka.tools.StorageTool format -t {CLUSTER_ID} -c {node.properties}"
            node.system.run(f"runuser -u {SERVICE_USER} -- {java} {form}")

    def wait_healthy(self, timeout: float = SETTLE_TIMEOUT) -> None:
        """Wait until every replica of every partition is in sync. Raises `LabError`."""
        deadline = time.monotonic() + timeout
        while why := self._why_unhealthy():
            if time.monotonic() > deadline:
                said = "\n".join(node.journal(8) for node in self.nodes.values())
                raise LabError(f"the cluster is not healthy: {why}\n{said}")
            time.sleep(0.5)

    def _why_unhealthy(self) -> str:
        try:
            with on_the_bridge():
                return self._look()
        except Exception as error:  # whatever it was, it is not healthy yet
            return repr(error)

    def _look(self) -> str:
        """Ask the ports first: a broker that was killed a moment ago is in sync until its session
        is over."""
        for node in self.brokers:
            socket.create_connection((address_of(node.id), units.KAFKA_PORT), PATIENCE).close()
        admin = KafkaAdminClient(
            bootstrap_servers=self.bootstrap.split(","), request_timeout_ms=5000
        )
        try:
            if TOPIC not in admin.list_topics():
                admin.create_topics({TOPIC: {"num_partitions": 6, "replication_factor": 3}})
                return "its topic was just made"
            for topic in admin.describe_topics([TOPIC]):
                for partition in topic["partitions"]:
                    if len(partition["isr_nodes"]) < 3:
                        return f"partition {partition['partition_index']} is not in sync"
        finally:
            admin.close()
        return ""

    # Systems

    def _build(self) -> None:
        rootfs = make_rootfs()
        binds = [Bind(fetch_jars(version).folder, libs) for version, libs in units.LIBS.items()]
        STATE.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "krr-systemd", str(STATE)], check=True)
        self._network = Network()
        public_key = self._make_home(rootfs)
        for number, style in self.styles.items():
            name, folder = f"kafka{number}", STATE / f"kafka{number}"
            network = self._network.add_host(number)
            system = System(name, rootfs, folder, network, binds)
            self.systems[number] = system
            _prepare(system, style, public_key)
            system.boot()
        for system in self.systems.values():
            system.wait_booted()

    def _make_home(self, rootfs: Path) -> str:
        folder = self.home / ".ssh"
        folder.mkdir(parents=True, mode=0o700)
        key = folder / "key"
        command = [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        host_key = (rootfs / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
        lines = [f"{address_of(number)} {host_key}" for number in self.styles]
        (folder / "known_hosts").write_text("".join(lines))
        (folder / "config").write_text(SSH_CONFIG.format(user=OPERATOR, folder=folder))
        return key.with_suffix(".pub").read_text()

    def _end(self) -> None:
        for system in self.systems.values():
            system.end()
        self.systems, self.nodes = {}, {}
        remove_leftovers()
        if self._lock is not None:
            self._lock.close()


def remove_leftovers() -> None:
    """Remove what a run left behind that was killed; its systems died with it."""
    groups = groups_left()
    for group in groups:
        kill_all_in(group)
    remove_groups(groups)
    remove_networks()
    for root in STATE.glob("*/root"):
        unmount(root)
    unmount(STATE)
    if STATE.exists():
        shutil.rmtree(STATE)


def _prepare(system: System, style: units.Style, public_key: str) -> None:
    """Do what an operator does once on a new host."""
    system.write("etc/sudoers.d/ops", units.sudoers([units.BROKER, units.CONTROLLER]), 0o440)
    keys = system.root / "home" / OPERATOR / ".ssh" / "authorized_keys"
    keys.write_text(public_key)
    keys.chmod(0o600)
    owner = keys.parent.stat()
    os.chown(keys, owner.st_uid, owner.st_gid)
    system.write("etc/kafka/log4j2.properties", units.LOG4J2)
    system.write("etc/kafka/log4j.properties", units.LOG4J)
    system.write(units.START.lstrip("/"), units.start_script(), 0o755)
    name = f" {system.name}" if style.is_in_hosts_file else ""
    system.write("etc/hosts", f"127.0.0.1 localhost{name}\n")
    if style.slow_login:
        session = system.root / "etc/pam.d/common-session"
        session.write_text(session.read_text().replace("#session", "session"))


def _kraft(number: int, unit: str, roles: Sequence[str], voters: Mapping[int, str]) -> _Part:
    address = address_of(_host_number(number))
    return _Part(unit, "4.1", units.kraft_properties(number, address, roles, voters, _data(unit)))


def _data(unit: str) -> str:
    return f"/var/lib/kafka/{unit}"


def _host_number(node_id: int) -> int:
    return node_id % (FIRST_CONTROLLER - 1)


def wait_until_shown(node: Node, name: str, value: str, timeout: float) -> None:
    """Wait until systemd shows a value. Raises `LabError`."""
    wait_for(f"{name} of {node.unit} is {value}", lambda: node.show(name) == value, timeout)
