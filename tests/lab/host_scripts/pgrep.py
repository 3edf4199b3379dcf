"""Stand-in for pgrep: the real one, but for the processes of the lab's other hosts, as all hosts
share one machine.

A process is of this host if `LAB_HOST` in its environment says so: sshd sets it for its sessions,
and the launcher for the JVM.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from . import host

FOUND, NOT_FOUND = 0, 1


def main(arguments: list[str]) -> int:
    """Print what the real one finds on this host, in the format that the arguments ask for; return
    the exit status."""
    host.record("pgrep", arguments)
    if host.fault("pgrep_hidden", "no") != "no":
        return _tell([], arguments)
    counts = [argument for argument in arguments if argument in ("-c", "--count")]
    real = [argument for argument in arguments if argument not in counts]
    done = subprocess.run(
        [host.find_real("pgrep"), *real], capture_output=True, text=True, check=False
    )
    sys.stderr.write(done.stderr)
    if done.returncode not in (FOUND, NOT_FOUND):
        return done.returncode
    lines = [line for line in done.stdout.splitlines() if _is_shown(int(line.split()[0]))]
    return _tell(lines, arguments)


def pids() -> list[int]:
    """List the processes of the machine."""
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def is_ours(pid: int) -> bool:
    """Tell whether a process is of this host."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False  # it ended meanwhile, or is somebody else's
    return f"LAB_HOST={host.folder()}".encode() in environment


def _is_shown(pid: int) -> bool:
    """Tell whether a process is of this host, and not this one: the real pgrep does not show
    itself."""
    return pid != os.getpid() and is_ours(pid)


def _tell(lines: list[str], arguments: list[str]) -> int:
    if "-c" in arguments or "--count" in arguments:
        print(len(lines))
    elif lines:
        print("\n".join(lines))
    return FOUND if lines else NOT_FOUND
