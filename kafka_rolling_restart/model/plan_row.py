"""One line of the plan, as it is shown."""

from collections.abc import Hashable
from dataclasses import dataclass

from kafka_rolling_restart.model.broker import Broker

LEFT_ALONE = "left alone"


@dataclass(frozen=True)
class PlanRow:
    """One broker in the plan's table. ``order`` is its place, or that it is left alone."""

    order: str
    broker: Broker
    since: str
    role: str
    found: str
    problems: tuple[str, ...] = ()  # without what is this broker's own in them

    @property
    def kind(self) -> Hashable | None:
        """The same for rows of which a window may leave some out; None for one that is always
        shown."""
        return None if self.role else (self.order == LEFT_ALONE, self.found, self.problems)

    @property
    def line(self) -> str:
        """The row as text."""
        place = self.order if self.order == LEFT_ALONE else f"place {self.order}"
        since = f"up since {self.since}" if self.since else "not known since when it is up"
        if self.order == LEFT_ALONE and not self.since:
            since = ""  # nobody was asked
        rack = f"rack {self.broker.rack}" if self.broker.rack else ""
        parts = [place, rack, since, self.role, f"preflight: {self.found}"]
        return f"plan: {', '.join(filter(None, parts))}"
