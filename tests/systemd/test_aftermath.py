"""What a run leaves behind. It boots systems of its own, so it comes first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ..lab.host_scripts.process import wait_until
from .fleet import STATE, Fleet
from .network import NAMESPACES, PREFIX
from .system import groups_left
from .units import Style

REPOSITORY = Path(__file__).parents[2]
ONE_SYSTEM = """
import time
from tests.systemd.fleet import Fleet
from tests.systemd.units import Style
with Fleet({1: Style()}):
    print("up", flush=True)
    time.sleep(600)
"""
SOON = 10.0  # s


def nspawns() -> list[str]:
    """Return the processes that boot our systems."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:  # it has ended
            continue
        if any(word.startswith(f"--directory={STATE}/".encode()) for word in words):
            found.append(file.parent.name)
    return found


def is_clean() -> bool:
    """Tell whether nothing of ours is there."""
    networks = list(NAMESPACES.glob(f"{PREFIX}*"))
    return not (nspawns() or networks or groups_left() or STATE.exists())


def test_a_run_removes_all_that_it_made(systemd_needs: None) -> None:
    with Fleet({1: Style()}) as fleet:
        assert fleet.systems[1].run("id -un") == "root"
        assert nspawns()
    assert is_clean()


def test_systems_die_with_a_killed_run_and_the_next_one_removes_the_rest(
    systemd_needs: None,
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", ONE_SYSTEM], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    child.kill()
    child.wait()
    assert wait_until(lambda: not nspawns(), SOON)
    with Fleet({}):
        pass
    assert is_clean()
