import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kafka_rolling_restart.errors import Objection, SshError, no_objection
from kafka_rolling_restart.hosts.broker_host import UNIT_KNOWN, BrokerHost, HostCommand
from kafka_rolling_restart.model.broker import CommandResult, Jvm
from kafka_rolling_restart.model.observation import Presence
from kafka_rolling_restart.model.problem import Problem
from kafka_rolling_restart.settings.secret import Secret

JVM = Jvm(start_ms=0, uptime_ms=500_000, pid=77)
PS = "sh -c 'echo process: $(ps -o etimes= -o stat= -o comm= -p 77; echo $?)'"


class FakeShell:
    """A host that answers each command out of a dictionary of (status, output)."""

    def __init__(
        self, answers: dict[str, tuple[int, str]] | None = None, refuses: bool = False
    ) -> None:
        self.answers = {
            "id -u": (0, "0"),
            "command -v service": (0, "/usr/sbin/service"),
            **(answers or {}),
        }
        self.refuses = refuses
        self.ran: list[str] = []
        self.sent: list[str] = []  # the commands that stop and start, as they are sent
        self.asked: list[str] = []
        self.without_login: list[str] = []
        self.secrets: dict[str, Secret | None] = {}

    def typed(self, terminal: bool = False) -> str:
        return "ssh -t n1" if terminal else "ssh n1"

    @contextmanager
    def session(self) -> Iterator["FakeShell"]:
        if self.refuses:
            raise SshError("ssh n1: Connection refused", code="ssh-unreachable")
        yield self

    def connections(self) -> "FakeConnections":
        return FakeConnections(self)

    def run(self, command: str, limit: float, secret: Secret | None = None) -> CommandResult:
        self.secrets[command] = secret
        self.ran.append(command)
        return CommandResult(command, *self.answers.get(command, (1, "")), 0.1)


class FakeConnections:
    """Connections that tell a question, which may be repeated, from a command."""

    def __init__(self, shell: FakeShell) -> None:
        self._shell = shell

    def ask(self, command: str, limit: float, secret: Secret | None = None) -> CommandResult:
        self._shell.asked.append(command)
        return self._shell.run(command, limit, secret)

    def run(
        self,
        command: str,
        limit: float,
        secret: Secret | None = None,
        *,
        may_log_in: bool = True,
        shown: str = "",
        objection: Objection = no_objection,
    ) -> CommandResult:
        if against := objection():
            raise SshError(against)
        if not may_log_in:
            self._shell.without_login.append(shown)
        self._shell.sent.append(command)
        return self._shell.run(shown, limit, secret)

    def close(self) -> None:
        pass


def finish(command: HostCommand) -> None:
    """Wait for the end of a command."""
    while not command.ended:
        time.sleep(0.001)
    command.result()


def host(shell: FakeShell, stop: str = "service kafka stop") -> BrokerHost:
    return BrokerHost(shell, stop, "service kafka start")


@pytest.mark.parametrize(
    ("answer", "visible"),
    [
        ((0, "process: 503 Ssl java 0"), True),
        ((0, "welcome to n1\nprocess: 503 Ssl java 0\nsh: warning: setlocale"), True),
        ((0, "process: 503 Z java 0"), False),  # it has ended, and only its parent has not looked
        ((0, "process: 90000 Ssl java 0"), False),  # another process with this pid
        ((0, "process: 503 Ss systemd-journal 0"), False),  # the pid is a container's
        ((0, "process: 1"), False),
        ((0, "BusyBox v1.36"), False),
        ((0, "process: 127"), False),
    ],
)
def test_a_process_is_seen_only_when_it_is_a_living_java_as_old_as_the_jvm_says(
    answer: tuple[int, str], visible: bool
) -> None:
    broker_host = host(FakeShell({PS: answer}))
    found = broker_host.preflight(JVM)
    assert found.process_visible is visible is broker_host.sees_process and found.problems == ()


def test_the_first_process_of_a_container_is_not_looked_for_among_those_of_its_host() -> None:
    shell = FakeShell()
    assert not host(shell).preflight(Jvm(start_ms=0, uptime_ms=500_000, pid=1)).process_visible
    assert not any("ps" in command for command in shell.ran)


@pytest.mark.parametrize(
    ("answer", "gone"),
    [
        ((0, "process: 1"), True),
        ((0, "hello\nprocess: 1"), True),
        ((0, "process: 503 Z java 0"), True),
        ((0, "process: 2 Ss java 0"), True),
        ((0, "process: 503 Ssl java 0"), False),
        ((0, "process: 503 Ssl java 0\nsetlocale: LC_ALL"), False),
        (
            (0, "process: 1100 Ssl java 0"),
            False,
        ),  # our own clock stood still for 600 s: it is the same
    ],
)
def test_a_process_is_gone_when_no_java_of_its_age_has_its_pid(
    answer: tuple[int, str], gone: bool
) -> None:
    assert host(FakeShell({PS: answer})).observe_process(77, 500).is_absent is gone


@pytest.mark.parametrize(
    "answer",
    [
        (127, "sh: not found"),
        (0, ""),
        (0, "process: 127"),
        (0, "process: 503 Ssl java 1"),
        (0, "process: x Ssl java 0"),
        (0, "process: 0"),
        (0, "process: 503 Ssl"),
    ],
)
def test_a_ps_that_did_not_work_proves_nothing(answer: tuple[int, str]) -> None:
    seen = host(FakeShell({PS: answer})).observe_process(77, 500)
    assert seen.presence is Presence.UNKNOWN and "ps" in seen.words


def test_root_needs_no_sudo() -> None:
    shell = FakeShell()
    broker_host = host(shell)
    broker_host.preflight(JVM)
    finish(broker_host.stop(10))
    assert shell.ran[-1] == "service kafka stop"
    assert broker_host.start_line == "ssh n1 'service kafka start'"


def test_others_need_sudo_and_shell_syntax_goes_under_it_as_a_whole() -> None:
    shell = FakeShell({"id -u": (0, "greetings\n1000")})
    broker_host = host(shell, "service kafka stop && sleep 1")
    assert len(broker_host.preflight(JVM).problems) == 2
    finish(broker_host.stop(10))
    assert shell.ran[-1] == "sudo -n sh -c 'service kafka stop && sleep 1'"
    finish(broker_host.start(10))
    assert shell.ran[-1] == "sudo -n service kafka start"


def test_a_start_command_that_would_ask_for_a_password_is_a_problem_although_sudo_lists_it() -> (
    None
):
    listing = "Sudoers entry:\n Options: !authenticate\n Commands:\n /usr/sbin/service kafka stop\n"
    listing += "Sudoers entry:\n RunAsUsers: root\n Commands:\n /usr/sbin/service kafka start\n"
    answers = {
        "id -u": (0, "1000"),
        "sudo -n -l service kafka stop": (0, "/usr/sbin/service kafka stop"),
        "sudo -n -l service kafka start": (0, "/usr/sbin/service kafka start"),
        "sudo -n -v": (
            0,
            "",
        ),  # a password was given shortly before, and will not be remembered for long
        "sudo -k -n -v": (1, "sudo: a password is required"),
        "env LC_ALL=C sudo -n -ll": (0, listing),
    }
    (problem,) = host(FakeShell(answers)).preflight(JVM).problems
    assert problem.code == "sudo-asks-password" and "`sudo -n service kafka start`" in problem.text


NOISE = "sudo: unable to resolve host vm: Name or service not known"


@pytest.mark.parametrize("said", ["", NOISE, f"{NOISE}\n"])
def test_a_command_that_sudo_refuses_without_a_reason_is_not_allowed_or_misspelt(said: str) -> None:
    answers = {
        "id -u": (0, "1000"),
        "env LC_ALL=C sudo -n -ll": (0, f"{NOISE}\n{FREE_STOP}"),
        "sudo -n -l service kafka stop": (0, f"/usr/sbin/service kafka stop\n{NOISE}"),
        "sudo -n -l service kafka strat": (1, said),
    }
    (problem,) = (
        BrokerHost(FakeShell(answers), "service kafka stop", "service kafka strat")
        .preflight(JVM)
        .problems
    )
    assert problem.code == "command-not-allowed" and "`sudo -n service kafka strat`" in problem.text
    assert "--start-command" in problem.text and "`ssh -t n1 sudo -ll`" in problem.text
    assert "resolve" not in problem.text


def test_a_program_that_sudo_does_not_find_is_not_to_be_put_into_sudoers() -> None:
    refused = (1, f"{NOISE}\nsudo: systemctll: command not found")
    shell = FakeShell({"id -u": (0, "1000"), "sudo -n -l systemctll stop kafka": refused})
    problem = host(shell, "systemctll stop kafka").preflight(JVM).problems[0]
    assert problem.code == "command-not-found" and "`sudo -n systemctll stop kafka`" in problem.text
    assert problem.text.endswith("check --stop-command")


def test_what_sudo_says_besides_is_no_part_of_its_reason() -> None:
    refused = (1, f"{NOISE}\nsudo: a password is required")
    problems = (
        host(FakeShell({"id -u": (0, "1000"), "sudo -n -l service kafka stop": refused}))
        .preflight(JVM)
        .problems
    )
    assert problems[0].code == "command-not-allowed"
    assert problems[0].text.startswith(
        "may not run `sudo -n service kafka stop`: sudo: a password is required. Allow it"
    )


@pytest.mark.parametrize(
    "said", ["/usr/sbin/service kafka start\n" + NOISE, NOISE + "\n/usr/sbin/service kafka start"]
)
def test_what_sudo_says_besides_does_not_hide_the_command_that_it_allows(said: str) -> None:
    listing = "Sudoers entry:\n Options: !authenticate\n Commands:\n /usr/sbin/service kafka st*\n"
    answers = {
        "id -u": (0, "1000"),
        "sudo -n -l service kafka stop": (0, "/usr/sbin/service kafka stop"),
        "sudo -n -l service kafka start": (0, said),
        "sudo -n -v": (1, "sudo: a password is required"),
        "env LC_ALL=C sudo -n -ll": (0, f"{NOISE}\n{listing}"),
    }
    assert host(FakeShell(answers)).preflight(JVM).problems == ()


@pytest.mark.parametrize(
    "listing",
    [
        (
            0,
            "Sudoers entry:\n Commands:\n ALL\nSudoers entry:\n Options: !authenticate\n "
            "Commands:\n sha224:00 ALL\n",
        ),
        (1, ""),
    ],
)
def test_a_sudo_of_which_it_is_unknown_whether_it_asks_is_a_problem(
    listing: tuple[int, str],
) -> None:
    answers = {
        "id -u": (0, "1000"),
        "sudo -n -l service kafka stop": (0, "/usr/sbin/service kafka stop"),
        "sudo -n -l service kafka start": (0, "/usr/sbin/service kafka start"),
        "env LC_ALL=C sudo -n -ll": listing,
    }
    problems = host(FakeShell(answers)).preflight(JVM).problems
    assert [problem.code for problem in problems] == ["sudo-listing-unclear"] * 2


def test_a_command_that_is_not_there_is_a_problem() -> None:
    (problem,) = host(FakeShell(), "svc -d kafka").preflight(JVM).problems
    assert problem.code == "command-not-found" and "'svc'" in problem.text


def test_a_host_that_does_not_let_us_in_is_a_problem_and_no_traceback() -> None:
    assert host(FakeShell(refuses=True)).preflight(JVM).problems == (
        Problem("ssh n1: Connection refused", "ssh-unreachable"),
    )


PASSWORD = Secret("hunter2")
ASKS = "sudo -k -S -p ''"


def with_password(listing: str) -> FakeShell:
    """Return a host where sudo takes a password, and lists this."""
    answers = {
        "id -u": (0, "1000"),
        f"{ASKS} -v": (0, ""),
        f"{ASKS} -l service kafka stop": (0, "/usr/sbin/service kafka stop"),
        f"{ASKS} -l service kafka start": (0, "/usr/sbin/service kafka start"),
        f"env LC_ALL=C {ASKS} -ll": (0, listing),
    }
    return FakeShell(answers)


ENTRY = "Sudoers entry:\n RunAsUsers: root\n Commands:\n ALL\n"
FREE_STOP = (
    ENTRY
    + "Sudoers entry:\n RunAsUsers: root\n Options: !authenticate\n Commands:\n /usr/sbin/service "
    "kafka stop\n"
)


@pytest.mark.parametrize(
    "last",
    ["^/usr/sbin/service kafka .*$", "sha224:00 /usr/sbin/service", "/usr/sbin/service ^kafka .*$"],
)
def test_a_password_that_may_become_the_input_of_a_command_is_not_sent_with_it(last: str) -> None:
    shell = with_password(
        f"{ENTRY}Sudoers entry:\n RunAsUsers: root\n Options: !authenticate\n Commands:\n {last}\n"
    )
    broker_host = BrokerHost(shell, "service kafka stop", "service kafka start", PASSWORD)
    problems = broker_host.preflight(JVM).problems
    assert [problem.code for problem in problems] == ["sudo-listing-unclear"] * 2
    assert all("`ssh -t n1 sudo -ll`" in problem.text for problem in problems)
    finish(broker_host.stop(10))
    assert shell.secrets[shell.ran[-1]] is None


def test_a_password_goes_to_sudo_as_input_and_never_into_a_line() -> None:
    shell = with_password(ENTRY)
    broker_host = BrokerHost(shell, "service kafka stop", "service kafka start", PASSWORD)
    assert broker_host.preflight(JVM).problems == ()
    finish(broker_host.stop(10))
    assert (
        shell.ran[-1] == f"{ASKS} service kafka stop" and shell.secrets[shell.ran[-1]] is PASSWORD
    )
    assert broker_host.start_line == "ssh -t n1 'sudo service kafka start'"
    assert not any("hunter2" in line for line in [*shell.ran, broker_host.start_line])


def test_a_command_that_sudo_asks_no_password_for_gets_none_as_its_input() -> None:
    shell = with_password(FREE_STOP)
    broker_host = BrokerHost(shell, "service kafka stop", "service kafka start", PASSWORD)
    assert broker_host.preflight(JVM).problems == ()
    finish(broker_host.stop(10))
    assert shell.ran[-1] == "sudo -n service kafka stop" and shell.secrets[shell.ran[-1]] is None
    finish(broker_host.start(10))
    assert shell.secrets[shell.ran[-1]] is PASSWORD


def test_a_password_that_sudo_does_not_take_is_tried_once_and_is_a_problem() -> None:
    shell = FakeShell({"id -u": (0, "1000"), f"{ASKS} -v": (1, "Sorry, try again.")})
    broker_host = BrokerHost(shell, "service kafka stop", "service kafka start", PASSWORD)
    (problem,) = broker_host.preflight(JVM).problems
    assert problem.code == "sudo-password-refused" and "Sorry, try again" in problem.text
    assert sum(secret is PASSWORD for secret in shell.secrets.values()) == 1


def test_a_command_that_sudo_does_not_allow_is_a_problem_whatever_the_password() -> None:
    shell = with_password(ENTRY)
    (problem,) = (
        BrokerHost(shell, "service kafka stop", "svc -u kafka", PASSWORD).preflight(JVM).problems
    )
    assert problem.code == "command-not-allowed" and "`sudo svc -u kafka`" in problem.text


def test_root_is_given_no_password() -> None:
    shell = FakeShell()
    broker_host = BrokerHost(shell, "service kafka stop", "service kafka start", PASSWORD)
    broker_host.preflight(JVM)
    finish(broker_host.stop(10))
    assert set(shell.secrets.values()) == {None} and shell.ran[-1] == "service kafka stop"


def test_a_command_is_sent_once_and_a_stop_without_a_login_and_questions_may_be_repeated() -> None:
    shell = FakeShell({PS: (0, "process: 503 Ssl java 0")})
    broker_host = host(shell)
    broker_host.process_age(77)
    broker_host.observe_process(77, 503)
    finish(broker_host.stop(1))
    finish(broker_host.start(1))
    assert shell.asked == [PS, PS]
    assert shell.without_login == ["sudo -n service kafka stop"]


@pytest.mark.parametrize("pid", [None, 1])
def test_a_connection_is_open_before_the_stop_where_there_is_no_process_to_look_for(
    pid: int | None,
) -> None:
    shell = FakeShell({"true": (0, "")})
    assert host(shell).process_age(pid) is None
    assert shell.asked == ["true"]


def test_a_command_runs_under_a_name_by_which_it_is_found_while_it_runs() -> None:
    shell = FakeShell()
    broker_host = host(shell)
    broker_host.preflight(JVM)
    stop = broker_host.stop(10)
    finish(stop)
    name = shell.sent[-1].split()[3].removesuffix(";")
    assert name.startswith("kafka-rolling-restart-stop-")
    assert shell.sent[-1] == f"sh -c ': {name}; service kafka stop; exit $?'"
    asked = f"sh -c 'pgrep -f \"[k]{name[1:]}\" >/dev/null; echo process: $?'"
    for output, runs in (("process: 0", True), ("hello\nprocess: 1\n", False)):
        shell.answers[asked] = (0, output)
        assert stop.still_runs() is runs
    for output in ("process: 127", "", "process: 2", "process: 0 1"):
        shell.answers[asked] = (0, output)
        with pytest.raises(SshError, match="could not be checked"):
            stop.still_runs()


def test_two_commands_never_have_the_same_name() -> None:
    shell = FakeShell()
    broker_host = host(shell)
    for _ in range(2):
        finish(broker_host.start(10))
    assert len({line.split()[3] for line in shell.sent}) == 2


def test_shell_syntax_of_root_goes_to_the_login_shell_as_if_it_was_typed() -> None:
    shell = FakeShell()
    broker_host = host(shell, "source /etc/kafka && stop 'it now'")
    broker_host.preflight(JVM)
    finish(broker_host.stop(10))
    words = shlex.split(shell.sent[-1])
    assert (
        words[2].partition("; ")[2]
        == """"${SHELL:-sh}" -c 'source /etc/kafka && stop '"'"'it now'"'"''; exit $?"""
    )


def test_a_marked_line_gives_the_status_of_its_command() -> None:
    shell = FakeShell()
    broker_host = host(shell, "exit 7")
    broker_host.preflight(JVM)
    finish(broker_host.stop(10))
    assert subprocess.run(["bash", "-c", shell.sent[-1]], check=False).returncode == 7


def test_what_there_is_against_a_stop_is_asked_when_it_is_sent() -> None:
    shell = FakeShell()
    stop = host(shell).stop(10, lambda: "held up for 600 s")
    with pytest.raises(SshError, match="held up for 600 s") as error:
        finish(stop)
    assert shell.sent == [] and not error.value.sent


def test_threads_that_the_system_does_not_have_are_missed_before_the_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_more(*_args: object, **_options: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("kafka_rolling_restart.parallel.threading.Thread", no_more)
    with pytest.raises(SshError, match="no more threads"):
        host(FakeShell()).prepare()


def test_a_prepared_host_stops_starts_and_is_asked_where_the_system_has_no_more_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shell = FakeShell({PS: (0, "process: 503 Ssl java 0")})
    broker_host = host(shell)
    broker_host.prepare()
    monkeypatch.setattr("kafka_rolling_restart.parallel.threading.Thread", None)
    assert broker_host.process_age(77) == 503
    finish(broker_host.stop(10))
    finish(broker_host.start(10))
    assert shell.ran[-2:] == ["sudo -n service kafka stop", "sudo -n service kafka start"]


@pytest.mark.parametrize(
    ("said", "codes"),
    [
        ("LoadState=not-found", ["unit-not-found"]),
        ("LoadState=not-found\ninit-script", []),  # `service` runs it all the same
        ("LoadState=loaded", []),
        ("", []),  # no systemd
        ("Welcome\nLoadState=not-found", ["unit-not-found"]),
    ],
)
def test_a_unit_that_systemd_does_not_know_is_a_problem_though_sudo_allows_it(
    said: str, codes: list[str]
) -> None:
    shell = FakeShell({UNIT_KNOWN.format(unit="kafak"): (0, said), "command -v kill": (0, "kill")})
    shell.answers["command -v systemctl"] = (0, "systemctl")
    found = BrokerHost(shell, "kill it", "systemctl start kafak").preflight(None).problems
    assert [problem.code for problem in found] == codes
    assert all("Correct --start-command" in problem.text for problem in found)
