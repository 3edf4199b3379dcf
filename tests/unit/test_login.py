"""What is offered to a host at a login: keys that nobody else can read, and the password where it
belongs."""

from collections.abc import Callable
from pathlib import Path

import paramiko
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kafka_rolling_restart.hosts.ssh.config import KEYBOARD, PASSWORD, PUBLIC_KEY, Target
from kafka_rolling_restart.hosts.ssh.connect import AddedKeys
from kafka_rolling_restart.hosts.ssh.known_hosts import HostKey, Trust
from kafka_rolling_restart.hosts.ssh.login import Credentials
from kafka_rolling_restart.settings.secret import Passwords, Secret, Secrets

WORD = "hunter2"
BLOB = b"\x00\x00\x00\x0bssh-ed25519ours"


class FakeTransport:
    """A server that takes no key, and a password by the ways that it allows."""

    def __init__(self, *allowed: str, right: str = WORD) -> None:
        self._allowed = list(allowed)
        self._right = right
        self._is_in = False
        self.tried: list[tuple[str, str]] = []

    def is_authenticated(self) -> bool:
        return self._is_in

    def is_active(self) -> bool:
        return True

    def auth_publickey(self, user: str, key: object) -> list[str]:
        self.tried.append((PUBLIC_KEY, ""))
        raise paramiko.AuthenticationException

    def auth_password(self, user: str, password: str, fallback: bool = True) -> list[str]:
        assert not fallback
        return self._judge(PASSWORD, password)

    def auth_interactive(self, user: str, handler: Callable[..., list[str]]) -> list[str]:
        assert handler("", "", []) == []
        assert handler("", "", [("your name: ", True)]) == [""]
        return self._judge(KEYBOARD, *handler("", "", [("Password: ", False)]))

    def _judge(self, way: str, password: str) -> list[str]:
        self.tried.append((way, password))
        if way not in self._allowed:
            raise paramiko.BadAuthenticationType("", self._allowed)
        if password != self._right:
            raise paramiko.AuthenticationException
        self._is_in = True
        return []


def target(
    *methods: str, keys: tuple[Path, ...] = (), known_hosts: tuple[Path, ...] = ()
) -> Target:
    ways = frozenset(methods or (PUBLIC_KEY, PASSWORD, KEYBOARD))
    return Target("n1", "n1", 22, "me", keys, True, True, known_hosts=known_hosts, methods=ways)


def credentials(password: str | None = WORD) -> Credentials:
    return Credentials(Secrets({}, None), Passwords(ssh=Secret(password) if password else None))


def refusal(
    transport: FakeTransport, host: Target, is_last: bool = True, no_password: str = ""
) -> str:
    with pytest.raises(paramiko.AuthenticationException) as raised:
        credentials().log_in(transport, host, is_last, no_password)
    return str(raised.value)


@pytest.mark.parametrize(
    ("allowed", "methods", "tried"),
    [
        ([PASSWORD], [], [PASSWORD]),
        ([KEYBOARD], [], [PASSWORD, KEYBOARD]),
        ([KEYBOARD, PASSWORD], [KEYBOARD], [KEYBOARD]),
        ([PASSWORD], [PASSWORD], [PASSWORD]),
    ],
)
def test_a_password_goes_to_the_last_host_by_the_ways_that_are_left(
    allowed: list[str], methods: list[str], tried: list[str]
) -> None:
    transport = FakeTransport(*allowed)
    credentials().log_in(transport, target(*methods))
    assert transport.tried == [(way, WORD) for way in tried] and transport.is_authenticated()


def test_a_wrong_password_is_tried_once() -> None:
    transport = FakeTransport(PASSWORD, KEYBOARD, right="another")
    assert "it refused the password" in refusal(transport, target())
    assert transport.tried == [(PASSWORD, WORD)]


def test_a_host_on_the_way_is_given_no_password() -> None:
    transport = FakeTransport(PASSWORD)
    refusal(transport, target(), is_last=False)
    assert transport.tried == []


def test_a_host_that_is_to_be_logged_in_to_by_key_alone_is_given_no_password() -> None:
    transport = FakeTransport(PASSWORD, KEYBOARD)
    said = refusal(transport, target(PUBLIC_KEY))
    assert (
        "PasswordAuthentication or PreferredAuthentications excludes it" in said
        and transport.tried == []
    )


def test_a_host_whose_key_was_added_just_now_is_given_no_password() -> None:
    transport = FakeTransport(PASSWORD)
    assert (
        "compare it" in refusal(transport, target(), no_password="compare it")
        and transport.tried == []
    )


def written_key(path: Path, mode: int) -> Path:
    private = Ed25519PrivateKey.generate()
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o610])
def test_a_private_key_that_others_may_read_is_refused_as_ssh_does(
    tmp_path: Path, mode: int
) -> None:
    host, transport = target(keys=(written_key(tmp_path / "key", mode),)), FakeTransport()
    ours = credentials(None)
    ours.open([host])
    with pytest.raises(paramiko.AuthenticationException) as raised:
        ours.log_in(transport, host)
    assert f"others may use it (its mode is {mode:04o}), so ssh refuses it, too: chmod 600 " in str(
        raised.value
    )
    assert transport.tried == []


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_key_that_is_ours_alone_is_offered(tmp_path: Path, mode: int) -> None:
    host, transport = target(keys=(written_key(tmp_path / "key", mode),)), FakeTransport()
    ours = credentials(None)
    ours.open([host])
    with pytest.raises(paramiko.AuthenticationException):
        ours.log_in(transport, host)
    assert transport.tried == [(PUBLIC_KEY, "")]


def test_no_key_is_offered_where_keys_are_switched_off(tmp_path: Path) -> None:
    host, transport = (
        target(PASSWORD, keys=(written_key(tmp_path / "key", 0o600),)),
        FakeTransport(PASSWORD),
    )
    ours = credentials()
    ours.open([host])
    ours.log_in(transport, host)
    assert transport.tried == [(PASSWORD, WORD)]


def test_a_host_key_counts_as_added_for_the_whole_run_that_added_it(tmp_path: Path) -> None:
    file, key = tmp_path / "known_hosts", HostKey("ssh-ed25519", BLOB)
    host, added, next_run = target(known_hosts=(file,)), AddedKeys(), AddedKeys()
    assert not added.has(host, key)
    assert added.add(host, key).trust is Trust.KNOWN and added.has(host, key)
    assert added.add(host, key).entry is not None and added.has(host, key)
    assert not added.has(host, HostKey("ssh-ed25519", BLOB + b"x"))
    assert next_run.add(host, key).entry is not None and not next_run.has(host, key)
