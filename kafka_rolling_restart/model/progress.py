"""How far a run has come, as plain frozen values: what the live view, the report and the report
file are made of."""

from dataclasses import dataclass
from enum import Enum

from kafka_rolling_restart.model.broker import Broker, Jvm
from kafka_rolling_restart.model.verdict import Health, Reason


class State(Enum):
    """Where a broker of the plan stands. SKIPPED: somebody else restarted it since the run began.

    DOWN: it was stopped by this run, did not come back, and nothing of it was seen at last.
    """

    UNTOUCHED = "untouched"
    IN_HAND = "in hand"
    DOWN = "down"
    RESTARTED = "restarted"
    SKIPPED = "skipped"


class Step(Enum):
    """What the run is doing."""

    PREPARING = "preparing"
    WAITING = "waiting until the cluster is healthy"
    PRE_STOP = "pre-stop tasks"
    STOPPING = "stopping"
    POST_STOP = "post-stop tasks"
    STARTING = "starting"
    POST_START = "post-start tasks"
    ENDED = "ended"


@dataclass(frozen=True)
class Record:
    """One broker of the plan. Times are monotonic s; None is what has not happened or was not seen.

    ``complete``: all that the plan wants of it was done, its tasks included; ``had_tasks``: one was
    run for it.
    ``healthy_at`` is when the first check of the healthy row after its restart began,
    ``recovered_at`` when the last of that row had ended.
    """

    broker: Broker
    state: State = State.UNTOUCHED
    complete: bool = False
    had_tasks: bool = False
    old: Jvm | None = None
    new: Jvm | None = None
    stopped_at: float | None = None
    gone_at: float | None = None
    back_at: float | None = None
    healthy_at: float | None = None
    recovered_at: float | None = None
    trouble: str = ""
    start_line: str = ""  # what starts it by hand, once it was told to stop

    @property
    def down_s(self) -> float | None:
        """For how long (s) it was away: from the stop command to the look at which it was seen
        back."""
        return _between(self.stopped_at, self.back_at)

    @property
    def healthy_after_s(self) -> float | None:
        """How long (s) after the stop command the cluster was whole again."""
        return _between(self.stopped_at, self.healthy_at)

    @property
    def kind(self) -> State | None:
        """The same for brokers of which a window may leave some out; None for one that is always
        shown."""
        return None if self.trouble or self.state in (State.IN_HAND, State.DOWN) else self.state

    @property
    def is_touched(self) -> bool:
        """Tell whether this run did anything about it."""
        return self.had_tasks or self.stopped_at is not None

    @property
    def result(self) -> str:
        """What became of it, in few words."""
        state = "stopped, not seen back" if self.state is State.IN_HAND else self.state.value
        return ", ".join(filter(None, [state, self.trouble]))

    def __str__(self) -> str:
        """What became of it, and when."""
        parts = [self.result]
        if self.down_s is not None:
            parts.append(f"down for {duration(self.down_s)}")
        if self.healthy_after_s is not None:
            parts.append(f"cluster healthy {duration(self.healthy_after_s)} after the stop")
        if self.old is not None and self.new is not None:
            parts.append(f"JVM of {self.old.started} replaced by that of {self.new.started}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Progress:
    """A run at one moment (``now``, monotonic s).

    ``healthy`` of ``count`` checks in a row have been healthy in the present wait; ``health`` and
    ``reasons`` are of its last check. ``brokers`` are those that the step is about; ``detail`` is
    what was last said of them.
    """

    now: float
    began: float
    records: tuple[Record, ...] = ()
    step: Step = Step.PREPARING
    step_began: float = 0.0
    brokers: tuple[Broker, ...] = ()
    detail: str = ""
    count: int = 0
    healthy: int = 0
    health: Health | None = None
    reasons: tuple[Reason, ...] = ()
    rolling_since: float | None = None  # when the first wait had ended
    resume: str = ""  # the command that restarts those that are not known to be restarted

    def having(self, *states: State) -> list[Record]:
        """Return the records in these states, in the order of the plan."""
        return [record for record in self.records if record.state in states]

    @property
    def left(self) -> list[Broker]:
        """The brokers for which not all was done that the plan wants, in its order."""
        return [record.broker for record in self.records if not record.complete]

    @property
    def places(self) -> list[int]:
        """The places in the plan, from 1, of the brokers that the step is about."""
        return [place for place, one in enumerate(self.records, 1) if one.broker in self.brokers]

    def left_s(self, now: float) -> float | None:
        """Return how long (s) the rest will take, by the brokers that were restarted so far.

        None before the first, and where nothing but the last one is left, and takes longer than the
        others did.
        """
        ends = [
            record.recovered_at
            for record in self.having(State.RESTARTED)
            if record.recovered_at is not None
        ]
        if not ends or self.rolling_since is None:
            return None
        each = (max(ends) - self.rolling_since) / len(ends)
        left = len(self.records) - len(self.having(State.SKIPPED)) - len(ends)
        rest = max(left * each - (now - max(ends)), (left - 1) * each)
        return rest if rest > 0 else None


def duration(seconds: float) -> str:
    """Say a time as a person does: ``41 s``, ``12 min 41 s``, ``3 h 05 min``, ``4 d 2 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def _between(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else end - begin
