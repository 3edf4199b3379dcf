"""Find a code, list all of them, and render them as a page."""

import re
import textwrap
from collections.abc import Iterator
from difflib import get_close_matches

from kafka_rolling_restart.codes.entry import Chapter, Entry
from kafka_rolling_restart.codes.kraft import KRAFT
from kafka_rolling_restart.codes.preflight import HOSTS, REGISTRY
from kafka_rolling_restart.codes.restarting import ENDING, RESTARTING
from kafka_rolling_restart.codes.usage import USAGE
from kafka_rolling_restart.codes.waiting import WAITING

CHAPTERS: tuple[Chapter, ...] = (USAGE, REGISTRY, KRAFT, HOSTS, WAITING, RESTARTING, ENDING)
COLUMNS = 80
PAGE_COLUMNS = 100
SUGGESTIONS = 3
CODE_OF_LINE = re.compile(r" \[([a-z0-9-]+)\]$")
HEAD = """\
.. Made by: python -m kafka_rolling_restart.codes > docs/troubleshooting.rst

Troubleshooting
===============

Every warning, problem and ending has a code in brackets at the end of its line, such as
``[stop-had-no-effect]``. The code keeps its name in later versions, so scripts can rely on it. The
JSON file of ``--report`` has it, too. The same text as here is printed by::

    kafka-rolling-restart --explain stop-had-no-effect

``kafka-rolling-restart --explain`` lists all codes. The text is in the folder
``kafka_rolling_restart/codes/``.
"""


def entries() -> Iterator[Entry]:
    """Yield the entry of each code, in the order of the page."""
    for chapter in CHAPTERS:
        yield from chapter.entries


def find(code: str) -> Entry | None:
    """Return the entry of a code, also where it is written with its brackets."""
    wanted = code.strip().strip("[]").lower()
    return next((entry for entry in entries() if entry.code == wanted), None)


def suggestions(code: str) -> list[str]:
    """Return the codes that are nearest to one that does not exist, at most three."""
    known = [entry.code for entry in entries()]
    wanted = code.strip().strip("[]").lower()
    parts = [one for one in known if wanted and wanted in one]
    near = get_close_matches(wanted, known, SUGGESTIONS, cutoff=0.5)
    return list(dict.fromkeys([*parts, *near]))[:SUGGESTIONS]


def explained(entry: Entry) -> str:
    """Return an entry as text for a terminal."""
    lines = [f"{entry.code}: {entry.title}", ""]
    lines += _paragraph("What it means", entry.means)
    lines += _paragraph("What to look at", entry.look)
    if entry.commands:
        lines.append("What to type:")
        lines += [f"    {command}" for command in entry.commands]
        lines.append("")
    return "\n".join(lines)


def listed() -> str:
    """Return all codes with one line each."""
    width = max(len(entry.code) for entry in entries())
    lines: list[str] = []
    for chapter in CHAPTERS:
        lines += [f"{chapter.title}:"]
        lines += [f"  {entry.code:{width}}  {entry.title}" for entry in chapter.entries]
        lines.append("")
    return "\n".join(lines)


def page() -> str:
    """Return docs/troubleshooting.rst."""
    lines = [HEAD]
    for chapter in CHAPTERS:
        lines += [chapter.title, "-" * len(chapter.title), "", *_wrapped(chapter.intro), ""]
        for entry in chapter.entries:
            lines += _section(entry)
    return "\n".join(lines).rstrip("\n") + "\n"


def _section(entry: Entry) -> list[str]:
    lines = [entry.code, "~" * len(entry.code), ""]
    lines += [*_wrapped(_sentence(entry.title)), ""]
    lines += [*_wrapped(entry.means), ""]
    lines += [*_wrapped(entry.look), ""]
    if entry.commands:
        lines += ["::", ""]
        lines += [f"    {command}" for command in entry.commands]
        lines.append("")
    return lines


def _sentence(title: str) -> str:
    return f"{title[0].upper()}{title[1:]}."


def _wrapped(text: str) -> list[str]:
    marked = re.sub(r"`([^`]+)`", r"``\1``", text)
    return textwrap.wrap(marked, PAGE_COLUMNS, break_long_words=False, break_on_hyphens=False)


def _paragraph(head: str, text: str) -> list[str]:
    wrapped = textwrap.wrap(
        f"{head}: {text}",
        COLUMNS,
        break_long_words=False,
        break_on_hyphens=False,
        subsequent_indent="    ",
    )
    return [*wrapped, ""]
