"""The lock of a KRaft cluster under real threads: of runs that begin together, one holds it."""

import os
import random
import threading
import time

import pytest

from kafka_rolling_restart.errors import LockHeld
from kafka_rolling_restart.registry.group_lock import GroupLock
from tests.fake_groups import Cluster

ROUNDS = int(os.environ.get("KRR_EXAMPLES", "200"))
PATIENCE_S = 60.0  # of a test, in real s


class Taker:
    """A run that takes the lock on a thread of its own, and how that ended."""

    def __init__(self, lock: GroupLock, later: float) -> None:
        self.lock = lock
        self.held = False
        self.refused: LockHeld | None = None
        self.thread = threading.Thread(target=self._run, args=(later,))

    def _run(self, later: float) -> None:
        time.sleep(later)
        try:
            self.lock.take()
            self.held = True
        except LockHeld as error:
            self.refused = error


@pytest.mark.parametrize(("takers", "rounds"), [(2, ROUNDS), (5, ROUNDS // 3)])
def test_of_runs_that_begin_at_the_same_time_exactly_one_holds_the_lock(
    takers: int, rounds: int
) -> None:
    dice = random.Random(16)
    for _ in range(rounds):
        cluster = Cluster(delay=lambda: time.sleep(dice.choice((0, 0, 0.0005, 0.002))))
        runs = [
            Taker(
                cluster.lock(f"user{one}", f"2026-01-01T10:00:0{dice.randrange(3)}+00:00"),
                dice.choice((0, 0, 0.001, 0.004)),
            )
            for one in range(takers)
        ]
        for run in runs:
            run.thread.start()
        for run in runs:
            run.thread.join(PATIENCE_S)
        held = [run for run in runs if run.held]
        refused = [str(run.refused) for run in runs if run.refused]
        assert (len(held), len(refused)) == (1, takers - 1)
        assert held[0].lock.ensure_held() is False
        assert len(cluster.groups.members) == 1
        # on a machine that is very busy, the group may be seen to form for all of our time
        assert all(" on h" in text or "does not settle" in text for text in refused)
        cluster.close()
