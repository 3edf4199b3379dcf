"""Who holds the lock, as a run writes it down and another run reads it."""

import json
from collections.abc import Sequence

from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.text import clean

SHOWN = 80  # characters of what somebody wrote


def at_brokers(holder: dict[str, object], brokers: Sequence[Broker]) -> dict[str, object]:
    """Return who holds the lock, and at which brokers they are."""
    return {**holder, "broker": ", ".join(str(one.id) for one in brokers)}


def words(written: str, where: str) -> str:
    """Return who holds the lock, of what they wrote; ``where`` is the place that was read."""
    try:
        holder = json.loads(written)
        told = {name: clean(str(holder[name]), SHOWN) for name in ("user", "host", "pid", "since")}
        at = f", at broker {clean(str(holder['broker']), SHOWN)}" if "broker" in holder else ""
        return "{user} on {host}, pid {pid}, since {since}".format(**told) + at
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"who it is, {where} does not tell"
