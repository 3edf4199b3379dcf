"""The lab tells the truth: what it pretends behaves as measured, what it makes is real, what it
observes happened."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .broker import UNDER_REPLICATED
from .host import Host
from .host_scripts.process import wait_until
from .jmxproxy import ENDPOINT, PORT
from .lab import TOPIC, Lab
from .observer import Alive, Down, Registered, Replicas, find_downs, healthy_time, most_at_once
from .producer import Producer
from .shell import PATIENCE, begin_ssh, ssh

UPTIME = "java.lang:type=Runtime/Uptime"
UNDER_REPLICATED_PATH = "/".join(UNDER_REPLICATED)
OLD_ORDER_PATH = "kafka.server:name=UnderReplicatedPartitions,type=ReplicaManager/Value"


@pytest.fixture
def host(lab: Lab) -> Host:
    """The host that a test misuses."""
    return lab.hosts[1]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ask loopback addresses directly."""
    monkeypatch.setenv("no_proxy", "*")
    yield


def ask(host: Host, path: str = "", method: str = "GET", timeout: float = 10.0) -> tuple[int, Any]:
    """Ask the JMXProxy of a host; return the HTTP status and the value."""
    url = f"http://{host.address}:{PORT}/jmxproxy/{path}"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, method=method), timeout=timeout
        ) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, None


def metric(host: Host, path: str, timeout: float = 10.0) -> tuple[int, Any]:
    """Ask for an attribute of the broker."""
    return ask(host, f"{ENDPOINT}/{path}", timeout=timeout)


def empty(host: Host) -> int:
    """Empty the cache of a host; return the HTTP status."""
    return ask(host, ENDPOINT, "DELETE")[0]


class TestJmxProxy:
    def test_a_value_stays_until_the_cache_is_emptied(self, host: Host) -> None:
        status, uptime = metric(host, UPTIME)
        assert status == 200
        time.sleep(0.01)
        assert metric(host, UPTIME) == (200, uptime)
        assert empty(host) == 200
        assert metric(host, UPTIME)[1] > uptime
        assert (host.jmxproxy.deletes, host.jmxproxy.snapshots) == (1, 2)

    def test_a_value_stays_until_the_cache_expires(self, host: Host) -> None:
        host.jmxproxy.cache_duration = 0.5
        assert ask(host, "config")[1]["cache_duration"] == 500
        uptime = metric(host, UPTIME)[1]
        assert wait_until(lambda: bool(metric(host, UPTIME)[1] > uptime), PATIENCE)

    def test_a_stopped_broker_answers_from_the_cache_and_is_404_without(self, host: Host) -> None:
        assert metric(host, UNDER_REPLICATED_PATH) == (200, 0)
        host.stop()
        assert metric(host, UNDER_REPLICATED_PATH) == (200, 0)
        empty(host)
        assert metric(host, UNDER_REPLICATED_PATH)[0] == 404

    def test_only_the_registered_text_of_an_mbean_is_known(self, host: Host) -> None:
        assert metric(host, UNDER_REPLICATED_PATH)[0] == 200
        assert metric(host, UNDER_REPLICATED_PATH.replace(":", "%3A").replace("=", "%3D"))[0] == 200
        assert metric(host, OLD_ORDER_PATH)[0] == 404
        assert metric(host, UNDER_REPLICATED_PATH + "s")[0] == 404
        assert ask(host, f"localhost:1/{UPTIME}")[0] == 404
        host.jmxproxy.flip_order = True
        assert metric(host, OLD_ORDER_PATH)[0] == 200
        assert metric(host, UNDER_REPLICATED_PATH)[0] == 404

    def test_an_mbean_is_told_in_full(self, host: Host) -> None:
        runtime = metric(host, "java.lang:type=Runtime?full=true")[1]
        assert runtime["Name"].split("@")[0] == str(host.pid)
        assert metric(host, "java.lang:type=Runtime")[1] == sorted(runtime)

    def test_emptying_is_refused_pretended_or_in_vain(self, host: Host) -> None:
        assert empty(host) == 404
        uptime = metric(host, UPTIME)
        host.jmxproxy.refuse_emptying = True
        assert empty(host) == 405
        host.jmxproxy.refuse_emptying = False
        for fault in ("pretend_emptying", "stale"):
            setattr(host.jmxproxy, fault, True)
            assert empty(host) == 200
            assert metric(host, UPTIME) == uptime
            setattr(host.jmxproxy, fault, False)

    def test_the_lies_are_told(self, host: Host) -> None:
        host.jmxproxy.override[UNDER_REPLICATED] = 6
        assert metric(host, UNDER_REPLICATED_PATH) == (200, 6)
        host.jmxproxy.garbage = "string"
        assert metric(host, UNDER_REPLICATED_PATH) == (200, "NaN")
        host.jmxproxy.garbage = "html"
        with pytest.raises(ValueError, match="Expecting value"):
            metric(host, UNDER_REPLICATED_PATH)
        host.jmxproxy.status = 403
        assert metric(host, UNDER_REPLICATED_PATH)[0] == 403

    def test_the_connection_is_reset_refused_or_left_without_an_answer(self, host: Host) -> None:
        host.jmxproxy.reset = True
        with pytest.raises(ConnectionResetError):
            metric(host, UPTIME)
        host.jmxproxy.reset = False
        host.jmxproxy.hang = True
        with pytest.raises(TimeoutError):
            metric(host, UPTIME, timeout=0.3)
        host.jmxproxy.hang = False
        host.jmxproxy.stop()
        with pytest.raises(urllib.error.URLError):
            metric(host, UPTIME)


class TestService:
    def test_a_stop_that_returns_early_leaves_the_process_and_a_start_then_does_nothing(
        self, lab: Lab, host: Host
    ) -> None:
        host.restart(lingering=True)
        lab.wait_healthy()
        lab.observer.clear()
        host.service.stop_mode = "early"
        pid = host.pid
        assert ssh(lab, host, "service kafka stop").returncode == 0
        assert host.pid == pid
        assert wait_until(lambda: host.id not in lab.observer.registrations()[-1].ids, PATIENCE)
        started = ssh(lab, host, "service kafka start")
        assert (started.returncode, started.stdout) == (0, "kafka is already running\n")
        assert wait_until(lambda: not host.is_up(), PATIENCE)

    def test_each_mode_does_as_it_says(self, lab: Lab, host: Host) -> None:
        pid = host.pid
        host.service.stop_mode = ["nothing", "fail", "loud"]
        assert ssh(lab, host, "service kafka stop").returncode == 0
        failed = ssh(lab, host, "service kafka stop")
        assert failed.returncode == 1 and "Failed to stop" in failed.stderr
        assert host.pid == pid
        loud = ssh(lab, host, "service kafka stop")
        assert (loud.returncode, len(loud.stdout), len(loud.stderr)) == (0, 1 << 22, 1 << 22)
        assert host.pid is None
        host.service.start_mode = ["fail", "dies", "normal"]
        assert ssh(lab, host, "service kafka start").returncode == 1
        assert ssh(lab, host, "service kafka start").returncode == 0
        assert host.is_up()
        assert wait_until(lambda: not host.is_up(), PATIENCE)
        assert ssh(lab, host, "service kafka start").returncode == 0
        assert host.is_up()
        assert [call.split(" ", 1)[1] for call in host.calls()] == ["service kafka stop"] * 3 + [
            "service kafka start"
        ] * 3

    def test_a_start_that_hangs_has_started(self, lab: Lab, host: Host) -> None:
        host.stop()
        host.service.start_mode = "hang"
        with begin_ssh(lab, host, "service kafka start") as hanging:
            assert wait_until(host.is_up, PATIENCE)
            with pytest.raises(subprocess.TimeoutExpired):
                hanging.wait(0.5)
            host.sshd.cut()

    def test_a_dead_broker_leaves_no_zombie(self, lab: Lab, host: Host) -> None:
        ssh(lab, host, "service kafka stop; service kafka start")
        pid = host.pid
        host.stop()
        assert wait_until(lambda: not Path(f"/proc/{pid}").exists(), PATIENCE)

    def test_sudo_is_free_or_wants_a_password_or_denies(self, lab: Lab, host: Host) -> None:
        listed = ssh(lab, host, "sudo -n -l -- service kafka stop")
        assert listed.returncode == 0 and listed.stdout.endswith("/service kafka stop\n")
        assert ssh(lab, host, "sudo -n -l no-such-command").returncode == 1
        assert ssh(lab, host, "sudo -n echo 1").stdout == "1\n"
        for mode, said in (("password", "a password is required"), ("denied", "may not run sudo")):
            host.service.sudo = mode
            for command in ("sudo -n -l service kafka stop", "sudo -n echo 1"):
                refused = ssh(lab, host, command)
                assert refused.returncode == 1 and said in refused.stderr and not refused.stdout

    def test_id_and_ps_say_what_they_are_told(self, lab: Lab, host: Host) -> None:
        assert ssh(lab, host, "id -u").stdout == f"{os.getuid()}\n"
        assert int(ssh(lab, host, f"ps -o etimes= -p {host.pid}").stdout) >= 0
        host.service.uid = 1000
        host.service.ps_hidden = True
        assert ssh(lab, host, "id -u").stdout == "1000\n"
        hidden = ssh(lab, host, f"ps -o etimes= -p {host.pid}")
        assert (hidden.returncode, hidden.stdout) == (1, "")


class TestSshd:
    def test_it_answers_with_the_known_key_and_only_with_that(self, lab: Lab, host: Host) -> None:
        assert ssh(lab, host, "echo $LAB_HOST").stdout == f"{host.folder}\n"
        lab.ssh.forget(host.address)
        assert "Host key verification failed" in ssh(lab, host, "true").stderr
        lab.ssh.replace(host.address, lab.hosts[0].sshd.host_key)
        assert "HOST IDENTIFICATION HAS CHANGED" in ssh(lab, host, "true").stderr
        lab.reset()
        assert ssh(lab, host, "true").returncode == 0

    def test_it_refuses_goes_silent_and_is_cut(self, lab: Lab, host: Host) -> None:
        host.sshd.stop()
        assert "refused" in ssh(lab, host, "true").stderr
        host.sshd.start()
        assert wait_until(lambda: ssh(lab, host, "true").returncode == 0, PATIENCE)
        host.sshd.freeze()
        with pytest.raises(subprocess.TimeoutExpired):
            ssh(lab, host, "true", timeout=1.0)
        host.sshd.thaw()
        host.service.stop_mode = "stuck"
        with begin_ssh(lab, host, "service kafka stop") as hanging:
            assert wait_until(lambda: "service kafka stop" in "".join(host.calls()), PATIENCE)
            host.sshd.cut()
            assert hanging.wait(PATIENCE) == 255


class TestObserver:
    def test_a_killed_and_a_frozen_broker_are_two_down_and_the_reset_brings_them_back(
        self, lab: Lab
    ) -> None:
        lab.hosts[1].kill()
        assert wait_until(lambda: lab.observer.most_down() == 1, PATIENCE)
        lab.hosts[2].freeze()
        assert wait_until(lambda: lab.observer.registrations()[-1].ids == {1}, PATIENCE)
        assert [down.id for down in lab.observer.downs()] == [2, 3]
        assert lab.observer.most_down() == 2
        assert not lab.hosts[1].is_up() and lab.hosts[2].is_up()
        lab.reset()
        assert lab.is_healthy()
        assert (lab.observer.downs(), lab.observer.restarted(), lab.observer.new_jvms()) == (
            [],
            [],
            [],
        )

    def test_two_stopped_brokers_are_two_down_at_once(self, lab: Lab) -> None:
        for host in lab.hosts[1:]:
            host.stop()
        assert wait_until(lambda: lab.observer.most_down() == 2, PATIENCE)

    def test_a_restart_is_seen_with_its_new_registration_and_its_new_jvm(
        self, lab: Lab, host: Host
    ) -> None:
        host.restart()
        lab.wait_healthy()
        assert wait_until(lambda: lab.observer.restarted() == [host.id], PATIENCE)
        assert lab.observer.new_jvms() == [host.id]
        assert lab.observer.most_down() == 1

    def test_zookeeper_goes_and_comes_back(self, lab: Lab) -> None:
        lab.ensemble[0].stop()
        assert not lab.ensemble[0].is_up()
        lab.reset()
        assert lab.observer.registrations()[-1].ids == {1, 2, 3}
        assert lab.observer.downs() == []


class TestJudgement:
    def test_a_broker_with_a_new_process_is_down_until_its_registration_is_new(self) -> None:
        registered = [Registered(0, {1: 10}), Registered(7, {}), Registered(8, {1: 20})]
        alive = [Alive(0, {1: 100}), Alive(2, {}), Alive(3, {1: 101})]
        assert find_downs(frozenset({1}), registered, alive) == [Down(1, 2, 8)]

    def test_a_broker_whose_process_lives_on_is_down_while_it_is_not_registered(self) -> None:
        registered = [Registered(0, {1: 10}), Registered(1, {}), Registered(2, {1: 11})]
        assert find_downs(frozenset({1}), registered, [Alive(0, {1: 100})]) == [Down(1, 1, 2)]

    def test_downs_that_only_touch_are_not_at_once(self) -> None:
        assert most_at_once([Down(1, 0, 5), Down(2, 5, 6)]) == 1
        assert most_at_once([Down(1, 0, 5), Down(2, 4, None)]) == 2
        assert most_at_once([]) == 0

    def test_healthy_time_is_that_between_the_two_moments(self) -> None:
        replicas = [Replicas(0, 0), Replicas(4, 3), Replicas(6, 0)]
        assert healthy_time(replicas, 1, 10) == 7


def test_every_acknowledged_record_is_read_back(lab: Lab) -> None:
    with Producer(lab.broker_list, TOPIC) as producer:
        assert wait_until(lambda: producer.acknowledged() > 100, 30.0)
        produced = producer.finish()
    assert produced.read_back == produced.acknowledged
    assert (produced.lost, produced.failed) == ((), 0)
