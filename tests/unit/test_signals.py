import signal
from contextlib import suppress

import pytest

from kafka_rolling_restart.errors import Interrupted
from kafka_rolling_restart.signals import Signals
from tests.fakes import FakeClock


def test_a_signal_is_obeyed_at_once_outside_of_the_critical_section() -> None:
    with pytest.raises(Interrupted) as ended:
        Signals(lambda _name: None, FakeClock()).handle(signal.SIGTERM)
    assert ended.value.status == 128 + 15


def test_the_first_signal_is_said_and_put_off_until_the_critical_section_ends() -> None:
    said: list[str] = []
    signals, finished = Signals(said.append, FakeClock()), False
    with pytest.raises(Interrupted) as ended, signals.put_off():
        signals.handle(signal.SIGHUP)
        finished = True
    assert finished and said == ["SIGHUP"] and ended.value.status == 128 + 1


def test_a_second_signal_ends_the_critical_section_at_once() -> None:
    clock = FakeClock()
    signals = Signals(lambda _name: None, clock)
    with pytest.raises(Interrupted), signals.put_off():
        signals.handle(signal.SIGINT)
        clock.sleep(1)
        signals.handle(signal.SIGINT)
        raise AssertionError("the second signal did not end it")


@pytest.mark.parametrize(
    ("second", "after"), [(signal.SIGHUP, 0.0), (signal.SIGHUP, 60.0), (signal.SIGINT, 0.5)]
)
def test_a_terminal_that_closes_or_a_key_that_bounces_is_no_second_signal(
    second: int, after: float
) -> None:
    clock, finished = FakeClock(), False
    signals = Signals(lambda _name: None, clock)
    with pytest.raises(Interrupted), signals.put_off():
        signals.handle(signal.SIGHUP)
        clock.sleep(after)
        signals.handle(second)
        finished = True
    assert finished


def test_a_signal_that_a_task_swallowed_is_obeyed_before_the_next_broker_is_stopped() -> None:
    signals = Signals(lambda _name: None, FakeClock())
    with suppress(Interrupted):
        signals.handle(signal.SIGTERM)
    with pytest.raises(Interrupted), signals.put_off():
        raise AssertionError("it began all the same")


def test_the_last_words_are_not_cut_off_by_a_further_signal() -> None:
    signals = Signals(lambda _name: None, FakeClock())
    signals.deafen()
    signals.handle(signal.SIGINT)
    signals.obey()


def test_a_terminal_cannot_stop_the_critical_section() -> None:
    before = signal.getsignal(signal.SIGTSTP)
    with Signals(lambda _name: None, FakeClock()).put_off():
        assert signal.getsignal(signal.SIGTSTP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTTOU) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTTIN) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTSTP) is before


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        Signals(lambda _name: None, FakeClock()).listen()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
