"""Kafka's protocol against a node that answers well, badly, or not at all."""

import logging
import random
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_rolling_restart.clock import SystemClock
from kafka_rolling_restart.model.cluster_state import Partition
from kafka_rolling_restart.registry.kafka.answers import (
    Address,
    Coordinator,
    KafkaDenied,
    KafkaNode,
    KafkaUnavailable,
    Ping,
)
from kafka_rolling_restart.registry.kafka.client import OPEN_AT_ONCE, KafkaClient
from kafka_rolling_restart.registry.kafka.metadata import Unreadable, read_metadata
from kafka_rolling_restart.settings.access import KafkaAccess, Login
from kafka_rolling_restart.settings.secret import Secret
from kafka_rolling_restart.settings.tls import Tls, load_tls
from tests.certificates import Authority
from tests.fake_kafka import FakeKafka, FakePartition, FakeReplica, FakeState
from tests.sockets import listening

SHORT = 0.4  # s
LONG = 10.0
LOADED = """
import sys
from kafka_rolling_restart.cli import client_properties
from kafka_rolling_restart.registry.kafka import answers as kafka_answers
print([name for name in ("kafka", "asyncio") if name in sys.modules])
"""


@pytest.fixture
def node() -> Iterator[FakeKafka]:
    with FakeKafka() as made:
        yield made


def client(tls: Tls | None = None, login: Login | None = None, mechanism: str = "") -> KafkaClient:
    return KafkaClient(KafkaAccess(LONG, tls, login, mechanism), SystemClock(), "me@host:1")


def login(user: str = "alice", password: str = "secret") -> Login:
    return Login("sasl.jaas.config", user, Secret(password))


def closed_port() -> Address:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return "127.0.0.1", server.getsockname()[1]


def three() -> tuple[KafkaNode, ...]:
    return tuple(
        KafkaNode(one, f"n{one}", 9092, rack=f"r{one}", is_fenced=one == 3) for one in (1, 2, 3)
    )


# who is there


def test_the_brokers_are_told_with_those_that_are_fenced(node: FakeKafka) -> None:
    node.state.brokers = three()
    nodes = client().cluster(node.address, LONG)
    assert (nodes.cluster_id, nodes.brokers) == ("fake-cluster", three())
    assert nodes.is_kraft and nodes.knows_fenced


def test_a_broker_before_4_0_tells_those_that_are_not_fenced_and_that_is_said(
    node: FakeKafka,
) -> None:
    node.state.brokers = three()
    node.state.versions = {"DescribeCluster": 1}
    nodes = client().cluster(node.address, LONG)
    assert nodes.brokers == three()[:2]
    assert not nodes.knows_fenced
    assert "Metadata" in node.state.asked and "DescribeCluster" not in node.state.asked


def test_a_broker_that_knows_no_quorum_is_not_of_a_kraft_cluster(node: FakeKafka) -> None:
    node.state.versions = {"DescribeQuorum": -1}
    assert not client().cluster(node.address, LONG).is_kraft
    with pytest.raises(KafkaUnavailable, match="it does not know DescribeQuorum"):
        client().quorum(node.address, LONG)


def test_a_controller_is_said_to_be_one(node: FakeKafka) -> None:
    node.state.errors = {"DescribeCluster": "MISMATCHED_ENDPOINT_TYPE"}
    with pytest.raises(KafkaUnavailable, match="it is a controller: name the listener of a broker"):
        client().cluster(node.address, LONG)


# partitions


@pytest.mark.parametrize("version", range(1, 14))
def test_partitions_are_read_in_every_version_of_the_answer(node: FakeKafka, version: int) -> None:
    node.state.brokers = three()
    node.state.versions = {"Metadata": version}
    whole = FakePartition((1, 2, 3), (1, 2, 3), 1)
    node.state.topics = {
        "whole": (whole,) * 3,
        "torn": (whole, FakePartition((1, 2, 3), (2,), 2)),
        "dead": (FakePartition((3,), (3,), -1, "LEADER_NOT_AVAILABLE"),),
    }
    metadata = client().metadata(node.address, LONG)
    assert metadata.brokers == three()[:2]
    assert metadata.partitions == 6
    assert metadata.under_replicated == (Partition("torn", 1, (1, 2, 3), (2,), 2),)
    assert metadata.offline == (Partition("dead", 0, (3,), (3,), None),)
    assert metadata.unknown == ""


def test_topics_that_are_being_deleted_are_left_out_and_those_we_may_not_see_are_unknown(
    node: FakeKafka,
) -> None:
    node.state.topic_errors = {
        "gone": "UNKNOWN_TOPIC_OR_PARTITION",
        "new": "LEADER_NOT_AVAILABLE",
        "secret": "TOPIC_AUTHORIZATION_FAILED",
    }
    metadata = client().metadata(node.address, LONG)
    assert metadata.unknown == "topic secret: we may not describe it"
    assert (metadata.partitions, metadata.offline) == (0, ())


def test_a_login_that_may_not_see_all_topics_is_denied_instead_of_seeing_none(
    node: FakeKafka,
) -> None:
    node.state.topic_errors = {"__consumer_offsets": "TOPIC_AUTHORIZATION_FAILED"}
    with pytest.raises(KafkaDenied, match="--operation Describe --topic '[*]'`$"):
        client().metadata(node.address, LONG)


def test_100_000_partitions_are_read_in_little_time_and_memory(node: FakeKafka) -> None:
    """4.2 MB. Measured: 0.13 s and 13 MiB; the limits here are for slow machines."""
    node.state.topics = {
        f"topic-{number}": (FakePartition((1, 2, 3), (1, 2, 3), 1),) * 100 for number in range(1000)
    }
    ours = client()
    ours.metadata(node.address, 60)  # the node encodes its answer once
    tracemalloc.start()
    try:
        began = time.monotonic()
        metadata = ours.metadata(node.address, LONG)
        took = time.monotonic() - began
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert metadata.partitions == 100_000
    assert took < 8 and peak < 60 * 2**20


def garbled(data: bytes, chance: random.Random) -> bytes:
    cut = bytearray(data[: chance.randrange(len(data))])
    for _ in range(3):
        if cut:
            cut[chance.randrange(len(cut))] = chance.randrange(256)
    return bytes(cut)


def test_garbage_in_place_of_partitions_is_never_more_than_unreadable(node: FakeKafka) -> None:
    node.state.topics = {"t": (FakePartition((1, 2, 3), (1, 2), 1),) * 5}
    seen: list[bytes] = []
    chance = random.Random(1)
    client().metadata(node.address, LONG)
    whole = node.state.all_topics(13, bytes)
    assert read_metadata(whole, 13).partitions == 5
    for _ in range(3000):
        try:
            read_metadata(garbled(whole, chance), 13)
        except Unreadable:
            seen.append(b"")
    assert len(seen) > 2900


# the quorum


def test_the_quorum_is_told_with_how_far_its_members_are_behind_the_leader(
    node: FakeKafka,
) -> None:
    node.state.leader, node.state.epoch = 101, 7
    node.state.voters = (
        FakeReplica(101, 500, 1_000_000),
        FakeReplica(102, 498, 999_500),
        FakeReplica(103),
    )
    node.state.observers = (FakeReplica(1, 400, 990_000),)
    node.state.controllers = {101: ("c1", 9093), 102: ("c2", 9093)}
    quorum = client().quorum(node.address, LONG)
    assert (quorum.leader, quorum.epoch) == (101, 7)
    assert [(one.id, one.behind_s, one.log_end) for one in quorum.voters] == [
        (101, 0.0, 500),
        (102, 0.5, 498),
        (103, None, 100),
    ]
    assert [(one.id, one.behind_s) for one in quorum.observers] == [(1, 10.0)]
    assert quorum.hosts == ((101, "c1"), (102, "c2"))


@pytest.mark.parametrize("version", [0, 1])
def test_what_an_older_quorum_does_not_tell_is_not_known(node: FakeKafka, version: int) -> None:
    node.state.versions = {"DescribeQuorum": version}
    node.state.leader = 101
    node.state.voters = (FakeReplica(101, 500, 1000), FakeReplica(102, 500, 1000))
    quorum = client().quorum(node.address, LONG)
    assert quorum.voters[1].behind_s == (None if version == 0 else 0.0)
    assert quorum.hosts == ()


@pytest.mark.parametrize("place", ["DescribeQuorum", "DescribeQuorumPartition"])
def test_a_quorum_that_is_not_led_from_there_does_not_answer(node: FakeKafka, place: str) -> None:
    node.state.errors = {place: "NOT_LEADER_FOR_PARTITION"}
    with pytest.raises(
        KafkaUnavailable, match="^the metadata quorum does not answer: .*NOT_LEADER"
    ):
        client().quorum(node.address, LONG)


def test_a_quorum_without_a_leader_does_not_answer(node: FakeKafka) -> None:
    node.state.voters = (FakeReplica(101),)
    with pytest.raises(KafkaUnavailable, match="it has no leader now"):
        client().quorum(node.address, LONG)


def test_a_missing_right_is_told_with_the_line_that_gives_it(node: FakeKafka) -> None:
    node.state.errors = {"DescribeQuorum": "CLUSTER_AUTHORIZATION_FAILED"}
    node.state.users = {"alice": "secret"}
    with pytest.raises(KafkaDenied) as denied:
        client(login=login(), mechanism="PLAIN").quorum(node.address, LONG)
    assert denied.value.code == "kafka-access-denied"
    host, port = node.address
    assert (
        f"`kafka-acls.sh --bootstrap-server {host}:{port} --add --allow-principal 'User:alice' "
        "--operation Describe --cluster`"
    ) in str(denied.value)


# many listeners at once


def test_a_listener_answers_or_is_refused_or_says_nothing(node: FakeKafka) -> None:
    with FakeKafka(FakeState(behaviour="silent")) as silent:
        pings = client().serves(
            {1: node.address, 2: closed_port(), 3: silent.address, 4: ("no.invalid", 1)}, SHORT
        )
    assert pings[1] == Ping(True)
    assert pings[2] == Ping(False, refused=True, reason="Connection refused")
    assert not pings[3].answers and not pings[3].refused and pings[3].reason.endswith("0.4 s")
    assert not pings[4].answers and not pings[4].refused


def test_1000_listeners_are_asked_at_once_with_few_open_files(node: FakeKafka) -> None:
    node.state.delay_s = 0.05
    pings = client().serves(dict.fromkeys(range(1000), node.address), 30)
    assert [one for one in pings.values() if not one.answers] == []
    assert len(pings) == 1000
    assert 50 < node.most_open <= OPEN_AT_ONCE + 20  # some are about to be closed


def test_silent_listeners_are_waited_for_beside_each_other() -> None:
    with FakeKafka(FakeState(behaviour="silent")) as silent:
        began = time.monotonic()
        pings = client().serves(dict.fromkeys(range(100), silent.address), SHORT)
    assert time.monotonic() - began < 10 * SHORT
    assert not any(one.answers for one in pings.values())


def test_nobody_is_asked_where_there_is_nobody() -> None:
    assert client().serves({}, SHORT) == {}


# groups


def test_an_answer_about_something_else_is_said(node: FakeKafka) -> None:
    node.state.describes_twice = True
    with pytest.raises(KafkaUnavailable, match="its answer does not fit the question"):
        client().describe_group(node.address, "g", LONG)


def test_an_error_that_we_do_not_know_keeps_its_number(node: FakeKafka) -> None:
    node.state.errors = {"JoinGroup": "12345"}
    answer = client().join_group(node.address, "g", "", "lock", b"", 15, 15, LONG)
    assert answer.error == "UNKNOWN_ERROR_12345"


def test_a_coordinator_that_loads_is_told(node: FakeKafka) -> None:
    assert not client().loading(node.address, LONG)
    node.state.errors = {"ListGroups": "COORDINATOR_LOAD_IN_PROGRESS"}
    assert client().loading(node.address, LONG)
    node.state.errors = {"ListGroups": "COORDINATOR_NOT_AVAILABLE"}
    with pytest.raises(KafkaUnavailable, match="COORDINATOR_NOT_AVAILABLE"):
        client().loading(node.address, LONG)


def test_a_group_is_found_joined_kept_described_and_left(node: FakeKafka) -> None:
    ours, at = client(), node.address
    assert ours.find_coordinator(at, "g", LONG).error == "COORDINATOR_NOT_AVAILABLE"
    node.state.coordinator = KafkaNode(2, "n2", 9092)
    assert ours.find_coordinator(at, "g", LONG) == Coordinator("", 2, ("n2", 9092))
    assert ours.describe_group(at, "g", LONG).state == "Dead"
    first = ours.join_group(at, "g", "", "lock", b"mine", 15, 15, LONG)
    assert first.error == "MEMBER_ID_REQUIRED" and first.member_id
    joined = ours.join_group(at, "g", first.member_id, "lock", b"mine", 15, 15, LONG)
    assert (joined.error, joined.leader) == ("", joined.member_id)
    assert [one.metadata for one in joined.members] == [b"mine"]
    me, now = joined.member_id, joined.generation
    assert ours.sync_group(at, "g", me, now, {me: b"all"}, LONG).assignment == b"all"
    assert ours.heartbeat(at, "g", me, now, LONG) == ""
    assert ours.heartbeat(at, "g", me, now + 1, LONG) == "ILLEGAL_GENERATION"
    (member,) = ours.describe_group(at, "g", LONG).members
    assert (member.id, member.client_id, member.metadata) == (me, "me@host:1", b"mine")
    assert ours.leave_group(at, "g", me, LONG) == ""
    assert ours.leave_group(at, "g", me, LONG) == "UNKNOWN_MEMBER_ID"


def test_a_missing_right_on_a_group_names_the_group(node: FakeKafka) -> None:
    node.state.errors = {"JoinGroup": "GROUP_AUTHORIZATION_FAILED"}
    with pytest.raises(KafkaDenied, match="--operation Read --group g`$"):
        client().join_group(node.address, "g", "", "lock", b"", 15, 15, LONG)


# logins


def test_a_login_is_sent_before_the_question(node: FakeKafka) -> None:
    node.state.users = {"alice": "secret"}
    client(login=login(), mechanism="PLAIN").cluster(node.address, LONG)
    assert node.state.asked == [
        "ApiVersions",
        "SaslHandshake",
        "SaslAuthenticate",
        "DescribeCluster",
    ]


def test_a_wrong_password_is_said_and_not_shown(node: FakeKafka) -> None:
    node.state.users = {"alice": "secret"}
    with pytest.raises(KafkaDenied, match="refuses the login of alice .PLAIN.*password") as denied:
        client(login=login(password="hunter2"), mechanism="PLAIN").cluster(node.address, LONG)
    assert denied.value.code == "kafka-login-refused"
    assert "hunter2" not in str(denied.value)


@pytest.mark.parametrize(
    ("users", "mechanism", "words"),
    [
        (None, "PLAIN", "wants no login: set security.protocol to PLAINTEXT"),
        (
            {},
            "SCRAM-SHA-512",
            "does not offer sasl.mechanism SCRAM-SHA-512; it offers PLAIN, SCRAM",
        ),
    ],
)
def test_a_login_that_the_listener_does_not_take_is_said(
    node: FakeKafka, users: dict[str, str] | None, mechanism: str, words: str
) -> None:
    node.state.users = users
    with pytest.raises(KafkaDenied, match=words):
        client(login=login(), mechanism=mechanism).cluster(node.address, LONG)


def test_a_listener_that_wants_a_login_and_gets_none_hangs_up_and_that_is_explained(
    node: FakeKafka,
) -> None:
    node.state.users = {}
    with pytest.raises(KafkaUnavailable, match="hung up .*: does it want a login"):
        client().cluster(node.address, LONG)
    assert client().serves({1: node.address}, LONG) == {1: Ping(True)}


def test_a_broker_that_makes_our_password_easy_to_guess_does_not_get_a_proof(
    node: FakeKafka,
) -> None:
    node.state.users = {"alice": "secret"}
    with pytest.raises(KafkaUnavailable, match="with 1 iterations.*not safe"):
        client(login=login(), mechanism="SCRAM-SHA-256").cluster(node.address, LONG)
    assert node.state.asked.count("SaslAuthenticate") == 1


# TLS


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls_node(authority: Authority) -> Iterator[FakeKafka]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("server", "127.0.0.1"))
    with FakeKafka(tls=context) as made:
        yield made


def test_tls_is_spoken_with_the_authority_that_we_trust(
    authority: Authority, tls_node: FakeKafka
) -> None:
    ours = client(load_tls("ssl", str(authority.file), None, None))
    assert ours.cluster(tls_node.address, LONG).cluster_id == "fake-cluster"
    assert ours.serves({1: tls_node.address}, LONG) == {1: Ping(True)}


def test_an_authority_that_we_do_not_know_is_said(tmp_path: Path, tls_node: FakeKafka) -> None:
    other = Authority(tmp_path, "other")
    ours = client(load_tls("ssl", str(other.file), None, None))
    with pytest.raises(KafkaUnavailable, match="TLS: its certificate is from an authority"):
        ours.cluster(tls_node.address, LONG)
    assert not ours.serves({1: tls_node.address}, LONG)[1].refused


def test_tls_to_a_port_without_it_and_the_other_way_round_are_said(
    authority: Authority, tls_node: FakeKafka, node: FakeKafka
) -> None:
    ours = client(load_tls("ssl", str(authority.file), None, None))
    with pytest.raises(KafkaUnavailable, match="TLS"):
        ours.cluster(node.address, SHORT)
    with pytest.raises(KafkaUnavailable, match="TLS"):
        client().cluster(tls_node.address, SHORT)


# hostile and broken nodes


@pytest.mark.parametrize(
    ("behaviour", "payload", "words"),
    [
        ("silent", b"", "accepts connections, and gives no answer within 0.4 s"),
        ("close", b"", "it hung up without an answer"),
        ("trickle", b"", "Kafka|within 0.4 s"),
        ("endless", b"", "Kafka"),
        ("payload", b"HTTP/1.1 400 Bad Request\r\n\r\n", "an HTTP server answers there"),
        ("payload", b"SSH-2.0-OpenSSH_9.6\r\n", "does not speak Kafka's protocol"),
        ("payload", b"\x15\x03\x03\x00\x02\x02\x28", "it speaks TLS on this port"),
        ("payload", b"\xff\xff\xff\xff", "does not speak Kafka's protocol"),
        ("payload", struct.pack(">i", 200_000_000), "200000000 bytes is announced"),
        ("payload", struct.pack(">i", 0), "does not speak Kafka's protocol"),
        ("payload", struct.pack(">i", 50) + b"\0" * 10, "hung up"),
        ("hold", struct.pack(">i", 50) + b"\0" * 10, "was not complete within 0.4 s"),
        ("payload", struct.pack(">ii", 4, 99), "does not speak Kafka's protocol"),
        ("payload", struct.pack(">iihi", 10, 1, 0, 2**31 - 1), "cannot be read"),
        ("payload", struct.pack(">iihi", 10, 1, 0, 0), "does not speak Kafka's protocol"),
        ("payload", struct.pack(">iihi", 10, 1, -1, 0), "the error"),
    ],
)
def test_a_node_that_is_none_is_one_line_within_the_deadline(
    behaviour: str, payload: bytes, words: str
) -> None:
    with FakeKafka(FakeState(behaviour=behaviour, payload=payload)) as node:
        began = time.monotonic()
        with pytest.raises(KafkaUnavailable, match=words) as failed:
            client().cluster(node.address, SHORT)
        assert time.monotonic() - began < SHORT + 1.5
        ping = client().serves({1: node.address}, SHORT)[1]
    assert "\n" not in str(failed.value) and failed.value.code == "registry-unreachable"
    assert str(failed.value).startswith(f"Kafka at 127.0.0.1:{node.address[1]} does not answer: ")
    assert not ping.answers and not ping.refused and ping.reason == failed.value.reason


def test_nobody_at_an_address_is_told_apart_for_certain() -> None:
    with pytest.raises(KafkaUnavailable, match="Connection refused") as failed:
        client().cluster(closed_port(), LONG)
    assert failed.value.refused


def test_a_name_that_does_not_exist_is_said() -> None:
    with pytest.raises(KafkaUnavailable, match="is the name no.invalid right") as failed:
        client().cluster(("no.invalid", 9092), LONG)
    assert not failed.value.refused


def test_a_name_with_two_addresses_is_reached_by_the_second(node: FakeKafka) -> None:
    """localhost is ::1 and 127.0.0.1 on most machines; this node has the second alone."""
    assert client().cluster(("localhost", node.address[1]), LONG).cluster_id == "fake-cluster"


@pytest.mark.parametrize("seed", range(20))
def test_random_answers_are_one_line_each(seed: int) -> None:
    chance = random.Random(seed)
    body = struct.pack(">ih", 1, 0) + chance.randbytes(chance.randrange(1, 200))
    payload = struct.pack(">i", len(body)) + body
    state = FakeState(behaviour="payload", payload=payload)
    with FakeKafka(state) as node, pytest.raises(KafkaUnavailable):
        client().quorum(node.address, LONG)


def test_a_port_that_is_none_is_said() -> None:
    with pytest.raises(KafkaUnavailable):
        client().cluster(("127.0.0.1", 99999), LONG)


def test_an_answer_that_is_announced_takes_no_memory_before_it_comes() -> None:
    answered = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(struct.pack(">i", 10**6))
        answered.wait(10)

    tracemalloc.start()
    try:
        with listening(serve) as port, pytest.raises(KafkaUnavailable, match="not complete"):
            client().metadata(("127.0.0.1", port), SHORT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        answered.set()
    assert peak < 10**6


class Suspended:
    """The clock of a machine that sleeps for an hour whenever somebody looks."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        self._now += 3600
        return self._now

    def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


def test_an_answer_from_before_the_machine_was_suspended_is_none(node: FakeKafka) -> None:
    ours = KafkaClient(KafkaAccess(), Suspended())
    with pytest.raises(KafkaUnavailable, match="its answer is 3600 s old"):
        ours.cluster(node.address, LONG)


def test_a_node_that_comes_back_at_the_same_port_is_asked_anew(node: FakeKafka) -> None:
    ours = client()
    ours.cluster(node.address, LONG)
    node.stop()
    with pytest.raises(KafkaUnavailable) as failed:
        ours.cluster(node.address, LONG)
    assert failed.value.refused
    node.start()
    assert ours.cluster(node.address, LONG).cluster_id == "fake-cluster"


def test_nothing_is_left_open_and_nothing_is_logged_beyond_a_detail(
    node: FakeKafka, caplog: pytest.LogCaptureFixture
) -> None:
    files = Path("/proc/self/fd")
    ours = client()
    with FakeKafka(FakeState(behaviour="silent")) as silent, caplog.at_level(logging.INFO):
        ours.cluster(node.address, LONG)
        before = len(list(files.iterdir()))
        for _ in range(5):
            ours.cluster(node.address, LONG)
            with pytest.raises(KafkaUnavailable):
                ours.cluster(silent.address, 0.1)
        time.sleep(0.2)
        assert len(list(files.iterdir())) <= before + 3
    assert caplog.records == []


def test_whoever_asks_nothing_loads_neither_the_library_nor_asyncio() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"


def test_a_login_with_a_right_on_some_topics_alone_is_denied(node: FakeKafka) -> None:
    node.state.topics = {"mine": (FakePartition((1, 2), (1, 2), 1),)}
    node.state.other_topics = "TOPIC_AUTHORIZATION_FAILED"
    with pytest.raises(KafkaDenied, match="--operation Describe --topic '[*]'`$"):
        client().metadata(node.address, LONG)


@pytest.mark.parametrize(("ahead_ms", "behind_s"), [(900, 0.0), (1500, None), (60_000, None)])
def test_what_was_caught_up_before_the_leaders_clock_went_back_is_not_known(
    node: FakeKafka, ahead_ms: int, behind_s: float | None
) -> None:
    node.state.leader = 1
    node.state.voters = (FakeReplica(1, 9, 100_000), FakeReplica(2, 9, 100_000 + ahead_ms))
    assert client().quorum(node.address, LONG).voters[1].behind_s == behind_s
