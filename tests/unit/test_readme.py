"""The README against the program: its options, its example of a configuration, its exit statuses."""

import re
from pathlib import Path

import pytest

from kafka_rolling_restart.cli import arguments
from kafka_rolling_restart.cli import config_files as config
from kafka_rolling_restart.errors import ExitStatus

README = (Path(__file__).parents[2] / "README.rst").read_text(encoding="utf-8")


def help_text(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        arguments.parse(["--help"])
    return capsys.readouterr().out


def test_every_option_is_in_the_table_of_options(capsys: pytest.CaptureFixture[str]) -> None:
    table = README.partition("Options\n-------")[2].partition("How it compares")[0]
    options = set(re.findall(r"^  (?:-\w(?: \w+)?, )?(--[a-z-]+)", help_text(capsys), re.MULTILINE)) - {"--help"}
    assert len(options) > 20
    assert [option for option in sorted(options) if f"``{option}" not in table] == []


def test_every_exit_status_is_in_the_readme_and_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    told = help_text(capsys)
    for status in ExitStatus:
        assert re.search(rf"^{int(status)}  ", README, re.MULTILINE)
        assert re.search(rf"^  {int(status)}  ", told, re.MULTILINE)


def test_the_help_fits_a_terminal_of_80_columns() -> None:
    text = arguments.DESCRIPTION + arguments.EPILOG  # argparse wraps the rest
    assert max(map(len, text.splitlines())) <= 80


def test_the_configuration_of_the_readme_is_one(tmp_path: Path) -> None:
    text = README.partition("``~/.kafka_discovery/main.yaml``, as the older tool does::\n\n")[2].partition("\n::\n")[0]
    (tmp_path / "main.yaml").write_text("\n".join(line[4:] for line in text.splitlines()))
    cluster = config.load("main", None, [tmp_path])
    assert (cluster.label, cluster.zookeeper) == ("main/us-east", "zk1:2181,zk2:2181,zk3:2181/kafka")
    assert len(cluster.broker_list) == 3


TEST_COMMANDS = ["python3 -m venv .venv && .venv/bin/pip install tox", ".venv/bin/tox"]


def literal_lines() -> list[str]:
    """Return the lines of the README's literal blocks."""
    return [line[4:] for line in README.splitlines() if line.startswith("    ")]


def test_ci_types_the_two_commands_of_the_readme() -> None:
    lines = literal_lines()
    first = lines.index(TEST_COMMANDS[0])
    assert lines[first : first + 2] == TEST_COMMANDS
    script = (Path(__file__).parents[2] / ".ci" / "run").read_text().splitlines()
    first = script.index(TEST_COMMANDS[0])
    assert script[first : first + 2] == TEST_COMMANDS


def test_nothing_is_installed_outside_of_a_virtual_environment() -> None:
    """Debian's and Ubuntu's Python refuse that (PEP 668)."""
    installing = [line for line in literal_lines() if re.search(r"\bpip3? install\b", line)]
    assert len(installing) == 2
    for line in installing:
        assert re.search(r"\S+/bin/pip install", line) and "-m pip" not in line


def test_at_most_one_line_of_apt_get_is_typed_before_the_tests() -> None:
    (line,) = [line for line in literal_lines() if "apt-get" in line and not line.startswith(" ")]
    assert line == "apt-get install -y python3-venv"


def test_whatever_is_for_cron_has_the_full_path(capsys: pytest.CaptureFixture[str]) -> None:
    """Cron looks in /usr/bin and /bin alone."""
    lines = [*literal_lines(), *map(str.strip, help_text(capsys).splitlines())]
    lines = [line for line in lines if "kafka-rolling-restart -" in line and "--no-confirm" in line]
    assert len(lines) == 3
    for line in lines:
        assert re.match(r"(?:(?:[\d*]+ +){5})?/\S+/kafka-rolling-restart ", line), line


def test_a_dry_run_is_said_to_end_with_6_too(capsys: pytest.CaptureFixture[str]) -> None:
    told = " ".join(help_text(capsys).partition("  --dry-run ")[2].partition("--stop-command")[0].split())
    assert "0, 3, or 6 if another run goes on" in told
    table = " ".join(README.partition("\n``--dry-run`` ")[2].partition("``--stop-command``")[0].split())
    assert "0, 3, or 6 if another run goes on" in table
