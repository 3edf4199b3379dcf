"""Do things beside the main thread, on daemon threads so that a silent host cannot hold up our end."""

import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

WORKERS = 64


def in_parallel(calls: Mapping[K, Callable[[], V]], workers: int = WORKERS, limit: float | None = None) -> dict[K, V]:
    """Make all the calls, at most ``workers`` at a time; the first exception that a call raises is raised here.

    Calls that have not returned after ``limit`` s, if there is one, are missing from what is returned.
    """
    waiting: SimpleQueue[tuple[K, Callable[[], V]]] = SimpleQueue()
    ended: SimpleQueue[tuple[K, Callable[[], V]]] = SimpleQueue()
    for item in calls.items():
        waiting.put(item)
    for _ in range(min(workers, len(calls))):
        threading.Thread(target=_work, args=(waiting, ended), daemon=True).start()
    outcomes = dict(_collect(ended, len(calls), limit))
    return {key: outcomes[key]() for key in calls if key in outcomes}


class NotInTime(Exception):
    """A call did not return within its limit; its thread is left alone."""


def aside(call: Callable[[], V], limit: float | None = None) -> V:
    """Make a call on another thread and wait where a signal reaches us, which a slow name server does not allow.

    Raises what the call raises, and `NotInTime` when it has not returned after ``limit`` s.
    """
    returned = in_parallel({None: call}, limit=limit)
    if None not in returned:
        raise NotInTime(f"no answer within {limit:g} s")
    return returned[None]


@contextmanager
def reminding(every: float, remind: Callable[[float], None]) -> Iterator[None]:
    """Call ``remind`` with the seconds that have passed, each ``every`` s until the block has ended."""
    ended = threading.Event()
    began = time.monotonic()

    def work() -> None:
        while not ended.wait(every):
            remind(time.monotonic() - began)

    Background(work)
    try:
        yield
    finally:
        ended.set()


class Background(Generic[V]):
    """A call on a thread of its own. Ask for its result once it has ended: it raises what the call raised."""

    def __init__(self, call: Callable[[], V]) -> None:
        self._call = call
        self._result: Callable[[], V] | None = None
        try:
            threading.Thread(target=self._run, daemon=True).start()
        except RuntimeError:  # no more threads: then it is made here, because a broker may be waiting for it
            self._run()

    @property
    def ended(self) -> bool:
        """Tell whether the call has returned."""
        return self._result is not None

    def result(self) -> V:
        """Return what the call returned. Raises what it raised, and `ValueError` before it has ended."""
        if self._result is None:
            raise ValueError("the call has not ended")
        return self._result()

    def _run(self) -> None:
        self._result = _outcome(self._call)


def _collect(
    ended: "SimpleQueue[tuple[K, Callable[[], V]]]", count: int, limit: float | None
) -> Iterator[tuple[K, Callable[[], V]]]:
    deadline = None if limit is None else time.monotonic() + limit
    for _ in range(count):
        try:
            yield ended.get(timeout=None if deadline is None else max(deadline - time.monotonic(), 0))
        except Empty:
            return


def _work(waiting: "SimpleQueue[tuple[K, Callable[[], V]]]", ended: "SimpleQueue[tuple[K, Callable[[], V]]]") -> None:
    while True:
        try:
            key, call = waiting.get_nowait()
        except Empty:
            return
        ended.put((key, _outcome(call)))


def _outcome(call: Callable[[], V]) -> Callable[[], V]:
    try:
        value = call()
    except BaseException as raised:
        error = raised  # the name of an except clause ends with the clause

        def fail() -> V:
            raise error

        return fail
    return lambda: value
