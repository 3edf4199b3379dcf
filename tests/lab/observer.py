"""What was true of the cluster, by nobody's word: registrations in ZooKeeper, processes, replicas
in sync."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kazoo.client import KazooClient  # type: ignore[import-untyped,unused-ignore]

# type: ignore[import-untyped,unused-ignore]
from kazoo.exceptions import KazooException, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError  # type: ignore[import-untyped,unused-ignore]
from kazoo.retry import KazooRetry  # type: ignore[import-untyped,unused-ignore]

from .history import PROCESS_POLL, Alive, BaseObserver, Down, Replicas, healthy_time, most_at_once

__all__ = [
    "Alive",
    "Down",
    "Observer",
    "Registered",
    "Replicas",
    "find_downs",
    "healthy_time",
    "most_at_once",
]

REGISTRATIONS = "/brokers/ids"
TOPICS = "/brokers/topics"
REPLICAS_POLL = 0.25  # s
REGISTRATION_POLL = 1.0  # s; a net under the watch
ANSWER = 5.0  # s to wait for ZooKeeper
NOT_NOW = (KazooException, KazooTimeoutError)


@dataclass(frozen=True)
class Registered:
    """The registrations from `time` (monotonic, s) on: the creation id by broker."""

    time: float
    czxids: Mapping[int, int]

    @property
    def ids(self) -> frozenset[int]:
        """The brokers that were registered."""
        return frozenset(self.czxids)


class Observer(BaseObserver):
    """Watches a cluster over its own ZooKeeper connection, and tells what it saw since `clear`."""

    def __init__(
        self, zookeeper: str, ids: Sequence[int], pids: Callable[[], Mapping[int, int]]
    ) -> None:
        super().__init__(pids)
        self._ids = frozenset(ids)
        retry = KazooRetry(max_tries=-1, delay=0.05, max_delay=0.5)
        self._client = KazooClient(
            hosts=zookeeper, timeout=5.0, connection_retry=retry, logger=_silent_logger()
        )
        self._looking = threading.Lock()
        self._changed = threading.Event()
        self._registered: list[Registered] = []
        self._threads = [
            threading.Thread(
                target=self._watch_registrations, name="observe registrations", daemon=True
            ),
            threading.Thread(
                target=self._poll(self._look_at_processes, PROCESS_POLL),
                name="observe pids",
                daemon=True,
            ),
            threading.Thread(
                target=self._poll(self._look_at_replicas, REPLICAS_POLL),
                name="observe isr",
                daemon=True,
            ),
        ]

    @property
    def client(self) -> KazooClient:
        """The observer's own connection, for what a test wants to read."""
        return self._client

    def start(self) -> None:
        """Begin to watch."""
        self._client.add_listener(self._on_change)
        self._client.start(timeout=30)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._ended.set()
        self._changed.set()
        self._client.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5)
        self._client.close()

    def clear(self) -> None:
        """Forget what was seen; what is true now is where the new history begins."""
        self._look_at_registrations()
        self._look_at_processes()
        self._look_at_replicas()
        with self._lock:
            for history in (self._registered, self._alive, self._replicas):
                del history[:-1]

    def registered(self) -> frozenset[int]:
        """Look who is registered at this moment; nobody, where ZooKeeper does not answer."""
        try:
            return frozenset(self._read_registrations())
        except NOT_NOW:
            return frozenset()

    def registrations(self) -> list[Registered]:
        """Every change of the registrations, in order; the first is what was at `clear`."""
        with self._lock:
            return list(self._registered)

    def downs(self) -> list[Down]:
        """Every time that a broker was down, by when it began."""
        return find_downs(self._ids, self.registrations(), self.processes())

    def restarted(self) -> list[int]:
        """List the brokers in the order in which they came back with a new creation id."""
        history = self.registrations()
        known = dict(history[0].czxids) if history else {}
        found = []
        for entry in history[1:]:
            new = {
                number: czxid
                for number, czxid in entry.czxids.items()
                if known.get(number) != czxid
            }
            found += [number for number, _ in sorted(new.items(), key=lambda item: item[1])]
            known |= new
        return found

    def _watch_registrations(self) -> None:
        while not self._ended.is_set():
            self._changed.wait(REGISTRATION_POLL)
            self._changed.clear()
            if not self._ended.is_set():
                self._look_at_registrations()

    def _look_at_registrations(self) -> None:
        """Record the registrations, if they can be read; a lost connection is no news of the
        brokers."""
        with self._looking:
            try:
                czxids = self._read_registrations()
            except NOT_NOW:
                return
            with self._lock:
                if not self._registered or self._registered[-1].czxids != czxids:
                    self._registered.append(Registered(time.monotonic(), czxids))

    def _read_registrations(self) -> dict[int, int]:
        """Read who is registered, and have the next change told; not through kazoo's calls that
        wait for ever."""
        children = self._client.get_children_async(REGISTRATIONS, watch=self._on_change).get(
            timeout=ANSWER
        )
        asked = {
            int(child): self._client.exists_async(f"{REGISTRATIONS}/{child}") for child in children
        }
        stats = {number: answer.get(timeout=ANSWER) for number, answer in asked.items()}
        return {number: stat.czxid for number, stat in stats.items() if stat is not None}

    def _on_change(self, event_or_state: object) -> None:
        self._changed.set()

    def _look_at_replicas(self) -> None:
        try:
            under_replicated = self._count_under_replicated()
        except NOT_NOW:
            return
        self._note_replicas(under_replicated)

    def _count_under_replicated(self) -> int:
        return sum(
            self._lacking(topic)
            for topic in self._client.get_children_async(TOPICS).get(timeout=ANSWER)
        )

    def _lacking(self, topic: str) -> int:
        path = f"{TOPICS}/{topic}"
        try:
            partitions = self._read(path)["partitions"]
            states = {
                number: self._read(f"{path}/partitions/{number}/state") for number in partitions
            }
        except NoNodeError:
            return 1  # it is being made
        return sum(
            len(states[number]["isr"]) < len(copies) for number, copies in partitions.items()
        )

    def _read(self, path: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self._client.get_async(path).get(timeout=ANSWER)[0])
        return content


def find_downs(
    ids: frozenset[int], registered: Sequence[Registered], alive: Sequence[Alive]
) -> list[Down]:
    """Judge the history of each broker: down when its registration or its process is missing or
    another one.

    A broker is back when both are there; where its process is another one than before, only with
    another registration, as the one of the dead process stays until its session times out.
    """
    return sorted(
        (down for number in ids for down in _downs_of(number, registered, alive)),
        key=lambda down: down.since,
    )


def _downs_of(number: int, registered: Sequence[Registered], alive: Sequence[Alive]) -> list[Down]:
    downs: list[Down] = []
    since: float | None = None
    states = _states(number, registered, alive)
    before = states[0][1:] if states else (None, None)
    for moment, czxid, pid in states:
        if since is None and (czxid is None or pid is None or (czxid, pid) != before):
            since = moment
        if (
            since is not None
            and czxid is not None
            and pid is not None
            and (pid == before[1] or czxid != before[0])
        ):
            downs.append(Down(number, since, moment))
            since = None
        if since is None:
            before = (czxid, pid)
    return downs if since is None else [*downs, Down(number, since, None)]


def _silent_logger() -> logging.Logger:
    """Return a logger that keeps quiet about the connections that the lab cuts by intent."""
    logger = logging.Logger("lab")
    logger.addHandler(logging.NullHandler())
    return logger


def _states(
    number: int, registered: Sequence[Registered], alive: Sequence[Alive]
) -> list[tuple[float, int | None, int | None]]:
    """Merge both histories of a broker: time, creation id, pid; from the moment on when both are
    known."""
    moments = sorted({entry.time for entry in registered} | {entry.time for entry in alive})
    if not registered or not alive:
        return []
    begin = max(registered[0].time, alive[0].time)
    return [
        (
            moment,
            _last(registered, moment).czxids.get(number),
            _last_alive(alive, moment).pids.get(number),
        )
        for moment in moments
        if moment >= begin
    ]


def _last(history: Sequence[Registered], moment: float) -> Registered:
    return [entry for entry in history if entry.time <= moment][-1]


def _last_alive(history: Sequence[Alive], moment: float) -> Alive:
    return [entry for entry in history if entry.time <= moment][-1]
