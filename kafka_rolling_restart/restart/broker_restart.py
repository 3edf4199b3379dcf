"""The critical section for one broker: what follows what.

What was seen is judged in `evidence`, what is said is made in `words`, and `observer` does the
looking. What a command says of itself is told to the person, and decides nothing.

`stop` and `start` are generators: they give how long (s) they rest, so that several brokers can be
in hand under one clock.
"""

from dataclasses import replace

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.errors import BrokerDown, Objection, Stopped, no_objection
from kafka_rolling_restart.hosts.base import Host
from kafka_rolling_restart.model.ages import ReasonAges
from kafka_rolling_restart.model.broker import Broker, Jvm
from kafka_rolling_restart.model.observation import Observation, Presence
from kafka_rolling_restart.restart import words
from kafka_rolling_restart.restart.command import Command
from kafka_rolling_restart.restart.evidence import (
    UPTIME_TOLERANCE_S,
    Before,
    Evidence,
    born_before,
    is_back,
    is_down,
    is_gone,
    is_missing,
    is_new,
    restarts_of,
    runs_as_before,
)
from kafka_rolling_restart.restart.limits import Limits
from kafka_rolling_restart.restart.observer import Observer
from kafka_rolling_restart.restart.sent import BrokerEvents, SentCommands
from kafka_rolling_restart.restart.together import Work


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
        self._observer = observer
        self._clock = clock
        self._limits = limits
        self._events = events
        self._state_ages = ReasonAges()
        self._before = Before(Observation(Presence.UNKNOWN), Jvm(0, 0))
        self._began = 0.0
        self._news_at = 0.0
        self._sent = SentCommands(broker, host, clock, limits, events)
        self._tries = 0  # starts that may have reached the host
        self._deadline = 0.0
        self._is_extended = False  # the deadline was put off once
        self._missing_since: float | None = None
        self._was_seen_alive = False  # a new process, since the last start
        self._is_blind = False  # its process could not be looked for the last time
        self._restarts_were_told = False  # those that systemd made by itself
        self.has_begun = False  # the stop command was sent, or may have been
        self.came_back: Jvm | None = None  # while we waited for it to go: somebody else started it
        self.is_down = False  # it was given up, and nothing of it was there
        self.is_from_others = False  # the JVM that is back was born before we told it to start

    @property
    def stop_was_sent(self) -> bool:
        """Tell whether the stop command was sent, or may have been, as far as is known by now."""
        return self._sent.stop is None or not self._sent.stop.not_sent

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
        command = self._sent.send_stop(objection)
        gone_since: float | None = None
        while True:
            self._sent.hear_stop()
            is_over = self._since_stop() >= self._limits.waiting
            seen = self._look(spare_metrics=command.ended_at is None and not is_over)
            if self._is_back(seen):
                return self._leave_to_others(seen)
            if not is_gone(seen):
                gone_since = None
            elif gone_since is None:
                gone_since = self._clock.now()
            if gone_since is not None and self._sent.allow_start(self._clock.now() - gone_since):
                self._events.say(f"is gone after {self._since_stop():.0f} s")
                self._tell_of_its_end(seen)
                return ""
            if is_over and runs_as_before(seen, self._before):
                raise self._no_effect(seen, command)
            if is_over and gone_since is None:
                trouble = f"was not proven to be gone {self._situation(seen).since}: {seen}"
                self._events.warn(f"{trouble}; starting it all the same", code="not-proven-gone")
                return f"{self._broker} {trouble}"
            self._give_news(seen, "until it is gone")
            yield from self._rest(seen, command)

    def _tell_of_its_end(self, seen: Evidence) -> None:
        if seen.killed_by:
            text = f"did not stop cleanly: {seen.killed_by}; it may have to recover its logs now"
            self._events.warn(text, code="killed-while-stopping")

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
        if self._may_be_stopping(seen):
            return BrokerDown(
                words.may_be_stopping(self._situation(seen), stop), code="stop-still-at-work"
            )
        return Stopped(words.still_runs(self._situation(seen), stop), code="stop-had-no-effect")

    def _may_be_stopping(self, seen: Evidence) -> bool:
        """Tell whether the broker may be in its graceful stop, in which it serves as before: only
        metrics tell that."""
        return not seen.sample.tells_process and self._since_stop() < self._limits.longest_stop

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
            self._sent.hear(command)
            seen = self._look()
            if not self._is_back(seen):
                command = yield from self._start_again_if_missing(seen, command)
            elif all(self._sent.lets_it_live(one) for one in self._sent.starts):
                return self._welcome(seen, command)
            self._give_news(seen, words.awaited(self._situation(seen), self._sent.stop_may_act()))
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
        if now >= self._deadline and not self._is_to_be_awaited(seen):
            if not self._may_have_one_more(command):
                raise self._given_up(seen, command)
            is_due, self._is_extended, self._deadline = True, True, now + self._limits.last_chance
        if self._sent.a_start_is_at_work():
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
        return not self._sent.a_start_is_at_work()

    def _is_to_be_awaited(self, seen: Evidence) -> bool:
        """Tell whether a new process serves, and only has to outlive a stop command that ended a
        moment ago."""
        return self._sent.stop_ended_just_now() and is_back(seen, self._before)

    def _send_start(self) -> Command:
        self._missing_since, self._was_seen_alive = None, False
        return self._sent.send_start(self._deadline)

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
        situation, stop_may_act = self._situation(seen), self._sent.stop_may_act()
        text = words.did_not_come(situation, command, self._tries, runs_s, stop_may_act)
        return BrokerDown(text, code=words.code_of_down(situation, stop_may_act))

    def _welcome(self, seen: Evidence, command: Command) -> Jvm:
        if command.ended_at is None:
            self._events.warn(
                "is back, but the start command has not returned; not waiting for it",
                code="start-hangs",
            )
        assert seen.sample.jvm is not None
        self.is_from_others = born_before(
            seen.sample, self._sent.starts[0].sent_at, UPTIME_TOLERANCE_S
        )
        return seen.sample.jvm

    # What may still act

    def _is_back(self, seen: Evidence) -> bool:
        """Tell whether a new process serves, which our own stop command can no longer take down."""
        return is_back(seen, self._before) and self._sent.has_outlived_the_stop(seen)

    def is_back_by_now(self) -> bool:
        """Look once whether a new process serves. Never raises."""
        try:
            return is_back(self._observer.look(), self._before)
        except Exception:  # whatever it was, it is not known
            return False

    # Looking, resting, telling

    def _look(self, spare_metrics: bool = False) -> Evidence:
        is_stop_over = self._sent.is_stop_over
        seen = self._observer.look(spare_metrics)
        if is_stop_over and is_gone(seen):
            self._sent.was_away_after_the_stop = True
        # it is tried again and again: that is said once
        if self._observer.why_blind and not self._is_blind:
            text = f"its process cannot be looked for: {self._observer.why_blind}; trying again"
            self._events.warn(text, code="process-check-failed")
        self._is_blind = bool(self._observer.why_blind)
        if seen.restarts and not self._restarts_were_told:
            text = f"ended by itself, and {restarts_of(seen)}. Check its log"
            self._events.warn(text, code="restarted-by-systemd")
            self._restarts_were_told = True
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
