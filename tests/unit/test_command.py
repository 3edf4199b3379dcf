"""The command as a process: its exit status is what it says, whatever becomes of its output."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "kafka_rolling_restart"]


CLUSTER = """
clusters: {x: {zookeeper: "127.0.0.1:1", broker_list: []}}
local_config: {cluster: x}
"""


def test_what_a_task_prints_on_a_full_disk_does_not_change_the_exit_status(tmp_path: Path) -> None:
    (tmp_path / "main.yaml").write_text(CLUSTER)
    (tmp_path / "chatty.py").write_text("print('hello')\n")
    arguments = ["-t", "main", "--discovery-base-path", str(tmp_path), "--no-confirm", "--task", "chatty"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment["PYTHONPATH"] = f"{Path.cwd()}:{tmp_path}"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, env=environment, timeout=30
        )
    assert done.returncode == 2
    assert done.stderr.endswith(
        " ERROR main/x: --task chatty: holds no class derived from PreStopTask, PostStopTask or PostStartTask\n"
    )


def test_wrong_usage_is_status_2_and_says_so_on_stderr() -> None:
    done = subprocess.run([*COMMAND, "--skip", "x"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and done.stdout == "" and "--skip" in done.stderr


LOGINS = ("--jmxproxy-user", "web", "--jmx-user", "jvm", "--zookeeper-user", "zk")


def test_passwords_are_asked_for_at_the_terminal_without_an_echo_and_before_anything_is_contacted(
    tmp_path: Path,
) -> None:
    arguments = ["--zookeeper", "127.0.0.1:1", "--no-confirm", *LOGINS, "--report", f"{tmp_path}/none/file"]
    ours, theirs = os.openpty()
    run = subprocess.Popen([*COMMAND, *arguments], stdin=theirs, stderr=subprocess.PIPE, start_new_session=True)
    told = ""
    for prompt in ("JMXProxy password of web: ", "JMX password of jvm: ", "ZooKeeper password of zk: "):
        while not told.endswith(prompt) and (byte := os.read(run.stderr.fileno() if run.stderr else -1, 1)):
            told += byte.decode()
        assert told.endswith(prompt), told
        time.sleep(0.2)  # what is typed before the echo is off is thrown away
        os.write(ours, b"hunter2\n")
    _, rest = run.communicate(timeout=30)
    os.close(ours)
    os.close(theirs)
    assert run.returncode == 2 and "none/file" in rest.decode() and "hunter2" not in told + rest.decode()


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
    arguments = ["--zookeeper", "127.0.0.1:1", "--no-confirm", "--zookeeper-ca", f"{tmp_path}/ca.pem"]
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr.endswith(f"--zookeeper-ca {tmp_path}/ca.pem: No such file or directory\n")
