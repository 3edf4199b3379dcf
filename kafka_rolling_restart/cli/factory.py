"""From options to parts: what is set, the registry, the metrics, the hosts, the report. The
argparse namespace ends here."""

import argparse
import getpass
import os
import socket
import sys
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from kafka_rolling_restart import __version__, task
from kafka_rolling_restart.cli import arguments, client_properties, config_files
from kafka_rolling_restart.cli.recipients import Recipient, recipients
from kafka_rolling_restart.clock import Clock, SystemClock
from kafka_rolling_restart.errors import UsageError, Warn
from kafka_rolling_restart.hosts.host_factory import HostFactory
from kafka_rolling_restart.hosts.ssh.config import SshConfig, SshOptions
from kafka_rolling_restart.metrics.base import MetricsSource
from kafka_rolling_restart.metrics.none import Ask, NoMetrics, read_all
from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.output.report import Report
from kafka_rolling_restart.output.report_file import ReportFile, Run
from kafka_rolling_restart.registry.base import Registry
from kafka_rolling_restart.roll.watch import ReadMany
from kafka_rolling_restart.settings.access import (
    DIGEST,
    JMXPROXY,
    NONE,
    SASL,
    KafkaAccess,
    Login,
    MetricsAccess,
    ZooKeeperAccess,
)
from kafka_rolling_restart.settings.cluster import ClusterConfig
from kafka_rolling_restart.settings.rules import HealthRule
from kafka_rolling_restart.settings.run import BROKERS, RunSettings
from kafka_rolling_restart.settings.secret import Secrets
from kafka_rolling_restart.settings.tls import load_tls

KAFKA_TIMEOUT_S = 10.0  # for each answer by Kafka's protocol


@dataclass(frozen=True)
class Parts:
    """What a run is made of, all of it ready, and nothing of it contacted."""

    settings: RunSettings
    cluster: ClusterConfig
    registry: Registry
    tasks: task.Tasks
    call: arguments.Call
    began: datetime
    rule: HealthRule
    metrics_timeout: float
    allow_cached_metrics: bool
    metrics_access: MetricsAccess
    host_factory: HostFactory
    serving: Ask  # asks nodes whether they serve
    source: str = JMXPROXY
    has_quorum: bool = False

    def metrics(self, brokers: Mapping[int, Broker], clock: Clock) -> dict[int, MetricsSource]:
        """Return the source of each node's metrics. A dedicated controller has none: the quorum
        tells of it."""
        return {one.id: self._source(one, clock) for one in brokers.values()}

    def _source(self, node: Broker, clock: Clock) -> MetricsSource:
        if self.source == NONE or not node.is_broker:
            return NoMetrics(node.id, self.serving, clock, self.metrics_timeout)
        # here: --help does not wait for the library
        from kafka_rolling_restart.metrics.jmxproxy import JmxProxy

        return JmxProxy(node.host, self.metrics_access, clock, has_controller=not self.has_quorum)

    def read_many(self, clock: Clock) -> ReadMany:
        """Return what asks many nodes at the same time whether they serve."""
        return partial(read_all, ask=self.serving, clock=clock, timeout=self.metrics_timeout)

    def recipients(self, brokers: Mapping[int, Broker], plan: Sequence[Broker]) -> list[Recipient]:
        """Return the hosts that passwords will be sent to."""
        hosts = self.host_factory
        return recipients(self.metrics_access, hosts.passwords, hosts.options, brokers, plan)

    def resume(self, ids: Sequence[int]) -> str:
        """Return the command that goes on with these brokers."""
        return arguments.resume_line(self.call, None if self.tasks.any else self.began, ids)


def make(
    options: argparse.Namespace,
    argv: Sequence[str],
    environ: MutableMapping[str, str],
    ask: Callable[[str], str] | None,
    report: Report,
) -> Parts:
    """Make everything that a run needs. Raises `UsageError`; nothing was contacted then.

    ``ask`` prompts for a password; it is None where there is no terminal.
    """
    began = datetime.now().astimezone()
    # now, because a task may go to another folder
    call = arguments.how_called(sys.argv[0], argv, _folder())
    cluster = _cluster(options, environ)
    report.about = cluster.label
    hosts = host_factory(options, environ, ask, report.warn)
    metrics = metrics_access(options, hosts.secrets)
    ensemble = zookeeper_access(options, hosts.secrets)
    # Only now: tasks get an environment without our passwords. Before any library: the current
    # folder is last from then on.
    tasks = task.load(options.task, options.task_args)
    registry, serving = _registry(options, cluster, ensemble)
    source = _source_of_metrics(options, cluster)
    if options.report is not None:
        report.file = _report_file(options, call, cluster, registry, hosts, report, began)
    return Parts(
        settings=settings_of(options),
        cluster=cluster,
        registry=registry,
        tasks=tasks,
        call=call,
        began=began,
        rule=HealthRule(
            options.check_count,
            options.check_interval,
            options.unhealthy_time_limit,
            longest_check=options.metrics_timeout + registry.longest_check_s,
        ),
        metrics_timeout=options.metrics_timeout,
        allow_cached_metrics=options.allow_cached_metrics,
        metrics_access=metrics,
        host_factory=hosts,
        serving=serving,
        source=source,
        has_quorum=not cluster.zookeeper,
    )


def settings_of(options: argparse.Namespace) -> RunSettings:
    """Return what the options set for the run."""
    return RunSettings(
        stop_command=options.stop_command,
        start_command=options.start_command,
        skip=options.skip,
        broker_ids=tuple(options.broker_ids),
        started_before=options.started_before,
        listener=options.listener,
        wanted_folder=options.discovery_base_path,
        allow_hosts=tuple(options.allow_hosts),
        dry_run=options.dry_run,
        no_confirm=options.no_confirm,
        roles=options.roles,
        controllers_first=options.controllers_first,
    )


def holder() -> dict[str, object]:
    """Return who runs this, as the lock and the report show it."""
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a uid without an entry in passwd
        user = str(os.getuid())
    return {"user": user, "host": socket.gethostname(), "pid": os.getpid(), "since": since}


def _folder() -> str:
    """Return the working directory, or nothing where it was removed."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _cluster(options: argparse.Namespace, environ: Mapping[str, str]) -> ClusterConfig:
    if options.zookeeper is not None:
        return config_files.of_zookeeper(options.zookeeper)
    if options.bootstrap_server is not None:
        return config_files.of_bootstrap(options.bootstrap_server)
    places = config_files.folders(options.discovery_base_path, environ)
    return config_files.load(options.cluster_type, options.cluster_name, places)


def _registry(
    options: argparse.Namespace, cluster: ClusterConfig, access: ZooKeeperAccess
) -> tuple[Registry, Ask]:
    """Return the registry, and what asks nodes whether they serve."""
    # here: --help does not wait for the libraries
    from kafka_rolling_restart.registry.kafka.client import KafkaClient

    clock = SystemClock()
    kafka = kafka_access(options, cluster)
    client = KafkaClient(kafka, clock)
    if cluster.zookeeper:
        _refuse_kraft_options(options, cluster)
        from kafka_rolling_restart.registry.metadata_view import MetadataView
        from kafka_rolling_restart.registry.zookeeper import ZooKeeper

        view = MetadataView(client, clock, KAFKA_TIMEOUT_S)
        zookeeper = ZooKeeper(cluster.zookeeper, access=access, view=view, protocol=kafka.protocol)
        return zookeeper, view.serving
    _refuse_zookeeper_options(options, cluster)
    from kafka_rolling_restart.registry.kraft import Kraft

    kraft = Kraft(cluster.bootstrap, client, clock)
    return kraft, kraft.serving


def _refuse_kraft_options(options: argparse.Namespace, cluster: ClusterConfig) -> None:
    """Refuse what only a KRaft cluster has. Raises `UsageError`."""
    only_kraft = {
        "--roles": options.roles != BROKERS,
    }
    for option, is_given in only_kraft.items():
        if is_given:
            raise UsageError(
                f"{option} is for a KRaft cluster, and {cluster.label} is on ZooKeeper. Leave it "
                "out, or give --bootstrap-server",
                code="option-needs-kraft",
            )


def _refuse_zookeeper_options(options: argparse.Namespace, cluster: ClusterConfig) -> None:
    """Refuse what only a cluster on ZooKeeper has. Raises `UsageError`."""
    if options.listener is not None:
        raise UsageError(
            f"--listener is for ZooKeeper, and {cluster.label} has none. Give the addresses of the "
            "listener that you mean as broker_list or --bootstrap-server",
            code="option-needs-zookeeper",
        )


def _source_of_metrics(options: argparse.Namespace, cluster: ClusterConfig) -> str:
    """Return where metrics come from: as it is set; else none in KRaft, unless an option of
    JMXProxy is given."""
    if options.metrics is not None:
        return str(options.metrics)
    if cluster.zookeeper or arguments.names_jmxproxy(options):
        return JMXPROXY
    return NONE


def kafka_access(options: argparse.Namespace, cluster: ClusterConfig) -> KafkaAccess:
    """Read the client properties file that is named, if one is. Raises `UsageError`."""
    name = options.command_config or cluster.command_config
    if not name:
        return KafkaAccess(KAFKA_TIMEOUT_S)
    return client_properties.read_client_properties(name, KAFKA_TIMEOUT_S)


def host_factory(
    options: argparse.Namespace,
    environ: MutableMapping[str, str],
    ask: Callable[[str], str] | None,
    warn: Warn,
) -> HostFactory:
    """Read the SSH configuration and the passwords. Raises `UsageError`; nothing was contacted
    then."""
    ssh = SshOptions(
        config=Path(options.ssh_config) if options.ssh_config else None,
        user=options.ssh_user or "",
        port=options.ssh_port,
        template=options.ssh_host,
    )
    config = SshConfig(environ, ssh)
    secrets = Secrets(environ, ask)
    passwords = secrets.passwords(options.ask_ssh_password, options.ask_sudo_password)
    commands = (options.stop_command, options.start_command)
    of_controllers = (
        options.controller_stop_command or options.stop_command,
        options.controller_start_command or options.start_command,
    )
    return HostFactory(
        ssh,
        config,
        secrets,
        passwords,
        commands,
        warn,
        controller_commands=of_controllers,
        process_pattern=options.process_pattern,
    )


def metrics_access(options: argparse.Namespace, secrets: Secrets) -> MetricsAccess:
    """Read the files and passwords that the options name. Raises `UsageError` where one is not as
    it should be."""
    secure = options.jmxproxy_scheme == "https"
    files = options.jmxproxy_ca, options.jmxproxy_cert, options.jmxproxy_key
    return MetricsAccess(
        port=options.jmxproxy_port,
        prefix=options.jmxproxy_prefix,
        timeout=options.metrics_timeout,
        host=options.jmxproxy_host,
        tls=load_tls("--jmxproxy", *files) if secure else None,
        login=_login(
            secrets, "--jmxproxy-user", options.jmxproxy_user, "JMXPROXY_PASSWORD", "JMXProxy"
        ),
        jmx_login=_login(secrets, "--jmx-user", options.jmx_user, "JMX_PASSWORD", "JMX"),
    )


def zookeeper_access(options: argparse.Namespace, secrets: Secrets) -> ZooKeeperAccess:
    """Read the files and the password that the options name. Raises `UsageError` where one is not
    as it should be."""
    scheme = options.zookeeper_auth or DIGEST
    if scheme == SASL and find_spec("puresasl") is None:
        raise UsageError(
            "--zookeeper-auth sasl needs the package pure-sasl: pip install "
            "'kafka-rolling-restart[sasl]'",
            code="sasl-package-missing",
        )
    files = options.zookeeper_ca, options.zookeeper_cert, options.zookeeper_key
    return ZooKeeperAccess(
        tls=load_tls("--zookeeper", *files) if options.zookeeper_tls or any(files) else None,
        login=_login(
            secrets, "--zookeeper-user", options.zookeeper_user, "ZOOKEEPER_PASSWORD", "ZooKeeper"
        ),
        scheme=scheme,
    )


def _login(secrets: Secrets, option: str, user: str | None, name: str, what: str) -> Login | None:
    if user is None:
        secrets.forget(name)
        return None
    return Login(option, user, secrets.need(name, f"{what} password of {user}"))


def _report_file(
    options: argparse.Namespace,
    call: arguments.Call,
    cluster: ClusterConfig,
    registry: Registry,
    hosts: HostFactory,
    report: Report,
    began: datetime,
) -> ReportFile:
    file = ReportFile(
        options.report,
        Run(
            tool=__version__,
            command=["kafka-rolling-restart", *call.arguments],
            cluster=cluster.label,
            registry=registry.where,
            configuration=str(cluster.path) if cluster.path else None,
            holder=holder(),
            began=began,
            now=SystemClock().now(),
            start_command=lambda node: hosts.commands_of(node)[1],
            resume=lambda began, ids: arguments.resume_line(
                call, None if options.task else began, ids
            ),
        ),
        report.warn,
    )
    file.open()
    return file
