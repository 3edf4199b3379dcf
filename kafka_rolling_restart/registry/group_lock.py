"""The lock of a KRaft cluster: membership of a consumer group, which needs no topic.

A run is in the group `GROUP` for as long as it holds the lock, and what it gave when it joined says
who it is. The group's coordinator drops a member that has not been heard for `SESSION_S`, so the
lock dies with its run; a coordinator that is restarted hands the members over to the next (measured
on Kafka 4.1). Whoever finds a member in the group keeps away. Two that join at the same moment see
each other: the leader of the group says who keeps the lock, by `keeper`.
"""

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.errors import (
    LockHeld,
    Refused,
    RegistryDenied,
    RegistryUnavailable,
    Stopped,
    held_by,
)
from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.model.problem import Problem
from kafka_rolling_restart.registry import holder as holders
from kafka_rolling_restart.registry.kafka.answers import (
    Address,
    Coordinator,
    GroupDescription,
    GroupMember,
    Joined,
    Synced,
)
from kafka_rolling_restart.registry.kafka.first_answer import first_answer
from kafka_rolling_restart.text import clean

LOG = logging.getLogger(__name__)
V = TypeVar("V")
GROUP = "kafka-rolling-restart"
SESSION_S = 15.0
REBALANCE_S = 10.0  # for the others to join again
HEARTBEAT_S = 3.0
RETRY_S = 0.5
SOON_S = 0.05  # before we join again where somebody else joined meanwhile
GOODBYE_S = 2.0
ASK_S = 3.0  # for each question to the coordinator: it may just be going down
FOUND_S = 20.0  # until there is a coordinator: a cluster makes the first one when it is asked
PROBE_S = 0.001  # a session so short is refused, but only to who may join
NO_GROUP = "GROUP_ID_NOT_FOUND"  # DescribeGroups since version 6: nobody ever joined
FORMING = ("PreparingRebalance", "CompletingRebalance")
AWAY = (
    "NOT_COORDINATOR",
    "COORDINATOR_NOT_AVAILABLE",
    "COORDINATOR_LOAD_IN_PROGRESS",
)
LOST = ("UNKNOWN_MEMBER_ID", "FENCED_INSTANCE_ID")
TOLD = ("user", "host", "pid", "since", "broker")  # of a holder, to whoever came second
SHOWN = 80  # characters of each
AGAIN = ("REBALANCE_IN_PROGRESS", "ILLEGAL_GENERATION")
DENIED = "GROUP_AUTHORIZATION_FAILED"
ACL = (
    "kafka-acls.sh --bootstrap-server HOST:PORT --add --allow-principal User:NAME --operation Read "
    f"--operation Describe --group {GROUP}"
)


class Groups(Protocol):
    """What is asked of single brokers about groups. Raises `RegistryUnavailable`."""

    def find_coordinator(self, address: Address, group: str, timeout: float) -> Coordinator: ...

    def describe_group(self, address: Address, group: str, timeout: float) -> GroupDescription: ...

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
    ) -> Joined: ...

    def sync_group(
        self,
        address: Address,
        group: str,
        member_id: str,
        generation: int,
        assignments: Mapping[str, bytes],
        timeout: float,
    ) -> Synced: ...

    def heartbeat(
        self, address: Address, group: str, member_id: str, generation: int, timeout: float
    ) -> str: ...

    def leave_group(self, address: Address, group: str, member_id: str, timeout: float) -> str: ...


class _Away(Exception):
    """The coordinator is elsewhere, or not ready: find it again."""


class _Unsettled(_Away):
    """Somebody else joined meanwhile: join again."""


class _Lost(Exception):
    """The coordinator does not know us any more."""


@dataclass(frozen=True)
class _Seat:
    """Our place in the group. ``is_ours``: in this generation of the group the lock is ours."""

    member_id: str = ""
    generation: int = -1
    is_ours: bool = False


def keeper(members: Sequence[GroupMember]) -> GroupMember:
    """Return the member that keeps the lock: one that holds it, else the one that came first."""
    return min(members, key=lambda one: (not _holds(one), _since(one), one.id))


def _told(member: GroupMember) -> dict[str, object]:
    try:
        told = json.loads(member.metadata)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _holds(member: GroupMember) -> bool:
    return _told(member).get("holds") is True


def _since(member: GroupMember) -> str:
    since = _told(member).get("since")
    return since[:SHOWN] if isinstance(since, str) else ""


def _of_keeper(member: GroupMember) -> bytes:
    """Return what the others are told of who keeps the lock: whatever it gave, who it is by its id,
    and not much more."""
    told = _told(member)
    shown = {name: clean(str(told[name])[:SHOWN], SHOWN) for name in TOLD if _is_plain(told, name)}
    return json.dumps({**shown, "keeper": member.id}).encode()


def _is_plain(told: Mapping[str, object], name: str) -> bool:
    return isinstance(told.get(name), str | int)


def _not_allowed() -> RegistryDenied:
    return RegistryDenied(
        f"the lock is a group, and we may not join it ({DENIED}). Allow it: `{ACL}`",
        code="lock-not-allowed",
    )


class GroupLock:
    """One run at a time for each cluster. ``candidates`` are brokers to ask for the coordinator;
    ``timeout`` (s) is for each question, ``heartbeat_s`` from one heartbeat to the next."""

    loss = "with its place in the group"

    def __init__(
        self,
        client: Groups,
        candidates: Callable[[], list[Address]],
        holder: dict[str, object],
        clock: Clock,
        timeout: float,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._client = client
        self._candidates = candidates
        self._holder = dict(holder)
        self._clock = clock
        self._timeout = timeout
        self._heartbeat_s = heartbeat_s
        self._coordinator: Address | None = None
        self._seat = _Seat()
        self._holds = False  # what we say of ourselves when we join
        self._until = 0.0  # until when the question of the moment is repeated
        self._one_at_a_time = threading.RLock()
        self._ended = threading.Event()
        self._beating: threading.Thread | None = None

    def take(self) -> None:
        """Take the lock at once. Raises `LockHeld` where another run has it, `Refused` for want of
        a right, and `RegistryUnavailable`."""
        with self._one_at_a_time:
            self._beat()
            try:
                self._take()
            except RegistryDenied as error:
                self._leave()
                raise Refused(str(error), code=error.code) from error
            except BaseException:  # whoever does not get the lock does not stay in the group
                self._leave()
                raise

    def _take(self) -> None:
        until = self._clock.now() + self._patience
        while True:
            if holder := self.holder():
                raise held_by(holder, SESSION_S)
            try:
                self._forget()
                self._until_found(self._enter)
                self._holds = True
                # whoever joins from now on sees that it is held
                self._until_found(self._join)
                return
            except _Lost as error:  # the coordinator moved before it had written us down
                if self._clock.now() >= until:
                    raise RegistryUnavailable(
                        f"the coordinator of the group {GROUP} forgets us again and again",
                        code="registry-unreachable",
                    ) from error

    def ensure_held(self) -> bool:
        """Make sure that the lock is ours; take it again where it was lost. Return whether that was
        so.

        Raises `Stopped` where somebody else has it now.
        """
        with self._one_at_a_time:
            try:
                self._until_found(self._prove)
                return False
            except _Lost:
                LOG.debug("the coordinator does not know us any more")
            except LockHeld as error:
                raise self._lost_to(error) from error
            try:
                self.take()
            except (LockHeld, Refused) as error:
                raise self._lost_to(error) from error
            return True

    def show(self, brokers: Sequence[Broker]) -> None:
        """Let others see at which brokers we are."""
        with self._one_at_a_time:
            self._holder = holders.at_brokers(self._holder, brokers)
            try:
                self._until_found(self._join)
            except (_Lost, LockHeld) as error:
                raise self._lost_to(error) from error

    def release(self) -> None:
        """Let go of the lock; where no coordinator answers it goes with the session. Never
        raises."""
        self._ended.set()
        # a heartbeat that hangs does not hold up our end: what it waits for ends when we leave
        is_quiet = self._one_at_a_time.acquire(timeout=GOODBYE_S)
        try:
            self._leave()
        finally:
            if is_quiet:
                self._one_at_a_time.release()

    def _leave(self) -> None:
        """Leave the group, at the next coordinator where it has just moved. Never raises."""
        seat = self._seat
        self._forget()
        if not seat.member_id:
            return
        for _ in range(2):
            try:
                coordinator = self._find(GOODBYE_S)
                error = self._client.leave_group(coordinator, GROUP, seat.member_id, GOODBYE_S)
                if error not in AWAY:
                    return
            except Exception:  # how the run ended is known, and is not changed by this
                LOG.debug("the group could not be left", exc_info=True)
            self._coordinator = None

    def _forget(self) -> None:
        self._seat, self._holds = _Seat(), False

    def holder(self) -> str:
        """Tell who holds the lock now, or nothing. Nothing is written by us; Kafka makes the topic
        __consumer_offsets when a cluster is asked for its first coordinator.

        A group that is just forming is waited for; where it does not settle, it counts as held.
        """
        until = self._clock.now() + self._timeout
        while True:
            seen = self._until_found(self._describe)
            if not seen.members and seen.state not in FORMING:
                return ""
            if seen.state not in FORMING:
                text = keeper(seen.members).metadata.decode("utf-8", "replace")
                return holders.words(text, f"the group {GROUP}")
            if self._clock.now() >= until:
                return holders.words("", f"the group {GROUP}, which does not settle,")
            self._clock.sleep(RETRY_S)

    def problem(self) -> Problem | None:
        """Tell why the lock could not be held for lack of rights, if so. Nothing is written.

        A session that is too short is refused only to who may join.
        """
        try:
            self._until_found(self._describe)
            self._until_found(self._probe)
        except RegistryDenied as error:
            return Problem(str(error), code=error.code)
        return None

    # Our place in the group. Each of these is one try at the coordinator that is known.

    def _describe(self, coordinator: Address) -> GroupDescription:
        seen = self._client.describe_group(coordinator, GROUP, ASK_S)
        if seen.error == NO_GROUP:
            return GroupDescription("", "Dead")
        self._check(seen.error)
        return seen

    def _probe(self, coordinator: Address) -> None:
        joined = self._client.join_group(
            coordinator, GROUP, "", GROUP, b"", PROBE_S, PROBE_S, ASK_S
        )
        if joined.error in (*AWAY, DENIED):
            self._check(joined.error)

    def _prove(self, coordinator: Address) -> None:
        """See that the coordinator knows us, and that the lock is ours. Raises `LockHeld`."""
        if not self._seat.member_id:
            raise _Lost
        if not self._seat.is_ours:  # its generation is new, and who keeps the lock was not heard
            self._join(coordinator)
            return
        error = self._client.heartbeat(
            coordinator, GROUP, self._seat.member_id, self._seat.generation, ASK_S
        )
        if error in AGAIN:
            self._join(coordinator)
            return
        self._check(error)

    def _enter(self, coordinator: Address) -> None:
        """Join the group for the first time. Raises `LockHeld` where the lock is another's."""
        if not self._seat.member_id:
            joined = self._ask_to_join(coordinator)
            if joined.error != "MEMBER_ID_REQUIRED":
                self._settle(coordinator, joined)
                return
            self._seat = _Seat(joined.member_id)
        self._join(coordinator)

    def _join(self, coordinator: Address) -> None:
        """Join the group again, with what we have to say by now. Raises `LockHeld` where the lock
        is another's; we have left the group then.

        Never as a new member: who was lost says nothing of holding the lock.
        """
        if not self._seat.member_id:
            raise _Lost
        self._settle(coordinator, self._ask_to_join(coordinator))

    def _ask_to_join(self, coordinator: Address) -> Joined:
        left = max(self._until - self._clock.now(), ASK_S)
        return self._client.join_group(
            coordinator,
            GROUP,
            self._seat.member_id,
            GROUP,
            json.dumps({**self._holder, "holds": self._holds}).encode(),
            SESSION_S,
            REBALANCE_S,
            min(ASK_S + REBALANCE_S, left),
        )

    def _settle(self, coordinator: Address, joined: Joined) -> None:
        """Hear from the group's leader, which we may be, who keeps the lock."""
        self._check(joined.error)
        self._seat = _Seat(joined.member_id, joined.generation)
        synced = self._sync(coordinator, joined)
        self._check(synced.error)
        self._require_ours(synced.assignment)
        self._seat = replace(self._seat, is_ours=True)

    def _sync(self, coordinator: Address, joined: Joined) -> Synced:
        assignments: dict[str, bytes] = {}
        if joined.leader == joined.member_id:
            if not joined.members:
                raise _Unsettled("its leader is not told who is in it")
            said = _of_keeper(keeper(joined.members))
            assignments = {one.id: said for one in joined.members}
        return self._client.sync_group(
            coordinator,
            GROUP,
            joined.member_id,
            joined.generation,
            assignments,
            ASK_S,
        )

    def _require_ours(self, assignment: bytes) -> None:
        told = _told(GroupMember("", metadata=assignment))
        if told.get("keeper") == self._seat.member_id:
            return
        self._leave()
        text = assignment.decode("utf-8", "replace")
        raise held_by(holders.words(text, f"the group {GROUP}"), SESSION_S)

    def _check(self, error: str) -> None:
        """Raise what an error of the coordinator means."""
        if error in AWAY:
            raise _Away(error)
        if error in AGAIN:
            raise _Unsettled(error)
        if error in LOST:
            self._forget()
            raise _Lost
        if error == DENIED:
            raise _not_allowed()
        if error:
            raise RegistryUnavailable(
                f"the coordinator of the group {GROUP} answers {error}", code="registry-unreachable"
            )

    # The coordinator

    @property
    def _patience(self) -> float:
        return max(FOUND_S, self._timeout)

    def _until_found(self, attempt: Callable[[Address], V]) -> V:
        """Try at the coordinator, and at the next one where it has moved, for some time."""
        self._until = self._clock.now() + self._patience
        while True:
            pause = RETRY_S
            try:
                return attempt(self._find())
            except RegistryDenied as error:
                # the client may tell it, which knows neither the lock nor all rights that it needs
                if DENIED in str(error):
                    raise _not_allowed() from error
                raise
            except _Unsettled as error:
                pause, failure = SOON_S, self._not_found(error)
            except (_Away, RegistryUnavailable) as error:
                self._coordinator, failure = None, self._not_found(error)
            if self._clock.now() >= self._until:
                raise failure
            self._clock.sleep(pause)

    def _find(self, limit: float = ASK_S) -> Address:
        if self._coordinator is None:
            found = first_answer(self._candidates(), self._ask_for_coordinator, limit)
            self._check(found.error)
            self._coordinator = found.address
        return self._coordinator

    def _ask_for_coordinator(self, address: Address, timeout: float) -> Coordinator:
        return self._client.find_coordinator(address, GROUP, timeout)

    def _not_found(self, error: Exception) -> RegistryUnavailable:
        if isinstance(error, RegistryUnavailable):
            return error
        text = f"the group {GROUP}, which is the lock, has no coordinator: {error}"
        if isinstance(error, _Unsettled):
            text = f"the group {GROUP}, which is the lock, does not settle: {error}"
        failure = RegistryUnavailable(
            text, "Check that the topic __consumer_offsets is online", code="registry-unreachable"
        )
        failure.__cause__ = error
        return failure

    def _lost_to(self, error: Exception) -> Stopped:
        why = str(error) or "its coordinator does not know this run any more"
        return Stopped(f"the lock was lost {self.loss}, and since then {why}", code="lock-lost")

    # Staying in the group

    def _beat(self) -> None:
        if self._beating is not None and self._beating.is_alive():
            return
        beating = threading.Thread(target=self._keep_beating, daemon=True)
        try:
            beating.start()
        except RuntimeError as error:
            raise RegistryUnavailable(
                f"this machine has no more threads for us, so the lock cannot be held: {error}",
                code="no-more-threads",
            ) from error
        self._beating = beating

    def _keep_beating(self) -> None:
        while not self._ended.wait(self._heartbeat_s):
            with self._one_at_a_time:
                if self._ended.is_set():
                    return
                if self._seat.member_id:
                    self._beat_once()

    def _beat_once(self) -> None:
        self._until = self._clock.now() + self._patience
        try:
            self._prove(self._find())
        except _Unsettled:
            LOG.debug("the group does not settle", exc_info=True)
        except (_Lost, LockHeld):
            LOG.debug("the lock was lost", exc_info=True)
        except Exception:  # the next one may be heard; who acts on the lock asks anew
            LOG.debug("no heartbeat was heard", exc_info=True)
            self._coordinator = None
