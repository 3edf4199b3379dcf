"""The command line: its options, their units and defaults, and what of them is wrong before
anything is touched."""

import argparse
import math
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from kafka_rolling_restart import __version__
from kafka_rolling_restart.cli import config_files as config
from kafka_rolling_restart.cli.parser import Explain, Parser
from kafka_rolling_restart.cli.recipients import ALLOW_HOSTS
from kafka_rolling_restart.hosts.ssh.config import USER
from kafka_rolling_restart.model import broker as cluster
from kafka_rolling_restart.output.summarize import ranges
from kafka_rolling_restart.settings.access import DIGEST, HOST, SASL, SOURCES
from kafka_rolling_restart.settings.run import BROKERS, ROLES
from kafka_rolling_restart.text import masked

SKIP = "--skip"
BROKER_IDS = "--broker-ids"
STARTED_BEFORE = "--started-before"
PATTERN = re.compile(r"[A-Za-z0-9_:*?\[][A-Za-z0-9._:%*?-]*\]?")
DRY_RUN = "--dry-run"
TASK = "--task"
MAX_PORT = 65535
LONG_OPTION = re.compile(r"--[a-z-]+")
DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])\Z")
MAX_S = 1_000_000
MAX_IDS = 100_000
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}

DESCRIPTION = """\
Restart the brokers of a Kafka cluster (KRaft or ZooKeeper) one at a time, over
SSH, and continue with the next broker only while the cluster is healthy: every
node that was a member at the start is a member and serves, and no partition is
under-replicated or offline. KRaft: the quorum has a leader, and every node is
caught up with it. With metrics: they are fresh, and with ZooKeeper they show
one active controller. A stop is done when the old process is proven gone, a
start when a new process serves in its place. Nothing changes until every broker
is checked, every SSH login works, both commands are allowed, and you have
confirmed.
"""
EPILOG = """\
what is done with each broker:
  1. wait until the cluster is healthy
  2. run the pre-stop tasks
  3. stop it, and wait until it is gone: its host shows that the old process has
     ended, the cluster does not list the broker as a member, and nothing new
     answers in its place. If the host cannot show the process (a container),
     the cluster must not list the broker, and its metrics must say that no JVM
     is there; so a container needs --metrics jmxproxy
  4. run the post-stop tasks
  5. start it, again if need be, and wait until it is a member again, a new
     process runs and serves, and the stop command has ended
  6. wait until the cluster is healthy, and run the post-start tasks
  A controller of KRaft is stopped only while the other controllers that are
  caught up are a majority. The leader of the quorum is the last controller.

signals:
  SIGINT (Ctrl-C), SIGTERM, SIGHUP and SIGQUIT end the run at once, but not
  while a broker is stopped by this run: then the first is obeyed once it is
  back. A second one (1 s later or more, and not SIGHUP) ends at once with
  status 5, and names the broker and what starts it.

exit statuses:
  0      all of the plan was restarted and the cluster is healthy
  1      a defect of this program; the end names the broker that was stopped,
         if any
  2      wrong usage or configuration; no broker was touched
  3      refused: the preflight, the first wait or you said no; no broker was
         touched
  4      stopped part-way; every broker that it stopped is back
  5      stopped part-way and a broker may be down: a person is needed now, and
         the last lines are the commands that start it
  6      another run holds the lock, or writes the same --report file; no broker
         was touched
  128+n  ended by signal n; every broker that it stopped is back

files:
  TYPE.yaml      has the clusters of a type: broker_list, zookeeper (without it,
                 it is a KRaft cluster), and command_config if need be. Looked
                 up in --discovery-base-path, $KAFKA_DISCOVERY_DIR,
                 ~/.kafka_discovery and /etc/kafka_discovery
  --command-config FILE, or command_config in TYPE.yaml
                 TLS and login for the brokers, as for Kafka's own tools:
                 security.protocol, sasl.mechanism (PLAIN, SCRAM-SHA-256 or
                 SCRAM-SHA-512), sasl.jaas.config, and ssl.* with PEM files
  ~/.ssh/config  how hosts are reached (also /etc/ssh/ssh_config): hops, keys,
                 known hosts and more; see docs/ssh.rst in the source

environment:
  KAFKA_DISCOVERY_DIR  see files
  HOME, USER           for ~/.ssh and for the login
  SSH_AUTH_SOCK        the ssh-agent
  SHELL                runs a ProxyCommand, as in ssh
  KAFKA_ROLLING_RESTART_SSH_PASSWORD, KAFKA_ROLLING_RESTART_SUDO_PASSWORD,
  KAFKA_ROLLING_RESTART_KEY_PASSPHRASE
                       secrets, never an argument; no task inherits them
  PYTHONPATH           where --task modules are found, beside the current folder
  NO_COLOR, TERM=dumb  no colours; no live view
  KAFKA_ROLLING_RESTART_JMXPROXY_PASSWORD, _JMX_PASSWORD, _ZOOKEEPER_PASSWORD
                       the passwords of --jmxproxy-user, --jmx-user and
                       --zookeeper-user; asked for where they are not set

  Before a password is sent to a host of a broker, the hosts are shown and you
  are asked. Where nobody can be asked, hosts that neither broker_list nor
  --bootstrap-server names need --allow-hosts.

messages:
  Every warning, problem and ending has a code in brackets at the end of its
  line; --explain CODE says what it means and what to do. After an ending, the
  command to run next stands alone on the last line.

examples:
  kafka-rolling-restart --bootstrap-server kafka1:9092,kafka2:9092 --dry-run
      show the plan for that KRaft cluster, and check every broker and host;
      restart nothing; add --command-config FILE for TLS or a login

  kafka-rolling-restart --bootstrap-server kafka1:9092 --roles all
      show the plan, ask, and restart the dedicated controllers, then the
      brokers

  kafka-rolling-restart --zookeeper zk1:2181,zk2:2181/kafka
      the brokers of a cluster on ZooKeeper

  /usr/local/bin/kafka-rolling-restart -t main --no-confirm --quiet
      from cron, which needs the full path: say nothing unless something is
      wrong; add --report ~/roll.json to keep the state of the run as JSON

  kafka-rolling-restart -t main --skip 2 --task upgrade --task-args "--to 3.9.1"
      leave out the first two brokers, and run the tasks in upgrade.py for each
      of the others
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; argparse ends the program with status 2 where it is wrong."""
    parser = make_parser()
    if "_ARGCOMPLETE" in os.environ:
        _complete(parser)
    try:
        options = parser.parse_args(argv)
    except OSError as error:  # nobody reads what --help prints, or the disk is full
        raise SystemExit(1) from error
    if len(options.task_args) > len(options.task):
        parser.error(
            f"{len(options.task_args)} --task-args for {len(options.task)} --task: each belongs "
            "to the --task in the same place, so there must not be more of them"
        )
    if options.skip and options.broker_ids:
        parser.error(f"{SKIP} and {BROKER_IDS} both choose brokers: give one of them")
    for problem in [*_cluster_problems(options), *_access_problems(options)]:
        parser.error(problem)
    if options.quiet and options.verbose:
        parser.error("--quiet and --verbose contradict each other: give one of them")
    return options


def _cluster_problems(options: argparse.Namespace) -> Iterator[str]:
    """Tell what of the options that name the cluster does not go together."""
    named = {
        "--cluster-type": options.cluster_type,
        "--bootstrap-server": options.bootstrap_server,
        "--zookeeper": options.zookeeper,
    }
    given = [option for option, value in named.items() if value is not None]
    if len(given) > 1:
        yield f"{' and '.join(given)} each name a cluster: give one of them"
    if not given:
        yield (
            "name the cluster: --cluster-type TYPE (and --cluster-name NAME), --bootstrap-server "
            "HOST:PORT, or --zookeeper HOSTS/CHROOT"
        )
    is_in_files = bool(options.cluster_name or options.discovery_base_path)
    if given and options.cluster_type is None and is_in_files:
        yield (
            f"with {given[0]} no configuration is read: leave out --cluster-name and "
            "--discovery-base-path"
        )
    if options.bootstrap_server is not None and options.listener is not None:
        yield (
            "--listener is for ZooKeeper. With --bootstrap-server, give the address of the "
            "listener that you mean"
        )


def _access_problems(options: argparse.Namespace) -> Iterator[str]:
    """Tell what of the options about TLS and logins does not go together."""
    files = {
        f"--jmxproxy-{name}": getattr(options, f"jmxproxy_{name}") for name in ("ca", "cert", "key")
    }
    for option, value in files.items():
        if value is not None and options.jmxproxy_scheme != "https":
            yield f"{option} is for https: give --jmxproxy-scheme https, too"
    for option, key, cert in (
        ("--jmxproxy", options.jmxproxy_key, options.jmxproxy_cert),
        ("--zookeeper", options.zookeeper_key, options.zookeeper_cert),
    ):
        if key is not None and cert is None:
            yield f"{option}-key belongs to a certificate: give {option}-cert, too"
    if options.jmxproxy_host is not None and HOST not in options.jmxproxy_prefix:
        yield (
            f"--jmxproxy-host serves many brokers: put {HOST} into --jmxproxy-prefix, such as "
            f"jmxproxy/{HOST}:9999"
        )
    if options.zookeeper_auth is not None and options.zookeeper_user is None:
        yield "--zookeeper-auth is for a login: give --zookeeper-user, too"


def names_jmxproxy(options: argparse.Namespace) -> bool:
    """Tell whether an option of JMXProxy was set to something else than its default."""
    usual = make_parser()
    names = [name for name in vars(options) if name.startswith(("jmxproxy_", "jmx_"))]
    return any(getattr(options, name) != usual.get_default(name) for name in names)


def _complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that completes a command line, if the extra ``completion`` is installed; does
    not return then."""
    try:
        import argcomplete
    except ImportError:
        return
    argcomplete.autocomplete(parser)


def _known_types(parsed_args: argparse.Namespace, **_others: object) -> list[str]:
    places = config.folders(parsed_args.discovery_base_path, os.environ)
    return config.known_types(places)


def _known_names(parsed_args: argparse.Namespace, **_others: object) -> list[str]:
    places = config.folders(parsed_args.discovery_base_path, os.environ)
    return config.known_names(parsed_args.cluster_type or "", places)


@dataclass(frozen=True)
class Call:
    """How this run was called, so that it can be called again. ``folder`` is the working directory,
    empty if unknown."""

    program: tuple[str, ...]
    arguments: tuple[str, ...]
    folder: str

    @property
    def needs_folder(self) -> bool:
        """Tell whether the working directory matters: the modules of tasks, and a checkout's own,
        are looked up there."""
        if any(word.partition("=")[0] == TASK for word in self.arguments):
            return True
        return len(self.program) > 1 and Path(__file__).parents[2] == Path(self.folder)


def how_called(program: str, arguments: Sequence[str], folder: str) -> Call:
    """Return how this run was called. ``program`` is ``sys.argv[0]``: a script, or what ``python
    -m`` makes of a module."""
    path = Path(folder, program)
    if path.name == "__main__.py":
        return Call((sys.executable, "-m", __package__.partition(".")[0]), tuple(arguments), folder)
    if not path.is_file():  # whatever that is, it was found by its name
        return Call((program,), tuple(arguments), folder)
    return Call((os.path.abspath(path),), tuple(arguments), folder)


def resume_line(call: Call, began: datetime | None, ids: Sequence[int]) -> str:
    """Return the command that restarts these brokers, unless their JVM started after ``began``
    after all.

    ``began`` is None where tasks are to be run for all of them, whoever restarted them meanwhile.
    """
    words = iter(call.arguments)
    kept = [word for word in words if word != DRY_RUN and not _is_choice(word, words)]
    chosen = [BROKER_IDS, ",".join(ranges(ids))]
    if began is not None:
        chosen += [STARTED_BEFORE, began.isoformat(timespec="seconds")]
    line = _joined([*call.program, *kept, *chosen])
    if call.folder and call.needs_folder:
        return f"cd {shlex.quote(call.folder)} && {line}"
    return line


def _joined(words: Sequence[str]) -> str:
    """Return a command line to be typed at a shell. A value with a secret in it is left out.

    In its place is a variable of the shell's, which refuses to run the line before the variable is
    set.
    """
    names: list[str] = []
    return " ".join(
        _typed(word, before, names) for before, word in zip(["", *words], words, strict=False)
    )


def _typed(word: str, before: str, names: list[str]) -> str:
    """Return a word of a command line in the shell's quotes; ``names`` are the variables that stand
    for others so far."""
    if masked(word) == word:
        return shlex.quote(word)
    option, has_value, _value = word.partition("=")
    if not (has_value and LONG_OPTION.fullmatch(option)):
        option, has_value = before, ""
    name = option.strip("-").upper().replace("-", "_")
    names.append(name)
    if names.count(name) > 1:
        name = f"{name}_{names.count(name)}"
    left_out = f'"${{{name}:?set it to the {option} that this run had}}"'
    return f"{option}={left_out}" if has_value else left_out


def _is_choice(word: str, following: Iterator[str]) -> bool:
    """Tell whether a word chooses brokers; its value, if it is the next word, is consumed."""
    name, has_value, _ = word.partition("=")
    if name in (SKIP, BROKER_IDS, STARTED_BEFORE):
        if not has_value:
            next(following, None)
        return True
    return False


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="kafka-rolling-restart",
        usage="%(prog)s (-t TYPE [-c NAME] | --bootstrap-server HOST:PORT | --zookeeper HOSTS) "
        "[options]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        # an abbreviation that a later version makes ambiguous would break a cron job
        allow_abbrev=False,
    )
    _add_cluster(parser.add_argument_group("which cluster"))
    _add_health(parser.add_argument_group("when the cluster is healthy"))
    _add_metrics(
        parser.add_argument_group("metrics (the options of JMXProxy are for --metrics jmxproxy)")
    )
    _add_ssh(parser.add_argument_group("how hosts are reached"))
    _add_metrics_access(
        parser.add_argument_group("TLS and logins for metrics (passwords: see environment)")
    )
    _add_zookeeper(
        parser.add_argument_group("TLS and login for ZooKeeper (password: see environment)")
    )
    _add_restart(parser.add_argument_group("what is done"))
    _add_output(parser.add_argument_group("what is said"))
    return parser


def _add_cluster(group: argparse._ArgumentGroup) -> None:
    type_ = group.add_argument("-t", "--cluster-type", metavar="TYPE", help="read TYPE.yaml")
    name = group.add_argument(
        "-c",
        "--cluster-name",
        metavar="NAME",
        help="a cluster in TYPE.yaml (default: the local_config.cluster of this file)",
    )
    for action, completer in ((type_, _known_types), (name, _known_names)):
        cast(
            Any, action
        ).completer = completer  # argcomplete's attribute, which argparse does not declare
    group.add_argument(
        "--discovery-base-path",
        metavar="DIR",
        help="look for TYPE.yaml in DIR, then in $KAFKA_DISCOVERY_DIR, ~/.kafka_discovery and "
        "/etc/kafka_discovery",
    )
    group.add_argument(
        "--bootstrap-server",
        metavar="HOST:PORT,...",
        help="one or more brokers of a KRaft cluster, such as kafka1:9092,kafka2:9092, in place "
        "of a configuration file",
    )
    group.add_argument(
        "--command-config",
        metavar="FILE",
        help="TLS and login for Kafka's own protocol: a properties file, as for Kafka's own tools "
        "(see files)",
    )
    group.add_argument(
        "--zookeeper",
        metavar="HOSTS/CHROOT",
        help="the ZooKeeper of a cluster that has one, such as zk1:2181,zk2:2181/kafka, in place "
        "of a configuration file",
    )


def _add_health(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--check-interval",
        type=_seconds,
        default=10.0,
        metavar="S",
        help="s from one healthy check to the next (default: 10)",
    )
    group.add_argument(
        "--check-count",
        type=_count,
        default=12,
        metavar="N",
        help="how many checks in a row must be healthy (default: 12)",
    )
    group.add_argument(
        "--unhealthy-time-limit",
        type=_positive_seconds,
        default=600.0,
        metavar="S",
        help="s that the cluster may be unhealthy in one wait, and that a broker may take from the "
        "stop until it is back (default: 600)",
    )


def _add_metrics(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--metrics",
        choices=SOURCES,
        help="how the tool sees a broker. none: it asks the broker's listener, the cluster and the "
        "host. jmxproxy: it also reads the broker's metrics through JMXProxy (default in KRaft: "
        "none, or jmxproxy if an option of JMXProxy is given; with ZooKeeper: jmxproxy)",
    )
    group.add_argument(
        "--jmxproxy-port",
        type=_port,
        default=9090,
        metavar="PORT",
        help="the port of JMXProxy (default: 9090)",
    )
    group.add_argument(
        "--jmxproxy-prefix",
        type=_prefix,
        default="jmxproxy/localhost:9099/",
        metavar="PATH",
        help="the path at JMXProxy; {host} in it stands for the broker's host (default: "
        "%(default)s)",
    )
    group.add_argument(
        "--jmxproxy-host",
        type=_host,
        metavar="HOST",
        help="one proxy for all brokers; needs {host} in --jmxproxy-prefix",
    )
    group.add_argument(
        "--allow-cached-metrics",
        action="store_true",
        help="accept a JMXProxy that refuses to empty its cache: then health checks use numbers "
        "that may be as old as the cache keeps them",
    )
    group.add_argument(
        "--metrics-timeout",
        type=_positive_seconds,
        default=30.0,
        metavar="S",
        help="s for all answers of one broker, and for one check of all brokers (default: 30)",
    )


def _add_metrics_access(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--jmxproxy-scheme",
        choices=("http", "https"),
        default="http",
        help="how JMXProxy is reached (default: http)",
    )
    _add_tls_files(group, "--jmxproxy")
    group.add_argument(
        "--jmxproxy-user", type=_user, metavar="NAME", help="log in to the proxy: HTTP basic auth"
    )
    group.add_argument(
        "--jmx-user",
        type=_utf_8,
        metavar="NAME",
        help="log in to the broker's JMX, through the proxy",
    )


def _add_zookeeper(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--zookeeper-tls", action="store_true", help="use TLS; each of the next three implies it"
    )
    _add_tls_files(group, "--zookeeper")
    group.add_argument("--zookeeper-user", type=_user, metavar="NAME", help="log in to ZooKeeper")
    group.add_argument(
        "--zookeeper-auth",
        choices=(DIGEST, SASL),
        help="how to log in: ZooKeeper's scheme digest, or DIGEST-MD5 of SASL, which needs the "
        "extra sasl (default: digest)",
    )


def _add_tls_files(group: argparse._ArgumentGroup, option: str) -> None:
    group.add_argument(
        f"{option}-ca", metavar="FILE", help="trust this authority (default: those of the system)"
    )
    group.add_argument(
        f"{option}-cert",
        metavar="FILE",
        help="the client certificate of the tool; its key may be in the same file",
    )
    group.add_argument(
        f"{option}-key", metavar="FILE", help="the key of the client certificate, not encrypted"
    )


def _add_ssh(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--ssh-config",
        metavar="FILE",
        help="read FILE in place of ~/.ssh/config and /etc/ssh/ssh_config",
    )
    group.add_argument(
        "--ssh-user",
        type=_login_name,
        metavar="USER",
        help="log in as USER, whatever the configuration says",
    )
    group.add_argument(
        "--ssh-port",
        type=_port,
        metavar="PORT",
        help="connect to PORT, whatever the configuration says",
    )
    group.add_argument(
        "--ssh-host",
        type=_template,
        default="{host}",
        metavar="TEMPLATE",
        help="the name for SSH, such as {host}.internal or broker-{id}, if it is not the host that "
        "the cluster tells (default: {host})",
    )
    group.add_argument(
        "--listener",
        metavar="NAME",
        help="with ZooKeeper: take each broker's host from its listener NAME, for SSH and for "
        "metrics",
    )
    group.add_argument(
        ALLOW_HOSTS,
        type=_patterns,
        action="extend",
        default=[],
        metavar="HOSTS",
        help="send passwords to these hosts without a question, such as "
        "kafka4,*.kafka.example.com; needed where nobody can be asked, for hosts that neither "
        "broker_list nor --bootstrap-server names",
    )
    group.add_argument(
        "--ask-ssh-password",
        action="store_true",
        help="ask for the password for SSH; or set KAFKA_ROLLING_RESTART_SSH_PASSWORD",
    )
    group.add_argument(
        "--ask-sudo-password",
        action="store_true",
        help="ask for the password for sudo; or set KAFKA_ROLLING_RESTART_SUDO_PASSWORD",
    )


def _add_restart(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--no-confirm",
        action="store_true",
        help="do not ask before the restart; needed where there is no terminal",
    )
    group.add_argument(
        SKIP,
        type=_natural,
        default=0,
        metavar="N",
        help="leave out the first N nodes of those to restart, in the order of their ids",
    )
    group.add_argument(
        BROKER_IDS,
        type=_ids,
        default=[],
        metavar="IDS",
        help="restart only these, in this order, such as 3,1,12-40; in KRaft, controllers stay "
        "together, and the leader of the quorum is the last of them",
    )
    group.add_argument(
        STARTED_BEFORE,
        type=_age,
        metavar="TIME",
        help="restart only nodes whose process started before TIME: ISO 8601 with zone, or how "
        "long ago, such as 2h",
    )
    group.add_argument(
        DRY_RUN,
        action="store_true",
        help="show the plan, make the preflight and one health check; restart nothing and take no "
        "lock (status 0, 3, or 6 if another run goes on)",
    )
    group.add_argument(
        "--stop-command",
        type=_command,
        default="service kafka stop",
        metavar="CMD",
        help="stops a node on its host; run with sudo; {id} and {host} in it stand for the node's "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--start-command",
        type=_command,
        default="service kafka start",
        metavar="CMD",
        help="starts a node on its host, as above; if it names a systemd unit, the tool looks for "
        "the process there (default: %(default)s)",
    )
    group.add_argument(
        "--roles",
        choices=ROLES,
        default=BROKERS,
        help="which nodes of a KRaft cluster to restart: brokers, dedicated controllers, or both; "
        "a node that is broker and controller in one counts as a broker (default: %(default)s)",
    )
    group.add_argument(
        "--controllers-first",
        action="store_true",
        default=True,
        help="with --roles all: dedicated controllers before brokers (the default)",
    )
    group.add_argument(
        "--controllers-last",
        dest="controllers_first",
        action="store_false",
        help="with --roles all: dedicated controllers after brokers",
    )
    for verb in ("stop", "start"):
        group.add_argument(
            f"--controller-{verb}-command",
            type=_command,
            metavar="CMD",
            help=f"{verb}s a dedicated controller (default: the --{verb}-command)",
        )
    group.add_argument(
        "--process-pattern",
        type=_utf_8,
        default="",
        metavar="PATTERN",
        help="which process is the node's, if no metrics tell it: an extended regular expression "
        "for its command line, for Java processes only; {id} and {host} in it stand for the "
        "node's; it decides alone, whatever the systemd unit (default: the unit that the start "
        "command names, or else the one process with kafka.Kafka)",
    )
    group.add_argument(
        TASK,
        action="append",
        default=[],
        metavar="MODULE",
        help="run the tasks in the Python module MODULE (may be repeated)",
    )
    group.add_argument(
        "--task-args",
        action="append",
        default=[],
        metavar="ARGS",
        help="arguments for the --task in the same place (may be repeated; one word that begins "
        "with - needs =, as in --task-args=-f)",
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="show every health check, every command with its status, and timings; -vv: also the "
        "logging of the libraries",
    )
    group.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="say nothing unless something is wrong (for cron, which mails it)",
    )
    group.add_argument(
        "--report",
        metavar="FILE",
        help="write the state of the run to FILE as JSON, at each step; FILE is right after kill "
        "-9, too",
    )
    group.add_argument(
        "--explain",
        nargs="?",
        metavar="CODE",
        action=Explain,
        help="say what a code such as [stop-had-no-effect] means and what to do; without CODE: "
        "list all codes",
    )
    group.add_argument("--version", action="version", version=f"%(prog)s {__version__}")


def _seconds(text: str) -> float:
    value = _number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is negative; give a number of s such as 10")
    return value


def _positive_seconds(text: str) -> float:
    value = _number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not more than 0; give a number of s such as 600"
        )
    return value


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of s; give one such as 10"
        ) from error
    if not math.isfinite(value) or value > MAX_S:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time of at most {MAX_S} s")
    return value


def _natural(text: str) -> int:
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")
    return int(text)


def _command(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError(
            f"{text!r} is empty: give the command to run on a broker's host"
        )
    return text


def _ids(text: str) -> list[int]:
    ids = [number for part in text.split(",") for number in _range(part.strip())]
    if len(set(ids)) != len(ids):
        raise argparse.ArgumentTypeError(f"{text!r} names a broker twice")
    return ids


def _range(text: str) -> Sequence[int]:
    first, is_range, last = text.partition("-")
    low = _natural(first.strip())
    high = _natural(last.strip()) if is_range else low
    if high < low:
        raise argparse.ArgumentTypeError(
            f"{text!r} runs backwards: a range begins with the lower id"
        )
    if high - low >= MAX_IDS:
        raise argparse.ArgumentTypeError(f"{text!r} is a range of more than {MAX_IDS} brokers")
    return range(low, high + 1)


def _age(text: str) -> float:
    """Return how long ago (s) a moment was."""
    duration = DURATION.match(text)
    if duration:
        return float(duration[1]) * UNITS_S[duration[2]]
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither like 2026-11-24T03:00:00+00:00 nor like 2h"
        ) from error
    if moment.tzinfo is None:
        example = f"{moment.isoformat(timespec='seconds')}+00:00"
        raise argparse.ArgumentTypeError(f"{text!r} has no zone: write it like {example}")
    return (datetime.now().astimezone() - moment).total_seconds()


def _prefix(text: str) -> str:
    if "://" in text or text.startswith("//"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is a URL: give only its path, such as jmxproxy/localhost:9099/; scheme, "
            "host and port are --jmxproxy-scheme, --jmxproxy-host and --jmxproxy-port"
        )
    if re.search(r"[{}]", text.replace(HOST, "")):
        raise argparse.ArgumentTypeError(f"{text!r}: the only placeholder allowed is {HOST}")
    if not text.isprintable() or re.search(r"[\s?#]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the path of a URL")
    return text


def _patterns(text: str) -> list[str]:
    patterns = [part.strip() for part in text.split(",")]
    for pattern in patterns:
        if not PATTERN.fullmatch(pattern):
            raise argparse.ArgumentTypeError(
                f"{pattern!r} is not a host name, an address, or a pattern of them with * or ?"
            )
    return patterns


def _host(text: str) -> str:
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not cluster.HOST.match(host):
        raise argparse.ArgumentTypeError(f"{text!r} is not a host name or an address")
    return host


def _utf_8(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not valid UTF-8. Check the locale (LANG)"
        ) from error
    return text


def _user(text: str) -> str:
    _utf_8(text)
    if ":" in text or not text:
        raise argparse.ArgumentTypeError(f"{text!r}: a name must not be empty or contain a colon")
    return text


def _count(text: str) -> int:
    return _whole(text, 1)


def _login_name(text: str) -> str:
    if not USER.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a login name")
    return text


def _template(text: str) -> str:
    rest = re.sub(r"\{(?:host|id)\}", "", text)
    if rest == text or "{" in rest or "}" in rest:
        raise argparse.ArgumentTypeError(
            f"{text!r} must contain {{host}} or {{id}}, and no other braces"
        )
    return text


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (1 to {MAX_PORT})")
    return int(text)
