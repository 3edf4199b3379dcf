"""Many commands over few logins, on a host that is as long as its answers."""

import threading
from typing import Any

import pytest

from kafka_rolling_restart.errors import Objection, SshError, no_objection
from kafka_rolling_restart.hosts.ssh.client import FIRST_OPEN_S, OPEN_S, SshConnections, SshSession
from kafka_rolling_restart.hosts.ssh.connect import Links
from kafka_rolling_restart.model.broker import CommandResult
from kafka_rolling_restart.settings.secret import Secret


class FakeHost:
    """A host that lets us in or not, and whose sessions break on demand: before a command is sent,
    or after."""

    def __init__(self) -> None:
        self.sessions: list[FakeSession] = []
        self.logins = 0
        self.refuses = self.breaks_before = self.breaks_after = False
        self.ran: list[str] = []
        self.runs_slow, self.may_end = threading.Event(), threading.Event()

    def connect(self) -> "FakeSession":
        self.logins += 1
        if self.refuses:
            raise SshError("Connection refused")
        self.sessions.append(FakeSession(self))
        return self.sessions[-1]

    @property
    def open(self) -> int:
        return sum(session.is_open for session in self.sessions)


class FakeSession:
    def __init__(self, host: FakeHost) -> None:
        self.is_open = True
        self._host = host

    def run(
        self,
        command: str,
        limit: float,
        secret: Secret | None = None,
        *,
        shown: str = "",
        objection: Objection = no_objection,
    ) -> CommandResult:
        assert self.is_open
        if self._host.breaks_before:
            self._host.breaks_before = False
            raise SshError("the connection broke")
        self._host.ran.append(command)
        if self._host.breaks_after:
            self._host.breaks_after = False
            raise SshError("the connection broke", sent=True)
        if command == "slow":
            self._host.runs_slow.set()
            self._host.may_end.wait(10)
        return CommandResult(command, 0, "", 0.1)

    def close(self) -> None:
        self.is_open = False


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


def connections_to(host: Any) -> SshConnections:
    return SshConnections(host)


def started_slow(host: FakeHost, connections: SshConnections) -> threading.Thread:
    """Run a command that ends when the host lets it; return once it runs."""
    slow = threading.Thread(target=connections.run, args=("slow", 10))
    slow.start()
    assert host.runs_slow.wait(10)
    return slow


def test_many_commands_take_one_login(host: FakeHost) -> None:
    connections = connections_to(host)
    for _ in range(3):
        connections.ask("ps", 1)
        connections.run("stop", 1)
    assert host.logins == 1


def test_a_connection_that_broke_is_made_anew_and_the_question_asked_again(host: FakeHost) -> None:
    connections = connections_to(host)
    connections.ask("ps", 1)
    host.breaks_after = True
    assert connections.ask("ps", 1).status == 0
    assert host.logins == 2 and host.open == 1


def test_a_command_that_may_have_been_run_is_not_sent_again(host: FakeHost) -> None:
    connections = connections_to(host)
    connections.ask("ps", 1)
    host.breaks_after = True
    with pytest.raises(SshError) as raised:
        connections.run("stop", 1)
    assert raised.value.sent and host.ran == ["ps", "stop"] and host.open == 0


def test_a_command_that_was_not_sent_over_a_broken_connection_is_sent_over_a_new_one(
    host: FakeHost,
) -> None:
    connections = connections_to(host)
    connections.ask("ps", 1)
    host.breaks_before = True
    connections.run("stop", 1)
    assert host.ran == ["ps", "stop"] and host.logins == 2 and host.open == 1


def test_a_command_needs_no_login_where_a_connection_is_open(host: FakeHost) -> None:
    connections = connections_to(host)
    connections.ask("ps", 1)
    host.refuses = True
    connections.run("start", 1)
    assert host.ran == ["ps", "start"]


def test_a_command_that_is_not_to_wait_for_a_login_is_not_sent_without_a_connection(
    host: FakeHost,
) -> None:
    connections = connections_to(host)
    with pytest.raises(
        SshError, match="no connection is open over which `stop` could be sent"
    ) as raised:
        connections.run("stop", 1, may_log_in=False)
    connections.ask("ps", 1)
    host.breaks_before = True
    with pytest.raises(SshError) as broken:
        connections.run("stop", 1, may_log_in=False)
    assert not raised.value.sent and not broken.value.sent
    assert host.ran == ["ps"] and host.logins == 1


def test_a_command_that_still_runs_keeps_its_connection_to_itself(host: FakeHost) -> None:
    connections = connections_to(host)
    slow = started_slow(host, connections)
    connections.ask("ps", 1)
    assert host.logins == 2 and host.open == 2
    connections.close()
    assert host.open == 1
    host.may_end.set()
    slow.join()
    assert host.open == 0


def test_a_host_that_does_not_let_us_in_is_not_asked_again_at_once(host: FakeHost) -> None:
    connections, host.refuses = connections_to(host), True
    for _ in range(5):
        with pytest.raises(SshError, match="Connection refused"):
            connections.ask("ps", 1)
    assert host.logins == 1


def test_the_start_of_a_broker_is_tried_although_a_question_was_refused_just_now(
    host: FakeHost,
) -> None:
    connections, host.refuses = connections_to(host), True
    with pytest.raises(SshError):
        connections.ask("ps", 1)
    host.refuses = False
    assert connections.run("start", 1).status == 0


def test_after_a_break_the_other_connections_are_not_tried_one_after_the_other(
    host: FakeHost,
) -> None:
    connections = connections_to(host)
    slow = started_slow(host, connections)
    connections.ask("ps", 1)
    host.may_end.set()
    slow.join()
    host.breaks_before = True
    connections.run("start", 1)
    assert host.open == 1 and host.logins == 3


class FakeChannel:
    """A channel on which a command never ends, unless its sending fails."""

    closed = False
    eof_received = False

    def __init__(self, fails: bool) -> None:
        self._fails = fails

    def exec_command(self, _command: str) -> None:
        if self._fails:
            raise EOFError

    def shutdown_write(self) -> None:
        pass

    def recv_ready(self) -> bool:
        return False

    recv_stderr_ready = exit_status_ready = recv_ready

    def close(self) -> None:
        pass


class FakeTransport:
    def __init__(self, opens: bool = True, sends: bool = True) -> None:
        self._opens, self._sends = opens, sends
        self.timeout: float | None = None

    def open_session(self, timeout: float | None = None) -> FakeChannel:
        self.timeout = timeout
        if not self._opens:
            raise EOFError
        return FakeChannel(fails=not self._sends)


def test_a_secret_is_not_sent_to_a_host_whose_key_nobody_has_compared() -> None:
    transport = FakeTransport()
    fake: Any = transport
    session = SshSession(fake, Links(), "n1", "no password was sent, because")
    with pytest.raises(SshError, match="n1: no password was sent, because") as raised:
        session.run("sudo -S -v", 1, Secret("hunter2"))
    assert not raised.value.sent and transport.timeout is None
    with pytest.raises(SshError, match="did not end within"):
        session.run("true", 0.05)


@pytest.mark.parametrize(
    ("transport", "sent", "words"),
    [
        (FakeTransport(opens=False), False, "broke before `stop` was sent"),
        (FakeTransport(sends=False), True, "broke while `stop` ran"),
        (FakeTransport(), True, "`stop` did not end within 0 s"),
    ],
)
def test_whether_a_command_may_have_been_run_is_told_by_its_channel(
    transport: FakeTransport, sent: bool, words: str
) -> None:
    with pytest.raises(SshError, match=words) as raised:
        SshSession(transport, Links(), "n1").run("stop", 0.05)  # type: ignore[arg-type]
    assert raised.value.sent is sent
    assert transport.timeout == OPEN_S


def test_a_login_lasts_until_the_host_takes_a_command() -> None:
    """PAM's session modules run when the login has succeeded already."""
    transport = FakeTransport()
    session = SshSession(transport, Links(), "n1")  # type: ignore[arg-type]
    session.open_first()
    assert transport.timeout == FIRST_OPEN_S
    transport.timeout = None
    for used in (None, OPEN_S):  # the first command goes over the channel that is open
        with pytest.raises(SshError, match="did not end within"):
            session.run("true", 0.05)
        assert transport.timeout == used


def test_a_login_that_ends_with_no_session_says_so() -> None:
    session = SshSession(FakeTransport(opens=False), Links(), "n1")  # type: ignore[arg-type]
    with pytest.raises(SshError, match="n1: logged in, but no session was opened") as raised:
        session.open_first()
    assert not raised.value.sent and raised.value.code == "ssh-unreachable"


def test_a_question_of_many_words_does_not_fill_the_screen() -> None:
    session = SshSession(FakeTransport(), Links(), "n1")  # type: ignore[arg-type]
    with pytest.raises(SshError) as raised:
        session.run(f"sh -c '{'x' * 1500}'", 0.05)
    assert str(raised.value).startswith("`sh -c 'xxx")
    assert len(str(raised.value)) < 400
