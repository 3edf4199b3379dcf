"""The end of a run: what ended it, one more look at what was restarted, and the last start of a
broker in hand."""

from collections.abc import Callable
from dataclasses import dataclass

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.errors import Defect, ExitStatus, Interrupted, RollingRestartError
from kafka_rolling_restart.hosts.base import Host
from kafka_rolling_restart.model.broker import Broker, Jvm, counted
from kafka_rolling_restart.model.ending import FinalState, Outcome
from kafka_rolling_restart.model.progress import Step
from kafka_rolling_restart.model.verdict import Health, Reason
from kafka_rolling_restart.roll.outcome import conclude
from kafka_rolling_restart.roll.roll import Roll
from kafka_rolling_restart.text import describe

LAST_LOOK_S = 10.0  # at what was restarted, before its state is told
LAST_LOOK_OF_INTERRUPTED_S = 1.0  # somebody who pressed Ctrl-C waits for it
LAST_RESORT_S = 15.0  # from one start to the next
LAST_RESORT_STARTS = 3


def end_of(roll: Roll, restart_all: Callable[[], None]) -> Outcome:
    """Do the restarts, and judge how they ended, whatever ended them."""
    ended_by: RollingRestartError | Interrupted | None = None
    try:
        try:
            restart_all()
        finally:
            roll.signals.deafen()  # from here on no signal replaces what ended the run
    except (RollingRestartError, Interrupted) as error:
        ended_by = error
    except BaseException as error:  # as above: whatever it is, a broker may be down
        roll.report.traceback(error)
        text = f"a defect of this program ended the run: {describe(error)}; {last_resort(roll)}"
        ended_by = Defect(text, code="defect")
    final = look_at_end(roll, ended_by)
    outcome = conclude(
        ended_by, final, lambda broker: roll.hosts[broker.id].start_line, roll.resume
    )
    try:
        _summarize(roll, final, outcome)
    except Exception as error:  # a report that cannot be made does not change how the run ended
        roll.report.traceback(error)
    return outcome


def _summarize(roll: Roll, final: FinalState, outcome: Outcome) -> None:
    resume = ""
    if outcome.status in (ExitStatus.BROKER_DOWN, ExitStatus.DEFECT) and _is_left(roll, final):
        resume = roll.resume([broker.id for broker in final.left])
    roll.enter(Step.ENDED)
    roll.report.summary(roll.progress, final, resume)


def _is_left(roll: Roll, final: FinalState) -> bool:
    """Tell whether more is left than a broker that only has to be started."""
    return bool(final.untouched) or (roll.tasks.any and bool(final.left))


def look_at_end(roll: Roll, ended_by: RollingRestartError | Interrupted | None) -> FinalState:
    """Look once more at what we restarted, unless the last wait has just seen all of it to be
    healthy."""
    patience = LAST_LOOK_OF_INTERRUPTED_S if isinstance(ended_by, Interrupted) else LAST_LOOK_S
    try:
        gone, unseen = roll.watch.missing(roll.done, patience) if ended_by is not None else ([], [])
    except Exception as error:  # what ended the run, and which broker is down, is said all the same
        roll.report.traceback(error)
        gone, unseen = [], roll.done
    final = FinalState(
        done=tuple(roll.done),
        skipped=tuple(roll.skipped),
        in_hand=tuple(roll.in_hand),
        untouched=tuple(roll.untouched),
        gone=tuple(gone),
        unseen=tuple(unseen),
        left=tuple(roll.progress.left),
        touched=roll.touched,
    )
    _note_what_is_away(roll, final)
    return final


def _note_what_is_away(roll: Roll, final: FinalState) -> None:
    """Let no report say that the cluster is healthy where a broker that we stopped was not seen to
    be back."""
    away = [*final.in_hand, *final.gone, *final.unseen]
    if away:
        reasons = tuple(
            Reason(
                f"away {one.id}",
                f"{one} was stopped by this run, and may be DOWN",
                code="broker-down",
            )
            for one in away
        )
        roll.note(health=Health.UNHEALTHY, reasons=reasons, healthy=0)


def last_resort(roll: Roll) -> str:
    """Start the brokers in hand, if any, and say what is to be done: our defect is not to keep them
    down."""
    if not roll.in_hand:
        return "no broker was stopped at that moment"
    return "; ".join(_start_blindly(roll, broker) for broker in roll.in_hand)


def _start_blindly(roll: Roll, broker: Broker) -> str:
    """Send the start until the broker is back, or the start cannot have found the old process,
    which makes it do nothing.

    Nothing is sent where the stop was not, nor while the last start is at work.
    """
    restart, host = roll.restarts.get(broker.id), roll.hosts[broker.id]
    if restart is None or not restart.has_begun:
        return f"{broker} was not told to stop"
    old = roll.progress.records[roll.plan.index(broker)].old
    until = roll.clock.now() + roll.rule.limit
    sent, said = 0, _Sent("nothing was sent")
    while not restart.is_back_by_now():
        was_gone, is_over = _is_surely_gone(host, old), roll.clock.now() >= until
        said = _send_blindly(host, roll.clock, until)
        sent += 1
        text = f"a defect of this program: start {sent} was sent: {said.text}"
        roll.report.warn(text, roll.label(broker), code="defect")
        is_enough = (was_gone and said.is_well) or (is_over and sent >= LAST_RESORT_STARTS)
        if is_enough or roll.signals.was_heard_at_the_end:
            break
    return (
        f"{broker} may be DOWN; it was told to start {counted(sent, 'time')}, and the last time: "
        f"{said.text}. Check whether it runs; if not, run the command below"
    )


def _is_surely_gone(host: Host, old: Jvm | None) -> bool:
    """Tell whether no process has the pid of the old one any more, whatever else there is."""
    if old is None or old.pid is None or not host.sees_process:
        return False
    try:
        return host.process_age(old.pid) is None
    except Exception:  # it is not known
        return False


@dataclass(frozen=True)
class _Sent:
    """What came of a start that was sent blindly."""

    text: str
    is_well: bool = False


def _send_blindly(host: Host, clock: Clock, until: float) -> _Sent:
    """Send the start, and give it time. One that is at work longer is waited for until ``until``
    (monotonic s)."""
    try:
        command = host.start(max(until - clock.now(), LAST_RESORT_S))
        clock.sleep(LAST_RESORT_S)
        while not command.ended and clock.now() < until:
            clock.sleep(1.0)
        if not command.ended:
            return _Sent("the start command has not ended")
        result = command.result()
        return _Sent(str(result), is_well=result.status == 0)
    except Exception as error:  # it is the last try, and its failure is told
        return _Sent(str(error))
