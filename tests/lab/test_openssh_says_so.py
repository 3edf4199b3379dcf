"""Random SSH configurations and known_hosts files: what we read in them is what OpenSSH's own
programs read in them.

Others each time, and thousands: ``KRR_EXAMPLES=5000 python -m pytest
tests/lab/test_openssh_says_so.py``. Without it a few hundred are tried, the same ones each time.
"""

from __future__ import annotations

import getpass
import os
import re
import secrets
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as ecdsa_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, example, given, seed, settings
from hypothesis import strategies as st

from kafka_rolling_restart.errors import SshError, UsageError
from kafka_rolling_restart.hosts.ssh.config import SshConfig, SshOptions, Target
from kafka_rolling_restart.hosts.ssh.known_hosts import AUTHORITY, REVOKED, hashed, read

from .needs import program
from .ssh_files import SSH_PORT
from .ssh_scene import SshScene

EXAMPLES = int(os.environ.get("KRR_EXAMPLES", 0))
SEED = secrets.randbits(32) if EXAMPLES else 1
FOLDERS = count()
Test = TypeVar("Test", bound=Callable[..., Any])

NAMES = ("kafka1", "kafka1", "kafka1", "KAFKA1", "kafka2", "127.0.0.9")
PATTERNS = (
    "kafka1",
    "kafka1",
    "KAFKA1",
    "kafka2",
    "kafka*",
    "kafka1,kafka2",
    "*",
    "*",
    "!kafka1",
    "!kafka2",
    "*.example",
)
SETTINGS: dict[str, tuple[str, ...]] = {
    "HostName": ("kafka2", "kafka2", "KAFKA1", "%h.example", "x%%y", "10.0.0.1", '"n"'),
    "Port": ("1", "22", "65535", '"7"'),
    "User": ("me", "DOMAIN\\me", "'a_b'", "root", "Root"),
    "IdentityFile": ("/one", '"/two three"', "/one", "none", "'/k'#x", "/a\\ b"),
    "IdentitiesOnly": ("yes", "no", "true", "FALSE"),
    "StrictHostKeyChecking": ("yes", "no", "off", "ask", "accept-new", "true", "false"),
    "HashKnownHosts": ("yes", "no"),
    "UserKnownHostsFile": ("/a /b", "none", '"/c d"', "/e # f"),
    "HostKeyAlias": ("alias", "Alias", "kafka1"),
    "RevokedHostKeys": ("/revoked", "none"),
    "PasswordAuthentication": ("yes", "no"),
    "PubkeyAuthentication": ("yes", "no", "unbound"),
    "KbdInteractiveAuthentication": ("yes", "no"),
    "ChallengeResponseAuthentication": ("yes", "no"),
    "PreferredAuthentications": (
        "publickey",
        "password,publickey",
        "keyboard-interactive",
        "gssapi-with-mic",
    ),
    "ProxyCommand": ("none", "nc %h", "= nc 'a b' # c", "None"),
    "ProxyJump": ("none", "NONE", "hop1", "hop1,me@hop2:7", "hop1 # none"),
    "CanonicalizeHostname": ("no", "yes", "always"),
    "LogLevel": ("INFO", "DEBUG"),
}
OFTEN = (
    "HostName",
    "User",
    "Port",
) * 4  # what conditions ask for, and what differs most where they are misread
SEPARATORS = (" ", "  ", "\t", "=", " = ", " =", "= ")
CRITERIA = (
    "host",
    "host",
    "HOST",
    "originalhost",
    "user",
    "User",
    "localuser",
    "exec",
    "final",
    "canonical",
)
TESTS = (
    "%h = kafka2",
    "%n = kafka1",
    "%p = 7",
    "%r = me",
    "%k = alias",
    "%k = kafka1",
    "a = a",
    "%L = %l",
)
USERS = ("me", "ROOT", "root", getpass.getuser(), "r*", "me,root", "!me,*", "Root")
COMMENTS = (
    "# a\x0cPort 99",
    "# a\x85Port 99",
    "# a\u2028Port 99",
    "# a\rPort 99",
    "#\x0bPort 99\x1cPort 98",
    "",
    " \t",
    "#",
)
ENDS = ("", " ", "\t", "\r", "\x0c", " # said", " \x0c ")


@dataclass(frozen=True)
class File:
    """A file of a configuration, and whether others may write it."""

    lines: tuple[str, ...]
    mode: int = 0o600


def as_often_as_told(test: Test) -> Test:
    """Give a test its examples: always the same ones, unless their number is said."""
    return _examples(test, EXAMPLES or 300)


def fewer(test: Test) -> Test:
    """Give a test that logs in its examples."""
    return _examples(test, EXAMPLES // 20 or 30)


def _examples(test: Test, number: int) -> Test:
    checks = list(HealthCheck)
    decorated = settings(
        max_examples=number, database=None, deadline=None, suppress_health_check=checks
    )(test)
    return seed(SEED)(decorated)


class Author:
    """Writes configurations at random: blocks whose conditions often hold, and settings that other
    conditions ask for."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def configuration(self) -> dict[str, File]:
        """Return files by name: `config`, which may include `one` and `two`, and `one`, which may
        include `two`."""
        modes = [self._random.choice((0o600,) * 20 + (0o644, 0o606, 0o602)) for _ in range(2)]
        return {
            "config": File(self._lines(self._random.randint(1, 6), ("one", "two", "t*")), 0o666),
            "one": File(self._lines(self._random.randint(0, 2), ("two",)), modes[0]),
            "two": File(self._lines(self._random.randint(0, 2), ()), modes[1]),
        }

    def name(self) -> str:
        """Return a host to ask for."""
        return self._random.choice(NAMES)

    def _lines(self, blocks: int, includes: tuple[str, ...]) -> tuple[str, ...]:
        lines = [self._setting() for _ in range(self._random.choice((0, 0, 1)))]
        for _ in range(blocks):
            lines.append(self._random.choice((self._host_line, self._match_line))())
            lines += [self._line(includes) for _ in range(self._random.randint(1, 5))]
        return tuple(lines)

    def _line(self, includes: tuple[str, ...]) -> str:
        if includes and self._random.random() < 0.1:
            return f"Include {self._random.choice(includes)}"
        if self._random.random() < 0.1:
            return self._random.choice(COMMENTS)
        return self._setting()

    def _setting(self) -> str:
        keyword = self._random.choice((*OFTEN, *SETTINGS))
        value = self._random.choice(SETTINGS[keyword])
        spelled = self._random.choice((keyword, keyword.lower(), keyword.upper()))
        end = "" if "#" in value or keyword.startswith("Proxy") else self._random.choice(ENDS)
        indent = self._random.choice(("", "  ", chr(9)))
        return f"{indent}{spelled}{self._random.choice(SEPARATORS)}{value}{end}"

    def _host_line(self) -> str:
        patterns = [self._random.choice(PATTERNS) for _ in range(self._random.randint(1, 3))]
        return (
            f"Host{self._random.choice(SEPARATORS)}{' '.join(patterns)}{self._random.choice(ENDS)}"
        )

    def _match_line(self) -> str:
        criteria = [self._criterion() for _ in range(self._random.choice((1, 1, 1, 2, 3)))]
        if self._random.random() < 0.1:
            criteria = [
                *criteria[: self._random.randint(0, 1)],
                self._random.choice(("all", "!all")),
            ]
        return f"Match {' '.join(criteria)}{self._random.choice(ENDS)}"

    def _criterion(self) -> str:
        kind = self._random.choice(CRITERIA)
        negation = self._random.choice(("", "", "", "!"))
        if kind in ("final", "canonical"):
            return negation + kind
        if kind == "exec":
            return f'{negation}exec "test {self._random.choice(TESTS)}"'
        value = self._random.choice(USERS if kind.lower().endswith("user") else PATTERNS)
        return f"{negation}{kind}{self._random.choice((' ', '=', ' = '))}{value}"


def written(folder: Path, files: dict[str, File]) -> Path:
    """Write the files; what hops are reached by is the same in all of them, lest they go in
    circles."""
    folder.mkdir()
    for name, file in files.items():
        lines = [re.sub(r"^Include ", f"Include {folder}/", one) for one in file.lines]
        if name == "config":
            lines = ["Host hop?", "ProxyJump none", "ProxyCommand none", "Host *", *lines]
        path = folder / name
        path.write_bytes("\n".join(lines).encode())
        path.chmod(file.mode)
    return folder / "config"


def openssh(config: Path, name: str) -> dict[str, list[str]] | None:
    """Return what `ssh -G` says, None where it refuses the configuration."""
    ended = subprocess.run(
        [program("ssh"), "-F", str(config), "-G", name],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if ended.returncode:
        return None
    told: dict[str, list[str]] = {}
    for one in ended.stdout.split("\n"):
        told.setdefault(one.partition(" ")[0], []).append(one.partition(" ")[2])
    return told


def assert_same(target: Target, told: dict[str, list[str]]) -> None:
    def first(keyword: str, default: str = "") -> str:
        return told.get(keyword, [default])[0]

    assert target.address == first("hostname")
    assert target.user == first("user")
    assert str(target.port) == first("port")
    if target.names_keys:
        assert [str(path) for path in target.keys] == [
            one for one in told["identityfile"] if one.lower() != "none"
        ]
    assert target.identities_only is (first("identitiesonly") == "yes")
    assert target.adds_unknown is (first("stricthostkeychecking") in ("accept-new", "false"))
    assert target.hashes_names is (first("hashknownhosts") == "yes")
    known = " ".join(map(str, target.known_hosts))
    assert known == first("userknownhostsfile").replace("none", "") or known.endswith(
        "/.ssh/known_hosts2"
    )
    assert target.alias == first("hostkeyalias")
    assert (str(target.revoked_keys) if target.revoked_keys else "none") == first(
        "revokedhostkeys", "none"
    )
    methods = {
        "password": first("passwordauthentication") == "yes",
        "keyboard-interactive": first("kbdinteractiveauthentication") == "yes",
        "publickey": first("pubkeyauthentication") != "false",
    }
    preferred = first("preferredauthentications", ",".join(methods)).split(",")
    assert target.methods == {
        method for method, is_on in methods.items() if is_on and method in preferred
    }
    jumps = [one for one in first("proxyjump").split(",") if one]
    assert [hop.name for hop in target.via] == [
        one.rpartition("@")[2].partition(":")[0] for one in jumps
    ]
    command = first("proxycommand", "none")
    shown = command.replace("%h", target.address)
    assert (target.proxy_command or "none") == ("none" if command.lower() == "none" else shown)


@as_often_as_told
@given(
    st.integers(0, 2**48).map(Random)
)  # as a source of its own, it repeats itself less than hypothesis would
def test_a_random_configuration_says_of_a_host_what_ssh_says(
    lab_needs: None, tmp_path_factory: pytest.TempPathFactory, random: Random
) -> None:
    author = Author(random)
    files, name = author.configuration(), author.name()
    config = written(tmp_path_factory.getbasetemp() / f"config-{next(FOLDERS)}", files)
    told = openssh(config, name)
    environ = {"HOME": str(config.parent), "USER": getpass.getuser()}
    try:
        target = SshConfig(environ, SshOptions(config=config)).host(name)
    except UsageError as error:
        assert told is None, (files, name, error)
    else:
        assert told is not None, (files, name)
        assert_same(target, told)


def public_keys() -> tuple[str, ...]:
    """Make two keys of one kind and one of another, as `type base64`."""
    keys = (Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate(), ecdsa_key(SECP256R1()))
    return tuple(
        key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        for key in keys
    )


KEYS = public_keys()
BAD_KEYS = (
    "ssh-ed25519 !!!",
    "ssh-ed25519",
    f"ssh-rsa {KEYS[0].split()[1]}",
    KEYS[0].split()[1],
    "ssh-ed25519 \u00fc",
)
HOSTS = ("n1", "[n1]:2222", "n2", "n10")  # in small letters, as ssh itself looks them up
HOST_FIELDS = (
    *HOSTS,
    *("N1", "[N1]:2222"),
    *(
        "n?",
        "N*",
        "[n1]:*",
        "*",
        "!n1,*",
        "n1,!n1",
        "n2,n1",
        "n2,",
        ",n1",
        "[n1]:2222,n1",
        "!n1",
        "!!n1,*",
        "[n*]:2222",
    ),
    *("|1|nonsense", "|1|a|b", "|2|a|b", "n1|", "[n1]"),
    *(hashed(name) for name in ("n1", "[n1]:2222", "n2")),
    f"{hashed('n1')},n2",
)
KNOWN_COMMENTS = tuple(
    f"# said{end}n1 {KEYS[1]}" for end in ("\x0c", "\x85", "\u2028", "\r", "\x0b", "\x1e")
)


@st.composite
def known_line(draw: st.DrawFn) -> str:
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from((*KNOWN_COMMENTS, "", " ", "#", " # n1", "\r")))
    start = draw(st.sampled_from(("", "", "", "", " ", "\t")))
    marker = draw(
        st.sampled_from(("",) * 6 + (f"{REVOKED} ", f"{AUTHORITY} ", "@other ", "@revokedx "))
    )
    key = draw(st.sampled_from(KEYS * 3 + BAD_KEYS))
    gap = draw(st.sampled_from((" ", " ", "  ", "\t", " \t ")))
    end = draw(st.sampled_from(("", " said", "\r", "\t", " a\x0cn1 b", "\x0c", " # n1")))
    return f"{start}{marker}{draw(st.sampled_from(HOST_FIELDS))}{gap}{key}{end}"


@as_often_as_told
@given(st.lists(known_line(), max_size=8), st.sampled_from(HOSTS), st.sampled_from(("", "\n")))
def test_a_random_known_hosts_file_has_of_a_host_what_ssh_keygen_finds(
    lab_needs: None, tmp_path_factory: pytest.TempPathFactory, lines: list[str], name: str, end: str
) -> None:
    file = tmp_path_factory.getbasetemp() / f"known-{next(FOLDERS)}"
    file.write_bytes(("\n".join(lines) + end).encode())
    told = subprocess.run(
        [program("ssh-keygen"), "-l", "-F", name, "-f", str(file)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    ).stdout
    theirs = re.findall(r"^# Host .* found: line (\d+) ?(REVOKED|CA)?", told, re.MULTILINE)
    words = {"": "", REVOKED: "REVOKED", AUTHORITY: "CA"}
    ours = [
        (one.where.rpartition(" ")[2], words[one.marker]) for one in read([file]) if one.is_of(name)
    ]
    assert ours == theirs


@pytest.fixture(scope="module")
def scene(lab_needs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshScene]:
    with SshScene(tmp_path_factory.mktemp("says-so")) as one:
        one.reset(1)
        yield one


NAME, PLAIN = "{address}", f"[{{address}}]:{SSH_PORT}"
TRUSTS = (
    "",
    f"{PLAIN} {{good}}",
    f"{NAME} {{good}}",
    f"{NAME} {{evil}}",
    f"{PLAIN} {{evil}}",
    f"{PLAIN} {{other}}",
    f"{NAME} {{other}}",
    f"{REVOKED} {PLAIN} {{good}}",
    f"{REVOKED} {PLAIN} {{evil}}",
    f"{AUTHORITY} {PLAIN} {{good}}",
    f"*,!{NAME} {{good}}",
    f"*,!{PLAIN} {{good}}",
    f"# said\x0c{PLAIN} {{good}}",
    f"# said\u2028{NAME} {{good}}",
)


def is_let_in(scene: SshScene, *options: str) -> bool:
    """Tell whether OpenSSH logs in to the host."""
    settings = (
        "BatchMode=yes",
        "UpdateHostKeys=no",
        f"UserKnownHostsFile={scene.known_hosts}",
        "GlobalKnownHostsFile=none",
    )
    command = [program("ssh"), "-F", str(scene.ssh / "config"), "-i", str(scene.ssh / "id_ed25519")]
    for one in (*settings, *options):
        command += ["-o", one]
    return (
        subprocess.run(
            [*command, "n1", "true"], stdin=subprocess.DEVNULL, capture_output=True
        ).returncode
        == 0
    )


def is_known(scene: SshScene) -> bool:
    try:
        return scene.run("n1").status == 0
    except SshError as error:
        assert "host key" in str(error)
        return False


@fewer
@given(st.lists(st.sampled_from(TRUSTS), max_size=3), st.sampled_from(("yes", "accept-new")))
@example([f"{PLAIN} {{evil}}", f"{NAME} {{good}}"], "yes")
@example([f"{PLAIN} {{evil}}", f"{NAME} {{good}}"], "accept-new")
@example([f"{NAME} {{evil}}"], "accept-new")
def test_a_real_server_is_let_in_to_where_ssh_is(
    scene: SshScene, lines: list[str], checking: str
) -> None:
    good = scene.sshd(1).host_key
    text = "".join(f"{one}\n" for one in lines).format(
        address=scene.address(1), good=good, evil=KEYS[0], other=KEYS[2]
    )
    scene.configure(last=f"Host *\n  StrictHostKeyChecking {checking}")
    scene.known_hosts.write_bytes(text.encode())
    theirs = is_let_in(scene)
    after = scene.known_hosts.read_bytes()
    scene.known_hosts.write_bytes(text.encode())
    assert is_known(scene) is theirs
    assert scene.known_hosts.read_bytes() == after
