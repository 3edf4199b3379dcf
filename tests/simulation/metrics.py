"""The brokers' metrics as their JMXProxies tell them."""

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from kafka_rolling_restart.model.broker import Jvm, Metrics, Sample
from tests.simulation.clock import QUESTION_S
from tests.simulation.servers import Server

if TYPE_CHECKING:
    from tests.simulation.world import World


class Proxy:
    """The JMXProxy of one broker. ``debt`` is the time that a reading beside the main thread took:
    it is slept later."""

    tells_process = True

    def __init__(self, world: "World", server: Server) -> None:
        self._world, self._clock, self._server = world, world.clock, server
        self.stale_until = self.garbage_until = self.down_until = 0.0
        self._kept: Sample | None = None
        self._told: Sample | None = None  # to a health check
        self.debt = 0.0
        self.read_at = 0.0
        self.news = 0  # how many new answers the health checks had since the last stop

    def read(self) -> Sample:
        self._world.require_threads()
        if threading.current_thread() is not threading.main_thread():
            self.debt = self._duration
            reading = self._answer(self._clock.now())
            self.news += self._kept is not None and self._kept is not self._told
            self._told = self._kept
            return reading
        asked_at = self._clock.now()
        self._clock.sleep(self._duration / 2)
        reading = self._answer(asked_at)
        self._clock.sleep(self._duration / 2)
        return reading

    @property
    def lying(self) -> bool:
        return max(self.stale_until, self.garbage_until, self.down_until) > self._clock.now()

    @property
    def _duration(self) -> float:
        return QUESTION_S if self._server.frozen else self._server.nature.read

    def _answer(self, asked_at: float) -> Sample:
        now = self.read_at = self._clock.now()
        if self.down_until > now:
            return Sample(asked_at, now, reason="Connection refused", silent=True)
        if self.garbage_until > now:
            return Sample(asked_at, now, reason="not JSON")
        cache = self._server.nature.cache
        keeps = self.stale_until > now or (
            cache is not None and self._kept and now - self._kept.answered_at < cache
        )
        if self._kept is None or not keeps:
            self._kept = self._sample(asked_at)
        kept = self._kept
        if kept.jvm is None:
            self._kept = None  # it keeps answers only
        note = "kept" if cache else ""
        return replace(
            kept, asked_at=asked_at, answered_at=now, max_age=cache or 0.0, age_note=note
        )

    def _sample(self, asked_at: float) -> Sample:
        now, server = self._clock.now(), self._server
        life = server.life
        if server.frozen:
            return Sample(asked_at, now, reason="did not answer")
        if not life.answers:
            return Sample(asked_at, now, reason="404", silent=True)
        jvm = Jvm(life.start_ms, round((now - life.born) * 1000), life.pid)
        if life.state is None:
            return Sample(asked_at, now, jvm=jvm, reason="no BrokerState yet")
        return Sample(asked_at, now, jvm=jvm, metrics=self._metrics(life.state))

    def _metrics(self, state: int) -> Metrics:
        leads = state == 3
        behind = (
            sum(not other.in_sync for other in self._world.servers if other is not self._server)
            if leads
            else 0
        )
        return Metrics(state, behind, 0, int(self._world.controller is self._server))
