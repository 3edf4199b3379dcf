"""What is told of a wrong number, an unreadable file and an unexpected cluster names the thing that
is wrong."""

from pathlib import Path

import pytest

from kafka_rolling_restart.cli import arguments
from kafka_rolling_restart.cli import config_files as config
from kafka_rolling_restart.errors import UsageError
from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.roll.plan import describe
from kafka_rolling_restart.settings.cluster import ClusterConfig

FOUND = Path("/home/me/.kafka_discovery/main.yaml")
TWO = ClusterConfig("main", "east", "zk:2181", ("n1:9092", "n2:9092"), FOUND)
ONE, OTHER = Broker(1, "n1", 10), Broker(2, "n2", 11)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--check-interval", "-1"),
        ("--check-interval", "x"),
        ("--check-interval", "nan"),
        ("--check-interval", "1e9"),
        ("--unhealthy-time-limit", "0"),
    ],
)
def test_a_number_that_is_none_or_out_of_range_is_named_with_its_option(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        arguments.parse(["-t", "main", option, value])
    said = capsys.readouterr().err.splitlines()[-1]
    assert end.value.code == 2 and option in said and f"'{value}'" in said


def test_arguments_of_a_task_that_is_not_there_are_wrong_usage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as end:
        arguments.parse(["-t", "main", "--task-args", "x"])
    assert end.value.code == 2 and "--task-args" in capsys.readouterr().err.splitlines()[-1]


def test_a_configuration_that_is_not_utf_8_is_named_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "main.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(UsageError) as error:
        config.load("main", None, [tmp_path])
    assert str(tmp_path / "main.yaml") in str(error.value) and "byte 3" in str(error.value)


def test_brokers_that_are_expected_and_not_registered_are_counted_and_named() -> None:
    lines, warnings = describe(TWO, "ZooKeeper zk", None, {1: ONE}, controller=None)
    assert (
        len(warnings) == 1
        and "1 of 2 brokers" in warnings[0].text
        and "n2:9092" in warnings[0].text
    )
    assert str(FOUND) in lines[0]


def test_of_brokers_that_register_under_other_names_none_is_said_to_be_missing() -> None:
    (warning,) = describe(TWO, "ZooKeeper zk", None, {1: Broker(1, "10.0.0.1", 10)}, controller=1)[
        1
    ]
    assert (
        "1 of 2 brokers" in warning.text
        and "n1:9092" not in warning.text
        and "n2:9092" not in warning.text
    )


def test_a_configuration_that_was_found_elsewhere_is_named_with_where_it_was_looked_for() -> None:
    (warning,) = describe(TWO, "ZooKeeper zk", "/etc/discovery", {1: ONE, 2: OTHER}, controller=2)[
        1
    ]
    assert "/etc/discovery" in warning.text and str(FOUND) in warning.text
    assert (
        describe(TWO, "ZooKeeper zk", str(FOUND.parent), {1: ONE, 2: OTHER}, controller=2)[1] == []
    )
