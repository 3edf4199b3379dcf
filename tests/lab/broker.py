"""The broker of one host: its files, and its process by the pid file."""

from __future__ import annotations

import json
import shlex
import signal
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .daemon import LabError, tail
from .host_scripts import process
from .jars import Jars
from .java import java_command

KAFKA_PORT = 9092
JOLOKIA_PORT = 8778
STOP_TIMEOUT = 60.0  # s
OVERRIDES_OF_DYING = ("--override", "log.dirs=/proc/no-such-folder")
# writing the archive keeps the JVM for 3 s after Kafka's own shutdown
LINGERING = "-XX:ArchiveClassesAtExit="
LINGERING_OPTIONS = ("-XX:+UnlockDiagnosticVMOptions", "-XX:+AllowArchivingWithJavaAgent")
STATE = ("kafka.server:type=KafkaServer,name=BrokerState", "Value")
UNDER_REPLICATED = ("kafka.server:type=ReplicaManager,name=UnderReplicatedPartitions", "Value")
ACTIVE_CONTROLLERS = ("kafka.controller:type=KafkaController,name=ActiveControllerCount", "Value")
OFFLINE_PARTITIONS = ("kafka.controller:type=KafkaController,name=OfflinePartitionsCount", "Value")
RUNNING = 3


class Broker:
    """Kafka on one address, with the Jolokia agent in its JVM."""

    def __init__(self, number: int, address: str, folder: Path) -> None:
        self.id = number
        self.address = address
        self.folder = folder

    @property
    def log(self) -> Path:
        """The broker's log of all its lives."""
        return self.folder / process.LOG

    @property
    def pid(self) -> int | None:
        """The pid of the JVM, or None when it does not run."""
        return process.broker_pid(self.folder)

    def install(self, jars: Jars, zookeeper: str, brokers: int) -> None:
        """Write the broker's configuration and the scripts that launch it."""
        properties = self.folder / "server.properties"
        properties.write_text(_properties(self._settings(zookeeper, brokers)))
        listening = f"host={self.address},port={JOLOKIA_PORT},discoveryEnabled=false"
        agent = f"-javaagent:{jars.agent}={listening}"
        lingering = (*LINGERING_OPTIONS, f"{LINGERING}{self.folder}/archive.jsa")
        for script, options, arguments in (
            (process.LAUNCH, (), ()),
            (process.LAUNCH_DYING, (), OVERRIDES_OF_DYING),
            (process.LAUNCH_LINGERING, lingering, ()),
        ):
            command = java_command(
                jars, self.folder, "256m", "INFO", "kafka.Kafka", agent, *options
            )
            _write_launcher(
                self.folder / script, self.folder, [*command, str(properties), *arguments]
            )

    def start(self) -> None:
        """Launch the JVM, unless it runs; do not wait until it serves."""
        process.launch(self.folder)

    def restart(self, lingering: bool = False) -> None:
        """Stop the broker and launch it again; do not wait until it serves.

        A lingering one, when it is stopped the next time, looks gone after 0.6 s (no registration,
        every port closed) and its process lives for 3 s more, as a broker with many partitions
        does.
        """
        self.stop()
        process.launch(self.folder, process.LAUNCH_LINGERING if lingering else process.LAUNCH)

    def is_lingering(self) -> bool:
        """Tell whether the running JVM will linger when it is stopped."""
        pid = self.pid
        return pid is not None and LINGERING.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()

    def stop(self) -> None:
        """Stop the broker in a controlled way and wait until its process is gone."""
        self.thaw()
        pid = process.send(self.folder, signal.SIGTERM)
        if pid is not None and not process.wait_gone(pid, STOP_TIMEOUT):
            raise LabError(f"broker {self.id} does not stop:\n{tail(self.log)}")

    def kill(self) -> None:
        """Kill the JVM and wait until it is gone; its registration stays until the session times
        out (6 s)."""
        pid = process.send(self.folder, signal.SIGKILL)
        if pid is not None and not process.wait_gone(pid, STOP_TIMEOUT):
            raise LabError(f"broker {self.id} survives SIGKILL")

    def freeze(self) -> None:
        """Stop the JVM with SIGSTOP: its ports accept, nothing answers."""
        process.send(self.folder, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen JVM go on."""
        process.send(self.folder, signal.SIGCONT)

    def is_up(self) -> bool:
        """Tell whether the JVM exists (a frozen one does)."""
        return self.pid is not None

    def metric(self, mbean_and_attribute: tuple[str, str], timeout: float = 10.0) -> Any:
        """Read one attribute from Jolokia; None when the broker does not answer or does not have
        it."""
        mbean, attribute = mbean_and_attribute
        request = {"type": "read", "mbean": mbean, "attribute": attribute}
        try:
            return self.jolokia(request, timeout).get("value")
        except OSError:
            return None

    def jolokia(self, request: Mapping[str, object], timeout: float) -> dict[str, Any]:
        """Ask the Jolokia agent; raise `OSError` when it does not answer in time."""
        url = f"http://{self.address}:{JOLOKIA_PORT}/jolokia/"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, json.dumps(request).encode(), timeout=timeout) as reply:
            answer: dict[str, Any] = json.load(reply)
        return answer

    def _settings(self, zookeeper: str, brokers: int) -> dict[str, object]:
        copies = min(3, brokers)
        return {
            "broker.id": self.id,
            "listeners": f"PLAINTEXT://{self.address}:{KAFKA_PORT}",
            "zookeeper.connect": zookeeper,
            "zookeeper.session.timeout.ms": 6000,
            "zookeeper.connection.timeout.ms": 60000,
            "log.dirs": self.folder / "data",
            "num.partitions": 3,
            "default.replication.factor": copies,
            "min.insync.replicas": min(2, copies),
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": 3,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": min(2, copies),
            "transaction.state.log.num.partitions": 3,
            "group.initial.rebalance.delay.ms": 0,
            "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
            "num.network.threads": 2,
            "num.io.threads": 4,
        }


def _properties(settings: Mapping[str, object]) -> str:
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _write_launcher(path: Path, folder: Path, command: list[str]) -> None:
    """Write the script that runs the command, tells its pid, and waits for it."""
    path.write_text(
        "#!/bin/sh\n"
        "{\n"  # read as a whole before it runs: the file may change meanwhile
        f"cd {shlex.quote(str(folder))} || exit 1\n"
        f"{shlex.join(command)} &\n"
        f"echo $! >{process.PID}.new && mv {process.PID}.new {process.PID}\n"
        "wait $!\n"
        "exit\n"
        "}\n"
    )
    path.chmod(0o755)
