"""What we ask of a broker's host: may we stop and start the broker there, do it, and is its process
there."""

import re
import secrets
import shlex
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from kafka_rolling_restart.errors import Objection, SshError, no_objection
from kafka_rolling_restart.hosts.base import FoundProcess, Readiness
from kafka_rolling_restart.hosts.process import Wanted, judge, observe_invocation, observe_pid
from kafka_rolling_restart.hosts.process_facts import (
    clean_stop,
    clean_stop_line,
    process_line,
    search_line,
    unit_line,
)
from kafka_rolling_restart.hosts.sudo import Answer, asks_for_password, without_noise
from kafka_rolling_restart.hosts.unit import unit_name
from kafka_rolling_restart.model.broker import CommandResult, Jvm
from kafka_rolling_restart.model.observation import Observation, Presence
from kafka_rolling_restart.model.problem import Problem
from kafka_rolling_restart.parallel import Background, Standby, call_in_thread
from kafka_rolling_restart.settings.secret import Secret

# Marked, because a login script may greet us; through sh, because the login shell may be any.
MARK = "process:"
PS = f"sh -c 'echo {MARK} $(ps -o etimes= -o stat= -o comm= -p {{}}; echo $?)'"
# The brackets keep pgrep's own shell from being found.
PGREP = "sh -c 'pgrep -f \"[{}]{}\" >/dev/null; echo {} $?'"
# `service` also runs scripts that systemd does not know
SCRIPT_MARK = "init-script"
UNIT_KNOWN = (
    "sh -c 'systemctl show -p LoadState {unit} 2>/dev/null; "
    f"test -e /etc/init.d/{{unit}} && echo {SCRIPT_MARK}'"
)
STOP_MARK, START_MARK = "kafka-rolling-restart-stop-", "kafka-rolling-restart-start-"
# of a broker that is stopped: its stop, a start, and a question, which may wait for a silent host
THREADS = 4
JAVA = ("java", "jsvc")  # a container's pid may be that of something else on its host
FREE = ("sudo", "-n")
# -k, so that it asks: what it does not read would be read by the command
ASKING = (
    "sudo",
    "-k",
    "-S",
    "-p",
    "",
)
SUDO_S = 20.0  # limit where a password is given: a wrong one takes several s
QUESTION_S = 10.0  # limit for `id`, `sudo -l` and `ps`
SEARCH_S = 15.0  # limit for systemctl, and for reading all of /proc
# between the uptime and the age that ps shows; many partitions take long to be read
AGE_TOLERANCE_S = 30.0
UNTOLD = (
    "it is not clear from sudo's listing whether it would ask for a password (an entry with a "
    "regular expression, a digest or a backslash?). Put a plain entry for this command last in "
    "sudoers"
)
SHELL_SYNTAX = re.compile(r"[|&;<>()$`\\\"'*?\[\]#~=%!{}\n]")


Run = Callable[[str, float], CommandResult]  # a command and its limit (s)
V = TypeVar("V")


class Session(Protocol):
    """An open connection to a host."""

    def run(self, command: str, limit: float, secret: Secret | None = None) -> CommandResult: ...


class Connections(Protocol):
    """Connections that are kept. ``ask`` may repeat a command, where one broke; ``run`` does not.

    ``run`` asks ``objection`` right before it sends the command, and does not send it where there
    is one.
    """

    def ask(self, command: str, limit: float, secret: Secret | None = None) -> CommandResult: ...

    def run(
        self,
        command: str,
        limit: float,
        secret: Secret | None = None,
        *,
        may_log_in: bool = True,
        shown: str = "",
        objection: Objection = no_objection,
    ) -> CommandResult: ...

    def close(self) -> None: ...


class Shell(Protocol):
    """A way to run commands on one host; what it raises is `SshError`."""

    def typed(self, terminal: bool = False) -> str: ...

    def session(self) -> AbstractContextManager[Session]: ...

    def connections(self) -> Connections: ...


class _NotSent:
    """Stands for a call that could not be begun."""

    ended = True

    def __init__(self, error: SshError) -> None:
        self._error = error

    def result(self) -> CommandResult:
        """Raise why."""
        raise self._error


class HostCommand:
    """A command that is on its way to a host or runs there."""

    def __init__(
        self, run: Background[CommandResult] | _NotSent, is_there: Callable[[], bool]
    ) -> None:
        self._run = run
        self._is_there = is_there

    @property
    def ended(self) -> bool:
        """Tell whether its end was seen, or can no longer be seen."""
        return self._run.ended

    def result(self) -> CommandResult:
        """Return how it ended. Raises `SshError` where that was not seen, and `ValueError`
        before."""
        return self._run.result()

    def still_runs(self) -> bool:
        """Ask the host, over another connection if need be, whether the command runs there. Raises
        `SshError`."""
        return self._is_there()


class BrokerHost:
    """The host of one broker. The preflight finds out whether commands need sudo there, and sudo a
    password.

    ``process_pattern`` is an extended regular expression for the command line of the broker's
    process; without it, the unit of the start command tells the process, or the class `kafka.Kafka`
    does. ``properties`` is the path of the file on that command line, where several match.
    """

    def __init__(
        self,
        shell: Shell,
        stop_command: str,
        start_command: str,
        password: Secret | None = None,
        process_pattern: str = "",
        properties: str = "",
    ) -> None:
        self._shell = shell
        self._stop = stop_command
        self._start = start_command
        self._wanted = Wanted(unit_name(start_command), process_pattern, properties)
        self._root = False
        self._password = password
        self._with_password: set[str] = set()
        self._connections = shell.connections()
        self._threads: Standby | None = None
        self.sees_process = False  # as the preflight found it

    def preflight(self, jvm: Jvm | None, find: bool = False) -> Readiness:
        """Log in, and find out whether both commands may be run and whether the JVM's process can
        be seen.

        ``find``: no metrics tell of a JVM, so look for the process on the host.
        """
        try:
            with self._shell.session() as session:
                self._root = _last_line(session.run("id -u", QUESTION_S)) == "0"
                problems = [*self._problems(session), *self._unknown_units(session)]
                age = _age_if_any(session.run, jvm.pid) if jvm else None
                process = self._find(session.run) if find else None
        except SshError as error:
            return Readiness(problems=(Problem(str(error), code=error.code),))
        visible = age is not None and jvm is not None and is_same_process(age, jvm.uptime_ms / 1000)
        if process is not None:
            visible = process.presence is Presence.PRESENT
        self.sees_process = visible
        found = [problem for problem in problems if problem is not None]
        return Readiness(tuple(dict.fromkeys(found)), visible, process)

    def _problems(self, session: Session) -> list[Problem | None]:
        commands = (self._stop, self._start)
        if self._root:
            return [self._missing(session, command) for command in commands]
        if self._password is None:
            return [self._forbidden(session, command) for command in commands]
        valid = session.run(shlex.join([*ASKING, "-v"]), SUDO_S, self._password)
        if valid.status != 0:  # and no second try, because tries are counted
            why = _reason(valid) or "no reason given"
            return [
                Problem(f"sudo does not accept the password: {why}", code="sudo-password-refused")
            ]
        return [
            self._forbidden_by_password(session, command, self._password) for command in commands
        ]

    def _unknown_units(self, session: Session) -> list[Problem | None]:
        """Find commands for a unit that systemd does not know: sudo allows them all the same."""
        units = {
            unit_name(self._stop, ("stop",)): self._stop,
            unit_name(self._start): self._start,
        }
        return [self._unknown_unit(session, unit, units[unit]) for unit in units if unit]

    def _unknown_unit(self, session: Session, unit: str, command: str) -> Problem | None:
        known = session.run(UNIT_KNOWN.format(unit=unit), QUESTION_S).output
        if "LoadState=not-found" not in known or SCRIPT_MARK in known:
            return None
        text = (
            f"systemd does not know the unit {unit} of `{command}`. Correct "
            f"{self._option(command)}; to see the units: "
            f"`{self._shell.typed()} \"systemctl list-units --all '*kafka*'\"`"
        )
        return Problem(text, code="unit-not-found")

    def prepare(self) -> None:
        """Make the threads that stopping and starting need, before a broker is down. Raises
        `SshError`."""
        try:
            self._threads = self._threads or Standby(THREADS)
        except RuntimeError as error:
            raise SshError(
                f"this machine has no more threads for us: {error}", code="no-more-threads"
            ) from error

    def stop(self, limit: float, objection: Objection = no_objection) -> HostCommand:
        """Send the stop command. That it ended says nothing about the broker; its result may raise
        `SshError`.

        It goes over the connection that `process_age` left open, or not at all: after a login the
        news of the cluster's health would be old. ``objection`` is asked right before it is sent.
        """
        return self._send(self._stop, limit, STOP_MARK, may_log_in=False, objection=objection)

    def start(self, limit: float) -> HostCommand:
        """Send the start command. That it ended says nothing about the broker; its result may raise
        `SshError`."""
        return self._send(self._start, limit, START_MARK, may_log_in=True)

    def process_age(self, pid: int | None) -> float | None:
        """Return the age (s) of the JVM with this pid, None where none is seen. Raises `SshError`.

        A connection is open then, whatever the pid.
        """
        age = self._aside(partial(_age, self._connections.ask, pid))
        if not _is_own(pid):
            self._aside(partial(self._connections.ask, "true", QUESTION_S))
        return age

    def observe_process(self, pid: int, age_s: float) -> Observation:
        """Say whether the JVM with this pid and of at least about this age is there. Never raises.

        One that is older than expected is the same: our own clock stood still while this machine
        was paused.
        """
        try:
            age = self._aside(partial(_age, self._connections.ask, pid))
        except SshError as error:
            return Observation(Presence.UNKNOWN, words=str(error))
        if age is None or age < age_s - AGE_TOLERANCE_S:
            return Observation(Presence.ABSENT, words="its old process is gone")
        return Observation(Presence.PRESENT, words="its old process is there")

    def find_process(self) -> FoundProcess:
        """Look for the broker's process without the help of metrics. Never raises.

        A connection is open then, as after `process_age`.
        """
        return self._find(
            lambda line, limit: self._aside(partial(self._connections.ask, line, limit))
        )

    def _find(self, run: Run) -> FoundProcess:
        line = search_line(self._wanted.unit, self._wanted.regex)
        try:
            answer = run(line, SEARCH_S)
        except SshError as error:
            return FoundProcess(Presence.UNKNOWN, words=_without_line(error, line))
        return judge(answer.output, self._wanted)

    def observe_found(self, jvm: Jvm) -> Observation:
        """Say whether the very process that `find_process` found is there. Never raises."""
        is_by_unit = isinstance(jvm.identity, tuple) and len(jvm.identity) == 2
        if jvm.pid is None or (is_by_unit and not self._wanted.unit):
            return Observation(Presence.UNKNOWN, words="its process was not found before")
        line = unit_line(self._wanted.unit) if is_by_unit else process_line(jvm.pid)
        judge_answer = observe_invocation if is_by_unit else observe_pid
        try:
            answer = self._aside(partial(self._connections.ask, line, QUESTION_S))
        except SshError as error:
            return Observation(Presence.UNKNOWN, words=_without_line(error, line))
        return judge_answer(answer.output, jvm)

    def stopped_cleanly(self, log_dirs: Sequence[str]) -> bool | None:
        """Tell whether the broker, which is down, left `.kafka_cleanshutdown` in each log
        directory: it stopped cleanly then.

        None where that is not known: they can seldom be read without root. Never raises.
        """
        try:
            line = clean_stop_line(log_dirs)
            answer = self._aside(partial(self._connections.ask, line, QUESTION_S))
        except SshError:
            return None
        return clean_stop(answer.output)

    def close(self) -> None:
        """End the connections to the host."""
        self._connections.close()
        if self._threads is not None:
            self._threads.dismiss()
        self._threads = None

    @property
    def start_line(self) -> str:
        """What a person types to start the broker by hand; sudo asks them for its password at their
        terminal."""
        if self._start in self._with_password:
            return (
                f"{self._shell.typed(terminal=True)} "
                f"{shlex.quote(shlex.join(['sudo', *_words(self._start)]))}"
            )
        return f"{self._shell.typed()} {shlex.quote(self._privileged(self._start))}"

    def _aside(self, call: Callable[[], V]) -> V:
        """Make a call where a signal still reaches us. Raises what it raises, and `SshError`
        without a thread for it."""
        if self._threads is None:
            return call_in_thread(call)
        try:
            return self._threads.call(call)
        except RuntimeError as error:
            raise SshError(str(error), code="no-more-threads") from error

    def _send(
        self,
        command: str,
        limit: float,
        mark: str,
        may_log_in: bool,
        objection: Objection = no_objection,
    ) -> HostCommand:
        secret = self._password if command in self._with_password else None
        shown, name = self._privileged(command), f"{mark}{secrets.token_hex(8)}"
        run = partial(
            self._connections.run,
            self._marked(command, name),
            limit,
            secret,
            may_log_in=may_log_in,
            shown=shown,
            objection=objection,
        )
        is_there = partial(self._aside, partial(self._is_there, name))
        try:
            return HostCommand(Background(run, self._threads), is_there)
        except RuntimeError as error:
            reason = SshError(f"`{shown}` was not sent: {error}", code="no-more-threads")
            return HostCommand(_NotSent(reason), is_there)

    def _marked(self, command: str, name: str) -> str:
        """Return a line that runs a command with a name by which its process is found on the host
        while it runs."""
        line = self._privileged(command)
        if self._root and SHELL_SYNTAX.search(command):
            # the login shell, as root would type it
            line = f'"${{SHELL:-sh}}" -c {shlex.quote(command)}'
        # the name first: pgrep may read only the beginning
        return shlex.join(["sh", "-c", f": {name}; {line}; exit $?"])

    def _is_there(self, name: str) -> bool:
        result = self._connections.ask(PGREP.format(name[:1], name[1:], MARK), QUESTION_S)
        words = next(
            (line.split() for line in result.output.splitlines() if line.startswith(MARK)), []
        )
        if words not in ([MARK, "0"], [MARK, "1"]):
            raise SshError(
                f"it could not be checked whether the command still runs: {result}",
                sent=True,
                code="process-check-failed",
            )
        return words[-1] == "0"

    def _privileged(self, command: str) -> str:
        if self._root:
            return command
        return shlex.join([*(ASKING if command in self._with_password else FREE), *_words(command)])

    def _forbidden(self, session: Session, command: str) -> Problem | None:
        words = _words(command)
        allowed = session.run(shlex.join([*FREE, "-l", *words]), QUESTION_S)
        fix = (
            f"Allow it in sudoers with NOPASSWD, then check with `{self._shell.typed()} sudo -n "
            "-ll`; or use --ask-sudo-password"
        )
        if allowed.status != 0:
            return self._refused(command, words[0], _reason(allowed), fix)
        listing = session.run("env LC_ALL=C sudo -n -ll", QUESTION_S)
        answer = _asks(session, listing, _allowed(allowed))
        if answer is Answer.FREE:
            return None
        if answer is Answer.UNKNOWN:
            return Problem(f"`sudo -n {command}`: {UNTOLD}. {fix}", code="sudo-listing-unclear")
        text = f"`sudo -n {command}` is allowed, but sudo would ask for a password. {fix}"
        return Problem(text, code="sudo-asks-password")

    def _refused(self, command: str, program: str, why: str, fix: str) -> Problem:
        """Return the problem of a command that sudo does not allow; ``why`` is empty where sudo
        gave no reason."""
        code = "command-not-allowed"
        if not why:
            advice = self._not_allowed(command)
        elif f"{program}: command not found" in why:
            code = "command-not-found"
            where = "It is misspelled, or in a folder that sudo does not search"
            advice = f"{why}. {where}: check {self._option(command)}"
        else:
            advice = f"{why}. {fix}"
        return Problem(f"may not run `sudo -n {command}`: {advice}", code=code)

    def _forbidden_by_password(
        self, session: Session, command: str, password: Secret
    ) -> Problem | None:
        """Find out, without running the command, whether it may be run with the password, and
        whether it asks for it.

        A command that does not is sent without: the password would be the first line of its own
        input. Where that cannot be told, the host is refused.
        """
        self._with_password.discard(command)
        allowed = session.run(shlex.join([*ASKING, "-l", *_words(command)]), SUDO_S, password)
        if allowed.status != 0:
            why = _reason(allowed) or self._not_allowed(command)
            return Problem(f"may not run `sudo {command}`: {why}", code="command-not-allowed")
        listing = session.run(shlex.join(["env", "LC_ALL=C", *ASKING, "-ll"]), SUDO_S, password)
        answer = _asks(session, listing, _allowed(allowed))
        if answer is Answer.UNKNOWN:
            look = f"{self._shell.typed(terminal=True)} sudo -ll"
            text = (
                f"`sudo {command}`: {UNTOLD}. The password must not become the command's input. "
                f"Check: `{look}`"
            )
            return Problem(text, code="sudo-listing-unclear")
        if answer is Answer.ASKS:
            self._with_password.add(command)
        return None

    def _missing(self, session: Session, command: str) -> Problem | None:
        program = _words(command)[0]
        if session.run(f"command -v {shlex.quote(program)}", QUESTION_S).status == 0:
            return None
        text = (
            f"`{command}` cannot run: its PATH over SSH has no command {program!r}. Check "
            f"{self._option(command)}"
        )
        return Problem(text, code="command-not-found")

    def _not_allowed(self, command: str) -> str:
        """Say what it means that sudo refuses a command and gives no reason."""
        tag = " with NOPASSWD" if self._password is None else ""
        return (
            "it is not allowed in sudoers, or it is misspelled: sudoers compares a command word "
            f"for word. Compare {self._option(command)} with what is allowed: "
            f"`{self._shell.typed(terminal=True)} sudo -ll`. If it is spelled correctly, allow it "
            f"in sudoers{tag}"
        )

    def _option(self, command: str) -> str:
        return "--stop-command" if command == self._stop else "--start-command"


def is_same_process(age_s: float, expected_age_s: float) -> bool:
    """Tell whether a process is as old as the JVM that is looked for: a pid alone may have been
    given anew."""
    return abs(age_s - expected_age_s) <= AGE_TOLERANCE_S


def _without_line(error: SshError, line: str) -> str:
    """Return what went wrong, without a line that is too long to be read."""
    return str(error).replace(f"`{line}`", "the search for its process")


def _asks(session: Session, listing: CommandResult, command: str) -> Answer:
    """Find out whether sudo asks for a password; -k, because one that was given shortly before is
    not asked for."""
    is_validated = session.run("sudo -k -n -v", QUESTION_S).status == 0
    if listing.status != 0:
        return Answer.UNKNOWN
    return asks_for_password(listing.output, command, is_validated)


def _words(command: str) -> Sequence[str]:
    """Split a plain command; one with shell syntax goes to a shell as a whole, so that sudo covers
    all of it."""
    return ["sh", "-c", command] if SHELL_SYNTAX.search(command) else command.split()


def _reason(result: CommandResult) -> str:
    """Return why sudo refused, or nothing where it said none."""
    return replace(result, output=without_noise(result.output)).said.rstrip(".")


def _allowed(result: CommandResult) -> str:
    """Return the line in which sudo answers."""
    return _last_line(replace(result, output=without_noise(result.output)))


def _last_line(result: CommandResult) -> str:
    """Return the line that answers: a login script may have greeted us before it."""
    return (result.output.strip().splitlines() or [""])[-1].strip()


def _is_own(pid: int | None) -> bool:
    """Tell whether a pid may be that of a process of the host: 1 is a container's JVM, and init on
    its host."""
    return pid is not None and pid > 1


def _age_if_any(run: Run, pid: int | None) -> float | None:
    """Return the age (s) of a JVM, None also where this host's ps is of no use."""
    try:
        return _age(run, pid)
    except SshError:
        return None


def _age(run: Run, pid: int | None) -> float | None:
    """Return the age (s) of a JVM. A zombie has ended: it holds no port, no file lock and no
    registration."""
    if not _is_own(pid):
        return None
    result = run(PS.format(pid), QUESTION_S)
    words = next(
        (line.split()[1:] for line in result.output.splitlines() if line.startswith(MARK)), []
    )
    if not words or words[-1] not in ("0", "1") or (words[-1] == "1" and len(words) > 1):
        raise SshError(
            f"its process could not be looked for: {result}", sent=True, code="process-check-failed"
        )
    if words[-1] == "1":
        return None
    age, state, *name = words[:-1] if len(words) >= 4 else ("", "", "")
    if not age.isascii() or not age.isdecimal():
        raise SshError(
            f"its process could not be looked for, as ps says something else: {result}",
            sent=True,
            code="process-check-failed",
        )
    lives = not state.startswith("Z") and " ".join(name).startswith(JAVA)
    return float(age) if lives else None
