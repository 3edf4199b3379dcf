"""SIGINT, SIGTERM, SIGHUP and SIGQUIT: obeyed at once, except while a broker is down by our
hand."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.errors import Interrupted

# Ctrl-Z, and reading from or writing to a terminal in the background: a task's child may cause them
# for all of us.
NEVER_STOPPED_BY = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
OBEYED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# A timer or a signal that a task left behind would end us by default, or raise where a broker is
# down.
LEFT_BEHIND = (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGUSR1, signal.SIGUSR2)
# a terminal that closes sends SIGHUP twice within ms (its shell, and the kernel): that is one
SAME_SIGNAL_S = 1.0


class Signals:
    """Turn a signal into `Interrupted`: now, or at the end of the critical section.

    ``announce`` is called with the signal's name when the first one is put off; it must be safe in
    a handler. A signal whose `Interrupted` was swallowed (a task's bare except) is obeyed at the
    next `obey`.
    """

    def __init__(self, announce: Callable[[str], None], clock: Clock) -> None:
        self._announce = announce
        self._clock = clock
        self._critical = False
        self._deaf = False
        self._pending: int | None = None
        self._first_at = 0.0
        self._obeyed: tuple[signal.Signals, ...] = ()
        self._ignored: tuple[signal.Signals, ...] = ()
        self.was_heard_at_the_end = False  # while nothing is cut off any more

    def listen(self) -> None:
        """Install the handlers; a signal that was already ignored (nohup) stays ignored."""
        self._ignored = tuple(
            number for number in OBEYED if signal.getsignal(number) is signal.SIG_IGN
        )
        self._obeyed = tuple(number for number in OBEYED if number not in self._ignored)
        self.listen_again()

    def listen_again(self) -> None:
        """Take the signals back from a task that may have put handlers of its own there, if they
        were ours."""
        for number in self._obeyed:
            signal.signal(number, self.handle)
        for number in self._ignored:
            signal.signal(number, signal.SIG_IGN)
        if self._critical:
            self._ignore(LEFT_BEHIND)

    def _ignore(self, numbers: Sequence[signal.Signals]) -> dict[signal.Signals, Any]:
        """Ignore these signals; return how they were handled before."""
        return {number: signal.signal(number, signal.SIG_IGN) for number in numbers}

    def handle(self, number: int, _frame: FrameType | None = None) -> None:
        """Raise `Interrupted`; within the critical section only the second signal does, and never a
        SIGHUP."""
        if self._deaf:
            self.was_heard_at_the_end = True
            return  # the run is ending already: its last words are not to be cut off
        is_first = self._pending is None
        if is_first:
            self._pending, self._first_at = number, self._clock.now()
        if not self._critical:
            self.obey()  # the first, where another came before it was heard
        elif is_first:
            self._announce(signal.Signals(number).name)
        elif number != signal.SIGHUP and self._clock.now() - self._first_at >= SAME_SIGNAL_S:
            self._raise(number)

    def stop_within(self, handing_over: Callable[[], AbstractContextManager[None]]) -> None:
        """Let Ctrl-Z stop the run only once the terminal is handed over, unless it is to be
        ignored."""
        if signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL:
            return

        def stop(number: int, _frame: FrameType | None) -> None:
            with handing_over():
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)  # returns when somebody lets us go on
                signal.signal(number, stop)

        signal.signal(signal.SIGTSTP, stop)

    @contextmanager
    def put_off(self) -> Iterator[None]:
        """Obey what came before; then hold back the first signal until the block has ended, and
        obey it."""
        self.listen_again()
        self.obey()
        self._critical = True
        before = self._ignore((*NEVER_STOPPED_BY, *LEFT_BEHIND))
        try:
            yield
        except BaseException:
            self._deaf = True  # what is on its way out is not to be replaced by a signal
            raise
        finally:
            self._critical = False
            for number, handler in before.items():
                signal.signal(number, handler)
        self.obey()

    def obey(self) -> None:
        """Raise `Interrupted` for a signal that was put off or swallowed."""
        if self._pending is not None and not self._deaf:
            self._raise(self._pending)

    def deafen(self) -> None:
        """Let no further signal cut off what is said last."""
        self._deaf = True

    def _raise(self, number: int) -> None:
        raise Interrupted(number, signal.Signals(number).name)
