"""How the metrics and ZooKeeper are reached: addresses, TLS and logins, all known before anything
is contacted."""

from dataclasses import dataclass
from urllib.parse import quote

from kafka_rolling_restart.settings.secret import Secret
from kafka_rolling_restart.settings.tls import Tls

HOST = "{host}"
DIGEST, SASL = "digest", "sasl"
PLAINTEXT = "PLAINTEXT"
JMXPROXY, NONE = "jmxproxy", "none"
SOURCES = (JMXPROXY, NONE)


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
    """How JMXProxy is reached. ``timeout`` (s) is for each answer; ``host`` is the one proxy of all
    brokers, if any.

    ``login`` is for HTTP basic auth, ``jmx_login`` for the JVM behind the proxy; with ``tls`` it is
    https.
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
class KafkaAccess:
    """How Kafka's protocol is spoken: what a client properties file (--command-config) says.

    ``sasl_mechanism`` is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 where ``login`` is set.
    ``timeout`` (s) is for each answer, connecting and logging in included.
    """

    timeout: float = 10.0
    tls: Tls | None = None
    login: Login | None = None
    sasl_mechanism: str = ""

    @property
    def protocol(self) -> str:
        """The security protocol, as Kafka calls it."""
        if self.login is None:
            return PLAINTEXT if self.tls is None else "SSL"
        return "SASL_PLAINTEXT" if self.tls is None else "SASL_SSL"


@dataclass(frozen=True)
class ZooKeeperAccess:
    """How ZooKeeper is reached beyond its address. ``scheme`` is how ``login`` is told: `DIGEST` or
    `SASL`."""

    tls: Tls | None = None
    login: Login | None = None
    scheme: str = DIGEST


def in_brackets(host: str) -> str:
    """Return a host as it is written in a URL."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
