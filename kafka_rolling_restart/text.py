"""What is shown, made harmless: without control characters, no longer than it may be, and without
secrets.

Every source of a text from outside uses this, and every place where a text is shown uses it again.
"""

import re
import traceback
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

Value = TypeVar("Value")

MAX_SAID = 500  # characters of one thing that somebody outside said
# characters of a line: the last line of a run may have a command for each of 1,000 brokers
MAX_LINE = 100_000
CUT = "..."
MASK = "***"
# SASL's: a hash of one
NAME = r"pass(?:word|wd|phrase)?|secret|token|auth(?:orization)?|credentials?|challenge"
SCHEME = r"(?:Basic|Bearer|Digest)\s+"
VALUE = r"""b?'(?:[^'\\]|\\.)*'|b?"(?:[^"\\]|\\.)*"|[^\s,;)'"]+"""
NAMED_SECRET = re.compile(rf"""(?i)((?:{NAME})['"]?\s*[=:]\s*)(?:{SCHEME})?(?:{VALUE})""")
SECRET_OPTION = re.compile(rf"""(?i)(?<![\w-])(--?[\w-]{{0,40}}?(?:{NAME})\s+)(?:{VALUE})""")
SECRET_IN_ADDRESS = re.compile(r"://[^/\s]+@")


def clean(text: str, most: int = MAX_LINE) -> str:
    """Return one line of a text, of at most ``most`` characters, without anything that a terminal
    acts on.

    Those are control characters, escapes, and what reverses or hides other characters.
    """
    if len(text) > most:
        text = text[: max(most - len(CUT), 0)] + CUT
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "?" for character in text)


def said(text: str) -> str:
    """Return what somebody outside said, to be put into a message of ours."""
    return clean(text, MAX_SAID)


def sentence(text: str) -> str:
    """Return a text with a mark at its end, where it has none."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def with_code(text: str, code: str) -> str:
    """Return a text with its code of the catalogue in brackets at its end."""
    if not code:
        return text
    return f"{text} [{code}]"


def clean_all(value: Value) -> Value:
    """Return a value with every text in it cleaned: in frozen dataclasses, tuples, lists and
    dictionaries."""
    found: Any = value
    if isinstance(found, str):
        found = clean(found) if type(found) is str else found  # an enum's is ours
    elif isinstance(found, tuple | list):
        found = type(found)(clean_all(one) for one in found)
    elif isinstance(found, dict):
        found = {key: clean_all(one) for key, one in found.items()}
    elif is_dataclass(found) and not isinstance(found, type):
        found = replace(
            found,
            **{one.name: clean_all(getattr(found, one.name)) for one in fields(found) if one.init},
        )
    return found  # type: ignore[no-any-return]


def masked(text: str) -> str:
    """Return a text without what looks like a secret: ``password=...``, ``--token ...``,
    ``://user:password@host``."""
    for pattern in (NAMED_SECRET, SECRET_OPTION):
        text = pattern.sub(rf"\1{MASK}", text)
    return SECRET_IN_ADDRESS.sub(f"://{MASK}@", text)


def describe(error: BaseException) -> str:
    """Say what an exception is. Its repr may hold a password: that of a UnicodeEncodeError has the
    whole text."""
    kind = type(error).__name__
    # its message has a character, maybe of a password
    if isinstance(error, UnicodeEncodeError | UnicodeDecodeError):
        return f"{kind}: {error.reason}, at position {error.start}"
    message = said(masked(str(error)))
    if not message:
        return kind
    return f"{kind}: {message}"


def describe_all(error: BaseException) -> str:
    """Return the traceback of an exception: where it happened, and `describe` of it and of its
    causes."""
    lines: list[str] = []
    for one in reversed(_chain(error)):
        lines += [
            "Traceback (most recent call last):\n",
            *traceback.format_tb(one.__traceback__),
            f"{describe(one)}\n",
        ]
    return "".join(f"{clean(line)}\n" for line in "".join(lines).splitlines())


def _chain(error: BaseException) -> list[BaseException]:
    """Return an exception and what it was raised from, the last to be raised first."""
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found:
        found.append(following)
        hidden = following.__suppress_context__
        following = following.__cause__ if hidden else following.__cause__ or following.__context__
    return found
