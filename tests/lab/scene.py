"""Playing a cell of the fault matrix: hold the run at a step, strike it there with the fault, let
it go on to its end.

That a step is reached is seen outside the tool: in the calls on a host, in the requests to a
JMXProxy, or by a task that says so; and the run is held there until the fault has struck. What the
tool says is not looked at.
"""

from __future__ import annotations

import resource
import shlex
import signal
import textwrap
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

from .base import AnyLab
from .broker import RUNNING, STATE, UNDER_REPLICATED
from .command import Finished, Running
from .daemon import LabError
from .host import Host
from .host_scripts.process import wait_until
from .lab import Lab
from .matrix import Cell, Step

STOP, START, PREFLIGHT = "service kafka stop", "service kafka start", "id -u"
QUICK = ("--cluster-type", "lab", "--no-confirm", "--check-interval", "0.3", "--check-count", "2")
OTHER = 3
ZOOKEEPER_AWAY = 10.0  # s
LIMIT = 10.0  # s, of --unhealthy-time-limit; what must be waited out in many cells
PATIENT = 40.0  # s, where the run is to outlive the fault
MOMENT_TIMEOUT = 60.0  # s, until a step is reached
AT_ONCE = 10.0  # s
STALE = 2.0  # s
# s from one signal to the next: one of them meets the last moment of the interpreter
IMPATIENCE = 0.01
END_TIMEOUT = 240.0  # s
TASK = """
    import time
    from argparse import ArgumentParser
    from pathlib import Path
    from kafka_rolling_restart.task import PostStopTask, PreStopTask

    class Pre(PreStopTask):
        def parse_args(self, args):
            parser = ArgumentParser()
            parser.add_argument("--in")
            parser.add_argument("--folder", type=Path)
            return parser.parse_args(args)

        def run(self, host):
            if getattr(self.args, "in") != type(self).__name__:
                return
            (self.args.folder / "inside").touch()
            deadline = time.monotonic() + 60
            while not (self.args.folder / "released").exists() and time.monotonic() < deadline:
                time.sleep(0.02)

    class Post(PostStopTask):
        parse_args = Pre.parse_args
        run = Pre.run
"""


@dataclass
class Scene(Generic[AnyLab]):
    """A run of the tool that is held at a step. ``struck`` is when (monotonic s) the fault took a
    broker down."""

    lab: AnyLab
    cell: Cell
    folder: Path
    run: Running
    struck: dict[int, float] = field(default_factory=dict)

    @property
    def in_hand(self) -> Host:
        """The host of the broker in hand."""
        return self.lab.hosts[self.cell.in_hand - 1]

    @property
    def other(self) -> Host:
        """The host of another broker."""
        return self.lab.hosts[OTHER - 1]

    def wait(
        self, what: str, condition: Callable[[], bool], timeout: float = MOMENT_TIMEOUT
    ) -> None:
        """Wait for something while the run goes on."""
        wait_until(lambda: condition() or not self.run.is_running(), timeout)
        if not condition():
            self.run.kill()
            raise LabError(
                f"{what}: not seen within {timeout:.0f} s:\n{self.run.stdout}\n{self.run.stderr}"
            )

    def take_down(self, host: Host, how: Callable[[], None]) -> None:
        """Take a broker down, and remember since when."""
        self.struck[host.id] = time.monotonic()
        how()

    def release(self) -> None:
        """Let the run go on from where it is held."""
        (self.folder / "released").touch()
        self.lab.hosts[0].service.hold = None
        self.lab.hosts[0].jmxproxy.override = {}


AnyScene = Scene[Any]
LabScene = Scene[Lab]


def play(lab: Lab, folder: Path, cell: Cell) -> tuple[LabScene, Finished]:
    """Run the tool with the cell's fault at the cell's step; return how it ended."""
    (folder / "scenetask.py").write_text(textwrap.dedent(TASK))
    if cell.step in HELD_CALLS:
        lab.hosts[0].service.hold = HELD_CALLS[cell.step]
    elif cell.step is Step.FIRST_WAIT:
        _hold_waits(lab)
    output = folder / "output" if cell.fault == "disk-full" else None
    run = lab.launch(*_arguments(cell, folder), cwd=folder, output=output)
    scene = Scene(lab, cell, folder, run)
    _reach(scene)
    FAULTS[cell.fault](scene)
    scene.release()
    return scene, run.finish(END_TIMEOUT)


def _arguments(cell: Cell, folder: Path) -> list[str]:
    limit = PATIENT if cell.fault == "zookeeper-10s" else LIMIT
    plan = ",".join(map(str, cell.plan))
    arguments = [
        *QUICK,
        "--metrics-timeout",
        "3",
        "--unhealthy-time-limit",
        str(limit),
        "--broker-ids",
        plan,
    ]
    return [*arguments, *task_arguments(cell, folder)]


def task_arguments(cell: Cell, folder: Path) -> list[str]:
    """Tell of the task that holds the run at its step, if one does."""
    if cell.step not in TASKS:
        return []
    words = shlex.join(["--in", TASKS[cell.step], "--folder", str(folder)])
    return ["--task", "scenetask", "--task-args", words]


def _hold_waits(lab: Lab) -> None:
    """Keep the cluster from being healthy: broker 1 tells of an under-replicated partition."""
    lab.hosts[0].jmxproxy.override = {UNDER_REPLICATED: 1}


def _reach(scene: LabScene) -> None:
    """Wait until the run is at the cell's step, and held there."""
    step, first = scene.cell.step, scene.lab.hosts[0]
    if step in HELD_CALLS:
        call = HELD_CALLS[step]
        scene.wait(f"`{call}` is called", lambda: bool(first.called(call)))
    elif step in TASKS:
        scene.wait("the task runs", (scene.folder / "inside").exists)
    elif step is Step.FIRST_WAIT:
        scene.wait("the preflight is made", lambda: bool(first.called(PREFLIGHT)))
        _wait_for_a_check(scene)
    else:
        scene.wait("the broker is stopped", lambda: bool(first.called(STOP)))
        _hold_waits(scene.lab)
        scene.wait("the broker is started", lambda: bool(first.called(START)))
        _wait_for_a_check(scene)
        scene.wait("the broker serves again", lambda: first.metric(STATE) == RUNNING)


def _wait_for_a_check(scene: AnyScene) -> None:
    """Wait until broker 3 is asked for its metrics: only a health check does that, and the
    preflight before it."""
    before = len(scene.other.jmxproxy.requests)
    scene.wait("a health check is made", lambda: len(scene.other.jmxproxy.requests) > before)


def _signal(number: signal.Signals) -> Callable[[AnyScene], None]:
    return lambda scene: scene.run.send(number)


def _second_signal(scene: AnyScene) -> None:
    """Send a signal, and then others as an impatient person does: they are to end the run at once,
    though it is held."""
    scene.run.send(signal.SIGINT)
    deadline = time.monotonic() + AT_ONCE
    while scene.run.is_running():
        if time.monotonic() > deadline:
            raise AssertionError(
                f"signals did not end the run within {AT_ONCE:.0f} s:\n{scene.run.stdout}"
            )
        time.sleep(IMPATIENCE)
        scene.run.send(signal.SIGTERM)


def _start_fails(scene: AnyScene) -> None:
    scene.in_hand.service.start_mode = "fail"


def _start_hangs(scene: AnyScene) -> None:
    scene.in_hand.service.start_mode = "hang"


def _stop_hangs(scene: AnyScene) -> None:
    scene.in_hand.service.stop_mode = "hang"


def _stop_fails(scene: AnyScene) -> None:
    scene.in_hand.service.stop_mode = "fail"


def _jvm_exits(scene: AnyScene) -> None:
    """Let the JVM of the next start exit by itself; in a wait after a start, end the one that was
    started."""
    if scene.cell.step in (Step.BETWEEN, Step.LAST_WAIT):
        scene.take_down(scene.lab.hosts[0], scene.lab.hosts[0].kill)
    else:
        scene.in_hand.service.start_mode = ["dies", "normal"]


def _other_killed(scene: AnyScene) -> None:
    scene.take_down(scene.other, scene.other.kill)


def _other_frozen(scene: AnyScene) -> None:
    scene.take_down(scene.other, scene.other.freeze)


def _metrics_hang(scene: AnyScene) -> None:
    scene.other.jmxproxy.hang = True


def _metrics_stale(scene: AnyScene) -> None:
    """Keep a snapshot for ever, and let it become certainly older than a rounded uptime can
    tell."""
    scene.other.jmxproxy.stale = True
    time.sleep(STALE)


def _metrics_garbage(scene: AnyScene) -> None:
    scene.other.jmxproxy.garbage = "html"


def _zookeeper_away(scene: LabScene) -> None:
    """Let the run go on without ZooKeeper, which is back after 10 s."""
    server = scene.lab.ensemble[0]
    server.stop()
    scene.release()
    time.sleep(ZOOKEEPER_AWAY)
    server.start()


def _zookeeper_gone(scene: LabScene) -> None:
    scene.lab.ensemble[0].stop()


def _ssh_refused(scene: AnyScene) -> None:
    scene.in_hand.sshd.stop()


def _ssh_hangs(scene: AnyScene) -> None:
    scene.in_hand.sshd.freeze()


def _ssh_cut(scene: AnyScene) -> None:
    scene.in_hand.sshd.cut()


def _stdout_closed(scene: AnyScene) -> None:
    scene.run.close_output()


def _disk_full(scene: AnyScene) -> None:
    """Let the file that the run writes to grow no further (EFBIG instead of ENOSPC: a limit needs
    no disk)."""
    resource.prlimit(scene.run.pid, resource.RLIMIT_FSIZE, (0, 0))


HELD_CALLS: Mapping[Step, str] = {Step.PREFLIGHT: PREFLIGHT, Step.STOP: STOP, Step.START: START}
TASKS: Mapping[Step, str] = {Step.PRE_STOP: "Pre", Step.POST_STOP: "Post"}
# those that do not depend on what the brokers register in, nor on their metrics
COMMON_FAULTS: Mapping[str, Callable[[AnyScene], None]] = {
    "sigint": _signal(signal.SIGINT),
    "second-signal": _second_signal,
    "sigkill": _signal(signal.SIGKILL),
    "start-fails": _start_fails,
    "start-hangs": _start_hangs,
    "stop-hangs": _stop_hangs,
    "stop-fails": _stop_fails,
    "jvm-exits": _jvm_exits,
    "other-killed": _other_killed,
    "other-frozen": _other_frozen,
    "ssh-refused": _ssh_refused,
    "ssh-hangs": _ssh_hangs,
    "ssh-cut": _ssh_cut,
}
FAULTS: Mapping[str, Callable[[LabScene], None]] = {
    **COMMON_FAULTS,
    "sigterm": _signal(signal.SIGTERM),
    "sighup": _signal(signal.SIGHUP),
    "metrics-hang": _metrics_hang,
    "metrics-stale": _metrics_stale,
    "metrics-garbage": _metrics_garbage,
    "zookeeper-10s": _zookeeper_away,
    "zookeeper-gone": _zookeeper_gone,
    "stdout-closed": _stdout_closed,
    "disk-full": _disk_full,
}
