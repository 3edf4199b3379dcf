import json
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from kafka_rolling_restart.errors import LockHeld, Refused, RegistryUnavailable, Stopped
from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.registry.group_lock import (
    GROUP,
    HEARTBEAT_S,
    SESSION_S,
    GroupLock,
    keeper,
)
from kafka_rolling_restart.registry.kafka.answers import GroupMember, KafkaDenied
from tests.fake_groups import SPEED, Cluster, FakeGroups, stop_beating

PATIENCE_S = 20.0  # of a test, in real s


def resume_beating(lock: GroupLock) -> None:
    lock._ended.clear()
    lock._beat()


def eventually(true: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < until, "this never comes"
        time.sleep(0.005)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    one = Cluster()
    yield one
    one.close()


class Stranger:
    """Somebody else in the group, who says what they want."""

    def __init__(self, groups: FakeGroups, metadata: bytes = b"", session_s: float = 15.0) -> None:
        self.groups = groups
        self.metadata = metadata
        self.session_s = session_s
        self.id = ""
        self.told = b""

    def join(self) -> "Stranger":
        """Join, and sync as a member of the group does."""
        at = self.groups.coordinator
        while True:
            joined = self.groups.join_group(
                at, GROUP, self.id, GROUP, self.metadata, self.session_s, 10.0, 60.0
            )
            self.id = joined.member_id or self.id
            if joined.error:
                continue
            said = {one.id: b"" for one in joined.members}
            if joined.members:
                kept = keeper(joined.members).id
                said = {one: json.dumps({"keeper": kept}).encode() for one in said}
            synced = self.groups.sync_group(at, GROUP, self.id, joined.generation, said, 60.0)
            if not synced.error:
                self.told = synced.assignment
                return self


# One at a time


def test_the_second_run_is_told_who_holds_the_lock(cluster: Cluster) -> None:
    cluster.taken("ann")
    with pytest.raises(LockHeld, match="ann on h, pid 7, since 2026.*disappears within 15 s"):
        cluster.lock("bob").take()
    assert len(cluster.groups.members) == 1


def test_whoever_is_released_frees_the_lock_at_once(cluster: Cluster) -> None:
    cluster.taken("ann").release()
    assert cluster.lock("").holder() == ""
    cluster.taken("bob")


def test_a_release_finds_the_coordinator_that_has_just_moved(cluster: Cluster) -> None:
    lock = cluster.taken("ann")
    stop_beating(lock)
    cluster.groups.move()
    lock.release()
    assert cluster.groups.members == {}


def test_a_release_where_nobody_answers_ends_soon(cluster: Cluster) -> None:
    lock = cluster.taken("ann")
    cluster.groups.down.update(cluster.groups.addresses)
    began = cluster.clock.now()
    lock.release()
    assert cluster.clock.now() - began < 15 * SPEED
    cluster.groups.down.clear()


def test_the_lock_of_a_run_that_was_killed_is_free_after_its_session(cluster: Cluster) -> None:
    stop_beating(cluster.taken("ann"))
    cluster.clock.pass_at_once(SESSION_S / 2)
    with pytest.raises(LockHeld):
        cluster.lock("bob").take()
    cluster.clock.pass_at_once(SESSION_S)
    cluster.taken("bob")


def test_two_that_wait_for_the_first_rebalance_of_a_new_group_see_each_other() -> None:
    cluster = Cluster(first_delay_s=3.0)
    locks = {"ann": cluster.lock("ann", "2026-01-01T10:00:01"), "bob": cluster.lock("bob")}
    ends: dict[str, str] = {}

    def run(name: str) -> None:
        try:
            locks[name].take()
            ends[name] = "held"
        except LockHeld as error:
            ends[name] = str(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in locks]
    for one in threads:
        one.start()
    for one in threads:
        one.join(PATIENCE_S)
    (holder,) = [name for name, end in ends.items() if end == "held"]
    (other,) = set(locks) - {holder}
    assert f"{holder} on h" in ends[other]
    cluster.close()


def test_a_run_that_joins_between_the_two_joins_of_another_does_not_take_its_lock(
    cluster: Cluster,
) -> None:
    first = cluster.lock("ann", since="2026-12-31")
    second = cluster.lock("bob", since="2026-01-01")  # by its age it would be the keeper
    refused: list[LockHeld] = []

    def join_late() -> None:
        try:
            second._until_found(second._enter)
        except LockHeld as error:
            refused.append(error)

    joins = [0]
    late = threading.Thread(target=join_late)
    join = cluster.groups.join_group

    def counting(*given: object) -> object:
        joins[0] += 1
        if joins[0] == 3:  # the first two are those of the first run's first join
            late.start()
            eventually(lambda: len(cluster.groups.members) == 2)
        return join(*given)  # type: ignore[arg-type]

    cluster.groups.join_group = counting  # type: ignore[method-assign, assignment]
    first.take()
    late.join(PATIENCE_S)
    assert "ann on h" in str(refused[0])
    assert first.ensure_held() is False


# Staying


def test_what_is_shown_is_seen_by_others(cluster: Cluster) -> None:
    cluster.taken("ann").show([Broker(3, "n3"), Broker(4, "n4")])
    assert "ann on h" in cluster.lock("").holder()
    assert "at broker 3, 4" in cluster.lock("").holder()


def test_a_holder_stays_in_the_group_by_its_heartbeats(cluster: Cluster) -> None:
    lock = cluster.taken("ann")
    time.sleep(2 * SESSION_S / SPEED)
    assert len(cluster.groups.members) == 1
    assert lock.ensure_held() is False


def test_a_holder_survives_the_move_of_its_coordinator(cluster: Cluster) -> None:
    lock = cluster.taken("ann")
    id_before = list(cluster.groups.members)
    cluster.groups.move(loading_s=8.0)
    began = cluster.clock.now()
    assert lock.ensure_held() is False
    assert 8 <= cluster.clock.now() - began <= 25
    lock.show([Broker(2, "n2")])
    assert list(cluster.groups.members) == id_before


def test_a_holder_outlasts_a_coordinator_that_is_away_for_ten_seconds(cluster: Cluster) -> None:
    lock = cluster.taken("ann")
    old = cluster.groups.coordinator
    cluster.groups.down.add(old)

    def move() -> None:
        cluster.clock.sleep(10)
        cluster.groups.move()

    threading.Thread(target=move, daemon=True).start()
    lock.show([Broker(1, "n1")])
    assert lock.ensure_held() is False
    assert "at broker 1" in cluster.lock("").holder()


def test_without_any_coordinator_the_lock_is_uncertain_within_some_25_seconds(
    cluster: Cluster,
) -> None:
    lock = cluster.taken("ann")
    cluster.groups.has_coordinator = False
    cluster.groups.move()
    stop_beating(lock)
    began = cluster.clock.now()
    with pytest.raises(RegistryUnavailable, match="has no coordinator: COORDINATOR_NOT_AVAILABLE"):
        lock.ensure_held()
    assert 20 <= cluster.clock.now() - began < 30


def test_a_frozen_coordinator_makes_the_lock_uncertain_in_bounded_time(cluster: Cluster) -> None:
    lock = cluster.taken("ann")
    stop_beating(lock)
    cluster.groups.frozen.add(cluster.groups.coordinator)
    began = cluster.clock.now()
    with pytest.raises(RegistryUnavailable):
        lock.ensure_held()
    # looking for the coordinator takes real time, up to PATIENCE_S of first_answer each time
    assert cluster.clock.now() - began < 25 + 3 * SPEED


def test_a_holder_keeps_its_lock_when_a_stranger_joins_the_group(cluster: Cluster) -> None:
    lock = cluster.taken("ann")
    Stranger(cluster.groups, b"who knows").join()
    eventually(lambda: lock._seat.is_ours and lock._seat.generation >= 3)
    assert lock.ensure_held() is False
    lock.show([Broker(2, "n2")])
    with pytest.raises(LockHeld, match="ann on h"):
        cluster.lock("bob").take()


def test_a_holder_keeps_its_lock_when_the_stranger_leads_the_group(cluster: Cluster) -> None:
    lock = cluster.taken("ann")
    stranger = Stranger(cluster.groups, b"{}").join()
    cluster.groups._group.leader = stranger.id
    showing = threading.Thread(target=lock.show, args=([Broker(1, "n1")],))
    showing.start()
    stranger.join()
    showing.join(PATIENCE_S)
    assert lock._seat.is_ours and lock.ensure_held() is False


def test_a_new_generation_whose_keeper_was_not_heard_is_not_taken_for_the_lock(
    cluster: Cluster,
) -> None:
    lock = cluster.taken("ann")
    stop_beating(lock)
    sync = cluster.groups.sync_group

    def fail(*_given: object) -> object:
        raise RegistryUnavailable("no answer in time")

    cluster.groups.sync_group = fail  # type: ignore[method-assign, assignment]
    with pytest.raises(RegistryUnavailable):
        lock._join(cluster.groups.coordinator)
    mine = lock._seat
    alive = cluster.groups.heartbeat(
        cluster.groups.coordinator, GROUP, mine.member_id, mine.generation, 3.0
    )
    assert alive == ""  # the coordinator hears its heartbeats gladly
    with pytest.raises((RegistryUnavailable, Stopped)):
        lock.ensure_held()
    cluster.groups.sync_group = sync  # type: ignore[method-assign]


# Losing it


def test_a_holder_that_slept_longer_than_its_session_takes_the_lock_again_and_says_so(
    cluster: Cluster,
) -> None:
    lock = cluster.taken("ann")
    stop_beating(lock)
    cluster.clock.pass_at_once(SESSION_S + 1)
    assert lock.ensure_held() is True
    assert lock.ensure_held() is False


def test_a_holder_that_slept_while_another_took_the_lock_is_told_who(cluster: Cluster) -> None:
    lock = cluster.taken("ann")
    stop_beating(lock)
    cluster.clock.pass_at_once(SESSION_S + 1)
    other = cluster.taken("bob")
    resume_beating(lock)
    with pytest.raises(Stopped, match="lost with its place in the group.*bob on h") as lost:
        lock.ensure_held()
    assert lost.value.code == "lock-lost"
    assert other.ensure_held() is False


def test_a_holder_that_lost_the_lock_does_not_take_it_from_the_next_by_showing_itself(
    cluster: Cluster,
) -> None:
    lock = cluster.lock("ann", since="2026-01-01")
    lock.take()
    stop_beating(lock)
    cluster.clock.pass_at_once(SESSION_S + 1)
    other = cluster.lock("bob", since="2026-06-01")
    other.take()
    resume_beating(lock)
    for _ in range(2):  # the first time it learns that it was lost
        with pytest.raises(Stopped) as lost:
            lock.show([Broker(1, "n1")])
        assert lost.value.code == "lock-lost"
    assert other.ensure_held() is False
    assert "bob on h" in cluster.lock("").holder()


def test_a_group_that_was_lost_is_made_anew_and_that_is_said(cluster: Cluster) -> None:
    lock = cluster.taken("ann")
    cluster.groups.forget()
    assert lock.ensure_held() is True


def test_a_coordinator_that_moves_while_a_run_joins_does_not_end_it(cluster: Cluster) -> None:
    join, moved = cluster.groups.join_group, [0]

    def moving(*given: object) -> object:
        joined = join(*given)  # type: ignore[arg-type]
        if joined.error == "MEMBER_ID_REQUIRED" and moved[0] < 2:
            moved[0] += 1
            cluster.groups.move()
        return joined

    cluster.groups.join_group = moving  # type: ignore[method-assign, assignment]
    lock = cluster.lock("ann")
    lock.take()
    assert moved == [2] and lock.ensure_held() is False


def test_an_answer_that_was_lost_makes_nobody_a_rival_of_itself(cluster: Cluster) -> None:
    cluster.groups.lost_answers = ["join"]
    lock = cluster.taken("ann")
    assert len(cluster.groups.members) == 1
    cluster.groups.lost_answers = ["join"]
    lock.show([Broker(1, "n1")])
    assert len(cluster.groups.members) == 1 and lock.ensure_held() is False


def test_a_heartbeat_that_hangs_does_not_hold_up_the_question_for_long(cluster: Cluster) -> None:
    lock = cluster.taken("ann")
    cluster.groups.frozen.add(cluster.groups.coordinator)
    cluster.clock.sleep(HEARTBEAT_S + 0.5)  # a heartbeat is on its way
    cluster.groups.move()
    began = cluster.clock.now()
    assert lock.ensure_held() is False
    # its 3 s, ours, and the real time of looking for the coordinator past one that is frozen
    assert cluster.clock.now() - began < 8 + 0.6 * 2 * SPEED


# Others, who may say anything

HOSTILE = {
    "nothing": b"",
    "garbage": b"\xff\xfe\x00garbage",
    "a list": b"[1, 2]",
    "a number": b"7",
    "a mebibyte": b'{"since": "' + b"0" * 1024 * 1024 + b'"}',
    "nested": b"[" * 100_000,
    "nested in since": b'{"since": ' + b"[" * 900 + b"]" * 900 + b"}",
    "a long number": b'{"since": ' + b"9" * 10_000 + b"}",
    "a terminal": json.dumps(
        {"user": "\x1b[2J", "host": "h\n", "pid": 1, "since": "\x07"}
    ).encode(),
    "another keeper": b'{"keeper": "m-000001", "user": "eve"}',
    "since nothing": b'{"since": ""}',
}


@pytest.mark.parametrize("metadata", HOSTILE.values(), ids=HOSTILE)
def test_whatever_a_stranger_says_nobody_crashes_and_the_holder_keeps_the_lock(
    cluster: Cluster, metadata: bytes
) -> None:
    lock = cluster.taken("ann")
    Stranger(cluster.groups, metadata).join()
    assert lock.ensure_held() is False
    with pytest.raises(LockHeld) as held:
        cluster.lock("bob").take()
    assert str(held.value).isprintable()


@pytest.mark.parametrize("metadata", HOSTILE.values(), ids=HOSTILE)
def test_a_stranger_alone_in_the_group_keeps_every_run_away(
    cluster: Cluster, metadata: bytes
) -> None:
    Stranger(cluster.groups, metadata).join()
    with pytest.raises(LockHeld) as held:
        cluster.lock("bob").take()
    assert str(held.value).isprintable() and len(str(held.value)) < 1000


def test_whoever_pretends_to_hold_the_lock_ends_the_run_that_had_it_and_no_two_hold(
    cluster: Cluster,
) -> None:
    lock = cluster.taken("ann")
    stranger = Stranger(
        cluster.groups, b'{"holds": true, "since": "", "keeper": "m-000001"}'
    ).join()
    with pytest.raises(Stopped) as lost:
        lock.ensure_held()
    assert lost.value.code == "lock-lost"
    eventually(lambda: list(cluster.groups.members) == [stranger.id])


def test_what_others_are_told_of_the_keeper_is_short_whatever_it_gave(cluster: Cluster) -> None:
    big = json.dumps({"holds": True, "user": "u" * 1024 * 1024, "x": "y" * 1024 * 1024}).encode()
    stranger = Stranger(cluster.groups, big).join()
    refused: list[LockHeld] = []

    def enter(lock: GroupLock) -> None:
        try:
            lock._until_found(lock._enter)
        except LockHeld as error:
            refused.append(error)

    entering = threading.Thread(target=enter, args=(cluster.lock("ann"),))
    entering.start()
    eventually(lambda: len(cluster.groups.members) == 2)
    stranger.join()
    entering.join(PATIENCE_S)
    assert len(refused) == 1 and len(str(refused[0])) < 1000
    assert all(len(one) < 1000 for one in cluster.groups._saved.assignments.values())


# Rights, and looking without touching


def test_a_missing_right_is_said_with_the_line_that_gives_it(cluster: Cluster) -> None:
    cluster.groups.denied = True
    problem = cluster.lock("ann").problem()
    assert problem is not None and problem.code == "lock-not-allowed"
    assert "kafka-acls.sh" in problem.text and GROUP in problem.text
    with pytest.raises(Refused) as refused:
        cluster.lock("ann").take()
    assert refused.value.code == "lock-not-allowed"


def test_a_missing_right_that_the_client_tells_is_said_as_one_of_the_lock(cluster: Cluster) -> None:
    def deny(*_given: object) -> object:
        raise KafkaDenied("a right is missing (GROUP_AUTHORIZATION_FAILED)", code="other")

    cluster.groups.describe_group = deny  # type: ignore[method-assign, assignment]
    problem = cluster.lock("ann").problem()
    assert problem is not None and problem.code == "lock-not-allowed"
    assert "--operation Read --operation Describe" in problem.text


def test_a_refused_login_is_a_problem_of_its_own(cluster: Cluster) -> None:
    def deny(*_given: object) -> object:
        raise KafkaDenied("wrong password", code="kafka-login-refused")

    cluster.groups.find_coordinator = deny  # type: ignore[method-assign, assignment]
    problem = cluster.lock("ann").problem()
    assert problem is not None and problem.code == "kafka-login-refused"


def test_looking_for_problems_and_for_the_holder_writes_nothing(cluster: Cluster) -> None:
    assert cluster.lock("ann").problem() is None
    assert cluster.lock("ann").holder() == ""
    assert cluster.groups._group.state == "Dead" and cluster.groups._group.pending == set()
    assert set(cluster.groups.asked) == {"find", "describe", "join"}  # this join is refused


def test_a_group_that_nobody_ever_joined_is_free_in_every_version(cluster: Cluster) -> None:
    cluster.groups.knows_missing_groups = False
    assert cluster.lock("ann").holder() == ""
    cluster.taken("ann")


def test_a_group_that_does_not_settle_counts_as_held(cluster: Cluster) -> None:
    lock = cluster.taken("ann")
    stop_beating(lock)
    stranger = Stranger(cluster.groups, b"x")
    threading.Thread(target=stranger.join, daemon=True).start()
    eventually(lambda: cluster.groups._group.state == "PreparingRebalance")
    seen = cluster.lock("bob").holder()
    assert "does not settle" in seen or "does not tell" in seen or "ann on h" in seen
    assert seen


def test_a_run_that_is_refused_does_not_stay_in_the_group(cluster: Cluster) -> None:
    lock = cluster.lock("ann")
    sync = cluster.groups.sync_group
    calls = [0]

    def failing(*given: object) -> object:
        calls[0] += 1
        if calls[0] > 1:
            raise RegistryUnavailable("no answer in time")
        return sync(*given)  # type: ignore[arg-type]

    cluster.groups.sync_group = failing  # type: ignore[method-assign, assignment]
    with pytest.raises(RegistryUnavailable):
        lock.take()
    assert cluster.groups.members == {}


@pytest.mark.parametrize(
    ("members", "kept"),
    [
        ([("a", {"since": "2"}), ("b", {"since": "1"})], "b"),
        ([("a", {"since": "2", "holds": True}), ("b", {"since": "1"})], "a"),
        ([("b", {"since": "1"}), ("a", {"since": "1"})], "a"),
        ([("a", {"since": "2", "holds": "yes"}), ("b", {"since": "1"})], "b"),
        ([("a", {"since": ["1"]}), ("b", {"since": "1"})], "a"),
    ],
)
def test_the_keeper_is_who_holds_it_else_who_came_first(
    members: list[tuple[str, dict[str, object]]], kept: str
) -> None:
    given = [GroupMember(one, metadata=json.dumps(told).encode()) for one, told in members]
    assert keeper(given).id == kept == keeper(given[::-1]).id
