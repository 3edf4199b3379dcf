"""Who is restarted, in which order: choosing, showing, and the preflight that looks at every broker
first."""

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kafka_rolling_restart.errors import Refused, UsageError
from kafka_rolling_restart.hosts.base import Host, Readiness
from kafka_rolling_restart.model.broker import Broker, Sample, counted, how_many
from kafka_rolling_restart.model.cluster_state import Quorum
from kafka_rolling_restart.model.observation import Presence
from kafka_rolling_restart.model.plan_row import LEFT_ALONE, PlanRow
from kafka_rolling_restart.model.problem import Problem
from kafka_rolling_restart.output.summarize import ranges
from kafka_rolling_restart.parallel import in_parallel, reminding
from kafka_rolling_restart.roll import quorum as quorums
from kafka_rolling_restart.settings.cluster import ClusterConfig
from kafka_rolling_restart.settings.rules import HealthRule
from kafka_rolling_restart.settings.run import ALL, BROKERS

FEW = 10  # brokers with the same note or problem that get a line each
FIRST = 3  # of more brokers with the same problem get a line each
ADDRESS = re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b|\bpid \d+")
# a broker waits for the quorum so long before it exits (Kafka 4.1)
GRACEFUL_STOP_S = 300.0
NEWS_S = 5.0  # from one word about the hosts that were looked at to the next


def of_roles(nodes: Mapping[int, Broker], roles: str) -> dict[int, Broker]:
    """Return the nodes that ``roles`` names. Raises `Refused` where there is none."""
    found = {one.id: one for one in nodes.values() if _is_wanted(one, roles)}
    if not found:
        raise Refused(
            f"--roles {roles}: this cluster has no dedicated controller. Nodes that are broker and "
            "controller in one are brokers",
            code="no-controller-registered",
        )
    return found


def _is_wanted(node: Broker, roles: str) -> bool:
    if roles == ALL:
        return True
    return node.is_broker == (roles == BROKERS)


def in_order(chosen: Sequence[Broker], leader: int | None, controllers_first: bool) -> list[Broker]:
    """Return the nodes in the order of their restarts: dedicated controllers together, and the
    leader of the quorum behind all other voters of its kind."""
    controllers = [one for one in chosen if not one.is_broker]
    brokers = [one for one in chosen if one.is_broker]
    parts = [_leader_last(controllers, leader), _leader_last(brokers, leader)]
    if not controllers_first:
        parts.reverse()
    return [one for part in parts for one in part]


def _leader_last(nodes: Sequence[Broker], leader: int | None) -> list[Broker]:
    leading = [one for one in nodes if one.is_controller and one.id == leader]
    return [*(one for one in nodes if one not in leading), *leading]


def choose(
    brokers: Mapping[int, Broker],
    skip: int,
    ids: Sequence[int],
    others: Mapping[int, Broker] | None = None,
) -> list[Broker]:
    """Return the brokers to restart: those with the given ids in that order, else all but the first
    ``skip``. ``others`` are nodes that --roles leaves out."""
    left_out = [others[one] for one in ids if others and one in others and one not in brokers]
    if left_out:
        names = ", ".join(f"{one.kind} {one.id}" for one in left_out)
        raise UsageError(
            f"--broker-ids: --roles leaves out {names}. Give --roles all, or other ids",
            code="broker-ids-unknown",
        )
    unknown = ", ".join(ranges(broker_id for broker_id in ids if broker_id not in brokers))
    if unknown:
        known = ", ".join(ranges(brokers))
        raise UsageError(
            f"--broker-ids: {unknown} not registered; registered: {known}. If it is down or "
            "fenced, start it first",
            code="broker-ids-unknown",
        )
    if skip > len(brokers):
        raise UsageError(
            f"--skip {skip} is too many: {counted(len(brokers), 'broker')} registered. Give "
            f"{len(brokers)} at most",
            code="skip-too-large",
        )
    return [brokers[broker_id] for broker_id in ids] if ids else list(brokers.values())[skip:]


def started_before(moment: float, reading: Sample) -> bool:
    """Tell whether a broker's JVM started before a moment (monotonic s); its uptime tells it, not
    its host's clock."""
    return reading.jvm is not None and reading.answered_at - reading.jvm.uptime_ms / 1000 < moment


def require_hosts(nodes: Iterable[Broker]) -> None:
    """Refuse nodes whose host the cluster does not tell. Raises `Refused`."""
    unknown = ", ".join(f"{one.kind} {one.id}" for one in nodes if not one.host)
    if unknown:
        raise Refused(
            f"the cluster does not tell the host of {unknown}: Kafka does so from 3.9 on. Restart "
            "these by hand, and give --roles brokers; no broker was touched",
            code="controller-host-unknown",
        )


def require_own_commands(
    nodes: Iterable[Broker], commands: Callable[[Broker], tuple[str, str]]
) -> None:
    """Refuse several nodes on one host whose stop or start commands do not tell them apart.

    ``commands`` gives the stop and the start command of a node. Raises `Refused`.
    """
    by_command: dict[tuple[str, str], list[Broker]] = {}
    for node in nodes:
        for command in commands(node):
            by_command.setdefault((node.host, command), []).append(node)
    shared = [
        f"{' and '.join(f'{one.kind} {one.id}' for one in same)} on {host} (`{command}`)"
        for (host, command), same in by_command.items()
        if len({one.id for one in same}) > 1
    ]
    if shared:
        raise Refused(
            "several nodes on one host, where a command does not tell them apart: "
            f"{'; '.join(shared)}. Put {{id}} into --stop-command and --start-command, such as "
            "`systemctl stop kafka-{id}`, or give --controller-stop-command and "
            "--controller-start-command; no broker was touched",
            code="several-brokers-on-one-host",
        )


def describe(
    config: ClusterConfig,
    where: str,
    wanted: str | None,
    brokers: Mapping[int, Broker],
    controller: int | None,
) -> tuple[list[str], list[Problem]]:
    """Return the plan's lines about the cluster, and the warnings.

    ``where`` is the registry and its address; ``wanted`` is --discovery-base-path.
    """
    members = [one for one in brokers.values() if one.is_broker]
    known, expected = len(members), len(config.broker_list)
    source = f"configured in {config.path}, {where}" if config.path else "named on the command line"
    lines = [f"cluster {config.label}, {source}"]
    warnings: list[Problem] = []
    if wanted and config.path and config.path.parent != Path(wanted).expanduser():
        text = f"there is no {config.type}.yaml in {wanted}; {config.path} was found instead"
        warnings.append(Problem(text, code="cluster-type-elsewhere"))
    seat = f"controller: {_name(controller, brokers)}"
    if any(one.is_controller for one in brokers.values()):
        seat = f"the quorum's leader: {_name(controller, brokers)}"
    expects = f"; the configuration expects {counted(expected, 'broker')}" if config.path else ""
    are = "is" if len(brokers) == 1 else "are"
    lines.append(f"{how_many(brokers.values())} {are} registered{expects}; {seat}")
    if known < expected:
        text = (
            f"{known} of {counted(expected, 'broker')} in broker_list are members now; the others "
            "will be neither checked nor restarted. If one is down, start it "
            f"first{_absent(config.broker_list, brokers, expected - known)}"
        )
        warnings.append(Problem(text, code="brokers-missing"))
    return lines, warnings


def _name(controller: int | None, brokers: Mapping[int, Broker]) -> str:
    if controller is None:
        return "none at this moment"
    node = brokers.get(controller)
    return f"{node.kind if node else 'node'} {controller}"


def _absent(broker_list: Sequence[str], brokers: Mapping[int, Broker], count: int) -> str:
    """Return who of the list is not registered, where the list has the names under which brokers
    register."""
    hosts = {broker.host for broker in brokers.values()}
    absent = [one for one in broker_list if one.rpartition(":")[0].strip("[]") not in hosts]
    return f". Not among them: {', '.join(absent)}" if len(absent) == count else ""


def rules(
    rule: HealthRule,
    commands: tuple[str, str],
    controller_commands: tuple[str, str] | None = None,
) -> list[str]:
    """Return the plan's lines about what is done and when it goes on.

    ``controller_commands`` stop and start the dedicated controllers of the plan, if it has any and
    theirs are others.
    """
    checks = f"{rule.count} checks {rule.interval:g} s apart" if rule.count > 1 else "1 check"
    lines = [f"commands: {_both(commands)}"]
    if controller_commands is not None and controller_commands != commands:
        lines.append(f"commands for controllers: {_both(controller_commands)}")
    return [*lines, f"healthy in {checks}, at most {rule.limit:g} s unhealthy"]


def _both(commands: tuple[str, str]) -> str:
    stop, start = commands
    return f"stop `{stop}`, start `{start}`"


def left_alone(before: Sequence[Broker], after: Sequence[Broker], with_tasks: bool) -> str:
    """Say who is left out for being younger than --started-before, and what that means, or
    nothing."""
    left = ranges(one.id for one in before if one not in after)
    if not left:
        return ""
    tasks = (
        ". No task is run for these: leave --started-before out where theirs were not run"
        if with_tasks
        else ""
    )
    return (
        "left alone, because their JVMs started after --started-before: broker "
        f"{', '.join(left)}{tasks}"
    )


def least_s(plan: Sequence[Broker], rule: HealthRule) -> float:
    """Return how long (s) a roll takes at least: a wait before, between and after the restarts,
    which come on top."""
    return (len(plan) + 1) * (rule.count - 1) * rule.interval if plan else 0.0


@dataclass(frozen=True)
class Finding:
    """What the preflight saw of one broker."""

    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    host_seen: bool = True
    unseen: str = "metrics ok"  # what is said of a node whose host was not looked at

    def __str__(self) -> str:
        if self.problems:
            return f"{counted(len(self.problems), 'problem')}, see below"
        good = "ok" if self.host_seen else self.unseen
        return f"{good}, see the notes" if self.notes else good


def table(
    brokers: Mapping[int, Broker],
    plan: Sequence[Broker],
    controller: int | None,
    readings: Mapping[int, Sample],
    findings: Mapping[int, Finding],
) -> list[PlanRow]:
    """Return a row for each broker: those of the plan in its order, then those that are left
    alone."""
    places = {broker.id: str(place) for place, broker in enumerate(plan, 1)}
    left = [broker for broker in brokers.values() if broker.id not in places]
    return [
        PlanRow(
            order=places.get(broker.id, LEFT_ALONE),
            broker=broker,
            since=jvm.started if (jvm := readings[broker.id].jvm) else "",
            role=role(broker, controller),
            found=str(findings[broker.id]),
            problems=tuple(
                _in_general(problem.text, broker) for problem in findings[broker.id].problems
            ),
        )
        for broker in [*plan, *left]
    ]


def role(broker: Broker, controller: int | None) -> str:
    """Return what a node is beside a broker. ``controller`` is the active controller, which in
    KRaft leads the quorum."""
    is_active = broker.id == controller
    if not broker.is_controller:
        return "controller" if is_active else ""
    name = "combined" if broker.is_broker else "controller"
    return f"{name}, leader" if is_active else name


@dataclass(frozen=True)
class Looked:
    """What was found on a host, and when (monotonic s): a login may take a minute."""

    ready: Readiness
    at: float


def look_at_hosts(
    those: Sequence[Broker],
    hosts: Mapping[int, Host],
    readings: Mapping[int, Sample],
    now: Callable[[], float],
    tell: Callable[[int], None] = lambda _looked: None,
    every: float = NEWS_S,
) -> dict[int, Looked]:
    """Look at hosts, all at the same time. Where no metrics tell of a process, it is looked for.

    ``tell`` hears, each few s and on another thread, how many hosts were looked at.
    """
    looked: list[int] = []

    def look(broker_id: int) -> Looked:
        reading = readings[broker_id]
        found = hosts[broker_id].preflight(reading.jvm, find=not reading.tells_process)
        looked.append(broker_id)
        return Looked(found, now())

    with reminding(every, lambda _seconds: tell(len(looked))):
        return in_parallel({broker.id: partial(look, broker.id) for broker in those})


def findings(
    brokers: Mapping[int, Broker],
    readings: Mapping[int, Sample],
    ready: Mapping[int, Readiness],
    allow_cached: bool = False,
    quorum: Quorum | None = None,
    commands: Callable[[Broker], tuple[str, str]] | None = None,
) -> dict[int, Finding]:
    """Put together what was found of every broker of the cluster. ``ready`` has the hosts that were
    looked at; ``commands`` gives the stop and the start command of a node."""
    shared = _same_jvms(brokers, readings)
    if commands is not None:
        shared = {**same_machines(ready, brokers, commands), **shared}
    return {
        broker.id: _finding(
            broker,
            readings[broker.id],
            ready.get(broker.id),
            shared.get(broker.id),
            allow_cached,
            quorum,
        )
        for broker in brokers.values()
    }


def looking(known: Collection[Broker], planned: int) -> str:
    """Return the line about what the preflight looks at, of the ``known`` nodes of which
    ``planned`` are restarted."""
    if not planned:
        return f"preflight: looking at {how_many(known)}, and at no host"
    return f"preflight: looking at {how_many(known)}, and at the hosts of {planned}"


def good(readings: Collection[Sample], planned: int) -> str:
    """Return the line about a preflight that found no problem; it claims nothing of hosts that were
    not looked at."""
    known = len(readings)
    answer = "all metrics answer"
    if not any(one.tells_process for one in readings):
        answer = "all nodes serve"
    if not planned:
        return f"preflight: {answer}; the plan has no broker, so no host and no command was checked"
    every = "every host" if planned == known else f"every host of the plan ({planned} of {known})"
    return f"preflight: {every} lets us in, both commands are allowed, {answer}"


def notes(
    brokers: Mapping[int, Broker], findings: Mapping[int, Finding]
) -> list[tuple[Problem, str]]:
    """Return each note with the broker that it is about; one that is about many is one note that
    names them."""
    groups = _grouped(
        brokers, {broker_id: finding.notes for broker_id, finding in findings.items()}
    )
    return [told for those in groups for told in _noted(those)]


def _noted(those: Sequence[tuple[Broker, Problem]]) -> list[tuple[Problem, str]]:
    if len(those) <= FEW:
        return [(note, str(broker)) for broker, note in those]
    first = those[0][1]
    ids = ", ".join(ranges(broker.id for broker, _note in those))
    return [(Problem(f"{first.text}: broker {ids}", code=first.code), "")]


def problems(
    brokers: Mapping[int, Broker], findings: Mapping[int, Finding]
) -> list[tuple[Problem, str]]:
    """Return each problem with the broker that it is about; of one that very many have, the first,
    and who else."""
    groups = _grouped(
        brokers, {broker_id: finding.problems for broker_id, finding in findings.items()}
    )
    return [told for those in groups for told in _told(those)]


def _told(those: Sequence[tuple[Broker, Problem]]) -> list[tuple[Problem, str]]:
    told = [(problem, str(broker)) for broker, problem in those]
    if len(those) <= FEW:
        return told
    others = [broker.id for broker, _problem in those[FIRST:]]
    same = (
        f"{len(others)} more brokers have the same problem as {those[0][0]}: broker "
        f"{', '.join(ranges(others))}"
    )
    return [*told[:FIRST], (Problem(same, code=those[0][1].code), "")]


def _grouped(
    brokers: Mapping[int, Broker], told: Mapping[int, Sequence[Problem]]
) -> list[Sequence[tuple[Broker, Problem]]]:
    """Put together what says the same of several brokers, in the order in which it is said
    first."""
    found: dict[str, list[tuple[Broker, Problem]]] = {}
    for broker in brokers.values():
        for problem in told[broker.id]:
            found.setdefault(_in_general(problem.text, broker), []).append((broker, problem))
    return list(found.values())


def _in_general(text: str, broker: Broker) -> str:
    """Return a text without what is this broker's own in it, so that it is seen to be said of
    others, too."""
    return ADDRESS.sub("…", text.replace(broker.host, "…"))


def _finding(
    broker: Broker,
    reading: Sample,
    ready: Readiness | None,
    shared: Problem | None,
    allow_cached: bool,
    quorum: Quorum | None,
) -> Finding:
    """Put together what was found of one broker; ``ready`` is None where its host was not looked
    at."""
    problems = [_metrics_problem(broker, reading), shared]
    notes: list[Problem | None] = []
    if allow_cached:
        notes.append(_cache_note(reading))
    else:
        problems.append(_cache_problem(reading))
    if ready is not None:
        problems += ready.problems
        problems += [_quorum_problem(broker, quorum), _not_found(ready)]
        notes.append(_stop_timeout_note(ready, quorum))
        if not ready.process_visible and not ready.problems and reading.jvm is not None:
            text = (
                "its process cannot be seen on its host (in a container?): whether it is gone "
                "will be judged by its registration and its metrics alone"
            )
            notes.append(Problem(text, code="process-not-visible"))
    unseen = "metrics ok" if reading.tells_process else "serves"
    return Finding(_those(problems), _those(notes), host_seen=ready is not None, unseen=unseen)


def _those(found: Iterable[Problem | None]) -> tuple[Problem, ...]:
    return tuple(one for one in found if one is not None)


def _metrics_problem(broker: Broker, reading: Sample) -> Problem | None:
    if reading.metrics is not None:
        return None
    if not broker.is_broker:
        text = (
            f"it does not serve: {reading.reason}. It is down, starting, or cut off: check its log"
        )
        return Problem(text, code="not-serving")
    if not reading.tells_process:
        return Problem(f"it does not serve: {reading.reason}. {reading.advice}", code="not-serving")
    return Problem(f"no metrics: {reading.reason}. {reading.advice}", code="no-metrics")


def _not_found(ready: Readiness) -> Problem | None:
    """Return the problem of a process that only the host could show, and does not."""
    found = ready.found
    if found is None or found.presence is Presence.PRESENT or ready.problems:
        return None
    text = (
        f"its process cannot be found on its host, so nothing would prove that it is gone: "
        f"{found.words.rstrip('.')}"
    )
    if found.presence is not Presence.BLIND:
        text += (
            ". If it is down, start it first. If it runs there, give --process-pattern; a broker "
            "in a container needs a source of metrics (--metrics)"
        )
    return Problem(text, code="process-not-identified")


def _quorum_problem(broker: Broker, seen: Quorum | None) -> Problem | None:
    if seen is None or not quorums.never_tolerates(broker, seen):
        return None
    text = (
        f"it is one of {counted(len(seen.voters), 'voter')} of the quorum: while it is down, the "
        "cluster has no controller, whatever the order. Restart it by hand, or leave it out "
        "(--broker-ids)"
    )
    return Problem(text, code="quorum-too-small")


def _stop_timeout_note(ready: Readiness, seen: Quorum | None) -> Problem | None:
    """Tell of a unit that systemd kills before a graceful stop may be over."""
    found = ready.found
    if seen is None or found is None or found.stop_timeout_s is None:
        return None
    if found.stop_timeout_s >= GRACEFUL_STOP_S:
        return None
    text = (
        f"systemd kills {found.unit} {found.stop_timeout_s:g} s after it was told to stop "
        f"(TimeoutStopSec); a graceful stop may take up to {GRACEFUL_STOP_S:g} s where the quorum "
        "is slow"
    )
    return Problem(text, code="stop-timeout-short")


def _same_jvms(brokers: Mapping[int, Broker], readings: Mapping[int, Sample]) -> dict[int, Problem]:
    """Find brokers whose metrics show one and the same JVM: the wrong one would be seen to go and
    to come."""
    seen: dict[tuple[Hashable, int | None], list[Broker]] = {}
    for broker in brokers.values():
        jvm = readings[broker.id].jvm
        if jvm is not None:
            seen.setdefault((jvm.life, jvm.pid), []).append(broker)
    found: dict[int, Problem] = {}
    for (_start, pid), same in seen.items():
        if len(same) == 1:
            continue
        for broker in same:
            text = (
                f"its metrics show the same JVM (pid {pid}) as those of {_others(broker, same)}. "
                "Check whether their names lead to one host, and check the address of the metrics"
            )
            found[broker.id] = Problem(text, code="same-jvm-twice")
    return found


def same_machines(
    ready: Mapping[int, Readiness],
    nodes: Mapping[int, Broker],
    commands: Callable[[Broker], tuple[str, str]],
) -> dict[int, Problem]:
    """Find nodes that one command would mean on one machine, which has several names: a command for
    one of them stops the others, too."""
    seen: dict[tuple[Hashable, str], set[int]] = {}
    for node_id, readiness in ready.items():
        machine = _machine(readiness)
        if machine is not None:
            for command in commands(nodes[node_id]):
                seen.setdefault((machine, command), set()).add(node_id)
    found: dict[int, Problem] = {}
    for (_machine_id, command), ids in seen.items():
        for node_id in ids if len(ids) > 1 else ():
            same = [nodes[one] for one in sorted(ids)]
            text = (
                f"its host is the same machine as that of {_others(nodes[node_id], same)}, and "
                f"`{command}` does not tell them apart. Put {{id}} into the commands, such as "
                "`systemctl stop kafka-{id}`, or give --controller-stop-command and "
                "--controller-start-command"
            )
            found[node_id] = Problem(text, code="several-brokers-on-one-host")
    return found


def _machine(ready: Readiness) -> Hashable | None:
    """Return what is the same for two names of one machine: the id of its boot."""
    jvm = ready.found.jvm if ready.found is not None else None
    if jvm is None or not isinstance(jvm.identity, tuple):
        return None
    boot: Hashable = jvm.identity[0]
    return boot


def _others(broker: Broker, same: Sequence[Broker]) -> str:
    first = [str(one) for one in same[: FIRST + 1] if one != broker][:FIRST]
    more = len(same) - 1 - len(first)
    return " and ".join([*first, f"{more} more"] if more else first)


def _cache_note(reading: Sample) -> Problem | None:
    if reading.metrics is None or not reading.age_note:
        return None
    text = (
        f"{reading.age_note}; health checks use numbers that may be as old (--allow-cached-metrics)"
    )
    return Problem(text, code="metrics-cached")


def _cache_problem(reading: Sample) -> Problem | None:
    if reading.metrics is None or not reading.age_note:
        return None
    text = (
        f"{reading.age_note}: a partition could be under-replicated for as long without being "
        f"seen. {reading.advice}, or accept it with --allow-cached-metrics"
    )
    return Problem(text, code="metrics-cached")
