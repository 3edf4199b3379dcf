"""What known_hosts says of a key; tests/lab/test_openssh_says_so.py holds the same against
ssh-keygen and ssh."""

import base64
from functools import partial
from pathlib import Path

import pytest

from kafka_rolling_restart.errors import SshError
from kafka_rolling_restart.hosts.ssh.known_hosts import (
    REVOCATION_LIST,
    HostKey,
    Trust,
    add,
    hashed,
    judge,
    kinds,
    read,
    revoked_in,
)
from kafka_rolling_restart.parallel import in_parallel


def public(kind: str, rest: bytes) -> HostKey:
    """Return a key as it is sent: its kind comes first."""
    return HostKey(kind, len(kind).to_bytes(4, "big") + kind.encode() + rest)


def text_of(key: HostKey) -> str:
    return f"{key.kind} {base64.b64encode(key.blob).decode()}"


OURS = public("ssh-ed25519", b"ours")
KEY, OTHER, RSA = (
    text_of(OURS),
    text_of(public("ssh-ed25519", b"other")),
    text_of(public("ssh-rsa", b"other")),
)
NAMES = ("[n1]:22022", "n1")


def judged(folder: Path, text: str, names: tuple[str, ...] = NAMES) -> Trust:
    file = folder / "known_hosts"
    file.write_text(text)
    return judge(read([file]), names, OURS).trust


@pytest.mark.parametrize(
    ("text", "trust"),
    [
        ("", Trust.UNKNOWN),
        (f"[n1]:22022 {KEY}", Trust.KNOWN),
        (f"n1 {KEY}", Trust.KNOWN),  # noted without the port
        (f"n1 {OTHER}", Trust.UNKNOWN),  # which does not say that this one is wrong
        (f"[n1]:22022 {OTHER}", Trust.CHANGED),
        (f"[n1]:22022 {OTHER}\n[n1]:22022 {KEY}", Trust.KNOWN),
        (f"[n1]:22022 {RSA}", Trust.CHANGED),  # it was asked for a key of that kind
        (
            f"[n1]:22022 {OTHER}\nn1 {KEY}",
            Trust.CHANGED,
        ),  # what is known without the port is no answer to that
        (f"n1 {KEY}\n[n1]:22022 {OTHER}", Trust.CHANGED),
        (f"@revoked n1 {KEY}", Trust.REVOKED),
        (f"# said\x0c[n1]:22022 {KEY}", Trust.UNKNOWN),  # lines end at \n alone
        (f"# said\x85[n1]:22022 {KEY}", Trust.UNKNOWN),
        (f"# said\u2028[n1]:22022 {KEY}", Trust.UNKNOWN),
        (f"# said\r[n1]:22022 {KEY}", Trust.UNKNOWN),
        (f"[n1]:22022 {KEY}\r\n", Trust.KNOWN),
        (
            f"[n1]:22022 {KEY.replace('ed25519', 'rsa', 1)}",
            Trust.UNKNOWN,
        ),  # of another kind than it says
        (f"@unheard-of [n1]:22022 {KEY}", Trust.UNKNOWN),
        (f"other,[N1]:22022 {KEY} comment", Trust.KNOWN),
        (f"[n*]:22022 {KEY}", Trust.KNOWN),
        (f"[n*]:22022,![n1]:22022 {KEY}", Trust.UNKNOWN),
        pytest.param(
            f"{hashed('[n1]:22022')} {KEY}", Trust.KNOWN, id="hashed"
        ),  # with another salt each time
        pytest.param(f"{hashed('[n2]:22022')} {KEY}", Trust.UNKNOWN, id="another, hashed"),
        (f"|1|nonsense {KEY}\n|1 {KEY}\n|1|\u00fc|\u00fc {KEY}\n", Trust.UNKNOWN),
        (
            f"# [n1]:22022 {KEY}\n[n1]:22022\n[n1]:22022 ssh-ed25519 !!!\n[n1]:22022 ssh-ed25519 "
            "\u00fc\n",
            Trust.UNKNOWN,
        ),
        (f"[n1]:22022 {KEY}\n@revoked * {KEY}", Trust.REVOKED),
        (f"@revoked * {OTHER}\n[n1]:22022 {KEY}", Trust.KNOWN),
        (f"@cert-authority * {KEY}", Trust.UNKNOWN),
    ],
)
def test_a_key_is_known_unknown_changed_or_revoked(tmp_path: Path, text: str, trust: Trust) -> None:
    assert judged(tmp_path, text) is trust


def test_a_host_whose_key_is_known_without_the_port_is_asked_for_a_key_of_that_kind(
    tmp_path: Path,
) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"n1 {RSA}\n")
    assert kinds(read([file]), NAMES) == ["ssh-rsa"]
    file.write_text(f"n1 {RSA}\n[n1]:22022 {KEY}\n")
    assert kinds(read([file]), NAMES) == ["ssh-ed25519"]


def test_a_key_that_is_revoked_by_a_file_of_its_own_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "revoked"
    file.write_text(f"# whom nobody trusts\n\n{OTHER} said\n  {KEY}\n")
    assert revoked_in(file, OURS) == f"{file}, line 4"
    assert revoked_in(file, public("ssh-ed25519", b"third")) == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read (No such file or directory), so ssh refuses all hosts"),
        (REVOCATION_LIST + b"x", "is a KRL, which is not supported"),
        (b"no key\n", "line 1: is no public key"),
        (b"n1 ssh-ed25519 AAAA\n", "line 1: is no public key"),
    ],
)
def test_a_file_of_revoked_keys_that_cannot_be_understood_lets_nobody_log_in(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "revoked"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SshError) as raised:
        revoked_in(file, OURS)
    assert said in str(raised.value) and str(file) in str(raised.value)


def test_what_is_contradicted_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"\n[n1]:22022 {OTHER}\n@cert-authority n1 {OTHER}\n")
    found = judge(read([tmp_path / "not there", file]), NAMES, OURS)
    assert (
        found.entry is not None and found.entry.where == f"{file}, line 2" and found.has_authority
    )
    assert kinds(read([file]), NAMES) == ["ssh-ed25519"]


def test_many_logins_at_once_add_a_key_once_and_leave_the_file_whole(tmp_path: Path) -> None:
    file = tmp_path / "ssh" / "known_hosts"
    calls = {
        (number, one): partial(add, file, f"n{number}", OURS, hash_name=number % 2 == 0)
        for number in range(20)
        for one in range(5)
    }
    found = in_parallel(calls).values()
    assert {one.trust for one in found} == {Trust.KNOWN} and sum(
        one.entry is None for one in found
    ) == 20
    lines = file.read_text().splitlines()
    assert len(lines) == 20 and all(line.endswith(f" {KEY}") for line in lines)
    assert all(
        judge(read([file]), [f"n{number}"], OURS).trust is Trust.KNOWN for number in range(20)
    )
    assert (
        sum(line.startswith("|1|") for line in lines) == 10 and file.stat().st_mode & 0o777 == 0o600
    )


def test_a_key_that_another_login_has_just_added_is_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"n1 {OTHER}")
    assert add(file, "n1", OURS, False).trust is Trust.CHANGED
    assert file.read_text() == f"n1 {OTHER}"
    add(file, "n2", OURS, False)
    assert file.read_text() == f"n1 {OTHER}\nn2 {KEY}\n"


def test_a_fingerprint_is_as_openssh_shows_it() -> None:
    assert str(OURS).startswith("ssh-ed25519 SHA256:") and not str(OURS).endswith("=")
