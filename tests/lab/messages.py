"""Every situation in which the tool says something that is no part of a good roll, played on one lab, to be read by a person.

    python -m tests.lab.messages              all of them, about 20 minutes
    python -m tests.lab.messages preflight    those whose name contains a word
    python -m tests.lab.messages --list       their names

For each the exit status is printed, what went to stderr, and what of stdout is not said in a good roll too.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kazoo.client import KazooClient
from kazoo.security import make_acl

from .broker import ACTIVE_CONTROLLERS, OFFLINE_PARTITIONS, RUNNING, STATE, UNDER_REPLICATED
from .command import Finished, Running
from .daemon import LabError, wait_for
from .host import Host
from .lab import CLUSTER_TYPE, LOCK, Lab
from .ssh_files import make_key
from .zookeeper import CHROOT, PORT

STOP, START = "service kafka stop", "service kafka start"
QUICK = ("-t", "lab", "--no-confirm", "--check-interval", "0.5", "--check-count", "2", "--metrics-timeout", "3")
ONLY_1 = ("--broker-ids", "1")
MOMENT_TIMEOUT = 60.0  # s
END_TIMEOUT = 240.0  # s
NOT_AT_ONCE = 1.2  # s; a signal that follows within 1 s is taken for the same one
FIRST_WAIT = "waiting until the cluster is healthy"
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\S+ ")
USUAL = (  # what is said in a good roll too
    " INFO lab/main: cluster lab/main, configured in",
    " brokers are registered; the configuration expects ",
    ": commands: stop `",
    ": healthy in ",
    ": preflight: looking at ",
    ": preflight: every host lets us in",
    ": plan: ",
    "preflight: ok",
    ": restarting ",
    FIRST_WAIT,
    ": stopping it",
    ": the stop command ended after ",
    ": is gone after ",
    ": starting it\n",
    ": is back, ",
    ": restarted: down for ",
    ": report: ",
    "; stopped and not back: ",
)
TASKS = """
    import time
    from argparse import ArgumentParser
    from kafka_rolling_restart.task import PostStartTask, PostStopTask, PreStopTask

    class Before(PreStopTask):
        def parse_args(self, args):
            parser = ArgumentParser()
            parser.add_argument("--fail", default="")
            parser.add_argument("--slow", default="")
            parser.add_argument("--seconds", type=float, default=0.0)
            return parser.parse_args(args)

        def run(self, host):
            if self.args.slow == type(self).__name__:
                time.sleep(self.args.seconds)
            if self.args.fail == type(self).__name__:
                raise RuntimeError("no package kafka=3.9.1 in the repository")

    class While(PostStopTask):
        parse_args = Before.parse_args
        run = Before.run

    class After(PostStartTask):
        parse_args = Before.parse_args
        run = Before.run
"""


@dataclass
class Stage:
    """Where a situation is played: the lab, a folder for files of the run, and ZooKeeper without the chroot."""

    lab: Lab
    folder: Path
    root: KazooClient

    @property
    def one(self) -> Host:
        """The host of broker 1."""
        return self.lab.hosts[0]

    @property
    def yaml(self) -> Path:
        """The file that describes the cluster."""
        return self.lab.home / ".kafka_discovery" / f"{CLUSTER_TYPE}.yaml"

    def zookeeper(self, chroot: str) -> str:
        """Return the address of the lab's ZooKeeper with another chroot."""
        return f"{self.lab.ensemble[0].address}:{PORT}{chroot}"

    def override(self, metric: tuple[str, str], value: object, *, everywhere: bool = False) -> None:
        """Let broker 1's metrics, or everybody's, say something else."""
        for host in self.lab.hosts if everywhere else self.lab.hosts[:1]:
            host.jmxproxy.override = {metric: value}

    def register(self, chroot: str, registrations: dict[int, bytes]) -> None:
        """Make registrations under a chroot of their own."""
        self.root.ensure_path(f"{chroot}/brokers/ids")
        for broker_id, content in registrations.items():
            self.root.create(f"{chroot}/brokers/ids/{broker_id}", content)

    def take_lock_away(self) -> None:
        """Delete the lock of the run, as the end of its session does."""
        for name in self.lab.observer.client.get_children(LOCK):
            self.lab.observer.client.delete(f"{LOCK}/{name}")

    def take_lock_for_somebody(self) -> None:
        """Let somebody else hold the lock."""
        self.take_lock_away()
        holder = {"user": "alice", "host": "jump2", "pid": 4711, "since": "2026-11-24T03:00:00+00:00", "broker": 3}
        name = f"{LOCK}/0123456789abcdef__lock__0000000000"
        self.lab.observer.client.create(name, json.dumps(holder).encode(), ephemeral=False, makepath=True)

    def wait_for_call(self, call: str, host: Host | None = None) -> None:
        """Wait until a command is called on a host."""
        there = host or self.one
        wait_for(f"`{call}` is called", lambda: bool(there.called(call)), MOMENT_TIMEOUT)


Before = Callable[[Stage], object]
Meanwhile = Callable[[Stage, Running], object]
Arguments = Sequence[str] | Callable[[Stage], Sequence[str]]


@dataclass(frozen=True)
class Situation:
    """How the lab is made to misbehave, before and during a run, and the command line.

    ``answer`` is typed at a terminal; without it there is none.
    """

    name: str
    arguments: Arguments
    before: Before = field(default=lambda _stage: None)
    meanwhile: Meanwhile = field(default=lambda _stage, _run: None)
    answer: str | None = None

    def play(self, stage: Stage) -> Finished:
        """Run the tool in this situation."""
        self.before(stage)
        arguments = self.arguments(stage) if callable(self.arguments) else self.arguments
        run = stage.lab.launch(*arguments, cwd=stage.folder, terminal=self.answer is not None)
        if self.answer:
            run.wait_for(": restarting ", MOMENT_TIMEOUT)  # the question is behind it, in a line that has no end yet
            run.type(self.answer)
        self.meanwhile(stage, run)
        return run.finish(END_TIMEOUT)


def quick(*more: str) -> tuple[str, ...]:
    """Return a command line of a roll with short waits."""
    return (*QUICK, *more)


def limited(seconds: float, *more: str) -> tuple[str, ...]:
    """Return a command line of a roll with a small --unhealthy-time-limit."""
    return quick("--unhealthy-time-limit", f"{seconds:g}", *more)


def write(name: str, text: str) -> Before:
    """Write a file in the folder of the run."""
    return lambda stage: (stage.folder / name).write_text(textwrap.dedent(text))


def describe(text: str) -> Before:
    """Write another description of the cluster."""
    return lambda stage: stage.yaml.write_text(textwrap.dedent(text))


def service(**settings: object) -> Before:
    """Let the stand-ins on the host of broker 1 behave differently."""
    return lambda stage: _set(stage.one.service, settings)


def proxy(**settings: object) -> Before:
    """Let the JMXProxy of broker 1 behave differently."""
    return lambda stage: _set(stage.one.jmxproxy, settings)


def _set(target: object, settings: dict[str, object]) -> None:
    for name, value in settings.items():
        setattr(target, name, value)


def both(*steps: Before) -> Before:
    """Do one after the other."""
    return lambda stage: [step(stage) for step in steps]


def overridden(metric: tuple[str, str], value: object, *, everywhere: bool = False) -> Before:
    """Let metrics say something else."""
    return lambda stage: stage.override(metric, value, everywhere=everywhere)


def held_at(call: str, strike: Before, host: int = 1) -> tuple[Before, Meanwhile]:
    """Hold the run when it calls a command on a host, strike, and let it go on."""

    def hold(stage: Stage) -> None:
        stage.lab.hosts[host - 1].service.hold = call

    def go_on(stage: Stage, _run: Running) -> None:
        stage.wait_for_call(call, stage.lab.hosts[host - 1])
        strike(stage)
        stage.lab.hosts[host - 1].service.hold = None

    return hold, go_on


def once_said(text: str, strike: Callable[[Stage, Running], object]) -> Meanwhile:
    """Strike once the run has said something."""

    def wait_and_strike(stage: Stage, run: Running) -> None:
        run.wait_for(text, MOMENT_TIMEOUT)
        strike(stage, run)

    return wait_and_strike


def during_first_wait(strike: Before, mend: bool = False) -> tuple[Before, Meanwhile]:
    """Keep the first wait from ending, strike in it, and let broker 1's metrics be as they are again."""

    def strike_and_release(stage: Stage, run: Running) -> None:
        run.wait_for("1 under-replicated partition", MOMENT_TIMEOUT)
        strike(stage)
        if mend:
            stage.one.jmxproxy.override = {}

    return overridden(UNDER_REPLICATED, 1), strike_and_release


def between_brokers(strike: Before, release: bool = False) -> tuple[Before, Meanwhile]:
    """Keep the wait after broker 1 from ending, and strike in it."""

    def strike_there(stage: Stage, run: Running) -> None:
        stage.wait_for_call(START)
        stage.override(UNDER_REPLICATED, 1)
        run.wait_for("is back, ", MOMENT_TIMEOUT)
        strike(stage)
        if release:
            time.sleep(2)
            stage.one.jmxproxy.override = {}

    return lambda _stage: None, strike_there


def signals(*numbers: signal.Signals) -> Callable[[Stage, Running], object]:
    """Send signals, so far apart that each counts."""

    def send(_stage: Stage, run: Running) -> None:
        for number in numbers:
            run.send(number)
            time.sleep(NOT_AT_ONCE)

    return send


def stop_zookeeper(stage: Stage) -> None:
    """End ZooKeeper."""
    stage.lab.ensemble[0].stop()


def zookeeper_away(seconds: float) -> Before:
    """End ZooKeeper for a while."""

    def go_and_come(stage: Stage) -> None:
        stage.lab.ensemble[0].stop()
        time.sleep(seconds)
        stage.lab.ensemble[0].start()

    return go_and_come


def stop_proxies(stage: Stage) -> None:
    """End every JMXProxy."""
    for host in stage.lab.hosts:
        host.jmxproxy.stop()


def registration(host: str) -> bytes:
    """Make the content of a registration."""
    return json.dumps({"host": host, "port": 9092, "endpoints": [f"PLAINTEXT://{host}:9092"]}).encode()


def elsewhere(registrations: Callable[[Stage], dict[int, bytes]]) -> tuple[Before, Arguments]:
    """Register brokers under a chroot of their own, and run on that."""
    chroot = "/elsewhere"
    return (
        lambda stage: stage.register(chroot, registrations(stage)),
        lambda stage: ("--zookeeper", stage.zookeeper(chroot), *QUICK[2:]),
    )


def usage() -> Iterator[Situation]:
    """What is wrong with the command line, the configuration, the tasks and the report file."""
    wrong = {
        "no cluster": (),
        "two clusters": ("-t", "lab", "--zookeeper", "zk:2181"),
        "--zookeeper with a name": ("--zookeeper", "zk:2181", "-c", "main"),
        "--zookeeper that is none": ("--zookeeper", "zk one:2181", "--no-confirm"),
        "--zookeeper with port 99999": ("--zookeeper", "zk:99999", "--no-confirm"),
        "--quiet and --verbose": ("-t", "lab", "-q", "-v"),
        "--skip and --broker-ids": ("-t", "lab", "--skip", "1", "--broker-ids", "1"),
        "more --task-args than --task": ("-t", "lab", "--task-args", "x"),
        "interval -1": ("-t", "lab", "--check-interval", "-1"),
        "interval x": ("-t", "lab", "--check-interval", "x"),
        "interval too long": ("-t", "lab", "--check-interval", "1e9"),
        "count 0": ("-t", "lab", "--check-count", "0"),
        "limit 0": ("-t", "lab", "--unhealthy-time-limit", "0"),
        "port 70000": ("-t", "lab", "--jmxproxy-port", "70000"),
        "skip -1": ("-t", "lab", "--skip", "-1"),
        "ids twice": ("-t", "lab", "--broker-ids", "1,1"),
        "ids x": ("-t", "lab", "--broker-ids", "1,x"),
        "started before x": ("-t", "lab", "--started-before", "yesterday"),
        "started before without a zone": ("-t", "lab", "--started-before", "2026-11-24T03:00:00"),
        "unknown option": ("-t", "lab", "--force"),
        "no terminal": ("-t", "lab"),
        "a path as the type": quick("-t", "/etc/lab"),
        "a type that is not there": quick("-t", "prod"),
        "a cluster that is not there": quick("-c", "us-east"),
        "ids that are not registered": quick("--broker-ids", "7,8"),
        "one id that is not registered": quick("--broker-ids", "7"),
        "skip 4": quick("--skip", "4"),
        "task that is not there": quick("--task", "upgrade"),
        "report in no folder": quick("--report", "/no/such/folder/report.json"),
        "report that is a folder": quick("--report", "/tmp"),
    }
    for name, arguments in wrong.items():
        yield Situation(f"usage: {name}", arguments)
    yield from configurations()
    yield from task_modules()


def configurations() -> Iterator[Situation]:
    """Configuration files that are wrong."""
    files = {
        "not YAML": "clusters: [\n",
        "empty": "",
        "a list": "- a\n",
        "no clusters": "cluster: {}\n",
        "clusters a list": "clusters: []\nlocal_config: {cluster: main}\n",
        "no local_config": "clusters: {main: {}, other: {}}\n",
        "cluster empty": "clusters: {main: }\nlocal_config: {cluster: main}\n",
        "no zookeeper": "clusters: {main: {broker_list: []}}\nlocal_config: {cluster: main}\n",
        "zookeeper wrong": "clusters: {main: {zookeeper: 'zk:2181 /x', broker_list: []}}\nlocal_config: {cluster: main}\n",
        "no broker_list": "clusters: {main: {zookeeper: 'zk:2181'}}\nlocal_config: {cluster: main}\n",
    }
    for name, text in files.items():
        yield Situation(f"configuration: {name}", quick(), describe(text))
    yield Situation("configuration: not UTF-8", quick(), lambda stage: stage.yaml.write_bytes(b"\xff\xfe"))

    def as_folder(stage: Stage) -> None:
        stage.yaml.unlink()
        stage.yaml.mkdir()

    yield Situation("configuration: a folder", quick(), as_folder)
    jump = "Host *\n    ProxyJump bastion\n"
    yield Situation("ssh config: ProxyJump", quick(), lambda stage: stage.lab.ssh.config.write_text(jump))
    port = "Host *\n    Port ssh\n"
    yield Situation("ssh config: port", quick(), lambda stage: stage.lab.ssh.config.write_text(port))
    broken = "Host 'x\n"
    yield Situation("ssh config: broken", quick(), lambda stage: stage.lab.ssh.config.write_text(broken))
    there = quick("--discovery-base-path", "/tmp", "--dry-run")
    yield Situation("configuration: found elsewhere", there)


def task_modules() -> Iterator[Situation]:
    """Modules that hold no usable tasks."""
    modules = {
        "import fails": "import no_such_library\n",
        "raises at import": "1 / 0\n",
        "exits at import": "raise SystemExit('not today')\n",
        "no class": "x = 1\n",
        "no run()": ("from kafka_rolling_restart.task import PreStopTask\n\n\nclass Before(PreStopTask):\n    pass\n"),
    }
    for name, text in modules.items():
        yield Situation(f"task: {name}", quick("--task", "mine"), write("mine.py", text))
    words = quick("--task", "mine", "--task-args", "--force")
    yield Situation("task: wrong arguments", words, write("mine.py", TASKS))
    yield Situation("task: a quote", quick("--task", "mine", "--task-args", "'x"), write("mine.py", TASKS))


def zookeeper() -> Iterator[Situation]:
    """ZooKeeper does not answer, or holds what is of no use."""
    yield Situation("zookeeper: gone", quick(), stop_zookeeper)
    yield Situation("zookeeper: frozen", quick(), lambda stage: stage.lab.ensemble[0].freeze())
    yield Situation("zookeeper: no such host", ("--zookeeper", "zk.invalid:2181", *QUICK[2:]))
    yield Situation("zookeeper: wrong chroot", lambda stage: ("--zookeeper", stage.zookeeper("/kafka"), *QUICK[2:]))
    yield Situation("zookeeper: no such chroot", lambda stage: ("--zookeeper", stage.zookeeper("/kafk"), *QUICK[2:]))
    registrations: dict[str, Callable[[Stage], dict[int, bytes]]] = {
        "no host": lambda _stage: {4: b'{"host": null, "endpoints": []}'},
        "a host that is none": lambda _stage: {4: registration("-oProxyCommand=x")},
        "no JSON": lambda _stage: {4: b"\xff"},
        "two brokers on one host": lambda _stage: {1: registration("127.0.9.1"), 2: registration("127.0.9.1")},
    }
    for name, content in registrations.items():
        before, arguments = elsewhere(content)
        yield Situation(f"registration: {name}", arguments, before)
    before, arguments = elsewhere(lambda stage: {host.id: registration(host.address) for host in stage.lab.hosts})
    yield Situation("zookeeper: the lock may not be written", arguments, both(before, _forbid_lock))
    yield Situation("zookeeper: the brokers may not be read", arguments, both(before, _forbid_brokers))


def _forbid_lock(stage: Stage) -> None:
    stage.root.create("/elsewhere/kafka-rolling-restart", acl=[make_acl("world", "anyone", read=True)])


def _forbid_brokers(stage: Stage) -> None:
    stage.root.set_acls("/elsewhere/brokers/ids", [make_acl("auth", "", all=True)])


def preflight() -> Iterator[Situation]:
    """What the preflight sees."""
    yield Situation("preflight: SSH refused", quick(), lambda stage: stage.one.sshd.stop())
    yield Situation("preflight: SSH frozen", quick(), lambda stage: stage.one.sshd.freeze())
    yield Situation("preflight: unknown host key", quick(), lambda stage: stage.lab.ssh.forget(stage.one.address))
    yield Situation("preflight: another host key", quick(), _change_host_key)
    yield Situation("preflight: login refused", quick(), _refuse_login)
    yield Situation("preflight: known_hosts broken", quick(), lambda stage: _break_known_hosts(stage))
    for mode in ("password", "denied", "asks"):
        yield Situation(f"preflight: sudo {mode}", quick(), service(uid=1000, sudo=mode))
    missing = quick("--start-command", "systemctll start kafka")
    yield Situation("preflight: command missing, as root", missing)
    yield Situation("preflight: command missing, under sudo", missing, service(uid=1000))
    for status in (401, 403, 404, 500):
        yield Situation(f"preflight: metrics {status}", quick(), proxy(status=status))
    for garbage in ("html", "null", "string", "empty"):
        yield Situation(f"preflight: metrics {garbage}", quick(), proxy(garbage=garbage))
    yield Situation("preflight: metrics hang", quick(), proxy(hang=True))
    yield Situation("preflight: metrics reset", quick(), proxy(reset=True))
    yield Situation("preflight: no JMXProxy", quick(), lambda stage: stage.one.jmxproxy.stop())
    yield Situation("preflight: wrong prefix", quick("--jmxproxy-prefix", "jmxproxy/localhost:1/"))
    yield Situation("preflight: the broker is frozen", quick(), lambda stage: stage.one.freeze())
    keeps = proxy(refuse_emptying=True, cache_duration=300)
    yield Situation("preflight: cache may not be emptied", quick("--dry-run"), keeps)
    yield Situation("preflight: process hidden", quick("--dry-run"), service(ps_hidden=True))
    before, arguments = elsewhere(
        lambda stage: {
            1: registration(stage.one.address),
            2: registration(stage.one.address.replace("127.0.", "127.000.")),
        }
    )
    yield Situation("preflight: two brokers show one JVM", arguments, before)
    yield Situation("preflight: one broker more is expected", quick("--dry-run"), _expect_more)


def _change_host_key(stage: Stage) -> None:
    stage.lab.ssh.replace(stage.one.address, make_key(stage.folder / "other_key"))


def _refuse_login(stage: Stage) -> None:
    config = stage.lab.ssh.config
    config.write_text(config.read_text().replace("User ", "User nobody-of-this-name-"))


def _break_known_hosts(stage: Stage) -> None:
    stage.lab.ssh.known_hosts.write_text(f"[{stage.one.address}]:22022 ssh-ed25519 AAAA%%%\n")


def _expect_more(stage: Stage) -> None:
    stage.yaml.write_text(stage.yaml.read_text().replace("broker_list: [", 'broker_list: ["127.0.9.4:9092", '))


def asking() -> Iterator[Situation]:
    """The confirmation, the dry run, and the lock."""
    ask = tuple(word for word in quick() if word != "--no-confirm")
    yield Situation("ask: no", ask, answer="n\n")
    yield Situation("ask: SIGINT", ask, answer="", meanwhile=once_said(": restarting ", signals(signal.SIGINT)))
    yield Situation("dry run: not healthy", quick("--dry-run"), overridden(UNDER_REPLICATED, 6))
    yield Situation("dry run: healthy", quick("--dry-run"))
    yield Situation("nothing left", quick("--started-before", "1d"))
    holder = both(lambda stage: stage.lab.observer.client.ensure_path(LOCK), Stage.take_lock_for_somebody)
    yield Situation("lock: held", quick(), holder)
    yield Situation("lock: held by somebody unknown", quick(), both(holder, _forget_holder))
    yield Situation("report: of a run that goes on", quick("--report", "report.json", *ONLY_1), _start_another)


def _forget_holder(stage: Stage) -> None:
    client = stage.lab.observer.client
    client.set(f"{LOCK}/{client.get_children(LOCK)[0]}", b"?")


def _start_another(stage: Stage) -> None:
    other = stage.lab.launch(*quick("--check-interval", "60", "--report", "report.json"), cwd=stage.folder)
    other.wait_for(FIRST_WAIT, MOMENT_TIMEOUT)


def waiting() -> Iterator[Situation]:
    """The waits until the cluster is healthy."""
    metrics: dict[str, tuple[tuple[str, str], int, bool]] = {
        "under-replicated": (UNDER_REPLICATED, 6, False),
        "one under-replicated": (UNDER_REPLICATED, 1, False),
        "offline": (OFFLINE_PARTITIONS, 2, False),
        "one offline": (OFFLINE_PARTITIONS, 1, False),
        "recovering": (STATE, 2, False),
        "state 5": (STATE, 5, False),
        "no controller": (ACTIVE_CONTROLLERS, 0, True),
        "three controllers": (ACTIVE_CONTROLLERS, 1, True),
    }
    for name, (metric, value, everywhere) in metrics.items():
        yield Situation(f"wait: {name}", limited(3), overridden(metric, value, everywhere=everywhere))
    yield Situation("wait: under-replicated for long", limited(14), overridden(UNDER_REPLICATED, 6))
    yield Situation("wait: stale", limited(4), proxy(pretend_emptying=True))
    keeps = proxy(refuse_emptying=True, cache_duration=4)
    yield Situation("wait: no news", limited(20, "--broker-ids", "3"), keeps)
    strikes: dict[str, tuple[Before, bool]] = {
        "broker killed": (lambda stage: stage.lab.hosts[2].kill(), False),
        "broker frozen": (lambda stage: stage.lab.hosts[2].freeze(), False),
        "no JMXProxy": (lambda stage: stage.lab.hosts[2].jmxproxy.stop(), False),
        "metrics garbage": (lambda stage: _set(stage.lab.hosts[2].jmxproxy, {"garbage": "html"}), False),
        "ZooKeeper gone": (stop_zookeeper, False),
        "ZooKeeper away for 8 s": (zookeeper_away(8), True),
        "broker restarted by somebody": (lambda stage: stage.lab.hosts[2].restart(), False),
        "broker in plan restarted by somebody": (lambda stage: _restart_and_heal(stage), True),
    }
    for name, (strike, mend) in strikes.items():
        before, meanwhile = during_first_wait(strike, mend)
        limit = 40 if mend else 14
        yield Situation(f"wait: {name}", limited(limit, "--broker-ids", "1,2"), before, meanwhile)


def _restart_and_heal(stage: Stage) -> None:
    stage.lab.hosts[1].restart()
    wait_for("broker 2 serves", lambda: stage.lab.hosts[1].metric(STATE) == RUNNING, MOMENT_TIMEOUT)


def stopping() -> Iterator[Situation]:
    """The critical section until the broker is gone."""
    for mode, limit in (("fail", 30), ("nothing", 6), ("hang", 60), ("stuck", 6)):
        yield Situation(f"stop: {mode}", limited(limit, "--broker-ids", "1,2"), service(stop_mode=mode))
    strikes: dict[str, Before] = {
        "connection cut": lambda stage: stage.one.sshd.cut(),
        "SSH refused from then on": lambda stage: stage.one.sshd.stop(),
        "ZooKeeper gone": stop_zookeeper,
        "the broker is frozen": lambda stage: stage.one.freeze(),
        "somebody else restarts it": lambda stage: _restart_one(stage),
        "no JMXProxy": lambda stage: stage.one.jmxproxy.stop(),
    }
    for name, strike in strikes.items():
        before, meanwhile = held_at(STOP, strike)
        yield Situation(f"stop: {name}", limited(12, "--broker-ids", "1,2"), before, meanwhile)
    before, meanwhile = during_first_wait(lambda stage: stage.one.sshd.stop(), mend=True)
    yield Situation("stop: SSH refused before it", limited(20, "--broker-ids", "1,2"), before, meanwhile)
    before, meanwhile = during_first_wait(service(ps_hidden=True), mend=True)
    yield Situation("stop: process not found any more", limited(20, "--broker-ids", "1,2"), before, meanwhile)


def _restart_one(stage: Stage) -> None:
    stage.one.restart()
    wait_for("broker 1 serves", lambda: stage.one.metric(STATE) == RUNNING, MOMENT_TIMEOUT)
    stage.one.service.stop_mode = "nothing"


def starting() -> Iterator[Situation]:
    """The critical section until the broker is back."""
    for mode, limit in (("fail", 60), ("nothing", 120), ("hang", 60), ("stuck", 70), ("dies", 120)):
        yield Situation(f"start: {mode}", limited(limit, "--broker-ids", "1,2"), service(start_mode=mode))
    yield Situation("start: dies once", limited(120, *ONLY_1), service(start_mode=["dies", "normal"]))
    hidden = service(ps_hidden=True, start_mode="nothing")
    yield Situation("start: nothing, process hidden", limited(20, *ONLY_1), hidden)
    strikes: dict[str, Before] = {
        "SSH refused": lambda stage: stage.one.sshd.stop(),
        "ZooKeeper gone": stop_zookeeper,
        "connection cut": lambda stage: stage.one.sshd.cut(),
        "no JMXProxy": lambda stage: stage.one.jmxproxy.stop(),
    }
    for name, strike in strikes.items():
        before, meanwhile = held_at(START, strike)
        yield Situation(f"start: {name}", limited(12, "--broker-ids", "1,2"), before, meanwhile)
    before, meanwhile = held_at(STOP, lambda stage: _set(stage.one.service, {"start_mode": "nothing"}))
    before = both(before, service(stop_mode="early"))
    refused: Meanwhile = once_said("the stop command ended", lambda stage, _run: stage.one.sshd.stop())
    yield Situation(
        "start: SSH refused before it",
        limited(12, "--broker-ids", "1,2"),
        before,
        lambda stage, run: [meanwhile(stage, run), refused(stage, run)],
    )


def tasks() -> Iterator[Situation]:
    """Tasks that fail or take long."""
    for name in ("Before", "While", "After"):
        words = ("--task", "mine", "--task-args", f"--fail {name}")
        yield Situation(f"tasks: {name} fails", limited(30, *words), write("mine.py", TASKS))
    words = ("--task", "mine", "--task-args", "--slow While --seconds 64")
    yield Situation("tasks: post-stop takes 64 s", limited(30, *ONLY_1, *words), write("mine.py", TASKS))


def interrupted() -> Iterator[Situation]:
    """Signals."""
    slow = quick("--check-interval", "5")
    in_wait = once_said(FIRST_WAIT, signals(signal.SIGTERM))
    yield Situation("signal: in the first wait", slow, meanwhile=in_wait)
    stopped = once_said("1/3 broker 1", signals(signal.SIGTERM))
    yield Situation("signal: while a broker is down", quick(), meanwhile=stopped)
    stuck = service(start_mode="stuck")
    twice = once_said("starting it", signals(signal.SIGINT, signal.SIGINT))
    yield Situation("signal: two while a broker is down", quick(), stuck, twice)
    only = once_said("1/1 broker 1", signals(signal.SIGTERM))
    yield Situation("signal: while the last broker is down", quick(*ONLY_1), meanwhile=only)
    between = once_said("is back, ", signals(signal.SIGINT))
    yield Situation("signal: between two brokers", slow, meanwhile=between)


def ending() -> Iterator[Situation]:
    """What is seen between two brokers and at the end."""
    strikes: dict[str, Before] = {
        "another broker killed": lambda stage: stage.lab.hosts[2].kill(),
        "the restarted broker killed": lambda stage: stage.one.kill(),
        "ZooKeeper gone": stop_zookeeper,
        "ZooKeeper and all JMXProxies gone": both(stop_zookeeper, stop_proxies),
    }
    for name, strike in strikes.items():
        before, meanwhile = between_brokers(strike)
        yield Situation(f"between: {name}", limited(12, "--broker-ids", "1,2"), before, meanwhile)
    locks: dict[str, Before] = {
        "lost": Stage.take_lock_away,
        "taken by somebody": Stage.take_lock_for_somebody,
        "lost, and a broker was restarted": both(Stage.take_lock_away, lambda stage: _restart_and_heal(stage)),
    }
    for name, strike in locks.items():
        before, meanwhile = between_brokers(strike, release=True)
        yield Situation(f"lock: {name}", limited(60, "--broker-ids", "1,2"), before, meanwhile)
    before, meanwhile = during_first_wait(_remove_folder_of_report, mend=True)
    report = ("--report", "reports/report.json")
    yield Situation(
        "report: its folder is removed",
        limited(30, *ONLY_1, *report),
        both(before, lambda stage: (stage.folder / "reports").mkdir()),
        meanwhile,
    )
    yield Situation("quiet: stop does nothing", limited(6, "-q", *ONLY_1), service(stop_mode="nothing"))


def _remove_folder_of_report(stage: Stage) -> None:
    shutil.rmtree(stage.folder / "reports")


GROUPS = (usage, zookeeper, preflight, asking, waiting, stopping, starting, tasks, interrupted, ending)


def situations(words: Sequence[str]) -> list[Situation]:
    """List the situations whose name contains one of the words, all of them where there is none."""
    every = [situation for group in GROUPS for situation in group()]
    return [one for one in every if not words or any(word in one.name for word in words)]


def show(situation: Situation, finished: Finished) -> None:
    """Print what a run said."""
    print(f"\n=== {situation.name}: status {finished.status}, {finished.seconds:.0f} s")
    for mark, text in (("  out|", finished.stdout), ("  ERR|", finished.stderr)):
        for line in text.splitlines(keepends=True):
            if mark == "  ERR|" or not any(usual in line for usual in USUAL) or "NOTE" in line:
                print(mark, TIME.sub("", line.rstrip("\n")))
    sys.stdout.flush()


@contextmanager
def stage_of(lab: Lab) -> Iterator[Stage]:
    """Make the stage for one situation, on a lab that is as good as new."""
    lab.reset()
    root = KazooClient(hosts=f"{lab.ensemble[0].address}:{PORT}")
    root.start()
    root.add_auth("digest", "lab:lab")
    folder = Path(tempfile.mkdtemp(prefix="messages-"))
    try:
        yield Stage(lab, folder, root)
    finally:
        shutil.rmtree(lab.home / ".kafka_discovery")  # one of its files may have become a folder
        lab.mend()
        lab.observer.client.retry(lab.observer.client.exists, CHROOT)
        if root.retry(root.exists, "/elsewhere"):
            root.delete("/elsewhere", recursive=True)
        root.stop()
        root.close()
        shutil.rmtree(folder, ignore_errors=True)


def main(words: Sequence[str]) -> int:
    """Play the situations that are asked for."""
    chosen = situations([word for word in words if word != "--list"])
    if "--list" in words:
        print("\n".join(situation.name for situation in chosen))
        return 0
    with Lab(brokers=3) as lab:
        for situation in chosen:
            with stage_of(lab) as stage:
                try:
                    show(situation, situation.play(stage))
                except LabError as error:
                    print(f"\n=== {situation.name}: NOT PLAYED: {error}")
    print(f"\n{len(chosen)} situations")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
