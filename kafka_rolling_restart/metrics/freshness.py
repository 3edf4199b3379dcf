"""How old an answer is at least, told by the uptime of its JVM."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from kafka_rolling_restart.model.broker import Sample

TOLERANCE_S = 1.0  # rounding of the uptime
PACE_S = 5.0  # the least time over which an uptime is held against the clock
# s per s by which what was once seen is forgotten: clocks drift, and a virtual machine may be
# paused
DRIFT = 0.01


@dataclass
class Freshness:
    """Holds what JVMs say of their uptime against the clock: an answer out of a cache is as old as
    it is.

    The uptime of one JVM runs with our clock, so ``uptime - now`` is nearly one number for all of
    its life. A reading whose number is lower than the highest one seen was taken that much earlier
    than it was asked for.
    """

    _highest: dict[tuple[int, Hashable], tuple[float, float]] = field(default_factory=dict)
    _counted: dict[int, tuple[Hashable, int]] = field(default_factory=dict)
    _before: dict[tuple[int, Hashable], tuple[float, float]] = field(default_factory=dict)

    def lag(self, broker_id: int, reading: Sample) -> float:
        """Return how many s before it was asked for a reading was certainly taken (0: it is
        fresh)."""
        if reading.jvm is None:
            return 0.0
        key = (broker_id, reading.jvm.life)
        uptime = reading.jvm.uptime_ms / 1000
        known, at = self._highest.get(key, (uptime - reading.answered_at, reading.answered_at))
        highest = max(known - DRIFT * (reading.answered_at - at), uptime - reading.answered_at)
        if self._runs_with_our_clock(key, uptime, reading.answered_at):
            highest = uptime - reading.answered_at
        self._highest[key] = (highest, reading.answered_at)
        lag = highest - (uptime - reading.asked_at)
        return lag if lag > TOLERANCE_S else 0.0

    def _runs_with_our_clock(self, key: tuple[int, Hashable], uptime: float, now: float) -> bool:
        """Tell whether the uptime moved on as our clock did since a look some s ago, as no cache
        lets it.

        A virtual machine that was paused lost that time for ever: it is behind, and fresh all the
        same.
        """
        before, at = self._before.get(key, (uptime, now))
        if now - at < PACE_S:
            self._before.setdefault(key, (uptime, now))
            return False
        self._before[key] = (uptime, now)
        return abs((uptime - before) - (now - at)) <= TOLERANCE_S

    def moved_on(self, broker_id: int, reading: Sample) -> bool:
        """Tell whether a reading is another one than that which was counted last."""
        if reading.jvm is None:
            return not reading.tells_process
        return self._counted.get(broker_id) != _identity(reading)

    def count(self, readings: Mapping[int, Sample]) -> None:
        """Remember readings as counted."""
        self._counted.update(
            {broker_id: _identity(reading) for broker_id, reading in readings.items()}
        )


def _identity(reading: Sample) -> tuple[Hashable, int]:
    return (reading.jvm.life, reading.jvm.uptime_ms) if reading.jvm else (0, 0)
