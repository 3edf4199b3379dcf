"""The tool as cron starts it: no terminal, no environment to speak of, streams that may be
closed."""

from __future__ import annotations

import os
import pwd
import shlex
import signal
import subprocess
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

from tests.schema import valid

from ..last_lines import ending_of
from .broker import UNDER_REPLICATED
from .command import command_line, environment
from .daemon import wait_for
from .host import Host
from .lab import Lab
from .lines import Line, parsed

QUICK = ("--cluster-type", "lab", "--no-confirm", "--check-interval", "0.3", "--check-count", "2")
STOP, START = "service kafka stop", "service kafka start"
MOMENT_TIMEOUT = 60.0  # s
TASK = """
    from kafka_rolling_restart.task import PreStopTask

    class Before(PreStopTask):
        def run(self, host):
            raise RuntimeError("as\\nasked")
"""


@dataclass(frozen=True)
class Mail:
    """What a job of cron printed, and how it ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def commands(self) -> tuple[str, ...]:
        """What is to be typed next: each stands alone on its line."""
        return ending_of(self.stderr.splitlines()).commands


def line(lab: Lab, *arguments: str, home: bool = True, closed: str = "<&-") -> list[str]:
    """Build the command that starts the tool as cron does. PYTHONPATH is where the tool is
    installed."""
    variables = {"PATH": "/usr/bin:/bin", "PYTHONPATH": environment(lab.home)["PYTHONPATH"]}
    if home:
        variables["HOME"] = str(lab.home)
    words = [f"{name}={value}" for name, value in variables.items()]
    return ["env", "-i", *words, "sh", "-c", f"exec {shlex.join(command_line(arguments))} {closed}"]


def cron(
    lab: Lab, *arguments: str, home: bool = True, closed: str = "<&-", cwd: Path | None = None
) -> Mail:
    done = subprocess.run(
        line(lab, *arguments, home=home, closed=closed),
        capture_output=True,
        text=True,
        timeout=150,
        cwd=cwd or lab.folder,
        start_new_session=True,
    )
    return Mail(done.returncode, done.stdout, done.stderr)


def complaint(mail: Mail, status: int, said: str) -> list[Line]:
    """Check that a quiet job said on stderr alone what went wrong, in good lines, the outcome last.

    Below it stand the commands alone, which are left out here.
    """
    assert (mail.status, mail.stdout) == (status, ""), mail
    printed = mail.stderr.splitlines(keepends=True)
    count = len(printed) - len(mail.commands)
    lines = parsed("".join(printed[:count]))
    assert lines[-1].code and lines[-1].level == "ERROR" and said in lines[-1].text, mail.stderr
    return lines


def test_a_good_roll_of_a_quiet_job_prints_not_one_byte(lab: Lab) -> None:
    assert cron(lab, *QUICK, "--skip", "2", "--quiet") == Mail(0, "", "")
    assert lab.observer.restarted() == [3]


def test_a_job_without_any_stream_restarts_its_broker_and_leaves_its_report(
    lab: Lab, tmp_path: Path
) -> None:
    """It is given a ZooKeeper in place of a configuration, and says much, to nobody."""
    (lab.home / ".kafka_discovery" / "lab.yaml").unlink()
    path = tmp_path / "r.json"
    arguments = [
        "--zookeeper",
        lab.zookeeper,
        *QUICK[2:],
        "--skip",
        "2",
        "-vv",
        "--report",
        str(path),
    ]
    assert cron(lab, *arguments, closed="<&- >&- 2>&-") == Mail(0, "", "")
    assert lab.observer.restarted() == [3]
    report = valid(path.read_text())
    assert (report["status"], report["user"]) == (0, pwd.getpwuid(os.getuid()).pw_name)
    assert report["cluster"] == {
        "name": lab.zookeeper,
        "registry": f"ZooKeeper {lab.zookeeper}",
        "configuration": None,
    }


def test_a_job_without_a_home_is_told_which_was_taken_and_that_one_can_be_set(lab: Lab) -> None:
    home = pwd.getpwuid(os.getuid()).pw_dir
    complaint(
        cron(lab, *QUICK, "--quiet", home=False), 2, f"no lab.yaml in {home}/.kafka_discovery, "
    )
    lines = complaint(
        cron(lab, "--zookeeper", lab.zookeeper, *QUICK[2:], "--quiet", home=False),
        3,
        f"the preflight found 3 problems, see above (HOME is not set: ~/.ssh was that of {home})",
    )
    assert [line.about for line in lines[:-1]] == [
        f"broker {host.id} ({host.address})" for host in lab.hosts
    ]


def test_a_quiet_job_says_why_it_was_refused(lab: Lab) -> None:
    lab.hosts[0].jmxproxy.status = 401
    lab.hosts[2].sshd.stop()
    lines = complaint(cron(lab, *QUICK, "--quiet"), 3, "the preflight found 2 problems")
    assert [line.about.split()[1] for line in lines[:-1]] == ["1", "3"]
    assert {line.level for line in lines} == {"ERROR"}


def test_a_quiet_job_says_that_the_cluster_was_never_healthy(lab: Lab) -> None:
    lab.hosts[0].jmxproxy.override = {UNDER_REPLICATED: 6}
    mail = cron(lab, *QUICK, "--quiet", "--unhealthy-time-limit", "1")
    complaint(mail, 3, "6 under-replicated partitions (6 led by broker 1)")


def test_a_quiet_job_says_which_task_failed_where_and_what_became_of_each_broker(
    lab: Lab, tmp_path: Path
) -> None:
    (tmp_path / "failing.py").write_text(textwrap.dedent(TASK))
    mail = cron(lab, *QUICK, "--quiet", "--task", "failing", cwd=tmp_path)
    failure = f"task Before failed on {lab.hosts[0].address}: RuntimeError: as?asked"
    lines = complaint(mail, 4, f"broker 1 ({lab.hosts[0].address}) was not stopped: {failure}. ")
    assert (
        lines[-1].code == "task-failed"
        and len(mail.commands) == 1
        and "--broker-ids 1,2,3" in mail.commands[0]
    )
    # the untouched without trouble are in the line after it
    assert [line.text for line in lines if line.text.startswith("report: ")] == [
        f"report: untouched, {failure}",
    ]


def ended(lab: Lab, host: Host, call: str, signals: int, *arguments: str) -> Mail:
    """Start a quiet job, and send it SIGTERM, once or twice, when a command is called on a host."""
    pipe = subprocess.PIPE
    command = line(lab, *QUICK, "--quiet", *arguments)
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as job:
        wait_for(f"`{call}` is called", lambda: bool(host.called(call)), MOMENT_TIMEOUT)
        for _ in range(signals):
            job.send_signal(signal.SIGTERM)
            time.sleep(1.2)  # what follows within a second is taken for the same
        out, err = job.communicate(timeout=30)
    return Mail(job.returncode, out, err)


def test_a_quiet_job_that_is_ended_says_by_what(lab: Lab) -> None:
    mail = ended(lab, lab.hosts[2], "id -u", 1, "--check-interval", "60")
    complaint(mail, 143, "ended by SIGTERM; no broker ")


def test_a_quiet_job_that_leaves_a_broker_down_warns_before_it_says_so(lab: Lab) -> None:
    host = lab.hosts[2]
    host.service.start_mode = "stuck"
    mail = ended(lab, host, START, 2, "--skip", "2")
    lines = complaint(mail, 5, f"with broker 3 ({host.address}) stopped")
    assert lines[-1].code == "broker-left-stopped"
    assert mail.commands == (f"ssh {host.address} 'service kafka start'",)
    assert (lines[0].level, lines[0].about, lines[0].code) == (
        "WARNING",
        "lab/main",
        "signal-received",
    )
    assert lines[-3].text.startswith("report: stopped, not seen back")
    assert lines[-2].text == "restarted: none; stopped and not back: broker 3; untouched: none"


def test_a_job_that_may_talk_says_events_on_stdout_and_what_went_wrong_on_stderr(lab: Lab) -> None:
    lab.hosts[2].sshd.stop()
    for arguments, levels in ((), {"INFO"}), (("-vv",), {"INFO", "DEBUG"}):
        mail = cron(lab, *QUICK, *arguments)
        assert mail.status == 3
        assert {line.level for line in parsed(mail.stdout)} == levels
        assert {line.about for line in parsed(mail.stdout)} >= {
            "lab/main",
            f"broker 1 ({lab.hosts[0].address})",
        }
        assert [line.level for line in parsed(mail.stderr)] == ["ERROR", "ERROR"]
    assert {line.about.split(".")[0] for line in parsed(mail.stdout)} >= {
        "kazoo",
        "paramiko",
        "urllib3",
    }
    # of ZooKeeper's session: whoever has it can take the lock along
    assert "passwd=***, " in mail.stdout
