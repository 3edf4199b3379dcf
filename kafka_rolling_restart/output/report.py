"""What a person is told, and when: events and tables on stdout, what went wrong on stderr, and the
report file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from kafka_rolling_restart.clock import Clock, SystemClock
from kafka_rolling_restart.model.broker import Broker, counted
from kafka_rolling_restart.model.ending import FinalState, Outcome
from kafka_rolling_restart.model.plan_row import PlanRow
from kafka_rolling_restart.model.progress import Progress, Record, State, duration
from kafka_rolling_restart.model.verdict import Health, Verdict
from kafka_rolling_restart.output.report_file import ReportFile
from kafka_rolling_restart.output.summarize import pieces, ranges
from kafka_rolling_restart.output.writer import STDERR, STDOUT, Writer, write
from kafka_rolling_restart.text import clean, clean_all, describe_all, with_code

PROGRAM = "kafka-rolling-restart"
LAST_WORDS_S = 1.0
NEWS_S = 60.0  # from one line about a reason that lasts to the next
HAND_OVER_S = 0.5  # for the live area to go: a broker may be down meanwhile
KEPT = 1000  # lines that --quiet keeps for the case that something goes wrong


class Level(Enum):
    """How much a line matters. DETAIL: only --verbose shows it. STEP: where a live area shows it,
    it is no line."""

    DETAIL = 1
    STEP = 2
    NEWS = 3
    WARNING = 4
    ERROR = 5


WORDS = {
    Level.DETAIL: "DEBUG",
    Level.STEP: "INFO",
    Level.NEWS: "INFO",
    Level.WARNING: "WARNING",
    Level.ERROR: "ERROR",
}


@dataclass(frozen=True)
class Entry:
    """One line. ``about`` is the broker or the cluster that it is about; ``has_command``: one to be
    copied from it.

    ``code`` is its name in the catalogue, if it is a warning, a problem or an ending.
    """

    at: datetime
    level: Level
    about: str
    text: str
    descriptor: int = STDOUT
    has_command: bool = False
    code: str = ""

    def __str__(self) -> str:
        """The line as a log or a pipe gets it."""
        line = (
            f"{self.at.isoformat(timespec='seconds')} {WORDS[self.level]} {self.about}: {self.text}"
        )
        return f"{with_code(clean(line), self.code)}\n"


@dataclass(frozen=True)
class Sheet:
    """A table: rows under columns for a terminal, which leaves out ``optional`` ones to fit; lines
    for a pipe."""

    columns: tuple[str, ...]
    optional: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[Entry, ...]


@dataclass(frozen=True)
class Raw:
    """Text that is written as it is."""

    text: str
    descriptor: int = STDOUT


@dataclass(frozen=True)
class HandOver:
    """The terminal belongs to somebody else from here on, or to us again."""

    to_others: bool


@dataclass(frozen=True)
class Heard:
    """A signal that was put off."""

    name: str


class PlainScreen:
    """Where nobody looks at a live area (a pipe, a file, cron, TERM=dumb): lines, without control
    characters."""

    tick_s: float | None = None

    def take(self, item: object) -> None:
        """Write one thing."""
        for descriptor, text in plain(item):
            write(descriptor, text)

    def idle(self) -> None:
        """Do nothing: everything was written."""


def plain(item: object) -> list[tuple[int, str]]:
    """Return what is written of a thing without a live area, and to which file descriptor."""
    if isinstance(item, Entry):
        return [(item.descriptor, str(item))]
    if isinstance(item, Sheet):
        return [(line.descriptor, str(line)) for line in item.lines]
    return [(item.descriptor, item.text)] if isinstance(item, Raw) else []


class Report:
    """Decides what is told at which level; the writer's thread does the writing.

    ``verbose`` is how often --verbose was given. With ``quiet`` nothing is written unless the run
    ends with something wrong: then all warnings of it come first. One that ``asks`` is not quiet
    before it was answered (`enable_quiet`). ``about`` is the cluster, once it is known.
    """

    def __init__(
        self,
        writer: Writer,
        verbose: int = 0,
        quiet: bool = False,
        asks: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.about = PROGRAM
        self.file: ReportFile | None = None
        self._writer = writer
        self._verbose = verbose
        self._wants_quiet = quiet
        self._quiet = quiet and not asks
        self._kept: list[Entry] = []
        self._clock = clock or SystemClock()
        self._last_reasons: tuple[str, ...] = ()
        self._last_said = 0.0

    def say(self, text: str, about: str = "", *, code: str = "") -> None:
        """Say what everybody must see, in one line on stdout; ``code`` where it is a note or an
        ending."""
        self._put(replace(self._entry(Level.NEWS, text, about), code=code))

    def step(self, text: str, about: str = "") -> None:
        """Say what happens, in one line on stdout, unless a live area shows it."""
        self._put(self._entry(Level.STEP, text, about))

    def detail(self, text: str, about: str = "") -> None:
        """Say what only --verbose wants to hear."""
        if self._verbose:
            self._put(self._entry(Level.DETAIL, text, about))

    def warn(self, text: str, about: str = "", *, code: str = "") -> None:
        """Say on stderr what went wrong, though the run goes on."""
        self._put(replace(self._entry(Level.WARNING, text, about), descriptor=STDERR, code=code))

    def error(self, text: str, about: str = "", *, code: str = "") -> None:
        """Say what went wrong, in one line on stderr; everything before it is written first."""
        self._put(replace(self._entry(Level.ERROR, text, about), descriptor=STDERR, code=code))

    def traceback(self, error: BaseException) -> None:
        """Show where a defect happened, on stderr."""
        self._writer.put(Raw(describe_all(error), STDERR))

    def plan(self, rows: Sequence[PlanRow]) -> None:
        """Show who is restarted in which order, and what the preflight saw."""
        self._put(
            self._sheet(
                ("#", "id", "host", "rack", "up since", "role", "preflight"),
                ("rack", "up since", "role"),
                [_plan_cells(piece) for piece in pieces(rows, lambda row: row.kind)],
                [(row.line, str(row.broker)) for row in rows],
            )
        )

    def ask(self, question: str) -> None:
        """Show a question and leave the cursor behind it."""
        self._writer.put(Raw(f"{clean(question)} "))
        self._writer.drain()

    def end_line(self) -> None:
        """Go to the next line: the question was not answered with one."""
        self._writer.put(Raw("\n"))

    def flush(self) -> None:
        """Wait until all was shown: something else is going to write to the terminal."""
        self._writer.drain()

    def enable_quiet(self) -> None:
        """Be quiet from here on, if --quiet was given: the person who was asked has answered."""
        self._quiet = self._wants_quiet

    def progress(self, progress: Progress) -> None:
        """Show how far the run has come, and have it written to the report file."""
        # what was typed is to be typed again
        shown = replace(clean_all(progress), resume=progress.resume)
        self._writer.put(shown)
        if self.file is not None:
            self.file.put(shown)

    def save(self) -> None:
        """Have the report file written now, so that it is right even if we are killed next; wait 2
        s at the most."""
        if self.file is not None:
            self.file.flush()

    @contextmanager
    def handing_over(self) -> Iterator[None]:
        """Let others write to the terminal during the block."""
        self._writer.put(HandOver(True))
        self._writer.drain(HAND_OVER_S)
        try:
            yield
        finally:
            self._writer.put(HandOver(False))

    def close(self) -> None:
        """Let everything be written. A stdout that is not read does not hold back what was to go to
        stderr."""
        if self._writer.drain():
            return
        try:
            last_words = Writer(PlainScreen())
        except RuntimeError:  # no more threads: then nothing can be waited for
            return
        for item in self._writer.leftovers():
            for descriptor, text in plain(item):
                if descriptor == STDERR:
                    last_words.put(Raw(text, STDERR))
        last_words.drain(LAST_WORDS_S)

    def signal(self, name: str) -> None:
        """Say that a signal was heard and is put off; safe within a signal handler."""
        self.warn(
            f"{name} received: will exit once the stopped broker is back. A second signal exits "
            "now and leaves it DOWN",
            code="signal-received",
        )
        self._writer.put(Heard(name))

    def begin_wait(self, count: int) -> None:
        """Forget the reasons of the last wait, so that each wait says its own."""
        self._last_reasons = ()
        self.step(f"waiting until the cluster is healthy in {counted(count, 'check')}")

    def verdict(self, verdict: Verdict, healthy: int, count: int) -> None:
        """Say why the cluster is not healthy when that changes and now and then while it lasts, and
        that it is again."""
        keys = tuple(reason.key for reason in verdict.reasons)
        if verdict.health is Health.HEALTHY:
            if self._last_reasons:
                self.step("the cluster is healthy again")
            self.detail(f"healthy check {healthy}/{count}")
        elif keys != self._last_reasons or self._clock.now() - self._last_said >= NEWS_S:
            self.step(f"{verdict.state}: {verdict.why}")
            self._last_said = self._clock.now()
        self._last_reasons = keys

    def summary(self, progress: Progress, final: FinalState, resume: str) -> None:
        """Say of each broker of the plan what became of it, and, where the last line cannot, how to
        go on."""
        self._put(
            self._sheet(
                ("id", "host", "result", "down", "healthy", "old start", "new start"),
                ("old start", "new start"),
                [_cells(piece) for piece in pieces(progress.records, lambda record: record.kind)],
                _lines(progress.records, self._quiet),
            ),
            keep=True,
        )
        counts = {
            "restarted": final.done,
            "stopped and not back": final.in_hand,
            "untouched": final.untouched,
        }
        if final.skipped:
            counts = {**counts, "restarted by somebody else": final.skipped}
        text = "; ".join(f"{what}: {_ids(brokers)}" for what, brokers in counts.items())
        self._put(self._entry(Level.NEWS, text, ""), keep=True)
        if resume:
            text = f"to go on with the rest once all brokers are up: {resume}"
            self._put(replace(self._entry(Level.NEWS, text, ""), has_command=True), keep=True)

    def end(self, outcome: Outcome) -> None:
        """Say how the run ended, and below it, each alone on its line, the commands to type next.

        The report file is written before, because nothing must be said behind the commands.
        """
        if self.file is not None:
            self.file.end(outcome)
            self.file.flush()
            if self.file.problem:  # also said where all went well and nothing else is
                self.error(self.file.problem, code="report-not-written")
        if outcome.status == 0:
            self.say(outcome.line, code=outcome.code)
        else:
            self.error(outcome.line, code=outcome.code)
        for command in outcome.commands:
            self._writer.put(Raw(f"{clean(command)}\n", STDERR))

    def _entry(self, level: Level, text: str, about: str) -> Entry:
        return Entry(datetime.now().astimezone(), level, clean(about or self.about), clean(text))

    def _sheet(
        self,
        columns: tuple[str, ...],
        optional: tuple[str, ...],
        rows: Sequence[Sequence[str]],
        lines: Sequence[tuple[str, str]],
    ) -> Sheet:
        cells = tuple(tuple(clean(cell) for cell in row) for row in rows)
        entries = tuple(self._entry(Level.NEWS, text, about) for text, about in lines)
        return Sheet(columns, optional, cells, entries)

    def _put(self, item: Entry | Sheet, keep: bool = False) -> None:
        if not self._quiet:
            self._writer.put(item)
            return
        entries = item.lines if isinstance(item, Sheet) else (item,)
        self._kept += [
            replace(one, descriptor=STDERR)
            for one in entries
            if keep or one.level.value >= Level.WARNING.value
        ]
        del self._kept[:-KEPT]
        if any(entry.level is Level.ERROR for entry in entries):
            kept, self._kept = self._kept, []
            for entry in kept:
                self._writer.put(entry)


def _plan_cells(rows: Sequence[PlanRow]) -> tuple[str, ...]:
    if len(rows) > 1:
        return (
            "...",
            _from_to([row.broker for row in rows]),
            f"{len(rows)} more",
            "",
            "",
            "",
            rows[0].found,
        )
    row = rows[0]
    return (
        row.order,
        str(row.broker.id),
        row.broker.host,
        row.broker.rack,
        _short(row.since),
        row.role,
        row.found,
    )


def _cells(records: Sequence[Record]) -> tuple[str, ...]:
    record = records[0]
    if len(records) > 1:
        longest = max((one.down_s or 0 for one in records), default=0)
        down = f"up to {duration(longest)}" if longest else ""
        ids = _from_to([one.broker for one in records])
        return (ids, f"{len(records)} more", record.result, down, "", "", "")
    return (
        str(record.broker.id),
        record.broker.host,
        record.result,
        "" if record.down_s is None else duration(record.down_s),
        "" if record.healthy_after_s is None else duration(record.healthy_after_s),
        _short(record.old.started) if record.old else "",
        _short(record.new.started) if record.new else "",
    )


def _lines(records: Sequence[Record], brief: bool) -> list[tuple[str, str]]:
    """Return a line for each broker; ``brief``: not for those that were not touched, which are told
    together."""
    shown = [record for record in records if not (brief and record.kind is State.UNTOUCHED)]
    return [(f"report: {record}", str(record.broker)) for record in shown]


def _from_to(brokers: Sequence[Broker]) -> str:
    return f"{brokers[0].id}...{brokers[-1].id}"


def _short(moment: str) -> str:
    """Return an ISO 8601 time without its zone, which is ours."""
    return moment[:19].replace("T", " ")


def _ids(brokers: Sequence[Broker]) -> str:
    named = [
        f"{kind} {part}"
        for kind in ("controller", "broker")
        for part in ranges(broker.id for broker in brokers if broker.kind == kind)
    ]
    return ", ".join(named) or "none"
