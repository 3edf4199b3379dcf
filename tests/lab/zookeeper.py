"""The ZooKeeper servers of a lab."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .daemon import Daemon
from .jars import Jars
from .java import java_command

PORT = 2181
QUORUM_PORTS = "2888:3888"
TICK_TIME = 500  # ms; sessions may then be as short as 1 s and as long as 10 s
CHROOT = "/kafka/lab"


class ZooKeeperServer(Daemon):
    """One server of the ensemble."""

    def __init__(self, address: str, folder: Path, jars: Jars, ensemble: Sequence[str]) -> None:
        self.address = address
        folder.mkdir(parents=True)
        config = folder / "zoo.cfg"
        config.write_text(_settings(address, folder, ensemble))
        (folder / "myid").write_text(str(ensemble.index(address) + 1))
        command = java_command(jars, folder, "128m", "WARN", "org.apache.zookeeper.server.quorum.QuorumPeerMain")
        super().__init__("zookeeper", [*command, str(config)], folder)


def _settings(address: str, folder: Path, ensemble: Sequence[str]) -> str:
    settings = {
        "dataDir": folder,
        "clientPortAddress": address,
        "clientPort": PORT,
        "tickTime": TICK_TIME,
        "initLimit": 20,
        "syncLimit": 10,
        "maxClientCnxns": 0,
        "forceSync": "no",
        "admin.enableServer": "false",
        "4lw.commands.whitelist": "*",
    }
    if len(ensemble) > 1:
        settings |= {f"server.{number}": f"{host}:{QUORUM_PORTS}" for number, host in enumerate(ensemble, 1)}
    return "".join(f"{name}={value}\n" for name, value in settings.items())
