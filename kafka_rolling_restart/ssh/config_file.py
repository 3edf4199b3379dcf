"""Read OpenSSH's client configuration (ssh_config(5)): Host, Match and Include, and what they say of a host.

Not by paramiko's reader, which ignores Include, takes a Match criterion that it does not know (or one in capitals) as
matched, and lets `Match exec` read our standard input.
"""

import glob
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from kafka_rolling_restart.errors import UsageError

MAX_DEPTH = 16  # of Include, as in OpenSSH
EXEC_S = 10.0
LINE = re.compile(r"(\w+)(?:\s*=\s*|\s+)(.*)")
WORD = re.compile(r"""(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s"']\S*))\s*""")
ESCAPED = re.compile(r"""\\(["\\])""")  # within quotes
TOKEN = re.compile(r"%(.)")
VARIABLE = re.compile(r"\$\{(\w+)\}")
RAW = ("proxycommand", "localcommand", "remotecommand", "knownhostscommand")  # go to a shell as they are written
REPEATABLE = ("identityfile", "certificatefile")
PROXIES = ("proxyjump", "proxycommand")  # whichever comes first keeps the other from being looked at
HOST_LINE = "Host"  # differs from Match host and Match originalhost
ALONE = ("all", "final", "canonical")
CRITERIA = (*ALONE, "host", "originalhost", "user", "localuser", "exec")


@dataclass(frozen=True)
class Condition:
    """One criterion of a Match or Host line."""

    kind: str
    argument: str = ""
    negated: bool = False


@dataclass(frozen=True)
class Setting:
    """A line that says something of the hosts that meet all the conditions."""

    keyword: str
    words: tuple[str, ...]
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Query:
    """A host that is looked up: its name, the user and port of the command line, and who asks from where."""

    name: str
    login: str
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    given: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


Found = dict[str, tuple[str, ...]]


class SettingsReader:
    """Reads a file and those that it includes. ``base`` is where relative names are, ``home`` is ``~``."""

    def __init__(self, base: Path, home: Path, strict: bool, warn: Callable[[str], None]) -> None:
        self._base = base
        self._home = home
        self._strict = strict
        self._warn = warn

    def read(self, path: Path, outer: tuple[Condition, ...] = (), depth: int = 0) -> Iterator[Setting]:
        """Return the settings in their order. Raises `UsageError` for a file that makes no sense."""
        if depth > MAX_DEPTH:
            raise UsageError(f"{path}: Include goes deeper than {MAX_DEPTH} files: does it include itself?")
        current = outer
        for number, line in enumerate(self._lines(path), 1):
            where = f"{path}, line {number}"
            keyword, text = _keyword(line, where)
            if keyword == "host":
                current = (*outer, Condition(HOST_LINE, ",".join(_words(text, where))))
            elif keyword == "match":
                current = (*outer, *self._conditions(_words(text, where), where))
            elif keyword == "include":
                for file in self._files(_words(text, where)):
                    yield from self.read(file, current, depth + 1)
            elif keyword:
                yield Setting(keyword, (text,) if keyword in RAW else _words(text, where), current)

    def _lines(self, path: Path) -> list[str]:
        try:
            if self._strict:
                _require_ours(path)
            return path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: cannot be used: {error}") from error

    def _files(self, patterns: tuple[str, ...]) -> Iterator[Path]:
        for pattern in patterns:
            whole = self._base / (self._home / pattern[2:] if pattern.startswith("~/") else pattern)
            yield from map(Path, sorted(glob.glob(str(whole))))

    def _conditions(self, words: tuple[str, ...], where: str) -> Iterator[Condition]:
        rest = iter(words)
        for word in rest:
            kind = word.lstrip("!").lower()
            if kind not in CRITERIA:
                self._warn(f"{where}: Match {kind} is not supported: what follows it is taken not to match")
                yield Condition("all", negated=True)
                return
            argument = "" if kind in ALONE else next(rest, None)
            if argument is None:
                raise UsageError(f"{where}: Match {kind} has no argument")
            yield Condition(kind, argument, word.startswith("!"))


class Lookup:
    """Finds what the settings say of a host; as in OpenSSH, the first that says something wins."""

    def __init__(self, settings: tuple[Setting, ...], run: Callable[[str], bool]) -> None:
        self._settings = settings
        self._run = run

    def find(self, query: Query) -> Found:
        """Return the settings of a host, not yet expanded."""
        found: Found = {key: tuple(words) for key, words in query.given.items()}
        self._pass(query, found, final=False)
        if any(one.kind == "final" for setting in self._settings for one in setting.conditions):
            self._pass(query, found, final=True)
        return found

    def _pass(self, query: Query, found: Found, final: bool) -> None:
        for setting in self._settings:
            if not _is_open(setting, found) or not all(
                self._holds(one, query, found, final) for one in setting.conditions
            ):
                continue
            earlier = found.get(setting.keyword, ())
            found[setting.keyword] = tuple(dict.fromkeys((*earlier, *setting.words)))

    def _holds(self, condition: Condition, query: Query, found: Found, final: bool) -> bool:
        return self._is_met(condition, query, found, final) is not condition.negated

    def _is_met(self, condition: Condition, query: Query, found: Found, final: bool) -> bool:
        if condition.kind in ALONE:
            return {"all": True, "final": final, "canonical": False}[condition.kind]
        if condition.kind == "exec":
            return self._run(expanded(condition.argument, tokens(query, found)))
        return matches(condition.argument.split(","), _subject(condition.kind, query, found, final))


def _is_open(setting: Setting, found: Found) -> bool:
    """Tell whether a setting may still say something."""
    if setting.keyword in PROXIES:
        return not any(proxy in found for proxy in PROXIES)
    return setting.keyword not in found or setting.keyword in REPEATABLE


def _subject(kind: str, query: Query, found: Found, final: bool) -> str:
    if kind == "host" or (kind == HOST_LINE and final):  # as `ssh -G` shows
        return address(query, found)
    if kind in (HOST_LINE, "originalhost"):
        return query.name
    return first(found, "user", query.login) if kind == "user" else query.login


def first(found: Found, keyword: str, default: str = "") -> str:
    """Return the first word that a setting has."""
    return next(iter(found.get(keyword, ())), default)


def address(query: Query, found: Found) -> str:
    """Return the name or address that is connected to."""
    return expanded(first(found, "hostname", query.name), {"h": query.name})


def tokens(query: Query, found: Found) -> dict[str, str]:
    """Return what the %-tokens of ssh_config(5) stand for."""
    host = os.uname().nodename
    return {
        "h": address(query, found),
        "n": query.name,
        "k": first(found, "hostkeyalias", query.name),
        "p": first(found, "port", "22"),
        "r": first(found, "user", query.login),
        "u": query.login,
        "d": query.environ.get("HOME", ""),
        "i": str(os.getuid()),
        "l": host,
        "L": host.partition(".")[0],
    }


def expanded(text: str, values: Mapping[str, str]) -> str:
    """Return a text with its %-tokens replaced. Raises `UsageError` for one that is not known."""

    def value(match: re.Match[str]) -> str:
        if match[1] == "%":
            return "%"
        if match[1] not in values:
            raise UsageError(f"%{match[1]} in {text!r} is not supported")
        return values[match[1]]

    return TOKEN.sub(value, text)


def with_variables(text: str, environ: Mapping[str, str]) -> str:
    """Return a text with each ``${NAME}`` replaced. Raises `UsageError` for a variable that is not set."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise UsageError(f"{text!r}: the environment has no {match[1]}")
        return environ[match[1]]

    return VARIABLE.sub(value, text)


def matches(patterns: list[str], text: str) -> bool:
    """Tell whether a text matches a list of patterns with ``*``, ``?`` and ``!``, as in ssh_config(5)."""
    met = False
    for pattern in patterns:
        if _pattern(pattern.lstrip("!").lower()).fullmatch(text.lower()):
            if pattern.startswith("!"):
                return False
            met = True
    return met


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def runner(shell: str) -> Callable[[str], bool]:
    """Return what runs the commands of `Match exec`, each of them once."""

    @cache
    def succeeds(command: str) -> bool:
        try:
            ended = subprocess.run(
                [shell, "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=EXEC_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UsageError(f"Match exec in the SSH configuration: {error}") from error
        return ended.returncode == 0

    return succeeds


def _keyword(line: str, where: str) -> tuple[str, str]:
    line = line.strip()
    if not line or line.startswith("#"):
        return "", ""
    match = LINE.fullmatch(line)
    if not match:
        raise UsageError(f"{where}: {line[:80]!r} is no setting with a value")
    return match[1].lower(), match[2].strip()


def _words(text: str, where: str) -> tuple[str, ...]:
    """Split at spaces outside quotes, up to a comment; unlike in a shell a backslash is a backslash (DOMAIN\\user)."""
    words, at = [], 0
    while at < len(text):
        match = WORD.match(text, at)
        if not match:
            raise UsageError(f"{where}: {text[at:][:80]!r} has a quote without its partner")
        if (match[3] or "").startswith("#"):
            break
        words.append(ESCAPED.sub(r"\1", match[1] or "") or match[2] or match[3] or "")
        at = match.end()
    return tuple(words)


def _require_ours(path: Path) -> None:
    """Refuse a file that others may write: it names commands that we run. OpenSSH refuses it, too."""
    status = path.stat()
    if status.st_uid not in (0, os.getuid()) or status.st_mode & 0o022:
        raise UsageError(f"{path}: others may write it, so ssh refuses it, too: chmod go-w {shlex.quote(str(path))}")
