"""The promises under random schedules of faults.

Thousands of schedules, other ones each time: ``KRR_EXAMPLES=5000 tox -e properties``. Without it a
few hundred are run, the same ones each time, so that nobody's change fails for what was there
before.
"""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, find, given, seed, settings
from hypothesis.errors import NoSuchExample
from hypothesis.strategies import SearchStrategy

from tests.properties.promises import PROMISES, Story, is_kept
from tests.simulation.schedule import KRAFT, ZOOKEEPER, Schedule
from tests.simulation.strategies import KIND_SCHEDULES, KRAFT_SCHEDULES, SCHEDULES

EXAMPLES = int(os.environ.get("KRR_EXAMPLES", 0))
SEED = secrets.randbits(32) if EXAMPLES else 1

simulated = settings(
    max_examples=EXAMPLES or 300,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


WORLDS = {ZOOKEEPER: SCHEDULES, KRAFT: KRAFT_SCHEDULES}


@pytest.fixture(scope="module", params=WORLDS)
def world(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def broken(world: str) -> dict[str, Schedule]:
    """Run all the schedules once; return a schedule for each promise that was broken."""
    found: dict[str, Schedule] = {}

    @seed(SEED)
    @settings(simulated, phases=[Phase.generate])
    @given(WORLDS[world])
    def run(schedule: Schedule) -> None:
        story = Story(schedule)
        found.update(
            {promise.__name__: schedule for promise in PROMISES if not is_kept(promise, story)}
        )

    run()
    return found


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_under_all_faults_the_tool(
    promise: Callable[[Story], None], world: str, broken: dict[str, Schedule]
) -> None:
    if promise.__name__ in broken:
        schedule = shrunk(promise, broken[promise.__name__], WORLDS[world])
        story = Story(schedule)
        print(schedule, *story.world.lines.lines, sep="\n")
        promise(story)


def shrunk(
    promise: Callable[[Story], None], schedule: Schedule, drawn: SearchStrategy[Schedule]
) -> Schedule:
    """Return a smaller schedule that breaks the promise, where one is found."""
    with suppress(NoSuchExample):
        return find(
            drawn,
            lambda smaller: not is_kept(promise, Story(smaller)),
            settings=settings(simulated, max_examples=3 * simulated.max_examples),
            random=Random(SEED),
        )
    return schedule


@seed(SEED)
@settings(simulated, max_examples=EXAMPLES or 100)
@given(KIND_SCHEDULES)
def test_the_first_signal_never_leaves_a_broker_down_where_starts_work(schedule: Schedule) -> None:
    story = Story(schedule)
    assert story.end.settled == {server.id for server in story.world.servers}
