"""What every host offers: stop and start the broker there, and look for its process."""

from dataclasses import dataclass
from typing import Protocol

from kafka_rolling_restart.errors import Objection, no_objection
from kafka_rolling_restart.model.broker import CommandResult, Jvm
from kafka_rolling_restart.model.observation import Observation, Presence
from kafka_rolling_restart.model.problem import Problem


@dataclass(frozen=True)
class FoundProcess:
    """What a host shows of its node's process, found without any metrics.

    PRESENT: exactly one, ``jvm`` tells it, with the identity of its life. ABSENT: certainly none
    runs. UNKNOWN: the host did not answer. BLIND: it cannot be told here; ``words`` say why
    (several match, the processes of others are hidden, it runs in a container). ``unit`` is the
    systemd unit that runs it, if any; ``stop_timeout_s`` is how long systemd lets it stop before it
    kills it, None: for ever, or it is not known; ``restarts`` is how often systemd started it anew
    by itself; ``result`` is how systemd says that the last run of the unit ended;
    ``has_failed``: systemd let it end there.
    """

    presence: Presence
    jvm: Jvm | None = None
    words: str = ""
    unit: str = ""
    stop_timeout_s: float | None = None
    restarts: int | None = None
    result: str = ""
    has_failed: bool = False


@dataclass(frozen=True)
class Readiness:
    """What the preflight found on a host: its problems, and whether the broker's process can be
    seen there."""

    problems: tuple[Problem, ...] = ()
    process_visible: bool = False
    found: FoundProcess | None = None


class HostCommand(Protocol):
    """A command that is on its way to a host or runs there."""

    @property
    def ended(self) -> bool:
        """Tell whether its end was seen, or can no longer be seen."""
        ...

    def result(self) -> CommandResult:
        """Return how it ended. Raises `SshError` where that was not seen; ask only once it has
        ended."""
        ...

    def still_runs(self) -> bool:
        """Ask the host whether the command runs there. Raises `SshError`."""
        ...


class Host(Protocol):
    """The host of one broker. What its methods raise is `SshError`."""

    @property
    def start_line(self) -> str:
        """What a person types to start the broker by hand."""
        ...

    @property
    def sees_process(self) -> bool:
        """Whether the broker's process was found on it before."""
        ...

    def preflight(self, jvm: Jvm | None, find: bool = False) -> Readiness:
        """Log in, and find out whether both commands may be run and the JVM's process can be seen.
        Never raises.

        ``find``: no metrics tell of a JVM, so look for the process on the host.
        """
        ...

    def find_process(self) -> FoundProcess:
        """Look for the node's process without the help of metrics. Never raises."""
        ...

    def prepare(self) -> None:
        """Make the threads that stopping and starting need, before a broker is down."""
        ...

    def stop(self, limit: float, objection: Objection = no_objection) -> HostCommand:
        """Send the stop command, for ``limit`` s, unless ``objection`` has something against it at
        that moment."""
        ...

    def start(self, limit: float) -> HostCommand:
        """Send the start command, for ``limit`` s."""
        ...

    def process_age(self, pid: int | None) -> float | None:
        """Return the age (s) of the JVM with this pid, None where none is seen."""
        ...

    def observe_process(self, pid: int, age_s: float) -> Observation:
        """Say whether the JVM with this pid and of at least about this age is there. Never
        raises."""
        ...

    def observe_found(self, jvm: Jvm) -> Observation:
        """Say whether the very process that `find_process` found is there: by the identity of its
        life, not by its age. Never raises."""
        ...

    def close(self) -> None: ...
