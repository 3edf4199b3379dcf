"""The Java libraries that the lab runs, fetched once with Maven."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .needs import program

HERE = Path(__file__).parent
POMS = {"3.9": HERE / "pom.xml", "4.1": HERE / "pom-4.xml"}  # by the version of Kafka
FETCH_TIMEOUT = 900  # s; the first download on a slow line


@dataclass(frozen=True)
class Jars:
    """A folder with Kafka, the Jolokia agent, and up to Kafka 3.9 ZooKeeper."""

    folder: Path

    @property
    def classpath(self) -> str:
        """The class path for Kafka and ZooKeeper, short enough to be read in ps."""
        return f"{self.folder}/*"

    @property
    def has_log4j2(self) -> bool:
        """Whether it logs by log4j 2, as Kafka 4 does."""
        return any(self.folder.glob("log4j-core-2*.jar"))

    @property
    def agent(self) -> Path:
        """The Jolokia agent, to be given to the JVM with -javaagent."""
        return next(self.folder.glob("jolokia-agent-jvm-*.jar"))


def cache_folder() -> Path:
    """Tell where downloads are kept: `$KRR_LAB_CACHE`, else a folder under the user's cache
    folder."""
    given = os.environ.get("KRR_LAB_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "kafka-rolling-restart-lab"


def fetch_jars(version: str = "3.9") -> Jars:
    """Return the libraries of a version of Kafka; download them when its pom was not fetched
    before.

    The download goes to a temporary folder that is renamed when it is complete, so an aborted one
    leaves nothing behind that would be taken for the whole, and two at the same time do not disturb
    each other.
    """
    pom = POMS[version]
    key = hashlib.sha256(pom.read_bytes()).hexdigest()[:16]
    folder = cache_folder() / key
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="download-", dir=folder.parent) as scratch:
            _download(pom, Path(scratch) / key)
            _settle(Path(scratch) / key, folder)
    return Jars(folder)


def _download(pom: Path, folder: Path) -> None:
    command = [
        program("mvn"),
        "-q",
        "-B",
        "-f",
        str(pom),
        "dependency:copy-dependencies",
        f"-DoutputDirectory={folder}",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=FETCH_TIMEOUT, check=False
    )
    if done.returncode or not folder.is_dir():
        raise RuntimeError(
            f"mvn could not fetch the lab's libraries:\n{(done.stdout + done.stderr)[-4000:]}"
        )


def _settle(complete: Path, folder: Path) -> None:
    try:
        complete.rename(folder)
    except OSError:
        if not folder.is_dir():  # somebody else's download came first: theirs is as good
            raise
