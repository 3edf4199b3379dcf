"""The OpenSSH server of one host."""

from __future__ import annotations

import getpass
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from .daemon import Daemon
from .host_scripts.process import alive
from .needs import SYSTEM_FOLDERS, program
from .ssh_files import SSH_PORT, make_key

PRIVILEGE_SEPARATION_FOLDER = Path("/run/sshd")
SHADOW = Path("/etc/shadow")


class Sshd(Daemon):
    """An sshd on a high port, run as the current user, whose sessions find the stand-ins of the lab
    first."""

    def __init__(
        self,
        address: str,
        folder: Path,
        scripts: Path,
        home: Path,
        user_key: str,
        others: Mapping[str, str] | None = None,
    ) -> None:
        self.address = address
        self.authorized_keys = folder / "authorized_keys"
        key = folder / "ssh_host_ed25519_key"
        self.host_key = make_key(key)
        self.authorized_keys.write_text(user_key + "\n")
        config = folder / "sshd_config"
        environment = {
            "LAB_HOST": folder,
            "LAB_BIN": scripts,
            "HOME": home,
            "PATH": f"{scripts}:{SYSTEM_FOLDERS}",
        }
        settings = {
            "ListenAddress": f"{address}:{SSH_PORT}",
            "HostKey": key,
            "AuthorizedKeysFile": self.authorized_keys,
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "yes" if _is_locked(getpass.getuser()) else "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
            "UseDNS": "no",
            "PrintMotd": "no",
            "MaxStartups": "100:30:200",
            "Subsystem": "sftp internal-sftp",
            "SetEnv": " ".join(f"{name}={value}" for name, value in environment.items()),
            **(others or {}),
        }
        config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        super().__init__("sshd", [program("sshd"), "-D", "-e", "-f", str(config)], folder)

    def start(self) -> None:
        """Start to listen; as root make the folder first that sshd wants to exist."""
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION_FOLDER.mkdir(mode=0o755, exist_ok=True)
        super().start()

    def stop(self) -> None:
        """Stop to listen and end the sessions that are open."""
        self.cut()
        super().stop()

    def cut(self) -> None:
        """Cut the sessions that are open, as a firewall does; go on listening."""
        self._signal_sessions(signal.SIGKILL)

    def freeze(self) -> None:
        """Go silent: the port accepts, nothing answers, and open sessions say nothing more."""
        super().freeze()
        self._signal_sessions(signal.SIGSTOP)

    def thaw(self) -> None:
        """Answer again."""
        self._signal_sessions(signal.SIGCONT)
        super().thaw()

    def _signal_sessions(self, number: signal.Signals) -> None:
        pid = self.pid
        for session in _sshd_descendants(pid) if pid is not None else ():
            if alive(session):
                os.kill(session, number)


def _is_locked(user: str) -> bool:
    """Tell whether the account is locked: sshd refuses the keys of such a one when PAM is off."""
    try:
        lines = SHADOW.read_text().splitlines()
    except (FileNotFoundError, PermissionError):
        return False
    return any(line.startswith(f"{user}:!") for line in lines)


def _sshd_descendants(pid: int) -> list[int]:
    """List the children of an sshd, and theirs, that are sshd themselves."""
    found: list[int] = []
    for child in _children(pid):
        if _command_name(child) in ("sshd", "sshd-session", "sshd-auth"):
            found += [*_sshd_descendants(child), child]
    return found


def _children(pid: int) -> list[int]:
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _command_name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
