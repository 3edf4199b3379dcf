"""The public classes `PreStopTask`, `PostStopTask` and `PostStartTask`, and loading the modules
that hold them."""

import contextlib
import importlib
import importlib.util
import inspect
import io
import os
import shlex
import sys
import types
from abc import ABC, abstractmethod
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from kafka_rolling_restart.errors import UsageError
from kafka_rolling_restart.text import describe, masked, said

# where tasks written for the older tool import from
SEED = "kafka_utils.kafka_rolling_restart.task"


class Task(ABC):
    """Something to do for each broker. ``self.args`` holds what `parse_args` returned."""

    def __init__(self, args: list[str]) -> None:
        self.args: Any = self.parse_args(args)

    def parse_args(self, args: list[str]) -> Any:
        """Parse the words of this task's ``--task-args``; override it to take any."""
        return ArgumentParser(prog=type(self).__name__, add_help=False).parse_args(args)

    @abstractmethod
    def run(self, host: str) -> None:
        """Do the work for one broker's host. Raise any exception to end the roll."""


class PreStopTask(Task):
    """Runs before a broker is stopped. If it raises, the broker is not stopped and the roll
    ends."""


class PostStopTask(Task):
    """Runs while a broker is stopped. If it raises, the broker is started, and then the roll ends.

    It has no time limit: a broker is down for as long as this runs.
    """


class PostStartTask(Task):
    """Runs once a broker is back and the cluster is healthy again. If it raises, the roll ends; no
    broker is down."""


class Tasks:
    """The tasks of a run, in the order in which their modules were named."""

    def __init__(
        self,
        pre_stop: Sequence[Any] = (),
        post_stop: Sequence[Any] = (),
        post_start: Sequence[Any] = (),
        sources: Sequence[str] = (),
    ) -> None:
        self.pre_stop = tuple(pre_stop)
        self.post_stop = tuple(post_stop)
        self.post_start = tuple(post_start)
        # a line for each module: its name, and the file that it was loaded from
        self.sources = tuple(sources)

    @property
    def any(self) -> bool:
        """Tell whether there is a task at all."""
        return bool(self.pre_stop or self.post_stop or self.post_start)


def load(modules: Sequence[str], arguments: Sequence[str]) -> Tasks:
    """Import the modules and make their tasks. Raises `UsageError` for anything wrong with them."""
    if len(arguments) > len(modules):
        raise UsageError(
            f"{len(arguments)} --task-args for {len(modules)} --task: each belongs to the --task "
            "in the same place, so there must not be more of them",
            code="wrong-usage",
        )
    if modules:
        _find_modules_here()
        _alias()
    kinds = _kinds() if modules else ()
    made = []
    for position, name in enumerate(modules):
        words = _words(name, arguments[position]) if position < len(arguments) else []
        made += [_make(task, words) for task in _classes(name, sum(kinds, ()))]
    sources = [
        f"--task {name} is loaded from {_file(sys.modules[name])}"
        for name in dict.fromkeys(modules)
    ]
    by_kind = [[task for task in made if isinstance(task, kind)] for kind in kinds] or [[], [], []]
    return Tasks(by_kind[0], by_kind[1], by_kind[2], sources)


def _find_modules_here() -> None:
    """Find modules in the current folder, too, but nothing of it in place of a library that we or a
    task imports."""
    here = os.getcwd()
    # python -m has put it first
    sys.path[:] = [folder for folder in sys.path if folder not in ("", here)]
    sys.path.append(here)


def _file(module: types.ModuleType) -> str:
    return str(getattr(module, "__file__", None) or "no file")


def _alias() -> None:
    """Let `from kafka_utils.kafka_rolling_restart.task import PreStopTask` work without the older
    tool."""
    if "kafka_utils" in sys.modules or importlib.util.find_spec("kafka_utils") is not None:
        return
    this = sys.modules[__name__]
    parts = SEED.split(".")
    for depth in range(1, len(parts)):
        name = ".".join(parts[:depth])
        package = types.ModuleType(name)
        package.__path__ = []
        sys.modules[name] = package
    sys.modules[SEED] = this


def _kinds() -> tuple[tuple[type, ...], ...]:
    """Return the base classes that are taken, kind by kind: ours, and the older tool's where that
    is installed."""
    try:
        older = importlib.import_module(SEED)
    except ImportError:
        return (PreStopTask,), (PostStopTask,), (PostStartTask,)
    return (
        tuple({PreStopTask, older.PreStopTask}),
        tuple({PostStopTask, older.PostStopTask}),
        (PostStartTask,),
    )


def _classes(name: str, bases: tuple[type, ...]) -> list[type]:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(
                f"--task {name}: no such module in {os.getcwd()} or on PYTHONPATH. Run this where "
                "it is, or set PYTHONPATH",
                code="task-not-found",
            ) from error
        raise UsageError(
            f"--task {name}: cannot be imported: {describe(error)}. {_try_import(name)}",
            code="task-not-usable",
        ) from error
    except Exception as error:  # whatever a stranger's module does at import
        raise UsageError(
            f"--task {name}: cannot be imported: {describe(error)}. {_try_import(name)}",
            code="task-not-usable",
        ) from error
    except SystemExit as error:
        raise UsageError(
            f"--task {name}: it exits when it is imported: {said(str(error))}. {_try_import(name)}",
            code="task-not-usable",
        ) from error
    own = [
        found
        for found in vars(module).values()
        if inspect.isclass(found) and issubclass(found, bases)
    ]
    own = [found for found in dict.fromkeys(own) if found.__module__.startswith(module.__name__)]
    ready = [
        found
        for found in own
        if not any(other is not found and issubclass(other, found) for other in own)
    ]
    if not ready:
        raise UsageError(
            f"--task {name}: has no class derived from PreStopTask, PostStopTask or "
            f"PostStartTask. It was loaded from {_file(module)}",
            code="task-not-usable",
        )
    return ready


def _try_import(name: str) -> str:
    return f"To see where: {shlex.join([sys.executable, '-c', f'import {name}'])}"


def _make(task: type, words: list[str]) -> Any:
    label = f"{task.__module__}.{task.__name__}"
    missing = sorted(getattr(task, "__abstractmethods__", ()))
    if missing:
        raise UsageError(
            f"--task {task.__module__}: its class {task.__name__} does not define "
            f"{', '.join(missing)}()",
            code="task-not-usable",
        )
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
            return task(words) if issubclass(task, Task) else _make_older(task, words)
    except SystemExit as error:
        line = said(masked((printed.getvalue().strip().splitlines() or [str(error)])[-1]))
        raise UsageError(
            f"--task-args {masked(shlex.join(words))!r} do not suit {label}: {line}",
            code="task-args-refused",
        ) from error
    except Exception as error:  # whatever a stranger's parser does
        raise UsageError(
            f"--task {label}: cannot be made: {describe(error)}", code="task-not-usable"
        ) from error


def _make_older(task: Any, words: list[str]) -> Any:
    """Make a task of the older tool's classes, whose constructor takes the words in another
    form."""
    made = task.__new__(task)
    made.args = made.parse_args(words)
    return made


def _words(name: str, arguments: str) -> list[str]:
    try:
        return shlex.split(arguments)
    except ValueError as error:
        raise UsageError(
            f"--task-args {masked(arguments)!r} of --task {name}: {error}", code="task-args-refused"
        ) from error
