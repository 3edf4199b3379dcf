"""The host keys that we know (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT): hashed names, patterns, revoked keys.

Not by paramiko's reader, which knows neither patterns nor markers, and takes no file that has a marker.
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

from kafka_rolling_restart.ssh.config_file import matches

HASHED = "|1|"
REVOKED, AUTHORITY = "@revoked", "@cert-authority"


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
    """One line. ``where`` is its file and number."""

    marker: str
    names: tuple[str, ...]
    key: HostKey
    where: str

    def is_of(self, name: str) -> bool:
        """Tell whether the line is about a host."""
        if self.names[0].startswith(HASHED):
            return hashed(name, self.names[0]) == self.names[0]
        return matches(list(self.names), name)


@dataclass(frozen=True)
class Judgement:
    """What is known of a host's key; ``entry`` is the line that says so, or that is contradicted."""

    trust: Trust
    entry: Entry | None = None
    has_authority: bool = False


def read(files: Iterable[Path]) -> list[Entry]:
    """Return the lines of those files that are there; a line that makes no sense is left out, as in OpenSSH."""
    return [entry for file in files if file.exists() for entry in _entries(file)]


def judge(entries: Sequence[Entry], names: Sequence[str], key: HostKey) -> Judgement:
    """Say what is known of a key. Only the first name can contradict it: the others are fallbacks."""
    here = [entry for entry in entries if any(entry.is_of(name) for name in names)]
    revoked = next((one for one in here if one.marker == REVOKED and one.key == key), None)
    if revoked:
        return Judgement(Trust.REVOKED, revoked)
    plain = [one for one in here if not one.marker]
    same = next((one for one in plain if one.key == key), None)
    if same:
        return Judgement(Trust.KNOWN, same)
    authority = any(one.marker == AUTHORITY for one in here)
    other = next((one for one in plain if one.is_of(names[0])), None)
    return Judgement(Trust.CHANGED if other else Trust.UNKNOWN, other, authority)


def kinds(entries: Sequence[Entry], names: Sequence[str]) -> list[str]:
    """Return the kinds of the keys that are known of a host, so that it is asked for one of those."""
    return [one.key.kind for one in entries if not one.marker and any(one.is_of(name) for name in names)]


def add(file: Path, name: str, key: HostKey, hash_name: bool) -> Judgement:
    """Add a key to a file, unless another login or program has just added one for this name; return what holds now."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(descriptor, "rb+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        present = stream.read()
        now = judge(list(_entries(file)), [name], key)
        if now.trust is Trust.UNKNOWN:
            gap = b"" if not present or present.endswith(b"\n") else b"\n"
            shown = hashed(name) if hash_name else name
            os.write(descriptor, gap + f"{shown} {key.kind} {base64.b64encode(key.blob).decode()}\n".encode())
            return Judgement(Trust.KNOWN)
        return now


def hashed(name: str, like: str = "") -> str:
    """Return a name as it stands in a file with hashed names; with the salt of ``like``, or a new one."""
    try:
        salt = base64.b64decode(like.split("|")[2]) if like else os.urandom(20)
    except (ValueError, IndexError):
        return ""
    digest = hmac.new(salt, name.lower().encode(), hashlib.sha1).digest()
    return f"{HASHED}{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def _entries(file: Path) -> Iterator[Entry]:
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#"):
            continue
        try:
            key = HostKey(words[1], base64.b64decode(words[2], validate=True))
        except ValueError:
            continue
        yield Entry(marker, tuple(words[0].split(",")), key, f"{file}, line {number}")
