import pytest

from kafka_rolling_restart.metrics.freshness import Freshness
from kafka_rolling_restart.metrics.none import NoMetrics, read_all
from kafka_rolling_restart.model.broker import RUNNING, Jvm, Sample
from kafka_rolling_restart.model.serving import Serving
from tests.fakes import FakeClock


class Asked:
    """Answers whether nodes serve, after ``takes`` s."""

    def __init__(self, clock: FakeClock, answers: dict[int, Serving], takes: float = 0.0) -> None:
        self.clock = clock
        self.answers = answers
        self.takes = takes
        self.questions: list[tuple[list[int], float]] = []

    def __call__(self, ids: object, timeout: float) -> dict[int, Serving]:
        assert isinstance(ids, list)
        self.questions.append((ids, timeout))
        self.clock.sleep(self.takes)
        return self.answers


def test_a_node_that_serves_runs_and_tells_nothing_of_partitions_or_its_process() -> None:
    clock = FakeClock()
    asked = Asked(clock, {1: Serving(True)}, takes=0.3)
    source = NoMetrics(1, asked, clock, 5.0)
    sample = source.read()
    assert not source.tells_process and not sample.tells_process and sample.jvm is None
    assert sample.metrics is not None and sample.metrics.state == RUNNING
    assert sample.metrics.under_replicated is None and sample.metrics.offline_partitions is None
    assert sample.metrics.active_controllers is None
    assert (sample.asked_at, sample.answered_at, sample.max_age) == (1000.0, 1000.3, 0.0)
    assert asked.questions == [([1], 5.0)]


@pytest.mark.parametrize(
    ("answer", "silent"),
    [
        (Serving(False, refused=True, reason="Connection refused"), True),
        (Serving(False, reason="timed out"), False),
    ],
)
def test_only_a_refusal_is_silence(answer: Serving, silent: bool) -> None:
    sample = NoMetrics(1, Asked(FakeClock(), {1: answer}), FakeClock(), 5.0).read()
    assert sample.metrics is None and sample.reason == answer.reason
    assert sample.silent is silent and not sample.source_is_down and sample.advice


def test_a_node_of_which_nothing_was_answered_is_not_known_to_be_silent() -> None:
    sample = NoMetrics(1, Asked(FakeClock(), {}), FakeClock(), 5.0).read()
    assert sample.metrics is None and not sample.silent and sample.reason == "no answer"


def test_many_are_asked_in_one_question() -> None:
    clock = FakeClock()
    asked = Asked(clock, {1: Serving(True), 3: Serving(False)})
    samples = read_all([1, 2, 3], asked, clock, 5.0)
    assert [one.metrics is not None for one in samples.values()] == [True, False, False]
    assert len(asked.questions) == 1


def test_answers_that_nothing_keeps_are_news_each_time() -> None:
    freshness = Freshness()
    sample = Sample(100, 100, tells_process=False)
    freshness.count({1: sample})
    assert freshness.moved_on(1, sample) and freshness.lag(1, sample) == 0


def test_a_source_that_knows_processes_and_tells_of_none_has_no_news() -> None:
    assert not Freshness().moved_on(1, Sample(100, 100))


def test_a_process_that_the_host_told_of_is_news_once() -> None:
    freshness = Freshness()
    sample = Sample(100, 100, jvm=Jvm(5, 1000, 7, identity="a"), tells_process=False)
    assert freshness.moved_on(1, sample)
    freshness.count({1: sample})
    assert not freshness.moved_on(1, sample)
    later = Sample(101, 101, jvm=Jvm(5, 2000, 7, identity="a"), tells_process=False)
    assert freshness.moved_on(1, later)
