import pytest

from kafka_rolling_restart.errors import Refused
from kafka_rolling_restart.zookeeper import host_of


@pytest.mark.parametrize(
    ("registration", "host"),
    [
        ('{"host": "n1", "port": 9092, "endpoints": ["PLAINTEXT://n1:9092"]}', "n1"),
        ('{"host": null, "port": -1, "endpoints": ["SSL://n2.example:9093"]}', "n2.example"),
        ('{"host": null, "endpoints": ["INTERNAL_2://[fd00::1]:9093", "SSL://n9:1"]}', "fd00::1"),
        ('{"endpoints": ["nonsense", "SSL://n3:9093"]}', "n3"),
        ('{"host": "::1"}', "::1"),
    ],
)
def test_the_host_comes_from_the_registration(registration: str, host: str) -> None:
    assert host_of(1, registration.encode()) == host


@pytest.mark.parametrize(
    "registration",
    [
        "",
        "[]",
        '{"host": null, "endpoints": []}',
        '{"host": "-oProxyCommand=x"}',
        '{"host": "a;b"}',
        '{"host": "a\\u001b"}',
    ],
)
def test_a_registration_without_a_usable_host_is_refused_with_its_path(registration: str) -> None:
    with pytest.raises(Refused, match="/brokers/ids/7"):
        host_of(7, registration.encode())
