"""A terminal: lines that scroll by, and below them a live area with what is going on. Only this module knows rich."""

import os
import time
from collections.abc import Callable
from typing import Any, cast

from kafka_rolling_restart.health import Health
from kafka_rolling_restart.record import Progress, State, Step, duration
from kafka_rolling_restart.report import PROGRAM, Entry, HandOver, Heard, Level, PlainScreen, Raw, Sheet, plain
from kafka_rolling_restart.writer import STDERR, STDOUT, Sink, write

DUMB = ("", "dumb", "unknown")
TICK_S = 0.5
ASLEEP_S = 5.0  # a tick that comes so late: we were stopped meanwhile, and others wrote to the terminal
REASON_LINES = 3
PLAIN_DETAILS = ("", "stopping it", "starting it")  # the step says as much
GAP = 2  # columns between two cells
STYLES = {Level.DETAIL: "dim", Level.WARNING: "yellow", Level.ERROR: "bold red"}


def choose(quiet: bool, verbose: int) -> Sink:
    """Return where a run is shown: a live view on a terminal that can, plain lines anywhere else."""
    if quiet or os.environ.get("TERM", "") in DUMB or not _is_terminal(STDOUT):
        return PlainScreen()
    return TerminalScreen(verbose > 0, time.monotonic)


class TerminalScreen:
    """The live view. What happens is a line of its own only where the live area does not show it, or with ``verbose``."""

    def __init__(self, verbose: bool, now: Callable[[], float]) -> None:
        from rich.console import Console  # here: --help does not wait for it

        class SteadyConsole(Console):
            def show_cursor(self, show: bool = True) -> bool:
                return False  # if we are killed, nobody makes it visible again

        self._console = SteadyConsole(
            file=cast(Any, _Terminal()),
            force_terminal=True,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )
        self._owns_stderr = _is_same_terminal(STDOUT, STDERR)
        self._verbose = verbose
        self._now = now
        self._progress: Progress | None = None
        self._signal = ""
        self._handed_over = False
        self._live: Any = None
        self._drawn_at = 0.0

    @property
    def tick_s(self) -> float | None:
        """The live area is drawn anew so often (s), because it shows how time passes."""
        return TICK_S if self._is_live else None

    @property
    def _has_begun(self) -> bool:
        return self._progress is not None and self._progress.step is not Step.PREPARING

    @property
    def _is_live(self) -> bool:
        going_on = self._progress is not None and self._progress.step not in (Step.PREPARING, Step.ENDED)
        return going_on and not self._handed_over

    def take(self, item: object) -> None:
        """Show one thing; the live area is drawn again once there is nothing more to show."""
        if isinstance(item, Progress):
            self._progress = item
        elif isinstance(item, Heard):
            self._signal = item.name
        elif isinstance(item, HandOver):
            self._handed_over = item.to_others
        else:
            self._show(item)

    def idle(self) -> None:
        """Draw the live area."""
        if not self._is_live:
            self._clear()
            return
        assert self._progress is not None
        frame = self._frame(self._progress)
        if self._live is not None and self._now() - self._drawn_at > ASLEEP_S:
            self._abandon()
        self._drawn_at = self._now()
        if self._live is None:
            self._begin(frame)
        else:
            self._live.update(frame, refresh=True)

    def _begin(self, frame: Any) -> None:
        from rich.live import Live

        self._live = Live(
            frame,
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start(refresh=True)

    def _abandon(self) -> None:
        """Leave the old area where it is: what is above the cursor is no longer ours."""
        self._live = None
        self._console.clear_live()
        self._console.pop_render_hook()
        self._console.line()

    def _clear(self) -> None:
        if self._live is not None:
            live, self._live = self._live, None
            live.stop()

    def _show(self, item: object) -> None:
        if isinstance(item, Entry) and item.level is Level.STEP and self._is_live and not self._verbose:
            return
        self._clear()
        if isinstance(item, Entry) and (item.descriptor == STDOUT or self._owns_stderr):
            self._print(item)
        elif isinstance(item, Sheet):
            self._print_table(item)
        elif isinstance(item, Entry | Raw):
            for descriptor, text in plain(item):
                write(descriptor, text)

    def _print(self, entry: Entry) -> None:
        from rich.text import Text

        if entry.level is Level.ERROR:
            about = "" if " " not in entry.about else f"{entry.about}: "
            text = f"{PROGRAM}: {about}{entry.text}"
        else:
            about = f"{entry.about}: " if " " in entry.about or entry.level is Level.DETAIL else ""
            time_of_day = f"{entry.at:%H:%M:%S} " if self._has_begun or entry.level is Level.DETAIL else ""
            text = f"{time_of_day}{about}{entry.text}"
        # A line with a command in it is wrapped by the terminal, not by us: what is copied from it has no line ends.
        by_terminal = entry.level is Level.ERROR or entry.has_command
        self._console.print(Text(text, style=STYLES.get(entry.level, "")), soft_wrap=by_terminal)

    def _print_table(self, sheet: Sheet) -> None:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        shown = _columns_that_fit(sheet, self._console.width)
        for place in shown:
            table.add_column(sheet.columns[place], overflow="fold")
        for row in sheet.rows:
            table.add_row(*(row[place] for place in shown))
        self._console.print(table)

    def _frame(self, progress: Progress) -> Any:
        from rich.text import Text

        text = Text()
        for words, style in view(progress, self._now(), self._signal, self._console.width):
            text.append(words, style=style)
        lines = text.wrap(self._console, self._console.width)[: max(self._console.height - 1, 1)]
        return Text("\n").join(lines)


def view(progress: Progress, now: float, signal: str, width: int) -> list[tuple[str, str]]:
    """Return the live area's words with their styles: what is going on, why it does not go on, and how far it is."""
    parts = _waiting(progress, width) if progress.step is Step.WAITING else _in_hand(progress, now)
    parts.append((_how_far(progress, now), ""))
    if signal:
        parts.append((f"\n{signal} heard: the run ends once the stopped broker is back", "yellow"))
    return parts


def _waiting(progress: Progress, width: int) -> list[tuple[str, str]]:
    healthy, count = progress.healthy, progress.count
    parts = [(f"waiting until the cluster is healthy: {healthy}/{count} checks\n", "bold")]
    if progress.health not in (None, Health.HEALTHY):
        assert progress.health is not None
        why = f"{progress.health.value}: {'; '.join(map(str, progress.reasons))}"
        room = REASON_LINES * width - 1
        parts.append((f"{why if len(why) <= room else why[: room - 3] + '...'}\n", "yellow"))
    return parts


def _in_hand(progress: Progress, now: float) -> list[tuple[str, str]]:
    record = next((record for record in progress.records if record.broker == progress.broker), None)
    away = record is not None and record.state is State.IN_HAND
    since = record.stopped_at if away and record is not None and record.stopped_at else progress.step_began
    for_s = f"{duration(now - since)}{' since the stop command' if away else ''}"
    parts = [
        (f"{progress.broker}, {progress.place} of {len(progress.records)}: {progress.step.value}, {for_s}\n", "bold")
    ]
    if progress.detail not in PLAIN_DETAILS:
        parts.append((f"{progress.detail}\n", ""))
    return parts


def _how_far(progress: Progress, now: float) -> str:
    ready = len(progress.having(State.RESTARTED, State.SKIPPED))
    left = len(progress.having(State.UNTOUCHED))
    text = f"{ready} of {len(progress.records)} restarted, {left} untouched; {duration(now - progress.began)} so far"
    rest = progress.left_s(now)
    return text if rest is None else f"{text}, about {duration(rest)} left"


def _columns_that_fit(sheet: Sheet, width: int) -> list[int]:
    """Return the places of the columns that are shown: the optional ones are left out, one by one, to fit."""
    shown = [place for place in range(len(sheet.columns)) if any(row[place] for row in sheet.rows)]
    for name in sheet.optional:
        if sum(_width(sheet, place) + GAP for place in shown) - GAP <= width:
            break
        shown = [place for place in shown if sheet.columns[place] != name]
    return shown


def _width(sheet: Sheet, place: int) -> int:
    return max(len(cell) for cell in (sheet.columns[place], *(row[place] for row in sheet.rows)))


class _Terminal:
    """Standard output as rich wants it: what is written goes out at `flush`, in one piece."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self._text = ""

    def write(self, text: str) -> int:
        self._text += text
        return len(text)

    def flush(self) -> None:
        text, self._text = self._text, ""
        write(STDOUT, text)

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return STDOUT


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def _is_same_terminal(one: int, other: int) -> bool:
    try:
        return os.isatty(one) and os.isatty(other) and os.fstat(one).st_rdev == os.fstat(other).st_rdev
    except OSError:
        return False
