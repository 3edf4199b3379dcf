"""A run's plan and how far it has come; waiting for the cluster's health, and one broker's steps of the runbook."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kafka_rolling_restart import task
from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.cluster import Broker, Jvm
from kafka_rolling_restart.errors import (
    Interrupted,
    Refused,
    RollingRestartError,
    Stopped,
    ZooKeeperUnavailable,
)
from kafka_rolling_restart.health import Health, HealthRule, NeverHealthy, Verdict, wait_until_healthy
from kafka_rolling_restart.host import BrokerHost
from kafka_rolling_restart.outcome import Standing
from kafka_rolling_restart.parallel import reminding
from kafka_rolling_restart.report import Report
from kafka_rolling_restart.restart import Limits, Restart
from kafka_rolling_restart.signals import Signals
from kafka_rolling_restart.watch import ClusterWatch

if TYPE_CHECKING:
    from kafka_rolling_restart.zookeeper import Lock

LAST_LOOK_S = 10.0  # at what was restarted, before its state is told
LAST_LOOK_OF_INTERRUPTED_S = 1.0  # somebody who pressed Ctrl-C waits for it
MARGIN_S = 10.0  # when a broker is stopped, the news of the health may be older than the interval by this much
TASK_NEWS_S = 60.0  # from one line about post-stop tasks that are still at work to the next
LAST_RESORT_S = 15.0  # from one start to the next
LAST_RESORT_STARTS = 3


@dataclass
class Roll:
    """A run's plan and how far it has come. ``in_flight`` is the broker that is stopped by our hand, if any."""

    brokers: dict[int, Broker]
    plan: list[Broker]
    hosts: dict[int, BrokerHost]
    watch: ClusterWatch
    tasks: task.Tasks
    rule: HealthRule
    clock: Clock
    report: Report
    signals: Signals
    resume: Callable[[Sequence[int]], str] = lambda _ids: ""  # the command that goes on with these brokers
    jvms: dict[int, Jvm] = field(default_factory=dict)  # each broker's own, as we saw it first or started it
    done: list[Broker] = field(default_factory=list)
    skipped: list[Broker] = field(default_factory=list)
    in_flight: Broker | None = None
    healthy_at: float = float("-inf")  # when the last check that was healthy began

    @property
    def untouched(self) -> list[Broker]:
        """The brokers of the plan that have not been stopped, in their order."""
        return [broker for broker in self.plan if broker not in self._settled]

    @property
    def _settled(self) -> list[Broker | None]:
        return [*self.done, *self.skipped, self.in_flight]


def wait(roll: Roll, rule: HealthRule | None = None) -> bool:
    """Wait until the cluster is healthy by the rule, by default that of the options. Return whether it always was."""
    rule = rule or roll.rule
    always = True

    def tell(verdict: Verdict, healthy: int) -> None:
        nonlocal always
        always = always and verdict.health is not Health.UNHEALTHY
        roll.signals.obey()
        roll.report.verdict(verdict, healthy, rule.count)

    roll.report.begin_wait(rule.count)
    try:
        roll.healthy_at = wait_until_healthy(roll.watch.check, rule, roll.clock, tell)
    except NeverHealthy as reasons:
        seen = f"the cluster was not healthy for {roll.rule.limit:g} s: {reasons}"
        if not roll.done:
            raise Refused(f"{seen}. No broker was touched; mend the cluster, then try again") from reasons
        raise Stopped(f"{seen}. Mend the cluster before you go on") from reasons
    return always


def restart_broker(roll: Roll, broker: Broker, label: str, lock: "Lock") -> None:
    """Restart one broker (steps 5.2 to 5.5 of the runbook)."""

    def tell(text: str) -> None:
        roll.report.say(f"{label}: {text}")

    if _hold_lock(roll, lock, broker):
        wait(roll)
    if roll.tasks.pre_stop:
        _run_tasks(roll.tasks.pre_stop, broker, "was not stopped")
        roll.healthy_at = float("-inf")  # they may have taken long, or have changed something
    restart = Restart(
        broker,
        roll.hosts[broker.id],
        roll.watch.metrics[broker.id],
        roll.watch.registry,
        roll.clock,
        Limits(roll.rule.limit),
        tell,
    )
    with closing(roll.hosts[broker.id]):
        _lacks_news(roll, lock, broker)  # the tasks are over
        seen = restart.look_before()
        while _lacks_news(roll, lock, broker):
            seen = restart.look_before()
        if _was_restarted(roll, broker, seen):
            roll.jvms[broker.id] = seen
            roll.skipped.append(broker)
            tell("was restarted by somebody else since this run began: not repeated")
            return
        with roll.signals.put_off():
            _stop_and_start(roll, broker, restart, tell)


def _lacks_news(roll: Roll, lock: "Lock", broker: Broker) -> bool:
    """See that the cluster was healthy just now and the lock is ours: tasks, logins and pauses take their time.

    Return whether that had to be waited for, so that what was seen before is old.
    """
    old = roll.clock.now() - roll.healthy_at > roll.rule.interval + MARGIN_S
    if old and not wait(roll, replace(roll.rule, count=1)):
        wait(roll)
    retaken = _hold_lock(roll, lock, broker)
    if retaken:
        wait(roll)
    return old or retaken


def _stop_and_start(roll: Roll, broker: Broker, restart: Restart, tell: Callable[[str], None]) -> None:
    """The critical section: nothing ends it with the broker left down while it can still be started."""
    began = roll.clock.now()
    roll.in_flight = broker
    try:
        trouble = restart.stop()
    except Stopped:
        roll.in_flight = None  # it was seen to run as before
        raise
    if restart.came_back and not roll.tasks.post_stop:
        trouble = ""  # it runs anew, and nothing was to be done in between
    # A task that is to run while the broker is stopped does not run where that was not seen.
    failure = "" if trouble or restart.came_back else _failure_of_post_stop(roll, broker, tell)
    jvm = restart.start()
    roll.jvms[broker.id] = jvm
    roll.watch.expect(broker, jvm)
    roll.done.append(broker)
    roll.in_flight = None
    tell(f"is back, {roll.clock.now() - began:.0f} s after it was told to stop")
    if trouble or failure:
        raise Stopped(f"{failure or trouble}. The broker is back; find out why before you go on")


def _was_restarted(roll: Roll, broker: Broker, seen: Jvm | None) -> bool:
    known = roll.jvms.get(broker.id)
    return known is not None and seen is not None and seen.start_ms != known.start_ms


def _require_as_they_were(roll: Roll, broker: Broker) -> None:
    """Check that nobody restarted brokers while our lock was lost: each runs in the JVM that we know."""
    readings = roll.watch.read_all()
    changed = [
        one
        for one in roll.brokers.values()
        if readings[one.id].jvm is None or _was_restarted(roll, one, readings[one.id].jvm)
    ]
    if changed:
        names = ", ".join(map(str, changed))
        raise Stopped(
            f"{broker} was not stopped: our lock was lost with the ZooKeeper session, and meanwhile {names} went or came "
            "anew. Find out who restarts brokers before you go on"
        )


def _hold_lock(roll: Roll, lock: "Lock", broker: Broker) -> bool:
    """See that the lock is ours; return whether it had been lost, and was taken again."""
    try:
        retaken = lock.hold()
        if retaken:
            _require_as_they_were(roll, broker)
        lock.show(broker)
        return retaken
    except ZooKeeperUnavailable as error:
        raise Stopped(f"{broker} was not stopped, because it is not certain that we hold the lock: {error}") from error


def _run_tasks(tasks: Sequence[Any], broker: Broker, consequence: str) -> None:
    for one in tasks:
        try:
            one.run(broker.host)
        except Interrupted:
            raise
        except BaseException as error:  # SystemExit and its like included: a task does not decide about our end
            raise Stopped(
                f"{broker} {consequence}: task {type(one).__name__} failed: {type(error).__name__}: {error}"
            ) from error


def _failure_of_post_stop(roll: Roll, broker: Broker, tell: Callable[[str], None]) -> str:
    """Run the post-stop tasks; a failure is kept for later, because the broker is down now."""

    def remind(seconds: float) -> None:
        tell(f"the post-stop tasks have run for {seconds:.0f} s; the broker is down until they end")

    try:
        with reminding(TASK_NEWS_S, remind):
            _run_tasks(roll.tasks.post_stop, broker, "was started all the same")
    except Stopped as error:
        tell(f"{error}; starting it, then the roll ends")
        return str(error)
    return ""


def look_at_end(roll: Roll, ended_by: RollingRestartError | Interrupted | None) -> Standing:
    """Look once more at what we restarted, unless the last wait has just seen all of it to be healthy."""
    patience = LAST_LOOK_OF_INTERRUPTED_S if isinstance(ended_by, Interrupted) else LAST_LOOK_S
    gone, unseen = roll.watch.missing(roll.done, patience) if ended_by is not None else ([], [])
    return Standing(
        done=tuple(roll.done),
        skipped=tuple(roll.skipped),
        in_hand=roll.in_flight,
        untouched=tuple(roll.untouched),
        gone=tuple(gone),
        unseen=tuple(unseen),
    )


def last_resort(roll: Roll) -> str:
    """Start the broker in hand, if any, and say what is to be done: our defect is not to keep it down.

    The start is sent several times, because the first may find the old process still on its way out, and do nothing.
    """
    if roll.in_flight is None:
        return "no broker is down by our hand"
    host = roll.hosts[roll.in_flight.id]
    sent = [_send_blindly(host, roll.clock) for _ in range(LAST_RESORT_STARTS)]
    return (
        f"{roll.in_flight} may be DOWN; it was told to start {len(sent)} times ({sent[-1]}). "
        f"Look whether it runs; if not: {host.start_line}"
    )


def _send_blindly(host: BrokerHost, clock: Clock) -> str:
    try:
        command = host.start(LAST_RESORT_S)
        clock.sleep(LAST_RESORT_S)
        return str(command.result()) if command.ended else "the start command has not returned"
    except Exception as error:  # it is the last try, and its failure is told
        return str(error)
