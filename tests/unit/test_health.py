from collections.abc import Iterator
from dataclasses import replace

import pytest

from kafka_rolling_restart.metrics.freshness import Freshness
from kafka_rolling_restart.model.ages import ReasonAges
from kafka_rolling_restart.model.broker import Broker, Jvm, Metrics, Sample
from kafka_rolling_restart.model.cluster_state import (
    ClusterState,
    Partition,
    Quorum,
    QuorumReplica,
)
from kafka_rolling_restart.model.observation import Observation, Presence
from kafka_rolling_restart.model.verdict import Health, Reason, Verdict
from kafka_rolling_restart.roll.health import (
    NeverHealthy,
    judge,
    judge_cluster,
    wait_until_healthy,
)
from kafka_rolling_restart.roll.memory import JvmTracker
from kafka_rolling_restart.settings.rules import HealthRule
from tests.fakes import FakeClock

BROKERS = {1: Broker(1, "n1", 10), 2: Broker(2, "n2", 11)}
HEALTHY, UNHEALTHY, UNKNOWN = (
    Verdict(Health.HEALTHY),
    Verdict(Health.UNHEALTHY, (Reason("registration 2", "broker 2 is not registered"),)),
    Verdict(Health.UNKNOWN, (Reason("no news 2", "waiting"),)),
)


def members(registered: dict[int, Broker] | None) -> dict[int, Observation]:
    if registered is None:
        return dict.fromkeys(
            BROKERS, Observation(Presence.UNKNOWN, words="ZooKeeper does not answer")
        )
    absent = Observation(Presence.ABSENT, words="not registered in /brokers/ids")
    return {one: Observation(Presence.PRESENT) if one in registered else absent for one in BROKERS}


def reading(
    at: float, uptime_ms: int, metrics: Metrics | None = None, emptied: bool = True
) -> Sample:
    sound = Metrics(state=3, under_replicated=0, offline_partitions=0, active_controllers=0)
    max_age = 0.0 if emptied else 300.0
    note = "its JMXProxy refuses to empty its cache (DELETE), and keeps answers for 300 s"
    return Sample(
        at,
        at + 0.1,
        Jvm(5, uptime_ms),
        metrics or sound,
        max_age=max_age,
        age_note="" if emptied else note,
    )


def both(first: Metrics | None = None, second: Metrics | None = None) -> dict[int, Sample]:
    controller = Metrics(state=3, under_replicated=0, offline_partitions=0, active_controllers=1)
    return {1: reading(100, 50_000, first or controller), 2: reading(100, 60_000, second)}


def test_a_sound_cluster_is_healthy() -> None:
    assert judge(BROKERS, members(BROKERS), both(), Freshness(), JvmTracker()) == HEALTHY


@pytest.mark.parametrize(
    ("registered", "readings", "reason"),
    [
        (None, both(), "ZooKeeper does not answer"),
        ({1: BROKERS[1]}, both(), "broker 2 is not registered"),
        (BROKERS, both(second=Metrics(2, 0, 0, 0)), "broker 2 is recovering its logs (state 2)"),
        (
            BROKERS,
            both(second=Metrics(3, 6, 0, 0)),
            "6 under-replicated partitions (6 led by broker 2)",
        ),
        (
            BROKERS,
            both(Metrics(3, 6, 0, 1), Metrics(3, 6, 0, 0)),
            "12 under-replicated partitions (6 led by broker 1, 6 led by broker 2)",
        ),
        (BROKERS, both(Metrics(3, 0, 4, 1)), "4 offline partitions"),
        (BROKERS, both(Metrics(3, 0, 0, 0)), "no broker is the controller"),
        (
            BROKERS,
            both(second=Metrics(3, 0, 0, 1)),
            "2 active controllers instead of 1: broker 1, broker 2",
        ),
        (
            BROKERS,
            {**both(), 2: Sample(100, 130, reason="timed out")},
            "no metrics of broker 2: timed out",
        ),
    ],
)
def test_whatever_is_wrong_is_not_healthy_and_is_said(
    registered: dict[int, Broker] | None, readings: dict[int, Sample], reason: str
) -> None:
    verdict = judge(BROKERS, members(registered), readings, Freshness(), JvmTracker())
    assert verdict.health is Health.UNHEALTHY
    assert any(said.text.startswith(reason) for said in verdict.reasons)


def one(at: float, uptime_ms: int, emptied: bool = True) -> dict[int, Sample]:
    return {1: reading(at, uptime_ms, Metrics(3, 0, 0, 1), emptied)}


def test_a_proxy_that_only_pretends_to_empty_its_cache_is_found_out() -> None:
    freshness, alone = Freshness(), {1: BROKERS[1]}
    assert judge(alone, members(alone), one(100, 50_000), freshness, JvmTracker()) == HEALTHY
    verdict = judge(alone, members(alone), one(110, 50_000), freshness, JvmTracker())
    assert verdict.health is Health.UNHEALTHY
    assert [reason.code for reason in verdict.reasons] == [
        "metrics-stale"
    ] and "10 s old" in verdict.why
    assert judge(alone, members(alone), one(120, 70_000), freshness, JvmTracker()) == HEALTHY


def test_a_cache_that_cannot_be_emptied_counts_each_sample_once_while_it_may_keep_it() -> None:
    freshness, alone = Freshness(), {1: BROKERS[1]}

    def allowed(at: float, uptime_ms: int) -> Verdict:
        return judge(
            alone,
            members(alone),
            one(at, uptime_ms, emptied=False),
            freshness,
            JvmTracker(),
            allow_cached=True,
        )

    assert allowed(100, 50_000) == HEALTHY
    assert allowed(200, 50_000).health is Health.UNKNOWN
    assert allowed(410, 50_000).health is Health.UNHEALTHY
    assert allowed(420, 370_000) == HEALTHY


def test_a_cache_that_cannot_be_emptied_is_not_healthy_unless_that_is_allowed() -> None:
    alone = {1: BROKERS[1]}
    verdict = judge(
        alone, members(alone), one(100, 50_000, emptied=False), Freshness(), JvmTracker()
    )
    assert verdict.health is Health.UNHEALTHY
    assert "refuses to empty its cache (DELETE), and keeps answers for 300 s" in verdict.why


def test_a_pause_of_this_process_is_no_unhealthy_time() -> None:
    clock = FakeClock()
    unhealthy = Verdict(Health.UNHEALTHY, (Reason("a", "a"),))
    verdicts = iter([unhealthy, unhealthy, HEALTHY])

    def check() -> Verdict:
        clock.sleep(600)  # frozen, each time
        return next(verdicts)

    wait_until_healthy(check, HealthRule(1, 10, 300, longest_check=30), clock, lambda *_: None)
    assert next(verdicts, None) is None


def test_a_clock_that_drifts_is_not_taken_for_a_cache() -> None:
    freshness, alone = Freshness(), {1: BROKERS[1]}
    for at in range(0, 12 * 3600, 10):  # 12 h at 200 ppm: 8.6 s in all
        assert (
            judge(
                alone,
                members(alone),
                one(at, round(at * (1 - 200e-6) * 1000) + 50_000),
                freshness,
                JvmTracker(),
            )
            == HEALTHY
        )


def test_a_virtual_machine_that_was_paused_is_believed_again_after_a_while() -> None:
    freshness, alone = Freshness(), {1: BROKERS[1]}
    assert judge(alone, members(alone), one(0, 50_000), freshness, JvmTracker()) == HEALTHY
    assert (
        judge(alone, members(alone), one(10, 57_000), freshness, JvmTracker()).health
        is Health.UNHEALTHY
    )
    assert judge(alone, members(alone), one(300, 347_000), freshness, JvmTracker()) == HEALTHY


def wait(
    verdicts: list[Verdict], rule: HealthRule, takes: float = 0.0
) -> tuple[FakeClock, list[int]]:
    clock, counts = FakeClock(), []
    left: Iterator[Verdict] = iter(verdicts)

    def check() -> Verdict:
        clock.sleep(takes)
        return next(left)

    wait_until_healthy(check, rule, clock, lambda _verdict, healthy: counts.append(healthy))
    return clock, counts


def test_healthy_checks_are_consecutive_and_an_interval_apart() -> None:
    clock, counts = wait(
        [HEALTHY, HEALTHY, UNHEALTHY, HEALTHY, HEALTHY, HEALTHY], HealthRule(3, 10, 600)
    )
    assert counts == [1, 2, 0, 1, 2, 3]
    assert clock.now() == 1000 + 2 * 10 + 1 + 2 * 10


@pytest.mark.parametrize(
    ("unhealthy", "takes", "pause"),
    [
        (1, 0.1, 0.25),  # soon
        (1, 3.0, 3.0),  # a rest as long as the look
        (1, 9.5, 0.5),  # an interval from one look to the next, if that is sooner
        (400, 0.1, 9.9),
    ],
)
def test_a_cluster_that_is_not_healthy_is_looked_at_sooner_than_an_interval_later(
    unhealthy: int, takes: float, pause: float
) -> None:
    ends: list[float] = []
    clock = FakeClock()
    left = iter([UNHEALTHY] * unhealthy + [HEALTHY])

    def check() -> Verdict:
        clock.sleep(takes)
        return next(left)

    wait_until_healthy(
        check, HealthRule(1, 10, 10_000), clock, lambda _verdict, _healthy: ends.append(clock.now())
    )
    assert ends[-1] - takes - ends[-2] == pytest.approx(pause)


def test_a_flapping_cluster_reaches_the_limit_of_unhealthy_time() -> None:
    with pytest.raises(NeverHealthy, match="broker 2 is not registered"):
        wait([HEALTHY, UNHEALTHY] * 4, HealthRule(3, 10, 30))


def test_a_long_healthy_count_does_not_use_up_the_limit() -> None:
    clock, _ = wait([UNHEALTHY] + [HEALTHY] * 50, HealthRule(50, 10, 20))
    assert clock.now() > 1000 + 490


def test_a_check_that_takes_long_is_unhealthy_time_when_it_fails() -> None:
    with pytest.raises(NeverHealthy):
        wait([UNHEALTHY], HealthRule(3, 10, 30), takes=30)


def test_an_unknown_verdict_neither_counts_nor_breaks_the_row() -> None:
    _, counts = wait([HEALTHY, UNKNOWN, HEALTHY], HealthRule(2, 10, 15))
    assert counts == [1, 1, 2]


def test_a_jvm_that_changed_by_itself_breaks_the_row_and_is_counted() -> None:
    freshness, lives, alone = Freshness(), JvmTracker(), {1: BROKERS[1]}
    assert judge(alone, members(alone), one(100, 50_000), freshness, lives) == HEALTHY
    for time, (at, start_ms) in enumerate(((110, 6), (130, 7)), 1):
        sample = one(at, 1_000)
        sample[1] = replace(sample[1], jvm=Jvm(start_ms, 1_000))
        verdict = judge(alone, members(alone), sample, freshness, lives)
        assert verdict.health is Health.UNHEALTHY
        assert [reason.code for reason in verdict.reasons] == ["broker-restarted-by-others"]
        assert ("the first time" if time == 1 else "2 times so far") in verdict.why
        later = {
            1: replace(
                sample[1], asked_at=at + 10.0, answered_at=at + 10.1, jvm=Jvm(start_ms, 11_000)
            )
        }
        assert judge(alone, members(alone), later, freshness, lives) == HEALTHY


def test_a_jvm_that_we_started_is_no_news() -> None:
    freshness, lives, alone = Freshness(), JvmTracker(), {1: BROKERS[1]}
    lives.expect(1, Jvm(4, 0))
    lives.expect(1, Jvm(5, 0))
    assert judge(alone, members(alone), one(100, 50_000), freshness, lives) == HEALTHY


def test_a_reason_knows_for_how_long_it_has_been_seen_though_its_numbers_change() -> None:
    ages = ReasonAges()
    said = [
        ages.dated(
            unhealthy(Reason("under-replicated", f"{left} under-replicated partitions")), now
        )
        for left, now in ((12, 100.0), (9, 145.0))
    ]
    assert [verdict.why for verdict in said] == [
        "12 under-replicated partitions",
        "9 under-replicated partitions, for 45 s",
    ]
    ages.dated(HEALTHY, 150.0)
    assert ages.dated(unhealthy(Reason("under-replicated", "1")), 160.0).why == "1"


def unhealthy(reason: Reason) -> Verdict:
    return Verdict(Health.UNHEALTHY, (reason,))


def test_a_virtual_machine_that_was_paused_is_believed_once_its_uptime_runs_again() -> None:
    freshness, alone = Freshness(), {1: BROKERS[1]}
    assert judge(alone, members(alone), one(0, 50_000), freshness, JvmTracker()) == HEALTHY
    assert (
        judge(alone, members(alone), one(10, 50_000 + 2_000), freshness, JvmTracker()).health
        is Health.UNHEALTHY
    )
    assert (
        judge(alone, members(alone), one(20, 50_000 + 12_000), freshness, JvmTracker()) == HEALTHY
    )


def test_of_a_thousand_reasons_the_first_are_said_and_how_many_more_there_are() -> None:
    verdict = Verdict(
        Health.UNHEALTHY,
        tuple(Reason(f"registration {one}", f"broker {one}") for one in range(1000)),
    )
    assert verdict.why.startswith("broker 0; broker 1; ") and verdict.why.endswith(
        "broker 19; and 980 more reasons"
    )
    behind = {one: reading(100, 50_000, Metrics(3, 2, 0, int(one == 1))) for one in range(1, 1001)}
    (reason,) = judge({}, {}, behind, Freshness(), JvmTracker()).reasons
    assert reason.text.startswith("2000 under-replicated partitions (2 led by broker 1, ")
    assert reason.text.endswith(", 2 led by broker 20, and 980 more brokers)")


def test_no_pause_is_so_short_that_a_clock_does_not_notice_it() -> None:
    class Ticking(FakeClock):
        def sleep(self, seconds: float) -> None:
            assert seconds <= 0 or seconds >= 0.001
            super().sleep(seconds)

    for start in range(50):
        clock = Ticking()
        clock.sleep(start * 0.37)
        with pytest.raises(NeverHealthy):
            wait_until_healthy(
                lambda: UNHEALTHY, HealthRule(3, 10.0, 60.0), clock, lambda _verdict, _healthy: None
            )


# What the cluster says of itself

VOTERS = tuple(QuorumReplica(one, 0.0, 9) for one in (101, 102, 103))
FOLLOWERS = tuple(QuorumReplica(one, 0.2, 9) for one in BROKERS)
SOUND_STATE = ClusterState(
    99, 100, (1, 2), frozenset(BROKERS), partitions=60, quorum=Quorum(101, 5, VOTERS, FOLLOWERS)
)
BEHIND = tuple(Partition("orders", one, (1, 2, 3), (1, 2), 1) for one in range(30))
SERVES = {one: Sample(100, 100.1, None, Metrics(3), tells_process=False) for one in BROKERS}
LATE = QuorumReplica(103, 8.0, 1)


def judged(state: ClusterState | None, readings: dict[int, Sample] | None = None) -> Verdict:
    seen = SERVES if readings is None else readings
    return judge(BROKERS, members(BROKERS), seen, Freshness(), JvmTracker(), state=state)


def test_a_cluster_without_metrics_is_healthy_by_its_own_word() -> None:
    assert judged(SOUND_STATE) == HEALTHY
    assert judged(SOUND_STATE, both()) == HEALTHY
    assert judged(replace(SOUND_STATE, quorum=None)) == HEALTHY  # on ZooKeeper


@pytest.mark.parametrize(
    ("state", "code", "text"),
    [
        (
            replace(SOUND_STATE, under_replicated=BEHIND[:1]),
            "under-replicated",
            "1 under-replicated partition in the metadata of broker 1 and broker 2: orders-0",
        ),
        (replace(SOUND_STATE, under_replicated=BEHIND), "under-replicated", "30 under-replicated"),
        (replace(SOUND_STATE, offline=BEHIND[:2]), "offline-partitions", "2 offline partitions in"),
        (
            replace(SOUND_STATE, loading=(2,)),
            "coordinator-loading",
            "the group coordinator of broker 2 is still loading",
        ),
        (
            replace(SOUND_STATE, quorum=Quorum(101, 5, (*VOTERS[:2], LATE), FOLLOWERS)),
            "voter-behind",
            "controller 103, a voter of the quorum, is 8 s behind",
        ),
        (
            replace(SOUND_STATE, quorum=Quorum(101, 5, VOTERS, FOLLOWERS[:1])),
            "metadata-lag",
            "the metadata of broker 2 lags: it does not follow the quorum",
        ),
        (
            replace(SOUND_STATE, unknown="the metadata quorum does not answer"),
            "cluster-state-unknown",
            "the metadata quorum does not answer",
        ),
        (ClusterState(99, 100), "cluster-state-unknown", "no broker said how the partitions are"),
        (None, "partitions-unknown", "nothing tells whether all partitions are in sync"),
    ],
)
def test_whatever_the_cluster_says_of_itself_that_is_wrong_is_not_healthy_and_is_said(
    state: ClusterState | None, code: str, text: str
) -> None:
    verdict = judged(state)
    assert verdict.health is Health.UNHEALTHY
    assert [one.code for one in verdict.reasons] == [code]
    assert verdict.reasons[0].text.startswith(text) and len(verdict.reasons[0].text) < 600


def test_metrics_that_tell_of_the_partitions_do_without_the_word_of_the_cluster() -> None:
    assert judged(None, both()) == HEALTHY


def test_one_broker_whose_metrics_tell_nothing_of_partitions_makes_them_unknown() -> None:
    assert judged(None, {**both(), 2: SERVES[2]}).reasons[0].code == "partitions-unknown"


def test_a_cluster_that_cannot_say_how_it_is_is_not_healthy_whatever_the_metrics_say() -> None:
    assert judged(replace(SOUND_STATE, unknown="no answer"), both()).health is Health.UNHEALTHY


def test_a_broker_that_does_not_serve_is_named_without_a_word_of_metrics() -> None:
    refused = Sample(100, 100, reason="Connection refused", silent=True, tells_process=False)
    (reason,) = judged(SOUND_STATE, {**SERVES, 2: refused}).reasons
    assert (reason.code, reason.text) == (
        "not-serving",
        "node 2 does not serve: Connection refused",
    )


def test_a_voter_that_the_quorum_misses_is_told_once() -> None:
    controller = Broker(101, "c1", is_broker=False, is_controller=True)
    voters = (QuorumReplica(101, 20.0), QuorumReplica(102, 0.0), QuorumReplica(103, 0.1))
    state = ClusterState(0, 0, witnesses=(1,), partitions=1, quorum=Quorum(102, 1, voters))
    silent = Sample(0, 0, reason="a voter that does not follow", silent=True, tells_process=False)
    absent = {101: Observation(Presence.ABSENT, words="a voter that does not follow the quorum")}
    verdict = judge(
        {101: controller}, absent, {101: silent}, Freshness(), JvmTracker(), state=state
    )
    assert [reason.code for reason in verdict.reasons] == ["voter-behind"]
    assert verdict.health is Health.UNHEALTHY


def test_a_controller_that_is_no_voter_any_more_is_told() -> None:
    controller = Broker(101, "c1", is_broker=False, is_controller=True)
    voters = (QuorumReplica(102, 0.0), QuorumReplica(103, 0.1), QuorumReplica(104, 0.1))
    state = ClusterState(0, 0, witnesses=(1,), partitions=1, quorum=Quorum(102, 1, voters))
    absent = {101: Observation(Presence.ABSENT, words="no voter of the quorum any more")}
    (reason,) = judge_cluster({101: controller}, absent, state)
    assert str(reason) == "controller 101 is no voter of the quorum any more"
