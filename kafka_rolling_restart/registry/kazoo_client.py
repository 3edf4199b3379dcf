"""A client of ZooKeeper as the options want it, and why it has no connection. Only this and
`zookeeper` know kazoo.

kazoo 2.11 retries for ever where a server hangs up and says why only in its logging; where a login
fails it gives up for good, the whole client, even if the server was just about to end; and it reads
answers of any length.
"""

import errno
import logging
import socket
import ssl
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from kazoo.client import KazooClient
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.security import READ_ACL_UNSAFE, make_acl

from kafka_rolling_restart.settings.access import SASL, ZooKeeperAccess
from kafka_rolling_restart.settings.tls import Tls
from kafka_rolling_restart.text import said

# by default kazoo soon waits for minutes between its tries
RETRY = {
    "max_tries": -1,
    "delay": 0.1,
    "max_delay": 1.0,
}
# bytes; ZooKeeper's own limit is 1 MiB unless jute.maxbuffer says otherwise
MAX_ANSWER = 16 * 2**20
PIECE = 64 * 1024  # bytes
LOGIN_FAILED = "AUTH_FAILED"
TELLING = ("Connection dropped: ", "Connection time-out", "Cannot resolve", LOGIN_FAILED)
SOCKET = "socket connection error: "

if TYPE_CHECKING:
    Adapter = logging.LoggerAdapter[logging.Logger]
else:
    Adapter = logging.LoggerAdapter


class Listener(Adapter):
    """Hears in kazoo's logging why the last connection ended, and passes all of it on."""

    def __init__(self) -> None:
        super().__init__(logging.getLogger("kazoo.client"), {})
        self.heard = ""

    def log(self, level: int, msg: object, *args: Any, **options: Any) -> None:
        """Take a record."""
        if level >= logging.WARNING and str(msg).startswith(TELLING):
            self.heard = str(msg) % args
        super().log(level, msg, *args, **options)

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Add nothing to a record."""
        return msg, kwargs

    @property
    def login_failed(self) -> bool:
        """Tell whether the server refused our login."""
        return self.heard.startswith(LOGIN_FAILED)

    def why(self, tls: Tls | None) -> str:
        """Tell in plain words why the last connection ended, or nothing."""
        found = said(self.heard.removeprefix("Connection dropped: ").removeprefix(SOCKET))
        if tls is not None:
            return tls.explain(found)
        return (
            f"{found}: does it want TLS (--zookeeper-tls)?"
            if found == "socket connection broken"
            else found
        )


def make_client(
    hosts: str,
    access: ZooKeeperAccess,
    listener: Listener,
    session: tuple[int, bytes] | None = None,
) -> Any:
    """Return a client that is not connected yet, to go on with a session if there is one.

    Raises `ValueError` for hosts that are none.
    """
    options: dict[str, Any] = {
        "hosts": hosts,
        "connection_retry": RETRY,
        "logger": listener,
        "client_id": session,
    }
    options |= {"use_ssl": access.tls is not None, "handler": _Handler(access.tls)}
    if access.login is not None:
        # Others see who holds the lock, and only who has our login can take it away.
        options |= {"default_acl": [make_acl("auth", "", all=True), *READ_ACL_UNSAFE]}
        user, password = access.login.user, access.login.password.reveal()
        if access.scheme == SASL:
            options["sasl_options"] = {
                "mechanism": "DIGEST-MD5",
                "username": user,
                "password": password,
            }
        else:
            options["auth_data"] = [("digest", f"{user}:{password}")]
    return KazooClient(**options)


def _bounded(size: int) -> int:
    """Return how much to read of an answer of which ``size`` bytes are to come. Raises `OSError`
    for one too long."""
    if size > MAX_ANSWER:
        raise OSError(
            errno.EMSGSIZE, f"an answer of {size} bytes is announced, and {MAX_ANSWER} is the limit"
        )
    return min(size, PIECE)


class _Socket(socket.socket):
    def recv(self, size: int, flags: int = 0) -> bytes:
        return super().recv(_bounded(size), flags)


class _TlsSocket(ssl.SSLSocket):
    def recv(self, size: int = PIECE, flags: int = 0) -> bytes:
        return super().recv(_bounded(size), flags)


class _Handler(SequentialThreadingHandler):  # type: ignore[misc,unused-ignore]
    """Makes the connections: over TLS with our context, because kazoo's own adds authorities and
    checks no names."""

    def __init__(self, tls: Tls | None) -> None:
        super().__init__()
        self._context = None if tls is None else tls.context
        if self._context is not None:
            self._context.sslsocket_class = _TlsSocket

    def create_connection(
        self,
        address: tuple[str, int],
        hostname: str = "",
        timeout: float | None = None,
        **_others: object,
    ) -> socket.socket:
        """Connect, and over TLS shake hands with the host that ``hostname`` names."""
        plain = super().create_connection(address, timeout)
        if self._context is not None:
            return self._context.wrap_socket(plain, server_hostname=hostname)
        return _Socket(fileno=plain.detach())
