"""The proofs: what the three witnesses saw of a broker at one look, judged.

These are pure functions over plain values. They are the only place that decides when a broker is
gone, back or missing.
"""

from dataclasses import dataclass

from kafka_rolling_restart.model.broker import RUNNING, Jvm, Sample, counted, state_name
from kafka_rolling_restart.model.observation import Observation, Presence

UPTIME_TOLERANCE_S = 1.0  # rounding, and what a clock may be off
RESTARTED = "systemd started it again"


@dataclass(frozen=True)
class Before:
    """The broker as it was seen last before it was stopped. ``stopped_at`` is monotonic s."""

    registration: Observation
    jvm: Jvm
    stopped_at: float = 0.0


@dataclass(frozen=True)
class Evidence:
    """What was seen of the broker at one look. ``process`` is about the old process alone.

    ``is_fresh`` tells whether the sample is certainly newer than the one before. ``restarts`` is
    how often systemd started the broker again by itself since it was told to stop; ``killed_by``
    says what ended its last run by force, as far as systemd knows; ``gave_up``: systemd started
    it again, and does so no more.
    """

    registry: Observation
    sample: Sample
    process: Observation
    is_fresh: bool = False
    restarts: int = 0
    killed_by: str = ""
    gave_up: bool = False

    @property
    def answers(self) -> bool:
        """Whether a JVM certainly answers now."""
        return self.sample.jvm is not None and self.is_fresh

    @property
    def state(self) -> str:
        """What the broker says it does, if it says anything."""
        return state_name(self.sample.metrics.state) if self.sample.metrics else ""

    def __str__(self) -> str:
        if self.sample.jvm is not None and not self.sample.tells_process:
            serves = "serves" if self.sample.metrics else f"does not serve ({self.sample.reason})"
            metrics = f"its process runs, and {serves}"
        elif self.sample.jvm is not None:
            metrics = f"its JVM answers: {self.state or self.sample.reason or 'none'}"
        elif self.sample.is_spared:
            metrics = ""
        elif not self.sample.tells_process:
            metrics = f"it does not serve ({self.sample.reason or 'none'})"
            if self.sample.metrics:
                metrics = f"it serves, and its process is not seen ({self.sample.reason})"
        else:
            metrics = f"no metrics ({self.sample.reason or 'none'})"
        restarts = restarts_of(self)
        words = [self.registry.words, metrics, self.process.words, restarts]
        return ", ".join(filter(None, words))


def restarts_of(seen: Evidence) -> str:
    """Say how often systemd started the broker again, if it did."""
    if not seen.restarts:
        return ""
    return f"{RESTARTED} {counted(seen.restarts, 'time')} so far"


def is_gone(seen: Evidence) -> bool:
    """Tell whether the old process is proven to be gone.

    Its host showed that, and nothing fresh contradicts it; or, where the host cannot show it, both
    others are definite.
    """
    if seen.process.is_absent:
        return not seen.registry.is_present and not seen.answers
    return is_silent(seen)


def is_silent(seen: Evidence) -> bool:
    """Tell whether every witness that can tell anything says that the broker is not there."""
    process_is_away = seen.process.presence in (Presence.ABSENT, Presence.BLIND)
    return seen.registry.is_absent and seen.sample.silent and process_is_away


def is_down(seen: Evidence) -> bool:
    """Tell whether the broker is certainly down: silent, and a JVM that runs would have been
    found."""
    return is_silent(seen) and not seen.sample.source_is_down


def is_old(sample: Sample, before: Before) -> bool:
    """Tell whether a sample is of the process that was there before the stop."""
    return sample.jvm is not None and sample.jvm.life == before.jvm.life


def is_new(sample: Sample, before: Before) -> bool:
    """Tell whether a sample is of a later process. Where its host's clock went back, its uptime
    tells that."""
    if sample.jvm is None or is_old(sample, before):
        return False
    born = sample.asked_at - sample.jvm.uptime_ms / 1000
    return sample.jvm.start_ms > before.jvm.start_ms or (
        sample.max_age == 0 and born > before.stopped_at
    )


def is_running(sample: Sample) -> bool:
    """Tell whether the broker says that it serves."""
    return sample.metrics is not None and sample.metrics.state == RUNNING


def is_new_member(seen: Evidence, before: Before) -> bool:
    """Tell whether the broker is a member again, in a registration of its own where those can be
    told apart."""
    if not seen.registry.is_present:
        return False
    return seen.registry.identity is None or seen.registry.identity != before.registration.identity


def is_back(seen: Evidence, before: Before) -> bool:
    """Tell whether a new process is a member again, and serves."""
    if not is_new_member(seen, before) or not is_new(seen.sample, before):
        return False
    # What a cache says may be from before something happened; it is what the person has accepted.
    is_trusted = seen.answers or seen.sample.max_age > 0
    return is_trusted and is_running(seen.sample)


def runs_as_before(seen: Evidence, before: Before) -> bool:
    """Tell whether the old process serves as if nothing had happened.

    Its registration tells nothing: the session behind it may have been lost and made anew
    meanwhile.
    """
    is_same = is_old(seen.sample, before) and seen.registry.is_present
    return is_same and seen.answers and is_running(seen.sample)


def is_missing(seen: Evidence, before: Before, start_failed: bool) -> bool:
    """Tell whether nothing came of a start. One that failed is repeated without the word of the
    registry, too."""
    if is_gone(seen) and seen.registry.is_absent and is_old(seen.sample, before):
        return True  # a cache goes on answering for the process that is proven to be gone
    return is_silent(seen) or (start_failed and is_gone(seen) and seen.sample.jvm is None)


def born_before(sample: Sample, moment: float, tolerance: float) -> bool:
    """Tell whether a process was certainly born before a moment (monotonic s)."""
    if sample.jvm is None:
        return False
    return sample.answered_at - sample.jvm.uptime_ms / 1000 < moment - tolerance
