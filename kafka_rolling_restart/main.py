"""The runbook: restart every broker of a Kafka cluster, one at a time.

1. Parse the arguments; load the cluster's configuration; load the tasks.
2. Read the brokers from ZooKeeper; make the plan; show it.
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
import getpass
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from kafka_rolling_restart import __version__, task
from kafka_rolling_restart.cli import arguments, recipients
from kafka_rolling_restart.cli import config_files as config
from kafka_rolling_restart.clock import SystemClock
from kafka_rolling_restart.errors import (
    Defect,
    ExitStatus,
    Interrupted,
    Refused,
    RollingRestartError,
    UsageError,
    ZooKeeperUnavailable,
    held_by,
)
from kafka_rolling_restart.hosts.host_factory import Reach, from_options
from kafka_rolling_restart.model.broker import counted
from kafka_rolling_restart.model.ending import FinalState, Outcome
from kafka_rolling_restart.model.progress import Step, duration
from kafka_rolling_restart.model.verdict import Health
from kafka_rolling_restart.output import logs, screen
from kafka_rolling_restart.output.report import PlainScreen, Report
from kafka_rolling_restart.output.report_file import ReportFile, Run
from kafka_rolling_restart.output.writer import Writer
from kafka_rolling_restart.roll import plan
from kafka_rolling_restart.roll.outcome import conclude
from kafka_rolling_restart.roll.roll import (
    Roll,
    last_resort,
    look_at_end,
    require_complete,
    restart_broker,
    run_post_start_tasks,
    wait,
    wait_after_tasks,
)
from kafka_rolling_restart.roll.watch import ClusterWatch
from kafka_rolling_restart.settings import access
from kafka_rolling_restart.settings.cluster import ClusterConfig
from kafka_rolling_restart.settings.paths import home
from kafka_rolling_restart.settings.rules import HealthRule
from kafka_rolling_restart.signals import Signals
from kafka_rolling_restart.text import describe

ZOOKEEPER_QUESTIONS = 3  # of one health check, each of which may take its whole timeout

if TYPE_CHECKING:
    from kafka_rolling_restart.registry.zookeeper import Lock, ZooKeeper


def main(argv: Sequence[str], parsed: argparse.Namespace | None = None) -> int:
    """Run the command. Return its exit status (see `ExitStatus`; 128+n for signal n).

    ``parsed`` are the options of ``argv`` where they were parsed before.
    """
    options = parsed or arguments.parse(argv)
    asks = not options.no_confirm and not options.dry_run
    writer = Writer(screen.choose(options.quiet, options.verbose), spare=PlainScreen())
    report = Report(writer, options.verbose, options.quiet, asks)
    signals = Signals(report.signal, SystemClock())
    logs.listen(report, options.verbose)
    outcome = _outcome(options, argv, report, signals)
    report.end(outcome)
    report.close()
    return outcome.status


def _outcome(options: argparse.Namespace, argv: Sequence[str], report: Report, signals: Signals) -> Outcome:
    try:
        try:
            signals.listen()
            signals.stop_within(report.handing_over)
            return _run(options, argv, report, signals)
        finally:
            signals.deafen()
    except Interrupted as signal:
        return Outcome(signal.status, f"{signal}; no broker was touched")
    except RollingRestartError as error:
        return Outcome(int(error.status), str(error))
    except ZooKeeperUnavailable as error:
        return Outcome(ExitStatus.REFUSED, f"{error}. No broker was touched. {error.advice}")
    except BaseException as error:  # SystemExit and its like included: no task decides about our exit status
        report.traceback(error)
        line = f"a defect of this program ended the run: {describe(error)}. Report the traceback; look whether every broker runs"
        return Outcome(ExitStatus.DEFECT, line)


def _run(options: argparse.Namespace, argv: Sequence[str], report: Report, signals: Signals) -> Outcome:
    clock, now = SystemClock(), datetime.now().astimezone()
    call = arguments.how_called(sys.argv[0], argv, _folder())  # now, because a task may go to another folder
    # 1. Anything wrong here: nothing is contacted.
    _require_somebody_to_ask(options)
    cluster = _cluster(options)
    report.about = cluster.label
    reach = from_options(options, os.environ, _asker(report), report.warn)
    metrics, ensemble = access.of_metrics(options, reach.secrets), access.of_zookeeper(options, reach.secrets)
    tasks = task.load(options.task, options.task_args)  # only now: they get an environment without our passwords
    signals.listen_again()
    if options.report is not None:
        report.file = _report_file(options, call, cluster, report, now, clock)

    from kafka_rolling_restart.registry.zookeeper import (
        ZooKeeper,
    )  # from here on: --help does not wait for the libraries

    zookeeper = ZooKeeper(cluster.zookeeper, access=ensemble)
    with closing(zookeeper):
        # 2. The plan.
        zookeeper.connect()
        roll = _make_roll(options, metrics, zookeeper, tasks, reach, report, signals)
        roll.resume = partial(arguments.resume_line, call, None if tasks.any else now)
        controller = zookeeper.controller()
        _show_plan(options, cluster, controller, roll)
        # 3. The preflight.
        if note := zookeeper.lock_note():
            report.say(f"NOTE: {note}")
        _agree_on_passwords(options, cluster, _recipients(metrics, reach, roll), report)
        _preflight(roll, options.started_before, controller, zookeeper.lock_problem())
        if options.dry_run:
            return _look_once(roll, zookeeper.lock_holder())
        # 4. The confirmation and the lock.
        _confirm(options, cluster, roll)
        with zookeeper.lock(_holder()) as lock:
            return _roll_and_report(roll, lock)


def _roll_and_report(roll: Roll, lock: "Lock") -> Outcome:
    """Restart the brokers of the plan, and say at any end who was restarted and who was not."""
    ended_by: RollingRestartError | Interrupted | None = None
    try:
        try:
            _roll(roll, lock)
        finally:
            roll.signals.deafen()  # from here on no signal replaces what ended the run
    except (RollingRestartError, Interrupted) as error:
        ended_by = error
    except BaseException as error:  # as above: whatever it is, a broker may be down
        roll.report.traceback(error)
        ended_by = Defect(f"a defect of this program ended the run: {describe(error)}; {last_resort(roll)}")
    final = look_at_end(roll, ended_by)
    outcome = conclude(ended_by, final, lambda broker: roll.hosts[broker.id].start_line, roll.resume)
    try:
        _summarize(roll, final, outcome)
    except Exception as error:  # a report that cannot be made does not change how the run ended
        roll.report.traceback(error)
    return outcome


def _roll(roll: Roll, lock: "Lock") -> None:
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


def _summarize(roll: Roll, final: FinalState, outcome: Outcome) -> None:
    resume = ""
    if outcome.status in (ExitStatus.BROKER_DOWN, ExitStatus.DEFECT) and _is_left(roll, final):
        resume = roll.resume([broker.id for broker in final.left])
    roll.enter(Step.ENDED)
    roll.report.summary(roll.progress, final, resume)


def _is_left(roll: Roll, final: FinalState) -> bool:
    """Tell whether more is left than a broker that only has to be started."""
    return bool(final.untouched) or (roll.tasks.any and bool(final.left))


def _cluster(options: argparse.Namespace) -> ClusterConfig:
    if options.zookeeper is not None:
        return config.of_zookeeper(options.zookeeper)
    places = config.folders(options.discovery_base_path, os.environ)
    return config.load(options.cluster_type, options.cluster_name, places)


def _report_file(
    options: argparse.Namespace,
    call: arguments.Call,
    cluster: ClusterConfig,
    report: Report,
    now: datetime,
    clock: SystemClock,
) -> ReportFile:
    file = ReportFile(
        options.report,
        Run(
            tool=__version__,
            command=["kafka-rolling-restart", *call.arguments],
            cluster=cluster.label,
            zookeeper=cluster.zookeeper,
            configuration=str(cluster.path) if cluster.path else None,
            holder=_holder(),
            began=now,
            now=clock.now(),
            start_command=options.start_command,
            resume=lambda began, ids: arguments.resume_line(call, None if options.task else began, ids),
        ),
        report.warn,
    )
    file.open()
    return file


def _show_plan(options: argparse.Namespace, cluster: ClusterConfig, controller: int | None, roll: Roll) -> None:
    lines, warnings = plan.describe(cluster, options.discovery_base_path, roll.brokers, controller)
    for line in [*lines, *plan.rules(roll.rule, options.stop_command, options.start_command), *roll.tasks.sources]:
        roll.report.say(line)
    for warning in warnings:
        roll.report.warn(warning)


def _require_somebody_to_ask(options: argparse.Namespace) -> None:
    if not options.no_confirm and not options.dry_run and not _is_at_terminal():
        raise UsageError(
            "there is no terminal at which to ask for confirmation: give --no-confirm (cron), or run this at a terminal"
        )


def _is_at_terminal() -> bool:
    return bool(sys.stdin and sys.stdin.isatty())


def _asker(report: Report) -> Callable[[str], str] | None:
    """Return what asks for a password at the terminal, None where there is none."""
    if not _is_at_terminal():
        return None

    def ask(prompt: str) -> str:
        report.settle()
        return getpass.getpass(prompt)

    return ask


def _make_roll(
    options: argparse.Namespace,
    metrics: access.MetricsAccess,
    zookeeper: "ZooKeeper",
    tasks: task.Tasks,
    reach: Reach,
    report: Report,
    signals: Signals,
) -> Roll:
    from kafka_rolling_restart.metrics.jmxproxy import JmxProxy

    brokers = zookeeper.brokers(options.listener)
    if not brokers:
        where = plan.wrong_chroot(zookeeper.hosts, zookeeper.chroots())
        raise Refused(f"no broker is registered in /brokers/ids at {zookeeper.hosts}. {where}")
    plan.require_own_hosts(brokers)
    chosen = plan.choose(brokers, options.skip, options.broker_ids)
    clock = SystemClock()
    proxies = {one.id: JmxProxy(one.host, metrics, clock) for one in brokers.values()}
    return Roll(
        brokers=brokers,
        plan=chosen,
        hosts=reach.hosts(brokers, chosen),
        watch=ClusterWatch(
            brokers, zookeeper, proxies, clock, options.metrics_timeout, allow_cached=options.allow_cached_metrics
        ),
        tasks=tasks,
        rule=HealthRule(
            options.check_count,
            options.check_interval,
            options.unhealthy_time_limit,
            longest_check=options.metrics_timeout + ZOOKEEPER_QUESTIONS * zookeeper.timeout,
        ),
        clock=clock,
        report=report,
        signals=signals,
    )


def _recipients(metrics: access.MetricsAccess, reach: Reach, roll: Roll) -> list[recipients.Recipient]:
    return recipients.recipients(metrics, reach.passwords, reach.options, roll.brokers, roll.plan)


def _agree_on_passwords(
    options: argparse.Namespace, cluster: ClusterConfig, found: list[recipients.Recipient], report: Report
) -> None:
    """Show which hosts get passwords, and ask, before any is sent: ZooKeeper names the hosts, and may name any.

    Raises `Refused` where the answer is no, or where nobody can be asked about a host that nobody vouches for.
    """
    vouched = recipients.Vouched(cluster.broker_list, options.allow_hosts)
    strangers = [one for one in found if not vouched.has(one)]
    is_allowed = all(map(vouched.allows, found))  # also where there are none
    if not is_allowed and not options.no_confirm and _is_at_terminal():
        if not _says_yes(report, recipients.question(found, strangers)):
            raise Refused("not confirmed; no password was sent, and no broker was touched")
        return
    for line in recipients.tell(found):
        report.say(line)
    if strangers:
        source = "there is no broker_list with --zookeeper"
        if cluster.path:
            source = f"broker_list in {cluster.path} does not"
        raise Refused(recipients.refusal(strangers, source))


def _preflight(roll: Roll, age_s: float | None, controller: int | None, lock_problem: str) -> None:
    """Look at every broker: metrics first, because they tell the process to look for on its host.

    ``age_s`` is --started-before: brokers whose JVM is younger are taken out of the plan. ``lock_problem`` is why the
    lock could not be taken later, if anything.
    """
    roll.report.step(plan.looking(len(roll.brokers), len(roll.plan)))
    readings = roll.watch.look_first()
    if age_s is not None:
        moment, before = roll.clock.now() - age_s, roll.plan
        roll.choose(
            [one for one in before if plan.started_before(moment, readings[one.id]) or not readings[one.id].jvm]
        )
        if left := plan.left_alone(before, roll.plan, roll.tasks.any):
            roll.report.say(left)

    def tell(looked: int) -> None:
        roll.report.step(f"preflight: {looked} of {len(roll.plan)} hosts looked at")

    findings = plan.preflight(roll.brokers, roll.plan, roll.hosts, readings, tell, allow_cached=roll.watch.allow_cached)
    roll.report.plan(plan.table(roll.brokers, roll.plan, controller, readings, findings))
    for problem, about in plan.problems(roll.brokers, findings):
        roll.report.error(problem, about)
    for note, about in plan.notes(roll.brokers, findings):
        roll.report.say(f"NOTE: {note}", about)
    if lock_problem:
        roll.report.error(lock_problem)
    count = sum(len(finding.problems) for finding in findings.values()) + bool(lock_problem)
    if count:
        raise Refused(
            f"the preflight found {counted(count, 'problem')}, see above{_home_hint()}; no broker was touched"
        )
    roll.jvms = {broker_id: reading.jvm for broker_id, reading in readings.items() if reading.jvm}
    roll.report.say(plan.good(len(roll.brokers), len(roll.plan)))


def _home_hint() -> str:
    """Say which ~ was meant where none was given: cron's daemons and `env -i` give none, and SSH's files are there."""
    return "" if os.environ.get("HOME") else f" (HOME is not set: ~/.ssh was that of {home(os.environ)})"


def _look_once(roll: Roll, lock_holder: str) -> Outcome:
    """Make the one health check of a dry run, and see that no other run goes on."""
    if lock_holder:
        raise held_by(lock_holder)
    verdict = roll.watch.check()
    if verdict.health is not Health.HEALTHY:
        raise Refused(f"dry run: {verdict.state}: {verdict.why}. Nothing was touched")
    what = f"{counted(len(roll.plan), 'broker')} would be restarted"
    if not roll.plan:
        what = "no broker would be restarted, so no host was checked"
    return Outcome(ExitStatus.DONE, f"dry run: the cluster is healthy, and {what}; nothing was touched")


def _confirm(options: argparse.Namespace, cluster: ClusterConfig, roll: Roll) -> None:
    least = duration(plan.least_s(roll.plan, roll.rule))
    count = counted(len(roll.plan), "broker")
    roll.report.say(f"restarting {count} takes at least {least} of health checks, plus the restarts")
    if options.no_confirm:
        return
    if not _says_yes(roll.report, f"Restart {count} of {cluster.label}, one at a time? [y/N]"):
        raise Refused("not confirmed; no broker was touched")
    roll.report.hush()


def _says_yes(report: Report, question: str) -> bool:
    """Ask at the terminal, and tell whether the answer is yes."""
    answer = ""
    try:
        report.ask(question)
        answer = sys.stdin.readline()
    except (OSError, ValueError) as error:  # the terminal is gone, or what was typed is no text
        raise Refused(f"no answer could be read ({describe(error)}); no broker was touched") from error
    finally:
        if not answer.endswith("\n"):  # Ctrl-C, Ctrl-D: what follows is not to stand behind the question
            report.end_line()
    return answer.strip().lower() in ("y", "yes")


def _folder() -> str:
    """Return the working directory, or nothing where it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _holder() -> dict[str, object]:
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a uid without an entry in passwd
        user = str(os.getuid())
    return {"user": user, "host": socket.gethostname(), "pid": os.getpid(), "since": since}
