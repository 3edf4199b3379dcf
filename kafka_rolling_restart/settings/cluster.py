"""One cluster, as its configuration or the command line names it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ClusterConfig:
    """One cluster of a cluster type, and the file that describes it, if any does."""

    type: str
    name: str
    zookeeper: str
    broker_list: tuple[str, ...]
    path: Path | None

    @property
    def label(self) -> str:
        """What the cluster is called."""
        return f"{self.type}/{self.name}" if self.type else self.name
