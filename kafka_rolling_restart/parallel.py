"""Do things beside the main thread, on daemon threads so that a silent host cannot hold up our
end."""

import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

WORKERS = 64
LOOK_S = 0.2  # from one look whether more calls could be made at a time to the next
BUSY = 0.5  # of one processor: threads of Python seldom use more than one, however many they are
LONG_S = 3600.0


def in_parallel(
    calls: Mapping[K, Callable[[], V]],
    workers: int = WORKERS,
    limit: float | None = None,
    most: int = 0,
) -> dict[K, V]:
    """Make all the calls, at most ``workers`` at a time; the first exception that a call raises is
    raised here.

    Where ``most`` is more, up to so many are made at a time while that leaves our processor idle.
    Calls that have not returned after ``limit`` s, if there is one, are missing from what is
    returned, and those that wait are not made.
    """
    crew = _Crew(calls, max(workers, most), limit)
    try:
        crew.hire(workers)
        outcomes = dict(crew.outcomes())
    finally:
        crew.dismiss()
    return {key: outcomes[key]() for key in calls if key in outcomes}


class NotInTime(Exception):
    """A call did not return within its limit; its thread is left alone."""


def call_in_thread(call: Callable[[], V], limit: float | None = None) -> V:
    """Make a call on another thread and wait where a signal reaches us, which a slow name server
    does not allow.

    Raises what the call raises, and `NotInTime` when it has not returned after ``limit`` s.
    """
    returned = in_parallel({None: call}, limit=limit)
    if None not in returned:
        raise NotInTime(f"no answer within {limit:g} s")
    return returned[None]


@contextmanager
def reminding(every: float, remind: Callable[[float], None]) -> Iterator[None]:
    """Call ``remind`` with the seconds that have passed, each ``every`` s until the block has
    ended."""
    ended = threading.Event()
    began = time.monotonic()

    def work() -> None:
        while not ended.wait(every):
            remind(time.monotonic() - began)

    with suppress(RuntimeError):  # no more threads: then nobody is reminded
        Background(work)
    try:
        yield
    finally:
        ended.set()


class Background(Generic[V]):
    """A call on another thread. Ask for its result once it has ended: it raises what the call
    raised.

    Raises `RuntimeError` where the system has no more threads.
    """

    def __init__(self, call: Callable[[], V], standby: "Standby | None" = None) -> None:
        self._call = call
        self._result: Callable[[], V] | None = None
        if standby is not None:
            standby.hand_over(self._run)
            return
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def ended(self) -> bool:
        """Tell whether the call has returned."""
        return self._result is not None

    def result(self) -> V:
        """Return what the call returned. Raises what it raised, and `ValueError` before it has
        ended."""
        if self._result is None:
            raise ValueError("the call has not ended")
        return self._result()

    def _run(self) -> None:
        self._result = _outcome(self._call)


class Standby:
    """Threads that were made before they are needed, for a moment in which the system may have no
    more of them.

    Raises `RuntimeError` where even ``count`` of them cannot be had.
    """

    def __init__(self, count: int) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._count = 0
        for _ in range(count):
            self._hire()

    def hand_over(self, job: Callable[[], None]) -> None:
        """Have a thread do this. Raises `RuntimeError` where all are at work and there can be no
        other."""
        with self._lock:
            if self._idle <= 0:
                self._hire()
            self._idle -= 1
        self._jobs.put(job)

    def call(self, call: Callable[[], V], limit: float | None = None) -> V:
        """Make a call and wait for it where a signal reaches us.

        Raises what the call raises, `NotInTime` when it has not returned after ``limit`` s, and
        `RuntimeError` as above.
        """
        returned: SimpleQueue[Callable[[], V]] = SimpleQueue()
        self.hand_over(lambda: returned.put(_outcome(call)))
        try:
            outcome = returned.get(timeout=limit)
        except Empty as error:
            raise NotInTime(f"no answer within {limit:g} s") from error
        return outcome()

    def dismiss(self) -> None:
        """Let the threads end once they have done what they were given."""
        for _ in range(self._count):
            self._jobs.put(None)

    def _hire(self) -> None:
        threading.Thread(target=self._work, daemon=True).start()
        self._idle += 1
        self._count += 1

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            with self._lock:
                self._idle += 1


class _Crew(Generic[K, V]):
    """Threads that make calls, each one call at a time, until none is left."""

    def __init__(self, calls: Mapping[K, Callable[[], V]], most: int, limit: float | None) -> None:
        self._deadline = float("inf") if limit is None else time.monotonic() + limit
        self._count = len(calls)
        self._most = min(most, len(calls))
        self._hired = 0
        self._waiting: SimpleQueue[tuple[K, Callable[[], V]]] = SimpleQueue()
        self._ended: SimpleQueue[tuple[K, Callable[[], V]]] = SimpleQueue()
        for item in calls.items():
            self._waiting.put(item)

    def hire(self, count: int) -> None:
        """Have more threads. Where the system has no more of them, those that there are do the
        work."""
        for _ in range(min(count, self._most - self._hired)):
            try:
                threading.Thread(target=self._work, daemon=True).start()
            except RuntimeError:
                if not self._hired:
                    raise
                self._most = self._hired
                return
            self._hired += 1

    def outcomes(self) -> Iterator[tuple[K, Callable[[], V]]]:
        """Give what has ended, until all has or the time is over."""
        left, since = self._count, _Times.now()
        while left and (left_s := self._deadline - time.monotonic()) > 0:
            with suppress(Empty):
                outcome = self._ended.get(timeout=min(left_s, LOOK_S if self._may_grow else LONG_S))
                left -= 1
                yield outcome
            if self._may_grow and (now := _Times.now()).real - since.real >= LOOK_S:
                if now.idle_since(since):
                    self.hire(self._hired)
                since = now

    def dismiss(self) -> None:
        """Have nobody begin another call."""
        with suppress(Empty):
            while True:
                self._waiting.get_nowait()

    @property
    def _may_grow(self) -> bool:
        return self._hired < self._most and not self._waiting.empty()

    def _work(self) -> None:
        while True:
            try:
                key, call = self._waiting.get_nowait()
            except Empty:
                return
            self._ended.put((key, _outcome(call)))


@dataclass(frozen=True)
class _Times:
    real: float
    processor: float

    @classmethod
    def now(cls) -> "_Times":
        return cls(time.monotonic(), time.process_time())

    def idle_since(self, earlier: "_Times") -> bool:
        return self.processor - earlier.processor < BUSY * (self.real - earlier.real)


def _outcome(call: Callable[[], V]) -> Callable[[], V]:
    try:
        value = call()
    except BaseException as raised:
        error = raised  # the name of an except clause ends with the clause

        def fail() -> V:
            raise error

        return fail
    return lambda: value
