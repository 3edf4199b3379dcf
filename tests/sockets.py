"""A server on real sockets, which does with each connection what a test wants."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def listening(
    serve: Callable[[socket.socket], None], host: str = "127.0.0.1", port: int = 0
) -> Iterator[int]:
    """Hand each connection to ``serve``, on a thread of its own; yield the port."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server((host, port)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
