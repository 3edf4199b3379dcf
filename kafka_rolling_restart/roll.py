"""A run's plan and how far it has come; waiting for the cluster's health, and one broker's steps of the runbook."""

from collections.abc import Callable, Sequence
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
from kafka_rolling_restart.record import Progress, Record, State, Step, duration
from kafka_rolling_restart.report import Report
from kafka_rolling_restart.restart import Limits, Restart
from kafka_rolling_restart.signals import Signals
from kafka_rolling_restart.text import describe
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
    """A run's plan and how far it has come (``progress``)."""

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
    progress: Progress = field(init=False)
    healthy_at: float = float("-inf")  # when the last check that was healthy began

    def __post_init__(self) -> None:
        now = self.clock.now()
        self.progress = Progress(now, now, tuple(map(Record, self.plan)))

    def choose(self, plan: list[Broker]) -> None:
        """Restart these brokers instead of those of the plan so far, of which none was touched."""
        self.plan = plan
        self.note(records=tuple(map(Record, plan)))

    @property
    def in_flight(self) -> Broker | None:
        """The broker that is stopped by our hand, if any."""
        return next((record.broker for record in self.progress.having(State.IN_HAND)), None)

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
        left = self.progress.having(State.UNTOUCHED, State.IN_HAND)
        line = self.resume([record.broker.id for record in left]) if left else ""
        self.report.progress(replace(self.progress, resume=line))

    def enter(self, step: Step, broker: Broker | None = None) -> None:
        """Remember that another step has begun."""
        self.note(step=step, broker=broker, step_began=self.clock.now(), detail="")

    def mark(self, broker: Broker, **changes: Any) -> None:
        """Remember what became of a broker of the plan."""
        self.note(
            records=tuple(
                replace(record, **changes) if record.broker.id == broker.id else record
                for record in self.progress.records
            )
        )

    def trouble_of(self, broker: Broker) -> str:
        """Return what went wrong with a broker of the plan so far."""
        return self.progress.records[self.plan.index(broker)].trouble

    def label(self, broker: Broker) -> str:
        """Return what a broker of the plan is called in messages, with its place."""
        return f"{self.plan.index(broker) + 1}/{len(self.plan)} {broker}"

    def _having(self, state: State) -> list[Broker]:
        return [record.broker for record in self.progress.having(state)]


class RollVoice:
    """Tells what happens to a broker of the plan, and keeps the last of it as the detail of the step."""

    def __init__(self, roll: Roll, broker: Broker) -> None:
        self._roll = roll
        self._label = roll.label(broker)

    def say(self, text: str) -> None:
        """Tell a step."""
        self._roll.report.step(text, self._label)
        self._roll.note(detail=text)

    def warn(self, text: str) -> None:
        """Tell what went wrong, though the run goes on."""
        self._roll.report.warn(text, self._label)
        self._roll.note(detail="")  # whoever looks at the live area sees the warning above it


def wait(roll: Roll, rule: HealthRule | None = None) -> bool:
    """Wait until the cluster is healthy by the rule, by default that of the options. Return whether it always was."""
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
    try:
        roll.healthy_at = wait_until_healthy(roll.watch.check, rule, roll.clock, tell)
    except NeverHealthy as reasons:
        seen = f"the cluster was not healthy for {roll.rule.limit:g} s (--unhealthy-time-limit): {reasons}"
        if not roll.done:
            raise Refused(f"{seen}. No broker was touched; mend that, then try again") from reasons
        raise Stopped(f"{seen}. Mend that before you go on") from reasons
    _settle(roll, row_began)
    return always


def _settle(roll: Roll, row_began: float) -> None:
    """Remember when the cluster was whole after the last restart, and tell of that restart as a whole."""
    now = roll.clock.now()
    if roll.progress.rolling_since is None:
        roll.note(rolling_since=now)
    for record in roll.progress.having(State.RESTARTED):
        if record.settled_at is None:
            roll.mark(record.broker, whole_at=row_began, settled_at=now)
            _tell_restarted(roll, record.broker)


def _tell_restarted(roll: Roll, broker: Broker) -> None:
    record = next(one for one in roll.progress.records if one.broker == broker)
    down, whole = duration(record.down_s or 0), duration(record.whole_after_s or 0)
    roll.report.say(f"restarted: down for {down}, healthy after {whole}", roll.label(broker))


def restart_broker(roll: Roll, broker: Broker, lock: "Lock") -> None:
    """Restart one broker (steps 5.2 to 5.5 of the runbook)."""
    voice = RollVoice(roll, broker)
    if _hold_lock(roll, lock, broker):
        wait(roll)
    if roll.tasks.pre_stop:
        roll.enter(Step.PRE_STOP, broker)
        _run_tasks(roll, roll.tasks.pre_stop, broker, "was not stopped:")
        roll.healthy_at = float("-inf")  # they may have taken long, or have changed something
    restart = Restart(
        broker,
        roll.hosts[broker.id],
        roll.watch.source(broker),
        roll.watch.registry,
        roll.clock,
        Limits(roll.rule.limit),
        voice,
    )
    try:
        _renew_news(roll, lock, broker)  # the tasks are over
        seen = restart.look_before()
        while _renew_news(roll, lock, broker):
            seen = restart.look_before()
        if _was_restarted(roll, broker, seen):
            roll.jvms[broker.id] = seen
            roll.mark(broker, state=State.SKIPPED, new=seen)
            roll.report.say("was restarted by somebody else since this run began: left alone", roll.label(broker))
            return
        roll.mark(broker, old=seen, start_line=roll.hosts[broker.id].start_line)
        with roll.signals.put_off():
            _stop_and_start(roll, broker, restart)
    finally:
        if roll.in_flight is None:  # else it may yet have to be started
            roll.hosts[broker.id].close()


def run_post_start_tasks(roll: Roll, broker: Broker) -> None:
    """Run the tasks for a broker that is back, in a cluster that is healthy again (step 5.6 of the runbook)."""
    if roll.tasks.post_start and broker in roll.done:
        roll.enter(Step.POST_START, broker)
        _run_tasks(roll, roll.tasks.post_start, broker, "was restarted and is back, but")
        roll.healthy_at = float("-inf")


def wait_after_tasks(roll: Roll) -> None:
    """See that the cluster is healthy now, where tasks may have changed something since it was seen last."""
    if roll.healthy_at == float("-inf") and not wait(roll, replace(roll.rule, count=1)):
        wait(roll)


def _renew_news(roll: Roll, lock: "Lock", broker: Broker) -> bool:
    """See that the cluster was healthy just now and the lock is ours: tasks, logins and pauses take their time.

    Return whether something was different meanwhile, so that what was seen of the broker before may not be so any more.
    That the news was old is no reason for another look at it: each takes long where there is much to read, and the news
    would be old again.
    """
    old = roll.clock.now() - roll.healthy_at > roll.rule.interval + MARGIN_S
    changed = old and not wait(roll, replace(roll.rule, count=1))
    if changed:
        wait(roll)
    retaken = _hold_lock(roll, lock, broker)
    if retaken:
        wait(roll)
    return changed or retaken


def _stop_and_start(roll: Roll, broker: Broker, restart: Restart) -> None:
    """The critical section: nothing ends it with the broker left down while it can still be started."""
    roll.mark(broker, state=State.IN_HAND, stopped_at=roll.clock.now())
    roll.enter(Step.STOPPING, broker)
    roll.report.save()
    try:
        trouble = restart.stop()
    except Stopped:
        if restart.stop_was_sent:
            roll.mark(broker, state=State.UNTOUCHED, trouble="was told to stop, and still runs as before")
        else:
            roll.mark(broker, state=State.UNTOUCHED, stopped_at=None, trouble="the stop did not reach its host")
        raise
    if trouble:
        roll.mark(broker, trouble=trouble)
    else:
        roll.mark(broker, gone_at=roll.clock.now())
    if restart.came_back and not roll.tasks.post_stop:
        trouble = ""  # it runs anew, and nothing was to be done in between
    # A task that is to run while the broker is stopped does not run where that was not seen.
    failure = "" if trouble or restart.came_back else _failure_of_post_stop(roll, broker)
    roll.enter(Step.STARTING, broker)
    jvm = restart.start()
    roll.jvms[broker.id] = jvm
    roll.watch.expect(broker, jvm)
    roll.mark(broker, state=State.RESTARTED, new=jvm, back_at=roll.clock.now())
    record = roll.progress.records[roll.plan.index(broker)]
    RollVoice(roll, broker).say(f"is back, {record.down_s:.0f} s after it was told to stop")
    if failure:
        raise Stopped(f"{failure}. The broker is back; see to what was left out before you go on")
    if trouble:
        left_out = ", and no post-stop task was run" if roll.tasks.post_stop else ""
        raise Stopped(f"{trouble}. The broker is back{left_out}; find out why before you go on")


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
            f"{broker} was not stopped: our lock was lost with the ZooKeeper session, and meanwhile these went down or were "
            f"restarted: {names}. Find out by whom before you go on"
        )


def _hold_lock(roll: Roll, lock: "Lock", broker: Broker) -> bool:
    """See that the lock is ours; return whether it had been lost, and was taken again."""
    try:
        retaken = lock.hold()
        if retaken:
            _require_as_they_were(roll, broker)
            text = "the lock was lost with the ZooKeeper session, and is held again; no broker was restarted in between"
            roll.report.warn(text)
        lock.show(broker)
        return retaken
    except ZooKeeperUnavailable as error:
        raise Stopped(f"{broker} was not stopped, because it is not certain that we hold the lock: {error}") from error


def _run_tasks(roll: Roll, tasks: Sequence[Any], broker: Broker, consequence: str) -> None:
    for one in tasks:
        until = "; the broker is down until it ends" if roll.progress.step is Step.POST_STOP else ""
        kind = roll.progress.step.value.removesuffix("s")
        roll.report.say(f"running the {kind} {type(one).__name__}{until}", roll.label(broker))
        try:
            with roll.report.handing_over():
                one.run(broker.host)
        except Interrupted:
            raise
        except BaseException as error:  # SystemExit and its like included: a task does not decide about our end
            failure = f"task {type(one).__name__} failed on {broker.host}: {describe(error).rstrip('.: ')}"
            roll.mark(broker, trouble=failure)
            raise Stopped(f"{broker} {consequence} {failure}") from error


def _failure_of_post_stop(roll: Roll, broker: Broker) -> str:
    """Run the post-stop tasks; a failure is kept for later, because the broker is down now."""
    if not roll.tasks.post_stop:
        return ""

    def remind(seconds: float) -> None:  # on another thread, so the progress is left alone
        text = f"the post-stop tasks have run for {seconds:.0f} s; the broker is down until they end"
        roll.report.warn(text, roll.label(broker))

    roll.enter(Step.POST_STOP, broker)
    try:
        with reminding(TASK_NEWS_S, remind):
            _run_tasks(roll, roll.tasks.post_stop, broker, "was restarted without all that was to be done meanwhile:")
    except Stopped as error:
        roll.report.warn(f"{roll.trouble_of(broker)}; starting the broker, then the roll ends", roll.label(broker))
        return str(error)
    return ""


def look_at_end(roll: Roll, ended_by: RollingRestartError | Interrupted | None) -> Standing:
    """Look once more at what we restarted, unless the last wait has just seen all of it to be healthy."""
    patience = LAST_LOOK_OF_INTERRUPTED_S if isinstance(ended_by, Interrupted) else LAST_LOOK_S
    try:
        gone, unseen = roll.watch.missing(roll.done, patience) if ended_by is not None else ([], [])
    except Exception as error:  # what ended the run, and which broker is down, is said all the same
        roll.report.traceback(error)
        gone, unseen = [], roll.done
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
        return "no broker was stopped at that moment"
    host = roll.hosts[roll.in_flight.id]
    sent = [_send_blindly(host, roll.clock) for _ in range(LAST_RESORT_STARTS)]
    return (
        f"{roll.in_flight} may be DOWN; it was told to start {len(sent)} times, and the last time: {sent[-1]}. "
        f"Look whether it runs; if not, run: {host.start_line}"
    )


def _send_blindly(host: BrokerHost, clock: Clock) -> str:
    try:
        command = host.start(LAST_RESORT_S)
        clock.sleep(LAST_RESORT_S)
        return str(command.result()) if command.ended else f"no end of the start command within {LAST_RESORT_S:g} s"
    except Exception as error:  # it is the last try, and its failure is told
        return str(error)
