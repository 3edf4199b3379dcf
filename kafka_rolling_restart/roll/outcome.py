"""Pure judgement: what ended a run and what was seen of its brokers then, in; exit status, sentence
and commands, out."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from kafka_rolling_restart.errors import (
    BrokerDown,
    Defect,
    ExitStatus,
    Interrupted,
    RollingRestartError,
)
from kafka_rolling_restart.model.broker import Broker, how_many
from kafka_rolling_restart.model.ending import FinalState, Outcome

UNKNOWN = "broker-state-unknown"


def conclude(
    ended_by: RollingRestartError | Interrupted | None,
    final: FinalState,
    start_line: Callable[[Broker], str],
    resume: Callable[[Sequence[int]], str],
) -> Outcome:
    """Judge the end of a run. ``start_line`` starts a broker by hand; ``resume`` goes on with the
    brokers of these ids.

    The commands of an outcome start each broker that may be down; where none may be, they go on
    with the rest.
    """
    if ended_by is None:
        return Outcome(ExitStatus.DONE, _all_done(final), _code_of_success(final))
    outcome = _of_a_broker_down(ended_by, final)
    if outcome is None:
        return _with_the_rest(ended_by, final, resume)
    down = _known_to_be_down(final)
    if outcome.code == UNKNOWN:
        down = list(final.unseen)
    commands = tuple(start_line(broker) for broker in down)
    return replace(outcome, commands=commands, lost=(*final.gone, *final.unseen))


def _known_to_be_down(final: FinalState) -> list[Broker]:
    """Return the brokers that were not seen back or are gone again, the one in hand first."""
    return [*final.in_hand, *final.gone]


def _of_a_broker_down(
    ended_by: RollingRestartError | Interrupted, final: FinalState
) -> Outcome | None:
    """Return the outcome of a run that leaves a broker which may be down, or which has a defect;
    else None."""
    if isinstance(ended_by, Defect | BrokerDown):  # they tell of the broker in hand
        return Outcome(int(ended_by.status), f"{ended_by}{_and_gone(final)}", ended_by.code)
    if final.in_hand:
        line = (
            f"{ended_by}, with {_names(final.in_hand)} stopped and not seen back{_and_gone(final)}"
        )
        return Outcome(
            ExitStatus.BROKER_DOWN,
            f"{line}. Start {_names(final.in_hand)} now",
            code="broker-left-stopped",
        )
    if final.gone:
        return Outcome(
            ExitStatus.BROKER_DOWN, f"{ended_by}{_and_gone(final)}", code="broker-failed-again"
        )
    if final.unseen:
        return Outcome(
            ExitStatus.BROKER_DOWN,
            f"{ended_by}. Neither the registry nor the metrics tell whether these brokers are up "
            "after their restart: "
            f"{_names(final.unseen)}. Check on their hosts; start each broker that is down",
            code=UNKNOWN,
        )
    return None


def _with_the_rest(
    ended_by: RollingRestartError | Interrupted,
    final: FinalState,
    resume: Callable[[Sequence[int]], str],
) -> Outcome:
    """Return the outcome of a run of which every broker is up, with the command that goes on."""
    status = int(ended_by.status)
    ended = _ended(final) if isinstance(ended_by, Interrupted) else ""
    if status == ExitStatus.REFUSED:
        return Outcome(status, f"{ended_by}{ended}", ended_by.code)
    if not final.left:
        return Outcome(
            status, f"{ended_by}{ended or '. No broker is left to restart'}", ended_by.code
        )
    line = f"{ended_by}{ended}{_once_more(final)}. To go on with the rest, run the command below"
    return Outcome(
        status, line, ended_by.code, commands=(resume([broker.id for broker in final.left]),)
    )


def _code_of_success(final: FinalState) -> str:
    if final.done or final.skipped:
        return "done"
    return "nothing-to-restart"


def _all_done(final: FinalState) -> str:
    count = len(final.done) + len(final.skipped)
    if count == 0:
        return "no broker was left to restart; the cluster is healthy"
    others = f" ({len(final.skipped)} of them by somebody else)" if final.skipped else ""
    nodes = how_many((*final.done, *final.skipped))
    all_of_it = f"all {nodes} of the plan were" if count > 1 else f"the {nodes} of the plan was"
    return f"{all_of_it} restarted{others}, and the cluster is healthy"


def _and_gone(final: FinalState) -> str:
    if not final.gone:
        return ""
    if len(final.gone) == 1:
        return f". {final.gone[0]} was restarted and is down again: check its log, then start it"
    return (
        f". {_names(final.gone)} were restarted and are down again: check their logs, then "
        "start them"
    )


def _ended(final: FinalState) -> str:
    """Say what a signal left behind."""
    if not final.touched:
        return "; no broker was touched"
    if not final.done:
        return "; no broker was stopped, but tasks were run"
    cut = (
        ", none is left to restart, and the last wait for health was cut short"
        if not final.left
        else ""
    )
    return f"; every broker that was stopped is back{cut}"


def _once_more(final: FinalState) -> str:
    """Name those that were restarted and are left all the same."""
    again = [broker for broker in final.left if broker in (*final.done, *final.skipped)]
    if not again:
        return ""
    if len(again) == 1:
        return f". {again[0]} will be restarted once more, because its tasks did not complete"
    return f". {_names(again)} will be restarted once more, because their tasks did not complete"


def _names(brokers: Sequence[Broker]) -> str:
    return ", ".join(map(str, brokers))
