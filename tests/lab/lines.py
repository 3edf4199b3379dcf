"""The form of every line that a run prints where nobody looks at a live area."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

LINE = re.compile(r"(\S+) (DEBUG|INFO|WARNING|ERROR) (\S.*?): (\S.*?)(?: \[([a-z0-9-]+)\])?\Z")


@dataclass(frozen=True)
class Line:
    """One line, taken apart."""

    at: datetime
    level: str
    about: str
    text: str
    code: str = ""


def parsed(printed: str) -> list[Line]:
    """Take every line apart. Raises `ValueError` for one that is not of this form or has a control
    character."""
    if printed and not printed.endswith("\n"):
        raise ValueError(f"the last line has no end: {printed[-200:]!r}")
    return [_line(text) for text in printed.split("\n")[:-1]]


def _line(text: str) -> Line:
    found = LINE.match(text)
    if not found or not text.isprintable():
        raise ValueError(f"no line of the form 'time LEVEL about: text': {text!r}")
    at = datetime.fromisoformat(found[1])
    if at.tzinfo is None:
        raise ValueError(f"a time without a zone: {text!r}")
    return Line(at, found[2], found[3], found[4], found[5] or "")
