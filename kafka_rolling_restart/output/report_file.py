"""The report file of --report: the state of the run as JSON, replaced atomically, so that it is
right after kill -9 too.

Its schema is report.schema.json, beside this module. What it says changes only together with
`VERSION`.
"""

import json
import os
import pwd
import secrets
import socket
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from kafka_rolling_restart.errors import LockHeld, UsageError, Warn
from kafka_rolling_restart.model.broker import CONTROLLER, HOST, Broker
from kafka_rolling_restart.model.ending import Outcome
from kafka_rolling_restart.model.progress import Progress, Record, State, Step
from kafka_rolling_restart.model.verdict import Reason
from kafka_rolling_restart.output.writer import Writer
from kafka_rolling_restart.parallel import NotInTime, call_in_thread
from kafka_rolling_restart.text import clean_all, masked, said

VERSION = 1
FLUSH_S = 2.0
# characters of the file's name that the new one beside it has: names are limited to 255 bytes
NAME = 50
STREAMS = (0, 1, 2)
OURS_ALONE = 0o600
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
ROOT = 0
MAX_LINKS = 40  # as Linux has it
MAX_SIZE = 64 * 2**20  # bytes; one of 1,000 brokers has 411 kB
MAX_HOST = 255
# the command, and the module as in python -m
NAMES = (
    "kafka-rolling-restart",
    "kafka_rolling_restart",
)
# for the first time it is written: a mount that does not answer is found out before anything is
# touched
OPEN_S = 10.0


Replace = Callable[[Path, str], None]


@dataclass(frozen=True)
class Run:
    """What does not change during a run. ``command`` is what was typed; ``began`` is wall-clock
    time at ``now`` (s).

    ``start_command`` starts a node on its host; ``resume`` makes the command that goes on with
    the brokers of an earlier run, given when that began and their ids.
    """

    tool: str
    command: Sequence[str]
    cluster: str
    registry: str
    configuration: str | None
    holder: Mapping[str, object]
    began: datetime
    now: float
    start_command: Callable[[Broker], str] = lambda _node: ""
    resume: Callable[[datetime, Sequence[int]], str] = lambda _began, _ids: ""


class ReportFile:
    """Keeps a file up to date with a run, on a thread of its own. ``warn`` hears, once, that it
    cannot be written.

    ``replace`` is how the file is written.
    """

    def __init__(self, path: str, run: Run, warn: Warn, replace: Replace | None = None) -> None:
        self._given = path
        self._warn = warn
        self._warning = _Once(warn)
        self._sink = _Sink(path, run, self._warning, replace or replace_file)
        self._writer: Writer | None = None

    def open(self, patience: float = OPEN_S) -> None:
        """Write it for the first time, which is given up after ``patience`` s.

        Raises `UsageError` where that does not work, and `LockHeld` where it is the file of a run
        that goes on. The file of a run that was killed while a broker was down is kept beside it,
        and told.
        """
        try:
            left = call_in_thread(self._sink.open, patience)
        except (OSError, RuntimeError, NotInTime) as error:
            raise UsageError(
                f"--report {self._given}: cannot be written: {_why(error)}. Name a file in a "
                "folder that has space and that this user may write to",
                code="report-not-writable",
            ) from error
        if left:
            self._warn(left, code="report-of-killed-run")
        self._writer = Writer(self._sink)

    def put(self, progress: Progress) -> None:
        """Hand over how far the run has come; what was not yet written of an earlier state is left
        out."""
        if self._writer is not None:
            self._writer.put(progress)

    def end(self, outcome: Outcome) -> None:
        """Hand over how the run ended."""
        if self._writer is not None:
            self._writer.put(outcome)

    def flush(self) -> None:
        """Wait until the file is up to date, for 2 s at the most: a mount that does not answer
        holds up no restart."""
        if self._writer is not None and not self._writer.drain(FLUSH_S):
            self._warning.say(
                f"the report {self._given} was not written within {FLUSH_S:g} s, and may be out of "
                "date",
                code="report-late",
            )

    @property
    def problem(self) -> str:
        """Tell that the file does not say how the run ended, or nothing."""
        return (
            f"the report {self._given} could not be written to its end; do not trust it"
            if self._sink.is_stale
            else ""
        )


class _Once:
    """Says the first thing that it is given, and nothing else."""

    def __init__(self, warn: Warn) -> None:
        self._warn = warn
        self._said = False

    def say(self, text: str, *, code: str) -> None:
        if not self._said:
            self._said = True
            self._warn(text, code=code)


class _Sink:
    tick_s: float | None = None

    def __init__(self, given: str, run: Run, warning: _Once, replace: Replace) -> None:
        self._given = given
        self._path = Path()
        self._run = run
        self._warning = warning
        self._replace = replace
        self._progress = Progress(run.now, run.now)
        self._last: Progress | None = None
        self._outcome: Outcome | None = None
        self._news = False
        self.is_stale = False

    def open(self) -> str:
        self._path = _resolved(self._given)
        _require_nobody_writes(self._path)
        left = _keep_what_a_killed_run_left(self._path, self._run)
        self._write()
        return left

    def take(self, item: Any) -> None:
        if isinstance(item, Outcome):
            self._outcome, self._progress = item, self._last or self._progress
        elif item.step is Step.ENDED:
            # it is written together with the status, without which it tells nothing
            self._last = item
            return
        else:
            self._progress = item
        self._news = True

    def idle(self) -> None:
        if not self._news:
            return
        self._news = False
        try:
            self._write()
            self.is_stale = False
        except Exception as error:  # whatever it is, the restart goes on
            self.is_stale = True
            self._warning.say(
                f"--report {self._given}: cannot be written any more: {_why(error)}. The run goes "
                "on; do not trust what the file says",
                code="report-not-written",
            )

    def _write(self) -> None:
        # two that began in the same moment share it: the one that goes on keeps it
        if self._outcome is not None:
            _require_nobody_writes(self._path)
        self._replace(
            self._path,
            json.dumps(document(self._run, self._progress, self._outcome), indent=2) + "\n",
        )


def replace_file(path: Path, text: str) -> None:
    """Replace a file by one with this text, at one moment. It is ours, and nobody else may write to
    it.

    Who was given the right to read the file before keeps it; a new one is for us alone. Raises
    `OSError`: then it is as it was.
    """
    new = path.with_name(f".{path.name[:NAME]}.{secrets.token_hex(4)}")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OURS_ALONE)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            _let_the_same_read(handle, path)
            file.write(text)
            file.flush()
            os.fsync(handle)
        os.replace(new, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(new)
        raise


def _let_the_same_read(handle: int, path: Path) -> None:
    try:
        before = os.lstat(path)
    except OSError:  # there is none yet
        return
    if not stat.S_ISREG(before.st_mode) or before.st_uid != os.geteuid():
        return
    mode = stat.S_IMODE(before.st_mode) & ~OTHERS_WRITE
    try:
        os.fchown(handle, -1, before.st_gid)
    except PermissionError:  # that group is not one of ours
        mode &= ~stat.S_IRWXG
    os.fchmod(handle, mode | OURS_ALONE)


def _resolved(given: str) -> Path:
    """Return the file itself, where a link leads to it. Raises `OSError` for what is not to be
    replaced."""
    path = Path(given).expanduser()
    _require_own_links(path)
    if path.exists() and not path.is_file():
        raise OSError(0, "it is no regular file")
    path = Path(os.path.realpath(path))
    if path.is_symlink():
        raise OSError(0, "its link leads to itself")
    if path.exists() and any(_is_same(path.stat(), number) for number in STREAMS):
        raise OSError(0, "our own output goes there; the report needs a file of its own")
    if path.exists() and path.stat().st_uid != os.geteuid():
        raise OSError(
            0, f"it belongs to {_user(path.stat().st_uid)}, who could change what it says"
        )
    return path


def _require_own_links(path: Path) -> None:
    """Refuse a path that somebody else's link leads elsewhere; root's links are those of the
    system."""
    folder, rest, followed = Path("/"), list((Path.cwd() / path).parts[1:]), 0
    while rest:
        part = rest.pop(0)
        if part == "..":
            folder = folder.parent
            continue
        step = folder / part
        if not step.is_symlink():
            folder = step
            continue
        followed += 1
        if followed > MAX_LINKS:
            raise OSError(0, "its link leads to itself")
        owner, target = os.lstat(step).st_uid, Path(os.readlink(step))
        if owner not in (os.geteuid(), ROOT):
            raise OSError(0, f"{step} is a link of {_user(owner)}, and leads to {target}")
        if target.is_absolute():
            folder = Path("/")
        rest = [*(one for one in target.parts if one != "/"), *rest]


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user with uid {uid}"


def _is_same(found: os.stat_result, descriptor: int) -> bool:
    try:
        return os.path.samestat(found, os.fstat(descriptor))
    except OSError:  # it is closed
        return False


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".")


def document(run: Run, progress: Progress, outcome: Outcome | None) -> dict[str, Any]:
    """Return the state of a run as report.schema.json describes it."""
    when = partial(_when, run)
    records = [_record(place, record, when) for place, record in enumerate(progress.records, 1)]
    found = {
        "version": VERSION,
        "tool": run.tool,
        "command": [masked(word) for word in run.command],
        "cluster": {
            "name": run.cluster,
            "registry": run.registry,
            "configuration": run.configuration,
        },
        "host": run.holder["host"],
        "user": run.holder["user"],
        "pid": run.holder["pid"],
        "began": when(run.now),
        "updated": _now(),
        "ended": None if outcome is None else _now(),
        "status": None if outcome is None else outcome.status,
        "outcome": None if outcome is None else outcome.line,
        "code": None if outcome is None else outcome.code or None,
        "commands": [] if outcome is None else list(outcome.commands),
        "resume": progress.resume or None,
        "step": {
            "name": progress.step.value if outcome is None else "ended",
            "brokers": [broker.id for broker in progress.brokers],
            "since": when(progress.step_began or run.now),
            "detail": progress.detail or None,
        },
        "health": {
            "state": progress.health.value if progress.health else None,
            "healthy_checks": progress.healthy,
            "of": progress.count,
            "reasons": [_reason(reason) for reason in progress.reasons],
        },
        "brokers": records,
        "may_be_down": _may_be_down(progress, outcome),
    }
    # what is typed stays as it is typed
    typed = {name: found[name] for name in ("command", "commands", "resume")}
    return {**clean_all(found), **typed}


def _reason(reason: Reason) -> dict[str, Any]:
    return {"code": reason.code, "text": reason.text, "lasting_s": round(reason.lasting, 1)}


def _record(
    place: int, record: Record, when: Callable[[float | None], str | None]
) -> dict[str, Any]:
    return {
        "place": place,
        "id": record.broker.id,
        "host": record.broker.host,
        "role": record.broker.role,
        "state": record.state.value,
        "complete": record.complete,
        "stopped": when(record.stopped_at),
        "gone": when(record.gone_at),
        "back": when(record.back_at),
        "healthy": when(record.healthy_at),
        "down_s": _rounded(record.down_s),
        "healthy_after_s": _rounded(record.healthy_after_s),
        "old_jvm_started": record.old.started if record.old else None,
        "new_jvm_started": record.new.started if record.new else None,
        "trouble": record.trouble or None,
    }


def _may_be_down(progress: Progress, outcome: Outcome | None) -> list[dict[str, Any]]:
    """Return the broker in hand, and those of the restarted ones that were not seen at the end."""
    lost = set() if outcome is None else set(outcome.lost)
    return [
        {
            "id": record.broker.id,
            "host": record.broker.host,
            "role": record.broker.role,
            "start_command": record.start_line,
        }
        for record in progress.records
        if record.state in (State.IN_HAND, State.DOWN) or record.broker in lost
    ]


def _when(run: Run, moment: float | None) -> str | None:
    return (
        None
        if moment is None
        else (run.began + timedelta(seconds=moment - run.now)).isoformat(timespec="milliseconds")
    )


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _require_nobody_writes(path: Path) -> None:
    """Leave the file of a run that goes on alone: what it says is wanted when that run is
    killed."""
    try:
        found = _own_content(path)
        user, host, pid, began, ended = (
            found[key] for key in ("user", "host", "pid", "began", "ended")
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return  # there is none, or none that is ours
    if ended is None and host == socket.gethostname() and pid != os.getpid() and _is_this_tool(pid):
        raise LockHeld(
            f"{path} is the report of another run: {said(str(user))} on {host}, pid "
            f"{said(str(pid))}, since {said(str(began))}. Wait for that run, or stop it, then try "
            "again; each cluster needs a file of its own",
            code="report-in-use",
        )


def _own_content(path: Path) -> Any:
    """Return what is in a file that nobody but us can have written. Raises `OSError` for any other,
    and `ValueError`."""
    # a FIFO would be waited for
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if (
            not stat.S_ISREG(found.st_mode)
            or found.st_uid != os.geteuid()
            or found.st_mode & OTHERS_WRITE
        ):
            raise OSError(0, "others may have written it")
        return json.loads(file.read(MAX_SIZE))


@dataclass(frozen=True)
class _Left:
    """What a run that was killed had left to do. No command of its file is taken: those are made
    anew."""

    pid: int
    began: datetime
    down: tuple[Broker, ...]
    rest: tuple[int, ...]


def _left_by(path: Path) -> _Left | None:
    """Return what a killed run left, None where the file is none of such a run."""
    try:
        found = _own_content(path)
        down = tuple(_broker(one) for one in found["may_be_down"])
        rest = tuple(_id(one) for one in found["brokers"] if not one["complete"])
        if found["ended"] is not None or not down:
            return None
        return _Left(_id({"id": found["pid"]}), datetime.fromisoformat(found["began"]), down, rest)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None  # there is none, or none that is ours


def _id(found: Mapping[str, Any]) -> int:
    number = found["id"]
    if type(number) is not int or not 0 <= number < 2**31:
        raise ValueError("no id")
    return number


def _broker(found: Mapping[str, Any]) -> Broker:
    host = found["host"]
    if not isinstance(host, str) or not HOST.match(host) or len(host) > MAX_HOST:
        raise ValueError("no host")
    is_broker = found["role"] != CONTROLLER
    return Broker(_id(found), host, is_broker=is_broker, is_controller=not is_broker)


def _keep_what_a_killed_run_left(path: Path, run: Run) -> str:
    """Keep the file of a run that was killed while a broker was down; return what is to be said of
    it, if anything."""
    left = _left_by(path)
    if left is None:
        return ""
    kept = path.with_name(f"{path.name}.{left.pid}")
    os.replace(path, kept)
    starts = dict.fromkeys(run.start_command(one) for one in left.down)
    commands = " or ".join(f"`{one}`" for one in starts)
    resume = ""
    if left.rest:
        resume = (
            f". Then, to go on with the rest of that run: `{run.resume(left.began, left.rest)}`"
        )
    return (
        f"{path} was the report of a run that began at {left.began.isoformat()} and was killed; "
        f"it is kept as {kept}. This may be DOWN: {', '.join(map(str, left.down))}. If it does not "
        f"run, start it on its host, as root: {commands}{resume}"
    )


def _is_this_tool(pid: object) -> bool:
    try:
        words = Path(f"/proc/{int(str(pid))}/cmdline").read_text(errors="replace").split("\0")
        return any(Path(word).name in NAMES for word in words)
    except (OSError, ValueError):
        return False
