"""A command that was sent to a host, and what has been heard of it so far."""

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.errors import SshError
from kafka_rolling_restart.hosts.base import HostCommand
from kafka_rolling_restart.model.broker import CommandResult
from kafka_rolling_restart.text import describe

# a connection may be dead without our knowing: then the host is asked all the same
ASK_AFTER_S = 60.0
ASK_EVERY_S = 10.0
ASK_AGAIN_S = 1.0  # once its end was not seen: one look asks several times, and a host may hang


class Command:
    """Follows one command. All times are monotonic s."""

    def __init__(self, sent: HostCommand, sent_at: float, clock: Clock) -> None:
        self._sent = sent
        self._clock = clock
        self.sent_at = sent_at
        self.ended_at: float | None = None  # when its end was heard, or when it was lost from sight
        self.over_at: float | None = None  # when it was known to run no longer
        self._asked_at = sent_at + ASK_AFTER_S - ASK_EVERY_S
        self._answer: bool | None = False  # the host's last one, other than that it is over
        self._answered_at = float("-inf")
        self.not_sent = False
        self.trouble = ""
        self.result: CommandResult | None = None

    @property
    def has_news(self) -> bool:
        """Tell whether it has ended, and nobody took notice yet."""
        return self.ended_at is None and self._sent.ended

    @property
    def end_was_not_seen(self) -> bool:
        """Tell whether it was sent, and its connection broke or its limit was over."""
        return self.ended_at is not None and self.result is None and not self.not_sent

    def hear(self, now: float) -> bool:
        """Take notice of its end; return whether it has ended since the last time."""
        if not self.has_news:
            return False
        self.ended_at = now
        try:
            self.result = self._sent.result()
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
        if self.ended_at is None and now - self._asked_at < ASK_EVERY_S:
            return False
        if now - self._answered_at < ASK_AGAIN_S:
            return self._answer  # it may have ended since: that is heard soon enough
        self._answer = self._ask_host(now)
        self._answered_at = self._clock.now()
        return self._answer

    def _ask_host(self, now: float) -> bool | None:
        self._asked_at = now
        try:
            runs = self._sent.still_runs()
        except Exception:  # a question that could not be asked is not answered
            return False if self.ended_at is None else None
        if runs:
            return False
        self.over_at = self._clock.now()  # not when it was asked: it may have run until the answer
        if self.ended_at is None:
            self.ended_at = self.over_at
            self.trouble = "its end was not seen: the connection is dead"
        return True
