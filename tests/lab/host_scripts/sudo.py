"""Stand-in for sudo: it runs a command, lists it, wants a password, or denies."""

from __future__ import annotations

import getpass
import os
import shutil
import sys

from . import host

PASSWORD = "hunter2"


def main(arguments: list[str]) -> int:
    """Understand -n, -l, -ll, -v, -k, -S, -p, -- and a command; return the exit status."""
    host.record("sudo", arguments)
    mode = host.fault("sudo", "free")
    options, command = split(arguments)
    unknown = [
        option
        for option in options
        if option not in ("-n", "-l", "-ll", "-v", "-k", "-S", "-p", "")
    ]
    if unknown:
        print(f"sudo: the lab's stand-in does not know {' '.join(unknown)}", file=sys.stderr)
        return 1
    if mode == "password" and not ("-S" in options and is_right(read_line())):
        print("sudo: a password is required", file=sys.stderr)
        return 1
    if mode == "denied":
        print(
            f"Sorry, user {getpass.getuser()} may not run sudo on {os.uname().nodename}.",
            file=sys.stderr,
        )
        return 1
    if mode == "asks" and "-l" not in options and "-ll" not in options:
        print("sudo: a password is required", file=sys.stderr)
        return 1
    if "-v" in options:
        return 0
    if "-l" in options or "-ll" in options:
        return list_command(command)
    return run(command)


def read_line() -> str:
    """Read a line from standard input and nothing behind it, which is the command's."""
    line = b""
    while (one := os.read(0, 1)) not in (b"", b"\n"):
        line += one
    return line.decode()


def is_right(password: str) -> bool:
    """Tell whether it is the password; say so if not."""
    if password != PASSWORD:
        print("Sorry, try again.", file=sys.stderr)
    return password == PASSWORD


def split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split sudo's own options from the command."""
    for position, argument in enumerate(arguments):
        if argument == "--":
            return arguments[:position], arguments[position + 1 :]
        if argument and not argument.startswith("-"):
            return arguments[:position], arguments[position:]
    return arguments, []


def list_command(command: list[str]) -> int:
    """Print the command with its path resolved; without a command, all that may be run."""
    if not command:
        print(f"User {getpass.getuser()} may run the following commands on {os.uname().nodename}:")
        print(
            "\nSudoers entry:\n    RunAsUsers: root\n    Options: !authenticate\n    "
            "Commands:\n\t/usr/bin/true"
        )
        print("\nSudoers entry:\n    RunAsUsers: ALL\n    Commands:\n\tALL")
        return 0
    path = shutil.which(command[0])
    if path is None:
        return 1
    print(" ".join([path, *command[1:]]))
    return 0


def run(command: list[str]) -> int:
    """Go on as the command, or say why not."""
    if command and shutil.which(command[0]):
        os.execvp(command[0], command)
    problem = (
        f"sudo: {command[0]}: command not found" if command else "usage: sudo -h | -K | -k | -V"
    )
    print(problem, file=sys.stderr)
    return 1
