"""Stand-in for systemctl: as if it were not installed, unless the lab wants this host to have
systemd; then it tells the truth about the host's unit, and starts and stops it.

What it tells is what `systemctl show` of systemd 252 told of a unit of Type=simple.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from . import host, process, service

NOT_INSTALLED = 127
USEC = 1_000_000
PROPERTY = ("-p", "--property")
VERBS = {"start": "start", "stop": "stop"}


def main(arguments: list[str]) -> int:
    """Understand show, is-active, start and stop; return the exit status."""
    host.record("systemctl", arguments)
    if host.fault("systemd", "no") == "no":
        print("sh: 1: systemctl: not found", file=sys.stderr)
        return NOT_INSTALLED
    properties, options, words = split(arguments)
    verb, units = (words[0], words[1:]) if words else ("", [])
    if verb == "show":
        print("\n\n".join(_show(unit, properties, "--value" in options) for unit in units))
        return 0
    if verb == "is-active" and units:
        state = _facts(units[0])["ActiveState"]
        if "--quiet" not in options and "-q" not in options:
            print(state)
        return 0 if state == "active" else 3
    if verb in VERBS and len(units) == 1:
        return _act(verb, units[0])
    print(f"the lab's systemctl does not know: {' '.join(arguments)}", file=sys.stderr)
    return 1


def split(arguments: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Split the names of properties and the other options from the words."""
    properties: list[str] = []
    options: list[str] = []
    words: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument in PROPERTY and rest:
            properties += rest.pop(0).split(",")
        elif argument.startswith("--property="):
            properties += argument.partition("=")[2].split(",")
        elif argument.startswith("-p") and argument != "-p":
            properties += argument[2:].split(",")
        elif argument.startswith("-"):
            options.append(argument)
        else:
            words.append(argument)
    return properties, options, words


def _act(verb: str, unit: str) -> int:
    """Start or stop the unit, as the stand-in for service does, in the way of its faults."""
    if _name(unit) not in service.units(host.folder()):
        print(f"Failed to {verb} {unit}: Unit {unit} not found.", file=sys.stderr)
        return 5
    if verb == "start":
        return service.start(host.folder(), host.fault("start_mode", "normal"))
    return service.stop(host.folder(), host.fault("stop_mode", "normal"))


def _show(unit: str, properties: list[str], bare: bool) -> str:
    facts = _facts(unit)
    wanted = [name for name in facts if not properties or name in properties]
    return "\n".join(facts[name] if bare else f"{name}={facts[name]}" for name in wanted)


def _name(unit: str) -> str:
    return unit.removesuffix(".service")


def _facts(unit: str) -> dict[str, str]:
    """Tell every property that this stand-in knows of a unit, in systemd's order."""
    folder = host.folder()
    units = service.units(folder)
    is_known = _name(unit) in units
    pid = process.broker_pid(folder) if is_known else None
    began = _began(pid) if pid is not None else 0.0
    active, sub, result = _states(folder, pid) if is_known else ("inactive", "dead", "success")
    program = os.path.realpath(f"/proc/{pid}/exe") if pid is not None else "/usr/bin/java"
    names = [f"{name}.service" for name in (units if is_known else [_name(unit)])]
    return {
        "Type": "simple",
        "Restart": "no",
        "TimeoutStartUSec": "1min 30s",
        "TimeoutStopUSec": host.fault("unit_stop_timeout", "1min 30s"),
        "MainPID": str(pid or 0),
        "Result": result,
        "NRestarts": "0",
        "ExecMainStartTimestamp": _date(began) if pid is not None else "",
        "ExecMainStartTimestampMonotonic": str(int(began * USEC)),
        "ExecMainPID": str(pid or 0),
        "ExecStart": f"{{ path={program} ; argv[]={program} ; ignore_errors=no ; pid={pid or 0} }}",
        "ControlGroup": _control_group(pid) if pid is not None else "",
        "KillMode": "control-group",
        "Id": names[0],
        "Names": " ".join(names),
        "LoadState": "loaded" if is_known else "not-found",
        "ActiveState": active,
        "SubState": sub,
        "InvocationID": _read(folder / process.INVOCATION) if is_known else "",
    }


def _states(folder: Path, pid: int | None) -> tuple[str, str, str]:
    """Tell ActiveState, SubState and Result of the unit."""
    if pid is not None and _read(folder / service.STOPPING) == str(pid):
        return "deactivating", "stop-sigterm", "success"
    if pid is not None:
        return "active", "running", "success"
    # the shell says 128+n of a signal; the JVM itself ends with 143 after SIGTERM
    status = _read(folder / process.EXITED)
    if status in ("", "0", "143"):
        return "inactive", "dead", "success"
    return "failed", "failed", "signal" if int(status) > 128 else "exit-code"


def _control_group(pid: int) -> str:
    """Tell the control group in which the process really is: the lab makes none."""
    for line in _read(Path(f"/proc/{pid}/cgroup")).splitlines():
        number, names, path = line.split(":", 2)
        if number == "0" or names == "name=systemd":
            return path
    return ""


def _began(pid: int) -> float:
    """Tell when a process began, in s since the machine was booted."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    ticks = int(stat.rpartition(")")[2].split()[19])
    return ticks / os.sysconf("SC_CLK_TCK")


def _date(began: float) -> str:
    now = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + began
    return time.strftime("%a %Y-%m-%d %H:%M:%S %Z", time.localtime(now))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
