"""A signal at each line of the loop over the plan, one run for each: what is said is true, and no broker stays down."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import kafka_rolling_restart
from kafka_rolling_restart.errors import Interrupted
from tests.simulation.records import End
from tests.simulation.schedule import Deed, Fault, Job, Kind, Nature, Schedule
from tests.simulation.world import World

PACKAGE = Path(kafka_rolling_restart.__file__).parent
LOOP = frozenset(str(PACKAGE / name) for name in ("main.py", "roll/roll.py", "signals.py", "roll/outcome.py"))
QUICK = Schedule(count=1)
NEVER_HEALTHY = Schedule(count=1, limit=20.0, faults=(Fault(Kind.DIES, broker=1, stop=1, at=2.0),))


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
    _, _, count = run(schedule, 0)
    for number in range(1, count + 1):
        world, end, _ = run(schedule, number)
        yield number, world, end


SCHEDULES = [
    QUICK,
    Schedule(count=1, natures=(Nature(starts=(Deed(works=False, status=1),)), Nature())),
    Schedule(count=1, natures=(Nature(stop=Deed(works=False, status=5)), Nature())),
    Schedule(count=1, pre_stop=Job(1.0), post_stop=Job(1.0, raises=True)),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=["good", "start fails", "stop fails", "task fails"])
def test_a_signal_at_any_line_leaves_no_broker_down_and_the_exit_status_is_true(schedule: Schedule) -> None:
    for number, world, end in signals(schedule):
        if end is not None:
            assert end.settled == {1, 2}, number
            assert end.status in (0, 4, 128 + signal.SIGTERM), number
            assert all(sent.server.id in end.up for sent in world.stops), number


@pytest.mark.parametrize("schedule", [QUICK, NEVER_HEALTHY], ids=["done", "never healthy"])
def test_a_signal_at_the_end_does_not_cut_off_what_is_said_of_the_brokers_that_were_restarted(
    schedule: Schedule,
) -> None:
    for number, world, end in signals(schedule):
        assert end is not None or world.stops == [], number
