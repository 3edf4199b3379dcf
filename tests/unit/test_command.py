"""The command as a process: its exit status is what it says, whatever becomes of its output."""

import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-m", "kafka_rolling_restart"]


def test_a_full_disk_does_not_change_the_exit_status() -> None:
    with Path("/dev/full").open("w") as full:
        assert subprocess.run([*COMMAND, "--version"], stdout=full, stderr=full, timeout=30).returncode == 0


def test_wrong_usage_is_status_2_and_says_so_on_stderr() -> None:
    done = subprocess.run([*COMMAND, "--skip", "x"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and done.stdout == "" and "--skip" in done.stderr
