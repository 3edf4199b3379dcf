"""The fault matrix: how a run is to end for every fault at every step of the runbook, as written
down beforehand.

`TABLE` is for a cluster with ZooKeeper, `KRAFT_TABLE` for one of KRaft with three dedicated
controllers. A word of a table is `status:restarted:down`: the exit status (negative: killed by
that signal), the brokers that came back as new processes, in their order, and the brokers that are
down at the end; what is left out is none. `|` stands between endings that are all right, because
the fault races with the run. A letter is a combination that makes no sense, for the reason in
`NO_SENSE`.

The run restarts brokers 1 and 2; only broker 1 where it is to go on to the end, and at the last
wait. The broker in hand is 1, and 2 in the wait before the second. The other broker is 3, which is
never in the plan; nor is a controller. Only brokers are counted as down.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Step(Enum):
    """Where in the runbook the fault strikes; the value is the column of the table."""

    PREFLIGHT = "preflight"  # the host is being asked what we may run there
    FIRST_WAIT = "first-wait"
    PRE_STOP = "pre-stop"  # a task runs
    STOP = "stop"  # the stop command was called; it has not begun to do anything
    POST_STOP = "post-stop"  # a task runs, the broker is down
    START = "start"  # the start command was called; it has not begun to do anything
    BETWEEN = "between"  # the wait before the second broker; the first one serves again
    LAST_WAIT = "last-wait"


TABLE = """
                 preflight first-wait pre-stop  stop   post-stop start  between last-wait
sigint           130       130        130       130:1  130:1     130:1  130:1   130:1
sigterm          143       143        143       143:1  143:1     143:1  143:1   143:1
sighup           129       129        129       129:1  129:1     129:1  129:1   129:1
second-signal    130       130        130       5::1   5::1      5:1    130:1   130:1
sigkill          -9        -9         -9        -9::1  -9::1     -9:1   -9:1    -9:1

start-fails      5::1      5::1       5::1      5::1   5::1      5::1   5:1:2   a
start-hangs      0:1       0:1        0:1       0:1    0:1       0:1    0:1,2   a
stop-hangs       5:1       5:1        5:1       5:1    b         b      5:1,2   b
stop-fails       4         4          4         4      b         b      4:1     b
jvm-exits        0:1       0:1        0:1       0:1    0:1       0:1    5:1:1   5:1:1

other-killed     3::3      3::3       4::3      4:1:3  4:1:3     4:1:3  4:1:3   4:1:3
other-frozen     3::3      3::3       4::3      4:1:3  4:1:3     4:1:3  4:1:3   4:1:3
metrics-hang     3         3          4         4:1    4:1       4:1    4:1     4:1
metrics-stale    3         3          4         4:1    4:1       4:1    4:1     4:1
metrics-garbage  3         3          4         4:1    4:1       4:1    4:1     4:1

zookeeper-10s    0:1|3     0:1        0:1       0:1    0:1       0:1    0:1,2   0:1
zookeeper-gone   3         3          4         5      5::1      5::1   4:1     4:1

ssh-refused      3         4          4         5::1   5::1      0:1    4:1     0:1
ssh-hangs        3         4          4         5::1   5::1      0:1    4:1     0:1
ssh-cut          3         c          c         0:1    c         0:1    c       c

stdout-closed    0:1       0:1        0:1       0:1    0:1       0:1    0:1,2   0:1
disk-full        0:1       0:1        0:1       0:1    0:1       0:1    0:1,2   0:1
"""

# As above where nothing is said. Without metrics a new process is proven by its host alone, so SSH
# that is lost while the broker starts leaves it up, and its return not proven. A voter that dies is
# missed only 3 s later, as the controllers themselves are not asked: a broker may be stopped
# meanwhile, as the other two are a majority (seen; the first table said 3 and 4).
KRAFT_TABLE = """
                  preflight first-wait pre-stop  stop   post-stop start  between last-wait
sigint            130       130        130       130:1  130:1     130:1  130:1   130:1
second-signal     130       130        130       5::1   5::1      5:1    130:1   130:1
sigkill           -9        -9         -9        -9::1  -9::1     -9:1   -9:1    -9:1

start-fails       5::1      5::1       5::1      5::1   5::1      5::1   5:1:2   a
start-hangs       0:1       0:1        0:1       0:1    0:1       0:1    0:1,2   a
stop-hangs        5:1       5:1        5:1       5:1    b         b      5:1,2   b
stop-fails        4         4          4         4      b         b      4:1     b
jvm-exits         0:1       0:1        0:1       0:1    0:1       0:1    5:1:1   5:1:1

other-killed      3::3      3::3       4::3      4:1:3  4:1:3     4:1:3  4:1:3   4:1:3
other-frozen      3::3      3::3       4::3      4:1:3  4:1:3     4:1:3  4:1:3   4:1:3
other-fenced      0:1|3     0:1        0:1       0:1    0:1       0:1    0:1,2   0:1

quorum-10s        0:1|3     0:1        0:1       0:1    0:1       0:1    0:1,2   0:1
quorum-gone       3         3          4         5::1   5::1      5::1   4:1     4:1
controller-killed 3|4:1     3          4|4:1     4:1    4:1       4:1    4:1     4:1
leader-killed     3         3          4         4:1    4:1       4:1    4:1     4:1

ssh-refused       3         4          4         5::1   5::1      5:1    4:1     0:1
ssh-hangs         3         4          4         5::1   5::1      5:1    4:1     0:1
ssh-cut           3         c          c         0:1    c         0:1    c       c
"""

NO_SENSE = {
    "a": "the last start command has ended",
    "b": "the stop command of the broker in hand has ended",
    "c": "no command runs over SSH at this step, so there is nothing to cut",
}

# The most telling cells, for every commit: they take less than 4 minutes together.
QUICK = """
sigint-pre-stop sigterm-stop sighup-post-stop second-signal-post-stop sigkill-stop
stop-fails-stop other-killed-pre-stop other-killed-stop metrics-stale-between
zookeeper-10s-start ssh-refused-first-wait ssh-cut-stop stdout-closed-stop disk-full-stop
start-hangs-start jvm-exits-start
"""

KRAFT_QUICK = """
sigint-stop sigkill-post-stop jvm-exits-start other-killed-pre-stop quorum-10s-post-stop
quorum-gone-between controller-killed-stop leader-killed-stop ssh-cut-start
"""


@dataclass(frozen=True)
class Outcome:
    """How a run may end: its status, who came back in another process, in order, and who is down
    afterwards."""

    status: int
    restarted: tuple[int, ...] = ()
    down: tuple[int, ...] = ()


@dataclass(frozen=True)
class Cell:
    """A fault at a step, and the endings that are right."""

    step: Step
    fault: str
    outcomes: tuple[Outcome, ...]

    @property
    def name(self) -> str:
        """The name of this cell's test."""
        return f"{self.fault}-{self.step.value}"

    @property
    def plan(self) -> tuple[int, ...]:
        """The brokers that the run is told to restart: the second only where it is to be seen left
        alone, or needed."""
        whole = [outcome.restarted for outcome in self.outcomes if outcome.status == 0]
        if whole:
            return whole[0]
        return (1,) if self.step is Step.LAST_WAIT else (1, 2)

    @property
    def in_hand(self) -> int:
        """The broker whose commands run at this step, or run next."""
        return 2 if self.step is Step.BETWEEN else 1


def cells(table: str = TABLE) -> list[Cell]:
    """List the cells that make sense, by step."""
    found = [
        Cell(step, fault, _outcomes(word))
        for step, fault, word in words(table)
        if word not in NO_SENSE
    ]
    return sorted(found, key=lambda cell: list(Step).index(cell.step))


def without_sense(table: str = TABLE) -> list[tuple[Step, str, str]]:
    """List the combinations that make no sense, with the reason."""
    return [(step, fault, NO_SENSE[word]) for step, fault, word in words(table) if word in NO_SENSE]


def words(table: str = TABLE) -> list[tuple[Step, str, str]]:
    """List what the table says of every step and fault."""
    head, *rows = [line.split() for line in table.splitlines() if line.strip()]
    steps = [Step(name) for name in head]
    return [(step, row[0], word) for row in rows for step, word in zip(steps, row[1:], strict=True)]


def _outcomes(word: str) -> tuple[Outcome, ...]:
    return tuple(_outcome(ending) for ending in word.split("|"))


def _outcome(ending: str) -> Outcome:
    status, restarted, down = (ending.split(":") + ["", ""])[:3]
    return Outcome(int(status), _ids(restarted), _ids(down))


def _ids(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part)
