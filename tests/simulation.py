"""A simulated cluster behind the seams of the loop over the plan: brokers, hosts, proxies, ZooKeeper and their faults.

There is one clock, and whatever happens happens in its sleep(). A `Schedule` says how everything behaves and what goes
wrong when; `World(schedule).run()` lets the tool restart all the brokers, and then the world goes on for a while without
further faults. What is true is kept apart from what the tool can see, so that a test can hold one against the other.
"""

import signal
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from heapq import heappop, heappush
from typing import Any

from kafka_rolling_restart import main
from kafka_rolling_restart.errors import Objection, RegistryUnavailable, SshError, Stopped, no_objection
from kafka_rolling_restart.model.broker import Broker, CommandResult, Jvm, Metrics, Sample
from kafka_rolling_restart.model.observation import Observation, Presence
from kafka_rolling_restart.model.progress import Progress
from kafka_rolling_restart.output.report import Report
from kafka_rolling_restart.roll.roll import Roll
from kafka_rolling_restart.roll.watch import ClusterWatch
from kafka_rolling_restart.settings.rules import HealthRule
from kafka_rolling_restart.signals import Signals
from kafka_rolling_restart.task import Tasks
from tests.fakes import Collector, FakePending, FakeReportFile

UNKNOWN = Observation(Presence.UNKNOWN, words="the registry does not answer")
SESSION_S = 18.0  # Kafka's zookeeper.session.timeout.ms
SUPERVISOR_S = 3.0  # until a JVM that died by itself is launched again
QUESTION_S = 10.0  # how long one waits for a ZooKeeper or a JVM that does not answer
AFTERWARDS_S = 300.0  # how long the world goes on after the run
ENDLESS_S = 200_000.0
FOREVER = 1e9


class Killed(BaseException):
    """The tool's process was killed (SIGKILL): nothing of it runs any more."""


class Endless(BaseException):
    """The tool did not end."""


class Brief:
    """A dataclass that shows only what is not as usual, so that a counterexample can be read."""

    def __repr__(self) -> str:
        usual: Any = type(self)()
        shown = (one.name for one in fields(self) if getattr(self, one.name) != getattr(usual, one.name))  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


@dataclass(frozen=True, repr=False)
class Deed(Brief):
    """What one command does: whether it works, after how long (s), and what is heard of it, and when.

    A command may at last kill (s) whatever runs by then, as scripts do, and return; what it killed dies ``lag`` s later.
    Commands go on where their connection broke. ``told``: their host tells whether they run.
    """

    works: bool = True
    effect: float = 0.0
    returns: float | None = 0.1  # None: it hangs
    status: int = 0
    kills: float | None = None
    lag: float = 0.0
    told: bool = True

    @property
    def runs(self) -> float:
        """For how long (s) it runs."""
        return FOREVER if self.returns is None else max(self.returns, self.kills or 0.0)

    @property
    def acts(self) -> float:
        """For how long (s) it may take a process down at its end."""
        return 0.0 if self.kills is None else self.kills + self.lag


@dataclass(frozen=True, repr=False)
class Nature(Brief):
    """How one broker and its host behave. All in s, each after what comes before it."""

    # after SIGTERM
    unregisters: float = 0.3
    falls_silent: float = 0.4
    ends: float = 1.5
    # after its launch
    answers: float = 1.0
    recovers: float = 0.5
    registers: float = 2.0
    runs: float = 0.2
    catches_up: float = 3.0
    lives: tuple[float, ...] = ()  # how long each new JVM lives before it dies by itself; those after them live on
    supervised: bool = False
    needs_zookeeper: bool = False  # dies where it cannot register for SESSION_S after its launch
    stop: Deed = Deed(returns=3.0)
    starts: tuple[Deed, ...] = ()  # those after them work
    clock: float = 0.0  # by how much its host's clock is set on before each launch
    visible: bool = True  # to ps
    cache: float | None = None  # a proxy that may not be emptied keeps answers for so long
    read: float = 0.0  # how long one reading takes


class Kind(Enum):
    """What can go wrong, or what somebody else does."""

    DIES = "dies"
    FREEZES = "freezes"
    RESTARTED = "is restarted by somebody else"
    STARTED = "is told to start by somebody else"
    SSH = "its host does not let us in"
    SSH_SLOW = "its host does not answer"
    SSH_CUT = "its connections break"
    THREADS = "the system has no more threads for the tool"
    PAUSED = "the tool stands still, and its clock does not"
    HELD_UP = "the tool is held up when it writes its report the next time"
    PROXY_STALE = "its proxy answers out of its cache and pretends otherwise"
    PROXY_GARBAGE = "its proxy answers nonsense"
    PROXY_DOWN = "its proxy is down"
    ZOOKEEPER = "ZooKeeper is away"
    ZOOKEEPER_OURS = "ZooKeeper is away for us"
    SESSIONS = "all sessions are lost"
    OUR_SESSION = "our session is lost"
    LOCK = "our session is lost and another run takes the lock"


@dataclass(frozen=True, repr=False)
class Fault(Brief):
    """Something that happens ``at`` s after the ``stop``-th stop (0: the beginning).

    ``broker`` is a place in the plan; None is the broker that was stopped last.
    """

    kind: Kind = Kind.DIES
    broker: int | None = 0
    stop: int = 0
    at: float = 0.0
    lasts: float = 0.0


@dataclass(frozen=True, repr=False)
class Signal(Brief):
    """A signal for the tool; ``kill``: SIGKILL."""

    stop: int = 0
    at: float = 0.0
    number: int = signal.SIGTERM
    kill: bool = False


@dataclass(frozen=True, repr=False)
class Job(Brief):
    """What a task does: it takes time, and raises or not."""

    seconds: float = 0.0
    raises: bool = False


@dataclass(frozen=True, repr=False)
class Schedule(Brief):
    """A cluster, the rule of the run, and what goes wrong when."""

    natures: tuple[Nature, ...] = (Nature(), Nature())
    count: int = 2
    interval: float = 5.0
    limit: float = 60.0
    election: float = 0.5  # until there is another controller
    faults: tuple[Fault, ...] = ()
    signals: tuple[Signal, ...] = ()
    pre_stop: Job | None = None
    post_stop: Job | None = None
    post_start: Job | None = None
    allow_cached: bool = True


class WorldClock:
    """Time that passes only in sleep(); what was planned for a time happens when it comes, in its order."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.is_killed = False  # the tool: whatever it does now raises
        self._planned: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def now(self) -> float:
        if self.is_killed:
            raise Killed
        return self.time

    def sleep(self, seconds: float) -> None:
        if self.is_killed:
            raise Killed
        until = self.time + max(seconds, 0)
        while self._planned and self._planned[0][0] <= until:
            at, _, event = heappop(self._planned)
            self.time = max(at, self.time)
            event()
        self.time = max(until, self.time)
        if self.time > ENDLESS_S:
            raise Endless

    def plan(self, seconds: float, event: Callable[[], None]) -> None:
        self._count += 1
        heappush(self._planned, (self.time + seconds, self._count, event))


@dataclass(eq=False)
class Life:
    """One JVM of a broker. ``state`` is None while it has no KafkaServer yet."""

    pid: int
    born: float
    start_ms: int  # as its host's clock showed it
    alive: bool = True
    answers: bool = False
    state: int | None = None
    told_to_stop: bool = False
    frozen_until: float = 0.0
    registered_at: float | None = None
    killed_by_us: bool = False  # by a command of ours, at its end


@dataclass(frozen=True)
class Sent:
    """A command that reached a host, and what was true then."""

    server: "Server"
    at: float
    life: Life | None  # the process that was alive
    checks: tuple[tuple[float, float], ...] = ()  # the latest health checks, each from when to when
    read_at: float = 0.0  # when the tool looked at that broker last
    signalled: bool = False
    held_at: float = 0.0  # when the lock was seen last to be ours
    gap: tuple[float, float] | None = None  # between these it was lost, if it was
    on_disk: Progress | None = None  # what its report file said
    acts_until: float = 0.0  # when it can no longer take a process down at its end
    news: int = 0  # how many new answers of each broker the health checks had, at least, since the last stop


class Pending(FakePending):
    """A command that runs on a host; its connection may be lost."""

    host: "Host"

    def break_off(self) -> None:
        """Lose the connection over which it runs."""
        if not self.ended:
            self._ends_at, self._outcome = self._clock.now(), SshError("the connection broke", sent=True)

    def still_runs(self) -> bool:
        self.host.reach()
        return super().still_runs()


class Server:
    """A broker as it is: its JVMs, its registration, and what the others wait for of it."""

    def __init__(self, world: "World", place: int, nature: Nature) -> None:
        self.id = place + 1
        self.nature = nature
        self._world = world
        self._clock = world.clock
        born = self._clock.now() - 5000 - place
        self.lives = [Life(100 * self.id, born, round(born * 1000), True, True, 3, registered_at=0.0)]
        self.czxid: int | None = world.next_czxid()
        self._owner = self.life
        self.wanted = True  # by whoever looks after the service on the host
        self.caught_up = True
        self.in_sync = True  # as far as the others have noticed
        self.last_blow = 0.0  # when somebody other than the tool last did something to it

    @property
    def life(self) -> Life:
        return self.lives[-1]

    @property
    def alive(self) -> bool:
        return self.life.alive

    @property
    def frozen(self) -> bool:
        return self.life.alive and self.life.frozen_until > self._clock.now()

    @property
    def registered(self) -> bool:
        """Tell whether the JVM that is alive is the one that is registered."""
        return self.alive and self.czxid is not None and self._owner is self.life

    @property
    def whole(self) -> bool:
        return self.registered and self.life.state == 3 and self.caught_up and not self.frozen

    # What is done to it
    def terminate(self) -> None:
        """Take a SIGTERM: a controlled shutdown."""
        life, nature = self.life, self.nature
        if not life.alive or life.told_to_stop:
            return
        life.told_to_stop = True
        self._step(life, 0, lambda: self._set_state(life, 6))
        self._step(life, nature.unregisters, lambda: self._unregister(life))
        self._step(life, nature.unregisters + nature.falls_silent, lambda: setattr(life, "answers", False))
        self._step(life, nature.unregisters + nature.falls_silent + nature.ends, lambda: self._end(life))

    def die(self, life: Life) -> None:
        """End without a goodbye: it stays registered until its session times out."""
        if not life.alive:
            return
        self.last_blow = self._clock.now()
        self._end(life)
        if self.wanted and self.nature.supervised:
            self._clock.plan(SUPERVISOR_S, self._launch_if_wanted)

    def freeze(self, seconds: float) -> None:
        life = self.life
        if not life.alive:
            return
        self.last_blow = self._clock.now()
        life.frozen_until = self._clock.now() + seconds
        if seconds > SESSION_S and self._owner is life:
            self._clock.plan(SESSION_S, lambda: self._unregister(life))
            self._clock.plan(seconds + 1, lambda: self._register_again(life))

    def launch(self) -> None:
        """Take a start: it does nothing where a process is there."""
        if self.alive:
            return
        self.wanted = True
        shown = self._clock.now() + self.nature.clock * len(self.lives)
        life = Life(self.life.pid + 1, self._clock.now(), round(shown * 1000))
        self.lives.append(life)
        nature, number = self.nature, len(self.lives) - 2
        self._step(life, nature.answers, lambda: setattr(life, "answers", True))
        self._step(life, nature.answers + nature.recovers / 2, lambda: self._set_state(life, 1))
        self._step(life, nature.answers + nature.recovers, lambda: self._set_state(life, 2))
        self._step(life, nature.answers + nature.recovers + nature.registers, lambda: self._register(life))
        if number < len(nature.lives):
            self._clock.plan(nature.lives[number], lambda: self.die(life))

    def lose_session(self) -> None:
        """Lose the session, and register again in the same JVM."""
        life = self.life
        if self._owner is life and self.czxid is not None:
            self.last_blow = self._clock.now()
            self._unregister(life)
            self._clock.plan(1.5, lambda: self._register_again(life))

    def restart_by_somebody(self) -> None:
        self.last_blow = self._clock.now()
        self.terminate()
        self._launch_once_ended(self.life)

    def _launch_once_ended(self, life: Life) -> None:
        if life.alive:
            self._clock.plan(1, lambda: self._launch_once_ended(life))
        else:
            self.last_blow = self._clock.now()
            self.launch()

    def _launch_if_wanted(self) -> None:
        if self.wanted:
            self.last_blow = self._clock.now()
            self.launch()

    def _step(self, life: Life, seconds: float, step: Callable[[], None]) -> None:
        """Plan what a JVM does of itself: not before it is thawed, and not after its end."""

        def take() -> None:
            now = self._clock.now()
            if life.frozen_until > now:
                self._step(life, life.frozen_until - now + 0.1, step)
            elif life.alive:
                step()
                self._world.look()

        self._clock.plan(seconds, take)

    def _set_state(self, life: Life, state: int) -> None:
        if not (life.told_to_stop and state < 6):
            life.state = state

    def _end(self, life: Life) -> None:
        life.alive = life.answers = False
        self.caught_up = False
        if self._owner is life and self.czxid is not None:
            self._clock.plan(SESSION_S, lambda: self._expire(life))
        self._world.look()

    def _expire(self, life: Life) -> None:
        if self._world.zookeeper_away:
            self._clock.plan(SESSION_S, lambda: self._expire(life))
        else:
            self._unregister(life)

    def _unregister(self, life: Life) -> None:
        if self._owner is life and self.czxid is not None and not self._world.zookeeper_away:
            self.czxid = None
            self.caught_up = self.in_sync = False
            self._world.elect_soon()
            self._world.look()

    def _register(self, life: Life) -> None:
        late = self._clock.now() - life.born > SESSION_S + self.nature.answers + self.nature.recovers
        if self._world.zookeeper_away and self.nature.needs_zookeeper and late:
            self.die(life)
        elif self._world.zookeeper_away or self.czxid is not None:
            self._step(life, 1, lambda: self._register(life))
        elif not life.told_to_stop:
            self._take_registration(life)
            self._step(life, self.nature.runs, lambda: self._set_state(life, 3))

    def _register_again(self, life: Life) -> None:
        if life.alive and not life.told_to_stop and self.czxid is None and life is self.life:
            if self._world.zookeeper_away:
                self._clock.plan(1, lambda: self._register_again(life))
            else:
                self._take_registration(life)

    def _take_registration(self, life: Life) -> None:
        self.czxid, self._owner = self._world.next_czxid(), life
        life.registered_at = self._clock.now()
        self._step(life, self.nature.runs + self.nature.catches_up, lambda: self._catch_up(life))
        self._world.elect_soon()

    def _catch_up(self, life: Life) -> None:
        if self._owner is life and self.czxid is not None:
            self.caught_up = self.in_sync = True


class Host:
    """A broker's host behind SSH."""

    def __init__(self, world: "World", server: Server) -> None:
        self._world, self._clock, self._server = world, world.clock, server
        self.down_until = 0.0
        self.slow = False
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

    def _pending(self, seconds: float, outcome: CommandResult | SshError, deed: Deed | None = None) -> Pending:
        runs, hidden = (seconds, False) if deed is None else (deed.runs, not deed.told)
        pending = Pending(self._clock, seconds, outcome, runs, hidden)
        pending.host = self
        return pending

    def _refused(self) -> Pending:
        after = QUESTION_S if self.slow else 0.0
        return self._pending(after, SshError("Connection refused"))

    def reach(self) -> None:
        self._world.pay()
        self._world.require_threads()
        if self.down:
            self._clock.sleep(QUESTION_S if self.slow else 0.0)
            raise SshError("Connection refused")


class Proxy:
    """The JMXProxy of one broker. ``debt`` is the time that a reading beside the main thread took: it is slept later."""

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
        keeps = self.stale_until > now or (cache is not None and self._kept and now - self._kept.answered_at < cache)
        if self._kept is None or not keeps:
            self._kept = self._sample(asked_at)
        kept = self._kept
        if kept.jvm is None:
            self._kept = None  # it keeps answers only
        return replace(kept, asked_at=asked_at, answered_at=now, max_age=cache or 0.0, age_note="kept" if cache else "")

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
        behind = sum(not other.in_sync for other in self._world.servers if other is not self._server) if leads else 0
        return Metrics(state, behind, 0, int(self._world.controller is self._server))


class Registry:
    """ZooKeeper as the tool sees it."""

    def __init__(self, world: "World") -> None:
        self._world, self._clock = world, world.clock

    def observe(self, ids: Collection[int], timeout: float | None = None) -> dict[int, Observation]:
        if len(ids) == 1:
            return self._observe_one(next(iter(ids)), timeout)
        began = self._clock.now()
        try:
            self.ask(timeout)
        except RegistryUnavailable:
            return dict.fromkeys(ids, UNKNOWN)
        finally:
            self._world.checks.append((began, self._clock.now()))
        return {one: self._observation(one) for one in ids}

    def _observe_one(self, broker_id: int, timeout: float | None) -> dict[int, Observation]:
        self._world.look_for_excuse(broker_id - 1)
        try:
            self.ask(timeout)
        except RegistryUnavailable:
            return {broker_id: UNKNOWN}
        return {broker_id: self._observation(broker_id)}

    def _observation(self, broker_id: int) -> Observation:
        czxid = self._world.servers[broker_id - 1].czxid
        if czxid is None:
            return Observation(Presence.ABSENT, words="not registered")
        return Observation(Presence.PRESENT, czxid, "registered")

    def ask(self, patience: float | None = None) -> None:
        self._world.pay()
        if self._world.zookeeper_away or self._world.zookeeper_away_from_us:
            self._clock.sleep(patience or QUESTION_S)
            raise RegistryUnavailable("ZooKeeper does not answer")


class Lock:
    """The lock of our run, which goes with our session."""

    loss = "with the session"

    def __init__(self, registry: Registry, clock: WorldClock) -> None:
        self._registry, self._clock = registry, clock
        self.lost = self.taken = False
        self.gap: tuple[float, float] | None = None  # between these it was lost
        self.held_at = 0.0  # when it was seen last to be ours

    def ensure_held(self) -> bool:
        self._registry.ask()
        if self.lost and self.taken:
            raise Stopped("the ZooKeeper session was lost, and since then another run has the lock")
        retaken, self.lost = self.lost, False
        self.gap = (self.held_at, self._clock.now()) if retaken else self.gap
        self.held_at = self._clock.now()
        return retaken

    def show(self, brokers: Sequence[Broker]) -> None:
        self._registry.ask()


class Task:
    """A task that takes time, and raises or not."""

    def __init__(self, world: "World", job: Job) -> None:
        self._world, self._job = world, job

    def run(self, host: str) -> None:
        self._world.clock.sleep(self._job.seconds)
        self._world.busy_until = self._world.clock.now()
        if self._job.raises:
            raise RuntimeError("the task failed")
        self._world.tasks_done.append((self, int(host.removeprefix("n"))))


class ReportFile(FakeReportFile):
    """A report file in whose writing the tool may be held up."""

    def __init__(self, world: "World") -> None:
        super().__init__()
        self._world = world

    def flush(self) -> bool:
        self._world.clock.sleep(self._world.held_up)
        self._world.held_up = 0.0
        return super().flush()


@dataclass
class End:
    """How a run ended (``status`` is None where it was killed), and what was true then and after a while."""

    status: int | None
    at: float
    up: frozenset[int]  # brokers whose JVM is alive and registered
    registered: frozenset[int]  # brokers that have a registration, also one of a JVM that has ended
    zookeeper_away: bool  # for us
    settled: frozenset[int] = frozenset()  # brokers that were up, after the world went on for a while
    defect: str = ""


@dataclass
class World:
    """A cluster, its faults, and the tool at work on it; and what was true when."""

    schedule: Schedule
    clock: WorldClock = field(default_factory=WorldClock)
    stops: list[Sent] = field(default_factory=list)
    starts: list[Sent] = field(default_factory=list)
    checks: list[tuple[float, float]] = field(default_factory=list)
    signalled: list[tuple[float, int]] = field(default_factory=list)  # when, and which
    tasks_done: list[tuple[Task, int]] = field(default_factory=list)  # in their order, with the broker's id

    def __post_init__(self) -> None:
        self.began = self.clock.now()
        self._czxid = 10
        self.zookeeper_until = self.ours_until = 0.0
        self.tasks = Tasks(
            self._tasks(self.schedule.pre_stop),
            self._tasks(self.schedule.post_stop),
            self._tasks(self.schedule.post_start),
        )
        self.busy_until = 0.0
        self.calm = False
        self.servers = [Server(self, place, nature) for place, nature in enumerate(self.schedule.natures)]
        self.controller: Server | None = self.servers[0]
        self.hosts = [Host(self, server) for server in self.servers]
        self.proxies = [Proxy(self, server) for server in self.servers]
        self.registry = Registry(self)
        self.lock = Lock(self.registry, self.clock)
        self.lines = Collector()
        self.report = Report(self.lines, clock=self.clock)
        self.file = ReportFile(self)
        self.threads_from = 0.0  # when there are threads again
        self.held_up = 0.0
        self.report.file = self.file  # type: ignore[assignment]
        self.signals = Signals(self.report.signal, self.clock)
        self._wholes: list[tuple[float, bool]] = [(0.0, True)]
        self.excused = [0.0 for _ in self.servers]  # when there was last a reason not to send a start
        self._anchor(0)

    # What is true
    @property
    def zookeeper_away(self) -> bool:
        return self.zookeeper_until > self.clock.now()

    @property
    def zookeeper_away_from_us(self) -> bool:
        return self.ours_until > self.clock.now()

    @property
    def has_no_threads(self) -> bool:
        return self.threads_from > self.clock.now()

    def require_threads(self) -> None:
        if self.has_no_threads:
            raise RuntimeError("can't start new thread")

    @property
    def whole(self) -> bool:
        known = not self.zookeeper_away and not self.zookeeper_away_from_us
        return known and self.controller is not None and all(server.whole for server in self.servers)

    def look(self) -> None:
        """Note whether the cluster is whole now. Called after whatever may change that."""
        if self._wholes[-1][1] != self.whole:
            self._wholes.append((self.clock.now(), self.whole))

    def was_whole(self, since: float, until: float) -> bool:
        """Tell whether the cluster was whole at some moment between the two."""
        ends = [at for at, _ in self._wholes[1:]] + [FOREVER]
        return any(whole and at <= until and end >= since for (at, whole), end in zip(self._wholes, ends, strict=True))

    def next_czxid(self) -> int:
        self._czxid += 1
        return self._czxid

    def elect_soon(self) -> None:
        if self.controller is None or self.controller.czxid is None:
            self.controller = None
            self.look()
            self.clock.plan(self.schedule.election, self._elect)

    def _elect(self) -> None:
        if self.controller is None:
            self.controller = next((server for server in self.servers if server.registered), None)
            self.look()

    def pay(self) -> None:
        """Let the time pass that readings beside the main thread took."""
        debt = max(proxy.debt for proxy in self.proxies)
        for proxy in self.proxies:
            proxy.debt = 0.0
        self.clock.sleep(debt)

    def look_for_excuse(self, place: int) -> None:
        """Note whether there is a reason not to send a start to a broker now. Called at each look of the tool."""
        away = self.zookeeper_away or self.zookeeper_away_from_us or self.hosts[place].down or self.has_no_threads
        if away or self.servers[place].alive or self.proxies[place].lying:
            self.excused[place] = self.clock.now()

    # What the tool does
    def stopped(self, server: Server) -> None:
        sent = Sent(
            server,
            self.clock.now(),
            server.life if server.alive else None,
            tuple(self.checks),
            self.proxies[server.id - 1].read_at,
            bool(self.signalled),
            self.lock.held_at,
            self.lock.gap,
            self.file.on_disk,
            self.clock.now() + server.nature.stop.acts,
            min(proxy.news for proxy in self.proxies),
        )
        self.stops.append(sent)
        for proxy in self.proxies:
            proxy.news = 0
        self._anchor(len(self.stops))

    def started(self, server: Server, deed: Deed) -> None:
        self.excused[server.id - 1] = self.clock.now()
        acts = self.clock.now() + deed.acts
        self.starts.append(Sent(server, self.clock.now(), server.life if server.alive else None, acts_until=acts))

    # What goes wrong
    def _anchor(self, stop: int) -> None:
        for fault in self.schedule.faults:
            if fault.stop == stop:
                self.clock.plan(fault.at, lambda fault=fault: self._happen(fault))  # type: ignore[misc]
        for one in self.schedule.signals:
            if one.stop == stop:
                self.clock.plan(one.at, lambda one=one: self._signal(one))  # type: ignore[misc]

    def _signal(self, one: Signal) -> None:
        if self.calm:
            return
        if one.kill:
            self.clock.is_killed = True
            raise Killed
        self.signalled.append((self.clock.now(), one.number))
        self.signals.handle(one.number)

    def _happen(self, fault: Fault) -> None:
        if self.calm:
            return
        in_hand = self.stops[-1].server.id - 1 if self.stops else 0
        place = in_hand if fault.broker is None else fault.broker % len(self.servers)
        server, until = self.servers[place], self.clock.now() + fault.lasts
        self._strike(fault, server, self.hosts[place], self.proxies[place], until)
        self.look()
        self.clock.plan(fault.lasts, self.look)

    def _strike(self, fault: Fault, server: Server, host: Host, proxy: Proxy, until: float) -> None:
        deeds: dict[Kind, Callable[[], Any]] = {
            Kind.DIES: lambda: server.die(server.life),
            Kind.FREEZES: lambda: server.freeze(fault.lasts),
            Kind.RESTARTED: server.restart_by_somebody,
            Kind.STARTED: server.launch,
            Kind.SSH: lambda: host.go_down(fault.lasts, slow=False),
            Kind.SSH_SLOW: lambda: host.go_down(fault.lasts, slow=True),
            Kind.SSH_CUT: host.cut,
            Kind.THREADS: lambda: setattr(self, "threads_from", until),
            Kind.PAUSED: lambda: self.clock.sleep(fault.lasts),
            Kind.HELD_UP: lambda: setattr(self, "held_up", fault.lasts),
            Kind.PROXY_STALE: lambda: setattr(proxy, "stale_until", until),
            Kind.PROXY_GARBAGE: lambda: setattr(proxy, "garbage_until", until),
            Kind.PROXY_DOWN: lambda: setattr(proxy, "down_until", until),
            Kind.ZOOKEEPER: lambda: setattr(self, "zookeeper_until", until),
            Kind.ZOOKEEPER_OURS: lambda: setattr(self, "ours_until", until),
            Kind.SESSIONS: self._lose_sessions,
            Kind.OUR_SESSION: lambda: setattr(self.lock, "lost", True),
            Kind.LOCK: self._lose_lock,
        }
        deeds[fault.kind]()

    def _lose_sessions(self) -> None:
        self.lock.lost = True
        for server in self.servers:
            server.lose_session()

    def _lose_lock(self) -> None:
        self.lock.lost = self.lock.taken = True

    # The run
    def run(self) -> End:
        """Let the tool restart all brokers; then let the world go on without further faults."""
        end = self._end(self._status())
        self.calm = True
        self.clock.sleep(AFTERWARDS_S)
        end.settled = self._up()
        return end

    def _status(self) -> int | None:
        self.roll = self._roll()
        try:
            outcome = main.run_roll(self.roll, self.lock)
            if not self.clock.is_killed:
                self.report.end(outcome)
                return outcome.status
        except Killed:
            pass
        self.clock.is_killed = False  # the world goes on
        return None

    def _end(self, status: int | None) -> End:
        defect = next((line for line in self.lines.lines if "Traceback" in line), "")
        registered = frozenset(server.id for server in self.servers if server.czxid is not None)
        away = self.zookeeper_away or self.zookeeper_away_from_us
        return End(status, self.clock.now(), self._up(), registered, away, defect=defect)

    def _up(self) -> frozenset[int]:
        return frozenset(server.id for server in self.servers if server.registered)

    def _roll(self) -> Roll:
        brokers = {server.id: Broker(server.id, f"n{server.id}", server.czxid or 0) for server in self.servers}
        hosts: Any = dict(zip(brokers, self.hosts, strict=True))
        schedule = self.schedule
        return Roll(
            brokers=brokers,
            plan=list(brokers.values()),
            hosts=hosts,
            watch=ClusterWatch(
                brokers,
                self.registry,
                dict(zip(brokers, self.proxies, strict=True)),
                self.clock,
                allow_cached=schedule.allow_cached,
            ),
            tasks=self.tasks,
            rule=HealthRule(schedule.count, schedule.interval, schedule.limit, longest_check=3 * QUESTION_S),
            clock=self.clock,
            report=self.report,
            signals=self.signals,
            resume=lambda ids: f"resume {','.join(map(str, ids))}",
            jvms={server.id: Jvm(server.life.start_ms, 0, server.life.pid) for server in self.servers},
        )

    def _tasks(self, job: Job | None) -> list[Any]:
        return [Task(self, job)] if job else []
