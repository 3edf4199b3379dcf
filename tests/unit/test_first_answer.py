import threading
import time
from collections.abc import Callable

import pytest

from kafka_rolling_restart.errors import RegistryDenied, RegistryUnavailable
from kafka_rolling_restart.registry.kafka.answers import Address
from kafka_rolling_restart.registry.kafka.first_answer import PATIENCE_S, first_answer

A, B, C = ("a", 1), ("b", 1), ("c", 1)


class Servers:
    """Servers that answer with their name, unless something else is said of them."""

    def __init__(self, **behave: Callable[[float], str]) -> None:
        self.behave = behave
        self.asked: list[str] = []

    def ask(self, address: Address, timeout: float) -> str:
        self.asked.append(address[0])
        if address[0] in self.behave:
            return self.behave[address[0]](timeout)
        return address[0]


def hang(timeout: float) -> str:
    time.sleep(timeout)
    raise RegistryUnavailable("timed out")


def refuse(_timeout: float) -> str:
    raise RegistryUnavailable("Connection refused")


def deny(_timeout: float) -> str:
    raise RegistryDenied("wrong password")


def test_the_first_server_is_asked_alone_where_it_answers() -> None:
    servers = Servers()
    assert first_answer([A, B, C], servers.ask, 5) == "a"
    assert servers.asked == ["a"]


def test_one_that_fails_costs_no_time() -> None:
    servers = Servers(a=refuse, b=refuse)
    began = time.monotonic()
    assert first_answer([A, B, C], servers.ask, 5) == "c"
    assert time.monotonic() - began < PATIENCE_S
    assert servers.asked == ["a", "b", "c"]


def test_one_that_is_frozen_costs_half_a_second() -> None:
    servers = Servers(a=hang)
    began = time.monotonic()
    assert first_answer([A, B, C], servers.ask, 5) == "b"
    assert PATIENCE_S <= time.monotonic() - began < PATIENCE_S + 0.4


def test_the_first_may_still_answer_when_the_second_was_asked_too() -> None:
    def late(_timeout: float) -> str:
        time.sleep(PATIENCE_S + 0.2)
        return "a, late"

    assert first_answer([A, B], Servers(a=late, b=hang).ask, 5) == "a, late"


def test_many_that_are_down_do_not_hide_the_last_one_that_runs() -> None:
    down = {f"n{one}": refuse for one in range(50)}
    servers = Servers(**down)
    assert first_answer([*((name, 1) for name in down), C], servers.ask, 5) == "c"


def test_five_that_are_frozen_do_not_hide_the_sixth() -> None:
    frozen = {f"n{one}": hang for one in range(5)}
    servers = Servers(**frozen)
    assert first_answer([*((name, 1) for name in frozen), C], servers.ask, 5) == "c"


def test_a_refused_login_is_said_at_once() -> None:
    servers = Servers(a=deny)
    with pytest.raises(RegistryDenied, match="wrong password"):
        first_answer([A, B], servers.ask, 5)
    assert servers.asked == ["a"]


def test_where_all_fail_each_reason_is_said_once() -> None:
    with pytest.raises(RegistryUnavailable) as none:
        first_answer([A, B, C], Servers(a=refuse, b=hang, c=refuse).ask, 0.8)
    assert str(none.value).count("Connection refused") == 1
    assert none.value.advice and none.value.code == "registry-unreachable"


def test_where_a_thousand_fail_the_line_stays_short() -> None:
    def fail(address: Address, _timeout: float) -> str:
        raise RegistryUnavailable(f"{address[0]} is down")

    with pytest.raises(RegistryUnavailable) as none:
        first_answer([(f"n{one}", 1) for one in range(100)], fail, 5)
    assert str(none.value).endswith("n3 is down; and 96 more servers")


def test_silence_ends_in_time() -> None:
    forever = threading.Event()

    def ask(_address: Address, _timeout: float) -> str:
        forever.wait(10)
        return ""

    began = time.monotonic()
    with pytest.raises(RegistryUnavailable, match="no broker answered within 0.3 s"):
        first_answer([A, B], ask, 0.3)
    assert time.monotonic() - began < 0.6
    forever.set()


def test_nobody_to_ask_is_no_answer() -> None:
    with pytest.raises(RegistryUnavailable, match="no broker answered"):
        first_answer([], Servers().ask, 5)


def test_what_is_no_silence_is_raised_as_it_is() -> None:
    def ask(_address: Address, _timeout: float) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        first_answer([A, B], ask, 5)


def test_a_machine_without_threads_is_no_answer_and_no_crash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_more(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    with pytest.raises(RegistryUnavailable, match="can't start new thread"):
        first_answer([A], Servers().ask, 0.1)
