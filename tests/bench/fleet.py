"""Measure one check of 1,000 brokers over real sockets (`python -m tests.bench.fleet`), alone and
with ten silent ones.

Each is measured in a process of its own that may have 1,024 files open, beside another process that
plays the thousand JMXProxies on the same processors. Exits 1 where a figure is over its limit.
"""

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from kafka_rolling_restart.clock import SystemClock
from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.model.observation import Observation, Presence
from kafka_rolling_restart.model.verdict import Health, Verdict
from kafka_rolling_restart.roll.watch import ClusterWatch
from kafka_rolling_restart.settings.access import MetricsAccess
from tests.bench.apart import peak_mib, served
from tests.bench.proxies import ANSWER_S, PORT, PREFIX, address
from tests.fakes import NoClusterState

BROKERS = 1000
SILENT = 10
TIMEOUT_S = 30.0  # the default of --metrics-timeout
FILES = 1024
CHECKS = 5
REQUESTS = 8  # for each broker: DELETE and seven values
LOSSLESS_LIMIT_S = 8.0
SLACK_S = 1.0
MEMORY_LIMIT_MIB = 150
LOADED = ("main", "metrics.jmxproxy", "hosts.ssh.client", "registry.zookeeper", "output.screen")


@dataclass(frozen=True)
class Look:
    """One check: how long (s) it took, the work (s) of our processor meanwhile, and what it
    found."""

    seconds: float
    work: float
    health: str
    reasons: int
    why: str


@dataclass(frozen=True)
class Figures:
    """What some checks took; memory is the peak of what was resident."""

    looks: Sequence[Look]
    memory_mib: float


class Registry(NoClusterState):
    """A ZooKeeper where all are registered: it is not what is measured here."""

    def observe(self, ids: Collection[int], timeout: float | None = None) -> dict[int, Observation]:
        """Return all."""
        return dict.fromkeys(ids, Observation(Presence.PRESENT))


def measure(checks: int) -> Figures:
    """Make so many checks, with the whole program loaded."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    for name in LOADED:
        importlib.import_module(f"kafka_rolling_restart.{name}")
    importlib.import_module("rich.live")
    watch = _watch()
    return Figures([_look(watch) for _ in range(checks)], peak_mib())


def _look(watch: ClusterWatch) -> Look:
    began, worked = time.monotonic(), time.process_time()
    verdict: Verdict = watch.check()
    seconds, work = time.monotonic() - began, time.process_time() - worked
    return Look(seconds, work, verdict.health.value, len(verdict.reasons), verdict.why)


def _watch() -> ClusterWatch:
    from kafka_rolling_restart.metrics.jmxproxy import JmxProxy

    clock, access = SystemClock(), MetricsAccess(PORT, PREFIX, TIMEOUT_S)
    brokers = {number: Broker(number, address(number), number) for number in range(1, BROKERS + 1)}
    sources = {one.id: JmxProxy(one.host, access, clock) for one in brokers.values()}
    return ClusterWatch(brokers, Registry(), sources, clock, TIMEOUT_S)


def scenario(silent: int, checks: int) -> Figures:
    """Measure in a fresh process, with so many silent brokers."""
    with served("tests.bench.proxies", str(BROKERS), str(silent)):
        command = [sys.executable, "-m", "tests.bench.fleet", "--measure", str(checks)]
        found = json.loads(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout
        )
    return Figures([Look(**one) for one in found["looks"]], found["memory_mib"])


def tell_lossless(found: Figures) -> bool:
    """Print what the checks of a sound fleet took; return whether that is within the limits."""
    median = sorted(found.looks, key=lambda look: look.seconds)[len(found.looks) // 2]
    share = median.work / BROKERS / REQUESTS * 1000
    print(
        f"{BROKERS} brokers, {ANSWER_S * 1000:g} ms an answer: a check takes {median.seconds:.1f} "
        "s, the median of "
        f"{', '.join(f'{look.seconds:.1f}' for look in found.looks)} s (limit {LOSSLESS_LIMIT_S:g} "
        "s)\n"
        f"  of it, {median.work:.1f} s are our work on one processor ({share:.2f} ms for each of "
        f"{REQUESTS} requests a "
        f"broker): that is the floor; one reading alone waits {REQUESTS * ANSWER_S * 1000:g} ms "
        "for its answers\n"
        f"  memory: {found.memory_mib:.0f} MiB (limit {MEMORY_LIMIT_MIB} MiB); load of the "
        f"machine: {os.getloadavg()[0]:.1f}"
    )
    sound = all(look.health == Health.HEALTHY.value for look in found.looks)
    return sound and median.seconds < LOSSLESS_LIMIT_S and found.memory_mib < MEMORY_LIMIT_MIB


def tell_silent(found: Figures) -> bool:
    """Print what a check took where some were silent; return whether that is within the limits."""
    look = found.looks[-1]
    print(
        f"{BROKERS} brokers, {SILENT} of which swallow every packet: a check takes "
        f"{look.seconds:.2f} s with "
        f"--metrics-timeout {TIMEOUT_S:g} (limit {TIMEOUT_S + SLACK_S:g} s), and names "
        f"{look.reasons} brokers\n"
        f"  memory: {found.memory_mib:.0f} MiB; the first reason: {look.why.partition(';')[0]}"
    )
    right = (
        look.health == Health.UNHEALTHY.value
        and look.reasons == SILENT
        and "open files" not in look.why
    )
    return right and look.seconds <= TIMEOUT_S + SLACK_S and found.memory_mib < MEMORY_LIMIT_MIB


def main(arguments: Sequence[str]) -> int:
    """Print the figures, and fail where one is over its limit."""
    if arguments[:1] == ["--measure"]:
        print(json.dumps(asdict(measure(int(arguments[1])))))
        return 0
    passed = [tell_lossless(scenario(0, CHECKS)), tell_silent(scenario(SILENT, 2))]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
