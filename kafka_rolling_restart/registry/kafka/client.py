"""Ask single nodes by Kafka's protocol. The only file that knows kafka-python.

Of kafka-python 3.0.12 only the messages and the logins are used. Its clients choose a server by
chance, give it the whole timeout, remember who the controller was, and say why something failed
only in their logging. Each question here has a connection of its own to the node that is asked,
and one deadline for everything: name lookup, connecting, TLS, login and answer.
"""

import asyncio
import re
import secrets
import struct
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import kafka.errors as kafka_errors
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.admin.cluster import DescribeClusterRequest, DescribeQuorumRequest
from kafka.protocol.admin.groups import DescribeGroupsRequest, ListGroupsRequest
from kafka.protocol.api_header import ResponseClassRegistry
from kafka.protocol.consumer.group import (
    HeartbeatRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    SyncGroupRequest,
)
from kafka.protocol.metadata import (
    ApiVersionsRequest,
    FindCoordinatorRequest,
    MetadataRequest,
)
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.model.cluster_state import Quorum, QuorumReplica
from kafka_rolling_restart.registry.kafka import metadata as kafka_metadata
from kafka_rolling_restart.registry.kafka import wire as kafka_wire
from kafka_rolling_restart.registry.kafka.answers import (
    Address,
    Coordinator,
    GroupDescription,
    GroupMember,
    Joined,
    KafkaDenied,
    KafkaNode,
    KafkaUnavailable,
    Metadata,
    Nodes,
    Ping,
    Synced,
)
from kafka_rolling_restart.registry.kafka.wire import MIB, Stage, Wire, WireError
from kafka_rolling_restart.settings.access import KafkaAccess, Login, in_brackets
from kafka_rolling_restart.text import said

CLIENT_ID = "kafka-rolling-restart"
CLOCK_MS = 1000  # what two times of the leader's clock may be off, within one answer
NO_CREATION_VERSION = 4  # of Metadata: before, a topic that is named may be made by that
INTERNAL_TOPIC = "__consumer_offsets"
NO_TOPIC_ID = uuid.UUID(int=0)
QUORUM_TOPIC = "__cluster_metadata"
# bytes of an answer: 100,000 partitions with three replicas are 4.3 MB
MOST_METADATA = 128 * MIB
MOST_GROUPS = 16 * MIB  # of brokers before 2.6, which list all groups
MOST = 4 * MIB
MOST_PING = MIB
# connections at one time: a process has 1,024 files unless somebody says otherwise
OPEN_AT_ONCE = 256
BROKERS_ENDPOINT = 1
GROUP_KEY = 0
FENCED_VERSION = 2  # of DescribeCluster, Kafka 4.0
# Kafka's own limit for SCRAM is 4096; fewer would make a password easy to guess for whoever
# pretends to be a broker
FEWEST_ITERATIONS = 4096
ITERATIONS = re.compile(rb"(?:^|,)i=(\d{1,10})(?:,|$)")
LOADING = "COORDINATOR_LOAD_IN_PROGRESS"
LOGIN_ERRORS = ("SASL_AUTHENTICATION_FAILED", "ILLEGAL_SASL_STATE", "UNSUPPORTED_SASL_MECHANISM")
RIGHTS = {
    "CLUSTER_AUTHORIZATION_FAILED": "--operation Describe --cluster",
    "GROUP_AUTHORIZATION_FAILED": "--operation Read --group {group}",
    "TOPIC_AUTHORIZATION_FAILED": "--operation Describe --topic '*'",
}
Value = TypeVar("Value")


class _Denied(Exception):
    """A login or a right is missing; the message is a clause about the node."""

    def __init__(self, reason: str, *, code: str) -> None:
        super().__init__(reason)
        self.code = code


class _Unsupported(WireError):
    """The node does not know a request."""


class KafkaClient:
    """Asks one node at a time. Raises `KafkaUnavailable` where it does not answer in time, and
    `KafkaDenied` where it refuses our login or a right is missing.

    ``timeout`` (s) of each question is for all that it takes. ``client_id`` is what others see of
    us, such as in DescribeGroups. Connections are closed after each question, so none can be
    stale. May be used from several threads.

    Measured on Kafka 4.1.1: see the methods.
    """

    def __init__(self, access: KafkaAccess, clock: Clock, client_id: str = CLIENT_ID) -> None:
        self._access = access
        self._clock = clock
        self._client_id = client_id

    def cluster(self, address: Address, timeout: float) -> Nodes:
        """Return the brokers that this node knows, also those that are fenced where the node can
        tell them (DescribeCluster v2, Kafka 4.0), and whether the cluster is KRaft.

        A broker without a listener of the same name as the one at ``address`` is not told (seen on
        Kafka 4.1.1, where one of three brokers had the listener). One that was killed is fenced
        there after 9 s.
        """

        async def ask(session: "_Session") -> Nodes:
            if session.highest(DescribeClusterRequest) >= FENCED_VERSION:
                return await _described_cluster(session)
            return await _cluster_of_metadata(session)

        return self._ask(address, timeout, ask)

    def metadata(self, address: Address, timeout: float) -> Metadata:
        """Return what this broker knows of all partitions: how many there are, and which are
        under-replicated or offline.

        A topic that our login may not describe is not in the answer at all, and nothing tells that
        it is missing (seen on Kafka 4.1.1). So the broker is asked first whether we may describe
        ``__consumer_offsets``, and a topic of a random name, which only a right on all topics
        allows: who may not, may not see all, and gets `KafkaDenied`. A topic that is denied by
        name stays hidden. Topics that are being made or deleted are left out. Brokers are told
        that have a listener of the same name as the one at ``address``, and are not fenced.
        """

        async def ask(session: "_Session") -> Metadata:
            await _expect_right_to_describe(session)
            request = MetadataRequest(topics=None, allow_auto_topic_creation=False)
            data, version, begins = await session.ask_raw(
                request, MOST_METADATA, kafka_metadata.FIRST_VERSION, kafka_metadata.LAST_VERSION
            )
            try:
                return kafka_metadata.read_metadata(data, version, begins)
            except kafka_metadata.Unreadable as error:
                raise WireError(
                    f"what answers there does not speak Kafka's protocol: {error}"
                ) from error

        return self._ask(address, timeout, ask)

    def quorum(self, address: Address, timeout: float) -> Quorum:
        """Return the metadata quorum as its leader sees it.

        Any broker of a KRaft cluster passes the question on to the leader. A controller does not:
        one that does not lead answers NOT_LEADER, which is `KafkaUnavailable`. A broker on
        ZooKeeper (3.9.1) does not know the question. On Kafka 4.1.1 in an idle cluster, followers
        are up to 0.5 s behind, and one that was killed is more so each second. With two of three
        voters killed, the leader answers for 3 s more; then brokers do not answer at all.
        """

        async def ask(session: "_Session") -> Quorum:
            return await _described_quorum(session)

        return self._ask(address, timeout, ask, "the metadata quorum does not answer")

    def serves(self, addresses: Mapping[int, Address], timeout: float) -> dict[int, Ping]:
        """Ask all of these listeners at the same time whether they answer ApiVersions, each within
        ``timeout`` s of its turn; at most `OPEN_AT_ONCE` have their turn at one time.

        No login is sent: Kafka answers ApiVersions before one.
        """
        turns = -(-len(addresses) // OPEN_AT_ONCE)

        async def ask_all() -> dict[int, Ping]:
            free = asyncio.Semaphore(OPEN_AT_ONCE)

            async def ask(address: Address) -> Ping:
                async with free:
                    return await self._ping(address, timeout)

            pings = await asyncio.gather(*(ask(address) for address in addresses.values()))
            return dict(zip(addresses, pings, strict=True))

        try:
            return kafka_wire.run(ask_all, timeout * turns)
        except WireError as error:
            return dict.fromkeys(addresses, Ping(False, reason=str(error)))

    def loading(self, address: Address, timeout: float) -> bool:
        """Tell whether a group coordinator on this broker is still loading (ListGroups)."""

        async def ask(session: "_Session") -> bool:
            # no group is in this state for long: the error is what counts
            request = ListGroupsRequest(states_filter=["Dead"])
            answer = await session.ask(request, MOST_GROUPS, highest=4)
            error = session.name_of(answer.error_code)
            session.expect(error, LOADING)
            return error == LOADING

        return self._ask(address, timeout, ask)

    def find_coordinator(self, address: Address, group: str, timeout: float) -> Coordinator:
        """Ask which broker looks after a group. COORDINATOR_NOT_AVAILABLE until the topic
        ``__consumer_offsets`` exists, which this question makes Kafka create."""

        async def ask(session: "_Session") -> Coordinator:
            request = FindCoordinatorRequest(key=group, key_type=GROUP_KEY)
            answer = await session.ask(request, MOST, highest=3)
            error = session.name_of(answer.error_code, group)
            if error:
                return Coordinator(error)
            return Coordinator("", answer.node_id, (answer.host, answer.port))

        return self._ask(address, timeout, ask)

    def describe_group(self, address: Address, group: str, timeout: float) -> GroupDescription:
        """Ask a group's coordinator who is in it."""

        async def ask(session: "_Session") -> GroupDescription:
            answer = await session.ask(DescribeGroupsRequest(groups=[group]), MOST, highest=5)
            (found,) = answer.groups
            return GroupDescription(
                session.name_of(found.error_code, group),
                found.group_state or "",
                found.protocol_type or "",
                tuple(
                    GroupMember(
                        one.member_id,
                        one.client_id,
                        one.client_host,
                        bytes(one.member_metadata or b""),
                    )
                    for one in found.members
                ),
            )

        return self._ask(address, timeout, ask)

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
        protocol: str = CLIENT_ID,
    ) -> Joined:
        """Join a group, or join it again with other ``metadata``.

        The coordinator answers only when every member has joined, or ``rebalance_timeout_s`` is
        over: ``timeout`` must be longer than that. The first try, with an empty ``member_id``, ends
        with MEMBER_ID_REQUIRED and the id for the second.
        """

        async def ask(session: "_Session") -> Joined:
            wish = JoinGroupRequest.JoinGroupRequestProtocol(name=protocol, metadata=metadata)
            request = JoinGroupRequest(
                group_id=group,
                session_timeout_ms=round(session_timeout_s * 1000),
                rebalance_timeout_ms=round(rebalance_timeout_s * 1000),
                member_id=member_id,
                group_instance_id=None,
                protocol_type=protocol_type,
                protocols=[wish],
            )
            answer = await session.ask(request, MOST, highest=5)
            return Joined(
                session.name_of(answer.error_code, group),
                answer.member_id,
                answer.generation_id,
                answer.leader,
                tuple(
                    GroupMember(one.member_id, metadata=bytes(one.metadata or b""))
                    for one in answer.members
                ),
            )

        return self._ask(address, timeout, ask)

    def sync_group(
        self,
        address: Address,
        group: str,
        member_id: str,
        generation: int,
        assignments: Mapping[str, bytes],
        timeout: float,
    ) -> Synced:
        """End a rebalance. ``assignments`` by member id are those of the group's leader; the others
        give none, and get their answer once the leader gave its."""

        async def ask(session: "_Session") -> Synced:
            request = SyncGroupRequest(
                group_id=group,
                generation_id=generation,
                member_id=member_id,
                group_instance_id=None,
                assignments=[
                    SyncGroupRequest.SyncGroupRequestAssignment(member_id=one, assignment=given)
                    for one, given in assignments.items()
                ],
            )
            answer = await session.ask(request, MOST, highest=3)
            error = session.name_of(answer.error_code, group)
            return Synced(error, bytes(answer.assignment or b""))

        return self._ask(address, timeout, ask)

    def heartbeat(
        self, address: Address, group: str, member_id: str, generation: int, timeout: float
    ) -> str:
        """Stay in a group. Return Kafka's name of the error, "" if we are in it."""

        async def ask(session: "_Session") -> str:
            request = HeartbeatRequest(
                group_id=group,
                generation_id=generation,
                member_id=member_id,
                group_instance_id=None,
            )
            answer = await session.ask(request, MOST, highest=3)
            return session.name_of(answer.error_code, group)

        return self._ask(address, timeout, ask)

    def leave_group(self, address: Address, group: str, member_id: str, timeout: float) -> str:
        """Leave a group. Return Kafka's name of the error, "" if we left."""

        async def ask(session: "_Session") -> str:
            request = LeaveGroupRequest(group_id=group, member_id=member_id)
            answer = await session.ask(request, MOST, highest=2)
            return session.name_of(answer.error_code, group)

        return self._ask(address, timeout, ask)

    def _ask(
        self,
        address: Address,
        timeout: float,
        question: Callable[["_Session"], Coroutine[Any, Any, Value]],
        what: str = "",
    ) -> Value:
        """Connect, log in, ask, and close, within ``timeout`` s."""
        stage = Stage()

        async def ask() -> Value:
            return await kafka_wire.within(
                timeout, stage, self._conversation(address, timeout, stage, question)
            )

        began = self._clock.now()
        try:
            answer = kafka_wire.run(ask, timeout)
        except _Denied as error:
            raise KafkaDenied(f"Kafka at {_shown(address)}: {error}", code=error.code) from error
        except WireError as error:
            raise _unavailable(address, error, what) from error
        # the machine may have been suspended meanwhile: then this is how things were before
        late = self._clock.now() - began
        if late > timeout + kafka_wire.GRACE_S:
            raise _unavailable(address, WireError(f"its answer is {late:.0f} s old"), what)
        return answer

    async def _conversation(
        self,
        address: Address,
        timeout: float,
        stage: Stage,
        question: Callable[["_Session"], Coroutine[Any, Any, Value]],
    ) -> Value:
        wire = await kafka_wire.connect(address, self._access.tls, stage, timeout)
        try:
            session = _Session(wire, self._access, self._client_id)
            await session.learn_versions()
            await session.log_in()
            return await question(session)
        # such as nothing in place of a list
        except (ValueError, TypeError, IndexError) as error:
            raise WireError("its answer does not fit the question") from error
        finally:
            wire.close()

    async def _ping(self, address: Address, timeout: float) -> Ping:
        stage = Stage()
        try:
            await kafka_wire.within(timeout, stage, self._api_versions(address, timeout, stage))
        except WireError as error:
            return Ping(False, refused=error.refused, reason=str(error))
        return Ping(True)

    async def _api_versions(self, address: Address, timeout: float, stage: Stage) -> None:
        wire = await kafka_wire.connect(address, self._access.tls, stage, timeout)
        try:
            await _Session(wire, self._access, self._client_id).learn_versions()
        finally:
            wire.close()


@dataclass
class _Session:
    """A conversation with one node: which requests it knows, and the login."""

    wire: Wire
    access: KafkaAccess
    client_id: str

    def __post_init__(self) -> None:
        self._versions: dict[int, tuple[int, int]] = {}
        self._sent = 0

    async def learn_versions(self) -> None:
        """Ask which requests the node knows.

        The oldest version of the question is used: every Kafka answers it, 4.1 included.
        """
        answer = await self._exchange(ApiVersionsRequest(), 0, MOST_PING)
        name = _error_name(answer.error_code)
        if name:
            raise WireError(f"it answers ApiVersions with the error {name}")
        self._versions = {
            one.api_key: (one.min_version, one.max_version) for one in answer.api_keys
        }
        if not self._versions:
            raise WireError("what answers there does not speak Kafka's protocol")

    def highest(self, request: Any) -> int:
        """Return the highest version of a request that the node knows, -1 if it does not know
        it."""
        return self._versions.get(request.API_KEY, (0, -1))[1]

    async def log_in(self) -> None:
        """Log in by SASL, if there is a login. Raises `_Denied`."""
        login = self.access.login
        if login is None:
            return
        mechanism = self.access.sasl_mechanism
        request = SaslHandshakeRequest(mechanism=mechanism)
        answer = await self.ask(request, MOST_PING, lowest=1, highest=1)
        self._expect_mechanism(_error_name(answer.error_code), answer.mechanisms)
        await self._exchange_proofs(login, mechanism)

    async def ask(self, request: Any, limit: int, lowest: int = 0, highest: int = 99) -> Any:
        """Ask with the highest version between these that both sides know."""
        return await self._exchange(request, self._version(request, lowest, highest), limit)

    async def ask_raw(
        self, request: Any, limit: int, lowest: int, highest: int
    ) -> tuple[bytes, int, int]:
        """Ask as `ask` does; return the bytes of the answer, its version, and where it begins
        behind its header."""
        version = self._version(request, lowest, highest)
        data = await self._send(request, version, limit)
        begins = struct.calcsize(">i")
        if ResponseClassRegistry.get_response_class(request.header).flexible_version_q(version):
            if data[begins : begins + 1] != b"\0":
                raise WireError("its answer has a header that we do not understand")
            begins += 1
        return data, version, begins

    def name_of(self, code: int, group: str = "") -> str:
        """Return Kafka's name of an error. Raises `_Denied` for one of rights."""
        name = _error_name(code)
        if name not in RIGHTS:
            return name
        user = self.access.login.user if self.access.login else "NAME"
        right = RIGHTS[name].format(group=group)
        raise _Denied(
            f"a right is missing ({name}). Give it: `kafka-acls.sh --bootstrap-server "
            f"{_shown(self.wire.address)} --add --allow-principal 'User:{said(user)}' {right}`",
            code="kafka-access-denied",
        )

    def expect(self, error: str, *known: str) -> None:
        """Raise `WireError` for an error that is none of these."""
        if error and error not in known:
            raise WireError(f"it answers with the error {error}")

    def _version(self, request: Any, lowest: int, highest: int) -> int:
        first, last = self._versions.get(request.API_KEY, (0, -1))
        version = min(last, highest, int(request.max_version))
        if version < max(first, lowest):
            raise _Unsupported(f"it does not know {request.name.removesuffix('Request')}")
        return version

    async def _exchange(self, request: Any, version: int, limit: int) -> Any:
        data = await self._send(request, version, limit)
        response = ResponseClassRegistry.get_response_class(request.header)
        try:
            return response.decode(data, version=version, header=True)
        # the decoders of the library meet garbage with whatever Python has for it
        except Exception as error:
            raise WireError(
                "what answers there does not speak Kafka's protocol: its answer to "
                f"{request.name} cannot be read"
            ) from error

    async def _send(self, request: Any, version: int, limit: int) -> bytes:
        self._sent += 1
        request.API_VERSION = version
        request.with_header(correlation_id=self._sent, client_id=self.client_id)
        data = await self.wire.ask(bytes(request.encode(header=True)), limit)
        if data[:4] != struct.pack(">i", self._sent):
            raise WireError(
                "what answers there does not speak Kafka's protocol: is the port right?"
            )
        return data

    def _expect_mechanism(self, error: str, offered: Sequence[str]) -> None:
        if error == "ILLEGAL_SASL_STATE":
            plain = "PLAINTEXT" if self.access.tls is None else "SSL"
            raise _Denied(
                f"this listener wants no login: set security.protocol to {plain}, or use the port "
                "of another listener",
                code="kafka-login-refused",
            )
        if error:
            names = said(", ".join(offered)) or "none"
            raise _Denied(
                f"it does not offer sasl.mechanism {self.access.sasl_mechanism}; it offers {names}",
                code="kafka-login-refused",
            )

    async def _exchange_proofs(self, login: Login, mechanism: str) -> None:
        prover = _prover(login, mechanism)
        while not prover.is_done():
            request = SaslAuthenticateRequest(auth_bytes=prover.auth_bytes())
            answer = await self.ask(request, MOST_PING)
            name = _error_name(answer.error_code)
            if name:
                why = said(answer.error_message or name)
                raise _Denied(
                    f"it refuses the login of {said(login.user)} ({mechanism}): {why}. Check the "
                    "user and the password in sasl.jaas.config",
                    code="kafka-login-refused",
                )
            _take_proof(prover, bytes(answer.auth_bytes or b""))
        if not prover.is_authenticated():
            raise WireError("its answer to our login cannot be understood")


async def _described_cluster(session: _Session) -> Nodes:
    request = DescribeClusterRequest(
        include_cluster_authorized_operations=False,
        endpoint_type=BROKERS_ENDPOINT,
        include_fenced_brokers=True,
    )
    answer = await session.ask(request, MOST, lowest=FENCED_VERSION)
    error = session.name_of(answer.error_code)
    if error == "MISMATCHED_ENDPOINT_TYPE":
        raise WireError("it is a controller: name the listener of a broker")
    session.expect(error)
    brokers = tuple(
        KafkaNode(one.broker_id, one.host, one.port, one.rack or "", bool(one.is_fenced))
        for one in answer.brokers
    )
    return Nodes(answer.cluster_id or "", brokers, _is_kraft(session), knows_fenced=True)


async def _cluster_of_metadata(session: _Session) -> Nodes:
    request = MetadataRequest(topics=[], allow_auto_topic_creation=False)
    answer = await session.ask(request, MOST, lowest=2)
    session.expect(session.name_of(answer.error_code or 0))
    brokers = tuple(
        KafkaNode(one.node_id, one.host, one.port, one.rack or "") for one in answer.brokers
    )
    return Nodes(answer.cluster_id or "", brokers, _is_kraft(session), knows_fenced=False)


async def _expect_right_to_describe(session: _Session) -> None:
    """Raise `_Denied` where our login may not describe an internal topic by its name, or a topic
    that does not exist."""
    topic = MetadataRequest.MetadataRequestTopic
    names = [INTERNAL_TOPIC]
    if session.highest(MetadataRequest) >= NO_CREATION_VERSION:
        names.append(secrets.token_hex(16))
    request = MetadataRequest(
        topics=[topic(topic_id=NO_TOPIC_ID, name=name) for name in names],
        allow_auto_topic_creation=False,
    )
    answer = await session.ask(request, MOST, lowest=kafka_metadata.FIRST_VERSION)
    for one in answer.topics:
        session.name_of(one.error_code)


def _is_kraft(session: _Session) -> bool:
    return session.highest(DescribeQuorumRequest) >= 0


async def _described_quorum(session: _Session) -> Quorum:
    topic = DescribeQuorumRequest.TopicData
    wanted = topic(topic_name=QUORUM_TOPIC, partitions=[topic.PartitionData(partition_index=0)])
    answer = await session.ask(DescribeQuorumRequest(topics=[wanted]), MOST)
    session.expect(session.name_of(answer.error_code))
    try:
        ((found,),) = [one.partitions for one in answer.topics]
    except ValueError as error:
        raise WireError("its answer is about another partition") from error
    session.expect(session.name_of(found.error_code))
    replicas = [*found.current_voters, *found.observers]
    now = [one.last_caught_up_timestamp for one in replicas if one.replica_id == found.leader_id]
    if found.leader_id < 0 or not now:
        raise WireError("it has no leader now")
    told = [one for one in answer.nodes or () if one.listeners]
    return Quorum(
        found.leader_id,
        found.leader_epoch,
        tuple(_replica(one, found.leader_id, now[0]) for one in found.current_voters),
        tuple(_replica(one, found.leader_id, now[0]) for one in found.observers),
        tuple((one.node_id, one.listeners[0].host) for one in told),
        tuple((one.node_id, one.listeners[0].port) for one in told),
    )


def _behind_s(ms: int) -> float | None:
    """Return how far (s) a replica is behind, None where that is not known.

    A time in the future means that the leader's clock was set back since: a voter that died after
    that would look caught up until the clock has come so far again.
    """
    if ms < -CLOCK_MS:
        return None
    return max(ms, 0) / 1000


def _replica(state: Any, leader: int, leader_now: int) -> QuorumReplica:
    """Return a replica. Times are in ms by the leader's clock; -1 is unknown."""
    behind: float | None = None
    if state.replica_id == leader:
        behind = 0.0
    elif state.last_caught_up_timestamp >= 0 and leader_now >= 0:
        behind = _behind_s(leader_now - state.last_caught_up_timestamp)
    return QuorumReplica(state.replica_id, behind, state.log_end_offset)


def _prover(login: Login, mechanism: str) -> Any:
    """Return the library's side of a login."""
    user = login.user
    if mechanism != "PLAIN":
        # RFC 5802; the library leaves these two as they are
        user = user.replace("=", "=3D").replace(",", "=2C")
    make = get_sasl_mechanism(mechanism)
    return make(
        sasl_mechanism=mechanism,
        sasl_plain_username=user,
        sasl_plain_password=login.password.reveal(),
    )


def _take_proof(prover: Any, proof: bytes) -> None:
    """Hand over what the broker proves. Raises `WireError` where it proves nothing."""
    iterations = ITERATIONS.search(proof)
    if iterations is not None and int(iterations.group(1)) < FEWEST_ITERATIONS:
        raise WireError(
            f"it wants a login by SCRAM with {int(iterations.group(1))} iterations, and fewer than "
            f"{FEWEST_ITERATIONS} are not safe"
        )
    try:
        prover.receive(proof)
    except (ValueError, KeyError) as error:
        raise WireError(
            "its part of the login is wrong: it does not know our password, or it is not Kafka"
        ) from error


def _error_name(code: int) -> str:
    """Return Kafka's name of an error, "" for none."""
    if code == 0:
        return ""
    known = kafka_errors.kafka_errors.get(code)
    return str(getattr(known, "message", "")) or f"UNKNOWN_ERROR_{code}"


def _shown(address: Address) -> str:
    host, port = address
    return f"{in_brackets(said(host))}:{port}"


def _unavailable(address: Address, error: WireError, what: str) -> KafkaUnavailable:
    where = f"Kafka at {_shown(address)}"
    message = f"{where} does not answer: {error}"
    if what:
        message = f"{what}: {error} (asked {where})"
    return KafkaUnavailable(message, reason=str(error), refused=error.refused)
