"""Pure judgement: would sudo ask for a password for this command, by its own listing (`sudo -ll`).

`sudo -n -l COMMAND` is not enough: it succeeds for a command that needs a password when *any* other entry of the
user has NOPASSWD (listpw=any, the default; seen on sudo 1.9.13). A stop that is free and a start that is not would
leave the broker down.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

ENTRY = "Sudoers entry:"
FREE = "!authenticate"
NO_REASONS = (  # what is said besides, whether a command is allowed or not
    "unable to resolve host",  # the hostname is not in /etc/hosts
    "unable to send audit message",
    "setrlimit(",
    "setlocale",
)


@dataclass
class _Entry:
    users: str = "root"
    free: bool = False
    commands: list[str] = field(default_factory=list)

    def allows(self, command: str) -> bool:
        as_root = any(user.strip() in ("root", "ALL", "#0") for user in self.users.split(","))
        return as_root and any(_matches(pattern, command) for pattern in self.commands)


def is_free_of_password(listing: str, command: str) -> bool:
    """Tell whether the last entry of the listing that allows ``command`` (its path and arguments) has NOPASSWD.

    As in sudoers, the last match decides. A listing that cannot be understood counts as "it asks".
    """
    matching = [entry for entry in _entries(listing) if entry.allows(command)]
    return bool(matching) and matching[-1].free


def _entries(listing: str) -> Iterator[_Entry]:
    entry, in_commands = _Entry(), False
    for line in map(str.strip, listing.splitlines()):
        name, _, value = line.partition(":")
        if line.startswith(ENTRY):
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


def _matches(pattern: str, command: str) -> bool:
    if pattern == "ALL":
        return True
    path, _, arguments = pattern.partition(" ")
    program, _, given = command.partition(" ")
    # sudo compares the files themselves: /bin/sh and /usr/bin/sh are one on most systems.
    same = fnmatchcase(program, path) or program.rpartition("/")[2] == path.rpartition("/")[2]
    return same and (not arguments or fnmatchcase(given, arguments) or (arguments == '""' and not given))


def without_noise(output: str) -> str:
    """Return what sudo printed, without the lines that are no reason for a refusal."""
    return "\n".join(line for line in output.splitlines() if not any(noise in line for noise in NO_REASONS))
