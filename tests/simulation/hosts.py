"""The brokers' hosts behind SSH, and the commands that run there."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from kafka_rolling_restart.errors import Objection, SshError, no_objection
from kafka_rolling_restart.hosts.base import FoundProcess, Readiness
from kafka_rolling_restart.model.broker import CommandResult, Jvm
from kafka_rolling_restart.model.observation import Observation, Presence
from tests.fakes import FakePending
from tests.simulation.clock import QUESTION_S
from tests.simulation.schedule import Deed
from tests.simulation.servers import Life, Server

if TYPE_CHECKING:
    from tests.simulation.world import World


class Pending(FakePending):
    """A command that runs on a host; its connection may be lost."""

    host: "Host"

    def break_off(self) -> None:
        """Lose the connection over which it runs."""
        if not self.ended:
            self._ends_at, self._outcome = (
                self._clock.now(),
                SshError("the connection broke", sent=True),
            )

    def still_runs(self) -> bool:
        self.host.reach()
        return super().still_runs()


def is_beside_the_main_thread() -> bool:
    return threading.current_thread() is not threading.main_thread()


def refused() -> SshError:
    return SshError("Connection refused", code="ssh-unreachable")


def jvm_of(life: Life, now: float) -> Jvm:
    """Return a process as its host shows it."""
    identity = (life.pid, life.born)
    return Jvm(life.start_ms, round((now - life.born) * 1000), life.pid, identity)


class Host:
    """A broker's host behind SSH."""

    def __init__(self, world: "World", server: Server) -> None:
        self._world, self._clock, self._server = world, world.clock, server
        self.down_until = 0.0
        self.slow = False
        self.two_until = 0.0  # it shows two processes
        self.debt = 0.0  # the time that a look beside the main thread took: it is slept later
        self._running: list[Pending] = []
        self._starts = 0

    @property
    def start_line(self) -> str:
        return f"ssh n{self._server.id} start"

    @property
    def sees_process(self) -> bool:
        return self._server.nature.visible

    def close(self) -> None:
        pass

    @property
    def down(self) -> bool:
        return self.down_until > self._clock.now()

    def go_down(self, seconds: float, slow: bool) -> None:
        self.down_until, self.slow = max(self.down_until, self._clock.now() + seconds), slow
        self.cut()

    def cut(self) -> None:
        for command in self._running:
            command.break_off()

    def prepare(self) -> None:
        pass

    def stop(self, limit: float, objection: Objection = no_objection) -> Pending:
        if self.down:
            return self._refused()
        if against := objection():
            return self._pending(0.0, SshError(against))
        self._world.stopped(self._server)
        deed = self._server.nature.stop
        if deed.kills is not None:
            self._clock.plan(deed.kills, lambda: self._kill(deed.lag))
        return self._send(deed, limit, self._take_stop)

    def start(self, limit: float) -> Pending:
        if self.down:
            return self._refused()
        if self._world.has_no_threads:
            return self._pending(0.0, SshError("can't start new thread"))
        deeds = self._server.nature.starts
        deed = deeds[self._starts] if self._starts < len(deeds) else Deed()
        self._starts += 1
        self._world.started(self._server, deed)
        if deed.kills is not None:  # it gives up waiting for what it started
            self._clock.plan(deed.kills, lambda: self._kill(deed.lag))
        return self._send(deed, limit, self._server.launch)

    def process_age(self, pid: int | None) -> float | None:
        self.reach()
        life = self._server.life
        there = self._server.nature.visible and life.alive and life.pid == pid
        return float(int(self._clock.now() - life.born)) if there else None

    def preflight(self, jvm: Jvm | None, find: bool = False) -> Readiness:
        return Readiness()

    def find_process(self) -> FoundProcess:
        try:
            self._look_for_process()
        except (SshError, RuntimeError) as error:
            return FoundProcess(Presence.UNKNOWN, words=str(error))
        life = self._server.life
        if not self._shows_one_process:
            return FoundProcess(Presence.BLIND, words="several processes match")
        if not life.alive:
            return FoundProcess(Presence.ABSENT, words="no process was found")
        return FoundProcess(Presence.PRESENT, jvm=jvm_of(life, self._clock.now()))

    def observe_found(self, jvm: Jvm) -> Observation:
        try:
            self._look_for_process()
        except (SshError, RuntimeError) as error:
            return Observation(Presence.UNKNOWN, words=str(error))
        life = self._server.life
        if not self._shows_one_process:
            return Observation(Presence.BLIND, words="several processes match")
        if life.alive and jvm_of(life, self._clock.now()).identity == jvm.identity:
            return Observation(Presence.PRESENT, words="its old process is there")
        return Observation(Presence.ABSENT, words="its old process is gone")

    @property
    def _shows_one_process(self) -> bool:
        return self._server.nature.visible and self.two_until <= self._clock.now()

    def _look_for_process(self) -> None:
        if is_beside_the_main_thread():
            self.debt = QUESTION_S if self.down and self.slow else self._server.nature.found
            if self.down:
                raise refused()
            return
        self.reach()
        self._clock.sleep(self._server.nature.found)
        if self.down:
            raise refused()

    def observe_process(self, pid: int, age_s: float) -> Observation:
        try:
            age = self.process_age(pid)
        except SshError as error:
            return Observation(Presence.UNKNOWN, words=str(error))
        if age is None:
            return Observation(Presence.ABSENT, words="its old process is gone")
        return Observation(Presence.PRESENT, words="its old process is there")

    def _take_stop(self) -> None:
        self._server.wanted = False
        self._server.terminate()

    def _kill(self, lag: float) -> None:
        life = self._server.life
        life.killed_by_us = life.alive
        self._clock.plan(lag, lambda: self._server.die(life))

    def _send(self, deed: Deed, limit: float, effect: Callable[[], None]) -> Pending:
        if deed.works:
            self._clock.plan(deed.effect, effect)
        if deed.runs > limit:
            pending = self._pending(limit, SshError("did not end", sent=True), deed)
        else:
            result = CommandResult("service", deed.status, "", deed.runs)
            pending = self._pending(deed.runs, result, deed)
        self._running.append(pending)
        return pending

    def _pending(
        self, seconds: float, outcome: CommandResult | SshError, deed: Deed | None = None
    ) -> Pending:
        runs, hidden = (seconds, False) if deed is None else (deed.runs, not deed.told)
        pending = Pending(self._clock, seconds, outcome, runs, hidden)
        pending.host = self
        return pending

    def _refused(self) -> Pending:
        after = QUESTION_S if self.slow else 0.0
        return self._pending(after, refused())

    def reach(self) -> None:
        self._world.pay()
        self._world.require_threads()
        if self.down:
            self._clock.sleep(QUESTION_S if self.slow else 0.0)
            raise refused()
