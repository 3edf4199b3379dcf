"""The server.properties of a lab's nodes: what is the same for all, and what is of ZooKeeper or of
KRaft."""

from __future__ import annotations

from collections.abc import Sequence

from tests.certificates import Authority

from .broker import KAFKA_PORT, Broker

CONTROLLER_PORT = 9093
SECURE_PORT = 9094
CONTROLLER_LISTENER = "CONTROLLER"
SCRAM = "SCRAM-SHA-512"

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


def secure_settings(authority: Authority, node: Broker, roles: Sequence[str]) -> Settings:
    """Settings that go over those of `kraft_settings`: a second listener with SASL_SSL, and an
    authorizer that allows everything to who comes over the others, and nothing else."""
    allowed: Settings = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    if "broker" not in roles:
        return allowed
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    listeners = [*_listeners(node, roles), f"SASL_SSL://{node.address}:{SECURE_PORT}"]
    return {
        **allowed,
        "listeners": ",".join(listeners),
        "listener.security.protocol.map": (
            f"PLAINTEXT:PLAINTEXT,{CONTROLLER_LISTENER}:PLAINTEXT,SASL_SSL:SASL_SSL"
        ),
        "sasl.enabled.mechanisms": SCRAM,
        f"listener.name.sasl_ssl.{SCRAM.lower()}.sasl.jaas.config": scram,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": authority.issue(f"broker-{node.id}", node.address),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": authority.file,
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
