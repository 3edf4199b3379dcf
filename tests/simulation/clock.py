"""The one clock of the simulation: whatever happens happens in its sleep()."""

from collections.abc import Callable
from heapq import heappop, heappush

QUESTION_S = 10.0  # how long one waits for a ZooKeeper or a JVM that does not answer
ENDLESS_S = 200_000.0
FOREVER = 1e9


class Killed(BaseException):
    """The tool's process was killed (SIGKILL): nothing of it runs any more."""


class Endless(BaseException):
    """The tool did not end."""


class WorldClock:
    """Time that passes only in sleep(); what was planned for a time happens when it comes, in its
    order."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.is_killed = False  # the tool: whatever it does now raises
        self._planned: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def now(self) -> float:
        if self.is_killed:
            raise Killed
        return self.time

    def sleep(self, seconds: float) -> None:
        if self.is_killed:
            raise Killed
        until = self.time + max(seconds, 0)
        while self._planned and self._planned[0][0] <= until:
            at, _, event = heappop(self._planned)
            self.time = max(at, self.time)
            event()
        self.time = max(until, self.time)
        if self.time > ENDLESS_S:
            raise Endless

    def plan(self, seconds: float, event: Callable[[], None]) -> None:
        self._count += 1
        heappush(self._planned, (self.time + seconds, self._count, event))
