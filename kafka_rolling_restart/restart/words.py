"""What is said of the broker in hand when its restart goes wrong: pure functions, from what was
seen to a sentence."""

from dataclasses import dataclass

from kafka_rolling_restart.model.broker import Broker, counted
from kafka_rolling_restart.restart.command import Command
from kafka_rolling_restart.restart.evidence import (
    Before,
    Evidence,
    is_down,
    is_new,
    is_new_member,
    is_running,
)


@dataclass(frozen=True)
class Situation:
    """The broker in hand, what was seen of it last, and what runs for it. Times are s since it was
    told to stop."""

    broker: Broker
    before: Before
    seen: Evidence
    since_stop: float

    @property
    def since(self) -> str:
        """How long ago it was told to stop, as it is said."""
        return f"{self.since_stop:.0f} s after it was told to stop"


def still_runs(now: Situation, stop: Command) -> str:
    """Say that a stop had no effect, of which it is certain that it has ended."""
    kind = now.broker.kind
    why = stop.trouble or f"the stop command ended with status 0, but the {kind} runs as before"
    return (
        f"{now.broker} still runs {now.since}, so it was not restarted: {why}. Check in its log "
        "whether it is shutting down, and run the stop command by hand. If it stops, start it "
        "again before you run the command below"
    )


def may_yet_go(now: Situation, stop: Command) -> str:
    """Say that a stop had no effect so far, and may still run."""
    why = stop.trouble or "the stop command has not returned"
    return (
        f"{now.broker} still runs {now.since}, so it was not restarted; but it may yet go DOWN: "
        f"{why}. Check on its host whether the stop command, or what it began, still runs. Once "
        f"that has ended, check whether the {now.broker.kind} runs; if it does not, "
        "run the command below"
    )


def may_be_stopping(now: Situation, stop: Command) -> str:
    """Say that a stop had no effect so far, and that nothing tells whether the broker is
    stopping."""
    why = stop.trouble or "the stop command ended with status 0"
    return (
        f"{now.broker} still runs {now.since}, so it was not restarted; but it may yet go DOWN: "
        f"{why}, and no metrics tell whether the broker is stopping, which may take 5 minutes. "
        "Check in its log whether it is shutting down. Once that has ended, check whether the "
        "broker runs; if it does not, run the command below"
    )


def awaited(now: Situation, stop_may_act: bool) -> str:
    """Say what is waited for while the broker is started."""
    serves = (
        is_new_member(now.seen, now.before)
        and is_new(now.seen.sample, now.before)
        and is_running(now.seen.sample)
    )
    if not serves:
        return "until it is back"
    if stop_may_act:
        return "until the stop command has ended, which may take the broker down again"
    return "until the start command has ended"


def did_not_come(
    now: Situation, start: Command, tries: int, start_runs_s: float | None, stop_may_act: bool
) -> str:
    """Say that the broker was given up. ``start_runs_s`` is for how long (s) the last start has
    been at work, if it is."""
    is_there = is_new(now.seen.sample, now.before)
    if is_there and is_running(now.seen.sample) and stop_may_act:
        return (
            f"{now.broker} is up again {now.since}, but the stop command may still run, and take "
            "it DOWN again. Check on the host what that command waits for. Once it has ended, "
            f"check whether the {now.broker.kind} runs; if not, run the command below"
        )
    last = _last_start(start, start_runs_s)
    if now.seen.gave_up:
        return (
            f"{now.broker} is DOWN {now.since}: it ended again and again, and systemd gave up and "
            f"may refuse to start it: {now.seen}. Check its log and its configuration. Then, on "
            "its host, run `systemctl reset-failed` for its unit as root, then the command below"
        )
    if is_crash_loop(now.seen):
        return (
            f"{now.broker} is not back {now.since}: it ends again and again: {now.seen}. Check "
            "its log and its configuration. Once they are fixed, systemd may start it by itself; "
            "if it does not, run the command below"
        )
    if is_there:
        return (
            f"{now.broker} is not back {now.since}, but its new JVM runs: {now.seen}. {last}"
            "Check its log: it may still come back. If its JVM has ended, run the command below"
        )
    state = "is DOWN" if is_down(now.seen) else "may be DOWN"
    sent = tries - 1 if start.not_sent else tries
    starts = (
        f" after {counted(sent, 'start')}" if sent else ", and no start command reached its host"
    )
    return (
        f"{now.broker} {state}{starts}, {now.since}: {now.seen}. "
        f"{last}{_before_a_start(now, start)} run the command below"
    )


def is_crash_loop(seen: Evidence) -> bool:
    """Tell whether systemd starts the broker again and again, and it does not serve."""
    return seen.restarts > 1 and not is_running(seen.sample)


def code_of_down(now: Situation, stop_may_act: bool) -> str:
    """Return the code of a broker that was given up."""
    if now.seen.gave_up:
        return "systemd-gave-up"
    if is_crash_loop(now.seen):
        return "crash-loop"
    if not is_new(now.seen.sample, now.before):
        return "broker-down"
    if is_running(now.seen.sample) and stop_may_act:
        return "stop-still-at-work"
    return "broker-still-starting"


def _last_start(start: Command, runs_s: float | None) -> str:
    """Say how the last start command ended, as a sentence with a space behind it."""
    if runs_s is not None:
        return f"The last start command has not returned for {runs_s:.0f} s. "
    if not start.trouble:
        return (
            "A start command that ends with status 0 proves nothing: --dry-run shows whether "
            "the broker is up. "
        )
    what = "The last try" if start.not_sent else "The last start"
    return f"{what}: {start.trouble.rstrip('.')}. "


def _before_a_start(now: Situation, start: Command) -> str:
    """Say what to do before the start command is typed."""
    if now.seen.process.is_present:
        pid = now.before.jvm.pid
        return (
            f"A start does nothing while pid {pid} is there: find out why it does not end; once "
            "it has,"
        )
    if now.seen.registry.is_present and now.seen.sample.source_is_down:
        source = now.seen.sample.source
        return (
            f"Without {source} its JVM is not seen: start {source} there and check the broker's "
            "log; if it does not run,"
        )
    if start.result is not None and start.trouble:
        return "Fix this, which may be --start-command itself, then"
    if start.not_sent:
        return "Fix SSH to that host, or go to its console, then"
    return "Check its log, then"
