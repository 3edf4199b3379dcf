"""The HTTP sessions that metrics are read over: no answer is long, slow, compressed or led
elsewhere.

requests bounds each wait for bytes and not a whole answer, and reads the body of a redirect that it
does not follow; older versions of urllib3 read the length of a chunk as one line without a bound.
So what comes off the socket is counted and timed here, below both. Only this module and `jmxproxy`
know requests.
"""

import errno
import http.client
import io
import socket
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from kafka_rolling_restart.settings.tls import Tls

MAX_ANSWER = 256 * 1024  # bytes of one answer, its headers included


def open_session(tls: Tls | None = None) -> requests.Session:
    """Return a session that uses nothing of the environment, and ``tls`` for https."""
    session = _Session()
    # a proxy of the environment would be one more cache to lie to us, and see the passwords
    session.trust_env = False
    adapter = _Adapter(tls)
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow none; asked what it would follow, requests would read the whole body."""


class _Metered(io.RawIOBase):
    """What comes off a socket for one answer: at most `MAX_ANSWER` bytes, and all within the
    socket's timeout."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._sock = sock
        self._raw: Any = sock.makefile("rb", buffering=0)
        self._left = MAX_ANSWER
        self._deadline = time.monotonic() + (sock.gettimeout() or 0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(seconds)
        count = int(self._raw.readinto(buffer) or 0)
        self._left -= count
        if self._left < 0:
            raise OSError(errno.EMSGSIZE, f"it sends more than {MAX_ANSWER} bytes for one value")
        return count

    def close(self) -> None:
        super().close()
        self._raw.close()


class _Meter:
    """Stands for a socket where http.client makes a file of it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, *_mode: object) -> io.BufferedReader:
        return io.BufferedReader(_Metered(self._sock))


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        meter: Any = _Meter(sock)
        super().__init__(meter, *args, **options)


class _Http(HTTPConnection):
    response_class = _Response


class _Https(HTTPSConnection):
    response_class = _Response


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class _Adapter(HTTPAdapter):
    def __init__(self, tls: Tls | None) -> None:
        self._tls = tls
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(
            *args, **options, ssl_context=self._tls.context if self._tls else None
        )
        manager: Any = self.poolmanager
        manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def cert_verify(self, *_args: Any, **_options: Any) -> None:
        """Add no authorities to those of ``tls``, as requests would its own list."""
