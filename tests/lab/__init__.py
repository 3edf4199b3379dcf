"""A real Kafka cluster with SSH on loopback addresses, for the tests, the benchmarks and the demo.

with Lab(brokers=3) as lab:
    lab.hosts[1].service.stop_mode = "early"
    finished = lab.run("--cluster-type", "lab", "--no-confirm")
    assert lab.observer.most_down() == 1
"""

from .command import Finished, Running
from .daemon import LabError
from .host import Host
from .lab import Lab
from .needs import missing
from .observer import Down, Observer

__all__ = [
    "Down",
    "Finished",
    "Host",
    "Lab",
    "LabError",
    "Observer",
    "Running",
    "missing",
]
