"""Make a connection to a host: the way there (hops, a proxy's program), its host key, the login."""

import shlex
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import paramiko

from kafka_rolling_restart.errors import SshError
from kafka_rolling_restart.ssh import known_hosts
from kafka_rolling_restart.ssh.config import Target
from kafka_rolling_restart.ssh.known_hosts import AUTHORITY, Entry, HostKey, Judgement, Trust
from kafka_rolling_restart.ssh.login import Credentials
from kafka_rolling_restart.ssh.proxy import ProxyProcess

CONNECT_S = 15.0
SILENT_S = 30  # a peer that acknowledges nothing for so long is gone
KEEPALIVE_S = 10
SILENCE = ("No existing session", "Error reading SSH protocol banner")
ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}  # the others are called as their keys are


class Link(Protocol):
    """Anything that can be closed."""

    def close(self) -> None: ...


L = TypeVar("L", bound=Link)


class Links:
    """What a connection is made of: sockets, programs, connections through others. Closed as a whole, at any time."""

    def __init__(self) -> None:
        self._links: list[Any] = []
        self._closed = threading.Event()

    def add(self, link: L) -> L:
        """Take over the closing of a link; where all was closed meanwhile, it is closed at once."""
        self._links.append(link)
        if self._closed.is_set():
            self.close()
            raise SshError("the connection was given up")
        return link

    def close(self) -> None:
        """Close the links, the last one first."""
        self._closed.set()
        while self._links:
            with suppress(IndexError, OSError, EOFError):  # another thread may close them, too; or they are broken
                self._links.pop().close()

    @property
    def said(self) -> str:
        """What a proxy's program complained about."""
        return next((link.said for link in self._links if isinstance(link, ProxyProcess)), "")


@dataclass(frozen=True)
class Access:
    """What all logins have in common: who we are, the shell of ProxyCommand, and who hears of a new host key."""

    credentials: Credentials
    shell: str
    say: Callable[[str], None]


class Connecting:
    """One try to connect. ``links`` may be closed from another thread, which ends the try."""

    def __init__(self, target: Target, access: Access) -> None:
        self._target = target
        self._access = access
        self.links = Links()

    def connect(self) -> Any:
        """Log in to each host on the way, and last to ours; return the connection to that. Raises `SshError`."""
        transport = None
        for target in (*self._target.via, self._target):
            try:
                way = self._reach(target, transport)
                transport = self.links.add(paramiko.Transport(way))
                self._log_in(transport, target)
            except SshError:
                raise
            except Exception as error:  # a peer that talks nonsense makes paramiko raise whatever its parsing hits
                raise self._error(target, error) from error
        return transport

    def _reach(self, target: Target, hop: Any) -> Any:
        if hop is not None:
            to, from_ = (target.address, target.port), ("127.0.0.1", 0)
            return self.links.add(hop.open_channel("direct-tcpip", to, from_, timeout=CONNECT_S))
        if target.proxy_command:
            return self.links.add(ProxyProcess(target.proxy_command, self._access.shell)).socket
        return self.links.add(_connected(target.address, target.port))

    def _log_in(self, transport: Any, target: Target) -> None:
        try:
            entries = known_hosts.read((*target.known_hosts, *target.system_known_hosts))
        except OSError as error:
            raise SshError(f"{error.filename}: cannot be read: {error.strerror}") from error
        _prefer(transport, known_hosts.kinds(entries, target.known_as))
        transport.start_client(timeout=CONNECT_S)
        key = transport.get_remote_server_key()
        self._verify(target, entries, HostKey(key.get_name(), key.asbytes()))
        transport.auth_timeout = CONNECT_S
        self._access.credentials.log_in(transport, target)
        transport.set_keepalive(KEEPALIVE_S)

    def _verify(self, target: Target, entries: Sequence[Entry], key: HostKey) -> None:
        found = known_hosts.judge(entries, target.known_as, key)
        if found.trust is Trust.UNKNOWN and target.adds_unknown and target.known_hosts:
            found = known_hosts.add(target.known_hosts[0], target.known_as[0], key, target.hashes_names)
            if found.entry is None:
                self._access.say(f"{target}: its host key was not known, and is now in {target.known_hosts[0]}: {key}")
        if found.trust is not Trust.KNOWN:
            raise SshError(f"{self._place(target)}: {_distrust(target, found, key)}")

    def _error(self, target: Target, error: Exception) -> SshError:
        why = _why_not(error)
        if isinstance(error, paramiko.ChannelException):
            why = f"{self._before(target)} does not lead there: {error.text} (does its sshd allow it, and reach it?)"
        elif isinstance(error, paramiko.AuthenticationException):
            why = f"login refused: {why}"
        elif target.proxy_command:
            why = f"{why}; by `{target.proxy_command}`{f', which said: {said}' if (said := self.links.said) else ''}"
        return SshError(f"{self._place(target)}: {why}. Try: {target.typed()} true")

    def _before(self, target: Target) -> Target:
        way = (*self._target.via, self._target)
        return way[way.index(target) - 1]

    def _place(self, target: Target) -> str:
        """Say which host it was: ours, or one on the way."""
        return str(target) if target is self._target else f"{target} (on the way to {self._target.name})"


def _why_not(error: Exception) -> str:
    """Say why there is no connection, as the system says it; paramiko's words for a silent server mislead."""
    said = (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
    return "no SSH server answers there, though the port is open" if said in SILENCE else said


def _distrust(target: Target, found: Judgement, key: HostKey) -> str:
    file = target.known_hosts[0] if target.known_hosts else "known_hosts"
    name = target.known_as[0]
    line = found.entry.where if found.entry else ""
    if found.trust is Trust.REVOKED:
        return f"its host key ({key}) is revoked in {line}: nobody is to log in there"
    if found.trust is Trust.CHANGED:
        return (
            f"its host key ({key}) is not the one in {line}: it was made anew, or somebody is in between. Find out which. "
            f"If the new key is right: ssh-keygen -f {shlex.quote(str(file))} -R {shlex.quote(name)} && {_add(target, file)}"
        )
    authority = f" ({AUTHORITY} lines are not supported)" if found.has_authority else ""
    return f"its host key is not known{authority} ({key}). Compare it with the host's own, then add it: {_add(target, file)}"


def _add(target: Target, file: object) -> str:
    """Return what adds a host key; ssh-keyscan knows neither hops nor aliases."""
    if target.via or target.proxy_command or target.alias:
        return f"ssh -o StrictHostKeyChecking=accept-new {target.typed().removeprefix('ssh ')} true"
    return f"ssh-keyscan -p {target.port} {target.address} >> {shlex.quote(str(file))}"


def _prefer(transport: Any, known: Sequence[str]) -> None:
    """Have the host show a key of a kind that we know of it."""
    options = transport.get_security_options()
    wanted = [name for kind in known for name in ALGORITHMS.get(kind, (kind,)) if name in options.key_types]
    options.key_types = tuple(dict.fromkeys((*wanted, *options.key_types)))


def _connected(address: str, port: int) -> socket.socket:
    connection = socket.create_connection((address, port), timeout=CONNECT_S)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # keepalives alone do not notice that nobody acknowledges them
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_S * 1000)
    return connection
