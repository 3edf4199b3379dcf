"""The manual, made from the parser of the command line: as a man page, and as the page of the
options.

It needs nothing but the standard library, so the man page can be made wherever the package can be
installed: ``setup.py`` runs ``python -m docs.manual FILE``, and the wheel installs the file.
``docs/conf.py`` gives the same content to Sphinx. Nobody writes down an option twice.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent

from kafka_rolling_restart import __version__
from kafka_rolling_restart.cli.arguments import make_parser

ROOT = Path(__file__).parents[1]

SUMMARY = "restart every broker of a Kafka cluster, one at a time"
SEE_ALSO = "ssh(1), ssh_config(5), sudoers(5), crontab(5)"
HEADING = re.compile(r"^(\S.*):\n", re.MULTILINE)


@dataclass(frozen=True)
class Option:
    """One option as it is typed, such as ``-t TYPE, --cluster-type TYPE``, and what it means."""

    names: tuple[str, ...]
    value: str
    meaning: str

    @property
    def forms(self) -> list[str]:
        """Return each way to type the option."""
        if not self.value:
            return list(self.names)
        return [f"{name} {self.value}" for name in self.names]


@dataclass(frozen=True)
class Group:
    """The options under one heading of ``--help``."""

    title: str
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Section:
    """A part of the text below the options: its heading, and its lines as they are."""

    title: str
    lines: str


def groups(parser: argparse.ArgumentParser) -> list[Group]:
    """Return the options of a parser, grouped as ``--help`` groups them."""
    found = []
    for group in parser._action_groups:
        options = tuple(_option(parser, action) for action in group._group_actions)
        title = "help" if group is parser._optionals else group.title or ""
        if options:
            found.append(Group(title, options))
    return found


def _option(parser: argparse.ArgumentParser, action: argparse.Action) -> Option:
    known = {name: value for name, value in vars(action).items() if value is not argparse.SUPPRESS}
    meaning = (action.help or "") % {**known, "prog": parser.prog}
    return Option(tuple(action.option_strings), _value(action), meaning)


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return str(action.metavar or action.dest.upper())


def sections(parser: argparse.ArgumentParser) -> list[Section]:
    """Return the parts of the text below the options: each begins with a line that ends with a
    colon."""
    _, *parts = HEADING.split(parser.epilog or "")
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [Section(title, dedent(lines).strip("\n")) for title, lines in pairs]


def synopsis(parser: argparse.ArgumentParser) -> str:
    """Return how the command is called."""
    return " ".join(parser.format_usage().removeprefix("usage: ").split())


# The man page


def roff(parser: argparse.ArgumentParser) -> str:
    """Return the man page."""
    return "\n".join(_roff_lines(parser)) + "\n"


def _roff_lines(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f'.TH {parser.prog.upper()} 1 "" "{parser.prog} {__version__}"'
    yield ".nh"  # no hyphens in names that are copied
    yield ".ad l"
    yield ".SH NAME"
    yield f"{_escaped(parser.prog)} \\- {_escaped(SUMMARY)}"
    yield ".SH SYNOPSIS"
    yield _escaped(synopsis(parser))
    yield ".SH DESCRIPTION"
    yield _escaped(" ".join((parser.description or "").split()))
    yield ".SH OPTIONS"
    for group in groups(parser):
        yield f".SS {_quoted(_capital(group.title))}"
        for option in group.options:
            yield ".TP"
            yield ", ".join(_bold(form) for form in option.forms)
            yield _escaped(option.meaning)
    for section in sections(parser):
        yield f".SH {_quoted(section.title.upper())}"
        yield ".nf"
        yield from map(_escaped, section.lines.splitlines())
        yield ".fi"
    yield ".SH SEE ALSO"
    yield _escaped(SEE_ALSO)


def _escaped(text: str) -> str:
    """Return a line of text in which roff finds nothing to obey, and keeps what a reader may
    copy."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    text = text.replace("`", r"\(ga").replace("~", r"\(ti").replace("^", r"\(ha")
    return f"\\&{text}" if text.startswith(".") else text


def _quoted(text: str) -> str:
    return '"' + _escaped(text).replace('"', r"\(dq") + '"'


def _bold(form: str) -> str:
    name, _, value = form.partition(" ")
    bold = f"\\fB{_escaped(name)}\\fR"
    return f"{bold} \\fI{_escaped(value)}\\fR" if value else bold


def _capital(title: str) -> str:
    return title[:1].upper() + title[1:]


# The page of the options


def rst(parser: argparse.ArgumentParser) -> str:
    """Return the same as reStructuredText, for the middle of a page whose headings are underlined
    with =."""
    return "\n".join(_rst_lines(parser)) + "\n"


def _rst_lines(parser: argparse.ArgumentParser) -> Iterator[str]:
    for group in groups(parser):
        yield from _rst_heading(_capital(group.title))
        for option in group.options:
            yield ", ".join(f"``{form}``" for form in option.forms)
            yield indent(_rst_text(option.meaning), "    ")
            yield ""
    for section in sections(parser):
        yield from _rst_heading(_capital(section.title))
        yield "::"
        yield ""
        yield indent(section.lines, "    ")
        yield ""


def _rst_heading(title: str) -> Iterator[str]:
    yield title
    yield "-" * len(title)
    yield ""


def _rst_text(text: str) -> str:
    r"""Return a line of text in which nothing is markup: ``\*`` is ``*``."""
    return re.sub(r"([\\*`|_])", r"\\\1", text)


def main(target: Path) -> None:
    """Write the man page."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(roff(make_parser()), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
