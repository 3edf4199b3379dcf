"""What is remembered of the cluster from one check to the next: since when a reason holds, and each broker's JVM."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from kafka_rolling_restart.model.broker import Jvm, Reading
from kafka_rolling_restart.model.verdict import Verdict


@dataclass
class ReasonAges:
    """Remembers since when something has been seen at every look."""

    _since: dict[str, float] = field(default_factory=dict)

    def seconds(self, keys: Iterable[str], now: float) -> dict[str, float]:
        """Return for how long (s) each key has been there; what is not among the keys is forgotten."""
        self._since = {key: self._since.get(key, now) for key in keys}
        return {key: now - since for key, since in self._since.items()}

    def dated(self, verdict: Verdict, now: float) -> Verdict:
        """Return the verdict with reasons that know for how long they have been seen."""
        ages = self.seconds([reason.key for reason in verdict.reasons], now)
        return replace(verdict, reasons=tuple(replace(one, lasting=ages[one.key]) for one in verdict.reasons))


@dataclass
class JvmTracker:
    """Remembers each broker's JVM by its start time, so that one that changed by itself is noticed."""

    _start_ms: dict[int, int] = field(default_factory=dict)
    _changes: dict[int, int] = field(default_factory=dict)

    def expect(self, broker_id: int, jvm: Jvm) -> None:
        """Take this JVM for the broker's own: the first one that was seen, or the one that we started."""
        self._start_ms[broker_id] = jvm.start_ms

    def changed(self, broker_id: int, reading: Reading) -> int:
        """Return how often the JVM has changed by itself so far, if this reading shows that it just did; else 0."""
        if reading.jvm is None:
            return 0
        known = self._start_ms.setdefault(broker_id, reading.jvm.start_ms)
        self._start_ms[broker_id] = reading.jvm.start_ms
        if known == reading.jvm.start_ms:
            return 0
        self._changes[broker_id] = self._changes.get(broker_id, 0) + 1
        return self._changes[broker_id]
