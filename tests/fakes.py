"""A clock, a broker on its host, and a proxy, each as short as the real thing is from outside."""

import io
import json
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import requests
from requests.adapters import BaseAdapter

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.errors import Objection, SshError, no_objection
from kafka_rolling_restart.hosts.base import FoundProcess, Readiness
from kafka_rolling_restart.model.broker import CommandResult, Jvm, Metrics, Sample
from kafka_rolling_restart.model.ending import Outcome
from kafka_rolling_restart.model.observation import Observation, Presence
from kafka_rolling_restart.model.progress import Progress
from kafka_rolling_restart.output.report import plain
from kafka_rolling_restart.output.writer import STDERR, Writer

STATUSES = (302, 401, 403, 404, 500)
UNREGISTERED = Observation(Presence.ABSENT, words="not registered")
SERVING = Metrics(state=3)
SOUND = Metrics(state=3, under_replicated=0, offline_partitions=0, active_controllers=1)


class NoClusterState:
    """A registry that knows the members and nothing else."""

    poll_s = 0.1

    def state(self, restarted: Collection[int] = (), timeout: float | None = None) -> None:
        return None

    def quorum(self, timeout: float | None = None) -> None:
        return None


class FakeClock:
    """Time that passes only in sleep(); what was planned for a time happens when it comes."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._planned: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        until = self.time + max(seconds, 0)
        due = sorted((item for item in self._planned if item[0] <= until), key=lambda item: item[0])
        self._planned = [item for item in self._planned if item[0] > until]
        for at, event in due:
            self.time = max(at, self.time)
            event()
        self.time = until

    def plan(self, seconds: float, event: Callable[[], None]) -> None:
        self._planned.append((self.time + seconds, event))


class FakePending:
    """A command that runs on a host for a while; where its connection breaks after ``seconds``, it
    goes on there.

    ``runs`` is for how long (s) it runs, ``hidden`` that its host does not tell.
    """

    question_takes = 0.0  # s until its host has looked whether it runs

    def __init__(
        self,
        clock: Clock,
        seconds: float,
        outcome: CommandResult | SshError,
        runs: float | None = None,
        hidden: bool = False,
    ) -> None:
        self._clock = clock
        self._ends_at = clock.now() + seconds
        self._runs_until = clock.now() + (seconds if runs is None else runs)
        self._outcome = outcome
        self._hidden = hidden

    @property
    def ended(self) -> bool:
        return self._clock.now() >= self._ends_at

    def result(self) -> CommandResult:
        if isinstance(self._outcome, SshError):
            raise self._outcome
        return self._outcome

    def still_runs(self) -> bool:
        self._clock.sleep(self.question_takes)
        if self._hidden:
            raise SshError("it could not be looked for whether the command runs")
        return self._clock.now() < self._runs_until


class FakeBroker(NoClusterState):
    """A broker seen through its registration, its metrics and its host at once, as measured on
    Kafka 3.9.1.

    After a stop the registration goes first, then the metrics, and the process last; a start finds
    a process alive and does nothing, or makes a new one. Where ``tells_process`` is False, it has
    no metrics but a port, its registrations cannot be told apart, and its host tells of its
    process.
    """

    start_line = "ssh n1 'sudo -n service kafka start'"
    sees_process = False
    tells_process = True

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.czxid = 10
        self.registered = True
        self.process: int | None = 100  # its pid
        self.born = clock.now() - 5000
        self.metrics = True
        self.cached: Sample | None = None  # what a proxy that may not be emptied goes on saying
        self.stop_status, self.start_status = 0, 0
        self.stop_takes_effect, self.start_takes_effect = True, True
        self.stop_returns_after, self.process_ends_after = 3.0, 2.5
        self.start_returns_after = 0.1
        self.start_delay = 0.0  # before a process is there
        self.metrics_delay, self.registers_after = 0.0, 4.0  # from then on
        self.stop_delay = 0.0  # before the stop command does anything
        self.start_breaks = False  # the connection is cut while the start command runs
        self.commands_end_unseen = False  # they have ended, and their connections do not tell
        self.stop_breaks = False  # the connection is cut while the stop command runs
        self.commands_hidden = False  # the host does not tell whether a command runs
        self.kills_at: float | None = None  # s after the stop: whatever runs then is killed by it
        self.stop_is_not_sent = False
        self.reading_takes = 0.0
        self.reads = 0
        self.closes: list[float] = []
        self.ps_hidden = self.ssh_down = self.registry_down = False
        self.stops: list[float] = []
        self.starts: list[float] = []

    # The registry
    def observe(self, ids: Collection[int], timeout: float | None = None) -> dict[int, Observation]:
        return {one: self.registration() if one == 1 else UNREGISTERED for one in ids}

    def registration(self) -> Observation:
        if self.registry_down:
            return Observation(Presence.UNKNOWN, words="the registry does not answer")
        identity = self.czxid if self.tells_process else None
        return (
            Observation(Presence.PRESENT, identity, "registered")
            if self.registered
            else UNREGISTERED
        )

    # The metrics
    def read(self) -> Sample:
        self.reads += 1
        assert self.reads < 1000, "this never ends"
        self.clock.sleep(self.reading_takes)
        now = self.clock.now()
        if not self.tells_process:
            metrics, reason = (SERVING, "") if self.metrics else (None, "Connection refused")
            return Sample(
                now,
                now,
                metrics=metrics,
                reason=reason,
                silent=not self.metrics,
                tells_process=False,
            )
        if self.cached is not None:
            return replace(self.cached, asked_at=now, answered_at=now, max_age=300)
        if not self.metrics:
            return Sample(now, now, reason="404", silent=True)
        uptime = round((now - self.born) * 1000)
        return Sample(
            now, now, jvm=Jvm(round(self.born * 1000), uptime, self.process), metrics=SOUND
        )

    # The host
    def prepare(self) -> None:
        pass

    def stop(self, limit: float, objection: Objection = no_objection) -> FakePending:
        if self.ssh_down or self.stop_is_not_sent:
            return self._refused()
        if against := objection():
            return FakePending(
                self.clock, 0.0, SshError(f"`service kafka stop` was not sent: {against}")
            )
        self.stops.append(self.clock.now())
        if self.stop_takes_effect:
            self.clock.plan(self.stop_delay + 0.3, self._unregister)
            self.clock.plan(self.stop_delay + 0.7, self._silence)
            self.clock.plan(self.process_ends_after, self._end)
        if self.kills_at is not None:
            self.clock.plan(self.kills_at, self.kill)
        if self.stop_breaks:
            broken = SshError("the connection broke", sent=True)
            return FakePending(
                self.clock, 1.0, broken, self.stop_returns_after, self.commands_hidden
            )
        ended = CommandResult("service kafka stop", self.stop_status, "", self.stop_returns_after)
        return FakePending(self.clock, self.stop_returns_after, ended, self._runs())

    def start(self, limit: float) -> FakePending:
        if self.ssh_down:
            return self._refused()
        self.starts.append(self.clock.now())
        if self.start_takes_effect:
            self.clock.plan(self.start_delay, self._launch)
        if self.start_breaks:
            self.start_breaks = False
            broken = SshError("the connection broke", sent=True)
            return FakePending(
                self.clock, 1.0, broken, self.start_returns_after, self.commands_hidden
            )
        ended = CommandResult(
            "service kafka start", self.start_status, "", self.start_returns_after
        )
        return FakePending(self.clock, self.start_returns_after, ended, self._runs())

    def _runs(self) -> float | None:
        return 5.0 if self.commands_end_unseen else None

    def _launch(self) -> None:
        if self.process is None:
            self.process, self.born = 200, self.clock.now()
            self.clock.plan(self.metrics_delay, self._answer)
            self.clock.plan(self.registers_after, self._register)

    def _answer(self) -> None:
        self.metrics = self.metrics or self.process is not None

    def process_age(self, pid: int | None) -> float | None:
        self._reach_host()
        return self.clock.now() - self.born if pid == self.process and not self.ps_hidden else None

    def observe_process(self, pid: int, age_s: float) -> Observation:
        if self.process_age(pid) is None:
            return Observation(Presence.ABSENT, words="its old process is gone")
        return Observation(Presence.PRESENT, words="its old process is there")

    def find_process(self) -> FoundProcess:
        if self.ssh_down:
            return FoundProcess(Presence.UNKNOWN, words="ssh n1: Connection refused")
        if self.ps_hidden:
            return FoundProcess(Presence.BLIND, words="several processes match")
        if self.process is None:
            return FoundProcess(Presence.ABSENT, words="no process of it runs")
        uptime = round((self.clock.now() - self.born) * 1000)
        jvm = Jvm(round(self.born * 1000), uptime, self.process, (self.process, self.born))
        return FoundProcess(Presence.PRESENT, jvm)

    def observe_found(self, jvm: Jvm) -> Observation:
        if self.ssh_down:
            return Observation(Presence.UNKNOWN, words="ssh n1: Connection refused")
        if jvm.identity == (self.process, self.born):
            return Observation(Presence.PRESENT, words="its old process is there")
        return Observation(Presence.ABSENT, words="its old process is gone")

    def preflight(self, jvm: Jvm | None, find: bool = False) -> Readiness:
        return Readiness(found=self.find_process() if find else None)

    def close(self) -> None:
        self.closes.append(self.clock.now())

    def kill(self) -> None:
        """End the process without a goodbye: its registration lasts until its session times out."""
        if self.process is None:
            return
        self.process, self.metrics = None, False
        czxid = self.czxid
        self.clock.plan(18, lambda: self._expire(czxid))

    def _expire(self, czxid: int) -> None:
        if self.czxid == czxid:
            self.registered = False

    def _refused(self) -> FakePending:
        return FakePending(
            self.clock, 0.0, SshError("ssh n1: Connection refused", code="ssh-unreachable")
        )

    def _reach_host(self) -> None:
        if self.ssh_down:
            raise SshError("ssh n1: Connection refused", code="ssh-unreachable")

    def _unregister(self) -> None:
        self.registered = False

    def _silence(self) -> None:
        self.metrics = False

    def _end(self) -> None:
        self.process = None

    def _register(self) -> None:
        if self.process is None:
            return
        if self.registered:  # the node of the process before it is there yet
            self.clock.plan(1, self._register)
        else:
            self.registered, self.czxid = True, self.czxid + 7


class FakeProxy(BaseAdapter):
    """Answers as JMXProxy does: by the text of the path, out of a dictionary; an exception in it is
    raised."""

    def __init__(self, answers: dict[str, Any], delete: int = 200) -> None:
        super().__init__()
        self.answers = answers
        self.delete = delete
        self.proxies: Any = None
        self.headers: dict[str, str] = {}
        self.requests: list[requests.PreparedRequest] = []

    def session(self) -> requests.Session:
        session = requests.Session()
        session.mount("http://", self)
        return session

    def send(
        self, request: requests.PreparedRequest, *_args: Any, **options: Any
    ) -> requests.Response:
        self.proxies = options["proxies"]
        self.requests.append(request)
        response = requests.Response()
        response.request = request
        if request.method == "DELETE":
            response.status_code, response.raw = self.delete, io.BytesIO()
            return response
        answer = self.answers.get(
            str(request.path_url).removeprefix("/jmxproxy/localhost:9099/"), 404
        )
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, io.IOBase):
            response.status_code, response.raw = 200, answer
            return response
        response.headers.update({"Location": "http://elsewhere/", **self.headers})
        response.status_code = answer if answer in STATUSES else 200
        response.raw = io.BytesIO(
            answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        )
        return response

    def close(self) -> None:
        pass


class Collector(Writer):
    """Keeps what would be written where there is no terminal, and, apart, what of it would go to
    stderr."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.errors: list[str] = []

    def put(self, item: Any) -> None:
        written = plain(item)
        self.lines += [text for _, text in written]
        self.errors += [text for descriptor, text in written if descriptor == STDERR]

    def drain(self, seconds: float = 0) -> bool:
        return True


class FakeEvents:
    """Hears what is told of a broker; what went wrong is heard apart, too."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.wrong: list[str] = []
        self.codes: list[str] = []

    def say(self, text: str) -> None:
        self.told.append(text)

    def warn(self, text: str, *, code: str = "") -> None:
        self.told.append(text)
        self.wrong.append(text)
        self.codes.append(code)


class FakeReportFile:
    """A report file of which only what was flushed is sure to be on the disk."""

    problem = ""

    def __init__(self) -> None:
        self.given: Progress | None = None
        self.on_disk: Progress | None = None

    def put(self, progress: Progress) -> None:
        self.given = progress

    def end(self, outcome: Outcome) -> None:
        self.flush()

    def flush(self) -> bool:
        self.on_disk = self.given
        return True
