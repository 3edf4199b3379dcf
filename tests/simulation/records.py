"""What was true when a command was sent, and when the run ended: promises are held against it."""

from dataclasses import dataclass

from kafka_rolling_restart.model.progress import Progress
from tests.simulation.servers import Life, Server


@dataclass(frozen=True)
class Sent:
    """A command that reached a host, and what was true then."""

    server: Server
    at: float
    life: Life | None  # the process that was alive
    checks: tuple[tuple[float, float], ...] = ()  # the latest health checks, each from when to when
    read_at: float = 0.0  # when the tool looked at that broker last
    signalled: bool = False
    held_at: float = 0.0  # when the lock was seen last to be ours
    gap: tuple[float, float] | None = None  # between these it was lost, if it was
    on_disk: Progress | None = None  # what its report file said
    runs_until: float = 0.0
    told: bool = True  # its host tells whether it runs
    acts_until: float = 0.0  # when it can no longer take a process down at its end
    # how many new answers of each broker the health checks had, at least, since the last stop
    news: int = 0
    is_voter: bool = False


@dataclass
class End:
    """How a run ended (``status`` is None where it was killed), and what was true then and after a
    while."""

    status: int | None
    at: float
    up: frozenset[int]  # brokers whose JVM is alive and registered
    registered: frozenset[int]  # brokers that have a registration, also one of a JVM that has ended
    registry_away: bool  # for us
    # brokers that were up, after the world went on for a while
    settled: frozenset[int] = frozenset()
    defect: str = ""
