"""When a cluster counts as healthy."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HealthRule:
    """``count`` consecutive healthy checks, ``interval`` s apart, with at most ``limit`` s
    unhealthy meanwhile.

    ``longest_check`` is how long (s) one check may take: more than that from one check to the next
    is a pause of this process, and says nothing of the cluster.
    """

    count: int
    interval: float
    limit: float
    longest_check: float = float("inf")
