"""The loop over the plan, on one fake broker and a fake clock."""

import os
import signal
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from kafka_rolling_restart import main
from kafka_rolling_restart.cli import config_files as config
from kafka_rolling_restart.cli.questions import confirm
from kafka_rolling_restart.errors import (
    Interrupted,
    Objection,
    RegistryUnavailable,
    Stopped,
    no_objection,
)
from kafka_rolling_restart.model.broker import Broker, Sample
from kafka_rolling_restart.model.cluster_state import (
    ClusterState,
    Partition,
    Quorum,
    QuorumReplica,
)
from kafka_rolling_restart.output.report import Report
from kafka_rolling_restart.output.report_file import ReportFile, Run
from kafka_rolling_restart.roll.roll import FORKED, Roll
from kafka_rolling_restart.roll.watch import ClusterWatch
from kafka_rolling_restart.settings.rules import HealthRule
from kafka_rolling_restart.settings.run import RunSettings
from kafka_rolling_restart.signals import LEFT_BEHIND, OBEYED, Signals
from kafka_rolling_restart.task import Tasks
from tests.fakes import Collector, FakeBroker, FakeClock, FakePending, FakeReportFile
from tests.last_lines import Ending, ending_of
from tests.schema import valid


class FakeLock:
    """A lock that can be lost."""

    loss = "with the ZooKeeper session"
    lost = retaken = away = False

    def ensure_held(self) -> bool:
        if self.away:
            raise RegistryUnavailable(
                "ZooKeeper at zk:2181 does not answer", code="registry-unreachable"
            )
        if self.lost:
            raise Stopped("the ZooKeeper session was lost", code="lock-lost")
        retaken, self.retaken = self.retaken, False
        return retaken

    def show(self, brokers: Sequence[Broker]) -> None:
        pass


class Scene:
    """A cluster of one broker, and a roll over it."""

    def __init__(self) -> None:
        self.clock, self.writer = FakeClock(), Collector()
        self.lock: FakeLock = FakeLock()
        self.one = Broker(1, "n1", 10)
        self.report = Report(self.writer, clock=self.clock)
        self.broker = FakeBroker(self.clock)
        self.signals = Signals(lambda _name: None, self.clock)
        self.pre_stop: list[Any] = []
        self.post_stop: list[Any] = []
        self.post_start: list[Any] = []
        self.file: Any = None

    def run(self) -> int:
        one = self.one
        broker: Any = self.broker
        self.roll = Roll(
            brokers={1: one},
            plan=[one],
            hosts={1: broker},
            watch=ClusterWatch({1: one}, self.broker, {1: self.broker}, self.clock),
            tasks=Tasks(self.pre_stop, self.post_stop, self.post_start),
            rule=HealthRule(2, 10, 60),
            clock=self.clock,
            report=self.report,
            signals=self.signals,
        )
        self.roll.report.file = self.file
        lock: Any = self.lock
        self.roll.resume = lambda ids: (
            f"kafka-rolling-restart --broker-ids {','.join(map(str, ids))}"
        )
        self.roll.jvms = {1: seen} if (seen := self.broker.read().jvm) else {}
        outcome = main.run_roll(self.roll, lock)
        self.roll.report.end(outcome)
        return outcome.status

    def ends_with(self, status: int) -> str:
        """Run; return the sentence at the end."""
        assert self.run() == status, self.writer.lines
        return self.ending.sentence.partition("kafka-rolling-restart: ")[2]

    @property
    def ending(self) -> Ending:
        return ending_of(self.writer.lines)


class Speechless(Report):
    """A report with a defect."""

    def summary(self, *_args: object) -> None:
        raise ZeroDivisionError


class Task:
    """A task that does what it is given."""

    def __init__(self, run: Callable[[], None]) -> None:
        self._run = run

    def run(self, host: str) -> None:
        self._run()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_args: object) -> Any:
        raise error

    return fail


class Hasty(Collector):
    """A terminal at which somebody types Ctrl-C as soon as the question is shown."""

    def drain(self, seconds: float = 0) -> bool:
        raise Interrupted(signal.SIGINT, "SIGINT")


def test_what_follows_a_question_that_was_interrupted_begins_on_a_line_of_its_own(
    scene: Scene,
) -> None:
    assert scene.run() == 0
    writer = Hasty()
    scene.roll.report = Report(writer)
    with pytest.raises(Interrupted):
        roll = scene.roll
        confirm(
            RunSettings("stop", "start"),
            config.of_zookeeper("zk"),
            roll.plan,
            roll.rule,
            roll.report,
        )
    assert writer.lines[-2:] == ["Restart 1 broker of zk, one at a time? [y/N] ", "\n"]


def test_a_roll_ends_with_all_restarted_and_says_so(scene: Scene) -> None:
    assert scene.run() == 0
    assert scene.broker.process == 200
    assert scene.ending.code == "done" and scene.ending.commands == ()


def test_an_unhealthy_cluster_at_the_beginning_is_not_touched(scene: Scene) -> None:
    scene.broker.metrics = False
    assert "no metrics of broker 1: 404" in scene.ends_with(3)
    assert scene.broker.stops == []


def test_a_broker_that_somebody_else_restarted_meanwhile_is_not_restarted_again(
    scene: Scene,
) -> None:
    scene.clock.plan(5, lambda: setattr(scene.broker, "born", scene.clock.now()))
    assert scene.run() == 0
    assert scene.broker.stops == []
    assert "restarted (1 of them by somebody else)" in scene.writer.lines[-1]


def test_a_lock_that_was_lost_and_taken_again_goes_on_when_every_jvm_is_as_we_know_it(
    scene: Scene,
) -> None:
    scene.lock.retaken = True
    scene.broker.czxid = 11  # its session was lost as ours was, and the same JVM registered again
    assert scene.run() == 0
    assert any(
        "the lock was lost with the ZooKeeper session, and is held again" in line
        for line in scene.writer.errors
    )
    assert scene.broker.stops[0] >= 1020  # after another two healthy checks, 10 s apart


def test_a_lock_that_was_lost_during_the_pre_stop_tasks_and_taken_again_is_followed_by_a_whole_wait(
    scene: Scene,
) -> None:
    scene.pre_stop.append(Task(lambda: setattr(scene.lock, "retaken", True)))
    assert scene.run() == 0
    assert scene.broker.stops[0] >= 1040  # the one check after the tasks does not do


def test_a_lock_that_was_lost_and_taken_again_stops_nothing_where_a_broker_was_restarted_meanwhile(
    scene: Scene,
) -> None:
    scene.lock.retaken = True
    scene.clock.plan(5, lambda: setattr(scene.broker, "born", scene.clock.now()))
    assert "went down or were restarted: broker 1 (n1)" in scene.ends_with(4)
    assert scene.broker.stops == []


def test_a_cluster_that_broke_while_the_pre_stop_tasks_ran_is_waited_for(scene: Scene) -> None:
    scene.pre_stop.append(Task(lambda: setattr(scene.broker, "registered", False)))
    scene.clock.plan(35, lambda: setattr(scene.broker, "registered", True))
    assert scene.run() == 0
    assert scene.broker.stops[0] >= 1035


def test_a_zookeeper_that_is_away_for_a_while_after_the_pre_stop_tasks_is_waited_for(
    scene: Scene,
) -> None:
    def away(is_away: bool) -> None:
        scene.broker.registry_down = scene.lock.away = is_away

    scene.pre_stop.append(Task(lambda: away(True)))
    scene.clock.plan(35, lambda: away(False))
    assert scene.run() == 0


def test_a_signal_after_the_restarted_broker_was_lost_does_not_say_that_it_is_up(
    scene: Scene,
) -> None:
    start = scene.broker.start

    def start_and_die(limit: float) -> FakePending:
        result = start(limit)
        scene.clock.plan(8, scene.broker._unregister)
        scene.clock.plan(30, lambda: scene.signals.handle(signal.SIGTERM))
        return result

    scene.broker.start = start_and_die  # type: ignore[method-assign]
    scene.ends_with(5)
    assert scene.ending.code == "broker-failed-again"


def test_a_signal_does_not_replace_the_news_of_a_broker_that_is_down(scene: Scene) -> None:
    scene.broker.start_takes_effect = False
    scene.ends_with(5)
    scene.signals.handle(signal.SIGINT)  # would raise


def test_a_lost_lock_stops_nothing(scene: Scene) -> None:
    scene.lock.lost = True
    scene.ends_with(4)
    assert scene.broker.stops == []


@pytest.mark.parametrize("failure", [RuntimeError("no"), SystemExit(3), KeyboardInterrupt()])
def test_a_post_stop_task_that_fails_in_any_way_does_not_keep_its_broker_down(
    scene: Scene, failure: BaseException
) -> None:
    scene.post_stop.append(Task(raising(failure)))
    assert type(failure).__name__ in scene.ends_with(4)
    assert scene.broker.process == 200 and scene.roll.done


def test_a_first_signal_while_the_broker_is_down_is_obeyed_once_it_is_back(scene: Scene) -> None:
    scene.post_stop.append(Task(lambda: scene.signals.handle(signal.SIGTERM)))
    scene.ends_with(128 + 15)
    assert scene.broker.registered and scene.roll.in_hand == []


def test_a_second_signal_names_the_broker_and_the_line_that_starts_it(scene: Scene) -> None:
    def twice() -> None:
        scene.signals.handle(signal.SIGTERM)
        scene.clock.sleep(2)
        scene.signals.handle(signal.SIGTERM)

    scene.post_stop.append(Task(twice))
    said = scene.ends_with(5)
    down = "ended by SIGTERM, with broker 1 (n1) stopped and not seen back"
    assert said.startswith(down) and scene.ending.code == "broker-left-stopped"
    assert scene.ending.commands == (scene.broker.start_line,)
    assert scene.broker.starts == []


def break_rest(scene: Scene, error: BaseException) -> None:
    """Let the wait between two looks at the broker in hand fail."""

    def sleep(seconds: float) -> None:
        if not seconds:
            return
        scene.clock.sleep = FakeClock.sleep.__get__(scene.clock)  # type: ignore[method-assign]
        raise error

    scene.clock.sleep = sleep  # type: ignore[method-assign]


@pytest.mark.parametrize("error", [ZeroDivisionError(), SystemExit(0), KeyboardInterrupt()])
def test_a_defect_while_a_broker_is_down_sends_the_start_before_it_is_reported(
    scene: Scene, error: BaseException
) -> None:
    scene.post_stop.append(Task(lambda: break_rest(scene, error)))
    said = scene.ends_with(1)
    assert len(scene.broker.starts) >= 1 and scene.broker.process == 200
    assert "broker 1 (n1) may be DOWN" in said and scene.ending.code == "defect"
    assert scene.ending.commands == (scene.broker.start_line,)


def test_a_defect_before_the_start_was_sent_sends_it_until_the_old_process_has_ended(
    scene: Scene,
) -> None:
    scene.broker.process_ends_after = 50.0
    stop = scene.broker.stop

    def stop_and_break(limit: float, objection: Objection = no_objection) -> FakePending:
        break_rest(scene, ZeroDivisionError())
        return stop(limit, objection)

    scene.broker.stop = stop_and_break  # type: ignore[method-assign]
    scene.broker.sees_process = True
    assert "it was told to start 5 times" in scene.ends_with(1)
    # it found the old process, and did nothing
    assert scene.broker.starts[0] - scene.broker.stops[0] < 1
    assert scene.broker.process == 200


def test_a_defect_sends_starts_to_the_limit_where_the_old_process_is_not_seen(scene: Scene) -> None:
    scene.broker.process_ends_after = 55.0
    scene.post_stop.append(Task(lambda: break_rest(scene, ZeroDivisionError())))
    scene.broker.ps_hidden = True
    assert "it was told to start 5 times" in scene.ends_with(1)
    assert scene.broker.process == 200


def test_metrics_that_cannot_be_asked_for_are_no_defect_while_a_broker_is_down(
    scene: Scene,
) -> None:
    def break_metrics() -> None:
        scene.broker.read = raising(ZeroDivisionError())  # type: ignore[method-assign]

    scene.post_stop.append(Task(break_metrics))
    assert "no metrics (they could not be asked for" in scene.ends_with(5)
    assert scene.broker.process == 200


def test_connections_are_closed_once_the_broker_is_back_and_not_before(scene: Scene) -> None:
    assert scene.run() == 0
    back_at = scene.roll.progress.records[0].back_at
    assert back_at is not None and scene.broker.closes == [back_at]


def test_a_defect_leaves_the_connections_open_over_which_the_broker_is_started(
    scene: Scene,
) -> None:
    scene.post_stop.append(Task(lambda: break_rest(scene, ZeroDivisionError())))
    scene.run()
    assert scene.broker.starts and scene.broker.closes == []


def test_metrics_that_take_longer_to_read_than_news_may_be_old_do_not_keep_a_roll_from_going_on(
    scene: Scene,
) -> None:
    scene.broker.reading_takes = 15.0
    assert scene.run() == 0
    assert len(scene.broker.stops) == 1
    assert scene.broker.stops[0] - scene.roll.progress.began < 120


def test_a_cluster_that_was_not_healthy_when_the_news_was_renewed_is_looked_at_anew(
    scene: Scene,
) -> None:
    scene.broker.reading_takes = 15.0
    looks: list[float] = []

    def process_age(pid: int | None) -> float | None:
        looks.append(scene.clock.now())
        if len(looks) == 1:  # just then it is restarted by somebody else
            scene.broker.born = scene.clock.now()
        return None

    scene.broker.process_age = process_age  # type: ignore[method-assign]
    assert scene.run() == 0
    assert len(looks) == 2 and scene.broker.stops == []
    assert "restarted (1 of them by somebody else)" in scene.writer.lines[-1]


def test_a_stop_that_did_not_reach_its_host_is_not_said_to_have_been_told(scene: Scene) -> None:
    scene.broker.stop_is_not_sent = True
    assert "was not stopped: ssh n1: Connection refused" in scene.ends_with(4)
    (record,) = scene.roll.progress.records
    assert (record.result, record.stopped_at) == (
        "untouched, the stop did not reach its host",
        None,
    )


def test_a_defect_in_the_last_look_does_not_replace_what_ended_the_run(scene: Scene) -> None:
    scene.post_start.append(Task(raising(RuntimeError("no space"))))
    scene.post_start[0].run = lambda host: _break(scene)
    said = scene.ends_with(5)
    assert "no space" in said and "broker 1 (n1)" in said


def _break(scene: Scene) -> None:
    scene.broker.observe = raising(ZeroDivisionError())  # type: ignore[method-assign]
    raise RuntimeError("no space")


def test_a_lock_that_is_lost_while_the_pre_stop_tasks_run_stops_nothing(scene: Scene) -> None:
    scene.pre_stop.append(Task(lambda: setattr(scene.lock, "lost", True)))
    scene.ends_with(4)
    assert scene.broker.stops == []


def test_a_broker_that_is_lost_after_its_restart_needs_a_person(scene: Scene) -> None:
    start = scene.broker.start

    def start_and_die(limit: float) -> FakePending:
        result = start(limit)
        scene.clock.plan(8, scene.broker._unregister)
        return result

    scene.broker.start = start_and_die  # type: ignore[method-assign]
    said = scene.ends_with(5)
    assert (
        "broker 1 (n1) was restarted and is down again" in said
        and scene.ending.code == "broker-failed-again"
    )
    assert scene.ending.commands == (scene.broker.start_line,)


def test_a_cluster_that_is_not_whole_after_the_last_restart_is_not_called_done(
    scene: Scene,
) -> None:
    def read_unsound() -> Sample:
        return Sample(scene.clock.now(), scene.clock.now(), reason="timed out")

    def break_later(limit: float) -> FakePending:
        result = start(limit)
        scene.clock.plan(8, lambda: setattr(scene.broker, "read", read_unsound))
        return result

    start = scene.broker.start
    scene.broker.start = break_later  # type: ignore[method-assign]
    said = scene.ends_with(4)
    assert (
        "for 60 s" in said
        and "no metrics of broker 1: timed out" in said
        and "[no-metrics]" in said
    )
    assert scene.ending.code == "cluster-not-healthy"


def test_a_report_that_cannot_be_made_does_not_change_how_the_run_ended(scene: Scene) -> None:
    scene.broker.start_takes_effect = False
    scene.report = Speechless(scene.writer, clock=scene.clock)
    scene.ends_with(5)
    assert scene.ending.code == "broker-down" and scene.ending.commands == (
        scene.broker.start_line,
    )


def test_only_what_is_left_is_offered_to_go_on_with(scene: Scene) -> None:
    scene.broker.stop_takes_effect = False
    scene.ends_with(4)
    assert scene.ending.code == "stop-had-no-effect"
    assert scene.writer.lines[-1] == "kafka-rolling-restart --broker-ids 1\n"


def test_a_post_start_task_runs_once_the_cluster_is_healthy_again_and_not_before(
    scene: Scene,
) -> None:
    start, seen = scene.broker.start, []

    def start_and_falter(limit: float) -> FakePending:
        scene.clock.plan(9, lambda: setattr(scene.broker, "registered", False))
        scene.clock.plan(40, lambda: setattr(scene.broker, "registered", True))
        return start(limit)

    scene.broker.start = start_and_falter  # type: ignore[method-assign]
    scene.post_start.append(Task(lambda: seen.append(scene.clock.now() - scene.broker.starts[0])))
    assert scene.run() == 0
    assert len(seen) == 1 and seen[0] >= 50  # two healthy checks, 10 s apart, after the 40 s


def test_a_post_start_task_is_not_run_for_a_broker_that_somebody_else_restarted(
    scene: Scene,
) -> None:
    scene.clock.plan(5, lambda: setattr(scene.broker, "born", scene.clock.now()))
    scene.post_start.append(Task(raising(AssertionError("it runs"))))
    said = scene.ends_with(4)
    assert "broker 1 (n1)" in said and scene.ending.code == "tasks-not-run"
    assert scene.ending.commands == ("kafka-rolling-restart --broker-ids 1",) and scene.roll.skipped


@pytest.mark.parametrize("failure", [RuntimeError("no"), SystemExit(3), KeyboardInterrupt()])
def test_a_post_start_task_that_fails_in_any_way_ends_the_roll_with_its_broker_back(
    scene: Scene, failure: BaseException
) -> None:
    scene.post_start.append(Task(raising(failure)))
    said = scene.ends_with(4)
    assert scene.ending.code == "task-failed" and scene.ending.commands == (
        "kafka-rolling-restart --broker-ids 1",
    )
    assert "broker 1 (n1) will be restarted once more, because its tasks did not complete" in said
    assert said.startswith(
        "broker 1 (n1) was restarted and is back, but task Task failed on n1: "
        f"{type(failure).__name__}"
    )
    assert scene.broker.registered and scene.roll.done and len(scene.broker.starts) == 1


def test_the_cluster_is_looked_at_again_after_the_last_post_start_task(scene: Scene) -> None:
    scene.post_start.append(Task(lambda: setattr(scene.broker, "registered", False)))
    assert (
        "the cluster was not healthy for 60 s (--unhealthy-time-limit): broker 1 is not registered"
        in scene.ends_with(5)
    )


def test_a_cluster_that_a_post_start_task_shook_is_waited_for(scene: Scene) -> None:
    shaken = []

    def shake() -> None:
        shaken.append(scene.clock.now())
        scene.broker.registered = False
        scene.clock.plan(35, lambda: setattr(scene.broker, "registered", True))

    scene.post_start.append(Task(shake))
    assert scene.run() == 0
    assert scene.clock.now() - shaken[0] >= 45  # the whole count again


def test_a_signal_in_a_post_start_task_is_obeyed_at_once(scene: Scene) -> None:
    after: list[int] = []
    scene.post_start += [
        Task(lambda: scene.signals.handle(signal.SIGTERM)),
        Task(lambda: after.append(1)),
    ]
    said = scene.ends_with(128 + 15)
    assert said.startswith(
        "ended by SIGTERM; every broker that was stopped is back. broker 1 (n1) will be restarted"
    )
    assert scene.ending.code == "interrupted" and scene.ending.commands == (
        "kafka-rolling-restart --broker-ids 1",
    )
    assert after == [] and scene.broker.registered


def test_a_signal_that_a_post_start_task_swallows_is_obeyed_after_it(scene: Scene) -> None:
    def swallow() -> None:
        with pytest.raises(BaseException, match="SIGTERM"):
            scene.signals.handle(signal.SIGTERM)

    scene.post_start.append(Task(swallow))
    cut_short = "none is left to restart, and the last wait for health was cut short"
    assert (
        scene.ends_with(128 + 15)
        == f"ended by SIGTERM; every broker that was stopped is back, {cut_short}"
    )


@pytest.fixture
def reported(scene: Scene, tmp_path: Path) -> Callable[[int], dict[str, Any]]:
    """Run the scene with a report file; return what the file says at the end."""
    path = tmp_path / "r.json"
    run = Run(
        "1",
        ["x"],
        "main",
        "zk",
        None,
        {"user": "me", "host": "h", "pid": 1},
        BEGAN,
        scene.clock.now(),
    )
    scene.file = ReportFile(str(path), run, raising(AssertionError()))
    scene.file.open()

    def end(status: int) -> dict[str, Any]:
        said = scene.ends_with(status)
        found = valid(path.read_text())
        assert (found["status"], found["outcome"]) == (status, said)
        assert (
            found["ended"] is not None
            and found["step"]["name"] == "ended"
            and found["step"]["brokers"] == []
        )
        return found

    return end


BEGAN = datetime(2026, 11, 24, 3, 0, tzinfo=timezone.utc)
Reported = Callable[[int], dict[str, Any]]


def test_the_file_of_a_good_end_has_nothing_left_to_do(reported: Reported) -> None:
    found = reported(0)
    assert (found["resume"], found["may_be_down"]) == (None, [])
    (broker,) = found["brokers"]
    assert (broker["state"], broker["trouble"]) == ("restarted", None)
    assert broker["stopped"] < broker["gone"] < broker["back"] <= broker["healthy"]
    assert broker["down_s"] > 0 and broker["old_jvm_started"] != broker["new_jvm_started"]


def test_the_file_of_a_broker_that_does_not_start_names_it_with_the_line_that_starts_it(
    scene: Scene, reported: Reported
) -> None:
    scene.broker.start_takes_effect = False
    found = reported(5)
    assert found["may_be_down"] == [
        {"id": 1, "host": "n1", "role": "broker", "start_command": scene.broker.start_line}
    ]
    assert found["brokers"][0]["state"] == "down" and found["brokers"][0]["back"] is None
    assert "starting it again" in found["brokers"][0]["trouble"]
    assert found["health"]["state"] == "not healthy"
    assert [reason["code"] for reason in found["health"]["reasons"]] == ["broker-down"]
    assert (found["code"], found["commands"]) == ("broker-down", [scene.broker.start_line])
    assert found["resume"] == "kafka-rolling-restart --broker-ids 1"


def test_the_file_of_a_start_that_fails_has_that_as_its_trouble(
    scene: Scene, reported: Reported
) -> None:
    scene.broker.start_takes_effect, scene.broker.start_status = False, 3
    assert (
        "start command failed: `service kafka start` ended with status 3"
        in reported(5)["brokers"][0]["trouble"]
    )


@pytest.mark.parametrize("kind", ["pre_stop", "post_stop", "post_start"])
def test_the_file_of_a_task_that_fails_names_the_task_and_the_host(
    scene: Scene, reported: Reported, kind: str
) -> None:
    getattr(scene, kind).append(Task(raising(RuntimeError("no"))))
    found = reported(4)
    (broker,) = found["brokers"]
    assert broker["trouble"] == "task Task failed on n1: RuntimeError: no"
    assert broker["state"] == ("untouched" if kind == "pre_stop" else "restarted")
    assert found["may_be_down"] == [] and found["resume"].endswith("--broker-ids 1")


def test_the_file_of_a_signal_while_the_broker_is_down_says_that_it_is_back(
    scene: Scene, reported: Reported
) -> None:
    scene.post_stop.append(Task(lambda: scene.signals.handle(signal.SIGTERM)))
    found = reported(128 + 15)
    assert found["brokers"][0]["state"] == "restarted" and found["may_be_down"] == []


def test_the_file_of_a_stop_that_did_nothing_says_that_the_broker_still_runs(
    scene: Scene, reported: Reported
) -> None:
    scene.broker.stop_takes_effect = False
    found = reported(4)
    assert (
        found["brokers"][0]["state"] == "untouched"
        and "still runs as before" in found["brokers"][0]["trouble"]
    )
    assert found["may_be_down"] == [] and found["resume"] == "kafka-rolling-restart --broker-ids 1"


def test_the_file_of_a_broker_that_is_lost_after_its_restart_names_it(
    scene: Scene, reported: Reported
) -> None:
    scene.post_start.append(Task(lambda: setattr(scene.broker, "registered", False)))
    assert [broker["id"] for broker in reported(5)["may_be_down"]] == [1]


def test_the_file_says_that_a_broker_is_in_hand_before_its_stop_is_sent(
    scene: Scene, reported: Reported, tmp_path: Path
) -> None:
    stop, seen = scene.broker.stop, []

    def look_and_stop(limit: float, objection: Objection = no_objection) -> FakePending:
        seen.append(valid((tmp_path / "r.json").read_text()))
        return stop(limit, objection)

    scene.broker.stop = look_and_stop  # type: ignore[method-assign]
    reported(0)
    assert [broker["id"] for broker in seen[0]["may_be_down"]] == [1]
    assert seen[0]["step"]["name"] == "stopping" and seen[0]["brokers"][0]["state"] == "in hand"
    assert seen[0]["health"]["state"] == "not healthy"
    assert [reason["code"] for reason in seen[0]["health"]["reasons"]] == ["restart-in-progress"]


@pytest.mark.parametrize("kind", ["pre_stop", "post_stop", "post_start"])
def test_a_broker_whose_task_failed_is_left_to_be_restarted_once_more(
    scene: Scene, kind: str
) -> None:
    getattr(scene, kind).append(Task(raising(RuntimeError("no"))))
    scene.ends_with(4)
    assert scene.ending.code == "task-failed" and scene.ending.commands == (
        "kafka-rolling-restart --broker-ids 1",
    )


def test_a_wait_that_fails_after_a_pre_stop_task_does_not_say_that_nothing_was_touched(
    scene: Scene,
) -> None:
    scene.pre_stop.append(Task(lambda: setattr(scene.broker, "metrics", False)))
    said = scene.ends_with(4)
    assert "touched" not in said and scene.broker.stops == []


def test_a_post_start_task_that_was_not_run_because_the_wait_was_interrupted_is_left(
    scene: Scene,
) -> None:
    scene.post_start.append(Task(raising(AssertionError("it runs"))))
    start = scene.broker.start

    def start_and_signal(limit: float) -> FakePending:
        scene.clock.plan(8, lambda: scene.signals.handle(signal.SIGTERM))
        return start(limit)

    scene.broker.start = start_and_signal  # type: ignore[method-assign]
    said = scene.ends_with(128 + 15)
    assert "broker 1 (n1) will be restarted once more, because its tasks did not complete" in said
    assert scene.ending.code == "interrupted" and scene.ending.commands == (
        "kafka-rolling-restart --broker-ids 1",
    )


def test_a_broker_that_something_else_started_during_its_post_stop_tasks_is_not_done(
    scene: Scene,
) -> None:
    def upgrade() -> None:
        scene.clock.sleep(20)
        scene.broker._launch()
        scene.clock.sleep(40)

    scene.post_stop.append(Task(upgrade))
    assert "while its post-stop tasks were running" in scene.ends_with(4)
    assert scene.ending.code == "started-by-others"
    assert scene.ending.commands == ("kafka-rolling-restart --broker-ids 1",)


def test_a_process_that_was_held_up_right_before_the_stop_does_not_send_it(scene: Scene) -> None:
    held_up: Any = type("Slow", (FakeReportFile,), {"flush": lambda file: scene.clock.sleep(600)})()
    scene.file = held_up
    assert "held up for 600 s" in scene.ends_with(4)
    assert scene.broker.stops == []


def handle_signals(handler: signal.Handlers) -> None:
    for number in OBEYED:
        signal.signal(number, handler)


def test_a_task_that_takes_the_signals_for_itself_does_not_keep_them(scene: Scene) -> None:
    before = {number: signal.getsignal(number) for number in OBEYED}
    try:
        handle_signals(signal.SIG_DFL)
        scene.signals.listen()
        scene.pre_stop.append(Task(lambda: handle_signals(signal.SIG_IGN)))
        scene.post_stop.append(Task(lambda: handle_signals(signal.SIG_DFL)))
        scene.run()
        assert {signal.getsignal(number) for number in OBEYED} == {scene.signals.handle}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_child_of_a_task_that_comes_out_of_it_ends_there(scene: Scene) -> None:
    children: list[int] = []

    def fork() -> None:
        if (child := os.fork()) == 0:
            raise SystemExit(0)
        children.append(child)

    scene.post_stop.append(Task(fork))
    assert scene.run() == 0
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == FORKED


def test_a_process_that_was_held_up_while_it_asked_for_its_lock_does_not_send_the_stop(
    scene: Scene,
) -> None:
    scene.lock.show = lambda brokers: scene.clock.sleep(600)  # type: ignore[method-assign]
    assert "held up for 600 s" in scene.ends_with(4)
    assert scene.broker.stops == []


class BreaksOnce(FakeReportFile):
    """A report file whose first flush, right before the stop, is a defect."""

    is_broken = False

    def flush(self) -> bool:
        if self.is_broken:
            return super().flush()
        self.is_broken = True
        raise ZeroDivisionError


def test_a_defect_before_the_stop_was_sent_starts_nothing(scene: Scene) -> None:
    scene.file = BreaksOnce()
    assert "broker 1 (n1) was not told to stop" in scene.ends_with(1)
    assert scene.broker.stops == scene.broker.starts == []


def test_a_defect_sends_no_start_to_a_broker_that_is_back(scene: Scene) -> None:
    scene.post_stop.append(Task(lambda: break_rest(scene, ZeroDivisionError())))
    scene.broker.ps_hidden = True
    scene.ends_with(1)
    # one by the run, one by the last resort, and then it was seen to be back
    assert len(scene.broker.starts) == 2


def test_the_last_resort_ends_with_a_signal(scene: Scene) -> None:
    scene.broker.start_takes_effect = False
    scene.post_stop.append(Task(lambda: break_rest(scene, ZeroDivisionError())))
    scene.broker.ps_hidden = True
    scene.clock.plan(40, lambda: scene.signals.handle(signal.SIGTERM))
    scene.ends_with(1)
    assert scene.clock.now() < 1010 + 50


def test_post_stop_tasks_run_where_there_is_no_thread_to_remind_of_them(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(*_args: object, **_options: object) -> None:
        raise RuntimeError("can't start new thread")

    ran: list[int] = []
    scene.post_stop.append(Task(lambda: ran.append(1)))
    stop = scene.broker.stop

    def stop_without_threads(limit: float, objection: Objection = no_objection) -> FakePending:
        monkeypatch.setattr("kafka_rolling_restart.parallel.threading.Thread", no_more)
        return stop(limit, objection)

    scene.broker.stop = stop_without_threads  # type: ignore[method-assign]
    start = scene.broker.start

    def start_with_threads(limit: float) -> FakePending:
        monkeypatch.undo()
        return start(limit)

    scene.broker.start = start_with_threads  # type: ignore[method-assign]
    assert scene.run() == 0 and ran == [1]


def leave_behind(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_DFL)


def test_what_a_task_left_behind_does_not_end_the_critical_section(scene: Scene) -> None:
    before = {number: signal.getsignal(number) for number in (*OBEYED, *LEFT_BEHIND)}
    seen: list[object] = []
    try:
        scene.signals.listen()
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        scene.post_stop.append(Task(lambda: leave_behind(signal.SIGALRM)))
        start = scene.broker.start

        def look_and_start(limit: float) -> FakePending:
            seen.extend(signal.getsignal(number) for number in LEFT_BEHIND)
            return start(limit)

        scene.broker.start = look_and_start  # type: ignore[method-assign]
        scene.run()
        assert set(seen) == {signal.SIG_IGN}
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_signal_that_was_ignored_from_the_beginning_stays_so_whatever_a_task_does(
    scene: Scene,
) -> None:
    before = {number: signal.getsignal(number) for number in OBEYED}
    try:
        handle_signals(signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
        scene.signals.listen()
        scene.pre_stop.append(Task(lambda: handle_signals(signal.SIG_DFL)))
        scene.run()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def of_three(*behind: int) -> ClusterState:
    replicas = (QuorumReplica(one, None if one in behind else 0.0, 9) for one in (1, 2, 3))
    quorum = Quorum(2, 1, tuple(replicas))
    return ClusterState(0, 0, witnesses=(2,), partitions=1, quorum=quorum)


UNKNOWN_STATE = ClusterState(0, 0, unknown="the metadata quorum does not answer")
UNDER_REPLICATED = replace(of_three(), under_replicated=(Partition("t", 0, (1, 2), (1,), 1),))


class Voter(Scene):
    """The one broker votes in a quorum. Each check finds the cluster healthy; what is seen right
    before a stop is what it is told to be."""

    def __init__(self, *glances: ClusterState) -> None:
        super().__init__()
        self.one = Broker(1, "n1", 10, is_controller=True)
        self.glances = list(glances)
        self.quorum = of_three().quorum
        registry: Any = self.broker
        registry.state = self.state
        registry.quorum = lambda timeout: self.quorum

    def state(self, restarted: Collection[int] = (), timeout: float | None = None) -> ClusterState:
        if timeout is None:
            return of_three()
        return self.glances.pop(0) if len(self.glances) > 1 else self.glances[0]


def test_a_voter_that_the_quorum_can_spare_is_restarted() -> None:
    scene = Voter(of_three())
    scene.ends_with(0)
    assert len(scene.broker.stops) == 1


@pytest.mark.parametrize("first", [of_three(3), UNKNOWN_STATE, UNDER_REPLICATED])
def test_nothing_is_stopped_while_the_last_glance_is_against_it(first: ClusterState) -> None:
    scene = Voter(first, of_three())
    scene.ends_with(0)
    assert len(scene.broker.stops) == 1
    told = next(at for at, line in enumerate(scene.writer.lines) if "[not-stopped-yet]" in line)
    stopped = next(at for at, line in enumerate(scene.writer.lines) if "stopping it" in line)
    assert told < stopped


def test_a_voter_that_the_quorum_never_can_spare_in_a_healthy_cluster_ends_the_run() -> None:
    scene = Voter(of_three(3))
    said = scene.ends_with(4)
    assert scene.broker.stops == []
    assert scene.ending.code == "not-stopped-yet"
    assert "controller 3, a voter of the quorum, has not been caught up" in said


def test_a_voter_that_died_a_moment_ago_is_missed_by_its_log() -> None:
    scene = Voter(of_three())
    voters = (QuorumReplica(1, 0.0, 12), QuorumReplica(2, 0.0, 12), QuorumReplica(3, 1.2, 8))
    scene.quorum = Quorum(2, 1, voters)
    said = scene.ends_with(4)
    assert scene.broker.stops == []
    assert "1 of 3 voters of the quorum would be caught up, and 2 are needed" in said


class SlowLock(FakeLock):
    """A lock whose coordinator has just moved: the first answer is late."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock
        self.takes = [0.0, 0.0, 14.0]

    def ensure_held(self) -> bool:
        self._clock.sleep(self.takes.pop(0) if self.takes else 0.0)
        return super().ensure_held()


def test_a_lock_that_answers_late_is_asked_again_and_the_broker_is_stopped() -> None:
    scene = Scene()
    scene.lock = SlowLock(scene.clock)
    scene.ends_with(0)
    assert len(scene.broker.stops) == 1
