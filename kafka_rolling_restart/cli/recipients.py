"""Which hosts passwords are sent to, and which of them somebody vouches for.

The hosts come from the cluster. Who can write to its registry can register a host of their own,
so a password goes to a host only if the configuration's broker_list or --allow-hosts has it, or a
person was shown it and said yes.
"""

import ipaddress
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from kafka_rolling_restart.hosts.ssh.config import SshOptions
from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.settings.access import MetricsAccess
from kafka_rolling_restart.settings.secret import Passwords

ALLOW_HOSTS = "--allow-hosts"
NAMED = 10  # hosts that a refusal names; of more it says how many they are
SHOWN = 100  # hosts that a person is shown; as above
HTTP, JMX, SSH, SUDO = "HTTP", "JMX", "SSH", "sudo"


@dataclass(frozen=True)
class Recipient:
    """A host that passwords are sent to. ``names`` are those of which one must be known, for it to
    be known."""

    host: str
    names: tuple[str, ...]
    passwords: tuple[str, ...]


def recipients(
    metrics: MetricsAccess,
    passwords: Passwords,
    ssh: SshOptions,
    brokers: Mapping[int, Broker],
    plan: Iterable[Broker],
) -> list[Recipient]:
    """Return the hosts that passwords will be sent to, in the order of the brokers; each with its
    passwords."""
    found = [_of_metrics(metrics, broker) for broker in brokers.values()]
    found += [_of_ssh(passwords, ssh, broker) for broker in plan]
    by_host: dict[str, Recipient] = {}
    for one in found:
        before = by_host.get(one.host)
        if before is not None:
            # What vouches for the host has to do so for all that is sent there.
            names = tuple(name for name in one.names if name in before.names)
            one = Recipient(one.host, names, (*before.passwords, *one.passwords))
        if one.passwords:
            by_host[one.host] = one
    return list(by_host.values())


def _of_metrics(metrics: MetricsAccess, broker: Broker) -> Recipient:
    """Return what goes to the broker's host. One proxy for all is named on the command line, so it
    is not asked about."""
    kinds = []
    if metrics.login is not None and metrics.host is None:
        kinds.append(HTTP)
    if metrics.jmx_login is not None:
        kinds.append(JMX)
    return Recipient(broker.host, (broker.host,), tuple(kinds))


def _of_ssh(passwords: Passwords, ssh: SshOptions, broker: Broker) -> Recipient:
    kinds = []
    if passwords.ssh is not None:
        kinds.append(SSH)
    if passwords.sudo is not None:
        kinds.append(SUDO)
    name = ssh.name(broker.host, broker.id)
    names = [name]
    if "{host}" in ssh.template:
        # who vouches for the registered host does so for the name that is made of it
        names.append(broker.host)
    return Recipient(name, tuple(dict.fromkeys(names)), tuple(kinds))


class Vouched:
    """The hosts that the configuration's broker_list names, and those that --allow-hosts allows."""

    def __init__(self, broker_list: Iterable[str], patterns: Iterable[str]) -> None:
        self._listed = {_normal(_host_of(entry)) for entry in broker_list}
        self._patterns = [_compiled(_normal(pattern)) for pattern in patterns]

    def has(self, recipient: Recipient) -> bool:
        """Tell whether a host is in one of both."""
        return self.allows(recipient) or any(
            _normal(name) in self._listed for name in recipient.names
        )

    def allows(self, recipient: Recipient) -> bool:
        """Tell whether --allow-hosts allows a host."""
        names = map(_normal, recipient.names)
        return any(pattern.fullmatch(name) for name in names for pattern in self._patterns)


def tell(found: Sequence[Recipient]) -> list[str]:
    """Return lines about which passwords go to which hosts; one line for those that go to the
    same."""
    by_hosts: dict[tuple[str, ...], list[str]] = {}
    for kind in _kinds(found):
        hosts = tuple(one.host for one in found if kind in one.passwords)
        by_hosts.setdefault(hosts, []).append(kind)
    return [
        f"{_passwords(kinds)} will be sent to: {_named(hosts, SHOWN)}"
        for hosts, kinds in by_hosts.items()
    ]


def question(found: Sequence[Recipient], strangers: Sequence[Recipient]) -> str:
    """Return what a person is asked before any password is sent: first the hosts that nobody
    vouches for, then all."""
    lines = tell(found)
    if strangers:
        lines.insert(0, f"NOT in broker_list: {_named([one.host for one in strangers], SHOWN)}")
    return f"{'; '.join(lines)}. Send? [y/N]"


def refusal(strangers: Sequence[Recipient], source: str) -> str:
    """Return the line that refuses to send passwords to hosts that nobody vouches for. ``source``
    says who does not."""
    hosts = [one.host for one in strangers]
    option = shlex.join([ALLOW_HOSTS, ",".join(hosts)])
    if len(hosts) > NAMED:
        option = f"{ALLOW_HOSTS} with their names or a pattern such as '*.example.com'"
    return (
        f"{_passwords(_kinds(strangers))} would be sent to {_named(hosts, NAMED)}: the cluster "
        f"registered these hosts, and {source}. "
        f"No password was sent, and no broker was touched. If these hosts are yours, add {option}"
    )


def _named(hosts: Sequence[str], most: int) -> str:
    named = ", ".join(hosts[:most])
    if len(hosts) > most:
        return f"{named} and {len(hosts) - most} more"
    return named


def _kinds(found: Sequence[Recipient]) -> list[str]:
    return list(dict.fromkeys(kind for one in found for kind in one.passwords))


def _passwords(kinds: Sequence[str]) -> str:
    if len(kinds) == 1:
        return f"the {kinds[0]} password"
    return f"the {', '.join(kinds[:-1])} and {kinds[-1]} passwords"


def _host_of(entry: str) -> str:
    """Return the host of an entry of broker_list: ``host:port``, ``[address]:port`` or either
    without a port."""
    with suppress(ValueError):
        return str(ipaddress.ip_address(entry.strip()))  # one of IPv6 without brackets has no port
    entry = entry.strip().rpartition("://")[2]
    if entry.endswith("]"):
        return entry
    host, colon, _port = entry.rpartition(":")
    if not colon:
        return entry
    return host


def _normal(host: str) -> str:
    """Return a host as it is compared: a name in lower case without its last dot, an address in its
    short form."""
    host = host.lower().removeprefix("[").removesuffix("]")
    with suppress(ValueError):
        return str(ipaddress.ip_address(host))
    return host.rstrip(".")


def _compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern in which ``*`` stands for any characters and ``?`` for one."""
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."))
