"""The report file of --report: the state of the run as JSON, replaced atomically, so that it is right after kill -9 too.

Its schema is report.schema.json, beside this module. What it says changes only together with `VERSION`.
"""

import json
import os
import socket
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from kafka_rolling_restart.errors import LockHeld, UsageError
from kafka_rolling_restart.outcome import Outcome
from kafka_rolling_restart.parallel import NotInTime, aside
from kafka_rolling_restart.record import Progress, Record, State
from kafka_rolling_restart.writer import Writer

VERSION = 1
FLUSH_S = 2.0
OPEN_S = 10.0  # for the first time it is written: a mount that does not answer is found out before anything is touched


@dataclass(frozen=True)
class Run:
    """What does not change during a run. ``command`` is what was typed; ``began`` is wall-clock time at ``now`` (s)."""

    tool: str
    command: Sequence[str]
    cluster: str
    zookeeper: str
    configuration: str | None
    holder: Mapping[str, object]
    began: datetime
    now: float


class ReportFile:
    """Keeps a file up to date with a run, on a thread of its own. ``warn`` hears, once, that it cannot be written."""

    def __init__(self, path: str, run: Run, warn: Callable[[str], None]) -> None:
        self._sink = _Sink(Path(os.path.realpath(Path(path).expanduser())), run, warn)
        self._given = path
        self._writer: Writer | None = None

    def open(self) -> None:
        """Write it for the first time.

        Raises `UsageError` where that does not work, and `LockHeld` where it is the file of a run that goes on.
        """
        try:
            aside(self._sink.open, OPEN_S)
        except (OSError, NotInTime) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(
                f"--report {self._given}: cannot be written: {why}. Name a file in a folder that this user may write to"
            ) from error
        self._writer = Writer(self._sink)

    def put(self, progress: Progress) -> None:
        """Hand over how far the run has come; what was not yet written of an earlier state is left out."""
        if self._writer is not None:
            self._writer.put(progress)

    def end(self, outcome: Outcome) -> None:
        """Hand over how the run ended."""
        if self._writer is not None:
            self._writer.put(outcome)

    def flush(self) -> bool:
        """Wait until the file is up to date, for 2 s at the most; return whether it is."""
        return self._writer is None or self._writer.drain(FLUSH_S)


class _Sink:
    tick_s: float | None = None

    def __init__(self, path: Path, run: Run, warn: Callable[[str], None]) -> None:
        self._path = path
        self._run = run
        self._warn = warn
        self._progress = Progress(run.now, run.now)
        self._outcome: Outcome | None = None
        self._news = False
        self._failed = False

    def open(self) -> None:
        if self._path.exists() and not self._path.is_file():
            raise OSError(0, "it is no regular file")
        _require_nobody_writes(self._path)
        self._write()

    def take(self, item: Any) -> None:
        self._news = True
        if isinstance(item, Outcome):
            self._outcome = item
        else:
            self._progress = item

    def idle(self) -> None:
        if not self._news:
            return
        self._news = False
        try:
            self._write()
        except OSError as error:
            if not self._failed:
                self._warn(
                    f"--report {self._path}: cannot be written any more: {error.strerror or error}. The run goes on; do not "
                    "trust what the file says"
                )
            self._failed = True

    def _write(self) -> None:
        replace_file(self._path, json.dumps(document(self._run, self._progress, self._outcome), indent=2) + "\n")


def replace_file(path: Path, text: str) -> None:
    """Replace a file by one with this text, at one moment, keeping its mode. Raises `OSError`: then it is as it was."""
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def document(run: Run, progress: Progress, outcome: Outcome | None) -> dict[str, Any]:
    """Return the state of a run as report.schema.json describes it."""
    when = partial(_when, run)
    records = [_record(place, record, when) for place, record in enumerate(progress.records, 1)]
    return {
        "version": VERSION,
        "tool": run.tool,
        "command": list(run.command),
        "cluster": {"name": run.cluster, "zookeeper": run.zookeeper, "configuration": run.configuration},
        "host": run.holder["host"],
        "user": run.holder["user"],
        "pid": run.holder["pid"],
        "began": when(run.now),
        "updated": _now(),
        "ended": None if outcome is None else _now(),
        "status": None if outcome is None else outcome.status,
        "outcome": None if outcome is None else outcome.line,
        "resume": progress.resume or None,
        "step": {
            "name": progress.step.value if outcome is None else "ended",
            "broker": progress.broker.id if progress.broker else None,
            "since": when(progress.step_began or run.now),
            "detail": progress.detail or None,
        },
        "health": {
            "state": progress.health.value if progress.health else None,
            "healthy_checks": progress.healthy,
            "of": progress.count,
            "reasons": [{"text": reason.text, "lasting_s": round(reason.lasting, 1)} for reason in progress.reasons],
        },
        "brokers": records,
        "may_be_down": _may_be_down(progress, outcome),
    }


def _record(place: int, record: Record, when: Callable[[float | None], str | None]) -> dict[str, Any]:
    return {
        "place": place,
        "id": record.broker.id,
        "host": record.broker.host,
        "state": record.state.value,
        "stopped": when(record.stopped_at),
        "gone": when(record.gone_at),
        "back": when(record.back_at),
        "whole": when(record.whole_at),
        "down_s": _rounded(record.down_s),
        "whole_after_s": _rounded(record.whole_after_s),
        "old_jvm_started": record.old.started if record.old else None,
        "new_jvm_started": record.new.started if record.new else None,
        "trouble": record.trouble or None,
    }


def _may_be_down(progress: Progress, outcome: Outcome | None) -> list[dict[str, Any]]:
    """Return the broker in hand, and those of the restarted ones that were not seen at the end."""
    lost = set() if outcome is None else set(outcome.lost)
    return [
        {"id": record.broker.id, "host": record.broker.host, "start_command": record.start_line}
        for record in progress.records
        if record.state is State.IN_HAND or record.broker in lost
    ]


def _when(run: Run, moment: float | None) -> str | None:
    return (
        None if moment is None else (run.began + timedelta(seconds=moment - run.now)).isoformat(timespec="milliseconds")
    )


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _require_nobody_writes(path: Path) -> None:
    """Leave the file of a run that goes on alone: what it says is wanted when that run is killed."""
    try:
        found = json.loads(path.read_bytes())
        user, host, pid, began, ended = (found[key] for key in ("user", "host", "pid", "began", "ended"))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return  # there is none, or none that is ours
    if ended is None and host == socket.gethostname() and pid != os.getpid() and _is_this_tool(pid):
        raise LockHeld(
            f"{path} is the report of a run that goes on: {user} on {host}, pid {pid}, since {began}. Let it end, or "
            "stop it, then try again; runs on other clusters need files of their own"
        )


def _is_this_tool(pid: object) -> bool:
    try:
        return b"rolling" in Path(f"/proc/{int(str(pid))}/cmdline").read_bytes()
    except (OSError, ValueError):
        return False


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current
