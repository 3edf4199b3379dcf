"""The host that a script runs on: the folder that sshd named, its faults and its log of calls."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import time
from pathlib import Path
from typing import NoReturn

CALLS = "calls.log"
FAULTS = "faults"
EPOCH = "epoch"
HOLD = "hold"
START_TAKES = "start_takes"
HOLD_POLL = 0.02  # s
HANG_LIMIT = 3600.0  # s; nothing hangs for longer, even when the lab was killed


def folder() -> Path:
    """Tell the folder of this host."""
    return Path(os.environ["LAB_HOST"])


def record(name: str, arguments: list[str]) -> None:
    """Write one line about this call to the host's log."""
    with (folder() / CALLS).open("a") as log:
        log.write(" ".join([f"{time.time():.3f}", name, *arguments]).replace("\n", "\\n") + "\n")


def fault(name: str, default: str) -> str:
    """Read how this call is to behave; of several modes this call takes the first, and the last one
    stays."""
    path = folder() / FAULTS / name
    if not path.exists():
        return default
    with path.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        modes = file.read().split("\n")
        if len(modes) > 1:
            file.seek(0)
            file.truncate()
            file.write("\n".join(modes[1:]))
    return modes[0]


def wait_while_held(name: str, arguments: list[str]) -> None:
    """Wait for as long as the lab holds such calls."""
    call = " ".join([name, *arguments])
    deadline = time.monotonic() + HANG_LIMIT
    while _held() == call and time.monotonic() < deadline:
        time.sleep(HOLD_POLL)


def hang() -> None:
    """Return only when the lab is reset or gone."""
    epoch = folder() / EPOCH
    deadline = time.monotonic() + HANG_LIMIT
    try:
        begun = epoch.read_text()
        while epoch.read_text() == begun and time.monotonic() < deadline:
            time.sleep(0.1)
    except FileNotFoundError:
        return


def _held() -> str | None:
    try:
        return (folder() / FAULTS / HOLD).read_text()
    except FileNotFoundError:
        return None


def run_real(name: str, arguments: list[str]) -> NoReturn:
    """Go on as the program of this name that the stand-in hides."""
    os.execv(find_real(name), [name, *arguments])


def find_real(name: str) -> str:
    """Return the path of the program that a stand-in hides."""
    own = os.environ.get("LAB_BIN", "")
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if part != own)
    program = shutil.which(name, path=path)
    if program is None:
        sys.exit(f"{name}: command not found")
    return program
