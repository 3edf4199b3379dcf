"""Since when something holds."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from kafka_rolling_restart.model.verdict import Verdict


@dataclass
class ReasonAges:
    """Remembers since when something has been seen at every look."""

    _since: dict[str, float] = field(default_factory=dict)

    def seconds(self, keys: Iterable[str], now: float) -> dict[str, float]:
        """Return for how long (s) each key has been there; what is not among the keys is
        forgotten."""
        self._since = {key: self._since.get(key, now) for key in keys}
        return {key: now - since for key, since in self._since.items()}

    def dated(self, verdict: Verdict, now: float) -> Verdict:
        """Return the verdict with reasons that know for how long they have been seen."""
        ages = self.seconds([reason.key for reason in verdict.reasons], now)
        return replace(
            verdict, reasons=tuple(replace(one, lasting=ages[one.key]) for one in verdict.reasons)
        )
