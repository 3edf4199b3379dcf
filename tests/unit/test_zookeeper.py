import socket
import struct
import threading
import time
import tracemalloc
from contextlib import closing, suppress

import pytest

from kafka_rolling_restart.errors import Refused, RegistryUnavailable, UsageError
from kafka_rolling_restart.registry.zookeeper import ZooKeeper, _reach, _who, controller_id, host_of


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
        '{"host": "a b"}',
        '{"host": "a\\n"}',
        '{"host": ["n1"]}',
        '{"host": null, "endpoints": ["X://-oProxyCommand=x:1"]}',
        '{"host": null, "endpoints": 7}',
        '{"host": "' + "a" * 256 + '"}',
        "[" * 60_000,
        '{"port": ' + "1" * 60_000 + "}",
    ],
)
def test_a_registration_without_a_usable_host_is_refused_with_its_path(registration: str) -> None:
    with pytest.raises(Refused, match="/brokers/ids/7"):
        host_of(7, registration.encode())


@pytest.mark.parametrize(
    "data", ["", "{", "[]", '{"brokerid": "\\u001b[2J"}', "[" * 100_000, '{"brokerid": 1e999}', "1"]
)
def test_a_controller_that_is_none_is_told_in_one_line(data: str) -> None:
    with pytest.raises(ValueError) as raised:
        controller_id(data.encode())
    assert (
        type(raised.value) is ValueError
        and str(raised.value).isprintable()
        and len(str(raised.value)) <= 80
    )
    assert controller_id(b'{"version": 1, "brokerid": 2}') == 2


def test_who_holds_the_lock_is_said_without_what_a_terminal_acts_on() -> None:
    holder = (
        '{"user": "\\u001b[2Jme", "host": "%s", "pid": 1, "since": "now", "broker": "\\u009b"}'
        % ("x" * 100_000)
    )
    said = _who([holder])
    assert said.startswith("?[2Jme on xxx") and said.isprintable() and len(said) < 500
    assert (
        _who(["[" * 100_000]) == _who([]) == "who it is, /kafka-rolling-restart/lock does not tell"
    )


LONG = "x" * 2**20


@pytest.mark.parametrize(
    "registration",
    ['{"host": "\\u001b[2J' + LONG[:60_000] + '"}', '{"host": "' + LONG + '"}', LONG],
)
def test_a_registration_of_any_size_is_shown_in_bounds_and_without_control_characters(
    registration: str,
) -> None:
    began = time.monotonic()
    with pytest.raises(Refused) as raised:
        host_of(7, registration.encode())
    assert raised.value.code == "registration-invalid"
    assert (" bytes" in str(raised.value)) is (len(registration) > 64 * 1024)
    assert (
        len(str(raised.value)) < 250
        and str(raised.value).isprintable()
        and time.monotonic() - began < 1
    )


ENDPOINTS = b'{"host": "n1", "endpoints": ["PLAINTEXT://n1:9092", "INTERNAL://n1.internal:9093", "V6://[fd00::1]:1"]}'


@pytest.mark.parametrize(
    ("listener", "host"),
    [(None, "n1"), ("INTERNAL", "n1.internal"), ("internal", "n1.internal"), ("V6", "fd00::1")],
)
def test_the_host_of_a_listener_is_taken_where_one_is_named(
    listener: str | None, host: str
) -> None:
    assert host_of(1, ENDPOINTS, listener) == host


def test_a_broker_without_the_listener_is_refused_with_those_that_it_has() -> None:
    with pytest.raises(
        Refused,
        match="broker 1 has no listener 'SSL' in /brokers/ids/1; it has: 'INTERNAL, PLAINTEXT, V6'",
    ):
        host_of(1, ENDPOINTS, "SSL")
    hostile = b'{"endpoints": ["\\u001b[2J://x:1"]}'
    with pytest.raises(Refused) as raised:
        host_of(1, hostile, "SSL")
    assert str(raised.value).isprintable()


def test_what_the_client_cannot_take_is_wrong_configuration() -> None:
    with pytest.raises(UsageError, match="is not 'host:port"):
        ZooKeeper("zk:2181/../kafka")


UNKNOWN = ".".join(["a" * 60] * 5)  # too long for any name server to be asked


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        ("127.0.0.1:1/kafka", "127.0.0.1:1: Connection refused"),
        (
            "127.0.0.1:1,127.0.0.1:2",
            "127.0.0.1:1: Connection refused, 127.0.0.1:2: Connection refused",
        ),
        (f"{UNKNOWN}:2181", f"{UNKNOWN}:2181: "),
    ],
)
def test_servers_that_cannot_be_reached_are_said_at_once(hosts: str, said: str) -> None:
    began = time.monotonic()
    zookeeper = ZooKeeper(hosts, timeout=30)
    with pytest.raises(RegistryUnavailable) as raised, closing(zookeeper):
        zookeeper.connect()
    assert f"ZooKeeper at {hosts} cannot be reached: {said}" in str(raised.value)
    assert time.monotonic() - began < 5


def test_a_server_that_is_silent_is_waited_for_though_the_others_refuse() -> None:
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        zookeeper = ZooKeeper(f"127.0.0.1:1,{address}", timeout=0.5)
        with (
            pytest.raises(RegistryUnavailable, match="not answer within 0.5 s: 127.0.0.1:1: "),
            closing(zookeeper),
        ):
            zookeeper.connect()
    assert 0.5 <= time.monotonic() - began < 10


def test_a_server_that_accepts_and_says_nothing_is_told_from_one_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert _reach(address) == "accepts connections, and says nothing"
    assert _reach(address) == _reach("127.0.0.1:1") == "Connection refused"


def test_a_server_that_announces_an_answer_of_1_gib_is_not_listened_to() -> None:
    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.sendall(struct.pack(">i", 2**30))
                    while True:
                        connection.sendall(b"x" * 2**20)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        zookeeper = ZooKeeper(f"127.0.0.1:{listener.getsockname()[1]}", timeout=1)
        tracemalloc.start()
        with (
            pytest.raises(RegistryUnavailable, match="an answer of 1073741824 bytes is announced"),
            closing(zookeeper),
        ):
            zookeeper.connect()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        listener.shutdown(socket.SHUT_RDWR)
    assert most < 32 * 2**20
