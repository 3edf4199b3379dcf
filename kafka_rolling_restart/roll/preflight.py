"""Looking at everything before anything is touched."""

from kafka_rolling_restart.errors import ExitStatus, Refused, held_by
from kafka_rolling_restart.model.broker import counted
from kafka_rolling_restart.model.ending import Outcome
from kafka_rolling_restart.model.verdict import Health
from kafka_rolling_restart.registry.base import Registry
from kafka_rolling_restart.roll import plan
from kafka_rolling_restart.roll.roll import Roll


def preflight(
    roll: Roll, age_s: float | None, controller: int | None, registry: Registry, home_hint: str
) -> None:
    """Look at every broker: metrics first, because they tell the process to look for on its host.

    ``age_s`` is --started-before: brokers whose JVM is younger are taken out of the plan.
    ``home_hint`` says which home folder was meant, where that is a guess. Raises `Refused` where
    anything stands in the way.
    """
    lock_problem = registry.lock_problem()
    roll.report.step(plan.looking(len(roll.brokers), len(roll.plan)))
    readings = roll.watch.look_first()
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

    def tell(looked: int) -> None:
        roll.report.step(f"preflight: {looked} of {len(roll.plan)} hosts looked at")

    findings = plan.preflight(
        roll.brokers, roll.plan, roll.hosts, readings, tell, allow_cached=roll.watch.allow_cached
    )
    roll.report.plan(plan.table(roll.brokers, roll.plan, controller, readings, findings))
    for problem, about in plan.problems(roll.brokers, findings):
        roll.report.error(problem.text, about, code=problem.code)
    for note, about in plan.notes(roll.brokers, findings):
        roll.report.say(f"NOTE: {note.text}", about, code=note.code)
    if lock_problem:
        roll.report.error(lock_problem.text, code=lock_problem.code)
    count = sum(len(finding.problems) for finding in findings.values()) + bool(lock_problem)
    if count:
        text = (
            f"the preflight found {counted(count, 'problem')}, see above{home_hint}; no broker "
            "was touched"
        )
        raise Refused(text, code="preflight-failed")
    roll.jvms = {broker_id: reading.jvm for broker_id, reading in readings.items() if reading.jvm}
    roll.report.say(plan.good(len(roll.brokers), len(roll.plan)))


def check_once(roll: Roll, lock_holder: str) -> Outcome:
    """Make the one health check of a dry run, and see that no other run goes on."""
    if lock_holder:
        raise held_by(lock_holder)
    verdict = roll.watch.check()
    if verdict.health is not Health.HEALTHY:
        text = f"dry run: {verdict.state}: {verdict.why}. Nothing was touched"
        raise Refused(text, code="cluster-not-healthy")
    what = f"{counted(len(roll.plan), 'broker')} would be restarted"
    if not roll.plan:
        what = "no broker would be restarted, so no host was checked"
    line = f"dry run: the cluster is healthy, and {what}; nothing was touched"
    return Outcome(ExitStatus.DONE, line, code="dry-run-passed")
