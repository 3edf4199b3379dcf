"""What --verbose shows of logging. Loggers are global, so what listens to them runs in processes of
its own."""

import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from queue import Queue
from typing import Any

import pytest
from kazoo.protocol.serialization import Auth, Connect

from kafka_rolling_restart.output.logs import Bridge
from kafka_rolling_restart.output.report import Report
from kafka_rolling_restart.text import masked
from tests.fakes import Collector
from tests.sockets import listening

SECRET = "hunter2"
LISTEN = """
import logging, sys, warnings
from kafka_rolling_restart.output import logs
from kafka_rolling_restart.output.report import PlainScreen, Report
from kafka_rolling_restart.output.writer import Writer

logging.basicConfig(level=logging.DEBUG)  # as a task may do
verbose = int(sys.argv[1])
report = Report(Writer(PlainScreen()), verbose)
logs.listen(report, verbose)
names = "kafka_rolling_restart.hosts.ssh kazoo.client paramiko.transport urllib3.connectionpool"
names += " kafka.net asyncio"
for name in names.split():
    logging.getLogger(name).debug("a detail of %s", name)
    logging.getLogger(name).error("an error of %s", name)
    logging.getLogger(name).debug("%d of %s", "no number")
warnings.warn("a library is old", DeprecationWarning)
report.close()
"""


def request(what: object) -> str:
    """What kazoo logs of a request."""
    return f"Sending request(xid=1): {what}"


def record(message: str, *arguments: object, name: str = "kazoo.client") -> logging.LogRecord:
    return logging.LogRecord(name, logging.DEBUG, "file", 1, message, arguments, None)


def told(*records: logging.LogRecord, verbose: int = 2) -> list[str]:
    writer = Collector()
    bridge = Bridge(Report(writer, verbose))
    for one in records:
        bridge.handle(one)
    return writer.lines


def listened(verbose: int) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", LISTEN, str(verbose)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    "text",
    [
        request(Auth(0, "digest", f"user:{SECRET}")),
        request(Auth(0, "digest", f"us'er:x,{SECRET}")),
        request(Auth(0, "digest", f"us'er:\"x {SECRET}".encode())),
        request(Connect(0, 0, 10000, 0, b"\x01\x02" + SECRET.encode(), None)),
        f"Starting new HTTP connection (1): http://user:{SECRET}@n1:9090",
        f"Retrying: http://user:p@{SECRET}@n1:9090/jmxproxy",
        f"Proxy https://{SECRET}@proxy:3128",
        f"header {{'Authorization': 'Basic {SECRET}'}}",
        f"Authorization: Bearer {SECRET}",
        f"auth={SECRET}",
        f"Password: {SECRET}",
        f"passphrase = '{SECRET}'",
        f'"token": "{SECRET}"',
        f"`TOKEN={SECRET} service kafka stop`: exit 0",
        f"`restart --password {SECRET} --now`: exit 0",
        f"`restart --api-token '{SECRET} x'`: exit 0",
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str) -> None:
    assert SECRET in text
    assert SECRET not in masked(text) and "***" in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "userauth is OK",
        "Authentication (publickey) successful!",
        "Auth banner: b'welcome'",
        'http://n1:9090 "GET '
        '/jmxproxy/localhost:9099/kafka.server:type=KafkaServer,name=BrokerState HTTP/1.1" 200 '
        "None",
        "ssh root@n1 port 22: `sh -c 'echo process: $(ps -o etimes= -p 100; echo $?)'`: exit 0",
        "Auth secret manager not found",
    ],
)
def test_what_is_no_secret_is_left_as_it_is(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "-" * 100_000,
        "password" * 10_000,
        "--pass" * 10_000,
        "pass" + " " * 100_000,
        "://" * 30_000,
        "auth='" + "\\" * 99_999,
    ],
)
def test_what_a_host_says_cannot_hold_us_up_with_its_form(text: str) -> None:
    began = time.monotonic()
    masked(text)
    assert time.monotonic() - began < 2


def test_a_record_is_one_line_with_the_name_of_its_library_and_no_secret() -> None:
    (line,) = told(record("Sending request(xid=%s): %s", 1, Auth(0, "digest", f"user:{SECRET}")))
    assert line.endswith(
        " DEBUG kazoo.client: Sending request(xid=1): Auth(auth_type=0, scheme='digest', "
        "auth=***)\n"
    )


def test_our_own_records_are_named_after_their_module_alone() -> None:
    (line,) = told(record("logged in\nafter 0.10 s\x1b[2J", name="kafka_rolling_restart.hosts.ssh"))
    assert line.endswith(" DEBUG ssh: logged in?after 0.10 s?[2J\n")


@pytest.mark.parametrize("arguments", [("no number",), (1, 2, 3)])
def test_a_record_that_cannot_be_formatted_ends_nothing(arguments: tuple[Any, ...]) -> None:
    assert told(record("%d and %d", *arguments), record("next"))[-1].endswith("next\n")


def test_there_is_no_lock_that_a_signal_could_leave_locked() -> None:
    bridge = Bridge(Report(Collector(), 2))
    assert bridge.lock is None
    bridge.acquire()  # as one that was cut off before it let go
    other = threading.Thread(target=bridge.handle, args=(record("next"),), daemon=True)
    other.start()
    other.join(5)
    assert not other.is_alive()


def test_without_verbose_nothing_of_any_logging_is_shown() -> None:
    assert listened(0) == ("", "")


def test_verbose_shows_our_own_logging_alone() -> None:
    out, err = listened(1)
    assert [line.split(" ", 2)[2] for line in out.splitlines()] == [
        "ssh: a detail of kafka_rolling_restart.hosts.ssh",
        "ssh: an error of kafka_rolling_restart.hosts.ssh",
    ]
    assert err == ""


def test_verbose_twice_shows_the_libraries_logging_on_stdout_too() -> None:
    out, err = listened(2)
    assert out.count("a detail of ") == out.count("an error of ") == 6
    assert "DEBUG paramiko.transport: a detail of paramiko.transport\n" in out
    assert err == ""


def test_the_libraries_print_nothing_when_they_are_loaded_and_fail() -> None:
    """A ZooKeeper that hangs up makes kazoo warn again and again; the last line alone is on
    stderr."""
    hung_up: Queue[None] = Queue()

    def hang_up(connection: socket.socket) -> None:
        connection.close()
        hung_up.put(None)

    with listening(hang_up) as port:
        arguments = ["--zookeeper", f"127.0.0.1:{port}", "--no-confirm", "--quiet"]
        command = [sys.executable, "-m", "kafka_rolling_restart", *arguments]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as run:
            for _ in range(5):
                hung_up.get(timeout=30)
            run.send_signal(signal.SIGTERM)
            out, err = run.communicate(timeout=30)
    assert (run.returncode, out, err.count("\n")) == (143, "", 1), err
    assert f" ERROR 127.0.0.1:{port}: ended by SIGTERM" in err
