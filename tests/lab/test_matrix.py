"""The fault matrix: every fault at every step of the runbook ends as the table says, by what the
observer saw."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from .base import BaseLab
from .broker import RUNNING, STATE
from .command import Finished
from .history import Down
from .host import Host
from .host_scripts.process import wait_until
from .kraft import KraftLab
from .kraft_scene import ARGUMENTS as KRAFT_ARGUMENTS
from .kraft_scene import KRAFT_FAULTS, play_kraft
from .lab import Lab
from .matrix import (
    KRAFT_QUICK,
    KRAFT_TABLE,
    QUICK,
    TABLE,
    Cell,
    Outcome,
    Step,
    cells,
    without_sense,
    words,
)
from .scene import FAULTS, OTHER, STOP, AnyScene, play
from .scene import QUICK as ARGUMENTS

SETTLED = 20.0  # s, for what the fault or the run set going to be seen
MOMENT = 1.0  # s, for which what was seen at the end must stay so
LOCK_DIES = 20.0  # s, after a run was killed: its ZooKeeper session times out
BACK = 60.0  # s, for a broker that is started by hand
SSH_LINE = re.compile(r"ssh \S+ '[^']*'")
UNTOUCHED = (2, 3, 6)
DOWN = 5
KILLED = -9


def marked(table: str, quick: str) -> list[object]:
    """Return the cells of a table as parameters, those of ``quick`` marked."""
    found: list[object] = []
    for cell in cells(table):
        marks = [pytest.mark.faults]
        if cell.name in quick.split():
            marks.append(pytest.mark.quick_faults)
        found.append(pytest.param(cell, id=cell.name, marks=marks))
    return found


@pytest.mark.parametrize("cell", marked(TABLE, QUICK))
def test_a_fault_at_a_step_ends_as_written(lab: Lab, tmp_path: Path, cell: Cell) -> None:
    scene, finished = play(lab, tmp_path, cell)
    it_ended_as_written(scene, finished, ARGUMENTS)


@pytest.mark.parametrize("cell", marked(KRAFT_TABLE, KRAFT_QUICK))
def test_a_fault_at_a_step_of_a_kraft_roll_ends_as_written(
    kraft_lab: KraftLab, tmp_path: Path, cell: Cell
) -> None:
    scene, finished = play_kraft(kraft_lab, tmp_path, cell)
    it_ended_as_written(scene, finished, KRAFT_ARGUMENTS)


def it_ended_as_written(scene: AnyScene, finished: Finished, arguments: Sequence[str]) -> None:
    """Check the ending against the table and against what must hold at every ending."""
    lab, cell = scene.lab, scene.cell
    written = written_for(finished, cell)
    settled = wait_until(lambda: seen(lab, finished) == written, SETTLED, 0.1)
    time.sleep(MOMENT)
    assert settled and seen(lab, finished) == written, story(scene, finished)
    assert no_stop_made_two_down(scene), story(scene, finished)
    assert no_broker_is_down_without_a_word(scene, finished), story(scene, finished)
    if finished.status in UNTOUCHED:
        assert service_calls(lab) == [], story(scene, finished)
    if finished.status == KILLED and written.down:
        a_new_run_takes_no_second_broker_down(scene, arguments)
    lab.mend()
    if isinstance(lab, KraftLab):
        lab.start_controllers()
    if finished.status == DOWN:
        the_last_line_starts_the_brokers(scene, finished, written)


@pytest.mark.parametrize(
    ("table", "faults"), [(TABLE, set(FAULTS)), (KRAFT_TABLE, set(KRAFT_FAULTS))]
)
def test_no_combination_of_a_step_and_a_fault_is_missing(table: str, faults: set[str]) -> None:
    named = {(step, fault) for step, fault, _ in words(table)}
    assert named == set(product(Step, faults))
    assert len(cells(table)) + len(without_sense(table)) == len(Step) * len(faults)


@pytest.mark.parametrize(("table", "quick"), [(TABLE, QUICK), (KRAFT_TABLE, KRAFT_QUICK)])
def test_the_quick_cells_are_cells(table: str, quick: str) -> None:
    assert set(quick.split()) <= {cell.name for cell in cells(table)}


def test_a_stop_while_another_broker_is_down_is_found() -> None:
    two_is_down = Down(2, 5, 8)
    assert second_downs([(1, 6)], [two_is_down]) == [(1, two_is_down)]
    assert second_downs([(1, 4), (1, 8), (2, 6)], [two_is_down]) == []
    assert second_downs([(1, 60)], [Down(2, 5, None)]) != []


def written_for(finished: Finished, cell: Cell) -> Outcome:
    """Return the ending that the table has for this status, or else the first one, to differ
    from."""
    return next((one for one in cell.outcomes if one.status == finished.status), cell.outcomes[0])


def seen(lab: BaseLab, finished: Finished) -> Outcome:
    """Tell how the run ended and what the observer saw of the brokers: controllers come back by
    the hand of the fault."""
    brokers = [host.id for host in lab.hosts]
    back = tuple(number for number in lab.observer.restarted() if number in brokers)
    down = {down.id for down in lab.observer.downs() if down.until is None}
    return Outcome(finished.status, back, tuple(sorted(down)))


def service_calls(lab: BaseLab) -> list[str]:
    return [call for host in lab.hosts for call in host.calls() if call.split()[1] == "service"]


def no_stop_made_two_down(scene: AnyScene) -> bool:
    """Tell whether at each stop command no other broker was down, nor already struck by the
    fault."""
    struck = [Down(number, since, None) for number, since in scene.struck.items()]
    stopped = [(host.id, moment) for host in scene.lab.hosts for moment in stops(host)]
    return not second_downs(stopped, [*scene.lab.observer.downs(), *struck])


def second_downs(
    stopped: Sequence[tuple[int, float]], downs: Sequence[Down]
) -> list[tuple[int, Down]]:
    """List the stops of a broker while another one was down."""
    return [
        (number, down)
        for number, moment in stopped
        for down in downs
        if down.id != number
        and down.since <= moment
        and (down.until is None or moment < down.until)
    ]


def stops(host: Host) -> list[float]:
    """List when (monotonic s) the stop command was called on a host."""
    lead = time.time() - time.monotonic()
    return [moment - lead for moment in host.called(STOP)]


def no_broker_is_down_without_a_word(scene: AnyScene, finished: Finished) -> bool:
    """Tell whether every broker that we stopped is up, where the status does not call for a
    person."""
    ours = [host.id for host in scene.lab.hosts if host.called(STOP)]
    down = seen(scene.lab, finished).down
    return finished.status in (DOWN, KILLED) or not any(number in down for number in ours)


def a_new_run_takes_no_second_broker_down(scene: AnyScene, usual: Sequence[str]) -> None:
    """Check that a run after one that was killed is refused: at first by its lock, then by the
    health."""
    before = service_calls(scene.lab)
    arguments = [*usual, "--broker-ids", "2", "--unhealthy-time-limit", "3"]
    deadline = time.monotonic() + LOCK_DIES
    while (finished := scene.lab.run(*arguments)).status == 6 and time.monotonic() < deadline:
        assert service_calls(scene.lab) == before
    assert finished.status == 3, story(scene, finished)
    assert service_calls(scene.lab) == before, story(scene, finished)


def the_last_line_starts_the_brokers(scene: AnyScene, finished: Finished, written: Outcome) -> None:
    """Check that the end names who may be down, and that the commands on the last lines bring them
    back."""
    ours = [number for number in written.down if number != OTHER] or [scene.cell.in_hand]
    lines = [line for line in finished.commands if SSH_LINE.fullmatch(line)]
    for host in (scene.lab.hosts[number - 1] for number in ours):
        mine = [line for line in lines if line.split()[1] == host.address]
        assert f"broker {host.id}" in finished.last_sentence and mine, story(scene, finished)
        bring_back(scene, host, mine[0])


def bring_back(scene: AnyScene, host: Host, line: str) -> None:
    """Type a line as a person would: again when the old process was still there at the first
    time."""
    program, *words = shlex.split(line)
    command = [program, "-F", str(scene.lab.ssh.config), "-o", "BatchMode=yes", *words]
    deadline = time.monotonic() + BACK
    while not is_back(scene.lab, host):
        assert time.monotonic() < deadline, f"`{line}` did not bring broker {host.id} back"
        subprocess.run(command, check=True, timeout=BACK, capture_output=True)
        wait_until(lambda: is_back(scene.lab, host) or not host.is_up(), SETTLED, 0.2)


def is_back(lab: BaseLab, host: Host) -> bool:
    is_member = not isinstance(lab, Lab) or host.id in lab.observer.registered()
    return is_member and host.metric(STATE) == RUNNING


def story(scene: AnyScene, finished: Finished) -> str:
    """Tell everything that was seen, for a cell that did not end as written."""
    written = " or ".join(map(str, scene.cell.outcomes))
    calls = [
        f"  {host.id}: {call}"
        for host in scene.lab.hosts
        for call in host.calls()
        if "service" in call
    ]
    return "\n".join(
        [
            f"{scene.cell.name}: written: {written}",
            f"seen: {seen(scene.lab, finished)} after {finished.seconds:.1f} s; struck: "
            f"{scene.struck}",
            f"downs: {scene.lab.observer.downs()}",
            *calls,
            finished.stdout,
            finished.stderr,
        ]
    )
