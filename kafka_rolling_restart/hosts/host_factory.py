"""How the brokers' hosts are reached and commanded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kafka_rolling_restart.errors import Warn
from kafka_rolling_restart.hosts.broker_host import BrokerHost
from kafka_rolling_restart.hosts.ssh.config import SshConfig, SshOptions
from kafka_rolling_restart.model.broker import Broker
from kafka_rolling_restart.settings.secret import Passwords, Secrets


@dataclass(frozen=True)
class HostFactory:
    """The SSH configuration and the passwords; ``warn`` hears of a host key that was not known and
    is added."""

    options: SshOptions
    config: SshConfig
    secrets: Secrets
    passwords: Passwords
    commands: tuple[str, str]
    warn: Warn

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
        }
        credentials = Credentials(self.secrets, self.passwords)
        credentials.open(targets[broker.id] for broker in plan)
        access = Access(credentials, self.config.shell, self.warn)
        return {
            broker_id: BrokerHost(SshHost(target, access), *self.commands, self.passwords.sudo)
            for broker_id, target in targets.items()
        }
