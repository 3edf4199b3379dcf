"""A problem or a note of the preflight."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """What was found, and its code in the catalogue."""

    text: str
    code: str
