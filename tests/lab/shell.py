"""Commands on a host of the lab, run with the system's own ssh."""

from __future__ import annotations

import subprocess

from .base import BaseLab
from .host import Host
from .needs import program

PATIENCE = 30.0  # s; for what takes a moment on an idle machine


def ssh(
    lab: BaseLab, host: Host, command: str, timeout: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Run a command on a host with the system's own client."""
    arguments = ssh_command(lab, host, command)
    return subprocess.run(arguments, capture_output=True, text=True, timeout=timeout, check=False)


def begin_ssh(lab: BaseLab, host: Host, command: str) -> subprocess.Popen[bytes]:
    """Begin to run a command on a host."""
    return subprocess.Popen(ssh_command(lab, host, command), stderr=subprocess.DEVNULL)


def ssh_command(lab: BaseLab, host: Host, command: str) -> list[str]:
    """Build the command of the system's own client."""
    return [program("ssh"), "-F", str(lab.ssh.config), "-o", "BatchMode=yes", host.address, command]
