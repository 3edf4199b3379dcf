"""Several works under one clock."""

import pytest

from kafka_rolling_restart.errors import Interrupted
from kafka_rolling_restart.restart.together import Work, alone, together
from tests.fakes import FakeClock


def steps(clock: FakeClock, told: list[tuple[str, float]], name: str, *rests: float) -> Work[str]:
    for rest in rests:
        told.append((name, clock.now() - 1000))
        yield rest
    told.append((name, clock.now() - 1000))
    return name.upper()


def test_whoever_is_due_first_goes_on_first_and_all_results_are_there() -> None:
    clock, told = FakeClock(), list[tuple[str, float]]()
    ended = together(
        clock, {"a": steps(clock, told, "a", 3, 3), "b": steps(clock, told, "b", 1, 1, 5)}
    )
    assert told == [("a", 0), ("b", 0), ("b", 1), ("b", 2), ("a", 3), ("a", 6), ("b", 7)]
    assert {name: result() for name, result in ended.items()} == {"a": "A", "b": "B"}


def failing(error: BaseException) -> Work[str]:
    yield 1
    raise error


def test_one_that_fails_does_not_keep_the_others_from_their_ends() -> None:
    clock, told = FakeClock(), list[tuple[str, float]]()
    ended = together(clock, {"a": failing(ValueError("no")), "b": steps(clock, told, "b", 2, 2)})
    assert ended["b"]() == "B"
    with pytest.raises(ValueError, match="no"):
        ended["a"]()


def test_a_signal_ends_all_at_once() -> None:
    clock, told = FakeClock(), list[tuple[str, float]]()
    with pytest.raises(Interrupted):
        together(
            clock, {"a": failing(Interrupted(15, "SIGTERM")), "b": steps(clock, told, "b", 2, 2)}
        )
    assert len(told) == 1


def test_one_alone_returns_its_result() -> None:
    clock, told = FakeClock(), list[tuple[str, float]]()
    assert alone(clock, steps(clock, told, "a", 3)) == "A" and clock.now() == 1003
