"""What a schedule is made of: how brokers, hosts and commands behave, and what goes wrong when.
Frozen values alone."""

import signal
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from tests.simulation.clock import FOREVER


class Brief:
    """A dataclass that shows only what is not as usual, so that a counterexample can be read."""

    def __repr__(self) -> str:
        this: Any = self
        usual = type(this)()
        names = [one.name for one in fields(this)]
        shown = [name for name in names if getattr(this, name) != getattr(usual, name)]
        values = ", ".join(f"{name}={getattr(this, name)!r}" for name in shown)
        return f"{type(self).__name__}({values})"


@dataclass(frozen=True, repr=False)
class Deed(Brief):
    """What one command does: whether it works, after how long (s), and what is heard of it, and
    when.

    A command may at last kill (s) whatever runs by then, as scripts do, and return; what it killed
    dies ``lag`` s later. Commands go on where their connection broke. ``told``: their host tells
    whether they run.
    """

    works: bool = True
    effect: float = 0.0
    returns: float | None = 0.1  # None: it hangs
    status: int = 0
    kills: float | None = None
    lag: float = 0.0
    told: bool = True

    @property
    def runs(self) -> float:
        """For how long (s) it runs."""
        return FOREVER if self.returns is None else max(self.returns, self.kills or 0.0)

    @property
    def acts(self) -> float:
        """For how long (s) it may take a process down at its end."""
        return 0.0 if self.kills is None else self.kills + self.lag


@dataclass(frozen=True, repr=False)
class Nature(Brief):
    """How one broker and its host behave. All in s, each after what comes before it."""

    # after SIGTERM
    unregisters: float = 0.3
    falls_silent: float = 0.4
    ends: float = 1.5
    # after its launch
    answers: float = 1.0
    recovers: float = 0.5
    registers: float = 2.0
    runs: float = 0.2
    catches_up: float = 3.0
    lives: tuple[
        float, ...
    ] = ()  # how long each new JVM lives before it dies by itself; those after them live on
    supervised: bool = False
    needs_zookeeper: bool = False  # dies where it cannot register for SESSION_S after its launch
    stop: Deed = Deed(returns=3.0)
    starts: tuple[Deed, ...] = ()  # those after them work
    clock: float = 0.0  # by how much its host's clock is set on before each launch
    visible: bool = True  # to ps
    cache: float | None = None  # a proxy that may not be emptied keeps answers for so long
    read: float = 0.0  # how long one reading takes
    loads: float = 0.0  # how long its coordinators load once it is a member (KRaft)
    found: float = 0.0  # how long it takes until its host has looked for its process (KRaft)


ZOOKEEPER, KRAFT = "zookeeper", "kraft"


class Kind(Enum):
    """What can go wrong, or what somebody else does."""

    DIES = "dies"
    FREEZES = "freezes"
    RESTARTED = "is restarted by somebody else"
    STARTED = "is told to start by somebody else"
    SSH = "its host does not let us in"
    SSH_SLOW = "its host does not answer"
    SSH_CUT = "its connections break"
    THREADS = "the system has no more threads for the tool"
    PAUSED = "the tool stands still, and its clock does not"
    HELD_UP = "the tool is held up when it writes its report the next time"
    PROXY_STALE = "its proxy answers out of its cache and pretends otherwise"
    PROXY_GARBAGE = "its proxy answers nonsense"
    PROXY_DOWN = "its proxy is down"
    ZOOKEEPER = "ZooKeeper is away"
    ZOOKEEPER_OURS = "ZooKeeper is away for us"
    SESSIONS = "all sessions are lost"
    OUR_SESSION = "our session is lost"
    LOCK = "our session is lost and another run takes the lock"
    # KRaft alone; where a voter is meant, `Fault.broker` is its place among the voters
    VOTER_DIES = "a voter dies"
    VOTER_FREEZES = "a voter freezes"
    VOTER_LAGS = "a voter lags"
    QUORUM = "the quorum has no majority"
    FENCED = "it is fenced again"
    LAGS = "its metadata lag"
    LIAR = "it answers with old metadata and says that it is caught up"
    UNREAD = "the metadata of the partitions cannot be read"
    TWO = "its host shows two processes"

    def __repr__(self) -> str:
        return str(self)  # so that a schedule that is printed can be read back


@dataclass(frozen=True, repr=False)
class Fault(Brief):
    """Something that happens ``at`` s after the ``stop``-th stop (0: the beginning).

    ``broker`` is a place in the plan; None is the broker that was stopped last.
    """

    kind: Kind = Kind.DIES
    broker: int | None = 0
    stop: int = 0
    at: float = 0.0
    lasts: float = 0.0


@dataclass(frozen=True, repr=False)
class Signal(Brief):
    """A signal for the tool; ``kill``: SIGKILL."""

    stop: int = 0
    at: float = 0.0
    number: int = signal.SIGTERM
    kill: bool = False


@dataclass(frozen=True, repr=False)
class Job(Brief):
    """What a task does: it takes time, and raises or not."""

    seconds: float = 0.0
    raises: bool = False


@dataclass(frozen=True, repr=False)
class Schedule(Brief):
    """A cluster, the rule of the run, and what goes wrong when."""

    natures: tuple[Nature, ...] = (Nature(), Nature())
    count: int = 2
    interval: float = 5.0
    limit: float = 60.0
    election: float = 0.5  # until there is another controller
    faults: tuple[Fault, ...] = ()
    signals: tuple[Signal, ...] = ()
    pre_stop: Job | None = None
    post_stop: Job | None = None
    post_start: Job | None = None
    allow_cached: bool = True
    plan_size: int | None = None  # how many of the nodes are in the plan
    registry: str = ZOOKEEPER
    # of a KRaft cluster: which nodes are in the plan; whether the voters are the first three of
    # the brokers; how its dedicated controllers behave, where they do not as usual
    roles: str = "brokers"
    combined: bool = False
    controllers: tuple[Nature, ...] = ()
    controllers_first: bool = True
