import os
import subprocess
import sys

from kafka_rolling_restart.health import Health, Reason, Verdict
from kafka_rolling_restart.report import PlainScreen, Raw, Report, clean
from kafka_rolling_restart.writer import Writer
from tests.fakes import Collector, FakeClock

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
from kafka_rolling_restart.report import PlainScreen, Report
from kafka_rolling_restart.writer import Writer
report = Report(Writer(PlainScreen()))
report.say("x" * 1_000_000)
report.error("broker 1 is DOWN")
report.close()
"""
    seen, full = os.pipe()
    done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, timeout=20)
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
