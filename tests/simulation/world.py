"""The cluster as a whole, its faults, and the tool at work on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kafka_rolling_restart import main
from kafka_rolling_restart.model.broker import Broker, Jvm
from kafka_rolling_restart.output.report import Report
from kafka_rolling_restart.roll import plan as plans
from kafka_rolling_restart.roll.roll import Roll
from kafka_rolling_restart.roll.watch import ClusterWatch
from kafka_rolling_restart.settings.rules import HealthRule
from kafka_rolling_restart.signals import Signals
from kafka_rolling_restart.task import Tasks
from tests.fakes import Collector, FakeReportFile
from tests.simulation.clock import FOREVER, QUESTION_S, Killed, WorldClock
from tests.simulation.hosts import Host, jvm_of
from tests.simulation.kraft import KraftRegistry, Metadata, Port, read_many, source
from tests.simulation.metrics import Proxy
from tests.simulation.nodes import Node
from tests.simulation.quorum import Controllers
from tests.simulation.records import End, Sent
from tests.simulation.registry import Lock, Registry
from tests.simulation.schedule import KRAFT, Deed, Fault, Job, Kind, Nature, Schedule, Signal
from tests.simulation.servers import SESSION_S, Server

AFTERWARDS_S = 300.0  # how long the world goes on after the run
KRAFT_SESSION_S = 9.0  # Kafka's broker.session.timeout.ms
LONGEST_LIE_S = 10.0  # how old the metadata are at the most that a broker passes off as new
QUESTIONS, KRAFT_QUESTIONS = 3, 6  # without an answer that one check may ask
VOTERS = 3
OF_KRAFT = (
    Kind.VOTER_DIES,
    Kind.VOTER_FREEZES,
    Kind.VOTER_LAGS,
    Kind.QUORUM,
    Kind.FENCED,
    Kind.LAGS,
    Kind.LIAR,
    Kind.UNREAD,
    Kind.TWO,
)


def make_nodes(world: "World") -> list[Node]:
    """Return the nodes of a KRaft cluster: the brokers, then the dedicated controllers."""
    schedule = world.schedule
    natures = list(schedule.natures)
    if schedule.combined:
        natures += [Nature()] * (VOTERS - len(natures))
        return [Node(world, place, one, True, place < VOTERS) for place, one in enumerate(natures)]
    brokers = [Node(world, place, one, True, False) for place, one in enumerate(natures)]
    controllers = [*schedule.controllers, *[Nature()] * VOTERS][:VOTERS]
    return [
        *brokers,
        *(Node(world, len(brokers) + i, one, False, True) for i, one in enumerate(controllers)),
    ]


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
class World:
    """A cluster, its faults, and the tool at work on it; and what was true when."""

    schedule: Schedule
    clock: WorldClock = field(default_factory=WorldClock)
    stops: list[Sent] = field(default_factory=list)
    starts: list[Sent] = field(default_factory=list)
    checks: list[tuple[float, float]] = field(default_factory=list)
    signalled: list[tuple[float, int]] = field(default_factory=list)  # when, and which
    # in their order, with the broker's id
    tasks_done: list[tuple[Task, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = self.clock.now()
        self._czxid = 10
        self.registry_until = self.ours_until = self.unread_until = 0.0
        self.is_kraft = self.schedule.registry == KRAFT
        self.session_s = KRAFT_SESSION_S if self.is_kraft else SESSION_S
        self.read_since: float | None = None  # when the questions of a check began
        self.tasks = Tasks(
            self._tasks(self.schedule.pre_stop),
            self._tasks(self.schedule.post_stop),
            self._tasks(self.schedule.post_start),
        )
        self.busy_until = 0.0
        self.calm = False
        self.nodes = make_nodes(self) if self.is_kraft else []
        self.servers: Sequence[Server] = self.nodes or [
            Server(self, place, nature) for place, nature in enumerate(self.schedule.natures)
        ]
        self.controller: Server | None = self.servers[0]
        self.hosts = [Host(self, server) for server in self.servers]
        self.proxies: Sequence[Proxy | Port] = [Proxy(self, server) for server in self.servers]
        self.registry: Registry | KraftRegistry = Registry(self)
        if self.is_kraft:
            self.controllers = Controllers(self, [one for one in self.nodes if one.is_voter])
            self.metadata = Metadata(self.nodes)
            self.proxies = [Port() for _ in self.nodes]
            self.registry = KraftRegistry(self, self.nodes)
        self.lock = Lock(self.registry, self.clock)
        self.lines = Collector()
        self.report = Report(self.lines, clock=self.clock)
        self.file = ReportFile(self)
        self.threads_from = 0.0  # when there are threads again
        self.held_up = 0.0
        self.report.file = self.file  # type: ignore[assignment]
        self.signals = Signals(self.report.signal, self.clock)
        self._wholes: list[tuple[float, bool]] = [(0.0, True)]
        # when there was last a reason not to send a start
        self.excused = [0.0 for _ in self.servers]
        self._anchor(0)

    # What is true
    @property
    def registry_away(self) -> bool:
        if self.is_kraft:
            return not self.controllers.commits
        return self.registry_until > self.clock.now()

    @property
    def registry_away_from_us(self) -> bool:
        return self.ours_until > self.clock.now()

    @property
    def has_no_threads(self) -> bool:
        return self.threads_from > self.clock.now()

    def require_threads(self) -> None:
        if self.has_no_threads:
            raise RuntimeError("can't start new thread")

    @property
    def whole(self) -> bool:
        known = not self.registry_away and not self.registry_away_from_us
        if self.is_kraft:
            return known and self.controllers.whole and self._nodes_are_whole
        return (
            known and self.controller is not None and all(server.whole for server in self.servers)
        )

    @property
    def _nodes_are_whole(self) -> bool:
        return all(one.whole for one in self.nodes if one.is_broker) and not self.loads

    @property
    def loads(self) -> bool:
        """Tell whether coordinators load in the process that followed our last stop."""
        if not self.stops:
            return False
        sent = self.stops[-1]
        since = [life for life in sent.server.lives if life.born >= sent.at]
        node = self.nodes[sent.server.id - 1]
        return len(since) == 1 and node.is_broker and node.loads

    def lets_leave(self, node: Node) -> bool:
        """Tell whether a broker may end in good order now: the quorum is there, and no other broker
        lags."""
        others = [one for one in self.nodes if one is not node and one.is_broker]
        lagging = any(one.lags for one in others if one.czxid is not None and one.alive)
        return self.controllers.commits and not lagging

    def look(self) -> None:
        """Note whether the cluster is whole now. Called after whatever may change that."""
        if self.is_kraft:
            self.controllers.notice()
            self.metadata.note(self.clock.now())
        if self._wholes[-1][1] != self.whole:
            self._wholes.append((self.clock.now(), self.whole))

    def was_whole(self, since: float, until: float) -> bool:
        """Tell whether the cluster was whole at some moment between the two."""
        ends = [at for at, _ in self._wholes[1:]] + [FOREVER]
        return any(
            whole and at <= until and end >= since
            for (at, whole), end in zip(self._wholes, ends, strict=True)
        )

    def next_czxid(self) -> int:
        self._czxid += 1
        return self._czxid

    def elect_soon(self) -> None:
        if self.is_kraft:
            return
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
        debtors = [*self.proxies, *self.hosts]
        debt = max(one.debt for one in debtors)
        for one in debtors:
            one.debt = 0.0
        self.clock.sleep(debt)

    def look_for_excuse(self, place: int) -> None:
        """Note whether there is a reason not to send a start to a broker now. Called at each look
        of the tool."""
        away = (
            self.registry_away
            or self.registry_away_from_us
            or self.hosts[place].down
            or self.has_no_threads
        )
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
            acts_until=self.clock.now() + server.nature.stop.acts,
            news=min(proxy.news for proxy in self.proxies),
            is_voter=self.is_kraft and self.nodes[server.id - 1].is_voter,
        )
        self.stops.append(sent)
        for proxy in self.proxies:
            proxy.news = 0
        self._anchor(len(self.stops))

    def started(self, server: Server, deed: Deed) -> None:
        self.excused[server.id - 1] = self.clock.now()
        now, life = self.clock.now(), server.life if server.alive else None
        self.starts.append(
            Sent(
                server,
                now,
                life,
                runs_until=now + deed.runs,
                told=deed.told,
                acts_until=now + deed.acts,
            )
        )

    # What goes wrong
    def _anchor(self, stop: int) -> None:
        for fault in self.schedule.faults:
            if fault.stop == stop:
                self.clock.plan(fault.at, partial(self._happen, fault))
        for one in self.schedule.signals:
            if one.stop == stop:
                self.clock.plan(one.at, partial(self._signal, one))

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

    def _strike(
        self, fault: Fault, server: Server, host: Host, proxy: Proxy | Port, until: float
    ) -> None:
        if fault.kind in OF_KRAFT:
            if self.is_kraft:
                self._strike_kraft(fault, self.nodes[server.id - 1], host, until)
            return
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
            Kind.ZOOKEEPER: lambda: setattr(self, "registry_until", until),
            Kind.ZOOKEEPER_OURS: lambda: setattr(self, "ours_until", until),
            Kind.SESSIONS: self._lose_sessions,
            Kind.OUR_SESSION: lambda: setattr(self.lock, "lost", True),
            Kind.LOCK: self._lose_lock,
        }
        deeds[fault.kind]()

    def _strike_kraft(self, fault: Fault, node: Node, host: Host, until: float) -> None:
        voters = self.controllers.voters
        voter = voters[fault.broker % len(voters)] if fault.broker is not None else None
        voter = voter or (node if node.is_voter else voters[0])
        lasts = fault.lasts
        deeds: dict[Kind, Callable[[], Any]] = {
            Kind.VOTER_DIES: lambda: self._let_die(voter, lasts),
            Kind.VOTER_FREEZES: lambda: voter.freeze(lasts),
            Kind.VOTER_LAGS: lambda: voter.lag(lasts),
            Kind.QUORUM: lambda: setattr(self.controllers, "cut_until", until),
            Kind.FENCED: lambda: node.fence(min(lasts, 30.0)),
            Kind.LAGS: lambda: node.lag(lasts),
            Kind.LIAR: lambda: node.lie(min(lasts, LONGEST_LIE_S)),
            Kind.UNREAD: lambda: setattr(self, "unread_until", until),
            Kind.TWO: lambda: setattr(host, "two_until", until),
        }
        deeds[fault.kind]()

    def _let_die(self, voter: Node, lasts: float) -> None:
        """Let a voter die, and somebody start it again after a while."""
        voter.die(voter.life)
        self.clock.plan(lasts, voter.launch)

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
        away = self.registry_away or self.registry_away_from_us
        return End(status, self.clock.now(), self._up(), registered, away, defect=defect)

    def _up(self) -> frozenset[int]:
        if self.is_kraft:  # one that is fenced for a while is not down
            return frozenset(one.id for one in self.nodes if one.alive and one.life.state == 3)
        return frozenset(server.id for server in self.servers if server.registered)

    def _roll(self) -> Roll:
        brokers = self._brokers()
        hosts: Any = dict(zip(brokers, self.hosts, strict=True))
        schedule = self.schedule
        plan = self._plan(brokers)
        self.planned = [self.servers[one.id - 1] for one in plan]
        questions = KRAFT_QUESTIONS if self.is_kraft else QUESTIONS
        return Roll(
            brokers=brokers,
            plan=plan,
            hosts=hosts,
            watch=self._watch(brokers),
            tasks=self.tasks,
            rule=HealthRule(
                schedule.count,
                schedule.interval,
                schedule.limit,
                longest_check=questions * QUESTION_S,
            ),
            clock=self.clock,
            report=self.report,
            signals=self.signals,
            resume=lambda ids: f"resume {','.join(map(str, ids))}",
            jvms=self._first_jvms(),
        )

    def _first_jvms(self) -> dict[int, Jvm]:
        """Return what the preflight found: metrics tell of every broker, hosts of those in the
        plan."""
        now = self.clock.now()
        if self.is_kraft:
            return {one.id: jvm_of(one.life, now) for one in self.planned}
        return {one.id: Jvm(one.life.start_ms, 0, one.life.pid) for one in self.servers}

    def _brokers(self) -> dict[int, Broker]:
        if not self.is_kraft:
            return {one.id: Broker(one.id, f"n{one.id}", one.czxid or 0) for one in self.servers}
        return {
            one.id: Broker(
                one.id, f"n{one.id}", is_broker=one.is_broker, is_controller=one.is_voter
            )
            for one in self.nodes
        }

    def _plan(self, brokers: dict[int, Broker]) -> list[Broker]:
        if not self.is_kraft:
            return list(brokers.values())[: self.schedule.plan_size]
        wanted = plans.of_roles(brokers, self.schedule.roles)
        leader = self.controllers.voters[0].id
        ordered = plans.in_order(list(wanted.values()), leader, self.schedule.controllers_first)
        return ordered[: self.schedule.plan_size]

    def _watch(self, brokers: dict[int, Broker]) -> ClusterWatch:
        if isinstance(self.registry, KraftRegistry):
            kraft = self.registry
            return ClusterWatch(
                brokers,
                kraft,
                {one.id: source(self, kraft, one) for one in self.nodes},
                self.clock,
                read_many=read_many(self, kraft),
            )
        proxies: Any = dict(zip(brokers, self.proxies, strict=True))
        return ClusterWatch(
            brokers, self.registry, proxies, self.clock, allow_cached=self.schedule.allow_cached
        )

    def _tasks(self, job: Job | None) -> list[Any]:
        return [Task(self, job)] if job else []
