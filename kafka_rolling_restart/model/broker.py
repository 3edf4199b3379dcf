"""What a cluster is, as plain frozen values that every other module speaks in."""

import re
from collections.abc import Collection, Hashable
from dataclasses import dataclass
from datetime import datetime

# Goes into an SSH and an HTTP address, and by %h into the shell of a ProxyCommand; one that begins
# with - is an option.
HOST = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9._:%-]*\Z")
BROKER, CONTROLLER, COMBINED = "broker", "controller", "broker and controller"
ROLES = (BROKER, CONTROLLER, COMBINED)
RUNNING = 3
STATES = {
    0: "not running",
    1: "starting",
    2: "recovering its logs",
    3: "running",
    6: "stopping",
    7: "stopping",
}
SHOWN = 500  # characters of a command's output in a message


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 broker``, ``3 brokers``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def how_many(nodes: Collection["Broker"]) -> str:
    """Return how many nodes there are of each kind: ``3 brokers and 1 controller``."""
    brokers = sum(one.is_broker for one in nodes)
    controllers = len(nodes) - brokers
    if not controllers:
        return counted(brokers, "broker")
    told = counted(controllers, "controller")
    return f"{counted(brokers, 'broker')} and {told}" if brokers else told


@dataclass(frozen=True)
class Broker:
    """A node of the cluster: a broker, a dedicated controller, or both in one.

    ``registration`` tells its present registration from later ones, where that can be told.
    ``port`` is that of its listener for Kafka's protocol, 0 if it is unknown.
    """

    id: int
    host: str
    registration: Hashable = None
    rack: str = ""
    port: int = 0
    is_broker: bool = True
    is_controller: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.id} ({self.host})"

    @property
    def kind(self) -> str:
        """What messages call it."""
        return BROKER if self.is_broker else CONTROLLER

    @property
    def role(self) -> str:
        """What it does in the cluster: one of `ROLES`."""
        if self.is_broker and self.is_controller:
            return COMBINED
        return self.kind


@dataclass(frozen=True)
class Jvm:
    """A broker's process, as its metrics or its host tell of it. ``pid`` is None where the JVM does
    not say it.

    ``identity`` is that of its life where the host tells it; the metrics tell lives apart by the
    start time.
    """

    start_ms: int
    uptime_ms: int
    pid: int | None = None
    identity: Hashable | None = None

    @property
    def life(self) -> Hashable:
        """What is the same for as long as this process lives, and different for any other."""
        return self.start_ms if self.identity is None else self.identity

    def __str__(self) -> str:
        return f"pid {self.pid}, up for {self.uptime_ms / 1000:.1f} s"

    @property
    def started(self) -> str:
        """When it started by its host's clock, in ISO 8601 with our zone."""
        try:
            return (
                datetime.fromtimestamp(self.start_ms / 1000)
                .astimezone()
                .isoformat(timespec="seconds")
            )
        except (ValueError, OverflowError, OSError):  # a host may say anything
            return f"{self.start_ms} ms"


@dataclass(frozen=True)
class Metrics:
    """The numbers that health is judged by. ``state`` is Kafka's BrokerState (3 is running). What
    this source does not tell of this node is None."""

    state: int
    under_replicated: int | None = None
    offline_partitions: int | None = None
    active_controllers: int | None = None

    def __str__(self) -> str:
        numbers = (
            (self.under_replicated, "under-replicated partitions"),
            (self.offline_partitions, "offline partitions"),
            (self.active_controllers, "active controllers"),
        )
        told = [f"{number} {noun}" for number, noun in numbers if number is not None]
        return ", ".join([f"state {self.state}", *told])


@dataclass(frozen=True)
class Sample:
    """One attempt at reading a broker's metrics: what they say, or the ``reason`` why they say
    nothing.

    ``asked_at`` and ``answered_at`` are monotonic seconds. ``max_age`` (s) is how old the answer
    may be at ``asked_at``, where something keeps answers: 0 means that all was read after that,
    infinity that nobody knows; ``age_note`` says it in the source's words. ``silent`` means that
    nobody is there, in contrast to an answer that could not be had or understood;
    ``source_is_down``, that it is the ``source`` itself where nobody listened, and not the broker.
    ``advice`` is what a person looks at, or types to see the same. ``is_spared``: it was not asked
    at all. Where ``tells_process`` is False, this source knows no JVM, and nothing keeps its
    answers.
    """

    asked_at: float
    answered_at: float
    jvm: Jvm | None = None
    metrics: Metrics | None = None
    reason: str = ""
    silent: bool = False
    source_is_down: bool = False
    max_age: float = 0.0
    age_note: str = ""
    source: str = "the metrics endpoint"
    advice: str = ""
    is_spared: bool = False
    tells_process: bool = True


@dataclass(frozen=True)
class CommandResult:
    """How a command on a host ended, and the end of what it printed. ``seconds`` is how long it
    ran."""

    command: str
    status: int
    output: str
    seconds: float

    def __str__(self) -> str:
        said = f", and said: {self.said}" if self.output else ""
        return f"`{self.command}` ended with status {self.status}{said}"

    @property
    def said(self) -> str:
        """The end of the output, on one line."""
        line = " | ".join(part.strip() for part in self.output.splitlines() if part.strip())
        return line if len(line) <= SHOWN else f"...{line[-SHOWN:]}"


def state_name(state: int) -> str:
    """Return a BrokerState in words, with its number."""
    return f"{STATES.get(state, 'in an unknown state')} (state {state})"
