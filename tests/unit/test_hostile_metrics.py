"""What someone can do who controls a broker's metrics: real sockets, and a server that says what
they please."""

import gzip
import json
import re
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kafka_rolling_restart.clock import SystemClock
from kafka_rolling_restart.metrics.http import MAX_ANSWER
from kafka_rolling_restart.metrics.jmxproxy import JmxProxy
from kafka_rolling_restart.model.broker import Sample
from kafka_rolling_restart.settings.access import Login, MetricsAccess
from kafka_rolling_restart.settings.secret import Secret
from kafka_rolling_restart.text import MAX_SAID
from tests.sockets import listening

TIMEOUT = 0.5  # s
SHORT = 0.25  # s; for what is to take longer
MEMORY = 8 * 1024 * 1024  # bytes
ACCESS = MetricsAccess(0, "jmxproxy/localhost:9099", TIMEOUT)
WITH_PASSWORDS = replace(
    ACCESS,
    login=Login("--jmxproxy-user", "me", Secret("hunter2")),
    jmx_login=Login("--jmx-user", "jvm", Secret("hunter3")),
)
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(b"1" * 1_000_000) * 100

Answer = Callable[[socket.socket], None]


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[int, list[bytes]]]:
    """Serve every connection with an answer; yield the port and what was asked."""
    asked: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while request := whole_request(connection):
                asked.append(request)
                answer(connection)

    with listening(serve) as port:
        yield port, asked


def whole_request(connection: socket.socket) -> bytes:
    """Return one request with its body, which may come in a packet of its own; nothing where there
    are no more."""
    data = b""
    while b"\r\n\r\n" not in data and (piece := connection.recv(65536)):
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length and len(body) < int(length[1]) and (piece := connection.recv(65536)):
        body += piece
    return head + b"\r\n\r\n" + body if data else b""


def read(port: int, access: MetricsAccess = ACCESS) -> Sample:
    return JmxProxy("127.0.0.1", replace(access, port=port), SystemClock()).read()


def sending(data: bytes) -> Answer:
    return lambda connection: connection.sendall(data)


def repeating(start: bytes, piece: bytes, pause: float = 0.0) -> Answer:
    """Send a start, and then a piece again and again until the other side hangs up."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)
            time.sleep(pause)

    return answer


def whole(body: bytes, headers: bytes = b"") -> Answer:
    return sending(OK + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def late(data: Answer) -> Answer:
    def answer(connection: socket.socket) -> None:
        time.sleep(0.6 * SHORT)
        data(connection)

    return answer


MIB = b"1" * 2**20
SLOW = f"within {SHORT:g} s"
LONG = " bytes for one value"
HOSTILE: dict[str, tuple[Answer, str]] = {
    "1 GiB": (repeating(OK + b"Content-Length: 1073741824\r\n\r\n", MIB), LONG),
    "1 GiB with a redirect": (
        repeating(
            b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n"
            b"Content-Length: 1073741824\r\n\r\n",
            MIB,
        ),
        LONG,
    ),
    "no end": (repeating(OK + b"\r\n", MIB), LONG),
    "a byte a time": (repeating(OK + b"Content-Length: 100\r\n\r\n", b"1", 0.1), SLOW),
    "a byte of a header a time": (repeating(OK + b"X: ", b"1", 0.1), SLOW),
    "a byte of the status a time": (repeating(b"", b"H", 0.1), SLOW),
    "each answer just in time": (late(whole(b"1")), SLOW),
    "headers without end": (repeating(OK, b"X: 1\r\n"), "got more than 100 headers"),
    "a header without end": (repeating(OK + b"X: ", MIB), "got more than 65536 bytes"),
    "a status without end": (repeating(b"HTTP/1.1 200 ", MIB), "got more than 65536 bytes"),
    "interim answers without end": (repeating(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 5000), LONG),
    "chunks without end": (repeating(CHUNKED, b"400\r\n" + b"1" * 1024 + b"\r\n"), LONG),
    "chunks that drip": (repeating(CHUNKED, b"1\r\n1\r\n", 0.1), SLOW),
    "the length of a chunk without end": (repeating(CHUNKED, b"0" * 2**20), ""),
    "trailers without end": (repeating(CHUNKED + b"0\r\n", b"X: 1\r\n" * 5000), LONG),
    "a chunk of no length": (sending(CHUNKED + b"x\r\n1\r\n"), "invalid literal"),
    "a bomb": (whole(BOMB, b"Content-Encoding: gzip\r\n"), "sends a compressed answer ('gzip')"),
    "a bomb in bombs": (
        whole(BOMB, b"Content-Encoding: gzip, gzip, gzip\r\n"),
        "sends a compressed answer",
    ),
    "a length that is too much": (sending(OK + b"Content-Length: 9\r\n\r\n1"), SLOW),
    "a length that is none": (sending(OK + b"Content-Length: -1,5\r\n\r\n1"), "5"),
    "nesting 100,000 deep": (whole(b"[" * 100_000 + b"]" * 100_000), LONG),
    "nesting 30,000 deep": (whole(b"[" * 30_000 + b"]" * 30_000), "not JSON"),
    "a number of 60,000 digits": (whole(b"9" * 60_000), ""),
    "terminal escapes": (whole(b'"\x1b]0;pwned\x07\x1b[2J"'), "not JSON: '\"\\x1b]0;pwned"),
    "terminal escapes in JSON": (
        whole(rb'"\u001b[2J"'),
        r""" says "\u001b[2J" for java.lang:type=Runtime/Uptime, which is not a whole number""",
    ),
    "a status with escapes": (sending(b"HTTP/1.1 \x1b[2J OK\r\n\r\n"), ""),
    "not HTTP": (sending(b"SSH-2.0-OpenSSH_9.2\r\n"), ""),
    "terminal escapes that are not HTTP": (
        sending(b"\x1b[2J\x1b]52;c;aGk=\x07all healthy\r\n"),
        "?[2J?]52;c;aGk=?all",
    ),
    "much that is not HTTP": (sending(b"\x1b[2J" * 5000 + b"\r\n"), "?[2J?[2J"),
}


@pytest.fixture(scope="module")
def warm() -> None:
    """Load what the libraries load with the first answer, which is no part of what is measured."""
    with serving(whole(b"1")) as (port, _):
        read(port)


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("what", HOSTILE)
def test_whatever_the_endpoint_sends_ends_in_time_and_in_bounded_memory_with_a_reason(
    what: str,
) -> None:
    answer, reason = HOSTILE[what]
    timeout = SHORT if reason == SLOW else 20  # what does not take too long ends by something else
    with serving(answer) as (port, _):
        tracemalloc.start()
        began = time.monotonic()
        found = read(port, replace(ACCESS, timeout=timeout))
        took = time.monotonic() - began
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert found.metrics is None and not found.silent
    assert found.reason and reason in found.reason, found.reason
    assert found.reason.isprintable() and len(found.reason) <= MAX_SAID
    assert took < TIMEOUT + 2 and most < MEMORY


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_no_password_goes_there(status: int) -> None:
    with serving(whole(b"1")) as (elsewhere, asked_elsewhere):
        there = f"http://127.0.0.2:{elsewhere}/jmxproxy".encode()
        redirect = b"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (
            status,
            there,
        )
        with serving(sending(redirect)) as (port, asked):
            found = read(port, WITH_PASSWORDS)
    assert (
        f"with HTTP status {status}: it redirects to '127.0.0.2', which is not followed"
        in found.reason
    )
    assert asked and asked_elsewhere == []


def test_a_redirect_to_nowhere_with_escapes_is_said_without_them() -> None:
    with serving(
        sending(b"HTTP/1.1 302 Moved\r\nLocation: \x1b[2J//[\r\nContent-Length: 0\r\n\r\n")
    ) as (port, _):
        found = read(port)
    assert "redirects to" in found.reason and "\x1b" not in found.reason


def test_nothing_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    netrc = f"{tmp_path}/netrc"
    with open(netrc, "w") as file:
        file.write("default login me password hunter2\n")
    monkeypatch.setenv("NETRC", netrc)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", netrc)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with serving(whole(b"1")) as (port, asked):
        found = read(port)
    assert found.metrics is not None
    assert b"Authorization" not in b"".join(asked)


def test_passwords_are_in_no_reason_that_the_endpoint_can_provoke() -> None:
    def echo(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 500 hunter2\r\nContent-Length: 7\r\n\r\nhunter2")

    with serving(echo) as (port, asked):
        found = read(port, WITH_PASSWORDS)
    assert "hunter" not in f"{found}"
    assert b"Basic bWU6aHVudGVyMg==" in b"".join(
        asked
    ) and b"username=jvm&password=hunter3" in b"".join(asked)


def test_a_long_value_within_the_limit_of_an_answer_is_still_no_value() -> None:
    with serving(whole(json.dumps("x" * (MAX_ANSWER // 2)).encode())) as (port, _):
        assert LONG in read(port).reason


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", OK, CHUNKED, OK + b"Content-Length: 5\r\n\r\n", b"HTTP/1.1 "]),
)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_nothing_that_is_sent_raises(noise: bytes, start: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(start + noise)
        connection.shutdown(socket.SHUT_WR)

    with serving(answer) as (port, _):
        found = read(port)
    assert found.metrics is None and found.reason
