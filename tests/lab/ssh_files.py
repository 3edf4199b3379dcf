"""The home folder of a lab: keys, known hosts and the SSH configuration, so that nothing of the
user's is touched."""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .needs import program

SSH_PORT = 22022
KEY = "id_ed25519"


def make_key(path: Path, passphrase: str = "") -> str:
    """Make a key pair, by default without a passphrase; return the public key as `type base64`."""
    command = [
        program("ssh-keygen"),
        "-q",
        "-t",
        "ed25519",
        "-N",
        passphrase,
        "-C",
        "lab",
        "-f",
        str(path),
    ]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return " ".join(path.with_name(path.name + ".pub").read_text().split()[:2])


def known_hosts_line(address: str, public_key: str) -> str:
    """Format a host key as a line of known_hosts."""
    return f"[{address}]:{SSH_PORT} {public_key}\n"


class SshFolder:
    """The `.ssh` folder of a home."""

    def __init__(self, home: Path) -> None:
        self.folder = home / ".ssh"
        self.config = self.folder / "config"
        self.known_hosts = self.folder / "known_hosts"
        self.key = self.folder / KEY
        self.public_key = ""

    def create(self) -> None:
        """Make the folder and the key pair of the user."""
        self.folder.mkdir(parents=True, mode=0o700)
        self.public_key = make_key(self.key)

    def write(self, pattern: str, host_keys: Mapping[str, str]) -> None:
        """Write the configuration for the hosts of a pattern, and their keys by address, as they
        should be."""
        self.config.write_text(
            f"Host {pattern}\n"
            f"    Port {SSH_PORT}\n"
            f"    User {getpass.getuser()}\n"
            f"    IdentityFile {self.key}\n"
            f"    UserKnownHostsFile {self.known_hosts}\n"
        )
        self.known_hosts.write_text("".join(known_hosts_line(*item) for item in host_keys.items()))
        self.config.chmod(0o600)
        self.key.chmod(0o600)

    def forget(self, address: str) -> None:
        """Take the key of a host out of known_hosts."""
        self.replace(address, None)

    def replace(self, address: str, public_key: str | None) -> None:
        """Put another key, or none, in the place of a host's key in known_hosts."""
        kept = [
            line
            for line in self.known_hosts.read_text().splitlines(keepends=True)
            if f"[{address}]:" not in line
        ]
        added = [known_hosts_line(address, public_key)] if public_key else []
        self.known_hosts.write_text("".join(kept + added))
