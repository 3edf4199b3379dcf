"""The tool on the real cluster: what the observer saw, not what the tool said."""

from __future__ import annotations

import json
import re
import signal
import socket
import ssl
import textwrap
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from kazoo.client import KazooClient
from kazoo.security import make_acl, make_digest_acl

from tests.lab import Finished, Lab
from tests.sockets import listening

from .command import type_elsewhere
from .daemon import wait_for
from .jmxproxy import PORT as JMXPROXY_PORT
from .jmxproxy import OneProxy
from .lab import LOCK
from .ssh_files import make_key
from .sshd import Sshd
from .terminal import Terminal
from .zookeeper import LOGIN

QUICK = ("--cluster-type", "lab", "--no-confirm", "--check-interval", "0.5", "--check-count", "2")

TASK = """
    from argparse import ArgumentParser
    from pathlib import Path
    from kafka_utils.kafka_rolling_restart.task import PostStopTask, PreStopTask

    class Before(PreStopTask):
        def parse_args(self, args):
            parser = ArgumentParser()
            parser.add_argument("--file")
            parser.add_argument("--fail", default="")
            return parser.parse_args(args)

        def run(self, host):
            with Path(self.args.file).open("a") as file:
                file.write(f"{type(self).__name__} {host}\\n")
            if self.args.fail == type(self).__name__:
                raise RuntimeError("as asked")

    class After(PostStopTask):
        parse_args = Before.parse_args
        run = Before.run
"""

ENVIRONMENT_TASK = """
    import os
    from kafka_rolling_restart.task import PreStopTask

    class Environment(PreStopTask):
        def run(self, host):
            with open("environment", "w") as file:
                file.write(str(dict(os.environ)))
"""


def roll(lab: Lab, *arguments: str, cwd: Path | None = None) -> Finished:
    return lab.run(*QUICK, *arguments, timeout=150, cwd=cwd)


def service_calls(lab: Lab) -> list[str]:
    return [call for host in lab.hosts for call in host.calls() if call.split()[1] == "service"]


def refused(lab: Lab, finished: Finished, said: str) -> None:
    """Check that a run was refused within seconds, saying why, and that nothing was touched."""
    assert finished.status == 3, finished.stdout + finished.stderr
    assert said in finished.stderr
    assert service_calls(lab) == [] and lab.observer.downs() == []


def test_a_whole_roll_has_one_broker_down_at_a_time_and_a_healthy_stretch_between_any_two(
    lab: Lab,
) -> None:
    assert lab.hosts[0].jmxproxy.cache_duration == 300
    finished = roll(lab)
    assert finished.status == 0, finished.stdout + finished.stderr
    assert finished.stderr == ""
    assert lab.observer.restarted() == [1, 2, 3] and lab.observer.new_jvms() == [1, 2, 3]
    assert lab.observer.most_down() == 1
    assert len(lab.observer.healthy_stretches()) == 2 and min(lab.observer.healthy_stretches()) > 0
    assert (finished.code, finished.commands) == ("done", ())


def test_a_stop_command_that_returns_at_once_loses_no_broker(lab: Lab) -> None:
    for host in lab.hosts:
        host.service.stop_mode = "early"
    finished = roll(lab)
    assert finished.status == 0, finished.stdout + finished.stderr
    assert lab.observer.restarted() == [1, 2, 3] and lab.observer.most_down() == 1
    assert len([call for call in service_calls(lab) if call.endswith("start")]) == 3


def test_a_start_that_found_the_old_process_alive_is_sent_again_where_pids_cannot_be_seen(
    lab: Lab,
) -> None:
    host = lab.hosts[2]
    host.service.ps_hidden, host.service.stop_mode = True, "early"
    host.service.start_mode = ["nothing", "normal"]
    finished = roll(lab, "--skip", "2")
    assert finished.status == 0, finished.stdout + finished.stderr
    assert "its process cannot be seen on its host" in finished.stdout
    assert lab.observer.restarted() == [3]
    assert "starting it again" in finished.stderr


def test_a_stop_command_that_does_nothing_ends_the_roll_and_no_broker_is_restarted(
    lab: Lab,
) -> None:
    lab.hosts[0].service.stop_mode = "nothing"
    finished = roll(lab, "--unhealthy-time-limit", "6")
    assert finished.status == 4
    assert "broker 1" in finished.last_sentence and finished.code == "stop-had-no-effect"
    assert len(finished.commands) == 1 and "--broker-ids 1,2,3 " in finished.commands[0]
    assert (
        "restarted: none; stopped and not back: none; untouched: broker 1, broker 2, broker 3"
        in finished.stdout
    )
    assert lab.observer.downs() == []


def test_a_stop_command_that_kills_whatever_runs_45_s_later_takes_no_second_broker_down(
    lab: Lab,
) -> None:
    lab.hosts[0].service.stop_mode = "kills"
    finished = roll(lab, "--broker-ids", "1,2", "--unhealthy-time-limit", "120")
    assert finished.status == 0, finished.stdout + finished.stderr
    assert lab.observer.restarted() == [1, 1, 2] and lab.observer.most_down() == 1
    assert re.search(r"has not returned 1[5-9] s after the broker was gone", finished.stderr)
    assert lab.observer.downs()[-1].until is not None
    lab.wait_healthy()


def test_a_start_that_fails_names_the_broker_its_host_and_the_command_to_run(lab: Lab) -> None:
    lab.hosts[1].service.start_mode = "fail"
    finished = roll(lab, "--unhealthy-time-limit", "30")
    assert finished.status == 5
    assert f"broker 2 ({lab.hosts[1].address}) is DOWN after 3 starts, " in finished.last_sentence
    assert "--start-command" in finished.last_sentence and finished.code == "broker-down"
    assert finished.commands == (f"ssh {lab.hosts[1].address} 'service kafka start'",)
    assert "--broker-ids 2,3 --started-before " in finished.stdout
    assert lab.observer.most_down() == 1 and lab.observer.restarted() == [1]


def test_an_unhealthy_cluster_at_the_beginning_is_not_touched(lab: Lab) -> None:
    lab.hosts[0].jmxproxy.override = {
        ("kafka.server:type=ReplicaManager,name=UnderReplicatedPartitions", "Value"): 6
    }
    finished = roll(lab, "--unhealthy-time-limit", "3")
    refused(lab, finished, "6 under-replicated partitions (6 led by broker 1)")


def test_a_proxy_that_pretends_to_empty_its_cache_cannot_get_a_broker_stopped(lab: Lab) -> None:
    lab.hosts[1].jmxproxy.pretend_emptying = True
    refused(lab, roll(lab, "--unhealthy-time-limit", "3"), "s old: they come out of a cache")


def test_a_cache_that_may_not_be_emptied_is_said_once_and_each_sample_counts_once(lab: Lab) -> None:
    for host in lab.hosts:
        host.jmxproxy.refuse_emptying, host.jmxproxy.cache_duration = True, 3
        host.jmxproxy.empty_cache()
    note = "refuses to empty its cache (DELETE), and keeps answers for 3 s"
    refused(lab, roll(lab, "--skip", "2"), note)
    finished = roll(lab, "--skip", "2", "--allow-cached-metrics")
    assert finished.status == 0, finished.stdout + finished.stderr
    assert finished.stdout.count(note) == 3
    assert lab.observer.restarted() == [3]


def test_a_host_that_refuses_ssh_is_refused(lab: Lab) -> None:
    lab.hosts[2].sshd.stop()
    refused(lab, roll(lab), "Connection refused")


def test_an_unknown_host_key_is_refused_with_the_line_that_would_add_it(lab: Lab) -> None:
    known = lab.home / ".ssh" / "known_hosts"
    known.write_text("")
    finished = roll(lab)
    refused(lab, finished, "its host key is not known (ssh-ed25519 SHA256:")
    assert f"ssh-keyscan -t ed25519 -p 22022 {lab.hosts[0].address} >> " in finished.stderr
    assert "found 3 problems" in finished.last_sentence and finished.code == "preflight-failed"


def test_a_sudo_that_wants_a_password_is_refused(lab: Lab) -> None:
    lab.hosts[1].service.uid, lab.hosts[1].service.sudo = 1000, "password"
    refused(
        lab, roll(lab), "may not run `sudo -n service kafka stop`: sudo: a password is required"
    )


def test_a_sudo_that_allows_the_command_but_would_ask_for_a_password_is_refused(lab: Lab) -> None:
    lab.hosts[1].service.uid, lab.hosts[1].service.sudo = 1000, "asks"
    refused(
        lab, roll(lab), "`sudo -n service kafka stop` is allowed, but sudo would ask for a password"
    )


def test_a_login_that_is_not_root_uses_sudo_and_shell_syntax_goes_under_it_as_a_whole(
    lab: Lab,
) -> None:
    lab.hosts[2].service.uid = 1000
    finished = roll(lab, "--skip", "2", "--stop-command", "service kafka stop && echo gone")
    assert finished.status == 0, finished.stdout + finished.stderr
    assert any(
        "sudo -n sh -c service kafka stop && echo gone" in call for call in lab.hosts[2].calls()
    )
    assert lab.observer.restarted() == [3]


def test_metrics_that_may_not_be_read_are_refused_and_all_problems_are_said_at_once(
    lab: Lab,
) -> None:
    lab.hosts[0].jmxproxy.status, lab.hosts[1].jmxproxy.status = 401, 403
    lab.hosts[2].sshd.stop()
    finished = roll(lab)
    refused(lab, finished, "it wants JMX credentials: give --jmx-user")
    assert "is not allowed there" in finished.stderr and "Connection refused" in finished.stderr


def test_broker_ids_restarts_just_those_in_that_order(lab: Lab) -> None:
    assert roll(lab, "--broker-ids", "3,1").status == 0
    assert lab.observer.restarted() == [3, 1]
    finished = roll(lab, "--broker-ids", "7")
    assert finished.status == 2 and "7 not registered; registered: 1, 2, 3" in finished.stderr


def test_a_run_that_was_ended_goes_on_with_the_line_that_it_printed(lab: Lab) -> None:
    run = lab.launch(*QUICK)
    run.wait_for("1/3 broker 1", 60)
    run.send(signal.SIGTERM)
    (line,) = run.finish(90).commands
    finished = type_elsewhere(line, lab.env, timeout=150)
    assert finished.status == 0, finished.stdout + finished.stderr
    assert lab.observer.restarted() == [1, 2, 3]


def test_a_plan_without_a_broker_claims_nothing_of_hosts_that_were_not_looked_at(lab: Lab) -> None:
    lab.hosts[0].sshd.stop()
    finished = roll(lab, "--skip", "3", "--dry-run")
    assert (
        finished.status == 0
        and "every host" not in finished.stdout
        and "allowed" not in finished.stdout
    )
    assert "no broker would be restarted, so no host was checked" in finished.last_sentence


def test_a_run_with_a_task_that_was_ended_goes_on_with_its_line_from_any_directory(
    lab: Lab, tmp_path: Path
) -> None:
    (tmp_path / "labtask.py").write_text(textwrap.dedent(TASK))
    done = tmp_path / "done"
    run = lab.launch(*QUICK, "--task", "labtask", "--task-args", f"--file {done}", cwd=tmp_path)
    run.wait_for("1/3 broker 1", 60)
    run.send(signal.SIGTERM)
    (line,) = run.finish(90).commands
    assert line.startswith(f"cd {tmp_path} && ")
    finished = type_elsewhere(line, lab.env, timeout=150)
    assert finished.status == 0, finished.stdout + finished.stderr
    assert lab.observer.restarted() == [1, 2, 3] and all(
        host.address in done.read_text() for host in lab.hosts
    )


def test_started_before_leaves_out_what_is_younger(lab: Lab) -> None:
    finished = roll(lab, "--started-before", "1d")
    assert finished.status == 0 and "no broker is left to restart" in finished.stdout
    assert service_calls(lab) == []


def test_a_dry_run_looks_and_touches_nothing(lab: Lab) -> None:
    arguments = [argument for argument in QUICK if argument != "--no-confirm"]
    finished = lab.run(*arguments, "--dry-run", timeout=60)
    assert finished.status == 0, finished.stdout + finished.stderr
    assert (
        "3 brokers would be restarted; nothing was touched" in finished.last_sentence
        and finished.code == "dry-run-passed"
    )
    assert service_calls(lab) == []
    lab.hosts[0].jmxproxy.override = {
        ("kafka.server:type=ReplicaManager,name=UnderReplicatedPartitions", "Value"): 6
    }
    refused(
        lab,
        roll(lab, "--dry-run"),
        "dry run: the cluster is not healthy: 6 under-replicated partitions",
    )


def test_skip_leaves_out_the_first_brokers(lab: Lab) -> None:
    assert roll(lab, "--skip", "2").status == 0
    assert lab.observer.restarted() == [3]


@pytest.mark.parametrize("skip", ["4", "-1", "x"])
def test_a_skip_that_makes_no_sense_touches_nothing(lab: Lab, skip: str) -> None:
    finished = roll(lab, "--skip", skip)
    assert finished.status == 2 and "--skip" in finished.stderr
    assert service_calls(lab) == []


def test_tasks_of_the_older_tool_run_around_the_stop(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "labtask.py").write_text(textwrap.dedent(TASK))
    finished = roll(
        lab, "--skip", "2", "--task", "labtask", "--task-args", "--file done", cwd=tmp_path
    )
    assert finished.status == 0, finished.stdout + finished.stderr
    address = lab.hosts[2].address
    assert (tmp_path / "done").read_text() == f"Before {address}\nAfter {address}\n"
    assert "running the pre-stop task Before\n" in finished.stdout
    assert "running the post-stop task After; the broker is down until it ends\n" in finished.stdout


def test_a_post_stop_task_that_fails_does_not_keep_its_broker_down(
    lab: Lab, tmp_path: Path
) -> None:
    (tmp_path / "labtask.py").write_text(textwrap.dedent(TASK))
    finished = roll(
        lab, "--task", "labtask", "--task-args", "--file done --fail After", cwd=tmp_path
    )
    assert finished.status == 4
    assert (
        f"task After failed on {lab.hosts[0].address}: RuntimeError: as asked"
        in finished.last_sentence
    )
    assert finished.code == "task-failed"
    assert lab.observer.restarted() == [1] and lab.hosts[0].is_up()


def test_a_pre_stop_task_that_fails_leaves_its_broker_alone(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "labtask.py").write_text(textwrap.dedent(TASK))
    finished = roll(
        lab, "--task", "labtask", "--task-args", "--file done --fail Before", cwd=tmp_path
    )
    assert finished.status == 4 and "was not stopped: task Before failed" in finished.last_sentence
    assert service_calls(lab) == []


def test_4_mib_on_each_stream_block_nothing(lab: Lab) -> None:
    lab.hosts[2].service.stop_mode = "loud"
    finished = roll(lab, "--skip", "2")
    assert finished.status == 0, finished.stdout + finished.stderr
    assert len(finished.stdout) < 20_000


def test_nothing_happens_unless_the_answer_is_yes(lab: Lab) -> None:
    arguments = [argument for argument in QUICK if argument != "--no-confirm"]
    finished = lab.run(*arguments, timeout=60, input="\n")
    refused(lab, finished, "not confirmed; no broker was touched")
    assert "Restart 3 brokers of lab/main, one at a time? [y/N]" in finished.stdout


def test_without_a_terminal_and_without_no_confirm_nothing_is_contacted(lab: Lab) -> None:
    finished = lab.run("--cluster-type", "lab", timeout=60)
    assert finished.status == 2 and "--no-confirm" in finished.stderr and finished.stdout == ""


def test_no_registered_broker_is_said_with_the_path_and_what_is_there(lab: Lab) -> None:
    file = lab.home / ".kafka_discovery" / "lab.yaml"
    file.write_text(file.read_text().replace("/kafka/lab", "/kafka"))
    finished = roll(lab)
    refused(lab, finished, "no broker is registered in /brokers/ids")
    assert (
        f"/brokers/ids is under /kafka/lab: give {lab.zookeeper} as the address"
        in finished.last_sentence
        and finished.code == "no-broker-registered"
    )


def test_a_signal_in_the_critical_section_is_obeyed_once_the_broker_is_back(lab: Lab) -> None:
    run = lab.launch(*QUICK)
    run.wait_for("1/3 broker 1", 60)
    run.send(signal.SIGTERM)
    finished = run.finish(90)
    assert finished.status == 128 + 15
    assert "SIGTERM received" in finished.stderr and finished.code == "interrupted"
    assert lab.observer.restarted() == [1] and lab.hosts[0].is_up()
    assert "--broker-ids 2,3 --started-before " in finished.last_line and finished.commands == (
        finished.last_line,
    )


def test_a_second_signal_ends_at_once_and_names_the_broker_and_the_line_that_starts_it(
    lab: Lab,
) -> None:
    lab.hosts[0].service.start_mode = "stuck"
    run = lab.launch(*QUICK)
    run.wait_for("starting it", 60)
    run.send(signal.SIGINT)
    run.wait_for("SIGINT received", 10)
    time.sleep(1.2)  # what follows within a second is taken for the same key
    run.send(signal.SIGINT)
    began = time.monotonic()
    finished = run.finish(30)
    assert time.monotonic() - began < 10
    assert finished.status == 5
    assert (
        f"broker 1 ({lab.hosts[0].address})" in finished.last_sentence
        and finished.code == "broker-left-stopped"
    )
    assert finished.commands == (f"ssh {lab.hosts[0].address} 'service kafka start'",)


@pytest.mark.usefixtures("plain_again")
def test_a_broker_is_started_though_its_host_lets_nobody_in_any_more(lab: Lab) -> None:
    host = lab.hosts[0]
    host.service.hold = "service kafka stop"
    run = lab.launch(*QUICK, "--broker-ids", "1")
    wait_for(
        "the stop command runs",
        lambda: any("kafka stop" in call for call in host.calls()),
        60,
        host.log,
    )
    host.sshd.authorized_keys.write_text("")
    host.service.hold = None
    finished = run.finish(90)
    assert finished.status == 0 and lab.observer.restarted() == [1]


def test_a_second_run_is_told_who_holds_the_lock_and_touches_nothing(lab: Lab) -> None:
    first = lab.launch(*QUICK, "--check-interval", "5")
    first.wait_for("waiting until the cluster is healthy", 60)
    second = roll(lab)
    assert second.status == 6
    assert f"pid {first.pid}, since" in second.last_sentence and second.code == "another-run"
    dry = roll(lab, "--dry-run")
    assert dry.status == 6 and f"pid {first.pid}, since" in dry.last_sentence
    first.send(signal.SIGTERM)
    assert first.finish(10).status == 128 + 15
    assert service_calls(lab) == []


def test_the_lock_dies_with_a_run_that_was_killed(lab: Lab) -> None:
    first = lab.launch(*QUICK, "--check-interval", "5")
    first.wait_for("waiting until the cluster is healthy", 60)
    first.send(signal.SIGKILL)
    first.finish(10)
    deadline = time.monotonic() + 30  # its ZooKeeper session times out after 10 s
    while (finished := roll(lab, "--skip", "3")).status == 6 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert finished.status == 0, finished.stdout + finished.stderr


def test_a_closed_pipe_does_not_end_a_restart(lab: Lab) -> None:
    run = lab.launch(*QUICK, "--skip", "2")
    run.wait_for("stopping it", 60)
    run.close_output()
    assert run.finish(90).status == 0
    assert lab.observer.restarted() == [3]


def secured(lab: Lab) -> tuple[list[str], dict[str, str]]:
    """Let the lab want https, HTTP basic auth and JMX credentials; return the options and the
    environment for it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(lab.authority.issue("jmxproxy", *(host.address for host in lab.hosts)))
    server.load_verify_locations(lab.authority.file)
    server.verify_mode = ssl.CERT_REQUIRED
    for host in lab.hosts:
        host.jmxproxy.login, host.jmxproxy.jmx_login = ("web", "web-secret"), ("jvm", "jvm&secret")
        host.jmxproxy.speak(server)
    files = {"ca": lab.authority.file, "cert": lab.authority.issue("client")}
    options = [
        "--jmxproxy-scheme",
        "https",
        "--jmxproxy-user",
        "web",
        "--jmx-user",
        "jvm",
        "--zookeeper-user",
        "lab",
    ]
    options += [
        f"--{what}-{name}={file}"
        for what in ("jmxproxy", "zookeeper")
        for name, file in files.items()
    ]
    options += ["--allow-hosts", ",".join(host.address for host in lab.hosts)]
    options += [
        "--zookeeper",
        lab.secure_zookeeper,
        "--no-confirm",
        "--check-interval",
        "0.5",
        "--check-count",
        "1",
    ]
    return options, {
        "KAFKA_ROLLING_RESTART_JMXPROXY_PASSWORD": "web-secret",
        "KAFKA_ROLLING_RESTART_JMX_PASSWORD": "jvm&secret",
        "KAFKA_ROLLING_RESTART_ZOOKEEPER_PASSWORD": "lab-secret",
    }


@pytest.fixture
def private_lock(lab: Lab) -> Iterator[None]:
    """Let the login of the lab alone write below the folder of the lock."""
    home = LOCK.rpartition("/")[0]
    # Not the observer's client: kazoo gives one that has a login up for good when a server ends in
    # the middle of it.
    client = KazooClient(lab.zookeeper, auth_data=[("digest", ":".join(LOGIN))])
    client.start(timeout=30)
    try:
        client.delete(home, recursive=True)
        client.create(
            home, acl=[make_digest_acl(*LOGIN, all=True), make_acl("world", "anyone", read=True)]
        )
        yield
        client.delete(home, recursive=True)
    finally:
        client.stop()
        client.close()


@pytest.mark.usefixtures("private_lock")
def test_a_whole_roll_over_tls_with_all_logins_tells_no_password_to_anybody(
    lab: Lab, tmp_path: Path
) -> None:
    (tmp_path / "envtask.py").write_text(textwrap.dedent(ENVIRONMENT_TASK))
    options, environment = secured(lab)
    report = tmp_path / "report.json"
    run = lab.launch(
        *options, "-vv", "--report", str(report), "--task", "envtask", env=environment, cwd=tmp_path
    )
    finished = run.finish(150)
    assert finished.status == 0, finished.stdout[-3000:] + finished.stderr
    assert lab.observer.restarted() == [1, 2, 3] and lab.observer.new_jvms() == [1, 2, 3]
    assert lab.observer.most_down() == 1
    assert all(host.jmxproxy.deletes for host in lab.hosts)
    told = (
        finished.stdout
        + finished.stderr
        + report.read_text()
        + (tmp_path / "environment").read_text()
    )
    assert (
        "kazoo.client: Sending request" in told and "auth=***" in told and "POST /jmxproxy" in told
    )
    for secret in (
        *environment.values(),
        quote_plus("jvm&secret"),
        b64encode(b"web:web-secret").decode(),
    ):
        assert secret not in told
    assert "KAFKA_ROLLING_RESTART" not in (tmp_path / "environment").read_text()


@pytest.mark.usefixtures("private_lock")
def test_each_login_that_is_wrong_or_missing_is_named_and_nothing_is_touched(lab: Lab) -> None:
    options, environment = secured(lab)
    for name, said in {
        "JMXPROXY": "401: the HTTP credentials are wrong: those of --jmxproxy-user web",
        "JMX": "401: the JMX credentials are wrong: those of --jmx-user jvm",
        "ZOOKEEPER": "its ACL does not give the right `create` to --zookeeper-user lab (is the "
        "password right?)",
    }.items():
        wrong = {**environment, f"KAFKA_ROLLING_RESTART_{name}_PASSWORD": "hunter2"}
        finished = lab.launch(*options, "--dry-run", env=wrong).finish(60)
        refused(lab, finished, said)
        assert "hunter2" not in finished.stdout + finished.stderr
    del environment["KAFKA_ROLLING_RESTART_JMX_PASSWORD"]
    finished = lab.launch(*options, env=environment).finish(60)
    assert finished.status == 2
    assert (
        "set KAFKA_ROLLING_RESTART_JMX_PASSWORD in the environment" in finished.last_sentence
        and finished.code == "password-missing"
    )


def test_a_lock_that_a_run_without_a_login_left_open_to_all_is_noted_with_what_closes_it(
    lab: Lab,
) -> None:
    home = LOCK.rpartition("/")[0]
    lab.observer.client.ensure_path(LOCK)
    words = (*QUICK, "--zookeeper-user", LOGIN[0], "--dry-run")
    env = {"KAFKA_ROLLING_RESTART_ZOOKEEPER_PASSWORD": LOGIN[1]}
    finished = lab.launch(*words, env=env).finish(60)
    assert finished.status == 0, finished.stderr
    assert f"{home} and in {LOCK}" in finished.stdout and "[lock-open-to-all]" in finished.stdout
    assert (
        f"setAcl {LOCK} auth::cdrwa,world:anyone:r" in finished.stdout
        and LOGIN[1] not in finished.stdout
    )
    closed = [make_digest_acl(*LOGIN, all=True), make_acl("world", "anyone", read=True)]
    opened = [make_acl("world", "anyone", all=True)]
    client = KazooClient(lab.zookeeper, auth_data=[("digest", ":".join(LOGIN))])
    client.start(timeout=30)
    try:
        for path in (home, LOCK):
            client.set_acls(path, closed)
        finished = lab.launch(*words, env=env).finish(60)
        assert finished.status == 0 and "lock-open-to-all" not in finished.stdout
    finally:
        for path in (home, LOCK):
            client.set_acls(path, opened)
        client.stop()
        client.close()
    # without a login that is so in any case
    assert "lock-open-to-all" not in roll(lab, "--dry-run").stdout


def test_one_proxy_serves_all_brokers_and_is_emptied_for_each(lab: Lab) -> None:
    with OneProxy(lab.hosts) as proxy:
        options = ("--jmxproxy-host", proxy.host, "--jmxproxy-port", str(proxy.port))
        finished = roll(lab, *options, "--jmxproxy-prefix", "jmxproxy/{host}:9099", "--dry-run")
    assert finished.status == 0, finished.stdout + finished.stderr
    assert "3 brokers would be restarted" in finished.last_sentence
    assert [host.jmxproxy.deletes for host in lab.hosts] == [2, 2, 2]


def through_a_jump_host(lab: Lab, passphrase: str) -> Sshd:
    """Have all hosts, and the jump host before them, take nothing but an encrypted key."""
    jump = lab.jump_host()
    key = lab.ssh.folder / "locked"
    key.unlink(missing_ok=True)
    make_key(key, passphrase)
    for sshd in (jump, *(host.sshd for host in lab.hosts)):
        sshd.authorized_keys.write_text(key.with_name("locked.pub").read_text())
    lab.ssh.config.write_text(
        f"Host {jump.address}\n  ProxyJump none\nHost *\n  ProxyJump {jump.address}\n"
        + lab.ssh.config.read_text().replace(str(lab.ssh.key), str(key))
    )
    return jump


@pytest.fixture
def plain_again(lab: Lab) -> Iterator[None]:
    """Let the plain key in again."""
    yield
    for host in lab.hosts:
        host.sshd.authorized_keys.write_text(lab.ssh.public_key + "\n")


def test_a_roll_goes_through_a_jump_host_with_an_encrypted_key_and_a_password_for_sudo(
    lab: Lab, plain_again: None, tmp_path: Path
) -> None:
    """The roll shows neither of the secrets, nor does what it leaves behind; sudo's is no command's
    input."""
    jump = through_a_jump_host(lab, "open sesame")
    for host in lab.hosts:
        host.service.uid, host.service.sudo = 1000, "password"
    report = tmp_path / "roll.json"
    secrets = {"KEY_PASSPHRASE": "open sesame", "SUDO_PASSWORD": "hunter2"}
    env = {f"KAFKA_ROLLING_RESTART_{name}": secret for name, secret in secrets.items()}
    finished = lab.launch(*QUICK, "-vv", "--report", str(report), env=env).finish(150)
    assert finished.status == 0, finished.stdout + finished.stderr
    assert lab.observer.restarted() == [1, 2, 3] and lab.observer.most_down() == 1
    assert "Accepted publickey" in jump.log.read_text()
    assert any("sudo -k -S -p  service kafka stop" in call for call in lab.hosts[2].calls())
    shown = [
        finished.stdout,
        finished.stderr,
        report.read_text(),
        *(call for host in lab.hosts for call in host.calls()),
    ]
    assert not any(secret in text for secret in secrets.values() for text in shown)
    assert "ssh -t" not in finished.stderr


def test_secrets_are_asked_for_at_the_terminal_unseen_and_before_anybody_logs_in(
    lab: Lab, plain_again: None
) -> None:
    jump = through_a_jump_host(lab, "open sesame")
    for host in lab.hosts:
        host.service.uid, host.service.sudo = 1000, "password"
    jump.log.write_text("")
    terminal = Terminal([*QUICK, "--dry-run", "--ask-sudo-password"], lab.env, columns=300)
    terminal.wait_for("sudo password:", 30)
    terminal.type("hunter2\n")
    terminal.wait_for("passphrase for", 30)
    assert jump.log.read_text() == ""
    terminal.type("open sesame\n")
    assert terminal.finish(60) == 0, terminal.lines
    assert "open sesame" not in terminal.raw.decode() and "hunter2" not in terminal.raw.decode()
    assert terminal.raw.decode().count("passphrase for") == 1


def test_without_a_terminal_an_encrypted_key_is_named_and_nothing_is_touched(
    lab: Lab, plain_again: None
) -> None:
    through_a_jump_host(lab, "open sesame")
    refused(
        lab,
        roll(lab),
        f"locked is encrypted: run ssh-add {lab.ssh.folder / 'locked'}, or set "
        "KAFKA_ROLLING_RESTART",
    )


def test_the_name_for_ssh_may_be_another_and_the_host_that_of_a_listener(lab: Lab) -> None:
    names = "".join(f"Host broker-{host.id}.lab\n  HostName {host.address}\n" for host in lab.hosts)
    lab.ssh.config.write_text(names + "Match all\n" + lab.ssh.config.read_text().split("\n", 1)[1])
    finished = roll(lab, "--dry-run", "--ssh-host", "broker-{id}.lab", "--listener", "PLAINTEXT")
    assert finished.status == 0, finished.stdout + finished.stderr
    refused(lab, roll(lab, "--listener", "INTERNAL"), "broker 1 has no listener 'INTERNAL'")
    refused(lab, roll(lab, "--ssh-host", "{host}.nowhere.invalid"), "ssh")


@pytest.mark.parametrize("mode", [("--no-confirm",), ("--dry-run",), ("--dry-run", "--no-confirm")])
def test_a_host_that_somebody_registers_gets_no_password_and_not_even_a_connection(
    lab: Lab, mode: tuple[str, ...]
) -> None:
    host = f"{lab.hosts[0].address.rpartition('.')[0]}.77"
    path, heard = "/brokers/ids/66", list[bytes]()
    env = {
        "KAFKA_ROLLING_RESTART_JMXPROXY_PASSWORD": "hunter2",
        "KAFKA_ROLLING_RESTART_SUDO_PASSWORD": "hunter3",
    }
    words = (
        "-t",
        "lab",
        "--jmxproxy-user",
        "web",
        "--check-interval",
        "0.5",
        "--check-count",
        "2",
        *mode,
    )

    def serve(connection: socket.socket) -> None:
        with connection:
            heard.append(connection.recv(65536))

    lab.observer.client.create(path, json.dumps({"host": host, "port": 1}).encode(), ephemeral=True)
    try:
        with listening(serve, host, JMXPROXY_PORT):
            finished = lab.launch(*words, env=env).finish(60)
            refused(
                lab,
                finished,
                f"the HTTP and sudo passwords would be sent to {host}: the cluster registered "
                "these hosts",
            )
            assert f"--allow-hosts {host}" in finished.last_sentence and heard == []
            assert finished.code == "password-host-not-listed"
            assert "hunter" not in finished.stdout + finished.stderr
            allowed = lab.launch(*words, "--allow-hosts", host, env=env).finish(60)
            assert allowed.status == 3 and any(b"Authorization: Basic" in data for data in heard)
    finally:
        lab.observer.client.delete(path)


def test_at_a_terminal_no_host_is_connected_to_before_the_question_about_passwords_is_answered(
    lab: Lab,
) -> None:
    env = {**lab.env, "KAFKA_ROLLING_RESTART_JMXPROXY_PASSWORD": "hunter2"}
    terminal = Terminal(["-t", "lab", "--jmxproxy-user", "web", "--dry-run"], env, columns=300)
    terminal.wait_for("Send? [y/N]", 30)
    assert (
        "the HTTP password will be sent to: " + ", ".join(host.address for host in lab.hosts)
        in terminal.raw.decode()
    )
    assert [host.jmxproxy.deletes for host in lab.hosts] == [0, 0, 0]
    terminal.type("n\n")
    assert terminal.finish(30) == 3
    assert [host.jmxproxy.deletes for host in lab.hosts] == [0, 0, 0]
    assert "no password was sent, and no broker was touched" in terminal.raw.decode()


@pytest.mark.parametrize(
    "host",
    ["-oProxyCommand=touch {}", "a;touch {}", "$(touch {})", "n1\x1b[2J\x07", "x" * 1_000_000],
    ids=range(5),
)
def test_a_hostile_registration_reaches_no_shell_and_no_terminal(
    lab: Lab, tmp_path: Path, host: str
) -> None:
    """ZooKeeper takes up to 1 MiB from anybody who may write there."""
    touched = tmp_path / "touched"
    path = "/brokers/ids/66"
    lab.observer.client.create(
        path, json.dumps({"host": host.format(touched), "port": 1}).encode(), ephemeral=True
    )
    try:
        finished = roll(lab, "-vv")
        refused(lab, finished, f"{path} has")
    finally:
        lab.observer.client.delete(path)
    assert len(finished.last_line) < 500 and not touched.exists()
    assert all(line.isprintable() for line in (finished.stdout + finished.stderr).splitlines())
