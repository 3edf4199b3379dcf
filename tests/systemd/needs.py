"""What whole systems need from the machine: root, Linux and some programs."""

from __future__ import annotations

import os

from ..lab import needs as lab_needs
from ..lab.needs import Need

NEEDS = (
    *lab_needs.NEEDS,
    Need("debootstrap", "debootstrap"),
    Need("systemd-nspawn", "systemd-container"),
    Need("nsenter", "util-linux"),
    Need("setpriv", "util-linux"),
    Need("ip", "iproute2"),
    Need("mount", "mount"),
)


def missing() -> str | None:
    """Install what is absent; tell in one line what a person has to do, if anything."""
    if os.geteuid() != 0:
        return "tox -e systemd boots whole systems, which needs root: run it with sudo"
    return lab_needs.missing(NEEDS, "tox -e systemd")
