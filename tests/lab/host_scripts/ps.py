"""Stand-in for ps: the real one, unless the lab hides the processes, as a container does."""

from __future__ import annotations

from . import host


def main(arguments: list[str]) -> int:
    """Show processes, or none."""
    host.record("ps", arguments)
    if host.fault("ps_hidden", "no") == "no":
        host.run_real("ps", arguments)
    return 1
