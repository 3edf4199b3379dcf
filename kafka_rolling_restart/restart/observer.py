"""Looking at the broker in hand: one look asks the three witnesses."""

from dataclasses import replace

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.errors import SshError, Stopped
from kafka_rolling_restart.hosts.base import FoundProcess, Host
from kafka_rolling_restart.metrics.base import MetricsSource
from kafka_rolling_restart.metrics.freshness import Freshness
from kafka_rolling_restart.model.broker import Broker, Jvm, Sample
from kafka_rolling_restart.model.observation import Observation, Presence
from kafka_rolling_restart.registry.base import Membership
from kafka_rolling_restart.restart.evidence import Before, Evidence
from kafka_rolling_restart.restart.unit_history import UnitHistory

PATIENCE_S = 3.0  # for the registry: a broker that is down does not wait long for one that is away
# between the uptime and the age on the host; many partitions take long to be read
PROCESS_TOLERANCE_S = 30.0
NOT_LOOKED_FOR = Observation(Presence.UNKNOWN)
STILL_THERE = Observation(Presence.PRESENT, words="its old process is there")
HIDDEN = Observation(Presence.BLIND, words="its process cannot be seen")


class Observer:
    """Looks at one broker. What cannot be asked is unknown, and no look raises."""

    def __init__(
        self, broker: Broker, host: Host, metrics: MetricsSource, registry: Membership, clock: Clock
    ) -> None:
        self._broker = broker
        self._host = host
        self._metrics = metrics
        self._registry = registry
        self._clock = clock
        self._freshness = Freshness()
        self._unit = UnitHistory()
        self._jvm: Jvm | None = None
        # on our clock; None: the process cannot be seen on its host
        self._born: float | None = None
        self.gone_at: float | None = None  # when the old process was first proven to be gone
        self.why_blind = ""  # why the process could not be looked for the last time

    def look_before(self) -> Before:
        """Remember who is running now, so that it can be seen to go. Raises `Stopped`: the broker
        is untouched."""
        if not self._metrics.tells_process:
            self._prepare()
        registration = self.registration(patience=None)
        if registration.presence is Presence.UNKNOWN:
            raise Stopped(
                f"{self._broker} was not stopped: {registration.words}", code="registry-unreachable"
            )
        sample = self._read()
        jvm = self._seen_to_run(sample)
        if not registration.is_present or jvm is None:
            seen = sample.reason or f"it is {registration.words} any more"
            raise Stopped(
                f"{self._broker} was not stopped, because it is not certain that it runs: {seen}. "
                "Check it before continuing",
                code="broker-not-verified",
            )
        self._jvm = jvm
        self._freshness.lag(self._broker.id, sample)
        self._freshness.count({self._broker.id: sample})
        if self._metrics.tells_process:
            self._born = self._process_birth(sample, jvm)
        return Before(registration, jvm)

    def _seen_to_run(self, sample: Sample) -> Jvm | None:
        """Return the JVM that answers. One that its host shows may hang: it has to serve."""
        if not self._metrics.tells_process and sample.metrics is None:
            return None
        return sample.jvm

    def look(self, spare_metrics: bool = False) -> Evidence:
        """Look at the broker. A member that is just stopping is spared the reading of all its
        metrics."""
        registration = self.registration()
        if spare_metrics and registration.is_present:
            now = self._clock.now()
            return Evidence(registration, Sample(now, now, is_spared=True), NOT_LOOKED_FOR)
        sample = self._read()
        is_fresh = self._is_fresh(sample)
        # Looking over SSH costs a connection: it is needed only where the rest says that the broker
        # is gone.
        process = NOT_LOOKED_FOR
        if not registration.is_present:
            if sample.jvm is None or not is_fresh:
                process = self._process()
            elif self._is_old_on_host(sample.jvm):
                process = STILL_THERE
        unit = self._unit
        return Evidence(
            registration,
            sample,
            process,
            is_fresh,
            unit.restarts,
            unit.killed_by,
            unit.gave_up,
        )

    def _is_old_on_host(self, jvm: Jvm) -> bool:
        if self._metrics.tells_process or self._jvm is None:
            return False
        return jvm.life == self._jvm.life

    def registration(self, patience: float | None = PATIENCE_S) -> Observation:
        """Ask the registry alone, which costs the broker nothing."""
        try:
            return self._registry.observe([self._broker.id], patience)[self._broker.id]
        except Exception as error:  # whatever it was, the answer is not known
            return Observation(Presence.UNKNOWN, words=f"the registry could not be asked: {error}")

    def _is_fresh(self, sample: Sample) -> bool:
        lag = self._freshness.lag(self._broker.id, sample)
        has_moved_on = self._freshness.moved_on(self._broker.id, sample)
        if sample.jvm is not None:
            self._freshness.count({self._broker.id: sample})
        return lag == 0 and has_moved_on

    def _read(self) -> Sample:
        if self._metrics.tells_process:
            return self._read_metrics()
        return self._read_with_process()

    def _read_with_process(self) -> Sample:
        """Ask the host for the process, and only then whether the broker serves: so it is that
        process, or a later one, that serves."""
        asked_at = self._clock.now()
        found = self._find_process()
        found_at = self._clock.now()
        sample = self._read_metrics()
        is_nobody = found.presence is Presence.ABSENT and sample.metrics is None
        return replace(
            sample,
            asked_at=asked_at,
            jvm=found.jvm and _aged(found.jvm, sample.answered_at - found_at),
            silent=is_nobody,
            reason=", ".join(filter(None, [sample.reason, found.words])),
            tells_process=False,
        )

    def _find_process(self) -> FoundProcess:
        try:
            found = self._host.find_process()
        except Exception as error:  # whatever it was, the answer is not known
            found = FoundProcess(Presence.UNKNOWN, words=str(error))
        self._unit.note(found)
        self.why_blind = ""
        if found.presence is Presence.UNKNOWN:
            self.why_blind = found.words
            return replace(found, words="its process could not be looked for over SSH")
        return found

    def _read_metrics(self) -> Sample:
        asked_at = self._clock.now()
        try:
            return self._metrics.read()
        except Exception as error:  # it tells nothing of the broker
            return Sample(
                asked_at, self._clock.now(), reason=f"they could not be asked for: {error}"
            )

    def _process(self) -> Observation:
        if not self._may_see_process:
            return HIDDEN
        try:
            seen = self._observe_old_process()
        except Exception as error:  # whatever it was, the answer is not known
            seen = Observation(Presence.UNKNOWN, words=str(error))
        self.why_blind = ""
        if seen.presence is Presence.UNKNOWN:
            self.why_blind = seen.words
            return Observation(
                Presence.UNKNOWN, words="its process could not be looked for over SSH"
            )
        if seen.is_absent and self.gone_at is None:
            self.gone_at = self._clock.now()
        return seen

    @property
    def _may_see_process(self) -> bool:
        if not self._metrics.tells_process:
            return self._jvm is not None
        return self._born is not None and self._jvm is not None and self._jvm.pid is not None

    def _observe_old_process(self) -> Observation:
        assert self._jvm is not None
        if not self._metrics.tells_process:
            return self._host.observe_found(self._jvm)
        assert self._born is not None and self._jvm.pid is not None
        return self._host.observe_process(self._jvm.pid, self._clock.now() - self._born)

    def _process_birth(self, sample: Sample, jvm: Jvm) -> float | None:
        self._prepare()
        try:
            age = self._host.process_age(jvm.pid)
        except SshError as error:
            raise self._not_looked_for(error) from error
        now = self._clock.now()
        expected = jvm.uptime_ms / 1000 + now - sample.answered_at
        if age is not None and abs(age - expected) <= PROCESS_TOLERANCE_S:
            return now - age
        if self._host.sees_process:
            raise Stopped(
                f"{self._broker} was not stopped: the preflight saw its process on its host, and "
                f"now it cannot be found there (pid {jvm.pid}). Find out why before continuing",
                code="process-not-found",
            )
        return None

    def _prepare(self) -> None:
        try:
            self._host.prepare()
        except SshError as error:
            raise self._not_looked_for(error) from error

    def _not_looked_for(self, error: SshError) -> Stopped:
        text = f"{self._broker} was not stopped: its process cannot be looked for: {error}"
        return Stopped(text, code=error.code)


def _aged(jvm: Jvm, seconds: float) -> Jvm:
    """Return a process as it is so many s after it was found."""
    return replace(jvm, uptime_ms=jvm.uptime_ms + round(seconds * 1000))
