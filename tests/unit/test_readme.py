"""The README and docs/ against the program: options, the example of a configuration, exit statuses,
paths."""

import re
from pathlib import Path

import pytest

from kafka_rolling_restart.cli import arguments
from kafka_rolling_restart.cli import config_files as config
from kafka_rolling_restart.errors import ExitStatus
from tests import pages
from tests.pages import literal_lines

README = pages.README.read_text(encoding="utf-8")
PACKAGE = pages.ROOT / "kafka_rolling_restart"
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
OF_OTHERS = {  # options of other programs
    "--bootstrap-server": "kafka-topics.sh",
    "--describe": "kafka-topics.sh",
    "--under-replicated-partitions": "kafka-topics.sh",
    "--unavailable-partitions": "kafka-topics.sh",
    "--replication": "kafka-metadata-quorum.sh",
    "--include-fenced-brokers": "kafka-cluster.sh",
    "--id": "kafka-cluster.sh",
    "--state": "kafka-consumer-groups.sh",
    "--replay": "tests.exhaustive",
    "--all": "systemctl",
    "--limit": "ansible-playbook",
    "--command-config": "Kafka's own tools",
    "--add": "kafka-acls.sh",
    "--allow-principal": "kafka-acls.sh",
    "--cluster": "kafka-acls.sh",
    "--group": "kafka-acls.sh",
    "--operation": "kafka-acls.sh",
    "--topic": "kafka-acls.sh",
    "--list": "kafka-acls.sh",
    "--principal": "kafka-acls.sh",
    "--status": "kafka-metadata-quorum.sh",
    "--kraft": "the demo",
    "--to": "the task upgrade.py",
    "--token": "a task",
}


def options_of_the_program() -> set[str]:
    actions = arguments.make_parser()._actions
    return {name for action in actions for name in action.option_strings if name.startswith("--")}


def help_text(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        arguments.parse(["--help"])
    return capsys.readouterr().out


def test_the_first_page_is_short() -> None:
    assert len(README.splitlines()) <= 200


def test_the_first_page_names_every_other_page() -> None:
    named = set(re.findall(r"^``docs/(\w[\w-]*\.rst)``", README, re.MULTILINE))
    assert named == {path.name for path in pages.DOCS.glob("*.rst")} - {"index.rst"}


def test_every_option_that_a_page_names_is_one() -> None:
    named = set(OPTION.findall(pages.everything()))
    assert len(named) > 40
    assert named - options_of_the_program() - set(OF_OTHERS) == set()


def test_every_option_of_another_program_is_still_named_by_a_page() -> None:
    assert set(OF_OTHERS) - set(OPTION.findall(pages.everything())) == set()


def test_every_place_in_the_code_that_the_architecture_names_is_there() -> None:
    named = set(
        re.findall(r"``([\w/.]+/[\w.]*|\w+\.(?:py|json))``", pages.page("architecture.rst"))
    )
    assert len(named) > 30
    homes = [PACKAGE, pages.ROOT, PACKAGE / "hosts"]
    missing = {place for place in named if not any(is_there(home / place) for home in homes)}
    assert missing - {"kafka_rolling_restart/"} == set()


def is_there(path: Path) -> bool:
    """Tell whether a file, a folder or, by its name without the suffix, a module is there."""
    return path.exists() or path.with_suffix(".py").exists()


def test_every_exit_status_is_in_the_readme_and_in_the_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = help_text(capsys)
    for status in ExitStatus:
        assert re.search(rf"^{int(status)}  ", README, re.MULTILINE)
        assert re.search(rf"^  {int(status)}  ", told, re.MULTILINE)


def test_the_help_fits_a_terminal_of_80_columns() -> None:
    text = arguments.DESCRIPTION + arguments.EPILOG  # argparse wraps the rest
    assert max(map(len, text.splitlines())) <= 80


def test_the_configuration_of_the_readme_is_one(tmp_path: Path) -> None:
    text = README.partition("``command_config`` is optional::\n\n")[2].partition("\n::\n")[0]
    (tmp_path / "main.yaml").write_text("\n".join(line[4:] for line in text.splitlines()))
    kraft = config.load("main", None, [tmp_path])
    assert (kraft.label, kraft.zookeeper) == ("main/us-east", "")
    assert kraft.bootstrap == (("kafka1", 9092), ("kafka2", 9092), ("kafka3", 9092))
    assert kraft.command_config == "~/admin.properties"
    other = config.load("main", "us-west", [tmp_path])
    assert (other.zookeeper, len(other.broker_list)) == ("zk1:2181,zk2:2181,zk3:2181/kafka", 3)


TEST_COMMANDS = ["python3 -m venv .venv && .venv/bin/pip install tox", ".venv/bin/tox"]


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
    assert len(installing) == 3
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
    told = " ".join(
        help_text(capsys).partition("  --dry-run ")[2].partition("--stop-command")[0].split()
    )
    assert "0, 3, or 6 if another run goes on" in told
    assert "6 if another run is active" in " ".join(README.split())
