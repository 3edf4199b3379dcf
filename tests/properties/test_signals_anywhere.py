"""A signal at each line of the loop over the plan: what is said is true, and no broker stays
down."""

import signal
from pathlib import Path

import pytest

from tests.properties.every_line import LOOP, signals
from tests.simulation.schedule import Deed, Job, Nature, Schedule

SCHEDULES = [
    Schedule(count=1),
    Schedule(count=1, natures=(Nature(starts=(Deed(works=False, status=1),)), Nature())),
    Schedule(count=1, natures=(Nature(stop=Deed(works=False, status=5)), Nature())),
    Schedule(count=1, pre_stop=Job(1.0), post_stop=Job(1.0, raises=True)),
]


@pytest.mark.parametrize(
    "schedule", SCHEDULES, ids=["good", "start fails", "stop fails", "task fails"]
)
def test_a_signal_at_any_line_leaves_no_broker_down_and_the_exit_status_is_true(
    schedule: Schedule,
) -> None:
    for number, world, end in signals(schedule):
        if end is not None:
            assert end.settled == {1, 2}, number
            assert end.status in (0, 4, 128 + signal.SIGTERM), number
            assert all(sent.server.id in end.up for sent in world.stops), number


@pytest.mark.parametrize("file", sorted(LOOP), ids=lambda file: Path(file).name)
def test_the_files_of_the_loop_are_there(file: str) -> None:
    assert Path(file).is_file()
