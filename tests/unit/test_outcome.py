"""What ended a run, and what was seen of the brokers: a table of exit statuses and last lines."""

import pytest

from kafka_rolling_restart.errors import BrokerDown, Defect, Interrupted, Refused, RollingRestartError, Stopped
from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.model.ending import FinalState
from kafka_rolling_restart.roll.outcome import conclude

ONE, TWO, THREE = (Broker(number, f"n{number}", number) for number in (1, 2, 3))
SIGTERM = Interrupted(15, "SIGTERM")


@pytest.mark.parametrize(
    ("ended_by", "final", "status", "line"),
    [
        (None, FinalState(done=(ONE, TWO)), 0, "all 2 brokers of the plan were restarted, and the cluster is healthy"),
        (
            None,
            FinalState(done=(ONE,), skipped=(TWO,)),
            0,
            "all 2 brokers of the plan were restarted (1 of them by somebody else), and the cluster is healthy",
        ),
        (Refused("unhealthy. Mend it"), FinalState(untouched=(ONE,)), 3, "unhealthy. Mend it"),
        (
            Stopped("unhealthy"),
            FinalState(done=(ONE,), untouched=(TWO, THREE), left=(TWO, THREE), touched=True),
            4,
            "unhealthy. To go on with the rest: again 2,3",
        ),
        (
            Stopped("a task failed"),
            FinalState(done=(ONE, TWO), untouched=(THREE,), left=(TWO, THREE), touched=True),
            4,
            "a task failed. broker 2 (n2) will be restarted once more, because its tasks did not complete. To go on with the "
            "rest: again 2,3",
        ),
        (
            SIGTERM,
            FinalState(untouched=(ONE,), left=(ONE,), touched=True),
            143,
            "ended by SIGTERM; no broker was stopped, but tasks were run. To go on with the rest: again 1",
        ),
        (Stopped("unhealthy"), FinalState(done=(ONE,)), 4, "unhealthy. No broker is left to restart"),
        (
            SIGTERM,
            FinalState(untouched=(ONE,), left=(ONE,)),
            143,
            "ended by SIGTERM; no broker was touched. To go on with the rest: again 1",
        ),
        (
            SIGTERM,
            FinalState(done=(ONE,), untouched=(TWO,), left=(TWO,), touched=True),
            143,
            "ended by SIGTERM; every broker that was stopped is back. To go on with the rest: again 2",
        ),
        (
            SIGTERM,
            FinalState(done=(ONE, TWO), touched=True),
            143,
            "ended by SIGTERM; every broker that was stopped is back, none is left to restart, and the last wait for health was "
            "cut short",
        ),
        (
            SIGTERM,
            FinalState(in_hand=(ONE,), untouched=(TWO,)),
            5,
            "ended by SIGTERM, with broker 1 (n1) stopped and not seen back. To start broker 1 (n1), run: start n1",
        ),
        (
            BrokerDown("broker 1 is DOWN. Run: start n1"),
            FinalState(in_hand=(ONE,)),
            5,
            "broker 1 is DOWN. Run: start n1",
        ),
        (
            SIGTERM,
            FinalState(done=(ONE, TWO), gone=(TWO,)),
            5,
            "ended by SIGTERM. broker 2 (n2) was restarted and is not there any more: look at the log, then run: start n2",
        ),
        (
            Stopped("unhealthy"),
            FinalState(done=(ONE,), in_hand=(TWO,), gone=(ONE,)),
            5,
            "unhealthy, with broker 2 (n2) stopped and not seen back. broker 1 (n1) was restarted and is not there any "
            "more: look at the log, then run: start n1. To start broker 2 (n2), run: start n2",
        ),
        (
            Stopped("unhealthy"),
            FinalState(done=(ONE, TWO), unseen=(ONE, TWO)),
            5,
            "unhealthy. Neither the registry nor their metrics tell whether these are up after their restart: "
            "broker 1 (n1), broker 2 (n2). Look at them; to start one, run: start n1; start n2",
        ),
        (Defect("a defect"), FinalState(in_hand=(ONE,)), 1, "a defect"),
    ],
)
def test_the_end_of_a_run_is_a_table(
    ended_by: RollingRestartError | Interrupted | None, final: FinalState, status: int, line: str
) -> None:
    outcome = conclude(
        ended_by,
        final,
        start_line=lambda broker: f"start {broker.host}",
        resume=lambda ids: f"again {','.join(map(str, ids))}",
    )
    assert (outcome.status, outcome.line) == (status, line)
