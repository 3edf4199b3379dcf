"""Pure judgement: readings in, verdict with reasons out; and the wait until a cluster is healthy."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.cluster import Broker, Reading

RUNNING = 3
STATES = {0: "not running", 1: "starting", 2: "recovering its logs", 3: "running", 6: "stopping", 7: "stopping"}
TOLERANCE_S = 1.0  # rounding of the uptime
DRIFT = 0.01  # s per s by which what was once seen is forgotten: clocks drift, and a virtual machine may be paused


class Health(Enum):
    """UNKNOWN: nothing is known to be wrong, but not every number is fresh (a cache that we may not empty)."""

    HEALTHY = "healthy"
    UNHEALTHY = "not healthy"
    UNKNOWN = "not known"


@dataclass(frozen=True)
class Verdict:
    """One check of the cluster. There are reasons unless it is healthy."""

    health: Health
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class HealthRule:
    """``count`` consecutive healthy checks, ``interval`` s apart, with at most ``limit`` s unhealthy meanwhile."""

    count: int
    interval: float
    limit: float


class NeverHealthy(Exception):
    """The cluster was not healthy for longer than the limit. The message is the last reasons."""


@dataclass
class Freshness:
    """Holds what JVMs say of their uptime against the clock: an answer out of a cache is as old as it is.

    The uptime of one JVM runs with our clock, so ``uptime - now`` is nearly one number for all of its life. A
    reading whose number is lower than the highest one seen was taken that much earlier than it was asked for.
    """

    _highest: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict)
    _counted: dict[int, tuple[int, int]] = field(default_factory=dict)

    def lag(self, broker_id: int, reading: Reading) -> float:
        """Return how many s before it was asked for a reading was certainly taken (0: it is fresh)."""
        if reading.jvm is None:
            return 0.0
        key = (broker_id, reading.jvm.start_ms)
        uptime = reading.jvm.uptime_ms / 1000
        known, at = self._highest.get(key, (uptime - reading.answered_at, reading.answered_at))
        highest = max(known - DRIFT * (reading.answered_at - at), uptime - reading.answered_at)
        self._highest[key] = (highest, reading.answered_at)
        lag = highest - (uptime - reading.asked_at)
        return lag if lag > TOLERANCE_S else 0.0

    def moved_on(self, broker_id: int, reading: Reading) -> bool:
        """Tell whether a reading is another one than that which was counted last."""
        return reading.jvm is not None and self._counted.get(broker_id) != _identity(reading)

    def count(self, readings: Mapping[int, Reading]) -> None:
        """Remember readings as counted."""
        self._counted.update({broker_id: _identity(reading) for broker_id, reading in readings.items()})


def _identity(reading: Reading) -> tuple[int, int]:
    return (reading.jvm.start_ms, reading.jvm.uptime_ms) if reading.jvm else (0, 0)


def judge(
    expected: Mapping[int, Broker],
    registered: Collection[int] | None,
    readings: Mapping[int, Reading],
    freshness: Freshness,
) -> Verdict:
    """Judge one check. ``registered`` is None where ZooKeeper did not answer: that is not healthy."""
    wrong = _unregistered(expected, registered) + _unread(readings) + _unsound(readings)
    stale, waiting = _stale(readings, freshness)
    if wrong or stale:
        return Verdict(Health.UNHEALTHY, tuple(wrong + stale))
    if waiting:
        return Verdict(Health.UNKNOWN, tuple(waiting))
    freshness.count(readings)
    return Verdict(Health.HEALTHY)


def _unregistered(expected: Mapping[int, Broker], registered: Collection[int] | None) -> list[str]:
    if registered is None:
        return ["ZooKeeper does not answer, so the registrations are not known"]
    return [f"broker {broker_id} is not registered" for broker_id in expected if broker_id not in registered]


def _unread(readings: Mapping[int, Reading]) -> list[str]:
    return [
        f"broker {broker_id} does not answer: {reading.reason}"
        for broker_id, reading in readings.items()
        if reading.metrics is None
    ]


def _unsound(readings: Mapping[int, Reading]) -> list[str]:
    known = {broker_id: reading.metrics for broker_id, reading in readings.items() if reading.metrics}
    reasons = [
        f"broker {broker_id} is {STATES.get(metrics.state, 'in an unknown state')} (state {metrics.state})"
        for broker_id, metrics in known.items()
        if metrics.state != RUNNING
    ]
    behind = {broker_id: metrics.under_replicated for broker_id, metrics in known.items() if metrics.under_replicated}
    if behind:
        where = ", ".join(f"broker {broker_id}: {count}" for broker_id, count in behind.items())
        reasons.append(f"{sum(behind.values())} under-replicated partitions: {where}")
    offline = max((metrics.offline_partitions for metrics in known.values()), default=0)
    if offline:
        reasons.append(f"{offline} offline partitions")
    controllers = [broker_id for broker_id, metrics in known.items() if metrics.active_controllers]
    if len(known) == len(readings) and sum(known[one].active_controllers for one in controllers) != 1:
        where = ", ".join(f"broker {broker_id}" for broker_id in controllers)
        reasons.append(f"{len(controllers)} active controllers instead of one" + (f": {where}" if where else ""))
    return reasons


def _stale(readings: Mapping[int, Reading], freshness: Freshness) -> tuple[list[str], list[str]]:
    """Return what is stale, and what is no news yet because the proxy does not let us empty its cache."""
    stale, waiting = [], []
    for broker_id, reading in readings.items():
        lag = freshness.lag(broker_id, reading)
        allowed = 0.0 if reading.emptied else (reading.cache_s or 0.0) + TOLERANCE_S
        if lag > allowed:
            stale.append(f"the metrics of broker {broker_id} are {lag:.0f} s old: its proxy answers out of its cache")
        elif not freshness.moved_on(broker_id, reading):
            waiting.append(f"the metrics of broker {broker_id} are those of the last check: waiting for newer ones")
    return stale, waiting


def wait_until_healthy(
    check: Callable[[], Verdict], rule: HealthRule, clock: Clock, tell: Callable[[Verdict, int], None]
) -> None:
    """Check until the cluster was healthy ``rule.count`` times in a row.

    ``tell`` hears each verdict and how many healthy checks there are so far. Raises `NeverHealthy` when the
    time during which the cluster was not healthy, added up, reaches ``rule.limit`` (s). An unknown verdict
    neither counts nor breaks the row, and is bounded by the age that `judge` allows a reading.
    """
    healthy, unhealthy, since = 0, 0.0, clock.now()
    while True:
        began = clock.now()
        verdict = check()
        now = clock.now()
        if verdict.health is Health.HEALTHY:
            healthy += 1
        elif verdict.health is Health.UNHEALTHY:
            healthy, unhealthy = 0, unhealthy + (now - since)
        since = now
        tell(verdict, healthy)
        if healthy >= rule.count:
            return
        if unhealthy >= rule.limit:
            raise NeverHealthy("; ".join(verdict.reasons))
        pause = began + rule.interval - now
        clock.sleep(min(pause, rule.limit - unhealthy) if verdict.health is Health.UNHEALTHY else pause)
