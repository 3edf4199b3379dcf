"""Pure judgement: what ended a run and what was seen of its brokers then, in; exit status and last line, out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from kafka_rolling_restart.cluster import Broker
from kafka_rolling_restart.errors import BrokerDown, Defect, ExitStatus, Interrupted, RollingRestartError


@dataclass(frozen=True)
class Standing:
    """Where the brokers of the plan stood when the run ended.

    ``skipped`` were restarted by somebody else meanwhile; ``in_hand`` was stopped by us and not seen back. ``gone``
    and ``unseen`` are among ``done``: restarted by us, and not there any more, or not to be looked at. ``left`` are all
    for which something of the plan was not done, be it a task; ``touched``: this run did something about a broker.
    """

    done: tuple[Broker, ...] = ()
    skipped: tuple[Broker, ...] = ()
    in_hand: Broker | None = None
    untouched: tuple[Broker, ...] = ()
    gone: tuple[Broker, ...] = ()
    unseen: tuple[Broker, ...] = ()
    left: tuple[Broker, ...] = ()
    touched: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exit status, and the last line, which says the state of the cluster and what to type next.

    ``lost`` are brokers that were restarted and may be down all the same.
    """

    status: int
    line: str
    lost: tuple[Broker, ...] = ()


def conclude(
    ended_by: RollingRestartError | Interrupted | None,
    standing: Standing,
    start_line: Callable[[Broker], str],
    resume: Callable[[Sequence[int]], str],
) -> Outcome:
    """Judge the end of a run. ``start_line`` starts a broker by hand; ``resume`` goes on with the brokers of these ids."""
    return replace(_conclude(ended_by, standing, start_line, resume), lost=(*standing.gone, *standing.unseen))


def _conclude(
    ended_by: RollingRestartError | Interrupted | None,
    standing: Standing,
    start_line: Callable[[Broker], str],
    resume: Callable[[Sequence[int]], str],
) -> Outcome:
    if ended_by is None:
        return Outcome(ExitStatus.DONE, _all_done(standing))
    if isinstance(ended_by, Defect | BrokerDown):  # they know of the broker in hand
        return Outcome(int(ended_by.status), f"{ended_by}{_and_gone(standing, start_line)}")
    if standing.in_hand is not None:
        line = f"{ended_by}, with {standing.in_hand} stopped and not seen back"
        return Outcome(
            ExitStatus.BROKER_DOWN,
            f"{line}{_and_gone(standing, start_line)}. To start {standing.in_hand}, run: {start_line(standing.in_hand)}",
        )
    if standing.gone:
        return Outcome(ExitStatus.BROKER_DOWN, f"{ended_by}{_and_gone(standing, start_line)}")
    if standing.unseen:
        return Outcome(
            ExitStatus.BROKER_DOWN,
            f"{ended_by}. Neither ZooKeeper nor their metrics tell whether these are up after their restart: "
            f"{_names(standing.unseen)}. Look at them; to start one, run: {_lines(standing.unseen, start_line)}",
        )
    return Outcome(int(ended_by.status), f"{ended_by}{_where_we_are(ended_by, standing, resume)}")


def _all_done(standing: Standing) -> str:
    count = len(standing.done) + len(standing.skipped)
    if count == 0:
        return "no broker was left to restart; the cluster is healthy"
    others = f" ({len(standing.skipped)} of them by somebody else)" if standing.skipped else ""
    all_of_it = f"all {count} brokers of the plan were" if count > 1 else "the 1 broker of the plan was"
    return f"{all_of_it} restarted{others}, and the cluster is healthy"


def _and_gone(standing: Standing, start_line: Callable[[Broker], str]) -> str:
    if not standing.gone:
        return ""
    one = len(standing.gone) == 1
    seen = "was restarted and is not there any more" if one else "were restarted and are not there any more"
    lines = _lines(standing.gone, start_line)
    return f". {_names(standing.gone)} {seen}: look at the log, then run: {lines}"


def _where_we_are(
    ended_by: RollingRestartError | Interrupted, standing: Standing, resume: Callable[[Sequence[int]], str]
) -> str:
    ended = _ended(standing) if isinstance(ended_by, Interrupted) else ""
    if ended_by.status == ExitStatus.REFUSED:
        return ended
    if not standing.left:
        return ended or ". No broker is left to restart"
    return f"{ended}{_once_more(standing)}. To go on with the rest: {resume([broker.id for broker in standing.left])}"


def _ended(standing: Standing) -> str:
    """Say what a signal left behind."""
    if not standing.touched:
        return "; no broker was touched"
    if not standing.done:
        return "; no broker was stopped, but tasks were run"
    cut = ", none is left to restart, and the last wait for health was cut short" if not standing.left else ""
    return f"; every broker that was stopped is back{cut}"


def _once_more(standing: Standing) -> str:
    """Name those that were restarted and are left all the same."""
    again = [broker for broker in standing.left if broker in (*standing.done, *standing.skipped)]
    if not again:
        return ""
    if len(again) == 1:
        return f". {again[0]} will be restarted once more, because its tasks did not complete"
    return f". {_names(again)} will be restarted once more, because their tasks did not complete"


def _names(brokers: Sequence[Broker]) -> str:
    return ", ".join(map(str, brokers))


def _lines(brokers: Sequence[Broker], start_line: Callable[[Broker], str]) -> str:
    return "; ".join(map(start_line, brokers))
