"""Measure where the time of real rolls of nine brokers goes (`python -m tests.bench.roll`); needs
what the lab needs.

What cannot be avoided is the time for which each broker was down, as the lab's observer saw it, and
a window of healthy checks before, between and after the restarts. A broker that is back has yet to
catch up: until all replicas are in sync again no tool may go on. The rest is ours, and is the same
however long a broker is down.

So one roll is of the lab's own brokers, which are down for less than 2 s: it shows best what is
ours. Those of the other are down for 30 s, as `service kafka start` takes that much longer: it
takes at most 1.10 times as long as cannot be avoided. Exits 1 where that does not hold.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.lab.command import Finished
from tests.lab.lab import CLUSTER_TYPE, Lab
from tests.lab.observer import Down

BROKERS = 9
INTERVAL_S, COUNT = 1.0, 3
WINDOW_S = (COUNT - 1) * INTERVAL_S
OPTIONS = ("--no-confirm", "--check-interval", f"{INTERVAL_S:g}", "--check-count", str(COUNT), "-v")
# for how long a start command waits before it starts a JVM, which needs 1.8 s
STARTS_S = (
    0.0,
    28.2,
)
LIMIT = 1.10  # of the last of them
PARTS = ("until it goes", "down", "until in sync", "until seen whole", "window", "until next stop")


@dataclass(frozen=True)
class Roll:
    """A roll from outside: when it began and ended (epoch s), its report file, and what the
    observer saw (epoch s)."""

    began: float
    ended: float
    report: Mapping[str, Any]
    downs: Sequence[Down]
    # when, after each broker was back, every replica was in sync again
    in_sync: Mapping[int, float]

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began

    @property
    def unavoidable(self) -> float:
        """How long (s) it takes at least."""
        return sum(_length(down) for down in self.downs) + (len(self.downs) + 1) * WINDOW_S

    @property
    def catching_up(self) -> float:
        """How long (s) brokers that were back took to catch up, all together."""
        return sum(
            max(self.in_sync[down.id] - down.since - _length(down), 0) for down in self.downs
        )

    @property
    def ours(self) -> float:
        """How long (s) it took beside that, for each broker."""
        return (self.seconds - self.unavoidable - self.catching_up) / len(self.downs)

    @property
    def ratio(self) -> float:
        """How many times as long as it takes at least it took."""
        return self.seconds / self.unavoidable

    def parts(self) -> list[tuple[float, ...]]:
        """Return for each broker how long (s) each of `PARTS` took."""
        records = [record for record in self.report["brokers"] if record["state"] == "restarted"]
        nexts = [*(_epoch(record["stopped"]) for record in records[1:]), self.ended]
        downs = {down.id: down for down in self.downs}
        return [
            _parts(record, downs[record["id"]], self.in_sync[record["id"]], following)
            for record, following in zip(records, nexts, strict=True)
        ]

    def before(self) -> float:
        """Return how long (s) it took until the first stop, beside the window of checks."""
        return _epoch(self.report["brokers"][0]["stopped"]) - self.began - WINDOW_S


def _parts(
    record: Mapping[str, Any], down: Down, in_sync: float, following: float
) -> tuple[float, ...]:
    stopped, healthy = _epoch(record["stopped"]), _epoch(record["healthy"])
    until = down.since + _length(down)
    caught_up = max(until, min(in_sync, healthy))
    return (
        down.since - stopped,
        _length(down),
        caught_up - until,
        healthy - caught_up,
        WINDOW_S,
        following - healthy - WINDOW_S,
    )


def _epoch(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _length(down: Down) -> float:
    if down.until is None:
        raise RuntimeError(f"broker {down.id} did not come back")
    return down.until - down.since


def roll(lab: Lab, start_s: float) -> tuple[Roll, Finished]:
    """Roll all brokers of a lab whose start commands wait for ``start_s`` (s) first."""
    lab.reset()
    for host in lab.hosts:
        host.service.start_takes = start_s
    file = lab.folder / f"{start_s}.json"
    began = time.time()
    finished = lab.run(
        "--cluster-type", CLUSTER_TYPE, *OPTIONS, "--report", str(file), timeout=3600
    )
    offset = time.time() - time.monotonic()
    downs = [
        Down(one.id, one.since + offset, one.until and one.until + offset)
        for one in lab.observer.downs()
    ]
    whole = [one.time + offset for one in lab.observer.replicas() if one.under_replicated == 0]
    in_sync = {
        down.id: min((at for at in whole if at > down.since), default=down.since) for down in downs
    }
    return Roll(
        began, began + finished.seconds, json.loads(file.read_text()), downs, in_sync
    ), finished


def tell(seen: Roll) -> None:
    """Print the table and the ratio."""
    print(f"{'broker':>6}" + "".join(f"{part:>18}" for part in PARTS))
    parts = seen.parts()
    for down, row in zip(seen.downs, parts, strict=True):
        print(f"{down.id:>6}" + "".join(f"{seconds:>16.2f} s" for seconds in row))
    print(f"{'sum':>6}" + "".join(f"{sum(row):>16.2f} s" for row in zip(*parts, strict=True)))
    print(f"until the first stop, beside its window: {seen.before():.2f} s")
    print(
        f"until all replicas were in sync again: {seen.catching_up:.1f} s; ours: {seen.ours:.2f} s "
        "a broker"
    )
    print(
        f"{seen.seconds:.1f} s, of which {seen.unavoidable:.1f} s cannot be avoided: "
        f"{seen.ratio:.3f}"
    )


def main() -> int:
    """Roll, print the figures, and fail where they are over the limit."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", action="store_true", help="print what the tool said")
    parser.add_argument(
        "--starts", type=float, nargs="+", default=STARTS_S, metavar="S", help="before a JVM starts"
    )
    options = parser.parse_args()
    ratio = float("inf")
    with Lab(brokers=BROKERS) as lab:
        for start_s in options.starts:
            seen, finished = roll(lab, start_s)
            if options.output or finished.status != 0:
                print(finished.stdout, finished.stderr, sep="\n")
            if finished.status != 0:
                return 1
            print(f"start commands that take {start_s:g} s longer:")
            tell(seen)
            ratio = seen.ratio
    print(f"the last one: {ratio:.3f} (limit {LIMIT:.2f})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
