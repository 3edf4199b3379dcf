"""The critical section for one broker: what follows what.

What was seen is judged in `evidence`, what is said is made in `words`, and `observer` does the
looking. What a command says of itself is told to the person, and decides nothing.

`stop` and `start` are generators: they give how long (s) they rest, so that several brokers can be
in hand under one clock.
"""

from dataclasses import dataclass, replace
from typing import Protocol

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.errors import BrokerDown, Objection, Stopped, no_objection
from kafka_rolling_restart.hosts.base import Host
from kafka_rolling_restart.model.ages import ReasonAges
from kafka_rolling_restart.model.broker import Broker, Jvm
from kafka_rolling_restart.model.observation import Observation, Presence
from kafka_rolling_restart.restart import words
from kafka_rolling_restart.restart.command import Command
from kafka_rolling_restart.restart.evidence import (
    Before,
    Evidence,
    born_before,
    is_back,
    is_down,
    is_gone,
    is_missing,
    is_new,
    runs_as_before,
)
from kafka_rolling_restart.restart.observer import Observer
from kafka_rolling_restart.restart.together import Work

UPTIME_TOLERANCE_S = 1.0  # rounding, and what a clock may be off


class BrokerEvents(Protocol):
    """Hears what happens to the broker in hand, in words: what was to be expected, and what went
    wrong."""

    def say(self, text: str) -> None: ...

    def warn(self, text: str, *, code: str = "") -> None: ...


@dataclass(frozen=True)
class Limits:
    """All in s. ``waiting`` is --unhealthy-time-limit: gone and back together may take so long."""

    waiting: float
    poll: float = 0.5  # from one look to the next
    registration_poll: float = 0.1  # from one look at the registration alone to the next
    grace: float = 15.0  # how long a command that ended is given before its effect must show
    # before a start that failed is sent again; twice as long after each, up to ``longest``
    again: float = 15.0
    # before a start that ended well, and of which nothing is seen, is sent again; as above
    again_unseen: float = 60.0
    longest: float = 240.0
    # a start command may give up after so long or after ``waiting`` (systemd: 90 s)
    start_gives_up: float = 120.0
    resend: float = 10.0  # before a start command that did not reach the host is sent again
    # a broker that took the whole limit to go is given this long to come back
    last_chance: float = 60.0
    news: float = 60.0  # from one line about what is still waited for to the next


class Restart:
    """Restart one broker. ``events`` hears what happens."""

    def __init__(
        self,
        broker: Broker,
        host: Host,
        observer: Observer,
        clock: Clock,
        limits: Limits,
        events: BrokerEvents,
    ) -> None:
        self._broker = broker
        self._host = host
        self._observer = observer
        self._clock = clock
        self._limits = limits
        self._events = events
        self._state_ages = ReasonAges()
        self._before = Before(Observation(Presence.UNKNOWN), Jvm(0, 0))
        self._began = 0.0
        self._news_at = 0.0
        self._stop: Command | None = None
        self._starts: list[Command] = []
        self._tries = 0  # starts that may have reached the host
        self._deadline = 0.0
        self._is_extended = False  # the deadline was put off once
        self._missing_since: float | None = None
        self._was_seen_alive = False  # a new process, since the last start
        # nothing of it was there when its stop command was over
        self._was_away_after_the_stop = False
        self._is_blind = False  # its process could not be looked for the last time
        self._unsent = ""  # why a start command did not reach the host, as it was told last
        self.has_begun = False  # the stop command was sent, or may have been
        self.stop_was_sent = True  # as above, as far as it is known by now
        self.came_back: Jvm | None = None  # while we waited for it to go: somebody else started it
        self.is_down = False  # it was given up, and nothing of it was there
        self.is_from_others = False  # the JVM that is back was born before we told it to start

    def look_before(self) -> Jvm:
        """Remember who is running now, so that it can be seen to go, and return it.

        Raises `Stopped`: the broker is untouched.
        """
        self._before = self._observer.look_before()
        return self._before.jvm

    # Stopping

    def stop(self, objection: Objection = no_objection) -> Work[str]:
        """Stop the broker and wait until it is gone. Return what went wrong with it, if the broker
        goes all the same.

        ``objection`` is asked right before the command is sent. Raises `Stopped` where the broker
        is seen to be running as before, and `BrokerDown` where it is, but may yet go.
        """
        self._events.say("stopping it")
        self._began = self._news_at = self._clock.now()
        self._before = replace(self._before, stopped_at=self._began)
        self.has_begun = True
        command = self._stop = Command(
            self._host.stop(self._limits.waiting, objection), self._began
        )
        gone_since: float | None = None
        while True:
            self._hear_stop(command)
            is_over = self._since_stop() >= self._limits.waiting
            seen = self._look(spare_metrics=command.ended_at is None and not is_over)
            if self._is_back(seen):
                return self._leave_to_others(seen)
            if not is_gone(seen):
                gone_since = None
            elif gone_since is None:
                gone_since = self._clock.now()
            if gone_since is not None and self._may_start(command, self._clock.now() - gone_since):
                self._events.say(f"is gone after {self._since_stop():.0f} s")
                return ""
            if is_over and runs_as_before(seen, self._before):
                raise self._no_effect(seen, command)
            if is_over and gone_since is None:
                trouble = f"was not proven to be gone {self._situation(seen).since}: {seen}"
                self._events.warn(f"{trouble}; starting it all the same", code="not-proven-gone")
                return f"{self._broker} {trouble}"
            self._give_news(seen, "until it is gone")
            yield from self._rest(seen, command)

    def _leave_to_others(self, seen: Evidence) -> str:
        self.came_back = seen.sample.jvm
        trouble = "was started by something else than this run before it was seen to be gone"
        self._events.warn(f"{trouble}; not starting it", code="started-by-others")
        return f"{self._broker} {trouble}"

    def _no_effect(self, seen: Evidence, stop: Command) -> Stopped | BrokerDown:
        """Return the end of a roll whose stop did nothing; a failed one is watched to the limit, as
        it may yet work."""
        if stop.result is None:
            return BrokerDown(
                words.may_yet_go(self._situation(seen), stop), code="stop-still-at-work"
            )
        return Stopped(words.still_runs(self._situation(seen), stop), code="stop-had-no-effect")

    def _hear_stop(self, command: Command) -> None:
        """Tell how the stop command ended. Raises `Stopped` where it was never sent."""
        if not command.hear(self._clock.now()):
            return
        if command.not_sent:
            self.stop_was_sent = False
            raise Stopped(
                f"{self._broker} was not stopped: {command.trouble}", code="stop-not-sent"
            )
        if command.result is None:
            self._events.warn(
                f"the end of the stop command was not seen: {command.trouble}; the broker may "
                "still stop",
                code="stop-end-not-seen",
            )
        elif command.trouble:
            text = f"the stop command failed: {command.trouble}; the broker may still stop"
            self._events.warn(text, code="stop-failed")
        else:
            self._events.say(
                f"the stop command ended after {command.result.seconds:.1f} s; waiting until the "
                "broker is gone"
            )

    def _may_start(self, command: Command, gone_for: float) -> bool:
        """Tell whether a start may follow: a stop command that still runs might take the new
        process down too.

        One that does not end is not waited for for ever, but nothing is over before it has ended.
        """
        if command.is_over(self._clock.now()):
            return True
        if gone_for < self._limits.grace:
            return False
        if command.ended_at is None:
            self._events.warn(
                f"the stop command has not returned {gone_for:.0f} s after the broker was gone; "
                "starting the broker, and waiting for the stop command meanwhile",
                code="stop-hangs",
            )
        return True

    # Starting

    def start(self) -> Work[Jvm]:
        """Start the broker and wait until a new process is back, and the stop command over.

        Raises `BrokerDown` with what to type.
        """
        if self.came_back is not None:
            return self.came_back
        self._deadline = max(
            self._began + self._limits.waiting, self._clock.now() + self._limits.last_chance
        )
        command = self._send_start()
        self._tries = 1
        self._news_at = command.sent_at
        while True:
            self._hear(command)
            seen = self._look()
            if not self._is_back(seen):
                command = yield from self._start_again_if_missing(seen, command)
            elif all(self._lets_it_live(one) for one in self._starts):
                return self._welcome(seen, command)
            self._give_news(seen, words.awaited(self._situation(seen), self._stop_may_act()))
            yield from self._rest(seen, command)

    def _start_again_if_missing(self, seen: Evidence, command: Command) -> Work[Command]:
        """Send the start again where that is due. Return the start that counts. Raises `BrokerDown`
        when the time is over."""
        now = self._clock.now()
        if seen.answers and is_new(seen.sample, self._before):
            self._was_seen_alive = True
        if not is_missing(seen, self._before, start_failed=bool(command.trouble)):
            self._missing_since = None
        elif self._missing_since is None:
            self._missing_since = now
        is_due = self._is_due_again(command)
        if now >= self._deadline and not self._is_in_grace(seen):
            if not self._may_have_one_more(command):
                raise self._given_up(seen, command)
            is_due, self._is_extended, self._deadline = True, True, now + self._limits.last_chance
        if self._a_start_is_at_work():
            return command
        if command.not_sent:  # that was no try: the command never reached the host
            yield self._limits.resend
            return self._send_start()
        if not is_due:
            return command
        since = f"{now - command.sent_at:.0f} s after start {self._tries}"
        self._events.warn(f"is not back {since}: {seen}; starting it again", code="start-repeated")
        self._tries += 1
        return self._send_start()

    def _may_have_one_more(self, command: Command) -> bool:
        """Tell whether the last start may have found the old process alive: then one more, and time
        to see what it does."""
        if self._is_extended or self._missing_since is None or self._was_gone_before(command):
            return False
        return not self._a_start_is_at_work()

    def _is_in_grace(self, seen: Evidence) -> bool:
        """Tell whether a new process serves, and only has to outlive a stop command that ended a
        moment ago."""
        if self._stop is None or self._stop.over_at is None or not is_back(seen, self._before):
            return False
        return self._clock.now() - self._stop.over_at <= self._limits.grace + self._limits.poll

    def _send_start(self) -> Command:
        if not self._unsent:  # else it is tried again and again: that was said
            self._events.say("starting it")
        now = self._clock.now()
        command = Command(self._host.start(max(self._deadline - now, self._limits.grace)), now)
        self._starts.append(command)
        self._missing_since, self._was_seen_alive = None, False
        return command

    def _hear(self, start: Command) -> None:
        """Take notice of what ended; of a stop early, because a process that was born after its end
        needs no grace."""
        self._hear_start(start)
        if self._stop is not None:
            self._hear_stop(self._stop)
            self._stop.is_over(self._clock.now())

    def _hear_start(self, command: Command) -> None:
        if not command.hear(self._clock.now()):
            return
        if not command.not_sent:
            self._unsent = ""
        if not command.trouble:
            return
        if command.result is not None:
            self._events.warn(f"the start command failed: {command.trouble}", code="start-failed")
        elif not command.not_sent:
            self._events.warn(
                f"the end of the start command was not seen: {command.trouble}; the broker may "
                "still come back",
                code="start-end-not-seen",
            )
        elif command.trouble != self._unsent:  # it is tried again and again: that is said once
            again = f"trying again every {self._limits.resend:g} s"
            text = f"the start command did not reach the host: {command.trouble}; {again}"
            self._events.warn(text, code="start-not-sent")
            self._unsent = command.trouble

    def _is_due_again(self, command: Command) -> bool:
        """Tell whether to start it again: never while a start is at work, and after longer and
        longer pauses.

        Sooner where the last start may have met the old process, or where a new one was seen to
        die.
        """
        if self._missing_since is None or command.ended_at is None:
            return False
        is_soon = command.trouble or self._was_seen_alive or not self._was_gone_before(command)
        first = (
            self._limits.again
            if is_soon
            else min(self._limits.again_unseen, self._limits.waiting / 4)
        )
        pause: float = min(first * 2 ** (self._tries - 1), self._limits.longest)
        now = self._clock.now()
        return now - command.ended_at >= pause and now - self._missing_since >= min(
            pause, self._limits.grace
        )

    def _was_gone_before(self, command: Command) -> bool:
        """Tell whether the old process was proven to be gone when a start was sent."""
        gone_at = self._observer.gone_at
        return gone_at is not None and gone_at <= command.sent_at

    def _given_up(self, seen: Evidence, command: Command) -> BrokerDown:
        self.is_down = is_down(seen)
        runs_s = self._clock.now() - command.sent_at if command.ended_at is None else None
        situation, stop_may_act = self._situation(seen), self._stop_may_act()
        text = words.did_not_come(situation, command, self._tries, runs_s, stop_may_act)
        return BrokerDown(text, code=words.code_of_down(situation, stop_may_act))

    def _welcome(self, seen: Evidence, command: Command) -> Jvm:
        if command.ended_at is None:
            self._events.warn(
                "is back, but the start command has not returned; not waiting for it",
                code="start-hangs",
            )
        assert seen.sample.jvm is not None
        self.is_from_others = born_before(seen.sample, self._starts[0].sent_at, UPTIME_TOLERANCE_S)
        return seen.sample.jvm

    # What may still act

    def _is_back(self, seen: Evidence) -> bool:
        """Tell whether a new process serves, which our own stop command can no longer take down."""
        return is_back(seen, self._before) and self._has_outlived_the_stop(seen)

    def _has_outlived_the_stop(self, seen: Evidence) -> bool:
        """Tell whether the stop command is over, and has not met the new process, or let it live.

        It has not met a process that was not there yet when it was over; one that was has to be
        there some time later.
        """
        if self._stop is None or self._stop_may_act() or self._stop.over_at is None:
            return False
        if self._was_away_after_the_stop:
            return True
        return seen.answers and seen.sample.asked_at - self._stop.over_at >= self._limits.grace

    def _stop_may_act(self) -> bool:
        return self._stop is not None and not self._stop.is_over(self._clock.now())

    def _lets_it_live(self, command: Command) -> bool:
        """Tell whether a start command can no longer take down what it started, as one does that
        gives up waiting.

        One that ended well does not. One that never ends, as where the broker runs in the
        foreground, is not waited for for ever.
        """
        if command.not_sent:
            return True
        now = self._clock.now()
        if not command.is_over(now) or command.over_at is None:
            return now - command.sent_at >= max(self._limits.start_gives_up, self._limits.waiting)
        return not command.trouble or now - command.over_at >= self._limits.grace

    def _a_start_is_at_work(self) -> bool:
        """Tell whether a start that was sent certainly still runs: no other is sent beside it."""
        now = self._clock.now()
        return any(one.is_over(now) is False for one in self._starts if not one.not_sent)

    def is_back_by_now(self) -> bool:
        """Look once whether a new process serves. Never raises."""
        try:
            return is_back(self._observer.look(), self._before)
        except Exception:  # whatever it was, it is not known
            return False

    # Looking, resting, telling

    def _look(self, spare_metrics: bool = False) -> Evidence:
        is_stop_over = self._stop is not None and self._stop.over_at is not None
        seen = self._observer.look(spare_metrics)
        if is_stop_over and is_gone(seen):
            self._was_away_after_the_stop = True
        # it is tried again and again: that is said once
        if self._observer.why_blind and not self._is_blind:
            text = f"its process cannot be looked for: {self._observer.why_blind}; trying again"
            self._events.warn(text, code="process-check-failed")
        self._is_blind = bool(self._observer.why_blind)
        return seen

    def _rest(self, seen: Evidence, command: Command) -> Work[None]:
        """Wait until the next look: one at the metrics costs the broker dear, one at the
        registration costs nothing."""
        until = self._clock.now() + self._limits.poll
        while (left := until - self._clock.now()) > 0 and not command.has_news:
            yield min(left, self._limits.registration_poll)
            registration = self._observer.registration()
            if registration.presence is Presence.UNKNOWN:
                yield max(until - self._clock.now(), 0.0)
            elif registration != seen.registry:
                return

    def _since_stop(self) -> float:
        return self._clock.now() - self._began

    def _situation(self, seen: Evidence) -> words.Situation:
        return words.Situation(self._broker, self._before, seen, self._since_stop())

    def _give_news(self, seen: Evidence, what: str) -> None:
        """Say now and then what is still waited for, and how long the broker has been in the state
        that it tells."""
        now = self._clock.now()
        lasted = self._state_ages.seconds([seen.state], now)[seen.state]
        if now - self._news_at < self._limits.news:
            return
        self._news_at = now
        state = f"; in this state for {lasted:.0f} s" if seen.state else ""
        self._events.say(f"still waiting {what}, {self._situation(seen).since}: {seen}{state}")
