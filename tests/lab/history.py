"""What was true of a cluster, by nobody's word: the histories that every observer keeps."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

PROCESS_POLL = 0.05  # s


@dataclass(frozen=True)
class Alive:
    """The processes from `time` (monotonic, s) on: the pid by broker."""

    time: float
    pids: Mapping[int, int]

    @property
    def ids(self) -> frozenset[int]:
        """The brokers whose process existed."""
        return frozenset(self.pids)


@dataclass(frozen=True)
class Replicas:
    """From `time` (monotonic, s) on, how many partitions lacked a replica in their in-sync set."""

    time: float
    under_replicated: int


@dataclass(frozen=True)
class Down:
    """A time in which a broker was down: its registration or its process was missing, or both."""

    id: int
    since: float
    until: float | None


class BaseObserver(ABC):
    """Watches the processes and the replicas of a cluster, and tells what it saw since `clear`."""

    def __init__(self, pids: Callable[[], Mapping[int, int]]) -> None:
        self._pids = pids
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._alive: list[Alive] = []
        self._replicas: list[Replicas] = []

    @abstractmethod
    def start(self) -> None:
        """Begin to watch."""

    @abstractmethod
    def stop(self) -> None:
        """Watch no more."""

    @abstractmethod
    def clear(self) -> None:
        """Forget what was seen; what is true now is where the new history begins."""

    @abstractmethod
    def downs(self) -> list[Down]:
        """Every time that a broker was down, by when it began."""

    @abstractmethod
    def restarted(self) -> list[int]:
        """List the brokers in the order in which they came back."""

    def processes(self) -> list[Alive]:
        """Every change of the processes, in order; the first is what was at `clear`."""
        with self._lock:
            return list(self._alive)

    def replicas(self) -> list[Replicas]:
        """Every change of the number of under-replicated partitions, in order."""
        with self._lock:
            return list(self._replicas)

    def most_down(self) -> int:
        """Tell the largest number of brokers that were down at any one time."""
        return most_at_once(self.downs())

    def new_jvms(self) -> list[int]:
        """List the brokers that run now in another process than at `clear`."""
        history = self.processes()
        before, now = history[0].pids, self._pids()
        return sorted(number for number, pid in now.items() if before.get(number) != pid)

    def gaps(self) -> list[float]:
        """List the seconds between one broker back and the next going down; negative where they
        overlapped."""
        downs = self.downs()
        return [
            later.since - (float("inf") if earlier.until is None else earlier.until)
            for earlier, later in pairwise(downs)
        ]

    def healthy_stretches(self) -> list[float]:
        """List, for each gap, the seconds in which every partition had all its replicas in sync
        (seen every 0.25 s)."""
        downs, replicas = self.downs(), self.replicas()
        return [
            healthy_time(replicas, earlier.until, later.since) if earlier.until is not None else 0.0
            for earlier, later in pairwise(downs)
        ]

    def _poll(self, look: Callable[[], None], interval: float) -> Callable[[], None]:
        def poll() -> None:
            while not self._ended.wait(interval):
                look()

        return poll

    def _look_at_processes(self) -> None:
        pids = dict(self._pids())
        with self._lock:
            if not self._alive or self._alive[-1].pids != pids:
                self._alive.append(Alive(time.monotonic(), pids))

    def _note_replicas(self, under_replicated: int) -> None:
        with self._lock:
            if not self._replicas or self._replicas[-1].under_replicated != under_replicated:
                self._replicas.append(Replicas(time.monotonic(), under_replicated))


def most_at_once(downs: Sequence[Down]) -> int:
    """Count the largest number of downs that overlap."""
    return max((sum(_covers(other, down.since) for other in downs) for down in downs), default=0)


def healthy_time(replicas: Sequence[Replicas], begin: float, end: float) -> float:
    """Add up the seconds between two times in which no partition was under-replicated."""
    ends = [entry.time for entry in replicas[1:]] + [float("inf")]
    return sum(
        max(0.0, min(until, end) - max(entry.time, begin))
        for entry, until in zip(replicas, ends, strict=True)
        if entry.under_replicated == 0
    )


def _covers(down: Down, moment: float) -> bool:
    return down.since <= moment and (down.until is None or moment < down.until)
