"""A signal at each line of the loop over the plan, the last ones included: what was restarted is
told all the same."""

import pytest

from tests.properties.every_line import signals
from tests.simulation.schedule import Fault, Kind, Schedule

QUICK = Schedule(count=1)
NEVER_HEALTHY = Schedule(count=1, limit=20.0, faults=(Fault(Kind.DIES, broker=1, stop=1, at=2.0),))


@pytest.mark.parametrize("schedule", [QUICK, NEVER_HEALTHY], ids=["done", "never healthy"])
def test_a_signal_at_the_end_does_not_cut_off_what_is_said_of_the_brokers_that_were_restarted(
    schedule: Schedule,
) -> None:
    for number, world, end in signals(schedule):
        assert end is not None or world.stops == [], number
