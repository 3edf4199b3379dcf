"""What README.rst and docs/ tell a reader to type is typed here, in a shell, at the real
cluster."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import everything, literal_lines

from .base import BaseLab
from .command import MODULE
from .kraft import KraftLab
from .lab import Lab

INSTALLED = "/home/me/kafka-rolling-restart/bin"
PLACEHOLDER = re.compile(r" \.\.\. |\bMODULE\b")  # what a reader has to fill in first
CRON = re.compile(r"(?:[\d*]+ +){5}")
ELSEWHERE = {  # what is typed by others: tox itself, and its environments
    "python3 -m venv ~/kafka-rolling-restart": "as the line of the tests",
    "~/kafka-rolling-restart/bin/pip install kafka-rolling-restart": "every environment of tox "
    "installs the wheel",
    "apt-get install -y python3-venv": "tests/bare_debian.sh",
    "python3 -m venv .venv && .venv/bin/pip install tox": ".ci/run",
    ".venv/bin/tox": ".ci/run",
    ".venv/bin/tox -e demo": "the demo",
    ".venv/bin/tox -e demo -- --kraft": "the demo",
    "~/kafka-rolling-restart/bin/pip install 'kafka-rolling-restart[sasl]'": "as above; the unit "
    "tests log in with pure-sasl",
}
# lines with its names, or said only without --dry-run
OF_THAT_CLUSTER = re.compile(r"[/`]|kafka|^#|^restarting")
SHIM = f"""#!/bin/sh
exec {sys.executable} -m {MODULE} "$@" --check-interval 0.3 --check-count 2
"""
SSH = """#!/bin/sh
printf '%s\\n' "$*" >>"$SSH_LOG"
"""


def commands() -> list[str]:
    """Return the lines of the literal blocks that a shell or cron must run."""
    return [
        line
        for line in literal_lines()
        if re.match(
            rf"(?:{CRON.pattern})?(?:\S*kafka-rolling-restart[ /]|python3 -m|\.venv/|apt-get )",
            line,
        )
        and not PLACEHOLDER.search(line)
    ]


def block(after: str) -> str:
    """Return the literal block that follows a text."""
    lines = everything().partition(after)[2].partition("::\n\n")[2].splitlines()
    text = []
    for line in lines:
        if line and not line.startswith("    "):
            break
        text.append(line[4:])
    return "\n".join(text)


@pytest.fixture
def shell(lab: Lab, tmp_path: Path) -> Shell:
    """Make a home in which the README's examples fit this lab."""
    return Shell(lab, tmp_path)


class Shell:
    """A user's shell: the tool on its path, the cluster described as in the README, and an ssh that
    only notes."""

    def __init__(self, lab: BaseLab, folder: Path) -> None:
        self._lab = lab
        self.folder = folder
        for name, text in (("kafka-rolling-restart", SHIM), ("ssh", SSH)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        discovery = lab.home / ".kafka_discovery"
        described = (discovery / "lab.yaml").read_text()
        (discovery / "main.yaml").write_text(
            described.replace("  main:", "  us-east:").replace(": main", ": us-east")
        )

    def run(self, command: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command line as it is typed, but for what is different in the lab; ``answer`` is
        typed at a terminal."""
        here = command
        if isinstance(self._lab, Lab):
            here = here.replace("zk1:2181,zk2:2181,zk3:2181/kafka", self._lab.zookeeper)
        here = here.replace("~/", f"{self.folder}/").replace(INSTALLED, str(self.folder))
        variables = {**self._lab.env, "SSH_LOG": str(self.folder / "ssh.log")}
        variables["PATH"] = f"{self.folder}:{variables['PATH']}"
        keyboard, stdin = os.openpty()
        os.write(keyboard, answer.encode())
        try:
            return subprocess.run(
                here,
                shell=True,
                cwd=self.folder,
                env=variables,
                stdin=stdin if answer else subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=150,
            )
        finally:
            os.close(keyboard)
            os.close(stdin)


def test_every_command_of_the_readme_is_typed_by_a_test_or_by_tox() -> None:
    typed = [command for command in commands() if command not in ELSEWHERE]
    assert len(typed) == 8 and len(commands()) - len(typed) == len(ELSEWHERE)


def test_the_dry_runs_of_the_readme_look_and_touch_nothing(lab: Lab, shell: Shell) -> None:
    dry = [command for command in commands() if "--dry-run" in command and not is_kraft(command)]
    assert len(dry) == 2
    for command in dry:
        done = shell.run(command)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "3 brokers would be restarted; nothing was touched" in done.stdout
    assert lab.observer.downs() == []


def is_kraft(command: str) -> bool:
    """Tell whether a command names a cluster without ZooKeeper."""
    return "--bootstrap-server" in command


def test_the_dry_run_of_a_kraft_cluster_looks_and_touches_nothing(
    kraft_lab: KraftLab, tmp_path: Path
) -> None:
    shell = Shell(kraft_lab, tmp_path)
    (command,) = [command for command in commands() if is_kraft(command)]
    done = shell.run(command.replace("kafka1:9092,kafka2:9092", ",".join(kraft_lab.broker_list)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 brokers would be restarted; nothing was touched" in done.stdout
    assert kraft_lab.observer.downs() == []


def test_the_commands_that_explain_need_no_cluster(shell: Shell) -> None:
    asked = [command for command in commands() if re.search("--(help|explain)", command)]
    assert len(asked) == 2
    for command in asked:
        done = shell.run(command)
        assert (done.returncode, done.stderr) == (0, "") and done.stdout, command


def test_the_sample_of_a_run_in_the_docs_has_the_lines_of_a_real_one(
    kraft_lab: KraftLab, tmp_path: Path
) -> None:
    shell = Shell(kraft_lab, tmp_path)
    sample = [
        line
        for line in block("this comes before the question").splitlines()
        if not OF_THAT_CLUSTER.search(line)
    ]
    assert len(sample) == 4
    (dry, *_) = [command for command in commands() if "--cluster-type" in command]
    said = set(map(shape, shell.run(dry).stdout.splitlines()))
    assert [line for line in sample if shape(line) not in said] == []


def shape(line: str) -> str:
    """Return a line without its time, level and cluster, and without its numbers."""
    return re.sub(r"\d+(?:\.\d+)?", "N", re.sub(r"^\S+T\S+ [A-Z]+ main/us-east: ", "", line))


def test_the_cron_line_of_the_readme_rolls_in_silence_and_keeps_its_report(
    lab: Lab, shell: Shell
) -> None:
    (line,) = [command for command in commands() if CRON.match(command)]
    done = shell.run(CRON.sub("", line))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert lab.observer.restarted() == [1, 2, 3]
    assert '"status": 0' in (shell.folder / "kafka-roll.json").read_text()


def test_the_line_of_the_readme_that_pages_somebody_does_so_for_status_5_alone(
    lab: Lab, shell: Shell
) -> None:
    (line,) = [command for command in commands() if "logger" in command]
    (shell.folder / "logger").write_text('#!/bin/sh\necho "$@" >>paged\n')
    (shell.folder / "logger").chmod(0o755)
    lab.hosts[0].sshd.stop()
    assert "Connection refused" in shell.run(line).stderr and not (shell.folder / "paged").exists()
    # a real one takes 48 s
    (shell.folder / "kafka-rolling-restart").write_text("#!/bin/sh\nexit 5\n")
    shell.run(line)
    assert "Kafka: broker down" in (shell.folder / "paged").read_text()


def test_the_upgrade_of_the_readme_runs_its_task_on_each_stopped_broker(
    lab: Lab, shell: Shell
) -> None:
    (line,) = [command for command in commands() if "--task" in command]
    (shell.folder / "upgrade.py").write_text(block("This is ``upgrade.py``"))
    done = shell.run(line, answer="y\n")
    assert done.returncode == 0, done.stdout + done.stderr
    told = (shell.folder / "ssh.log").read_text().splitlines()
    assert told == [f"-n {host.address} sudo apt-get install -y kafka=3.9.1" for host in lab.hosts]
    assert lab.observer.restarted() == [1, 2, 3]
