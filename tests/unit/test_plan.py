import threading

import pytest

from kafka_rolling_restart.errors import Refused, UsageError
from kafka_rolling_restart.hosts.base import FoundProcess, Readiness
from kafka_rolling_restart.hosts.broker_host import BrokerHost
from kafka_rolling_restart.model.broker import Broker, Jvm, Sample
from kafka_rolling_restart.model.observation import Presence
from kafka_rolling_restart.model.problem import Problem
from kafka_rolling_restart.output.summarize import pieces
from kafka_rolling_restart.registry.zookeeper import wrong_chroot
from kafka_rolling_restart.roll import plan as plans
from kafka_rolling_restart.roll.plan import (
    Finding,
    _finding,
    _same_jvms,
    choose,
    good,
    in_order,
    left_alone,
    look_at_hosts,
    looking,
    notes,
    of_roles,
    problems,
    require_own_commands,
    started_before,
    table,
)
from kafka_rolling_restart.roll.plan import (
    findings as put_together,
)
from kafka_rolling_restart.settings.rules import HealthRule
from tests.fakes import SOUND

BROKERS = {1: Broker(1, "n1", 10), 2: Broker(2, "n2", 11), 5: Broker(5, "n5", 12)}


@pytest.mark.parametrize(
    ("skip", "ids", "chosen"),
    [(0, [], [1, 2, 5]), (1, [], [2, 5]), (3, [], []), (0, [5, 1], [5, 1])],
)
def test_brokers_are_chosen_in_their_order(skip: int, ids: list[int], chosen: list[int]) -> None:
    assert [broker.id for broker in choose(BROKERS, skip, ids)] == chosen


@pytest.mark.parametrize(("skip", "ids"), [(4, []), (0, [3])])
def test_a_choice_that_makes_no_sense_is_wrong_usage(skip: int, ids: list[int]) -> None:
    with pytest.raises(UsageError):
        choose(BROKERS, skip, ids)


@pytest.mark.parametrize(
    ("hosts", "chroots", "said"),
    [
        (
            "z:2181,y/kafk",
            ["/kafka/lab"],
            "/brokers/ids is under /kafka/lab: give z:2181,y/kafka/lab as the address",
        ),
        (
            "z:2181/a",
            ["/", "/b"],
            "/brokers/ids is under /, /b: give z:2181 or z:2181/b as the address",
        ),
        ("z:2181/a/", ["/a"], "It is there, and empty: start the brokers"),
        (
            "z:2181",
            ["/", "/b"],
            "empty: start the brokers, or give another chroot, which is the path behind the "
            "servers: /b",
        ),
        ("z:2181/a", [], "No other chroot (the path behind the servers) has a /brokers/ids either"),
        (
            "z:2181/x",
            [f"/{one}" for one in range(12)],
            "under /0, /1, /2, /3, /4, /5, /6, /7, /8, /9 and 2 more: give z",
        ),
    ],
)
def test_a_wrong_chroot_names_those_that_have_brokers(
    hosts: str, chroots: list[str], said: str
) -> None:
    assert said in wrong_chroot(hosts, chroots)


ONE_HOST = [Broker(1, "n1", 10), Broker(2, "n1", 11)]


def test_two_brokers_on_one_host_with_the_same_command_are_refused() -> None:
    with pytest.raises(Refused, match="broker 1 and broker 2 on n1"):
        require_own_commands(ONE_HOST, lambda _node: ("service kafka stop", "service kafka start"))


@pytest.mark.parametrize("same", ["stop", "start"])
def test_one_command_that_is_the_same_is_enough_to_refuse(same: str) -> None:
    def commands(node: Broker) -> tuple[str, str]:
        stop = "stop" if same == "stop" else f"stop-{node.id}"
        return stop, "start" if same == "start" else f"start-{node.id}"

    with pytest.raises(Refused):
        require_own_commands(ONE_HOST, commands)


def test_two_brokers_on_one_host_with_commands_of_their_own_are_allowed() -> None:
    require_own_commands(ONE_HOST, lambda node: (f"stop-{node.id}", f"start-{node.id}"))
    elsewhere = [Broker(1, "n1", 10), Broker(2, "n2", 11)]
    require_own_commands(elsewhere, lambda _node: ("stop", "start"))


def test_ids_that_roles_leave_out_are_not_said_to_be_down() -> None:
    controllers = {one.id: one for one in DEDICATED}
    nodes = {**BROKERS, **controllers}
    with pytest.raises(UsageError, match="--roles leaves out controller 101. Give --roles all"):
        choose(BROKERS, 0, [1, 101], nodes)
    with pytest.raises(UsageError, match="3 not registered"):
        choose(BROKERS, 0, [3], nodes)


def looked_at(boot: str, pid: int) -> Readiness:
    jvm = Jvm(1, 1, pid, (boot, pid, 5))
    return Readiness((), True, FoundProcess(Presence.PRESENT, jvm))


@pytest.mark.parametrize(
    ("boots", "own_commands", "refused"),
    [
        (("a", "a", "b"), False, {1, 2}),
        (("a", "b", "c"), False, set()),
        (("a", "a", "a"), True, set()),
    ],
)
def test_one_machine_with_two_names_is_seen_by_its_boot(
    boots: tuple[str, str, str], own_commands: bool, refused: set[int]
) -> None:
    ready = {one: looked_at(boot, one) for one, boot in zip(BROKERS, boots, strict=True)}

    def commands(node: Broker) -> tuple[str, str]:
        name = f"kafka-{node.id}" if own_commands else "kafka"
        return f"systemctl stop {name}", f"systemctl start {name}"

    readings = {one: Sample(0, 0, metrics=SOUND) for one in BROKERS}
    found = put_together(BROKERS, readings, ready, commands=commands)
    codes = {
        one
        for one, finding in found.items()
        if "several-brokers-on-one-host" in [problem.code for problem in finding.problems]
    }
    assert codes == refused


COMBINED = [Broker(one, f"n{one}", is_controller=True) for one in (1, 2, 3)]
DEDICATED = [Broker(one, f"n{one}", is_broker=False, is_controller=True) for one in (101, 102, 103)]


@pytest.mark.parametrize(
    ("nodes", "leader", "first", "order"),
    [
        (COMBINED, 1, True, [2, 3, 1]),
        (COMBINED, 2, True, [1, 3, 2]),
        (COMBINED, None, True, [1, 2, 3]),
        ([*BROKERS.values(), *DEDICATED], 101, True, [102, 103, 101, 1, 2, 5]),
        ([*BROKERS.values(), *DEDICATED], 103, False, [1, 2, 5, 101, 102, 103]),
        (list(BROKERS.values()), 1, True, [1, 2, 5]),  # ZooKeeper: the controller votes on nothing
        ([BROKERS[5], BROKERS[1]], None, True, [5, 1]),
    ],
)
def test_the_leader_of_the_quorum_is_the_last_of_the_voters(
    nodes: list[Broker], leader: int | None, first: bool, order: list[int]
) -> None:
    assert [one.id for one in in_order(nodes, leader, first)] == order


@pytest.mark.parametrize(
    ("roles", "ids"),
    [("brokers", [1, 2, 3]), ("controllers", [101, 102, 103]), ("all", [1, 2, 3, 101, 102, 103])],
)
def test_roles_choose_brokers_and_dedicated_controllers(roles: str, ids: list[int]) -> None:
    nodes = {one.id: one for one in [*COMBINED, *DEDICATED]}
    assert sorted(of_roles(nodes, roles)) == ids


def test_a_cluster_without_dedicated_controllers_has_none_to_restart() -> None:
    with pytest.raises(Refused, match="no dedicated controller"):
        of_roles({one.id: one for one in COMBINED}, "controllers")


def test_a_start_is_told_by_the_uptime_and_not_by_the_clock_of_the_host() -> None:
    reading = Sample(1000, 1000, jvm=Jvm(start_ms=99_999_999_999_999, uptime_ms=600_000))
    assert started_before(401, reading) and not started_before(400, reading)


def test_two_brokers_whose_metrics_show_one_jvm_are_a_problem() -> None:
    one, two = (
        Sample(0, 0, jvm=Jvm(start_ms=5, uptime_ms=1, pid=7), metrics=SOUND) for _ in range(2)
    )
    other = Sample(0, 0, jvm=Jvm(start_ms=6, uptime_ms=1, pid=7), metrics=SOUND)
    findings = put_together(BROKERS, {1: one, 2: two, 5: other}, {})
    for broker_id, other_name in ((1, "broker 2 (n2)"), (2, "broker 1 (n1)")):
        (problem,) = findings[broker_id].problems
        assert (
            problem.code == "same-jvm-twice"
            and "pid 7" in problem.text
            and other_name in problem.text
        )
    assert findings[5].problems == ()


def test_a_host_that_was_not_looked_at_is_not_said_to_hide_its_process() -> None:
    no_ssh = Problem("no SSH", "ssh-unreachable")
    reading = Sample(0, 0, reason="Connection refused", advice="Try: `curl -i http://n1/`")
    finding = _finding(BROKERS[1], reading, Readiness(problems=(no_ssh,)), None, False, None)
    assert [problem.code for problem in finding.problems] == ["no-metrics", "ssh-unreachable"]
    assert finding.problems[0].text.endswith("Connection refused. Try: `curl -i http://n1/`")
    assert finding.notes == ()


def test_metrics_that_may_be_old_are_a_problem_unless_that_is_allowed() -> None:
    reading = Sample(
        0,
        0,
        metrics=SOUND,
        max_age=300,
        age_note="it keeps answers for 300 s",
        advice="Allow DELETE there",
    )
    allowed = _finding(BROKERS[1], reading, None, None, allow_cached=True, quorum=None)
    assert allowed.problems == ()
    (note,) = allowed.notes
    refused = _finding(BROKERS[1], reading, None, None, allow_cached=False, quorum=None)
    (problem,) = refused.problems
    assert (
        "it keeps answers for 300 s" in note.text and note.code == problem.code == "metrics-cached"
    )
    assert problem.text.endswith("Allow DELETE there, or accept it with --allow-cached-metrics")


def test_a_good_preflight_claims_nothing_of_hosts_that_were_not_looked_at() -> None:
    read = [Sample(0, 0, metrics=SOUND)] * 3
    assert (
        good(read, 3)
        == "preflight: every host lets us in, both commands are allowed, all metrics answer"
    )
    assert good(read, 2).startswith(
        "preflight: every host of the plan (2 of 3) lets us in, both commands are allowed,"
    )
    assert (
        good(read, 0)
        == "preflight: all metrics answer; the plan has no broker, so no host and no command was "
        "checked"
    )
    assert looking(BROKERS.values(), 2) == "preflight: looking at 3 brokers, and at the hosts of 2"
    assert looking(BROKERS.values(), 0) == "preflight: looking at 3 brokers, and at no host"


def test_the_table_does_not_say_ok_of_a_broker_whose_host_was_not_looked_at() -> None:
    readings = {one: Sample(0, 0, jvm=Jvm(one, 1), metrics=SOUND) for one in BROKERS}
    allowed = threading.Event()
    allowed.set()
    looked = look_at_hosts([BROKERS[1]], {1: Waiting(allowed)}, readings, lambda: 0.0)
    findings = put_together(BROKERS, readings, {1: looked[1].ready})
    rows = table(BROKERS, [BROKERS[1]], None, readings, findings)
    assert [row.found for row in rows] == ["ok", "metrics ok", "metrics ok"]


class Waiting(BrokerHost):
    """A host that lets us in only once it is allowed to."""

    def __init__(self, allowed: threading.Event) -> None:
        self._allowed = allowed

    def preflight(self, jvm: Jvm | None, find: bool = False) -> Readiness:
        assert self._allowed.wait(30)
        return Readiness(process_visible=True)


def test_while_hosts_are_looked_at_it_is_said_how_many_were() -> None:
    now, later, told = threading.Event(), threading.Event(), list[int]()
    now.set()

    def tell(looked: int) -> None:
        told.append(looked)
        if looked == 2:
            later.set()

    readings = {one: Sample(0, 0, jvm=Jvm(one, 1), metrics=SOUND) for one in BROKERS}
    hosts = {1: Waiting(now), 2: Waiting(now), 5: Waiting(later)}
    looked = look_at_hosts(list(BROKERS.values()), hosts, readings, lambda: 7.0, tell, every=0.01)
    assert 2 in told and {one.at for one in looked.values()} == {7.0}


def test_a_note_that_is_about_many_brokers_is_one_that_names_them() -> None:
    many = {number: Broker(number, f"n{number}", number) for number in range(1, 1001)}
    said = Problem("container?", "process-not-visible"), Problem("cache", "metrics-cached")
    findings = {number: Finding(notes=said[: 1 + (number == 7)]) for number in many}
    all_of_them = Problem("container?: broker 1-1000", "process-not-visible")
    assert notes(many, findings) == [(all_of_them, ""), (said[1], "broker 7 (n7)")]


def refused(broker: Broker) -> Finding:
    address = f"10.0.{broker.id // 256}.{broker.id % 256}"
    return Finding(
        problems=(Problem(f"ssh {broker.host} ({address}): login refused", "login-refused"),)
    )


FORBIDDEN = Problem("may not run `sudo -n service kafka stop`", "command-not-allowed")


def test_a_problem_that_very_many_have_is_said_of_the_first_and_names_the_others() -> None:
    many = {number: Broker(number, f"n{number}", 1) for number in range(1, 1001)}
    findings = {number: refused(broker) for number, broker in many.items()}
    findings[700] = Finding(problems=(FORBIDDEN,))
    said = [(problem.text, problem.code, about) for problem, about in problems(many, findings)]
    assert said == [
        ("ssh n1 (10.0.0.1): login refused", "login-refused", "broker 1 (n1)"),
        ("ssh n2 (10.0.0.2): login refused", "login-refused", "broker 2 (n2)"),
        ("ssh n3 (10.0.0.3): login refused", "login-refused", "broker 3 (n3)"),
        (
            "996 more brokers have the same problem as broker 1 (n1): broker 4-699, 701-1000",
            "login-refused",
            "",
        ),
        (FORBIDDEN.text, "command-not-allowed", "broker 700 (n700)"),
    ]


def test_a_problem_that_few_have_is_said_of_each() -> None:
    few = {number: Broker(number, f"n{number}", 1) for number in range(1, 11)}
    said = problems(few, {number: refused(broker) for number, broker in few.items()})
    assert [about for _problem, about in said] == [str(broker) for broker in few.values()]


def test_the_table_leaves_out_rows_in_the_middle_of_many_with_the_same_problem() -> None:
    many = {number: Broker(number, f"n{number}", 1) for number in range(1, 1001)}
    findings = {number: refused(broker) for number, broker in many.items()}
    findings[700] = Finding(problems=(FORBIDDEN,))
    rows = table(
        many, list(many.values()), None, {number: Sample(0, 0) for number in many}, findings
    )
    shown = pieces(rows, lambda row: row.kind)
    assert len(shown) < 20 and [rows[699]] in shown


def test_a_jvm_that_is_shown_for_all_names_a_few_of_them() -> None:
    many = {number: Broker(number, f"n{number}", 1) for number in range(1, 1001)}
    told = _same_jvms(many, {number: Sample(0, 0, jvm=Jvm(1, 1, 7)) for number in many})
    assert "broker 2 (n2) and broker 3 (n3) and broker 4 (n4) and 996 more" in told[1].text


def test_who_is_left_alone_for_being_younger_is_said_and_that_no_task_runs_there() -> None:
    before, after = list(BROKERS.values()), [BROKERS[2]]
    said = "left alone, because their JVMs started after --started-before: broker 1, 5"
    assert left_alone(before, after, with_tasks=False) == said
    assert left_alone(before, after, with_tasks=True).startswith(
        f"{said}. No task is run for these"
    )
    assert left_alone(before, before, with_tasks=True) == ""


def test_the_commands_of_controllers_are_told_where_they_are_others() -> None:
    rule, of_brokers = HealthRule(2, 5, 600), ("stop it", "start it")
    of_controllers = ("stop c", "start c")
    alone, both = (
        plans.rules(rule, of_brokers, of_brokers),
        plans.rules(rule, of_brokers, of_controllers),
    )
    assert alone == plans.rules(rule, of_brokers)
    assert alone[0] == both[0] == "commands: stop `stop it`, start `start it`"
    assert both[1] == "commands for controllers: stop `stop c`, start `start c`"
