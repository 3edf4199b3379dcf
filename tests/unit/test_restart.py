from dataclasses import replace
from typing import Any

import pytest

from kafka_rolling_restart.errors import BrokerDown, Objection, SshError, Stopped, no_objection
from kafka_rolling_restart.hosts.base import FoundProcess
from kafka_rolling_restart.model.broker import Broker, CommandResult, Jvm, Sample
from kafka_rolling_restart.restart.broker_restart import Restart
from kafka_rolling_restart.restart.command import ASK_AGAIN_S, Command
from kafka_rolling_restart.restart.limits import Limits
from kafka_rolling_restart.restart.observer import Observer
from kafka_rolling_restart.restart.together import alone
from tests.fakes import SOUND, FakeBroker, FakeClock, FakeEvents, FakePending


class Scene:
    """One broker in hand, and what was told."""

    def __init__(self, tells_process: bool = True) -> None:
        self.clock = FakeClock()
        self.broker = FakeBroker(self.clock)
        self.broker.tells_process = tells_process
        self.events = FakeEvents()
        self.told = self.events.told
        self.limits(120)

    def limits(self, waiting: float, node: Broker | None = None) -> None:
        one, limits = node or Broker(1, "n1", 10), Limits(waiting)
        observer = Observer(one, self.broker, self.broker, self.broker, self.clock)
        self.restart = Restart(one, self.broker, observer, self.clock, limits, self.events)

    def stop(self) -> str:
        self.restart.look_before()
        return self.stop_now()

    def stop_now(self, objection: Objection = no_objection) -> str:
        return alone(self.clock, self.restart.stop(objection))

    def start(self) -> Jvm:
        return alone(self.clock, self.restart.start())

    def whole(self) -> None:
        self.stop()
        self.start()


# what only metrics do: keep old answers, or tell of a process that its host does not show
METERED = pytest.mark.parametrize("scene", [True], indirect=True, ids=["by its metrics"])
HOSTED = pytest.mark.parametrize("scene", [False], indirect=True, ids=["by its host"])


@pytest.fixture(params=[True, False], ids=["by its metrics", "by its host"])
def scene(request: pytest.FixtureRequest) -> Scene:
    """Give a broker whose process is told by its metrics, and one whose host tells it."""
    return Scene(request.param)


def test_a_broker_is_stopped_and_a_new_process_is_seen_in_its_place(scene: Scene) -> None:
    scene.whole()
    assert scene.broker.process == 200 and scene.broker.registered
    assert (len(scene.broker.stops), len(scene.broker.starts)) == (1, 1)


def test_a_controller_is_not_called_a_broker_while_it_is_restarted(scene: Scene) -> None:
    scene.limits(120, Broker(1, "n1", 10, is_broker=False, is_controller=True))
    scene.broker.stop_returns_after = 1.0
    scene.whole()
    assert any(text.endswith("waiting until the controller is gone") for text in scene.told)
    assert not any("broker" in text for text in scene.told)


def test_start_is_not_sent_while_the_old_process_lives(scene: Scene) -> None:
    scene.broker.stop_returns_after, scene.broker.process_ends_after = 0.0, 40.0
    scene.whole()
    assert scene.broker.starts[0] - scene.broker.stops[0] >= 40
    assert len(scene.broker.starts) == 1


def test_start_is_not_sent_while_the_registration_lingers(scene: Scene) -> None:
    scene.broker.stop_takes_effect = False
    scene.broker.process, scene.broker.stop_returns_after = 100, 0.0
    scene.clock.plan(0, lambda: None)
    scene.restart.look_before()
    # killed: its session times out 18 s later
    scene.broker.process, scene.broker.metrics = (
        None,
        False,
    )
    scene.clock.plan(18, scene.broker._unregister)
    scene.stop_now()
    assert scene.clock.now() - scene.broker.stops[0] >= 18


@METERED
def test_a_start_that_found_the_old_process_alive_is_sent_again_where_the_process_cannot_be_seen(
    scene: Scene,
) -> None:
    scene.broker.ps_hidden = True
    scene.broker.stop_returns_after, scene.broker.process_ends_after = 0.0, 8.0
    scene.whole()
    assert len(scene.broker.starts) == 2
    assert scene.broker.process == 200
    assert any("starting it again" in line for line in scene.told)


def test_a_stop_that_does_nothing_ends_the_roll_with_the_broker_running(scene: Scene) -> None:
    scene.broker.stop_takes_effect = False
    scene.limits(340)  # by then no graceful stop can be at work any more
    with pytest.raises(
        Stopped, match="still runs 3.. s after it was told to stop, so it was not restarted"
    ):
        scene.stop()
    assert scene.broker.starts == []


@HOSTED
def test_a_broker_that_may_be_in_its_graceful_stop_is_not_called_up(scene: Scene) -> None:
    scene.broker.stop_takes_effect = False
    with pytest.raises(BrokerDown, match="no metrics tell whether the broker is stopping") as down:
        scene.stop()
    assert down.value.code == "stop-still-at-work"


def test_a_stop_that_fails_and_changes_nothing_may_yet_work_and_is_waited_for_to_the_limit(
    scene: Scene,
) -> None:
    scene.broker.stop_takes_effect, scene.broker.stop_status = False, 3
    scene.limits(340)
    with pytest.raises(Stopped, match="still runs 340 s after .*ended with status 3"):
        scene.stop()
    assert scene.broker.starts == []


def test_a_stop_that_fails_and_works_later_all_the_same_is_followed_by_a_start(
    scene: Scene,
) -> None:
    scene.broker.stop_status, scene.broker.stop_returns_after = 1, 25.0
    scene.broker.stop_delay, scene.broker.process_ends_after = 80.0, 82.0
    scene.whole()
    assert scene.broker.registered and scene.broker.process == 200


def test_a_stop_that_fails_but_takes_the_broker_down_is_followed_by_a_start(scene: Scene) -> None:
    scene.broker.stop_status = 3
    scene.whole()
    assert scene.broker.registered and scene.broker.process == 200


def test_a_broker_that_never_quite_goes_is_reported_and_can_still_be_started(scene: Scene) -> None:
    scene.broker.process_ends_after = 130
    assert "was not proven to be gone" in scene.stop()
    scene.start()
    assert scene.broker.process == 200 and scene.broker.registered


def intervals(moments: list[float]) -> list[float]:
    return [round(after - before) for before, after in zip(moments, moments[1:], strict=False)]


def test_a_start_that_fails_is_tried_again_to_the_limit_and_names_the_line_to_type(
    scene: Scene,
) -> None:
    scene.broker.start_takes_effect, scene.broker.start_status = False, 1
    scene.stop()
    with pytest.raises(BrokerDown) as down:
        scene.start()
    assert intervals(scene.broker.starts) == [15, 30, 60]
    assert 120 <= scene.clock.now() - scene.broker.stops[0] <= 121  # the limit
    assert "broker 1 (n1) is DOWN" in str(down.value) and scene.restart.is_down
    assert down.value.code == "broker-down"


def test_a_start_that_fails_for_a_while_works_in_the_end(scene: Scene) -> None:
    scene.broker.start_takes_effect, scene.broker.start_status = False, 1
    scene.stop()
    scene.clock.plan(50, lambda: setattr(scene.broker, "start_takes_effect", True))
    scene.start()
    assert scene.broker.registered


def test_a_process_that_appears_long_after_its_start_is_not_launched_three_times(
    scene: Scene,
) -> None:
    scene.limits(600)
    scene.broker.start_delay = 100.0
    scene.whole()
    assert intervals(scene.broker.starts) == [60]
    assert scene.broker.starts[0] + 100 < scene.clock.now() < scene.broker.starts[0] + 110


def test_a_broker_that_is_down_is_told_how_to_see_that_it_is_up(scene: Scene) -> None:
    scene.broker.start_takes_effect = False
    scene.stop()
    with pytest.raises(
        BrokerDown, match="status 0 proves nothing: --dry-run shows whether the broker is up"
    ):
        scene.start()


def test_a_start_is_sent_as_soon_as_the_host_lets_us_in_again(scene: Scene) -> None:
    scene.stop()
    scene.broker.ssh_down = True
    scene.clock.plan(60, lambda: setattr(scene.broker, "ssh_down", False))
    scene.start()
    assert len(scene.broker.starts) == 1 and scene.broker.registered
    assert scene.told.count("starting it") == 1
    said = [line for line in scene.events.wrong if "did not reach the host" in line]
    assert said == [
        "the start command did not reach the host: ssh n1: Connection refused; trying again every "
        "10 s"
    ]


def test_a_host_that_never_lets_us_in_again_ends_in_bounded_time(scene: Scene) -> None:
    scene.stop()
    scene.broker.ssh_down = True
    with pytest.raises(
        BrokerDown,
        match="no start command reached its host.*Connection refused.*Fix SSH to that host",
    ):
        scene.start()
    assert scene.clock.now() < 1000 + 200


def test_a_host_that_does_not_show_its_processes_any_more_is_named_once(scene: Scene) -> None:
    scene.restart.look_before()
    scene.broker.stop_returns_after = 0.0
    scene.clock.plan(0.5, lambda: setattr(scene.broker, "ssh_down", True))
    scene.clock.plan(30, lambda: setattr(scene.broker, "ssh_down", False))
    scene.stop_now()
    said = [line for line in scene.events.wrong if "cannot be looked for" in line]
    assert said == ["its process cannot be looked for: ssh n1: Connection refused; trying again"]


def test_a_start_is_not_advised_while_the_old_process_is_there(scene: Scene) -> None:
    scene.broker.process_ends_after = 10_000.0
    assert "was not proven to be gone 120 s after" in scene.stop()
    with pytest.raises(BrokerDown, match="A start does nothing while pid 100 is there"):
        scene.start()


def test_nothing_is_stopped_when_the_host_does_not_let_us_in(scene: Scene) -> None:
    scene.broker.ssh_down = True
    with pytest.raises(Stopped, match="was not stopped"):
        scene.stop()
    assert scene.broker.stops == []


def test_nothing_is_stopped_that_is_not_seen_to_run(scene: Scene) -> None:
    scene.broker.metrics = False
    with pytest.raises(Stopped, match="not certain that it runs: (404|Connection refused)"):
        scene.stop()
    assert scene.broker.stops == []


def test_a_broker_is_started_while_zookeeper_is_away_because_its_process_was_seen_to_be_gone(
    scene: Scene,
) -> None:
    scene.restart.look_before()
    scene.broker.registry_down = True
    scene.stop_now()
    scene.clock.plan(10, lambda: setattr(scene.broker, "registry_down", False))
    scene.start()
    assert len(scene.broker.starts) == 1 and scene.broker.process == 200


@METERED
def test_a_cache_that_still_answers_for_a_dead_process_does_not_hold_up_its_start(
    scene: Scene,
) -> None:
    scene.restart.look_before()
    scene.broker.cached = scene.broker.read()
    scene.stop_now()
    assert scene.clock.now() - scene.broker.stops[0] < 10


@METERED
def test_a_cache_that_still_answers_is_no_proof_where_the_process_cannot_be_seen(
    scene: Scene,
) -> None:
    scene.broker.ps_hidden = True
    scene.restart.look_before()
    scene.broker.cached = scene.broker.read()
    assert "was not proven to be gone" in scene.stop_now()


def test_the_old_registration_or_the_old_process_is_not_taken_for_the_new_one(scene: Scene) -> None:
    scene.stop()
    scene.broker.start_takes_effect = False
    scene.broker.registered, scene.broker.czxid = True, 11  # a registration, but no JVM
    with pytest.raises(BrokerDown):
        scene.start()


def test_a_stop_command_that_never_returns_does_not_hold_up_the_start_but_nothing_is_over_before_it(
    scene: Scene,
) -> None:
    scene.broker.stop_returns_after = 10_000.0
    scene.stop()
    with pytest.raises(
        BrokerDown, match="is up again 120 s after .* may still run, and take it DOWN again"
    ):
        scene.start()
    down = scene.broker.starts[0] - scene.broker.stops[0]
    # it has its settling time, because it might yet take the new process down too
    assert 15 <= down < 20
    assert scene.broker.process == 200 and len(scene.broker.starts) == 1
    assert any(
        "the stop command has not returned 15 s after the broker was gone" in line
        for line in scene.told
    )


@pytest.mark.parametrize("kills_at", [17.0, 45.0, 80.0])
@pytest.mark.parametrize("breaks", [False, True])
def test_a_broker_that_its_stop_command_kills_again_at_its_end_is_started_again(
    scene: Scene, kills_at: float, breaks: bool
) -> None:
    scene.broker.kills_at, scene.broker.stop_returns_after, scene.broker.stop_breaks = (
        kills_at,
        kills_at + 1,
        breaks,
    )
    scene.whole()
    assert scene.clock.now() - scene.broker.stops[0] > kills_at + 1
    assert scene.broker.process == 200 and scene.broker.registered
    assert scene.broker.born - scene.broker.stops[0] > kills_at


def test_a_stop_that_ends_while_its_host_is_slowly_asked_is_over_when_the_host_answers(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakePending, "question_takes", 20.0)
    scene.limits(600)
    scene.broker.stop_breaks, scene.broker.stop_returns_after = True, 80.0
    scene.broker.kills_at = 86.0  # what it sent last takes its time
    scene.whole()
    scene.clock.sleep(60)
    assert scene.broker.process == 200 and scene.broker.born - scene.broker.stops[0] > 86


def test_a_process_that_was_born_while_its_stop_command_ran_has_to_outlive_it(scene: Scene) -> None:
    scene.limits(600)
    scene.broker.metrics_delay, scene.broker.registers_after = (
        8.0,
        9.0,
    )  # nothing of it shows before
    scene.broker.stop_returns_after, scene.broker.kills_at = 20.5, 30.0
    scene.whole()
    scene.clock.sleep(60)
    assert scene.broker.process == 200 and scene.broker.born - scene.broker.stops[0] > 30


def test_a_stop_command_that_ends_late_and_kills_nothing_is_waited_for(scene: Scene) -> None:
    scene.broker.stop_returns_after = 45.0
    scene.whole()
    assert len(scene.broker.starts) == 1
    assert scene.clock.now() - scene.broker.stops[0] >= 45 + 15  # its effect may show late


def test_a_stop_command_of_which_the_host_does_not_tell_is_not_taken_to_have_ended(
    scene: Scene,
) -> None:
    scene.broker.stop_breaks = scene.broker.commands_hidden = True
    scene.stop()
    with pytest.raises(BrokerDown, match="may still run, and take it DOWN again"):
        scene.start()
    assert scene.broker.starts[0] - scene.broker.stops[0] >= 2.5 + 15


def test_a_stop_command_that_never_returns_and_does_nothing_leaves_a_running_broker_alone(
    scene: Scene,
) -> None:
    scene.broker.stop_returns_after, scene.broker.stop_takes_effect = 10_000.0, False
    with pytest.raises(
        BrokerDown,
        match="still runs 120 s after .* may yet go DOWN: the stop command has not returned",
    ):
        scene.stop()
    assert scene.broker.starts == []


def test_a_stop_whose_end_was_not_seen_may_yet_work_and_is_waited_for_to_the_limit(
    scene: Scene,
) -> None:
    scene.broker.stop_breaks, scene.broker.process_ends_after = True, 60.0
    scene.broker.stop_delay = 58.0  # it hangs in a queue on the host before it does anything
    scene.whole()
    assert scene.broker.starts[0] - scene.broker.stops[0] >= 60
    assert scene.broker.process == 200


def test_a_stop_whose_end_was_not_seen_is_looked_for_on_its_host_before_the_start(
    scene: Scene,
) -> None:
    scene.broker.stop_breaks, scene.broker.stop_returns_after = True, 9.0
    scene.whole()
    assert 9 <= scene.broker.starts[0] - scene.broker.stops[0] < 10
    assert not any("has not returned" in line for line in scene.told)


def test_a_new_process_that_the_stop_command_may_yet_kill_is_not_taken_for_the_one_that_is_back(
    scene: Scene,
) -> None:
    def supervisor() -> None:
        scene.broker._launch()

    scene.broker.stop_returns_after, scene.broker.kills_at = 20.0, 19.0
    scene.clock.plan(4, supervisor)
    assert scene.stop() == ""
    scene.start()
    assert scene.broker.process == 200 and scene.broker.born - scene.broker.stops[0] > 19
    assert len(scene.broker.starts) == 1


@METERED
def test_a_process_that_does_not_run_is_not_back(scene: Scene) -> None:
    scene.stop()
    read = scene.broker.read
    stopping = replace(SOUND, state=6)
    scene.broker.read = lambda: replace(read(), metrics=stopping)  # type: ignore[method-assign]
    with pytest.raises(BrokerDown, match="its new JVM runs: .*stopping"):
        scene.start()


def test_a_process_that_was_born_before_its_start_was_sent_is_told_apart(scene: Scene) -> None:
    scene.stop()
    scene.broker._launch()
    scene.clock.sleep(40)  # post-stop tasks
    scene.start()
    assert scene.restart.is_from_others


def test_our_own_process_is_not_taken_for_one_of_others(scene: Scene) -> None:
    scene.whole()
    assert not scene.restart.is_from_others


def test_looks_that_cannot_be_made_are_unknown_and_the_broker_is_started(scene: Scene) -> None:
    scene.stop()
    read, observe, age = scene.broker.read, scene.broker.observe, scene.broker.process_age

    def no_thread(*_args: object) -> Any:
        raise RuntimeError("can't start new thread")

    def mend() -> None:
        scene.broker.read = read  # type: ignore[method-assign]
        scene.broker.observe = observe  # type: ignore[method-assign]
        scene.broker.process_age = age  # type: ignore[method-assign]

    scene.broker.read = no_thread  # type: ignore[method-assign]
    scene.broker.observe = no_thread  # type: ignore[method-assign,assignment]
    scene.broker.process_age = no_thread  # type: ignore[method-assign,assignment]
    scene.clock.plan(10, mend)
    scene.start()
    assert scene.broker.registered and len(scene.broker.starts) == 1


def test_a_stop_that_comes_too_late_is_not_sent(scene: Scene) -> None:
    scene.restart.look_before()
    with pytest.raises(Stopped, match="was not stopped: .* was not sent: held up"):
        scene.stop_now(lambda: "held up for 600 s")
    assert scene.broker.stops == [] and not scene.restart.stop_was_sent


def test_a_broker_that_something_else_started_before_it_was_seen_to_be_gone_is_not_started_again(
    scene: Scene,
) -> None:
    def supervisor() -> None:
        scene.broker.process, scene.broker.born, scene.broker.metrics = 300, scene.clock.now(), True
        scene.broker.registered, scene.broker.czxid = True, 99

    scene.broker.stop_returns_after = 0.0
    scene.clock.plan(2.6, supervisor)
    scene.broker._silence = lambda: None  # type: ignore[method-assign]
    scene.broker.stop_takes_effect = False
    assert "was started by something else" in scene.stop()
    scene.start()
    assert scene.broker.starts == [] and scene.broker.process == 300


@METERED
def test_a_process_that_could_be_seen_in_the_preflight_and_cannot_be_now_is_not_stopped(
    scene: Scene,
) -> None:
    scene.broker.sees_process, scene.broker.ps_hidden = True, True
    with pytest.raises(Stopped, match="the preflight saw its process"):
        scene.stop()
    assert scene.broker.stops == []


def test_a_broker_that_takes_longer_than_the_limit_to_go_is_started_once_more_when_it_is_gone(
    scene: Scene,
) -> None:
    scene.broker.process_ends_after, scene.broker.stop_returns_after = 170.0, 0.0
    assert "was not proven to be gone" in scene.stop()
    scene.start()
    assert scene.broker.process == 200 and scene.broker.registered


@METERED
def test_starts_are_spread_so_that_one_of_them_finds_a_slow_hidden_process_gone(
    scene: Scene,
) -> None:
    scene.broker.ps_hidden = True
    scene.broker.stop_returns_after, scene.broker.process_ends_after = 0.0, 55.0
    scene.whole()
    assert scene.broker.process == 200


@METERED
def test_where_no_proxy_listens_a_broker_is_not_said_to_be_down(scene: Scene) -> None:
    scene.stop()
    scene.broker.start_takes_effect = False
    read = scene.broker.read
    scene.broker.read = lambda: replace(read(), source_is_down=True)  # type: ignore[method-assign]
    with pytest.raises(BrokerDown, match="may be DOWN"):
        scene.start()
    assert scene.clock.now() - scene.broker.stops[0] >= 120


def test_a_registered_broker_that_is_stopping_is_spared_the_reading_of_all_its_metrics(
    scene: Scene,
) -> None:
    scene.broker.stop_takes_effect, scene.broker.stop_returns_after = False, 30.0
    scene.restart.look_before()
    reads: list[float] = []
    read = scene.broker.read

    def counted() -> Sample:
        reads.append(scene.clock.now())
        return read()

    scene.broker.read = counted  # type: ignore[method-assign]
    scene.clock.plan(20, scene.broker._unregister)
    scene.clock.plan(21, scene.broker._silence)
    scene.clock.plan(22, scene.broker._end)
    scene.stop_now()
    assert reads[0] - scene.broker.stops[0] >= 20


def test_a_start_command_that_is_at_work_is_not_overtaken_by_another(scene: Scene) -> None:
    scene.broker.start_delay, scene.broker.start_returns_after = 95.0, 96.0
    scene.whole()
    assert len(scene.broker.starts) == 1
    assert scene.broker.process == 200


def test_a_start_command_that_gives_up_and_kills_what_it_started_is_sent_again(
    scene: Scene,
) -> None:
    scene.broker.start_status, scene.broker.start_returns_after = 1, 40.0
    scene.stop()
    scene.clock.plan(40, scene.broker.kill)
    scene.clock.plan(41, lambda: setattr(scene.broker, "start_returns_after", 1.0))
    scene.clock.plan(41, lambda: setattr(scene.broker, "start_status", 0))
    scene.start()
    assert len(scene.broker.starts) == 2 and scene.broker.registered


def test_a_start_command_that_never_ends_is_waited_for_to_the_limit_with_the_broker_up(
    scene: Scene,
) -> None:
    scene.broker.start_returns_after = 10_000.0
    scene.limits(150)
    scene.whole()
    assert 150 <= scene.clock.now() - scene.broker.starts[0] < 152
    assert any("is back, but the start command has not returned" in line for line in scene.told)


@pytest.mark.parametrize("gives_up_at", [112.0, 150.0, 290.0])
@pytest.mark.parametrize("breaks", [False, True])
def test_a_start_command_that_gives_up_late_has_not_the_last_word(
    scene: Scene, gives_up_at: float, breaks: bool
) -> None:
    scene.limits(400)
    scene.broker.start_status, scene.broker.start_returns_after = 1, gives_up_at
    scene.broker.start_breaks = breaks
    scene.stop()
    scene.clock.plan(gives_up_at + 12, scene.broker.kill)  # what it told to end takes its time
    scene.clock.plan(gives_up_at + 11, lambda: setattr(scene.broker, "start_returns_after", 1.0))
    scene.clock.plan(gives_up_at + 11, lambda: setattr(scene.broker, "start_status", 0))
    scene.start()
    assert scene.broker.born - scene.broker.starts[0] > gives_up_at
    assert scene.broker.registered and scene.broker.process == 200


def test_no_start_is_sent_beside_one_that_runs_though_a_later_one_did_not_reach_the_host(
    scene: Scene,
) -> None:
    scene.limits(300)
    scene.broker.start_takes_effect, scene.broker.start_breaks, scene.broker.start_returns_after = (
        False,
        True,
        90.0,
    )
    scene.stop()
    scene.clock.plan(15, lambda: setattr(scene.broker, "ssh_down", True))
    scene.clock.plan(40, lambda: setattr(scene.broker, "ssh_down", False))
    scene.clock.plan(60, lambda: setattr(scene.broker, "start_takes_effect", True))
    scene.start()
    assert scene.broker.starts[1] - scene.broker.starts[0] >= 89.9


def test_a_connection_that_is_dead_without_our_knowing_does_not_hold_up_the_start_to_the_limit(
    scene: Scene,
) -> None:
    scene.limits(600)
    scene.broker.start_takes_effect, scene.broker.start_returns_after = False, 10_000.0
    scene.broker.commands_end_unseen = True
    scene.stop()
    scene.clock.plan(60, lambda: setattr(scene.broker, "start_takes_effect", True))
    scene.start()
    assert (
        scene.broker.starts[1] - scene.broker.starts[0] < 90
        and scene.clock.now() - scene.broker.stops[0] < 160
    )


def test_a_stop_whose_connection_died_is_over_once_its_host_says_so(scene: Scene) -> None:
    scene.broker.stop_returns_after, scene.broker.commands_end_unseen = 10_000.0, True
    scene.whole()
    assert 60 <= scene.clock.now() - scene.broker.stops[0] < 100


def test_a_broker_that_serves_at_the_limit_is_given_the_time_to_outlive_its_stop(
    scene: Scene,
) -> None:
    scene.broker.stop_returns_after = 118.0
    scene.whole()
    assert 133 <= scene.clock.now() - scene.broker.stops[0] <= 135


def test_a_start_that_comes_to_nothing_is_repeated_within_a_short_limit(scene: Scene) -> None:
    scene.limits(60)
    scene.broker.start_takes_effect = False
    scene.stop()
    with pytest.raises(BrokerDown):
        scene.start()
    assert len(scene.broker.starts) >= 2


def test_a_start_command_that_fails_though_the_broker_came_is_given_time_to_take_it_down_again(
    scene: Scene,
) -> None:
    scene.broker.start_status, scene.broker.start_returns_after = 1, 20.0
    scene.whole()
    assert scene.clock.now() - scene.broker.starts[0] >= 35


def test_a_start_command_that_never_returns_ends_at_the_limit(scene: Scene) -> None:
    scene.broker.start_takes_effect, scene.broker.start_returns_after = False, 10_000.0
    scene.stop()
    with pytest.raises(BrokerDown, match="The last start command has not returned for 117 s"):
        scene.start()
    assert len(scene.broker.starts) == 1


@METERED
def test_a_new_process_is_known_by_its_uptime_where_the_clock_of_its_host_went_back(
    scene: Scene,
) -> None:
    scene.stop()
    read = scene.broker.read

    def an_hour_ago() -> Sample:
        reading = read()
        assert reading.jvm is not None
        return replace(
            reading, jvm=replace(reading.jvm, start_ms=reading.jvm.start_ms - 6 * 3_600_000)
        )

    def read_new() -> Sample:
        return an_hour_ago() if scene.broker.process == 200 else read()

    scene.broker.read = read_new  # type: ignore[method-assign]
    scene.start()
    assert len(scene.broker.starts) == 1


@METERED
def test_a_wait_that_lasts_says_what_is_seen_once_a_minute_and_for_how_long(scene: Scene) -> None:
    scene.stop()
    read = scene.broker.read

    def recovering() -> Sample:
        return (
            replace(read(), metrics=replace(SOUND, state=2))
            if scene.broker.process == 200
            else read()
        )

    scene.broker.read = recovering  # type: ignore[method-assign]
    scene.broker._register = lambda: None  # type: ignore[method-assign]
    with pytest.raises(
        BrokerDown, match="its new JVM runs: .*recovering its logs .state 2"
    ) as down:
        scene.start()
    assert down.value.code == "broker-still-starting"
    news = [line for line in scene.told if "still waiting until it is back" in line]
    assert len(news) == 1
    assert "its JVM answers: recovering its logs (state 2)" in news[0] and news[0].endswith(
        "in this state for 60 s"
    )


class Questions:
    """A command whose connection broke, on a host that takes long to tell that it runs."""

    ended = True

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.asked = 0

    def result(self) -> CommandResult:
        raise SshError("the connection broke", sent=True)

    def still_runs(self) -> bool:
        self.asked += 1
        self._clock.sleep(40.0)
        return True


def test_a_host_that_is_slow_to_tell_of_a_command_is_asked_once_at_a_look() -> None:
    clock = FakeClock()
    questions = Questions(clock)
    command = Command(questions, clock.now(), clock)
    assert command.hear(clock.now())
    assert [command.is_over(clock.now()) for _ in range(4)] == [False] * 4
    assert questions.asked == 1
    clock.sleep(ASK_AGAIN_S)
    assert command.is_over(clock.now()) is False
    assert questions.asked == 2


# A process that only its host tells of


@HOSTED
def test_nothing_is_stopped_whose_process_its_host_does_not_show(scene: Scene) -> None:
    scene.broker.ps_hidden = True
    with pytest.raises(Stopped, match="not certain that it runs: several processes match"):
        scene.stop()
    assert scene.broker.stops == []


@HOSTED
def test_the_old_process_that_serves_again_is_not_taken_for_a_new_one(scene: Scene) -> None:
    scene.broker.process_ends_after = 10_000.0
    scene.stop()  # it closed its port, and lives
    scene.broker.metrics = scene.broker.registered = True
    with pytest.raises(BrokerDown):
        scene.start()


@HOSTED
def test_a_port_that_somebody_else_answers_at_is_no_proof_of_a_new_process(scene: Scene) -> None:
    scene.stop()
    scene.broker.start_takes_effect = False
    scene.broker.metrics = scene.broker.registered = True
    with pytest.raises(BrokerDown) as down:
        scene.start()
    assert "it serves, and its process is not seen (no process of it runs)" in str(down.value)
    assert len(scene.broker.starts) == 1  # nothing says that it is missing, and nothing that it is


@HOSTED
def test_a_new_process_whose_port_does_not_answer_is_not_back(scene: Scene) -> None:
    scene.stop()
    scene.broker._answer = lambda: None  # type: ignore[method-assign]
    with pytest.raises(BrokerDown, match="its new JVM runs: .*does not serve .Connection refused"):
        scene.start()


@HOSTED
def test_a_host_that_cannot_be_reached_during_the_stop_proves_nothing(scene: Scene) -> None:
    scene.restart.look_before()
    scene.broker.stop_returns_after = 0.0
    scene.clock.plan(0.1, lambda: setattr(scene.broker, "ssh_down", True))
    scene.clock.plan(50, lambda: setattr(scene.broker, "ssh_down", False))
    scene.stop_now()
    assert scene.clock.now() - scene.broker.stops[0] >= 50
    scene.start()
    assert scene.broker.process == 200 and len(scene.broker.starts) == 1


@HOSTED
def test_a_host_that_shows_several_processes_during_the_stop_is_asked_for_the_old_one(
    scene: Scene,
) -> None:
    scene.restart.look_before()
    scene.broker.ps_hidden = True  # such as somebody's command line that matches, too
    scene.stop_now()
    scene.broker.ps_hidden = False
    scene.start()
    assert scene.broker.starts[0] - scene.broker.stops[0] >= 2.5
    assert scene.broker.process == 200


@HOSTED
def test_a_new_process_is_known_by_its_identity_where_the_clock_of_its_host_went_back(
    scene: Scene,
) -> None:
    scene.stop()
    find = scene.broker.find_process

    def an_hour_ago() -> FoundProcess:
        found = find()
        if found.jvm is None:
            return found
        start_ms = found.jvm.start_ms - 6 * 3_600_000
        return replace(found, jvm=replace(found.jvm, start_ms=start_ms))

    scene.broker.find_process = an_hour_ago  # type: ignore[method-assign]
    scene.start()
    assert len(scene.broker.starts) == 1


@HOSTED
def test_a_broker_that_hangs_is_not_stopped_as_one_that_runs(scene: Scene) -> None:
    scene.broker.metrics = False
    with pytest.raises(Stopped) as stopped:
        scene.stop()
    assert stopped.value.code == "broker-not-verified"


@HOSTED
def test_an_uptime_in_whole_seconds_that_comes_late_is_fresh_all_the_same(scene: Scene) -> None:
    find = scene.broker.find_process
    delays = [0.0, 2.7, 0.1, 4.9, 0.0, 1.3] * 20

    def slowly() -> FoundProcess:
        found = find()
        scene.clock.sleep(delays.pop())  # the answer is under way
        if found.jvm is None:
            return found
        return replace(found, jvm=replace(found.jvm, uptime_ms=found.jvm.uptime_ms // 1000 * 1000))

    scene.broker.find_process = slowly  # type: ignore[method-assign]
    scene.whole()
    assert len(scene.broker.starts) == 1
    assert scene.clock.now() - scene.broker.starts[0] < 20


@HOSTED
def test_an_answer_that_could_not_be_had_is_told_as_one_of_the_port(scene: Scene) -> None:
    scene.stop()

    def late() -> Sample:  # as it is made where no answer came within its limit
        now = scene.clock.now()
        return Sample(now, now, reason="no answer within 10 s")

    scene.broker.read = late  # type: ignore[method-assign]
    with pytest.raises(BrokerDown, match="its process runs, and does not serve .no answer within"):
        scene.start()
