"""argparse with our own words: a code for each error, suggestions for what was mistyped, and
--explain."""

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from kafka_rolling_restart.codes.catalogue import explained, find, listed, suggestions
from kafka_rolling_restart.errors import ExitStatus
from kafka_rolling_restart.text import clean, with_code

WRONG_USAGE = "wrong-usage"
UNKNOWN = "unrecognized arguments: "
INVALID_CHOICE = re.compile(r"argument (?P<names>\S+): invalid choice: '(?P<given>.*?)' ")
NO_VALUE = re.compile(r"argument (?P<names>\S+): expected one argument$")
NEAR = 0.6  # of difflib: 1 is the same word


class Parser(argparse.ArgumentParser):
    """Says what is wrong with its code, and what may have been meant."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and end with status 2."""
        text = f"{message}{self._hint(message)}"
        self.print_usage(sys.stderr)
        self.exit(ExitStatus.USAGE, f"{self.prog}: error: {with_code(text, WRONG_USAGE)}\n")

    def _hint(self, message: str) -> str:
        if message.startswith(UNKNOWN):
            return _meant(self._nearest(message.removeprefix(UNKNOWN).split()))
        choice = INVALID_CHOICE.search(message)
        if choice is not None:
            action = self._option(choice["names"])
            known = [str(one) for one in (action.choices or ())] if action else []
            return _meant(get_close_matches(choice["given"], known, n=1, cutoff=NEAR))
        missing = NO_VALUE.search(message)
        if missing is not None:
            return self._how_to_give(missing["names"])
        return ""

    def _nearest(self, words: Iterable[str]) -> list[str]:
        """Return the options that are nearest to words that are none."""
        options = [name for name in self._option_string_actions if name.startswith("--")]
        found: list[str] = []
        for word in words:
            name = f"--{word.partition('=')[0].lstrip('-')}".replace("_", "-").lower()
            found += get_close_matches(name, options, n=1, cutoff=NEAR)
        return list(dict.fromkeys(found))

    def _how_to_give(self, names: str) -> str:
        """Say how an option is given its value. argparse takes a word that begins with - for an
        option."""
        action = self._option(names)
        if action is None:
            return ""
        name = action.option_strings[-1]
        return (
            f"; write {name} {action.metavar}, or {name}={action.metavar} if the value begins "
            "with -"
        )

    def _option(self, names: str) -> argparse.Action | None:
        """Return the option of its names as argparse writes them: -t/--cluster-type."""
        return self._option_string_actions.get(names.rpartition("/")[2])


def _meant(found: Sequence[str]) -> str:
    if not found:
        return ""
    return f"; did you mean {' and '.join(found)}?"


class Explain(argparse.Action):
    """Print what a code means, or all codes, and end."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: Any = None,
    ) -> None:
        """End with status 0, or with 2 for a code that does not exist."""
        if not values:
            sys.stdout.write(listed())
            parser.exit()
        entry = find(values)
        if entry is None:
            parser.exit(ExitStatus.USAGE, f"{with_code(_unknown(clean(values)), WRONG_USAGE)}\n")
        sys.stdout.write(explained(entry))
        parser.exit()


def _unknown(code: str) -> str:
    near = suggestions(code)
    if near:
        return f"there is no code {code!r}; did you mean {' or '.join(near)}?"
    return f"there is no code {code!r}; --explain without a code lists all"
