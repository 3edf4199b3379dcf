"""What one node answers by Kafka's protocol, as plain frozen values, and how it does not answer.

Nothing here needs a library, so whoever only speaks of answers does not load one.
"""

from dataclasses import dataclass

from kafka_rolling_restart.errors import RegistryDenied, RegistryUnavailable
from kafka_rolling_restart.model.cluster_state import Partition

Address = tuple[str, int]


class KafkaUnavailable(RegistryUnavailable):
    """A node did not answer in time, or not with an answer that can be used.

    ``reason`` says why, in plain words. ``refused``: nobody listens at its address, which is more
    than no answer.
    """

    def __init__(self, message: str, *, reason: str = "", refused: bool = False) -> None:
        super().__init__(message, code="registry-unreachable")
        self.reason = reason or message
        self.refused = refused


class KafkaDenied(RegistryDenied):
    """A node refuses our login, or a right is missing."""


@dataclass(frozen=True)
class KafkaNode:
    """A broker as the cluster tells it. ``is_fenced``: it is registered, and gets no requests."""

    id: int
    host: str
    port: int
    rack: str = ""
    is_fenced: bool = False


@dataclass(frozen=True)
class Nodes:
    """The brokers of the cluster.

    ``knows_fenced`` tells whether the answer names brokers that are fenced (Kafka 4.0 and later);
    without that, a fenced broker is simply not in it. ``is_kraft``: this node knows of a metadata
    quorum.
    """

    cluster_id: str
    brokers: tuple[KafkaNode, ...]
    is_kraft: bool
    knows_fenced: bool


@dataclass(frozen=True)
class Metadata:
    """What one broker knows of all partitions.

    ``partitions`` is how many there are. ``under_replicated`` have fewer in-sync replicas than
    replicas; ``offline`` have no leader that can be used. ``unknown`` says of which topics nothing
    is known, and why; nothing if all is known. Topics that we may not describe are in no answer.
    """

    brokers: tuple[KafkaNode, ...]
    partitions: int = 0
    under_replicated: tuple[Partition, ...] = ()
    offline: tuple[Partition, ...] = ()
    unknown: str = ""


@dataclass(frozen=True)
class Ping:
    """Whether a listener answers ApiVersions. ``refused``: nobody listens there, for certain;
    ``reason`` is why there was no answer, in words."""

    answers: bool
    refused: bool = False
    reason: str = ""


# The answers about consumer groups. ``error`` is Kafka's own name of an error, such as
# REBALANCE_IN_PROGRESS, and "" where there is none.


@dataclass(frozen=True)
class Coordinator:
    """The broker that looks after a group."""

    error: str
    id: int = -1
    address: Address = ("", 0)


@dataclass(frozen=True)
class GroupMember:
    """A member of a group. ``metadata`` is what it gave when it joined; it is empty while the
    group is not stable."""

    id: str
    client_id: str = ""
    client_host: str = ""
    metadata: bytes = b""


@dataclass(frozen=True)
class GroupDescription:
    """A group as its coordinator sees it. ``state`` is Kafka's name: Dead (there is no such
    group), Empty, PreparingRebalance, CompletingRebalance or Stable."""

    error: str
    state: str = ""
    protocol_type: str = ""
    members: tuple[GroupMember, ...] = ()


@dataclass(frozen=True)
class Joined:
    """How joining a group ended. ``members`` are told to the group's ``leader`` alone.

    MEMBER_ID_REQUIRED comes with the ``member_id`` to join with.
    """

    error: str
    member_id: str = ""
    generation: int = -1
    leader: str = ""
    members: tuple[GroupMember, ...] = ()


@dataclass(frozen=True)
class Synced:
    """What the group's leader has assigned to us."""

    error: str
    assignment: bytes = b""
