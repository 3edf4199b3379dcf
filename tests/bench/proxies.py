"""A thousand JMXProxies of one process, each on its own address (`python -m tests.bench.proxies
COUNT SILENT`).

Each takes 5 ms for an answer. The last SILENT of them swallow every packet: every other one takes
the connection and says nothing, the rest do not even take it, because their backlog is full. Says
READY once all listen, and ends when its standard input does.
"""

import asyncio
import json
import resource
import socket
import sys
import time
from collections.abc import Sequence
from functools import partial
from urllib.parse import unquote

PORT = 9090
PREFIX = "/jmxproxy/localhost:9099"
ANSWER_S = 0.005
FILES = 8192
VALUES = {
    "java.lang:type=Runtime/StartTime": 1_700_000_000_000,
    "kafka.server:type=KafkaServer,name=BrokerState/Value": 3,
    "kafka.server:type=ReplicaManager,name=UnderReplicatedPartitions/Value": 0,
    "kafka.controller:type=KafkaController,name=OfflinePartitionsCount/Value": 0,
}


def address(number: int) -> str:
    """Return the loopback address of a broker, from 1."""
    return f"127.1.{number // 250}.{number % 250 + 1}"


class Proxy(asyncio.Protocol):
    """One connection to the proxy of a broker."""

    def __init__(self, number: int, answers: bool) -> None:
        self._number = number
        self._answers = answers
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where the answers go."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer a request 5 ms after its end."""
        self._heard += data
        if self._answers and self._heard.endswith(b"\r\n\r\n"):
            method, path, _ = self._heard.decode().split(" ", 2)
            self._heard = b""
            asyncio.get_running_loop().call_later(
                ANSWER_S, self._send, self._body(method, unquote(path))
            )

    def _send(self, body: bytes | None) -> None:
        if isinstance(self._transport, asyncio.WriteTransport) and not self._transport.is_closing():
            self._transport.write(_response(body))

    def _body(self, method: str, path: str) -> bytes | None:
        name = path.removeprefix(PREFIX).lstrip("/")
        if method == "DELETE":
            return b"true"
        if name == "java.lang:type=Runtime/Uptime":
            return json.dumps(round(time.monotonic() * 1000)).encode()
        if name == "java.lang:type=Runtime/Name":
            return json.dumps(f"{self._number}@host").encode()
        if name == "kafka.controller:type=KafkaController,name=ActiveControllerCount/Value":
            return json.dumps(int(self._number == 1)).encode()
        return json.dumps(VALUES[name]).encode() if name in VALUES else None


def _response(body: bytes | None) -> bytes:
    status, body = ("200 OK", body) if body is not None else ("404 Not Found", b"")
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: "
        f"{len(body)}\r\n\r\n".encode()
        + body
    )


def _full(number: int) -> list[socket.socket]:
    """Listen without ever taking a connection, and fill what the system takes by itself."""
    listener = socket.socket()
    listener.bind((address(number), PORT))
    listener.listen(0)
    fillers = [socket.socket() for _ in range(3)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex((address(number), PORT))
    return [listener, *fillers]


async def serve(count: int, silent: int) -> None:
    """Serve until standard input ends."""
    loop, kept = asyncio.get_running_loop(), []
    for number in range(1, count + 1):
        is_silent = number > count - silent
        if is_silent and number % 2:
            kept += _full(number)
        else:
            await loop.create_server(
                partial(Proxy, number, not is_silent), address(number), PORT, backlog=128
            )
    print("READY", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def main(arguments: Sequence[str]) -> None:
    """Raise our own limit of files: it is the measured process that has few."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES if hard < 0 else min(FILES, hard), hard))
    asyncio.run(serve(int(arguments[0]), int(arguments[1])))


if __name__ == "__main__":
    main(sys.argv[1:])
