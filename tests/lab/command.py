"""The tool as a user runs it: a process of its own, what it printed and how it ended."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from ..last_lines import ending_of
from .daemon import LabError
from .host_scripts.process import wait_until

MODULE = "kafka_rolling_restart"
PROGRAM = [sys.executable, "-m", MODULE]
CLOSE_TIMEOUT = 5.0  # s, for the readers to see the end of the output
HEARD = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)


@dataclass(frozen=True)
class Finished:
    """How a run ended; `status` is negative when a signal killed it."""

    status: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def last_line(self) -> str:
        """The last line that was printed: on stderr, or else on stdout."""
        return self._lines[-1] if self._lines else ""

    @property
    def last_sentence(self) -> str:
        """The line that says how the run ended, without its code."""
        return ending_of(self._lines).sentence

    @property
    def code(self) -> str:
        """The code of how the run ended."""
        return ending_of(self._lines).code

    @property
    def commands(self) -> tuple[str, ...]:
        """What to type next: each stands alone on its line, below the sentence."""
        return ending_of(self._lines).commands

    @property
    def _lines(self) -> list[str]:
        return (self.stderr.strip() or self.stdout.strip()).splitlines()


def environment(home: Path) -> dict[str, str]:
    """Build the environment of a user of the lab: a home, a path, a language, and where this tool
    is imported from."""
    variables = {
        name: os.environ[name]
        for name in ("PATH", "LANG", "LC_ALL", "TMPDIR")
        if name in os.environ
    }
    spec = find_spec(MODULE)
    if spec is not None and spec.origin is not None:
        variables["PYTHONPATH"] = str(Path(spec.origin).parent.parent)
    return {"LANG": "C.UTF-8", **variables, "HOME": str(home)}


def command_line(arguments: Sequence[str]) -> list[str]:
    """Build the command that runs the tool with this Python."""
    return [*PROGRAM, *arguments]


def type_elsewhere(line: str, env: Mapping[str, str], timeout: float) -> Finished:
    """Run a command line that the tool printed, in a shell in another directory than the tool was
    in."""
    begun = time.monotonic()
    done = subprocess.run(
        line,
        shell=True,
        cwd="/",
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr, time.monotonic() - begun)


@contextmanager
def signals_as_at_a_terminal() -> Iterator[None]:
    """Let no signal be ignored in what is launched meanwhile, though nohup or a shell's background
    made us ignore it.

    What a process ignores, its children ignore; a handler of ours is the default in them.
    """
    ignored = [number for number in HEARD if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, lambda _number, _frame: None)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


class Running:
    """A run of the tool in a session of its own; with `terminal` its standard input is one.

    With `output` both its streams go to that file, and nothing of it is read here.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        cwd: Path | None,
        terminal: bool = False,
        output: Path | None = None,
    ) -> None:
        self._begun = time.monotonic()
        self._keyboard: int | None = None
        stdin = subprocess.DEVNULL
        if terminal:
            self._keyboard, stdin = os.openpty()
        with open(output or os.devnull, "ab") as file, signals_as_at_a_terminal():
            stream = file if output else subprocess.PIPE
            self._process = subprocess.Popen(
                command_line(arguments),
                env={**env, "PYTHONUNBUFFERED": "1"},
                cwd=cwd,
                stdin=stdin,
                stdout=stream,
                stderr=stream,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        if terminal:
            os.close(stdin)
        self._stdout = _Reader(self._process.stdout or io.StringIO())
        self._stderr = _Reader(self._process.stderr or io.StringIO())

    @property
    def pid(self) -> int:
        """The pid of the run."""
        return self._process.pid

    @property
    def stdout(self) -> str:
        """What it printed so far."""
        return self._stdout.text

    @property
    def stderr(self) -> str:
        """What it printed on stderr so far."""
        return self._stderr.text

    def is_running(self) -> bool:
        """Tell whether the run goes on."""
        return self._process.poll() is None

    def wait_for(self, text: str, timeout: float) -> None:
        """Wait until it has printed a text; raise `LabError` when it ends, or `timeout` s pass,
        without it."""
        wait_until(lambda: self._printed(text) or not self.is_running(), timeout)
        if not self._printed(text) and not self._saw_at_the_end(text):
            raise LabError(
                f"{text!r} was not printed within {timeout:.0f} s:\n{self.stdout}\n{self.stderr}"
            )

    def type(self, text: str) -> None:
        """Type a text at its terminal."""
        if self._keyboard is None:
            raise LabError("this run has no terminal: launch it with terminal=True")
        os.write(self._keyboard, text.encode())

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the run, if it goes on."""
        if self.is_running():
            self._process.send_signal(number)

    def close_output(self) -> None:
        """Close our ends of its stdout and stderr, as a terminal that is lost."""
        for reader in (self._stdout, self._stderr):
            reader.close()

    def finish(self, timeout: float) -> Finished:
        """Wait for the end; raise `LabError` when it has not come within `timeout` s, and kill the
        run."""
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise LabError(
                f"the run did not end within {timeout:.0f} s:\n{self.stdout}\n{self.stderr}"
            ) from error
        seconds = time.monotonic() - self._begun
        self._join()
        return Finished(status, self.stdout, self.stderr, seconds)

    def kill(self) -> None:
        """End the run with SIGKILL."""
        if self.is_running():
            self._process.kill()
            self._process.wait()
        self._join()

    def _saw_at_the_end(self, text: str) -> bool:
        if not self.is_running():
            self._join()
        return self._printed(text)

    def _printed(self, text: str) -> bool:
        return text in self.stdout or text in self.stderr

    def _join(self) -> None:
        self._stdout.join()
        self._stderr.join()
        if self._keyboard is not None:
            os.close(self._keyboard)
            self._keyboard = None


class _Reader:
    """Reads a stream in a thread, so that the writer never waits for us."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, name="read output", daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        return "".join(self._lines)

    def close(self) -> None:
        """Close the stream at the next line; the writer gets EPIPE from then on."""
        self._closed.set()

    def join(self) -> None:
        self._thread.join(CLOSE_TIMEOUT)

    def _read(self) -> None:
        for line in self._stream:
            self._lines.append(line)
            if self._closed.is_set():
                break
        self._stream.close()
