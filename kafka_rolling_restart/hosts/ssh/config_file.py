"""Read OpenSSH's client configuration (ssh_config(5)): Host, Match and Include, and what they say
of a host.

Not by paramiko's reader, which ignores Include, takes a Match criterion that it does not know (or
one in capitals) as matched, and lets `Match exec` read our standard input.
"""

import glob
import ipaddress
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from kafka_rolling_restart.errors import UsageError

MAX_DEPTH = 16  # of Include, as in OpenSSH
EXEC_S = 10.0
# Lines end at \n alone, and what separates words is not Python's idea of a space: a form feed or
# U+2028 in a comment would
# make a setting of its rest.
SPACE = " \t\r\n"
LINE = re.compile(r"([A-Za-z0-9]+)(?:[ \t\r]*=[ \t\r]*|[ \t\r]+)(.+)", re.DOTALL)
TOKEN = re.compile(r"%(.)")
VARIABLE = re.compile(r"\$\{(\w+)\}")
# taken as they are written
RAW = (
    "proxycommand",
    "proxyjump",
    "localcommand",
    "remotecommand",
    "knownhostscommand",
)
REPEATABLE = ("identityfile", "certificatefile")
SEVERAL = (
    "userknownhostsfile",
    "globalknownhostsfile",
    "canonicaldomains",
    "canonicalizepermittedcnames",
)
SINGLE = (
    *(
        "hostname",
        "user",
        "port",
        "identityfile",
        "identitiesonly",
        "hostkeyalias",
        "hashknownhosts",
    ),
    *(
        "stricthostkeychecking",
        "revokedhostkeys",
        "preferredauthentications",
        "passwordauthentication",
    ),
    *(
        "kbdinteractiveauthentication",
        "pubkeyauthentication",
        "canonicalizehostname",
        "canonicalizemaxdots",
    ),
)
ALIASES = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "skeyauthentication": "kbdinteractiveauthentication",
    "tisauthentication": "kbdinteractiveauthentication",
    "dsaauthentication": "pubkeyauthentication",
}
NONE = "none"
HOST_LINE = "Host"  # differs from Match host and Match originalhost
LAST_PASS = ("final", "canonical")  # hold in the second pass, whatever was the cause of that
ALONE = ("all", *LAST_PASS)
CRITERIA = ("host", "originalhost", "user", "localuser", "exec")
# each has an argument
UNSUPPORTED = (
    "localnetwork",
    "tagged",
    "command",
    "sessiontype",
    "version",
)


@dataclass(frozen=True)
class Condition:
    """One criterion of a Match line, or all the patterns of a Host line."""

    kind: str
    argument: str = ""
    negated: bool = False
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Block:
    """A Host or Match line. ``outer`` is the block in which its file is included, ``where`` its
    file and line."""

    conditions: tuple[Condition, ...]
    where: str
    outer: "Block | None" = None


@dataclass(frozen=True)
class Setting:
    """A line that says something of the hosts that meet the conditions of its block; None: of
    all."""

    keyword: str
    words: tuple[str, ...]
    block: Block | None


@dataclass(frozen=True)
class Query:
    """A host that is looked up: its name, the user and port of the command line, and who asks from
    where."""

    name: str
    login: str
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    given: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


Found = dict[str, tuple[str, ...]]


class SettingsReader:
    """Reads a file and those that it includes. ``base`` is where relative names are, ``home`` is
    ``~``.

    ``strict``: refuse a file that others may write; what is included is always refused then, as in
    OpenSSH.
    """

    def __init__(self, base: Path, home: Path, strict: bool) -> None:
        self._base = base
        self._home = home
        self._strict = strict

    def read(
        self, path: Path, outer: Block | None = None, depth: int = 0
    ) -> Iterator[Block | Setting]:
        """Return the blocks and settings in their order. Raises `UsageError` for a file that makes
        no sense."""
        if depth > MAX_DEPTH:
            raise UsageError(
                f"{path}: Include goes deeper than {MAX_DEPTH} files: does it include itself?",
                code="ssh-config-invalid",
            )
        current = outer
        for number, line in enumerate(self._lines(path, self._strict or depth > 0), 1):
            where = f"{path}, line {number}"
            keyword, text = _keyword(line, where)
            if keyword == "host":
                current = Block((_host_line(text, where),), where, outer)
                yield current
            elif keyword == "match":
                current = Block(tuple(_conditions(_words(text, where), where)), where, outer)
                yield current
            elif keyword == "include":
                for file in self._files(_words(text, where)):
                    yield from self.read(file, current, depth + 1)
            elif keyword:
                yield Setting(keyword, _values(keyword, text, where), current)

    def _lines(self, path: Path, strict: bool) -> list[str]:
        try:
            if strict:
                _require_ours(path)
            return path.read_bytes().decode("utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{path}: cannot be used: {error}", code="ssh-config-invalid"
            ) from error

    def _files(self, patterns: tuple[str, ...]) -> Iterator[Path]:
        for pattern in patterns:
            whole = self._base / (self._home / pattern[2:] if pattern.startswith("~/") else pattern)
            yield from map(Path, sorted(glob.glob(str(whole))))


class Lookup:
    """Finds what the settings say of a host; as in OpenSSH, the first that says something wins."""

    def __init__(self, lines: tuple[Block | Setting, ...], run: Callable[[str], bool]) -> None:
        self._lines = lines
        self._run = run
        blocks = [line for line in lines if isinstance(line, Block)]
        self._has_final = any(one.kind == "final" for block in blocks for one in block.conditions)

    def find(self, query: Query) -> Found:
        """Return the settings of a host, not yet expanded. Raises `UsageError` for what only ssh
        itself can tell."""
        found: Found = {key: tuple(words) for key, words in query.given.items()}
        self._pass(query, found, final=False)
        canonical = flag(found, "canonicalizehostname", also=("always",))
        if canonical:
            _require_whole_name(query, found)
        if self._has_final or canonical:
            # which nothing can change any more
            found["hostname"] = (address(query, found).replace("%", "%%"),)
            self._pass(query, found, final=True)
        return found

    def _pass(self, query: Query, found: Found, final: bool) -> None:
        """Go through all lines. Whether a block holds is decided at its head, before what it says
        changes the answer."""
        holds: dict[Block | None, bool] = {None: True}
        for line in self._lines:
            if isinstance(line, Block):
                holds[line] = holds[line.outer] and self._holds(line, query, found, final)
            elif holds[line.block] and _is_open(line.keyword, found):
                earlier = found.get(line.keyword, ())
                found[line.keyword] = tuple(dict.fromkeys((*earlier, *line.words)))

    def _holds(self, block: Block, query: Query, found: Found, final: bool) -> bool:
        known = [one for one in block.conditions if one.kind not in UNSUPPORTED]
        for condition in known:
            if self._is_met(condition, query, found, final) is condition.negated:
                return False
        for condition in block.conditions:
            if condition.kind in UNSUPPORTED:
                raise UsageError(
                    f"{block.where}: Match {condition.kind} is not supported, and decides here "
                    f"what holds for {query.name}. "
                    "Write a file without it, and name that file with --ssh-config",
                    code="ssh-config-unsupported",
                )
        return True

    def _is_met(self, condition: Condition, query: Query, found: Found, final: bool) -> bool:
        if condition.kind == "all":
            return True
        if condition.kind in LAST_PASS:
            return final
        if condition.kind == HOST_LINE:
            return matches(condition.patterns, address(query, found) if final else query.name)
        if condition.kind == "exec":
            # for Match exec as it is written, and the alias of what has none
            host = _spelled(query, found)
            values = {**tokens(query, found), "h": host, "k": first(found, "hostkeyalias", host)}
            return self._run(expanded(condition.argument, values))
        patterns = condition.argument.split(",")
        if condition.kind == "host":
            return host_matches(patterns, address(query, found))
        if condition.kind == "originalhost":
            return host_matches(patterns, query.name)
        if condition.kind == "user":
            return matches(patterns, first(found, "user", query.login))
        return matches(patterns, query.login)


def _is_open(keyword: str, found: Found) -> bool:
    """Tell whether a setting may still say something. A proxy that comes first keeps the other kind
    out."""
    if keyword == "proxyjump":
        return "proxyjump" not in found and "proxycommand" not in found
    if keyword == "proxycommand" and first(found, "proxyjump", NONE).lower() != NONE:
        return False
    return keyword not in found or keyword in REPEATABLE


def _require_whole_name(query: Query, found: Found) -> None:
    """Refuse a name that ssh would look up in the name service and replace by another one."""
    name = address(query, found)
    dots = first(found, "canonicalizemaxdots", "1")
    is_left_alone = dots.isascii() and dots.isdigit() and name.count(".") > int(dots)
    if is_address(name) or (is_left_alone and _is_none(found, "canonicalizepermittedcnames")):
        return
    if _is_none(found, "canonicaldomains") and _is_none(found, "canonicalizepermittedcnames"):
        return
    raise UsageError(
        f"CanonicalizeHostname is not supported where it may replace the name {name}. Give the "
        "whole name with --ssh-host, or set CanonicalizeHostname no for this host",
        code="ssh-config-unsupported",
    )


def _is_none(found: Found, keyword: str) -> bool:
    return first(found, keyword, NONE).lower() == NONE


def flag(found: Found, keyword: str, default: bool = False, also: Sequence[str] = ()) -> bool:
    """Return what a setting says, which is yes or no; ``also`` are further words for yes. Raises
    `UsageError`."""
    word = first(found, keyword, "yes" if default else "no").lower()
    if word in ("yes", "true", *also):
        return True
    if word in ("no", "false"):
        return False
    raise UsageError(f"{keyword} {word[:80]!r} is neither yes nor no", code="ssh-config-invalid")


def first(found: Found, keyword: str, default: str = "") -> str:
    """Return the first word that a setting has."""
    return next(iter(found.get(keyword, ())), default)


def address(query: Query, found: Found) -> str:
    """Return the name or address that is connected to."""
    name = _spelled(query, found)
    return name if is_address(name) else name.lower()


def _spelled(query: Query, found: Found) -> str:
    return expanded(first(found, "hostname", query.name), {"h": query.name})


def is_address(name: str) -> bool:
    """Tell whether this is an IP address and no name."""
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


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
            raise UsageError(
                f"%{match[1]} in {text!r} is not supported", code="ssh-config-unsupported"
            )
        return values[match[1]]

    return TOKEN.sub(value, text)


def with_variables(text: str, environ: Mapping[str, str]) -> str:
    """Return a text with each ``${NAME}`` replaced. Raises `UsageError` for a variable that is not
    set."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise UsageError(
                f"{text!r}: the environment has no {match[1]}", code="ssh-config-invalid"
            )
        return environ[match[1]]

    return VARIABLE.sub(value, text)


def host_matches(patterns: Sequence[str], name: str) -> bool:
    """Tell whether a host name matches a list of patterns, in capitals or not: as Match host, and
    as in known_hosts."""
    return matches([pattern.lower() for pattern in patterns], name.lower())


def matches(patterns: Sequence[str], text: str) -> bool:
    """Tell whether a text matches a list of patterns with ``*``, ``?`` and ``!``, as in
    ssh_config(5)."""
    met = False
    for pattern in patterns:
        if _pattern(pattern.removeprefix("!")).fullmatch(text):
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
            raise UsageError(
                f"Match exec in the SSH configuration: {error}", code="ssh-config-invalid"
            ) from error
        return ended.returncode == 0

    return succeeds


def _keyword(line: str, where: str) -> tuple[str, str]:
    line = line.rstrip(SPACE + "\f").lstrip(SPACE)
    if not line or line.startswith("#"):
        return "", ""
    match = LINE.fullmatch(line)
    if not match:
        raise UsageError(
            f"{where}: {line[:80]!r} is no setting with a value", code="ssh-config-invalid"
        )
    keyword = match[1].lower()
    return ALIASES.get(keyword, keyword), match[2]


def _values(keyword: str, text: str, where: str) -> tuple[str, ...]:
    """Return the words of a setting. Raises `UsageError` where ssh refuses their number."""
    if keyword == "proxyjump":
        return (text.lstrip(f"{SPACE}=").partition("#")[0].rstrip(SPACE),)
    if keyword in RAW:
        return (text.lstrip(f"{SPACE}="),)
    words = _words(text, where)
    if keyword in (*SINGLE, *SEVERAL) and not all(words or ("",)):
        raise UsageError(f"{where}: {keyword} has no value", code="ssh-config-invalid")
    if keyword in SINGLE and len(words) > 1:
        raise UsageError(
            f"{where}: {keyword} has more than one value: {text[:80]!r}", code="ssh-config-invalid"
        )
    if keyword in SEVERAL and len(words) > 1 and NONE in map(str.lower, words):
        raise UsageError(
            f"{where}: {keyword} has {NONE!r} beside another value", code="ssh-config-invalid"
        )
    return words


def _host_line(text: str, where: str) -> Condition:
    """Read the patterns of a Host line: spaces separate them, and a comma is a part of a name."""
    patterns = _words(text, where)
    if not all(patterns or ("",)):
        raise UsageError(f"{where}: Host has no pattern", code="ssh-config-invalid")
    return Condition(HOST_LINE, patterns=patterns)


def _conditions(words: tuple[str, ...], where: str) -> Iterator[Condition]:
    rest = list(words)
    if not rest:
        raise UsageError(f"{where}: Match has no criterion", code="ssh-config-invalid")
    found = 0
    while rest:
        # Match host=NAME is the same as Match host NAME
        word, _, value = rest.pop(0).partition("=")
        if value:
            rest.insert(0, value)
        kind, negated = word.removeprefix("!").lower(), word.startswith("!")
        if kind == "all" and (rest or found > 1):
            raise UsageError(
                f"{where}: Match all stands beside other criteria", code="ssh-config-invalid"
            )
        if kind not in (*ALONE, *CRITERIA, *UNSUPPORTED):
            raise UsageError(
                f"{where}: Match {kind[:80]!r} is no criterion that is known",
                code="ssh-config-invalid",
            )
        argument = ""
        if kind not in ALONE:
            if rest[:1] == ["="]:
                rest.pop(0)
            if not rest or not rest[0]:
                raise UsageError(
                    f"{where}: Match {kind} has no argument", code="ssh-config-invalid"
                )
            argument = rest.pop(0)
        found += 1
        yield Condition(kind, argument, negated)


def _words(text: str, where: str) -> tuple[str, ...]:
    """Split at spaces outside quotes, up to a comment; unlike in a shell most backslashes are
    backslashes (DOMAIN\\user)."""
    words: list[str] = []
    word: str | None = None  # None: between two words
    quote, at = "", 0
    while at < len(text):
        one, following = text[at], text[at + 1 : at + 2]
        at += 1
        if word is None and one in " \t":
            continue
        if word is None and one == "#":
            break
        word = word or ""
        if one == "\\" and following and (following in "'\"\\" or (following == " " and not quote)):
            word += following
            at += 1
        elif one in " \t" and not quote:
            words.append(word)
            word = None
        elif one in "'\"" and not quote:
            quote = one
        elif one == quote:
            quote = ""
        else:
            word += one
    if quote:
        raise UsageError(
            f"{where}: {text[:80]!r} has a quote without its partner", code="ssh-config-invalid"
        )
    return tuple(words) if word is None else (*words, word)


def _require_ours(path: Path) -> None:
    """Refuse a file that others may write: it names commands that we run. OpenSSH refuses it,
    too."""
    status = path.stat()
    if status.st_uid not in (0, os.getuid()):
        raise UsageError(
            f"{path}: belongs to uid {status.st_uid}, so ssh refuses it, too: it must be yours or "
            "root's",
            code="ssh-config-permissions",
        )
    if status.st_mode & 0o022:
        raise UsageError(
            f"{path}: others may write it, so ssh refuses it, too: chmod go-w "
            f"{shlex.quote(str(path))}",
            code="ssh-config-permissions",
        )
