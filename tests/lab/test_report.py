"""The file of --report on the real cluster: whoever reads it at any moment, or after kill -9, finds
the truth."""

from __future__ import annotations

import resource
import shlex
import signal
import subprocess
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.schema import valid

from .command import Finished, type_elsewhere
from .daemon import wait_for
from .host_scripts.process import wait_until
from .lab import LOCK, Lab
from .lines import parsed
from .needs import program

QUICK = ("--cluster-type", "lab", "--no-confirm", "--check-interval", "0.3", "--check-count", "2")
ASKING = tuple(word for word in QUICK if word != "--no-confirm")
STOP, START = "service kafka stop", "service kafka start"
MOMENT_TIMEOUT = 60.0  # s
TASK = """
    import time
    from kafka_rolling_restart.task import PostStartTask, PostStopTask, PreStopTask

    class Before(PreStopTask):
        def run(self, host):
            with open("done", "a") as file:
                file.write(f"{type(self).__name__} {host}\\n")
            time.sleep(0.1)  # for as long the file says so

    class Between(PostStopTask):
        run = Before.run

    class After(PostStartTask):
        run = Before.run
"""
ADVANCE = ["untouched", "in hand", "restarted"]
STEPS = ["pre-stop tasks", "stopping", "post-stop tasks", "starting", "post-start tasks"]


@contextmanager
def reading(path: Path) -> Iterator[list[str]]:
    """Read a file every few ms during the block; yield the list of what was found, each version
    once."""
    found: list[str] = []
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.002):
            text = path.read_text() if path.exists() else None
            if text is not None and found[-1:] != [text]:
                found.append(text)

    reader = threading.Thread(target=work)
    reader.start()
    try:
        yield found
    finally:
        over.set()
        reader.join()


def in_order(values: list[str]) -> list[str]:
    """Leave out what is said again."""
    return [value for at, value in enumerate(values) if values[at - 1 : at] != [value]]


def ids(broker_list: list[dict[str, Any]], *states: str) -> list[int]:
    return [broker["id"] for broker in broker_list if broker.get("state") in states or not states]


def chosen_by(command: str) -> list[int]:
    words = shlex.split(command)
    return [int(word) for word in words[words.index("--broker-ids") + 1].split(",")]


def ended(path: Path, finished: Finished) -> dict[str, Any]:
    """Return what a file says of a run that has ended, after a look at what it says of each."""
    found = valid(path.read_text())
    assert finished.status == found["status"], finished.stdout + finished.stderr
    assert finished.last_sentence.endswith(found["outcome"]) and found["outcome"]
    assert (found["code"], found["commands"]) == (finished.code, list(finished.commands)) and found[
        "code"
    ]
    assert found["ended"] is not None and found["step"]["name"] == "ended"
    return found


def service_calls(lab: Lab) -> list[str]:
    return [call for host in lab.hosts for call in host.calls() if call.split()[1] == "service"]


def test_every_version_of_the_file_is_whole_and_true_during_a_roll_with_tasks(
    lab: Lab, tmp_path: Path
) -> None:
    path = tmp_path / "r.json"
    (tmp_path / "threetasks.py").write_text(textwrap.dedent(TASK))
    with reading(path) as texts:
        finished = lab.run(
            *QUICK, "-v", "--task", "threetasks", "--report", "r.json", timeout=150, cwd=tmp_path
        )
    versions = [valid(text) for text in texts]
    assert finished.status == 0, finished.stdout + finished.stderr
    assert lab.observer.restarted() == [1, 2, 3] and lab.observer.most_down() == 1
    assert len(versions) > 30
    for at, host in enumerate(lab.hosts):
        told = [version["brokers"][at]["state"] for version in versions if version["brokers"]]
        assert in_order(told) == ADVANCE
        steps = in_order(
            [one["step"]["name"] for one in versions if one["step"]["brokers"] == [host.id]]
        )
        assert steps == STEPS
    for version in versions:
        in_hand = ids(version["brokers"], "in hand")
        assert ids(version["may_be_down"]) == in_hand and len(in_hand) <= 1
        left = [broker["id"] for broker in version["brokers"] if not broker["complete"]]
        assert left == (chosen_by(version["resume"]) if version["resume"] else [])
        assert (
            (version["ended"] is None)
            == (version["status"] is None)
            == (version["step"]["name"] != "ended")
        )
    assert [version["updated"] for version in versions] == sorted(
        version["updated"] for version in versions
    )
    last = ended(path, finished)
    assert last == versions[-1] and last["resume"] is None
    assert all(
        broker["down_s"] > 0 and broker["healthy_after_s"] >= broker["down_s"]
        for broker in last["brokers"]
    )
    wanted = [
        f"{name} {host.address}" for host in lab.hosts for name in ("Before", "Between", "After")
    ]
    assert (tmp_path / "done").read_text().splitlines() == wanted
    assert sorted(file.name for file in tmp_path.iterdir() if file.is_file()) == [
        "done",
        "r.json",
        "threetasks.py",
    ]
    says_what_it_does(lab, finished)


def says_what_it_does(lab: Lab, finished: Finished) -> None:
    """Look at what a roll with --verbose printed: every line is of the form, and commands and
    metrics have their times."""
    assert finished.stderr == ""
    lines = parsed(finished.stdout)
    assert {line.level for line in lines} == {"DEBUG", "INFO"}
    for place, host in enumerate(lab.hosts, 1):
        about = f"{place}/3 broker {host.id} ({host.address})"
        assert any(line.about == about and line.text == "stopping it" for line in lines)
        details = [
            line.text for line in lines if line.level == "DEBUG" and host.address in line.text
        ]
        for command in (STOP, START):
            assert any(
                f"`{command}`" in text and "status 0" in text and " s)" in text for text in details
            ), details
    assert any(
        line.level == "DEBUG" and line.about == "jmxproxy" and " s" in line.text for line in lines
    )


def test_the_file_of_a_run_that_was_killed_says_how_to_mend_it_and_how_to_go_on(
    lab: Lab, tmp_path: Path
) -> None:
    path, host = tmp_path / "r.json", lab.hosts[1]
    host.service.hold, host.service.start_mode = STOP, "stuck"
    run = lab.launch(*QUICK, "--skip", "1", "--report", str(path))
    wait_for("the stop is called", lambda: bool(host.called(STOP)), MOMENT_TIMEOUT)
    at_the_stop = valid(path.read_text())
    host.service.hold = None
    wait_for("the start is called", lambda: bool(host.called(START)), MOMENT_TIMEOUT)
    run.send(signal.SIGKILL)
    run.finish(10)
    left = valid(path.read_text())

    assert [at_the_stop["brokers"][0][key] for key in ("state", "gone")] == ["in hand", None]
    assert ids(at_the_stop["may_be_down"]) == [2]
    assert (
        left["brokers"][0]["gone"] is not None
        and left["step"]["name"] == "starting"
        and left["ended"] is None
    )
    (down,) = left["may_be_down"]
    assert (down["id"], down["host"]) == (2, host.address) and not host.is_up()

    host.service.start_mode = "normal"
    type_at_a_shell(lab, down["start_command"])
    lab.wait_healthy()
    # the session dies within 10 s
    wait_until(lambda: not lab.observer.client.get_children(LOCK), MOMENT_TIMEOUT)
    finished = type_elsewhere(left["resume"], lab.env, timeout=150)
    assert finished.status == 0, finished.stdout + finished.stderr
    found = valid(path.read_text())
    assert (found["status"], ids(found["brokers"])) == (0, [3])
    assert lab.observer.restarted() == [2, 3]
    kept = path.with_name(f"r.json.{left['pid']}")
    assert valid(kept.read_text()) == left
    assert (
        f"is kept as {kept}" in finished.stderr and f"broker 2 ({host.address})" in finished.stderr
    )
    assert f"start it on its host, as root: `{START}`" in finished.stderr


def type_at_a_shell(lab: Lab, command: str) -> None:
    """Run a command line with ssh in it, which finds the lab's hosts by its configuration."""
    words = shlex.split(command)
    assert words[0] == "ssh"
    config = ["-F", str(lab.ssh.config)]
    subprocess.run(
        [program("ssh"), *config, *words[1:]], check=True, stdin=subprocess.DEVNULL, timeout=30
    )


def test_a_run_that_ends_before_it_touched_anything_says_why_in_its_file(
    lab: Lab, tmp_path: Path
) -> None:
    paths = {
        name: tmp_path / f"{name}.json" for name in ("away", "dry", "no", "unknown", "refused")
    }
    report = {name: ("--report", str(path)) for name, path in paths.items()}
    away = lab.launch("--zookeeper", "127.0.0.1:1", "--no-confirm", *report["away"])

    found = ended(paths["dry"], lab.run(*ASKING, "--dry-run", *report["dry"], timeout=60))
    assert (found["status"], found["resume"]) == (0, None)
    found = ended(paths["no"], lab.run(*ASKING, *report["no"], timeout=60, input="\n"))
    assert (found["status"], found["outcome"]) == (3, "not confirmed; no broker was touched")
    assert (
        ended(
            paths["unknown"], lab.run(*QUICK, "--broker-ids", "7", *report["unknown"], timeout=60)
        )["status"]
        == 2
    )
    lab.hosts[2].sshd.stop()
    found = ended(paths["refused"], lab.run(*QUICK, *report["refused"], timeout=60))
    assert found["status"] == 3 and "the preflight found 1 problem," in found["outcome"]
    found = ended(paths["away"], away.finish(30))
    assert found["status"] == 3 and "127.0.0.1:1: Connection refused" in found["outcome"]
    assert service_calls(lab) == []


def test_a_second_run_leaves_the_file_of_the_first_alone_and_writes_one_of_its_own(
    lab: Lab, tmp_path: Path
) -> None:
    first_file, own = tmp_path / "first.json", tmp_path / "own.json"
    first = lab.launch(*QUICK, "--check-interval", "5", "--report", str(first_file))
    first.wait_for("waiting until the cluster is healthy", MOMENT_TIMEOUT)
    second = lab.run(*QUICK, "--report", str(first_file), timeout=60)
    assert second.status == 6 and second.stdout == ""
    assert second.code == "report-in-use"
    assert str(first_file) in second.last_sentence and str(first.pid) in second.last_sentence
    third = lab.run(*QUICK, "--report", str(own), timeout=60)
    assert ended(own, third)["status"] == 6 and f"pid {first.pid}" in third.last_sentence
    found = valid(first_file.read_text())
    assert (found["pid"], found["status"]) == (first.pid, None)

    first.send(signal.SIGTERM)
    found = ended(first_file, first.finish(30))
    assert (found["pid"], found["status"], found["may_be_down"]) == (first.pid, 143, [])
    assert chosen_by(found["resume"]) == [1, 2, 3]
    assert service_calls(lab) == []


def fill_disk(pid: int, folder: Path) -> None:
    """Let no file of the run grow any further (EFBIG instead of ENOSPC: a limit needs no disk)."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, 0))


def test_a_disk_that_becomes_full_does_not_end_a_roll_and_leaves_the_last_file_whole(
    lab: Lab, tmp_path: Path
) -> None:
    path, host = tmp_path / "r.json", lab.hosts[2]
    host.service.hold = STOP
    run = lab.launch(*QUICK, "--skip", "2", "--report", str(path))
    wait_for("the stop is called", lambda: bool(host.called(STOP)), MOMENT_TIMEOUT)
    fill_disk(run.pid, tmp_path)
    host.service.hold = None
    finished = run.finish(90)
    assert finished.status == 0, finished.stdout + finished.stderr
    assert lab.observer.restarted() == [3]
    line, last = parsed(finished.stderr)
    assert (line.level, last.level) == ("WARNING", "ERROR")
    assert last.text == f"the report {path} could not be written to its end; do not trust it"
    assert line.text == (
        f"--report {path}: cannot be written any more: File too large. The run goes on; do not "
        "trust what the file says"
    )
    assert ids(valid(path.read_text())["brokers"], "in hand") == [3]
    assert [file.name for file in tmp_path.iterdir()] == ["r.json"]
