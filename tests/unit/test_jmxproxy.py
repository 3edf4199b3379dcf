import io
from typing import Any

import pytest
import requests

from kafka_rolling_restart.access import MetricsAccess
from kafka_rolling_restart.cluster import Jvm, Metrics, Reading
from kafka_rolling_restart.jmxproxy import MAX_BODY, JmxProxy
from tests.fakes import FakeClock, FakeProxy

RUNTIME = "java.lang:type=Runtime"
ACCESS = MetricsAccess(9090, "jmxproxy/localhost:9099/", 30)
URP = "kafka.server:type=ReplicaManager,name=UnderReplicatedPartitions/Value"
SOUND: dict[str, Any] = {
    f"{RUNTIME}/Uptime": 60_000,
    f"{RUNTIME}/StartTime": 1_700_000_000_000,
    f"{RUNTIME}/Name": "4711@n1",
    "kafka.server:type=KafkaServer,name=BrokerState/Value": 3,
    URP: 6,
    "kafka.controller:type=KafkaController,name=OfflinePartitionsCount/Value": 0,
    "kafka.controller:type=KafkaController,name=ActiveControllerCount/Value": 1,
}


def read(changes: dict[str, Any] | None = None, delete: int = 200, prefix: str = "jmxproxy/localhost:9099/") -> Reading:
    proxy = FakeProxy({**SOUND, **(changes or {})}, delete)
    return JmxProxy("n1", MetricsAccess(9090, prefix, 30), FakeClock(), proxy.session).read()


@pytest.mark.parametrize("prefix", ["jmxproxy/localhost:9099/", "/jmxproxy/localhost:9099", "jmxproxy/localhost:9099"])
def test_all_numbers_are_read_with_or_without_the_slashes_of_the_prefix(prefix: str) -> None:
    found = read(prefix=prefix)
    assert found.jvm == Jvm(1_700_000_000_000, 60_000, 4711)
    assert found.metrics == Metrics(3, 6, 0, 1)
    assert found.emptied and not found.reason


def test_the_order_of_older_brokers_is_learned() -> None:
    older = {key.replace("type=", "x=", 1): value for key, value in SOUND.items() if not key.startswith("java")}
    flipped = {}
    for key in older:
        domain, _, rest = key.partition(":")
        pairs, _, attribute = rest.partition("/")
        kind, name = pairs.split(",")
        flipped[f"{domain}:{name},{kind.replace('x=', 'type=')}/{attribute}"] = older[key]
    gone = dict.fromkeys((key for key in SOUND if not key.startswith("java")), 404)
    assert read({**gone, **flipped}).metrics == Metrics(3, 6, 0, 1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"<html>", "not JSON"),
        (None, "'None', which is not a whole number"),
        ("6", "'6', which is not a whole number"),
        (True, "'True', which is not a whole number"),
        (500, "status 500"),
        (302, "status 302"),
        (404, "has no UnderReplicatedPartitions (yet)"),
        (requests.ConnectionError(ConnectionResetError(104, "Connection reset by peer")), "reset"),
        (requests.ReadTimeout(), "did not answer within 30 s"),
        (b"1" * (MAX_BODY + 1), f"more than {MAX_BODY} bytes"),
        (b"[" * 60_000, "not JSON"),
    ],
)
def test_whatever_is_wrong_is_a_reason_and_never_a_traceback(answer: Any, reason: str) -> None:
    found = read({URP: answer})
    assert found.metrics is None and reason in found.reason


class Dripping(io.BytesIO):
    """An answer that comes a byte at a time, 20 s apart."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(b"123456789")
        self._clock = clock

    def read(self, _size: int | None = -1) -> bytes:
        self._clock.sleep(20)
        return super().read(1)


def test_an_answer_that_drips_is_given_up() -> None:
    clock = FakeClock()
    proxy = FakeProxy({**SOUND, URP: Dripping(clock)})
    found = JmxProxy("n1", ACCESS, clock, proxy.session).read()
    assert "did not finish its answer within 30 s" in found.reason
    assert clock.now() < 1000 + 60


def test_the_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://cache:3128")
    proxy = FakeProxy(SOUND)
    JmxProxy("n1", ACCESS, FakeClock(), proxy.session).read()
    assert not proxy.proxies


def test_a_broker_that_is_down_is_silent() -> None:
    found = read({f"{RUNTIME}/Uptime": 404})
    assert found.silent and found.jvm is None and "404" in found.reason


def test_a_refused_connection_is_silent_but_a_timeout_is_not() -> None:
    refused = requests.ConnectionError()
    refused.__cause__ = ConnectionRefusedError(111, "Connection refused")
    assert read({f"{RUNTIME}/Uptime": refused}).silent
    assert not read({f"{RUNTIME}/Uptime": requests.ReadTimeout()}).silent


@pytest.mark.parametrize(
    ("status", "said"), [(401, "it wants JMX credentials: give --jmx-user"), (403, "not allowed"), (500, "status 500")]
)
def test_a_refusal_is_no_silence_and_says_its_kind(status: int, said: str) -> None:
    found = read({f"{RUNTIME}/Uptime": status})
    assert said in found.reason and not found.silent


def test_nothing_to_empty_is_empty_and_a_refusal_to_empty_tells_how_long_answers_are_kept() -> None:
    assert read(delete=404).emptied
    found = read({"/jmxproxy/config": {"cache_duration": 300_000}}, delete=405)
    assert not found.emptied and found.cache_s == 300


@pytest.mark.parametrize("value", [10**400, -(2**64), True, 1.5, "3"])
def test_a_number_that_no_jvm_can_have_is_no_number(value: object) -> None:
    assert "is not a whole number" in read({f"{RUNTIME}/Uptime": value}).reason


@pytest.mark.parametrize("name", ["²@n1", "n1", "-1@n1", None])
def test_a_name_without_a_pid_is_a_jvm_without_a_pid(name: object) -> None:
    found = read({f"{RUNTIME}/Name": name})
    assert found.jvm is not None and found.jvm.pid is None
