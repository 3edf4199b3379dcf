"""What an operator writes on a host: units, start scripts, sudoers and server.properties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .rootfs import OPERATOR, SERVICE_USER

# where hosts have the libraries of each version of Kafka
LIBS = {"4.1": "/opt/kafka/libs", "3.9": "/opt/kafka-3.9/libs"}
BROKER, CONTROLLER, ZOOKEEPER = "kafka", "kafka-controller", "zookeeper"
KAFKA_PORT, CONTROLLER_PORT, ZOOKEEPER_PORT = 9092, 9093, 2181
JAVA = "/usr/bin/java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Xmx{heap}"
LOGGING = "-Dlog4j2.configurationFile=/etc/kafka/log4j2.properties"
LOGGING_3 = "-Dlog4j.configuration=file:/etc/kafka/log4j.properties"
KAFKA = "kafka.Kafka"
MAIN = {ZOOKEEPER: "org.apache.zookeeper.server.quorum.QuorumPeerMain"}
START, RUN_CLASS = "/opt/kafka/bin/kafka-server-start.sh", "/opt/kafka/bin/kafka-run-class.sh"


@dataclass(frozen=True)
class Style:
    """How one host differs from the next, as hosts do.

    ``by_script``: the unit starts a script that executes another, which executes Java.
    ``stop_timeout_s``: None leaves systemd's own 90 s. ``slow_login``: pam_systemd is on.
    """

    by_script: bool = False
    stop_timeout_s: int | None = 300
    restart: str = "no"
    slow_login: bool = False
    is_in_hosts_file: bool = True


STYLES = {
    1: Style(restart="on-failure"),
    2: Style(by_script=True, stop_timeout_s=None, is_in_hosts_file=False),
    3: Style(by_script=True, restart="always", slow_login=True),
}

LOG4J2 = """\
rootLogger = INFO, stdout
appender.stdout.type = Console
appender.stdout.name = stdout
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = [%d] %p %m (%c)%n
"""
LOG4J = """\
log4j.rootLogger=INFO, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=[%d] %p %m (%c)%n
"""


def unit(name: str, style: Style, heap: str, version: str, properties: str) -> str:
    """Return a unit of Kafka or ZooKeeper as a file in /etc/systemd/system."""
    options = f"{LOGGING} {LOGGING_3} -cp {LIBS[version]}/*"
    java = f"{JAVA.format(heap=heap)} {options} {MAIN.get(name, KAFKA)} {properties}"
    command = f"{START} {properties}" if style.by_script and name == BROKER else java
    lines = [
        "[Unit]",
        f"Description=Apache Kafka ({name})",
        "After=network-online.target",
        "[Service]",
        "Type=simple",
        f"User={SERVICE_USER}",
        f"Group={SERVICE_USER}",
        f"ExecStart={command}",
        f"Restart={style.restart}",
        "SuccessExitStatus=143",
        "LimitNOFILE=100000",
    ]
    if style.stop_timeout_s is not None:
        lines.append(f"TimeoutStopSec={style.stop_timeout_s}")
    return "\n".join([*lines, "[Install]", "WantedBy=multi-user.target", ""])


def start_script() -> str:
    """Return a script that starts Kafka as Kafka's own does: by another one, with exec."""
    return f'#!/bin/bash\nexec {RUN_CLASS} {KAFKA} "$@"\n'


def run_class_script(heap: str, version: str) -> str:
    """Return the script that makes the command line of Java."""
    java = JAVA.format(heap=heap)
    return f'#!/bin/bash\nexec {java} {LOGGING} {LOGGING_3} -cp "{LIBS[version]}/*" "$@"\n'


def sudoers(units: Sequence[str]) -> str:
    """Return what the operator may do as root: stop and start these units, in both ways, and
    nothing else."""
    commands = [
        command
        for name in units
        for verb in ("stop", "start")
        for command in (f"/usr/bin/systemctl {verb} {name}", f"/usr/sbin/service {name} {verb}")
    ]
    return f"{OPERATOR} ALL=(root) NOPASSWD: {', '.join(commands)}\n"


def kraft_properties(
    node_id: int, address: str, roles: Sequence[str], voters: Mapping[int, str], folder: str
) -> str:
    """Return the server.properties of a node of a KRaft cluster. ``voters`` are addresses by id."""
    listeners = {
        "broker": f"PLAINTEXT://{address}:{KAFKA_PORT}",
        "controller": f"CONTROLLER://{address}:{CONTROLLER_PORT}",
    }
    quorum = ",".join(f"{one}@{where}:{CONTROLLER_PORT}" for one, where in voters.items())
    return _properties(
        {
            "process.roles": ",".join(roles),
            "node.id": node_id,
            "controller.quorum.voters": quorum,
            "listeners": ",".join(listeners[role] for role in roles),
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            **_common(folder),
        }
    )


def zookeeper_broker_properties(node_id: int, address: str, zookeeper: str, folder: str) -> str:
    """Return the server.properties of a broker that registers in ZooKeeper."""
    return _properties(
        {
            "broker.id": node_id,
            "listeners": f"PLAINTEXT://{address}:{KAFKA_PORT}",
            "zookeeper.connect": zookeeper,
            "zookeeper.session.timeout.ms": 6000,
            **_common(folder),
        }
    )


def zookeeper_properties(folder: str) -> str:
    """Return the configuration of the one ZooKeeper server."""
    return _properties(
        {"dataDir": folder, "clientPort": ZOOKEEPER_PORT, "admin.enableServer": "false"}
    )


def _common(folder: str) -> dict[str, object]:
    return {
        "log.dirs": folder,
        "num.partitions": 3,
        "default.replication.factor": 3,
        "min.insync.replicas": 2,
        "offsets.topic.replication.factor": 3,
        "offsets.topic.num.partitions": 3,
        "group.initial.rebalance.delay.ms": 0,
        "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
    }


def _properties(values: Mapping[str, object]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())
