"""A run's plan and how far it has come; waiting for the cluster's health, and one broker's steps of
the runbook."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kafka_rolling_restart import task
from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.errors import (
    BrokerDown,
    Interrupted,
    Objection,
    Refused,
    RegistryUnavailable,
    Stopped,
)
from kafka_rolling_restart.hosts.base import FoundProcess, Host
from kafka_rolling_restart.metrics.base import MetricsSource
from kafka_rolling_restart.model.broker import Broker, Jvm, Sample
from kafka_rolling_restart.model.progress import Progress, Record, State, Step, duration
from kafka_rolling_restart.model.verdict import Health, Reason, Verdict
from kafka_rolling_restart.output.report import Report
from kafka_rolling_restart.parallel import in_parallel, reminding
from kafka_rolling_restart.registry.base import RunLock
from kafka_rolling_restart.restart.broker_restart import Restart
from kafka_rolling_restart.restart.limits import Limits
from kafka_rolling_restart.restart.observer import Observer
from kafka_rolling_restart.restart.together import alone
from kafka_rolling_restart.roll.health import NeverHealthy, wait_until_healthy
from kafka_rolling_restart.roll.quorum import confirmed, objection_to_stop
from kafka_rolling_restart.roll.watch import ClusterWatch
from kafka_rolling_restart.settings.rules import HealthRule
from kafka_rolling_restart.signals import Signals
from kafka_rolling_restart.text import describe

# of the last look at lock and health; a lock may be lost with its session after 10 s
SEND_WITHIN_S = 8.0
LOCK_SLOW_S = 3.0  # a lock whose coordinator has just moved answers late, and then quickly
NEWS_OF_VOTERS_S = 0.7  # in which each voter that lives fetches something from the leader
GLANCE_S = 5.0  # for what the cluster says of itself right before a stop
MORE_WAITS = 3  # for a cluster that is healthy, and not any more right before a stop
FORKED = 70  # exit status of a task's child process that took itself for us
# when a broker is stopped, the news of the health may be older than the interval by this much
MARGIN_S = 10.0
TASK_NEWS_S = 60.0  # from one line about post-stop tasks that are still at work to the next


@dataclass
class Roll:
    """A run's plan and how far it has come (``progress``)."""

    brokers: dict[int, Broker]
    plan: list[Broker]
    hosts: Mapping[int, Host]
    watch: ClusterWatch
    tasks: task.Tasks
    rule: HealthRule
    clock: Clock
    report: Report
    signals: Signals
    # the command that goes on with these brokers
    resume: Callable[[Sequence[int]], str] = lambda _ids: ""
    # each broker's own, as we saw it first or started it
    jvms: dict[int, Jvm] = field(default_factory=dict)
    progress: Progress = field(init=False)
    healthy_at: float = float("-inf")  # when the last check that was healthy began
    asked_for_lock_at: float = float("-inf")
    restarts: dict[int, Restart] = field(default_factory=dict)  # of the brokers in hand

    def __post_init__(self) -> None:
        now = self.clock.now()
        self.progress = Progress(now, now, tuple(map(Record, self.plan)))

    def choose(self, plan: list[Broker]) -> None:
        """Restart these brokers instead of those of the plan so far, of which none was touched."""
        self.plan = plan
        self.note(records=tuple(map(Record, plan)))

    @property
    def in_hand(self) -> list[Broker]:
        """The brokers that are stopped by our hand."""
        return [record.broker for record in self.progress.having(State.IN_HAND, State.DOWN)]

    @property
    def done(self) -> list[Broker]:
        """The brokers that were restarted."""
        return self._having(State.RESTARTED)

    @property
    def skipped(self) -> list[Broker]:
        """The brokers that somebody else restarted."""
        return self._having(State.SKIPPED)

    @property
    def untouched(self) -> list[Broker]:
        """The brokers of the plan that have not been stopped, in their order."""
        return self._having(State.UNTOUCHED)

    def note(self, **changes: Any) -> None:
        """Remember how far the run has come, and show it."""
        self.progress = replace(self.progress, **changes, now=self.clock.now())
        left = self.progress.left
        line = self.resume([broker.id for broker in left]) if left else ""
        self.report.progress(replace(self.progress, resume=line))

    def enter(self, step: Step, *brokers: Broker) -> None:
        """Remember that another step has begun, for these brokers."""
        self.note(step=step, brokers=brokers, step_began=self.clock.now(), detail="")

    def mark(self, broker: Broker, **changes: Any) -> None:
        """Remember what became of a broker of the plan."""
        self.note(
            records=tuple(
                replace(record, **changes) if record.broker.id == broker.id else record
                for record in self.progress.records
            )
        )

    @property
    def touched(self) -> bool:
        """Tell whether this run did something about a broker, be it a task."""
        return any(record.is_touched for record in self.progress.records)

    def trouble_of(self, broker: Broker) -> str:
        """Return what went wrong with a broker of the plan so far."""
        return self.progress.records[self.plan.index(broker)].trouble

    def label(self, broker: Broker) -> str:
        """Return what a broker of the plan is called in messages, with its place."""
        return f"{self.plan.index(broker) + 1}/{len(self.plan)} {broker}"

    def _having(self, state: State) -> list[Broker]:
        return [record.broker for record in self.progress.having(state)]


class RollEvents:
    """Tells what happens to a broker of the plan, and keeps the last of it as the detail of the
    step."""

    def __init__(self, roll: Roll, broker: Broker) -> None:
        self._roll = roll
        self._broker = broker
        self._label = roll.label(broker)

    def say(self, text: str) -> None:
        """Tell a step."""
        self._roll.report.step(text, self._label)
        self._roll.note(detail=text)

    def warn(self, text: str, *, code: str = "") -> None:
        """Tell what went wrong, though the run goes on."""
        self._roll.report.warn(text, self._label, code=code)
        if self._broker in self._roll.in_hand:
            self._roll.mark(self._broker, trouble=text)
        self._roll.note(detail="")  # whoever looks at the live area sees the warning above it


def wait(roll: Roll, rule: HealthRule | None = None) -> bool:
    """Wait until the cluster is healthy by the rule, by default that of the options. Return whether
    it always was."""
    rule = rule or roll.rule
    always = True
    row_began = roll.clock.now()

    def tell(verdict: Verdict, healthy: int) -> None:
        nonlocal always, row_began
        always = always and verdict.health is not Health.UNHEALTHY
        roll.signals.obey()
        if healthy <= 1:
            row_began = roll.clock.now()
        roll.report.verdict(verdict, healthy, rule.count)
        roll.note(healthy=healthy, health=verdict.health, reasons=verdict.reasons)

    roll.progress = replace(roll.progress, count=rule.count, healthy=0, health=None, reasons=())
    roll.enter(Step.WAITING)
    roll.report.begin_wait(rule.count)
    roll.watch.restarted = frozenset(
        record.broker.id
        for record in roll.progress.having(State.RESTARTED)
        if record.recovered_at is None
    )
    try:
        roll.healthy_at = wait_until_healthy(
            roll.watch.check, rule, roll.clock, tell, roll.watch.rest
        )
    except NeverHealthy as reasons:
        seen = (
            f"the cluster was not healthy for {roll.rule.limit:g} s (--unhealthy-time-limit): "
            f"{reasons}"
        )
        if not roll.touched:
            text = f"{seen}. No broker was touched; fix this, then try again"
            raise Refused(text, code="cluster-not-healthy") from reasons
        raise Stopped(
            f"{seen}. Fix this before continuing", code="cluster-not-healthy"
        ) from reasons
    _record_recovery(roll, row_began)
    return always


def _record_recovery(roll: Roll, row_began: float) -> None:
    """Remember when the cluster was whole after the last restart, and tell of that restart as a
    whole."""
    now = roll.clock.now()
    if roll.progress.rolling_since is None:
        roll.note(rolling_since=now)
    for record in roll.progress.having(State.RESTARTED):
        if record.recovered_at is None:
            roll.mark(record.broker, healthy_at=row_began, recovered_at=now)
            _tell_restarted(roll, record.broker)


def _tell_restarted(roll: Roll, broker: Broker) -> None:
    record = next(one for one in roll.progress.records if one.broker == broker)
    down, whole = duration(record.down_s or 0), duration(record.healthy_after_s or 0)
    roll.report.say(f"restarted: down for {down}, healthy after {whole}", roll.label(broker))


def restart_broker(roll: Roll, broker: Broker, lock: RunLock) -> None:
    """Restart one broker (steps 5.2 to 5.5 of the runbook)."""
    if _hold_lock(roll, lock, broker):
        wait(roll)
    if roll.tasks.pre_stop:
        roll.enter(Step.PRE_STOP, broker)
        _run_tasks(roll, roll.tasks.pre_stop, broker, "was not stopped:")
        roll.healthy_at = float("-inf")  # they may have taken long, or have changed something
    try:
        with roll.watch.source(broker) as metrics:
            _restart_on_news(roll, broker, lock, metrics)
    finally:
        if broker not in roll.in_hand:  # else it may yet have to be started
            roll.hosts[broker.id].close()


def _restart_on_news(roll: Roll, broker: Broker, lock: RunLock, metrics: MetricsSource) -> None:
    """Look at the broker; then, with the lock and news of the cluster's health that is fresh,
    restart it."""
    host = roll.hosts[broker.id]
    observer = Observer(broker, host, metrics, roll.watch.registry, roll.clock)
    limits = Limits(roll.rule.limit, registration_poll=roll.watch.registry.poll_s)
    restart = Restart(broker, host, observer, roll.clock, limits, RollEvents(roll, broker))
    _renew_news(roll, lock, broker)  # the tasks are over
    seen = restart.look_before()
    waits = 0
    while True:
        against = _against_stop(roll, broker)
        if against:
            waits += 1
            _wait_once_more(roll, broker, against, waits)
        # the lock last: what it says is believed for some seconds alone
        is_changed = _renew_news(roll, lock, broker)
        if not against and not is_changed:
            break
        seen = restart.look_before()
    objection = _too_late(roll.clock, roll.asked_for_lock_at)
    if _was_restarted(roll, broker, seen):
        _leave_alone(roll, broker, seen)
        return
    roll.mark(broker, old=seen, start_line=roll.hosts[broker.id].start_line)
    with roll.signals.put_off():
        _stop_and_start(roll, broker, restart, objection)


def _against_stop(roll: Roll, broker: Broker) -> str:
    """Ask the cluster, right before a node is stopped, whether it is as well as at the last check,
    and whether the quorum can spare this node. Return what there is against it, if anything.

    Where the registry tells only the members, the last check is what there is.
    """
    reasons, quorum = roll.watch.glance(GLANCE_S)
    if reasons:
        return "; ".join(map(str, reasons))
    if quorum is None or broker.id not in quorum.voter_ids:
        return ""
    roll.clock.sleep(NEWS_OF_VOTERS_S)
    try:
        now = roll.watch.registry.quorum(GLANCE_S)
    except RegistryUnavailable as error:
        return str(error)
    return "" if now is None else objection_to_stop(broker, confirmed(now, quorum))


def _wait_once_more(roll: Roll, broker: Broker, against: str, times: int) -> None:
    """Wait until the cluster is healthy again. Raises `Stopped` where that did not help before."""
    if times > MORE_WAITS:
        raise Stopped(
            f"{broker} was not stopped: each time that the cluster had been healthy, something was "
            f"against it, the last time: {against}. Fix this before continuing",
            code="not-stopped-yet",
        )
    roll.report.warn(f"is not stopped yet: {against}", roll.label(broker), code="not-stopped-yet")
    wait(roll)


def _leave_alone(roll: Roll, broker: Broker, seen: Jvm) -> None:
    """Leave a broker alone that somebody else restarted; where tasks were to be run, it is left for
    another run."""
    roll.jvms[broker.id] = seen
    trouble = "its tasks were not completed" if roll.tasks.any else ""
    roll.mark(broker, state=State.SKIPPED, new=seen, complete=not roll.tasks.any, trouble=trouble)
    left = f", though {trouble}" if trouble else ""
    roll.report.say(
        f"was restarted by somebody else since this run began: left alone{left}", roll.label(broker)
    )


def _too_late(clock: Clock, asked_at: float) -> Objection:
    """Return what there is against a stop that is sent too long after the health and the lock were
    seen.

    ``asked_at`` is when the last question was asked about them: the answer may have waited for us.
    This process may be held up in between (Ctrl-Z, a machine that is suspended, a disk), and lose
    its lock meanwhile.
    """

    def objection() -> str:
        age = clock.now() - asked_at
        if age <= SEND_WITHIN_S:
            return ""
        return (
            f"this process was held up for {age:.0f} s after it had seen the lock and the "
            "cluster's health"
        )

    return objection


def run_post_start_tasks(roll: Roll, broker: Broker) -> None:
    """Run the tasks for a broker that is back, in a cluster that is healthy again (step 5.6 of the
    runbook)."""
    if roll.tasks.post_start and broker in roll.done:
        roll.enter(Step.POST_START, broker)
        _run_tasks(roll, roll.tasks.post_start, broker, "was restarted and is back, but")
        roll.mark(broker, complete=True)
        roll.healthy_at = float("-inf")


def require_complete(roll: Roll) -> None:
    """See that nothing of the plan is left to be done. Raises `Stopped`."""
    left = roll.progress.left
    if left:
        names = ", ".join(map(str, left))
        raise Stopped(
            "tasks of the plan were not run, because somebody else restarted their brokers "
            f"meanwhile: {names}",
            code="tasks-not-run",
        )


def wait_after_tasks(roll: Roll) -> None:
    """See that the cluster is healthy now, where tasks may have changed something since it was seen
    last."""
    if roll.healthy_at == float("-inf") and not wait(roll, replace(roll.rule, count=1)):
        wait(roll)


def _renew_news(roll: Roll, lock: RunLock, broker: Broker) -> bool:
    """See that the cluster was healthy just now and the lock is ours: tasks, logins and pauses take
    their time.

    Return whether something was different meanwhile, so that what was seen of the broker before may
    not be so any more. That the news was old is no reason for another look at it: each takes long
    where there is much to read, and the news would be old again.
    """
    old = roll.clock.now() - roll.healthy_at > roll.rule.interval + MARGIN_S
    changed = old and not wait(roll, replace(roll.rule, count=1))
    if changed:
        wait(roll)
    roll.asked_for_lock_at = roll.clock.now()
    retaken = _hold_lock(roll, lock, broker)
    if roll.clock.now() - roll.asked_for_lock_at > LOCK_SLOW_S:  # its answer is old already
        roll.asked_for_lock_at = roll.clock.now()
        retaken = _hold_lock(roll, lock, broker) or retaken
    if retaken:
        wait(roll)
    return changed or retaken


def _stop_and_start(roll: Roll, broker: Broker, restart: Restart, objection: Objection) -> None:
    """The critical section: nothing ends it with the broker left down while it can still be
    started."""
    roll.restarts[broker.id] = restart
    roll.mark(broker, state=State.IN_HAND, stopped_at=roll.clock.now())
    in_hand = Reason(
        f"in hand {broker.id}", f"{broker} is stopped by this run", code="restart-in-progress"
    )
    roll.note(health=Health.UNHEALTHY, reasons=(in_hand,), healthy=0)
    roll.enter(Step.STOPPING, broker)
    roll.report.save()
    trouble = _stop(roll, broker, restart, objection)
    code = "started-by-others" if restart.came_back else "not-proven-gone"
    if restart.came_back and not roll.tasks.post_stop:
        trouble = ""  # it runs anew, and nothing was to be done in between
    # A task that is to run while the broker is stopped does not run where that was not seen.
    failure = "" if trouble or restart.came_back else _failure_of_post_stop(roll, broker)
    failed_task = roll.trouble_of(broker) if failure else ""
    roll.enter(Step.STARTING, broker)
    jvm = _start(roll, broker, restart)
    if restart.is_from_others and roll.tasks.post_stop and not failure and not trouble:
        trouble = (
            f"{broker} was started by something else than this run while its post-stop tasks "
            "were running"
        )
        code = "started-by-others"
    wrong = failure or trouble
    roll.jvms[broker.id] = jvm
    roll.watch.expect(broker, jvm)
    roll.mark(
        broker,
        state=State.RESTARTED,
        new=jvm,
        back_at=roll.clock.now(),
        complete=not roll.tasks.post_start and not (wrong and roll.tasks.post_stop),
        trouble=failed_task or trouble.removeprefix(f"{broker} "),
    )
    record = roll.progress.records[roll.plan.index(broker)]
    RollEvents(roll, broker).say(f"is back, {record.down_s:.0f} s after it was told to stop")
    if failure:
        text = f"{failure}. The broker is back; do what the task did not do before continuing"
        raise Stopped(text, code="task-failed")
    if trouble:
        left_out = ", but its post-stop tasks did not complete" if roll.tasks.post_stop else ""
        raise Stopped(
            f"{trouble}. The broker is back{left_out}; find out why before continuing", code=code
        )


def _stop(roll: Roll, broker: Broker, restart: Restart, objection: Objection) -> str:
    """Stop the broker; return what went wrong with that, though the broker is gone or may go."""
    try:
        trouble = alone(roll.clock, restart.stop(objection))
    except Stopped:
        if restart.stop_was_sent:
            roll.mark(
                broker, state=State.UNTOUCHED, trouble="was told to stop, and still runs as before"
            )
        else:
            roll.mark(
                broker,
                state=State.UNTOUCHED,
                stopped_at=None,
                trouble="the stop did not reach its host",
            )
        raise
    if trouble:
        roll.mark(broker, trouble=trouble.removeprefix(f"{broker} "))
    else:
        roll.mark(broker, gone_at=roll.clock.now())
    return trouble


def _start(roll: Roll, broker: Broker, restart: Restart) -> Jvm:
    try:
        return alone(roll.clock, restart.start())
    except BrokerDown:
        if restart.is_down:
            roll.mark(broker, state=State.DOWN)
        roll.mark(
            broker, trouble=roll.trouble_of(broker) or "it was told to start, and did not come back"
        )
        raise


def _was_restarted(roll: Roll, broker: Broker, seen: Jvm | None) -> bool:
    known = roll.jvms.get(broker.id)
    return known is not None and seen is not None and seen.life != known.life


def _processes_of_hosts(
    roll: Roll, broker: Broker, readings: Mapping[int, Sample]
) -> dict[int, FoundProcess]:
    """Look on their hosts for the processes that we know and that no metrics tell of."""
    asked = [
        one for one, reading in readings.items() if not reading.tells_process and one in roll.jvms
    ]
    found = in_parallel({one: roll.hosts[one].find_process for one in asked})
    for one in asked:
        if one != broker.id:  # a thousand connections would leave no file for what follows
            roll.hosts[one].close()
    return found


def _is_as_it_was(roll: Roll, broker: Broker, seen: Sample, found: FoundProcess | None) -> bool:
    """Tell whether a broker certainly runs in the process that we know. One whose process nothing
    told of before has to serve."""
    if seen.tells_process:
        return seen.jvm is not None and not _was_restarted(roll, broker, seen.jvm)
    if found is None:
        return seen.metrics is not None
    return found.jvm is not None and not _was_restarted(roll, broker, found.jvm)


def _require_as_they_were(roll: Roll, lock: RunLock, broker: Broker) -> None:
    """Check that nobody restarted brokers while our lock was lost: each runs in the JVM that we
    know."""
    readings = roll.watch.read_all()
    processes = _processes_of_hosts(roll, broker, readings)
    changed = [
        one
        for one in roll.brokers.values()
        if not _is_as_it_was(roll, one, readings[one.id], processes.get(one.id))
    ]
    if changed:
        names = ", ".join(map(str, changed))
        raise Stopped(
            f"{broker} was not stopped: our lock was lost {lock.loss}, and meanwhile these went "
            f"down or were restarted: {names}. Find out by whom before continuing",
            code="lock-lost",
        )


def _hold_lock(roll: Roll, lock: RunLock, broker: Broker) -> bool:
    """See that the lock is ours; return whether it had been lost, and was taken again."""
    try:
        retaken = lock.ensure_held()
        if retaken:
            _require_as_they_were(roll, lock, broker)
            text = (
                f"the lock was lost {lock.loss}, and is held again; no broker was restarted in "
                "between"
            )
            roll.report.warn(text, code="lock-taken-again")
        lock.show([broker])
        return retaken
    except RegistryUnavailable as error:
        text = f"{broker} was not stopped, because it is not certain that we hold the lock: {error}"
        raise Stopped(text, code="lock-uncertain") from error


def _run_tasks(roll: Roll, tasks: Sequence[Any], broker: Broker, consequence: str) -> None:
    roll.mark(broker, had_tasks=True)
    process = os.getpid()
    for one in tasks:
        until = "; the broker is down until it ends" if roll.progress.step is Step.POST_STOP else ""
        kind = roll.progress.step.value.removesuffix("s")
        roll.report.say(f"running the {kind} {type(one).__name__}{until}", roll.label(broker))
        try:
            with roll.report.handing_over():
                one.run(broker.host)
        except Interrupted:
            raise
        except (
            BaseException
        ) as error:  # SystemExit and its like included: a task does not decide about our end
            failure = (
                f"task {type(one).__name__} failed on {broker.host}: "
                f"{describe(error).rstrip('.: ')}"
            )
            roll.mark(broker, trouble=failure)
            raise Stopped(f"{broker} {consequence} {failure}", code="task-failed") from error
        finally:
            if os.getpid() != process:
                # a child of the task that came out of it here: it is not to restart brokers, too
                os._exit(FORKED)
            roll.signals.listen_again()


def _failure_of_post_stop(roll: Roll, broker: Broker) -> str:
    """Run the post-stop tasks; a failure is kept for later, because the broker is down now."""
    if not roll.tasks.post_stop:
        return ""

    def remind(seconds: float) -> None:  # on another thread, so the progress is left alone
        text = (
            f"the post-stop tasks have run for {seconds:.0f} s; the broker is down until they end"
        )
        roll.report.warn(text, roll.label(broker), code="post-stop-tasks-slow")

    roll.enter(Step.POST_STOP, broker)
    try:
        with reminding(TASK_NEWS_S, remind):
            _run_tasks(
                roll,
                roll.tasks.post_stop,
                broker,
                "was restarted, but its post-stop tasks did not complete:",
            )
    except Stopped as error:
        text = f"{roll.trouble_of(broker)}; starting the broker, then the roll ends"
        roll.report.warn(text, roll.label(broker), code="task-failed")
        return str(error)
    return ""
