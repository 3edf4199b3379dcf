"""Stand-in for `sh -c LINE` where the line reads all of /proc, or the id of the boot: it sees the
processes of this host only, and an id of its own, as all hosts of the lab share one machine."""

from __future__ import annotations

import uuid

from . import host
from .pgrep import is_ours, pids

BOOT_ID = "/proc/sys/kernel/random/boot_id"
EVERY = "/proc/[0-9]*"
JAVA = "java"


def main(arguments: list[str]) -> int:
    """Go on as the real sh, with the processes of this host in place of the pattern for all."""
    hides_java = host.fault("pgrep_hidden", "no") != "no"
    ours = [
        f"/proc/{pid}" for pid in pids() if is_ours(pid) and not (hides_java and _name(pid) == JAVA)
    ]
    boot_id = host.folder() / "boot_id"
    if not boot_id.exists():
        boot_id.write_text(f"{uuid.uuid5(uuid.NAMESPACE_URL, str(host.folder()))}\n")
    lines = [
        argument.replace(EVERY, " ".join(ours)).replace(BOOT_ID, str(boot_id))
        for argument in arguments
    ]
    host.run_real("sh", lines)


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""
