"""Faults in the middle of a restart: what the observer saw of the cluster afterwards."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from tests.lab import Finished, Lab
from tests.lab.command import Running

pytestmark = pytest.mark.faults
QUICK = ("--cluster-type", "lab", "--no-confirm", "--check-interval", "0.5", "--check-count", "2")


def broken_at(lab: Lab, moment: str, fault: Callable[[Running], None], *arguments: str) -> Finished:
    """Roll, make a fault when the tool says a text, and return how the roll ended."""
    run = lab.launch(*QUICK, *arguments)
    run.wait_for(moment, 60)
    fault(run)
    return run.finish(150)


@pytest.mark.parametrize("moment", ["stopping it", "starting it"])
def test_zookeeper_gone_for_10_s_while_a_broker_is_down_leaves_no_broker_down(lab: Lab, moment: str) -> None:
    def fault(_run: Running) -> None:
        lab.ensemble[0].stop()
        time.sleep(10)
        lab.ensemble[0].start()

    finished = broken_at(lab, moment, fault, "--skip", "2")
    assert finished.status in (0, 4), finished.stdout + finished.stderr
    lab.wait_healthy()
    assert lab.hosts[2].is_up()


def test_zookeeper_gone_in_a_wait_stops_no_broker_and_ends_in_bounded_time(lab: Lab) -> None:
    def fault(_run: Running) -> None:
        lab.ensemble[0].stop()

    finished = broken_at(lab, "waiting until", fault, "--unhealthy-time-limit", "5", "--check-count", "20")
    assert finished.status == 3
    assert "ZooKeeper does not answer" in finished.last_line
    assert not any(call.split()[1] == "service" for host in lab.hosts for call in host.calls())


def test_another_broker_that_is_killed_is_not_joined_by_a_second(lab: Lab) -> None:
    finished = broken_at(lab, "1/3 broker 1", lambda _run: lab.hosts[2].kill(), "--unhealthy-time-limit", "25")
    assert finished.status == 4, finished.stdout + finished.stderr
    assert "broker 3" in finished.last_line
    assert lab.observer.restarted() == [1]
    assert not any(call.endswith("kafka stop") for call in lab.hosts[1].calls())


def test_a_run_that_is_killed_leaves_at_most_its_broker_in_hand_down(lab: Lab) -> None:
    finished = broken_at(lab, "starting it", lambda run: run.send(signal.SIGKILL))
    assert finished.status == -9
    assert lab.observer.most_down() == 1


def test_a_jvm_that_exits_right_after_its_start_is_started_again(lab: Lab) -> None:
    lab.hosts[2].service.start_mode = ["dies", "normal"]
    finished = broken_at(lab, "starting it", lambda _run: None, "--skip", "2")
    assert finished.status == 0, finished.stdout + finished.stderr
    assert "starting it again" in finished.stdout and lab.observer.restarted() == [3]


def test_a_start_command_that_never_returns_is_not_waited_for(lab: Lab) -> None:
    lab.hosts[2].service.start_mode = "hang"
    finished = broken_at(lab, "starting it", lambda _run: None, "--skip", "2")
    assert finished.status == 0, finished.stdout + finished.stderr
    assert "the start command has not returned" in finished.stdout


def test_a_stop_command_that_never_returns_ends_at_the_limit_and_the_broker_is_started(lab: Lab) -> None:
    lab.hosts[2].service.stop_mode = "hang"
    finished = broken_at(lab, "stopping it", lambda _run: None, "--skip", "2", "--unhealthy-time-limit", "10")
    assert finished.status == 0, finished.stdout + finished.stderr
    assert lab.observer.restarted() == [3]


def test_ssh_that_freezes_while_a_broker_is_down_is_waited_for(lab: Lab) -> None:
    def fault(_run: Running) -> None:
        lab.hosts[2].sshd.freeze()
        time.sleep(20)
        lab.hosts[2].sshd.thaw()

    lab.hosts[2].service.stop_mode = "early"
    finished = broken_at(lab, "the stop command ended", fault, "--skip", "2")
    assert finished.status == 0, finished.stdout + finished.stderr
    assert lab.observer.restarted() == [3]


def test_two_runs_that_start_in_the_same_second_are_one_ten_times_over(lab: Lab) -> None:
    for _ in range(10):
        runs = [lab.launch(*QUICK, "--check-interval", "60") for _ in range(2)]
        time.sleep(0.5)
        deadline = time.monotonic() + 30
        while all(run.is_running() for run in runs) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert [run.is_running() for run in runs].count(True) == 1
        for run in runs:
            run.send(signal.SIGTERM)
        assert sorted(run.finish(20).status for run in runs) == [6, 128 + 15]
    assert lab.observer.downs() == []
