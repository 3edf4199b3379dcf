"""What systemd did by itself, as it is seen from look to look."""

import pytest

from kafka_rolling_restart.hosts.base import FoundProcess
from kafka_rolling_restart.model.observation import Presence
from kafka_rolling_restart.restart.unit_history import UnitHistory

PRESENT, ABSENT, UNKNOWN = Presence.PRESENT, Presence.ABSENT, Presence.UNKNOWN


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([0, 0, 0], 0),
        ([0, 1, 12], 12),
        ([5, 5], 0),
        ([5, 0, 1], 1),  # a start by a command begins to count anew
        ([5, 3], 0),  # of those that were before the first look nothing is known
        ([0, None, 2], 2),
        ([None, None], 0),
    ],
)
def test_restarts_are_counted_from_the_fewest_that_were_seen(
    counts: list[int | None], expected: int
) -> None:
    history = UnitHistory()
    for count in counts:
        history.note(FoundProcess(PRESENT, restarts=count))
    assert history.restarts == expected


@pytest.mark.parametrize(
    ("presence", "result", "says"),
    [
        (ABSENT, "timeout", "TimeoutStopSec"),
        (ABSENT, "signal", "a signal"),
        (ABSENT, "success", ""),
        (ABSENT, "exit-code", ""),  # a JVM that was told to end ends with 143
        (PRESENT, "timeout", ""),
        (UNKNOWN, "timeout", ""),
    ],
)
def test_a_kill_is_told_only_where_systemd_says_so(
    presence: Presence, result: str, says: str
) -> None:
    history = UnitHistory()
    history.note(FoundProcess(presence, restarts=0, result=result))
    assert says in history.killed_by
    assert bool(history.killed_by) == bool(says)


def test_systemd_gave_up_only_where_it_started_the_broker_again_before() -> None:
    history = UnitHistory()
    history.note(FoundProcess(ABSENT, restarts=0, has_failed=True))
    assert not history.gave_up
    history.note(FoundProcess(ABSENT, restarts=2, has_failed=True))
    assert history.gave_up
    history.note(FoundProcess(PRESENT, restarts=0))
    assert not history.gave_up
