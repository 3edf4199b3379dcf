"""What ended a run, and what was seen of the brokers: a table of exit statuses, codes and
commands."""

import pytest

from kafka_rolling_restart.errors import (
    BrokerDown,
    Defect,
    Interrupted,
    Refused,
    RollingRestartError,
    Stopped,
)
from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.model.ending import FinalState, Outcome
from kafka_rolling_restart.roll.outcome import conclude

ONE, TWO, THREE = (Broker(number, f"n{number}", number) for number in (1, 2, 3))
SIGTERM = Interrupted(15, "SIGTERM")
UNHEALTHY = Stopped("unhealthy", code="cluster-not-healthy")
DOWN = BrokerDown("broker 1 is DOWN", code="broker-down")
DEFECT = Defect("a defect", code="defect")


def concluded(ended_by: RollingRestartError | Interrupted | None, final: FinalState) -> Outcome:
    return conclude(
        ended_by,
        final,
        start_line=lambda broker: f"start {broker.host}",
        resume=lambda ids: f"again {','.join(map(str, ids))}",
    )


@pytest.mark.parametrize(
    ("ended_by", "final", "status", "code", "commands"),
    [
        (None, FinalState(done=(ONE, TWO)), 0, "done", []),
        (None, FinalState(done=(ONE,), skipped=(TWO,)), 0, "done", []),
        (None, FinalState(), 0, "nothing-to-restart", []),
        (Refused("no", code="not-confirmed"), FinalState(untouched=(ONE,)), 3, "not-confirmed", []),
        (
            UNHEALTHY,
            FinalState(done=(ONE,), untouched=(TWO, THREE), left=(TWO, THREE), touched=True),
            4,
            "cluster-not-healthy",
            ["again 2,3"],
        ),
        (
            Stopped("a task failed", code="task-failed"),
            FinalState(done=(ONE, TWO), untouched=(THREE,), left=(TWO, THREE), touched=True),
            4,
            "task-failed",
            ["again 2,3"],
        ),
        (UNHEALTHY, FinalState(done=(ONE,)), 4, "cluster-not-healthy", []),
        (
            SIGTERM,
            FinalState(untouched=(ONE,), left=(ONE,), touched=True),
            143,
            "interrupted",
            ["again 1"],
        ),
        (SIGTERM, FinalState(untouched=(ONE,), left=(ONE,)), 143, "interrupted", ["again 1"]),
        (SIGTERM, FinalState(done=(ONE, TWO), touched=True), 143, "interrupted", []),
        (
            SIGTERM,
            FinalState(in_hand=(ONE,), untouched=(TWO,), left=(ONE, TWO)),
            5,
            "broker-left-stopped",
            ["start n1"],
        ),
        (DOWN, FinalState(in_hand=(ONE,), left=(ONE,)), 5, "broker-down", ["start n1"]),
        (
            DOWN,
            FinalState(done=(TWO,), in_hand=(ONE,), gone=(TWO,)),
            5,
            "broker-down",
            ["start n1", "start n2"],
        ),
        (SIGTERM, FinalState(done=(ONE, TWO), gone=(TWO,)), 5, "broker-failed-again", ["start n2"]),
        (
            UNHEALTHY,
            FinalState(done=(ONE,), in_hand=(TWO,), gone=(ONE,)),
            5,
            "broker-left-stopped",
            ["start n2", "start n1"],
        ),
        (
            UNHEALTHY,
            FinalState(done=(ONE, TWO), gone=(ONE,), unseen=(TWO,)),
            5,
            "broker-failed-again",
            ["start n1"],
        ),
        (
            UNHEALTHY,
            FinalState(done=(ONE, TWO), unseen=(ONE, TWO)),
            5,
            "broker-state-unknown",
            ["start n1", "start n2"],
        ),
        (DEFECT, FinalState(in_hand=(ONE,)), 1, "defect", ["start n1"]),
        (DEFECT, FinalState(done=(ONE,), untouched=(TWO,), left=(TWO,)), 1, "defect", []),
    ],
)
def test_the_end_of_a_run_is_a_table(
    ended_by: RollingRestartError | Interrupted | None,
    final: FinalState,
    status: int,
    code: str,
    commands: list[str],
) -> None:
    outcome = concluded(ended_by, final)
    assert (outcome.status, outcome.code, list(outcome.commands)) == (status, code, commands)
    assert outcome.lost == (*final.gone, *final.unseen)


def test_the_sentence_names_every_broker_that_may_be_down_and_has_no_command_in_it() -> None:
    for final in (
        FinalState(in_hand=(ONE,), gone=(TWO, THREE)),
        FinalState(gone=(ONE, TWO, THREE)),
        FinalState(unseen=(ONE, TWO, THREE)),
    ):
        line = concluded(SIGTERM, final).line
        assert all(str(broker) in line for broker in (ONE, TWO, THREE))
        assert "start n" not in line and "again" not in line.replace("down again", "")


def test_the_sentence_tells_which_brokers_will_be_restarted_once_more_and_what_a_signal_left() -> (
    None
):
    final = FinalState(done=(ONE, TWO), untouched=(THREE,), left=(TWO, THREE), touched=True)
    assert "broker 2 (n2) will be restarted once more" in concluded(UNHEALTHY, final).line
    untouched = FinalState(untouched=(ONE,), left=(ONE,))
    assert "no broker was touched" in concluded(SIGTERM, untouched).line
    tasks_only = FinalState(untouched=(ONE,), left=(ONE,), touched=True)
    assert "no broker was stopped, but tasks were run" in concluded(SIGTERM, tasks_only).line
    back = FinalState(done=(ONE,), untouched=(TWO,), left=(TWO,), touched=True)
    assert "every broker that was stopped is back" in concluded(SIGTERM, back).line
    assert (
        "1 of them by somebody else"
        in concluded(None, FinalState(done=(ONE,), skipped=(TWO,))).line
    )
