"""How the metrics and ZooKeeper are reached: addresses, TLS and logins, all known before anything is contacted."""

import argparse
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import quote

from kafka_rolling_restart.errors import UsageError
from kafka_rolling_restart.settings.secret import Secret, Secrets
from kafka_rolling_restart.settings.tls import Tls, load_tls

HOST = "{host}"
DIGEST, SASL = "digest", "sasl"


@dataclass(frozen=True)
class Login:
    """A name and its password. ``option`` is where the name came from."""

    option: str
    user: str
    password: Secret

    def __str__(self) -> str:
        return f"{self.option} {self.user}"


@dataclass(frozen=True)
class MetricsAccess:
    """How JMXProxy is reached. ``timeout`` (s) is for each answer; ``host`` is the one proxy of all brokers, if any.

    ``login`` is for HTTP basic auth, ``jmx_login`` for the JVM behind the proxy; with ``tls`` it is https.
    """

    port: int
    prefix: str
    timeout: float
    host: str | None = None
    tls: Tls | None = None
    login: Login | None = None
    jmx_login: Login | None = None

    def endpoint(self, broker_host: str) -> str:
        """Return the URL under which a broker's metrics are."""
        scheme = "https" if self.tls else "http"
        path = self.prefix.strip("/").replace(HOST, quote(in_brackets(broker_host), safe="[]:"))
        return f"{scheme}://{in_brackets(self.host or broker_host)}:{self.port}/{path}"


@dataclass(frozen=True)
class ZooKeeperAccess:
    """How ZooKeeper is reached beyond its address. ``scheme`` is how ``login`` is told: `DIGEST` or `SASL`."""

    tls: Tls | None = None
    login: Login | None = None
    scheme: str = DIGEST


def in_brackets(host: str) -> str:
    """Return a host as it is written in a URL."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def of_metrics(options: argparse.Namespace, secrets: Secrets) -> MetricsAccess:
    """Read the files and passwords that the options name. Raises `UsageError` where one is not as it should be."""
    secure = options.jmxproxy_scheme == "https"
    files = options.jmxproxy_ca, options.jmxproxy_cert, options.jmxproxy_key
    return MetricsAccess(
        port=options.jmxproxy_port,
        prefix=options.jmxproxy_prefix,
        timeout=options.metrics_timeout,
        host=options.jmxproxy_host,
        tls=load_tls("--jmxproxy", *files) if secure else None,
        login=_login(secrets, "--jmxproxy-user", options.jmxproxy_user, "JMXPROXY_PASSWORD", "JMXProxy"),
        jmx_login=_login(secrets, "--jmx-user", options.jmx_user, "JMX_PASSWORD", "JMX"),
    )


def of_zookeeper(options: argparse.Namespace, secrets: Secrets) -> ZooKeeperAccess:
    """Read the files and the password that the options name. Raises `UsageError` where one is not as it should be."""
    scheme = options.zookeeper_auth or DIGEST
    if scheme == SASL and find_spec("puresasl") is None:
        raise UsageError("--zookeeper-auth sasl needs the package pure-sasl: pip install 'kafka-rolling-restart[sasl]'")
    files = options.zookeeper_ca, options.zookeeper_cert, options.zookeeper_key
    return ZooKeeperAccess(
        tls=load_tls("--zookeeper", *files) if options.zookeeper_tls or any(files) else None,
        login=_login(secrets, "--zookeeper-user", options.zookeeper_user, "ZOOKEEPER_PASSWORD", "ZooKeeper"),
        scheme=scheme,
    )


def _login(secrets: Secrets, option: str, user: str | None, name: str, what: str) -> Login | None:
    if user is None:
        secrets.forget(name)
        return None
    return Login(option, user, secrets.need(name, f"{what} password of {user}"))
