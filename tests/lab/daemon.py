"""A background process of the lab: started, stopped, killed, frozen and thawed by its own pid."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from .host_scripts.process import alive, wait_until

STOP_TIMEOUT = 10.0  # s, from SIGTERM to SIGKILL


class LabError(Exception):
    """The lab itself does not work; the message has the end of the log that tells why."""


def tail(log: Path, size: int = 3000) -> str:
    """Return the end of a log file."""
    return log.read_text(errors="replace")[-size:] if log.exists() else f"(no {log})"


def wait_for(
    what: str, condition: Callable[[], bool], timeout: float, log: Path | None = None
) -> None:
    """Poll until the condition holds; raise `LabError` with the tail of the log after `timeout`
    s."""
    if not wait_until(condition, timeout):
        detail = f"\n{tail(log)}" if log else ""
        raise LabError(f"{what}: not so after {timeout:.0f} s{detail}")


class Daemon:
    """A child process of the lab that keeps its command, so that it can be started again."""

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = list(command)
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The pid of the running process, or None."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def is_up(self) -> bool:
        """Tell whether the process exists (a frozen one does)."""
        return self.pid is not None

    def start(self) -> None:
        """Start the process in a session of its own, unless it runs."""
        if self.is_up():
            return
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> None:
        """End the process, kindly at first, and wait until it is gone."""
        if self._child is None or not self.is_up():
            return
        self.thaw()
        self._child.terminate()
        try:
            self._child.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process with SIGKILL."""
        if self._child is not None and self.is_up():
            self._child.kill()
            self._child.wait()

    def freeze(self) -> None:
        """Stop the process with SIGSTOP: it keeps its sockets and says nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        pid = self.pid
        if pid is not None and alive(pid):
            os.kill(pid, number)
