"""The ZooKeeper servers of a lab: a plain port, and one that speaks TLS and wants a client
certificate.

Both take logins: the scheme digest with any name and password, as every ZooKeeper does, and SASL
with those of `LOGIN`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.certificates import Authority

from .daemon import Daemon
from .jars import Jars
from .java import java_command

PORT = 2181
SECURE_PORT = 2182
LOGIN = ("lab", "lab-secret")
QUORUM_PORTS = "2888:3888"
TICK_TIME = 500  # ms; sessions may then be as short as 1 s and as long as 10 s
CHROOT = "/kafka/lab"


class ZooKeeperServer(Daemon):
    """One server of the ensemble."""

    def __init__(
        self, address: str, folder: Path, jars: Jars, ensemble: Sequence[str], authority: Authority
    ) -> None:
        self.address = address
        folder.mkdir(parents=True)
        config = folder / "zoo.cfg"
        config.write_text(_settings(address, folder, ensemble, authority))
        (folder / "myid").write_text(str(ensemble.index(address) + 1))
        users = folder / "jaas.conf"
        users.write_text(
            "Server { org.apache.zookeeper.server.auth.DigestLoginModule required "
            f'user_{LOGIN[0]}="{LOGIN[1]}"; }};\n'
        )
        command = java_command(
            jars,
            folder,
            "128m",
            "WARN",
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            f"-Djava.security.auth.login.config={users}",
        )
        super().__init__("zookeeper", [*command, str(config)], folder)


def _settings(address: str, folder: Path, ensemble: Sequence[str], authority: Authority) -> str:
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
        "authProvider.sasl": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
        # the one that speaks TLS
        "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
        "secureClientPort": SECURE_PORT,
        "secureClientPortAddress": address,
        "ssl.keyStore.location": authority.issue(f"zookeeper-{address}", address),
        "ssl.keyStore.type": "PEM",
        "ssl.trustStore.location": authority.file,
        "ssl.trustStore.type": "PEM",
        "ssl.clientAuth": "need",
    }
    if len(ensemble) > 1:
        settings |= {
            f"server.{number}": f"{host}:{QUORUM_PORTS}" for number, host in enumerate(ensemble, 1)
        }
    return "".join(f"{name}={value}\n" for name, value in settings.items())
