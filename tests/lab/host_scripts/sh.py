"""Stand-in for `sh -c LINE` where the line reads all of /proc: it sees the processes of this host
only, as all hosts of the lab share one machine."""

from __future__ import annotations

from . import host
from .pgrep import is_ours, pids

EVERY = "/proc/[0-9]*"
JAVA = "java"


def main(arguments: list[str]) -> int:
    """Go on as the real sh, with the processes of this host in place of the pattern for all."""
    hides_java = host.fault("pgrep_hidden", "no") != "no"
    ours = [
        f"/proc/{pid}" for pid in pids() if is_ours(pid) and not (hides_java and _name(pid) == JAVA)
    ]
    host.run_real("sh", [argument.replace(EVERY, " ".join(ours)) for argument in arguments])


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""
