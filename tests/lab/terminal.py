"""The tool in a pseudo-terminal of some size, and what its screen shows."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyte

from .command import command_line, signals_as_at_a_terminal
from .daemon import LabError
from .host_scripts.process import wait_until

Cell = pyte.screens.Char
HISTORY = 500  # lines that have left the screen at its top


class Terminal:
    """A run of the tool in a terminal of its own; a screen emulator reads all that it writes.

    ``frames`` are the screens that were seen, each as its lines, without those that are empty at
    the end. With
    ``stdout`` or ``stderr`` that stream goes to a file. ``script`` is run by a bash with job
    control, and starts the tool by ``"$@"``. A ``term`` of None is one that is not set.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        cwd: Path | None = None,
        columns: int = 80,
        lines: int = 24,
        stdout: Path | None = None,
        stderr: Path | None = None,
        script: str = "",
        term: str | None = "xterm-256color",
    ) -> None:
        self._screen = pyte.HistoryScreen(columns, lines, history=HISTORY, ratio=0.1)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.raw = b""
        self.frames: list[list[str]] = []
        self._master, slave = pty.openpty()
        self._set_size(columns, lines)
        shell = ["bash", "-m", "-c", script, "bash"] if script else []
        with (
            _writing_to(stdout, slave) as out,
            _writing_to(stderr, slave) as err,
            signals_as_at_a_terminal(),
        ):
            self._process = subprocess.Popen(
                [*shell, *command_line(arguments)],
                env={**({} if term is None else {"TERM": term}), **env},
                cwd=cwd,
                stdin=slave,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=_take_terminal,
            )
        os.close(slave)
        self._hang_up, self._hung_up = os.pipe()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The pid of the run."""
        return self._process.pid

    @property
    def lines(self) -> list[str]:
        """What the screen shows, without the empty lines at its end."""
        with self._lock:
            return self._display()

    @property
    def scrolled(self) -> list[str]:
        """All lines: those that have left the screen at its top, and those on it."""
        with self._lock:
            top = [
                "".join(line[column].data for column in range(self._screen.columns))
                for line in self._screen.history.top
            ]
            return [line.rstrip() for line in top] + self._display()

    @property
    def cells(self) -> list[list[Cell]]:
        """What the screen shows, with its colours: the characters of each line."""
        with self._lock:
            return [
                [line[column] for column in range(self._screen.columns)] for line in self._rows()
            ]

    @property
    def cursor(self) -> tuple[int, int]:
        """Where the cursor is: its column and its line, from 0."""
        return self._screen.cursor.x, self._screen.cursor.y

    @property
    def shows_cursor(self) -> bool:
        """Tell whether the cursor can be seen."""
        return not self._screen.cursor.hidden

    def is_running(self) -> bool:
        """Tell whether the run goes on."""
        return self._process.poll() is None

    def wait_for(self, what: str | Callable[[list[str]], bool], timeout: float) -> list[str]:
        """Wait until the screen shows a text, or is as a function wants it; return its lines."""
        seen = (
            (lambda lines: any(what in line for line in lines)) if isinstance(what, str) else what
        )
        wait_until(lambda: seen(self.lines) or not self.is_running(), timeout)
        if not self.is_running():
            self._reader.join(5)  # what was written last is read after the end
        lines = self.lines
        if not seen(lines):
            raise LabError(f"{what!r} was not shown within {timeout:.0f} s:\n" + "\n".join(lines))
        return lines

    def type(self, text: str) -> None:
        """Type a text."""
        os.write(self._master, text.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size, as a window that is dragged does."""
        with self._lock:
            self._screen.resize(lines, columns)
        self._set_size(columns, lines)

    def hang_up(self) -> None:
        """Close the terminal, as a window that is closed does: the run gets SIGHUP, and EIO from
        then on."""
        os.write(self._hung_up, b"x")
        self._reader.join(5)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the run, if it goes on."""
        if self.is_running():
            self._process.send_signal(number)

    def finish(self, timeout: float) -> int:
        """Wait for the end; return the exit status. The run is killed after ``timeout`` s."""
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise LabError(
                f"the run did not end within {timeout:.0f} s:\n" + "\n".join(self.lines)
            ) from error
        self._reader.join(5)
        return status

    def kill(self) -> None:
        """End the run with SIGKILL, and close the terminal."""
        if self.is_running():
            self._process.kill()
            self._process.wait()
        self._reader.join(5)

    def _set_size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def _display(self) -> list[str]:
        lines = [line.rstrip() for line in self._screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def _rows(self) -> list[Mapping[int, Cell]]:
        return [self._screen.buffer[line] for line in range(self._screen.lines)]

    def _read(self) -> None:
        while self._hang_up not in select.select([self._master, self._hang_up], [], [])[0]:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # EIO: nobody has the other end any more
                break
            if not data:
                break
            with self._lock:
                self.raw += data
                self._stream.feed(data)
                frame = self._display()
                if not self.frames or self.frames[-1] != frame:
                    self.frames.append(frame)
        for descriptor in (self._master, self._hang_up, self._hung_up):
            os.close(descriptor)


@contextmanager
def _writing_to(path: Path | None, terminal: int) -> Iterator[int]:
    if path is None:
        yield terminal
        return
    with path.open("wb") as file:
        yield file.fileno()


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
