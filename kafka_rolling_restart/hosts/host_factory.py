"""How the brokers' hosts are reached and commanded."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kafka_rolling_restart.errors import Warn
from kafka_rolling_restart.hosts.broker_host import BrokerHost
from kafka_rolling_restart.hosts.ssh.config import SshConfig, SshOptions
from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.settings.secret import Passwords, Secrets

PLACEHOLDER = re.compile(r"(?<!\$)\{(?:id|host)\}")


@dataclass(frozen=True)
class HostFactory:
    """The SSH configuration and the passwords; ``warn`` hears of a host key that was not known and
    is added.

    ``commands`` stop and start a broker, ``controller_commands`` a dedicated controller (None: the
    same). `{id}` and `{host}` in them are the node's. ``process_pattern`` is for the command lines
    of their processes, with the same placeholders; empty for the default.
    """

    options: SshOptions
    config: SshConfig
    secrets: Secrets
    passwords: Passwords
    commands: tuple[str, str]
    warn: Warn
    controller_commands: tuple[str, str] | None = None
    process_pattern: str = ""

    def hosts(self, brokers: Mapping[int, Broker], plan: Iterable[Broker]) -> dict[int, BrokerHost]:
        """Return each broker's host; ask for the passphrases of the keys that the plan's need.

        Raises `UsageError` for a configuration that makes no sense, and where a passphrase cannot
        be had.
        """
        # here, because --help does not wait for the library
        from kafka_rolling_restart.hosts.ssh.client import SshHost
        from kafka_rolling_restart.hosts.ssh.connect import Access
        from kafka_rolling_restart.hosts.ssh.login import Credentials

        targets = {
            one.id: self.config.host(self.options.name(one.host, one.id))
            for one in brokers.values()
            if one.host  # else it is in no plan
        }
        credentials = Credentials(self.secrets, self.passwords)
        credentials.open(targets[broker.id] for broker in plan)
        access = Access(credentials, self.config.shell, self.warn)
        hosts: dict[int, BrokerHost] = {}
        for node_id, target in targets.items():
            stop, start = self.commands_of(brokers[node_id])
            pattern = pattern_of(brokers[node_id], self.process_pattern)
            hosts[node_id] = BrokerHost(
                SshHost(target, access), stop, start, self.passwords.sudo, pattern
            )
        return hosts

    def commands_of(self, node: Broker) -> tuple[str, str]:
        """Return what stops and what starts a node."""
        return commands_of(node, self.commands, self.controller_commands)


def commands_of(
    node: Broker, commands: tuple[str, str], controller_commands: tuple[str, str] | None
) -> tuple[str, str]:
    """Return what stops and what starts a node, with its id and host in place.

    ``controller_commands`` are those of a dedicated controller, None: the same as of a broker.
    """
    stop, start = commands
    if not node.is_broker and controller_commands is not None:
        stop, start = controller_commands
    return for_node(stop, node), for_node(start, node)


def for_node(command: str, node: Broker) -> str:
    """Return a command with `{id}` and `{host}` replaced by the node's. Other braces, and `${id}`
    of a shell, stay as they are."""
    return _placed(command, str(node.id), node.host)


def pattern_of(node: Broker, pattern: str) -> str:
    """Return a regular expression with `{id}` and `{host}` replaced by the node's, dots escaped."""
    return _placed(pattern, str(node.id), node.host.replace(".", r"\."))


def _placed(text: str, node_id: str, host: str) -> str:
    values = {"{id}": node_id, "{host}": host}
    return PLACEHOLDER.sub(lambda found: values[found[0]], text)
