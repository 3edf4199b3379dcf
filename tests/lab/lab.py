"""A Kafka cluster on loopback addresses, with SSH, service scripts and metrics, and handles to make
it misbehave."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, TracebackType

from tests.certificates import Authority

from .broker import (
    ACTIVE_CONTROLLERS,
    KAFKA_PORT,
    OFFLINE_PARTITIONS,
    RUNNING,
    STATE,
    UNDER_REPLICATED,
)
from .command import Finished, Running, environment
from .daemon import Daemon, LabError, tail, wait_for
from .guardian import Guardian
from .host import Host
from .host_scripts.process import wait_until
from .jars import Jars, fetch_jars
from .observer import Observer
from .ssh_files import SshFolder
from .sshd import Sshd
from .subnet import ZOOKEEPER_HOST, Subnet, claim_subnet
from .zookeeper import CHROOT, PORT, SECURE_PORT, ZooKeeperServer

CLUSTER_TYPE = "lab"
CLUSTER = "main"
TOPIC = "lab"
LOCK = "/kafka-rolling-restart/lock"
PARTITIONS = 12
STAND_INS = ("service", "sudo", "id", "ps")
JUMP_HOST = 110
BOOT_TIMEOUT = 120.0  # s; it takes 30 at most on 2 idle cores
HEAL_TIMEOUT = 120.0  # s
HEALTH_POLL = 0.1  # s
RUN_TIMEOUT = 300.0  # s


class Lab:
    """A cluster that lives for as long as the `with` block."""

    def __init__(self, brokers: int = 3, zookeepers: int = 1) -> None:
        if brokers not in range(1, ZOOKEEPER_HOST) or zookeepers not in (1, 3):
            raise ValueError("a lab has 1 to 99 brokers and 1 or 3 ZooKeeper servers")
        self._brokers = range(1, brokers + 1)
        self._zookeepers = range(ZOOKEEPER_HOST, ZOOKEEPER_HOST + zookeepers)
        self._runs: list[Running] = []
        self._on_sigterm: Callable[[int, FrameType | None], object] | int | None = None

    def __enter__(self) -> Lab:
        self._catch_sigterm()
        self.folder = Path(tempfile.mkdtemp(prefix="kafka-lab-"))
        self._guardian = Guardian(self.folder)
        self.ensemble: list[ZooKeeperServer] = []
        self.hosts: list[Host] = []
        self._observer: Observer | None = None
        self._jump_host: Sshd | None = None
        self._subnet: Subnet | None = None
        try:
            self._boot(claim_subnet(), fetch_jars())
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
    def zookeeper(self) -> str:
        """The cluster's ZooKeeper servers and its chroot."""
        return ",".join(f"{server.address}:{PORT}" for server in self.ensemble) + CHROOT

    @property
    def secure_zookeeper(self) -> str:
        """The same over TLS."""
        return ",".join(f"{server.address}:{SECURE_PORT}" for server in self.ensemble) + CHROOT

    @property
    def broker_list(self) -> list[str]:
        """Every broker as host:port."""
        return [f"{host.address}:{KAFKA_PORT}" for host in self.hosts]

    @property
    def observer(self) -> Observer:
        """The witness."""
        if self._observer is None:
            raise LabError("the lab has not booted")
        return self._observer

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
        """Tell the pid of each broker whose process exists."""
        found = {host.id: host.pid for host in self.hosts}
        return {number: pid for number, pid in found.items() if pid is not None}

    def is_healthy(self) -> bool:
        """Ask the brokers and ZooKeeper: all run and are registered, all replicas are in sync, one
        is controller."""
        return self.why_unhealthy() == ""

    def why_unhealthy(self) -> str:
        """Tell the first thing that is wrong with the cluster, or nothing."""
        for host in self.hosts:
            if (state := host.metric(STATE)) != RUNNING:
                return f"broker {host.id} is in state {state}"
        for metric, wanted in (
            (UNDER_REPLICATED, 0),
            (ACTIVE_CONTROLLERS, 1),
            (OFFLINE_PARTITIONS, 0),
        ):
            values = [host.metric(metric) for host in self.hosts]
            if None in values or sum(values) != wanted:
                return f"{metric[0]} is {values}"
        registered = self.observer.registered()
        return (
            ""
            if len(registered) == len(self.hosts)
            else f"only {sorted(registered)} are registered"
        )

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
        for host in self.hosts:
            host.reset()
        self._write_home()
        self._heal()
        self._forget_locks()
        self.observer.clear()

    def jump_host(self) -> Sshd:
        """Start an sshd without a broker, and have the user know its key until the next reset; it
        ends with the lab."""
        if self._subnet is None:
            raise LabError("the lab has no addresses")
        if self._jump_host is None:
            self._jump_host = self._make_sshd(self._subnet.address(JUMP_HOST))
            self._jump_host.start()
        self.ssh.replace(self._jump_host.address, self._jump_host.host_key)
        return self._jump_host

    def mend(self) -> None:
        """Take every fault off; a broker that is down stays down, and what happened is not
        forgotten."""
        for server in self.ensemble:
            server.thaw()
            server.start()
        for host in self.hosts:
            host.mend()

    def _forget_locks(self) -> None:
        """Delete the locks of runs that ended while ZooKeeper was away: they live until their
        session times out."""
        client = self.observer.client
        if client.exists(LOCK):
            for name in client.get_children(LOCK):
                client.delete(f"{LOCK}/{name}")

    def _heal(self) -> None:
        """Wait until the cluster is healthy; start a broker whenever it is seen to be gone."""
        deadline = time.monotonic() + HEAL_TIMEOUT
        while not (all(host.is_up() for host in self.hosts) and self.is_healthy()):
            if time.monotonic() > deadline:
                raise LabError(f"the lab cannot be reset: {self.why_unhealthy()}\n{self._logs()}")
            for host in self.hosts:
                host.start()
            time.sleep(HEALTH_POLL)

    def _boot(self, subnet: Subnet, jars: Jars) -> None:
        self._subnet = subnet
        ssh = SshFolder(self.home)
        ssh.create()
        self.ssh = ssh
        self._write_stand_ins()
        addresses = [subnet.address(number) for number in self._zookeepers]
        self.authority = Authority(self.folder)
        self.ensemble = [
            ZooKeeperServer(address, self.folder / address, jars, addresses, self.authority)
            for address in addresses
        ]
        for server in self.ensemble:
            server.start()
        self.hosts = [self._make_host(number, subnet.address(number)) for number in self._brokers]
        for host in self.hosts:
            host.boot(jars, self.zookeeper, len(self.hosts))
        self._write_home()
        wait_for("every broker runs", self._all_run, BOOT_TIMEOUT, self.hosts[0].log)
        self._observer = Observer(self.zookeeper, list(self._brokers), self.pids)
        self._observer.start()
        self._make_topic()
        self.wait_healthy(BOOT_TIMEOUT)
        self.observer.clear()

    def _all_run(self) -> bool:
        self._check_up(*self.ensemble, *self.hosts, *(host.sshd for host in self.hosts))
        return all(host.metric(STATE) == RUNNING for host in self.hosts)

    @staticmethod
    def _check_up(*daemons: Daemon | Host) -> None:
        for daemon in daemons:
            if not daemon.is_up():
                raise LabError(f"{daemon.log.parent.name} did not stay up:\n{tail(daemon.log)}")

    def _make_host(self, number: int, address: str) -> Host:
        sshd = self._make_sshd(address)
        return Host(number, address, self.folder / address, sshd)

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

    def _write_home(self) -> None:
        """Write the user's files as they should be: SSH's, and the description of the cluster."""
        if self._subnet is None:
            raise LabError("the lab has no addresses")
        self.ssh.write(
            self._subnet.pattern, {host.address: host.sshd.host_key for host in self.hosts}
        )
        discovery = self.home / ".kafka_discovery"
        discovery.mkdir(exist_ok=True)
        (discovery / f"{CLUSTER_TYPE}.yaml").write_text(
            "clusters:\n"
            f"  {CLUSTER}:\n"
            f"    broker_list: {json.dumps(self.broker_list)}\n"
            f"    zookeeper: {json.dumps(self.zookeeper)}\n"
            "local_config:\n"
            f"  cluster: {CLUSTER}\n"
        )

    def _make_topic(self) -> None:
        """Make the topic as the old admin tools do, through ZooKeeper, with the leaders spread
        evenly."""
        ids = list(self._brokers)
        copies = min(3, len(ids))
        assignment = {
            str(partition): [ids[(partition + copy) % len(ids)] for copy in range(copies)]
            for partition in range(PARTITIONS)
        }
        topic = json.dumps({"version": 1, "partitions": assignment}).encode()
        self.observer.client.create(
            f"/config/topics/{TOPIC}", b'{"version":1,"config":{}}', makepath=True
        )
        self.observer.client.create(f"/brokers/topics/{TOPIC}", topic)
        wait_for("the topic is made", self._topic_is_made, BOOT_TIMEOUT, self.hosts[0].log)

    def _topic_is_made(self) -> bool:
        states = f"/brokers/topics/{TOPIC}/partitions/{PARTITIONS - 1}/state"
        return self.observer.client.exists(states) is not None

    def _logs(self) -> str:
        return "\n".join(f"{host.log}:\n{tail(host.log, 1500)}" for host in self.hosts)

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
            for server in self.ensemble:
                steps.callback(server.kill)
            for host in self.hosts:
                steps.callback(host.shut_down)
            if self._jump_host is not None:
                steps.callback(self._jump_host.stop)
            if self._observer is not None:
                steps.callback(self._observer.stop)
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


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
