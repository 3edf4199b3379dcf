"""A stand-in for JMXProxy 3.4.0, which is on no package registry: it behaves as measured on the
real one.

It serves one endpoint per host, the broker's on the same address, and gets the values from the
broker's Jolokia. What it does as the real one: it reads every MBean at once and answers from that
snapshot until `cache_duration` is over or the cache is cache_flushed, whether the broker runs or
not; an MBean is found by its exact text in the order of its registration; while a snapshot is taken
other requests wait; a broker that is down, an unknown MBean and an unknown attribute are all 404.
Emptying an endpoint that nobody has asked for yet is 404 too (`ConnectionManager.delHost` in its
source). The JVM's credentials are a form that is posted to the address of a value; where they are
wrong it is 401, with no header that says so (`JMXProxyResource`, `ConnectionManager.getHost`). HTTP
basic auth and TLS are not the real one's but those of something in front of it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PORT = 9090
PREFIX = "jmxproxy"
ENDPOINT = "localhost:9099"
CACHE_DURATION = 300.0  # s
BROKER_TIMEOUT = 60.0  # s; a frozen broker keeps a request waiting for this long
HANG_POLL = 0.1  # s
GARBAGE = {
    "html": b"<html>503 Service Unavailable</html>",
    "null": b"null",
    "string": b'"NaN"',
    "empty": b"",
    "list": b"[]",
}
# a comma that is not inside quotes
BETWEEN_PROPERTIES = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')

Snapshot = Mapping[str, Mapping[str, Any]]
ReadBroker = Callable[[Mapping[str, object], float], dict[str, Any]]


@dataclass(frozen=True)
class Reply:
    """An answer over HTTP."""

    status: int
    body: bytes = b""
    wants_login: bool = False


@dataclass(frozen=True)
class Request:
    """What was asked over HTTP; ``authorization`` and ``form`` are as they came."""

    method: str
    target: str
    authorization: str = ""
    form: str = ""


@dataclass
class Faults:
    """How a stand-in misbehaves; every one can be changed while it runs."""

    refuse_emptying: bool = False  # DELETE is 405, as before JMXProxy 3.4
    pretend_emptying: bool = False  # DELETE is 200 and the cache stays
    stale: bool = False  # the first snapshot stays for ever, whatever is asked
    hang: bool = False  # requests are accepted and never answered
    status: int | None = None  # every request gets this HTTP status
    garbage: str | None = None  # every GET of a value gets this instead: a key of GARBAGE
    reset: bool = False  # the connection is reset instead of answered
    # MBeans have the order of properties of older brokers: name first, then type
    flip_order: bool = False
    first_read_delay: float = 0.0  # s that a snapshot takes longer
    # HTTP basic auth that every request needs: name and password
    login: tuple[str, str] | None = None
    jmx_login: tuple[str, str] | None = None  # credentials that the JVM wants


class JmxProxy(Faults):
    """The stand-in on one host."""

    def __init__(self, address: str, read_broker: ReadBroker) -> None:
        super().__init__()
        self.address = address
        self.cache_duration = CACHE_DURATION
        self.broker_timeout = BROKER_TIMEOUT
        self.override: dict[tuple[str, str], Any] = {}
        self.deletes = 0
        self.snapshots = 0
        self.requests: list[str] = []
        self._read_broker = read_broker
        self._taking = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._taken_at = 0.0
        self._asked = False
        self._server: _Server | None = None
        self.tls: ssl.SSLContext | None = None

    def speak(self, tls: ssl.SSLContext | None) -> None:
        """Serve over TLS from now on, or in plain."""
        if tls is not self.tls:
            self.stop()
            self.tls = tls
            self.start()

    def start(self) -> None:
        """Serve, in threads of this process, unless it does already."""
        if self._server is None:
            self._server = _Server(self)
            threading.Thread(
                target=self._server.serve_forever, args=(0.05,), name="jmxproxy", daemon=True
            ).start()

    def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            server, self._server = self._server, None
            server.shutdown()
            server.server_close()
            server.close_connections()

    def reset_faults(self) -> None:
        """Behave well again, in plain, with an empty cache, and count from zero."""
        self.speak(None)
        vars(self).update(vars(Faults()))
        self.cache_duration = CACHE_DURATION
        self.broker_timeout = BROKER_TIMEOUT
        self.override = {}
        self.empty_cache()
        self._asked = False
        self.deletes = self.snapshots = 0
        self.requests = []

    def empty_cache(self) -> None:
        """Forget the snapshot, as a DELETE does."""
        self._snapshot = None

    def answer(self, request: Request) -> Reply:
        """Answer a request: the whole of the protocol."""
        method, target = request.method, request.target
        self.requests.append(f"{method} {target}")
        if self.login is not None and request.authorization != _basic(*self.login):
            return Reply(HTTPStatus.UNAUTHORIZED, wants_login=True)
        if self.status is not None:
            return Reply(
                self.status, _encode({"code": self.status, "message": f"HTTP {self.status}"})
            )
        url = urlsplit(target)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        if parts[0] != PREFIX:
            return Reply(HTTPStatus.NOT_FOUND)
        if method == "DELETE":
            return self._delete(parts[1:])
        if parts[1:] == ["config"]:
            return Reply(HTTPStatus.OK, _encode(self._config()))
        if self.jmx_login is not None and parse_qs(request.form) != _form(*self.jmx_login):
            return Reply(
                HTTPStatus.UNAUTHORIZED, _encode({"code": 401, "message": "HTTP 401 Unauthorized"})
            )
        if self.garbage is not None:
            return Reply(HTTPStatus.OK, GARBAGE[self.garbage])
        return self._get(parts[1:], parse_qs(url.query).get("full") == ["true"])

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait for as long as the fault `hang` is on."""
        while self.hang and self._server is not None:
            time.sleep(HANG_POLL)
        yield

    def _config(self) -> dict[str, object]:
        milliseconds = int(self.cache_duration * 1000)
        return {
            "clean_interval": 60000,
            "cache_duration": milliseconds,
            "access_duration": 1800000,
            "connect_timeout": 5000,
            "history_size": 1,
            "allowed_endpoints": [],
        }

    def _delete(self, parts: list[str]) -> Reply:
        self.deletes += 1
        if self.refuse_emptying or len(parts) != 1:
            return Reply(HTTPStatus.METHOD_NOT_ALLOWED)
        if parts != [ENDPOINT] or not self._asked:
            return Reply(HTTPStatus.NOT_FOUND)
        if not self.pretend_emptying and not self.stale:
            self.empty_cache()
        return Reply(HTTPStatus.OK, b"true")

    def _get(self, parts: list[str], full: bool) -> Reply:
        if not parts:
            return Reply(HTTPStatus.OK, _encode([ENDPOINT] if self._asked else []))
        snapshot = self._current() if parts[0] == ENDPOINT else None
        if snapshot is None:
            return Reply(HTTPStatus.NOT_FOUND)
        found: Any = self._ordered(snapshot)
        for part in parts[1:]:
            if not isinstance(found, dict) or part not in found or len(parts) > 3:
                return Reply(HTTPStatus.NOT_FOUND)
            found = found[part]
        return Reply(HTTPStatus.OK, _encode(found if full or len(parts) == 3 else sorted(found)))

    def _current(self) -> Snapshot | None:
        """Return the cached snapshot, or take one; None when the broker does not answer."""
        with self._taking:
            self._asked = True
            expired = time.monotonic() - self._taken_at >= self.cache_duration and not self.stale
            if self._snapshot is None or expired:
                self._snapshot = self._take()
            return self._snapshot

    def _take(self) -> Snapshot | None:
        time.sleep(self.first_read_delay)
        request = {
            "type": "read",
            "mbean": "*:*",
            "config": {"canonicalNaming": "false", "ignoreErrors": "true"},
        }
        try:
            snapshot: Snapshot | None = self._read_broker(request, self.broker_timeout).get("value")
        except (OSError, ValueError):
            return None
        self.snapshots += 1
        self._taken_at = time.monotonic()
        return snapshot

    def _ordered(self, snapshot: Snapshot) -> dict[str, dict[str, Any]]:
        """Return the values as they are told: with the lies, and under the names that the broker's
        age gives them."""
        told = {mbean: dict(values) for mbean, values in snapshot.items()}
        for (mbean, attribute), value in self.override.items():
            told.setdefault(mbean, {})[attribute] = value
        return (
            {_flipped(mbean): values for mbean, values in told.items()} if self.flip_order else told
        )


class OneProxy:
    """One proxy for many hosts, for as long as its `with` block: it hands each endpoint to the
    stand-in of its host."""

    def __init__(self, hosts: Sequence[Any]) -> None:
        stand_ins: dict[str, JmxProxy] = {host.address: host.jmxproxy for host in hosts}

        class Handler(_Handler):
            def answer(self, request: Request) -> Reply:
                address = next((one for one in stand_ins if f"/{one}:" in request.target), None)
                if address is None:
                    return Reply(HTTPStatus.NOT_FOUND)
                return stand_ins[address].answer(
                    replace(request, target=request.target.replace(address, "localhost"))
                )

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host, self.port = "127.0.0.1", self._server.server_port

    def __enter__(self) -> OneProxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """The port of a stand-in; it knows its connections, to be able to end them."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, proxy: JmxProxy) -> None:
        self.proxy = proxy
        self._connections: set[socket.socket] = set()
        super().__init__((proxy.address, PORT), _Handler)
        if proxy.tls is not None:
            self.socket = proxy.tls.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that was killed in the middle of a request, as the tests do."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().close_request(request)

    def close_connections(self) -> None:
        """End every connection that is open."""
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it ended by itself


class _Handler(BaseHTTPRequestHandler):
    """One connection to a stand-in."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # the whole answer in one packet
    server: _Server

    def do_GET(self) -> None:
        """Answer a GET."""
        self._answer()

    def do_POST(self) -> None:
        """Answer a POST, as a GET with a form."""
        self._answer()

    def do_DELETE(self) -> None:
        """Answer a DELETE."""
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""

    def _answer(self) -> None:
        reply = self.answer(self._request())
        if reply is None:
            self._reset()
            return
        try:
            self._send(reply)
        except OSError:
            self.close_connection = True  # the client gave up

    def answer(self, request: Request) -> Reply | None:
        """Return what is answered, or None where the connection is reset instead."""
        proxy = self.server.proxy
        with proxy.waiting():
            return None if proxy.reset else proxy.answer(request)

    def _request(self) -> Request:
        form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        return Request(self.command, self.path, self.headers.get("Authorization", ""), form)

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply.body)))
        if reply.wants_login:
            self.send_header("WWW-Authenticate", 'Basic realm="lab"')
        self.end_headers()
        self.wfile.write(reply.body)
        self.wfile.flush()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.close_connection = True


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _form(user: str, password: str) -> dict[str, list[str]]:
    return {"username": [user], "password": [password]}


def _encode(value: object) -> bytes:
    return json.dumps(value).encode()


def _flipped(mbean: str) -> str:
    """Reverse the properties of a Kafka MBean."""
    domain, _, properties = mbean.partition(":")
    if not domain.startswith("kafka."):
        return mbean
    return f"{domain}:{','.join(reversed(BETWEEN_PROPERTIES.split(properties)))}"
