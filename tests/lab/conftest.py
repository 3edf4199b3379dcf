"""Fixtures: one lab for the whole test session, as good as new for each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .lab import Lab
from .matrix import KRAFT_TABLE, TABLE, cells, without_sense
from .needs import missing
from .slot import KraftKind, Slot

if TYPE_CHECKING:
    from .kraft import KraftLab

HERE = Path(__file__).parent
REQUIRE = "REQUIRE_LAB"
BROKERS = 3
TABLES = (
    ("fault matrix", TABLE, "test_a_fault_at_a_step_ends_as_written"),
    (
        "fault matrix of KRaft",
        KRAFT_TABLE,
        "test_a_fault_at_a_step_of_a_kraft_roll_ends_as_written",
    ),
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known, and keep quiet about kafka-python's own use of importlib."""
    config.addinivalue_line("markers", "lab: needs the real ZooKeeper, Kafka and sshd of tests/lab")
    for module in ("kafka", "importlib.resources"):
        config.addinivalue_line("filterwarnings", f"ignore::DeprecationWarning:{module}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.lab)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the cells of the fault matrices that were run, and those that cannot be."""
    for name, table, cell in TABLES:
        passed, failed = (
            _count_cells(terminalreporter, outcome, cell) for outcome in ("passed", "failed")
        )
        if passed or failed:
            left = len(cells(table)) - passed - failed
            terminalreporter.write_line(
                f"{name}: {passed} cells passed, {failed} failed, {left} were not run, "
                f"{len(without_sense(table))} make no sense"
            )


def _count_cells(reporter: pytest.TerminalReporter, outcome: str, cell: str) -> int:
    reports = reporter.stats.get(outcome, [])
    return sum(cell in report.nodeid and (report.when == "call") for report in reports)


@pytest.fixture(scope="session")
def lab_needs() -> None:
    """Skip, or with REQUIRE_LAB=1 fail, where the machine lacks what the lab needs."""
    problem = missing()
    if problem and os.environ.get(REQUIRE) == "1":
        pytest.fail(problem)
    if problem:
        pytest.skip(problem)


@pytest.fixture(scope="session")
def slot(lab_needs: None) -> Iterator[Slot]:
    """Hold the one lab that there is at a time."""
    slot = Slot()
    yield slot
    slot.end()


@pytest.fixture(scope="session")
def lab_session(request: pytest.FixtureRequest, slot: Slot) -> Callable[[], Lab]:
    """Tell how to get the lab with ZooKeeper; its parameter, if any, is the number of ZooKeeper
    servers."""
    zookeepers = getattr(request, "param", 1)
    return partial(slot.hold, zookeepers, partial(Lab, BROKERS, zookeepers))


@pytest.fixture
def lab(lab_session: Callable[[], Lab]) -> Lab:
    """Hand out the lab of the session, reset."""
    return lab_session()


@pytest.fixture(scope="session")
def kraft_session(request: pytest.FixtureRequest, slot: Slot) -> Callable[[], KraftLab]:
    """Tell how to get the lab of a KRaft cluster; its parameter, if any, is its `KraftKind`."""
    # not above: what kafka-python warns of at its import is ignored only from pytest_configure on
    from .kraft import KraftLab

    kind: KraftKind = getattr(request, "param", KraftKind())
    make = partial(
        KraftLab, BROKERS, combined=kind.combined, version=kind.version, secure=kind.secure
    )
    return partial(slot.hold, kind, make)


@pytest.fixture
def kraft_lab(kraft_session: Callable[[], KraftLab]) -> KraftLab:
    """Hand out the lab of a KRaft cluster, reset."""
    return kraft_session()
