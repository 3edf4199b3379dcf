import base64
import io
import math
from dataclasses import replace
from typing import Any

import pytest
import requests

from kafka_rolling_restart.metrics.jmxproxy import MAX_BODY, JmxProxy
from kafka_rolling_restart.model.broker import Jvm, Metrics, Sample
from kafka_rolling_restart.settings.access import Login, MetricsAccess
from kafka_rolling_restart.settings.secret import Secret
from tests.fakes import FakeClock, FakeProxy

RUNTIME = "java.lang:type=Runtime"
ACCESS = MetricsAccess(9090, "jmxproxy/localhost:9099/", 30)
LOGIN = Login("--jmxproxy-user", "mé", Secret("pä:ss"))
JMX_LOGIN = Login("--jmx-user", "j&m", Secret("p=wé"))
UPTIME = f"{RUNTIME}/Uptime"
REFUSED = requests.ConnectionError()
REFUSED.__cause__ = ConnectionRefusedError(111, "Connection refused")
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


def read(
    changes: dict[str, Any] | None = None,
    delete: int = 200,
    prefix: str = "jmxproxy/localhost:9099/",
) -> Sample:
    proxy = FakeProxy({**SOUND, **(changes or {})}, delete)
    return JmxProxy("n1", MetricsAccess(9090, prefix, 30), FakeClock(), proxy.session).read()


@pytest.mark.parametrize(
    "prefix", ["jmxproxy/localhost:9099/", "/jmxproxy/localhost:9099", "jmxproxy/localhost:9099"]
)
def test_all_numbers_are_read_with_or_without_the_slashes_of_the_prefix(prefix: str) -> None:
    found = read(prefix=prefix)
    assert found.jvm == Jvm(1_700_000_000_000, 60_000, 4711)
    assert found.metrics == Metrics(3, 6, 0, 1)
    assert found.max_age == 0 and not found.reason


def test_the_order_of_older_brokers_is_learned() -> None:
    older = {
        key.replace("type=", "x=", 1): value
        for key, value in SOUND.items()
        if not key.startswith("java")
    }
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
        (None, "JMXProxy at n1:9090 says null for "),
        ("6", 'says "6" for '),
        (True, "says true for "),
        (500, "status 500"),
        (302, "status 302"),
        (404, "has no metric UnderReplicatedPartitions yet"),
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
    assert "did not answer within 30 s" in found.reason
    assert clock.now() < 1000 + 60


def test_answers_that_each_come_in_time_are_given_up_together() -> None:
    clock = FakeClock()

    class Slow(FakeProxy):
        def send(
            self, request: requests.PreparedRequest, *args: Any, **options: Any
        ) -> requests.Response:
            clock.sleep(9)
            return super().send(request, *args, **options)

    proxy = Slow(SOUND)
    found = JmxProxy("n1", ACCESS, clock, proxy.session).read()
    assert "did not answer within 30 s" in found.reason
    assert len(proxy.requests) == 4


def test_a_pid_that_is_none_is_not_believed_and_breaks_nothing() -> None:
    assert (
        jvm := read({f"{RUNTIME}/Name": "9" * 5000 + "@n1"}).jvm
    ) is not None and jvm.pid is None


@pytest.mark.parametrize("duration", [b"9" * 400, b"1e999", b"NaN", b"-1", b"3600001", b'"x"'])
def test_a_time_for_which_nobody_keeps_an_answer_is_not_believed(duration: bytes) -> None:
    found = read({"/jmxproxy/config": b'{"cache_duration": ' + duration + b"}"}, delete=405)
    assert found.jvm is not None and math.isinf(found.max_age)


def test_whatever_goes_wrong_with_an_answer_is_a_reason() -> None:
    found = read({f"{RUNTIME}/Uptime": ZeroDivisionError()})
    assert (
        found.reason == "JMXProxy at n1:9090 answers with what cannot be read (ZeroDivisionError)"
    )
    assert not found.silent


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
    ("status", "said"),
    [(401, "it wants JMX credentials: give --jmx-user"), (403, "not allowed"), (500, "status 500")],
)
def test_a_refusal_is_no_silence_and_says_its_kind(status: int, said: str) -> None:
    found = read({f"{RUNTIME}/Uptime": status})
    assert said in found.reason and not found.silent


def test_nothing_to_empty_is_empty_and_a_refusal_to_empty_tells_how_long_answers_are_kept() -> None:
    assert read(delete=404).max_age == 0
    found = read({"/jmxproxy/config": {"cache_duration": 300_000}}, delete=405)
    assert found.max_age == 300 and "keeps answers for 300 s" in found.age_note


@pytest.mark.parametrize("value", [10**400, -(2**64), True, 1.5, "3"])
def test_a_number_that_no_jvm_can_have_is_no_number(value: object) -> None:
    assert "is not a whole number" in read({f"{RUNTIME}/Uptime": value}).reason


@pytest.mark.parametrize("name", ["²@n1", "n1", "-1@n1", None])
def test_a_name_without_a_pid_is_a_jvm_without_a_pid(name: object) -> None:
    found = read({f"{RUNTIME}/Name": name})
    assert found.jvm is not None and found.jvm.pid is None


def with_access(
    changes: dict[str, Any], answers: dict[str, Any] | None = None
) -> tuple[Sample, FakeProxy]:
    proxy = FakeProxy({**SOUND, **(answers or {})})
    return JmxProxy("n1", replace(ACCESS, **changes), FakeClock(), proxy.session).read(), proxy


def test_jmx_credentials_are_posted_as_a_form_with_every_value_and_with_nothing_else() -> None:
    found, proxy = with_access({"jmx_login": JMX_LOGIN})
    assert found.metrics is not None
    assert {(request.method, request.body) for request in proxy.requests} == {
        ("DELETE", None),
        ("POST", "username=j%26m&password=p%3Dw%C3%A9"),
    }
    assert all("Authorization" not in request.headers for request in proxy.requests)


def test_basic_auth_goes_with_every_request_in_utf_8() -> None:
    found, proxy = with_access({"login": LOGIN})
    assert found.metrics is not None
    expected = "Basic " + base64.b64encode("mé:pä:ss".encode()).decode()
    assert {request.headers["Authorization"] for request in proxy.requests} == {expected}
    assert {request.method for request in proxy.requests} == {"DELETE", "GET"}


def test_a_password_that_no_header_can_hold_is_a_reason_without_it() -> None:
    found, proxy = with_access({"login": Login("--jmxproxy-user", "me", Secret("hunter2\udcff"))})
    assert found.metrics is None and "(UnicodeEncodeError)" in found.reason
    assert "hunter2" not in f"{found}" and proxy.requests == []


@pytest.mark.parametrize(
    ("changes", "header", "said"),
    [
        ({}, None, "401: it wants JMX credentials: give --jmx-user"),
        ({}, "Basic", "401: it wants HTTP credentials: give --jmxproxy-user"),
        (
            {"jmx_login": JMX_LOGIN},
            None,
            "401: the JMX credentials are wrong: those of --jmx-user j&m",
        ),
        (
            {"login": LOGIN},
            "Basic",
            "401: the HTTP credentials are wrong: those of --jmxproxy-user mé",
        ),
        ({"login": LOGIN}, None, "401: it wants JMX credentials: give --jmx-user"),
    ],
)
def test_a_401_says_which_credentials_and_where_they_came_from(
    changes: dict[str, Any], header: str | None, said: str
) -> None:
    proxy = FakeProxy({f"{RUNTIME}/Uptime": 401})
    proxy.headers = {"WWW-Authenticate": header} if header else {}
    found = JmxProxy("n1", replace(ACCESS, **changes), FakeClock(), proxy.session).read()
    assert said in found.reason and "p=w" not in found.reason and not found.silent


@pytest.mark.parametrize(
    ("host", "access", "url"),
    [
        ("n1", ACCESS, "http://n1:9090/jmxproxy/localhost:9099"),
        ("fd00::1", ACCESS, "http://[fd00::1]:9090/jmxproxy/localhost:9099"),
        ("n1", replace(ACCESS, prefix="/j/{host}:9999/"), "http://n1:9090/j/n1:9999"),
        (
            "n1",
            replace(ACCESS, prefix="j/{host}:9999", host="proxy"),
            "http://proxy:9090/j/n1:9999",
        ),
        (
            "fd00::1",
            replace(ACCESS, prefix="j/{host}:9999", host="fd00::2"),
            "http://[fd00::2]:9090/j/[fd00::1]:9999",
        ),
        (
            "fe80::1%eth0",
            replace(ACCESS, prefix="j/{host}:1", host="p"),
            "http://p:9090/j/[fe80::1%25eth0]:1",
        ),
    ],
)
def test_the_address_of_a_broker_is_made_of_its_host_or_of_that_of_the_one_proxy(
    host: str, access: MetricsAccess, url: str
) -> None:
    assert access.endpoint(host) == url


def test_one_proxy_for_all_is_asked_for_that_broker_alone() -> None:
    proxy = FakeProxy(SOUND)
    access = replace(ACCESS, prefix="jmxproxy/{host}:9999", host="proxy")
    JmxProxy("n1", access, FakeClock(), proxy.session).read()
    asked = [(request.method, request.url) for request in proxy.requests]
    assert asked[0] == ("DELETE", "http://proxy:9090/jmxproxy/n1:9999")
    assert asked[1] == ("GET", "http://proxy:9090/jmxproxy/n1:9999/java.lang:type=Runtime/Uptime")


def test_one_proxy_for_all_that_is_away_is_no_silence_of_a_broker() -> None:
    refused = requests.ConnectionError()
    refused.__cause__ = ConnectionRefusedError(111, "Connection refused")
    found, _ = with_access(
        {"prefix": "jmxproxy/{host}:9999", "host": "p"}, {"/jmxproxy/n1:9999/" + UPTIME: refused}
    )
    assert "Connection refused" in found.reason and not found.silent and found.source_is_down


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (
            {UPTIME: 404},
            "Look whether the broker runs, and at the JMX port in --jmxproxy-prefix. Try: curl -i "
            "http://n1:",
        ),
        (
            {UPTIME: b"<html>"},
            "Look at --jmxproxy-port and --jmxproxy-prefix. Try: curl -i http://n1:",
        ),
        ({UPTIME: 401}, "Try: curl -i http://n1:"),
        (
            {UPTIME: REFUSED},
            "Look whether JMXProxy runs there, and at --jmxproxy-port. Try: curl -i http://n1:",
        ),
    ],
    ids=["404", "not JSON", "a login is missing", "refused"],
)
def test_metrics_that_cannot_be_had_name_the_option_that_may_be_wrong(
    answers: dict[str, Any], said: str
) -> None:
    assert read(answers).advice.startswith(said)
