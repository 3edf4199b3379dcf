"""Boot a lab and keep it until Ctrl-C, so that a person can try the tool by hand."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys

from .base import CLUSTER_TYPE, BaseLab
from .jars import POMS
from .kraft import KraftLab
from .lab import Lab
from .needs import missing


def main() -> int:
    """Boot the lab that the arguments describe; tell how to use it; wait."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("--brokers", type=int, default=3)
    parser.add_argument("--zookeepers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--kraft", action="store_true", help="a cluster without ZooKeeper")
    parser.add_argument("--combined", action="store_true", help="with --kraft: no controllers")
    parser.add_argument("--version", choices=tuple(POMS), default="4.1", help="with --kraft")
    options = parser.parse_args()
    if problem := missing():
        print(problem, file=sys.stderr)
        return 1
    with make_lab(options) as lab:
        print(help_text(lab), flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("ending the lab")
    return 0


def make_lab(options: argparse.Namespace) -> BaseLab:
    """Return the lab that the arguments describe; it boots later."""
    if options.kraft:
        return KraftLab(options.brokers, combined=options.combined, version=options.version)
    return Lab(options.brokers, options.zookeepers)


def help_text(lab: BaseLab) -> str:
    """Say what a shell needs to use the lab, and where things are."""
    exports = [f"export {name}={shlex.quote(value)}" for name, value in lab.env.items()]
    hosts = [
        f"# node {host.id}: ssh -F {lab.ssh.config} {host.address}; {host.folder}"
        for host in lab.nodes
    ]
    run = (
        f"{sys.executable} -m kafka_rolling_restart --cluster-type {CLUSTER_TYPE} "
        "--check-interval 1 --check-count 3"
    )
    return "\n".join([*exports, *hosts, f"# {lab.where}", run, "# Ctrl-C ends the lab"])


if __name__ == "__main__":
    sys.exit(main())
