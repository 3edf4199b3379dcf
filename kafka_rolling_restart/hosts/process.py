"""Which process of a host is the node's, judged by what the host said. Pure.

The order of trust: the unit that the start command names, and where none runs it, the only JVM
whose command line looks like a node's. Where more than one could be meant, none is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from kafka_rolling_restart.hosts.base import FoundProcess
from kafka_rolling_restart.hosts.process_facts import (
    DEFAULT_PATTERN,
    HostFacts,
    JavaProcess,
    facts,
    told_stat,
)
from kafka_rolling_restart.hosts.unit import Unit
from kafka_rolling_restart.model.broker import SHOWN, Jvm
from kafka_rolling_restart.model.observation import Observation, Presence

USE_PATTERN = "Say which with --process-pattern"
GONE = Observation(Presence.ABSENT, words="its old process is gone")
THERE = Observation(Presence.PRESENT, words="its old process is there")


@dataclass(frozen=True)
class Wanted:
    """What the node's process is known by.

    ``pattern`` is an extended regular expression for its command line, empty for the default. One
    that is given decides alone, whatever the unit. ``properties`` is the file on its command line,
    where a broker and a controller on one host are to be told apart by it.
    """

    unit: str = ""
    pattern: str = ""
    properties: str = ""

    @property
    def regex(self) -> str:
        """The regular expression to look for."""
        return self.pattern or DEFAULT_PATTERN


def judge(output: str, wanted: Wanted) -> FoundProcess:
    """Say by the answer to `search_line` whether and where the node's process runs."""
    said = facts(output)
    if said is None:
        text = f"its process could not be looked for: {_not_whole(output)}"
        return FoundProcess(Presence.UNKNOWN, words=text)
    if said.pattern_is_wrong:
        text = f"grep on its host does not understand the pattern {wanted.regex!r}"
        return FoundProcess(Presence.BLIND, words=f"{text}. Check --process-pattern")
    if said.unit is None or wanted.pattern:
        return _with_unit(_only_match(said, wanted), said.unit)
    return _with_unit(_of_unit(said, said.unit, wanted), said.unit)


def _with_unit(found: FoundProcess, unit: Unit | None) -> FoundProcess:
    if unit is None:
        return found
    return replace(
        found,
        unit=unit.name,
        stop_timeout_s=unit.stop_timeout_s,
        restarts=unit.restarts,
        result=unit.result,
        has_failed=unit.active == "failed",
    )


def _of_unit(said: HostFacts, unit: Unit, wanted: Wanted) -> FoundProcess:
    """Look for the main process of the unit, then among its processes, then beyond it."""
    living = [one for one in said.processes if one.lives]
    main = [one for one in living if one.pid == unit.main_pid]
    if main:
        return _present(said, main[0], unit)
    inside = [one for one in living if unit.holds(one.control_group)]
    if inside:
        matching = [one for one in inside if one.matches]
        return _the_one(said, matching or inside, unit)
    if not said.sees_all and not said.main_name:
        return _hidden(said, unit)
    return _beyond(said, unit, living, wanted)


def _beyond(
    said: HostFacts, unit: Unit, living: Sequence[JavaProcess], wanted: Wanted
) -> FoundProcess:
    """Look for it outside its unit: a container of Docker or a session of su is not part of it."""
    matching = _matching(living, wanted)
    loose = [one for one in matching if not one.service]
    foreign = [one for one in matching if one.service]
    if loose and unit.has_ended:
        named = _named(loose)
        text = (
            f"its {unit} runs nothing, and {named} outside it looks like Kafka. If that was "
            "started by hand, stop it and start the unit. Else say --process-pattern"
        )
        return FoundProcess(Presence.BLIND, words=text)
    if loose:
        return _the_one(said, loose, unit)
    if unit.has_ended:
        text = f"its {unit} runs nothing"
        if foreign:
            text += f" ({_with_services(foreign)})"
        return _absent(said, living, wanted, text)
    if foreign:
        text = f"its {unit} shows no Java process, but there is {_with_services(foreign)}"
        return FoundProcess(Presence.BLIND, words=f"{text}. {USE_PATTERN}")
    if unit.main_pid:
        name = said.main_name or "not there"
        text = f"its {unit} runs pid {unit.main_pid} ({name}), and no Java process is seen yet"
        return FoundProcess(Presence.UNKNOWN, words=text)
    return _absent(said, living, wanted, f"its {unit} has no Java process")


def _only_match(said: HostFacts, wanted: Wanted) -> FoundProcess:
    living = [one for one in said.processes if one.lives]
    matching = _matching(living, wanted)
    inside = [one for one in matching if said.unit and said.unit.holds(one.control_group)]
    if matching:
        return _the_one(said, inside or matching, None)
    return _absent(said, living, wanted, f"no Java process matches {wanted.regex!r}")


def _matching(living: Sequence[JavaProcess], wanted: Wanted) -> list[JavaProcess]:
    """Return those that look like the node."""
    matching = [one for one in living if one.matches]
    if not wanted.properties:
        return matching
    return [one for one in matching if one.properties == wanted.properties]


def _doubtful(living: Sequence[JavaProcess], wanted: Wanted) -> Iterator[tuple[str, bool]]:
    """Yield what may be the node's process all the same, and whether waiting helps."""
    for one in living:
        if one.matches is None:
            yield f"pid {one.pid} {one.why_unknown}", one.is_ending
        elif one.matches and wanted.properties and not one.properties.startswith("/"):
            yield f"{one} does not show the whole path of its properties file", False


def _the_one(said: HostFacts, found: Sequence[JavaProcess], unit: Unit | None) -> FoundProcess:
    pids = [one.pid for one in found]
    # a child is what a JVM is about to run, or the JVM of jsvc, which ends before its parent
    eldest = [one for one in found if one.parent not in pids]
    if len(eldest) == 1:
        return _present(said, eldest[0], unit)
    text = f"{_named(eldest)} on its host look like it. {USE_PATTERN}"
    return FoundProcess(Presence.BLIND, words=text)


def _present(said: HostFacts, one: JavaProcess, unit: Unit | None) -> FoundProcess:
    age_ms = max(0, round((said.now_ticks - one.ticks) * 1000 / said.ticks_per_s))
    jvm = Jvm(said.clock_ms - age_ms, age_ms, one.pid, (said.boot, one.pid, one.ticks))
    if unit is None or one.pid != unit.main_pid:
        return FoundProcess(Presence.PRESENT, jvm, f"{one} runs")
    text = f"{one} runs as {unit.name}, invocation {unit.invocation or 'unknown'}"
    return FoundProcess(Presence.PRESENT, jvm, text)


def _hidden(said: HostFacts, unit: Unit) -> FoundProcess:
    """Rest on systemd's word alone, where /proc hides the processes of others (hidepid).

    systemd forgets a unit that was stopped, its start included: then it does not tell whether it
    is the unit that ran the node.
    """
    if unit.has_ended:
        text = f"its {unit} runs nothing, and other processes are hidden there (hidepid)"
        presence = Presence.ABSENT if unit.started_s else Presence.UNKNOWN
        return FoundProcess(presence, words=text)
    if unit.main_pid and unit.invocation and not unit.is_runner and unit.started_s:
        age_ms = max(0, round((said.uptime_s - unit.started_s) * 1000))
        jvm = Jvm(said.clock_ms - age_ms, age_ms, unit.main_pid, (said.boot, unit.invocation))
        text = f"pid {unit.main_pid} runs as {unit.name}, invocation {unit.invocation}"
        return FoundProcess(Presence.PRESENT, jvm, f"{text}; /proc hides it (hidepid)")
    text = f"the processes of others are hidden on its host (hidepid), and its {unit} does not show"
    return FoundProcess(Presence.BLIND, words=f"{text} Kafka's process either")


def _absent(
    said: HostFacts, living: Sequence[JavaProcess], wanted: Wanted, words: str
) -> FoundProcess:
    """Say that it does not run, unless it may be one that was not seen as it is."""
    for doubt, passes in _doubtful(living, wanted):
        presence = Presence.UNKNOWN if passes else Presence.BLIND
        return FoundProcess(presence, words=f"{words}, but {doubt}")
    if not said.sees_all:
        text = f"{words}, and the processes of others are hidden on its host (hidepid)"
        return FoundProcess(Presence.BLIND, words=text)
    if said.unread:
        return FoundProcess(
            Presence.UNKNOWN, words=f"{words}, but pid {said.unread} could not be read"
        )
    return FoundProcess(Presence.ABSENT, words=words)


def _named(found: Sequence[JavaProcess]) -> str:
    return ", ".join(str(one) for one in found)


def _with_services(found: Sequence[JavaProcess]) -> str:
    return ", ".join(f"{one} in {one.service}" for one in found)


def _not_whole(output: str) -> str:
    lines = output.strip().splitlines()
    if not lines:
        return "the host's answer is empty"
    return f"the host's answer is not whole. It ends with: {lines[-1][-SHOWN:]}"


def observe_pid(output: str, jvm: Jvm) -> Observation:
    """Say by the answer to `process_line` whether the process that was found is there."""
    said = facts(output)
    if said is None:
        return _not_told(_not_whole(output))
    match jvm.identity:
        case (str() as boot, int(), int() as ticks):
            pass
        case _:
            return _not_told("it is not known which it was")
    if said.boot != boot:
        return Observation(Presence.ABSENT, words="its host has booted since: its process is gone")
    try:
        seen = told_stat(output)
    except ValueError as error:
        return _not_told(f"its /proc/{jvm.pid}/stat says: {error}")
    if seen is None and not said.sees_all:
        return _not_told("the processes of others are hidden on its host (hidepid)")
    if seen is None or seen.ticks != ticks or seen.has_ended:
        return GONE
    return THERE


def observe_invocation(output: str, jvm: Jvm) -> Observation:
    """Say by the answer to `unit_line` whether the run of the unit that was found goes on."""
    said = facts(output)
    if said is None:
        return _not_told(_not_whole(output))
    match jvm.identity:
        case (str() as boot, str() as invocation):
            pass
        case _:
            return _not_told("it is not known which it was")
    if said.boot != boot:
        return Observation(Presence.ABSENT, words="its host has booted since: its process is gone")
    if said.unit is None:
        return _not_told("systemd does not tell of its unit any more")
    if said.unit.has_ended or (said.unit.invocation and said.unit.invocation != invocation):
        return GONE
    if said.unit.main_pid:
        return THERE
    return _not_told(f"its {said.unit} has no main process, and has not ended")


def _not_told(why: str) -> Observation:
    return Observation(Presence.UNKNOWN, words=f"its process could not be looked for: {why}")
