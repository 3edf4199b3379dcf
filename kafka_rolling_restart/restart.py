"""The critical section for one broker, and its proofs.

A stop is done when the broker is seen to be gone; a start is done when a new process is seen in its place.
What a command says of itself is told to the person, and decides nothing.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.cluster import Broker, CommandResult, Jvm, Reading
from kafka_rolling_restart.errors import BrokerDown, SshError, Stopped, ZooKeeperUnavailable
from kafka_rolling_restart.health import RUNNING, Freshness
from kafka_rolling_restart.host import is_same_process
from kafka_rolling_restart.watch import MetricsSource, Registry


class Host(Protocol):
    """The host of the broker in hand; what its methods raise is `SshError`."""

    def stop(self, limit: float) -> CommandResult: ...

    def start(self, limit: float) -> CommandResult: ...

    def process_age(self, pid: int) -> float | None: ...

    def is_process_gone(self, pid: int, age_s: float) -> bool: ...

    @property
    def start_line(self) -> str: ...


@dataclass(frozen=True)
class Limits:
    """All in s. ``waiting`` is --unhealthy-time-limit: gone and back together may take so long."""

    waiting: float
    look: float = 0.5
    settle: float = 15.0  # how long a command that ended is given before its effect must show
    starts: int = 3
    resend: float = 5.0  # before a start command that did not reach the host is sent again
    last_chance: float = 60.0  # a broker that took the whole limit to go is given this long to come back


class Process(Enum):
    """The old process on its host: HIDDEN cannot be seen there at all, UNKNOWN could not be looked at just now."""

    THERE = "its old process is there"
    GONE = "its old process is gone"
    HIDDEN = "its process cannot be seen"
    UNKNOWN = "its host does not let us look for its process"


@dataclass(frozen=True)
class Sight:
    """What was seen of the broker at one look. ``registered`` is None where ZooKeeper does not answer."""

    czxid: int | None
    registered: bool | None
    reading: Reading
    answers: bool  # a sample that is certainly newer than the last one
    process: Process

    @property
    def is_quiet(self) -> bool:
        """Nothing of the broker is there, as far as everything could be looked at."""
        return self.registered is False and self.reading.silent and self.process in (Process.GONE, Process.HIDDEN)

    @property
    def is_gone(self) -> bool:
        """The broker is proven to be gone. Where its process cannot be seen, only definite answers count."""
        if self.process is Process.GONE:
            return self.registered is not True and not self.answers
        return self.is_quiet

    def __str__(self) -> str:
        registration = {True: "registered", False: "not in /brokers/ids", None: "ZooKeeper does not answer"}
        metrics = "metrics answer" if self.reading.jvm else f"no metrics ({self.reading.reason})"
        return f"{registration[self.registered]}, {metrics}, {self.process.value}"


class Restart:
    """Restart one broker. ``tell`` hears what happens, in words."""

    def __init__(
        self,
        broker: Broker,
        host: Host,
        metrics: MetricsSource,
        registry: Registry,
        clock: Clock,
        limits: Limits,
        tell: Callable[[str], None],
    ) -> None:
        self._broker = broker
        self._host = host
        self._metrics = metrics
        self._registry = registry
        self._clock = clock
        self._limits = limits
        self._tell = tell
        self._freshness = Freshness()
        self._czxid = broker.czxid
        self._jvm: Jvm = Jvm(0, 0)
        self._born: float | None = None  # on our clock; None: the process cannot be seen on its host
        self._waited = 0.0

    def look_before(self) -> Jvm:
        """Remember who is running now, so that it can be seen to go, and return it.

        Raises `Stopped`: the broker is untouched.
        """
        try:
            czxid = self._registry.registration(self._broker.id)
        except ZooKeeperUnavailable as error:
            raise Stopped(f"{self._broker} was not stopped: {error}") from error
        reading = self._metrics.read()
        if czxid is None or reading.jvm is None:
            seen = reading.reason or "it is not registered any more"
            raise Stopped(f"{self._broker} was not stopped, because it is not certain that it runs: {seen}")
        self._czxid, self._jvm = czxid, reading.jvm
        self._freshness.lag(self._broker.id, reading)
        self._freshness.count({self._broker.id: reading})
        self._born = self._process_birth(reading)
        return self._jvm

    def stop(self) -> str:
        """Stop the broker and wait until it is gone. Return what went wrong with it, if the broker goes all the same.

        Raises `Stopped` where it is seen to be running as before.
        """
        began = self._clock.now()
        trouble = self._run_stop()
        settled = self._clock.now() + self._limits.settle
        while True:
            sight = self._sight()
            if sight.is_gone:
                self._waited = self._clock.now() - began
                self._tell(f"is gone after {self._waited:.0f} s")
                return ""
            waited = self._clock.now() - began
            if self._runs_as_before(sight) and (
                waited >= self._limits.waiting or trouble and self._clock.now() > settled
            ):
                raise Stopped(self._still_running(trouble, waited))
            if waited >= self._limits.waiting:
                self._waited = waited
                return f"{self._broker} was not gone {waited:.0f} s after it was told to stop: {sight}"
            self._clock.sleep(self._limits.look)

    def start(self) -> Jvm:
        """Start the broker and wait until a new process is back. Raises `BrokerDown` with what to type."""
        deadline = self._clock.now() + max(self._limits.waiting - self._waited, self._limits.last_chance)
        starter, tries, quiet_since = self._launch(deadline), 1, None
        while True:
            sight = self._sight()
            if self._is_back(sight):
                return self._welcome(sight, starter)
            now = self._clock.now()
            # A start that failed is repeated without ZooKeeper too; one that ended well only when all is seen.
            absent = sight.is_quiet or (bool(starter.trouble) and sight.is_gone and not sight.reading.jvm)
            quiet_since = (quiet_since or now) if absent and starter.ended else None
            again = quiet_since is not None and now - quiet_since >= self._limits.settle
            if now >= deadline or (again and tries >= self._limits.starts):
                raise BrokerDown(self._did_not_come(sight, starter, tries))
            if starter.not_sent:  # that was no try: the command never reached the host
                self._clock.sleep(self._limits.resend)
                starter, quiet_since = self._launch(deadline), None
            elif again:
                self._tell(f"is not coming ({sight}): starting it again")
                starter, tries, quiet_since = self._launch(deadline), tries + 1, None
            self._clock.sleep(self._limits.look)

    def _process_birth(self, reading: Reading) -> float | None:
        if self._jvm.pid is None:
            return None
        try:
            age = self._host.process_age(self._jvm.pid)
        except SshError as error:
            raise Stopped(f"{self._broker} was not stopped: its host does not let us in: {error}") from error
        now = self._clock.now()
        if age is None or not is_same_process(age, self._jvm.uptime_ms / 1000 + now - reading.answered_at):
            return None
        return now - age

    def _run_stop(self) -> str:
        """Send the stop command. Return what was wrong with how it ended. Raises `Stopped` where it was not sent."""
        self._tell("stopping it")
        try:
            result = self._host.stop(self._limits.waiting)
        except SshError as error:
            if not error.sent:
                raise Stopped(f"{self._broker} was not stopped: {error}") from error
            self._tell(f"the end of the stop command was not seen: {error}")
            return str(error)
        if result.status == 0:
            self._tell(f"the stop command ended after {result.seconds:.1f} s; waiting until the broker is gone")
            return ""
        self._tell(f"the stop command failed: {result}")
        return str(result)

    def _sight(self) -> Sight:
        czxid, registered = self._registration()
        reading = self._metrics.read()
        fresh = self._freshness.lag(self._broker.id, reading) == 0 and self._freshness.moved_on(
            self._broker.id, reading
        )
        self._freshness.count({self._broker.id: reading} if reading.jvm else {})
        # Looking over SSH costs a connection: it is needed only where the rest says that the broker is gone.
        quiet = registered is not True and not (reading.jvm and fresh)
        process = self._process() if quiet else Process.UNKNOWN
        return Sight(czxid, registered, reading, bool(reading.jvm and fresh), process)

    def _registration(self) -> tuple[int | None, bool | None]:
        try:
            czxid = self._registry.registration(self._broker.id)
        except ZooKeeperUnavailable:
            return None, None
        return czxid, czxid is not None

    def _process(self) -> Process:
        if self._born is None or self._jvm.pid is None:
            return Process.HIDDEN
        try:
            gone = self._host.is_process_gone(self._jvm.pid, self._clock.now() - self._born)
        except SshError:
            return Process.UNKNOWN
        return Process.GONE if gone else Process.THERE

    def _runs_as_before(self, sight: Sight) -> bool:
        metrics = sight.reading.metrics
        return sight.czxid == self._czxid and sight.answers and metrics is not None and metrics.state == RUNNING

    def _still_running(self, trouble: str, waited: float) -> str:
        why = trouble or "the stop command ended well, but the broker took no notice"
        return (
            f"{self._broker} still runs {waited:.0f} s after it was told to stop, so it was not restarted: {why}. "
            "Find out whether it may yet stop before you go on"
        )

    def _launch(self, deadline: float) -> "Starter":
        self._tell("starting it")
        starter = Starter(self._host, max(deadline - self._clock.now(), self._limits.settle))
        starter.launch(self._tell)
        return starter

    def _is_back(self, sight: Sight) -> bool:
        new = sight.czxid is not None and sight.czxid != self._czxid
        later = sight.reading.jvm is not None and sight.reading.jvm.start_ms > self._jvm.start_ms
        return new and later

    def _welcome(self, sight: Sight, starter: "Starter") -> Jvm:
        if not starter.ended:
            self._tell("is back, but the start command has not returned; not waiting for it")
        assert sight.reading.jvm is not None
        return sight.reading.jvm

    def _did_not_come(self, sight: Sight, starter: "Starter", tries: int) -> str:
        said = f" The last start: {starter.trouble}." if starter.trouble else ""
        state = "is DOWN" if sight.is_quiet else "may be DOWN"
        return f"{self._broker} {state} after {tries} start(s): {sight}.{said} Look at its log, then run: {self._host.start_line}"


class Starter:
    """A start command on a thread of its own, because the broker may be back before the command returns."""

    def __init__(self, host: Host, limit: float) -> None:
        self._host = host
        self._limit = limit
        self.ended = False
        self.not_sent = False
        self.trouble = ""

    def launch(self, tell: Callable[[str], None]) -> None:
        """Run the command; return when it ended, or after a second."""
        thread = threading.Thread(target=self._run, args=(tell,), daemon=True)
        thread.start()
        thread.join(1.0)

    def _run(self, tell: Callable[[str], None]) -> None:
        try:
            result = self._host.start(self._limit)
            self.trouble = "" if result.status == 0 else str(result)
        except SshError as error:
            self.trouble = str(error)
            self.not_sent = not error.sent
        except Exception as error:  # nothing may end this thread without a word: the broker is down
            self.trouble = f"{type(error).__name__}: {error}"
        if self.trouble:
            tell(f"the start command failed: {self.trouble}")
        self.ended = True
