"""What one check of the cluster found: healthy or not, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from kafka_rolling_restart.text import with_code

SAID = 20  # reasons, or brokers, that are said on one line
WORTH_SAYING_S = 10.0  # a reason that has lasted for less than that is told without its age


class Health(Enum):
    """UNKNOWN: nothing is known to be wrong, but not every number is fresh (a cache that we may not
    empty)."""

    HEALTHY = "healthy"
    UNHEALTHY = "not healthy"
    UNKNOWN = "not known"


@dataclass(frozen=True)
class Reason:
    """Why a cluster is not healthy. ``key`` stays the same while it lasts, also where the numbers
    in ``text`` change.

    ``lasting`` is for how long (s) it has been seen in every check so far; ``code`` is its name in
    the catalogue.
    """

    key: str
    text: str
    lasting: float = 0.0
    code: str = ""

    def __str__(self) -> str:
        return (
            self.text if self.lasting < WORTH_SAYING_S else f"{self.text}, for {self.lasting:.0f} s"
        )


@dataclass(frozen=True)
class Verdict:
    """One check of the cluster. There are reasons unless it is healthy."""

    health: Health
    reasons: tuple[Reason, ...] = ()

    @property
    def state(self) -> str:
        """What is known of the cluster, as a clause."""
        if self.health is Health.UNKNOWN:
            return "it is not known whether the cluster is healthy"
        return f"the cluster is {self.health.value}"

    @property
    def why(self) -> str:
        """The reasons with their codes, on one line; of very many the first."""
        return some("; ", [with_code(str(one), one.code) for one in self.reasons], "reasons")


def some(separator: str, parts: Sequence[str], what: str) -> str:
    """Join parts; of very many the first, and how many more ``what`` there are."""
    more = [f"and {len(parts) - SAID} more {what}"] if len(parts) > SAID else []
    return separator.join([*parts[:SAID], *more])
