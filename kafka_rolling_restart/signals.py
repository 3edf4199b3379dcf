"""SIGINT, SIGTERM and SIGHUP: obeyed at once, except while a broker is down by our hand."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from kafka_rolling_restart.errors import Interrupted

NEVER_STOPPED_BY = (signal.SIGTSTP, signal.SIGTTOU)  # Ctrl-Z, and writing to a terminal from the background
OBEYED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Turn a signal into `Interrupted`: now, or at the end of the critical section.

    ``announce`` is called with the signal's name when the first one is put off; it must be safe in a handler.
    """

    def __init__(self, announce: Callable[[str], None]) -> None:
        self._announce = announce
        self._critical = False
        self._raised = False
        self._pending: int | None = None

    def listen(self) -> None:
        """Install the handlers; a signal that was already ignored (nohup) stays ignored."""
        for number in OBEYED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.handle)

    def handle(self, number: int, _frame: FrameType | None = None) -> None:
        """Raise `Interrupted`; within the critical section only the second signal does."""
        if self._raised:
            return  # the run is ending already: its last words are not to be cut off
        if self._critical and self._pending is None:
            self._pending = number
            self._announce(signal.Signals(number).name)
            return
        self._raise(number)

    @contextmanager
    def put_off(self) -> Iterator[None]:
        """Hold back the first signal until the block has ended, then obey it."""
        self._critical = True
        stoppers = {number: signal.signal(number, signal.SIG_IGN) for number in NEVER_STOPPED_BY}
        try:
            yield
        except BaseException:
            self._raised = True  # what is on its way out is not to be replaced by a signal
            raise
        finally:
            self._critical = False
            for number, handler in stoppers.items():
                signal.signal(number, handler)
        self.obey()

    def obey(self) -> None:
        """Raise `Interrupted` for a signal that was put off."""
        if self._pending is not None:
            self._raise(self._pending)

    def deafen(self) -> None:
        """Let no further signal cut off what is said last."""
        self._raised = True

    def _raise(self, number: int) -> None:
        self._raised = True
        raise Interrupted(number, signal.Signals(number).name)
