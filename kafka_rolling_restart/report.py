"""What a person sees. Writing is never waited for: a stopped terminal or a full disk cannot hold up a restart."""

import os
import threading
import traceback
from collections.abc import Iterator, Sequence
from datetime import datetime
from queue import Empty, SimpleQueue

from kafka_rolling_restart.clock import Clock, SystemClock
from kafka_rolling_restart.cluster import Broker
from kafka_rolling_restart.health import Health, Verdict
from kafka_rolling_restart.outcome import Standing

STDOUT, STDERR = 1, 2
GOODBYE_S = 2.0
LAST_WORDS_S = 1.0
NEWS_S = 60.0  # from one line about a reason that lasts to the next


class Writer:
    """Write lines to file descriptors on a daemon thread, in order.

    Nothing is buffered in Python, so that nothing can fail at exit; `put` is safe within a signal handler.
    What cannot be written (closed pipe, lost terminal, full disk) is lost silently.
    """

    def __init__(self) -> None:
        self._lines: SimpleQueue[tuple[int, bytes] | threading.Event] = SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def put(self, descriptor: int, text: str) -> None:
        """Hand over text to be written."""
        self._lines.put((descriptor, text.encode("utf-8", "replace")))

    def drain(self, seconds: float = GOODBYE_S) -> bool:
        """Wait until all was written, but not longer than ``seconds``; return whether it was."""
        written = threading.Event()
        self._lines.put(written)
        return written.wait(seconds)

    def close(self) -> None:
        """Let everything be written. A stdout that is not read does not hold back what was to go to stderr."""
        if self.drain():
            return
        left = [item for item in _items(self._lines) if not isinstance(item, threading.Event)]
        last_words = Writer()
        for descriptor, data in left:
            if descriptor == STDERR:
                last_words.put(descriptor, data.decode("utf-8", "replace"))
        last_words.drain(LAST_WORDS_S)

    def _work(self) -> None:
        while True:
            item = self._lines.get()
            if isinstance(item, threading.Event):
                item.set()
            else:
                _write(*item)


def _items(queue: SimpleQueue[tuple[int, bytes] | threading.Event]) -> Iterator[tuple[int, bytes] | threading.Event]:
    while True:
        try:
            yield queue.get_nowait()
        except Empty:
            return


def _write(descriptor: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            threading.Event().wait(0.05)
        except OSError:
            return


class Report:
    """One line an event on stdout, with the time and the broker; what went wrong on stderr."""

    def __init__(self, writer: Writer, verbose: bool = False, clock: Clock | None = None) -> None:
        self._writer = writer
        self._verbose = verbose
        self._clock = clock or SystemClock()
        self._last_reasons: tuple[str, ...] = ()
        self._last_said = 0.0

    def say(self, text: str) -> None:
        """Say what happens, in one line on stdout."""
        self._writer.put(STDOUT, f"{_time()} {clean(text)}\n")

    def detail(self, text: str) -> None:
        """Say what only --verbose wants to hear."""
        if self._verbose:
            self.say(text)

    def error(self, text: str) -> None:
        """Say what went wrong, in one line on stderr; everything before it is written first."""
        self._writer.put(STDERR, f"kafka-rolling-restart: {clean(text)}\n")

    def traceback(self, error: BaseException) -> None:
        """Show where a defect happened, on stderr, with its control characters."""
        self._writer.put(STDERR, "".join(traceback.format_exception(error)))

    def text(self, lines: Sequence[str]) -> None:
        """Show lines without a time, such as the plan."""
        self._writer.put(STDOUT, "".join(f"{clean(line)}\n" for line in lines))

    def ask(self, question: str) -> None:
        """Show a question and leave the cursor behind it."""
        self._writer.put(STDOUT, f"{clean(question)} ")
        self._writer.drain()

    def close(self) -> None:
        """Let what was said be written."""
        self._writer.close()

    def signal(self, name: str) -> None:
        """Say that a signal was heard and is put off; safe within a signal handler."""
        self.say(f"{name} heard: it is obeyed once the broker in hand is back (a second one ends at once)")

    def begin_wait(self, count: int) -> None:
        """Forget the reasons of the last wait, so that each wait says its own."""
        self._last_reasons = ()
        self.say(f"waiting until the cluster is healthy in {count} check{'s' if count > 1 else ''}")

    def verdict(self, verdict: Verdict, healthy: int, count: int) -> None:
        """Say why the cluster is not healthy when that changes and now and then while it lasts, and that it is again."""
        keys = tuple(reason.key for reason in verdict.reasons)
        if verdict.health is Health.HEALTHY:
            if self._last_reasons:
                self.say("the cluster is healthy again")
            self.detail(f"healthy check {healthy}/{count}")
        elif keys != self._last_reasons or self._clock.now() - self._last_said >= NEWS_S:
            self.say(f"the cluster is {verdict.health.value}: {verdict.why}")
            self._last_said = self._clock.now()
        self._last_reasons = keys

    def outcome(self, standing: Standing, resume: str) -> None:
        """Say who was restarted, who was in hand, who is untouched, and, where the last line cannot, how to go on."""
        in_hand = [standing.in_hand] if standing.in_hand else []
        self.say(f"restarted: {_ids(standing.done)}; in flight: {_ids(in_hand)}; untouched: {_ids(standing.untouched)}")
        if resume:
            self.say(f"to go on with the rest once all brokers are up: {resume}")


def clean(text: str) -> str:
    """Return the text without control characters: hosts and metrics are not to write on our terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _ids(brokers: Sequence[Broker]) -> str:
    return ", ".join(f"broker {broker.id}" for broker in brokers) or "none"


def _time() -> str:
    return datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
