"""What goes wrong on hosts with systemd, and what is said of it.

Seen on the way: systemd sends SIGCONT right after SIGTERM, so a JVM that was frozen before its stop
goes on; what is frozen here is frozen in the middle of it. NRestarts begins at 0 again when a unit
is started by a command.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..lab.command import Finished, Running
from .fleet import QUICK_CHECKS, Fleet, Node, wait_until_shown

LIMIT_S = 40
LIMIT = ("--unhealthy-time-limit", str(LIMIT_S))
SOON = 120.0  # s for something to be printed
END = 300.0  # s for a run to end
SLOW_S = 40  # s for a login


def told(finished: Finished) -> str:
    """Return all that a run said."""
    return finished.stdout + finished.stderr


def launch(fleet: Fleet, *arguments: str) -> Running:
    """Launch a roll with quick checks, to interfere with it."""
    return fleet.launch("--bootstrap-server", fleet.bootstrap, *QUICK_CHECKS, *arguments)


def set_in_unit(node: Node, *settings: str) -> None:
    """Put settings over those of a unit, as `systemctl edit` does."""
    lines: dict[str, list[str]] = {"[Unit]": [], "[Service]": []}
    for setting in settings:
        section = "[Unit]" if setting.startswith("StartLimit") else "[Service]"
        lines[section].append(setting)
    text = "\n".join(line for section, ones in lines.items() for line in [section, *ones])
    node.system.write(f"etc/systemd/system/{node.unit}.service.d/override.conf", f"{text}\n")
    node.system.run("systemctl daemon-reload")


def break_properties(node: Node) -> None:
    """Let Kafka end at its next start, as a typing error does."""
    file = node.system.root / node.properties.lstrip("/")
    file.write_text(f"{file.read_text()}num.network.threads=many\n")


@contextmanager
def changed(file: Path, change: Callable[[str], str]) -> Iterator[None]:
    """Change a file of a host for the block."""
    text = file.read_text()
    file.write_text(change(text))
    try:
        yield
    finally:
        file.write_text(text)


def roll_a_broken(fleet: Fleet, node: Node) -> Finished:
    """Roll a broker whose properties are broken; the run has to end with a broker that is down, and
    with what starts it."""
    break_properties(node)
    finished = fleet.roll("--broker-ids", str(node.id), *LIMIT)
    assert finished.status == 5, told(finished)
    assert finished.commands[-1] == "ssh 192.0.2.12 'sudo -n service kafka start'"
    return finished


def test_a_crash_loop_is_told_as_one(fleet: Fleet) -> None:
    """Its start command ends with status 0, and every few seconds there is a new process."""
    node = fleet.nodes[2]
    set_in_unit(node, "Restart=on-failure", "RestartSec=3")
    finished = roll_a_broken(fleet, node)
    assert int(node.show("NRestarts")) > 1
    assert finished.code == "crash-loop", told(finished)
    assert "broker 2 (192.0.2.12) is not back" in finished.last_sentence
    assert "systemd started it again" in finished.last_sentence
    assert told(finished).count("[restarted-by-systemd]") == 1


def test_a_crash_loop_that_systemd_gave_up_is_down(fleet: Fleet) -> None:
    """A start is refused then, until the interval is over or the unit is reset. `Result=` does not
    tell that: it stays `exit-code`."""
    node = fleet.nodes[2]
    limits = ("StartLimitBurst=2", "StartLimitIntervalSec=600")
    set_in_unit(node, "Restart=on-failure", "RestartSec=1", *limits)
    finished = roll_a_broken(fleet, node)
    assert node.show("ActiveState") == "failed"
    assert finished.code == "systemd-gave-up", told(finished)
    assert "systemctl reset-failed" in finished.last_sentence
    assert "[start-failed]" in told(finished)


def test_a_broker_that_ends_at_its_start_is_down(fleet: Fleet) -> None:
    """Without Restart= the unit is `failed`, though the start command ended with status 0."""
    finished = roll_a_broken(fleet, fleet.nodes[2])
    assert finished.code == "broker-down", told(finished)
    assert "broker 2 (192.0.2.12) is DOWN" in finished.last_sentence
    assert "its unit kafka.service (failed/failed) runs nothing" in finished.last_sentence


def test_a_broker_that_others_kill_between_two_restarts_is_noticed(fleet: Fleet) -> None:
    """systemd starts it again (Restart=always) 0.1 s later; until it serves, no broker is
    stopped."""
    other = fleet.nodes[3]
    with fleet.witness() as witness:
        running = launch(fleet, "--broker-ids", "1,2", "--check-count", "15")
        running.wait_for("is back, ", SOON)
        other.signal(signal.SIGKILL)
        finished = running.finish(END)
    assert finished.status == 0, told(finished)
    assert other.show("NRestarts") == "1"
    assert "node 3 does not serve" in told(finished)
    assert witness.most_down() == 1


def test_kills_of_the_broker_in_hand_are_told(fleet: Fleet) -> None:
    """Once in the middle of its stop, and once when it was just started, so that systemd starts it
    again."""
    node = fleet.nodes[3]
    running = launch(fleet, "--broker-ids", "3")
    running.wait_for("stopping it", SOON)
    wait_until_shown(node, "SubState", "stop-sigterm", SOON)
    node.signal(signal.SIGKILL)
    running.wait_for("starting it", SOON)
    wait_until_shown(node, "SubState", "running", SOON)
    node.signal(signal.SIGKILL)
    finished = running.finish(END)
    assert finished.status == 0, told(finished)
    assert node.show("NRestarts") == "1"
    assert "did not stop cleanly: a signal killed it" in told(finished)
    assert "[restarted-by-systemd]" in told(finished)


def test_a_stop_that_systemd_cuts_off_is_told_and_the_roll_goes_on(fleet: Fleet) -> None:
    """The JVM hangs in its shutdown; systemd kills it after TimeoutStopSec. It stays registered
    until its session is over, 9 s later: the start waits for that."""
    node, before = fleet.nodes[2], fleet.nodes[2].invocation
    set_in_unit(node, "TimeoutStopSec=5")
    running = launch(fleet, "--broker-ids", "2,1")
    running.wait_for("broker 2 (192.0.2.12): stopping it", SOON)
    wait_until_shown(node, "SubState", "stop-sigterm", SOON)
    node.signal(signal.SIGSTOP)
    finished = running.finish(END)
    assert finished.status == 0, told(finished)
    assert node.invocation != before
    assert "systemd kills kafka.service 5 s after it was told to stop" in told(finished)
    assert "did not stop cleanly: systemd killed it" in told(finished)


def test_a_slow_login_delays_a_roll_and_does_not_end_it(fleet: Fleet) -> None:
    """PAM's session modules run when the login has succeeded already, before the first answer."""
    pam = fleet.systems[3].root / "etc/pam.d/sshd"
    with changed(pam, lambda text: f"{text}session optional pam_exec.so /bin/sleep {SLOW_S}\n"):
        finished = fleet.roll()
    assert finished.status == 0, told(finished)
    assert finished.seconds > SLOW_S


def test_a_host_that_hides_processes_is_rolled_by_the_word_of_systemd(fleet: Fleet) -> None:
    system, nodes = fleet.systems[1], fleet.brokers
    before = {node.id: node.invocation for node in nodes}
    system.run("mount -o remount,hidepid=2 /proc")
    try:
        assert system.run("runuser -u ops -- cat /proc/1/comm", check=False) == ""
        finished = fleet.roll()
    finally:
        system.run("mount -o remount,hidepid=0 /proc")
    assert finished.status == 0, told(finished)
    assert all(node.invocation != before[node.id] for node in nodes)


def test_a_broker_that_was_started_by_hand_is_refused(fleet: Fleet) -> None:
    """The stop command would do nothing: its unit runs nothing."""
    node = fleet.nodes[2]
    node.system.run(f"systemctl stop {node.unit}")
    by_hand = f"/opt/kafka/bin/kafka-server-start.sh {node.properties} >/dev/null 2>&1"
    node.system.run(f"setsid runuser -u kafka -- {by_hand} </dev/null &")
    try:
        fleet.wait_healthy()
        finished = fleet.roll("--dry-run")
    finally:
        node.system.run("pkill -KILL -u kafka java")
    assert finished.status == 3
    assert "outside it looks like Kafka" in told(finished)


@pytest.mark.parametrize("way", ["restart", "try-restart"])
def test_a_restart_by_others_in_the_middle_of_the_stop_is_seen(fleet: Fleet, way: str) -> None:
    """Somebody types `systemctl restart` at the same moment, which cancels the stop command, and
    starts it; `try-restart` finds it stopping and does nothing. It is started once."""
    node, before = fleet.nodes[2], len(fleet.nodes[2].invocations())
    running = launch(fleet, "--broker-ids", "2,1")
    running.wait_for("broker 2 (192.0.2.12): stopping it", SOON)
    wait_until_shown(node, "SubState", "stop-sigterm", SOON)
    node.system.run(f"systemctl {way} {node.unit}")
    finished = running.finish(END)
    assert finished.status == 0, told(finished)
    assert ("[started-by-others]" in told(finished)) == (way == "restart")
    assert len(node.invocations()) == before + 1
    assert node.show("ActiveState") == "active"
