"""How what a run printed ends: the sentence with the state, its code, and the commands to type
next."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

CODED = re.compile(r"(?P<sentence>.*) \[(?P<code>[a-z0-9-]+)\]$")


@dataclass(frozen=True)
class Ending:
    """The end of a run. ``sentence`` is the whole line without its code, which is empty where there
    is none."""

    sentence: str = ""
    code: str = ""
    commands: tuple[str, ...] = ()


def ending_of(lines: Sequence[str]) -> Ending:
    """Return how lines end: the last one that has a code, and what stands below it."""
    for place in range(len(lines) - 1, -1, -1):
        found = CODED.match(lines[place].rstrip("\n"))
        if found:
            commands = tuple(line.rstrip("\n") for line in lines[place + 1 :])
            return Ending(found["sentence"], found["code"], commands)
    return Ending(lines[-1].rstrip("\n") if lines else "")
