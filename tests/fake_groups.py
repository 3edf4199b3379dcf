"""A cluster's coordinator of consumer groups, as short as the real one is from outside.

It follows Kafka's classic groups: https://kafka.apache.org/protocol and `GroupCoordinator`'s
documented behaviour. Any number of threads may use it; its time is that of the clock.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from kafka_rolling_restart.registry.group_lock import HEARTBEAT_S, GroupLock
from kafka_rolling_restart.registry.kafka.answers import (
    Address,
    Coordinator,
    GroupDescription,
    GroupMember,
    Joined,
    KafkaUnavailable,
    Synced,
)

SHORTEST_S, LONGEST_S = 6.0, 1800.0  # of a session, by Kafka's defaults
STEP_S = 0.002  # real time from one look at a waiting member to the next


class FastClock:
    """Real time that passes ``speed`` times as fast, and can be put forward."""

    def __init__(self, speed: float = 50.0) -> None:
        self._speed = speed
        self._ahead = 0.0

    def now(self) -> float:
        return time.monotonic() * self._speed + self._ahead

    def sleep(self, seconds: float) -> None:
        time.sleep(max(seconds, 0.0) / self._speed)

    def pass_at_once(self, seconds: float) -> None:
        self._ahead += seconds


@dataclass
class Member:
    """A member as its coordinator keeps it."""

    id: str
    metadata: bytes
    session_s: float
    rebalance_s: float
    heard_at: float
    is_joining: bool = False  # it waits for the others
    is_syncing: bool = False  # it waits for the leader


@dataclass
class Group:
    """A group. ``epoch`` grows when its coordinator moves: whoever waits then is sent away."""

    state: str = "Dead"
    generation: int = 0
    leader: str = ""
    members: dict[str, Member] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    assignments: dict[str, bytes] = field(default_factory=dict)
    deadline: float = 0.0  # of the rebalance


class FakeGroups:
    """Brokers 1 to ``count``, one of which coordinates the group."""

    def __init__(
        self,
        clock: FastClock,
        count: int = 3,
        delay: Callable[[], None] = lambda: None,
        first_delay_s: float = 0.0,
    ) -> None:
        self.clock = clock
        self.addresses: list[Address] = [(f"b{one}", 9092) for one in range(1, count + 1)]
        self.coordinator = self.addresses[0]
        self.down: set[Address] = set()
        self.frozen: set[Address] = set()
        self.denied = False
        self.has_coordinator = True
        self.knows_missing_groups = True  # else DescribeGroups answers GROUP_ID_NOT_FOUND
        self.loading_until = float("-inf")
        self.first_delay_s = first_delay_s
        self.asked: list[str] = []
        self.lost_answers: list[str] = []  # requests that are obeyed and not answered
        self._delay = delay
        self._changed = threading.Condition()
        self._group = Group()
        self._saved = Group()  # what the next coordinator will read
        self._epoch = 0
        self._ids = 0

    # What happens to it

    def move(self, loading_s: float = 0.0) -> None:
        """Have another broker coordinate, which loads what was saved last."""
        with self._changed:
            place = self.addresses.index(self.coordinator)
            self.coordinator = self.addresses[(place + 1) % len(self.addresses)]
            self.loading_until = self.clock.now() + loading_s
            self._epoch += 1
            now = max(self.loading_until, self.clock.now())
            saved = self._saved
            members = {one: replace(who, heard_at=now) for one, who in saved.members.items()}
            self._group = replace(saved, members=members, pending=set())
            self._changed.notify_all()

    def forget(self) -> None:
        """Lose everything, as where the topic __consumer_offsets was lost."""
        with self._changed:
            self._group, self._saved = Group(), Group()
            self._epoch += 1
            self._changed.notify_all()

    @property
    def members(self) -> dict[str, bytes]:
        """The members that are in the group now, and what they gave."""
        with self._changed:
            self._expire()
            return {one: who.metadata for one, who in self._group.members.items()}

    # What is asked of it

    def find_coordinator(self, address: Address, group: str, timeout: float) -> Coordinator:
        self._arrive(address, "find", timeout)
        if self.denied:
            return Coordinator("GROUP_AUTHORIZATION_FAILED")
        if not self.has_coordinator or self.coordinator in self.down:
            return Coordinator("COORDINATOR_NOT_AVAILABLE")
        return Coordinator("", 1, self.coordinator)

    def describe_group(self, address: Address, group: str, timeout: float) -> GroupDescription:
        self._arrive(address, "describe", timeout)
        with self._changed:
            if error := self._away(address):
                return GroupDescription(error)
            self._expire()
            found = self._group
            if found.state == "Dead" and not self.knows_missing_groups:
                return GroupDescription("GROUP_ID_NOT_FOUND", "Dead")
            told = found.state == "Stable"
            members = tuple(
                GroupMember(one.id, metadata=one.metadata if told else b"")
                for one in found.members.values()
            )
            return GroupDescription("", found.state, "kafka-rolling-restart", members)

    def join_group(
        self,
        address: Address,
        group: str,
        member_id: str,
        protocol_type: str,
        metadata: bytes,
        session_timeout_s: float,
        rebalance_timeout_s: float,
        timeout: float,
    ) -> Joined:
        began = self.clock.now()
        self._arrive(address, "join", timeout)
        with self._changed:
            if error := self._away(address):
                return Joined(error)
            if not SHORTEST_S <= session_timeout_s <= LONGEST_S:
                return Joined("INVALID_SESSION_TIMEOUT")
            self._expire()
            found = self._group
            if not member_id:
                self._ids += 1
                new = f"m-{self._ids:06}"
                found.pending.add(new)
                return Joined("MEMBER_ID_REQUIRED", new)
            if member_id not in found.members and member_id not in found.pending:
                return Joined("UNKNOWN_MEMBER_ID", member_id)
            mine = found.members.get(member_id)
            if mine is not None and mine.metadata == metadata and self._needs_no_rebalance(mine):
                return self._joined(mine)
            found.pending.discard(member_id)
            mine = Member(
                member_id, metadata, session_timeout_s, rebalance_timeout_s, self.clock.now()
            )
            found.members[member_id] = mine
            if found.state != "PreparingRebalance":
                self._prepare()
            mine.is_joining = True
            answer = self._wait_for_others(mine, began + timeout)
        if "join" in self.lost_answers:
            self.lost_answers.remove("join")
            raise KafkaUnavailable("the answer was lost")
        return answer

    def _needs_no_rebalance(self, member: Member) -> bool:
        if self._group.state == "CompletingRebalance":
            return True
        return self._group.state == "Stable" and member.id != self._group.leader

    def _wait_for_others(self, mine: Member, until: float) -> Joined:
        generation, epoch = self._group.generation, self._epoch
        while True:
            if self._epoch != epoch:
                return Joined("NOT_COORDINATOR", mine.id)
            self._complete_if_due()
            if self._group.members.get(mine.id) is not mine:
                return Joined("UNKNOWN_MEMBER_ID", mine.id)
            if self._group.generation != generation:
                return self._joined(mine)
            if self.clock.now() >= until:
                raise KafkaUnavailable("join_group: no answer in time")
            self._changed.wait(STEP_S)

    def sync_group(
        self,
        address: Address,
        group: str,
        member_id: str,
        generation: int,
        assignments: Mapping[str, bytes],
        timeout: float,
    ) -> Synced:
        until = self.clock.now() + timeout
        self._arrive(address, "sync", timeout)
        with self._changed:
            if error := self._away(address) or self._wrong(member_id, generation):
                return Synced(error)
            found, mine, epoch = self._group, self._group.members[member_id], self._epoch
            if found.state == "PreparingRebalance":
                return Synced("REBALANCE_IN_PROGRESS")
            if found.state == "CompletingRebalance" and member_id == found.leader:
                found.assignments = dict(assignments)
                found.state = "Stable"
                self._save()
                self._changed.notify_all()
            mine.is_syncing = True
            while found.state == "CompletingRebalance" and self._epoch == epoch:
                if self.clock.now() >= until:
                    mine.is_syncing = False
                    raise KafkaUnavailable("sync_group: no answer in time")
                self._changed.wait(STEP_S)
                self._expire()
            mine.is_syncing, mine.heard_at = False, self.clock.now()
            if self._epoch != epoch:
                return Synced("NOT_COORDINATOR")
            if found.state != "Stable" or found.generation != generation:
                return Synced("REBALANCE_IN_PROGRESS")
            return Synced("", found.assignments.get(member_id, b""))

    def heartbeat(
        self, address: Address, group: str, member_id: str, generation: int, timeout: float
    ) -> str:
        self._arrive(address, "heartbeat", timeout)
        with self._changed:
            if error := self._away(address) or self._wrong(member_id, generation):
                return error
            self._group.members[member_id].heard_at = self.clock.now()
            return "REBALANCE_IN_PROGRESS" if self._group.state == "PreparingRebalance" else ""

    def leave_group(self, address: Address, group: str, member_id: str, timeout: float) -> str:
        self._arrive(address, "leave", timeout)
        with self._changed:
            if error := self._away(address):
                return error
            self._group.pending.discard(member_id)
            if self._group.members.pop(member_id, None) is None:
                return "UNKNOWN_MEMBER_ID"
            self._after_a_loss()
            return ""

    # How it works

    def _arrive(self, address: Address, what: str, timeout: float) -> None:
        self._delay()
        self.asked.append(what)
        if address in self.down:
            raise KafkaUnavailable(f"nobody listens at {address[0]}", refused=True)
        if address in self.frozen:
            self.clock.sleep(timeout)
            raise KafkaUnavailable(f"{address[0]} does not answer in time")

    def _away(self, address: Address) -> str:
        if self.denied:
            return "GROUP_AUTHORIZATION_FAILED"
        if address != self.coordinator:
            return "NOT_COORDINATOR"
        if self.clock.now() < self.loading_until:
            return "COORDINATOR_LOAD_IN_PROGRESS"
        return ""

    def _wrong(self, member_id: str, generation: int) -> str:
        self._expire()
        if member_id not in self._group.members:
            return "UNKNOWN_MEMBER_ID"
        if generation != self._group.generation:
            return "ILLEGAL_GENERATION"
        return ""

    def _expire(self) -> None:
        now = self.clock.now()
        if now < self.loading_until:
            return
        gone = [
            one.id
            for one in self._group.members.values()
            if not (one.is_joining or one.is_syncing) and now - one.heard_at > one.session_s
        ]
        for one in gone:
            del self._group.members[one]
        if gone:
            self._after_a_loss()
        self._complete_if_due()

    def _after_a_loss(self) -> None:
        found = self._group
        if not found.members:
            found.state, found.leader = "Empty", ""
            found.generation += 1
            self._save()
        elif found.state in ("Stable", "CompletingRebalance"):
            self._prepare()
        self._complete_if_due()
        self._changed.notify_all()

    def _prepare(self) -> None:
        found, now = self._group, self.clock.now()
        is_first = found.state in ("Dead", "Empty")
        found.state = "PreparingRebalance"
        found.deadline = now + max(one.rebalance_s for one in found.members.values())
        self._first_until = now + self.first_delay_s if is_first else now
        self._changed.notify_all()

    def _complete_if_due(self) -> None:
        found, now = self._group, self.clock.now()
        if found.state != "PreparingRebalance" or now < self._first_until:
            return
        if now < found.deadline and not all(one.is_joining for one in found.members.values()):
            return
        found.members = {one.id: one for one in found.members.values() if one.is_joining}
        found.generation += 1
        for one in found.members.values():
            one.is_joining, one.heard_at = False, now
        if found.leader not in found.members:
            found.leader = next(iter(found.members), "")
        found.assignments = {}
        found.state = "CompletingRebalance" if found.members else "Empty"
        self._changed.notify_all()

    def _joined(self, mine: Member) -> Joined:
        found = self._group
        told = tuple(GroupMember(one.id, metadata=one.metadata) for one in found.members.values())
        members = told if mine.id == found.leader else ()
        return Joined("", mine.id, found.generation, found.leader, members)

    def _save(self) -> None:
        found = self._group
        self._saved = replace(
            found,
            members={one: replace(who) for one, who in found.members.items()},
            pending=set(),
            assignments=dict(found.assignments),
        )


SPEED = 20.0
PATIENCE_S = 20.0  # of a test, in real s


class Cluster:
    """A coordinator, and the runs that want its lock."""

    def __init__(self, delay: Callable[[], None] = lambda: None, first_delay_s: float = 0) -> None:
        self.clock = FastClock(SPEED)
        self.groups = FakeGroups(self.clock, delay=delay, first_delay_s=first_delay_s)
        self.locks: list[GroupLock] = []

    def lock(self, user: str, since: str = "2026-01-01T10:00:00+00:00") -> GroupLock:
        holder: dict[str, object] = {"user": user, "host": "h", "pid": 7, "since": since}
        made = GroupLock(
            self.groups,
            lambda: list(self.groups.addresses),
            holder,
            self.clock,
            10.0,
            HEARTBEAT_S / SPEED,
        )
        self.locks.append(made)
        return made

    def taken(self, user: str) -> GroupLock:
        lock = self.lock(user)
        lock.take()
        return lock

    def close(self) -> None:
        self.groups.down.clear()
        self.groups.frozen.clear()
        for one in self.locks:
            stop_beating(one)
        for one in self.locks:
            one.release()


def stop_beating(lock: GroupLock) -> None:
    """Have a run say nothing any more, as one that was killed or stopped by a signal."""
    lock._ended.set()
    if lock._beating is not None:
        lock._beating.join(PATIENCE_S)
