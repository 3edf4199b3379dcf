"""The loopback addresses of a lab: a /24 of its own, so that several labs can run on one
machine."""

from __future__ import annotations

import socket
from dataclasses import dataclass

LAST = 250
LOCK_HOST = 254
LOCK_PORT = 9092
ZOOKEEPER_HOST = 100


@dataclass(frozen=True)
class Subnet:
    """127.0.N.0/24, ours for as long as the lock is open."""

    number: int
    lock: socket.socket

    def address(self, host: int) -> str:
        """Tell the address of a host."""
        return f"127.0.{self.number}.{host}"

    @property
    def pattern(self) -> str:
        """The subnet as a pattern of ssh_config."""
        return f"127.0.{self.number}.*"

    def release(self) -> None:
        """Let another lab have the subnet."""
        self.lock.close()


def claim_subnet() -> Subnet:
    """Claim the first free subnet: the one whose lock port can be bound."""
    for number in range(1, LAST):
        lock = socket.socket()
        try:
            lock.bind((f"127.0.{number}.{LOCK_HOST}", LOCK_PORT))
            lock.listen(1)
        except OSError:
            lock.close()
        else:
            return Subnet(number, lock)
    raise OSError(
        f"port {LOCK_PORT} is taken on every 127.0.1-{LAST}.{LOCK_HOST}: something listens on all "
        "addresses"
    )
