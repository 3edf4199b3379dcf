"""Run commands on a host over SSH: what they printed, how they ended. Only this module knows paramiko."""

import logging
import os
import shlex
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import paramiko

from kafka_rolling_restart.cluster import CommandResult
from kafka_rolling_restart.config import home
from kafka_rolling_restart.errors import SshError, UsageError
from kafka_rolling_restart.parallel import NotInTime, aside

LOG = logging.getLogger(__name__)
SSH_PORT = 22
CONNECT_S = 15.0
LOGIN_S = 40.0  # for all of a login: finding the address, connecting, keys, the agent
SILENT_S = 30  # a peer that acknowledges nothing for so long is gone
GRACE_S = 10.0  # beyond the limit of a command, for opening its channel and for the end of its output
COOL_DOWN_S = 10.0
KEEPALIVE_S = 10
TAIL = 64 * 1024  # bytes of output that are kept of each stream
DRAIN_S = 0.3  # a daemon that inherited the streams keeps them open for ever: its output is not waited for
LOOK_S = 0.02
SILENCE = ("No existing session", "Error reading SSH protocol banner")


class SshConfig:
    """~/.ssh/config as far as it is honoured: HostName, User, Port, IdentityFile, UserKnownHostsFile."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._home = home(environ)
        self._user = environ.get("USER") or environ.get("LOGNAME")
        path = self._home / ".ssh" / "config"
        try:
            self._config = paramiko.SSHConfig.from_path(str(path)) if path.exists() else paramiko.SSHConfig()
        except (OSError, UnicodeDecodeError, paramiko.SSHException) as error:
            raise UsageError(f"{path}: cannot be used: {error}. Mend it: ssh -G localhost says the same") from error

    def host(self, name: str) -> "SshHost":
        """Return how the host is reached. Raises `UsageError` for a configuration that makes no sense."""
        try:
            return self._host(name)
        except (ValueError, paramiko.SSHException) as error:
            raise UsageError(f"~/.ssh/config, for {name}: {error}. Try: ssh -G {name}") from error

    def _host(self, name: str) -> "SshHost":
        found = self._config.lookup(name)
        if "proxycommand" in found or "proxyjump" in found:
            raise UsageError(
                f"~/.ssh/config has a ProxyCommand or ProxyJump for {name}, which is not supported. Run this where {name} is "
                "reached without"
            )
        known = found.get("userknownhostsfile", str(self._home / ".ssh" / "known_hosts"))
        return SshHost(
            name=name,
            address=found.get("hostname", name),
            port=_port(found.get("port", "22")),
            user=found.get("user") or self._user or _login_name(),
            keys=tuple(self._expand(key) for key in found.get("identityfile", [])),
            known_hosts=tuple(self._expand(file) for file in shlex.split(known)),
        )

    def _expand(self, path: str) -> Path:
        if path.startswith("~/"):
            return self._home / path[2:]
        return Path(path)


def _port(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"its Port {text!r} is no number") from error


class SshHost:
    """One host. Connections live for one question (a `session`), never through a wait."""

    def __init__(
        self, name: str, address: str, port: int, user: str, keys: tuple[Path, ...], known_hosts: tuple[Path, ...]
    ) -> None:
        self.name = name
        self.user = user
        self._address = address
        self._port = port
        self._keys = keys
        self._known_hosts = known_hosts

    def connect(self) -> "SshSession":
        """Log in. Raises `SshError` with what to do next."""
        began = time.monotonic()
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(_RefuseUnknown())
        try:
            aside(partial(self._log_in, client), LOGIN_S)  # an agent that has gone silent is waited for without a bound
        except NotInTime as error:
            client.close()
            raise SshError(f"{self._where}: not logged in after {LOGIN_S:g} s. Try: ssh {self.name} true") from error
        except BaseException as error:
            client.close()
            LOG.debug("%s: not logged in after %.2f s: %s", self._where, time.monotonic() - began, error)
            raise
        LOG.debug("%s: logged in after %.2f s", self._where, time.monotonic() - began)
        return SshSession(client, self._where)

    @contextmanager
    def session(self) -> Iterator["SshSession"]:
        """Connect, and disconnect at the end of the block. Raises `SshError` with what to do next."""
        with closing(self.connect()) as session:
            yield session

    def line(self) -> "SshLine":
        """Return a way to ask many questions over one connection."""
        return SshLine(self)

    def run(self, command: str, limit: float) -> CommandResult:
        """Run one command on a connection of its own, for ``limit`` s at most. Raises `SshError`."""
        with self.session() as session:
            return session.run(command, limit)

    def _load_known_hosts(self, client: paramiko.SSHClient) -> None:
        for file in (*self._known_hosts, Path("/etc/ssh/ssh_known_hosts")):
            try:
                if file.exists():
                    client.load_system_host_keys(str(file))
            except Exception as error:  # paramiko's InvalidHostKey is no SSHException
                raise SshError(f"{file}: cannot be read: {error}") from error

    @property
    def _where(self) -> str:
        return f"ssh {self.user}@{self._address} port {self._port}"

    def _log_in(self, client: paramiko.SSHClient) -> None:
        self._load_known_hosts(client)
        where = self._where
        try:
            keys: Any = [str(key) for key in self._keys if key.exists()]
            client.connect(
                self._address,
                port=self._port,
                username=self.user,
                key_filename=keys or None,
                look_for_keys=not self._keys,
                sock=_connected(self._address, self._port),
                timeout=CONNECT_S,
                banner_timeout=CONNECT_S,
                auth_timeout=CONNECT_S,
            )
        except _UnknownHostKey as error:
            raise SshError(f"{where}: {error}. {self._how_to_trust()}") from error
        except paramiko.BadHostKeyException as error:
            raise SshError(
                f"{where}: its host key is {error.key.get_name()} {error.key.fingerprint}, not the one in "
                f"{self._known_hosts[0]}: it was made anew, or somebody is in between. Find out which. {self._how_to_replace()}"
            ) from error
        except paramiko.AuthenticationException as error:
            why = str(error).rstrip(".")
            raise SshError(f"{where}: login refused: {why}. Try: ssh {self.name} true") from error
        except Exception as error:  # a peer that talks nonsense makes paramiko raise whatever its parsing hits
            raise SshError(f"{where}: {_why_not(error)}. Try: ssh {self.name} true") from error
        transport = client.get_transport()
        if transport is not None:
            transport.set_keepalive(KEEPALIVE_S)

    def _how_to_trust(self) -> str:
        file = shlex.quote(str(self._known_hosts[0]))
        return (
            f"Compare the key with the host's own, then add it: ssh-keyscan -p {self._port} {self._address} >> {file}"
        )

    def _how_to_replace(self) -> str:
        file = shlex.quote(str(self._known_hosts[0]))
        entry = self._address if self._port == SSH_PORT else shlex.quote(f"[{self._address}]:{self._port}")
        scan = f"ssh-keyscan -p {self._port} {self._address} >> {file}"
        return f"If the new key is right: ssh-keygen -f {file} -R {entry} && {scan}"


class SshLine:
    """One connection for many questions, made anew where it broke.

    A host that does not let us in is not asked again for `COOL_DOWN_S`: firewalls count logins, and lock out who
    tries too often.
    """

    def __init__(self, host: SshHost) -> None:
        self._host = host
        self._session: SshSession | None = None
        self._refused: SshError | None = None
        self._refused_at = 0.0

    def run(self, command: str, limit: float) -> CommandResult:
        """Ask a question whose repetition does no harm. Raises `SshError`."""
        if self._session is not None:
            try:
                return self._session.run(command, limit)
            except SshError:
                self.close()
        self._session = self._connect()
        try:
            return self._session.run(command, limit)
        except SshError:
            self.close()
            raise

    def close(self) -> None:
        """Hang up."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _connect(self) -> "SshSession":
        if self._refused is not None and time.monotonic() - self._refused_at < COOL_DOWN_S:
            raise self._refused
        try:
            session = self._host.connect()
        except SshError as error:
            self._refused, self._refused_at = error, time.monotonic()
            raise
        self._refused = None
        return session


class SshSession:
    """An open connection to a host."""

    def __init__(self, client: paramiko.SSHClient, where: str) -> None:
        self._client = client
        self._where = where

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def run(self, command: str, limit: float) -> CommandResult:
        """Run a command without a terminal and without input, reading both streams, for ``limit`` s at most.

        Raises `SshError` (with ``sent``) where its end was not seen.
        """
        began = time.monotonic()
        # paramiko waits without a bound for the answer to exec; closing the connection wakes it.
        watchdog = threading.Timer(limit + GRACE_S, self._client.close)
        watchdog.daemon = True
        try:
            watchdog.start()
            channel = self._open()
            channel.exec_command(command)
            channel.shutdown_write()
            status, output = _follow(channel, began + limit)
        except Exception as error:  # as above
            why = str(error) or type(error).__name__
            LOG.debug("%s: `%s` broke off: %s", self._where, command, why)
            raise SshError(f"the connection broke while `{command}` ran: {why}", sent=True) from error
        finally:
            watchdog.cancel()
        if status is None:
            after = time.monotonic() - began
            LOG.debug("%s: `%s` did not end within %.0f s", self._where, command, after)
            raise SshError(f"`{command}` did not end within {after:.0f} s", sent=True)
        result = CommandResult(command, status, output, time.monotonic() - began)
        LOG.debug("%s: %s (%.2f s)", self._where, result, result.seconds)
        return result

    def _open(self) -> Any:
        transport = self._client.get_transport()
        if transport is None:
            raise paramiko.SSHException("not connected")
        return transport.open_session(timeout=CONNECT_S)


def _follow(channel: Any, deadline: float) -> tuple[int | None, str]:
    """Read both streams until the command has ended; return its status (None: not seen) and their last lines."""
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
    return "\n".join("".join(one if one.isprintable() else "?" for one in line) for line in lines)


def _connected(address: str, port: int) -> socket.socket:
    connection = socket.create_connection((address, port), timeout=CONNECT_S)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # keepalives alone do not notice that nobody acknowledges them
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_S * 1000)
    return connection


def _why_not(error: Exception) -> str:
    """Say why there is no connection, as the system says it; paramiko's words for a silent server mislead."""
    said = (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
    return "no SSH server answers there, though the port is open" if said in SILENCE else said


def _login_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError as error:
        raise UsageError(f"uid {os.getuid()} has no name to log in with: set USER, or User in ~/.ssh/config") from error


class _UnknownHostKey(paramiko.SSHException):
    pass


class _RefuseUnknown(paramiko.MissingHostKeyPolicy):
    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise _UnknownHostKey(f"its host key is not known ({key.get_name()} {key.fingerprint})")
