"""Ask several servers of which each would do: the first that answers counts."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from kafka_rolling_restart.errors import RegistryDenied, RegistryUnavailable
from kafka_rolling_restart.parallel import Background
from kafka_rolling_restart.registry.kafka.answers import Address

V = TypeVar("V")
PATIENCE_S = 0.5  # before the next one is asked as well: one that is frozen says nothing
POLL_S = 0.005
LAST_WORDS_S = 0.2  # for those that give up by themselves at the end, and say why
REASONS = 4  # that are said; of a thousand servers the others say about the same


def first_answer(
    servers: Sequence[Address], ask: Callable[[Address, float], V], timeout: float
) -> V:
    """Return what the first of the servers answers, within ``timeout`` s in all.

    Each is asked when one before it failed, or the last has not answered for a while. Raises
    `RegistryUnavailable` where none answers, and `RegistryDenied` at once where one refuses us.
    """
    until = time.monotonic() + timeout
    waiting = list(servers)
    asked: list[Background[V]] = []
    failed: list[Exception] = []
    next_at = 0.0
    while time.monotonic() < until + LAST_WORDS_S and (waiting or asked):
        for one in [one for one in asked if one.ended]:
            asked.remove(one)
            try:
                return one.result()
            except RegistryDenied:
                raise
            except RegistryUnavailable as error:
                failed.append(error)
                next_at = 0.0
        left = until - time.monotonic()
        if left <= 0:
            waiting.clear()
        elif waiting and time.monotonic() >= next_at:
            next_at = time.monotonic() + PATIENCE_S
            try:
                asked.append(_asking(ask, waiting[0], left))
                waiting.pop(0)
            except RuntimeError as error:  # the system has no more threads: maybe it has, later
                failed.append(error)
        time.sleep(POLL_S)
    raise _no_answer(failed, timeout)


def _asking(ask: Callable[[Address, float], V], server: Address, left: float) -> Background[V]:
    return Background(lambda: ask(server, left))


def _no_answer(failed: Sequence[Exception], timeout: float) -> RegistryUnavailable:
    if not failed:
        text = f"no broker answered within {timeout:g} s"
        return RegistryUnavailable(text, ADVICE, code="registry-unreachable")
    reasons = list(dict.fromkeys(str(error) for error in failed))
    said = "; ".join(reasons[:REASONS])
    if len(reasons) > REASONS:
        said = f"{said}; and {len(reasons) - REASONS} more servers"
    return RegistryUnavailable(said, ADVICE, code="registry-unreachable")


ADVICE = (
    "Check that the brokers run, and the address (--bootstrap-server, or broker_list in the "
    "configuration) and --command-config"
)
