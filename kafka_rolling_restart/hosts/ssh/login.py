"""Prove who we are to a host: the agent's keys, key files and a password, in an order that wastes
no try."""

import base64
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

import paramiko

from kafka_rolling_restart.errors import UsageError
from kafka_rolling_restart.hosts.ssh.config import KEYBOARD, PASSWORD, PUBLIC_KEY, Target
from kafka_rolling_restart.parallel import NotInTime, call_in_thread
from kafka_rolling_restart.settings.secret import KEY_PASSPHRASE, PREFIX, Passwords, Secret, Secrets

KINDS = {
    b"ssh-ed25519": paramiko.Ed25519Key,
    b"ecdsa-sha2": paramiko.ECDSAKey,
    b"ssh-rsa": paramiko.RSAKey,
}
OPENSSH = b"openssh-key-v1\0"
AGENT_S = 5.0
TRIES = 3  # for a passphrase that is typed
PRIVATE = b"PRIVATE KEY-----"


class Locked(Exception):
    """A key file that needs a passphrase, or another one."""


@dataclass(frozen=True)
class Offer:
    """A key that may be tried, and what it is called in messages."""

    label: str
    key: Any
    blob: bytes


class Credentials:
    """The keys of the files, opened once and before the first login, and the password, if there is
    one."""

    def __init__(self, secrets: Secrets, passwords: Passwords) -> None:
        self._secrets = secrets
        self._password = passwords.ssh
        self._passphrases = [passwords.passphrase] if passwords.passphrase else []
        self._keys: dict[Path, tuple[Offer, ...]] = {}
        self._closed: dict[Path, str] = {}

    def open(self, targets: Iterable[Target]) -> None:
        """Open the keys of hosts and of the hops to them; ask for a passphrase, once for a key,
        where one is needed.

        A key that the agent holds is not asked for, nor one that was named for no host where
        another may do.
        """
        hosts = list(dict.fromkeys(hop for target in targets for hop in (*target.via, target)))
        held = _held_by_agent()
        locked = [
            path
            for path in dict.fromkeys(key for host in hosts for key in host.keys)
            if not self._try(path)
        ]
        for path in locked:
            if _public(path) not in held:
                self._unlock(
                    path, any(path in host.keys and self._needs(host, held) for host in hosts)
                )

    def log_in(
        self, transport: Any, target: Target, is_last: bool = True, no_password: str = ""
    ) -> None:
        """Log in on a connection whose host key was verified. Raises `paramiko.SSHException` with
        what was tried.

        The password is for the last host alone, never for one on the way; ``no_password`` says why
        it must not be sent there either.
        """
        refused: list[str] = []
        allowed: Sequence[str] = ()
        if PUBLIC_KEY in target.methods:
            with closing(paramiko.Agent()) as agent:
                allowed = _offer_keys(
                    transport, target.user, self._offers(target, agent.get_keys()), refused
                )
        if transport.is_authenticated():
            return
        kept_back = ""
        if self._password is not None and is_last and transport.is_active():
            kept_back = no_password or _switched_off(target)
            if not kept_back:
                allowed = _offer_password(transport, target, self._password, refused) or allowed
        if not transport.is_authenticated():
            why = self._why(transport, target, refused, allowed)
            raise paramiko.AuthenticationException("; ".join(filter(None, [why, kept_back])))

    def _offers(self, target: Target, held: Sequence[Any]) -> list[Offer]:
        """Return the keys in the order in which they are tried, each of them once.

        Keys that were named for the host come before the others of the agent, unlike in OpenSSH: a
        server hangs up after a few tries.
        """
        agent = {
            key.blob: Offer(f"the agent's {key.comment or key.get_name()}", key, key.blob)
            for key in held
        }
        mine = [agent[blob] for path in target.keys if (blob := _public(path)) in agent]
        files = [offer for path in target.keys for offer in self._keys.get(path, ())]
        others = [] if target.identities_only else list(agent.values())
        order = [*mine, *files, *others] if target.names_keys else [*mine, *others, *files]
        offers: dict[bytes, Offer] = {}
        for offer in order:
            offers.setdefault(offer.blob, offer)
        return list(offers.values())

    def _needs(self, host: Target, held: set[bytes]) -> bool:
        """Tell whether a host's locked keys are worth a question."""
        has_password = self._password is not None and not _switched_off(host)
        others = has_password or bool(held) or any(path in self._keys for path in host.keys)
        return host.names_keys or not others

    def _try(self, path: Path, passphrases: Sequence[Secret | None] | None = None) -> bool:
        """Open a key file as far as we can; return whether it is settled: open, not there, or of no
        use."""
        for passphrase in passphrases or (None, *self._passphrases):
            try:
                self._keys[path] = _load(path, passphrase)
            except FileNotFoundError:
                return True
            except Locked as error:
                self._closed[path] = str(error)
            except (OSError, ValueError, paramiko.SSHException) as error:
                self._closed[path] = f"{path} cannot be used: {error}"
                return True
            else:
                self._closed.pop(path, None)
                return True
        return False

    def _unlock(self, path: Path, is_needed: bool) -> None:
        tries = TRIES if is_needed and self._secrets.can_ask else 0
        for _ in range(tries):
            passphrase = self._secrets.ask(f"passphrase for {path}")
            if self._try(path, [passphrase]):
                self._passphrases.append(passphrase)
                return
        if tries:
            raise UsageError(
                f"{path}: the passphrase does not open it. Try: `ssh-add {path}`",
                code="key-passphrase-wrong",
            )

    def _why(
        self, transport: Any, target: Target, refused: Sequence[str], allowed: Sequence[str]
    ) -> str:
        if not transport.is_active() and refused:
            return (
                f"the server hung up after {', '.join(refused)} (too many authentication "
                "failures?). Name the right key with IdentityFile, and set IdentitiesOnly yes"
            )
        closed = [self._closed[path] for path in target.keys if path in self._closed]
        shown = (
            f"it refused {', '.join(refused)}"
            if refused
            else "there was no key and no password to offer"
        )
        wants = f"it allows {', '.join(allowed)}" if allowed else ""
        return "; ".join(filter(None, [shown, wants, *closed]))


def _offer_keys(
    transport: Any, user: str, offers: Iterable[Offer], refused: list[str]
) -> Sequence[str]:
    """Try keys until one is taken; return the ways to log in that the server allows, where it says
    so."""
    for offer in offers:
        if transport.is_authenticated() or not transport.is_active():
            break
        try:
            further: Sequence[str] = transport.auth_publickey(user, offer.key)
            if further:  # the key is right, and not enough
                return further
        except paramiko.BadAuthenticationType as error:
            return error.allowed_types
        except paramiko.SSHException:
            refused.append(offer.label)
    return ()


def _switched_off(target: Target) -> str:
    """Say why a host is given no password by its configuration; empty where it is."""
    if target.methods & {PASSWORD, KEYBOARD}:
        return ""
    return (
        "no password was sent, because PasswordAuthentication or PreferredAuthentications "
        "excludes it"
    )


def _offer_password(
    transport: Any, target: Target, password: Secret, refused: list[str]
) -> Sequence[str]:
    """Try the password by the ways that the configuration leaves; return those that the server
    allows, where it says so."""
    allowed: Sequence[str] = ()
    for method in (PASSWORD, KEYBOARD):
        if (
            method not in target.methods
            or transport.is_authenticated()
            or not transport.is_active()
        ):
            continue
        try:
            if method == PASSWORD:
                further = transport.auth_password(target.user, password.reveal(), fallback=False)
            else:
                further = transport.auth_interactive(target.user, partial(_answers, password))
            if further:  # the password is right, and not enough
                return list(further)
        except paramiko.BadAuthenticationType as error:
            allowed = error.allowed_types
        except paramiko.AuthenticationException:
            refused.append("the password")
            return allowed  # servers count tries, and it is the same password
    return allowed


def _answers(
    password: Secret, title: str, instructions: str, prompts: Sequence[tuple[str, bool]]
) -> list[str]:
    """Answer one question whose answer is not to be shown, which is the one for the password; none
    of another kind."""
    questions = [shows for _, shows in prompts]
    return [password.reveal()] if questions == [False] else ["" for _ in questions]


def _held_by_agent() -> set[bytes]:
    """Return the keys that the agent has, none where it does not answer."""
    with (
        suppress(NotInTime, paramiko.SSHException, OSError),
        closing(call_in_thread(paramiko.Agent, AGENT_S)) as agent,
    ):
        return {key.blob for key in agent.get_keys()}
    return set()


def _load(path: Path, passphrase: Secret | None) -> tuple[Offer, ...]:
    """Read a key, and the certificate beside it, which is tried first. Raises `Locked`, and what
    paramiko raises."""
    read = partial(_private, path, passphrase)
    plain = read()
    offers = [Offer(str(path), plain, plain.asbytes())]
    certificate = Path(f"{path}-cert.pub")
    if certificate.exists():
        key = read()
        key.load_certificate(str(certificate))
        offers.insert(0, Offer(str(certificate), key, key.public_blob.key_blob))
    return tuple(offers)


def _private(path: Path, passphrase: Secret | None) -> Any:
    _require_unshared(path)
    why: Exception | None = None
    for kind in _kinds(path):
        try:
            return kind.from_private_key_file(
                str(path), passphrase.reveal() if passphrase else None
            )
        except OSError:
            raise
        except paramiko.PasswordRequiredException as error:
            fix = f"run ssh-add {path}, or set {PREFIX}{KEY_PASSPHRASE}"
            raise Locked(f"{path} is encrypted: {fix}") from error
        except (
            Exception
        ) as error:  # of another kind, or the passphrase is wrong: paramiko does not tell which
            why = error
    if passphrase is not None:
        raise Locked(
            f"{path} is encrypted, and not opened by the passphrase: run ssh-add {path}"
        ) from why
    raise paramiko.SSHException(
        f"it is no key of a kind that is supported (ed25519, ECDSA, RSA): {why}"
    ) from why


def _require_unshared(path: Path) -> None:
    """Refuse a private key of ours that others may read, as OpenSSH does. Raises `ValueError`."""
    status = path.stat()
    if status.st_uid == os.getuid() and status.st_mode & 0o077 and PRIVATE in path.read_bytes():
        mode = f"{status.st_mode & 0o777:04o}"
        raise ValueError(
            f"others may use it (its mode is {mode}), so ssh refuses it, too: chmod 600 "
            f"{quote(str(path))}"
        )


def _kinds(path: Path) -> list[Any]:
    """Return the kinds that a key may be of: one where the file tells, because trying takes about a
    second."""
    with suppress(OSError, ValueError):
        blob = _public_part(path.read_text(encoding="utf-8"))
        return [kind for name, kind in KINDS.items() if blob[4:].startswith(name)] or list(
            KINDS.values()
        )
    return list(KINDS.values())


def _public(path: Path) -> bytes:
    """Return the public key that belongs to a key file, out of FILE.pub or the file itself; empty
    where it is in neither."""
    reads: tuple[Callable[[], bytes], ...] = (
        lambda: base64.b64decode(Path(f"{path}.pub").read_text(encoding="utf-8").split()[1]),
        lambda: _public_part(path.read_text(encoding="utf-8")),
        lambda: base64.b64decode(
            path.read_text(encoding="utf-8").split()[1]
        ),  # IdentityFile may name FILE.pub itself
    )
    for read in reads:
        with suppress(OSError, ValueError, IndexError):
            if blob := read():
                return blob
    return b""


def _public_part(text: str) -> bytes:
    """Return the public key out of a private one in OpenSSH's format, where it is not encrypted
    (PROTOCOL.key)."""
    data = base64.b64decode("".join(line for line in text.splitlines() if "-----" not in line))
    if not data.startswith(OPENSSH):
        return b""
    message = paramiko.Message(data[len(OPENSSH) :])
    for _ in range(3):  # the cipher, the key derivation and its options
        message.get_binary()
    message.get_int()
    return message.get_binary()
