"""Doing several things under one clock: each says for how long it rests, and whoever is due first
goes on first."""

from collections.abc import Callable, Generator, Hashable, Mapping
from heapq import heappop, heappush
from typing import Any, TypeVar

from kafka_rolling_restart.clock import Clock

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Work = Generator[float, None, V]  # gives how long (s) it rests, and returns its result


def alone(clock: Clock, work: Work[V]) -> V:
    """Do one work to its end. Return its result, or raise what it raises."""
    return together(clock, {None: work})[None]()


def together(clock: Clock, works: Mapping[K, Work[V]]) -> dict[K, Callable[[], V]]:
    """Do all the works to their ends. Return how each ended: a call returns its result, or raises
    what it raised.

    An exception that is no `Exception` (a signal that ends the run) is raised at once.
    """
    ended: dict[K, Callable[[], V]] = {}
    due: list[tuple[float, int, K]] = []
    for place, key in enumerate(works):
        heappush(due, (clock.now(), place, key))
    while due:
        at, place, key = heappop(due)
        clock.sleep(max(at - clock.now(), 0.0))
        try:
            rest = next(works[key])
        except StopIteration as end:
            ended[key] = _returning(end.value)
        except Exception as error:
            ended[key] = _raising(error)
        else:
            heappush(due, (clock.now() + rest, place, key))
    return ended


def _returning(value: V) -> Callable[[], V]:
    return lambda: value


def _raising(error: Exception) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail
