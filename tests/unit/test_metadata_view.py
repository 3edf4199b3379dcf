"""Kafka's own protocol beside ZooKeeper: who is a witness, and what is said where it is not
spoken."""

import json
from collections.abc import Mapping

import pytest

from kafka_rolling_restart.errors import RegistryUnavailable
from kafka_rolling_restart.model.cluster_state import Partition
from kafka_rolling_restart.registry.kafka.answers import Address, KafkaNode, Metadata, Ping
from kafka_rolling_restart.registry.metadata_view import MetadataView
from kafka_rolling_restart.registry.zookeeper import kafka_address
from tests.fakes import FakeClock

ADDRESSES: dict[int, Address] = {one: (f"n{one}", 9092) for one in (1, 2, 3)}
NODES = tuple(KafkaNode(one, f"n{one}", 9092) for one in ADDRESSES)
BEHIND = Partition("t", 0, (1, 2), (1,), 1)


class Client:
    """Brokers that answer what they are told to."""

    def __init__(self) -> None:
        self.told = {one: Metadata(NODES, partitions=4) for one in ADDRESSES}
        self.silent: set[int] = set()
        self.loads: set[int] = set()
        self.read: list[int] = []

    def metadata(self, address: Address, timeout: float) -> Metadata:
        number = self._number(address)
        self.read.append(number)
        return self.told[number]

    def serves(self, addresses: Mapping[int, Address], timeout: float) -> dict[int, Ping]:
        return {
            one: Ping(one not in self.silent, reason="no answer" if one in self.silent else "")
            for one in addresses
        }

    def loading(self, address: Address, timeout: float) -> bool:
        if self._number(address) in self.silent:
            raise RegistryUnavailable("no answer")
        return self._number(address) in self.loads

    @staticmethod
    def _number(address: Address) -> int:
        return int(address[0].removeprefix("n"))


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def view(client: Client) -> MetadataView:
    view = MetadataView(client, FakeClock(), 5.0)
    assert view.begin(ADDRESSES, 3) == []
    return view


def test_two_brokers_are_asked_and_what_any_of_them_says_counts(
    client: Client, view: MetadataView
) -> None:
    client.told[2] = Metadata(NODES, 4, under_replicated=(BEHIND,), offline=(BEHIND,))
    state = view.state()
    assert state is not None and state.witnesses == (1, 2)
    assert state.under_replicated == state.offline == (BEHIND,)
    assert (state.partitions, state.quorum, state.unknown) == (4, None, "")


def test_a_broker_that_was_just_restarted_is_no_witness(client: Client, view: MetadataView) -> None:
    client.loads = {1}
    state = view.state(restarted=[1])
    assert state is not None and state.witnesses == (2, 3)
    assert state.loading == (1,)


def test_a_broker_that_says_nothing_is_no_witness(client: Client, view: MetadataView) -> None:
    client.silent = {1}
    state = view.state()
    assert state is not None and state.witnesses == (2, 3)


def test_a_restarted_broker_that_does_not_say_whether_it_loads_counts_as_loading(
    client: Client, view: MetadataView
) -> None:
    client.silent = {3}
    state = view.state(restarted=[3])
    assert state is not None and state.loading == (3,)


def test_nothing_is_known_once_nobody_answers(client: Client, view: MetadataView) -> None:
    client.silent = {1, 2, 3}
    state = view.state()
    assert state is not None
    assert "no broker answers by Kafka's protocol: no answer" in state.unknown
    assert view.members() == frozenset()


def test_what_a_witness_does_not_know_is_not_known(client: Client, view: MetadataView) -> None:
    client.told[2] = Metadata(NODES, unknown="topic t: not authorized")
    state = view.state()
    assert state is not None and state.unknown == "topic t: not authorized"


def test_where_the_listeners_cannot_be_used_the_plan_says_what_is_lost(client: Client) -> None:
    client.silent = {1, 2, 3}
    view = MetadataView(client, FakeClock(), 5.0)
    (note,) = view.begin(ADDRESSES, 3)
    assert note.code == "kafka-protocol-unavailable"
    assert "the partitions are judged by the metrics alone" in note.text
    client.silent.clear()
    assert view.state() is None  # also later: half a run with it and half without would mislead


def test_a_broker_without_a_listener_of_ours_makes_the_view_of_no_use(client: Client) -> None:
    view = MetadataView(client, FakeClock(), 5.0)
    (note,) = view.begin({1: ("n1", 9092)}, 3)
    assert "2 of 3 brokers have no listener that we can use" in note.text
    assert view.state() is None and client.read == []


def test_a_broker_whose_address_is_not_known_does_not_serve(view: MetadataView) -> None:
    found = view.serving([1, 9], 1.0)
    assert found[1].serves
    assert (found[9].serves, found[9].refused) == (False, False)


MAPPED = {
    "listener_security_protocol_map": {"IN": "SASL_SSL", "OUT": "PLAINTEXT", "SIX": "SSL"},
    "endpoints": ["IN://in1:9093", "OUT://[::1]:9092", "SIX://out1:x"],
}


@pytest.mark.parametrize(
    ("registration", "protocol", "address"),
    [
        (MAPPED, "SASL_SSL", ("in1", 9093)),
        (MAPPED, "PLAINTEXT", ("::1", 9092)),
        (MAPPED, "SASL_PLAINTEXT", None),
        (MAPPED, "SSL", None),  # its port is none
        ({"endpoints": ["PLAINTEXT://k:9092"]}, "PLAINTEXT", ("k", 9092)),
        ({"endpoints": ["PLAINTEXT://-o:9092"]}, "PLAINTEXT", None),
        ({"endpoints": ["PLAINTEXT://:9092"]}, "PLAINTEXT", None),
        ({"endpoints": "PLAINTEXT://k:9092"}, "PLAINTEXT", None),
        ({"host": "k"}, "PLAINTEXT", None),
    ],
)
def test_the_listener_is_the_one_that_speaks_our_protocol(
    registration: dict[str, object], protocol: str, address: Address | None
) -> None:
    assert kafka_address(json.dumps(registration).encode(), protocol) == address
