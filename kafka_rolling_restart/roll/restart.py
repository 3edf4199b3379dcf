"""The critical section for one broker, and its proofs.

A stop is done when the broker is seen to be gone; a start is done when a new process is seen in its place.
What a command says of itself is told to the person, and decides nothing.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.errors import (
    BrokerDown,
    Objection,
    RollingRestartError,
    SshError,
    Stopped,
    ZooKeeperUnavailable,
    no_objection,
)
from kafka_rolling_restart.hosts.broker_host import is_same_process
from kafka_rolling_restart.metrics.freshness import Freshness
from kafka_rolling_restart.model.broker import RUNNING, Broker, CommandResult, Jvm, Reading, counted, state_name
from kafka_rolling_restart.roll.memory import ReasonAges
from kafka_rolling_restart.roll.watch import MetricsSource, Registry
from kafka_rolling_restart.text import describe

UPTIME_TOLERANCE_S = 1.0  # rounding, and what a clock may be off
NOT_ASKED = "not asked"  # of a broker that is just stopping


class Pending(Protocol):
    """A command that is on its way to a host or runs there. ``result`` raises `SshError`; ask it once it has ended.

    ``still_runs`` asks the host whether the command runs there, and raises `SshError`.
    """

    @property
    def ended(self) -> bool: ...

    def result(self) -> CommandResult: ...

    def still_runs(self) -> bool: ...


class Host(Protocol):
    """The host of the broker in hand; what its methods raise is `SshError`."""

    def prepare(self) -> None: ...

    def stop(self, limit: float, objection: Objection = no_objection) -> Pending: ...

    def start(self, limit: float) -> Pending: ...

    def process_age(self, pid: int | None) -> float | None: ...

    def is_process_gone(self, pid: int, age_s: float) -> bool: ...

    @property
    def sees_process(self) -> bool: ...

    @property
    def start_line(self) -> str: ...


class Voice(Protocol):
    """Hears what happens to the broker in hand, in words: what was to be expected, and what went wrong."""

    def say(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...


@dataclass(frozen=True)
class Limits:
    """All in s. ``waiting`` is --unhealthy-time-limit: gone and back together may take so long."""

    waiting: float
    look: float = 0.5
    glance: float = 0.1  # from one look at the registration alone to the next
    settle: float = 15.0  # how long a command that ended is given before its effect must show
    again: float = 15.0  # before a start that failed is sent again; twice as long after each, up to ``longest``
    again_unseen: float = 60.0  # before a start that ended well, and of which nothing is seen, is sent again; as above
    longest: float = 240.0
    start_gives_up: float = 120.0  # a start command that waits for longer than that (systemd: 90 s) does not give up
    resend: float = 10.0  # before a start command that did not reach the host is sent again
    last_chance: float = 60.0  # a broker that took the whole limit to go is given this long to come back
    news: float = 60.0  # from one line about what is still waited for to the next
    patience: float = 3.0  # for ZooKeeper: a broker that is down does not wait long for one that is away


class Process(Enum):
    """The old process on its host: HIDDEN cannot be seen there at all, UNKNOWN could not be looked at just now."""

    THERE = "its old process is there"
    GONE = "its old process is gone"
    HIDDEN = "its process cannot be seen"
    UNKNOWN = "its process could not be looked for over SSH"
    UNASKED = "its process was not looked for"


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

    @property
    def is_absent(self) -> bool:
        """Nothing of the broker is there, and a JVM would have been found: where no proxy listens, it would not."""
        return self.is_quiet and not self.reading.no_proxy

    @property
    def state(self) -> str:
        """What the broker says it does, if it says anything."""
        return state_name(self.reading.metrics.state) if self.reading.metrics else ""

    def __str__(self) -> str:
        registration = {
            True: "registered in /brokers/ids",
            False: "not in /brokers/ids",
            None: "ZooKeeper does not answer",
        }
        metrics = self.reading.reason or "none"
        answer = f"its JVM answers: {self.state or metrics}" if self.reading.jvm else f"no metrics ({metrics})"
        parts = [
            registration[self.registered],
            "" if self.reading.reason == NOT_ASKED else answer,
            "" if self.process is Process.UNASKED else self.process.value,
        ]
        return ", ".join(filter(None, parts))


class Command:
    """A command that was sent, and what has been heard of it so far."""

    def __init__(self, pending: Pending, sent_at: float) -> None:
        self._pending = pending
        self.sent_at = sent_at
        self.ended_at: float | None = None  # when its end was heard, or when it was lost from sight
        self.over_at: float | None = None  # when it was known to run no longer
        self.not_sent = False
        self.trouble = ""
        self.result: CommandResult | None = None

    @property
    def has_news(self) -> bool:
        """Tell whether it has ended, and nobody took notice yet."""
        return self.ended_at is None and self._pending.ended

    def hear(self, now: float) -> bool:
        """Take notice of its end; return whether it has ended since the last time."""
        if not self.has_news:
            return False
        self.ended_at = now
        try:
            self.result = self._pending.result()
            self.over_at = now
            self.trouble = "" if self.result.status == 0 else str(self.result)
        except SshError as error:
            self.trouble, self.not_sent = str(error), not error.sent
        except Exception as error:  # whatever it was, the broker is down, and is not to stay so
            self.trouble = describe(error)
        return True

    def is_over(self, now: float) -> bool | None:
        """Tell whether the command certainly runs no longer; None where that cannot be told.

        One whose end was not seen is looked for on its host.
        """
        if self.over_at is None and self.not_sent:
            self.over_at = now
        if self.over_at is not None:
            return True
        if self.ended_at is None:
            return False
        try:
            runs = self._pending.still_runs()
        except Exception:  # a question that could not be asked is not answered
            return None
        if not runs:
            self.over_at = now
        return not runs

    def has_settled(self, now: float, settle: float) -> bool:
        """Tell whether it ended so long ago (s) that its effect must show."""
        return self.ended_at is not None and now - self.ended_at >= settle


class Restart:
    """Restart one broker. ``voice`` hears what happens."""

    def __init__(
        self,
        broker: Broker,
        host: Host,
        metrics: MetricsSource,
        registry: Registry,
        clock: Clock,
        limits: Limits,
        voice: Voice,
    ) -> None:
        self._broker = broker
        self._host = host
        self._metrics = metrics
        self._registry = registry
        self._clock = clock
        self._limits = limits
        self._voice = voice
        self._freshness = Freshness()
        self._reason_ages = ReasonAges()
        self._czxid = broker.czxid
        self._jvm: Jvm = Jvm(0, 0)
        self._born: float | None = None  # on our clock; None: the process cannot be seen on its host
        self._was_away_after_the_stop = False  # nothing of it was there when its stop command was over
        self._gone_at: float | None = None  # when the old process was proven to be gone
        self._began = 0.0
        self._news_at = 0.0
        self._waited = 0.0
        self._blind = False  # its process could not be looked for the last time
        self._unsent = ""  # why a start command did not reach the host, as it was told last
        self._stop: Command | None = None
        self._starts: list[Command] = []
        self._first_start_at: float | None = None
        self.stop_was_sent = True  # or may have been
        self.came_back: Jvm | None = None  # while we waited for it to go: somebody else started it
        self.is_down = False  # it was given up, and nothing of it was there
        self.is_from_others = False  # the JVM that is back was born before we told it to start

    def look_before(self) -> Jvm:
        """Remember who is running now, so that it can be seen to go, and return it.

        Raises `Stopped`: the broker is untouched.
        """
        try:
            czxid = self._registry.registration(self._broker.id)
        except ZooKeeperUnavailable as error:
            raise Stopped(f"{self._broker} was not stopped: {error}") from error
        reading = self._read()
        if czxid is None or reading.jvm is None:
            seen = reading.reason or "it is not registered in /brokers/ids any more"
            raise Stopped(
                f"{self._broker} was not stopped, because it is not certain that it runs: {seen}. Look at it before you go on"
            )
        self._czxid, self._jvm = czxid, reading.jvm
        self._freshness.lag(self._broker.id, reading)
        self._freshness.count({self._broker.id: reading})
        self._born = self._process_birth(reading)
        return self._jvm

    def stop(self, objection: Objection = no_objection) -> str:
        """Stop the broker and wait until it is gone. Return what went wrong with it, if the broker goes all the same.

        ``objection`` is asked right before the command is sent. Raises `Stopped` where the broker is seen to be running
        as before, and `BrokerDown` where it is, but may yet go.
        """
        self._voice.say("stopping it")
        self._began = self._news_at = self._clock.now()
        command = self._stop = Command(self._host.stop(self._limits.waiting, objection), self._began)
        gone_since: float | None = None
        while True:
            self._hear_stop(command)
            over = self._clock.now() - self._began >= self._limits.waiting
            sight = self._sight(spare_metrics=command.ended_at is None and not over)
            now = self._clock.now()
            self._waited = now - self._began
            if self._is_back(sight):
                self.came_back = sight.reading.jvm
                trouble = "was started by something else than this run before it was seen to be gone"
                self._voice.warn(f"{trouble}; not starting it")
                return f"{self._broker} {trouble}"
            gone_since = (gone_since or now) if sight.is_gone else None
            if gone_since is not None and self._may_start(command, now - gone_since):
                self._voice.say(f"is gone after {self._waited:.0f} s")
                return ""
            if over and self._runs_as_before(sight):
                raise self._still_running(command)
            if over and gone_since is None:
                trouble = f"was not proven to be gone {self._waited:.0f} s after it was told to stop: {sight}"
                self._voice.warn(f"{trouble}; starting it all the same")
                return f"{self._broker} {trouble}"
            self._give_news(sight, "until it is gone")
            self._rest(sight, command)

    def start(self) -> Jvm:
        """Start the broker and wait until a new process is back, and the stop command over.

        Raises `BrokerDown` with what to type.
        """
        if self.came_back is not None:
            return self.came_back
        deadline = max(self._began + self._limits.waiting, self._clock.now() + self._limits.last_chance)
        command, tries = self._send_start(deadline), 1
        self._news_at = self._first_start_at = command.sent_at
        missing_since: float | None = None
        extended = seen_alive = False
        while True:
            self._hear_start(command)
            self._hear_stop(self._stop)
            self._stop_may_act()  # asked early, because a process that was born after its end needs no further wait
            sight = self._sight()
            now = self._clock.now()
            if self._is_back(sight):
                if all(self._lets_it_live(one, now) for one in self._starts):
                    return self._welcome(sight, command)
                self._give_news(sight, self._awaited(sight))
                self._rest(sight, command)
                continue
            seen_alive = seen_alive or (sight.answers and self._is_new(sight.reading))
            missing_since = (missing_since or now) if self._is_missing(sight, command) else None
            may_have_met_old = not self._was_gone_before(command)
            missing_for = 0.0 if missing_since is None else now - missing_since
            again = self._may_start_again(command, tries, now, missing_for, quickly=seen_alive or may_have_met_old)
            if now >= deadline:
                is_at_work = command.is_over(now) is False
                if extended or missing_since is None or is_at_work or not may_have_met_old:
                    self.is_down = sight.is_absent
                    raise BrokerDown(self._did_not_come(sight, command, tries))
                # The last start may have found the old process alive: one more, and time to see what it does.
                again, extended, deadline = True, True, now + self._limits.last_chance
            if command.not_sent:  # that was no try: the command never reached the host
                self._clock.sleep(self._limits.resend)
                command, missing_since = self._send_start(deadline), None
            elif again:
                since = f"{now - command.sent_at:.0f} s after start {tries}"
                self._voice.warn(f"is not back {since}: {sight}; starting it again")
                command, tries, missing_since = self._send_start(deadline), tries + 1, None
                seen_alive = False
            self._give_news(sight, self._awaited(sight))
            self._rest(sight, command)

    def _rest(self, sight: Sight, command: Command) -> None:
        """Wait until the next look: one at the metrics costs the broker dear, one at the registration costs nothing."""
        until = self._clock.now() + self._limits.look
        while (left := until - self._clock.now()) > 0 and not command.has_news:
            self._clock.sleep(min(left, self._limits.glance))
            czxid, registered = self._registration()
            if registered is None:
                self._clock.sleep(until - self._clock.now())
            elif czxid != sight.czxid:
                return

    def _process_birth(self, reading: Reading) -> float | None:
        try:
            self._host.prepare()
            age = self._host.process_age(self._jvm.pid)
        except SshError as error:
            raise Stopped(f"{self._broker} was not stopped: its process cannot be looked for: {error}") from error
        now = self._clock.now()
        if age is not None and is_same_process(age, self._jvm.uptime_ms / 1000 + now - reading.answered_at):
            return now - age
        if self._host.sees_process:
            raise Stopped(
                f"{self._broker} was not stopped: the preflight saw its process on its host, and now it cannot be found "
                f"there (pid {self._jvm.pid}). Find out why before you go on"
            )
        return None

    def _hear_stop(self, command: Command | None) -> None:
        """Tell how the stop command ended. Raises `Stopped` where it was never sent."""
        if command is None or not command.hear(self._clock.now()):
            return
        if command.not_sent:
            self.stop_was_sent = False
            raise Stopped(f"{self._broker} was not stopped: {command.trouble}")
        if command.result is None:
            self._voice.warn(
                f"the end of the stop command was not seen: {command.trouble}; the broker may go all the same"
            )
        elif command.trouble:
            self._voice.warn(f"the stop command failed: {command.trouble}; the broker may go all the same")
        else:
            self._voice.say(
                f"the stop command ended after {command.result.seconds:.1f} s; waiting until the broker is gone"
            )

    def _may_start(self, command: Command, gone_for: float) -> bool:
        """Tell whether a start may follow: a stop command that still runs might take the new process down too.

        One that does not end is not waited for for ever, but nothing is over before it has ended.
        """
        if command.is_over(self._clock.now()):
            return True
        if gone_for < self._limits.settle:
            return False
        if command.ended_at is None:
            self._voice.warn(
                f"the stop command has not returned {gone_for:.0f} s after the broker was gone; starting the broker, and "
                "waiting for the stop command meanwhile"
            )
        return True

    def _read(self) -> Reading:
        """Read the metrics. A reading that could not be made tells nothing of the broker."""
        asked_at = self._clock.now()
        try:
            return self._metrics.read()
        except Exception as error:
            return Reading(asked_at, self._clock.now(), reason=f"they could not be asked for: {error}")

    def _sight(self, spare_metrics: bool = False) -> Sight:
        """Look at the broker. A registered one that is just stopping is spared the reading of all its metrics."""
        is_stop_over = self._stop is not None and self._stop.over_at is not None
        sight = self._look(spare_metrics)
        if is_stop_over and sight.is_gone:
            self._was_away_after_the_stop = True
        return sight

    def _look(self, spare_metrics: bool) -> Sight:
        czxid, registered = self._registration()
        if spare_metrics and registered:
            now = self._clock.now()
            return Sight(czxid, registered, Reading(now, now, reason=NOT_ASKED), False, Process.UNASKED)
        reading = self._read()
        fresh = self._freshness.lag(self._broker.id, reading) == 0 and self._freshness.moved_on(
            self._broker.id, reading
        )
        self._freshness.count({self._broker.id: reading} if reading.jvm else {})
        # Looking over SSH costs a connection: it is needed only where the rest says that the broker is gone.
        quiet = registered is not True and not (reading.jvm and fresh)
        process = self._process() if quiet else Process.UNASKED
        return Sight(czxid, registered, reading, bool(reading.jvm and fresh), process)

    def _registration(self) -> tuple[int | None, bool | None]:
        try:
            czxid = self._registry.registration(self._broker.id, self._limits.patience)
        except Exception:  # whatever it was, the answer is not known
            return None, None
        return czxid, czxid is not None

    def _process(self) -> Process:
        if self._born is None or self._jvm.pid is None:
            return Process.HIDDEN
        try:
            gone = self._host.is_process_gone(self._jvm.pid, self._clock.now() - self._born)
        except Exception as error:  # whatever it was, the answer is not known
            if not self._blind:  # it is tried again and again: that is said once
                self._voice.warn(f"its process cannot be looked for: {error}; trying again")
            self._blind = True
            return Process.UNKNOWN
        self._blind = False
        if gone and self._gone_at is None:
            self._gone_at = self._clock.now()
        return Process.GONE if gone else Process.THERE

    def _runs_as_before(self, sight: Sight) -> bool:
        metrics = sight.reading.metrics  # the czxid tells nothing: its session may have been lost meanwhile
        same = self._is_old(sight.reading) and sight.registered is True
        return same and sight.answers and metrics is not None and metrics.state == RUNNING

    def _still_running(self, command: Command) -> RollingRestartError:
        seen = f"{self._broker} still runs {self._waited:.0f} s after it was told to stop, so it was not restarted"
        if command.result is None:
            why = command.trouble or "the stop command has not returned"
            return BrokerDown(
                f"{seen}; but it may yet go DOWN: {why}. Find out on its host whether the stop command still runs, or what it "
                f"began; once the broker has gone, run: {self._host.start_line}"
            )
        why = command.trouble or "the stop command ended with status 0, but the broker runs as before"
        return Stopped(
            f"{seen}: {why}. Look in its log whether it is shutting down, and run the stop command by hand, before you go on"
        )

    def _send_start(self, deadline: float) -> Command:
        if not self._unsent:  # else it is tried again and again: that was said
            self._voice.say("starting it")
        now = self._clock.now()
        command = Command(self._host.start(max(deadline - now, self._limits.settle)), now)
        self._starts.append(command)
        return command

    def _hear_start(self, command: Command) -> None:
        if not command.hear(self._clock.now()):
            return
        if not command.not_sent:
            self._unsent = ""
        if not command.trouble:
            return
        if command.result is not None:
            self._voice.warn(f"the start command failed: {command.trouble}")
        elif not command.not_sent:
            self._voice.warn(
                f"the end of the start command was not seen: {command.trouble}; the broker may come all the same"
            )
        elif command.trouble != self._unsent:  # it is tried again and again: that is said once
            again = f"trying again every {self._limits.resend:g} s"
            self._voice.warn(f"the start command did not reach the host: {command.trouble}; {again}")
            self._unsent = command.trouble

    def _is_missing(self, sight: Sight, command: Command) -> bool:
        """Tell whether nothing came. A start that failed is repeated without ZooKeeper's word too."""
        if sight.is_gone and sight.registered is False and self._is_old(sight.reading):
            return True  # a cache goes on answering for the process that is proven to be gone
        return sight.is_quiet or (bool(command.trouble) and sight.is_gone and not sight.reading.jvm)

    def _is_old(self, reading: Reading) -> bool:
        return reading.jvm is not None and reading.jvm.start_ms == self._jvm.start_ms

    def _may_start_again(self, command: Command, tries: int, now: float, missing_for: float, quickly: bool) -> bool:
        """Tell whether to start it again: never while a start is at work, and after longer and longer pauses.

        ``quickly`` where the last start may have met the old process, or where a new one was seen to die.
        """
        if command.ended_at is None:
            return False
        first = self._limits.again if quickly or command.trouble else self._limits.again_unseen
        pause = min(first * 2 ** (tries - 1), self._limits.longest)
        if now - command.ended_at < pause or missing_for < min(pause, self._limits.settle):
            return False
        return command.is_over(now) is not False

    def _lets_it_live(self, command: Command, now: float) -> bool:
        """Tell whether the start command can no longer take down what it started, as one does that gives up waiting.

        One that ended well does not. One that never ends, as where the broker runs in the foreground, is not waited for
        for ever.
        """
        if command.not_sent or now - command.sent_at >= self._limits.start_gives_up:
            return True
        if not command.is_over(now) or command.over_at is None:
            return False
        return not command.trouble or now - command.over_at >= self._limits.settle

    def _was_gone_before(self, command: Command) -> bool:
        """Tell whether the old process was proven to be gone when a start was sent."""
        return self._gone_at is not None and self._gone_at <= command.sent_at

    def _is_back(self, sight: Sight) -> bool:
        """Tell whether a new process serves, which our own stop command can no longer take down."""
        is_member = sight.czxid is not None and sight.czxid != self._czxid
        if not is_member or not self._is_new(sight.reading):
            return False
        # A proxy that keeps its answers may go on for long with what it heard while the broker was starting.
        is_kept = not sight.reading.emptied
        if not is_kept and not (sight.answers and self._serves(sight.reading)):
            return False
        return self._has_outlived_the_stop(sight)

    def _serves(self, reading: Reading) -> bool:
        return reading.metrics is not None and reading.metrics.state == RUNNING

    def _has_outlived_the_stop(self, sight: Sight) -> bool:
        """Tell whether the stop command is over, and has not met the new process, or let it live.

        It has not met a process that was not there yet when it was over; one that was has to be there some time later.
        """
        assert self._stop is not None
        if not self._stop.is_over(self._clock.now()) or self._stop.over_at is None:
            return False
        if self._was_away_after_the_stop:
            return True
        return sight.answers and sight.reading.asked_at - self._stop.over_at >= self._limits.settle

    def _is_new(self, reading: Reading) -> bool:
        """Tell whether a JVM is a later one than before. Where its host's clock went back, its uptime tells it."""
        if reading.jvm is None or self._is_old(reading):
            return False
        born = reading.asked_at - reading.jvm.uptime_ms / 1000
        return reading.jvm.start_ms > self._jvm.start_ms or (reading.emptied and born > self._began)

    def _welcome(self, sight: Sight, command: Command) -> Jvm:
        if command.ended_at is None:
            self._voice.warn("is back, but the start command has not returned; not waiting for it")
        assert sight.reading.jvm is not None and self._first_start_at is not None
        born_at_the_latest = sight.reading.answered_at - sight.reading.jvm.uptime_ms / 1000
        self.is_from_others = born_at_the_latest < self._first_start_at - UPTIME_TOLERANCE_S
        return sight.reading.jvm

    def _awaited(self, sight: Sight) -> str:
        """Say what is waited for while it is started."""
        is_new = sight.czxid is not None and sight.czxid != self._czxid and self._is_new(sight.reading)
        if not is_new or not self._serves(sight.reading):
            return "until it is back"
        if self._stop_may_act():
            return "until the stop command has ended, which may take the broker down again"
        return "until the start command has ended"

    def _give_news(self, sight: Sight, what: str) -> None:
        """Say now and then what is still waited for, and how long the broker has been in the state that it tells."""
        now = self._clock.now()
        lasted = self._reason_ages.seconds([sight.state], now)[sight.state]
        if now - self._news_at < self._limits.news:
            return
        self._news_at = now
        state = f"; in this state for {lasted:.0f} s" if sight.state else ""
        self._voice.say(f"still waiting {what}, {now - self._began:.0f} s after it was told to stop: {sight}{state}")

    def _did_not_come(self, sight: Sight, command: Command, tries: int) -> str:
        last = "The last try" if command.not_sent else "The last start"
        said = f" {last}: {command.trouble.rstrip('.')}." if command.trouble else ""
        if not command.trouble:
            said = " A start command that ends with status 0 proves nothing: --dry-run shows whether the broker is up."
        if command.ended_at is None:
            said = f" The last start command has not returned for {self._clock.now() - command.sent_at:.0f} s."
        since = f"{self._clock.now() - self._began:.0f} s after it was told to stop"
        if self._is_new(sight.reading) and self._serves(sight.reading) and self._stop_may_act():
            return (
                f"{self._broker} is up again {since}, but the command that stopped it may still run, and take it DOWN again. "
                f"Look on its host what that command waits for; once it has ended, see whether the broker runs; if not, "
                f"run: {self._host.start_line}"
            )
        if self._is_new(sight.reading):
            return (
                f"{self._broker} is not back {since}, but its new JVM runs: {sight}.{said} "
                f"Look at its log: it may yet come. If its JVM has ended, run: {self._host.start_line}"
            )
        state = "is DOWN" if sight.is_absent else "may be DOWN"
        sent = tries - 1 if command.not_sent else tries
        starts = f" after {counted(sent, 'start')}" if sent else ", and no start command reached its host"
        return (
            f"{self._broker} {state}{starts}, {since}: {sight}.{said} "
            f"{self._before_a_start(sight, command)} run: {self._host.start_line}"
        )

    def _stop_may_act(self) -> bool:
        return self._stop is not None and not self._stop.is_over(self._clock.now())

    def _before_a_start(self, sight: Sight, command: Command) -> str:
        if sight.process is Process.THERE:
            return (
                f"A start does nothing while pid {self._jvm.pid} is there: find out why it does not end; once it has,"
            )
        if sight.registered and sight.reading.no_proxy:
            return "Without JMXProxy its JVM is not seen: start JMXProxy there and look at the broker's log; if it does not run,"
        if command.result is not None and command.trouble:
            return "Fix this, which may be --start-command itself, then"
        if command.not_sent:
            return "Fix SSH to that host, or go to its console, then"
        return "Look at its log, then"
