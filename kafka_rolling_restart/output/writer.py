"""Writing without ever being waited for: a stopped terminal, a full disk or a dead mount cannot
hold up a restart."""

import os
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from kafka_rolling_restart.text import describe

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
    """Hand things to a sink on a daemon thread, in order, and tell it when there are no more for
    the moment.

    `put` is safe within a signal handler. A sink that raises is replaced by the ``spare`` one, if
    there is one; a spare that raises loses what it was given, and nothing else.
    """

    def __init__(self, sink: Sink, spare: Sink | None = None) -> None:
        self._sink = sink
        self._spare = spare
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
                self._be_idle()
                item.set()
            else:
                self._take(item)

    def _next(self) -> Any:
        while True:
            with suppress(Empty):
                return self._queue.get_nowait()
            self._be_idle()
            with suppress(Empty):
                return self._queue.get(timeout=self._sink.tick_s)

    def _take(self, item: Any) -> None:
        try:
            self._sink.take(item)
        except Exception as error:  # what cannot be shown does not end a restart
            if self._fall_back(error):
                self._take(item)

    def _be_idle(self) -> None:
        try:
            self._sink.idle()
        except Exception as error:  # as above
            self._fall_back(error)

    def _fall_back(self, error: Exception) -> bool:
        if self._spare is None:
            return False
        self._sink, self._spare = self._spare, None
        write(
            STDERR,
            f"\nthe view of the run failed ({describe(error)}); the run goes on, in plain lines\n",
        )
        return True


def write(descriptor: int, text: str) -> None:
    """Write all of a text, unbuffered; what cannot be written (closed pipe, full disk) is lost
    silently."""
    data = text.encode("utf-8", "replace")
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            threading.Event().wait(BUSY_S)
        except OSError:
            return
