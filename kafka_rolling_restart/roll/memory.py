"""What is remembered of the brokers from one check to the next: each one's JVM."""

from collections.abc import Hashable
from dataclasses import dataclass, field

from kafka_rolling_restart.model.broker import Jvm, Sample


@dataclass
class JvmTracker:
    """Remembers each broker's JVM by the identity of its life, so that one that changed by
    itself is noticed."""

    _lives: dict[int, Hashable] = field(default_factory=dict)
    _changes: dict[int, int] = field(default_factory=dict)

    def expect(self, broker_id: int, jvm: Jvm) -> None:
        """Take this JVM for the broker's own: the first one that was seen, or the one that we
        started."""
        self._lives[broker_id] = jvm.life

    def changed(self, broker_id: int, reading: Sample) -> int:
        """Return how often the JVM has changed by itself so far, if this reading shows that it just
        did; else 0."""
        if reading.jvm is None:
            return 0
        known = self._lives.setdefault(broker_id, reading.jvm.life)
        self._lives[broker_id] = reading.jvm.life
        if known == reading.jvm.life:
            return 0
        self._changes[broker_id] = self._changes.get(broker_id, 0) + 1
        return self._changes[broker_id]
