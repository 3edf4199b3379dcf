"""The last look at what was restarted: gone, there, or not to be told."""

import pytest

from kafka_rolling_restart.cluster import Broker, Jvm, Reading
from kafka_rolling_restart.errors import ZooKeeperUnavailable
from kafka_rolling_restart.watch import ClusterWatch
from tests.fakes import SOUND, FakeClock

ONE = Broker(1, "n1", 10)
ANSWERS = Reading(0, 0, jvm=Jvm(1, 1), metrics=SOUND)
SILENT = Reading(0, 0, reason="404", silent=True)
NO_PROXY = Reading(0, 0, reason="Connection refused", silent=True, no_proxy=True)
TIMEOUT = Reading(0, 0, reason="timed out")


class Source:
    """A broker's metrics that are what they are."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def read(self) -> Reading:
        return self._reading


class Registry:
    """Registrations, or a ZooKeeper that does not answer."""

    def __init__(self, found: dict[int, int] | None) -> None:
        self._found = found

    def registrations(self, patience: float | None = None) -> dict[int, int]:
        if self._found is None:
            raise ZooKeeperUnavailable("away")
        return self._found

    def registration(self, broker_id: int, patience: float | None = None) -> int | None:
        return self.registrations(patience).get(broker_id)


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
    registered: dict[int, int] | None, reading: Reading, gone: list[Broker], unseen: list[Broker]
) -> None:
    watch = ClusterWatch({1: ONE}, Registry(registered), {1: Source(reading)}, FakeClock())
    assert watch.missing([ONE], 5) == (gone, unseen)


def test_where_zookeeper_is_away_an_answer_out_of_a_cache_does_not_say_that_a_broker_is_there() -> None:
    watch = ClusterWatch({1: ONE}, Registry(None), {1: Source(ANSWERS)}, FakeClock())
    watch.look_first()
    assert watch.missing([ONE], 5) == ([], [ONE])
