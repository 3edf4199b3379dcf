"""A witness beside the tool: which brokers have an open port, and when they had none."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from types import TracebackType

from .network import on_the_bridge

POLL = 0.1  # s
PATIENCE = 2.0  # s for a connection


class Witness:
    """Connects to the port of each broker again and again, for as long as the `with` block."""

    def __init__(self, addresses: Mapping[int, tuple[str, int]]) -> None:
        self._addresses = dict(addresses)
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._down: list[frozenset[int]] = []
        self._thread = threading.Thread(target=self._watch, name="witness", daemon=True)

    def __enter__(self) -> Witness:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(PATIENCE * len(self._addresses) + 1)

    def down_together(self) -> list[set[int]]:
        """Return which brokers were down, one set after the other; the empty set is left out."""
        with self._lock:
            return [set(one) for one in self._down if one]

    def most_down(self) -> int:
        """Return how many brokers were down at the same time, at most."""
        return max((len(one) for one in self.down_together()), default=0)

    def _watch(self) -> None:
        with on_the_bridge():
            while not self._ended.is_set():
                down = frozenset(one for one in self._addresses if not self._listens(one))
                with self._lock:
                    if not self._down or self._down[-1] != down:
                        self._down.append(down)
                time.sleep(POLL)

    def _listens(self, broker: int) -> bool:
        try:
            socket.create_connection(self._addresses[broker], PATIENCE).close()
        except OSError:
            return False
        return True
