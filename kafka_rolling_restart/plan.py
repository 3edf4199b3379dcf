"""Who is restarted, in which order: choosing, showing, and the preflight that looks at every broker first."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from kafka_rolling_restart.cluster import Broker, Reading
from kafka_rolling_restart.config import ClusterConfig
from kafka_rolling_restart.errors import Refused, UsageError
from kafka_rolling_restart.health import HealthRule
from kafka_rolling_restart.host import BrokerHost, Readiness
from kafka_rolling_restart.parallel import in_parallel


def choose(brokers: Mapping[int, Broker], skip: int, ids: Sequence[int]) -> list[Broker]:
    """Return the brokers to restart: those with the given ids in that order, else all but the first ``skip``."""
    unknown = [str(broker_id) for broker_id in ids if broker_id not in brokers]
    if unknown:
        known = ", ".join(map(str, brokers))
        raise UsageError(f"--broker-ids: {', '.join(unknown)} not registered in /brokers/ids; there are: {known}")
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
    config: ClusterConfig, wanted: str | None, brokers: Mapping[int, Broker], controller: int | None, rule: HealthRule
) -> list[str]:
    """Return the plan's lines about the cluster. ``wanted`` is --discovery-base-path."""
    known, expected = len(brokers), len(config.broker_list)
    lines = [f"cluster {config.type}/{config.name}, configured in {config.path}, ZooKeeper {config.zookeeper}"]
    if wanted and config.path.parent != Path(wanted).expanduser():
        lines.append(f"WARNING: there is no {config.type}.yaml in {wanted}; the file above was found instead")
    seat = f"broker {controller}" if controller is not None else "none at this moment"
    lines.append(f"{known} brokers are registered; the configuration expects {expected}; the controller is {seat}")
    if known < expected:
        lines.append(
            f"WARNING: {expected - known} expected brokers are not registered; they are not watched and not restarted"
        )
    lines.append(
        f"healthy: {rule.count} checks in a row, {rule.interval:g} s apart, with at most {rule.limit:g} s unhealthy"
    )
    return lines


def table(brokers: Mapping[int, Broker], plan: Sequence[Broker]) -> list[str]:
    """Return a line for each broker: its place in the plan, or that it is left alone."""
    places = {broker.id: f"{place}." for place, broker in enumerate(plan, 1)}
    left = [broker for broker in brokers.values() if broker.id not in places]
    return [f"  {places.get(broker.id, 'skipped'):>7} {broker}" for broker in [*plan, *left]]


def preflight(
    brokers: Mapping[int, Broker],
    plan: Sequence[Broker],
    hosts: Mapping[int, BrokerHost],
    readings: Mapping[int, Reading],
) -> tuple[list[str], list[str]]:
    """Look at the hosts of the plan. Return all problems and, apart, what is good to know."""
    calls: dict[int, Callable[[], Readiness]] = {
        broker.id: partial(hosts[broker.id].preflight, readings[broker.id].jvm) for broker in plan
    }
    ready = in_parallel(calls)
    problems = [
        f"{broker}: its metrics do not answer: {readings[broker.id].reason}"
        for broker in brokers.values()
        if readings[broker.id].metrics is None
    ]
    problems += _same_jvms(brokers, readings)
    problems += [f"{broker}: {problem}" for broker in plan for problem in ready[broker.id].problems]
    notes = [
        f"NOTE: {broker}: its process cannot be seen on its host (container?): one proof less that it is gone"
        for broker in plan
        if not ready[broker.id].process_visible
    ]
    notes += [_cache_note(broker, readings[broker.id]) for broker in brokers.values()]
    return problems, list(filter(None, notes))


def _same_jvms(brokers: Mapping[int, Broker], readings: Mapping[int, Reading]) -> list[str]:
    """Find brokers whose proxies show one and the same JVM: the wrong one would be seen to go and to come."""
    seen: dict[tuple[int, int | None], list[Broker]] = {}
    for broker in brokers.values():
        jvm = readings[broker.id].jvm
        if jvm is not None:
            seen.setdefault((jvm.start_ms, jvm.pid), []).append(broker)
    return [
        f"{' and '.join(map(str, same))} show the same JVM (pid {pid}): do their names lead to one host?"
        for (_, pid), same in seen.items()
        if len(same) > 1
    ]


def _cache_note(broker: Broker, reading: Reading) -> str:
    if reading.emptied:
        return ""
    keeps = f"for {reading.cache_s:g} s" if reading.cache_s is not None else "for an unknown time"
    return f"NOTE: {broker}: its JMXProxy does not let us empty its cache, which keeps answers {keeps}"
