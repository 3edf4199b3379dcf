"""What is said about one code."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One code. Names are stable: they are never given a new meaning.

    ``title`` is one line for the list; ``means`` and ``look`` are sentences, in which `backticks`
    mark what is typed.
    ``commands`` are typed as they are, with a HOST, ID or FILE replaced.
    """

    code: str
    title: str
    means: str
    look: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chapter:
    """The codes of one part of a run."""

    title: str
    intro: str
    entries: tuple[Entry, ...]
