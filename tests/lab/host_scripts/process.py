"""Starting and ending the broker of a host, by the files in its folder.

`launch` runs the broker in the foreground, writes its pid to `pid` and waits for it, so that no
zombie is left even where nobody reaps orphans. The scripts and the lab itself use these same
functions.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PID = "pid"
LAUNCH = "launch"
LAUNCH_DYING = "launch-dying"
LAUNCH_LINGERING = "launch-lingering"
LOG = "broker.log"
INVOCATION = "invocation"  # what this launch is called, as by systemd
EXITED = "exited"  # the exit status of the JVM, once it has ended
LAUNCH_TIMEOUT = 10.0  # s, until the pid is written
POLL = 0.01  # s


def wait_until(condition: Callable[[], bool], timeout: float, poll: float = POLL) -> bool:
    """Poll a condition for at most `timeout` s; tell whether it came to hold."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll)
    return True


def alive(pid: int) -> bool:
    """Tell whether a process exists and is not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def broker_pid(folder: Path) -> int | None:
    """Read the pid of the running broker, or None when it does not run."""
    try:
        pid = int((folder / PID).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if alive(pid) else None


def launch(folder: Path, script: str = LAUNCH) -> bool:
    """Start the broker, detached, unless it runs; tell whether it was started."""
    with _one_at_a_time(folder):
        if broker_pid(folder) is not None:
            return False
        (folder / PID).unlink(missing_ok=True)
        _detach(folder, script)
        if not wait_until(lambda: _is_written(folder / PID), LAUNCH_TIMEOUT):
            raise TimeoutError(f"{folder / script} wrote no pid")
        return True


def send(folder: Path, number: signal.Signals) -> int | None:
    """Send a signal to the broker; return its pid, or None when it did not run."""
    pid = broker_pid(folder)
    if pid is not None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return None
    return pid


def wait_gone(pid: int, timeout: float) -> bool:
    """Wait until a process is gone; tell whether it is."""
    return wait_until(lambda: not alive(pid), timeout)


def _detach(folder: Path, script: str) -> None:
    with (folder / LOG).open("ab") as log:
        subprocess.run(
            ["setsid", "--fork", str(folder / script)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
        )


def _is_written(path: Path) -> bool:
    return path.exists() and path.read_text().endswith("\n")


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    with (folder / "launch-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
