"""A signal at each line of the loop over the plan, one run for each."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import kafka_rolling_restart
from kafka_rolling_restart.errors import Interrupted
from tests.simulation.records import End
from tests.simulation.schedule import Schedule
from tests.simulation.world import World

PACKAGE = Path(kafka_rolling_restart.__file__).parent
LOOP = frozenset(
    str(PACKAGE / name)
    for name in ("main.py", "roll/roll.py", "roll/ending.py", "signals.py", "roll/outcome.py")
)


class Lines:
    """Counts the lines of the loop that are run, and sends a signal before one of them."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self._number = number
        self.count = 0

    def __call__(self, frame: FrameType, event: str, _arg: object) -> Any:
        if frame.f_code.co_filename not in LOOP:
            return None
        if event == "line":
            self.count += 1
            if self.count == self._number:
                sys.settrace(None)  # what follows need not be counted
                self._world.signals.handle(signal.SIGTERM)
        return self


@contextmanager
def traced(lines: Lines) -> Iterator[None]:
    before = sys.gettrace()
    sys.settrace(lines)
    try:
        yield
    finally:
        sys.settrace(before)


def run(schedule: Schedule, number: int) -> tuple[World, End | None, int]:
    """Run with a signal at a line. There is no end where the signal came out of the loop."""
    world = World(schedule)
    lines = Lines(world, number)
    try:
        with traced(lines):
            end = world.run()
    except Interrupted:
        end = None
    return world, end, lines.count


def signals(schedule: Schedule) -> Iterator[tuple[int, World, End | None]]:
    """Run once for each line."""
    _, _, count = run(schedule, 0)
    assert count > len(LOOP), "no line of the loop was seen"
    for number in range(1, count + 1):
        world, end, _ = run(schedule, number)
        yield number, world, end
