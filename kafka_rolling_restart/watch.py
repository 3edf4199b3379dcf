"""Look at every broker of the cluster at once, for a health check."""

from collections.abc import Callable, Mapping
from typing import Protocol

from kafka_rolling_restart.cluster import Broker, Reading
from kafka_rolling_restart.errors import ZooKeeperUnavailable
from kafka_rolling_restart.health import Freshness, Verdict, judge
from kafka_rolling_restart.parallel import in_parallel


class Registry(Protocol):
    """Where brokers register; what it raises is `ZooKeeperUnavailable`."""

    def registrations(self) -> dict[int, int]: ...

    def registration(self, broker_id: int) -> int | None: ...


class MetricsSource(Protocol):
    """One broker's metrics; it never raises."""

    def read(self) -> Reading: ...


class ClusterWatch:
    """The brokers that were registered at the start, and the one way to look at all of them."""

    def __init__(
        self, expected: Mapping[int, Broker], registry: Registry, metrics: Mapping[int, MetricsSource]
    ) -> None:
        self.expected = dict(expected)
        self.metrics = dict(metrics)
        self.registry = registry
        self._freshness = Freshness()

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
        return judge(self.expected, registered, readings, self._freshness)
