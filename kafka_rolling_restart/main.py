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
   5. start it, and wait until it is back.
6. Wait until the cluster is healthy once more. Report.
"""

import argparse
import getpass
import logging
import os
import socket
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from kafka_rolling_restart import arguments, config, plan, task
from kafka_rolling_restart.clock import Clock, SystemClock
from kafka_rolling_restart.cluster import Broker, Jvm
from kafka_rolling_restart.errors import (
    Defect,
    ExitStatus,
    Interrupted,
    Refused,
    RollingRestartError,
    Stopped,
    UsageError,
    ZooKeeperUnavailable,
)
from kafka_rolling_restart.health import Health, HealthRule, NeverHealthy, Verdict, wait_until_healthy
from kafka_rolling_restart.host import BrokerHost
from kafka_rolling_restart.outcome import Outcome, Standing, conclude
from kafka_rolling_restart.report import Report, Writer
from kafka_rolling_restart.restart import Limits, Restart
from kafka_rolling_restart.signals import Signals
from kafka_rolling_restart.watch import ClusterWatch

if TYPE_CHECKING:
    from kafka_rolling_restart.zookeeper import Lock, ZooKeeper

LAST_LOOK_S = 10.0  # at what was restarted, before its state is told
LAST_LOOK_OF_INTERRUPTED_S = 1.0  # somebody who pressed Ctrl-C waits for it
MARGIN_S = (
    10.0  # the news of the cluster's health may be that much older than the check interval when a broker is stopped
)
LAST_RESORT_S = 15.0  # from one start to the next
LAST_RESORT_STARTS = 3


@dataclass
class Roll:
    """A run's plan and how far it has come. ``in_flight`` is the broker that is stopped by our hand, if any."""

    brokers: dict[int, Broker]
    plan: list[Broker]
    hosts: dict[int, BrokerHost]
    watch: ClusterWatch
    tasks: task.Tasks
    rule: HealthRule
    clock: Clock
    report: Report
    signals: Signals
    resume: Callable[[Sequence[int]], str] = lambda _ids: ""  # the command that goes on with these brokers
    jvms: dict[int, Jvm] = field(default_factory=dict)  # each broker's own, as we saw it first or started it
    done: list[Broker] = field(default_factory=list)
    skipped: list[Broker] = field(default_factory=list)
    in_flight: Broker | None = None
    healthy_at: float = float("-inf")  # when the last check that was healthy began

    @property
    def untouched(self) -> list[Broker]:
        """The brokers of the plan that have not been stopped, in their order."""
        return [broker for broker in self.plan if broker not in self._settled]

    @property
    def _settled(self) -> list[Broker | None]:
        return [*self.done, *self.skipped, self.in_flight]


def main(argv: Sequence[str]) -> int:
    """Run the command. Return its exit status (see `ExitStatus`; 128+n for signal n)."""
    options = arguments.parse(argv)
    report = Report(Writer(), options.verbose)
    signals = Signals(report.signal, SystemClock())
    _silence_libraries()
    try:
        signals.listen()
        return _run(options, argv, report, signals)
    except Interrupted as signal:
        signals.deafen()
        report.error(f"{signal}; no broker is down by our hand")
        return signal.status
    except RollingRestartError as error:
        report.error(str(error))
        return int(error.status)
    except ZooKeeperUnavailable as error:
        report.error(f"{error}. No broker was touched. Look whether it runs, and at `zookeeper` in the configuration")
        return ExitStatus.REFUSED
    finally:
        signals.deafen()
        report.close()


def _run(options: argparse.Namespace, argv: Sequence[str], report: Report, signals: Signals) -> int:
    now = datetime.now().astimezone()
    # 1. Anything wrong here: nothing is contacted.
    _require_somebody_to_ask(options)
    places = config.folders(options.discovery_base_path, os.environ)
    cluster = config.load(options.cluster_type, options.cluster_name, places)
    tasks = task.load(options.task, options.task_args)

    from kafka_rolling_restart.zookeeper import ZooKeeper  # from here on: --help does not wait for the libraries

    zookeeper = ZooKeeper(cluster.zookeeper)
    with closing(zookeeper):
        # 2. The plan.
        zookeeper.connect()
        roll = _make_roll(options, zookeeper, tasks, report, signals)
        roll.resume = partial(arguments.resume_line, argv, now)
        report.text(
            plan.describe(cluster, options.discovery_base_path, roll.brokers, zookeeper.controller(), roll.rule)
        )
        report.text([f"stop: {options.stop_command}   start: {options.start_command}"])
        # 3. The preflight.
        _preflight(roll, options.started_before)
        if options.dry_run:
            return _look_once(roll)
        # 4. The confirmation and the lock.
        _confirm(options, cluster, report)
        with zookeeper.lock(_holder()) as lock:
            return _roll_and_report(roll, lock)


def _roll_and_report(roll: Roll, lock: "Lock") -> int:
    """Restart the brokers of the plan, and say at any end who was restarted and who was not."""
    ended_by: RollingRestartError | Interrupted | None = None
    try:
        try:
            _roll(roll, lock)
        finally:
            roll.signals.deafen()  # from here on no signal replaces what ended the run
    except (RollingRestartError, Interrupted) as error:
        ended_by = error
    except Exception as error:
        roll.report.traceback(error)
        ended_by = Defect(f"a defect of this program ended the run ({error!r}); {_last_resort(roll)}")
    standing = _standing(roll, ended_by)
    outcome = conclude(ended_by, standing, lambda broker: roll.hosts[broker.id].start_line, roll.resume)
    _tell_outcome(roll, standing, outcome)
    return outcome.status


def _roll(roll: Roll, lock: "Lock") -> None:
    if not roll.plan:
        roll.report.say("no broker is left to restart")
    # 5. Each broker of the plan.
    for place, broker in enumerate(roll.plan, 1):
        _wait(roll)
        _restart(roll, broker, f"{place}/{len(roll.plan)} {broker}", lock)
    # 6. The last wait.
    _wait(roll)


def _standing(roll: Roll, ended_by: RollingRestartError | Interrupted | None) -> Standing:
    """Look once more at what we restarted, unless the last wait has just seen all of it to be healthy."""
    patience = LAST_LOOK_OF_INTERRUPTED_S if isinstance(ended_by, Interrupted) else LAST_LOOK_S
    gone, unseen = roll.watch.missing(roll.done, patience) if ended_by is not None else ([], [])
    return Standing(
        done=tuple(roll.done),
        skipped=tuple(roll.skipped),
        in_hand=roll.in_flight,
        untouched=tuple(roll.untouched),
        gone=tuple(gone),
        unseen=tuple(unseen),
    )


def _tell_outcome(roll: Roll, standing: Standing, outcome: Outcome) -> None:
    resume = ""
    if outcome.status in (ExitStatus.BROKER_DOWN, ExitStatus.DEFECT) and standing.untouched:
        resume = roll.resume([broker.id for broker in standing.untouched])
    roll.report.outcome(standing, resume)
    if outcome.status == ExitStatus.DONE:
        roll.report.say(outcome.line)
    else:
        roll.report.error(outcome.line)


def _last_resort(roll: Roll) -> str:
    """Start the broker in hand, if any, and say what is to be done: our defect is not to keep it down.

    The start is sent several times, because the first may find the old process still on its way out, and do nothing.
    """
    if roll.in_flight is None:
        return "no broker is down by our hand"
    host = roll.hosts[roll.in_flight.id]
    sent = [_send_blindly(host, roll.clock) for _ in range(LAST_RESORT_STARTS)]
    return (
        f"{roll.in_flight} may be DOWN; it was told to start {len(sent)} times ({sent[-1]}). "
        f"Look whether it runs; if not: {host.start_line}"
    )


def _send_blindly(host: BrokerHost, clock: Clock) -> str:
    try:
        command = host.start(LAST_RESORT_S)
        clock.sleep(LAST_RESORT_S)
        return str(command.result()) if command.ended else "the start command has not returned"
    except Exception as error:  # it is the last try, and its failure is told
        return str(error)


def _require_somebody_to_ask(options: argparse.Namespace) -> None:
    if not options.no_confirm and not options.dry_run and not (sys.stdin and sys.stdin.isatty()):
        raise UsageError("there is no terminal to ask for confirmation: give --no-confirm (cron), or run it at one")


def _make_roll(
    options: argparse.Namespace, zookeeper: "ZooKeeper", tasks: task.Tasks, report: Report, signals: Signals
) -> Roll:
    from kafka_rolling_restart.jmxproxy import JmxProxy
    from kafka_rolling_restart.ssh import SshConfig

    brokers = zookeeper.brokers()
    if not brokers:
        there = ", ".join(zookeeper.children("/")) or "nothing"
        raise Refused(
            f"no broker is registered in /brokers/ids at {zookeeper.hosts} (is the chroot right? there is: {there})"
        )
    plan.require_own_hosts(brokers)
    chosen = plan.choose(brokers, options.skip, options.broker_ids)
    clock, ssh = SystemClock(), SshConfig(os.environ)
    proxies = {
        one.id: JmxProxy(one.host, options.jmxproxy_port, options.jmxproxy_prefix, options.metrics_timeout, clock)
        for one in brokers.values()
    }
    return Roll(
        brokers=brokers,
        plan=chosen,
        hosts={
            one.id: BrokerHost(ssh.host(one.host), options.stop_command, options.start_command)
            for one in brokers.values()
        },
        watch=ClusterWatch(brokers, zookeeper, proxies, clock),
        tasks=tasks,
        rule=HealthRule(options.check_count, options.check_interval, options.unhealthy_time_limit),
        clock=clock,
        report=report,
        signals=signals,
    )


def _preflight(roll: Roll, age_s: float | None) -> None:
    """Look at every broker: metrics first, because they tell the process to look for on its host.

    ``age_s`` is --started-before: brokers whose JVM is younger are taken out of the plan.
    """
    readings = roll.watch.look_first()
    if age_s is not None:
        moment = roll.clock.now() - age_s
        roll.plan = [
            one for one in roll.plan if plan.started_before(moment, readings[one.id]) or not readings[one.id].jvm
        ]
    roll.report.text(plan.table(roll.brokers, roll.plan))
    problems, notes = plan.preflight(roll.brokers, roll.plan, roll.hosts, readings)
    for problem in problems:
        roll.report.error(problem)
    if problems:
        raise Refused(f"the preflight found {len(problems)} problem(s), see above; no broker was touched")
    roll.jvms = {broker_id: reading.jvm for broker_id, reading in readings.items() if reading.jvm}
    roll.report.text([*notes, "preflight: every host lets us in, both commands are allowed, all metrics answer"])


def _look_once(roll: Roll) -> int:
    """Make the one health check of a dry run."""
    verdict = roll.watch.check()
    if verdict.health is not Health.HEALTHY:
        raise Refused(f"dry run: the cluster is {verdict.health.value}: {verdict.why}. Nothing was touched")
    roll.report.say(
        f"dry run: the cluster is healthy, and {len(roll.plan)} brokers would be restarted; nothing was touched"
    )
    return ExitStatus.DONE


def _confirm(options: argparse.Namespace, cluster: config.ClusterConfig, report: Report) -> None:
    if options.no_confirm:
        return
    report.ask(f"Restart these brokers of {cluster.type}/{cluster.name}? [y/N]")
    try:
        answer = sys.stdin.readline()
    except (OSError, ValueError) as error:  # the terminal is gone, or what was typed is no text
        raise Refused(f"no answer could be read ({error}); no broker was touched") from error
    if answer.strip().lower() not in ("y", "yes"):
        raise Refused("not confirmed; no broker was touched")


def _holder() -> dict[str, object]:
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a uid without an entry in passwd
        user = str(os.getuid())
    return {"user": user, "host": socket.gethostname(), "pid": os.getpid(), "since": since}


def _wait(roll: Roll, rule: HealthRule | None = None) -> bool:
    """Wait until the cluster is healthy by the rule, by default that of the options. Return whether it always was."""
    rule = rule or roll.rule
    always = True

    def tell(verdict: Verdict, healthy: int) -> None:
        nonlocal always
        always = always and verdict.health is not Health.UNHEALTHY
        roll.signals.obey()
        roll.report.verdict(verdict, healthy, rule.count)

    roll.report.begin_wait(rule.count)
    try:
        roll.healthy_at = wait_until_healthy(roll.watch.check, rule, roll.clock, tell)
    except NeverHealthy as reasons:
        seen = f"the cluster was not healthy for {roll.rule.limit:g} s: {reasons}"
        if not roll.done:
            raise Refused(f"{seen}. No broker was touched; mend the cluster, then try again") from reasons
        raise Stopped(f"{seen}. Mend the cluster before you go on") from reasons
    return always


def _restart(roll: Roll, broker: Broker, label: str, lock: "Lock") -> None:
    """Restart one broker (steps 5.2 to 5.5 of the runbook)."""

    def tell(text: str) -> None:
        roll.report.say(f"{label}: {text}")

    _hold_lock(roll, lock, broker)
    if roll.tasks.pre_stop:
        _run_tasks(roll.tasks.pre_stop, broker, "was not stopped")
        roll.healthy_at = float("-inf")  # they may have taken long, or have changed something
    restart = Restart(
        broker,
        roll.hosts[broker.id],
        roll.watch.metrics[broker.id],
        roll.watch.registry,
        roll.clock,
        Limits(roll.rule.limit),
        tell,
    )
    with closing(roll.hosts[broker.id]):
        _lacks_news(roll, lock, broker)  # the tasks are over
        seen = restart.look_before()
        while _lacks_news(roll, lock, broker):
            seen = restart.look_before()
        if _was_restarted(roll, broker, seen):
            roll.jvms[broker.id] = seen
            roll.skipped.append(broker)
            tell("was restarted by somebody else since this run began: not repeated")
            return
        with roll.signals.put_off():
            _stop_and_start(roll, broker, restart, tell)


def _lacks_news(roll: Roll, lock: "Lock", broker: Broker) -> bool:
    """See that the lock is ours and the cluster was healthy just now: tasks, logins and pauses take their time.

    Return whether that had to be waited for, so that what was seen before is old.
    """
    retaken = _hold_lock(roll, lock, broker)
    if not retaken and roll.clock.now() - roll.healthy_at <= roll.rule.interval + MARGIN_S:
        return False
    if retaken or not _wait(roll, replace(roll.rule, count=1)):
        _wait(roll)
    return True


def _stop_and_start(roll: Roll, broker: Broker, restart: Restart, tell: Callable[[str], None]) -> None:
    """The critical section: nothing ends it with the broker left down while it can still be started."""
    began = roll.clock.now()
    roll.in_flight = broker
    try:
        trouble = restart.stop()
    except Stopped:
        roll.in_flight = None  # it was seen to run as before
        raise
    if restart.came_back and not roll.tasks.post_stop:
        trouble = ""  # it runs anew, and nothing was to be done in between
    # A task that is to run while the broker is stopped does not run where that was not seen.
    failure = "" if trouble or restart.came_back else _failure_of_post_stop(roll, broker, tell)
    jvm = restart.start()
    roll.jvms[broker.id] = jvm
    roll.watch.expect(broker, jvm)
    roll.done.append(broker)
    roll.in_flight = None
    tell(f"is back, {roll.clock.now() - began:.0f} s after it was told to stop")
    if trouble or failure:
        raise Stopped(f"{failure or trouble}. The broker is back; find out why before you go on")


def _was_restarted(roll: Roll, broker: Broker, seen: Jvm | None) -> bool:
    known = roll.jvms.get(broker.id)
    return known is not None and seen is not None and seen.start_ms != known.start_ms


def _require_as_they_were(roll: Roll, broker: Broker) -> None:
    """Check that nobody restarted brokers while our lock was lost: each runs in the JVM that we know."""
    readings = roll.watch.read_all()
    changed = [
        one
        for one in roll.brokers.values()
        if readings[one.id].jvm is None or _was_restarted(roll, one, readings[one.id].jvm)
    ]
    if changed:
        names = ", ".join(map(str, changed))
        raise Stopped(
            f"{broker} was not stopped: our lock was lost with the ZooKeeper session, and meanwhile {names} went or came "
            "anew. Find out who restarts brokers before you go on"
        )


def _hold_lock(roll: Roll, lock: "Lock", broker: Broker) -> bool:
    """See that the lock is ours; return whether it had been lost, and was taken again."""
    try:
        retaken = lock.hold()
        if retaken:
            _require_as_they_were(roll, broker)
        lock.show(broker)
        return retaken
    except ZooKeeperUnavailable as error:
        raise Stopped(f"{broker} was not stopped, because it is not certain that we hold the lock: {error}") from error


def _run_tasks(tasks: Sequence[Any], broker: Broker, consequence: str) -> None:
    for one in tasks:
        try:
            one.run(broker.host)
        except Interrupted:
            raise
        except BaseException as error:  # SystemExit and its like included: a task does not decide about our end
            raise Stopped(
                f"{broker} {consequence}: task {type(one).__name__} failed: {type(error).__name__}: {error}"
            ) from error


def _failure_of_post_stop(roll: Roll, broker: Broker, tell: Callable[[str], None]) -> str:
    """Run the post-stop tasks; a failure is kept for later, because the broker is down now."""
    try:
        _run_tasks(roll.tasks.post_stop, broker, "was started all the same")
    except Stopped as error:
        tell(f"{error}; starting it, then the roll ends")
        return str(error)
    return ""


def _silence_libraries() -> None:
    if not sys.warnoptions:  # cron mails whatever is on stderr
        warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())
    for name in ("kazoo", "paramiko", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
