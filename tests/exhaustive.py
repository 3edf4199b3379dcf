"""Every pair of faults in a small world, not only those that chance brings together.

Run it with ``python -m tests.exhaustive FOLDER``. The small world has three brokers, two of them in
the plan, and in KRaft three controllers. A fault is a kind, a node, the stop that it follows, and a
moment on a coarse grid: before the stop, while the broker goes, while it is down, after its start,
and while the cluster is waited for. Every pair is run on both registries, and once with each kind
of plan. The folder keeps what was done, so that a run that was cut off goes on where it was.

The order, the worlds and what comes of them are the same each time.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations, islice
from multiprocessing import Pool
from pathlib import Path

from tests.properties.promises import PROMISES, Story, is_kept
from tests.simulation.schedule import (
    KRAFT,
    ZOOKEEPER,
    Deed,
    Fault,
    Job,
    Kind,
    Nature,
    Schedule,
    Signal,
)
from tests.simulation.world import OF_KRAFT

# In s after a stop: while the broker goes, while it is down, after its start, in the wait.
# A small broker is gone after 2.2 s and back after 6 s; its post-stop task takes 2 s.
MOMENTS = (0.2, 3.0, 6.0, 12.0)
BEFORE_S = 2.0  # after the beginning of the run
LASTS_S = 20.0
OF_ZOOKEEPER = (
    Kind.DIES,
    Kind.FREEZES,
    Kind.RESTARTED,
    Kind.SSH,
    Kind.SSH_CUT,
    Kind.PROXY_STALE,
    Kind.PROXY_DOWN,
    Kind.ZOOKEEPER,
    Kind.ZOOKEEPER_OURS,
    Kind.SESSIONS,
    Kind.OUR_SESSION,
    Kind.LOCK,
    Kind.PAUSED,
)
OF_BOTH = (
    Kind.DIES,
    Kind.FREEZES,
    Kind.RESTARTED,
    Kind.SSH,
    Kind.SSH_CUT,
    Kind.ZOOKEEPER_OURS,
    Kind.OUR_SESSION,
    Kind.LOCK,
    Kind.PAUSED,
)
KINDS = {ZOOKEEPER: OF_ZOOKEEPER, KRAFT: (*OF_BOTH, *OF_KRAFT)}
# what happens to no node in particular
OF_ALL = (
    Kind.ZOOKEEPER,
    Kind.ZOOKEEPER_OURS,
    Kind.SESSIONS,
    Kind.OUR_SESSION,
    Kind.LOCK,
    Kind.PAUSED,
    Kind.QUORUM,
    Kind.UNREAD,
)
OF_VOTERS = (Kind.VOTER_DIES, Kind.VOTER_FREEZES, Kind.VOTER_LAGS)
BATCH = 200  # worlds for each line in the file of what was done, at the most


@dataclass(frozen=True)
class Plan:
    """A small world, and the nodes in it that a fault may meet, by their places."""

    name: str
    schedule: Schedule
    places: tuple[int, ...]
    voters: tuple[int, ...] = ()


_SMALL = Schedule(natures=(Nature(loads=4.0),) * 3, interval=2.0, post_stop=Job(2.0), plan_size=2)
PLANS = (
    Plan("zookeeper", _SMALL, (0, 1, 2)),
    Plan("kraft brokers", replace(_SMALL, registry=KRAFT, election=1.0), (0, 1, 2), (0, 1)),
    Plan(
        "kraft combined",
        replace(_SMALL, registry=KRAFT, election=1.0, combined=True),
        (0, 1, 2),
        (0, 1),
    ),
    Plan(
        "kraft controllers",
        replace(_SMALL, registry=KRAFT, election=1.0, roles="controllers"),
        (0, 4, 5),
        (0, 1, 2),
    ),
)


Mishap = Fault | Signal


def mishaps(plan: Plan) -> list[Mishap]:
    """Return every fault of a plan, and every signal, in their order."""
    moments = [(0, BEFORE_S), *((stop, at) for stop in (1, 2) for at in MOMENTS)]
    faults: list[Mishap] = [
        Fault(kind, place, stop, at, LASTS_S)
        for kind in KINDS[plan.schedule.registry]
        for place in _places(plan, kind)
        for stop, at in moments
    ]
    signals = [Signal(stop, at, kill=kill) for kill in (False, True) for stop, at in moments]
    return [*faults, *signals]


def with_mishaps(schedule: Schedule, *some: Mishap) -> Schedule:
    """Return a schedule in which these happen."""
    faults = tuple(one for one in some if isinstance(one, Fault))
    signals = tuple(one for one in some if isinstance(one, Signal))
    return replace(schedule, faults=faults, signals=signals)


def _places(plan: Plan, kind: Kind) -> tuple[int, ...]:
    if kind in OF_ALL:
        return (0,)
    return plan.voters if kind in OF_VOTERS else plan.places


def choices(plan: Plan) -> Iterator[tuple[Mishap, ...]]:
    """Return each mishap of a plan alone, then each pair of them."""
    every = mishaps(plan)
    return chain(combinations(every, 1), combinations(every, 2))


def count(plan: Plan) -> int:
    """Return how many worlds a plan has."""
    single = len(mishaps(plan))
    return single + single * (single - 1) // 2


@dataclass(frozen=True)
class Batch:
    """Some worlds of a plan: every so many-th of them from the ``number``-th on, so that the first
    batches are a sample of all."""

    plan: str
    number: int

    @property
    def key(self) -> str:
        return f"{self.plan} {self.number}"


def batches(plans: Sequence[Plan]) -> list[Batch]:
    """Return all the work, in its order: all plans side by side."""
    every = [(number / parts(plan), plan.name, number) for plan in plans for number in _of(plan)]
    return [Batch(name, number) for _share, name, number in sorted(every)]


def parts(plan: Plan) -> int:
    """Return in how many batches the worlds of a plan are."""
    return -(-count(plan) // BATCH)


def _of(plan: Plan) -> range:
    return range(parts(plan))


def worlds_of(batch: Batch) -> list[Schedule]:
    """Return the worlds of a batch."""
    plan = next(one for one in PLANS if one.name == batch.plan)
    chosen = islice(choices(plan), batch.number, None, parts(plan))
    return [with_mishaps(plan.schedule, *some) for some in chosen]


def run(batch: Batch) -> dict[str, object]:
    """Run a batch. Return what is remembered of it: how many worlds, and each broken promise with
    the world that broke it."""
    schedules = worlds_of(batch)
    broken = [found for one in schedules for found in broken_by(one)]
    return {"batch": batch.key, "worlds": len(schedules), "broken": broken}


def broken_by(schedule: Schedule) -> list[tuple[str, str]]:
    """Run one world. Return the promises that were broken, each with a line that replays it."""
    story = Story(schedule)
    names = [promise.__name__ for promise in PROMISES if not is_kept(promise, story)]
    return [(name, repr(schedule)) for name in names]


def read_back(line: str) -> Schedule:
    """Return the schedule that a line shows."""
    names = (Schedule, Nature, Deed, Job, Fault, Signal, Kind)
    schedule = eval(line, {one.__name__: one for one in names})
    assert isinstance(schedule, Schedule)
    return schedule


def replay(schedule: Schedule) -> int:
    """Run one world; print what the tool said, what was sent, and which promises were broken."""
    story = Story(schedule)
    print(*(line.rstrip() for line in story.world.lines.lines), sep="\n")
    for what, commands in (("stop", story.world.stops), ("start", story.world.starts)):
        for sent in commands:
            print(f"{what} of {sent.server.id} at {sent.at:.2f}")
    broken = [promise.__name__ for promise in PROMISES if not is_kept(promise, story)]
    print(f"exit status {story.end.status}, broken promises: {', '.join(broken) or 'none'}")
    return 1 if broken else 0


def done_so_far(file: Path) -> list[dict[str, object]]:
    """Return what was remembered; a line that was cut off is done again."""
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").split("\n")
    if lines[-1]:  # it was cut off
        lines = lines[:-1]
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return [json.loads(line) for line in lines if line]


def main(argv: Sequence[str]) -> int:
    """Go through all the worlds, or go on with them. Return 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.exhaustive", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="where to keep what was done")
    parser.add_argument("--replay", metavar="SCHEDULE", help="run one world, and show what is said")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--plan", action="append", choices=[one.name for one in PLANS])
    options = parser.parse_args(argv)
    if options.replay is not None:
        return replay(read_back(options.replay))
    if options.folder is None:
        parser.error("give a folder, or --replay")
    plans = [one for one in PLANS if not options.plan or one.name in options.plan]
    options.folder.mkdir(parents=True, exist_ok=True)
    return _go_on(options.folder / "done.jsonl", plans, options.processes, options.seconds)


def _go_on(file: Path, plans: Sequence[Plan], processes: int, seconds: float) -> int:
    records = done_so_far(file)
    known = {record["batch"] for record in records}
    every = batches(plans)
    left = [one for one in every if one.key not in known]
    began = time.monotonic()
    print(
        f"{sum(map(count, plans))} worlds in {len(every)} batches, "
        f"{len(every) - len(left)} of them done before",
        flush=True,
    )
    with Pool(processes) as pool, file.open("a", encoding="utf-8") as out:
        for ended, record in enumerate(pool.imap_unordered(run, left), 1):
            out.write(f"{json.dumps(record)}\n")
            out.flush()
            records.append(record)
            _tell(record, ended, len(left), time.monotonic() - began)
            if time.monotonic() - began >= seconds:
                print("the time is over; the same command goes on", flush=True)
                pool.terminate()
                break
    return _summary(records, {one.key for one in every})


def _tell(record: dict[str, object], ended: int, left: int, took: float) -> None:
    broken = record["broken"]
    assert isinstance(broken, list)
    for name, schedule in broken:
        print(f"BROKEN {name}: {schedule}", flush=True)
    if ended % 10 == 0 or ended == left:
        rate = ended * BATCH / took
        minutes = (left - ended) * took / ended / 60
        print(f"{ended}/{left} batches, {rate:.0f} worlds/s, {minutes:.0f} min left", flush=True)


def _summary(records: Sequence[dict[str, object]], keys: set[str]) -> int:
    ours = [record for record in records if record["batch"] in keys]
    counts: dict[str, int] = {}
    for record in ours:
        broken = record["broken"]
        assert isinstance(broken, list)
        for name, _schedule in broken:
            counts[name] = counts.get(name, 0) + 1
    total = sum(int(str(record["worlds"])) for record in ours)
    print(f"{total} worlds, {sum(counts.values())} broken promises", flush=True)
    for name, number in sorted(counts.items()):
        print(f"  {name}: {number}")
    return 1 if counts else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
