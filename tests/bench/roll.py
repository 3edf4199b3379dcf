"""Measure where the time of a real roll of nine brokers goes (`python -m tests.bench.roll`); needs what the lab needs.

What cannot be avoided is the time for which each broker was down, as the lab's observer saw it, and a window of healthy
checks before, between and after the restarts. Exits 1 where the roll took more than 1.10 times as long as that. A broker
that is back has yet to catch up: until all replicas are in sync again no tool may go on, so that is told, too.
"""

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
LIMIT = 1.10
PARTS = ("until it goes", "down", "until in sync", "until seen whole", "window", "until next stop")


@dataclass(frozen=True)
class Roll:
    """A roll from outside: when it began and ended (epoch s), its report file, and what the observer saw (epoch s)."""

    began: float
    ended: float
    report: Mapping[str, Any]
    downs: Sequence[Down]
    in_sync: Mapping[int, float]  # when, after each broker was back, every replica was in sync again

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
        return sum(max(self.in_sync[down.id] - down.since - _length(down), 0) for down in self.downs)

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


def _parts(record: Mapping[str, Any], down: Down, in_sync: float, following: float) -> tuple[float, ...]:
    stopped, whole = _epoch(record["stopped"]), _epoch(record["whole"])
    until = down.since + _length(down)
    caught_up = max(until, min(in_sync, whole))
    return (
        down.since - stopped,
        _length(down),
        caught_up - until,
        whole - caught_up,
        WINDOW_S,
        following - whole - WINDOW_S,
    )


def _epoch(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _length(down: Down) -> float:
    if down.until is None:
        raise RuntimeError(f"broker {down.id} did not come back")
    return down.until - down.since


def roll() -> tuple[Roll, Finished]:
    """Boot nine brokers and roll them."""
    with Lab(brokers=BROKERS) as lab:
        file = lab.folder / "report.json"
        began = time.time()
        finished = lab.run("--cluster-type", CLUSTER_TYPE, *OPTIONS, "--report", str(file), timeout=600)
        offset = time.time() - time.monotonic()
        downs = [Down(one.id, one.since + offset, one.until and one.until + offset) for one in lab.observer.downs()]
        whole = [one.time + offset for one in lab.observer.replicas() if one.under_replicated == 0]
        in_sync = {down.id: min((at for at in whole if at > down.since), default=down.since) for down in downs}
        return Roll(began, began + finished.seconds, json.loads(file.read_text()), downs, in_sync), finished


def tell(seen: Roll) -> None:
    """Print the table and the ratio."""
    print(f"{'broker':>6}" + "".join(f"{part:>18}" for part in PARTS))
    parts = seen.parts()
    for down, row in zip(seen.downs, parts, strict=True):
        print(f"{down.id:>6}" + "".join(f"{seconds:>16.2f} s" for seconds in row))
    print(f"{'sum':>6}" + "".join(f"{sum(row):>16.2f} s" for row in zip(*parts, strict=True)))
    print(f"until the first stop, beside its window: {seen.before():.2f} s")
    print(f"until all replicas were in sync again, added up: {seen.catching_up:.1f} s")
    wide = seen.seconds / (seen.unavoidable + seen.catching_up)
    ratio = seen.seconds / seen.unavoidable
    print(f"{seen.seconds:.1f} s, of which {seen.unavoidable:.1f} s cannot be avoided: {ratio:.3f} (limit {LIMIT:.2f})")
    print(f"with the time until all replicas were in sync again: {wide:.3f}")


def main() -> int:
    """Roll, print the figures, and fail where they are over the limit."""
    seen, finished = roll()
    if finished.status != 0:
        print(finished.stdout, finished.stderr, sep="\n")
        return 1
    if "--output" in sys.argv:
        print(finished.stdout)
    tell(seen)
    return int(seen.seconds > LIMIT * seen.unavoidable)


if __name__ == "__main__":
    sys.exit(main())
