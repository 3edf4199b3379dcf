"""Boot a lab and keep it until Ctrl-C, so that a person can try the tool by hand."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys

from .lab import CLUSTER_TYPE, Lab
from .needs import missing


def main() -> int:
    """Boot the lab that the arguments describe; tell how to use it; wait."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("--brokers", type=int, default=3)
    parser.add_argument("--zookeepers", type=int, choices=(1, 3), default=1)
    options = parser.parse_args()
    if problem := missing():
        print(problem, file=sys.stderr)
        return 1
    with Lab(options.brokers, options.zookeepers) as lab:
        print(help_text(lab), flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("ending the lab")
    return 0


def help_text(lab: Lab) -> str:
    """Say what a shell needs to use the lab, and where things are."""
    exports = [f"export {name}={shlex.quote(value)}" for name, value in lab.env.items()]
    hosts = [
        f"# broker {host.id}: ssh -F {lab.ssh.config} {host.address}; {host.folder}"
        for host in lab.hosts
    ]
    run = (
        f"{sys.executable} -m kafka_rolling_restart --cluster-type {CLUSTER_TYPE} "
        "--check-interval 1 --check-count 3"
    )
    return "\n".join(
        [*exports, *hosts, f"# ZooKeeper: {lab.zookeeper}", run, "# Ctrl-C ends the lab"]
    )


if __name__ == "__main__":
    sys.exit(main())
