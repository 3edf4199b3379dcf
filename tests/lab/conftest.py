"""Fixtures: one lab for the whole test session, as good as new for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .lab import Lab
from .matrix import cells, without_sense
from .needs import missing

HERE = Path(__file__).parent
REQUIRE = "REQUIRE_LAB"
BROKERS = 3
CELL = "test_a_fault_at_a_step_ends_as_written"


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
    """Count the cells of the fault matrix that were run, and those that cannot be."""
    passed, failed = (_count_cells(terminalreporter, outcome) for outcome in ("passed", "failed"))
    if passed or failed:
        terminalreporter.write_line(
            f"fault matrix: {passed} cells passed, {failed} failed, "
            f"{len(cells()) - passed - failed} were not run, {len(without_sense())} make no sense"
        )


def _count_cells(reporter: pytest.TerminalReporter, outcome: str) -> int:
    reports = reporter.stats.get(outcome, [])
    return sum(CELL in report.nodeid and (report.when == "call") for report in reports)


@pytest.fixture(scope="session")
def lab_needs() -> None:
    """Skip, or with REQUIRE_LAB=1 fail, where the machine lacks what the lab needs."""
    problem = missing()
    if problem and os.environ.get(REQUIRE) == "1":
        pytest.fail(problem)
    if problem:
        pytest.skip(problem)


@pytest.fixture(scope="session")
def lab_session(request: pytest.FixtureRequest, lab_needs: None) -> Iterator[Lab]:
    """Boot the lab of the session; its parameter, if any, is the number of ZooKeeper servers.

    Another number of them ends the lab that there was: there is one at a time.
    """
    with Lab(brokers=BROKERS, zookeepers=getattr(request, "param", 1)) as lab:
        yield lab


@pytest.fixture
def lab(lab_session: Lab) -> Lab:
    """Hand out the lab of the session, reset."""
    lab_session.reset()
    return lab_session
