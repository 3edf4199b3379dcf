"""Stand-in for id: `id -u` says what the lab wants; anything else is the real one."""

from __future__ import annotations

from . import host


def main(arguments: list[str]) -> int:
    """Print the user id."""
    host.record("id", arguments)
    host.wait_while_held("id", arguments)
    uid = host.fault("uid", "")
    if arguments != ["-u"] or not uid:
        host.run_real("id", arguments)
    print(uid)
    return 0
