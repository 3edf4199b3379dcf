"""What comes from outside, on its way to a terminal, a log and the report."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_rolling_restart.hosts.ssh.client import _printable
from kafka_rolling_restart.hosts.ssh.proxy import ProxyProcess
from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.model.ending import Outcome
from kafka_rolling_restart.model.progress import Progress, Record, State, Step
from kafka_rolling_restart.model.verdict import Health, Reason
from kafka_rolling_restart.output.report import Entry, Level, Report, plain
from kafka_rolling_restart.output.report_file import document
from kafka_rolling_restart.output.screen import view, words
from kafka_rolling_restart.text import (
    CUT,
    MAX_LINE,
    MAX_SAID,
    clean,
    clean_all,
    describe,
    describe_all,
    said,
)
from tests.fakes import Collector
from tests.unit.test_report_file import BEGAN, RUN

HOSTILE = "\x1b[2J\x1b]52;c;aGk=\x07\x9b1m\rall healthy\n\u202edlrow\u2028"
HOST = Broker(1, f"n1{HOSTILE}", 10, f"a{HOSTILE}")
RECORDS = tuple(
    Record(HOST, state, trouble=HOSTILE, start_line=f"ssh n1 {HOSTILE}", stopped_at=1001.0)
    for state in State
)
PROGRESS = Progress(
    1000.0,
    1000.0,
    RECORDS,
    brokers=(HOST,),
    detail=HOSTILE,
    health=Health.UNHEALTHY,
    reasons=(Reason("a", f"no metrics of broker 1: {HOSTILE}"),),
    count=3,
)


def is_harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n")) and "\nall healthy" not in text


@given(st.text())
def test_whatever_is_shown_is_one_line_that_a_terminal_does_not_act_on(text: str) -> None:
    assert clean(text).isprintable() and len(clean(text)) == len(text)
    assert said(text).isprintable() and len(said(text)) <= MAX_SAID


def test_what_is_printable_stays_as_it_is_and_what_is_too_long_is_cut() -> None:
    assert clean("größe: 3 äpfel, 日本") == "größe: 3 äpfel, 日本"
    assert clean("x" * (MAX_LINE + 1)) == "x" * (MAX_LINE - len(CUT)) + CUT
    assert said("x" * 1000) == "x" * (MAX_SAID - len(CUT)) + CUT


def test_every_text_in_a_value_is_cleaned() -> None:
    found = clean_all(PROGRESS)
    assert "\x1b" not in f"{found}" and found.records[0].trouble == clean(HOSTILE)
    assert [record.state for record in found.records] == list(State) and found.count == 3
    assert clean_all({"a": [HOSTILE, 3, None]}) == {"a": [clean(HOSTILE), 3, None]}


@pytest.mark.parametrize("step", Step)
def test_the_live_view_shows_nothing_that_a_terminal_acts_on(step: Step) -> None:
    shown = view(replace(PROGRESS, step=step), 1010.0, f"SIGTERM{HOSTILE}", 80)
    assert is_harmless("".join(part for part, _style in shown))


@pytest.mark.parametrize("level", Level)
def test_neither_a_line_at_a_terminal_nor_one_in_a_pipe_has_anything_that_a_terminal_acts_on(
    level: Level,
) -> None:
    entry = Entry(BEGAN, level, f"broker 1 {HOSTILE}", HOSTILE)
    ((_descriptor, line),) = plain(entry)
    assert line.endswith("\n") and line[:-1].isprintable()
    assert words(entry, True).isprintable() and words(entry, False).isprintable()


def test_the_report_file_holds_nothing_that_a_terminal_acts_on_once_it_is_decoded() -> None:
    found = document(RUN, PROGRESS, Outcome(5, HOSTILE, lost=(HOST,)))
    decoded = json.loads(json.dumps(found))
    texts = [decoded["outcome"], decoded["step"]["detail"], decoded["health"]["reasons"][0]["text"]]
    texts += [one[name] for one in decoded["brokers"] for name in ("host", "trouble")]
    texts += [one[name] for one in decoded["may_be_down"] for name in ("host", "start_command")]
    assert len(texts) > 12 and [text for text in texts if not text.isprintable()] == []


def test_what_was_typed_is_in_the_report_file_as_it_was_typed() -> None:
    run = replace(RUN, command=["kafka-rolling-restart", "--task-args", "a\tb"])
    found = document(
        run, replace(PROGRESS, resume="kafka-rolling-restart --task-args 'a\tb'"), None
    )
    assert (
        found["command"][2] == "a\tb"
        and found["resume"] == "kafka-rolling-restart --task-args 'a\tb'"
    )


def test_what_a_host_and_a_proxy_command_print_has_nothing_that_a_terminal_acts_on() -> None:
    printed = _printable(HOSTILE.encode())
    assert is_harmless(printed.replace("\nall healthy", "")) and "?[2J" in printed
    proxy = ProxyProcess("printf '\\033[2Jno route\\n' >&2", "/bin/sh")
    try:
        deadline = time.monotonic() + 10
        while not proxy.said and time.monotonic() < deadline:
            time.sleep(0.02)
        assert proxy.said == "?[2Jno route"
    finally:
        proxy.close()


def failing(text: str) -> Exception:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error
    raise AssertionError(text)


def test_an_exception_that_holds_a_password_does_not_tell_it() -> None:
    error = failing("hunter2\udcff")
    assert "hunter2" in repr(error)  # why describe is needed
    assert (
        describe(error) == "UnicodeEncodeError: surrogates not allowed, at position 7"
        and "hunter2" not in describe_all(error)
    )
    assert describe(RuntimeError("password=hunter2")) == "RuntimeError: password=***"
    assert describe(RuntimeError()) == "RuntimeError"
    assert describe(RuntimeError(HOSTILE)).isprintable()


def test_a_traceback_names_where_it_happened_and_has_nothing_that_a_terminal_acts_on() -> None:
    writer = Collector()
    try:
        try:
            failing("plain")
        except AssertionError as error:
            raise ValueError(HOSTILE) from error
    except ValueError as error:
        Report(writer).traceback(error)
    told = "".join(writer.errors)
    assert is_harmless(told) and "ValueError: ?[2J" in told and "AssertionError: plain" in told
    assert told.count("test_text.py") >= 3 and told.index("AssertionError") < told.index(
        "ValueError:"
    )


def test_a_defect_that_nothing_caught_is_shown_in_the_same_way() -> None:
    code = (
        "import kafka_rolling_restart.main as main, kafka_rolling_restart.__main__ as command\n"
        "def broken(argv, options): 'hunter2\\udcff'.encode()\n"
        "main.main = broken\n"
        "command.sys.argv[1:] = ['-t', 'main']\n"
        "command.run()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and done.stderr.splitlines()[-1] == describe(
        failing("hunter2\udcff")
    )


def test_a_defect_of_a_thread_is_shown_in_the_same_way() -> None:
    code = (
        "import kafka_rolling_restart.main as main, kafka_rolling_restart.__main__ as command, "
        "threading\n"
        "def break_off(): raise RuntimeError('\\x1b[2Jpassword=hunter2')\n"
        "def run(argv, options):\n"
        "    thread = threading.Thread(target=break_off)\n"
        "    thread.start()\n"
        "    thread.join()\n"
        "    return 0\n"
        "main.main = run\n"
        "command.sys.argv[1:] = ['-t', 'main']\n"
        "command.run()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and is_harmless(done.stderr)
    assert done.stderr.splitlines()[-1] == "RuntimeError: ?[2Jpassword=***"
