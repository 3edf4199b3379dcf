"""What the lab needs from the machine, and how to get it on Debian."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

APT_GET = "apt-get"
POLICY = Path("/usr/sbin/policy-rc.d")
LOCK = Path("/run/kafka-rolling-restart-lab.lock")
APT_LOCK_S = 300  # how long to wait for somebody else's apt-get
SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Need:
    """A program of the machine and the Debian package that brings it."""

    program: str
    package: str


NEEDS = (
    Need("java", "default-jre-headless"),
    Need("mvn", "maven"),
    Need("sshd", "openssh-server"),
    Need("ssh", "openssh-client"),
    Need("ssh-keygen", "openssh-client"),
    Need("ps", "procps"),
    Need("pgrep", "procps"),
    Need("setsid", "util-linux"),
)


def program(name: str) -> str:
    """Tell the full path of a program; look in the system's sbin folders too, which users lack in
    PATH."""
    path = shutil.which(name) or shutil.which(name, path=SYSTEM_FOLDERS)
    if path is None:
        raise FileNotFoundError(f"{name} is not installed")
    return path


def absent(needs: Sequence[Need] = NEEDS) -> list[Need]:
    """List what is not installed."""
    return [need for need in needs if not _is_installed(need.program)]


def missing(needs: Sequence[Need] = NEEDS, who: str = "the lab") -> str | None:
    """Install what is absent where that is possible; tell in one line what a person has to install,
    if anything.

    As root on a Debian the packages are installed with apt-get. No service is started by that.
    """
    if not sys.platform.startswith("linux"):
        return f"{who} needs Linux: one loopback address per host, and /proc"
    lacking = absent(needs)
    if lacking and os.geteuid() == 0 and shutil.which(APT_GET):
        with one_at_a_time(LOCK):
            lacking = absent(needs)  # the other worker may have installed it meanwhile
            if lacking:
                _install(sorted({need.package for need in lacking}))
        lacking = absent(needs)
    if not lacking:
        return None
    programs = ", ".join(need.program for need in lacking)
    packages = " ".join(sorted({need.package for need in lacking}))
    return f"{who} needs {programs}: install them, on Debian with: apt-get install {packages}"


def _is_installed(name: str) -> bool:
    return bool(shutil.which(name) or shutil.which(name, path=SYSTEM_FOLDERS))


def _install(packages: list[str]) -> None:
    """Install Debian packages; a failure shows in what is still absent afterwards, and in apt's own
    words."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _no_service_starts():
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
            command = [APT_GET, "-qq", "-o", f"DPkg::Lock::Timeout={APT_LOCK_S}", *arguments]
            subprocess.run(command, env=environment, stdout=sys.stderr, check=False)


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Let no two processes be in the block: there are two workers, and apt-get refuses to run
    beside itself."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Keep apt from starting the services that it installs; where the machine has a policy of its
    own, leave it."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
