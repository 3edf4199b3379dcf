"""Who gets passwords: the hosts that ZooKeeper names, if somebody vouches for them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from kafka_rolling_restart.cli import arguments, factory
from kafka_rolling_restart.cli.questions import agree_on_passwords
from kafka_rolling_restart.cli.recipients import (
    Recipient,
    Vouched,
    question,
    recipients,
    refusal,
    tell,
)
from kafka_rolling_restart.errors import Refused
from kafka_rolling_restart.hosts.ssh.config import SshOptions
from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.output.report import Report
from kafka_rolling_restart.settings.access import Login, MetricsAccess
from kafka_rolling_restart.settings.cluster import ClusterConfig
from kafka_rolling_restart.settings.secret import Passwords, Secret
from kafka_rolling_restart.text import MAX_LINE
from tests.fakes import Collector

BROKERS = {number: Broker(number, f"kafka{number}", 10) for number in (1, 2, 3)}
PLAN = [BROKERS[1], BROKERS[2]]
PASSWORD = Secret("hunter2")
NONE = MetricsAccess(9090, "jmxproxy/localhost:9099/", 30)
HTTP = replace(NONE, login=Login("--jmxproxy-user", "me", PASSWORD))
JMX = replace(NONE, jmx_login=Login("--jmx-user", "me", PASSWORD))
ONE_PROXY = replace(HTTP, host="proxy", prefix="jmxproxy/{host}:9999", jmx_login=JMX.jmx_login)
CONFIG = ClusterConfig(
    "main", "x", "zk:2181", ("kafka1:9092", "kafka2:9092", "kafka3:9092"), Path("/d/main.yaml")
)


def of(
    metrics: MetricsAccess = NONE, template: str = "{host}", **passwords: Secret
) -> list[Recipient]:
    return recipients(metrics, Passwords(**passwords), SshOptions(template=template), BROKERS, PLAN)


def told(*found: Recipient) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.host, one.passwords) for one in found]


def test_without_passwords_nobody_is_asked_about() -> None:
    assert of() == [] and of(passphrase=PASSWORD) == []


def test_the_metrics_of_all_get_their_passwords_and_the_hosts_of_the_plan_those_of_ssh() -> None:
    assert told(*of(HTTP)) == [(f"kafka{number}", ("HTTP",)) for number in (1, 2, 3)]
    assert told(*of(JMX, ssh=PASSWORD, sudo=PASSWORD)) == [
        ("kafka1", ("JMX", "SSH", "sudo")),
        ("kafka2", ("JMX", "SSH", "sudo")),
        ("kafka3", ("JMX",)),
    ]


def test_one_proxy_for_all_hands_the_jmx_password_on_to_hosts_that_zookeeper_names() -> None:
    assert told(*of(ONE_PROXY)) == [(f"kafka{number}", ("JMX",)) for number in (1, 2, 3)]


def test_ssh_has_names_of_its_own_which_are_known_by_the_registered_host_they_are_made_of() -> None:
    found = of(template="{host}.internal", sudo=PASSWORD)
    assert [one.host for one in found] == ["kafka1.internal", "kafka2.internal"]
    assert all(Vouched(["kafka1:9092", "kafka2:9092"], []).has(one) for one in found)
    assert all(Vouched([], ["*.internal"]).has(one) for one in found)
    # the id is ZooKeeper's, and nothing of the listed host is in it
    by_id = of(template="broker-{id}", sudo=PASSWORD)
    assert not any(Vouched(["kafka1:9092", "kafka2:9092"], []).has(one) for one in by_id)


def test_what_vouches_for_a_host_does_so_for_all_that_is_sent_there() -> None:
    brokers = {1: Broker(1, "kafka1", 10), 2: Broker(2, "kafka1.internal", 10)}
    passwords, ssh = Passwords(sudo=PASSWORD), SshOptions(template="{host}.internal")
    found = recipients(HTTP, passwords, ssh, brokers, [brokers[1]])
    (both,) = [one for one in found if one.host == "kafka1.internal"]
    assert both.passwords == ("HTTP", "sudo")
    assert not Vouched(["kafka1:9092"], []).has(both)  # the HTTP password goes there for broker 2


@pytest.mark.parametrize(
    ("host", "entry"),
    [
        ("kafka1", "kafka1:9092"),
        ("kafka1", "kafka1"),
        ("KAFKA1.example.", "kafka1.EXAMPLE:9092"),
        ("kafka1", "PLAINTEXT://kafka1:9092"),
        ("10.0.0.1", "10.0.0.1:9092"),
        ("fd00::1", "[fd00::1]:9092"),
        ("fd00:0::1", "[FD00::1]"),
        ("fd00::1", "fd00::1"),
    ],
)
def test_a_host_of_broker_list_is_known(host: str, entry: str) -> None:
    assert Vouched([entry], []).has(Recipient(host, (host,), ("HTTP",)))


@pytest.mark.parametrize(
    ("host", "pattern"),
    [
        ("kafka4", "kafka4"),
        ("kafka4", "KAFKA?"),
        ("a.b.example", "*.example"),
        ("fd00::1", "[fd00::1]"),
    ],
)
def test_a_host_that_the_option_allows_is_known(host: str, pattern: str) -> None:
    assert Vouched([], arguments.parse(["-t", "x", "--allow-hosts", pattern]).allow_hosts).has(
        Recipient(host, (host,), ("HTTP",))
    )


@pytest.mark.parametrize(
    ("host", "entry", "pattern"),
    [
        ("evil", "kafka1:9092", "kafka?"),
        ("kafka1.evil", "kafka1:9092", "kafka1"),
        ("kafka12", "kafka1:2", "kafka?"),
        ("evil.example", "x.example:9092", "*.x.example"),
        ("kafkaXexample", "a:1", "kafka.example"),
        ("10.0.0.12", "10.0.0.1:9092", "10.0.0.1"),
    ],
)
def test_any_other_host_is_a_stranger(host: str, entry: str, pattern: str) -> None:
    assert not Vouched([entry], [pattern]).has(Recipient(host, (host,), ("HTTP",)))


def test_patterns_are_lists_and_repeatable_and_a_nonsense_one_is_wrong_usage(capsys: Any) -> None:
    given = ["-t", "x", "--allow-hosts", "a, b*", "--allow-hosts=*.c"]
    assert arguments.parse(given).allow_hosts == ["a", "b*", "*.c"]
    assert arguments.parse(["-t", "x"]).allow_hosts == []
    for wrong in ("", "a,,b", "a b", "-a", "a/b", "a;b", "(a|b)"):
        with pytest.raises(SystemExit) as ended:
            arguments.parse(["-t", "x", f"--allow-hosts={wrong}"])
        assert ended.value.code == 2 and "argument --allow-hosts: " in capsys.readouterr().err


def test_passwords_that_go_to_the_same_hosts_are_told_together() -> None:
    assert tell(of(JMX, ssh=PASSWORD, sudo=PASSWORD)) == [
        "the JMX password will be sent to: kafka1, kafka2, kafka3",
        "the SSH and sudo passwords will be sent to: kafka1, kafka2",
    ]


def test_the_question_names_every_host_and_those_that_nobody_vouches_for() -> None:
    found = of(HTTP)
    said = "the HTTP password will be sent to: kafka1, kafka2, kafka3"
    assert question(found, []) == f"{said}. Send? [y/N]"
    assert question(found, found[2:]) == f"NOT in broker_list: kafka3; {said}. Send? [y/N]"
    many = [Recipient(f"k{number}" * 50, (), ("HTTP",)) for number in range(1000)]
    asked = question(many, many)
    assert (
        asked.count("and 900 more") == 2 and len(asked) < MAX_LINE and asked.endswith("Send? [y/N]")
    )


def test_a_refusal_names_the_hosts_and_the_option_in_one_line() -> None:
    said = refusal(of(HTTP)[:2], "broker_list in /d/main.yaml does not")
    assert said.startswith(
        "the HTTP password would be sent to kafka1, kafka2: the cluster registered these "
        "hosts, and broker_list"
    )
    assert said.endswith(" --allow-hosts kafka1,kafka2")
    many = refusal(
        [Recipient(f"k{number}", (), ("HTTP",)) for number in range(1000)], "it does not"
    )
    assert (
        "k9 and 990 more" in many
        and "--allow-hosts with their names or a pattern" in many
        and len(many) < 500
    )


class Terminal(StringIO):
    """A terminal at which somebody types."""

    def isatty(self) -> bool:
        return True


@contextmanager
def typing(text: str | None) -> Iterator[None]:
    """Have a terminal for the block, at which a text is typed; or none."""
    before, sys.stdin = sys.stdin, StringIO() if text is None else Terminal(text)
    try:
        yield
    finally:
        sys.stdin = before


def agree(
    *words: str,
    found: list[Recipient] | None = None,
    cluster: ClusterConfig = CONFIG,
    typed: str | None = None,
) -> str:
    """Agree on the passwords of a run; return what was shown."""
    writer = Collector()
    options = arguments.parse(["-t", "main", *words])
    report = Report(writer, quiet=options.quiet)
    with typing(typed):
        agree_on_passwords(
            factory.settings_of(options), cluster, of(HTTP) if found is None else found, report
        )
    return "".join(writer.lines)


UNLISTED = replace(CONFIG, broker_list=("kafka1:9092",))


@pytest.mark.parametrize("words", [["--no-confirm"], ["--dry-run"], ["--dry-run", "--no-confirm"]])
def test_where_nobody_can_be_asked_passwords_go_to_the_hosts_of_broker_list_alone(
    words: list[str],
) -> None:
    assert "the HTTP password will be sent to: kafka1, kafka2, kafka3" in agree(*words)
    with pytest.raises(
        Refused, match="sent to kafka2, kafka3: .* broker_list in /d/main.yaml does not"
    ):
        agree(*words, cluster=UNLISTED)
    agree(*words, "--allow-hosts", "kafka2,kafka3", cluster=UNLISTED)
    with pytest.raises(Refused, match="sent to kafka3: .*--allow-hosts kafka3"):
        agree(*words, "--allow-hosts", "kafka2", cluster=UNLISTED)


def test_at_a_terminal_no_confirm_asks_nothing_and_refuses_strangers() -> None:
    agree("--no-confirm", typed="y\n")
    with pytest.raises(Refused, match="--allow-hosts kafka2,kafka3"):
        agree("--no-confirm", cluster=UNLISTED, typed="y\n")


@pytest.mark.parametrize("words", [[], ["--dry-run"], ["--dry-run", "--quiet"]])
@pytest.mark.parametrize("cluster", [CONFIG, UNLISTED])
def test_at_a_terminal_the_hosts_are_shown_and_nothing_goes_on_without_a_yes(
    words: list[str], cluster: ClusterConfig
) -> None:
    shown = agree(*words, cluster=cluster, typed="y\n")
    assert "the HTTP password will be sent to: kafka1, kafka2, kafka3" in shown
    assert ("NOT in broker_list: kafka2, kafka3" in shown) is (cluster is UNLISTED)
    for answer in ("n\n", "\n", "", "yess\n"):
        with pytest.raises(Refused, match="not confirmed; no password was sent"):
            agree(*words, cluster=cluster, typed=answer)


def test_hosts_that_are_all_allowed_on_the_command_line_are_not_asked_about_again() -> None:
    assert "[y/N]" not in agree("--allow-hosts", "kafka*", typed="n\n")


def test_a_cluster_that_is_named_by_its_zookeeper_alone_vouches_for_nobody() -> None:
    cluster = ClusterConfig("", "zk:2181", "zk:2181", (), None)
    with pytest.raises(Refused, match="no broker_list or --bootstrap-server names them"):
        agree("--no-confirm", cluster=cluster)
    assert agree("--no-confirm", cluster=cluster, found=[]) == ""
