"""Look at every broker of the cluster at once, for a health check."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

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

    def check(self) -> Verdict:
        """Make one health check: everything in its verdict was read after it began."""
        readings = self.read_all()
        try:
            registered = self.registry.registrations()
        except ZooKeeperUnavailable:
            registered = None
        verdict = judge(self.expected, registered, readings, self._freshness, self._lives)
        return verdict.dated(self._lasting, self._clock.now())

    def missing(self, brokers: Sequence[Broker], limit: float) -> tuple[list[Broker], list[Broker]]:
        """Look which of the brokers are gone, and which of them can neither be seen to be there nor to be gone.

        Takes about twice ``limit`` (s) at the most. Where ZooKeeper does not answer, the metrics tell.
        """
        try:
            registered = self.registry.registrations(limit)
        except ZooKeeperUnavailable:
            return self._missing_by_metrics(brokers, limit)
        return [one for one in brokers if one.id not in registered], []

    def _missing_by_metrics(self, brokers: Sequence[Broker], limit: float) -> tuple[list[Broker], list[Broker]]:
        calls: dict[int, Callable[[], Reading]] = {one.id: self.metrics[one.id].read for one in brokers}
        readings = in_parallel(calls, limit=limit)
        gone = [one for one in brokers if one.id in readings and readings[one.id].silent]
        up = [one for one in brokers if one.id in readings and _runs(readings[one.id])]
        return gone, [one for one in brokers if one not in gone and one not in up]

    def expect(self, broker: Broker, jvm: Jvm) -> None:
        """Take this JVM for the broker's own, because we saw it first or started it."""
        self._lives.expect(broker.id, jvm)


def _runs(reading: Reading) -> bool:
    return reading.metrics is not None and reading.metrics.state == RUNNING
