"""What every registry offers: who is a member of the cluster, and the lock that keeps a second run
away."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.model.cluster_state import ClusterState, Quorum
from kafka_rolling_restart.model.observation import Observation
from kafka_rolling_restart.model.problem import Problem


class RunLock(Protocol):
    """The lock of a run on its cluster. What its methods raise is `RegistryUnavailable`, and
    `Stopped` once it is lost."""

    @property
    def loss(self) -> str:
        """How it is lost, to be put behind `our lock was lost`."""
        ...

    def ensure_held(self) -> bool:
        """See that the lock is ours; return whether it had been lost, and was taken again."""
        ...

    def show(self, brokers: Sequence[Broker]) -> None:
        """Let others see which brokers are in hand."""
        ...


class Membership(Protocol):
    """Who is a member of the cluster now, and what the cluster says of itself."""

    @property
    def poll_s(self) -> float:
        """How long (s) to leave it alone between two looks at one broker."""
        ...

    def observe(
        self, ids: Collection[int], timeout: float | None = None
    ) -> Mapping[int, Observation]:
        """Say of each broker whether it is a member now, within ``timeout`` s for each answer.
        Never raises."""
        ...

    def state(
        self, restarted: Collection[int] = (), timeout: float | None = None
    ) -> ClusterState | None:
        """Return what the cluster says of its partitions and its quorum, by Kafka's protocol; None
        where that is not spoken. Never raises.

        Nothing is asked of the brokers ``restarted``, but whether their coordinators still load.
        """
        ...

    def quorum(self, timeout: float | None = None) -> Quorum | None:
        """Return the metadata quorum, None for a cluster that has none. Raises
        `RegistryUnavailable`."""
        ...


class Registry(Membership, Protocol):
    """Who is a member of the cluster. What its methods raise is `RegistryUnavailable`, but for
    `observe`."""

    @property
    def where(self) -> str:
        """What it is and its address, for the plan."""
        ...

    @property
    def longest_check_s(self) -> float:
        """How long (s) one `observe` of all may take."""
        ...

    def connect(self) -> None: ...

    def close(self) -> None: ...

    def brokers(self, listener: str | None = None) -> dict[int, Broker]:
        """Return the members by id, each with the host of its ``listener``, if one is named."""
        ...

    def notes(self) -> list[Problem]:
        """Tell what a person is to know of who is no member, before anything is touched."""
        ...

    def why_nobody(self) -> str:
        """Say what may be wrong where there is no member."""
        ...

    def controller(self) -> int | None:
        """Return the id of the active controller, None during an election."""
        ...

    def lock(self, holder: dict[str, object]) -> AbstractContextManager[RunLock]:
        """Hold the cluster's lock for the block. Raises `LockHeld`, which tells who holds it."""
        ...

    def lock_problem(self) -> Problem | None:
        """Tell why the lock could not be held, if so. Nothing is written."""
        ...

    def lock_note(self) -> str:
        """Tell what a person is to know of the lock, or nothing. Nothing is written."""
        ...

    def lock_holder(self) -> str:
        """Tell who holds the lock now, or nothing. Nothing is written."""
        ...
