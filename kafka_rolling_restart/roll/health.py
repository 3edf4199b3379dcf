"""Pure judgement: readings in, verdict with reasons out; and the wait until a cluster is
healthy."""

import math
from collections.abc import Callable, Mapping

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.metrics.freshness import TOLERANCE_S, Freshness
from kafka_rolling_restart.model.broker import RUNNING, Broker, Sample, counted, state_name
from kafka_rolling_restart.model.cluster_state import ClusterState
from kafka_rolling_restart.model.observation import Observation
from kafka_rolling_restart.model.verdict import Health, Reason, Verdict, some
from kafka_rolling_restart.roll import quorum as quorums
from kafka_rolling_restart.roll.memory import JvmTracker
from kafka_rolling_restart.settings.rules import HealthRule

SOON_S = 0.25  # from the end of one look at a cluster that is not healthy to the next, at least
LEAST_S = 0.001  # of a pause: what is less may be nothing to a clock, and then it is never over
SOON_SHARE = 0.1  # of the time for which it was not healthy


class NeverHealthy(Exception):
    """The cluster was not healthy for longer than the limit. The message is the last reasons."""


def judge(
    expected: Mapping[int, Broker],
    members: Mapping[int, Observation],
    readings: Mapping[int, Sample],
    freshness: Freshness,
    jvms: JvmTracker,
    allow_cached: bool = False,
    state: ClusterState | None = None,
) -> Verdict:
    """Judge one check. ``members`` is what the registry says of each broker, ``state`` what the
    cluster says of itself; what is not known is not healthy.

    Metrics that may come out of a cache count only with ``allow_cached`` (--allow-cached-metrics).
    """
    wrong = (
        _not_members(expected, members)
        + _unread(readings)
        + _unsound(readings)
        + _restarted(readings, jvms)
    )
    wrong += _of_cluster(expected, readings, state)
    if not allow_cached:
        wrong += _cached(readings)
    stale, waiting = _stale(readings, freshness)
    if wrong or stale:
        return Verdict(Health.UNHEALTHY, tuple(_told_once(wrong + stale)))
    if waiting:
        return Verdict(Health.UNKNOWN, tuple(waiting))
    freshness.count(readings)
    return Verdict(Health.HEALTHY)


def judge_cluster(
    expected: Mapping[int, Broker], members: Mapping[int, Observation], state: ClusterState
) -> list[Reason]:
    """Judge what the registry and the cluster say, without any metrics. Return what is wrong."""
    return _told_once(_not_members(expected, members) + _of_cluster(expected, {}, state))


def _told_once(wrong: list[Reason]) -> list[Reason]:
    """Leave out what else is said of a voter that the quorum misses: it is one and the same."""
    missed = [one.key.removeprefix("voter ") for one in wrong if one.code == "voter-behind"]
    same = {f"{what} {voter}" for voter in missed for what in ("registration", "serving")}
    return [one for one in wrong if one.key not in same]


def _not_members(
    expected: Mapping[int, Broker], members: Mapping[int, Observation]
) -> list[Reason]:
    unknown = [seen for seen in members.values() if not seen.is_present and not seen.is_absent]
    if unknown:
        text = f"{unknown[0].words}, so it is not known which brokers are registered"
        return [Reason("registry", text, code="registry-unreachable")]
    return [
        Reason(
            f"registration {broker_id}",
            f"{node.kind} {broker_id} is {members[broker_id].words}",
            code="broker-not-registered",
        )
        for broker_id, node in expected.items()
        if members[broker_id].is_absent
    ]


def _unread(readings: Mapping[int, Sample]) -> list[Reason]:
    return [
        _no_metrics(broker_id, reading)
        for broker_id, reading in readings.items()
        if reading.metrics is None
    ]


def _no_metrics(broker_id: int, reading: Sample) -> Reason:
    if reading.tells_process:
        text = f"no metrics of broker {broker_id}: {reading.reason}"
        return Reason(f"metrics {broker_id}", text, code="no-metrics")
    text = f"node {broker_id} does not serve: {reading.reason}"
    return Reason(f"serving {broker_id}", text, code="not-serving")


def _restarted(readings: Mapping[int, Sample], jvms: JvmTracker) -> list[Reason]:
    """Return the brokers that run in another JVM than at the last look: they were down in
    between."""
    changes = {
        broker_id: jvms.changed(broker_id, reading) for broker_id, reading in readings.items()
    }
    return [
        Reason(
            f"jvm {broker_id}",
            f"broker {broker_id} was down since the last check: its JVM is a new one, which this "
            f"run did not start ({'the first time' if count == 1 else f'{count} times so far'})",
            code="broker-restarted-by-others",
        )
        for broker_id, count in changes.items()
        if count
    ]


def _unsound(readings: Mapping[int, Sample]) -> list[Reason]:
    known = {
        broker_id: reading.metrics for broker_id, reading in readings.items() if reading.metrics
    }
    reasons = [
        Reason(
            f"state {broker_id} {metrics.state}",
            f"broker {broker_id} is {state_name(metrics.state)}",
            code="broker-not-running",
        )
        for broker_id, metrics in known.items()
        if metrics.state != RUNNING
    ]
    behind = {
        broker_id: metrics.under_replicated
        for broker_id, metrics in known.items()
        if metrics.under_replicated
    }
    if behind:
        led = some(
            ", ",
            [f"{count} led by broker {broker_id}" for broker_id, count in behind.items()],
            "brokers",
        )
        total = counted(sum(behind.values()), "under-replicated partition")
        reasons.append(Reason("under-replicated", f"{total} ({led})", code="under-replicated"))
    offline = max((metrics.offline_partitions or 0 for metrics in known.values()), default=0)
    if offline:
        reasons.append(
            Reason("offline", counted(offline, "offline partition"), code="offline-partitions")
        )
    controllers = [broker_id for broker_id, metrics in known.items() if metrics.active_controllers]
    told = [
        metrics.active_controllers
        for metrics in known.values()
        if metrics.active_controllers is not None
    ]
    if told and len(known) == len(readings) and sum(told) != 1:
        where = ", ".join(f"broker {broker_id}" for broker_id in controllers)
        text = (
            f"{len(controllers)} active controllers instead of 1: {where}"
            if where
            else "no broker is the controller"
        )
        reasons.append(Reason("controller", text, code="controller-count"))
    return reasons


def _of_cluster(
    expected: Mapping[int, Broker], readings: Mapping[int, Sample], state: ClusterState | None
) -> list[Reason]:
    """Return what the cluster's own word says is wrong. Without it, the metrics must tell of the
    partitions."""
    if state is None:
        metrics = [one.metrics for one in readings.values() if one.metrics is not None]
        if any(one.under_replicated is None for one in metrics):
            text = "nothing tells whether all partitions are in sync"
            return [Reason("partitions", text, code="partitions-unknown")]
        return []
    if state.unknown:
        return [Reason("cluster", state.unknown, code="cluster-state-unknown")]
    if not state.witnesses:
        text = "no broker said how the partitions are"
        return [Reason("cluster", text, code="cluster-state-unknown")]
    wrong = _partitions(state)
    if state.quorum is not None:
        wrong += quorums.reasons(state.quorum, expected)
    wrong += [
        Reason(
            f"loading {broker_id}",
            f"the group coordinator of broker {broker_id} is still loading",
            code="coordinator-loading",
        )
        for broker_id in state.loading
    ]
    return wrong


def _partitions(state: ClusterState) -> list[Reason]:
    wrong: list[Reason] = []
    asked = " and ".join(f"broker {one}" for one in state.witnesses)
    fenced = ""
    if state.fenced:
        down = some(", ", [f"broker {one}" for one in sorted(state.fenced)], "brokers")
        fenced = f" ({down} is fenced: down, or still starting)"
    for found, kind, code in (
        (state.under_replicated, "under-replicated partition", "under-replicated"),
        (state.offline, "offline partition", "offline-partitions"),
    ):
        if found:
            names = some(", ", [str(one) for one in found], "partitions")
            text = f"{counted(len(found), kind)} in the metadata of {asked}: {names}{fenced}"
            wrong.append(Reason(f"{code} in metadata", text, code=code))
    return wrong


def _cached(readings: Mapping[int, Sample]) -> list[Reason]:
    return [
        Reason(
            f"cached {broker_id}",
            f"the metrics of broker {broker_id} may be old: {reading.age_note}",
            code="metrics-cached",
        )
        for broker_id, reading in readings.items()
        if reading.metrics is not None and reading.max_age > 0
    ]


def _stale(
    readings: Mapping[int, Sample], freshness: Freshness
) -> tuple[list[Reason], list[Reason]]:
    """Return what is stale, and what is no news yet because something keeps its answers."""
    stale: list[Reason] = []
    waiting: list[Reason] = []
    for broker_id, reading in readings.items():
        lag = freshness.lag(broker_id, reading)
        if lag > _allowed_lag(reading):
            text = (
                f"the metrics of broker {broker_id} are {lag:.0f} s old: they come out of a cache"
            )
            stale.append(Reason(f"stale {broker_id}", text, code="metrics-stale"))
        elif not freshness.moved_on(broker_id, reading):
            text = (
                f"the metrics of broker {broker_id} are the same as at the last check: they "
                "come out of a cache"
            )
            waiting.append(Reason(f"no news {broker_id}", text, code="metrics-not-new"))
    return stale, waiting


def _allowed_lag(reading: Sample) -> float:
    """Return how old (s) a sample may certainly be. Where nobody knows how long answers are kept,
    none is to be old."""
    if reading.max_age == 0:
        return 0.0
    return (0.0 if math.isinf(reading.max_age) else reading.max_age) + TOLERANCE_S


def wait_until_healthy(
    check: Callable[[], Verdict],
    rule: HealthRule,
    clock: Clock,
    tell: Callable[[Verdict, int], None],
    rest: Callable[[float], Verdict | None] | None = None,
) -> float:
    """Check until the cluster was healthy ``rule.count`` times in a row. Return when the last check
    began (s).

    The checks of a row are ``rule.interval`` s apart, at least; one that was not healthy is
    followed by the next sooner, so that a row begins soon after the cluster is whole.

    ``tell`` hears each verdict and how many healthy checks there are so far. Raises `NeverHealthy`
    when the time during which the cluster was not healthy, added up, reaches ``rule.limit`` (s). An
    unknown verdict neither counts nor breaks the row, and is bounded by the age that `judge` allows
    a reading. ``rest`` sleeps so many s from one check to the next, and returns a verdict that
    breaks the row, where it saw something meanwhile.
    """
    healthy, unhealthy, since, pause = 0, 0.0, clock.now(), 0.0
    while True:
        began = clock.now()
        verdict = check()
        now = clock.now()
        if verdict.health is Health.HEALTHY:
            healthy += 1
        elif verdict.health is Health.UNHEALTHY:
            healthy = 0
            unhealthy += min(now - since, max(pause, 0.0) + rule.longest_check)
        since = now
        tell(verdict, healthy)
        if healthy >= rule.count:
            return began
        if unhealthy >= rule.limit:
            raise NeverHealthy(verdict.why)
        pause = began + rule.interval - now
        if verdict.health is Health.UNHEALTHY:
            pause = min(pause, max(rule.limit - unhealthy, LEAST_S), _soon(unhealthy, now - began))
        if rest is None:
            clock.sleep(pause)
            continue
        seen = rest(pause)
        if seen is not None:
            healthy = 0
            tell(seen, healthy)


def _soon(unhealthy: float, took: float) -> float:
    """Return after how long (s) to look again at a cluster that is not healthy.

    A look costs a broker up to 3.5 s of a processor (11,500 MBeans): it gets as long a rest, and
    more where it will not be missed, in a cluster that has not been healthy for long (s).
    """
    return max(SOON_S, took, SOON_SHARE * unhealthy)
