"""The proofs, as a table: what three witnesses say, and what follows."""

from dataclasses import replace

import pytest

from kafka_rolling_restart.model.broker import Jvm, Sample
from kafka_rolling_restart.model.observation import Observation, Presence
from kafka_rolling_restart.restart.evidence import (
    Before,
    Evidence,
    born_before,
    is_back,
    is_down,
    is_gone,
    is_missing,
    is_new,
    is_silent,
    runs_as_before,
)
from tests.fakes import SOUND

OLD, NEW = Jvm(1000, 60_000, 100), Jvm(2000, 5_000, 200)
BEFORE = Before(Observation(Presence.PRESENT, 10, "registered"), OLD, stopped_at=500.0)
MEMBER, MEMBER_AGAIN = BEFORE.registration, Observation(Presence.PRESENT, 11, "registered")
# a registry that cannot tell registrations apart
UNNAMED = Observation(Presence.PRESENT, None, "a member")
ABSENT, UNKNOWN, BLIND = (
    Observation(one) for one in (Presence.ABSENT, Presence.UNKNOWN, Presence.BLIND)
)
THERE = Observation(Presence.PRESENT)
SILENT = Sample(600, 600, reason="404", silent=True)
LOST = Sample(600, 600, reason="timed out")
SOURCE_DOWN = Sample(600, 600, reason="refused", silent=True, source_is_down=True)
OLD_RUNS, NEW_RUNS = Sample(600, 600, OLD, SOUND), Sample(600, 600, NEW, SOUND)
NEW_STARTS = replace(NEW_RUNS, metrics=replace(SOUND, state=1))
NEW_STOPS = replace(NEW_RUNS, metrics=replace(SOUND, state=6))
CACHED = replace(NEW_RUNS, max_age=300)


def seen(
    registry: Observation, sample: Sample, process: Observation, is_fresh: bool = True
) -> Evidence:
    return Evidence(registry, sample, process, is_fresh)


@pytest.mark.parametrize(
    ("evidence", "gone"),
    [
        (seen(ABSENT, SILENT, ABSENT), True),
        (
            seen(UNKNOWN, SILENT, ABSENT),
            True,
        ),  # the process is proven gone, and nothing contradicts it
        (seen(ABSENT, LOST, ABSENT), True),
        (seen(ABSENT, OLD_RUNS, ABSENT, is_fresh=False), True),  # a cache answers for it
        (seen(ABSENT, OLD_RUNS, ABSENT), False),  # something fresh contradicts it
        (seen(MEMBER, SILENT, ABSENT), False),
        (seen(ABSENT, SILENT, THERE), False),
        (seen(ABSENT, SILENT, UNKNOWN), False),
        (seen(ABSENT, SILENT, BLIND), True),  # a container: both others are definite
        (seen(UNKNOWN, SILENT, BLIND), False),
        (seen(ABSENT, LOST, BLIND), False),
        (seen(ABSENT, OLD_RUNS, BLIND, is_fresh=False), False),
    ],
)
def test_gone(evidence: Evidence, gone: bool) -> None:
    assert is_gone(evidence) is gone


@pytest.mark.parametrize(
    ("evidence", "back"),
    [
        (seen(MEMBER_AGAIN, NEW_RUNS, UNKNOWN), True),
        (seen(UNNAMED, NEW_RUNS, UNKNOWN), True),
        (seen(MEMBER, NEW_RUNS, UNKNOWN), False),  # the registration is that of before
        (seen(UNKNOWN, NEW_RUNS, UNKNOWN), False),
        (seen(ABSENT, NEW_RUNS, UNKNOWN), False),
        (seen(MEMBER_AGAIN, OLD_RUNS, UNKNOWN), False),
        (seen(MEMBER_AGAIN, NEW_STARTS, UNKNOWN), False),
        (seen(MEMBER_AGAIN, NEW_STOPS, UNKNOWN), False),
        (seen(MEMBER_AGAIN, NEW_RUNS, UNKNOWN, is_fresh=False), False),
        (seen(MEMBER_AGAIN, SILENT, UNKNOWN), False),
        (seen(MEMBER_AGAIN, CACHED, UNKNOWN, is_fresh=False), True),  # the person has accepted that
        (seen(MEMBER_AGAIN, replace(NEW_STARTS, max_age=300), UNKNOWN, is_fresh=False), False),
    ],
)
def test_back(evidence: Evidence, back: bool) -> None:
    assert is_back(evidence, BEFORE) is back


@pytest.mark.parametrize(
    ("evidence", "failed", "missing"),
    [
        (seen(ABSENT, SILENT, ABSENT), False, True),
        (seen(ABSENT, SILENT, BLIND), False, True),
        (seen(ABSENT, OLD_RUNS, ABSENT, is_fresh=False), False, True),
        (seen(UNKNOWN, SILENT, ABSENT), False, False),
        (seen(UNKNOWN, SILENT, ABSENT), True, True),
        (seen(UNKNOWN, NEW_STARTS, ABSENT), True, False),
        (seen(ABSENT, SILENT, THERE), True, False),
    ],
)
def test_missing(evidence: Evidence, failed: bool, missing: bool) -> None:
    assert is_missing(evidence, BEFORE, failed) is missing


def test_nobody_is_certainly_down_where_the_source_of_the_metrics_is() -> None:
    assert is_down(seen(ABSENT, SILENT, ABSENT))
    away = seen(ABSENT, SOURCE_DOWN, ABSENT)
    assert is_silent(away) and not is_down(away)


@pytest.mark.parametrize(
    ("evidence", "same"),
    [
        (seen(MEMBER, OLD_RUNS, UNKNOWN), True),
        (seen(MEMBER_AGAIN, OLD_RUNS, UNKNOWN), True),  # its session was lost, and made anew
        (seen(MEMBER, OLD_RUNS, UNKNOWN, is_fresh=False), False),
        (seen(UNKNOWN, OLD_RUNS, UNKNOWN), False),
        (seen(MEMBER, NEW_RUNS, UNKNOWN), False),
        (seen(MEMBER, replace(OLD_RUNS, metrics=replace(SOUND, state=6)), UNKNOWN), False),
    ],
)
def test_runs_as_before(evidence: Evidence, same: bool) -> None:
    assert runs_as_before(evidence, BEFORE) is same


def test_a_later_process_is_told_by_its_uptime_where_the_clock_of_its_host_went_back() -> None:
    went_back = replace(NEW_RUNS, jvm=Jvm(start_ms=5, uptime_ms=5_000))
    assert is_new(went_back, BEFORE)
    assert not is_new(replace(went_back, jvm=Jvm(start_ms=5, uptime_ms=200_000)), BEFORE)
    # an old answer makes a process younger than it is
    assert not is_new(replace(went_back, max_age=300), BEFORE)


def test_a_process_was_certainly_born_before_a_moment_or_not() -> None:
    assert born_before(NEW_RUNS, 597.0, tolerance=1.0)
    assert not born_before(NEW_RUNS, 595.5, tolerance=1.0)
    assert not born_before(SILENT, 1000.0, tolerance=1.0)
