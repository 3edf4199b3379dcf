"""One Debian system: booted with systemd-nspawn, entered, and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..lab.daemon import LabError, tail
from ..lab.host_scripts.process import wait_until

CGROUPS = Path("/sys/fs/cgroup")
GROUP = "krr-systemd"
BOOT_TIMEOUT = 60.0  # s
END_TIMEOUT = 10.0  # s
RUN_TIMEOUT = 60.0  # s for a command inside
BOOTED = ("running", "degraded")
# Each system has a cgroup of its own: where several began in the same one, the systemd of one would
# take the processes of another for its own. It dies with the one who launched it.
LAUNCH = (
    'for group in $GROUPS_OF_IT; do echo 0 >"$group/cgroup.procs"; done; '
    'exec setpriv --pdeathsig KILL systemd-nspawn "$@"'
)


@dataclass(frozen=True)
class Bind:
    """A folder of the machine that a system sees, and may not change."""

    outside: Path
    inside: str

    def __str__(self) -> str:
        return f"--bind-ro={self.outside}:{self.inside}"


class System:
    """A system by its name. ``folder`` is empty and on a tmpfs.

    Its root is the root file system with a layer of its own on it, which this machine can write,
    before and while it runs. Measured: three of them boot beside each other in 0.9 to 3 s.
    """

    def __init__(
        self, name: str, rootfs: Path, folder: Path, network: Path, binds: Sequence[Bind]
    ) -> None:
        self.name = name
        self.log = folder / "console.log"
        self.root = folder / "root"
        self._network = network
        self._binds = binds
        self._groups: list[Path] = []
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._init = 0
        upper, work = folder / "upper", folder / "work"
        for one in (self.root, upper, work):
            one.mkdir(parents=True)
        layers = f"lowerdir={rootfs},upperdir={upper},workdir={work}"
        _run(["mount", "-t", "overlay", name, "-o", layers, str(self.root)])
        self.write("etc/hostname", f"{name}\n")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file, given without the leading slash."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def boot(self) -> None:
        """Begin to boot; `wait_booted` waits for the end of that."""
        self._groups = make_groups(self.name)
        arguments = [
            "--quiet",
            "--boot",
            f"--directory={self.root}",
            "--register=no",
            "--keep-unit",
            f"--machine={self.name}",
            f"--hostname={self.name}",
            f"--network-namespace-path={self._network}",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            "--console=read-only",
            *(str(bind) for bind in self._binds),
        ]
        groups = " ".join(str(group) for group in self._groups)
        with self.log.open("ab") as log:
            self._nspawn = subprocess.Popen(
                ["/bin/sh", "-c", LAUNCH, self.name, *arguments],
                env={**os.environ, "GROUPS_OF_IT": groups},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_booted(self, timeout: float = BOOT_TIMEOUT) -> None:
        """Wait until systemd says that it has booted. Raises `LabError`."""
        deadline = time.monotonic() + timeout
        if not wait_until(self._has_init, timeout, 0.05):
            raise LabError(f"{self.name} did not begin to boot:\n{tail(self.log)}")
        while (state := self.run("systemctl is-system-running", check=False)) not in BOOTED:
            if time.monotonic() > deadline:
                raise LabError(f"{self.name} did not boot, it is {state}:\n{tail(self.log)}")
            time.sleep(0.2)

    def run(self, command: str, check: bool = True, timeout: float = RUN_TIMEOUT) -> str:
        """Run a shell command as root inside; return what it printed, without the end of line.

        Raises `LabError` where it fails, unless ``check`` is False.
        """
        enter = ["nsenter", "-t", str(self._init), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        done = subprocess.run(
            [*enter, "/bin/sh", "-c", command],
            env={"PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            raise LabError(f"{self.name}: {command}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.rstrip("\n")

    def end(self) -> None:
        """End it at once, as by a power cut."""
        if self._nspawn is not None:
            if self._init:
                _kill(self._init)
            if self._nspawn.poll() is None:
                self._nspawn.kill()
            self._nspawn.wait(END_TIMEOUT)
        self._nspawn, self._init = None, 0
        remove_groups(self._groups)
        unmount(self.root)

    def _has_init(self) -> bool:
        """Find the first process of the system: the child of nspawn's child, or nspawn's child."""
        assert self._nspawn is not None
        if self._nspawn.poll() is not None:
            raise LabError(f"{self.name} ended at once:\n{tail(self.log)}")
        for child in _children(self._nspawn.pid):
            for one in [child, *_children(child)]:
                if _is_init(one):
                    self._init = one
        return self._init != 0


def make_groups(name: str) -> list[Path]:
    """Make the cgroups of a system, one in each hierarchy that systemd uses here."""
    groups = [top / GROUP / name for top in _tops()]
    for group in groups:
        group.mkdir(parents=True, exist_ok=True)
    return groups


def remove_groups(groups: Sequence[Path]) -> None:
    """Remove cgroups and all below; they are empty once their processes have ended."""
    for group in groups:
        wait_until(lambda group=group: _removed(group), END_TIMEOUT, 0.05)  # type: ignore[misc]


def groups_left() -> list[Path]:
    """Return the cgroups of systems that another run left behind."""
    groups = [group for top in _tops() for group in (top / GROUP).glob("*")]
    return [group for group in groups if group.is_dir()]


def kill_all_in(group: Path) -> None:
    """Kill every process in a cgroup and below."""
    for file in group.glob("**/cgroup.procs"):
        for pid in file.read_text().split():
            _kill(int(pid))


def unmount(path: Path) -> None:
    """Unmount what is mounted there, if anything."""
    if os.path.ismount(path):
        _run(["umount", "--lazy", str(path)])


def _tops() -> list[Path]:
    """Return where the hierarchies begin that systemd uses here."""
    tops = [CGROUPS / "systemd", CGROUPS / "unified"]
    return [top for top in tops if (top / "cgroup.procs").exists()] or [CGROUPS]


def _removed(group: Path) -> bool:
    for folder, _, _ in os.walk(group, topdown=False):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            continue
        except OSError:  # a process in it is just ending
            return False
    return True


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in _text(f"/proc/{pid}/task/{pid}/children").split()]
    except OSError:
        return []


def _is_init(pid: int) -> bool:
    """Tell whether a process is a systemd that is the first in its pid namespace; what it has just
    forked is called systemd, too."""
    try:
        status = _text(f"/proc/{pid}/status").splitlines()
    except OSError:  # it has ended
        return False
    pids = [line.split()[1:] for line in status if line.startswith("NSpid:")]
    is_first = bool(pids) and len(pids[0]) > 1 and pids[0][-1] == "1"
    return is_first and "Name:\tsystemd" in status


def _text(path: str) -> str:
    return Path(path).read_text()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_TIMEOUT, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip()}")
