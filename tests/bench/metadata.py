"""Measure one check of a KRaft cluster of 1,000 brokers with 100,000 partitions (`python -m
tests.bench.metadata`): sound, with one broker down, and with ten brokers that say nothing.

A process of its own plays the thousand nodes on the same processors; the check is made in a fresh
process that may have 1,024 files open. Exits 1 where a figure is over its limit.
"""

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

from kafka_rolling_restart.clock import SystemClock
from kafka_rolling_restart.model.verdict import Health
from kafka_rolling_restart.roll.watch import ClusterWatch
from kafka_rolling_restart.settings.access import KafkaAccess
from tests.bench.apart import peak_mib, served

if TYPE_CHECKING:
    from tests.fake_kafka import FakeState

BROKERS, PARTITIONS, COPIES = 1000, 100_000, 3
VOTERS = (1001, 1002, 1003)
TOPIC_SIZE = 100  # partitions of one topic
PORT = 9092
SILENT = 10
TIMEOUT_S = 30.0  # the default of --metrics-timeout
FILES, SERVER_FILES = 1024, 8192
CHECKS = 5
LIMIT_S, MEMORY_LIMIT_MIB = 10.0, 400
SLACK_S = 5.0  # for the questions beside those that say nothing
LOADED = ("main", "hosts.ssh.client", "registry.kraft", "registry.kafka.client", "output.screen")
SCENES = {"sound": Health.HEALTHY, "down": Health.UNHEALTHY, "silent": Health.UNHEALTHY}


@dataclass(frozen=True)
class Figures:
    """What checks took (s), what the last one found, and the peak of resident memory (MiB)."""

    seconds: Sequence[float]
    health: str
    why: str
    memory_mib: float


def address(number: int) -> str:
    """Return the loopback address of a broker, from 1."""
    return f"127.2.{number // 250}.{number % 250 + 1}"


def serve(scene: str) -> None:
    """Play the nodes until standard input ends. The last brokers are down, or say nothing."""
    from tests.fake_kafka import FakeKafka

    resource.setrlimit(resource.RLIMIT_NOFILE, (SERVER_FILES, SERVER_FILES))
    gone = {BROKERS} if scene == "down" else set[int]()
    state = _state(gone)
    silent = _state(gone)
    silent.behaviour = "silent"
    last = BROKERS - SILENT if scene == "silent" else BROKERS
    for number in range(1, BROKERS + 1):
        if number not in gone:
            told = state if number <= last else silent
            FakeKafka(told, host=address(number), port=PORT).start()
    print("READY", flush=True)
    sys.stdin.read()


def _state(gone: set[int]) -> "FakeState":
    from kafka_rolling_restart.registry.kafka.answers import KafkaNode
    from tests.fake_kafka import FakePartition, FakeReplica, FakeState

    ids = range(1, BROKERS + 1)
    nodes = tuple(KafkaNode(one, address(one), PORT, "", one in gone) for one in ids)
    now = 1_700_000_000_000
    topics: dict[str, tuple[FakePartition, ...]] = {}
    for first in range(0, PARTITIONS, TOPIC_SIZE):
        partitions = []
        for number in range(first, first + TOPIC_SIZE):
            replicas = tuple((number + copy * 7) % BROKERS + 1 for copy in range(COPIES))
            isr = tuple(one for one in replicas if one not in gone)
            partitions.append(FakePartition(replicas, isr, isr[0]))
        topics[f"topic-{first // TOPIC_SIZE}"] = tuple(partitions)
    return FakeState(
        brokers=nodes,
        topics=topics,
        leader=VOTERS[0],
        voters=tuple(FakeReplica(one, 100, now) for one in VOTERS),
        observers=tuple(FakeReplica(one, 100, now) for one in ids if one not in gone),
        controllers={one: ("127.0.0.1", 9093) for one in VOTERS},
    )


def measure(checks: int) -> Figures:
    """Make so many checks, with the whole program loaded."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    for name in LOADED:
        importlib.import_module(f"kafka_rolling_restart.{name}")
    importlib.import_module("rich.live")
    watch = _watch()
    taken: list[float] = []
    for _ in range(checks):
        began = time.monotonic()
        verdict = watch.check()
        taken.append(time.monotonic() - began)
    return Figures(taken, verdict.health.value, verdict.why, peak_mib())


def _watch() -> ClusterWatch:
    from kafka_rolling_restart.metrics.none import NoMetrics, read_all
    from kafka_rolling_restart.registry.kafka.client import KafkaClient
    from kafka_rolling_restart.registry.kraft import Kraft

    clock = SystemClock()
    kraft = Kraft([(address(1), PORT)], KafkaClient(KafkaAccess(), clock), clock)
    kraft.connect()
    brokers = kraft.brokers()
    sources = {one: NoMetrics(one, kraft.serving, clock, TIMEOUT_S) for one in brokers}
    read_many = partial(read_all, ask=kraft.serving, clock=clock, timeout=TIMEOUT_S)
    return ClusterWatch(brokers, kraft, sources, clock, TIMEOUT_S, read_many=read_many)


def figures(scene: str) -> Figures:
    """Measure a scene in a fresh process."""
    with served("tests.bench.metadata", "--serve", scene):
        command = [sys.executable, "-m", "tests.bench.metadata", "--measure", str(CHECKS)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Figures(**json.loads(told))


def tell(scene: str, found: Figures) -> bool:
    """Print what the checks took; return whether that is as it should be."""
    median = sorted(found.seconds)[len(found.seconds) // 2]
    limit = LIMIT_S if scene != "silent" else TIMEOUT_S + SLACK_S
    each = ", ".join(f"{one:.1f}" for one in found.seconds)
    print(
        f"{scene}: {BROKERS} brokers, {PARTITIONS} partitions with {COPIES} replicas: a check "
        f"takes {median:.1f} s, the median of {each} s (limit {limit:g} s)\n"
        f"  memory: {found.memory_mib:.0f} MiB (limit {MEMORY_LIMIT_MIB} MiB); load of the "
        f"machine: {os.getloadavg()[0]:.1f}\n"
        f"  it found: {found.health}. {found.why[:150]}"
    )
    is_right = found.health == SCENES[scene].value
    return is_right and median <= limit and found.memory_mib < MEMORY_LIMIT_MIB


def main(arguments: Sequence[str]) -> int:
    """Print the figures, and fail where one is over its limit."""
    if arguments[:1] == ["--serve"]:
        serve(arguments[1])
        return 0
    if arguments[:1] == ["--measure"]:
        print(json.dumps(asdict(measure(int(arguments[1])))))
        return 0
    passed = [tell(scene, figures(scene)) for scene in SCENES]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
