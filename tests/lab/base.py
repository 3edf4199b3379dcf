"""What every lab has: hosts on a subnet of its own, a user with a home, runs of the tool, and their
end."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, TypeVar

from .broker import KAFKA_PORT
from .command import Finished, Running, environment
from .daemon import Daemon, LabError, tail
from .guardian import Guardian
from .history import BaseObserver
from .host import Host
from .host_scripts.process import wait_until
from .ssh_files import SshFolder
from .sshd import Sshd
from .subnet import Subnet, claim_subnet

CLUSTER_TYPE = "lab"
CLUSTER = "main"
TOPIC = "lab"
PARTITIONS = 12
STAND_INS = ("service", "systemctl", "sudo", "id", "ps", "pgrep", "sh")
JUMP_HOST = 110
BOOT_TIMEOUT = 120.0  # s; it takes 30 at most on 2 idle cores
HEAL_TIMEOUT = 120.0  # s
HEALTH_POLL = 0.1  # s
RUN_TIMEOUT = 300.0  # s

AnyLab = TypeVar("AnyLab", bound="BaseLab")


class BaseLab(ABC):
    """A cluster that lives for as long as the `with` block."""

    def __init__(self) -> None:
        self.hosts: list[Host] = []
        self._runs: list[Running] = []
        self._on_sigterm: Callable[[int, FrameType | None], object] | int | None = None
        self._jump_host: Sshd | None = None
        self._subnet: Subnet | None = None

    def __enter__(self: AnyLab) -> AnyLab:
        self._catch_sigterm()
        self.folder = Path(tempfile.mkdtemp(prefix="kafka-lab-"))
        self._guardian = Guardian(self.folder)
        try:
            self._subnet = claim_subnet()
            self.ssh = SshFolder(self.home)
            self.ssh.create()
            self._write_stand_ins()
            self._boot(self._subnet)
        except BaseException:
            self._shut_down()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._shut_down()

    @property
    def home(self) -> Path:
        """The home of the user of this lab."""
        return self.folder / "home"

    @property
    def env(self) -> dict[str, str]:
        """The environment of the user of this lab."""
        return environment(self.home)

    @property
    def nodes(self) -> list[Host]:
        """Every host that runs Kafka: the brokers' and those of dedicated controllers."""
        return self.hosts

    @property
    def broker_list(self) -> list[str]:
        """Every broker as host:port."""
        return [f"{host.address}:{KAFKA_PORT}" for host in self.hosts]

    @property
    @abstractmethod
    def where(self) -> str:
        """What tells of the brokers, and its address."""

    @property
    @abstractmethod
    def observer(self) -> BaseObserver:
        """The witness."""

    @abstractmethod
    def why_unhealthy(self) -> str:
        """Tell the first thing that is wrong with the cluster, or nothing."""

    @abstractmethod
    def _boot(self, subnet: Subnet) -> None:
        """Boot the cluster, and wait until it is healthy."""

    @abstractmethod
    def _discovery(self) -> Mapping[str, Any]:
        """Tell what the cluster's description says of it."""

    @abstractmethod
    def _forget_locks(self) -> None:
        """Delete the locks of runs that ended and could not take them off."""

    @abstractmethod
    def _end_observer(self) -> None:
        """Watch no more, if anybody watches."""

    @abstractmethod
    def _end_others(self) -> Iterable[Callable[[], None]]:
        """Tell what ends everything that is not on a host; nothing of it may need another."""

    def run(
        self,
        *arguments: str,
        timeout: float = RUN_TIMEOUT,
        input: str | None = None,
        cwd: Path | None = None,
    ) -> Finished:
        """Run the tool to its end; `input` is typed at a terminal, without it there is none."""
        running = self.launch(*arguments, cwd=cwd, terminal=input is not None)
        if input is not None:
            running.type(input)
        return running.finish(timeout)

    def launch(
        self,
        *arguments: str,
        cwd: Path | None = None,
        terminal: bool = False,
        env: Mapping[str, str] | None = None,
        output: Path | None = None,
    ) -> Running:
        """Start the tool; what still runs at the next reset is killed. With `output` its words go
        to that file."""
        running = Running(arguments, {**self.env, **(env or {})}, cwd, terminal, output)
        self._runs.append(running)
        return running

    def pids(self) -> dict[int, int]:
        """Tell the pid of each node whose process exists."""
        found = {host.id: host.pid for host in self.nodes}
        return {number: pid for number, pid in found.items() if pid is not None}

    def is_healthy(self) -> bool:
        """Tell whether nothing is wrong with the cluster."""
        return self.why_unhealthy() == ""

    def wait_healthy(self, timeout: float = HEAL_TIMEOUT) -> None:
        """Wait until the cluster is healthy; raise `LabError` after `timeout` s."""
        if not wait_until(self.is_healthy, timeout, HEALTH_POLL):
            raise LabError(
                f"not healthy after {timeout:.0f} s: {self.why_unhealthy()}\n{self._logs()}"
            )

    def reset(self) -> None:
        """Take every fault off, bring everything back, and forget what happened. Quick when nothing
        is off."""
        for running in self._runs:
            running.kill()
        self._runs.clear()
        self.mend()
        for host in self.nodes:
            host.reset()
        self._write_home()
        self._heal()
        self._forget_locks()
        self.observer.clear()

    def jump_host(self) -> Sshd:
        """Start an sshd without a broker, and have the user know its key until the next reset; it
        ends with the lab."""
        if self._jump_host is None:
            self._jump_host = self._make_sshd(self.subnet.address(JUMP_HOST))
            self._jump_host.start()
        self.ssh.replace(self._jump_host.address, self._jump_host.host_key)
        return self._jump_host

    def mend(self) -> None:
        """Take every fault off; a broker that is down stays down, and what happened is not
        forgotten."""
        for host in self.nodes:
            host.mend()

    @property
    def subnet(self) -> Subnet:
        """The addresses of this lab."""
        if self._subnet is None:
            raise LabError("the lab has no addresses")
        return self._subnet

    def _heal(self) -> None:
        """Wait until the cluster is healthy; start a node whenever it is seen to be gone."""
        deadline = time.monotonic() + HEAL_TIMEOUT
        while not (all(host.is_up() for host in self.nodes) and self.is_healthy()):
            if time.monotonic() > deadline:
                raise LabError(f"the lab cannot be reset: {self.why_unhealthy()}\n{self._logs()}")
            for host in self.nodes:
                host.start()
            time.sleep(HEALTH_POLL)

    @staticmethod
    def _check_up(*daemons: Daemon | Host) -> None:
        for daemon in daemons:
            if not daemon.is_up():
                raise LabError(f"{daemon.log.parent.name} did not stay up:\n{tail(daemon.log)}")

    def _make_host(self, number: int, units: Sequence[str] = ("kafka",)) -> Host:
        address = self.subnet.address(number)
        sshd = self._make_sshd(address)
        return Host(number, address, self.folder / address, sshd, units)

    def _make_sshd(self, address: str) -> Sshd:
        folder = self.folder / address
        folder.mkdir()
        return Sshd(address, folder, self._bin, self.home, self.ssh.public_key)

    @property
    def _bin(self) -> Path:
        return self.folder / "bin"

    def _write_stand_ins(self) -> None:
        """Write the stand-ins as scripts that start this Python without its site-packages."""
        self._bin.mkdir()
        here = str(Path(__file__).parent)
        for name in STAND_INS:
            code = (
                f"import sys; sys.path.insert(0, {here!r}); "
                f"from host_scripts.{name} import main; sys.exit(main(sys.argv[1:]))"
            )
            script = self._bin / name
            script.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S -c "{code}" "$@"\n')
            script.chmod(0o755)
        self._write_sh()

    def _write_sh(self) -> None:
        """Write the stand-in for sh: only a line that reads all of /proc, or the id of the boot, is
        worth a Python."""
        slow = (self._bin / "sh").rename(self._bin / "sh-of-this-host")
        quick = self._bin / "sh"
        slow_lines = '*"/proc/[0-9]"*|*boot_id*'
        quick.write_text(
            f'#!/bin/sh\ncase "$*" in {slow_lines}) exec {slow} "$@";; esac\nexec /bin/sh "$@"\n'
        )
        quick.chmod(0o755)

    def _write_home(self) -> None:
        """Write the user's files as they should be: SSH's, and the description of the cluster."""
        keys = {host.address: host.sshd.host_key for host in self.nodes}
        self.ssh.write(self.subnet.pattern, keys)
        discovery = self.home / ".kafka_discovery"
        discovery.mkdir(exist_ok=True)
        described = "".join(
            f"    {name}: {json.dumps(value)}\n" for name, value in self._discovery().items()
        )
        (discovery / f"{CLUSTER_TYPE}.yaml").write_text(
            f"clusters:\n  {CLUSTER}:\n{described}local_config:\n  cluster: {CLUSTER}\n"
        )

    def _logs(self) -> str:
        return "\n".join(f"{host.log}:\n{tail(host.log, 1500)}" for host in self.nodes)

    def _shut_down(self) -> None:
        """End every process by its own pid, and remove the folder; a step that fails keeps none
        from being done."""
        if self._on_sigterm is not None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with ExitStack() as steps:  # the last one is done first
            steps.callback(self._restore_sigterm)
            steps.callback(shutil.rmtree, self.folder, ignore_errors=True)
            steps.callback(self._guardian.dismiss)
            if self._subnet is not None:
                steps.callback(self._subnet.release)
            for end in self._end_others():
                steps.callback(end)
            for host in self.nodes:
                steps.callback(host.shut_down)
            if self._jump_host is not None:
                steps.callback(self._jump_host.stop)
            steps.callback(self._end_observer)
            for running in self._runs:
                steps.callback(running.kill)

    def _catch_sigterm(self) -> None:
        """Leave the `with` block on SIGTERM, unless somebody else minds it already."""
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            self._on_sigterm = signal.signal(signal.SIGTERM, _leave)

    def _restore_sigterm(self) -> None:
        if self._on_sigterm is not None:
            signal.signal(signal.SIGTERM, self._on_sigterm)
            self._on_sigterm = None


def spread(ids: Sequence[int], copies: int = 3) -> dict[int, list[int]]:
    """Tell the replicas of each partition of the topic, the leaders spread evenly."""
    copies = min(copies, len(ids))
    return {
        partition: [ids[(partition + copy) % len(ids)] for copy in range(copies)]
        for partition in range(PARTITIONS)
    }


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
