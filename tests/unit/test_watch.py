"""The last look at what was restarted: gone, there, or not to be told."""

import threading
from collections.abc import Collection

import pytest

from kafka_rolling_restart.clock import SystemClock
from kafka_rolling_restart.errors import Stopped
from kafka_rolling_restart.model.broker import Broker, Jvm, Sample
from kafka_rolling_restart.model.observation import Observation, Presence
from kafka_rolling_restart.model.verdict import Health
from kafka_rolling_restart.roll.watch import ClusterWatch, readers
from tests.fakes import SOUND, FakeClock, NoClusterState

ONE = Broker(1, "n1", 10)
ANSWERS = Sample(0, 0, jvm=Jvm(1, 1), metrics=SOUND)
SILENT = Sample(0, 0, reason="404", silent=True)
NO_PROXY = Sample(0, 0, reason="Connection refused", silent=True, source_is_down=True)
TIMEOUT = Sample(0, 0, reason="timed out")


class Source:
    """A broker's metrics that are what they are."""

    tells_process = True

    def __init__(self, reading: Sample) -> None:
        self._reading = reading

    def read(self) -> Sample:
        return self._reading


class Registry(NoClusterState):
    """Registrations, or a ZooKeeper that does not answer."""

    def __init__(self, found: dict[int, int] | None) -> None:
        self._found = found

    def observe(self, ids: Collection[int], timeout: float | None = None) -> dict[int, Observation]:
        if self._found is None:
            return dict.fromkeys(ids, Observation(Presence.UNKNOWN))
        return {
            one: Observation(Presence.PRESENT if one in self._found else Presence.ABSENT)
            for one in ids
        }


@pytest.mark.parametrize(
    ("registered", "reading", "gone", "unseen"),
    [
        ({1: 10}, ANSWERS, [], []),
        ({1: 10}, TIMEOUT, [], []),
        ({}, ANSWERS, [ONE], []),
        ({1: 10}, SILENT, [ONE], []),  # killed: its registration lingers
        ({1: 10}, NO_PROXY, [], [ONE]),
        (None, ANSWERS, [], []),
        (None, SILENT, [ONE], []),
        (None, NO_PROXY, [], [ONE]),
        (None, TIMEOUT, [], [ONE]),
    ],
)
def test_a_broker_is_gone_there_or_not_to_be_told(
    registered: dict[int, int] | None, reading: Sample, gone: list[Broker], unseen: list[Broker]
) -> None:
    watch = ClusterWatch({1: ONE}, Registry(registered), {1: Source(reading)}, FakeClock())
    assert watch.missing([ONE], 5) == (gone, unseen)


def test_where_zookeeper_is_away_an_answer_out_of_a_cache_does_not_say_that_a_broker_is_there() -> (
    None
):
    watch = ClusterWatch({1: ONE}, Registry(None), {1: Source(ANSWERS)}, FakeClock())
    watch.look_first()
    assert watch.missing([ONE], 5) == ([], [ONE])


class Silence:
    """A broker that answers nothing before it is told to."""

    tells_process = True

    def __init__(self, until: threading.Event) -> None:
        self._until = until

    def read(self) -> Sample:
        self._until.wait()
        return TIMEOUT


def test_a_look_ends_in_time_though_some_never_answer_and_says_who_was_not_even_asked() -> None:
    over = threading.Event()
    silent = {number: Silence(over) for number in range(1, 500)}
    watch = ClusterWatch(
        {}, Registry({}), {**silent, 500: Source(ANSWERS)}, FakeClock(), patience=0.5
    )
    try:
        readings = watch.read_all()
    finally:
        over.set()
    assert list(readings) == list(range(1, 501))
    reasons = {one: reading.reason for one, reading in readings.items()}
    assert (
        "not all there within 0.5 s" in reasons[1]
        and "Give a longer --metrics-timeout" in reasons[500]
    )
    assert all(reading.jvm is None and not reading.silent for reading in readings.values())


@pytest.mark.parametrize(("files", "count"), [(256, 85), (1024, 341), (1_048_576, 400), (-1, 400)])
def test_as_many_are_read_at_a_time_as_there_may_be_open_files(files: int, count: int) -> None:
    assert readers(files) == count


def test_zookeeper_tells_of_hundreds_whose_metrics_cannot_all_be_read_in_time() -> None:
    over = threading.Event()
    brokers = [Broker(number, f"n{number}", number) for number in range(1, 301)]
    registered = {one.id: one.id for one in brokers}
    sources = {one.id: Silence(over) for one in brokers}
    watch = ClusterWatch(
        {one.id: one for one in brokers}, Registry(registered), sources, FakeClock()
    )
    try:
        assert watch.missing(brokers, 0.5) == ([], [])
    finally:
        over.set()


def test_the_metrics_of_one_broker_are_there_in_time_or_late() -> None:
    answered = threading.Event()

    class Slow:
        tells_process = True

        def read(self) -> Sample:
            answered.wait(10)
            return ANSWERS

    watch = ClusterWatch({1: ONE}, Registry({1: 10}), {1: Slow()}, SystemClock(), patience=0.1)
    with watch.source(ONE) as source:
        assert source.read().reason == "its metrics were not all there within 0.1 s"
        answered.set()
        assert source.read() == ANSWERS


def no_more(*_args: object, **_options: object) -> None:
    raise RuntimeError("can't start new thread")


def test_a_look_that_could_not_be_made_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = ClusterWatch(
        {1: ONE}, Registry({1: 10}), {1: Source(ANSWERS)}, SystemClock(), patience=1
    )
    monkeypatch.setattr("kafka_rolling_restart.parallel.threading.Thread", no_more)
    assert watch.check().health is Health.UNHEALTHY
    assert watch.read_all()[1].reason == "they could not be asked for: can't start new thread"


def test_one_broker_is_read_on_threads_that_were_made_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch = ClusterWatch(
        {1: ONE}, Registry({1: 10}), {1: Source(ANSWERS)}, SystemClock(), patience=1
    )
    with watch.source(ONE) as source:
        monkeypatch.setattr("kafka_rolling_restart.parallel.threading.Thread", no_more)
        assert source.read() == ANSWERS
        with pytest.raises(Stopped, match="was not stopped") as stopped, watch.source(ONE):
            pass
        assert stopped.value.code == "no-more-threads"


class Hopeless:
    """Metrics that cannot be asked for."""

    tells_process = True

    def read(self) -> Sample:
        raise RuntimeError("can't start new thread")


def test_a_reading_of_one_broker_that_could_not_be_made_is_a_reason() -> None:
    watch = ClusterWatch({1: ONE}, Registry({1: 10}), {1: Hopeless()}, SystemClock(), patience=1)
    with watch.source(ONE) as source:
        assert source.read().reason == "they could not be asked for: can't start new thread"
