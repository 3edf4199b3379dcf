"""How a host is reached, as ~/.ssh/config and the command line have it: address, keys, known hosts,
and the way there."""

import os
import pwd
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from kafka_rolling_restart.errors import UsageError
from kafka_rolling_restart.hosts.ssh import config_file
from kafka_rolling_restart.hosts.ssh.config_file import (
    NONE,
    Found,
    Lookup,
    Query,
    SettingsReader,
    first,
    flag,
)
from kafka_rolling_restart.model.broker import HOST
from kafka_rolling_restart.settings.paths import expanded, home

SYSTEM_FOLDER = Path("/etc/ssh")
KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
DEFAULT_KEYS = ("id_rsa", "id_ecdsa", "id_ed25519")
SSH_PORT = 22
MAX_HOPS = 8
ADDS_UNKNOWN = ("accept-new", "no", "off", "false")  # a key that changed is refused all the same
CHECKS = ("yes", "true", "ask", *ADDS_UNKNOWN)
PUBLIC_KEY, KEYBOARD, PASSWORD = "publickey", "keyboard-interactive", "password"
METHODS = {
    PUBLIC_KEY: "pubkeyauthentication",
    KEYBOARD: "kbdinteractiveauthentication",
    PASSWORD: "passwordauthentication",
}
HOP = re.compile(
    r"(?:ssh://)?(?:(?P<user>.+)@)?(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:@\[\]]+))(?::(?P<port>\d+))?/?"
)
# what OpenSSH takes; it goes into shells by %r
USER = re.compile(r"(?!-)[^\s'\"`$;&<>|(){}\x00-\x1f\x7f]+(?<!\\)")


@dataclass(frozen=True)
class SshOptions:
    """What the command line says of SSH; ``template`` makes the name for `ssh` of a broker's host
    and id."""

    config: Path | None = None
    user: str = ""
    port: int | None = None
    template: str = "{host}"

    def name(self, host: str, broker_id: int) -> str:
        """Return the name under which SSH knows a host. Raises `UsageError` where that is no host
        name."""
        name = self.template.replace("{host}", host).replace("{id}", str(broker_id))
        if not HOST.match(name):
            raise UsageError(
                f"--ssh-host: {name[:80]!r}, for broker {broker_id}, is no host name",
                code="ssh-config-invalid",
            )
        return name

    @property
    def words(self) -> tuple[str, ...]:
        """What a person gives to `ssh` to reach the same."""
        config = ("-F", str(self.config)) if self.config else ()
        user = ("-l", self.user) if self.user else ()
        return (*config, *user, *(("-p", str(self.port)) if self.port else ()))


@dataclass(frozen=True)
class Target:
    """One host and how it is reached: through the hops of ``via``, the first of them by
    ``proxy_command`` if it has one.

    ``names_keys`` tells whether ``keys`` were named for this host, or are only what lies in ~/.ssh;
    ``methods`` are the ways to log in that may be tried.
    """

    name: str
    address: str
    port: int
    user: str
    keys: tuple[Path, ...] = ()
    names_keys: bool = False
    identities_only: bool = False
    alias: str = ""
    known_hosts: tuple[Path, ...] = ()
    system_known_hosts: tuple[Path, ...] = ()
    revoked_keys: Path | None = None
    adds_unknown: bool = False
    hashes_names: bool = False
    methods: frozenset[str] = frozenset(METHODS)
    proxy_command: str = ""
    via: tuple["Target", ...] = ()
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"ssh {self.user}@{self.address} port {self.port}"

    @property
    def known_as(self) -> tuple[str, ...]:
        """Its names in known_hosts: the second is looked up where nothing is said of the first, as
        in OpenSSH."""
        if self.alias:
            return (self.alias,)
        if self.port == SSH_PORT:
            return (self.address,)
        return (f"[{self.address}]:{self.port}", self.address)

    def typed(self, terminal: bool = False) -> str:
        """Return the words of a shell that log in here, to put a command behind; ``terminal`` is
        for a password."""
        return shlex.join(["ssh", *(("-t",) if terminal else ()), *self.options, self.name])


class SshConfig:
    """~/.ssh/config and /etc/ssh/ssh_config, or the file of --ssh-config alone; not honoured is
    told by `docs/ssh.rst`."""

    def __init__(
        self,
        environ: Mapping[str, str],
        options: SshOptions | None = None,
        system: Path = SYSTEM_FOLDER,
    ) -> None:
        self._options = options or SshOptions()
        self._environ = environ
        self._home = home(environ)
        self._system = system
        self.shell = environ.get("SHELL") or "/bin/sh"
        self._lookup = Lookup(tuple(self._settings()), config_file.runner(self.shell))

    def host(self, name: str) -> Target:
        """Return how a host is reached. Raises `UsageError` for a configuration that makes no
        sense."""
        target = self._target(name, self._options.user, self._options.port, ())
        return replace(target, options=self._options.words)

    def _settings(self) -> list[config_file.Block | config_file.Setting]:
        folder, chosen = self._home / ".ssh", self._options.config
        own = SettingsReader(folder, self._home, chosen is None)
        if chosen is not None:
            return list(own.read(chosen))
        settings = list(own.read(folder / "config")) if (folder / "config").exists() else []
        general = self._system / "ssh_config"
        reader = SettingsReader(self._system, self._home, False)
        return [*settings, *(reader.read(general) if general.exists() else ())]

    def _target(
        self, name: str, user: str, port: int | None, visited: tuple[str, ...], has_way: bool = True
    ) -> Target:
        if not HOST.match(name):  # it goes into shells by %h and %n
            raise UsageError(f"{name[:80]!r} is no host name", code="ssh-config-invalid")
        query = Query(name, self._login(), self._environ, _given(user, port))
        try:
            found = self._lookup.find(query)
            target = self._found(query, found)
            if not has_way:
                return target
            via = self._via(query, found, (*visited, name))
            return replace(target, via=via, proxy_command=self._proxy_command(query, found))
        except UsageError as error:
            raise UsageError(f"SSH configuration, for {name}: {error}", code=error.code) from error

    def _found(self, query: Query, found: Found) -> Target:
        keys = tuple(
            self._paths(
                query, found, "identityfile", tuple(f"~/.ssh/{key}" for key in DEFAULT_KEYS)
            )
        )
        return Target(
            name=query.name,
            address=config_file.address(query, found),
            port=_port(first(found, "port", str(SSH_PORT))),
            user=_user(first(found, "user", query.login)),
            keys=keys,
            names_keys="identityfile" in found,
            identities_only=flag(found, "identitiesonly"),
            alias=first(found, "hostkeyalias").lower(),
            known_hosts=tuple(self._paths(query, found, "userknownhostsfile", KNOWN_HOSTS)),
            system_known_hosts=tuple(
                self._paths(query, found, "globalknownhostsfile", self._system_known_hosts)
            ),
            revoked_keys=next(iter(self._paths(query, found, "revokedhostkeys", ())), None),
            adds_unknown=_adds_unknown(first(found, "stricthostkeychecking", "ask").lower()),
            hashes_names=flag(found, "hashknownhosts"),
            methods=_methods(found),
        )

    @property
    def _system_known_hosts(self) -> tuple[str, ...]:
        return tuple(str(self._system / name) for name in ("ssh_known_hosts", "ssh_known_hosts2"))

    def _paths(
        self, query: Query, found: Found, keyword: str, default: tuple[str, ...]
    ) -> list[Path]:
        words = [word for word in found.get(keyword, default) if word.lower() != NONE]
        values = config_file.tokens(query, found)
        return [
            self._path(
                config_file.with_variables(config_file.expanded(word, values), self._environ)
            )
            for word in words
        ]

    def _path(self, text: str) -> Path:
        return self._home / text[2:] if text.startswith("~/") else expanded(text)

    def _proxy_command(self, query: Query, found: Found) -> str:
        command = first(found, "proxycommand", NONE)
        return (
            ""
            if command.lower() == NONE
            else config_file.expanded(command, config_file.tokens(query, found))
        )

    def _via(self, query: Query, found: Found, visited: tuple[str, ...]) -> tuple[Target, ...]:
        """Return the hops. Only the first has a way of its own: the others are reached from the one
        before."""
        text = config_file.expanded(
            first(found, "proxyjump", NONE), config_file.tokens(query, found)
        )
        if text.lower() == NONE:
            return ()
        hops = [
            self._hop(one, visited, has_way=place == 0) for place, one in enumerate(text.split(","))
        ]
        way = (*hops[0].via, *(replace(hop, via=()) for hop in hops))
        if len(way) > MAX_HOPS:
            raise UsageError(
                f"ProxyJump goes through {len(way)} hosts, more than {MAX_HOPS}",
                code="ssh-config-invalid",
            )
        return (way[0], *(replace(hop, proxy_command="") for hop in way[1:]))

    def _hop(self, text: str, visited: tuple[str, ...], has_way: bool) -> Target:
        match = HOP.fullmatch(text.strip())
        if not match:
            raise UsageError(
                f"ProxyJump {text[:80]!r} is not [user@]host[:port]", code="ssh-config-invalid"
            )
        name = match["v6"] or match["host"]
        if name in visited:
            raise UsageError(
                f"ProxyJump goes in a circle: {' by way of '.join((*visited, name))}",
                code="ssh-config-invalid",
            )
        return self._target(name, match["user"] or "", _hop_port(match["port"]), visited, has_way)

    def _login(self) -> str:
        return self._environ.get("USER") or self._environ.get("LOGNAME") or _login_name()


def _adds_unknown(checking: str) -> bool:
    if checking not in CHECKS:
        raise UsageError(
            f"StrictHostKeyChecking {checking[:80]!r} is none of {', '.join(CHECKS)}",
            code="ssh-config-invalid",
        )
    return checking in ADDS_UNKNOWN


def _methods(found: Found) -> frozenset[str]:
    """Return the ways to log in that the configuration leaves: each may be off, or not be among the
    preferred ones."""
    preferred = first(found, "preferredauthentications", ",".join(METHODS)).split(",")
    also = ("unbound", "host-bound")
    return frozenset(
        method
        for method, keyword in METHODS.items()
        if method in preferred and flag(found, keyword, True, also)
    )


def _given(user: str, port: int | None) -> dict[str, tuple[str, ...]]:
    given = {"user": user, "port": str(port) if port else ""}
    return {keyword: (value,) for keyword, value in given.items() if value}


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise UsageError(
            f"Port {text[:80]!r} is not a port (1 to 65535)", code="ssh-config-invalid"
        )
    return int(text)


def _hop_port(text: str | None) -> int | None:
    return _port(text) if text else None


def _user(text: str) -> str:
    if not USER.fullmatch(text):
        raise UsageError(f"User {text[:80]!r} is no name to log in with", code="ssh-config-invalid")
    return text


def _login_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError as error:
        raise UsageError(
            f"uid {os.getuid()} has no name to log in with: set USER, or User in ~/.ssh/config",
            code="ssh-config-invalid",
        ) from error
