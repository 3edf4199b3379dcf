"""A host of the lab: its broker, its sshd, its service scripts and its JMXProxy, each with its
faults."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .broker import MAIN_CLASS, Broker
from .host_scripts.host import CALLS, EPOCH, FAULTS, HOLD, START_TAKES
from .host_scripts.service import UNITS
from .jmxproxy import JmxProxy
from .needs import program
from .sshd import Sshd

STOP_MODES = ("normal", "early", "nothing", "fail", "hang", "stuck", "loud", "kills")
START_MODES = ("normal", "nothing", "fail", "hang", "stuck", "dies", "loud")
SUDO_MODES = ("free", "password", "denied", "asks")


class Switch:
    """An attribute that is on or off, which the host's scripts read at each call."""

    def __set_name__(self, owner: type[object], name: str) -> None:
        self._name = name

    def __get__(self, service: Service, owner: type[object]) -> bool:
        return (service.faults / self._name).exists()

    def __set__(self, service: Service, value: bool) -> None:
        _replace(service.faults / self._name, "yes" if value else None)


class ModeFile:
    """An attribute that is a file which the host's scripts read at each call.

    A list of modes is consumed by the calls, one each; the last one stays.
    """

    def __init__(self, modes: Sequence[str]) -> None:
        self._modes = modes

    def __set_name__(self, owner: type[object], name: str) -> None:
        self._name = name

    def __get__(self, service: Service, owner: type[object]) -> str | Sequence[str]:
        path = service.faults / self._name
        modes = path.read_text().split("\n") if path.exists() else [self._modes[0]]
        return modes if len(modes) > 1 else modes[0]

    def __set__(self, service: Service, value: str | Sequence[str]) -> None:
        modes = [value] if isinstance(value, str) else list(value)
        for mode in modes:
            if mode not in self._modes:
                raise ValueError(f"{self._name} is one of {', '.join(self._modes)}, not {mode!r}")
        _replace(service.faults / self._name, "\n".join(modes))


class Service:
    """How the stand-ins for service, systemctl, sudo, id, ps and pgrep behave on a host.

    stop_mode: `early` signals and returns at once; `hang` signals and never returns; `stuck` never
    returns and does nothing; `kills` signals, and 45 s later kills whatever runs then, and returns;
    `loud` prints 4 MiB on each stream, then stops. start_mode: `dies` starts a JVM that exits by
    itself after 2 s or so; `hang` starts and never returns; `stuck` never returns and does nothing;
    `fail` says so and exits 1. sudo: `password` wants one, and takes it by -S; `asks` lists every
    command as allowed but wants a password to run it, because another entry is free.
    start_takes: for how long (s) `service kafka start` waits before it starts the JVM, as an
    `ExecStartPre` does. hold: such calls of id and service (`service kafka stop`) are logged and
    then wait, before they look how to behave. systemd: `systemctl` tells of the unit; without
    it there is no such command. unit_stop_timeout: what it tells as TimeoutStopUSec, such as
    `infinity`. ps_hidden: `ps` shows nothing and exits 1. pgrep_hidden: `pgrep` finds nothing,
    and a look through /proc no JVM. pgrep_double: a second process runs that looks like Kafka.
    """

    stop_mode = ModeFile(STOP_MODES)
    start_mode = ModeFile(START_MODES)
    sudo = ModeFile(SUDO_MODES)
    systemd = Switch()
    ps_hidden = Switch()
    pgrep_hidden = Switch()

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._double: subprocess.Popen[bytes] | None = None
        self.faults = folder / FAULTS
        self._epoch = folder / EPOCH
        self.reset()

    @property
    def uid(self) -> int | None:
        """What `id -u` says; None for the truth."""
        path = self.faults / "uid"
        return int(path.read_text()) if path.exists() else None

    @uid.setter
    def uid(self, value: int | None) -> None:
        _replace(self.faults / "uid", None if value is None else str(value))

    @property
    def unit_stop_timeout(self) -> str | None:
        """What systemd tells as TimeoutStopUSec; None for its own 1min 30s."""
        path = self.faults / "unit_stop_timeout"
        return path.read_text() if path.exists() else None

    @unit_stop_timeout.setter
    def unit_stop_timeout(self, value: str | None) -> None:
        _replace(self.faults / "unit_stop_timeout", value)

    @property
    def pgrep_double(self) -> bool:
        """Whether a second process runs that `pgrep -f kafka.Kafka` finds."""
        return self._double is not None

    @pgrep_double.setter
    def pgrep_double(self, value: bool) -> None:
        if value and self._double is None:
            self._double = look_alike(self._folder)
        elif not value and self._double is not None:
            self._double.communicate()  # closes its input, which ends it
            self._double = None

    @property
    def start_takes(self) -> float:
        """How long (s) the start command takes before anything starts."""
        path = self.faults / START_TAKES
        return float(path.read_text()) if path.exists() else 0.0

    @start_takes.setter
    def start_takes(self, value: float) -> None:
        _replace(self.faults / START_TAKES, str(value) if value else None)

    @property
    def hold(self) -> str | None:
        """The call that waits for as long as this is so."""
        path = self.faults / HOLD
        return path.read_text() if path.exists() else None

    @hold.setter
    def hold(self, value: str | None) -> None:
        _replace(self.faults / HOLD, value)

    def reset(self) -> None:
        """Behave well again; commands that hang come back."""
        self.pgrep_double = False
        shutil.rmtree(self.faults, ignore_errors=True)
        self.faults.mkdir()
        epoch = int(self._epoch.read_text()) if self._epoch.exists() else 0
        _replace(self._epoch, str(epoch + 1))


class Host(Broker):
    """One host; its broker is started, stopped, killed and frozen by its own methods."""

    def __init__(
        self,
        number: int,
        address: str,
        folder: Path,
        sshd: Sshd,
        units: Sequence[str] = ("kafka",),
    ) -> None:
        super().__init__(number, address, folder)
        (folder / UNITS).write_text(" ".join(units))
        self.sshd = sshd
        self.service = Service(folder)
        self.jmxproxy = JmxProxy(address, self.jolokia)

    def calls(self) -> list[str]:
        """List what was run on this host since the reset: one `time name arguments` a call."""
        path = self.folder / CALLS
        return path.read_text().splitlines() if path.exists() else []

    def forget_calls(self) -> None:
        """Empty the list of calls."""
        (self.folder / CALLS).unlink(missing_ok=True)

    def boot(self) -> None:
        """Start everything on this host, once the broker is installed."""
        self.start()
        self.sshd.start()
        self.jmxproxy.start()

    def shut_down(self) -> None:
        """End everything on this host at once."""
        self.service.reset()
        self.sshd.stop()
        self.jmxproxy.stop()
        self.kill()

    def called(self, call: str) -> list[float]:
        """List the times (s since the epoch) at which a command was called, such as `service kafka
        stop`."""
        return [float(line.split()[0]) for line in self.calls() if line.split(" ", 1)[1] == call]

    def reset(self) -> None:
        """Take every fault off and forget the calls; whether the broker is up is left to the
        lab."""
        self.mend()
        if self.is_lingering():
            self.restart()
        self.forget_calls()

    def mend(self) -> None:
        """Take every fault off; a broker that is down stays down."""
        self.service.reset()
        self.thaw()
        self.sshd.thaw()
        self.sshd.start()
        self.jmxproxy.reset_faults()
        self.jmxproxy.start()


def look_alike(folder: Path) -> subprocess.Popen[bytes]:
    """Start a process whose name and command line are those of a broker on this host; it lives
    until its input is closed."""
    java = folder / "java"
    if not java.exists():
        java.symlink_to(program("sh"))
    return subprocess.Popen(
        [str(java), "-c", "read -r line", MAIN_CLASS, str(folder / "other.properties")],
        env={"LAB_HOST": str(folder)},
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def _replace(path: Path, text: str | None) -> None:
    """Change a file in one go, as scripts may read it at any time; None removes it."""
    if text is None:
        path.unlink(missing_ok=True)
        return
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.replace(path)
