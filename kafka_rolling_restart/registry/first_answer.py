"""Ask several servers of which each would do: the first that answers counts."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from kafka_rolling_restart.errors import RegistryDenied, RegistryUnavailable
from kafka_rolling_restart.parallel import Background
from kafka_rolling_restart.registry.kafka_answers import Address

V = TypeVar("V")
PATIENCE_S = 0.5  # before the next one is asked as well: one that is frozen says nothing
MOST = 4  # that are asked; of a thousand brokers the others would say the same
POLL_S = 0.005


def first_answer(
    servers: Sequence[Address], ask: Callable[[Address, float], V], timeout: float
) -> V:
    """Return what the first of the servers answers, within ``timeout`` s in all.

    Each is asked when the one before it failed, or has not answered for a while. Raises
    `RegistryUnavailable` where none answers, and `RegistryDenied` at once where one refuses us.
    """
    began = time.monotonic()
    until = began + timeout
    waiting = list(servers[:MOST])
    asked: list[Background[V]] = []
    failed: list[Exception] = []
    next_at = began
    while time.monotonic() < until:
        for one in [one for one in asked if one.ended]:
            asked.remove(one)
            try:
                return one.result()
            except RegistryDenied:
                raise
            except RegistryUnavailable as error:
                failed.append(error)
                next_at = began
        if waiting and time.monotonic() >= next_at:
            server = waiting.pop(0)
            asked.append(_asking(ask, server, max(until - time.monotonic(), POLL_S)))
            next_at = time.monotonic() + PATIENCE_S
        if not asked and not waiting:
            break
        time.sleep(POLL_S)
    raise _no_answer(failed, timeout)


def _asking(ask: Callable[[Address, float], V], server: Address, left: float) -> Background[V]:
    return Background(lambda: ask(server, left))


def _no_answer(failed: Sequence[Exception], timeout: float) -> RegistryUnavailable:
    if not failed:
        text = f"no broker answered within {timeout:g} s"
        return RegistryUnavailable(text, ADVICE, code="registry-unreachable")
    reasons = "; ".join(dict.fromkeys(str(error) for error in failed))
    return RegistryUnavailable(reasons, ADVICE, code="registry-unreachable")


ADVICE = (
    "Check that the brokers run, and the address (--bootstrap-server, or broker_list in the "
    "configuration) and --command-config"
)
