"""The lab of KRaft clusters tells the truth: what it makes is real, what it observes happened."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
import yaml
from kafka import KafkaConsumer  # type: ignore[import-untyped,unused-ignore]

from .base import TOPIC, BaseLab
from .broker import UNDER_REPLICATED
from .history import Alive, Down, most_at_once
from .host import Host
from .host_scripts.process import wait_until
from .kraft import LOCK_GROUP, KraftLab
from .kraft_observer import Outage, Reading, Readings, find_outages
from .producer import Producer
from .shell import PATIENCE, ssh
from .slot import KraftKind

FIND = "pgrep -f '[k]afka.Kafka'"
LOOK = (
    "sh -c 'for d in /proc/[0-9]*; do read -r n <$d/comm; "
    "case $n in java*) echo ${d#/proc/};; esac; done 2>/dev/null'"
)
PROPERTIES = "MainPID,InvocationID,ExecMainStartTimestampMonotonic,NRestarts,TimeoutStopUSec"
STATES = "ActiveState,SubState,LoadState,Id"
QUICK_RESET = 3.0  # s; it takes 0.3 when nothing else runs

other_kinds = pytest.mark.parametrize(
    "kraft_session", [KraftKind(combined=True), KraftKind(version="3.9")], indirect=True, ids=str
)


def show(lab: BaseLab, host: Host, properties: str, unit: str = "kafka") -> dict[str, str]:
    """Ask systemctl of a host for properties of a unit."""
    shown = ssh(lab, host, f"systemctl show -p {properties} {unit}")
    assert shown.returncode == 0, shown.stderr
    return dict(line.split("=", 1) for line in shown.stdout.splitlines())


def found(lab: BaseLab, host: Host) -> list[int]:
    """Ask pgrep of a host for Kafka."""
    return [int(pid) for pid in ssh(lab, host, FIND).stdout.split()]


def looked_up(lab: BaseLab, host: Host) -> list[int]:
    """Look for JVMs in /proc of a host."""
    return [int(pid) for pid in ssh(lab, host, LOOK).stdout.split()]


def has_joined(consumer: KafkaConsumer) -> bool:
    """Poll once; tell whether the consumer is a member of its group."""
    consumer.poll(100)
    return bool(consumer.assignment())


@pytest.fixture
def host(kraft_lab: KraftLab) -> Host:
    """The host of the broker that a test misuses."""
    return kraft_lab.hosts[1]


@pytest.fixture
def controller(kraft_lab: KraftLab) -> Host:
    """The host of a controller that does not lead the quorum."""
    leader = kraft_lab.quorum_leader()
    return next(one for one in kraft_lab.controllers if one.id != leader)


class TestCluster:
    def test_it_is_three_brokers_and_three_controllers_and_tells_where_they_are(
        self, kraft_lab: KraftLab
    ) -> None:
        assert [host.id for host in kraft_lab.nodes] == [1, 2, 3, 101, 102, 103]
        assert kraft_lab.quorum_leader() in (101, 102, 103)
        with kraft_lab.admin() as admin:
            quorum = admin.describe_metadata_quorum()
            brokers = admin.describe_cluster()["brokers"]
        hosts = {node["node_id"]: node["listeners"][0]["host"] for node in quorum["nodes"]}
        assert hosts == {one.id: one.address for one in kraft_lab.controllers}
        assert sorted(one["host"] for one in brokers) == [one.address for one in kraft_lab.hosts]

    def test_the_description_of_the_cluster_names_no_zookeeper(self, kraft_lab: KraftLab) -> None:
        described = yaml.safe_load((kraft_lab.home / ".kafka_discovery" / "lab.yaml").read_text())
        assert described["clusters"] == {"main": {"broker_list": kraft_lab.broker_list}}

    def test_every_acknowledged_record_is_read_back(self, kraft_lab: KraftLab) -> None:
        with Producer(kraft_lab.broker_list, TOPIC) as producer:
            assert wait_until(lambda: producer.acknowledged() > 100, PATIENCE)
            produced = producer.finish()
        assert produced.read_back == produced.acknowledged
        assert (produced.lost, produced.failed) == ((), 0)

    def test_a_controller_tells_of_the_quorum_and_has_no_metrics_of_a_broker(
        self, kraft_lab: KraftLab, host: Host, controller: Host
    ) -> None:
        assert host.metric(UNDER_REPLICATED) == 0
        assert controller.metric(UNDER_REPLICATED) is None
        assert controller.metric(("kafka.server:type=raft-metrics", "current-state")) == "follower"

    def test_a_reset_is_quick_and_takes_the_lock_off(self, kraft_lab: KraftLab) -> None:
        holder = KafkaConsumer(TOPIC, bootstrap_servers=kraft_lab.broker_list, group_id=LOCK_GROUP)
        try:
            assert wait_until(lambda: has_joined(holder), PATIENCE)
            kraft_lab.reset()
            with kraft_lab.admin() as admin:
                assert admin.describe_groups([LOCK_GROUP])[LOCK_GROUP]["members"] == []
        finally:
            holder.close(autocommit=False)
        begun = time.monotonic()
        kraft_lab.reset()
        assert time.monotonic() - begun < QUICK_RESET


class TestObserver:
    def test_a_broker_that_is_restarted_over_ssh_is_seen_down_and_back(
        self, kraft_lab: KraftLab, host: Host
    ) -> None:
        assert ssh(kraft_lab, host, "service kafka stop").returncode == 0
        assert host.pid is None
        assert wait_until(lambda: kraft_lab.observer.most_down() == 1, PATIENCE)
        assert ssh(kraft_lab, host, "service kafka start").returncode == 0
        kraft_lab.wait_healthy()
        observer = kraft_lab.observer
        assert wait_until(lambda: observer.restarted() == [host.id], PATIENCE)
        assert observer.new_jvms() == [host.id]
        assert [down.id for down in observer.downs()] == [host.id]
        assert max(entry.under_replicated for entry in observer.replicas()) > 0
        assert observer.most_voters_down() == 0

    def test_a_controller_that_is_restarted_over_ssh_is_a_voter_down_and_no_broker(
        self, kraft_lab: KraftLab, host: Host
    ) -> None:
        leader = kraft_lab.host(kraft_lab.quorum_leader() or 0)
        assert ssh(kraft_lab, host, "service kafka-controller stop").returncode == 1
        assert ssh(kraft_lab, leader, "service kafka-controller stop").returncode == 0
        assert wait_until(lambda: kraft_lab.observer.most_voters_down() == 1, PATIENCE)
        assert ssh(kraft_lab, leader, "service kafka start").returncode == 0
        kraft_lab.wait_healthy()
        assert wait_until(lambda: kraft_lab.observer.restarted() == [leader.id], PATIENCE)
        assert kraft_lab.observer.most_voters_down() == 1
        assert kraft_lab.observer.downs() == []

    def test_what_is_frozen_or_killed_is_down_and_the_reset_brings_it_back(
        self, kraft_lab: KraftLab, host: Host, controller: Host
    ) -> None:
        controller.freeze()
        kraft_lab.hosts[0].freeze()
        host.kill()
        observer = kraft_lab.observer
        assert wait_until(lambda: observer.most_down() == 2, PATIENCE)
        assert wait_until(lambda: observer.most_voters_down() == 1, PATIENCE)
        assert {down.id for down in observer.downs()} == {1, host.id}
        assert controller.is_up() and not host.is_up()
        assert not kraft_lab.is_healthy()
        kraft_lab.reset()
        assert kraft_lab.is_healthy()
        assert (observer.downs(), observer.voter_downs(), observer.restarted()) == ([], [], [])


class TestPgrep:
    def test_it_finds_the_broker_of_its_own_host_only(self, kraft_lab: KraftLab) -> None:
        for host in kraft_lab.nodes:
            assert found(kraft_lab, host) == [host.pid]
        named = ssh(kraft_lab, kraft_lab.hosts[0], "pgrep -c -f '[k]afka.Kafka'")
        assert named.stdout == "1\n"

    def test_it_finds_nothing_where_nothing_runs(self, kraft_lab: KraftLab, host: Host) -> None:
        host.kill()
        nothing = ssh(kraft_lab, host, FIND)
        assert (nothing.returncode, nothing.stdout) == (1, "")

    def test_it_finds_none_or_two_when_it_is_told_so(self, kraft_lab: KraftLab, host: Host) -> None:
        host.service.pgrep_double = True
        two = found(kraft_lab, host)
        assert len(two) == 2 and host.pid in two
        other = next(pid for pid in two if pid != host.pid)
        assert ssh(kraft_lab, host, f"ps -o comm= -p {other}").stdout.strip() == "java"
        host.service.pgrep_double = False
        assert found(kraft_lab, host) == [host.pid]
        host.service.pgrep_hidden = True
        assert found(kraft_lab, host) == []


class TestProc:
    def test_a_look_through_proc_finds_the_jvm_of_its_own_host_only(
        self, kraft_lab: KraftLab, host: Host
    ) -> None:
        for one in kraft_lab.nodes:
            assert looked_up(kraft_lab, one) == [one.pid]
        host.service.pgrep_double = True
        assert len(looked_up(kraft_lab, host)) == 2
        host.service.pgrep_hidden = True
        assert looked_up(kraft_lab, host) == []


class TestSystemctl:
    def test_it_is_not_installed_unless_a_test_wants_it(
        self, kraft_lab: KraftLab, host: Host
    ) -> None:
        absent = ssh(kraft_lab, host, "systemctl show -p MainPID kafka")
        assert (absent.returncode, absent.stdout) == (127, "")

    def test_it_tells_the_truth_of_the_unit_and_each_life_has_its_own_invocation(
        self, kraft_lab: KraftLab, host: Host
    ) -> None:
        host.service.systemd = True
        host.service.unit_stop_timeout = "5min"
        before = show(kraft_lab, host, PROPERTIES)
        assert before["MainPID"] == str(host.pid)
        assert (before["NRestarts"], before["TimeoutStopUSec"]) == ("0", "5min")
        assert len(before["InvocationID"]) == 32
        ssh(kraft_lab, host, "systemctl stop kafka")
        stopped = show(kraft_lab, host, f"MainPID,{STATES}")
        assert stopped == {
            "MainPID": "0",
            "Id": "kafka.service",
            "LoadState": "loaded",
            "ActiveState": "inactive",
            "SubState": "dead",
        }
        ssh(kraft_lab, host, "systemctl start kafka.service")
        after = show(kraft_lab, host, PROPERTIES)
        began = "ExecMainStartTimestampMonotonic"
        assert after["MainPID"] == str(host.pid) != before["MainPID"]
        assert after["InvocationID"] != before["InvocationID"]
        assert int(after[began]) > int(before[began])

    def test_a_unit_whose_process_was_killed_has_failed_and_an_unknown_one_is_not_found(
        self, kraft_lab: KraftLab, host: Host, controller: Host
    ) -> None:
        host.service.systemd = controller.service.systemd = True
        host.kill()
        assert wait_until(
            lambda: show(kraft_lab, host, "ActiveState") == {"ActiveState": "failed"}, PATIENCE
        )
        unknown = show(kraft_lab, host, "MainPID,LoadState", "kafka-controller")
        assert unknown == {"MainPID": "0", "LoadState": "not-found"}
        known = show(kraft_lab, controller, "MainPID,Id", "kafka-controller")
        assert known == {"MainPID": str(controller.pid), "Id": "kafka-controller.service"}


@other_kinds
def test_the_other_kinds_boot_and_see_the_restart_of_a_voter(kraft_lab: KraftLab) -> None:
    voter = kraft_lab.voters[0]
    assert kraft_lab.controllers == ([] if kraft_lab.combined else kraft_lab.voters)
    assert ssh(kraft_lab, voter, "service kafka stop; service kafka start").returncode == 0
    kraft_lab.wait_healthy()
    assert wait_until(lambda: kraft_lab.observer.restarted() == [voter.id], PATIENCE)
    assert kraft_lab.observer.most_voters_down() == 1
    assert kraft_lab.observer.most_down() == (1 if kraft_lab.combined else 0)
    with kraft_lab.admin() as admin:
        nodes = admin.describe_metadata_quorum()["nodes"]
    assert {node["node_id"] for node in nodes} == {one.id for one in kraft_lab.voters}


class TestJudgement:
    def test_a_broker_is_down_until_its_new_process_says_that_it_runs(self) -> None:
        moving = [alive(0, 10), alive(2, None), alive(3, 11)]
        readings = [said(0, Reading(10, 3)), said(4, Reading(11, 1)), said(6, Reading(11, 3))]
        assert find_outages(1, moving, readings) == [Outage(Down(1, 2, 6), 10, 11)]

    def test_a_broker_that_stops_serving_is_down_though_its_process_lives(self) -> None:
        readings = [said(0, Reading(10, 3)), said(4, None), said(6, Reading(10, 3))]
        assert find_outages(1, [alive(0, 10)], readings) == [Outage(Down(1, 4, 6), 10, 10)]

    def test_a_voter_is_not_down_while_a_new_leader_is_elected(self) -> None:
        readings = [said(0, raft(10, "follower")), said(4, raft(10, "candidate"))]
        assert find_outages(1, [alive(0, 10)], readings, votes=True) == []

    def test_a_voter_that_was_restarted_is_down_until_it_follows(self) -> None:
        moving = [alive(0, 10), alive(2, 11)]
        readings = [said(0, raft(10, "leader")), said(3, raft(11, "unattached"))]
        down = find_outages(1, moving, readings, votes=True)
        assert down == [Outage(Down(1, 2, None), 10, None)]
        readings.append(said(5, raft(11, "follower")))
        back = find_outages(1, moving, readings, votes=True)
        assert back == [Outage(Down(1, 2, 5), 10, 11)]
        assert most_at_once([outage.down for outage in back]) == 1


def alive(moment: float, pid: int | None) -> Alive:
    """Return the processes from a moment on, of a cluster of one."""
    pids: Mapping[int, int] = {} if pid is None else {1: pid}
    return Alive(moment, pids)


def said(moment: float, reading: Reading | None) -> Readings:
    """Return what the JVMs say from a moment on, in a cluster of one."""
    return Readings(moment, {} if reading is None else {1: reading})


def raft(pid: int, state: str) -> Reading:
    """Return what a controller's JVM says."""
    return Reading(pid, raft=state)
