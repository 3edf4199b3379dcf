"""What was true of a KRaft cluster, by nobody's word: processes by their pid, and what each JVM
says of itself to Jolokia."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .broker import RUNNING, STATE, UNDER_REPLICATED, Broker
from .history import PROCESS_POLL, Alive, BaseObserver, Down, most_at_once

JVM_POLL = 0.2  # s
ANSWER = 5.0  # s to wait for a JVM
PID = ("java.lang:type=Runtime", "Pid")
RAFT = "kafka.server:type=raft-metrics"
RAFT_STATE = (RAFT, "current-state")
RAFT_LEADER = (RAFT, "current-leader")
FOLLOWING = ("leader", "follower")


@dataclass(frozen=True)
class Reading:
    """What the JVM with this pid says of itself. What it does not have is None or empty.

    ``state`` is BrokerState; ``raft`` is its part in the quorum (leader, follower, observer,
    unattached, ...), ``leader`` the id of the quorum's leader by its word, -1 if it knows of none.
    """

    pid: int
    state: int | None = None
    raft: str = ""
    leader: int = -1
    under_replicated: int | None = None

    @property
    def serves(self) -> bool:
        """Whether it is a broker that runs."""
        return self.state == RUNNING

    @property
    def votes(self) -> bool:
        """Whether it is a voter that leads, or follows a leader."""
        return self.raft in FOLLOWING


@dataclass(frozen=True)
class Readings:
    """From `time` (monotonic, s) on, what each JVM that answers says of itself."""

    time: float
    nodes: Mapping[int, Reading]


@dataclass(frozen=True)
class Outage:
    """A time in which a node was down, with the pid before it and after it."""

    down: Down
    before: int | None
    after: int | None


def read_node(node: Broker, timeout: float = ANSWER) -> Reading | None:
    """Ask a JVM what it is; None when it does not answer."""
    pid, state, raft, leader, lacking = node.metrics(
        (PID, STATE, RAFT_STATE, RAFT_LEADER, UNDER_REPLICATED), timeout
    )
    if pid is None:
        return None
    # a gauge of Kafka's own metrics is a float
    return Reading(int(pid), state, raft or "", -1 if leader is None else int(leader), lacking)


class KraftObserver(BaseObserver):
    """Watches a KRaft cluster, and tells what it saw since `clear`.

    A broker is down while its process is missing, frozen, or not RUNNING. A voter is down from when
    its process is missing, frozen or does not answer, until it leads or follows a leader: voters
    that elect a new leader are not down.
    """

    def __init__(
        self,
        brokers: Sequence[Broker],
        voters: Sequence[Broker],
        pids: Callable[[], Mapping[int, int]],
    ) -> None:
        super().__init__(pids)
        self._nodes = {node.id: node for node in (*brokers, *voters)}
        self._brokers = [broker.id for broker in brokers]
        self._voters = [voter.id for voter in voters]
        self._moving: list[Alive] = []
        self._readings: list[Readings] = []
        self._threads = [
            self._thread("observe pids", self._look_at_processes, PROCESS_POLL),
            *(
                self._thread(f"observe node {node.id}", self._reader(node), JVM_POLL)
                for node in self._nodes.values()
            ),
        ]

    def start(self) -> None:
        """Begin to watch."""
        self.clear()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._ended.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(ANSWER + 1)

    def clear(self) -> None:
        """Forget what was seen; what is true now is where the new history begins."""
        self._look_at_processes()
        for node in self._nodes.values():
            self._look_at_node(node)
        with self._lock:
            for history in (self._alive, self._moving, self._readings, self._replicas):
                del history[:-1]

    def readings(self) -> list[Readings]:
        """Every change of what the JVMs say, in order; the first is what was at `clear`."""
        with self._lock:
            return list(self._readings)

    def downs(self) -> list[Down]:
        """Every time that a broker was down, by when it began."""
        return _in_order(self._outages(self._brokers))

    def voter_downs(self) -> list[Down]:
        """Every time that a voter was down, by when it began."""
        return _in_order(self._outages(self._voters, votes=True))

    def most_voters_down(self) -> int:
        """Tell the largest number of voters that were down at any one time."""
        return most_at_once(self.voter_downs())

    def restarted(self) -> list[int]:
        """List the nodes, controllers among them, in the order in which they came back with a new
        process."""
        dedicated = [number for number in self._voters if number not in self._brokers]
        outages = self._outages(self._brokers) + self._outages(dedicated, votes=True)
        back = [
            (outage.down.until, outage.down.id)
            for outage in outages
            if outage.down.until is not None and outage.before != outage.after
        ]
        return [number for _, number in sorted(back)]

    def _outages(self, ids: Sequence[int], votes: bool = False) -> list[Outage]:
        with self._lock:
            moving, readings = list(self._moving), list(self._readings)
        return [
            outage
            for number in ids
            for outage in find_outages(number, moving, readings, votes=votes)
        ]

    def _thread(self, name: str, look: Callable[[], None], interval: float) -> threading.Thread:
        return threading.Thread(target=self._poll(look, interval), name=name, daemon=True)

    def _reader(self, node: Broker) -> Callable[[], None]:
        return lambda: self._look_at_node(node)

    def _look_at_processes(self) -> None:
        """Record the processes, and which of them are not frozen."""
        super()._look_at_processes()
        pids = {number: pid for number, pid in self._pids().items() if not is_frozen(pid)}
        with self._lock:
            if not self._moving or self._moving[-1].pids != pids:
                self._moving.append(Alive(time.monotonic(), pids))

    def _look_at_node(self, node: Broker) -> None:
        reading = read_node(node)
        with self._lock:
            known = dict(self._readings[-1].nodes) if self._readings else {}
            nodes = {number: one for number, one in known.items() if number != node.id}
            if reading is not None:
                nodes[node.id] = reading
            if not self._readings or known != nodes:
                self._readings.append(Readings(time.monotonic(), nodes))
        self._note_replicas(self._count_under_replicated(nodes))

    def _count_under_replicated(self, nodes: Mapping[int, Reading]) -> int:
        """Add up what the leaders lack; a broker that does not say it counts for one."""
        told = [nodes[number].under_replicated for number in self._brokers if number in nodes]
        known = [number for number in told if number is not None]
        return sum(known) + len(self._brokers) - len(known)


def find_outages(
    number: int, moving: Sequence[Alive], readings: Sequence[Readings], votes: bool = False
) -> list[Outage]:
    """Judge the history of a node, as a broker, or with ``votes`` as a voter.

    What a JVM says counts only for as long as its process is the one that runs.
    """
    outages: list[Outage] = []
    since: float | None = None
    before: int | None = None
    for moment, pid, reading in _states(number, moving, readings):
        if since is None and _is_lost(reading, votes):
            since = moment
        if since is not None and _is_back(reading, votes):
            outages.append(Outage(Down(number, since, moment), before, pid))
            since = None
        if since is None:
            before = pid
    if since is not None:
        outages.append(Outage(Down(number, since, None), before, None))
    return outages


def is_frozen(pid: int) -> bool:
    """Tell whether a process was stopped by SIGSTOP."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] == "T"


def _is_lost(reading: Reading | None, votes: bool) -> bool:
    return reading is None or not (votes or reading.serves)


def _is_back(reading: Reading | None, votes: bool) -> bool:
    if reading is None:
        return False
    return reading.votes if votes else reading.serves


def _states(
    number: int, moving: Sequence[Alive], readings: Sequence[Readings]
) -> list[tuple[float, int | None, Reading | None]]:
    """Merge both histories of a node: time, pid, and what the JVM with this pid says."""
    if not moving or not readings:
        return []
    begin = max(moving[0].time, readings[0].time)
    moments = {entry.time for entry in moving} | {entry.time for entry in readings} | {begin}
    found = []
    for moment in sorted(one for one in moments if one >= begin):
        pid = [entry for entry in moving if entry.time <= moment][-1].pids.get(number)
        reading = [entry for entry in readings if entry.time <= moment][-1].nodes.get(number)
        is_its_own = reading is not None and reading.pid == pid
        found.append((moment, pid, reading if is_its_own else None))
    return found


def _in_order(outages: Sequence[Outage]) -> list[Down]:
    return sorted((outage.down for outage in outages), key=lambda down: down.since)
