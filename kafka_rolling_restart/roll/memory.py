"""What is remembered of the brokers from one check to the next: each one's JVM."""

from dataclasses import dataclass, field

from kafka_rolling_restart.model.broker import Jvm, Sample


@dataclass
class JvmTracker:
    """Remembers each broker's JVM by its start time, so that one that changed by itself is
    noticed."""

    _start_ms: dict[int, int] = field(default_factory=dict)
    _changes: dict[int, int] = field(default_factory=dict)

    def expect(self, broker_id: int, jvm: Jvm) -> None:
        """Take this JVM for the broker's own: the first one that was seen, or the one that we
        started."""
        self._start_ms[broker_id] = jvm.start_ms

    def changed(self, broker_id: int, reading: Sample) -> int:
        """Return how often the JVM has changed by itself so far, if this reading shows that it just
        did; else 0."""
        if reading.jvm is None:
            return 0
        known = self._start_ms.setdefault(broker_id, reading.jvm.start_ms)
        self._start_ms[broker_id] = reading.jvm.start_ms
        if known == reading.jvm.start_ms:
            return 0
        self._changes[broker_id] = self._changes.get(broker_id, 0) + 1
        return self._changes[broker_id]
