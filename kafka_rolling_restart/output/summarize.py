"""A thousand brokers in few words: ids as ranges, and rows that say the same as one row."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import groupby
from typing import TypeVar

T = TypeVar("T")

RANGE = 4  # ids in a row that are worth a range
HEAD, TAIL = 5, 2  # rows that are shown at the ends of many that say the same
MANY = 15


def ranges(ids: Iterable[int]) -> list[str]:
    """Return ids in their order, such as 3, 7, 12-997: what --broker-ids takes."""
    runs: list[list[int]] = []
    for number in ids:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return [
        part
        for run in runs
        for part in ([f"{run[0]}-{run[-1]}"] if len(run) >= RANGE else map(str, run))
    ]


def pieces(items: Sequence[T], alike: Callable[[T], Hashable | None]) -> list[Sequence[T]]:
    """Return items as pieces, each of which is to be one row: the middle of many in a row that say
    the same is one.

    What ``alike`` returns None for is always a piece of its own.
    """
    found: list[Sequence[T]] = []
    for kind, group in groupby(items, alike):
        run = list(group)
        middle = run[HEAD:-TAIL] if kind is not None and len(run) > MANY else []
        ones = [[one] for one in run]
        found += [*ones[:HEAD], middle, *ones[-TAIL:]] if middle else ones
    return found
