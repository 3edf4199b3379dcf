"""The command as a process: its exit status is what it says, whatever becomes of its output."""

import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

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
    for wrong in (["--skip", "x"], ["-q", "-v"], ["--zookeeper", "a b"], ["--task", "none_such"], []):
        arguments = ["--zookeeper", "127.0.0.1:1", "--report", str(report), *wrong]
        done = subprocess.run([*COMMAND, *arguments], capture_output=True, stdin=subprocess.DEVNULL, timeout=30)
        assert done.returncode == 2 and done.stderr.count(b"\n") <= 2
    assert report.read_text() == "precious"


def test_an_empty_name_for_the_report_is_refused() -> None:
    done = subprocess.run(
        [*COMMAND, "--zookeeper", "z", "--no-confirm", "--report", ""], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.endswith(
        "--report : cannot be written: it is no regular file. Name a file in a folder that this user may write to\n"
    )
