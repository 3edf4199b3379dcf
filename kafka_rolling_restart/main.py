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
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from kafka_rolling_restart import arguments, config, plan, task
from kafka_rolling_restart.clock import SystemClock
from kafka_rolling_restart.errors import (
    Defect,
    ExitStatus,
    Interrupted,
    Refused,
    RollingRestartError,
    UsageError,
    ZooKeeperUnavailable,
)
from kafka_rolling_restart.health import Health, HealthRule
from kafka_rolling_restart.host import BrokerHost
from kafka_rolling_restart.outcome import Outcome, Standing, conclude
from kafka_rolling_restart.report import Report, Writer
from kafka_rolling_restart.roll import Roll, last_resort, look_at_end, restart_broker, wait
from kafka_rolling_restart.signals import Signals
from kafka_rolling_restart.watch import ClusterWatch

if TYPE_CHECKING:
    from kafka_rolling_restart.zookeeper import Lock, ZooKeeper


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
        ended_by = Defect(f"a defect of this program ended the run ({error!r}); {last_resort(roll)}")
    standing = look_at_end(roll, ended_by)
    outcome = conclude(ended_by, standing, lambda broker: roll.hosts[broker.id].start_line, roll.resume)
    _tell_outcome(roll, standing, outcome)
    return outcome.status


def _roll(roll: Roll, lock: "Lock") -> None:
    if not roll.plan:
        roll.report.say("no broker is left to restart")
    # 5. Each broker of the plan.
    for place, broker in enumerate(roll.plan, 1):
        wait(roll)
        restart_broker(roll, broker, f"{place}/{len(roll.plan)} {broker}", lock)
    # 6. The last wait.
    wait(roll)


def _tell_outcome(roll: Roll, standing: Standing, outcome: Outcome) -> None:
    resume = ""
    if outcome.status in (ExitStatus.BROKER_DOWN, ExitStatus.DEFECT) and standing.untouched:
        resume = roll.resume([broker.id for broker in standing.untouched])
    roll.report.outcome(standing, resume)
    if outcome.status == ExitStatus.DONE:
        roll.report.say(outcome.line)
    else:
        roll.report.error(outcome.line)


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


def _silence_libraries() -> None:
    if not sys.warnoptions:  # cron mails whatever is on stderr
        warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())
    for name in ("kazoo", "paramiko", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
