"""Look at every broker of the cluster at once, for a health check."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.cluster import Broker, Jvm, Reading
from kafka_rolling_restart.errors import ZooKeeperUnavailable
from kafka_rolling_restart.health import RUNNING, Verdict, judge
from kafka_rolling_restart.history import Freshness, Lasting, Lives
from kafka_rolling_restart.parallel import in_parallel


class Registry(Protocol):
    """Where brokers register; what it raises is `ZooKeeperUnavailable`."""

    def registrations(self, patience: float | None = None) -> dict[int, int]: ...

    def registration(self, broker_id: int, patience: float | None = None) -> int | None: ...


class MetricsSource(Protocol):
    """One broker's metrics; it never raises."""

    def read(self) -> Reading: ...


class ClusterWatch:
    """The brokers that were registered at the start, and the one way to look at all of them."""

    def __init__(
        self, expected: Mapping[int, Broker], registry: Registry, metrics: Mapping[int, MetricsSource], clock: Clock
    ) -> None:
        self.expected = dict(expected)
        self.metrics = dict(metrics)
        self.registry = registry
        self._clock = clock
        self._freshness = Freshness()
        self._lives = Lives()
        self._lasting = Lasting()

    def read_all(self) -> dict[int, Reading]:
        """Read the metrics of every broker at the same time."""
        calls: dict[int, Callable[[], Reading]] = {one: source.read for one, source in self.metrics.items()}
        return in_parallel(calls)

    def look_first(self) -> dict[int, Reading]:
        """Read the metrics of every broker, and remember what was read: it is no news to a later check."""
        readings = self.read_all()
        for broker_id, reading in readings.items():
            self._freshness.lag(broker_id, reading)
            if reading.jvm is not None:
                self._lives.expect(broker_id, reading.jvm)
        self._freshness.count({broker_id: one for broker_id, one in readings.items() if one.jvm is not None})
        return readings

    def check(self) -> Verdict:
        """Make one health check: everything in its verdict was read after it began."""
        readings = self.read_all()
        verdict = judge(self.expected, self._registered(), readings, self._freshness, self._lives)
        return verdict.dated(self._lasting, self._clock.now())

    def missing(self, brokers: Sequence[Broker], limit: float) -> tuple[list[Broker], list[Broker]]:
        """Look which of the brokers are gone, and which of them can neither be seen to be there nor to be gone.

        Takes ``limit`` (s) at the most. ZooKeeper alone does not do: a broker that was killed stays registered for a
        while; and where ZooKeeper does not answer, the metrics tell.
        """
        if not brokers:
            return [], []
        calls: dict[int | None, Callable[[], Any]] = {one.id: self.metrics[one.id].read for one in brokers}
        calls[None] = partial(self._registered, limit)
        answers = in_parallel(calls, limit=limit)
        registered: Collection[int] | None = answers.pop(None, None)
        standing = {one: self._stands(one.id, registered, answers.get(one.id)) for one in brokers}
        return (
            [one for one, stands in standing.items() if stands is False],
            [one for one, stands in standing.items() if stands is None],
        )

    def _registered(self, limit: float | None = None) -> Collection[int] | None:
        try:
            return self.registry.registrations(limit)
        except ZooKeeperUnavailable:
            return None

    def _stands(self, broker_id: int, registered: Collection[int] | None, reading: Reading | None) -> bool | None:
        """Tell whether a broker is there, None where it cannot be told."""
        if registered is not None and broker_id not in registered:
            return False
        if reading is not None and reading.silent:
            return None if reading.no_proxy else False
        if registered is not None:
            return True
        return True if reading is not None and self._surely_runs(broker_id, reading) else None

    def _surely_runs(self, broker_id: int, reading: Reading) -> bool:
        fresh = self._freshness.lag(broker_id, reading) == 0 and self._freshness.moved_on(broker_id, reading)
        return fresh and reading.metrics is not None and reading.metrics.state == RUNNING

    def expect(self, broker: Broker, jvm: Jvm) -> None:
        """Take this JVM for the broker's own, because we saw it first or started it."""
        self._lives.expect(broker.id, jvm)
