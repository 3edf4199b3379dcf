"""Roll a real cluster under a real producer, and tell what independent witnesses saw."""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import time
from dataclasses import dataclass

from .base import CLUSTER_TYPE, TOPIC, BaseLab
from .command import command_line
from .history import BaseObserver
from .kraft import KraftLab
from .lab import Lab
from .needs import missing
from .producer import Produced, Producer

BROKERS = 3
OPTIONS = (
    "--cluster-type",
    CLUSTER_TYPE,
    "--no-confirm",
    "--check-interval",
    "1",
    "--check-count",
    "3",
)
SETTLE = 2.0  # s of writing before and after the roll


@dataclass(frozen=True)
class Seen:
    """What the witnesses saw of a roll."""

    status: int
    seconds: float
    most_down: int
    new_jvms: int
    produced: Produced

    def problems(self) -> list[str]:
        """List what is not as it should be."""
        checks = {
            f"the roll ended with exit status {self.status}": self.status != 0,
            f"{self.most_down} brokers were down at the same time": self.most_down > 1,
            f"{self.new_jvms} of {BROKERS} brokers run in a new JVM": self.new_jvms != BROKERS,
            "no record was acknowledged": self.produced.acknowledged == 0,
            f"{self.produced.failed} records were not taken": self.produced.failed > 0,
            f"{len(self.produced.lost)} acknowledged records were lost": bool(self.produced.lost),
        }
        return [problem for problem, holds in checks.items() if holds]

    def summary(self) -> str:
        """Say in one line what was seen."""
        produced = self.produced
        return (
            f"at most {self.most_down} broker down at any time; {self.new_jvms} new JVMs; "
            f"{produced.acknowledged} records acknowledged, {produced.read_back} read back, "
            f"{len(produced.lost)} lost (longest time without an acknowledgement "
            f"{produced.longest_gap_s:.1f} s); roll took {self.seconds:.0f} s"
        )


def main() -> int:
    """Boot, write, roll, judge; return 0 when everything was as promised."""
    # it reports each broker that goes: here they all go
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    if problem := missing():
        print(problem, file=sys.stderr)
        return 1
    parser = argparse.ArgumentParser(prog="python -m tests.lab.demo", description=__doc__)
    parser.add_argument("--kraft", action="store_true", help="a cluster without ZooKeeper")
    options = parser.parse_args()
    others = "3 controllers" if options.kraft else "their ZooKeeper"
    say(f"booting {BROKERS} brokers, {others}, an sshd and a JMXProxy each")
    begun = time.monotonic()
    lab: BaseLab = KraftLab(brokers=BROKERS) if options.kraft else Lab(brokers=BROKERS)
    with lab:
        say(
            f"the cluster is healthy after {time.monotonic() - begun:.0f} s; a producer with "
            "acks=all begins to write"
        )
        seen = roll(lab)
    say(seen.summary())
    for problem in seen.problems():
        say(f"NOT AS PROMISED: {problem}")
    return 1 if seen.problems() else 0


def roll(lab: BaseLab) -> Seen:
    """Run the tool with its output on this terminal, under a producer, and collect what was
    seen."""
    with Producer(lab.broker_list, TOPIC) as producer:
        time.sleep(SETTLE)
        say(f"kafka-rolling-restart {' '.join(OPTIONS)}")
        begun = time.monotonic()
        status = subprocess.run(
            command_line(OPTIONS), env=lab.env, stdin=subprocess.DEVNULL, check=False
        ).returncode
        seconds = time.monotonic() - begun
        time.sleep(SETTLE)
        produced = producer.finish()
    return judge(status, seconds, lab.observer, produced)


def judge(status: int, seconds: float, observer: BaseObserver, produced: Produced) -> Seen:
    """Put together what the observer and the producer saw."""
    return Seen(status, seconds, observer.most_down(), len(observer.new_jvms()), produced)


def say(text: str) -> None:
    """Print a line of the demo's own, told apart from the tool's."""
    print(f"demo: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
