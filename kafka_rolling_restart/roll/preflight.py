"""Looking at everything before anything is touched."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from kafka_rolling_restart.errors import ExitStatus, Refused, held_by
from kafka_rolling_restart.model.broker import Broker, Sample, counted, how_many
from kafka_rolling_restart.model.ending import Outcome
from kafka_rolling_restart.model.problem import Problem
from kafka_rolling_restart.model.verdict import Health
from kafka_rolling_restart.registry.base import Registry
from kafka_rolling_restart.roll import plan
from kafka_rolling_restart.roll.roll import Roll


def preflight(
    roll: Roll,
    age_s: float | None,
    controller: int | None,
    registry: Registry,
    home_hint: str,
    commands: Callable[[Broker], tuple[str, str]],
) -> None:
    """Look at every broker: metrics first, because they tell the process to look for on its host.

    ``age_s`` is --started-before: brokers whose JVM is younger are taken out of the plan.
    ``home_hint`` says which home folder was meant, where that is a guess; ``commands`` gives the
    stop and the start command of a node. Raises `Refused` where
    anything stands in the way.
    """
    lock_problem = registry.lock_problem()
    quorum = registry.quorum()
    roll.report.step(plan.looking(roll.brokers.values(), len(roll.plan)))
    readings = roll.watch.look_first()

    def tell(count: int) -> None:
        roll.report.step(f"preflight: {count} of {len(roll.plan)} hosts looked at")

    # Those of which no metrics tell an age: their hosts tell it.
    first = [one for one in roll.plan if not readings[one.id].tells_process]
    looked = plan.look_at_hosts(first, roll.hosts, readings, roll.clock.now, tell)
    readings.update(_with_processes(readings, looked))
    if age_s is not None:
        moment, before = roll.clock.now() - age_s, roll.plan
        roll.choose(
            [
                one
                for one in before
                if plan.started_before(moment, readings[one.id]) or not readings[one.id].jvm
            ]
        )
        if left := plan.left_alone(before, roll.plan, roll.tasks.any):
            roll.report.say(left)

    rest = [one for one in roll.plan if one not in first]
    looked.update(plan.look_at_hosts(rest, roll.hosts, readings, roll.clock.now, tell))
    ready = {one.id: looked[one.id].ready for one in roll.plan}
    findings = plan.findings(
        roll.brokers, readings, ready, roll.watch.allow_cached, quorum, commands
    )
    roll.report.plan(plan.table(roll.brokers, roll.plan, controller, readings, findings))
    for problem, about in plan.problems(roll.brokers, findings):
        roll.report.error(problem.text, about, code=problem.code)
    for note, about in plan.notes(roll.brokers, findings):
        roll.report.say(f"NOTE: {note.text}", about, code=note.code)
    general = [one for one in (lock_problem, _partitions_problem(readings, registry)) if one]
    for problem in general:
        roll.report.error(problem.text, code=problem.code)
    count = sum(len(finding.problems) for finding in findings.values()) + len(general)
    if count:
        text = (
            f"the preflight found {counted(count, 'problem')}, see above{home_hint}; no broker "
            "was touched"
        )
        raise Refused(text, code="preflight-failed")
    roll.jvms = {broker_id: reading.jvm for broker_id, reading in readings.items() if reading.jvm}
    roll.report.say(plan.good(readings.values(), len(roll.plan)))


def _partitions_problem(readings: Mapping[int, Sample], registry: Registry) -> Problem | None:
    """Return the problem of a cluster of which nothing would tell how its partitions are.

    A right that is missing would keep the cluster from being healthy for the whole first wait.
    """
    state = registry.state()
    if state is not None and state.is_denied:
        return Problem(state.unknown, code="kafka-access-denied")
    metrics = [one.metrics for one in readings.values() if one.metrics is not None]
    if state is not None or all(one.under_replicated is not None for one in metrics):
        return None
    text = (
        "nothing would tell whether all partitions are in sync: --metrics none needs Kafka's own "
        "protocol. Give --command-config, or a source of metrics (--metrics)"
    )
    return Problem(text, code="partitions-unknown")


def _with_processes(
    readings: Mapping[int, Sample], looked: Mapping[int, plan.Looked]
) -> dict[int, Sample]:
    """Return readings with the processes that their hosts told of, as of then."""
    return {
        one: replace(readings[one], jvm=look.ready.found.jvm, answered_at=look.at)
        for one, look in looked.items()
        if look.ready.found is not None
    }


def check_once(roll: Roll, lock_holder: str) -> Outcome:
    """Make the one health check of a dry run, and see that no other run goes on."""
    if lock_holder:
        raise held_by(lock_holder)
    verdict = roll.watch.check()
    if verdict.health is not Health.HEALTHY:
        text = f"dry run: {verdict.state}: {verdict.why}. Nothing was touched"
        raise Refused(text, code="cluster-not-healthy")
    what = f"{how_many(roll.plan)} would be restarted"
    if not roll.plan:
        what = "no broker would be restarted, so no host was checked"
    line = f"dry run: the cluster is healthy, and {what}; nothing was touched"
    return Outcome(ExitStatus.DONE, line, code="dry-run-passed")
