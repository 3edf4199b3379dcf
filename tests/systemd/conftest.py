"""Fixtures: the systems boot once for the session; each test gets a healthy cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from .fleet import Fleet
from .needs import missing

REQUIRE = "REQUIRE_LAB"


@pytest.fixture(scope="session")
def systemd_needs() -> None:
    """Skip, or with REQUIRE_LAB=1 fail, where this machine cannot boot systems."""
    problem = missing()
    if problem and os.environ.get(REQUIRE) == "1":
        pytest.fail(problem)
    if problem:
        pytest.skip(problem)


@pytest.fixture(scope="session")
def systems(systemd_needs: None) -> Iterator[Fleet]:
    """Boot the systems."""
    with Fleet() as fleet:
        yield fleet


@pytest.fixture
def fleet(systems: Fleet) -> Iterator[Fleet]:
    """Hand out a healthy cluster of three nodes, each of them broker and controller."""
    systems.combined()
    yield systems
    systems.mend()


@pytest.fixture
def fleet_with_controllers(systems: Fleet) -> Iterator[Fleet]:
    """Hand out a healthy cluster with a broker and a controller on each host."""
    systems.with_controllers()
    yield systems
    systems.mend()


@pytest.fixture
def fleet_on_zookeeper(systems: Fleet) -> Iterator[Fleet]:
    """Hand out a healthy cluster of Kafka 3.9 on ZooKeeper."""
    systems.on_zookeeper()
    yield systems
    systems.mend()
