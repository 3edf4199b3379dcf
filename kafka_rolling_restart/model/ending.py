"""How a run ended, and where its brokers stood then."""

from dataclasses import dataclass

from kafka_rolling_restart.model.broker import Broker


@dataclass(frozen=True)
class FinalState:
    """Where the brokers of the plan stood when the run ended.

    ``skipped`` were restarted by somebody else meanwhile; ``in_hand`` were stopped by us and not
    seen back. ``gone`` and ``unseen`` are among ``done``: restarted by us, and not there any more,
    or not to be looked at. ``left`` are all for which something of the plan was not done, be it a
    task; ``touched``: this run did something about a broker.
    """

    done: tuple[Broker, ...] = ()
    skipped: tuple[Broker, ...] = ()
    in_hand: tuple[Broker, ...] = ()
    untouched: tuple[Broker, ...] = ()
    gone: tuple[Broker, ...] = ()
    unseen: tuple[Broker, ...] = ()
    left: tuple[Broker, ...] = ()
    touched: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exit status, and the sentence that says the state of the cluster.

    ``code`` is the ending's name in the catalogue; ``commands`` is what to type next, each on a
    line of its own; ``lost`` are brokers that were restarted and may be down all the same.
    """

    status: int
    line: str
    code: str = ""
    commands: tuple[str, ...] = ()
    lost: tuple[Broker, ...] = ()
