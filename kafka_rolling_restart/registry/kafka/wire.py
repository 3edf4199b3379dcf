"""The way to one node: name lookup, connection, TLS and frames of bytes, on an event loop of our
own, with one deadline.

It runs on a thread beside the caller's. A signal would otherwise come in the middle of a callback
of asyncio, which keeps every exception to itself.
"""

import asyncio
import errno
import logging
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from kafka_rolling_restart.parallel import NotInTime, call_in_thread
from kafka_rolling_restart.registry.kafka.answers import Address
from kafka_rolling_restart.settings.tls import Tls
from kafka_rolling_restart.text import said

LOG = logging.getLogger(__name__)
MIB = 2**20
PIECE = MIB  # bytes that are kept of what was received and not read yet
LENGTH = 4  # bytes before each frame, which say how long it is
TEXT = 0x20000000  # bytes; text of another protocol would be a longer frame than that
GRACE_S = 2.0  # for what the loop does after a deadline
HUNG_UP = "connection broken"  # one of those that TLS explains
Value = TypeVar("Value")
Found = list[tuple[Any, ...]]


class WireError(Exception):
    """Why a node could not be asked, in plain words. ``refused``: nobody listens at its
    address."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


class Stage:
    """What is being waited for, so that a deadline can say it."""

    def __init__(self) -> None:
        self.now = ""

    def late(self, timeout: float) -> WireError:
        """Return the error of a deadline that is over now."""
        return WireError(f"{self.now} within {timeout:g} s")


class Wire:
    """A connection to one node. Everything raises `WireError`."""

    def __init__(
        self,
        address: Address,
        tls: Tls | None,
        stage: Stage,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.address = address
        self._tls = tls
        self._stage = stage
        self._reader, self._writer = streams
        self._answers = 0

    async def ask(self, request: bytes, limit: int) -> bytes:
        """Send a frame, and return the frame that answers it, of at most ``limit`` bytes."""
        self._stage.now = "no answer"
        if not self._answers:
            self._stage.now = "it accepts connections, and gives no answer"
        try:
            self._writer.write(struct.pack(">i", len(request)) + request)
            head = await self._reader.readexactly(LENGTH)
            size = self._checked(head, limit)
            self._stage.now = "its answer was not complete"
            answer = await self._exactly(size)
        except asyncio.IncompleteReadError as error:
            raise WireError(self._hung_up()) from error
        except OSError as error:
            raise WireError(self._explained(error)) from error
        self._answers += 1
        return answer

    def close(self) -> None:
        """Let go of the connection at once."""
        self._writer.transport.abort()

    def _checked(self, head: bytes, limit: int) -> int:
        size: int = struct.unpack(">i", head)[0]
        if 0 <= size <= limit:
            return size
        if head.startswith(b"HTTP"):
            raise WireError("an HTTP server answers there, not Kafka: is the port right?")
        if head[0] in (0x15, 0x16) and head[1] == 3:
            raise WireError("it speaks TLS on this port: set security.protocol to SSL or SASL_SSL")
        if limit < size < TEXT:
            raise WireError(f"an answer of {size} bytes is announced, and {limit} is the limit")
        raise WireError("what answers there does not speak Kafka's protocol: is the port right?")

    async def _exactly(self, size: int) -> bytes:
        """Return so many bytes, and never set memory aside for what has not come yet."""
        received = bytearray()
        while len(received) < size:
            piece = await self._reader.read(min(PIECE, size - len(received)))
            if not piece:
                raise asyncio.IncompleteReadError(b"", size)
            received += piece
        return bytes(received)

    def _hung_up(self) -> str:
        """Say what a peer that hung up may have wanted: a login, once it has answered before."""
        if self._answers:
            return "it hung up without an answer: does it want a login (security.protocol)?"
        if self._tls is None:
            return "it hung up without an answer: does it want TLS (security.protocol)?"
        return f"TLS: {self._tls.explain(HUNG_UP)}"

    def _explained(self, error: OSError) -> str:
        if isinstance(error, ConnectionResetError | BrokenPipeError):
            return self._hung_up()
        if self._tls is not None:
            return f"TLS: {self._tls.explain(_words(error))}"
        return _words(error)


async def connect(address: Address, tls: Tls | None, stage: Stage, timeout: float) -> Wire:
    """Connect to a node, and shake hands over TLS. Raises `WireError`.

    ``timeout`` (s) is what all of it may take; it is shared between the addresses of a name, so
    that one that is silent does not hide the next.
    """
    host, port = address
    stage.now = f"the name {host} could not be looked up"
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise WireError(f"{_words(error)}: is the name {said(host)} right?") from error
    stage.now = "no connection"
    plain = await _connect_to_any(found, timeout)
    try:
        streams = await _streams(plain, host, tls, stage)
    except OSError as error:
        plain.close()
        why = _words(error) if tls is None else f"TLS: {tls.explain(_words(error))}"
        raise WireError(why) from error
    except BaseException:
        plain.close()
        raise
    return Wire(address, tls, stage, streams)


async def _streams(
    plain: socket.socket, host: str, tls: Tls | None, stage: Stage
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if tls is None:
        return await asyncio.open_connection(sock=plain, limit=PIECE)
    stage.now = "no answer to our TLS handshake"
    return await asyncio.open_connection(
        sock=plain, ssl=tls.context, server_hostname=host, limit=PIECE
    )


async def _connect_to_any(found: Found, timeout: float) -> socket.socket:
    """Return a connection to the first address that accepts one. Raises `WireError`."""
    share = timeout / max(len(found), 1)
    errors: list[WireError] = []
    for family, kind, protocol, _, address in found:
        plain = _socket(family, kind, protocol)
        try:
            await _connect_within(share, plain, address)
        except WireError as error:
            plain.close()
            errors.append(error)
        except BaseException:
            plain.close()
            raise
        else:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return plain
    reasons = dict.fromkeys(str(error) for error in errors)
    refused = bool(errors) and all(error.refused for error in errors)
    raise WireError("; ".join(reasons) or "the name has no address", refused=refused)


async def _connect_within(share: float, plain: socket.socket, address: Any) -> None:
    connecting = asyncio.get_running_loop().sock_connect(plain, address)
    try:
        await asyncio.wait_for(connecting, share)
    # first, because it is an OSError as well from Python 3.11 on
    except asyncio.TimeoutError as error:
        raise WireError(f"no connection within {share:g} s") from error
    except (OSError, OverflowError) as error:  # the latter for a port that is none
        refused = isinstance(error, ConnectionRefusedError)
        raise WireError(_words(error), refused=refused) from error


def _socket(family: int, kind: int, protocol: int) -> socket.socket:
    try:
        plain = socket.socket(family, kind, protocol)
    except OSError as error:
        raise WireError(_words(error)) from error
    plain.setblocking(False)
    return plain


def _words(error: Exception) -> str:
    """Return what an error of the system says, without numbers and addresses."""
    if isinstance(error, ssl.SSLError):
        return said(str(error))
    number = getattr(error, "errno", None)
    if isinstance(error, ConnectionResetError):  # asyncio's own has no number
        number = errno.ECONNRESET
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror) and number:
        return errno_words(number)
    return said(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def errno_words(number: int) -> str:
    """Return what the system says of one of its errors, such as ``Connection refused``."""
    return os.strerror(number)


async def within(timeout: float, stage: Stage, question: Coroutine[Any, Any, Value]) -> Value:
    """Wait for a question to be answered. Raises `WireError` after ``timeout`` s."""
    try:
        return await asyncio.wait_for(question, timeout)
    except asyncio.TimeoutError as error:
        raise stage.late(timeout) from error


def run(make: Callable[[], Coroutine[Any, Any, Value]], limit: float) -> Value:
    """Run what ``make`` returns on an event loop, for at most ``limit`` s and a short grace.

    Raises what that raises, and `WireError` where even the loop did not end in time, or where the
    system has no more threads or files.
    """
    started = threading.Event()

    def work() -> Value:
        started.set()
        return _run(make())

    try:
        return call_in_thread(work, limit + GRACE_S)
    except NotInTime as error:
        raise WireError(f"no answer within {limit:g} s") from error
    except RuntimeError as error:
        if started.is_set():
            raise
        raise WireError(f"the system gives us no more threads ({said(str(error))})") from error
    except OSError as error:
        raise WireError(_words(error)) from error


def _run(question: Coroutine[Any, Any, Value]) -> Value:
    try:
        loop = _Loop()
    except BaseException:
        question.close()
        raise
    loop.set_exception_handler(_note)
    try:
        return loop.run_until_complete(question)
    finally:
        _end(loop)


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left, give connections a turn to close, and close the loop."""
    try:
        loop.run_until_complete(_cancel_all())
    finally:
        loop.close()


async def _cancel_all() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def _note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Take what asyncio would print."""
    LOG.debug("%s: %r", context.get("message"), context.get("exception"))


class _Loop(asyncio.SelectorEventLoop):
    """Looks names up on threads that hold up nobody's end: those of asyncio are waited for when
    the process ends."""

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """Look a name up."""
        answer: asyncio.Future[Any] = self.create_future()

        def give(found: Any, error: BaseException | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(found)
            else:
                answer.set_exception(error)

        def look_up() -> None:
            found: Any = None
            error: BaseException | None = None
            try:
                found = socket.getaddrinfo(host, port, **options)
            except (OSError, UnicodeError) as raised:
                error = raised
            with suppress(RuntimeError):  # the loop may have ended meanwhile
                self.call_soon_threadsafe(give, found, error)

        try:
            threading.Thread(target=look_up, daemon=True).start()
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, "no more threads") from error
        return await answer
