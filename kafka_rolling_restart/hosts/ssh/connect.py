"""Make a connection to a host: the way there (hops, a proxy's program), its host key, the login."""

import shlex
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import paramiko

from kafka_rolling_restart.errors import SshError, Warn
from kafka_rolling_restart.hosts.ssh import known_hosts
from kafka_rolling_restart.hosts.ssh.config import Target
from kafka_rolling_restart.hosts.ssh.known_hosts import AUTHORITY, Entry, HostKey, Judgement, Trust
from kafka_rolling_restart.hosts.ssh.login import Credentials
from kafka_rolling_restart.hosts.ssh.proxy import ProxyProcess

CONNECT_S = 15.0
SILENT_S = 30  # a peer that acknowledges nothing for so long is gone
KEEPALIVE_S = 10
SILENCE = ("No existing session", "Error reading SSH protocol banner")
# the others are called as their keys are
ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
# what ssh-keyscan -t calls them; the others are ecdsa
SCANNED = {
    "ssh-ed25519": "ed25519",
    "ssh-rsa": "rsa",
}


class Link(Protocol):
    """Anything that can be closed."""

    def close(self) -> None: ...


L = TypeVar("L", bound=Link)


class Links:
    """What a connection is made of: sockets, programs, connections through others. Closed as a
    whole, at any time."""

    def __init__(self) -> None:
        self._links: list[Any] = []
        self._closed = threading.Event()

    def add(self, link: L) -> L:
        """Take over the closing of a link; where all was closed meanwhile, it is closed at once."""
        self._links.append(link)
        if self._closed.is_set():
            self.close()
            raise SshError("the connection was given up", code="ssh-unreachable")
        return link

    def close(self) -> None:
        """Close the links, the last one first."""
        self._closed.set()
        while self._links:
            # another thread may close them, too; or they are broken
            with suppress(IndexError, OSError, EOFError):
                self._links.pop().close()

    @property
    def said(self) -> str:
        """What a proxy's program complained about."""
        return next((link.said for link in self._links if isinstance(link, ProxyProcess)), "")


class AddedKeys:
    """The host keys that this run has added to known_hosts. Nobody has compared them: no password
    goes there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._added: set[tuple[str, HostKey]] = set()

    def add(self, target: Target, key: HostKey) -> Judgement:
        """Add an unknown key to the first of a host's files, unless another login was faster."""
        name = target.known_as[0]
        with self._lock:
            found = known_hosts.add(target.known_hosts[0], name, key, target.hashes_names)
            if found.trust is Trust.KNOWN and found.entry is None:
                self._added.add((name, key))
            return found

    def has(self, target: Target, key: HostKey) -> bool:
        """Tell whether a host's key is one of them."""
        with self._lock:
            return any((name, key) in self._added for name in target.known_as)


@dataclass(frozen=True)
class Access:
    """What all logins have in common: who we are, the shell of ProxyCommand, and who is warned of a
    new host key."""

    credentials: Credentials
    shell: str
    warn: Warn
    added: AddedKeys = field(default_factory=AddedKeys)


class Connecting:
    """One try to connect. ``links`` may be closed from another thread, which ends the try."""

    def __init__(self, target: Target, access: Access) -> None:
        self._target = target
        self._access = access
        self.links = Links()
        self.no_secrets = ""  # why no password may be sent to the host; empty: it may

    def connect(self) -> Any:
        """Log in to each host on the way, and last to ours; return the connection to that. Raises
        `SshError`."""
        transport = None
        for target in (*self._target.via, self._target):
            try:
                way = self._reach(target, transport)
                transport = self.links.add(paramiko.Transport(way))
                self._log_in(transport, target)
            except SshError:
                raise
            except (
                Exception
            ) as error:  # a peer that talks nonsense makes paramiko raise whatever its parsing hits
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
            raise SshError(
                f"{error.filename}: cannot be read: {error.strerror}", code="host-keys-unreadable"
            ) from error
        _prefer(transport, known_hosts.kinds(entries, target.known_as))
        transport.start_client(timeout=CONNECT_S)
        key = transport.get_remote_server_key()
        host_key = HostKey(key.get_name(), key.asbytes())
        self._verify(target, entries, host_key)
        transport.auth_timeout = CONNECT_S
        is_last = target is self._target
        if is_last and self._access.added.has(target, host_key):
            self.no_secrets = _unseen(target, host_key)
        self._access.credentials.log_in(transport, target, is_last, self.no_secrets)
        transport.set_keepalive(KEEPALIVE_S)

    def _verify(self, target: Target, entries: Sequence[Entry], key: HostKey) -> None:
        revoked = known_hosts.revoked_in(target.revoked_keys, key) if target.revoked_keys else ""
        if revoked:
            raise SshError(
                f"{self._place(target)}: {_revoked(key, revoked)}", code="host-key-revoked"
            )
        found = known_hosts.judge(entries, target.known_as, key)
        if found.trust is Trust.UNKNOWN and target.adds_unknown and target.known_hosts:
            found = self._access.added.add(target, key)
            if found.entry is None:
                self._access.warn(
                    f"{target}: its host key was not known, and is now in {target.known_hosts[0]}: "
                    f"{key}",
                    code="host-key-added",
                )
        if found.trust is not Trust.KNOWN:
            raise SshError(
                f"{self._place(target)}: {_distrust(target, found, key)}", code=_code(found.trust)
            )

    def _error(self, target: Target, error: Exception) -> SshError:
        why, code = _why_not(error), "ssh-unreachable"
        if isinstance(error, paramiko.ChannelException):
            why = (
                f"{self._before(target)} does not lead there: {error.text} (does its sshd allow "
                "it, and reach it?)"
            )
        elif isinstance(error, paramiko.AuthenticationException):
            why, code = f"login refused: {why}", "login-refused"
        elif target.proxy_command:
            why = f"{why}; by `{target.proxy_command}`"
            if self.links.said:
                why = f"{why}, which said: {self.links.said}"
        return SshError(f"{self._place(target)}: {why}. Try: `{target.typed()} true`", code=code)

    def _before(self, target: Target) -> Target:
        way = (*self._target.via, self._target)
        return way[way.index(target) - 1]

    def _place(self, target: Target) -> str:
        """Say which host it was: ours, or one on the way."""
        return (
            str(target)
            if target is self._target
            else f"{target} (on the way to {self._target.name})"
        )


def _why_not(error: Exception) -> str:
    """Say why there is no connection, as the system says it; paramiko's words for a silent server
    mislead."""
    said = (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
    return "no SSH server answers there, though the port is open" if said in SILENCE else said


def _code(trust: Trust) -> str:
    if trust is Trust.REVOKED:
        return "host-key-revoked"
    if trust is Trust.CHANGED:
        return "host-key-changed"
    return "host-key-unknown"


def _distrust(target: Target, found: Judgement, key: HostKey) -> str:
    file = target.known_hosts[0] if target.known_hosts else "known_hosts"
    name = target.known_as[0]
    line = found.entry.where if found.entry else ""
    if found.trust is Trust.REVOKED:
        return _revoked(key, line)
    if found.trust is Trust.CHANGED:
        return (
            f"its host key ({key}) is not the one in {line}: the host was installed again, or "
            "somebody intercepts the connection. Find out which. If the new key is right, run: "
            f"`ssh-keygen -f {shlex.quote(str(file))} -R {shlex.quote(name)} && "
            f"{_add(target, file, key)}`"
        )
    authority = f" ({AUTHORITY} lines are not supported)" if found.has_authority else ""
    return (
        f"its host key is not known{authority} ({key}). Compare it with the host's own, then add "
        f"it: `{_add(target, file, key)}`"
    )


def _revoked(key: HostKey, where: str) -> str:
    return f"its host key ({key}) is revoked in {where}: nobody must log in there"


def _unseen(target: Target, key: HostKey) -> str:
    return (
        f"no password was sent, because this run has added the host key ({key}) and nobody has "
        "compared it. Compare it with the host's own; if it is the same, and is in "
        f"{target.known_hosts[0]}, run the command again"
    )


def _add(target: Target, file: object, key: HostKey) -> str:
    """Return what adds the host key that was seen, and none of another kind; ssh-keyscan knows
    neither hops nor aliases."""
    if target.via or target.proxy_command or target.alias:
        algorithms = ",".join(ALGORITHMS.get(key.kind, (key.kind,)))
        only = f"-o HostKeyAlgorithms={algorithms} -o UpdateHostKeys=no"
        return (
            f"ssh -o StrictHostKeyChecking=accept-new {only} "
            f"{target.typed().removeprefix('ssh ')} true"
        )
    kind = SCANNED.get(key.kind, "ecdsa")
    return f"ssh-keyscan -t {kind} -p {target.port} {target.address} >> {shlex.quote(str(file))}"


def _prefer(transport: Any, known: Sequence[str]) -> None:
    """Have the host show a key of a kind that we know of it."""
    options = transport.get_security_options()
    wanted = [
        name
        for kind in known
        for name in ALGORITHMS.get(kind, (kind,))
        if name in options.key_types
    ]
    options.key_types = tuple(dict.fromkeys((*wanted, *options.key_types)))


def _connected(address: str, port: int) -> socket.socket:
    connection = socket.create_connection((address, port), timeout=CONNECT_S)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # keepalives alone do not notice that nobody acknowledges them
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_S * 1000)
    return connection
