"""Pure judgement: would sudo ask for a password for this command, by its own listing (`sudo -ll`).

`sudo -n -l COMMAND` is not enough: it succeeds for a command that needs a password when *any* other
entry of the user has NOPASSWD (listpw=any, the default; seen on sudo 1.9.13). A stop that is free
and a start that is not would leave the broker down; and a password that sudo does not ask for would
be the first line of the command's own input. So there is a third answer: the listing does not tell.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase

NO_REASONS = (  # what is said besides, whether a command is allowed or not
    "unable to resolve host",  # the hostname is not in /etc/hosts
    "unable to send audit message",
    "setrlimit(",
    "setlocale",
)
HEADS = ("Sudoers entry:", "LDAP Role:", "SSSD Role:")
FREE, ASKS = "!authenticate", "authenticate"
# Settings before the entries, by which an entry alone does not tell any more whether sudo asks.
DECIDES = re.compile(r"\bauthenticate\b|\brunas_default\b")
CHECKS_OTHERWISE, EXEMPTS = re.compile(r"\bverifypw\b"), re.compile(r"\bexempt_group\b")
# sudo breaks long lines; what follows begins with so many spaces, a command with a tab
CONTINUED = " " * 8
DIGEST = re.compile(r"sha\d+\s*:")
# on most systems these are one folder, or two with links between them
MERGED = re.compile(r"^(?:/usr)?/s?bin/")
ROOT = ("root", "ALL", "#0")


class Answer(Enum):
    """Whether sudo asks for a password."""

    FREE = "it does not ask"
    ASKS = "it asks"
    UNKNOWN = "its listing does not tell"


class _Match(Enum):
    YES = "yes"
    NO = "no"
    MAYBE = "maybe"


@dataclass
class _Entry:
    users: str = "root"
    free: bool = False
    commands: list[str] = field(default_factory=list)

    def matches(self, command: str) -> _Match:
        """Tell whether the entry allows a command as root."""
        both = {_as_root(self.users), self._allows(command)}
        if _Match.NO in both:
            return _Match.NO
        return _Match.MAYBE if _Match.MAYBE in both else _Match.YES

    def _allows(self, command: str) -> _Match:
        """Tell whether one of the commands is meant; in an entry, too, the last that matches
        decides."""
        answer = _Match.NO
        for pattern in reversed(self.commands):
            found = _matches(pattern.removeprefix("!").strip(), command)
            # which sudo has said that it is not, so we do not understand this
            is_denied = pattern.startswith("!")
            if found is _Match.YES and not is_denied and answer is _Match.NO:
                return _Match.YES
            if found is not _Match.NO:
                answer = _Match.MAYBE
        return answer


def asks_for_password(listing: str, command: str, is_validated: bool) -> Answer:
    """Tell whether sudo asks before it runs ``command`` (its path and arguments), which it allows.

    As in sudoers, the last entry that matches decides. Where several may be that one, they have to
    agree.
    ``is_validated``: `sudo -k -n -v` succeeded, which it does by default where no entry of the user
    asks.
    """
    defaults = _defaults(listing)
    checks_otherwise = bool(CHECKS_OTHERWISE.search(defaults))
    if is_validated and not checks_otherwise:
        return Answer.FREE
    if DECIDES.search(defaults) or (checks_otherwise and EXEMPTS.search(defaults)):
        return Answer.UNKNOWN
    deciding: set[bool] = set()
    for entry in reversed(list(_entries(listing))):
        found = entry.matches(command)
        if found is not _Match.NO:
            deciding.add(entry.free)
        if found is _Match.YES:
            break
    if len(deciding) != 1:
        return Answer.UNKNOWN
    return Answer.FREE if deciding == {True} else Answer.ASKS


def _defaults(listing: str) -> str:
    """Return what the listing has before its first entry: the settings that are not the default
    ones."""
    lines: list[str] = []
    for line in listing.splitlines():
        if line.strip().startswith(HEADS):
            break
        lines.append(line)
    return "\n".join(lines)


def _entries(listing: str) -> Iterator[_Entry]:
    entry, in_commands = _Entry(), False
    for line in _whole_lines(listing):
        name, _, value = line.partition(":")
        if line.startswith(HEADS):
            yield entry
            entry, in_commands = _Entry(), False
        elif line == "Commands:":
            in_commands = True
        elif in_commands and line:
            entry.commands.append(line)
        elif name == "RunAsUsers":
            entry.users = value
        elif name == "Options":
            entry.free = FREE in [option.strip() for option in value.split(",")]
    yield entry


def _whole_lines(listing: str) -> Iterator[str]:
    """Return the lines as they were before sudo broke the long ones."""
    lines: list[str] = []
    for line in listing.split("\n"):
        if lines and line.startswith(CONTINUED):
            lines[-1] = f"{lines[-1]} {line.strip()}"
        else:
            lines.append(line.strip())
    yield from lines


def _as_root(users: str) -> _Match:
    """Tell whether an entry is for commands that run as root; the last name that matches
    decides."""
    for user in reversed([one.strip() for one in users.split(",")]):
        if user in ROOT:
            return _Match.YES
        if user.removeprefix("!").strip() in ROOT:
            return _Match.NO
        if user.startswith(("!", "%", "+")):  # a group or netgroup, which may have root in it
            return _Match.MAYBE
    return _Match.NO


def _matches(pattern: str, command: str) -> _Match:
    if pattern == "ALL":
        return _Match.YES
    path, _, arguments = pattern.partition(" ")
    program, _, given = command.partition(" ")
    if (
        DIGEST.match(pattern)
        or path.startswith("^")
        or arguments.startswith("^")
        or "\\" in pattern
    ):
        # a digest, a regular expression, something escaped: sudo alone can tell
        return _Match.MAYBE
    place = _program_matches(path, program)
    if place is _Match.NO:
        return _Match.NO
    if not arguments or (arguments == '""' and not given):
        return place
    return place if fnmatchcase(given, arguments) else _Match.NO


def _program_matches(path: str, program: str) -> _Match:
    """Tell whether a program is meant. sudo compares the files themselves, so one of the same name
    elsewhere may be it."""
    folder, _, name = path.rpartition("/")
    program_folder, _, program_name = program.rpartition("/")
    is_merged = MERGED.sub("/bin/", f"{folder}/") == MERGED.sub("/bin/", f"{program_folder}/")
    is_alike = folder.count("/") == program_folder.count("/") and fnmatchcase(
        program_folder, folder
    )
    found = _Match.YES if is_merged or is_alike else _Match.MAYBE
    if not name:  # a folder stands for what is right in it
        return found
    return found if fnmatchcase(program_name, name) else _Match.NO


def without_noise(output: str) -> str:
    """Return what sudo printed, without the lines that are no reason for a refusal."""
    return "\n".join(
        line for line in output.splitlines() if not any(noise in line for noise in NO_REASONS)
    )
