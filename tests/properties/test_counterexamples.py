"""Schedules that broke a promise once, shrunk, and some that chance draws too seldom."""

from dataclasses import replace

import pytest

from tests.properties.promises import (
    Story,
    ends_in_bounded_time,
    stops_no_voter_without_a_majority_of_the_others,
)
from tests.simulation.schedule import (
    KRAFT,
    ZOOKEEPER,
    Deed,
    Fault,
    Job,
    Kind,
    Nature,
    Schedule,
    Signal,
)

# Counterexamples that were found, shrunk

LIAR = Schedule(
    count=3,
    faults=(
        Fault(Kind.PROXY_STALE, stop=1, at=12.0, lasts=90.0),
        Fault(Kind.DIES, stop=1, at=13.0),
        Fault(Kind.ZOOKEEPER_OURS, stop=1, at=13.0, lasts=90.0),
    ),
    signals=(Signal(stop=1, at=19.0),),
)
CACHE = Schedule(
    natures=(Nature(cache=20.0), Nature()),
    count=3,
    faults=(
        Fault(Kind.DIES, stop=1, at=28.0),
        Fault(Kind.ZOOKEEPER_OURS, stop=1, at=29.0, lasts=90.0),
    ),
    signals=(Signal(stop=1, at=30.0),),
)


def test_a_restarted_broker_that_was_killed_a_moment_ago_is_not_said_to_be_back() -> None:
    story = Story(
        Schedule(
            faults=(Fault(Kind.DIES, broker=0, stop=1, at=12.0),),
            signals=(Signal(stop=1, at=14.0),),
        )
    )
    assert story.end.up == {2}
    assert story.end.status == 5


@pytest.mark.parametrize(
    "schedule", [LIAR, CACHE], ids=["pretends to forget", "may not be emptied"]
)
def test_a_restarted_broker_for_which_only_its_proxy_answers_is_not_said_to_be_back(
    schedule: Schedule,
) -> None:
    story = Story(schedule)
    assert len(story.world.stops) == 1 and story.end.up == {2}
    assert story.end.status == 5


def test_an_old_process_that_is_hidden_and_ends_after_a_minute_does_not_cost_its_broker() -> None:
    story = Story(Schedule(natures=(Nature(visible=False, ends=50.0), Nature()), limit=600.0))
    assert story.end.settled == {1, 2}


def test_a_lock_that_was_lost_during_the_tasks_of_a_broker_that_was_restarted_stops_nothing() -> (
    None
):
    faults = (Fault(Kind.OUR_SESSION, at=1.0), Fault(Kind.RESTARTED, broker=0, at=2.0))
    story = Story(Schedule(count=1, faults=faults, pre_stop=Job(seconds=7.0)))
    assert story.world.stops == []


def test_a_stop_that_fails_is_seen_to_have_changed_nothing_though_sessions_were_lost() -> None:
    stop = Deed(works=False, returns=1.0, status=5)
    story = Story(
        Schedule(
            natures=(Nature(stop=stop), Nature()), faults=(Fault(Kind.SESSIONS, stop=1, at=0.5),)
        )
    )
    assert story.end.up == {1, 2} and story.world.starts == []
    assert story.end.status == 4


def test_a_broker_whose_graceful_stop_waits_for_another_that_lags_is_not_said_to_be_up() -> None:
    lags = Fault(Kind.LAGS, broker=2, stop=1, at=0.1, lasts=900.0)
    story = Story(Schedule(natures=(Nature(),) * 3, registry=KRAFT, limit=150.0, faults=(lags,)))
    assert story.end.status == 5


# Schedules that chance draws too seldom


def test_a_proxy_that_pretends_for_hours_to_forget_is_refused_in_bounded_time() -> None:
    story = Story(Schedule(faults=(Fault(Kind.PROXY_STALE, broker=1, at=1.0, lasts=30_000.0),)))
    ends_in_bounded_time(story)
    assert story.end.status == 3


@pytest.mark.parametrize("registry", [ZOOKEEPER, KRAFT])
def test_a_lock_that_was_lost_while_somebody_restarted_another_broker_stops_nothing_more(
    registry: str,
) -> None:
    faults = (
        Fault(Kind.OUR_SESSION, stop=1, at=8.0),
        Fault(Kind.RESTARTED, broker=2, stop=1, at=9.0),
    )
    natures = (Nature(), Nature(), Nature())
    story = Story(Schedule(natures=natures, faults=faults, registry=registry))
    assert [sent.server.id for sent in story.world.stops] == [1]
    assert story.end.status == 4


def test_a_cluster_is_not_called_whole_while_zookeeper_is_away() -> None:
    story = Story(Schedule(faults=(Fault(Kind.ZOOKEEPER_OURS, stop=2, at=8.0, lasts=30_000.0),)))
    assert story.end.status == 4  # their metrics tell that they are up


def test_partitions_of_which_nobody_tells_hold_up_the_roll() -> None:
    unread = Fault(Kind.UNREAD, stop=1, at=3.0, lasts=40.0)
    story = Story(
        Schedule(registry=KRAFT, natures=(Nature(catches_up=30.0),) * 2, faults=(unread,))
    )
    first, second = story.world.stops
    assert second.at > first.at + 43.0
    assert story.end.status == 0


# A host that is slow to show the process: much may happen to the quorum between the last check and
# the stop.
SLOW_HOSTS = Schedule(
    registry=KRAFT, roles="controllers", controllers=(Nature(found=8.0),) * 3, election=1.0
)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(Kind.VOTER_DIES, broker=0, at=6.0, lasts=30.0),
        Fault(Kind.VOTER_DIES, broker=2, at=6.0, lasts=30.0),
        Fault(Kind.VOTER_FREEZES, broker=2, at=6.0, lasts=30.0),
        Fault(Kind.VOTER_LAGS, broker=2, at=6.0, lasts=30.0),
    ],
    ids=lambda fault: fault.kind.value,
)
def test_a_voter_is_not_stopped_where_the_quorum_cannot_spare_it_since_the_last_check(
    fault: Fault,
) -> None:
    story = Story(replace(SLOW_HOSTS, faults=(fault,)))
    stops_no_voter_without_a_majority_of_the_others(story)
    assert story.world.stops[0].at > story.world.began + fault.at + fault.lasts
    assert story.end.status == 0


def test_a_quorum_that_is_lost_while_a_controller_is_looked_at_ends_the_run_before_a_stop() -> None:
    story = Story(replace(SLOW_HOSTS, faults=(Fault(Kind.QUORUM, at=6.0, lasts=30.0),)))
    assert story.world.stops == []
    assert story.end.status == 4


def test_a_broker_is_started_though_the_quorum_is_lost_while_it_stops() -> None:
    lost = Fault(Kind.QUORUM, stop=1, at=0.1, lasts=3000.0)
    story = Story(Schedule(registry=KRAFT, limit=600.0, faults=(lost,)))
    (stop,) = story.world.stops
    assert 300.0 < story.world.starts[0].at - stop.at < 330.0
    assert story.end.status == 5


def test_a_combined_node_that_lags_as_a_voter_holds_up_the_roll() -> None:
    lags = Fault(Kind.VOTER_LAGS, broker=1, at=2.0, lasts=20.0)
    story = Story(Schedule(registry=KRAFT, combined=True, natures=(Nature(),) * 3, faults=(lags,)))
    assert story.world.stops[0].at > story.world.began + 22.0
    assert story.end.status == 0
