"""The runbook: restart every broker of a Kafka cluster, one at a time.

1. Parse the arguments; load the cluster's configuration; load the tasks.
2. Ask the registry for the brokers; make the plan; show it.
3. Preflight, all brokers in parallel; report all problems at once.
4. Ask for confirmation. Take the lock.
5. For each broker of the plan:
   1. wait until the cluster is healthy;
   2. run the pre-stop tasks;
   3. stop it, and wait until it is gone;
   4. run the post-stop tasks;
   5. start it, and wait until it is back;
   6. wait until the cluster is healthy, and run the post-start tasks.
6. Wait until the cluster is healthy once more. Report.
"""

import argparse
import os
from collections.abc import Sequence
from contextlib import closing
from functools import partial

from kafka_rolling_restart.cli import arguments, factory, questions
from kafka_rolling_restart.clock import SystemClock
from kafka_rolling_restart.errors import (
    ExitStatus,
    Interrupted,
    Refused,
    RegistryUnavailable,
    RollingRestartError,
    held_by,
)
from kafka_rolling_restart.model.ending import Outcome
from kafka_rolling_restart.output import logs, screen
from kafka_rolling_restart.output.report import PlainScreen, Report
from kafka_rolling_restart.output.writer import Writer
from kafka_rolling_restart.registry.base import RunLock
from kafka_rolling_restart.roll import plan
from kafka_rolling_restart.roll.ending import end_of
from kafka_rolling_restart.roll.preflight import check_once, preflight
from kafka_rolling_restart.roll.roll import (
    Roll,
    require_complete,
    restart_broker,
    run_post_start_tasks,
    wait,
    wait_after_tasks,
)
from kafka_rolling_restart.roll.watch import ClusterWatch
from kafka_rolling_restart.settings.paths import home_hint
from kafka_rolling_restart.signals import Signals
from kafka_rolling_restart.text import describe, sentence


def main(argv: Sequence[str], parsed: argparse.Namespace | None = None) -> int:
    """Run the command. Return its exit status (see `ExitStatus`; 128+n for signal n).

    ``parsed`` are the options of ``argv`` where they were parsed before.
    """
    options = parsed or arguments.parse(argv)
    writer = Writer(screen.choose(options.quiet, options.verbose), spare=PlainScreen())
    asks = factory.settings_of(options).needs_answer
    report = Report(writer, options.verbose, options.quiet, asks)
    signals = Signals(report.signal, SystemClock())
    logs.listen(report, options.verbose)
    outcome = _outcome(options, argv, report, signals)
    report.end(outcome)
    report.close()
    return outcome.status


def _outcome(
    options: argparse.Namespace, argv: Sequence[str], report: Report, signals: Signals
) -> Outcome:
    """Run the command, and say how it ended, whatever ends it."""
    try:
        try:
            signals.listen()
            signals.stop_within(report.handing_over)
            # 1. Anything wrong here: nothing is contacted.
            questions.require_somebody_to_ask(factory.settings_of(options))
            parts = factory.make(options, argv, os.environ, questions.asker(report), report)
            signals.listen_again()  # modules of tasks may have taken the signals for themselves
            return _run(parts, report, signals)
        finally:
            signals.deafen()
    except Interrupted as signal:
        return Outcome(signal.status, f"{signal}; no broker was touched", code=signal.code)
    except RollingRestartError as error:
        return Outcome(int(error.status), str(error), code=error.code)
    except RegistryUnavailable as error:
        return Outcome(
            ExitStatus.REFUSED,
            f"{sentence(str(error))} No broker was touched. {error.advice}",
            code=error.code,
        )
    except (
        BaseException
    ) as error:  # SystemExit and its like included: no task decides about our exit status
        report.traceback(error)
        line = (
            f"a defect of this program ended the run: {describe(error)}. Report the traceback; "
            "check that every broker runs"
        )
        return Outcome(ExitStatus.DEFECT, line, code="defect")


def _run(parts: factory.Parts, report: Report, signals: Signals) -> Outcome:
    settings, registry = parts.settings, parts.registry
    with closing(registry):
        # 2. The plan.
        registry.connect()
        roll = _plan(parts, report, signals)
        controller = registry.controller()
        _show_plan(parts, roll, controller)
        # 3. The preflight.
        recipients = parts.recipients(roll.brokers, roll.plan)
        questions.agree_on_passwords(settings, parts.cluster, recipients, report)
        hint, commands = home_hint(os.environ), parts.host_factory.commands_of
        preflight(roll, settings.started_before, controller, registry, hint, commands)
        if settings.dry_run:
            return check_once(roll, registry.lock_holder())
        # 4. The confirmation and the lock.
        if settings.needs_answer and (other := registry.lock_holder()):
            raise held_by(other)
        questions.confirm(settings, parts.cluster, roll.plan, roll.rule, report)
        with registry.lock(factory.holder()) as lock:
            return run_roll(roll, lock)


def run_roll(roll: Roll, lock: RunLock) -> Outcome:
    """Restart the brokers of the plan, and say at any end who was restarted and who was not."""
    return end_of(roll, partial(_restart_all, roll, lock))


def _restart_all(roll: Roll, lock: RunLock) -> None:
    if not roll.plan:
        roll.report.say("no broker is left to restart")
    roll.note(began=roll.clock.now())  # somebody may have thought for long before they answered
    wait(roll)
    # 5. Each broker of the plan.
    for broker in roll.plan:
        restart_broker(roll, broker, lock)
        wait(roll)
        run_post_start_tasks(roll, broker)
    # 6. The last wait is over, unless the last tasks may have changed something.
    wait_after_tasks(roll)
    require_complete(roll)


def _plan(parts: factory.Parts, report: Report, signals: Signals) -> Roll:
    """Ask who the brokers are, and choose those to restart."""
    settings, clock = parts.settings, SystemClock()
    brokers = parts.registry.brokers(settings.listener)
    if not brokers:
        raise Refused(parts.registry.why_nobody(), code="no-broker-registered")
    wanted = plan.of_roles(brokers, settings.roles)
    chosen = plan.choose(wanted, settings.skip, settings.broker_ids, brokers)
    chosen = plan.in_order(chosen, parts.registry.controller(), settings.controllers_first)
    plan.require_hosts(chosen)
    named = {one.id: one for one in brokers.values() if one.is_broker or one in chosen}
    plan.require_own_commands(named.values(), parts.host_factory.commands_of)
    sources = parts.metrics(brokers, clock)
    return Roll(
        brokers=brokers,
        plan=chosen,
        hosts=parts.host_factory.hosts(brokers, chosen),
        watch=ClusterWatch(
            brokers,
            parts.registry,
            sources,
            clock,
            parts.metrics_timeout,
            allow_cached=parts.allow_cached_metrics,
            read_many=parts.read_many(clock),
        ),
        tasks=parts.tasks,
        rule=parts.rule,
        clock=clock,
        report=report,
        signals=signals,
        resume=parts.resume,
    )


def _show_plan(parts: factory.Parts, roll: Roll, controller: int | None) -> None:
    settings = parts.settings
    lines, warnings = plan.describe(
        parts.cluster, parts.registry.where, settings.wanted_folder, roll.brokers, controller
    )
    has_controllers = any(not one.is_broker for one in roll.plan)
    of_controllers = parts.host_factory.controller_commands if has_controllers else None
    commands = plan.rules(
        roll.rule, (settings.stop_command, settings.start_command), of_controllers
    )
    for line in [*lines, *commands, *roll.tasks.sources]:
        roll.report.say(line)
    for warning in [*warnings, *parts.registry.notes()]:
        roll.report.warn(warning.text, code=warning.code)
    if note := parts.registry.lock_note():
        roll.report.say(f"NOTE: {note}", code="lock-open-to-all")
