"""Finding a node's process: real answers of hosts, and the real line in real shells."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_rolling_restart.errors import SshError
from kafka_rolling_restart.hosts.base import FoundProcess
from kafka_rolling_restart.hosts.broker_host import BrokerHost
from kafka_rolling_restart.hosts.host_factory import commands_of, for_node, pattern_of
from kafka_rolling_restart.hosts.process import Wanted, judge, observe_invocation, observe_pid
from kafka_rolling_restart.hosts.process_facts import (
    DEFAULT_PATTERN,
    clean_stop,
    clean_stop_line,
    escaped,
    process_line,
    search_line,
    stat,
    unit_line,
)
from kafka_rolling_restart.hosts.unit import seconds, unit_name
from kafka_rolling_restart.model.broker import Broker, Jvm
from kafka_rolling_restart.model.observation import Presence
from tests.unit.test_host import FakeShell

BOOT = "5f2c7a1e-8f1b-4d0c-9f0e-0a3f1d6f2b11"
INVOCATION = "1b0e4e0c2a8a4a7c8a5b1f8e6b7d3c21"
UNIT = Wanted(unit="kafka")
NO_UNIT = Wanted()
HEAD = [
    "clock 1764036000",
    "self 9001 (sh) S 9000 9001 9001 0 -1 4194304 97 0 0 0 0 0 0 0 20 0 1 0 500000 2617344 230",
    f"boot {BOOT}",
    "uptime 5000.01 9801.22",
    "ticks 100",
]
SEES = ["init 1 (systemd) S 0 1 1 0 -1 4194560 9 8 7 6 5 4 3 2 20 0 1 0 3 170000000 3000"]


def java(
    pid: int,
    *,
    ticks: int = 300000,
    state: str = "S",
    threads: int = 90,
    parent: int = 1,
    status: int = 0,
    length: int = 9137,
    group: str = "/system.slice/kafka.service",
    file: str = "/etc/kafka/server.properties",
) -> list[str]:
    numbers = f"{parent} {pid} {pid} 0 -1 1077944320 1 2 3 4 5 6 7 8 20 0 {threads} 0 {ticks} 70 9"
    return [
        f"java {pid} {status} {length}",
        f"stat {pid} (java) {state} {numbers}",
        f"cgroup {group}",
        f"file {file}",
    ]


def unit(
    active: str = "active",
    sub: str = "running",
    main: int = 812,
    name: str = "",
    program: str = "/opt/kafka/bin/kafka-server-start.sh",
    invocation: str = INVOCATION,
) -> list[str]:
    """What `systemctl show` of systemd 252 prints, with the name of the main process after it."""
    said = [
        "Restart=on-failure",
        "TimeoutStopUSec=1min 30s",
        "NRestarts=2",
        f"ExecStart={{ path={program}",
        f"InvocationID={invocation}",
        f"MainPID={main}",
        f"ControlGroup={'/system.slice/kafka.service' if active != 'inactive' else ''}",
        "Id=kafka.service",
        "LoadState=loaded",
        f"ActiveState={active}",
        f"SubState={sub}",
        "ExecMainStartTimestampMonotonic=3000150000",
    ]
    lines = [f"unit {line}" for line in said]
    return [*lines, f"main {name}"] if name else lines


def forgotten() -> list[str]:
    lines = unit("inactive", "dead", 0, invocation="")
    return [line.replace("=3000150000", "=0") for line in lines]


NOT_FOUND = ["unit MainPID=0", "unit Id=kafka.service", "unit LoadState=not-found"]


def answer(*parts: list[str], end: bool = True, sees: bool = True) -> str:
    lines = [*HEAD, *(SEES if sees else []), *(line for part in parts for line in part)]
    if end:
        lines.append("end")
    greeting = "Welcome to n1!\nprocess of your application: see HR\n\n"
    return greeting + "\n".join(f"process: {line}" for line in lines) + "\nsetlocale: LC_ALL\n"


SESSION = "/user.slice/user-1000.slice/session-3.scope"
MANAGER = "/user.slice/user-1000.slice/user@1000.service/app.slice/run-7.scope"
DOCKER = "/system.slice/docker-4f1d.scope"
CONTROLLER = "/system.slice/kafka-controller.service"
PRESENT, ABSENT, UNKNOWN, BLIND = Presence
CASES: list[tuple[str, str, Wanted, Presence, str]] = [
    ("a running unit", answer(unit(name="java"), java(812)), UNIT, PRESENT, "invocation"),
    (
        "a running unit beside a controller",
        answer(unit(name="java"), java(812), java(900, group=CONTROLLER)),
        UNIT,
        PRESENT,
        "pid 812",
    ),
    (
        "a shell around java in the unit",
        answer(unit(main=800, name="bash"), java(812, parent=800)),
        UNIT,
        PRESENT,
        "pid 812",
    ),
    (
        "a forking unit without a main process",
        answer(unit(sub="exited", main=0), java(812)),
        UNIT,
        PRESENT,
        "pid 812",
    ),
    (
        "a unit of docker",
        answer(unit(main=800, name="docker"), java(812, group=DOCKER)),
        UNIT,
        PRESENT,
        "pid 812",
    ),
    (
        "a unit of docker whose container has no java yet",
        answer(unit(main=800, name="docker")),
        UNIT,
        UNKNOWN,
        "docker",
    ),
    (
        "a unit of docker beside a controller's unit",
        answer(unit(main=800, name="docker"), java(900, group=CONTROLLER)),
        UNIT,
        BLIND,
        "kafka-controller.service",
    ),
    (
        "a unit that su left",
        answer(unit(main=0, sub="exited"), java(812, group=SESSION)),
        UNIT,
        PRESENT,
        "pid 812",
    ),
    ("a failed unit", answer(unit("failed", "failed", 0)), UNIT, ABSENT, "failed/failed"),
    (
        "a crash loop",
        answer(unit("activating", "auto-restart", 0)),
        UNIT,
        ABSENT,
        "activating/auto-restart",
    ),
    (
        "an inactive unit beside a controller's",
        answer(unit("inactive", "dead", 0), java(900, group=CONTROLLER)),
        UNIT,
        ABSENT,
        "pid 900 (/etc/kafka/server.properties) in kafka-controller.service",
    ),
    (
        "an inactive unit, and one that a user's manager runs",
        answer(unit("inactive", "dead", 0), java(900, group=MANAGER)),
        UNIT,
        BLIND,
        "pid 900",
    ),
    (
        "an inactive unit, and one that was started by hand",
        answer(unit("inactive", "dead", 0), java(900, group=SESSION)),
        UNIT,
        BLIND,
        "pid 900",
    ),
    ("a unit that is not known", answer(NOT_FOUND, java(812)), UNIT, PRESENT, "pid 812"),
    ("no systemd", answer(["unit "], java(812)), UNIT, PRESENT, "pid 812"),
    ("no unit, none", answer(java(5, status=1)), NO_UNIT, ABSENT, "no Java process"),
    ("no unit, one", answer(java(5, status=1), java(812)), NO_UNIT, PRESENT, "pid 812"),
    (
        "no unit, two",
        answer(java(812), java(900, file="/etc/kafka/controller.properties")),
        NO_UNIT,
        BLIND,
        "pid 812 (/etc/kafka/server.properties), pid 900 (/etc/kafka/controller.properties)",
    ),
    (
        "two, told apart by their files",
        answer(java(812), java(900, file="/etc/kafka/controller.properties")),
        Wanted(properties="/etc/kafka/controller.properties"),
        PRESENT,
        "pid 900",
    ),
    (
        "only the other by its file",
        answer(java(812)),
        Wanted(properties="/etc/kafka/controller.properties"),
        ABSENT,
        "no Java process",
    ),
    (
        "perhaps the other by its file",
        answer(java(812, file="config/server.properties")),
        Wanted(properties="/etc/kafka/controller.properties"),
        BLIND,
        "whole path",
    ),
    (
        "a JVM that is about to run something",
        answer(java(812), java(950, parent=812, threads=1)),
        NO_UNIT,
        PRESENT,
        "pid 812",
    ),
    ("a zombie", answer(java(812, state="Z", threads=1)), NO_UNIT, ABSENT, ""),
    ("a zombie with threads", answer(java(812, state="Z")), NO_UNIT, PRESENT, "pid 812"),
    (
        "one that gives its memory back",
        answer(java(812, status=1, length=0)),
        NO_UNIT,
        UNKNOWN,
        "just ending",
    ),
    (
        "an old kernel that cuts command lines",
        answer(java(812, status=1, length=4096)),
        NO_UNIT,
        BLIND,
        "4096 characters",
    ),
    ("one that cannot be read", answer(["unread 77"]), NO_UNIT, UNKNOWN, "pid 77"),
    ("a pattern that is none", answer(java(812, status=2)), Wanted(pattern="("), BLIND, "grep"),
    ("hidepid without a unit", answer(sees=False), NO_UNIT, BLIND, "hidepid"),
    ("hidepid, and our own", answer(java(812), sees=False), NO_UNIT, PRESENT, "pid 812"),
    ("hidepid with a unit", answer(unit(), sees=False), UNIT, PRESENT, "hidepid"),
    (
        "hidepid with a unit of docker",
        answer(unit(program="/usr/bin/docker"), sees=False),
        UNIT,
        BLIND,
        "hidepid",
    ),
    (
        "hidepid with a failed unit",
        answer(unit("failed", "failed", 0), sees=False),
        UNIT,
        ABSENT,
        "hidden",
    ),
    (
        "hidepid with a unit that systemd has forgotten",
        answer(forgotten(), sees=False),
        UNIT,
        UNKNOWN,
        "hidepid",
    ),
    ("an answer that was cut", answer(java(812), end=False), NO_UNIT, UNKNOWN, "not whole"),
    ("another answer", "sh: not found", NO_UNIT, UNKNOWN, "ends with: sh: not found"),
    ("no answer", "", NO_UNIT, UNKNOWN, "is empty"),
]


@pytest.mark.parametrize(
    ("output", "wanted", "presence", "words"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_a_process_is_found_where_it_is_certain_which_it_is(
    output: str, wanted: Wanted, presence: Presence, words: str
) -> None:
    found = judge(output, wanted)
    assert found.presence is presence and words in found.words
    assert (found.jvm is not None) is (presence is Presence.PRESENT)


def test_the_process_that_is_found_has_the_identity_of_its_life_and_its_age() -> None:
    found = judge(answer(unit(name="java"), java(812)), UNIT)
    assert found.jvm == Jvm(1764034000000, 2000000, 812, (BOOT, 812, 300000))
    assert (found.unit, found.stop_timeout_s, found.restarts) == ("kafka.service", 90.0, 2)
    hidden = judge(answer(unit(), sees=False), UNIT)
    assert hidden.jvm == Jvm(1764034000140, 1999860, 812, (BOOT, INVOCATION))


# systemd 252 in Debian 12, asked by another user than the one of the unit.
REAL = """
process: clock 1795573312
process: self 58 (sh) R 57 0 0 0 -1 4194304 76 81 0 0 0 0 0 0 20 0 1 0 1360204 2654208 411 1 2 3
process: boot d8451181-80f2-45ad-b000-bc3ab5f58092
process: uptime 13602.04 13425.23
process: ticks 100
process: init 1 (systemd) S 0 1 1 0 -1 4194560 2418 10014 0 0 6 2 6 2 20 0 1 0 1357296 2024 2925 1
process: unit Restart=on-failure
process: unit TimeoutStopUSec=5min 3s
process: unit MainPID=54
process: main java
process: unit NRestarts=0
process: unit ExecMainStartTimestampMonotonic=13600536279
process: unit ExecStart={ path=/opt/java
process: unit ControlGroup=/system.slice/kafka.service
process: unit Id=kafka.service
process: unit LoadState=loaded
process: unit ActiveState=active
process: unit SubState=running
process: unit InvocationID=9aba7e4c6a2c4ca79bf1f8985faf17ed
process: java 54 0 97
process: stat 54 (java) S 1 54 54 0 -1 4194560 146 73 0 0 0 0 0 0 20 0 1 0 1360052 2654208 381 1 2
process: cgroup /system.slice/kafka.service
process: file /etc/kafka/server.properties
process: end
"""


def test_the_answer_of_a_real_systemd_is_understood() -> None:
    found = judge(REAL, UNIT)
    identity = ("d8451181-80f2-45ad-b000-bc3ab5f58092", 54, 1360052)
    assert found.jvm == Jvm(1795573312000 - 1520, 1520, 54, identity)
    assert (found.unit, found.stop_timeout_s, found.restarts) == ("kafka.service", 303.0, 0)


def test_a_pattern_that_is_given_decides_whatever_the_unit_is() -> None:
    wanted = Wanted(unit="kafka", pattern="my.Kafka")
    other = java(900, group=CONTROLLER)
    found = judge(answer(unit(name="java"), java(812, status=1), other), wanted)
    assert found.jvm is not None and found.jvm.pid == 900 and found.stop_timeout_s == 90.0


FOUND = Jvm(0, 0, 812, (BOOT, 812, 300000))
ELSEWHERE = Jvm(0, 0, 812, ("another boot", 812, 300000))


@pytest.mark.parametrize(
    ("output", "jvm", "presence"),
    [
        (answer(java(812)[1:2]), FOUND, PRESENT),
        (answer(java(812, state="Z")[1:2]), FOUND, PRESENT),
        (answer(java(812, state="Z", threads=1)[1:2]), FOUND, ABSENT),
        (answer(java(812, ticks=490000)[1:2]), FOUND, ABSENT),  # the pid was given anew
        (answer(), FOUND, ABSENT),
        (answer(java(812)[1:2]), ELSEWHERE, ABSENT),
        (answer(sees=False), FOUND, UNKNOWN),
        (answer(["unread 812"]), FOUND, UNKNOWN),
        (answer(["stat x"]), FOUND, UNKNOWN),
        (answer(end=False), FOUND, UNKNOWN),
        ("", FOUND, UNKNOWN),
        (answer(), Jvm(0, 0, 812), UNKNOWN),
    ],
)
def test_the_process_that_was_found_is_gone_only_when_its_very_life_is_over(
    output: str, jvm: Jvm, presence: Presence
) -> None:
    assert observe_pid(output, jvm).presence is presence


HIDDEN = Jvm(0, 0, 812, (BOOT, INVOCATION))


def test_a_hidden_process_is_gone_when_its_host_has_booted_since() -> None:
    before = Jvm(0, 0, 812, ("another boot", INVOCATION))
    assert observe_invocation(answer(unit(), sees=False), before).is_absent


@pytest.mark.parametrize(
    ("lines", "presence"),
    [
        (unit(), PRESENT),
        (unit("deactivating", "stop-sigterm"), PRESENT),
        (unit("deactivating", "stop-post", 0), UNKNOWN),
        (unit("inactive", "dead", 0), ABSENT),
        (unit("activating", "auto-restart", 0), ABSENT),
        (unit(invocation="another"), ABSENT),
        (NOT_FOUND, UNKNOWN),
    ],
)
def test_a_hidden_process_is_gone_when_its_run_of_the_unit_is_over(
    lines: list[str], presence: Presence
) -> None:
    assert observe_invocation(answer(lines, sees=False), HIDDEN).presence is presence


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("service kafka start", "kafka"),
        ("/usr/sbin/service kafka start", "kafka"),
        ("service kafka restart", "kafka"),
        ("systemctl start kafka", "kafka"),
        ("/bin/systemctl --no-block start kafka@2.service", "kafka@2"),
        ("systemctl start confluent-server --no-block", "confluent-server"),
        ("rc-service kafka start", "kafka"),
        ("/etc/init.d/kafka start", "kafka"),
        ("/etc/rc.d/init.d/kafka start", "kafka"),
        ("systemctl start kafka zookeeper", ""),
        ("systemctl -H n2 start kafka", ""),
        ("systemctl --host=n2 start kafka", ""),
        ("systemctl --user start kafka", ""),
        ("systemctl start kafka.target", ""),
        ("systemctl start 'kafka*'", ""),
        ("systemctl reset-failed kafka; systemctl start kafka", ""),
        ("systemctl start kafka || true", ""),
        ("service kafka stop", ""),
        ("docker start kafka", ""),
        ("/opt/kafka/start.sh", ""),
        ("systemctl start 'kafka", ""),
        ("systemctl", ""),
        ("", ""),
    ],
)
def test_a_unit_is_named_by_a_start_command_that_starts_it_alone(command: str, name: str) -> None:
    assert unit_name(command) == name


@pytest.mark.parametrize(
    ("span", "wanted"),
    [
        ("1min 30s", 90.0),
        ("5min", 300.0),
        ("1h 2min 3.5s", 3723.5),
        ("500ms", 0.5),
        ("infinity", None),
        ("", None),
        ("3 parsecs", None),
    ],
)
def test_a_time_span_of_systemd_is_understood(span: str, wanted: float | None) -> None:
    assert seconds(span) == wanted


def test_a_name_with_parentheses_and_spaces_does_not_move_the_numbers_of_stat() -> None:
    line = java(7)[1].removeprefix("stat ").replace("(java)", "(a ) S 1 (b)")
    seen = stat(line)
    assert seen is not None and (seen.pid, seen.ticks) == (7, 300000)


NODE = Broker(7, "n7.example.org", is_broker=False, is_controller=True)


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("systemctl start kafka-{id}", "systemctl start kafka-7"),
        ("start.sh {host} {id} {id}", "start.sh n7.example.org 7 7"),
        (
            "sh -c 'echo ${VAR} ${id}'; awk '{print $1}' {} {ID}",
            "sh -c 'echo ${VAR} ${id}'; awk '{print $1}' {} {ID}",
        ),
    ],
)
def test_only_the_exact_placeholders_of_a_command_are_replaced(command: str, wanted: str) -> None:
    assert for_node(command, NODE) == wanted


def test_a_pattern_names_the_node_of_several_on_one_host() -> None:
    wanted = r"/n7\.example\.org/broker-7[.]properties a{2}"
    assert pattern_of(NODE, "/{host}/broker-{id}[.]properties a{2}") == wanted


def test_a_dedicated_controller_has_commands_of_its_own_where_they_are_given() -> None:
    brokers, controllers = ("stop kafka", "start kafka"), ("stop c{id}", "start c{id}")
    combined = Broker(8, "n8", is_controller=True)
    assert commands_of(NODE, brokers, controllers) == ("stop c7", "start c7")
    assert commands_of(NODE, brokers, None) == brokers
    assert commands_of(combined, brokers, controllers) == brokers


def broker_host(output: str, start: str = "systemctl start kafka") -> tuple[BrokerHost, FakeShell]:
    unit_of_it = unit_name(start)
    lines = [search_line(unit_of_it, DEFAULT_PATTERN), process_line(812), unit_line(unit_of_it)]
    shell = FakeShell({line: (0, output) for line in lines})
    return BrokerHost(shell, "systemctl stop kafka", start), shell


def test_the_preflight_looks_for_the_process_where_no_metrics_tell_of_it() -> None:
    host, _ = broker_host(answer(unit(name="java"), java(812)))
    assert host.preflight(None).found is None and not host.sees_process
    readiness = host.preflight(None, find=True)
    assert readiness.process_visible and host.sees_process
    assert readiness.found == host.find_process()


def test_a_host_that_does_not_answer_tells_nothing_of_its_process() -> None:
    class Silent(FakeShell):
        def run(self, *_args: object, **_options: object) -> "None":  # type: ignore[override]
            raise SshError("ssh n1: Connection refused")

    host = BrokerHost(Silent(), "service kafka stop", "service kafka start")
    assert host.find_process() == FoundProcess(UNKNOWN, words="ssh n1: Connection refused")
    for jvm in (FOUND, HIDDEN, Jvm(0, 0)):
        assert host.observe_found(jvm).presence is UNKNOWN


def test_a_search_that_does_not_end_is_not_told_with_the_whole_line() -> None:
    class Slow(FakeShell):
        def run(self, command: str, *_args: object, **_options: object) -> "None":  # type: ignore[override]
            raise SshError(f"`{command}` did not end within 15 s")

    host = BrokerHost(Slow(), "service kafka stop", "service kafka start")
    said = "the search for its process did not end within 15 s"
    assert host.find_process().words == said == host.observe_found(FOUND).words


def test_what_was_found_is_looked_for_by_its_identity() -> None:
    host, shell = broker_host(answer(unit(), java(812)[1:2]))
    assert host.observe_found(FOUND).is_present and shell.asked == [process_line(812)]
    assert host.observe_found(HIDDEN).is_present and shell.asked[1:] == [unit_line("kafka")]


def test_a_stop_was_clean_when_every_log_directory_says_so(tmp_path: Path) -> None:
    first, second = tmp_path / "it's a dir!", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    both = [str(first), str(second)]
    (first / ".kafka_cleanshutdown").touch()
    assert clean_stop(run_in("sh", clean_stop_line(both))) is False
    (second / ".kafka_cleanshutdown").touch()
    assert clean_stop(run_in("sh", clean_stop_line(both))) is True
    assert clean_stop(run_in("sh", clean_stop_line([*both, "/not/there"]))) is None
    assert clean_stop(run_in("sh", clean_stop_line([]))) is None
    assert clean_stop("process: clean yes\n") is None  # the answer was cut


SHELLS = [
    shell
    for name in ("sh", "dash", "bash", "zsh", "ksh", "busybox", "fish", "csh", "tcsh")
    if (shell := shutil.which(name)) is not None
]


def run_in(shell: str, line: str) -> str:
    """Run a line as sshd does: by the login shell of the user."""
    words = [shell, "sh", "-c"] if shell.endswith("busybox") else [shell, "-c"]
    ended = subprocess.run(
        [*words, line], capture_output=True, text=True, timeout=30, check=True, cwd="/"
    )
    assert ended.stderr == ""
    return ended.stdout


@pytest.fixture(name="java_like")
def _java_like(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A process that is named java, and has a long class path before the name of its class."""
    program = tmp_path / "java"
    shutil.copy("/bin/sh", program)
    name = f"my.Kafka{os.getpid()}"
    # read waits in the process itself, so that its name stays
    words = [str(program), "-c", "read x", "-cp", "/opt/libs/x.jar:" * 600, name, "/k/c.properties"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        yield name, process
        process.kill()


@pytest.mark.parametrize("shell", SHELLS)
def test_the_real_line_finds_a_real_java_behind_a_long_class_path_in_every_shell(
    shell: str, java_like: tuple[str, "subprocess.Popen[bytes]"]
) -> None:
    name, process = java_like
    began = time.time()
    wanted = Wanted(unit="kafka", pattern=f"[m]y\\.(Kafka)'?\"?{name.removeprefix('my.Kafka')}!?")
    found = judge(run_in(shell, search_line(wanted.unit, wanted.regex)), wanted)
    jvm = found.jvm
    assert jvm is not None and jvm.pid == process.pid and "/k/c.properties" in found.words
    assert jvm.uptime_ms < 30_000 and abs(jvm.start_ms / 1000 - began) < 5
    question = process_line(process.pid)
    assert observe_pid(run_in(shell, question), jvm).is_present
    process.kill()
    deadline = time.monotonic() + 10
    while not observe_pid(run_in(shell, question), jvm).is_absent:
        # a zombie, until we look after it: it is not there
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    assert judge(run_in(shell, search_line("", wanted.regex)), wanted).presence is ABSENT


@pytest.mark.parametrize("shell", SHELLS)
def test_another_program_with_the_words_in_its_arguments_is_not_found(shell: str) -> None:
    name = f"our.Kafka{os.getpid()}"
    with subprocess.Popen(["tail", "-f", "/dev/null", f"--pid={os.getpid()}", "--", name]) as tail:
        try:
            found = judge(run_in(shell, search_line("", name)), Wanted(pattern=name))
        finally:
            tail.kill()
    assert found.presence is ABSENT


@pytest.mark.parametrize("line", [search_line("kafka", "a'b!c\\\\d\ne`$(f)"), process_line(7)])
def test_the_line_says_nothing_that_a_login_shell_takes_otherwise(line: str) -> None:
    inside = line.removeprefix("sh -c '").removesuffix("'")
    assert line == f"sh -c '{inside}'"
    assert not any(odd in inside for odd in ("'", "!", "\\\\", "\n"))


@pytest.mark.parametrize("text", ["kafka.Kafka", "a'b\"c\\d\n!$`%s é", "\\9"])
def test_an_escaped_text_reaches_the_host_as_it_is(text: str) -> None:
    script = f'printf %b "{escaped(text)}"'
    said = subprocess.run(["sh", "-c", script], capture_output=True, check=True, timeout=10)
    assert said.stdout.decode() == text
