"""Whole rolls of whole systems.

Measured with other work on the same two cores: 42 to 45 s for three nodes, 74 s for three brokers
and three controllers. A node is down for 6 to 13 s: one that comes back within its session of 9 s
has to wait for the end of that.
"""

from __future__ import annotations

import pytest

from .fleet import QUICK_CHECKS, RUN_TIMEOUT, Fleet

COMMANDS = {
    "service": ("service {} stop", "service {} start"),
    "systemctl": ("systemctl stop {}", "systemctl start {}"),
}


def commands(way: str, unit: str = "kafka") -> tuple[str, ...]:
    """Return the options with the commands of a unit."""
    stop, start = (command.format(unit) for command in COMMANDS[way])
    return ("--stop-command", stop, "--start-command", start)


@pytest.mark.parametrize("way", list(COMMANDS))
def test_every_node_is_restarted_exactly_once_and_no_two_are_down(fleet: Fleet, way: str) -> None:
    before = {node.id: set(node.invocations()) for node in fleet.brokers}
    with fleet.witness() as witness:
        finished = fleet.roll(*commands(way))
    assert finished.status == 0, finished.stdout + finished.stderr
    assert witness.most_down() == 1
    for node in fleet.brokers:
        assert len(set(node.invocations()) - before[node.id]) == 1
        assert node.show("NRestarts") == "0"


def test_a_broker_and_a_controller_on_one_host_are_two_units(
    fleet_with_controllers: Fleet,
) -> None:
    fleet = fleet_with_controllers
    before = {node.id: set(node.invocations()) for node in fleet.nodes.values()}
    stop, start = (command.format("kafka-controller") for command in COMMANDS["systemctl"])
    with fleet.witness() as witness:
        finished = fleet.roll(
            *commands("systemctl"),
            "--roles",
            "all",
            "--controller-stop-command",
            stop,
            "--controller-start-command",
            start,
        )
    assert finished.status == 0, finished.stdout + finished.stderr
    assert witness.most_down() == 1
    for node in fleet.nodes.values():
        assert len(set(node.invocations()) - before[node.id]) == 1


def test_a_cluster_on_zookeeper_is_rolled_without_metrics(fleet_on_zookeeper: Fleet) -> None:
    fleet = fleet_on_zookeeper
    before = {node.id: set(node.invocations()) for node in fleet.brokers}
    with fleet.witness() as witness:
        running = fleet.launch("--zookeeper", fleet.zookeeper, "--metrics", "none", *QUICK_CHECKS)
        finished = running.finish(RUN_TIMEOUT)
    assert finished.status == 0, finished.stdout + finished.stderr
    assert witness.most_down() == 1
    for node in fleet.brokers:
        assert len(set(node.invocations()) - before[node.id]) == 1
