"""The command as a process: its exit status is what it says, whatever becomes of its output."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.lab import Running
from tests.lab.command import environment
from tests.lab.terminal import Terminal

Started = TypeVar("Started", Running, Terminal)
COMMAND = [sys.executable, "-m", "kafka_rolling_restart"]


CLUSTER = """
clusters: {x: {zookeeper: "127.0.0.1:1", broker_list: []}}
local_config: {cluster: x}
"""


def test_what_a_task_prints_on_a_full_disk_does_not_change_the_exit_status(tmp_path: Path) -> None:
    (tmp_path / "main.yaml").write_text(CLUSTER)
    (tmp_path / "chatty.py").write_text("print('hello')\n")
    arguments = [
        "-t",
        "main",
        "--discovery-base-path",
        str(tmp_path),
        "--no-confirm",
        "--task",
        "chatty",
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment["PYTHONPATH"] = f"{Path.cwd()}:{tmp_path}"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            timeout=30,
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert " ERROR main/x: --task chatty: " in line and line.endswith(
        f" {tmp_path / 'chatty.py'} [task-not-usable]"
    )


TASK = """
from kafka_rolling_restart.task import PreStopTask
import requests

class Before(PreStopTask):
    def run(self, host):
        pass
"""
HIJACKED = "import sys; sys.stderr.write('hijacked\\n'); raise SystemExit(99)"


@pytest.mark.parametrize(
    "command",
    [COMMAND, [sys.executable, str(Path(sys.executable).with_name("kafka-rolling-restart"))]],
)
def test_what_lies_beside_a_task_is_not_imported_in_place_of_a_library(
    tmp_path: Path, command: list[str]
) -> None:
    if not Path(command[-1]).exists() and command is not COMMAND:
        pytest.skip("the command is not installed")
    (tmp_path / "mytask.py").write_text(TASK)
    for library in ("kazoo", "requests", "paramiko", "rich", "urllib3"):
        (tmp_path / f"{library}.py").write_text(HIJACKED)
    arguments = ["--zookeeper", "127.0.0.1:1", "--no-confirm", "--task", "mytask"]
    done = subprocess.run(
        [*command, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert "hijacked" not in done.stderr
    assert done.returncode == 3 and "127.0.0.1:1: Connection refused" in done.stderr


@pytest.mark.parametrize("user", ["--jmxproxy-user", "--jmx-user", "--zookeeper-user"])
def test_a_password_that_is_not_utf_8_ends_with_status_2_and_is_told_nowhere(
    tmp_path: Path, user: str
) -> None:
    name = f"KAFKA_ROLLING_RESTART_{user[2:-5].upper()}_PASSWORD".encode()
    report = tmp_path / "r.json"
    arguments = [
        "--zookeeper",
        "127.0.0.1:1",
        "--no-confirm",
        user,
        "me",
        "-vv",
        "--report",
        str(report),
    ]
    environment = {**os.environb, name: b"hunter2\xff"}
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, env=environment, timeout=30)
    assert done.returncode == 2 and b"the password is not valid UTF-8" in done.stderr
    assert b"hunter" not in done.stdout + done.stderr and not report.exists()


@pytest.mark.parametrize("option", ["--jmxproxy-user", "--jmx-user", "--zookeeper-user"])
def test_a_name_that_is_not_utf_8_ends_with_status_2(option: str) -> None:
    arguments = [b"--zookeeper", b"127.0.0.1:1", b"--no-confirm", option.encode(), b"m\xff"]
    done = subprocess.run([*map(str.encode, COMMAND), *arguments], capture_output=True, timeout=30)
    assert done.returncode == 2 and b"is not valid UTF-8" in done.stderr


def test_wrong_usage_is_status_2_and_says_so_on_stderr() -> None:
    done = subprocess.run([*COMMAND, "--skip", "x"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and done.stdout == "" and "--skip" in done.stderr


def test_a_socket_does_not_take_the_place_of_a_stream_that_was_closed() -> None:
    """A fake ZooKeeper gets what is sent to it: nothing of it is what the tool prints."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        zookeeper = f"127.0.0.1:{server.getsockname()[1]}"
        command = shlex.join([*COMMAND, "--zookeeper", zookeeper, "--no-confirm"])
        with subprocess.Popen(["sh", "-c", f"exec {command} <&- >&- 2>&-"]) as run:
            server.settimeout(30)
            connection, _ = server.accept()
            received = connection.recv(1000)
            run.send_signal(signal.SIGTERM)
            while more := connection.recv(1000):
                received += more
            connection.close()
    assert run.returncode == 128 + 15
    assert received and b"SIGTERM" not in received


def test_help_without_a_stdout_is_no_defect() -> None:
    command = f"exec {shlex.join([*COMMAND, '--help'])} >&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


def test_wrong_usage_leaves_the_report_as_it_was(tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    report.write_text("precious")
    for wrong in (
        ["--skip", "x"],
        ["-q", "-v"],
        ["--zookeeper", "a b"],
        ["--task", "none_such"],
        [],
    ):
        arguments = ["--zookeeper", "127.0.0.1:1", "--report", str(report), *wrong]
        done = subprocess.run(
            [*COMMAND, *arguments], capture_output=True, stdin=subprocess.DEVNULL, timeout=30
        )
        assert done.returncode == 2 and done.stderr.count(b"\n") <= 2
    assert report.read_text() == "precious"


def test_an_empty_name_for_the_report_is_refused() -> None:
    done = subprocess.run(
        [*COMMAND, "--zookeeper", "z", "--no-confirm", "--report", ""],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "it is no regular file" in done.stderr and done.stderr.endswith(
        " [report-not-writable]\n"
    )


LOCAL_FLAGS = 3  # their place in what termios tells of a terminal
LOGINS = ("--jmxproxy-user", "web", "--jmx-user", "jvm", "--zookeeper-user", "zk")


def wait_until_the_echo_is_off(terminal: int) -> None:
    began = time.monotonic()
    while termios.tcgetattr(terminal)[LOCAL_FLAGS] & termios.ECHO:
        assert time.monotonic() - began < 30
        time.sleep(0.01)


def test_passwords_are_asked_for_at_the_terminal_without_an_echo_and_before_anything_is_contacted(
    tmp_path: Path,
) -> None:
    arguments = [
        "--zookeeper",
        "127.0.0.1:1",
        "--no-confirm",
        *LOGINS,
        "--report",
        f"{tmp_path}/none/file",
    ]
    ours, theirs = os.openpty()
    run = subprocess.Popen(
        [*COMMAND, *arguments], stdin=theirs, stderr=subprocess.PIPE, start_new_session=True
    )
    told = ""
    for prompt in (
        "JMXProxy password of web: ",
        "JMX password of jvm: ",
        "ZooKeeper password of zk: ",
    ):
        while not told.endswith(prompt) and (
            byte := os.read(run.stderr.fileno() if run.stderr else -1, 1)
        ):
            told += byte.decode()
        assert told.endswith(prompt), told
        wait_until_the_echo_is_off(ours)  # what is typed before is thrown away
        os.write(ours, b"hunter2\n")
    _, rest = run.communicate(timeout=30)
    os.close(ours)
    os.close(theirs)
    assert (
        run.returncode == 2
        and "none/file" in rest.decode()
        and "hunter2" not in told + rest.decode()
    )


@pytest.mark.parametrize("option", LOGINS[::2])
def test_without_a_terminal_the_variable_of_a_password_is_named(option: str) -> None:
    name = option.removeprefix("--").removesuffix("-user").upper()
    done = subprocess.run(
        [*COMMAND, "--zookeeper", "127.0.0.1:1", "--no-confirm", option, "me"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert f"set KAFKA_ROLLING_RESTART_{name}_PASSWORD in the environment" in done.stderr


def test_a_file_of_tls_that_is_missing_is_said_before_anything_is_contacted(tmp_path: Path) -> None:
    arguments = [
        "--zookeeper",
        "127.0.0.1:1",
        "--no-confirm",
        "--zookeeper-ca",
        f"{tmp_path}/ca.pem",
    ]
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr.endswith(
        f"--zookeeper-ca {tmp_path}/ca.pem: No such file or directory. Give a PEM file that this "
        "user can read [tls-file-unusable]\n"
    )


@pytest.fixture
def ignored_signals() -> Iterator[None]:
    """Ignore what the background of a shell, or nohup, makes us ignore."""
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def connecting(launch: Callable[[list[str]], Started]) -> Started:
    """Launch the tool, and wait until it connects to a ZooKeeper, which says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        run = launch(["--zookeeper", f"127.0.0.1:{silent.getsockname()[1]}", "--no-confirm"])
        silent.settimeout(30)
        connection, _ = silent.accept()
        connection.recv(1000)
        connection.close()
    return run


@pytest.mark.usefixtures("ignored_signals")
def test_the_lab_runs_the_tool_as_at_a_terminal_though_the_tests_were_started_in_the_background(
    tmp_path: Path,
) -> None:
    env = environment(tmp_path)
    for number in (signal.SIGINT, signal.SIGHUP):
        run = connecting(lambda arguments: Running(arguments, env, None))
        run.send(number)
        assert run.finish(30).status == 128 + number
    terminal = connecting(lambda arguments: Terminal(arguments, env))
    terminal.type("\x03")
    assert terminal.finish(30) == 128 + signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
