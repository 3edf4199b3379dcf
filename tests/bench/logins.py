"""Measure what the preflight's logins cost (`python -m tests.bench.logins`): many at a time to one
real sshd.

Each is a login and a command, as many at a time as the preflight makes; with a known_hosts of one
line and of a thousand.
"""

import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from kafka_rolling_restart.hosts.ssh.client import SshHost
from kafka_rolling_restart.hosts.ssh.config import SshConfig
from kafka_rolling_restart.hosts.ssh.connect import Access
from kafka_rolling_restart.hosts.ssh.login import Credentials
from kafka_rolling_restart.parallel import WORKERS, in_parallel
from kafka_rolling_restart.settings.secret import Passwords, Secrets
from tests.lab.daemon import wait_for
from tests.lab.ssh_files import SshFolder, make_key
from tests.lab.ssh_scene import print_warning, run_on
from tests.lab.sshd import Sshd
from tests.lab.subnet import claim_subnet

LOGINS = 100
BROKERS = 1000


def measure(environ: Mapping[str, str], address: str) -> tuple[float, float]:
    """Return how long (s) all the logins took, and the work (s) of our processor meanwhile."""
    credentials = Credentials(Secrets({}, None), Passwords())
    target = SshConfig(environ).host(address)
    credentials.open([target])
    host = SshHost(target, Access(credentials, "/bin/sh", print_warning))
    began, worked = time.monotonic(), time.process_time()
    results = in_parallel({number: partial(run_on, host, "true") for number in range(LOGINS)})
    if any(result.status for result in results.values()):
        raise RuntimeError("a command failed")
    return time.monotonic() - began, time.process_time() - worked


def main() -> int:
    """Print both figures."""
    subnet = claim_subnet()
    address = subnet.address(1)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        ssh = SshFolder(home)
        ssh.create()
        sshd = Sshd(address, home, home, home, ssh.public_key)
        other = make_key(home / "other")
        sshd.start()
        try:
            wait_for(
                "sshd listens", lambda: "Server listening" in sshd.log.read_text(), 10, sshd.log
            )
            for lines in (1, BROKERS):
                others = {
                    f"10.0.{number // 250}.{number % 250}": other for number in range(2, lines + 1)
                }
                ssh.write(subnet.pattern, {**others, address: sshd.host_key})
                seconds, work = measure({"HOME": str(home)}, address)
                print(
                    f"{LOGINS} logins, {WORKERS} at a time, {lines} line(s) in known_hosts: "
                    f"{seconds:.1f} s; our work {work / LOGINS * 1000:.0f} ms each, so {BROKERS} "
                    f"hosts take about {seconds * BROKERS / LOGINS:.0f} s"
                )
        finally:
            sshd.stop()
            subnet.release()
    return 0


if __name__ == "__main__":
    sys.exit(main())
