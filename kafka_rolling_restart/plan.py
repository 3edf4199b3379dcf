"""Who is restarted, in which order: choosing, showing, and the preflight that looks at every broker first."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kafka_rolling_restart.cluster import Broker, Reading
from kafka_rolling_restart.config import ClusterConfig
from kafka_rolling_restart.errors import Refused, UsageError
from kafka_rolling_restart.health import HealthRule
from kafka_rolling_restart.host import BrokerHost, Readiness
from kafka_rolling_restart.parallel import in_parallel, reminding
from kafka_rolling_restart.window import ranges

LEFT_ALONE = "left alone"
FEW = 10  # brokers with the same note that get a line each
NEWS_S = 5.0  # from one word about the hosts that were looked at to the next


def choose(brokers: Mapping[int, Broker], skip: int, ids: Sequence[int]) -> list[Broker]:
    """Return the brokers to restart: those with the given ids in that order, else all but the first ``skip``."""
    unknown = ", ".join(ranges(broker_id for broker_id in ids if broker_id not in brokers))
    if unknown:
        known = ", ".join(ranges(brokers))
        raise UsageError(f"--broker-ids: {unknown} not registered in /brokers/ids; there are: {known}")
    if skip > len(brokers):
        raise UsageError(f"--skip {skip} is more than the {len(brokers)} brokers of the cluster")
    return [brokers[broker_id] for broker_id in ids] if ids else list(brokers.values())[skip:]


def started_before(moment: float, reading: Reading) -> bool:
    """Tell whether a broker's JVM started before a moment (monotonic s); its uptime tells it, not its host's clock."""
    return reading.jvm is not None and reading.answered_at - reading.jvm.uptime_ms / 1000 < moment


def require_own_hosts(brokers: Mapping[int, Broker]) -> None:
    """Refuse several brokers on one host, where a stop command would not know which of them is meant."""
    by_host: dict[str, list[int]] = {}
    for broker in brokers.values():
        by_host.setdefault(broker.host, []).append(broker.id)
    shared = [f"{host}: {', '.join(map(str, ids))}" for host, ids in by_host.items() if len(ids) > 1]
    if shared:
        raise Refused(f"several brokers on one host, where the stop command would not know which: {'; '.join(shared)}")


def describe(
    config: ClusterConfig, wanted: str | None, brokers: Mapping[int, Broker], controller: int | None
) -> tuple[list[str], list[str]]:
    """Return the plan's lines about the cluster, and the warnings. ``wanted`` is --discovery-base-path."""
    known, expected = len(brokers), len(config.broker_list)
    source = f"configured in {config.path}, ZooKeeper {config.zookeeper}" if config.path else "named by --zookeeper"
    lines, warnings = [f"cluster {config.label}, {source}"], []
    if wanted and config.path and config.path.parent != Path(wanted).expanduser():
        warnings.append(f"there is no {config.type}.yaml in {wanted}; {config.path} was found instead")
    seat = f"broker {controller}" if controller is not None else "none at this moment"
    expects = f"; the configuration expects {expected}" if config.path else ""
    lines.append(f"{known} brokers are registered{expects}; the controller is {seat}")
    if known < expected:
        warnings.append(
            f"{expected - known} expected brokers are not registered; they are not watched and not restarted"
        )
    return lines, warnings


def rules(rule: HealthRule, stop: str, start: str) -> list[str]:
    """Return the plan's lines about what is done and when it goes on."""
    checks = f"{rule.count} checks {rule.interval:g} s apart" if rule.count > 1 else "1 check"
    return [
        f"commands: stop `{stop}`, start `{start}`",
        f"healthy in {checks}, at most {rule.limit:g} s unhealthy",
    ]


def least_s(plan: Sequence[Broker], rule: HealthRule) -> float:
    """Return how long (s) a roll takes at least: a wait before, between and after the restarts, which come on top."""
    return (len(plan) + 1) * (rule.count - 1) * rule.interval if plan else 0.0


@dataclass(frozen=True)
class Finding:
    """What the preflight saw of one broker."""

    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.problems:
            return f"{len(self.problems)} problem(s), see below"
        return "ok, see the notes" if self.notes else "ok"


@dataclass(frozen=True)
class PlanRow:
    """One broker in the plan's table. ``order`` is its place, or that it is left alone."""

    order: str
    broker: Broker
    since: str
    role: str
    found: str
    has_problems: bool = False

    @property
    def kind(self) -> Hashable | None:
        """The same for rows of which a window may leave some out; None for one that is always shown."""
        return None if self.has_problems or self.role else (self.order == LEFT_ALONE, self.found)

    @property
    def line(self) -> str:
        """The row as text."""
        place = self.order if self.order == LEFT_ALONE else f"place {self.order}"
        since = f"up since {self.since}" if self.since else "not known since when it is up"
        rack = f"rack {self.broker.rack}" if self.broker.rack else ""
        return f"plan: {', '.join(filter(None, [place, rack, since, self.role, f'preflight: {self.found}']))}"


def table(
    brokers: Mapping[int, Broker],
    plan: Sequence[Broker],
    controller: int | None,
    readings: Mapping[int, Reading],
    findings: Mapping[int, Finding],
) -> list[PlanRow]:
    """Return a row for each broker: those of the plan in its order, then those that are left alone."""
    places = {broker.id: str(place) for place, broker in enumerate(plan, 1)}
    left = [broker for broker in brokers.values() if broker.id not in places]
    return [
        PlanRow(
            order=places.get(broker.id, LEFT_ALONE),
            broker=broker,
            since=jvm.started if (jvm := readings[broker.id].jvm) else "",
            role="controller" if broker.id == controller else "",
            found=str(findings[broker.id]),
            has_problems=bool(findings[broker.id].problems),
        )
        for broker in [*plan, *left]
    ]


def preflight(
    brokers: Mapping[int, Broker],
    plan: Sequence[Broker],
    hosts: Mapping[int, BrokerHost],
    readings: Mapping[int, Reading],
    tell: Callable[[int], None] = lambda _looked: None,
    every: float = NEWS_S,
) -> dict[int, Finding]:
    """Look at the hosts of the plan. Return what was found of every broker of the cluster.

    ``tell`` hears, each few s and on another thread, how many hosts were looked at.
    """
    looked: list[int] = []

    def look(broker_id: int) -> Readiness:
        found = hosts[broker_id].preflight(readings[broker_id].jvm)
        looked.append(broker_id)
        return found

    with reminding(every, lambda _seconds: tell(len(looked))):
        ready = in_parallel({broker.id: partial(look, broker.id) for broker in plan})
    shared = _same_jvms(brokers, readings)
    return {
        broker.id: _finding(readings[broker.id], ready.get(broker.id), shared.get(broker.id, ""))
        for broker in brokers.values()
    }


def notes(brokers: Mapping[int, Broker], findings: Mapping[int, Finding]) -> list[tuple[str, str]]:
    """Return each note with the broker that it is about; one that is about many is one note that names them."""
    found: dict[str, list[Broker]] = {}
    for broker in brokers.values():
        for note in findings[broker.id].notes:
            found.setdefault(note, []).append(broker)
    return [told for note, those in found.items() for told in _noted(note, those)]


def _noted(note: str, brokers: Sequence[Broker]) -> list[tuple[str, str]]:
    if len(brokers) <= FEW:
        return [(note, str(one)) for one in brokers]
    return [(f"{note}: broker {', '.join(ranges(one.id for one in brokers))}", "")]


def _finding(reading: Reading, ready: Readiness | None, shared: str) -> Finding:
    """Put together what was found of one broker; ``ready`` is None where its host was not looked at."""
    problems = [f"its metrics do not answer: {reading.reason}" if reading.metrics is None else "", shared]
    notes = [_cache_note(reading)]
    if ready is not None:
        problems += ready.problems
        if not ready.process_visible:
            notes.append("its process cannot be seen on its host (container?): one proof less that it is gone")
    return Finding(tuple(filter(None, problems)), tuple(filter(None, notes)))


def _same_jvms(brokers: Mapping[int, Broker], readings: Mapping[int, Reading]) -> dict[int, str]:
    """Find brokers whose proxies show one and the same JVM: the wrong one would be seen to go and to come."""
    seen: dict[tuple[int, int | None], list[Broker]] = {}
    for broker in brokers.values():
        jvm = readings[broker.id].jvm
        if jvm is not None:
            seen.setdefault((jvm.start_ms, jvm.pid), []).append(broker)
    return {
        broker.id: f"{' and '.join(map(str, same))} show the same JVM (pid {pid}): do their names lead to one host?"
        for (_, pid), same in seen.items()
        if len(same) > 1
        for broker in same
    }


def _cache_note(reading: Reading) -> str:
    if reading.emptied:
        return ""
    keeps = f"for {reading.cache_s:g} s" if reading.cache_s is not None else "for an unknown time"
    return f"its JMXProxy does not let us empty its cache, which keeps answers {keeps}"
