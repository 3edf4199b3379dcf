import shlex
from datetime import datetime, timedelta, timezone

import pytest

from kafka_rolling_restart.arguments import parse, resume_line


def test_the_defaults_are_those_that_users_know() -> None:
    options = parse(["--cluster-type", "main"])
    assert (options.check_interval, options.check_count, options.unhealthy_time_limit) == (10, 12, 600)
    assert (options.jmxproxy_port, options.jmxproxy_prefix) == (9090, "jmxproxy/localhost:9099/")
    assert (options.stop_command, options.start_command) == ("service kafka stop", "service kafka start")
    assert (options.skip, options.no_confirm, options.verbose, options.metrics_timeout) == (0, False, False, 30)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--skip", "-1"],
        ["--skip", "x"],
        ["--check-count", "0"],
        ["--check-interval", "-1"],
        ["--check-interval", "nan"],
        ["--unhealthy-time-limit", "inf"],
        ["--jmxproxy-port", "70000"],
        ["--task-args", "x"],
        ["--check-int", "3"],
        ["--broker-ids", "1,1"],
        ["--broker-ids", "1,x"],
        ["--broker-ids", "1", "--skip", "1"],
        ["--started-before", "yesterday"],
        ["--started-before", "2026-11-24T03:00:00"],
    ],
)
def test_a_wrong_argument_ends_with_status_2(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(["-t", "main", *wrong])
    assert end.value.code == 2
    assert wrong[0] in capsys.readouterr().err


BEGAN = datetime(2026, 11, 24, 3, 0, tzinfo=timezone.utc)
REST = "--broker-ids 2,3 --started-before 2026-11-24T03:00:00+00:00"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["-t", "main"], f"kafka-rolling-restart -t main {REST}"),
        (["--skip", "1", "-t", "main"], f"kafka-rolling-restart -t main {REST}"),
        (["-t", "main", "--skip=1"], f"kafka-rolling-restart -t main {REST}"),
        (["-t", "main", "--dry-run"], f"kafka-rolling-restart -t main {REST}"),
        (["--broker-ids=3", "-t", "main", "--started-before", "2h"], f"kafka-rolling-restart -t main {REST}"),
        (
            ["-t", "main", "--task=x", "--task-args", "a b"],
            f"kafka-rolling-restart -t main --task=x --task-args 'a b' {REST}",
        ),
    ],
)
def test_the_resume_line_is_the_command_with_just_what_is_left(given: list[str], expected: str) -> None:
    line = resume_line(given, BEGAN, [2, 3])
    assert line == expected
    assert parse(shlex.split(line)[1:]).broker_ids == [2, 3]


@pytest.mark.parametrize(("text", "age"), [("90s", 90), ("5m", 300), ("2h", 7200), ("1.5d", 129_600)])
def test_a_duration_is_so_long_ago(text: str, age: float) -> None:
    assert parse(["-t", "main", "--started-before", text]).started_before == age


def test_a_moment_with_a_zone_is_understood() -> None:
    moment = datetime.now(timezone(timedelta(hours=5))) - timedelta(hours=3)
    assert parse(["-t", "main", "--started-before", moment.isoformat()]).started_before == pytest.approx(10_800, abs=60)
