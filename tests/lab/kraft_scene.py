"""Playing a cell of the fault matrix of KRaft: as in `scene`, with a quorum to be struck and
without metrics.

A wait cannot be held, as nothing of this cluster may be made up. So where the fault strikes in a
wait, the checks are so far apart that the wait is not over before.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from .command import Finished
from .host import Host
from .kraft import FENCED, KraftLab
from .matrix import Cell, Step
from .scene import (
    COMMON_FAULTS,
    END_TIMEOUT,
    HELD_CALLS,
    STOP,
    TASK,
    TASKS,
    Scene,
    task_arguments,
)

ARGUMENTS = ("--cluster-type", "lab", "--no-confirm", "--check-count", "2")
WAITS = (Step.FIRST_WAIT, Step.BETWEEN, Step.LAST_WAIT)
BEFORE_THE_STOP = (Step.PREFLIGHT, Step.FIRST_WAIT, Step.PRE_STOP)
INTERVAL, WAIT_INTERVAL = "0.3", "10"  # s
# s until a run has seen that a broker is back: it looks every 2 s
IS_SEEN = 4.0
# s, of --unhealthy-time-limit: a stop takes 9 s more while another broker is down and not fenced
LIMIT, LIMIT_BEFORE = "25", "8"
PATIENT = "60"  # s, where the run is to outlive the fault
PASSING = ("other-fenced", "quorum-10s")
RESTARTING = ("start-fails", "start-hangs", "stop-hangs", "stop-fails", "jvm-exits")
AWAY = 10.0  # s without the quorum
FENCED_FOR = 3.0  # s
FENCED_WITHIN = 30.0  # s

KraftScene = Scene[KraftLab]


def play_kraft(lab: KraftLab, folder: Path, cell: Cell) -> tuple[KraftScene, Finished]:
    """Run the tool with the cell's fault at the cell's step; return how it ended."""
    (folder / "scenetask.py").write_text(textwrap.dedent(TASK))
    if cell.step in HELD_CALLS:
        lab.hosts[0].service.hold = HELD_CALLS[cell.step]
    run = lab.launch(*_arguments(cell, folder), cwd=folder)
    scene = Scene(lab, cell, folder, run)
    _reach(scene)
    KRAFT_FAULTS[cell.fault](scene)
    scene.release()
    return scene, run.finish(END_TIMEOUT)


def _arguments(cell: Cell, folder: Path) -> list[str]:
    return [
        *ARGUMENTS,
        "--check-interval",
        WAIT_INTERVAL if cell.step in WAITS else INTERVAL,
        "--unhealthy-time-limit",
        _limit(cell),
        "--metrics-timeout",
        "3",
        "--broker-ids",
        ",".join(map(str, cell.plan)),
        *task_arguments(cell, folder),
    ]


def _limit(cell: Cell) -> str:
    if cell.fault in PASSING:
        return PATIENT
    if cell.step in BEFORE_THE_STOP and cell.fault not in RESTARTING:
        return LIMIT_BEFORE
    return LIMIT


def _reach(scene: KraftScene) -> None:
    """Wait until the run is at the cell's step, and held there."""
    step, first = scene.cell.step, scene.lab.hosts[0]
    if step in HELD_CALLS:
        call = HELD_CALLS[step]
        scene.wait(f"`{call}` is called", lambda: bool(first.called(call)))
    elif step in TASKS:
        scene.wait("the task runs", (scene.folder / "inside").exists)
    elif step is Step.FIRST_WAIT:
        scene.wait("the lock is held", lambda: bool(scene.lab.lock_holders()))
    else:
        scene.wait("the broker is stopped", lambda: bool(first.called(STOP)))
        scene.wait("the broker is back", lambda: scene.lab.observer.restarted() == [first.id])
        time.sleep(IS_SEEN)


def _other_fenced(scene: KraftScene) -> None:
    """Let the run go on while another broker is fenced; then it is a member again."""
    leader = _leader(scene)
    scene.other.freeze()
    scene.release()
    scene.wait("the other is fenced", lambda: leader.metric(FENCED) == 1, FENCED_WITHIN)
    time.sleep(FENCED_FOR)
    scene.other.thaw()


def _quorum_away(scene: KraftScene) -> None:
    """Let the run go on without a majority of the voters, which is back after 10 s."""
    controllers = _majority(scene)
    for controller in controllers:
        controller.kill()
    scene.release()
    time.sleep(AWAY)
    for controller in controllers:
        controller.start()


def _quorum_gone(scene: KraftScene) -> None:
    for controller in _majority(scene):
        controller.kill()


def _controller_killed(scene: KraftScene) -> None:
    _followers(scene)[0].kill()


def _leader_killed(scene: KraftScene) -> None:
    _leader(scene).kill()


def _majority(scene: KraftScene) -> list[Host]:
    return [_leader(scene), _followers(scene)[0]]


def _leader(scene: KraftScene) -> Host:
    leader = scene.lab.quorum_leader()
    assert leader is not None, "the quorum has no leader"
    return scene.lab.host(leader)


def _followers(scene: KraftScene) -> list[Host]:
    leader = _leader(scene)
    return [one for one in scene.lab.controllers if one is not leader]


KRAFT_FAULTS: Mapping[str, Callable[[KraftScene], None]] = {
    **COMMON_FAULTS,
    "other-fenced": _other_fenced,
    "quorum-10s": _quorum_away,
    "quorum-gone": _quorum_gone,
    "controller-killed": _controller_killed,
    "leader-killed": _leader_killed,
}
