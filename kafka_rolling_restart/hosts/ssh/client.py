"""Run commands on a host over SSH: what they printed, how they ended."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import paramiko

from kafka_rolling_restart.errors import Objection, SshError, no_objection
from kafka_rolling_restart.hosts.ssh.config import Target
from kafka_rolling_restart.hosts.ssh.connect import Access, Connecting, Links
from kafka_rolling_restart.model.broker import CommandResult
from kafka_rolling_restart.parallel import NotInTime, call_in_thread
from kafka_rolling_restart.settings.secret import Secret
from kafka_rolling_restart.text import clean

LOG = logging.getLogger(__package__)
LOGIN_S = 40.0  # for all of a login: finding the address, connecting, hops, keys, the agent
# beyond the limit of a command, for opening its channel and for the end of its output
SHOWN = 300  # characters of a command in messages
GRACE_S = 10.0
# for the first answer after a login: PAM's session modules run before it, and pam_systemd alone
# waits for a busy systemd for up to 25 s, twice
FIRST_OPEN_S = 60.0
OPEN_S = 10.0  # for the answer of a host that we are logged in to: may a command be sent?
COOL_DOWN_S = 10.0
TAIL = 64 * 1024  # bytes of output that are kept of each stream
# a daemon that inherited the streams keeps them open for ever: its output is not waited for
DRAIN_S = 0.3
LOOK_S = 0.02


class _Objected(Exception):
    """Why a command was not sent."""


class SshHost:
    """One host."""

    def __init__(self, target: Target, access: Access, login_s: float = LOGIN_S) -> None:
        self._target = target
        self._access = access
        self._login_s = login_s

    def typed(self, terminal: bool = False) -> str:
        """Return what a person types to log in there, to put a command behind."""
        return self._target.typed(terminal)

    def connect(self) -> "SshSession":
        """Log in. Raises `SshError` with what to do next."""
        began, limit = time.monotonic(), self._login_s
        login = Connecting(self._target, self._access)
        try:
            # an agent that has gone silent is waited for without a bound
            transport = call_in_thread(login.connect, limit)
        except NotInTime as error:
            login.links.close()
            raise SshError(
                f"{self._target}: not logged in after {limit:g} s. Try: `{self.typed()} true`",
                code="ssh-unreachable",
            ) from error
        except RuntimeError as error:  # no more threads
            login.links.close()
            raise SshError(
                f"{self._target}: not logged in: {error}", code="no-more-threads"
            ) from error
        except BaseException as error:
            login.links.close()
            LOG.debug(
                "%s: not logged in after %.2f s: %s", self._target, time.monotonic() - began, error
            )
            raise
        session = SshSession(transport, login.links, str(self._target), login.no_secrets)
        session.open_first()
        LOG.debug("%s: logged in after %.2f s", self._target, time.monotonic() - began)
        return session

    @contextmanager
    def session(self) -> Iterator["SshSession"]:
        """Connect, and disconnect at the end of the block. Raises `SshError` with what to do
        next."""
        with closing(self.connect()) as session:
            yield session

    def connections(self) -> "SshConnections":
        """Return a way to run many commands over few logins."""
        return SshConnections(self)


class SshConnections:
    """Connections to one host that are kept for what is next: each does one thing at a time.

    So a broker is started over a login that was made while it still ran: none has to succeed while
    it is down.
    """

    def __init__(self, host: SshHost) -> None:
        self._host = host
        self._idle: list[SshSession] = []
        self._closed = False
        self._refused: SshError | None = None
        self._refused_at = 0.0

    def ask(self, command: str, limit: float, secret: Secret | None = None) -> CommandResult:
        """Run a command whose repetition does no harm: where the connection broke, it is run again.
        Raises `SshError`.

        A host that does not let us in is not asked again for `COOL_DOWN_S`: firewalls count logins,
        and lock out who tries too often.
        """
        with suppress(SshError):
            if session := self._take():
                return self._on(session, command, limit, secret)
        return self._on(self._connect_unless_refused(), command, limit, secret)

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
        """Run a command once. Raises `SshError`, with ``sent`` where it may have been run.

        What was seen before a login is old after it, so a command that rests on that may be kept
        from logging in. For
        ``shown`` and ``objection`` see `SshSession.run`.
        """
        if session := self._take():
            try:
                return self._on(session, command, limit, secret, shown, objection)
            except SshError as error:
                if error.sent or not may_log_in:
                    raise
        if not may_log_in:
            raise SshError(
                f"no connection is open over which `{shown or command}` could be sent at once",
                code="stop-not-sent",
            )
        return self._on(self._host.connect(), command, limit, secret, shown, objection)

    def close(self) -> None:
        """Hang up; what still runs keeps its connection until it has ended."""
        self._closed = True
        self._hang_up()

    def _take(self) -> "SshSession | None":
        self._closed = False
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _on(
        self,
        session: "SshSession",
        command: str,
        limit: float,
        secret: Secret | None,
        shown: str = "",
        objection: Objection = no_objection,
    ) -> CommandResult:
        try:
            result = session.run(command, limit, secret, shown=shown, objection=objection)
        except BaseException:
            session.close()
            # the others may have broken with it, and trying each of them takes its time
            self._hang_up()
            raise
        self._idle.append(session)
        if self._closed:
            self._hang_up()
        return result

    def _hang_up(self) -> None:
        while self._idle:
            with suppress(IndexError):  # another thread takes them, too
                self._idle.pop().close()

    def _connect_unless_refused(self) -> "SshSession":
        if self._refused is not None and time.monotonic() - self._refused_at < COOL_DOWN_S:
            raise self._refused
        try:
            return self._host.connect()
        except SshError as error:
            self._refused, self._refused_at = error, time.monotonic()
            raise


class SshSession:
    """An open connection to a host; ``no_secrets`` says why no password may be sent over it, if it
    may not."""

    def __init__(
        self, transport: paramiko.Transport, links: Links, where: str, no_secrets: str = ""
    ) -> None:
        self._transport = transport
        self._links = links
        self._where = where
        self._no_secrets = no_secrets
        self._first: Any = None  # a channel that waits for its command

    def open_first(self) -> None:
        """Wait until the host takes a command: with sshd that is the end of a login, however short
        the rest of it was. Raises `SshError`."""
        began = time.monotonic()
        try:
            self._first = self._transport.open_session(timeout=FIRST_OPEN_S)
        except Exception as error:  # paramiko's, of the socket, or an EOFError
            self.close()
            after, why = time.monotonic() - began, str(error) or type(error).__name__
            text = f"logged in, but no session was opened within {after:.0f} s: {why}"
            raise SshError(f"{self._where}: {text}", code="ssh-unreachable") from error

    def _open(self) -> Any:
        channel, self._first = self._first, None
        if channel is None:
            channel = self._transport.open_session(timeout=OPEN_S)
        return channel

    def close(self) -> None:
        """End the connection."""
        self._links.close()

    def run(
        self,
        command: str,
        limit: float,
        secret: Secret | None = None,
        *,
        shown: str = "",
        objection: Objection = no_objection,
    ) -> CommandResult:
        """Run a command without a terminal, reading both streams, for ``limit`` s at most.

        Its input is ``secret`` in a line of its own, or nothing; messages call it ``shown``.
        ``objection`` is asked right before the command is sent, and what it says against it keeps
        it from being sent. Raises `SshError`, with ``sent`` where the command may have been run,
        and its end was not seen.
        """
        if secret is not None and self._no_secrets:
            raise SshError(f"{self._where}: {self._no_secrets}", code="password-not-sent")
        began, sent = time.monotonic(), False
        name = _shortened(shown or command)
        # paramiko waits without a bound for the answer to exec; closing the connection wakes it.
        watchdog = threading.Timer(limit + GRACE_S, self._links.close)
        watchdog.daemon = True
        try:
            watchdog.start()
            channel = self._open()
            if against := objection():
                raise _Objected(against)
            sent = True
            channel.exec_command(command)
            if secret is not None:
                channel.sendall(f"{secret.reveal()}\n".encode())
            channel.shutdown_write()
            status, output = _follow(channel, began + limit)
        except _Objected as error:
            raise SshError(f"`{name}` was not sent: {error}", code="stop-not-sent") from error
        except Exception as error:  # as above
            why = str(error) or type(error).__name__
            LOG.debug("%s: `%s` broke off: %s", self._where, name, why)
            seen = (
                f"the connection broke while `{name}` ran"
                if sent
                else f"the connection broke before `{name}` was sent"
            )
            raise SshError(
                f"{seen}: {why}",
                sent=sent,
                code="command-end-not-seen" if sent else "ssh-unreachable",
            ) from error
        finally:
            watchdog.cancel()
        if status is None:
            after = time.monotonic() - began
            LOG.debug("%s: `%s` did not end within %.0f s", self._where, name, after)
            raise SshError(
                f"`{name}` did not end within {after:.0f} s", sent=True, code="command-end-not-seen"
            )
        result = CommandResult(name, status, output, time.monotonic() - began)
        LOG.debug("%s: %s (%.2f s)", self._where, result, result.seconds)
        return result


def _shortened(command: str) -> str:
    """Return a command as messages show it: our longest question to a host is 1.5 kB."""
    return command if len(command) <= SHOWN else f"{command[:SHOWN]}..."


def _follow(channel: Any, deadline: float) -> tuple[int | None, str]:
    """Read both streams until the command has ended; return its status (None: not seen) and their
    last lines."""
    tails = {"out": b"", "err": b""}
    ended_at = None
    while True:
        read = _drain(channel, tails)
        now = time.monotonic()
        if channel.exit_status_ready() and ended_at is None:
            ended_at = now
        if ended_at is not None and not read and (channel.eof_received or now - ended_at > DRAIN_S):
            break
        if now > deadline or (ended_at is not None and now - ended_at > GRACE_S):
            break
        if channel.closed and not read and ended_at is None:
            raise EOFError("the host closed it")
        if not read:
            time.sleep(LOOK_S)
    status = channel.recv_exit_status() if ended_at is not None else None
    channel.close()
    if status == -1:
        raise EOFError("the host closed it without a status")
    text = b"\n".join(filter(None, (tails["out"].strip(), tails["err"].strip())))
    return status, _printable(text)


def _drain(channel: Any, tails: dict[str, bytes]) -> bool:
    read = False
    if channel.recv_ready():
        tails["out"] = (tails["out"] + channel.recv(65536))[-TAIL:]
        read = True
    if channel.recv_stderr_ready():
        tails["err"] = (tails["err"] + channel.recv_stderr(65536))[-TAIL:]
        read = True
    return read


def _printable(text: bytes) -> str:
    """Return the lines without a host's control characters."""
    lines = text.decode("utf-8", "replace").replace("\t", " ").splitlines()
    return "\n".join(map(clean, lines))
