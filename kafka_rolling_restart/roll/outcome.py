"""Pure judgement: what ended a run and what was seen of its brokers then, in; exit status and last line, out."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from kafka_rolling_restart.errors import BrokerDown, Defect, ExitStatus, Interrupted, RollingRestartError
from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.model.ending import FinalState, Outcome


def conclude(
    ended_by: RollingRestartError | Interrupted | None,
    final: FinalState,
    start_line: Callable[[Broker], str],
    resume: Callable[[Sequence[int]], str],
) -> Outcome:
    """Judge the end of a run. ``start_line`` starts a broker by hand; ``resume`` goes on with the brokers of these ids."""
    return replace(_conclude(ended_by, final, start_line, resume), lost=(*final.gone, *final.unseen))


def _conclude(
    ended_by: RollingRestartError | Interrupted | None,
    final: FinalState,
    start_line: Callable[[Broker], str],
    resume: Callable[[Sequence[int]], str],
) -> Outcome:
    if ended_by is None:
        return Outcome(ExitStatus.DONE, _all_done(final))
    if isinstance(ended_by, Defect | BrokerDown):  # they know of the broker in hand
        return Outcome(int(ended_by.status), f"{ended_by}{_and_gone(final, start_line)}")
    if final.in_hand:
        line = f"{ended_by}, with {_names(final.in_hand)} stopped and not seen back"
        return Outcome(
            ExitStatus.BROKER_DOWN,
            f"{line}{_and_gone(final, start_line)}. To start {_names(final.in_hand)}, run: {_lines(final.in_hand, start_line)}",
        )
    if final.gone:
        return Outcome(ExitStatus.BROKER_DOWN, f"{ended_by}{_and_gone(final, start_line)}")
    if final.unseen:
        return Outcome(
            ExitStatus.BROKER_DOWN,
            f"{ended_by}. Neither the registry nor their metrics tell whether these are up after their restart: "
            f"{_names(final.unseen)}. Look at them; to start one, run: {_lines(final.unseen, start_line)}",
        )
    return Outcome(int(ended_by.status), f"{ended_by}{_where_we_are(ended_by, final, resume)}")


def _all_done(final: FinalState) -> str:
    count = len(final.done) + len(final.skipped)
    if count == 0:
        return "no broker was left to restart; the cluster is healthy"
    others = f" ({len(final.skipped)} of them by somebody else)" if final.skipped else ""
    all_of_it = f"all {count} brokers of the plan were" if count > 1 else "the 1 broker of the plan was"
    return f"{all_of_it} restarted{others}, and the cluster is healthy"


def _and_gone(final: FinalState, start_line: Callable[[Broker], str]) -> str:
    if not final.gone:
        return ""
    one = len(final.gone) == 1
    seen = "was restarted and is not there any more" if one else "were restarted and are not there any more"
    lines = _lines(final.gone, start_line)
    return f". {_names(final.gone)} {seen}: look at the log, then run: {lines}"


def _where_we_are(
    ended_by: RollingRestartError | Interrupted, final: FinalState, resume: Callable[[Sequence[int]], str]
) -> str:
    ended = _ended(final) if isinstance(ended_by, Interrupted) else ""
    if ended_by.status == ExitStatus.REFUSED:
        return ended
    if not final.left:
        return ended or ". No broker is left to restart"
    return f"{ended}{_once_more(final)}. To go on with the rest: {resume([broker.id for broker in final.left])}"


def _ended(final: FinalState) -> str:
    """Say what a signal left behind."""
    if not final.touched:
        return "; no broker was touched"
    if not final.done:
        return "; no broker was stopped, but tasks were run"
    cut = ", none is left to restart, and the last wait for health was cut short" if not final.left else ""
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


def _lines(brokers: Sequence[Broker], start_line: Callable[[Broker], str]) -> str:
    return "; ".join(map(start_line, brokers))
