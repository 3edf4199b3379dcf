"""The command as a process: its exit status is what it says, whatever becomes of its output."""

import os
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
