"""The quorum's rule as a table: which voter may be stopped, and what is said of those behind."""

import pytest

from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.model.cluster_state import CAUGHT_UP_S, Quorum, QuorumReplica
from kafka_rolling_restart.roll.quorum import (
    confirmed,
    majority,
    never_tolerates,
    objection_to_stop,
    reasons,
)

NEVER = None  # was caught up since the leader was elected


def quorum(
    *behind: float | None, leader: int = 1, observers: dict[int, float | None] | None = None
) -> Quorum:
    """Return a quorum with the voters 1, 2, ..., so many s behind its leader."""
    voters = tuple(QuorumReplica(one, late, 9) for one, late in enumerate(behind, 1))
    others = (observers or {}).items()
    return Quorum(leader, 5, voters, tuple(QuorumReplica(one, late, 9) for one, late in others))


def controller(node_id: int) -> Broker:
    return Broker(node_id, f"c{node_id}", is_broker=False, is_controller=True)


@pytest.mark.parametrize(("voters", "most"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_a_majority_is_more_than_half_of_the_voters(voters: int, most: int) -> None:
    assert majority(quorum(*[0.0] * voters)) == most


@pytest.mark.parametrize(
    ("seen", "stopped", "allowed"),
    [
        (quorum(0), 1, False),
        (quorum(0, 0), 1, False),
        (quorum(0, 0), 2, False),
        (quorum(0, 0, 0), 1, True),  # the leader, too
        (quorum(0, 0, 0), 3, True),
        (quorum(0, 0, 9), 3, True),  # it is the one that is behind
        (quorum(0, 0, 9), 2, False),
        (quorum(0, 0, NEVER), 1, False),
        (quorum(0, NEVER, NEVER), 3, False),
        (quorum(0, 0, 0, 0), 4, True),
        (quorum(0, 0, 0, 9), 1, False),
        (quorum(0, 0, 0, 9), 4, True),
        (quorum(0, 0, 0, 0, 0), 5, True),
        (quorum(0, 0, 0, 0, 9), 1, True),
        (quorum(0, 0, 0, 9, 9), 1, False),
        (quorum(0, 0, 0, 9, 9), 4, True),
        (quorum(0, CAUGHT_UP_S, CAUGHT_UP_S), 1, True),
        (quorum(0, 0, CAUGHT_UP_S + 0.1), 1, False),
        (quorum(0, 9, 9), 42, True),  # no voter
    ],
)
def test_a_voter_may_be_stopped_while_the_others_that_are_caught_up_are_a_majority(
    seen: Quorum, stopped: int, allowed: bool
) -> None:
    assert (objection_to_stop(controller(stopped), seen) == "") is allowed


def test_the_objection_names_who_is_behind_and_how_many_are_needed() -> None:
    assert objection_to_stop(controller(1), quorum(0, 0, 9)) == (
        "without it, 1 of 3 voters of the quorum would be caught up, and 2 are needed (not caught "
        "up: 3)"
    )
    assert "(not caught up: none)" in objection_to_stop(controller(1), quorum(0, 0))


@pytest.mark.parametrize(
    ("voters", "never"), [(1, True), (2, True), (3, False), (4, False), (5, False)]
)
def test_one_or_two_voters_never_tolerate_a_stop(voters: int, never: bool) -> None:
    assert never_tolerates(controller(1), quorum(*[0.0] * voters)) is never
    assert not never_tolerates(controller(42), quorum(*[0.0] * voters))


def test_a_cluster_without_a_quorum_has_nothing_against_it() -> None:
    assert objection_to_stop(controller(1), None) == "" and not never_tolerates(controller(1), None)


def test_voters_and_brokers_that_are_behind_are_reasons() -> None:
    seen = quorum(0, 0.5, 7, NEVER, observers={11: 0.2, 12: 31.0, 13: NEVER})
    nodes = {one: Broker(one, f"n{one}") for one in (11, 12, 13, 14)}
    nodes |= {one: controller(one) for one in (1, 2, 3, 4)}
    assert [(one.code, one.text) for one in reasons(seen, nodes)] == [
        (
            "voter-behind",
            "controller 3, a voter of the quorum, is 7 s behind, more than 3 s (leader: 1)",
        ),
        (
            "voter-behind",
            "controller 4, a voter of the quorum, has not been caught up since the leader was "
            "elected (leader: 1)",
        ),
        ("metadata-lag", "the metadata of broker 12 lags: it is 31 s behind, more than 3 s"),
        (
            "metadata-lag",
            "the metadata of broker 13 lags: it has not been caught up since the leader was "
            "elected",
        ),
        ("metadata-lag", "the metadata of broker 14 lags: it does not follow the quorum"),
    ]


def test_a_combined_node_that_is_behind_is_told_once() -> None:
    both = Broker(2, "n2", is_controller=True)
    assert [one.key for one in reasons(quorum(0, 9, 0), {2: both})] == ["voter 2"]


def test_a_dead_observer_that_lingers_and_is_none_of_ours_is_no_reason() -> None:
    assert reasons(quorum(0, 0, 0, observers={99: 250.0}), {}) == []


@pytest.mark.parametrize(
    ("ends", "epoch", "caught_up"),
    [
        ((12, 12, 12), 1, {1, 2, 3}),
        ((10, 12, 10), 1, {1, 2, 3}),  # what the leader has written since is not asked for
        ((9, 12, 10), 1, {2, 3}),
        ((-1, 12, -1), 1, {2}),
        ((12, 12, 12), 2, {2}),
    ],
)
def test_only_a_voter_that_has_fetched_what_the_leader_had_is_caught_up(
    ends: tuple[int, int, int], epoch: int, caught_up: set[int]
) -> None:
    before = Quorum(2, 1, tuple(QuorumReplica(one, 0.1, 10) for one in (1, 2, 3)))
    voters = tuple(QuorumReplica(one, 0.1, end) for one, end in zip((1, 2, 3), ends, strict=True))
    now = confirmed(Quorum(2, epoch, voters), before)
    assert {one.id for one in now.voters if one.is_caught_up} == caught_up


def test_nobody_is_confirmed_where_the_end_of_the_leaders_log_is_not_known() -> None:
    unknown = Quorum(2, 1, tuple(QuorumReplica(one, 0.1) for one in (1, 2, 3)))
    now = Quorum(2, 1, tuple(QuorumReplica(one, 0.1, 10) for one in (1, 2, 3)))
    assert [one.id for one in confirmed(now, unknown).voters if one.is_caught_up] == [2]
