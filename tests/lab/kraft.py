"""A KRaft cluster on loopback addresses, with SSH, service scripts and metrics, and
handles to make it misbehave."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# type: ignore[import-untyped,unused-ignore]
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from kafka_rolling_restart.clock import SystemClock
from kafka_rolling_restart.errors import RegistryUnavailable
from kafka_rolling_restart.registry.kafka.answers import Address
from kafka_rolling_restart.registry.kafka.client import KafkaClient
from kafka_rolling_restart.settings.access import KafkaAccess
from tests.certificates import Authority

from .base import BOOT_TIMEOUT, TOPIC, BaseLab, spread
from .broker import (
    ACTIVE_CONTROLLERS,
    KAFKA_PORT,
    OFFLINE_PARTITIONS,
    UNDER_REPLICATED,
)
from .daemon import LabError, wait_for
from .host import Host
from .jars import POMS, Jars, fetch_jars
from .java import java_command
from .kraft_observer import FOLLOWING, KraftObserver, Reading, read_node
from .settings import SCRAM, SECURE_PORT, kraft_settings, secure_settings
from .subnet import Subnet

CLUSTER_ID = "kafkaRollingRestart0lab"
FIRST_CONTROLLER = 101
LOCK_GROUP = "kafka-rolling-restart"
HEAP, CONTROLLER_HEAP = "192m", "128m"
FORMAT_TIMEOUT = 60.0  # s
ADMIN_TIMEOUT = 20_000  # ms
QUICK = 3.0  # s for an answer about health
FENCED = ("kafka.controller:type=KafkaController,name=FencedBrokerCount", "Value")
ACTIVE = ("kafka.controller:type=KafkaController,name=ActiveBrokerCount", "Value")
Right = tuple[ResourceType, str, ACLOperation]
META = "version=1\ncluster.id={cluster}\nnode.id={node}\n"


class KraftLab(BaseLab):
    """A KRaft cluster that lives for as long as the `with` block.

    Brokers are 1, 2, 3, ...; dedicated controllers are 101, 102, ... With ``combined`` the brokers
    are the voters, and there are no others. ``version`` is that of Kafka: 4.1, or 3.9.
    ``settings`` go into the server.properties of every node, over those of the lab. A ``secure``
    one has a second listener for brokers, with SASL_SSL and SCRAM, and rights that are checked
    there; its certificates are of ``authority``.

    Measured with 3 brokers and 3 controllers of Kafka 4.1 on 2 cores and 24 GiB, with other work
    beside it: healthy after 13 s; a broker's JVM takes 184 MiB, a controller's 153 MiB (RSS), all
    six 1.0 GiB; a reset with nothing to do takes 0.25 s; the end 0.3 s. A broker that is restarted
    within its session of 9 s is refused (DUPLICATE_BROKER_REGISTRATION) until the session is over,
    though it was stopped gracefully: its restart takes 10 to 13 s. A stop takes 2.5 s, that of a
    controller 0.2 to 0.9 s. The quorum is a static one, and the cluster tells the controllers'
    hosts (`nodes` of DescribeQuorum) all the same.
    """

    def __init__(
        self,
        brokers: int = 3,
        controllers: int = 3,
        combined: bool = False,
        version: str = "4.1",
        settings: Mapping[str, object] | None = None,
        secure: bool = False,
    ) -> None:
        super().__init__()
        if brokers not in range(1, FIRST_CONTROLLER - 1) or controllers not in range(1, 10):
            raise ValueError("a lab has 1 to 99 brokers and 1 to 9 controllers")
        if version not in POMS:
            raise ValueError(f"version is one of {', '.join(POMS)}")
        self.combined = combined
        self.version = version
        self.secure = secure
        # KafkaAdminClient takes every group for one of consumers, and fails at the lock's
        self._protocol = KafkaClient(KafkaAccess(QUICK), SystemClock())
        self._settings = dict(settings or {})
        self.controllers: list[Host] = []
        self._brokers = range(1, brokers + 1)
        self._controllers = range(FIRST_CONTROLLER, FIRST_CONTROLLER + controllers)
        self._observer: KraftObserver | None = None

    @property
    def nodes(self) -> list[Host]:
        """Every host that runs Kafka: the brokers' and those of dedicated controllers."""
        return [*self.hosts, *self.controllers]

    @property
    def voters(self) -> list[Host]:
        """The hosts of the quorum's voters."""
        return self.hosts if self.combined else self.controllers

    @property
    def bootstrap(self) -> str:
        """Every broker, as `--bootstrap-server` takes them."""
        return ",".join(self.broker_list)

    @property
    def secure_bootstrap(self) -> str:
        """The listeners with SASL_SSL of a ``secure`` lab."""
        return ",".join(f"{host.address}:{SECURE_PORT}" for host in self.hosts)

    def client_properties(self, user: str, password: str) -> Path:
        """Write a properties file that logs in to the listeners with SASL_SSL."""
        module = "org.apache.kafka.common.security.scram.ScramLoginModule"
        path = self.home / f"{user}.properties"
        path.write_text(
            "security.protocol=SASL_SSL\n"
            f"sasl.mechanism={SCRAM}\n"
            f'sasl.jaas.config={module} required username="{user}" password="{password}";\n'
            "ssl.truststore.type=PEM\n"
            f"ssl.truststore.location={self.authority.file}\n"
        )
        path.chmod(0o600)
        return path

    def add_user(self, name: str, password: str, rights: Sequence[Right]) -> None:
        """Make a user who may log in with a password and has these rights, and no others."""
        mechanism = ScramMechanism.SCRAM_SHA_512
        with self.admin() as admin:
            admin.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(name, mechanism, password.encode())]
            )
            for kind, resource, operation in rights:
                pattern = ResourcePattern(kind, resource)
                principal = f"User:{name}"
                admin.create_acls(
                    [ACL(principal, "*", operation, ACLPermissionType.ALLOW, pattern)]
                )

    @property
    def where(self) -> str:
        """What tells of the brokers, and its address."""
        return f"Kafka: {self.bootstrap}"

    @property
    def observer(self) -> KraftObserver:
        """The witness."""
        if self._observer is None:
            raise LabError("the lab has not booted")
        return self._observer

    def host(self, number: int) -> Host:
        """Return the host of a node by the node's id."""
        return {host.id: host for host in self.nodes}[number]

    def quorum_leader(self) -> int | None:
        """Ask the voters for the id of the one that leads; None during an election."""
        readings = {voter.id: read_node(voter, QUICK) for voter in self.voters}
        leaders = [number for number, one in readings.items() if one and one.raft == "leader"]
        return leaders[0] if len(leaders) == 1 else None

    def start_controllers(self) -> None:
        """Start every dedicated controller that does not run."""
        for controller in self.controllers:
            controller.start()

    def lock_coordinator(self) -> Address | None:
        """Return where the coordinator of the lock's group is; None while there is none."""
        for host in self.hosts:
            try:
                found = self._protocol.find_coordinator(
                    (host.address, KAFKA_PORT), LOCK_GROUP, QUICK
                )
            except RegistryUnavailable:
                continue
            if not found.error:
                return found.address
        return None

    def lock_holders(self) -> list[str]:
        """Return the id of each member of the lock's group: of the one that holds the lock, and for
        a moment of those that do not get it. None where no coordinator tells."""
        coordinator = self.lock_coordinator()
        if coordinator is None:
            return []
        try:
            seen = self._protocol.describe_group(coordinator, LOCK_GROUP, QUICK)
        except RegistryUnavailable:
            return []
        return [member.id for member in seen.members]

    @contextmanager
    def admin(self) -> Iterator[KafkaAdminClient]:
        """Hold a client of the admin protocol for the block."""
        client = KafkaAdminClient(
            bootstrap_servers=self.broker_list, request_timeout_ms=ADMIN_TIMEOUT
        )
        try:
            yield client
        finally:
            client.close()

    def why_unhealthy(self) -> str:
        """Tell the first thing that is wrong with the cluster, or nothing."""
        readings: dict[int, Reading] = {}
        for node in self.nodes:
            reading = read_node(node, QUICK)
            if reading is None or reading.pid != node.pid:
                return f"node {node.id} does not answer"
            readings[node.id] = reading
        return self._why_brokers_unhealthy(readings) or self._why_quorum_unhealthy(readings)

    def _why_brokers_unhealthy(self, readings: Mapping[int, Reading]) -> str:
        for host in self.hosts:
            reading = readings[host.id]
            if not reading.serves:
                return f"broker {host.id} is in state {reading.state}"
            if reading.under_replicated != 0:
                return f"{UNDER_REPLICATED[0]} of broker {host.id} is {reading.under_replicated}"
        return ""

    def _why_quorum_unhealthy(self, readings: Mapping[int, Reading]) -> str:
        """Look at the voters: one leads, the others follow it, all know of it, and by its word
        every broker is there and no partition is offline."""
        parts = {voter.id: readings[voter.id].raft for voter in self.voters}
        leaders = {reading.leader for reading in readings.values()}
        if any(part not in FOLLOWING for part in parts.values()) or len(leaders) != 1:
            return f"the quorum is {parts}, led by {leaders}"
        leader = self.host(leaders.pop())
        wanted = {ACTIVE_CONTROLLERS: 1, OFFLINE_PARTITIONS: 0, FENCED: 0, ACTIVE: len(self.hosts)}
        values = leader.metrics(list(wanted), QUICK)
        for metric, value in zip(wanted, values, strict=True):
            if value != wanted[metric]:
                return f"{metric[0]} of controller {leader.id} is {value}"
        return ""

    def _forget_locks(self) -> None:
        """Remove the members of killed runs from the lock's group: each lives until its session
        times out."""
        for member in self.lock_holders():
            coordinator = self.lock_coordinator()
            if coordinator is not None:
                self._protocol.leave_group(coordinator, LOCK_GROUP, member, QUICK)

    def _end_observer(self) -> None:
        if self._observer is not None:
            self._observer.stop()

    def _end_others(self) -> Iterable[Callable[[], None]]:
        return []

    def _discovery(self) -> Mapping[str, Any]:
        return {"broker_list": self.broker_list}

    def _boot(self, subnet: Subnet) -> None:
        jars = fetch_jars(self.version)
        self.authority = Authority(self.folder)
        self.hosts = [self._make_host(number) for number in self._brokers]
        if not self.combined:
            names = ("kafka-controller", "kafka")
            self.controllers = [self._make_host(number, names) for number in self._controllers]
        for node in self.nodes:
            self._install(jars, node)
        self._format(jars)
        for node in self.nodes:
            node.boot()
        self._write_home()
        wait_for("every node runs", self._all_run, BOOT_TIMEOUT, self.hosts[0].log)
        self._make_topic()
        self.wait_healthy(BOOT_TIMEOUT)
        self._observer = KraftObserver(self.hosts, self.voters, self.pids)
        self._observer.start()

    def _install(self, jars: Jars, node: Host) -> None:
        roles = [
            role
            for role, hosts in (("broker", self.hosts), ("controller", self.voters))
            if node in hosts
        ]
        settings = kraft_settings(node, roles, self.voters, len(self.hosts))
        if self.secure:
            settings.update(secure_settings(self.authority, node, roles))
        settings.update(self._settings)
        node.install(jars, settings, HEAP if node in self.hosts else CONTROLLER_HEAP)

    def _format(self, jars: Jars) -> None:
        """Format the storage of one node with Kafka's own tool, and make those of the others from
        it: a JVM for each would take longer than all of them take to start."""
        first, *others = self.nodes
        folder = self.folder / "format"
        folder.mkdir()
        command = java_command(jars, folder, "64m", "WARN", "kafka.tools.StorageTool")
        properties = str(first.folder / "server.properties")
        done = subprocess.run(
            [*command, "format", "-t", CLUSTER_ID, "-c", properties],
            capture_output=True,
            text=True,
            timeout=FORMAT_TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise LabError(f"the storage cannot be formatted:\n{done.stdout}{done.stderr}")
        for node in others:
            _copy_format(first.folder / "data", node)

    def _all_run(self) -> bool:
        self._check_up(*self.nodes, *(node.sshd for node in self.nodes))
        return self.quorum_leader() is not None and all(
            (reading := read_node(host, QUICK)) is not None and reading.serves
            for host in self.hosts
        )

    def _make_topic(self) -> None:
        with self.admin() as admin:
            assignments = spread([host.id for host in self.hosts])
            admin.create_topics({TOPIC: {"assignments": assignments}}, wait_for_metadata=True)


def _copy_format(formatted: Path, node: Host) -> None:
    """Write a node's storage as the tool does; it makes up the id of the directory by itself."""
    folder = node.folder / "data"
    shutil.copytree(formatted, folder)
    (folder / "meta.properties").write_text(META.format(cluster=CLUSTER_ID, node=node.id))
