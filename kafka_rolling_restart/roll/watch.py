"""Look at every broker of the cluster at once, for a health check."""

import resource
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.errors import Stopped
from kafka_rolling_restart.metrics.base import MetricsSource
from kafka_rolling_restart.metrics.freshness import Freshness
from kafka_rolling_restart.model.ages import ReasonAges
from kafka_rolling_restart.model.broker import RUNNING, Broker, Jvm, Sample
from kafka_rolling_restart.model.cluster_state import Quorum
from kafka_rolling_restart.model.observation import Observation, Presence
from kafka_rolling_restart.model.verdict import Health, Reason, Verdict
from kafka_rolling_restart.parallel import NotInTime, Standby, in_parallel
from kafka_rolling_restart.registry.base import Membership
from kafka_rolling_restart.roll.health import judge, judge_cluster
from kafka_rolling_restart.roll.memory import JvmTracker

# Reads several brokers at the same time, better than each apart. Never raises.
ReadMany = Callable[[Collection[int]], dict[int, Sample]]
READERS = 400  # brokers that are read at a time, at the most
WAITED_FOR = "too many others were waited for. Give a longer --metrics-timeout"
GLANCE_S = 2.0  # from one glance at what was restarted to the next, between two checks
READING_THREADS = 2  # one may be waiting for a silent address
GRACE_S = 0.5  # for those that give up by themselves, and say why


class _Bounded:
    """Metrics that are there after ``limit`` (s), or not: a name may have many addresses, each of
    which is silent.

    Its threads are made here, before a broker is stopped. A reading that could not be made tells
    nothing of the broker.
    """

    def __init__(self, source: MetricsSource, clock: Clock, limit: float) -> None:
        self._source = source
        self._clock = clock
        self._limit = limit
        self._threads = Standby(READING_THREADS)  # may raise `RuntimeError`

    @property
    def tells_process(self) -> bool:
        return self._source.tells_process

    def read(self) -> Sample:
        asked_at = self._clock.now()
        try:
            return self._threads.call(self._source.read, self._limit + GRACE_S)
        except NotInTime:
            return _late(asked_at, self._clock.now(), self._limit)
        except RuntimeError as error:
            return _unmade(asked_at, self._clock.now(), error)

    def close(self) -> None:
        self._threads.dismiss()


class ClusterWatch:
    """The brokers that were registered at the start, and the one way to look at all of them.

    A look at all is over after ``patience`` (s), whatever a thousand of them may do.
    """

    def __init__(
        self,
        expected: Mapping[int, Broker],
        registry: Membership,
        metrics: Mapping[int, MetricsSource],
        clock: Clock,
        patience: float | None = None,
        allow_cached: bool = False,
        read_many: ReadMany | None = None,
    ) -> None:
        self.expected = dict(expected)
        self.metrics = dict(metrics)
        self.registry = registry
        self._clock = clock
        self._patience = patience
        self.allow_cached = allow_cached
        self._read_many = read_many
        self._freshness = Freshness()
        self._jvms = JvmTracker()
        self._reason_ages = ReasonAges()
        # brokers that this run restarted and that were not seen to be well since
        self.restarted: frozenset[int] = frozenset()
        self._has_state = False  # the registry tells how the cluster is

    def read_all(self) -> dict[int, Sample]:
        """Read the metrics of every broker at the same time."""
        if self._read_many is None:
            return self._read_each(self.metrics)
        together = [one for one, source in self.metrics.items() if not source.tells_process]
        apart = {one: self.metrics[one] for one in self.metrics if one not in together}
        return {**self._read_many(together), **self._read_each(apart)}

    def _read_each(self, sources: Mapping[int, MetricsSource]) -> dict[int, Sample]:
        began, asked = self._clock.now(), set[int]()

        def read(broker_id: int) -> Sample:
            asked.add(broker_id)
            return sources[broker_id].read()

        calls = {broker_id: partial(read, broker_id) for broker_id in sources}
        limit = None if self._patience is None else self._patience + GRACE_S
        most = readers(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        try:
            found = in_parallel(calls, limit=limit, most=most)
        except RuntimeError as error:
            now = self._clock.now()
            return {one: _unmade(began, now, error) for one in sources}
        return {one: found.get(one) or self._late(began, one in asked) for one in sources}

    def _late(self, began: float, asked: bool) -> Sample:
        now, limit = self._clock.now(), self._patience or 0.0
        if asked:
            return _late(began, now, limit)
        return Sample(began, now, reason=f"it could not be asked within {limit:g} s: {WAITED_FOR}")

    @contextmanager
    def source(self, broker: Broker) -> Iterator[MetricsSource]:
        """Give the metrics of one broker for the block; reading them takes as long as a look at
        all, at the most.

        Raises `Stopped` where the system has no more threads.
        """
        if self._patience is None:
            yield self.metrics[broker.id]
            return
        try:
            bounded = _Bounded(self.metrics[broker.id], self._clock, self._patience)
        except RuntimeError as error:
            raise Stopped(
                f"{broker} was not stopped: this machine has no more threads for us: {error}",
                code="no-more-threads",
            ) from error
        with closing(bounded):
            yield bounded

    def look_first(self) -> dict[int, Sample]:
        """Read the metrics of every broker, and remember what was read: it is no news to a later
        check."""
        readings = self.read_all()
        for broker_id, reading in readings.items():
            self._freshness.lag(broker_id, reading)
            if reading.jvm is not None:
                self._jvms.expect(broker_id, reading.jvm)
        self._freshness.count(
            {broker_id: one for broker_id, one in readings.items() if one.jvm is not None}
        )
        return readings

    def check(self) -> Verdict:
        """Make one health check: everything in its verdict was read after it began."""
        readings = self.read_all()
        members = self.registry.observe(self.expected)
        state = self.registry.state(self.restarted)
        self._has_state = state is not None
        verdict = judge(
            self.expected, members, readings, self._freshness, self._jvms, self.allow_cached, state
        )
        return self._reason_ages.dated(verdict, self._clock.now())

    def glance(self, timeout: float) -> tuple[list[Reason], Quorum | None]:
        """Ask the cluster, and no metrics, whether it is well; ``timeout`` (s) is for each answer.
        Return what is wrong, and the quorum, if there is one.

        Nothing is wrong where the registry tells only the members.
        """
        state = self.registry.state(self.restarted, timeout)
        if state is None:
            return [], None
        members = self.registry.observe(self.expected, timeout)
        return judge_cluster(self.expected, members, state), state.quorum

    def rest(self, seconds: float) -> Verdict | None:
        """Sleep from one check to the next. Return a verdict where a node that this run restarted
        was seen meanwhile to be no member.

        A broker of KRaft may be fenced again, for some s, 20 to 50 s after its start (KAFKA-19586).
        """
        until = self._clock.now() + seconds
        while (left := until - self._clock.now()) > 0:
            self._clock.sleep(min(left, GLANCE_S))
            if not self.restarted or not self._has_state:
                continue
            absent = [
                Reason(
                    f"registration {one}",
                    f"{self.expected[one].kind} {one} was {seen.words} after its restart",
                    code="broker-not-registered",
                )
                for one, seen in self.registry.observe(self.restarted, GLANCE_S).items()
                if seen.is_absent
            ]
            if absent:
                verdict = Verdict(Health.UNHEALTHY, tuple(absent))
                return self._reason_ages.dated(verdict, self._clock.now())
        return None

    def missing(self, brokers: Sequence[Broker], limit: float) -> tuple[list[Broker], list[Broker]]:
        """Look which of the brokers are gone, and which of them can neither be seen to be there nor
        to be gone.

        Takes ``limit`` (s) at the most. The registry alone does not do: a broker that was killed
        stays a member for a while; and where the registry does not answer, the metrics tell.
        """
        if not brokers:
            return [], []
        ids = [one.id for one in brokers]
        # the first
        calls: dict[int | None, Callable[[], Any]] = {
            None: partial(self.registry.observe, ids, limit)
        }
        calls.update({one.id: self.metrics[one.id].read for one in brokers})
        answers = in_parallel(calls, limit=limit)
        unknown = dict.fromkeys(ids, Observation(Presence.UNKNOWN))
        members: Mapping[int, Observation] = answers.pop(None, unknown)
        standing = {
            one: self._stands(one.id, members[one.id], answers.get(one.id)) for one in brokers
        }
        return (
            [one for one, stands in standing.items() if stands is False],
            [one for one, stands in standing.items() if stands is None],
        )

    def _stands(self, broker_id: int, member: Observation, sample: Sample | None) -> bool | None:
        """Tell whether a broker is there, None where it cannot be told."""
        if member.is_absent:
            return False
        if sample is not None and sample.silent:
            return None if sample.source_is_down else False
        if member.is_present and self.metrics[broker_id].tells_process:
            return True
        if member.is_present:
            return True if sample is not None and sample.metrics is not None else None
        return True if sample is not None and self._surely_runs(broker_id, sample) else None

    def _surely_runs(self, broker_id: int, reading: Sample) -> bool:
        fresh = self._freshness.lag(broker_id, reading) == 0 and self._freshness.moved_on(
            broker_id, reading
        )
        return fresh and reading.metrics is not None and reading.metrics.state == RUNNING

    def expect(self, broker: Broker, jvm: Jvm) -> None:
        """Take this JVM for the broker's own, because we saw it first or started it."""
        self._jvms.expect(broker.id, jvm)


def _late(asked_at: float, now: float, limit: float) -> Sample:
    return Sample(asked_at, now, reason=f"its metrics were not all there within {limit:g} s")


def _unmade(asked_at: float, now: float, error: Exception) -> Sample:
    return Sample(asked_at, now, reason=f"they could not be asked for: {error}")


def readers(files: int) -> int:
    """Return how many brokers may be read at a time where so many files may be open.

    Each takes one, and another while its name is looked up; those of a look that ran out of time
    may still be open.
    """
    return min(READERS, files // 3) if files > 0 else READERS
