"""The server.properties of a lab's nodes: what is the same for all, and what is of ZooKeeper or of
KRaft."""

from __future__ import annotations

from collections.abc import Sequence

from .broker import KAFKA_PORT, Broker

CONTROLLER_PORT = 9093
CONTROLLER_LISTENER = "CONTROLLER"

Settings = dict[str, object]


def zookeeper_settings(broker: Broker, zookeeper: str, brokers: int) -> Settings:
    """Settings of a broker that registers in ZooKeeper."""
    return {
        "broker.id": broker.id,
        "listeners": f"PLAINTEXT://{broker.address}:{KAFKA_PORT}",
        "zookeeper.connect": zookeeper,
        "zookeeper.session.timeout.ms": 6000,
        "zookeeper.connection.timeout.ms": 60000,
        **_common(broker, brokers),
    }


def kraft_settings(
    node: Broker, roles: Sequence[str], voters: Sequence[Broker], brokers: int
) -> Settings:
    """Settings of a node in KRaft; ``roles`` are broker, controller, or both.

    The timeouts of the quorum and of the brokers' sessions are Kafka's own: they are short already,
    and what is measured here is to be true elsewhere.
    """
    return {
        "process.roles": ",".join(roles),
        "node.id": node.id,
        "controller.quorum.voters": ",".join(
            f"{voter.id}@{voter.address}:{CONTROLLER_PORT}" for voter in voters
        ),
        "listeners": ",".join(_listeners(node, roles)),
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": CONTROLLER_LISTENER,
        "listener.security.protocol.map": f"PLAINTEXT:PLAINTEXT,{CONTROLLER_LISTENER}:PLAINTEXT",
        **_common(node, brokers),
    }


def _listeners(node: Broker, roles: Sequence[str]) -> list[str]:
    listeners = []
    if "broker" in roles:
        listeners.append(f"PLAINTEXT://{node.address}:{KAFKA_PORT}")
    if "controller" in roles:
        listeners.append(f"{CONTROLLER_LISTENER}://{node.address}:{CONTROLLER_PORT}")
    return listeners


def _common(node: Broker, brokers: int) -> Settings:
    copies = min(3, brokers)
    return {
        "log.dirs": node.folder / "data",
        "num.partitions": 3,
        "default.replication.factor": copies,
        "min.insync.replicas": min(2, copies),
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": 3,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": min(2, copies),
        "transaction.state.log.num.partitions": 3,
        "group.initial.rebalance.delay.ms": 0,
        "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
        "num.network.threads": 2,
        "num.io.threads": 4,
    }
