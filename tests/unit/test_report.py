import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.model.ending import FinalState, Outcome
from kafka_rolling_restart.model.plan_row import PlanRow
from kafka_rolling_restart.model.progress import Progress, Record, State
from kafka_rolling_restart.model.verdict import Health, Reason, Verdict
from kafka_rolling_restart.output.report import KEPT, PlainScreen, Raw, Report, Sheet
from kafka_rolling_restart.output.writer import Writer
from kafka_rolling_restart.text import clean
from tests.fakes import Collector, FakeClock

BROKER = Broker(1, "n1", 10)
UNHEALTHY = Verdict(Health.UNHEALTHY, (Reason("registration 2", "broker 2 is not registered"),))


def test_a_reason_is_said_when_it_changes_and_again_in_the_next_wait() -> None:
    writer = Collector()
    report = Report(writer)
    for _ in range(2):
        report.begin_wait(3)
        report.verdict(UNHEALTHY, 0, 3)
        report.verdict(UNHEALTHY, 0, 3)
    said = [line for line in writer.lines if "broker 2 is not registered" in line]
    assert len(said) == 2


def test_control_characters_of_a_host_do_not_reach_the_terminal() -> None:
    assert clean("a\x1b[2Jb\nc\u202ed") == "a?[2Jb?c?d"


def test_a_full_disk_and_a_closed_pipe_are_survived() -> None:
    writer = Writer(PlainScreen())
    reader, closed = os.pipe()
    os.close(reader)
    full = os.open("/dev/full", os.O_WRONLY)
    seen, open_ = os.pipe()
    for descriptor in (closed, full, open_):
        writer.put(Raw("line\n", descriptor))
    writer.drain()
    assert os.read(seen, 100) == b"line\n"
    for descriptor in (closed, full, seen, open_):
        os.close(descriptor)


def test_a_reader_that_does_not_read_does_not_hold_us_up() -> None:
    writer = Writer(PlainScreen())
    seen, open_ = os.pipe()
    writer.put(Raw("x" * 1_000_000, open_))  # far more than a pipe holds
    writer.put(Raw("y", open_))
    writer.drain(0.01)
    os.close(seen)


def test_a_stdout_that_nobody_reads_does_not_hold_back_what_went_wrong() -> None:
    """In a process of its own: its stdout is a full pipe, its stderr a file."""
    code = """
from kafka_rolling_restart.model.ending import Outcome, FinalState
from kafka_rolling_restart.model.plan_row import PlanRow
from kafka_rolling_restart.model.progress import Progress, Record, State
from kafka_rolling_restart.output.report import PlainScreen, Report
from kafka_rolling_restart.output.writer import Writer
report = Report(Writer(PlainScreen()))
report.say("x" * 1_000_000)
report.error("broker 1 is DOWN")
report.close()
"""
    seen, full = os.pipe()
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, timeout=20
    )
    os.close(seen)
    os.close(full)
    assert done.stderr.endswith(" ERROR kafka-rolling-restart: broker 1 is DOWN\n")
    assert done.stderr.count("\n") == 1


def test_a_reason_that_lasts_is_said_again_once_a_minute() -> None:
    writer, clock = Collector(), FakeClock()
    report = Report(writer, clock=clock)
    for _ in range(13):
        report.verdict(UNHEALTHY, 0, 3)
        clock.sleep(10)
    assert len(writer.lines) == 3


def test_quiet_says_nothing_while_nothing_ends_the_run() -> None:
    writer = Collector()
    report = Report(writer, quiet=True)
    report.say("a plan")
    report.warn("the start command failed")
    report.end(Outcome(0, "all were restarted"))
    assert writer.lines == []


def test_quiet_says_all_warnings_before_what_ended_the_run_on_stderr_alone() -> None:
    writer = Collector()
    report = Report(writer, quiet=True)
    report.say("a plan")
    report.warn("the start command failed", "1/3 broker 1 (n1)", code="start-failed")
    report.summary(
        Progress(0, 0, (Record(BROKER),)),
        FinalState(untouched=(BROKER,)),
        "kafka-rolling-restart --broker-ids 1",
    )
    report.end(
        Outcome(
            5, "broker 1 is DOWN", "broker-down", ("ssh n1 'service kafka start'", "ssh n2 start")
        )
    )
    assert [line.partition(" ")[2] for line in writer.errors] == [
        "WARNING 1/3 broker 1 (n1): the start command failed [start-failed]\n",
        "INFO kafka-rolling-restart: restarted: none; stopped and not back: none; untouched: "
        "broker 1\n",
        "INFO kafka-rolling-restart: to go on with the rest once all brokers are up: "
        "kafka-rolling-restart --broker-ids 1\n",
        "ERROR kafka-rolling-restart: broker 1 is DOWN [broker-down]\n",
        "n1 'service kafka start'\n",
        "n2 start\n",
    ]
    assert writer.lines == writer.errors


def test_the_commands_to_type_next_stand_alone_on_the_last_lines() -> None:
    """In plain lines, too: what is copied has no time, no level and no code in it."""
    writer = Collector()
    Report(writer).end(
        Outcome(4, "the cluster was not healthy", "cluster-not-healthy", ("krr --broker-ids 2,3",))
    )
    assert writer.lines[-2].endswith(": the cluster was not healthy [cluster-not-healthy]\n")
    assert writer.lines[-1] == "krr --broker-ids 2,3\n"


def test_warnings_problems_and_reasons_have_their_code_at_the_end_of_their_line() -> None:
    writer = Collector()
    report = Report(writer)
    report.warn("it hangs", code="stop-hangs")
    report.error("no metrics", "broker 1 (n1)", code="no-metrics")
    report.say("NOTE: a container?", "broker 1 (n1)", code="process-not-visible")
    report.signal("SIGTERM")
    report.verdict(
        Verdict(
            Health.UNHEALTHY,
            (Reason("a", "one", code="no-metrics"), Reason("b", "two", 75.0, "c-d")),
        ),
        0,
        3,
    )
    ends = [line.rstrip("\n").rpartition(" [")[2] for line in writer.lines]
    assert ends == [
        "stop-hangs]",
        "no-metrics]",
        "process-not-visible]",
        "signal-received]",
        "c-d]",
    ]
    assert writer.lines[-1].endswith(": one [no-metrics]; two, for 75 s [c-d]\n")


def test_quiet_lets_a_person_see_what_they_are_asked_about_and_is_quiet_then() -> None:
    writer = Collector()
    report = Report(writer, quiet=True, asks=True)
    report.say("a plan")
    report.ask("Restart?")
    report.enable_quiet()
    report.say("what happens then")
    assert len(writer.lines) == 2 and "a plan" in writer.lines[0]


def test_quiet_keeps_a_bounded_number_of_warnings() -> None:
    writer = Collector()
    report = Report(writer, quiet=True)
    for number in range(5000):
        report.warn(f"warning {number}")
    report.error("the end")
    assert len(writer.errors) == KEPT and "warning 4999" in writer.errors[-2]


def test_details_are_said_with_verbose_alone() -> None:
    plain, verbose = Collector(), Collector()
    Report(plain).detail("`id -u` ended with status 0")
    Report(verbose, verbose=1).detail("`id -u` ended with status 0")
    assert plain.lines == [] and " DEBUG " in verbose.lines[0]


class Broken(PlainScreen):
    """A view that has a defect."""

    def take(self, item: object) -> None:
        raise ZeroDivisionError


def test_a_view_that_fails_is_replaced_and_loses_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    report = Report(Writer(Broken(), spare=PlainScreen()))
    report.say("broker 1 is back")
    report.close()
    shown = capfd.readouterr()
    assert "broker 1 is back" in shown.out and "the view of the run failed" in shown.err


THOUSAND = [Broker(number, f"n{number}", number) for number in range(1, 1001)]


def sheets(tell: Callable[[Report], None]) -> list[Sheet]:
    """Return the tables that a report hands to its screen."""
    items: list[object] = []

    class Screen(Collector):
        def put(self, item: object) -> None:
            items.append(item)

    tell(Report(Screen()))
    return [item for item in items if isinstance(item, Sheet)]


def test_a_terminal_shows_a_window_of_a_plan_of_a_thousand_and_all_that_is_not_as_the_rest() -> (
    None
):
    rows = [PlanRow(str(one.id), one, "", "", "ok") for one in THOUSAND]
    rows[400] = replace(rows[400], role="controller")
    rows[700] = replace(rows[700], found="1 problem(s), see below", problems=("no metrics",))
    (sheet,) = sheets(lambda report: report.plan(rows))
    assert len(sheet.lines) == 1000
    shown = [(row[1], row[2], row[6]) for row in sheet.rows]
    assert len(shown) < 30
    assert ("6...398", "393 more", "ok") in shown
    assert ("401", "n401", "ok") in shown and ("701", "n701", "1 problem(s), see below") in shown


def test_a_terminal_shows_a_window_of_a_report_of_a_thousand() -> None:
    records = [
        Record(one, State.RESTARTED, stopped_at=0.0, back_at=float(one.id))
        for one in THOUSAND[:300]
    ]
    records += [Record(one) for one in THOUSAND[300:]]
    records[150] = replace(records[150], trouble="the stop command failed")
    progress = Progress(0, 0, tuple(records))
    (sheet,) = sheets(
        lambda report: report.summary(progress, FinalState(tuple(THOUSAND[:300])), "")
    )
    assert len(sheet.lines) == 1000
    shown = [row[:4] for row in sheet.rows]
    assert len(shown) < 30
    assert ("306...998", "693 more", "untouched", "") in shown
    assert ("6...148", "143 more", "restarted", "up to 2 min 28 s") in shown
    assert ("151", "n151", "restarted, the stop command failed", "2 min 31 s") in shown


def test_the_last_words_of_a_quiet_run_name_the_untouched_in_one_line() -> None:
    writer = Collector()
    report = Report(writer, quiet=True)
    report.warn("the stop command failed")
    report.summary(
        Progress(0, 0, tuple(map(Record, THOUSAND))), FinalState(untouched=tuple(THOUSAND)), ""
    )
    report.end(Outcome(4, "ended"))
    assert [line.partition(": ")[2] for line in writer.errors] == [
        "the stop command failed\n",
        "restarted: none; stopped and not back: none; untouched: broker 1-1000\n",
        "ended\n",
    ]
