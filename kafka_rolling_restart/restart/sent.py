"""The commands that were sent for one broker: what was heard of them, and which may still act."""

from typing import Protocol

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.errors import Objection, Stopped
from kafka_rolling_restart.hosts.base import Host
from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.restart.command import Command
from kafka_rolling_restart.restart.evidence import UPTIME_TOLERANCE_S, Evidence, born_before
from kafka_rolling_restart.restart.limits import Limits


class BrokerEvents(Protocol):
    """Hears what happens to the broker in hand, in words: what was to be expected, and what went
    wrong."""

    def say(self, text: str) -> None: ...

    def warn(self, text: str, *, code: str = "") -> None: ...


class SentCommands:
    """The stop and the starts of one broker. ``events`` hears how each of them ended."""

    def __init__(
        self, broker: Broker, host: Host, clock: Clock, limits: Limits, events: BrokerEvents
    ) -> None:
        self._broker = broker
        self._kind = broker.kind
        self._host = host
        self._clock = clock
        self._limits = limits
        self._events = events
        self.stop: Command | None = None
        self.starts: list[Command] = []
        # nothing of the broker was there when its stop command was over
        self.was_away_after_the_stop = False
        self._unsent = ""  # why a start command did not reach the host, as it was told last

    def send_stop(self, objection: Objection) -> Command:
        """Send the stop. ``objection`` is asked right before."""
        now = self._clock.now()
        self.stop = Command(self._host.stop(self._limits.waiting, objection), now, self._clock)
        return self.stop

    def send_start(self, deadline: float) -> Command:
        """Send a start. It is waited for until ``deadline`` (monotonic s), or for the grace."""
        if not self._unsent:  # else it is tried again and again: that was said
            self._events.say("starting it")
        now = self._clock.now()
        sent = self._host.start(max(deadline - now, self._limits.grace))
        command = Command(sent, now, self._clock)
        self.starts.append(command)
        return command

    # What was heard of them

    def hear_stop(self) -> None:
        """Tell how the stop command ended. Raises `Stopped` where it was never sent."""
        command = self.stop
        if command is None or not command.hear(self._clock.now()):
            return
        if command.not_sent:
            raise Stopped(
                f"{self._broker} was not stopped: {command.trouble}", code="stop-not-sent"
            )
        if command.result is None:
            self._events.warn(
                f"the end of the stop command was not seen: {command.trouble}; the {self._kind} "
                "may still stop",
                code="stop-end-not-seen",
            )
        elif command.trouble:
            text = f"the stop command failed: {command.trouble}; the {self._kind} may still stop"
            self._events.warn(text, code="stop-failed")
        else:
            self._events.say(
                f"the stop command ended after {command.result.seconds:.1f} s; waiting until the "
                f"{self._kind} is gone"
            )

    def hear(self, start: Command) -> None:
        """Take notice of what ended; of a stop early, because a process that was born after its end
        needs no grace."""
        self._hear_start(start)
        self.hear_stop()
        if self.stop is not None:
            self.stop.is_over(self._clock.now())

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
                f"the end of the start command was not seen: {command.trouble}; the {self._kind} "
                "may still come back",
                code="start-end-not-seen",
            )
        elif command.trouble != self._unsent:  # it is tried again and again: that is said once
            again = f"trying again every {self._limits.resend:g} s"
            text = f"the start command did not reach the host: {command.trouble}; {again}"
            self._events.warn(text, code="start-not-sent")
            self._unsent = command.trouble

    # What may still act

    def allow_start(self, gone_for: float) -> bool:
        """Tell whether a start may follow: a stop command that still runs might take the new
        process down too.

        One that does not end is not waited for for ever, but nothing is over before it has ended.
        """
        command = self.stop
        if command is None or command.is_over(self._clock.now()):
            return True
        if gone_for < self._limits.grace:
            return False
        if command.ended_at is None:
            self._events.warn(
                f"the stop command has not returned {gone_for:.0f} s after the {self._kind} was "
                f"gone; starting the {self._kind}, and waiting for the stop command meanwhile",
                code="stop-hangs",
            )
        return True

    @property
    def is_stop_over(self) -> bool:
        """Tell whether the stop command is known to run no longer, without asking its host."""
        return self.stop is not None and self.stop.over_at is not None

    def stop_ended_just_now(self) -> bool:
        """Tell whether the stop command was over so short a time ago that it may have met what runs
        by now."""
        if self.stop is None or self.stop.over_at is None:
            return False
        return self._clock.now() - self.stop.over_at <= self._limits.grace + self._limits.poll

    def has_outlived_the_stop(self, seen: Evidence) -> bool:
        """Tell whether the stop command is over, and has not met the new process, or let it live.

        It has not met a process that was born after it was over; one that was there has to be there
        some time later.
        """
        if self.stop is None or self.stop_may_act() or self.stop.over_at is None:
            return False
        was_there = born_before(seen.sample, self.stop.over_at, UPTIME_TOLERANCE_S)
        if self.was_away_after_the_stop and not was_there:
            return True
        return seen.answers and seen.sample.asked_at - self.stop.over_at >= self._limits.grace

    def stop_may_act(self) -> bool:
        """Tell whether the stop command may still stop what runs by now."""
        return self.stop is not None and not self.stop.is_over(self._clock.now())

    def lets_it_live(self, command: Command) -> bool:
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

    def a_start_is_at_work(self) -> bool:
        """Tell whether a start that was sent certainly still runs: no other is sent beside it."""
        now = self._clock.now()
        return any(one.is_over(now) is False for one in self.starts if not one.not_sent)
