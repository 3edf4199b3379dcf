"""Stand-in for `service kafka start|stop`, and on the host of a controller for `service
kafka-controller start|stop`."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from . import host, process

STOP_TIMEOUT = 120.0  # s
LOUD = 4 * 1024 * 1024  # bytes on each stream
DYING = "dies"
STUCK = "stuck"
KILLS = "kills"
UNITS = "units"
STOPPING = "stopping"  # the pid that is being stopped
KILLS_AFTER = 45.0  # s


def main(arguments: list[str]) -> int:
    """Do what the arguments say, in the way that the host's faults say; return the exit status."""
    host.record("service", arguments)
    host.wait_while_held("service", arguments)
    if len(arguments) == 2 and arguments[0] in units(host.folder()):
        if arguments[1] == "start":
            return start(host.folder(), host.fault("start_mode", "normal"))
        if arguments[1] == "stop":
            return stop(host.folder(), host.fault("stop_mode", "normal"))
    print(f"service: unrecognized: {' '.join(arguments)}", file=sys.stderr)
    return 1


def units(folder: Path) -> list[str]:
    """List the names of the host's service: its own first, then those that mean the same."""
    try:
        return (folder / UNITS).read_text().split()
    except FileNotFoundError:
        return ["kafka"]


def start(folder: Path, mode: str) -> int:
    """Start the broker."""
    time.sleep(float(host.fault(host.START_TAKES, "0")))
    if mode == "nothing":
        return 0
    if mode == "fail":
        print("Failed to start kafka.service: the lab wants it so", file=sys.stderr)
        return 1
    if mode == STUCK:
        host.hang()
        return 0
    if mode == "loud":
        _be_loud()
    if not process.launch(folder, process.LAUNCH_DYING if mode == DYING else process.LAUNCH):
        print("kafka is already running")
    if mode == "hang":
        host.hang()
    return 0


def stop(folder: Path, mode: str) -> int:
    """Stop the broker."""
    if mode == "nothing":
        return 0
    if mode == "fail":
        print("Failed to stop kafka.service: the lab wants it so", file=sys.stderr)
        return 1
    if mode == STUCK:
        host.hang()
        return 0
    if mode == "loud":
        _be_loud()
    pid = process.send(folder, signal.SIGTERM)
    (folder / STOPPING).write_text(str(pid))
    if mode == "hang":
        host.hang()
    if mode == KILLS:  # what takes long to stop: whatever runs at last
        time.sleep(KILLS_AFTER)
        process.send(folder, signal.SIGKILL)
        return 0
    if pid is None or mode in ("early", "hang"):
        return 0
    return 0 if process.wait_gone(pid, STOP_TIMEOUT) else 1


def _be_loud() -> None:
    line = "x" * 1023 + "\n"
    for stream in (sys.stderr, sys.stdout):
        stream.write(line * (LOUD // len(line)))
        stream.flush()
