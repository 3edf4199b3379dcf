"""Time, handed in: the real clock, and what a test's clock must offer."""

import time
from typing import Protocol


class Clock(Protocol):
    """Monotonic seconds, and sleeping. Wall time is never used for a decision."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            time.sleep(seconds)
