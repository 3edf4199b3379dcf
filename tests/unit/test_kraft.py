import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import pytest

from kafka_rolling_restart.errors import LockHeld, Refused, RegistryDenied, RegistryUnavailable
from kafka_rolling_restart.model.cluster_state import Partition, Quorum, QuorumReplica
from kafka_rolling_restart.model.observation import Presence
from kafka_rolling_restart.registry.kafka.answers import (
    Address,
    KafkaNode,
    KafkaUnavailable,
    Metadata,
    Nodes,
    Ping,
)
from kafka_rolling_restart.registry.kraft import CATCH_UP_S, Kraft
from tests.fake_groups import FakeGroups, FastClock
from tests.fakes import FakeClock

BEHIND = Partition("orders", 4, (1, 2, 3), (1, 2), 1)
END = 500  # of the leader's log


def replicas(
    ids: Iterable[int], end: int = END, behind_s: float | None = 0.1
) -> tuple[QuorumReplica, ...]:
    return tuple(QuorumReplica(one, behind_s, end) for one in ids)


def with_replica(quorum: Quorum, changed: QuorumReplica) -> Quorum:
    def put(given: tuple[QuorumReplica, ...]) -> tuple[QuorumReplica, ...]:
        return tuple(changed if one.id == changed.id else one for one in given)

    return replace(quorum, voters=put(quorum.voters), observers=put(quorum.observers))


class FakeKafka(FakeGroups):
    """Brokers 1 to ``count`` and the controllers 101 to 103; what each answers can be changed."""

    def __init__(self, count: int = 3, combined: bool = False) -> None:
        super().__init__(FastClock(), count)
        ids = range(1, count + 1)
        self.nodes = Nodes(
            "c1",
            tuple(KafkaNode(one, f"b{one}", 9092, f"r{one}") for one in ids),
            is_kraft=True,
            knows_fenced=True,
        )
        voters = (1, 2, 3) if combined else (101, 102, 103)
        self.leader = voters[0]
        observers = [one for one in ids if one not in voters]
        hosts = tuple((one, f"c{one}") for one in voters)
        self.now = Quorum(self.leader, 7, replicas(voters), replicas(observers), hosts)
        self.later: list[Quorum] = []  # what the quorum answers after the first time
        self.told: dict[str, Metadata] = {}  # by host
        self.whole = Metadata(self.nodes.brokers, partitions=60)
        self.silent: set[str] = set()
        self.quorum_is_lost = False
        self.pings: dict[int, Ping] = {}
        self.still_loading: set[str] = set()
        self.questions: list[tuple[str, str]] = []

    def _ask(self, what: str, address: Address, timeout: float) -> None:
        self.questions.append((what, address[0]))
        if address[0] in self.silent:
            time.sleep(timeout)
            raise KafkaUnavailable(f"{address[0]} does not answer in time")

    def whom(self, what: str) -> list[str]:
        return [host for question, host in self.questions if question == what]

    def cluster(self, address: Address, timeout: float) -> Nodes:
        self._ask("cluster", address, timeout)
        return self.nodes

    def metadata(self, address: Address, timeout: float) -> Metadata:
        self._ask("metadata", address, timeout)
        return self.told.get(address[0], self.whole)

    def quorum(self, address: Address, timeout: float) -> Quorum:
        self._ask("quorum", address, timeout)
        if self.quorum_is_lost:
            raise KafkaUnavailable("the metadata quorum does not answer")
        seen = self.now
        if self.later:
            self.now = self.later.pop(0)
        return seen

    def serves(self, addresses: Mapping[int, Address], timeout: float) -> Mapping[int, Ping]:
        return {one: self.pings.get(one, Ping(True)) for one in addresses}

    def loading(self, address: Address, timeout: float) -> bool:
        self._ask("loading", address, timeout)
        return address[0] in self.still_loading

    def fence(self, *ids: int) -> None:
        brokers = tuple(
            replace(one, is_fenced=one.is_fenced or one.id in ids) for one in self.nodes.brokers
        )
        self.nodes = replace(self.nodes, brokers=brokers)


def connected(kafka: FakeKafka, timeout: float = 2.0) -> Kraft:
    kraft = Kraft([("b1", 9092), ("b2", 9092)], kafka, FakeClock(), timeout)
    kraft.connect()
    kraft.brokers()
    kafka.questions.clear()
    return kraft


@pytest.fixture
def kafka() -> FakeKafka:
    return FakeKafka()


# Who is a member


def test_brokers_and_dedicated_controllers_are_found_with_their_hosts(kafka: FakeKafka) -> None:
    nodes = connected(kafka).brokers()
    assert list(nodes) == [1, 2, 3, 101, 102, 103]
    assert [str(nodes[one]) for one in (1, 101)] == ["broker 1 (b1)", "controller 101 (c101)"]
    assert (nodes[1].port, nodes[1].rack, nodes[1].is_controller) == (9092, "r1", False)
    assert not nodes[101].is_broker and nodes[101].is_controller


def test_combined_nodes_are_brokers_that_vote() -> None:
    nodes = connected(FakeKafka(count=4, combined=True)).brokers()
    assert list(nodes) == [1, 2, 3, 4]
    assert [one.is_controller for one in nodes.values()] == [True, True, True, False]
    assert all(one.is_broker for one in nodes.values())


def test_the_host_of_a_controller_is_empty_where_the_cluster_does_not_tell_it(
    kafka: FakeKafka,
) -> None:
    kafka.now = replace(kafka.now, hosts=())
    assert connected(kafka).brokers()[101].host == ""


@pytest.mark.parametrize("host", ["-oProxyCommand=x", "a b", "h;rm", "", "h\n", "$(x)", "../x"])
def test_a_hostile_host_of_a_broker_is_refused_and_of_a_controller_left_out(
    kafka: FakeKafka, host: str
) -> None:
    kafka.now = replace(kafka.now, hosts=((101, host),))
    assert connected(kafka).brokers()[101].host == ""
    nodes = (KafkaNode(1, host, 9092), *kafka.nodes.brokers[1:])
    kafka.nodes = replace(kafka.nodes, brokers=nodes)
    with pytest.raises(Refused, match="advertised.listeners") as refused:
        connected(kafka)
    assert str(refused.value).isprintable() and refused.value.code == "registration-invalid"


def test_a_hostile_rack_is_made_harmless(kafka: FakeKafka) -> None:
    rack = "\x1b[2J" + "x" * 1000
    nodes = (KafkaNode(1, "b1", 9092, rack), *kafka.nodes.brokers[1:])
    kafka.nodes = replace(kafka.nodes, brokers=nodes)
    shown = connected(kafka).brokers()[1].rack
    assert shown.isprintable() and len(shown) <= 40


def test_a_fenced_broker_is_no_member_and_is_noted(kafka: FakeKafka) -> None:
    kafka.fence(2)
    kraft = connected(kafka)
    assert 2 not in kraft.brokers()
    (note,) = kraft.notes()
    assert note.code == "brokers-fenced" and note.text.startswith(
        "fenced by the controller: broker 2"
    )
    seen = kraft.observe([1, 2, 9])
    assert [one.presence for one in seen.values()] == [
        Presence.PRESENT,
        Presence.ABSENT,
        Presence.ABSENT,
    ]
    assert seen[2].words == "fenced by the controller"
    assert seen[9].words == "not a member of the cluster"


def test_a_combined_node_that_is_fenced_is_no_dedicated_controller() -> None:
    kafka = FakeKafka(combined=True)
    kafka.fence(2)
    assert list(connected(kafka).brokers()) == [1, 3]


def test_without_fenced_brokers_there_is_nothing_to_note(kafka: FakeKafka) -> None:
    assert connected(kafka).notes() == []


def test_a_cluster_on_zookeeper_is_refused_with_the_way_on(kafka: FakeKafka) -> None:
    kafka.nodes = replace(kafka.nodes, is_kraft=False)
    with pytest.raises(Refused, match="is on ZooKeeper.*--zookeeper") as refused:
        Kraft([("b1", 9092)], kafka, FakeClock()).connect()
    assert refused.value.code == "cluster-on-zookeeper"


def test_a_cluster_that_does_not_answer_is_unreachable(kafka: FakeKafka) -> None:
    kafka.silent = {"b1"}
    with pytest.raises(RegistryUnavailable, match="b1 does not answer") as none:
        Kraft([("b1", 9092)], kafka, FakeClock(), 0.2).connect()
    assert none.value.advice


def test_a_refused_login_is_not_taken_for_silence(kafka: FakeKafka) -> None:
    def deny(_address: Address, _timeout: float) -> Nodes:
        raise RegistryDenied("wrong password", code="kafka-login-refused")

    kafka.cluster = deny  # type: ignore[method-assign, assignment]
    with pytest.raises(RegistryDenied):
        Kraft([("b1", 9092)], kafka, FakeClock()).connect()


def test_a_missing_right_is_told_apart_from_what_may_yet_be_known(kafka: FakeKafka) -> None:
    kraft = connected(kafka)
    command = f"kafka-acls.sh --bootstrap-server {'b' * 250}:9092 --topic '*'"

    def deny(_address: Address, _timeout: float) -> Metadata:
        raise RegistryDenied(f"a right is missing. Give it: `{command}`", code="x")

    kafka.metadata = deny  # type: ignore[method-assign, assignment]
    state = kraft.state()
    assert state.is_denied and command in state.unknown
    kafka.quorum_is_lost = True
    assert not kraft.state().is_denied


# The quorum comes first


def test_nothing_is_known_when_the_quorum_is_lost_though_the_brokers_answer(
    kafka: FakeKafka,
) -> None:
    kraft = connected(kafka)
    kafka.quorum_is_lost = True
    seen = kraft.observe([1, 101])
    assert {one.presence for one in seen.values()} == {Presence.UNKNOWN}
    assert "quorum does not answer" in seen[1].words
    assert "quorum does not answer" in kraft.state().unknown
    assert kafka.whom("cluster") == [] == kafka.whom("metadata")
    with pytest.raises(RegistryUnavailable):
        kraft.controller()
    assert not kraft.serving([101], 1)[101].serves
    assert not kraft.serving([101], 1)[101].refused


def test_controllers_are_members_by_the_quorum_alone(kafka: FakeKafka) -> None:
    kraft = connected(kafka)
    kafka.now = with_replica(kafka.now, QuorumReplica(102, 9.0, END - 20))
    kafka.now = replace(kafka.now, voters=kafka.now.voters[:2])
    seen = kraft.observe([101, 102, 103])
    assert [one.words for one in seen.values()] == [
        "a voter that is caught up",
        "a voter that does not follow the quorum",
        "no voter of the quorum any more",
    ]
    assert [one.is_present for one in seen.values()] == [True, False, False]


def test_a_broker_that_has_not_fetched_what_the_leader_had_is_not_asked(kafka: FakeKafka) -> None:
    kraft = connected(kafka)
    kafka.now = with_replica(kafka.now, QuorumReplica(2, 0.4, END - 1))
    kraft.observe([1])
    assert kafka.whom("cluster") == ["b3"]
    assert kraft.state().witnesses == (1, 3)


def test_it_is_waited_for_a_broker_to_fetch_what_the_leader_had(kafka: FakeKafka) -> None:
    kraft = connected(kafka)
    late = replace(kafka.now, observers=replicas((1, 2, 3), END - 1))
    kafka.later = [late, late, replace(kafka.now, observers=replicas((1, 2, 3), END + 2))]
    kafka.now = late
    assert kraft.observe([1])[1].is_present
    assert len(kafka.whom("quorum")) == 4


def test_where_no_broker_is_caught_up_nothing_is_known(kafka: FakeKafka) -> None:
    clock = FakeClock()
    kraft = Kraft([("b1", 9092)], kafka, clock, 10.0)
    kraft.connect()
    kafka.now = replace(kafka.now, observers=replicas((1, 2, 3), END - 1))
    began = clock.now()
    assert kraft.observe([1])[1].presence is Presence.UNKNOWN
    assert CATCH_UP_S <= clock.now() - began < CATCH_UP_S + 1
    assert "no broker has fetched what the quorum's leader 101 has" in kraft.state().unknown


def test_a_broker_that_fetched_long_ago_is_not_believed(kafka: FakeKafka) -> None:
    kraft = connected(kafka)
    kafka.now = replace(kafka.now, observers=replicas((1, 2, 3), END, behind_s=None))
    assert kraft.observe([1])[1].presence is Presence.UNKNOWN


@pytest.mark.parametrize(
    "change",
    [
        lambda quorum: replace(quorum, leader=999),
        lambda quorum: replace(quorum, leader=-1),
        lambda quorum: with_replica(quorum, QuorumReplica(101, 0.0, -1)),
    ],
)
def test_a_quorum_that_does_not_tell_how_far_its_leader_is_tells_nothing(
    kafka: FakeKafka, change: Callable[[Quorum], Quorum]
) -> None:
    kraft = connected(kafka)
    kafka.now = change(kafka.now)
    assert kraft.observe([1])[1].presence is Presence.UNKNOWN
    assert kraft.state().unknown


def test_the_broker_in_hand_is_no_witness_of_itself(kafka: FakeKafka) -> None:
    kraft = connected(kafka)
    kraft.observe([1])
    kraft.observe([2])
    assert kafka.whom("cluster") == ["b2", "b1"]
    assert kafka.whom("quorum") == ["b2", "b1"]


def test_the_only_broker_is_its_own_witness() -> None:
    kraft = connected(FakeKafka(count=1))
    assert kraft.observe([1])[1].is_present
    assert kraft.state([1]).witnesses == (1,)


def test_a_frozen_broker_costs_half_a_second(kafka: FakeKafka) -> None:
    kraft = connected(kafka, timeout=5.0)
    kafka.silent = {"b1"}
    kafka.now = with_replica(kafka.now, QuorumReplica(1, 9.0, END - 9))
    began = time.monotonic()
    assert kraft.observe([2])[2].is_present
    assert time.monotonic() - began < 1.0


def test_the_controller_is_the_leader_of_the_quorum(kafka: FakeKafka) -> None:
    kraft = connected(kafka)
    assert kraft.controller() == 101
    kafka.now = replace(kafka.now, leader=-1)
    assert kraft.controller() is None


# The partitions


def test_a_sound_cluster_is_told_by_two_witnesses(kafka: FakeKafka) -> None:
    state = connected(kafka).state()
    assert (state.unknown, state.witnesses, state.partitions) == ("", (1, 2), 60)
    assert state.members == {1, 2, 3} and state.quorum == kafka.now
    assert (state.under_replicated, state.offline, state.loading) == ((), (), ())


def test_what_only_one_of_the_witnesses_sees_counts(kafka: FakeKafka) -> None:
    kraft = connected(kafka)
    offline = replace(BEHIND, number=5, leader=None)
    kafka.told["b2"] = replace(kafka.whole, under_replicated=(BEHIND,), offline=(offline,))
    state = kraft.state()
    assert state.under_replicated == (BEHIND,) and state.offline == (offline,)


def test_a_witness_that_could_not_read_all_makes_the_state_unknown(kafka: FakeKafka) -> None:
    kraft = connected(kafka)
    kafka.told["b2"] = replace(kafka.whole, unknown="topic x: TOPIC_AUTHORIZATION_FAILED")
    assert kraft.state().unknown == "topic x: TOPIC_AUTHORIZATION_FAILED"


def test_a_login_that_sees_no_topic_at_all_is_not_taken_for_a_sound_cluster(
    kafka: FakeKafka,
) -> None:
    kraft = connected(kafka)
    kafka.whole = replace(kafka.whole, partitions=0)
    assert "no partition of any topic can be seen" in kraft.state().unknown


def test_brokers_that_were_just_restarted_are_asked_only_whether_they_load(
    kafka: FakeKafka,
) -> None:
    kraft = connected(kafka)
    kafka.still_loading = {"b1"}
    state = kraft.state([1])
    assert state.witnesses == (2, 3) and state.loading == (1,)
    assert kafka.whom("loading") == ["b1"]
    assert "b1" not in kafka.whom("metadata") and "b1" not in kafka.whom("quorum")


def test_a_restarted_controller_has_no_coordinator(kafka: FakeKafka) -> None:
    kraft = connected(kafka)
    assert kraft.state([101]).loading == ()
    assert kraft.state([7]).loading == (7,)  # a broker whose address nobody knows


def test_a_restarted_broker_that_does_not_say_whether_it_loads_makes_the_state_unknown(
    kafka: FakeKafka,
) -> None:
    kraft = connected(kafka, timeout=0.3)
    kafka.silent = {"b1"}
    state = kraft.state([1])
    assert state.unknown or state.loading == (1,)


def test_another_leader_during_the_check_makes_the_state_unknown(kafka: FakeKafka) -> None:
    kraft = connected(kafka)
    kafka.later = [replace(kafka.now, epoch=8)]
    assert kraft.state().unknown == "the quorum elected another leader during the check"


def test_a_witness_that_hangs_makes_the_state_unknown_in_time(kafka: FakeKafka) -> None:
    kraft = connected(kafka, timeout=0.5)
    kafka.silent = {"b2"}
    began = time.monotonic()
    assert kraft.state().unknown
    assert time.monotonic() - began < 2.0


def test_looking_never_raises_whatever_the_client_meets(kafka: FakeKafka) -> None:
    kraft = connected(kafka)

    def crash(*_given: object) -> Quorum:
        raise ZeroDivisionError

    kafka.quorum = crash  # type: ignore[method-assign, assignment]
    assert kraft.observe([1])[1].presence is Presence.UNKNOWN
    assert kraft.state().unknown == "ZeroDivisionError"
    kafka.serves = crash  # type: ignore[method-assign, assignment]
    assert not kraft.serving([1, 101], 1)[1].serves


# Who serves


def test_a_broker_serves_by_its_listener_and_a_controller_by_the_quorum(kafka: FakeKafka) -> None:
    kraft = connected(kafka)
    kafka.pings = {2: Ping(False, refused=True, reason="Connection refused"), 3: Ping(False)}
    kafka.now = with_replica(kafka.now, QuorumReplica(102, None, -1))
    seen = kraft.serving([1, 2, 3, 101, 102, 9], 1.0)
    assert {one: answer.serves for one, answer in seen.items()} == {
        1: True,
        2: False,
        3: False,
        101: True,
        102: False,
        9: False,
    }
    assert (seen[2].refused, seen[3].refused, seen[9].refused) == (True, False, False)
    assert seen[9].reason == "its address is not known"


def test_a_broker_that_came_back_elsewhere_is_asked_there(kafka: FakeKafka) -> None:
    kraft = connected(kafka)
    nodes = (KafkaNode(1, "new1", 9093), *kafka.nodes.brokers[1:])
    kafka.nodes = replace(kafka.nodes, brokers=nodes)
    kraft.observe([1])
    asked: dict[int, Address] = {}

    def serves(addresses: Mapping[int, Address], _timeout: float) -> Mapping[int, Ping]:
        asked.update(addresses)
        return {}

    kafka.serves = serves  # type: ignore[method-assign, assignment]
    assert not kraft.serving([1], 1)[1].serves
    assert asked == {1: ("new1", 9093)}


# Size, and the lock


def test_a_thousand_brokers_are_looked_at_quickly() -> None:
    kafka = FakeKafka(count=1000, combined=False)
    kafka.nodes = replace(
        kafka.nodes,
        brokers=tuple(one for one in kafka.nodes.brokers if one.id not in range(101, 104)),
    )
    began = time.monotonic()
    kraft = connected(kafka)
    seen = kraft.observe(list(kraft.brokers()))
    state = kraft.state()
    assert time.monotonic() - began < 2.0
    assert len(seen) == 1000 and all(one.is_present for one in seen.values())
    assert not state.unknown
    assert len(kafka.questions) < 20


def test_the_lock_is_held_for_the_block_and_tells_by_whom(kafka: FakeKafka) -> None:
    kraft = connected(kafka)
    kraft._clock = kafka.clock
    holder: dict[str, object] = {"user": "ann", "host": "h", "pid": 1, "since": "s"}
    assert kraft.lock_holder() == "" and kraft.lock_problem() is None
    with kraft.lock(holder) as lock:
        assert lock.ensure_held() is False
        assert kraft.lock_holder() == "ann on h, pid 1, since s"
        with pytest.raises(LockHeld), kraft.lock(holder):
            pass
    assert kraft.lock_holder() == ""


def test_where_the_cluster_is_said_is_where_it_was_asked_for() -> None:
    kraft = Kraft([("b1", 9092), ("::1", 9093)], FakeKafka(), FakeClock())
    assert kraft.where == "KRaft, bootstrap b1:9092, [::1]:9093"
    assert "b1:9092" in kraft.why_nobody()


def test_a_broker_of_another_cluster_is_not_believed() -> None:
    kafka = FakeKafka()
    kraft = connected(kafka)
    kafka.nodes = replace(kafka.nodes, cluster_id="c2")
    seen = kraft.observe([1])[1]
    assert seen.presence is Presence.UNKNOWN
    assert "belongs to another cluster than the first one: c2, not c1" in seen.words


def before_4(kafka: FakeKafka, *missing: int) -> Kraft:
    """Return a registry on Kafka 3.9, which does not tell that these brokers are fenced."""
    brokers = tuple(one for one in kafka.nodes.brokers if one.id not in missing)
    kafka.nodes = replace(kafka.nodes, brokers=brokers, knows_fenced=False)
    kraft = Kraft([("b1", 9092)], kafka, FakeClock(), 2.0)
    kraft.connect()
    return kraft


def test_before_kafka_4_a_fenced_combined_node_is_no_controller_and_is_named() -> None:
    kraft = before_4(FakeKafka(combined=True), 3)
    assert sorted(kraft.brokers()) == [1, 2]
    (note,) = kraft.notes()
    assert note.code == "brokers-fenced" and note.text.startswith(
        "fenced by the controller: broker 3"
    )


def test_before_kafka_4_a_fenced_broker_that_follows_the_quorum_is_named() -> None:
    kraft = before_4(FakeKafka(), 2)
    assert sorted(kraft.brokers()) == [1, 3, 101, 102, 103]
    (note,) = kraft.notes()
    assert note.text.startswith("fenced by the controller: broker 2")


def test_before_kafka_4_all_is_well_where_nobody_is_missing() -> None:
    for combined in (True, False):
        kraft = before_4(FakeKafka(combined=combined))
        kraft.brokers()
        assert kraft.notes() == []
