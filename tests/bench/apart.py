"""What two benchmarks share: servers in a process of their own, and the memory of this one."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 1024  # KiB


@contextmanager
def served(module: str, *arguments: str) -> Iterator[None]:
    """Have a module serve in a process of its own: it says READY, and ends with its input."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None and server.stdout is not None
        try:
            if server.stdout.readline() != "READY\n":
                raise RuntimeError(f"{module} cannot serve")
            yield
        finally:
            server.stdin.close()


def peak_mib() -> float:
    """Return the most memory (MiB) that was resident in this process so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / MIB
