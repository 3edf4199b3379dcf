"""The systemd unit that runs a node: its name out of the start command, and what systemd says of
it."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "MainPID",
    "InvocationID",
    "ControlGroup",
    "ExecMainStartTimestampMonotonic",
    "TimeoutStopUSec",
    "NRestarts",
    "Restart",
    "Result",
    "ExecStart",
)
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]*\Z")
VERBS = ("start", "restart")
SERVICE = ".service"
OTHER_TYPES = (".target", ".socket", ".timer", ".path", ".slice", ".scope", ".mount", ".device")
SCRIPTS = re.compile(r"/etc/(?:rc\.d/)?init\.d/([^/]+)\Z")
# Of systemctl's options, those without a word behind them that do not lead elsewhere.
PLAIN_OPTIONS = (
    "--system",
    "--no-block",
    "--wait",
    "--quiet",
    "-q",
    "--no-pager",
    "--no-ask-password",
    "--full",
    "-l",
    "--force",
    "-f",
    "--show-transaction",
    "-T",
    "--no-warn",
)
PLAIN_SETTINGS = ("--job-mode=", "--type=", "--kill-who=", "--signal=")
RUNNERS = ("docker", "podman", "nerdctl", "lxc", "machinectl", "sudo", "su", "runuser", "ssh")
ENDED = ("inactive", "failed")
WAITS_TO_RESTART = ("auto-restart", "auto-restart-queued")
SPAN = re.compile(r"(\d+(?:\.\d+)?)(y|month|w|d|h|min|s|ms|us)\Z")
# systemd's own: a year is 365.25 days, a month its twelfth
SECONDS = {
    "y": 31557600.0,
    "month": 2629800.0,
    "w": 604800.0,
    "d": 86400.0,
    "h": 3600.0,
    "min": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
}


@dataclass(frozen=True)
class Unit:
    """A unit that systemd has loaded, as `systemctl show` tells of it.

    ``main_pid`` is 0 where it has no main process now. ``started_s`` is when the last one started,
    by the monotonic clock of its host, 0 if none did since it booted. ``result`` is how its last
    run ended, in systemd's words: `timeout` if it was killed because its stop took too long.
    """

    name: str
    active: str = ""
    sub: str = ""
    main_pid: int = 0
    invocation: str = ""
    control_group: str = ""
    started_s: float = 0.0
    stop_timeout_s: float | None = None
    restarts: int | None = None
    result: str = ""
    program: str = ""

    def __str__(self) -> str:
        return f"unit {self.name} ({self.active}/{self.sub})"

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs now, by systemd's own word."""
        return self.active in ENDED or self.sub in WAITS_TO_RESTART

    @property
    def is_runner(self) -> bool:
        """Whether its main process only watches a process that runs elsewhere."""
        return self.program.rpartition("/")[2] in RUNNERS

    def holds(self, control_group: str) -> bool:
        """Tell whether a process in this control group is one of its processes."""
        if self.control_group and f"{control_group}/".startswith(f"{self.control_group}/"):
            return True
        return self.name in control_group.split("/")


def unit_name(command: str, verbs: Sequence[str] = VERBS) -> str:
    """Return the unit that a command starts, or does what other ``verbs`` say; nothing where it is
    not certainly one unit."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    if len(words) < 2:
        return ""
    program = words[0].rpartition("/")[2]
    if program == "systemctl":
        name = _by_systemctl(words[1:], verbs)
    elif script := SCRIPTS.match(words[0]):
        name = script[1] if words[1:] in ([verb] for verb in verbs) else ""
    elif program in ("service", "rc-service", "invoke-rc.d"):
        name = words[1] if len(words) == 3 and words[2] in verbs else ""
    else:
        name = ""
    if not NAME.match(name) or name.endswith(OTHER_TYPES):
        return ""
    return name.removesuffix(SERVICE)


def _by_systemctl(words: list[str], verbs: Sequence[str]) -> str:
    options = [word for word in words if word.startswith("-")]
    for option in options:
        if option not in PLAIN_OPTIONS and not option.startswith(PLAIN_SETTINGS):
            return ""  # another host, another user's units, or a word behind it
    plain = [word for word in words if not word.startswith("-")]
    return plain[1] if len(plain) == 2 and plain[0] in verbs else ""


def loaded(said: Mapping[str, str]) -> Unit | None:
    """Return the unit of which `systemctl show` said this, None where there is none."""
    if said.get("LoadState") != "loaded" or not said.get("Id"):
        return None
    path = re.search(r"path=(\S+)", said.get("ExecStart", ""))
    return Unit(
        name=said["Id"],
        active=said.get("ActiveState", ""),
        sub=said.get("SubState", ""),
        main_pid=_number(said.get("MainPID")) or 0,
        invocation=said.get("InvocationID", ""),
        control_group=said.get("ControlGroup", "").rstrip("/"),
        started_s=(_number(said.get("ExecMainStartTimestampMonotonic")) or 0) / 1e6,
        stop_timeout_s=seconds(said.get("TimeoutStopUSec", "")),
        restarts=_number(said.get("NRestarts")),
        result=said.get("Result", ""),
        program=path[1] if path else "",
    )


def seconds(span: str) -> float | None:
    """Return a time span as systemd writes it (`1min 30s`) in s; None: it is unlimited, or it is
    not understood."""
    parts = [SPAN.match(part) for part in span.split()]
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    return sum(float(part[1]) * SECONDS[part[2]] for part in known)


def _number(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdecimal():
        return None
    return int(text)
