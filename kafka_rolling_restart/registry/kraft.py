"""KRaft: who is a member, what the quorum and the partitions are like, by Kafka's own protocol.

Any broker may be asked, and each may lag, or be the one in hand. So every answer begins with the
metadata quorum, which only its leader answers: what a broker says counts only once that broker has
fetched all that the leader had when it was asked. Two controllers of three that are down leave the
brokers' metadata looking healthy for ever (measured on Kafka 4.1).
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.errors import Refused, RegistryDenied, RegistryUnavailable
from kafka_rolling_restart.model.broker import HOST, Broker
from kafka_rolling_restart.model.cluster_state import ClusterState, Quorum
from kafka_rolling_restart.model.observation import Observation, Presence
from kafka_rolling_restart.model.problem import Problem
from kafka_rolling_restart.model.serving import Serving
from kafka_rolling_restart.registry.group_lock import GroupLock, Groups
from kafka_rolling_restart.registry.kafka.answers import (
    Address,
    KafkaNode,
    Nodes,
)
from kafka_rolling_restart.registry.kafka.first_answer import first_answer
from kafka_rolling_restart.registry.kafka.witnesses import (
    WITNESSES,
    MetadataClient,
    as_serving,
    read_metadata,
    still_loading,
    union,
)
from kafka_rolling_restart.text import clean

LOG = logging.getLogger(__name__)
# for a broker to fetch what the quorum's leader had; no-op records come each 0.5 s
CATCH_UP_S = 3.0
POLL_S = 0.2  # from one question to the quorum to the next meanwhile
MAX_RACK = 40  # characters that are shown
SHOWN = 80  # characters of what somebody registered
MAX_WORDS = 300  # characters of a reason
MAX_COMMAND = 600  # of one that ends with a command to type
VOTERS_S = 1.0  # for the voters to answer on their ports
VOTERS_AGAIN_S = 10.0  # from one such question to the next
QUESTIONS = 4  # of one look at all, each of which may take its whole timeout
ADVICE = (
    "Check that the controllers run, and the addresses (--bootstrap-server, or broker_list in the "
    "configuration) and --command-config"
)
NOTHING_SEEN = (
    "no partition of any topic can be seen. Allow it: `kafka-acls.sh --bootstrap-server HOST:PORT "
    "--add --allow-principal User:NAME --operation Describe --topic '*'`"
)
MEMBER = "a member of the cluster"
FENCED, UNKNOWN_TO_ALL = "fenced by the controller", "not a member of the cluster"


class Client(Groups, MetadataClient, Protocol):
    """Asks single nodes by Kafka's protocol; timeouts are in s. Raises `RegistryUnavailable`."""

    def cluster(self, address: Address, timeout: float) -> Nodes: ...

    def quorum(self, address: Address, timeout: float) -> Quorum: ...


class Kraft:
    """A cluster without ZooKeeper. ``timeout`` (s) is for each question."""

    poll_s = 0.5  # each look is two connections, with a login each

    def __init__(
        self, bootstrap: Sequence[Address], client: Client, clock: Clock, timeout: float = 10.0
    ) -> None:
        self._bootstrap = tuple(bootstrap)
        self._client = client
        self._clock = clock
        self.timeout = timeout
        self._addresses: dict[int, Address] = {}  # of the brokers, as they were told last
        self._cluster_id = ""
        self._fenced: frozenset[int] = frozenset()
        self._controllers: frozenset[int] = frozenset()  # the voters that are no brokers
        self._voters: dict[int, Address] = {}  # where they were told to be
        self._voters_asked_at = float("-inf")
        self._voters_missing = ""  # those of them that did not answer then

    @property
    def where(self) -> str:
        """What it is and its address, for the plan."""
        return f"KRaft, bootstrap {', '.join(_joined(one) for one in self._bootstrap)}"

    @property
    def longest_check_s(self) -> float:
        """How long (s) one look at all may take."""
        return QUESTIONS * self.timeout

    def connect(self) -> None:
        """Find a server that answers. Raises `RegistryUnavailable` where none does, and `Refused`
        for a cluster on ZooKeeper."""
        nodes = first_answer(self._bootstrap, self._client.cluster, self.timeout)
        if not nodes.is_kraft:
            raise Refused(
                f"the cluster at {_joined(self._bootstrap[0])} is on ZooKeeper: its brokers know "
                "no metadata quorum. Give its --zookeeper, or its `zookeeper` in the configuration",
                code="cluster-on-zookeeper",
            )
        self._cluster_id = nodes.cluster_id
        self._remember(nodes)

    def close(self) -> None:
        """Do nothing: no connection is kept."""

    def brokers(self, listener: str | None = None) -> dict[int, Broker]:
        """Return the nodes by id: the brokers that are not fenced, and the dedicated controllers.

        The host of a controller is empty where the cluster does not tell it (before Kafka 3.9).
        Raises `Refused` for a broker without a usable host.
        """
        quorum, nodes = self._read_current(self.timeout, frozenset())
        voters = quorum.voter_ids - self._fenced_voters(quorum, nodes)
        found = {
            one.id: _broker(one, one.id in voters) for one in nodes.brokers if not one.is_fenced
        }
        hosts = dict(quorum.hosts)
        fenced = {one.id for one in nodes.brokers if one.is_fenced}
        self._controllers = frozenset(voters - set(found) - fenced)
        for voter in self._controllers:
            host = hosts.get(voter, "")
            found[voter] = Broker(
                voter, host if HOST.match(host) else "", is_broker=False, is_controller=True
            )
        return dict(sorted(found.items()))

    def _fenced_voters(self, quorum: Quorum, nodes: Nodes) -> frozenset[int]:
        """Return the combined nodes that are fenced, before Kafka 4.0: there they are told nowhere.

        Where any voter is a broker, a voter that is none is taken for one of them.
        """
        known = {one.id for one in nodes.brokers}
        if nodes.knows_fenced or not quorum.voter_ids & known:
            return frozenset()
        return quorum.voter_ids - known

    def notes(self) -> list[Problem]:
        """Tell which registered brokers are fenced: they are down or starting, or gone for ever."""
        quorum, nodes = self._read_current(self.timeout, frozenset())
        known = {one.id for one in nodes.brokers}
        missing = {one.id for one in nodes.brokers if one.is_fenced}
        missing |= self._fenced_voters(quorum, nodes)
        # before Kafka 4.0 a fenced broker is told nowhere, but it follows the quorum if it runs
        missing |= {one.id for one in quorum.observers if one.is_caught_up} - known
        fenced = sorted(missing)
        if not fenced:
            return []
        hosts = {one.id: f" ({clean(one.host, SHOWN)})" for one in nodes.brokers if one.host}
        ids = ", ".join(f"{one}{hosts.get(one, '')}" for one in fenced)
        text = (
            f"fenced by the controller: broker {ids}. A fenced broker is down or still starting, "
            "and will be neither checked nor restarted. If it is down, start it first"
        )
        return [Problem(text, code="brokers-fenced")]

    def why_nobody(self) -> str:
        """Say what may be wrong where there is no member."""
        return (
            f"no broker of the cluster at {_joined(self._bootstrap[0])} is running: all are "
            "fenced. Start the brokers"
        )

    def controller(self) -> int | None:
        """Return the id of the controller that leads the quorum, None where there is none now."""
        quorum = self.quorum()
        return quorum.leader if quorum.leader >= 0 else None

    def quorum(self, timeout: float | None = None) -> Quorum:
        """Return the metadata quorum as its leader describes it. Raises `RegistryUnavailable`."""
        return self._quorum(timeout or self.timeout, frozenset())

    def observe(self, ids: Collection[int], timeout: float | None = None) -> dict[int, Observation]:
        """Say of each node whether it is a member now, within about ``timeout`` s. Never raises.

        Brokers other than these are asked, if there are any.
        """
        try:
            quorum, nodes = self._read_current(timeout or self.timeout, frozenset(ids))
        except Exception as error:  # whatever it was, the answer is not known
            LOG.debug("the members are not known", exc_info=True)
            return dict.fromkeys(ids, Observation(Presence.UNKNOWN, words=_words(error)))
        by_id = {one.id: one for one in nodes.brokers}
        return {one: self._observation(one, by_id.get(one), quorum) for one in ids}

    def _observation(self, node_id: int, node: KafkaNode | None, quorum: Quorum) -> Observation:
        if node_id in self._controllers:
            return _of_controller(node_id, quorum)
        if node is None:
            return Observation(Presence.ABSENT, words=UNKNOWN_TO_ALL)
        if node.is_fenced:
            return Observation(Presence.ABSENT, words=FENCED)
        return Observation(Presence.PRESENT, words=MEMBER)

    def state(self, restarted: Collection[int] = (), timeout: float | None = None) -> ClusterState:
        """Return what two brokers that are caught up say of the partitions, and what the quorum is
        like. Never raises.

        The brokers ``restarted`` are asked only whether their coordinators still load, unless
        there are no others.
        """
        asked_at = self._clock.now()
        limit = timeout or self.timeout
        try:
            return self._state(asked_at, frozenset(restarted), limit)
        except RegistryDenied as error:
            words = clean(str(error), MAX_COMMAND)
            return ClusterState(asked_at, self._clock.now(), unknown=words, is_denied=True)
        except Exception as error:  # whatever it was, nothing is known
            LOG.debug("the state of the cluster is not known", exc_info=True)
            now = self._clock.now()
            return ClusterState(asked_at, now, unknown=_words(error))

    def _state(self, asked_at: float, restarted: frozenset[int], limit: float) -> ClusterState:
        before = self._quorum(limit, restarted)
        _quorum, current = self._current(self._clock.now() + limit, restarted, before)
        witnesses = [one for one in current if one in self._addresses][:WITNESSES]
        addresses = {one: self._addresses[one] for one in witnesses}
        told = read_metadata(self._client, addresses, limit)
        loading = self._loading(restarted, limit)
        after = self._quorum(limit, restarted)
        partitions = max(one.partitions for one in told.values())
        problem = next((one.unknown for one in told.values() if one.unknown), "")
        if not partitions:  # the lock has made __consumer_offsets, so there is something to be seen
            problem = NOTHING_SEEN
        if (after.leader, after.epoch) != (before.leader, before.epoch):
            problem = "the quorum elected another leader during the check"
        return ClusterState(
            asked_at,
            self._clock.now(),
            witnesses=tuple(witnesses),
            members=frozenset(
                node.id for one in told.values() for node in one.brokers if not node.is_fenced
            ),
            fenced=self._fenced,
            partitions=partitions,
            under_replicated=union([one.under_replicated for one in told.values()]),
            offline=union([one.offline for one in told.values()]),
            loading=loading,
            quorum=after,
            unknown=problem,
            is_denied=problem == NOTHING_SEEN,
        )

    def _loading(self, restarted: frozenset[int], limit: float) -> tuple[int, ...]:
        """Return which of these brokers still load group coordinators, or do not say."""
        brokers = restarted - self._controllers
        known = {one: self._addresses[one] for one in brokers if one in self._addresses}
        unknown = sorted(brokers - set(known))
        return (*unknown, *still_loading(self._client, known, limit))

    def serving(self, ids: Collection[int], timeout: float) -> dict[int, Serving]:
        """Tell of each node whether it serves: a broker by its listener, a controller by the
        quorum. Never raises."""
        brokers = {one: self._addresses[one] for one in ids if one in self._addresses}
        controllers = [one for one in ids if one in self._controllers]
        found = {one: Serving(False, reason="its address is not known") for one in ids}
        try:
            pings = self._client.serves(brokers, timeout) if brokers else {}
            found.update({one: as_serving(ping) for one, ping in pings.items()})
            if controllers:
                found.update(self._serving_controllers(controllers, timeout))
        except Exception as error:  # whatever it was, the answer is not known
            LOG.debug("it is not known who serves", exc_info=True)
            unknown = Serving(False, reason=_words(error))
            found.update({one: unknown for one in ids if not found[one].serves})
        return found

    def _serving_controllers(self, ids: Sequence[int], timeout: float) -> dict[int, Serving]:
        seen = self.observe(ids, timeout)
        return {
            one: Serving(observation.is_present, observation.is_absent, observation.words)
            for one, observation in seen.items()
        }

    @contextmanager
    def lock(self, holder: dict[str, object]) -> Iterator[GroupLock]:
        """Hold the cluster's lock for the block. Raises `LockHeld`, which tells who holds it."""
        lock = self._lock(holder)
        lock.take()
        try:
            yield lock
        finally:
            lock.release()

    def lock_problem(self) -> Problem | None:
        """Tell why the lock could not be held for lack of rights, if so. Nothing is written."""
        return self._lock({}).problem()

    def lock_note(self) -> str:
        """Tell nothing: who may join the group may take the lock, and no more."""
        return ""

    def lock_holder(self) -> str:
        """Tell who holds the lock now, or nothing. Nothing is written."""
        return self._lock({}).holder()

    def _lock(self, holder: dict[str, object]) -> GroupLock:
        return GroupLock(self._client, self._candidates, holder, self._clock, self.timeout)

    # Asking

    def _read_current(self, limit: float, without: frozenset[int]) -> tuple[Quorum, Nodes]:
        """Return the quorum, and the brokers as one of them tells that is caught up with it."""
        until = self._clock.now() + limit
        quorum, current = self._current(until, without, self._quorum(limit, without))
        addresses = [self._addresses[one] for one in current if one in self._addresses]
        nodes = first_answer(addresses, self._client.cluster, self._left(until))
        if nodes.cluster_id != self._cluster_id:
            raise RegistryUnavailable(
                f"a broker says that it belongs to another cluster than the first one: "
                f"{clean(nodes.cluster_id, SHOWN)}, not {clean(self._cluster_id, SHOWN)}",
                ADVICE,
                code="registry-unreachable",
            )
        self._remember(nodes)
        return quorum, nodes

    def _current(
        self, until: float, without: frozenset[int], first: Quorum
    ) -> tuple[Quorum, list[int]]:
        """Return the brokers that have fetched all that the quorum's leader had in ``first``, and
        the quorum as it was seen last.

        Raises `RegistryUnavailable` where there is none ``until`` then (monotonic s), or where it
        is not known what the leader had.
        """
        leader = first.replica(first.leader)
        if leader is None or leader.log_end < 0:
            raise RegistryUnavailable(
                f"the quorum does not tell how far the log of its leader {first.leader} goes, so "
                "it is not known which brokers are caught up",
                ADVICE,
                code="registry-unreachable",
            )
        needed = leader.log_end
        others = self._others(without)
        patient_until = min(until, self._clock.now() + CATCH_UP_S)
        quorum = first
        while True:
            current = [one for one in others if _has_fetched(quorum, one, needed)]
            if current or self._clock.now() >= patient_until:
                break
            self._clock.sleep(POLL_S)
            quorum = self._quorum(self._left(until), without)
        if not current:
            raise RegistryUnavailable(
                f"no broker has fetched what the quorum's leader {first.leader} has (its log ends "
                f"at {needed}), so none can say how the cluster is",
                ADVICE,
                code="registry-unreachable",
            )
        return quorum, current

    def _left(self, until: float) -> float:
        return max(until - self._clock.now(), POLL_S)

    def _quorum(self, limit: float, without: frozenset[int]) -> Quorum:
        try:
            found = first_answer(self._candidates(without), self._client.quorum, limit)
        except RegistryDenied:
            raise
        except RegistryUnavailable as error:
            text = f"{error}{self._missing_voters()}"
            raise RegistryUnavailable(text, error.advice, code=error.code) from error
        self._voters = {
            one: (host, dict(found.ports).get(one, 0))
            for one, host in found.hosts
            if one in found.voter_ids
        }
        return found

    def _missing_voters(self) -> str:
        """Say which voters do not answer on their ports, as a clause, where their ports are known.

        They are asked once in a while alone: a broker in hand does not wait for them.
        """
        now = self._clock.now()
        if now - self._voters_asked_at >= VOTERS_AGAIN_S and self._voters:
            pings = self._client.serves(self._voters, VOTERS_S)
            self._voters_asked_at = now
            missing = [one for one in sorted(self._voters) if not pings[one].answers]
            self._voters_missing = ", ".join(
                f"{one} ({_joined(self._voters[one])}: {pings[one].reason})" for one in missing
            )
        if not self._voters_missing:
            return ""
        return f"; of its {len(self._voters)} voters these do not answer: {self._voters_missing}"

    def _candidates(self, without: frozenset[int] = frozenset()) -> list[Address]:
        """Return whom to ask, in the order in which they are asked."""
        return [self._addresses[one] for one in self._others(without)] or list(self._bootstrap)

    def _others(self, without: frozenset[int]) -> list[int]:
        """Return the brokers that may be asked: not these, and none that is fenced, unless there
        are no others."""
        unfenced = [one for one in self._addresses if one not in self._fenced]
        others = [one for one in unfenced if one not in without]
        return others or unfenced or list(self._addresses)

    def _remember(self, nodes: Nodes) -> None:
        """Remember where the brokers are. Those that are fenced stay where they were last."""
        known = dict(self._addresses)
        known.update({one.id: (one.host, one.port) for one in nodes.brokers if one.host})
        self._addresses = {one: known[one] for one in sorted(known)}
        self._fenced = frozenset(one.id for one in nodes.brokers if one.is_fenced)


def _has_fetched(quorum: Quorum, node_id: int, needed: int) -> bool:
    replica = quorum.replica(node_id)
    return replica is not None and replica.is_caught_up and replica.log_end >= needed


def _of_controller(node_id: int, quorum: Quorum) -> Observation:
    if node_id not in quorum.voter_ids:
        return Observation(Presence.ABSENT, words="no voter of the quorum any more")
    replica = quorum.replica(node_id)
    if replica is not None and replica.is_caught_up:
        return Observation(Presence.PRESENT, words="a voter that is caught up")
    return Observation(Presence.ABSENT, words="a voter that does not follow the quorum")


def _broker(node: KafkaNode, is_voter: bool) -> Broker:
    if not HOST.match(node.host):
        raise Refused(
            f"broker {node.id} has no usable host: {clean(repr(node.host), SHOWN)}. Check its "
            "advertised.listeners",
            code="registration-invalid",
        )
    rack = clean(node.rack, MAX_RACK)
    return Broker(node.id, node.host, None, rack, node.port, is_controller=is_voter)


def _joined(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _words(error: Exception) -> str:
    return clean(str(error) or type(error).__name__, MAX_WORDS)
