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
    ],
)
def test_a_wrong_argument_ends_with_status_2(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(["-t", "main", *wrong])
    assert end.value.code == 2
    assert wrong[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["-t", "main"], "kafka-rolling-restart -t main --skip 2"),
        (["--skip", "1", "-t", "main"], "kafka-rolling-restart -t main --skip 2"),
        (["-t", "main", "--skip=1"], "kafka-rolling-restart -t main --skip 2"),
        (["-t", "main", "--task-args", "a b"], "kafka-rolling-restart -t main --task-args 'a b' --skip 2"),
    ],
)
def test_the_resume_line_is_the_command_with_another_skip(given: list[str], expected: str) -> None:
    assert resume_line(given, 2) == expected
