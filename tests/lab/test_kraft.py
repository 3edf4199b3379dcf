"""The tool on real KRaft clusters: what the observer saw, not what the tool said."""

from __future__ import annotations

import getpass
import json
import re
import shlex
import signal
import subprocess
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from kafka.admin import ACLOperation, ResourceType  # type: ignore[import-untyped,unused-ignore]

from .base import TOPIC, BaseLab
from .broker import KAFKA_PORT
from .command import Finished, Running, command_line, type_elsewhere
from .daemon import wait_for
from .host import Host
from .host_scripts.process import wait_until
from .kraft import FENCED, LOCK_GROUP, KraftLab, Right
from .producer import Produced, Producer
from .scene import PREFLIGHT, START, STOP
from .slot import KraftKind

QUICK = ("--cluster-type", "lab", "--no-confirm", "--check-interval", "0.5", "--check-count", "2")
CONTROLLERS = (
    "--controller-stop-command",
    "service kafka-controller stop",
    "--controller-start-command",
    "service kafka-controller start",
)
ROLL_TIMEOUT = 300.0  # s
MOMENT_TIMEOUT = 60.0  # s
LOCK_DIES = 30.0  # s; the session of a run that was killed lasts for 15
GLANCES = 5.0  # s; between two checks the run looks every 2 s, each of which may take 2 s
REFUSED_WITHIN = 15.0  # s; the first wait would take 20
SSH_PORT = 22022
PASSWORD = "correct horse"
# what a user of the tool needs, and no more
CLUSTER_RIGHT: Right = (ResourceType.CLUSTER, "kafka-cluster", ACLOperation.DESCRIBE)
TOPICS_RIGHT: Right = (ResourceType.TOPIC, "*", ACLOperation.DESCRIBE)
LOCK_RIGHT: Right = (ResourceType.GROUP, LOCK_GROUP, ACLOperation.READ)
# refuses every connection but to the ports that are named, and notes the refused ones
FIREWALL = """
    import errno, os, socket
    OPEN = {{{ports}}}
    real, real_ex = socket.socket.connect, socket.socket.connect_ex

    def is_closed(address):
        if not isinstance(address, tuple) or address[1] in OPEN:
            return False
        with open({log!r}, "a") as file:
            file.write(f"{{address[1]}}\\n")
        return True

    def connect(self, address):
        if is_closed(address):
            raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
        return real(self, address)

    def connect_ex(self, address):
        return errno.EHOSTUNREACH if is_closed(address) else real_ex(self, address)

    socket.socket.connect, socket.socket.connect_ex = connect, connect_ex
"""

faults = pytest.mark.faults
every_kind = pytest.mark.parametrize(
    "kraft_session",
    [
        KraftKind(),
        pytest.param(KraftKind(combined=True), marks=faults),
        pytest.param(KraftKind(version="3.9"), marks=faults),
    ],
    indirect=True,
    ids=str,
)
secured = pytest.mark.parametrize("kraft_session", [KraftKind(secure=True)], indirect=True, ids=str)


def roll(lab: KraftLab, *arguments: str) -> Finished:
    return lab.run(*QUICK, *arguments, timeout=ROLL_TIMEOUT)


def roll_with_producer(lab: KraftLab, *arguments: str) -> tuple[Finished, Produced]:
    """Run a roll while somebody writes with acks=all; return what became of both."""
    with Producer(lab.broker_list, TOPIC) as producer:
        finished = roll(lab, *arguments)
        return finished, producer.finish()


def service_calls(lab: BaseLab) -> list[str]:
    return [call for host in lab.nodes for call in host.calls() if call.split()[1] == "service"]


def said(finished: Finished) -> str:
    return finished.stdout + finished.stderr


def leader_last(lab: KraftLab, leader: int) -> list[int]:
    """Tell the order in which the voters are restarted."""
    return [one.id for one in lab.voters if one.id != leader] + [leader]


def leader_of(lab: KraftLab) -> Host:
    leader = lab.quorum_leader()
    assert leader is not None
    return lab.host(leader)


def followers_of(lab: KraftLab) -> list[Host]:
    leader = leader_of(lab)
    return [one for one in lab.voters if one is not leader]


def wait_for_call(host: Host, call: str) -> None:
    wait_for(f"`{call}` is called", lambda: bool(host.called(call)), MOMENT_TIMEOUT)


def hold(host: Host, call: str) -> None:
    host.service.hold = call


def nothing_was_lost(produced: Produced) -> bool:
    return (produced.lost, produced.failed) == ((), 0) and (
        produced.read_back == produced.acknowledged > 0
    )


def it_was_a_whole_roll(lab: KraftLab, finished: Finished, order: Sequence[int]) -> None:
    """Check that each node was restarted once, in this order, one broker and one voter at a
    time."""
    observer = lab.observer
    assert finished.status == 0, said(finished)
    assert wait_until(lambda: observer.restarted() == list(order), 5), said(finished)
    assert observer.new_jvms() == sorted(order)
    assert observer.most_down() <= 1 and observer.most_voters_down() <= 1
    assert min(observer.healthy_stretches(), default=1.0) > 0
    assert finished.code == "done" and finished.commands == ()
    assert lab.is_healthy()


class TestWholeRolls:
    @every_kind
    def test_all_brokers_are_restarted_one_at_a_time_and_nothing_is_lost(
        self, kraft_lab: KraftLab
    ) -> None:
        order = [host.id for host in kraft_lab.hosts]
        if kraft_lab.combined:
            order = leader_last(kraft_lab, leader_of(kraft_lab).id)
        finished, produced = roll_with_producer(kraft_lab)
        it_was_a_whole_roll(kraft_lab, finished, order)
        assert nothing_was_lost(produced), produced

    @faults
    @every_kind
    def test_with_all_roles_the_controllers_come_first_and_the_leader_last_among_them(
        self, kraft_lab: KraftLab
    ) -> None:
        order = leader_last(kraft_lab, leader_of(kraft_lab).id)
        if not kraft_lab.combined:
            order += [host.id for host in kraft_lab.hosts]
        finished, produced = roll_with_producer(kraft_lab, "--roles", "all", *CONTROLLERS)
        it_was_a_whole_roll(kraft_lab, finished, order)
        assert nothing_was_lost(produced), produced

    @faults
    def test_controllers_alone_are_restarted_with_the_commands_of_brokers_by_default(
        self, kraft_lab: KraftLab
    ) -> None:
        order = leader_last(kraft_lab, leader_of(kraft_lab).id)
        finished = roll(kraft_lab, "--roles", "controllers")
        it_was_a_whole_roll(kraft_lab, finished, order)
        assert kraft_lab.observer.downs() == []

    @faults
    def test_controllers_last_come_after_the_brokers(self, kraft_lab: KraftLab) -> None:
        voters = leader_last(kraft_lab, leader_of(kraft_lab).id)
        finished = roll(kraft_lab, "--roles", "all", "--controllers-last")
        it_was_a_whole_roll(kraft_lab, finished, [1, 2, 3, *voters])

    @faults
    def test_metrics_of_jmxproxy_are_read_of_brokers_and_no_controller_is_asked(
        self, kraft_lab: KraftLab
    ) -> None:
        finished, produced = roll_with_producer(kraft_lab, "--metrics", "jmxproxy")
        it_was_a_whole_roll(kraft_lab, finished, [1, 2, 3])
        assert nothing_was_lost(produced), produced
        assert all(host.jmxproxy.requests for host in kraft_lab.hosts)
        assert not any(host.jmxproxy.requests for host in kraft_lab.controllers)

    @faults
    def test_a_bootstrap_list_on_the_command_line_needs_no_configuration(
        self, kraft_lab: KraftLab
    ) -> None:
        arguments = ("--bootstrap-server", kraft_lab.bootstrap, *QUICK[2:], "--broker-ids", "2")
        finished = kraft_lab.run(*arguments, timeout=ROLL_TIMEOUT)
        it_was_a_whole_roll(kraft_lab, finished, [2])

    @faults
    def test_nothing_but_ssh_and_the_listeners_of_brokers_needs_to_be_reachable(
        self, kraft_lab: KraftLab, tmp_path: Path
    ) -> None:
        env = behind_a_firewall(kraft_lab, tmp_path, [SSH_PORT, KAFKA_PORT])
        order = leader_last(kraft_lab, leader_of(kraft_lab).id) + [1, 2, 3]
        run = kraft_lab.launch(*QUICK, "--roles", "all", *CONTROLLERS, env=env)
        it_was_a_whole_roll(kraft_lab, run.finish(ROLL_TIMEOUT), order)
        assert refused_ports(tmp_path) == set()


def behind_a_firewall(lab: KraftLab, folder: Path, ports: Sequence[int]) -> dict[str, str]:
    """Return an environment in which a Python process reaches only these ports."""
    code = FIREWALL.format(ports=", ".join(map(str, ports)), log=str(folder / "refused"))
    (folder / "sitecustomize.py").write_text(textwrap.dedent(code))
    return {"PYTHONPATH": f"{folder}:{lab.env.get('PYTHONPATH', '')}"}


def refused_ports(folder: Path) -> set[int]:
    log = folder / "refused"
    return {int(line) for line in log.read_text().split()} if log.exists() else set()


@secured
class TestSecurity:
    def test_a_roll_over_sasl_ssl_needs_three_rights_and_no_more(self, kraft_lab: KraftLab) -> None:
        kraft_lab.add_user("roller", PASSWORD, [CLUSTER_RIGHT, TOPICS_RIGHT, LOCK_RIGHT])
        finished = self.run(kraft_lab, "roller", PASSWORD)
        it_was_a_whole_roll(kraft_lab, finished, [2])
        assert PASSWORD not in said(finished)

    def test_a_wrong_password_is_refused_in_one_line(self, kraft_lab: KraftLab) -> None:
        kraft_lab.add_user("roller", PASSWORD, [CLUSTER_RIGHT, TOPICS_RIGHT, LOCK_RIGHT])
        self.refused_in_one_line(kraft_lab, self.run(kraft_lab, "roller", "wrong"), "roller")

    @pytest.mark.parametrize(
        ("left_out", "named"),
        [
            (CLUSTER_RIGHT, "kafka-acls.sh"),
            (TOPICS_RIGHT, "kafka-acls.sh"),
            (LOCK_RIGHT, f"--group {LOCK_GROUP}"),
        ],
        ids=["cluster", "topics", "group"],
    )
    def test_a_missing_right_is_refused_in_one_line_with_the_command_that_gives_it(
        self, kraft_lab: KraftLab, left_out: Right, named: str
    ) -> None:
        rights = [CLUSTER_RIGHT, TOPICS_RIGHT, LOCK_RIGHT]
        rights.remove(left_out)
        user = f"without-{left_out[0].name.lower()}"
        kraft_lab.add_user(user, PASSWORD, rights)
        finished = self.run(kraft_lab, user, PASSWORD)
        self.refused_in_one_line(kraft_lab, finished, named)

    def run(self, lab: KraftLab, user: str, password: str) -> Finished:
        properties = lab.client_properties(user, password)
        return lab.run(
            *QUICK[2:],
            *("--bootstrap-server", lab.secure_bootstrap, "--command-config", str(properties)),
            *("--unhealthy-time-limit", "20", "--broker-ids", "2"),
            timeout=ROLL_TIMEOUT,
        )

    def refused_in_one_line(self, lab: KraftLab, finished: Finished, named: str) -> None:
        assert finished.status == 3, said(finished)
        assert named in finished.stderr, said(finished)
        lines = [line for line in finished.stderr.splitlines() if "found 1 problem" not in line]
        assert len(lines) == 1, said(finished)
        assert finished.seconds < REFUSED_WITHIN, said(finished)
        assert service_calls(lab) == []
        assert PASSWORD not in said(finished) and "Traceback" not in said(finished)


class TestLock:
    def test_a_second_run_and_a_dry_run_are_told_who_holds_the_lock_and_at_which_broker(
        self, kraft_lab: KraftLab
    ) -> None:
        hold(kraft_lab.hosts[0], STOP)
        first = kraft_lab.launch(*QUICK, "--broker-ids", "1")
        wait_for_call(kraft_lab.hosts[0], STOP)
        for arguments in ((), ("--dry-run",)):
            second = kraft_lab.run(*QUICK, "--broker-ids", "2", *arguments, timeout=60)
            assert second.status == 6, said(second)
            self.it_names(second, first)
            assert "at broker 1" in second.stderr
        hold_off(kraft_lab)
        assert first.finish(ROLL_TIMEOUT).status == 0
        assert kraft_lab.observer.restarted() == [1]

    @faults
    def test_of_two_runs_at_once_exactly_one_goes_on_ten_times_over(
        self, kraft_lab: KraftLab
    ) -> None:
        for _ in range(10):
            runs = [kraft_lab.launch(*QUICK, "--check-interval", "60") for _ in range(2)]
            one_ends(runs)
            time.sleep(1.0)
            going = [run for run in runs if run.is_running()]
            assert len(going) == 1, "\n".join(run.stdout + run.stderr for run in runs)
            (loser,) = [run.finish(1) for run in runs if run not in going]
            assert loser.status == 6, said(loser)
            self.it_names(loser, going[0])
            going[0].send(signal.SIGTERM)
            assert going[0].finish(30).status == 128 + signal.SIGTERM
        assert kraft_lab.observer.downs() == [] and service_calls(kraft_lab) == []

    @faults
    def test_the_lock_outlives_the_restart_of_its_coordinator(self, kraft_lab: KraftLab) -> None:
        roll(kraft_lab, "--dry-run")  # the topic of the offsets is made by the first that asks
        coordinator = coordinator_of_lock(kraft_lab)
        others = [host.id for host in kraft_lab.hosts if host.id != coordinator]
        plan = [coordinator, others[0]]
        host = kraft_lab.host(coordinator)
        hold(host, START)
        run = kraft_lab.launch(*QUICK, "--broker-ids", ",".join(map(str, plan)))
        wait_for_call(host, START)
        second = kraft_lab.run(*QUICK, "--broker-ids", str(others[1]), timeout=60)
        assert second.status in (3, 6), said(second)
        time.sleep(20)  # longer than the session of a member that is not heard
        second = kraft_lab.run(*QUICK, "--broker-ids", str(others[1]), timeout=60)
        assert second.status == 6, said(second)
        self.it_names(second, run)
        hold_off(kraft_lab)
        it_was_a_whole_roll(kraft_lab, run.finish(ROLL_TIMEOUT), plan)

    def it_names(self, second: Finished, first: Running) -> None:
        assert f"{getpass.getuser()} on " in second.stderr, said(second)
        assert f"pid {first.pid}, since 20" in second.stderr, said(second)
        assert second.code == "another-run", said(second)


def one_ends(runs: Sequence[Running]) -> None:
    assert wait_until(lambda: not all(run.is_running() for run in runs), 30)


def hold_off(lab: KraftLab) -> None:
    for host in lab.nodes:
        host.service.hold = None


def coordinator_of_lock(lab: KraftLab) -> int:
    """Return the broker that coordinates the group of the lock."""
    found = lab.lock_coordinator()
    assert found is not None
    return next(host.id for host in lab.hosts if host.address == found[0])


class TestDryRun:
    def test_it_touches_nothing(self, kraft_lab: KraftLab) -> None:
        finished = roll(kraft_lab, "--roles", "all", "--dry-run")
        assert (finished.status, finished.code) == (0, "dry-run-passed"), said(finished)
        assert service_calls(kraft_lab) == [] and kraft_lab.observer.downs() == []
        assert kraft_lab.lock_holders() == []

    @faults
    def test_it_says_what_is_wrong_with_the_quorum(self, kraft_lab: KraftLab) -> None:
        follower = followers_of(kraft_lab)[0]
        follower.kill()
        time.sleep(4)
        finished = roll(kraft_lab, "--dry-run")
        assert finished.status == 3, said(finished)
        assert f"controller {follower.id}" in finished.stderr, said(finished)


KILLED_AT: dict[str, tuple[str, str]] = {
    "preflight": ("hold", PREFLIGHT),
    "first-wait": ("lock", ""),
    "stop": ("hold", STOP),
    "down": ("call", START),
    "start": ("hold", START),
    "between": ("back", ""),
}


@faults
@pytest.mark.parametrize("moment", KILLED_AT)
def test_a_run_that_was_killed_is_finished_by_what_its_report_says(
    kraft_lab: KraftLab, tmp_path: Path, moment: str
) -> None:
    how, call = KILLED_AT[moment]
    report = tmp_path / "report.json"
    arguments = (*QUICK, "--broker-ids", "1,2", "--report", str(report))
    interval = ("--check-interval", "8") if how in ("lock", "back") else ()
    if how == "hold":
        hold(kraft_lab.hosts[0], call)
    run = kraft_lab.launch(*arguments, *interval)
    reach(kraft_lab, how, call)
    run.send(signal.SIGKILL)
    assert run.finish(10).status == -signal.SIGKILL
    hold_off(kraft_lab)
    told = json.loads(report.read_text())
    assert told["ended"] is None
    start_by_hand(kraft_lab, told)
    # before the first wait there is nothing to resume: what was typed is typed again
    finished = resume(kraft_lab, told["resume"] or shlex.join(command_line(arguments)))
    assert finished.status == 0, said(finished)
    assert kraft_lab.observer.restarted() == [1, 2], said(finished)
    assert kraft_lab.observer.most_down() == 1


def reach(lab: KraftLab, how: str, call: str) -> None:
    """Wait until a run is where it is to be killed."""
    if how == "lock":
        wait_for("the lock is held", lambda: bool(lab.lock_holders()), MOMENT_TIMEOUT)
        time.sleep(1)
    elif how == "back":
        wait_for("broker 1 is back", lambda: lab.observer.restarted() == [1], MOMENT_TIMEOUT)
        time.sleep(4)
    else:
        wait_for_call(lab.hosts[0], call)


def start_by_hand(lab: KraftLab, told: dict[str, list[dict[str, str]]]) -> None:
    """Do what a report says about brokers that may be down, until the cluster is healthy."""
    for one in told["may_be_down"]:
        command = [
            "ssh",
            "-F",
            str(lab.ssh.config),
            *re.findall(r"ssh (\S+) '(.*)'", one["start_command"])[0],
        ]
        for _ in range(20):
            subprocess.run(command, check=True, timeout=60, capture_output=True)
            if wait_until(lab.is_healthy, 3):
                return


def resume(lab: KraftLab, line: str) -> Finished:
    """Type the line that goes on; while the lock of the killed run lives, it is refused."""
    deadline = time.monotonic() + LOCK_DIES
    while (finished := type_elsewhere(line, lab.env, ROLL_TIMEOUT)).status == 6:
        assert time.monotonic() < deadline, said(finished)
        assert "15 s" in finished.stderr, said(finished)
        time.sleep(1)
    return finished


@faults
class TestQuorum:
    def test_a_quorum_that_is_gone_while_a_broker_is_down_names_the_voters_and_the_start_line(
        self, kraft_lab: KraftLab
    ) -> None:
        gone = [leader_of(kraft_lab), followers_of(kraft_lab)[0]]
        finished = self.lose(kraft_lab, gone, START, "--unhealthy-time-limit", "20")
        assert finished.status == 5, said(finished)
        assert finished.commands[0] == f"ssh {kraft_lab.hosts[0].address} 'service kafka start'"
        self.it_names(finished, gone)
        assert kraft_lab.hosts[0].is_up() and not kraft_lab.hosts[1].called(STOP)

    def test_a_quorum_that_is_gone_after_a_restart_stops_nothing_more_and_names_the_voters(
        self, kraft_lab: KraftLab
    ) -> None:
        gone = [leader_of(kraft_lab), followers_of(kraft_lab)[0]]
        run = kraft_lab.launch(
            *QUICK, "--check-interval", "8", "--broker-ids", "1,2", "--unhealthy-time-limit", "25"
        )
        reach(kraft_lab, "back", "")
        for controller in gone:
            controller.kill()
        finished = run.finish(ROLL_TIMEOUT)
        assert finished.status == 4, said(finished)
        self.it_names(finished, gone)
        assert kraft_lab.observer.restarted() == [1] and not kraft_lab.hosts[1].called(STOP)
        kraft_lab.start_controllers()
        kraft_lab.wait_healthy()
        (line,) = finished.commands
        assert type_elsewhere(line, kraft_lab.env, ROLL_TIMEOUT).status == 0
        assert kraft_lab.observer.restarted()[-1] == 2

    @pytest.mark.parametrize("leads", [True, False], ids=["leader", "follower"])
    def test_a_controller_that_freezes_holds_the_next_stop_up_until_it_is_back(
        self, kraft_lab: KraftLab, leads: bool
    ) -> None:
        frozen = leader_of(kraft_lab) if leads else followers_of(kraft_lab)[0]
        hold(kraft_lab.hosts[0], STOP)
        run = kraft_lab.launch(*QUICK, "--broker-ids", "1,2")
        wait_for_call(kraft_lab.hosts[0], STOP)
        frozen.freeze()
        hold_off(kraft_lab)
        wait_for("1 is back", lambda: kraft_lab.observer.restarted() == [1], MOMENT_TIMEOUT)
        time.sleep(10)
        assert not kraft_lab.hosts[1].called(STOP), run.stdout
        frozen.thaw()
        finished = run.finish(ROLL_TIMEOUT)
        assert finished.status == 0, said(finished)
        assert f"controller {frozen.id}" in said(finished)
        assert kraft_lab.observer.restarted() == [1, 2] and kraft_lab.observer.most_down() == 1

    @pytest.mark.parametrize("which", ["leader", "follower"])
    def test_no_second_voter_is_stopped_while_one_is_down(
        self, kraft_lab: KraftLab, which: str
    ) -> None:
        leader, (first, second) = leader_of(kraft_lab), followers_of(kraft_lab)
        dies = leader if which == "leader" else second
        hold(first, START)
        run = kraft_lab.launch(*QUICK, "--roles", "controllers", "--unhealthy-time-limit", "20")
        wait_for_call(first, START)
        dies.kill()
        hold_off(kraft_lab)
        finished = run.finish(ROLL_TIMEOUT)
        assert finished.status == 4, said(finished)
        assert f"controller {dies.id}" in finished.last_sentence, said(finished)
        stopped = [host.id for host in kraft_lab.controllers if host.called(STOP)]
        assert stopped == [first.id]

    def lose(
        self, lab: KraftLab, controllers: Sequence[Host], call: str, *arguments: str
    ) -> Finished:
        """Kill controllers while a call of the roll of broker 1 is held."""
        hold(lab.hosts[0], call)
        run = lab.launch(*QUICK, "--broker-ids", "1,2", *arguments)
        wait_for_call(lab.hosts[0], call)
        for controller in controllers:
            controller.kill()
        hold_off(lab)
        return run.finish(ROLL_TIMEOUT)

    def it_names(self, finished: Finished, voters: Sequence[Host]) -> None:
        for voter in voters:
            assert f"{voter.id} ({voter.address}:" in said(finished), said(finished)


@faults
class TestBrokersThatAreNotWell:
    def test_a_broker_whose_metadata_lags_holds_the_first_stop_up(
        self, kraft_lab: KraftLab
    ) -> None:
        other = kraft_lab.hosts[2]
        run = kraft_lab.launch(
            *QUICK, "--check-interval", "6", "--broker-ids", "1", "--unhealthy-time-limit", "60"
        )
        reach(kraft_lab, "lock", "")
        other.freeze()
        time.sleep(18)
        assert not kraft_lab.hosts[0].called(STOP), run.stdout
        other.thaw()
        finished = run.finish(ROLL_TIMEOUT)
        assert finished.status == 0, said(finished)
        assert "broker 3" in said(finished)
        assert kraft_lab.observer.restarted() == [1] and kraft_lab.observer.most_down() == 1

    def test_a_broker_that_is_fenced_again_between_two_checks_begins_the_row_anew(
        self, kraft_lab: KraftLab
    ) -> None:
        first, second = kraft_lab.hosts[:2]
        leader = leader_of(kraft_lab)
        run = kraft_lab.launch(*QUICK, "--check-interval", "25", "--broker-ids", "1,2")
        reach(kraft_lab, "back", "")
        first.freeze()
        wait_for("it is fenced", lambda: leader.metric(FENCED) == 1, 20)
        time.sleep(GLANCES)
        first.thaw()
        thawed = time.time()
        finished = run.finish(ROLL_TIMEOUT)
        assert finished.status == 0, said(finished)
        assert "fenced" in said(finished)
        assert second.called(STOP)[0] - thawed > 20, said(finished)
        assert kraft_lab.observer.restarted() == [1, 2]
