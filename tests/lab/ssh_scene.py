"""A few sshd processes, a home with keys, and our SSH on top of them: no Kafka."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from socket import create_connection
from types import TracebackType

from kafka_rolling_restart.errors import Warn
from kafka_rolling_restart.hosts.ssh.client import SshHost
from kafka_rolling_restart.hosts.ssh.config import SshConfig, SshOptions
from kafka_rolling_restart.hosts.ssh.connect import Access
from kafka_rolling_restart.hosts.ssh.login import Credentials
from kafka_rolling_restart.model.broker import CommandResult
from kafka_rolling_restart.settings.secret import Passwords, Secret, Secrets
from kafka_rolling_restart.text import with_code

from .command import environment
from .daemon import Daemon, wait_for
from .needs import program
from .ssh_files import KEY, SSH_PORT, known_hosts_line, make_key
from .sshd import Sshd
from .subnet import claim_subnet

PASSPHRASE = "open sesame"
START_TIMEOUT = 10.0  # s
# Logs in from a process of its own, because paramiko finds the agent in the environment of the
# process.
PROBE = """
import os, sys
from kafka_rolling_restart.cli.factory import host_factory
from kafka_rolling_restart.cli.arguments import parse
from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.errors import RollingRestartError, SshError
options = parse(["--zookeeper", "zk", *sys.argv[2:]])
broker = Broker(1, sys.argv[1], 1)
ask = (lambda prompt: print(prompt) or "wrong") if "PROBE_ASKS" in os.environ else None
try:
    way = host_factory(options, os.environ, ask, lambda text, code: print(text))
    print(way.hosts({1: broker}, [broker])[1]._connections.run("echo logged in", 10).output)
except (SshError, RollingRestartError) as error:
    print(error)
"""


def print_warning(text: str, *, code: str) -> None:
    """Print a warning with its code."""
    print(with_code(text, code))


def run_on(host: SshHost, command: str, secret: Secret | None = None) -> CommandResult:
    """Run a command over a login of its own."""
    with host.session() as session:
        return session.run(command, 10, secret)


class SshScene:
    """Hosts by number, started on demand; they end with the `with` block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.ssh = self.home / ".ssh"
        self._stack = ExitStack()
        self._sshds: dict[int, Sshd] = {}

    def __enter__(self) -> SshScene:
        self.ssh.mkdir(parents=True, mode=0o700)
        self._subnet = claim_subnet()
        self._stack.callback(self._subnet.release)
        self.public_key = make_key(self.ssh / KEY)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def known_hosts(self) -> Path:
        """The file of the user."""
        return self.ssh / "known_hosts"

    def address(self, number: int) -> str:
        """The address of a host."""
        return self._subnet.address(number)

    def sshd(self, number: int, **settings: str) -> Sshd:
        """Start the sshd of a host, unless it runs; what its configuration says besides is in
        ``settings``."""
        if number in self._sshds:
            return self._sshds[number]
        folder = self.folder / str(number)
        folder.mkdir()
        sshd = Sshd(
            self.address(number), folder, self.folder / "bin", self.home, self.public_key, settings
        )
        sshd.start()
        self._stack.callback(sshd.stop)
        self._sshds[number] = sshd
        wait_for("sshd listens", lambda: _listens(self.address(number)), START_TIMEOUT, sshd.log)
        return sshd

    def reset(self, *numbers: int) -> None:
        """Let the user know these hosts by n1, n2, ..., and have the plain key; nothing else is
        left of a test before."""
        for file in self.ssh.iterdir():
            if not file.name.startswith(KEY):
                file.unlink()
        self.known_hosts.write_text(
            "".join(
                known_hosts_line(self.address(number), self.sshd(number).host_key)
                for number in numbers
            )
        )
        self.configure()
        for number in numbers:
            self.sshd(number).log.write_text("")

    def configure(self, first: str = "", last: str = "") -> None:
        """Write ~/.ssh/config: what comes first, the hosts n1 to n9 by their addresses, and what
        comes last."""
        hosts = "".join(
            f"Host n{number}\n    HostName {self.address(number)}\n" for number in range(1, 10)
        )
        general = f"Host *\n    Port {SSH_PORT}\n    User {getpass.getuser()}\n"
        config = self.ssh / "config"
        config.write_text(f"{first}\n{hosts}\n{last}\n{general}")
        config.chmod(0o600)

    def key(self, name: str, passphrase: str = "", kind: str = "ed25519") -> Path:
        """Make a key in ~/.ssh."""
        path = self.ssh / name
        quick = ["-a", "1", *(["-b", "2048"] if kind == "rsa" else [])]
        command = [
            program("ssh-keygen"),
            "-q",
            "-t",
            kind,
            *quick,
            "-N",
            passphrase,
            "-C",
            name,
            "-f",
            str(path),
        ]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return path

    def authorize(self, number: int, *keys: Path) -> None:
        """Let only these keys log in to a host."""
        lines = [path.with_name(path.name + ".pub").read_text() for path in keys]
        self.sshd(number).authorized_keys.write_text("".join(lines))

    def host(
        self,
        name: str,
        passwords: Passwords | None = None,
        ask: Callable[[str], str] | None = None,
        warn: Warn = print_warning,
        options: SshOptions | None = None,
        login_s: float = 20.0,
    ) -> SshHost:
        """Return a host as our SSH sees it."""
        environ = {"HOME": str(self.home), "USER": getpass.getuser()}
        config = SshConfig(environ, options, system=self.folder / "etc")
        target = config.host(name)
        credentials = Credentials(Secrets({}, ask), passwords or Passwords())
        credentials.open([target])
        return SshHost(target, Access(credentials, config.shell, warn), login_s)

    def run(
        self, name: str, command: str = "echo logged in", secret: Secret | None = None
    ) -> CommandResult:
        """Run a command on a host."""
        return run_on(self.host(name), command, secret)

    def probe(self, name: str, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Log in from a process of its own; return what it printed."""
        command = [sys.executable, "-c", PROBE, name, *arguments]
        ended = subprocess.run(
            command,
            env={**environment(self.home), "USER": getpass.getuser(), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return ended.stdout.strip()

    def agent(self, *keys: Path, passphrase: str = "") -> Agent:
        """Start an agent that holds keys."""
        agent = Agent(self.folder / f"agent-{len(list(self.folder.glob('agent-*')))}")
        agent.start()
        self._stack.callback(agent.stop)
        wait_for("ssh-agent listens", agent.socket.exists, START_TIMEOUT, agent.log)
        for key in keys:
            agent.add(key, passphrase)
        return agent


class Agent(Daemon):
    """An ssh-agent."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.socket = folder / "socket"
        super().__init__("ssh-agent", [program("ssh-agent"), "-D", "-a", str(self.socket)], folder)

    @property
    def env(self) -> dict[str, str]:
        """How it is found."""
        return {"SSH_AUTH_SOCK": str(self.socket)}

    def add(self, key: Path, passphrase: str = "") -> None:
        """Have it hold a key."""
        asks = self.socket.parent / "askpass"
        asks.write_text(f"#!/bin/sh\necho '{passphrase}'\n")
        asks.chmod(0o700)
        env = {**os.environ, **self.env, "SSH_ASKPASS": str(asks), "SSH_ASKPASS_REQUIRE": "force"}
        subprocess.run(
            [program("ssh-add"), "-q", str(key)], env=env, check=True, stdin=subprocess.DEVNULL
        )


def _listens(address: str) -> bool:
    with suppress(OSError), create_connection((address, SSH_PORT), timeout=1):
        return True
    return False
