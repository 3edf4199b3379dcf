"""The host keys that we know (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT): hashed names, patterns,
revoked keys.

Not by paramiko's reader, which knows neither patterns nor markers, and takes no file that has a
marker.
"""

import base64
import fcntl
import hashlib
import hmac
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from kafka_rolling_restart.errors import SshError
from kafka_rolling_restart.hosts.ssh.config_file import host_matches

HASHED = "|1|"
REVOKED, AUTHORITY = "@revoked", "@cert-authority"
BLANK = " \t"  # what separates the words of a line; lines end at \n alone
REVOCATION_LIST = b"SSHKRL\n\0"  # ssh-keygen -k writes such files


class Trust(Enum):
    """What the files say of a key."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    CHANGED = "changed"
    REVOKED = "revoked"


@dataclass(frozen=True)
class HostKey:
    """A host's public key, as it is sent."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """The SHA256 fingerprint, as ssh-keygen -l shows it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.kind} {self.fingerprint}"


@dataclass(frozen=True)
class Entry:
    """One line. ``names`` are as they are written, ``where`` is its file and number."""

    marker: str
    names: str
    key: HostKey
    where: str

    def is_of(self, name: str) -> bool:
        """Tell whether the line is about a host."""
        if self.names.startswith("|"):
            return self.names.startswith(HASHED) and hashed(name, self.names) == self.names
        return host_matches(self.names.split(","), name)


@dataclass(frozen=True)
class Judgement:
    """What is known of a host's key; ``entry`` is the line that says so, or that is
    contradicted."""

    trust: Trust
    entry: Entry | None = None
    has_authority: bool = False


def read(files: Iterable[Path]) -> list[Entry]:
    """Return the lines of those files that are there; a line that makes no sense is left out, as in
    OpenSSH."""
    return [entry for file in files if file.exists() for entry in _entries(file, file.read_bytes())]


def judge(entries: Sequence[Entry], names: Sequence[str], key: HostKey) -> Judgement:
    """Say what is known of a key. The second name is looked up only where the first has no key at
    all, as in OpenSSH.

    A fallback may know a key, and cannot contradict it. A key that is revoked under any of the
    names is revoked.
    """
    here = [entry for entry in entries if any(entry.is_of(name) for name in names)]
    revoked = next((one for one in here if one.marker == REVOKED and one.key == key), None)
    if revoked:
        return Judgement(Trust.REVOKED, revoked)
    authority = any(one.marker == AUTHORITY for one in here)
    for name in names:
        keys = [one for one in here if not one.marker and one.is_of(name)]
        same = next((one for one in keys if one.key == key), None)
        if same:
            return Judgement(Trust.KNOWN, same)
        if keys and name == names[0]:
            return Judgement(Trust.CHANGED, keys[0], authority)
    return Judgement(Trust.UNKNOWN, has_authority=authority)


def kinds(entries: Sequence[Entry], names: Sequence[str]) -> list[str]:
    """Return the kinds of the keys that are known of a host, so that it is asked for one of
    those."""
    for name in names:
        if found := [one.key.kind for one in entries if not one.marker and one.is_of(name)]:
            return found
    return []


def revoked_in(file: Path, key: HostKey) -> str:
    """Return the line of a file of RevokedHostKeys that has a key, empty where none has. Raises
    `SshError`.

    As in OpenSSH a file that cannot be read, or that has a line which is no key, lets nobody log in
    anywhere.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SshError(
            f"RevokedHostKeys {file}: cannot be read ({error.strerror}), so ssh refuses all hosts",
            code="host-keys-unreadable",
        ) from error
    if content.startswith(REVOCATION_LIST):
        raise SshError(
            f"RevokedHostKeys {file}: is a KRL, which is not supported. Name a text file there, "
            "with one public key a line",
            code="host-keys-unreadable",
        )
    for number, line in enumerate(_lines(content), 1):
        text = line.lstrip(BLANK)
        if not text or text.startswith("#"):
            continue
        revoked = _key(text)
        if revoked is None:
            raise SshError(
                f"RevokedHostKeys {file}, line {number}: is no public key, so ssh refuses all "
                "hosts",
                code="host-keys-unreadable",
            )
        if revoked.blob == key.blob:
            return f"{file}, line {number}"
    return ""


def add(file: Path, name: str, key: HostKey, hash_name: bool) -> Judgement:
    """Add a key to a file, unless another login or program has just added one for this name; return
    what holds now."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(descriptor, "rb+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        present = stream.read()
        now = judge(list(_entries(file, present)), [name], key)
        if now.trust is Trust.UNKNOWN:
            gap = b"" if not present or present.endswith(b"\n") else b"\n"
            shown = hashed(name) if hash_name else name
            os.write(
                descriptor,
                gap + f"{shown} {key.kind} {base64.b64encode(key.blob).decode()}\n".encode(),
            )
            return Judgement(Trust.KNOWN)
        return now


def hashed(name: str, like: str = "") -> str:
    """Return a name as it stands in a file with hashed names; with the salt of ``like``, or a new
    one."""
    try:
        salt = base64.b64decode(like.split("|")[2]) if like else os.urandom(20)
    except (ValueError, IndexError):
        return ""
    digest = hmac.new(salt, name.lower().encode(), hashlib.sha1).digest()
    return f"{HASHED}{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def _entries(file: Path, content: bytes) -> Iterator[Entry]:
    for number, line in enumerate(_lines(content), 1):
        text = line.lstrip(BLANK)
        marker = ""
        if text.startswith("@"):
            marker, text = _word(text)
        names, text = _word(text)
        if not names or names.startswith("#") or marker not in ("", REVOKED, AUTHORITY):
            continue
        key = _key(text)
        if key is not None:
            yield Entry(marker, names, key, f"{file}, line {number}")


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "replace").split("\n")


def _word(text: str) -> tuple[str, str]:
    """Return the first word of a text, and what comes after the spaces behind it."""
    for at, one in enumerate(text):
        if one in BLANK:
            return text[:at], text[at:].lstrip(BLANK)
    return text, ""


def _key(text: str) -> HostKey | None:
    """Return the public key with which a text begins, None where there is none: its kind is in it
    once more."""
    kind, rest = _word(text)
    encoded = _word(rest)[0].strip("\r\f\v")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except ValueError:
        return None
    written = kind.encode()
    if not kind or not blob.startswith(len(written).to_bytes(4, "big") + written):
        return None
    return HostKey(kind, blob)
