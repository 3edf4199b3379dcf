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
    return _tell([line for line in done.stdout.splitlines() if _is_ours(line)], arguments)


def _tell(lines: list[str], arguments: list[str]) -> int:
    if "-c" in arguments or "--count" in arguments:
        print(len(lines))
    elif lines:
        print("\n".join(lines))
    return FOUND if lines else NOT_FOUND


def _is_ours(line: str) -> bool:
    """Tell whether a line is about a process of this host; this one itself is not shown, as the
    real pgrep does not show itself."""
    pid = line.split()[0]
    if pid == str(os.getpid()):
        return False
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False  # it ended meanwhile, or is somebody else's
    return f"LAB_HOST={host.folder()}".encode() in environment
