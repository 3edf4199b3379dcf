"""ZooKeeper as the tool sees it, and the lock of its run."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Protocol

from kafka_rolling_restart.errors import RegistryUnavailable, Stopped
from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.model.observation import Observation, Presence
from tests.simulation.clock import QUESTION_S, WorldClock

if TYPE_CHECKING:
    from tests.simulation.world import World


UNKNOWN = Observation(Presence.UNKNOWN, words="the registry does not answer")


class Registry:
    """ZooKeeper as the tool sees it."""

    poll_s = 0.1

    def __init__(self, world: "World") -> None:
        self._world, self._clock = world, world.clock

    def observe(self, ids: Collection[int], timeout: float | None = None) -> dict[int, Observation]:
        if len(ids) == 1:
            return self._observe_one(next(iter(ids)), timeout)
        began = self._clock.now()
        try:
            self.ask(timeout)
        except RegistryUnavailable:
            return dict.fromkeys(ids, UNKNOWN)
        finally:
            self._world.checks.append((began, self._clock.now()))
        return {one: self._observation(one) for one in ids}

    def state(self, restarted: Collection[int] = (), timeout: float | None = None) -> None:
        """ZooKeeper knows nothing of partitions."""

    def quorum(self, timeout: float | None = None) -> None:
        """ZooKeeper has no quorum of Kafka's own."""

    def _observe_one(self, broker_id: int, timeout: float | None) -> dict[int, Observation]:
        self._world.look_for_excuse(broker_id - 1)
        try:
            self.ask(timeout)
        except RegistryUnavailable:
            return {broker_id: UNKNOWN}
        return {broker_id: self._observation(broker_id)}

    def _observation(self, broker_id: int) -> Observation:
        czxid = self._world.servers[broker_id - 1].czxid
        if czxid is None:
            return Observation(Presence.ABSENT, words="not registered")
        return Observation(Presence.PRESENT, czxid, "registered")

    def ask(self, patience: float | None = None) -> None:
        self._world.pay()
        if self._world.registry_away or self._world.registry_away_from_us:
            self._clock.sleep(patience or QUESTION_S)
            raise RegistryUnavailable("ZooKeeper does not answer")


class Asked(Protocol):
    """What the lock is asked of. Raises `RegistryUnavailable`."""

    def ask(self, patience: float | None = None) -> None: ...


class Lock:
    """The lock of our run, which goes with our session."""

    loss = "with the session"

    def __init__(self, registry: Asked, clock: WorldClock) -> None:
        self._registry, self._clock = registry, clock
        self.lost = self.taken = False
        self.gap: tuple[float, float] | None = None  # between these it was lost
        self.held_at = 0.0  # when it was seen last to be ours

    def ensure_held(self) -> bool:
        self._registry.ask()
        if self.lost and self.taken:
            raise Stopped(
                "the ZooKeeper session was lost, and since then another run has the lock",
                code="lock-lost",
            )
        retaken, self.lost = self.lost, False
        self.gap = (self.held_at, self._clock.now()) if retaken else self.gap
        self.held_at = self._clock.now()
        return retaken

    def show(self, brokers: Sequence[Broker]) -> None:
        self._registry.ask()
