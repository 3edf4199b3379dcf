"""ZooKeeper as the tool sees it, and the lock of its run."""

from typing import TYPE_CHECKING

from kafka_rolling_restart.errors import Stopped, ZooKeeperUnavailable
from kafka_rolling_restart.model.broker import Broker
from tests.simulation.clock import QUESTION_S, WorldClock

if TYPE_CHECKING:
    from tests.simulation.world import World


class Registry:
    """ZooKeeper as the tool sees it."""

    def __init__(self, world: "World") -> None:
        self._world, self._clock = world, world.clock

    def registrations(self, patience: float | None = None) -> dict[int, int]:
        began = self._clock.now()
        try:
            self.ask(patience)
        finally:
            self._world.checks.append((began, self._clock.now()))
        return {server.id: server.czxid for server in self._world.servers if server.czxid is not None}

    def registration(self, broker_id: int, patience: float | None = None) -> int | None:
        self._world.look_for_excuse(broker_id - 1)
        self.ask(patience)
        return self._world.servers[broker_id - 1].czxid

    def ask(self, patience: float | None = None) -> None:
        self._world.pay()
        if self._world.zookeeper_away or self._world.zookeeper_away_from_us:
            self._clock.sleep(patience or QUESTION_S)
            raise ZooKeeperUnavailable("ZooKeeper does not answer")


class Lock:
    """The lock of our run, which goes with our session."""

    def __init__(self, registry: Registry, clock: WorldClock) -> None:
        self._registry, self._clock = registry, clock
        self.lost = self.taken = False
        self.gap: tuple[float, float] | None = None  # between these it was lost
        self.held_at = 0.0  # when it was seen last to be ours

    def hold(self) -> bool:
        self._registry.ask()
        if self.lost and self.taken:
            raise Stopped("the ZooKeeper session was lost, and since then another run has the lock")
        retaken, self.lost = self.lost, False
        self.gap = (self.held_at, self._clock.now()) if retaken else self.gap
        self.held_at = self._clock.now()
        return retaken

    def show(self, broker: Broker) -> None:
        self._registry.ask()
