"""Writing without ever being waited for: a stopped terminal, a full disk or a dead mount cannot hold up a restart."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Protocol

STDOUT, STDERR = 1, 2
GOODBYE_S = 2.0
BUSY_S = 0.05


class Sink(Protocol):
    """Where things are written to; only the writer's thread calls it."""

    @property
    def tick_s(self) -> float | None:
        """How often (s) it is idle at least; None: not before there is something new."""

    def take(self, item: Any) -> None: ...

    def idle(self) -> None: ...


class Writer:
    """Hand things to a sink on a daemon thread, in order, and tell it when there are no more for the moment.

    `put` is safe within a signal handler. What the sink raises costs what it was given, and nothing else.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._queue: SimpleQueue[Any] = SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def put(self, item: Any) -> None:
        """Hand over what is to be written."""
        self._queue.put(item)

    def drain(self, seconds: float = GOODBYE_S) -> bool:
        """Wait until all was written, but not longer than ``seconds``; return whether it was."""
        written = threading.Event()
        self._queue.put(written)
        return written.wait(seconds)

    def leftovers(self) -> list[Any]:
        """Return, and forget, what has not been written yet."""
        found: list[Any] = []
        with suppress(Empty):
            while True:
                found.append(self._queue.get_nowait())
        return [item for item in found if not isinstance(item, threading.Event)]

    def _work(self) -> None:
        while True:
            item = self._next()
            if isinstance(item, threading.Event):
                self._call(self._sink.idle)
                item.set()
            else:
                self._call(partial(self._sink.take, item))

    def _next(self) -> Any:
        while True:
            with suppress(Empty):
                return self._queue.get_nowait()
            self._call(self._sink.idle)
            with suppress(Empty):
                return self._queue.get(timeout=self._sink.tick_s)

    @staticmethod
    def _call(call: Callable[[], None]) -> None:
        with suppress(Exception):  # what cannot be shown or written is lost: the restart goes on
            call()


def write(descriptor: int, text: str) -> None:
    """Write all of a text, unbuffered; what cannot be written (closed pipe, full disk) is lost silently."""
    data = text.encode("utf-8", "replace")
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            threading.Event().wait(BUSY_S)
        except OSError:
            return
