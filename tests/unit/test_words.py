"""What is said of a broker that systemd did something to by itself."""

from dataclasses import dataclass, replace

import pytest

from kafka_rolling_restart.clock import SystemClock
from kafka_rolling_restart.model.broker import Broker, CommandResult, Jvm, Metrics, Sample
from kafka_rolling_restart.model.observation import Observation, Presence
from kafka_rolling_restart.restart import words
from kafka_rolling_restart.restart.command import Command
from kafka_rolling_restart.restart.evidence import Before, Evidence

OLD, NEW = Jvm(1000, 60_000, 100, ("boot", 100)), Jvm(2000, 5_000, 200, ("boot", 200))
FENCED = Observation(Presence.ABSENT, words="fenced by the controller")
GONE = Observation(Presence.ABSENT, words="its old process is gone")
BEFORE = Before(Observation(Presence.PRESENT), OLD, stopped_at=500.0)
STARTS = Sample(600, 600, NEW, reason="Connection refused", tells_process=False)
NOBODY = replace(STARTS, jvm=None, silent=True)


@dataclass(frozen=True)
class Ended:
    """A start command that ended with status 0."""

    ended = True

    def result(self) -> CommandResult:
        return CommandResult("start", 0, "", 0.1)

    def still_runs(self) -> bool:
        return False


def said(evidence: Evidence) -> tuple[str, str]:
    """Return the sentence and the code of a broker that was given up."""
    command = Command(Ended(), 510.0, SystemClock())
    command.hear(511.0)
    now = words.Situation(Broker(2, "n2"), BEFORE, evidence, 100.0)
    text = words.did_not_come(now, command, 1, None, stop_may_act=False)
    return text, words.code_of_down(now, stop_may_act=False)


@pytest.mark.parametrize("sample", [STARTS, NOBODY])
def test_a_crash_loop_is_told_whether_its_process_is_seen_at_that_moment_or_not(
    sample: Sample,
) -> None:
    text, code = said(Evidence(FENCED, sample, GONE, True, restarts=12))
    assert code == "crash-loop"
    assert "broker 2 (n2) is not back 100 s" in text
    assert text.count("systemd started it again 12 times so far") == 1


def test_one_restart_by_systemd_is_no_crash_loop() -> None:
    text, code = said(Evidence(FENCED, STARTS, GONE, True, restarts=1))
    assert code == "broker-still-starting"
    assert "systemd started it again 1 time so far" in text


def test_a_broker_that_serves_is_in_no_crash_loop() -> None:
    serves = replace(STARTS, metrics=Metrics(3))
    assert not words.is_crash_loop(Evidence(FENCED, serves, GONE, True, restarts=12))


def test_a_unit_that_systemd_gave_up_has_to_be_reset_first() -> None:
    text, code = said(Evidence(FENCED, NOBODY, GONE, True, restarts=2, gave_up=True))
    assert code == "systemd-gave-up"
    assert "is DOWN" in text and "`systemctl reset-failed`" in text
