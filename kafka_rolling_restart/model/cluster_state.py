"""What the cluster says of itself by Kafka's own protocol, as plain frozen values.

Facts about the protocol: a voter or an observer of the quorum is caught up if its last caught-up
time is at most `CAUGHT_UP_S` behind the leader's (measured on Kafka 4.1); a voter that is down
shows -1 after an election, and an old time before.
"""

from dataclasses import dataclass

CAUGHT_UP_S = 3.0


@dataclass(frozen=True)
class QuorumReplica:
    """A voter or an observer of the metadata quorum, as its leader sees it.

    ``behind_s`` is how long (s) ago it was last caught up, by the leader's clock; None: never
    since the leader was elected. ``log_end`` is the end of its log, -1 if unknown. The leader is
    0 s behind.
    """

    id: int
    behind_s: float | None
    log_end: int = -1

    @property
    def is_caught_up(self) -> bool:
        """Whether it follows the leader now."""
        return self.behind_s is not None and self.behind_s <= CAUGHT_UP_S


@dataclass(frozen=True)
class Quorum:
    """The metadata quorum of a KRaft cluster, as its leader describes it.

    ``observers`` are the brokers that follow it; those that died linger for 300 s. ``hosts`` and
    ``ports`` are those of the voters by id, where the cluster tells them (3.9 and later).
    """

    leader: int
    epoch: int
    voters: tuple[QuorumReplica, ...]
    observers: tuple[QuorumReplica, ...] = ()
    hosts: tuple[tuple[int, str], ...] = ()
    ports: tuple[tuple[int, int], ...] = ()

    def replica(self, node_id: int) -> QuorumReplica | None:
        """Return a voter or an observer by its id, None if it is neither."""
        found = [one for one in (*self.voters, *self.observers) if one.id == node_id]
        return found[0] if found else None

    @property
    def voter_ids(self) -> frozenset[int]:
        return frozenset(one.id for one in self.voters)


@dataclass(frozen=True)
class Partition:
    """A partition that is not as it should be. ``isr`` are its in-sync replicas."""

    topic: str
    number: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    leader: int | None

    def __str__(self) -> str:
        return f"{self.topic}-{self.number}"


@dataclass(frozen=True)
class ClusterState:
    """What the cluster says of itself at one moment. All of it was read after ``asked_at``
    (monotonic s).

    ``witnesses`` are the brokers whose metadata was read; each of them is caught up with the
    quorum. ``members`` are the brokers in it that are not fenced, ``fenced`` those that are, as
    they were told last. ``under_replicated`` and ``offline`` are the union of what the witnesses
    say. ``loading`` are brokers whose group coordinator still loads. ``unknown`` says why
    something of this could not be read, in words; then the rest tells nothing; with ``is_denied``
    that is for want of a right, and waiting does not help. ``quorum`` is None for a cluster that
    has none.
    """

    asked_at: float
    answered_at: float
    witnesses: tuple[int, ...] = ()
    members: frozenset[int] = frozenset()
    fenced: frozenset[int] = frozenset()
    partitions: int = 0
    under_replicated: tuple[Partition, ...] = ()
    offline: tuple[Partition, ...] = ()
    loading: tuple[int, ...] = ()
    quorum: Quorum | None = None
    unknown: str = ""
    is_denied: bool = False
