"""A small process that ends a lab's processes when the lab itself was killed and cannot."""

from __future__ import annotations

import subprocess
from pathlib import Path

WATCH = """
read -r word
test "$word" = dismissed && exit 0
for process in /proc/[0-9]*; do
    case $(cat "$process/comm" 2>/dev/null) in
    java | sshd | launch*)
        tr '\\0' ' ' <"$process/cmdline" | grep -qF "$1/" && kill -KILL "${process#/proc/}"
        ;;
    esac
done
rm -rf "$1"
"""


class Guardian:
    """Waits for the end of this process; then it kills each daemon that has the lab's folder in its
    command line."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", WATCH, "guardian", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """Send it home: the lab has ended its processes itself."""
        self._process.communicate(b"dismissed\n")
