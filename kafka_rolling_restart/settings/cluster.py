"""One cluster, as its configuration or the command line names it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ClusterConfig:
    """One cluster of a cluster type, and the file that describes it, if any does.

    It is asked at ``zookeeper``, or else at its ``bootstrap`` servers, by Kafka's own protocol, as
    the file ``command_config`` says.
    """

    type: str
    name: str
    zookeeper: str
    broker_list: tuple[str, ...]
    path: Path | None
    bootstrap: tuple[tuple[str, int], ...] = ()
    command_config: str = ""

    @property
    def label(self) -> str:
        """What the cluster is called."""
        return f"{self.type}/{self.name}" if self.type else self.name
