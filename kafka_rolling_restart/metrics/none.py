"""No metrics: a broker serves if its listener answers, a controller if it follows the quorum.

Nothing keeps such answers, so each is news. Of the process they tell nothing: that comes from the
node's host. Of partitions they tell nothing either: that comes from the cluster's metadata.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.model.broker import RUNNING, Metrics, Sample
from kafka_rolling_restart.model.serving import Serving

# Asks nodes whether they serve, all at the same time, within so many s. Never raises.
Ask = Callable[[Collection[int], float], Mapping[int, Serving]]
ADVICE = "Check its log, and its advertised.listeners"


@dataclass(frozen=True)
class NoMetrics:
    """One node, by its own word. ``timeout`` (s) bounds the answer."""

    node_id: int
    ask: Ask
    clock: Clock
    timeout: float
    tells_process = False

    def read(self) -> Sample:
        """Ask whether the node serves now. Never raises."""
        return read_all([self.node_id], self.ask, self.clock, self.timeout)[self.node_id]


def read_all(ids: Collection[int], ask: Ask, clock: Clock, timeout: float) -> dict[int, Sample]:
    """Ask many nodes at the same time whether they serve. Never raises."""
    asked_at = clock.now()
    answers = ask(ids, timeout)
    answered_at = clock.now()
    return {
        one: _sample(asked_at, answered_at, answers.get(one, Serving(False, reason="no answer")))
        for one in ids
    }


def _sample(asked_at: float, answered_at: float, serving: Serving) -> Sample:
    metrics = Metrics(RUNNING) if serving.serves else None
    return Sample(
        asked_at,
        answered_at,
        metrics=metrics,
        reason=serving.reason,
        silent=serving.refused,
        source="its listener",
        advice=ADVICE,
        tells_process=False,
    )
