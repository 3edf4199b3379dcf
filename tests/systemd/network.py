"""Network namespaces that are joined by a bridge in one of their own: nothing of it can be reached
from the machine's network, nor reaches it."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "krr-systemd-"
BRIDGE = f"{PREFIX}bridge"
# 192.0.2.0/24 is for documentation (RFC 5737): no real network has it
OUR_ADDRESS = "192.0.2.1"
HOST_ADDRESS = "192.0.2.{}"
NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000
COMMAND_TIMEOUT = 20.0  # s


class Network:
    """A bridge, and a network namespace for each host on it."""

    def __init__(self) -> None:
        _ip("netns", "add", BRIDGE)
        _inside(BRIDGE, "link", "set", "lo", "up")
        _inside(BRIDGE, "link", "add", "bridge", "type", "bridge")
        _inside(BRIDGE, "address", "add", f"{OUR_ADDRESS}/24", "dev", "bridge")
        _inside(BRIDGE, "link", "set", "bridge", "up")

    def add_host(self, number: int) -> Path:
        """Make the network of a host with an address of its own; return its namespace."""
        name, port = f"{PREFIX}{number}", f"host{number}"
        _ip("netns", "add", name)
        _inside(BRIDGE, "link", "add", port, "type", "veth", "peer", "name", "host0")
        _inside(BRIDGE, "link", "set", "host0", "netns", name)
        _inside(BRIDGE, "link", "set", port, "master", "bridge", "up")
        _inside(name, "link", "set", "lo", "up")
        _inside(name, "address", "add", f"{address_of(number)}/24", "dev", "host0")
        _inside(name, "link", "set", "host0", "up")
        return NAMESPACES / name

    def remove(self) -> None:
        """Remove all of it."""
        remove_networks()


def address_of(number: int) -> str:
    """Tell the address of a host."""
    return HOST_ADDRESS.format(10 + number)


def remove_networks() -> None:
    """Remove every network namespace of ours, also those that another run left behind."""
    if not NAMESPACES.is_dir():
        return
    for one in sorted(NAMESPACES.glob(f"{PREFIX}*")):
        _ip("netns", "delete", one.name)


@contextmanager
def on_the_bridge() -> Iterator[None]:
    """Let this thread, and all that it launches meanwhile, be in the network of the bridge."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        bridge = os.open(NAMESPACES / BRIDGE, os.O_RDONLY)
        try:
            _enter(bridge)
        finally:
            os.close(bridge)
        try:
            yield
        finally:
            _enter(own)
    finally:
        os.close(own)


def _enter(namespace: int) -> None:
    """Let this thread go into a network namespace. Python has `os.setns` from 3.12 on."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(namespace, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def _inside(namespace: str, *arguments: str) -> None:
    _ip("-netns", namespace, *arguments)


def _ip(*arguments: str) -> None:
    done = subprocess.run(
        ["ip", *arguments], capture_output=True, text=True, timeout=COMMAND_TIMEOUT, check=False
    )
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
