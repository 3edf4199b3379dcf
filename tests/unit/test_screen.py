"""The live view: what its words say, and what an emulated terminal shows of it."""

import fcntl
import os
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyte
import pytest

from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.model.progress import Progress, Record, State, Step
from kafka_rolling_restart.model.verdict import Health, Reason
from kafka_rolling_restart.output.report import (
    Entry,
    HandOver,
    Heard,
    Level,
    PlainScreen,
    Raw,
    Sheet,
)
from kafka_rolling_restart.output.screen import (
    ASLEEP_S,
    Terminal,
    TerminalScreen,
    columns_that_fit,
    view,
    words,
)
from kafka_rolling_restart.output.writer import STDERR, STDOUT, Writer
from tests.fakes import FakeClock

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=timezone.utc)
BROKERS = tuple(Broker(number, f"kafka{number}", registration=1) for number in (1, 2, 3))
UNTOUCHED = tuple(map(Record, BROKERS))
FIRST_DONE = (
    Record(
        BROKERS[0],
        State.RESTARTED,
        stopped_at=1010,
        gone_at=1015,
        back_at=1040,
        healthy_at=1050,
        recovered_at=1100,
    ),
    *UNTOUCHED[1:],
)
SECOND_IN_HAND = (
    FIRST_DONE[0],
    replace(UNTOUCHED[1], state=State.IN_HAND, stopped_at=1100),
    UNTOUCHED[2],
)
WAITING = Progress(1000, 1000, UNTOUCHED, Step.WAITING, step_began=1000, count=12)
STOPPING = Progress(
    1110,
    1000,
    SECOND_IN_HAND,
    Step.STOPPING,
    step_began=1100,
    brokers=(BROKERS[1],),
    count=12,
    rolling_since=1010,
)
PLAN = Sheet(
    ("#", "id", "host", "rack", "up since", "preflight"),
    ("rack", "up since"),
    tuple((str(one.id), str(one.id), one.host, "", "2026-11-24 11:00:00", "ok") for one in BROKERS),
    (),
)


def said(progress: Progress, now: float, signal: str = "", width: int = 80) -> list[str]:
    return "".join(words for words, _ in view(progress, now, signal, width)).split("\n")


def entry(text: str, level: Level = Level.NEWS, about: str = "lab/main", **options: Any) -> Entry:
    return Entry(NOON, level, about, text, **options)


class Seen:
    """A pseudo-terminal and what it shows. Nothing that is written to it waits: it is read after
    each step."""

    def __init__(
        self, columns: int = 80, lines: int = 24, verbose: bool = False, stderr: int | None = None
    ) -> None:
        self.master, self.slave = os.openpty()
        self.emulator = pyte.HistoryScreen(columns, lines, history=100, ratio=0.1)
        self.raw = b""
        self._stream = pyte.ByteStream(self.emulator)
        self.resize(columns, lines)
        self.clock = FakeClock()
        self.clock.sleep(100)  # until the second broker is stopped
        terminal = Terminal(self.slave, self.slave if stderr is None else stderr)
        self.screen = TerminalScreen(verbose, self.clock.now, terminal)

    def show(self, *items: object) -> list[str]:
        """Hand things over, one after the other, then let the screen be idle; return what can be
        seen."""
        for item in items:
            self.screen.take(item)
        self.screen.idle()
        return self.lines

    def write(self, text: str) -> None:
        """Write to the terminal as somebody else does."""
        os.write(self.slave, text.encode())

    def resize(self, columns: int, lines: int) -> None:
        self.emulator.resize(lines, columns)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    @property
    def lines(self) -> list[str]:
        os.set_blocking(self.master, False)
        try:
            while data := os.read(self.master, 65536):
                self.raw += data
                self._stream.feed(data)
        except BlockingIOError:
            pass
        return [line.rstrip() for line in self.emulator.display if line.strip()]

    def close(self) -> None:
        os.close(self.master)
        os.close(self.slave)


@contextmanager
def terminal(**options: Any) -> Iterator[Seen]:
    seen = Seen(**options)
    try:
        yield seen
    finally:
        seen.close()


def test_while_it_waits_it_says_how_many_checks_were_healthy_and_what_comes_next() -> None:
    assert said(replace(WAITING, healthy=3, health=Health.HEALTHY), 1035) == [
        "waiting until the cluster is healthy: 3/12 checks, 35 s",
        "next: broker 1 (kafka1), 1 of 3",
        "0 of 3 restarted, 3 untouched; 35 s so far",
    ]


def test_while_the_cluster_is_not_healthy_it_says_why() -> None:
    reasons = (
        Reason("a", "broker 2 is not registered"),
        Reason("b", "6 under-replicated partitions", lasting=75),
    )
    assert said(replace(WAITING, health=Health.UNHEALTHY, reasons=reasons), 1080)[1] == (
        "not healthy: broker 2 is not registered; 6 under-replicated partitions, for 75 s"
    )


def test_what_is_not_known_to_be_healthy_is_not_called_unhealthy() -> None:
    reasons = (Reason("a", "the metrics of broker 1 are those of the last check"),)
    assert said(replace(WAITING, health=Health.UNKNOWN, reasons=reasons), 1000)[1].startswith(
        "not known: the metrics"
    )


def test_many_reasons_are_cut_so_that_they_do_not_fill_the_screen() -> None:
    reasons = tuple(
        Reason(str(number), f"broker {number} is not registered") for number in range(90)
    )
    why = said(replace(WAITING, health=Health.UNHEALTHY, reasons=reasons), 1000, width=40)[1]
    assert len(why) == 3 * 40 - 1 and why.endswith("...")


def test_the_broker_in_hand_is_named_with_its_place_and_how_long_ago_it_was_stopped() -> None:
    assert said(STOPPING, 1112) == [
        "broker 2 (kafka2), 2 of 3: stopping, 12 s since the stop",
        "the stop command is running",
        "1 of 3 restarted, 1 stopped, 1 untouched; 1 min 52 s so far, about 3 min left",
    ]


def test_the_last_that_was_said_of_the_broker_in_hand_is_shown() -> None:
    news = replace(
        STOPPING, step=Step.STARTING, step_began=1111, detail="still waiting until it is back, 60 s"
    )
    assert said(news, 1160)[:2] == [
        "broker 2 (kafka2), 2 of 3: starting, 1 min 00 s since the stop",
        "still waiting until it is back, 60 s",
    ]


def test_a_broker_that_is_back_is_not_said_to_be_starting() -> None:
    back = (
        FIRST_DONE[0],
        replace(SECOND_IN_HAND[1], state=State.RESTARTED, back_at=1130),
        UNTOUCHED[2],
    )
    at = replace(STOPPING, records=back, step=Step.STARTING, step_began=1112)
    assert said(at, 1131)[0] == "broker 2 (kafka2), 2 of 3: back, 19 s"


def test_after_the_last_broker_it_says_that_none_is_left() -> None:
    done = tuple(replace(FIRST_DONE[0], broker=broker, recovered_at=None) for broker in BROKERS)
    assert said(replace(WAITING, records=done, brokers=(BROKERS[2],)), 1001)[1:] == [
        "no broker is left to restart",
        "3 of 3 restarted; 1 s so far",
    ]


def test_a_signal_that_is_put_off_is_shown_until_the_end() -> None:
    assert said(STOPPING, 1112, "SIGTERM")[-1].startswith("SIGTERM received: ")


def test_nothing_is_estimated_before_a_broker_has_settled() -> None:
    assert replace(STOPPING, records=UNTOUCHED).left_s(1112) is None
    assert replace(STOPPING, rolling_since=None).left_s(1112) is None


def test_the_estimate_is_what_a_broker_took_so_far_for_each_that_is_left() -> None:
    assert STOPPING.left_s(1100) == 180  # the first one took 90 s, and two are left
    assert STOPPING.left_s(1130) == 150


def test_the_estimate_leaves_out_who_was_restarted_by_somebody_else() -> None:
    skipped = (*SECOND_IN_HAND[:2], replace(UNTOUCHED[2], state=State.SKIPPED))
    assert replace(STOPPING, records=skipped).left_s(1100) == 90


def test_a_broker_that_takes_longer_than_the_others_eats_up_its_own_time_only() -> None:
    assert STOPPING.left_s(1250) == 90  # that of the third


def test_the_last_broker_that_takes_longer_than_the_others_has_no_estimate() -> None:
    alone = replace(STOPPING, records=SECOND_IN_HAND[:2])
    assert alone.left_s(1180) == 10
    assert alone.left_s(1200) is None
    assert "left" not in said(alone, 1189.8)[-1]


def test_a_column_that_is_empty_is_left_out_however_wide_the_terminal_is() -> None:
    # fmt: skip
    assert [PLAN.columns[place] for place in columns_that_fit(PLAN, 200)] == [
        "#",
        "id",
        "host",
        "up since",
        "preflight",
    ]


def test_optional_columns_are_left_out_one_by_one_where_it_is_narrow() -> None:
    racks = replace(PLAN, rows=tuple((*row[:3], "rack-a", *row[4:]) for row in PLAN.rows))
    widths = {
        width: [racks.columns[place] for place in columns_that_fit(racks, width)]
        for width in (80, 53, 52, 45, 44)
    }
    assert widths[80] == widths[53] == ["#", "id", "host", "rack", "up since", "preflight"]
    assert widths[52] == widths[45] == ["#", "id", "host", "up since", "preflight"]
    assert widths[44] == ["#", "id", "host", "preflight"]


def test_what_is_needed_is_folded_and_not_cut_where_it_does_not_fit() -> None:
    with terminal(columns=30) as seen:
        shown = seen.show(
            replace(PLAN, rows=(("1", "1", "kafka-1.us-east.example.com", "", "", "ok"),))
        )
    begin, end = shown[0].index("host"), shown[0].index("preflight")
    assert "".join(line[begin:end].strip() for line in shown[1:]) == "kafka-1.us-east.example.com"


def test_a_line_has_the_time_once_the_roll_goes_on_and_a_warning_is_one_without_colours_too() -> (
    None
):
    assert words(entry("the plan"), has_begun=False) == "the plan"
    assert (
        words(entry("restarted", about="1/3 broker 1 (n1)"), has_begun=True)
        == "12:00:00 1/3 broker 1 (n1): restarted"
    )
    assert words(entry("beware", Level.WARNING), has_begun=True) == "12:00:00 WARNING beware"
    assert words(entry("no", Level.ERROR), has_begun=True) == "kafka-rolling-restart: no"


def test_the_live_area_stays_below_the_lines_and_nothing_of_it_is_left() -> None:
    with terminal() as seen:
        assert seen.show(entry("plan"), WAITING)[:2] == [
            "plan",
            "waiting until the cluster is healthy: 0/12 checks, 1 min 40 s",
        ]
        assert seen.show(entry("first"), STOPPING)[:3] == [
            "plan",
            "12:00:00 first",
            "broker 2 (kafka2), 2 of 3: stopping, 0 s since the stop",
        ]
        assert seen.show(replace(STOPPING, step=Step.ENDED), entry("last")) == [
            "plan",
            "12:00:00 first",
            "12:00:00 last",
        ]
        assert seen.emulator.cursor.x == 0 and not seen.emulator.cursor.hidden


def test_the_area_shows_how_time_passes_whatever_key_is_pressed() -> None:
    with terminal() as seen:
        seen.show(WAITING)
        seen.write("^C")  # the echo of a key
        seen.clock.sleep(4)
        assert seen.show()[0] == "waiting until the cluster is healthy: 0/12 checks, 1 min 44 s"
        assert len(seen.lines) == 3


def test_a_step_that_the_area_shows_is_no_line_unless_everything_is_to_be_said() -> None:
    with terminal() as seen:
        assert "stopping it" not in str(seen.show(STOPPING, entry("stopping it", Level.STEP)))
    with terminal(verbose=True) as seen:
        assert seen.show(STOPPING, entry("stopping it", Level.STEP))[0] == "12:00:00 stopping it"


def test_lines_that_scroll_away_at_the_top_are_not_torn() -> None:
    with terminal(lines=6) as seen:
        for number in range(20):
            seen.show(entry(f"line {number}"), STOPPING)
        assert seen.lines[0] == "12:00:00 line 19"
        top = [
            "".join(line[column].data for column in range(80)).rstrip()
            for line in seen.emulator.history.top
        ]
    assert [line for line in top if line] == ["line 0"] + [
        f"12:00:00 line {number}" for number in range(1, 19)
    ]


def test_an_area_that_is_higher_than_the_terminal_is_cut() -> None:
    with terminal(columns=20, lines=4) as seen:
        for _ in range(5):
            seen.show(entry("news"), STOPPING)
        assert seen.lines == ["broker 2 (kafka2), 2", "of 3: stopping, 0 s"]


def test_another_width_in_the_middle_eats_no_line_and_is_used_from_then_on() -> None:
    with terminal() as seen:
        seen.show(entry("first"), STOPPING)
        seen.resize(40, 24)
        assert seen.show(entry("second"))[:4] == [
            "first",
            "12:00:00 second",
            "broker 2 (kafka2), 2 of 3: stopping, 0 s",
            "since the stop",
        ]
        seen.resize(100, 24)
        assert seen.show(entry("third"))[:4] == [
            "first",
            "12:00:00 second",
            "12:00:00 third",
            "broker 2 (kafka2), 2 of 3: stopping, 0 s since the stop",
        ]
        assert len(seen.lines) == 6


def test_a_terminal_that_tells_no_size_has_the_usual_one() -> None:
    with terminal() as seen:
        fcntl.ioctl(seen.master, termios.TIOCSWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
        assert len(seen.show(STOPPING)) == 3


def test_prose_is_wrapped_between_words_and_a_command_or_a_path_is_not_broken() -> None:
    path = "/home/me/.kafka_discovery/us-east-production.yaml"
    with terminal(columns=40) as seen:
        seen.show(
            entry(f"cluster lab/main, configured in {path}, ZooKeeper zk1:2181"),
            entry(
                f"to go on: kafka-rolling-restart --broker-ids 2,3 --discovery-base-path {path}",
                has_command=True,
            ),
            entry(
                f"the stop command failed: `sudo -n service kafka stop --with {path}`",
                about="1/3 broker 1 (n1)",
            ),
            replace(entry("broker 1 (n1) is DOWN", Level.ERROR), code="broker-down"),
            Raw(f"ssh n1 'service kafka start {path}'\n", STDERR),
        )
        assert seen.raw.count(path.encode()) == 4
        lines = seen.raw.decode().split("\r\n")
    assert lines[0] == "cluster lab/main, configured in" and lines[2].startswith(
        "ZooKeeper zk1:2181"
    )
    assert f"to go on: kafka-rolling-restart --broker-ids 2,3 --discovery-base-path {path}" in lines
    down = next(
        number for number, line in enumerate(lines) if "broker 1 (n1) is DOWN [broker-down]" in line
    )
    assert lines[down + 1] == f"ssh n1 'service kafka start {path}'"


@pytest.mark.parametrize("half", ["x", "copying ... 50%", "x" * 79, "x" * 80])
def test_what_a_task_printed_without_a_line_end_is_not_eaten(half: str) -> None:
    with terminal() as seen:
        seen.show(STOPPING, HandOver(True))
        seen.write(half)
        assert seen.show(HandOver(False))[:2] == [
            half,
            "broker 2 (kafka2), 2 of 3: stopping, 0 s since the stop",
        ]


def test_no_empty_line_is_left_where_a_task_ended_its_line_or_printed_nothing() -> None:
    with terminal() as seen:
        seen.show(entry("first"), STOPPING, HandOver(True))
        seen.write("done\r\n")
        seen.show(HandOver(False))
        seen.show(HandOver(True), HandOver(False))
        shown = [line.rstrip() for line in seen.emulator.display[:4]]
    assert shown == ["first", "done", "", "broker 2 (kafka2), 2 of 3: stopping, 0 s since the stop"]


def test_while_others_have_the_terminal_there_is_no_area_and_steps_are_lines_of_their_own() -> None:
    with terminal() as seen:
        seen.show(STOPPING, HandOver(True))
        seen.write("copying ...")
        assert seen.show(entry("still at it", Level.STEP)) == [
            "copying ...",
            "12:00:00 still at it",
        ]


def test_ctrl_z_while_a_task_has_the_terminal_does_not_take_it_from_the_task() -> None:
    with terminal() as seen:
        assert seen.show(STOPPING, HandOver(True), HandOver(True), HandOver(False)) == []
        assert len(seen.show(HandOver(False))) == 3


def test_after_a_long_sleep_what_others_wrote_is_left_alone() -> None:
    with terminal() as seen:
        seen.show(STOPPING)
        seen.write("[1]+ Stopped\r\n$ fg\r\n")
        seen.clock.sleep(ASLEEP_S + 1)
        shown = seen.show()
    assert "[1]+ Stopped" in shown and "$ fg" in shown and shown[-3].startswith("broker 2")


def test_a_terminal_that_was_stopped_for_long_is_not_taken_for_our_sleep() -> None:
    """Ctrl-S: the write takes as long as it lasts, and nobody else wrote anything."""
    with terminal() as seen:
        slow = Slow(seen.slave, seen.clock, ASLEEP_S * 3)
        screen = TerminalScreen(False, seen.clock.now, slow)
        screen.take(STOPPING)
        for _ in range(3):
            screen.idle()
        assert len(seen.lines) == 3


class Slow(Terminal):
    """A terminal that takes its time for each write."""

    def __init__(self, descriptor: int, clock: FakeClock, seconds: float) -> None:
        super().__init__(descriptor, descriptor)
        self._clock, self._seconds = clock, seconds

    def write(self, text: str, descriptor: int = STDOUT) -> None:
        super().write(text, descriptor)
        self._clock.sleep(self._seconds)


def test_what_goes_to_a_stderr_elsewhere_is_a_plain_line_there_and_nothing_here(
    tmp_path: Path,
) -> None:
    with (tmp_path / "err").open("wb") as file, terminal(stderr=file.fileno()) as seen:
        shown = seen.show(
            STOPPING, entry("beware", Level.WARNING, "1/3 broker 1 (n1)", descriptor=STDERR)
        )
    assert len(shown) == 3
    assert (
        tmp_path / "err"
    ).read_text() == "2026-11-24T12:00:00+00:00 WARNING 1/3 broker 1 (n1): beware\n"


def test_a_traceback_goes_above_the_area_as_it_is() -> None:
    with terminal() as seen:
        assert seen.show(STOPPING, Raw("Traceback:\n  boom\n", STDERR))[:3] == [
            "Traceback:",
            "  boom",
            "broker 2 (kafka2), 2 of 3: stopping, 0 s since the stop",
        ]


def test_a_put_off_signal_is_noted_in_the_area() -> None:
    with terminal() as seen:
        assert seen.show(STOPPING, Heard("SIGINT"))[-1].startswith("SIGINT received")


def test_everything_we_write_is_ascii_and_the_cursor_is_never_hidden() -> None:
    with terminal(columns=30) as seen:
        seen.show(
            PLAN,
            STOPPING,
            entry("x" * 100),
            entry("beware " * 20, Level.WARNING),
            replace(STOPPING, step=Step.ENDED),
        )
        seen.show(Heard("SIGTERM"), WAITING)
        assert seen.raw.isascii() and b"\x1b[?25l" not in seen.raw


def test_a_terminal_that_is_gone_ends_nothing() -> None:
    seen = Seen()
    seen.show(STOPPING)
    seen.close()
    seen.screen.take(entry("lost"))
    seen.screen.idle()


def test_a_view_that_fails_is_replaced_by_plain_lines_and_the_item_is_not_lost(
    capfd: pytest.CaptureFixture[str],
) -> None:
    writer = Writer(Broken(), spare=PlainScreen())
    writer.put(entry("first"))
    assert writer.drain(10)
    captured = capfd.readouterr()
    assert captured.out == "2026-11-24T12:00:00+00:00 INFO lab/main: first\n"
    assert "the view of the run failed (RuntimeError: a defect)" in captured.err


class Broken:
    """A view with a defect."""

    tick_s: float | None = None

    def take(self, item: object) -> None:
        raise RuntimeError("a defect")

    def idle(self) -> None:
        pass


def test_rich_is_not_loaded_where_it_is_not_needed() -> None:
    code = "import sys, kafka_rolling_restart.output.screen; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
