"""Faults that are no cell of the matrix: what the observer saw of the cluster afterwards."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .daemon import wait_for
from .host import Host
from .lab import Lab
from .zookeeper import PORT, ZooKeeperServer

pytestmark = pytest.mark.faults
QUICK = ("--cluster-type", "lab", "--no-confirm", "--check-interval", "0.5", "--check-count", "2")
STOP, START, PREFLIGHT = "service kafka stop", "service kafka start", "id -u"
MOMENT_TIMEOUT = 60.0  # s

three_zookeepers = pytest.mark.parametrize("lab_session", [3], indirect=True, ids=["3 ZooKeepers"])


def service_calls(lab: Lab) -> list[str]:
    return [call for host in lab.hosts for call in host.calls() if call.split()[1] == "service"]


def wait_for_call(host: Host, call: str) -> None:
    wait_for(f"`{call}` is called", lambda: bool(host.called(call)), MOMENT_TIMEOUT)


def mode(server: ZooKeeperServer) -> str:
    """Ask a ZooKeeper server whether it is the leader or a follower."""
    with socket.create_connection((server.address, PORT), timeout=10) as connection:
        connection.sendall(b"srvr")
        with connection.makefile() as answer:
            return next(line.split()[1] for line in answer if line.startswith("Mode:"))


def test_ssh_that_freezes_while_a_broker_is_down_is_waited_for(lab: Lab) -> None:
    lab.hosts[2].service.stop_mode = "early"
    run = lab.launch(*QUICK, "--skip", "2")
    wait_for_call(lab.hosts[2], STOP)
    lab.hosts[2].sshd.freeze()
    time.sleep(20)
    lab.hosts[2].sshd.thaw()
    finished = run.finish(150)
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


def test_a_roll_that_writes_to_a_full_disk_restarts_the_same_brokers(lab: Lab) -> None:
    finished = lab.launch(*QUICK, "--broker-ids", "3,1", output=Path("/dev/full")).finish(150)
    assert finished.status == 0
    assert lab.observer.restarted() == [3, 1] and lab.observer.most_down() == 1


def test_a_sample_that_the_preflight_saw_already_is_no_health_check(lab: Lab) -> None:
    lab.hosts[0].service.hold = PREFLIGHT
    run = lab.launch(
        *QUICK, "--broker-ids", "1", "--check-count", "1", "--unhealthy-time-limit", "5"
    )
    wait_for_call(lab.hosts[0], PREFLIGHT)
    lab.hosts[2].jmxproxy.stale = True
    lab.hosts[2].kill()
    lab.hosts[0].service.hold = None
    finished = run.finish(150)
    assert service_calls(lab) == [], finished.stdout + finished.stderr
    assert finished.status == 3


@three_zookeepers
@pytest.mark.parametrize("dies", ["leader", "follower"])
def test_one_of_three_zookeepers_that_dies_in_the_middle_does_not_end_a_roll(
    lab: Lab, dies: str
) -> None:
    run = lab.launch(*QUICK)
    wait_for_call(lab.hosts[0], STOP)
    next(server for server in lab.ensemble if mode(server) == dies).kill()
    finished = run.finish(200)
    assert finished.status == 0, finished.stdout + finished.stderr
    assert lab.observer.restarted() == [1, 2, 3] and lab.observer.most_down() == 1


@three_zookeepers
@pytest.mark.parametrize("moment", [STOP, START])
def test_all_of_three_zookeepers_gone_for_10_s_while_a_broker_is_down_leave_none_down(
    lab: Lab, moment: str
) -> None:
    run = lab.launch(*QUICK, "--skip", "2")
    wait_for_call(lab.hosts[2], moment)
    for server in lab.ensemble:
        server.kill()
    time.sleep(10)
    for server in lab.ensemble:
        server.start()
    finished = run.finish(200)
    assert finished.status == 0, finished.stdout + finished.stderr
    lab.wait_healthy()
    assert lab.observer.restarted() == [3] and lab.observer.most_down() == 1


@pytest.mark.parametrize(
    "how", [ZooKeeperServer.stop, ZooKeeperServer.freeze], ids=["gone", "silent"]
)
def test_a_zookeeper_that_is_away_at_the_start_is_said_in_one_line_within_15_s(
    lab: Lab, how: Callable[[ZooKeeperServer], None]
) -> None:
    how(lab.ensemble[0])
    finished = lab.run(*QUICK, timeout=60)
    assert finished.status == 3
    assert len(finished.stderr.splitlines()) == 1 and lab.ensemble[0].address in finished.stderr
    assert finished.seconds < 15
    assert service_calls(lab) == []
