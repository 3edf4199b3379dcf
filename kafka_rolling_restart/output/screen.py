"""A terminal: lines that scroll by, and below them a live area with what is going on. Only this
module knows rich."""

import os
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kafka_rolling_restart.model.progress import Progress, Record, State, Step, duration
from kafka_rolling_restart.model.verdict import Health
from kafka_rolling_restart.output.report import (
    PROGRAM,
    Entry,
    HandOver,
    Heard,
    Level,
    PlainScreen,
    Sheet,
    plain,
)
from kafka_rolling_restart.output.writer import STDERR, STDOUT, Sink, write
from kafka_rolling_restart.text import clean, with_code

DUMB = ("", "dumb", "unknown")
COLUMNS, LINES = 80, 24  # of a terminal that does not tell its size
TICK_S = 0.5
# a tick that comes so late: we were stopped meanwhile (SIGSTOP), and others wrote to the terminal
ASLEEP_S = 5.0
REASON_LINES = 3
GAP = 2  # columns between two cells
STYLES = {Level.DETAIL: "dim", Level.WARNING: "yellow", Level.ERROR: "bold red"}
# What is said of a step that has no news yet: the same words that the step itself has are none.
NO_NEWS = ("", "stopping it", "starting it")
EXPECTED = {
    Step.STOPPING: "the stop command is running",
    Step.STARTING: "waiting until it is registered and its new JVM answers",
}


def choose(quiet: bool, verbose: int) -> Sink:
    """Return where a run is shown: a live view on a terminal that can, plain lines anywhere
    else."""
    if quiet or os.environ.get("TERM", "") in DUMB or not _is_terminal(STDOUT):
        return PlainScreen()
    return TerminalScreen(verbose > 0, time.monotonic, Terminal())


class Terminal:
    """The terminal that standard output is."""

    def __init__(self, stdout: int = STDOUT, stderr: int = STDERR) -> None:
        self._descriptors = {STDOUT: stdout, STDERR: stderr}
        self.has_stderr = _is_same_terminal(stdout, stderr)

    @property
    def size(self) -> tuple[int, int]:
        """Its columns and lines at this moment."""
        try:
            columns, lines = os.get_terminal_size(self._descriptors[STDOUT])
        except OSError:  # it is gone
            return COLUMNS, LINES
        return columns or COLUMNS, lines or LINES

    @property
    def is_ours(self) -> bool:
        """Tell whether we run in its foreground: in the background (``&``, ``bg``), others write to
        it, too."""
        try:
            return os.tcgetpgrp(self._descriptors[STDOUT]) == os.getpgrp()
        except OSError:  # it is not the one that controls us
            return True

    def write(self, text: str, descriptor: int = STDOUT) -> None:
        """Write a text in one piece."""
        if text:
            write(self._descriptors[descriptor], text)


class TerminalScreen:
    """The live view. What happens is a line of its own only where the live area does not show it,
    or with ``verbose``.

    The area is erased by going up as many lines as it has. So the cursor is left below it, where a
    shell or the echo of a key (^C) does least harm, and it is never hidden: if we are killed,
    nobody makes it visible again. A terminal that wraps anew when it gets narrower keeps the lines
    by which the area grew: going up further would eat finished lines in one that does not.
    """

    def __init__(self, verbose: bool, now: Callable[[], float], terminal: Terminal) -> None:
        from rich.console import Console  # here: --help does not wait for it

        self._console = Console(
            force_terminal=True, highlight=False, markup=False, emoji=False, legacy_windows=False
        )
        self._terminal = terminal
        self._verbose = verbose
        self._now = now
        self._progress: Progress | None = None
        self._signal = ""
        self._handed_over = 0  # how many times: Ctrl-Z may come while a task has the terminal
        self._others_wrote = False
        self._area = 0  # its lines
        self._wrote_at = 0.0

    @property
    def tick_s(self) -> float | None:
        """The live area is drawn anew so often (s), because it shows how time passes."""
        return TICK_S if self._is_going_on else None

    @property
    def _has_begun(self) -> bool:
        return self._progress is not None and self._progress.step is not Step.PREPARING

    @property
    def _is_going_on(self) -> bool:
        return self._progress is not None and self._progress.step not in (
            Step.PREPARING,
            Step.ENDED,
        )

    @property
    def _is_live(self) -> bool:
        return self._is_going_on and not self._handed_over and self._terminal.is_ours

    def take(self, item: object) -> None:
        """Show one thing; the live area is drawn again once there is nothing more to show."""
        if isinstance(item, Progress):
            self._progress = item
        elif isinstance(item, Heard):
            self._signal = item.name
        elif isinstance(item, HandOver):
            self._hand_over(item.to_others)
        else:
            self._show(item)

    def idle(self) -> None:
        """Draw the live area."""
        if self._area and (not self._terminal.is_ours or self._now() - self._wrote_at > ASLEEP_S):
            self._area, self._others_wrote = 0, True  # what is above the cursor is no longer ours
        if self._is_live:
            assert self._progress is not None
            self._write(*self._frame(self._progress))
        elif self._area:
            self._write("")

    def _hand_over(self, to_others: bool) -> None:
        if to_others:
            self._handed_over += 1
            return
        self._handed_over -= 1
        self._others_wrote = True
        # what a task printed without a line end is still in there
        for stream in (
            sys.stdout,
            sys.stderr,
        ):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()

    def _show(self, item: object) -> None:
        if (
            isinstance(item, Entry)
            and item.level is Level.STEP
            and self._is_live
            and not self._verbose
        ):
            return
        if isinstance(item, Entry) and (item.descriptor == STDOUT or self._terminal.has_stderr):
            self._write(self._line(item))
        elif isinstance(item, Sheet):
            self._write(self._table(item))
        else:
            self._write("")
            for descriptor, text in plain(item):
                self._terminal.write(text, descriptor)

    def _write(self, text: str, area: int = 0) -> None:
        """Write in place of the live area, if there is one; ``area`` is how many lines of the text
        are the next one."""
        above = f"\r\x1b[{self._area}A\x1b[J" if self._area else self._new_line()
        self._terminal.write(f"{above}{text}")
        self._area, self._others_wrote = area, False
        # now: it may have taken long where the terminal was stopped (Ctrl-S)
        self._wrote_at = self._now()

    def _new_line(self) -> str:
        """Return what begins a line unless the cursor is at the beginning of one: others may have
        left it anywhere.

        As many blanks as a line has lead into the next one, except from its beginning.
        """
        mixed = self._others_wrote or self._handed_over or not self._terminal.is_ours
        return f"{' ' * self._terminal.size[0]}\r\x1b[K" if mixed else ""

    def _line(self, entry: Entry) -> str:
        from rich.text import Text

        said = words(entry, self._has_begun)
        if not _holds_command(entry):
            said = "\n".join(
                textwrap.wrap(
                    said, self._terminal.size[0], break_long_words=False, break_on_hyphens=False
                )
            )
        return self._render(Text(said, style=STYLES.get(entry.level, "")), soft_wrap=True)

    def _table(self, sheet: Sheet) -> str:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        shown = columns_that_fit(sheet, self._terminal.size[0])
        for place in shown:
            table.add_column(sheet.columns[place], overflow="fold")
        for row in sheet.rows:
            table.add_row(*(clean(row[place]) for place in shown))
        return self._render(table)

    def _frame(self, progress: Progress) -> tuple[str, int]:
        """Return the live area, and how many lines it has; the first is empty, to set it off from
        what is above."""
        from rich.text import Text

        columns, lines = self._terminal.size
        text = Text("\n")
        for part, style in view(progress, self._now(), self._signal, columns):
            text.append(part, style=style)
        shown = text.wrap(self._console, columns)[: max(lines - 1, 1)]
        return self._render(Text("\n").join(shown), soft_wrap=True), len(shown)

    def _render(self, what: Any, **options: Any) -> str:
        self._console.size = self._terminal.size
        with self._console.capture() as captured:
            self._console.print(what, **options)
        return captured.get()


def _holds_command(entry: Entry) -> bool:
    """Tell whether the terminal is to wrap a line, not we: what is copied from it is to have no
    line ends in it."""
    return entry.level is Level.ERROR or entry.has_command or "`" in entry.text


def words(entry: Entry, has_begun: bool) -> str:
    """Return a line for a person who looks at it now: the cluster is left out, and the time where
    nothing goes on yet.

    The code is at its end, as in a log.
    """
    # a broker, or a module
    about = f"{entry.about}: " if " " in entry.about or entry.level is Level.DETAIL else ""
    return with_code(clean(_words(entry, about, has_begun)), entry.code)


def _words(entry: Entry, about: str, has_begun: bool) -> str:
    if entry.level is Level.ERROR:
        return f"{PROGRAM}: {about}{entry.text}"
    at = f"{entry.at:%H:%M:%S} " if has_begun or entry.level is Level.DETAIL else ""
    level = "WARNING " if entry.level is Level.WARNING else ""
    return f"{at}{level}{about}{entry.text}"


def view(progress: Progress, now: float, signal: str, width: int) -> list[tuple[str, str]]:
    """Return the live area's words with their styles: what is going on, why it does not go on, and
    how far it is."""
    parts = (
        _waiting(progress, now, width) if progress.step is Step.WAITING else _in_hand(progress, now)
    )
    parts.append((_how_far(progress, now), ""))
    if signal:
        parts.append((f"\n{signal} received: will exit once the stopped broker is back", "yellow"))
    return [(_clean_lines(part), style) for part, style in parts]


def _clean_lines(part: str) -> str:
    """Return a part of the live area, whose line ends are ours, without what a terminal acts on."""
    return "\n".join(clean(line) for line in part.split("\n"))


def _waiting(progress: Progress, now: float, width: int) -> list[tuple[str, str]]:
    checks = f"{progress.healthy}/{progress.count} checks, {duration(now - progress.step_began)}"
    parts = [(f"waiting until the cluster is healthy: {checks}\n", "bold")]
    if progress.health not in (None, Health.HEALTHY):
        assert progress.health is not None
        why = f"{progress.health.value}: {'; '.join(map(str, progress.reasons))}"
        room = REASON_LINES * width - 1
        parts.append((f"{why if len(why) <= room else why[: room - 3] + '...'}\n", "yellow"))
    parts.append((f"{_next(progress)}\n", ""))
    return parts


def _next(progress: Progress) -> str:
    left = progress.having(State.UNTOUCHED)
    if not left:
        return "no broker is left to restart"
    return (
        f"next: {left[0].broker}, {progress.records.index(left[0]) + 1} of {len(progress.records)}"
    )


def _in_hand(progress: Progress, now: float) -> list[tuple[str, str]]:
    since = _stopped_at(progress)
    step = "back" if since is None and progress.step is Step.STARTING else progress.step.value
    for_s = (
        duration(now - progress.step_began)
        if since is None
        else f"{duration(now - since)} since the stop"
    )
    who = ", ".join(map(str, progress.brokers))
    places = ", ".join(map(str, progress.places))
    parts = [(f"{who}, {places} of {len(progress.records)}: {step}, {for_s}\n", "bold")]
    detail = EXPECTED.get(progress.step, "") if progress.detail in NO_NEWS else progress.detail
    if detail:
        parts.append((f"{detail}\n", ""))
    return parts


def _stopped_at(progress: Progress) -> float | None:
    """Return when the first of the brokers in hand was told to stop; None where the step's are not
    down by our hand."""
    in_hand: list[Record] = progress.having(State.IN_HAND, State.DOWN)
    moments = [
        one.stopped_at
        for one in in_hand
        if one.broker in progress.brokers and one.stopped_at is not None
    ]
    return min(moments, default=None)


def _how_far(progress: Progress, now: float) -> str:
    ready = len(progress.having(State.RESTARTED, State.SKIPPED))
    others = [
        (len(progress.having(State.IN_HAND, State.DOWN)), "stopped"),
        (len(progress.having(State.UNTOUCHED)), "untouched"),
    ]
    counts = [f"{ready} of {len(progress.records)} restarted"] + [
        f"{count} {what}" for count, what in others if count
    ]
    text = f"{', '.join(counts)}; {duration(now - progress.began)} so far"
    rest = progress.left_s(now)
    return text if rest is None or round(rest) == 0 else f"{text}, about {_roughly(rest)} left"


def _roughly(seconds: float) -> str:
    """Say an estimate: it is not good to the second where it is minutes."""
    return f"{round(seconds / 60)} min" if 59.5 <= seconds < 3570 else duration(seconds)


def columns_that_fit(sheet: Sheet, width: int) -> list[int]:
    """Return the places of the columns that are shown: the optional ones are left out, one by one,
    to fit."""
    shown = [place for place in range(len(sheet.columns)) if any(row[place] for row in sheet.rows)]
    for name in sheet.optional:
        if sum(_width(sheet, place) + GAP for place in shown) - GAP <= width:
            break
        shown = [place for place in shown if sheet.columns[place] != name]
    return shown


def _width(sheet: Sheet, place: int) -> int:
    return max(len(cell) for cell in (sheet.columns[place], *(row[place] for row in sheet.rows)))


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def _is_same_terminal(one: int, other: int) -> bool:
    try:
        return (
            os.isatty(one) and os.isatty(other) and os.fstat(one).st_rdev == os.fstat(other).st_rdev
        )
    except OSError:
        return False
