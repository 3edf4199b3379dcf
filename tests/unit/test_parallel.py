import threading
import time
from functools import partial

import pytest

from kafka_rolling_restart.parallel import (
    Background,
    NotInTime,
    Standby,
    call_in_thread,
    in_parallel,
    reminding,
)


def test_a_call_in_the_background_is_not_waited_for_and_tells_its_end() -> None:
    go = threading.Event()
    call = Background(lambda: go.wait(10))
    assert not call.ended
    with pytest.raises(ValueError, match="has not ended"):
        call.result()
    go.set()
    _wait_for(call)
    assert call.result() is True


def test_what_a_call_in_the_background_raises_is_raised_where_its_result_is_asked_for() -> None:
    call: Background[float] = Background(lambda: 1 / 0)
    _wait_for(call)
    with pytest.raises(ZeroDivisionError):
        call.result()


def test_calls_that_do_not_return_in_time_are_missing_and_not_waited_for() -> None:
    never = threading.Event()
    assert in_parallel({1: lambda: "one", 2: lambda: never.wait(60)}, limit=0.2) == {1: "one"}
    never.set()


def test_a_call_aside_that_does_not_return_in_time_is_left_alone() -> None:
    never = threading.Event()
    with pytest.raises(NotInTime, match="no answer within 0.1 s"):
        call_in_thread(lambda: never.wait(60), 0.1)
    never.set()
    assert call_in_thread(lambda: "one", 10) == "one"
    with pytest.raises(ZeroDivisionError):
        call_in_thread(lambda: 1 / 0)


def test_what_lasts_is_said_again_and_again_until_it_has_ended() -> None:
    heard: list[float] = []
    three = threading.Event()

    def hear(seconds: float) -> None:
        heard.append(seconds)
        if len(heard) >= 3:
            three.set()

    with reminding(0.01, hear):
        assert three.wait(30)
    count = len(heard)
    threading.Event().wait(0.1)
    assert heard == sorted(heard) and len(heard) <= count + 1


def _wait_for(call: Background[object] | Background[bool] | Background[float]) -> None:
    for _ in range(1000):
        if call.ended:
            return
        threading.Event().wait(0.01)
    raise AssertionError("the call did not end")


def test_more_calls_are_made_at_a_time_where_they_only_wait() -> None:
    all_wait = threading.Barrier(40)
    assert (
        len(in_parallel({one: lambda: all_wait.wait(30) for one in range(40)}, workers=5, most=40))
        == 40
    )


def test_calls_that_have_not_begun_at_the_limit_are_never_made() -> None:
    over, made = threading.Event(), list[int]()

    def call(number: int) -> None:
        made.append(number)
        over.wait(30)

    assert in_parallel({one: partial(call, one) for one in range(9)}, workers=3, limit=0.2) == {}
    over.set()
    threading.Event().wait(0.2)
    assert made == [0, 1, 2]


def test_a_standby_has_another_thread_where_all_are_at_work_and_uses_one_again_that_is_free() -> (
    None
):
    standby, may_end = Standby(1), threading.Event()
    busy = Background(may_end.wait, standby)
    assert standby.call(lambda: 5) == 5  # the first is at work
    may_end.set()
    while not busy.ended:
        time.sleep(0.001)
    before = threading.active_count()
    assert [standby.call(lambda: 6) for _ in range(5)] == [6] * 5
    assert threading.active_count() == before
    standby.dismiss()


def test_nobody_is_reminded_where_there_are_no_more_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_more(*_args: object, **_options: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("kafka_rolling_restart.parallel.threading.Thread", no_more)
    with reminding(0.01, lambda _seconds: None):
        pass
