"""Do the same for many brokers at once, on daemon threads so that a silent host cannot hold up our end."""

import threading
from collections.abc import Callable, Hashable, Mapping
from queue import Empty, SimpleQueue
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

WORKERS = 64


def in_parallel(calls: Mapping[K, Callable[[], V]], workers: int = WORKERS) -> dict[K, V]:
    """Make all the calls, at most ``workers`` at a time; the first exception that a call raises is raised here."""
    waiting: SimpleQueue[tuple[K, Callable[[], V]]] = SimpleQueue()
    ended: SimpleQueue[tuple[K, Callable[[], V]]] = SimpleQueue()
    for item in calls.items():
        waiting.put(item)
    for _ in range(min(workers, len(calls))):
        threading.Thread(target=_work, args=(waiting, ended), daemon=True).start()
    outcomes = dict(ended.get() for _ in calls)
    return {key: outcomes[key]() for key in calls}


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
