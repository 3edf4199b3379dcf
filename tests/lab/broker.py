"""The broker of one host: its files, and its process by the pid file."""

from __future__ import annotations

import json
import shlex
import signal
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

from .daemon import LabError, tail
from .host_scripts import process
from .jars import Jars
from .java import java_command

KAFKA_PORT = 9092
JOLOKIA_PORT = 8778
MAIN_CLASS = "kafka.Kafka"
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

    def install(self, jars: Jars, settings: Mapping[str, object], heap: str = "256m") -> None:
        """Write the broker's configuration and the scripts that launch it."""
        properties = self.folder / "server.properties"
        properties.write_text(_properties(settings))
        listening = f"host={self.address},port={JOLOKIA_PORT},discoveryEnabled=false"
        agent = f"-javaagent:{jars.agent}={listening}"
        lingering = (*LINGERING_OPTIONS, f"{LINGERING}{self.folder}/archive.jsa")
        for script, options, arguments in (
            (process.LAUNCH, (), ()),
            (process.LAUNCH_DYING, (), OVERRIDES_OF_DYING),
            (process.LAUNCH_LINGERING, lingering, ()),
        ):
            command = java_command(jars, self.folder, heap, "INFO", MAIN_CLASS, agent, *options)
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
        out (6 s in ZooKeeper, 9 s in KRaft)."""
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
        except (OSError, HTTPException):
            return None

    def metrics(
        self, mbeans_and_attributes: Sequence[tuple[str, str]], timeout: float = 10.0
    ) -> list[Any]:
        """Read several attributes in one request; None for those that it does not have, and for all
        when it does not answer."""
        requests = [
            {"type": "read", "mbean": mbean, "attribute": attribute}
            for mbean, attribute in mbeans_and_attributes
        ]
        try:
            return [answer.get("value") for answer in self._ask_jolokia(requests, timeout)]
        except (OSError, HTTPException):
            return [None] * len(requests)

    def jolokia(self, request: Mapping[str, object], timeout: float) -> dict[str, Any]:
        """Ask the Jolokia agent; raise `OSError` when it does not answer in time."""
        answer: dict[str, Any] = self._ask_jolokia(request, timeout)
        return answer

    def _ask_jolokia(self, request: object, timeout: float) -> Any:
        url = f"http://{self.address}:{JOLOKIA_PORT}/jolokia/"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, json.dumps(request).encode(), timeout=timeout) as reply:
            return json.load(reply)


def _properties(settings: Mapping[str, object]) -> str:
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _write_launcher(path: Path, folder: Path, command: list[str]) -> None:
    """Write the script that runs the command, tells its pid, and waits for it."""
    path.write_text(
        "#!/bin/sh\n"
        "{\n"  # read as a whole before it runs: the file may change meanwhile
        f"cd {shlex.quote(str(folder))} || exit 1\n"
        f"export LAB_HOST={shlex.quote(str(folder))}\n"  # tells whose process it is
        f"rm -f {process.EXITED}\n"
        f"tr -d - </proc/sys/kernel/random/uuid >{process.INVOCATION}\n"
        f"{shlex.join(command)} &\n"
        f"echo $! >{process.PID}.new && mv {process.PID}.new {process.PID}\n"
        "wait $!\n"
        "status=$?\n"
        f"echo $status >{process.EXITED}\n"
        "exit $status\n"
        "}\n"
    )
    path.chmod(0o755)
