"""Measure how long --help takes and how much memory the whole program has loaded (`python -m
tests.bench.footprint`).

Exits 1 when --help takes 0.25 s or more, or the program with all its libraries 80 MiB or more.
"""

import statistics
import subprocess
import sys
import time

RUNS = 9
HELP_LIMIT_S = 0.25
MEMORY_LIMIT_MIB = 80
EVERYTHING = (
    "from kafka_rolling_restart import main; from kafka_rolling_restart.metrics import jmxproxy;"
    "from kafka_rolling_restart.hosts.ssh import client; from kafka_rolling_restart.registry "
    "import zookeeper, kraft; from kafka_rolling_restart.registry.kafka import client as kafka;"
    "import rich.live, rich.table, yaml, resource;"
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
)


def help_seconds() -> float:
    """Return the median time (s) that --help takes."""
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "kafka_rolling_restart", "--help"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def loaded_mib() -> float:
    """Return the memory (MiB, peak resident) of a process that has loaded every module and
    library."""
    said = subprocess.run(
        [sys.executable, "-c", EVERYTHING], check=True, capture_output=True, text=True
    ).stdout
    return int(said) / 1024


def main() -> int:
    """Print both figures, and fail where one of them is over its limit."""
    seconds, mib = help_seconds(), loaded_mib()
    print(f"--help: {seconds:.3f} s (median of {RUNS}; limit {HELP_LIMIT_S} s)")
    print(
        f"all modules and libraries loaded: {mib:.1f} MiB resident (limit {MEMORY_LIMIT_MIB} MiB)"
    )
    return int(seconds >= HELP_LIMIT_S or mib >= MEMORY_LIMIT_MIB)


if __name__ == "__main__":
    sys.exit(main())
