"""The metadata quorum: is it well, and may one of its voters be stopped now. Pure decisions."""

import math
from collections.abc import Mapping
from dataclasses import replace

from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.model.cluster_state import CAUGHT_UP_S, Quorum, QuorumReplica
from kafka_rolling_restart.model.verdict import Reason


def majority(quorum: Quorum) -> int:
    """Return how many voters make a majority."""
    return len(quorum.voters) // 2 + 1


def reasons(quorum: Quorum, expected: Mapping[int, Broker]) -> list[Reason]:
    """Return what is wrong with the quorum and with the brokers that follow it."""
    wrong = [_voter_behind(one, quorum) for one in quorum.voters if not one.is_caught_up]
    for broker in expected.values():
        if broker.id in quorum.voter_ids or not broker.is_broker:
            continue
        replica = quorum.replica(broker.id)
        if replica is None or not replica.is_caught_up:
            wrong.append(_metadata_lag(broker, replica))
    return wrong


def _voter_behind(voter: QuorumReplica, quorum: Quorum) -> Reason:
    text = (
        f"controller {voter.id}, a voter of the quorum, {_behind(voter)} (leader: {quorum.leader})"
    )
    return Reason(f"voter {voter.id}", text, code="voter-behind")


def _metadata_lag(broker: Broker, replica: QuorumReplica | None) -> Reason:
    # one broker that lags blocks the graceful stop of every other
    text = f"the metadata of broker {broker.id} lags: it {_behind(replica)}"
    return Reason(f"metadata {broker.id}", text, code="metadata-lag")


def _behind(replica: QuorumReplica | None) -> str:
    if replica is None:
        return "does not follow the quorum"
    if replica.behind_s is None:
        return "has not been caught up since the leader was elected"
    return f"is {replica.behind_s:.0f} s behind, more than {CAUGHT_UP_S:g} s"


def confirmed(now: Quorum, before: Quorum) -> Quorum:
    """Return the quorum ``now``, with only those voters caught up that have fetched by now all that
    the leader had ``before``.

    A voter that died counts as caught up for 3 s more by its times. Its log tells sooner: the
    leader writes something each 0.5 s (Kafka's metadata.max.idle.interval.ms). Where the leader
    has changed, or the end of its log is not known, nobody else counts as caught up.
    """
    leader = before.replica(before.leader)
    is_known = leader is not None and leader.log_end >= 0 and before.epoch == now.epoch
    needed = leader.log_end if leader is not None and is_known else math.inf
    voters = tuple(
        one if one.id == now.leader or one.log_end >= needed else replace(one, behind_s=None)
        for one in now.voters
    )
    return replace(now, voters=voters)


def objection_to_stop(node: Broker, quorum: Quorum | None) -> str:
    """Return what there is against stopping this node now, as a clause; nothing if it may be
    stopped.

    It may be if it is no voter, or if the voters without it that are caught up are a majority.
    """
    if quorum is None or node.id not in quorum.voter_ids:
        return ""
    others = [one for one in quorum.voters if one.id != node.id]
    caught_up = [one for one in others if one.is_caught_up]
    needed = majority(quorum)
    if len(caught_up) >= needed:
        return ""
    behind = ", ".join(str(one.id) for one in others if not one.is_caught_up) or "none"
    return (
        f"without it, {len(caught_up)} of {len(quorum.voters)} voters of the quorum would be "
        f"caught up, and {needed} are needed (not caught up: {behind})"
    )


def never_tolerates(node: Broker, quorum: Quorum | None) -> bool:
    """Tell whether no order of work lets this voter be stopped: the others are too few."""
    if quorum is None or node.id not in quorum.voter_ids:
        return False
    return len(quorum.voters) - 1 < majority(quorum)
