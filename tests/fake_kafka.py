"""A node that speaks enough of Kafka's protocol for tests and benchmarks, on a loopback address.

It decodes requests and encodes answers with kafka-python's own messages, so what is tested is not
tested against itself. All nodes of a process share one thread: a thousand of them are cheap.
"""

import asyncio
import ssl
import struct
import threading
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType
from typing import Any

import kafka.errors as kafka_errors
from kafka.protocol.admin.cluster import (
    DescribeClusterRequest,
    DescribeClusterResponse,
    DescribeQuorumRequest,
    DescribeQuorumResponse,
)
from kafka.protocol.admin.groups import (
    DescribeGroupsRequest,
    DescribeGroupsResponse,
    ListGroupsRequest,
    ListGroupsResponse,
)
from kafka.protocol.consumer.group import (
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    LeaveGroupResponse,
    SyncGroupRequest,
    SyncGroupResponse,
)
from kafka.protocol.metadata import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    MetadataRequest,
    MetadataResponse,
)
from kafka.protocol.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)

from kafka_rolling_restart.registry.kafka.answers import Address, KafkaNode

NO_OFFLINE: list[int] = []
PLAIN, UNKNOWN_TOPIC = "PLAIN", "UNKNOWN_TOPIC_OR_PARTITION"
# highest versions, those of Kafka 4.1.1
VERSIONS: dict[Any, int] = {
    ApiVersionsRequest: 4,
    MetadataRequest: 13,
    DescribeClusterRequest: 2,
    DescribeQuorumRequest: 2,
    ListGroupsRequest: 5,
    FindCoordinatorRequest: 6,
    DescribeGroupsRequest: 6,
    JoinGroupRequest: 9,
    SyncGroupRequest: 5,
    HeartbeatRequest: 4,
    LeaveGroupRequest: 5,
    SaslHandshakeRequest: 1,
    SaslAuthenticateRequest: 2,
}
REQUESTS = {request.API_KEY: request for request in VERSIONS}


def code_of(name: str) -> int:
    """Return the number of an error by Kafka's name or by itself, 0 for none."""
    if not name or name.isdigit():
        return int(name or 0)
    found = [
        number
        for number, error in kafka_errors.kafka_errors.items()
        if getattr(error, "message", "") == name
    ]
    return int(found[0])


@dataclass(frozen=True)
class FakePartition:
    """A partition as the metadata tell it; a ``leader`` of -1 is none."""

    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    leader: int
    error: str = ""


@dataclass(frozen=True)
class FakeReplica:
    """A replica of the quorum: its times in ms, -1 for never."""

    id: int
    log_end: int = 100
    caught_up_ms: int = -1


@dataclass
class FakeGroup:
    """A consumer group; errors by the name of the request win."""

    state: str = "Dead"
    protocol_type: str = ""
    generation: int = 0
    members: dict[str, tuple[str, bytes]] = field(default_factory=dict)


@dataclass
class FakeState:
    """What a node answers, or several that share it. A test changes it at any time; ``topics`` by
    assigning a new dict, with the old one still there.

    ``errors`` has an error for a request by its name, such as ``{"ListGroups": "..."}``.
    ``versions`` has the highest version by a request's name, -1 for a request that is not known.
    ``behaviour`` is "" or what it does in place of an answer: see `FakeKafka`.
    """

    cluster_id: str = "fake-cluster"
    brokers: tuple[KafkaNode, ...] = ()
    topics: dict[str, tuple[FakePartition, ...]] = field(default_factory=dict)
    topic_errors: dict[str, str] = field(default_factory=dict)
    other_topics: str = UNKNOWN_TOPIC  # what is said of a topic that is asked for and is not there
    leader: int = -1
    epoch: int = 1
    voters: tuple[FakeReplica, ...] = ()
    observers: tuple[FakeReplica, ...] = ()
    controllers: dict[int, Address] = field(default_factory=dict)
    coordinator: KafkaNode | None = None
    groups: dict[str, FakeGroup] = field(default_factory=dict)
    users: dict[str, str] | None = None
    errors: dict[str, str] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    delay_s: float = 0.0
    behaviour: str = ""
    payload: bytes = b""
    describes_twice: bool = False
    asked: list[str] = field(default_factory=list)
    _encoded: tuple[object, bytes] | None = field(default=None, repr=False)

    def all_topics(self, version: int, encode: Callable[[], bytes]) -> bytes:
        """Return the answer with all topics. It is encoded once for each dict of topics, for all
        nodes that share this state: 100,000 partitions take 0.7 s."""
        what = (version, self.brokers, id(self.topics), self.topic_errors.copy(), self.leader)
        whole = (what, self.errors.get("Metadata"), self.cluster_id)
        if self._encoded is None or self._encoded[0] != whole:
            self._encoded = (whole, encode())
        return self._encoded[1]


class FakeKafka:
    """One node. Use it as a context manager; ``address`` is where it listens.

    ``state.behaviour``: "silent" reads and says nothing, "close" hangs up, "payload" sends
    ``state.payload`` and hangs up, "hold" sends it and stays, "trickle" sends a byte of a long
    answer now and then, "endless" sends what never ends.
    """

    def __init__(
        self,
        state: FakeState | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.state = state or FakeState()
        self._host, self._port, self._tls = host, port, tls
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.most_open = 0

    def __enter__(self) -> "FakeKafka":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self._host, self._port

    def start(self) -> None:
        """Listen, at the port that it had before, if it had one."""

        async def begin() -> asyncio.Server:
            return await asyncio.start_server(
                self._converse, self._host, self._port, ssl=self._tls, backlog=1024
            )

        self._server = _in_loop(begin)
        self._port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Stop listening, and hang up."""

        async def end() -> None:
            if self._server is not None:
                self._server.close()
            for writer in list(self._open):
                writer.transport.abort()

        _in_loop(end)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self.most_open = max(self.most_open, len(self._open))
        session = _Session(self)
        try:
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                request = await reader.readexactly(size)
                await asyncio.sleep(self.state.delay_s)
                if self.state.behaviour:
                    await self._misbehave(reader, writer)
                    return
                answer = session.answer(request)
                if answer is None:
                    return
                writer.write(struct.pack(">i", len(answer)) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        except Exception:  # a defect of this node: a test is to show it
            traceback.print_exc()
        finally:
            self._open.discard(writer)
            writer.close()

    async def _misbehave(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behaviour = self.state.behaviour
        if behaviour in ("payload", "hold"):
            writer.write(self.state.payload)
            await writer.drain()
        if behaviour in ("silent", "hold"):
            await reader.read()
        while behaviour == "trickle":
            writer.write(b"\0")
            await writer.drain()
            await asyncio.sleep(0.05)
        while behaviour == "endless":
            writer.write(b"\0" * 65536)
            await writer.drain()


class _Session:
    """One connection: who logged in, and the answers."""

    def __init__(self, node: FakeKafka) -> None:
        self._node = node
        self._state = node.state
        self._logged_in = False
        self._mechanism = ""

    def answer(self, data: bytes) -> bytes | None:
        """Return the answer to a request, None to hang up."""
        key, version, correlation = struct.unpack_from(">hhi", data)
        kind = REQUESTS.get(key)
        if kind is None or version > self._highest(kind):
            return None
        request = kind.decode(data, version=version, header=True)
        name = kind.name.removesuffix("Request")
        self._state.asked.append(name)
        free = name in ("ApiVersions", "SaslHandshake", "SaslAuthenticate")
        if self._state.users is not None and not self._logged_in and not free:
            return None
        if name == "Metadata" and request.topics is None:
            body = self._state.all_topics(
                version, lambda: bytes(self._metadata(request, version).encode(version=version))
            )
            tags = b"\0" if version >= 9 else b""
            return struct.pack(">i", correlation) + tags + body
        response = getattr(self, f"_{_snake(name)}")(request, version)
        response.with_header(correlation_id=correlation)
        return bytes(response.encode(header=True))

    def _highest(self, kind: Any) -> int:
        return self._state.versions.get(kind.name.removesuffix("Request"), VERSIONS[kind])

    def _error(self, name: str) -> int:
        return code_of(self._state.errors.get(name, ""))

    def _api_versions(self, _request: Any, version: int) -> Any:
        keys = [
            ApiVersionsResponse.ApiVersion(
                api_key=kind.API_KEY, min_version=0, max_version=self._highest(kind)
            )
            for kind in VERSIONS
            if self._highest(kind) >= 0
        ]
        return ApiVersionsResponse(
            version=version, error_code=self._error("ApiVersions"), api_keys=keys
        )

    def _sasl_handshake(self, request: Any, version: int) -> Any:
        error = "" if self._state.users is not None else "ILLEGAL_SASL_STATE"
        offered = [] if self._state.users is None else [PLAIN, "SCRAM-SHA-256"]
        if not error and request.mechanism not in offered:
            error = "UNSUPPORTED_SASL_MECHANISM"
        self._mechanism = request.mechanism
        return SaslHandshakeResponse(version=version, error_code=code_of(error), mechanisms=offered)

    def _sasl_authenticate(self, request: Any, version: int) -> Any:
        if self._mechanism != PLAIN:  # a broker that nobody should log in to
            nonce = bytes(request.auth_bytes).rpartition(b"r=")[2]
            return SaslAuthenticateResponse(
                version=version, error_code=0, auth_bytes=b"r=" + nonce + b"x,s=c2FsdA==,i=1"
            )
        _, user, password = bytes(request.auth_bytes).decode().split("\0")
        users = self._state.users or {}
        self._logged_in = users.get(user) == password
        error = "" if self._logged_in else "SASL_AUTHENTICATION_FAILED"
        return SaslAuthenticateResponse(
            version=version,
            error_code=code_of(error),
            error_message="Authentication failed: Invalid username or password" if error else None,
            auth_bytes=b"",
        )

    def _metadata(self, request: Any, version: int) -> Any:
        topics = self._state.topics if request.topics is None else {}
        errors = self._state.topic_errors
        if request.topics is not None:
            named = {
                one.name: errors.get(one.name, self._of_others(one.name)) for one in request.topics
            }
            known = {one: "" for one in named if one in self._state.topics}
            errors = named | known
        return MetadataResponse(
            version=version,
            brokers=[
                MetadataResponse.MetadataResponseBroker(
                    node_id=one.id, host=one.host, port=one.port, rack=one.rack or None
                )
                for one in self._state.brokers
                if not one.is_fenced
            ],
            cluster_id=self._state.cluster_id,
            controller_id=self._state.leader,
            topics=[
                *(_topic(name, partitions) for name, partitions in topics.items()),
                *(_topic(name, (), error) for name, error in errors.items()),
            ],
            error_code=self._error("Metadata"),
        )

    def _of_others(self, name: str) -> str:
        return UNKNOWN_TOPIC if name == "__consumer_offsets" else self._state.other_topics

    def _describe_cluster(self, _request: Any, version: int) -> Any:
        return DescribeClusterResponse(
            version=version,
            error_code=self._error("DescribeCluster"),
            error_message=None,
            endpoint_type=1,
            cluster_id=self._state.cluster_id,
            controller_id=self._state.leader,
            brokers=[
                DescribeClusterResponse.DescribeClusterBroker(
                    broker_id=one.id,
                    host=one.host,
                    port=one.port,
                    rack=one.rack or None,
                    is_fenced=one.is_fenced,
                )
                for one in self._state.brokers
            ],
        )

    def _describe_quorum(self, _request: Any, version: int) -> Any:
        topic = DescribeQuorumResponse.TopicData
        replica = topic.PartitionData.ReplicaState
        node = DescribeQuorumResponse.Node

        def told(replicas: tuple[FakeReplica, ...]) -> list[Any]:
            return [
                replica(
                    replica_id=one.id,
                    replica_directory_id=uuid.UUID(int=0),
                    log_end_offset=one.log_end,
                    last_fetch_timestamp=one.caught_up_ms,
                    last_caught_up_timestamp=one.caught_up_ms,
                )
                for one in replicas
            ]

        partition = topic.PartitionData(
            partition_index=0,
            error_code=self._error("DescribeQuorumPartition"),
            error_message=None,
            leader_id=self._state.leader,
            leader_epoch=self._state.epoch,
            high_watermark=100,
            current_voters=told(self._state.voters),
            observers=told(self._state.observers),
        )
        return DescribeQuorumResponse(
            version=version,
            error_code=self._error("DescribeQuorum"),
            error_message=None,
            topics=[topic(topic_name="__cluster_metadata", partitions=[partition])],
            nodes=[
                node(
                    node_id=one,
                    listeners=[node.Listener(name="CONTROLLER", host=address[0], port=address[1])],
                )
                for one, address in self._state.controllers.items()
            ],
        )

    def _list_groups(self, _request: Any, version: int) -> Any:
        return ListGroupsResponse(version=version, error_code=self._error("ListGroups"), groups=[])

    def _find_coordinator(self, _request: Any, version: int) -> Any:
        found = self._state.coordinator
        error = self._state.errors.get("FindCoordinator", "")
        if found is None:
            error = error or "COORDINATOR_NOT_AVAILABLE"
        return FindCoordinatorResponse(
            version=version,
            error_code=code_of(error),
            error_message=None,
            node_id=-1 if found is None else found.id,
            host="" if found is None else found.host,
            port=-1 if found is None else found.port,
        )

    def _describe_groups(self, request: Any, version: int) -> Any:
        kind = DescribeGroupsResponse.DescribedGroup
        group = self._state.groups.get(request.groups[0], FakeGroup())
        return DescribeGroupsResponse(
            version=version,
            groups=[
                kind(
                    error_code=self._error("DescribeGroups"),
                    group_id=request.groups[0],
                    group_state=group.state,
                    protocol_type=group.protocol_type,
                    protocol_data="",
                    members=[
                        kind.DescribedGroupMember(
                            member_id=member,
                            group_instance_id=None,
                            client_id=client,
                            client_host="/127.0.0.1",
                            member_metadata=metadata,
                            member_assignment=b"",
                        )
                        for member, (client, metadata) in group.members.items()
                    ],
                )
                for _ in range(2 if self._state.describes_twice else 1)
            ],
        )

    def _join_group(self, request: Any, version: int) -> Any:
        error = self._state.errors.get("JoinGroup", "")
        group = self._state.groups.setdefault(request.group_id, FakeGroup())
        member = request.member_id
        client = request.header.client_id
        if not error and not member:
            error, member = "MEMBER_ID_REQUIRED", f"{client}-{uuid.uuid4()}"
        elif not error:
            group.members[member] = (client, bytes(request.protocols[0].metadata))
            group.state, group.protocol_type = "Stable", request.protocol_type
            group.generation += 1
        return JoinGroupResponse(
            version=version,
            error_code=code_of(error),
            generation_id=group.generation if not error else -1,
            protocol_name=request.protocols[0].name,
            leader=next(iter(group.members), ""),
            member_id=member,
            members=[
                JoinGroupResponse.JoinGroupResponseMember(
                    member_id=one, group_instance_id=None, metadata=metadata
                )
                for one, (_, metadata) in group.members.items()
                if not error
            ],
        )

    def _member_error(self, request: Any, name: str) -> int:
        """Return the error of a request by a member, as a coordinator finds it."""
        told = self._state.errors.get(name, "")
        group = self._state.groups.get(request.group_id, FakeGroup())
        if not told and request.member_id not in group.members:
            told = "UNKNOWN_MEMBER_ID"
        if not told and getattr(request, "generation_id", group.generation) != group.generation:
            told = "ILLEGAL_GENERATION"
        return code_of(told)

    def _sync_group(self, request: Any, version: int) -> Any:
        given = {one.member_id: bytes(one.assignment) for one in request.assignments}
        return SyncGroupResponse(
            version=version,
            error_code=self._member_error(request, "SyncGroup"),
            assignment=given.get(request.member_id, b""),
        )

    def _heartbeat(self, request: Any, version: int) -> Any:
        return HeartbeatResponse(
            version=version, error_code=self._member_error(request, "Heartbeat")
        )

    def _leave_group(self, request: Any, version: int) -> Any:
        error = code_of(self._state.errors.get("LeaveGroup", ""))
        group = self._state.groups.get(request.group_id, FakeGroup())
        if not error and group.members.pop(request.member_id, None) is None:
            error = code_of("UNKNOWN_MEMBER_ID")
        return LeaveGroupResponse(version=version, error_code=error)


def _topic(name: str, partitions: tuple[FakePartition, ...], error: str = "") -> Any:
    kind = MetadataResponse.MetadataResponseTopic
    return kind(
        error_code=code_of(error),
        name=name,
        topic_id=uuid.UUID(int=1),
        is_internal=False,
        partitions=[
            kind.MetadataResponsePartition(
                error_code=code_of(one.error),
                partition_index=number,
                leader_id=one.leader,
                leader_epoch=1,
                replica_nodes=list(one.replicas),
                isr_nodes=list(one.isr),
                offline_replicas=NO_OFFLINE,
            )
            for number, one in enumerate(partitions)
        ],
    )


def _snake(name: str) -> str:
    return "".join(f"_{one.lower()}" if one.isupper() else one for one in name).lstrip("_")


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """Return the event loop of all nodes of this process, on a thread of its own."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _loop, _context: None)  # connections that end badly
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


def _in_loop(make: Callable[[], Any]) -> Any:
    return asyncio.run_coroutine_threadsafe(make(), _loop()).result(30)
