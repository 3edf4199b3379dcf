"""Time, handed in: the real clock, and what a test's clock must offer."""

import sys
import time
from typing import Protocol


class Clock(Protocol):
    """Monotonic seconds, and sleeping. Wall time is never used for a decision."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's monotonic clock, which goes on while the machine is suspended.

    What was seen before a suspension is old after it, and Linux's CLOCK_MONOTONIC would not show
    that. Where a hypervisor stops a whole virtual machine, no clock in it shows that.
    """

    def now(self) -> float:
        if sys.platform == "linux":
            return time.clock_gettime(time.CLOCK_BOOTTIME)
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            time.sleep(seconds)
