"""Our SSH against OpenSSH's own programs."""

from __future__ import annotations

import getpass
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from kafka_rolling_restart.errors import SshError, UsageError
from kafka_rolling_restart.hosts.ssh.config import SshConfig, SshOptions
from kafka_rolling_restart.parallel import in_parallel
from kafka_rolling_restart.settings.secret import Passwords, Secret

from .needs import program
from .password_server import PASSWORD, PasswordServer
from .ssh_files import KEY, SSH_PORT, known_hosts_line
from .ssh_scene import PASSPHRASE, SshScene, run_on

IN = "logged in"
PIPE = (
    "import os, socket, sys, threading; s = socket.create_connection((sys.argv[1], "
    "int(sys.argv[2])));copy = lambda read, write: [write(d) for d in iter(lambda: read(65536), "
    "b'')];threading.Thread(target=copy, args=(lambda n: os.read(0, n), s.sendall), "
    "daemon=True).start();copy(s.recv, lambda d: os.write(1, d))"
)


@pytest.fixture(scope="module")
def scene_of_module(
    lab_needs: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SshScene]:
    with SshScene(tmp_path_factory.mktemp("ssh")) as scene:
        scene.sshd(2, AllowTcpForwarding="no")
        yield scene


@pytest.fixture
def scene(scene_of_module: SshScene) -> SshScene:
    scene_of_module.reset(1, 2, 3, 4)
    for number in (1, 2, 3, 4):
        scene_of_module.authorize(number, scene_of_module.ssh / KEY)
    return scene_of_module


def logins(scene: SshScene, number: int) -> int:
    return scene.sshd(number).log.read_text().count("Accepted publickey")


def error(scene: SshScene, name: str) -> str:
    with pytest.raises(SshError) as raised:
        scene.run(name)
    return str(raised.value)


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_one_hop_is_logged_in_to_on_the_way(scene: SshScene) -> None:
    scene.configure("Host n3\n  ProxyJump n1")
    assert scene.run("n3").output == IN
    assert (logins(scene, 1), logins(scene, 3)) == (1, 1)


def test_several_hops_are_taken_in_their_order_each_with_its_own_settings(scene: SshScene) -> None:
    other = scene.key("other")
    scene.authorize(4, other)
    scene.configure(
        f"Host n3\n  ProxyJump n1,someone@n4:{SSH_PORT}\nHost n4\n  Port 9\n  IdentityFile "
        f"{other}\n  ProxyJump n2"
    )
    assert "ssh someone@" in error(scene, "n3")
    scene.configure(
        f"Host n3\n  ProxyJump n1,n4:{SSH_PORT}\nHost n4\n  Port 9\n  IdentityFile {other}\n  "
        "ProxyJump n2"
    )
    assert scene.run("n3").output == IN
    assert [logins(scene, number) for number in (1, 2, 3, 4)] == [2, 0, 1, 1]


def test_a_hop_of_a_hop_is_taken_first(scene: SshScene) -> None:
    scene.configure("Host n3\n  ProxyJump n4\nHost n4\n  ProxyJump n1")
    assert scene.run("n3").output == IN
    assert [logins(scene, number) for number in (1, 3, 4)] == [1, 1, 1]


def test_every_hop_shows_a_key_that_is_known_and_the_error_names_the_hop(scene: SshScene) -> None:
    scene.configure("Host n3\n  ProxyJump n1")
    scene.known_hosts.write_text(known_hosts_line(scene.address(3), scene.sshd(3).host_key))
    said = error(scene, "n3")
    assert (
        f"@{scene.address(1)} port {SSH_PORT} (on the way to n3): its host key is not known" in said
    )
    scene.known_hosts.write_text(known_hosts_line(scene.address(1), scene.sshd(1).host_key))
    said = error(scene, "n3")
    assert f"@{scene.address(3)} port {SSH_PORT}: its host key is not known" in said
    only = "-o HostKeyAlgorithms=ssh-ed25519 -o UpdateHostKeys=no"
    # ssh-keyscan does not go through hops
    assert f"ssh -o StrictHostKeyChecking=accept-new {only} n3 true" in said
    assert logins(scene, 3) == 0


def test_a_hop_that_does_not_forward_is_named(scene: SshScene) -> None:
    scene.configure("Host n3\n  ProxyJump n2")
    assert f"@{scene.address(2)} port {SSH_PORT} does not lead there" in error(scene, "n3")


def test_hops_that_go_in_a_circle_or_on_for_ever_are_an_error(scene: SshScene) -> None:
    scene.configure("Host n3\n  ProxyJump n1\nHost n1\n  ProxyJump n3")
    with pytest.raises(UsageError, match="in a circle: n3 by way of n1 by way of n3"):
        scene.host("n3")
    scene.configure(f"Host n3\n  ProxyJump {','.join(['n1'] * 9)}")
    with pytest.raises(UsageError, match="more than 8"):
        scene.host("n3")


def test_the_whole_chain_is_closed(scene: SshScene) -> None:
    scene.configure("Host n3\n  ProxyJump n1")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        assert scene.run("n3").status == 0
    time.sleep(0.3)
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_openssh_is_a_proxy_command(scene: SshScene) -> None:
    config = scene.ssh / "config"
    scene.configure(
        f"Host n3\n  ProxyCommand {program('ssh')} -F {config} -o "
        f"UserKnownHostsFile={scene.known_hosts} "
        f"-i {scene.ssh / KEY} -W %h:%p n1 2>/dev/null"
    )
    assert scene.run("n3").output == IN
    assert (logins(scene, 1), logins(scene, 3)) == (1, 1)


def test_a_proxy_command_gets_the_address_the_port_and_the_user(scene: SshScene) -> None:
    seen = scene.folder / "seen"
    scene.configure(
        f'Host n3\n  ProxyCommand sh -c \'echo %n %h %p %r %% >{seen}; exec "$0" -c "$1" %h %p\' '
        f"{sys.executable} {shlex.quote(PIPE)}"
    )
    assert scene.run("n3").output == IN
    assert seen.read_text().split()[:3] == ["n3", scene.address(3), str(SSH_PORT)]
    assert seen.read_text().endswith("%\n")


def test_a_proxy_command_that_hangs_is_ended_with_the_login_and_its_process_is_gone(
    scene: SshScene,
) -> None:
    file = scene.folder / "pid"
    scene.configure(
        f'Host n3\n  ProxyCommand sh -c \'trap "" TERM HUP; echo $$ >{file}; while :; do sleep 1; '
        "done'"
    )
    began = time.monotonic()
    with pytest.raises(SshError, match="not logged in after 1 s"):
        run_on(scene.host("n3", login_s=1), "true")
    assert time.monotonic() - began < 5
    assert is_gone(int(file.read_text()))


def test_the_process_of_a_proxy_command_is_gone_after_the_session_and_has_one_of_its_own_meanwhile(
    scene: SshScene,
) -> None:
    file = scene.folder / "pid"
    scene.configure(
        f'Host n3\n  ProxyCommand sh -c \'echo $$ >{file}; exec "$0" -c "$1" %h %p\' '
        f"{sys.executable} {shlex.quote(PIPE)}"
    )
    with scene.host("n3").session() as session:
        pid = int(file.read_text())
        assert os.getsid(pid) == pid  # Ctrl-C does not reach it
        assert session.run("echo logged in", 10).output == IN
    assert is_gone(pid)


def test_a_proxy_command_that_fails_is_named_with_what_it_said(scene: SshScene) -> None:
    scene.configure("Host n3\n  ProxyCommand echo no route today >&2; exit 1")
    said = error(scene, "n3")
    assert "echo no route today" in said and "which said: no route today" in said


def test_the_proxy_that_comes_first_wins_and_none_is_a_choice(scene: SshScene) -> None:
    scene.configure("Host n3\n  ProxyCommand none\nHost *\n  ProxyJump n2")
    assert scene.run("n3").output == IN
    scene.configure(
        "Host n1\n  ProxyCommand none\nHost n3\n  ProxyJump n1\nHost *\n  ProxyCommand false"
    )
    assert scene.run("n3").output == IN
    assert (logins(scene, 1), logins(scene, 3)) == (1, 2)


def test_several_identity_files_are_tried_in_their_order_each_of_them_once(scene: SshScene) -> None:
    first, second = scene.key("first"), scene.key("second", kind="ecdsa")
    scene.authorize(3, second)
    scene.configure(
        f"Host n3\n  IdentityFile {first}\n  IdentityFile {second}\n  IdentityFile {first}"
    )
    assert scene.run("n3").output == IN
    copy = scene.ssh / "copy"
    copy.write_text(first.read_text())
    copy.chmod(0o600)
    scene.configure(
        f"Host n3\n  IdentityFile {first}\n  IdentityFile {copy}\n  IdentityFile {second}\n  "
        "IdentitiesOnly yes"
    )
    scene.authorize(3)
    assert f"login refused: it refused {first}, {second}. Try" in error(scene, "n3")


def test_an_encrypted_key_is_asked_for_once_for_all_hosts_and_hops(scene: SshScene) -> None:
    locked = scene.key("locked", PASSPHRASE)
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return PASSPHRASE

    for number in (1, 3):
        scene.authorize(number, locked)
    scene.configure(f"Host n3\n  ProxyJump n1\nHost *\n  IdentityFile {locked}")
    assert run_on(scene.host("n3", ask=ask), "echo logged in").output == IN
    assert asked == [f"passphrase for {locked}: "]


def test_a_wrong_passphrase_is_asked_for_again_and_then_the_file_is_named(scene: SshScene) -> None:
    locked = scene.key("locked", PASSPHRASE)
    scene.authorize(3, locked)
    scene.configure(f"Host n3\n  IdentityFile {locked}")
    answers = iter(["no", "neither", PASSPHRASE])
    assert run_on(scene.host("n3", ask=lambda prompt: next(answers)), "echo logged in").output == IN
    with pytest.raises(UsageError, match=f"{locked}: the passphrase does not open it"):
        scene.host("n3", ask=lambda prompt: "wrong")


def test_without_a_terminal_an_encrypted_key_is_named_with_what_to_do(scene: SshScene) -> None:
    locked = scene.key("locked", PASSPHRASE)
    scene.authorize(3, locked)
    scene.configure(f"Host n3\n  IdentityFile {locked}")
    said = error(scene, "n3")
    assert (
        f"{locked} is encrypted: run ssh-add {locked}, or set KAFKA_ROLLING_RESTART_KEY_PASSPHRASE"
        in said
    )
    passphrase = Passwords(passphrase=Secret("wrong"))
    with pytest.raises(SshError, match=f"{locked} is encrypted, and not opened by the passphrase"):
        run_on(scene.host("n3", passphrase), "true")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_the_passphrase_of_the_environment_opens_a_key_of_any_kind(
    scene: SshScene, kind: str
) -> None:
    locked = scene.key("locked", PASSPHRASE, kind)
    scene.authorize(3, locked)
    scene.configure(f"Host n3\n  IdentityFile {locked}")
    assert (
        run_on(scene.host("n3", Passwords(passphrase=Secret(PASSPHRASE))), "echo logged in").output
        == IN
    )


def test_a_key_that_the_agent_holds_is_not_asked_for_and_its_public_half_is_enough(
    scene: SshScene,
) -> None:
    locked = scene.key("locked", PASSPHRASE)
    scene.authorize(3, locked)
    agent = scene.agent(locked, passphrase=PASSPHRASE)
    scene.configure(f"Host n3\n  IdentityFile {locked}\n  IdentitiesOnly yes")
    asks = {"PROBE_ASKS": "yes"}
    assert scene.probe("n3", env={**agent.env, **asks}) == IN
    assert scene.probe("n3", env=asks).startswith(f"passphrase for {locked}")
    locked.unlink()
    assert scene.probe("n3", env=agent.env) == IN


def test_the_keys_of_a_full_agent_do_not_use_up_the_tries_that_a_named_key_needs(
    scene: SshScene,
) -> None:
    mine, others = scene.key("mine"), [scene.key(f"other{number}") for number in range(4)]
    agent = scene.agent(*others, mine)
    scene.sshd(5, MaxAuthTries="3")
    scene.known_hosts.write_text(known_hosts_line(scene.address(5), scene.sshd(5).host_key))
    scene.authorize(5, mine)
    scene.configure(f"Host n5\n  IdentityFile {mine}.pub")
    assert scene.probe("n5", env=agent.env) == IN
    scene.configure()
    said = scene.probe("n5", env=agent.env)
    assert "too many authentication failures" in said and "IdentitiesOnly yes" in said
    scene.configure(f"Host n5\n  IdentityFile {scene.ssh / KEY}\n  IdentitiesOnly yes")
    said = scene.probe("n5", env=agent.env)
    assert f"it refused {scene.ssh / KEY}" in said and "agent" not in said


def test_the_agent_is_never_forwarded(scene: SshScene) -> None:
    agent = scene.agent(scene.ssh / KEY)
    scene.configure("Host n3\n  ForwardAgent yes")
    assert scene.probe("n3", env=agent.env) == IN
    assert run_on(scene.host("n3"), 'echo "<$SSH_AUTH_SOCK>"').output == "<>"


def test_a_certificate_beside_the_key_is_shown(scene: SshScene) -> None:
    authority, key = scene.key("authority"), scene.key("certified")
    sign = [
        program("ssh-keygen"),
        "-q",
        "-s",
        str(authority),
        "-I",
        "me",
        "-n",
        getpass.getuser(),
        f"{key}.pub",
    ]
    subprocess.run(sign, check=True)
    scene.sshd(6, TrustedUserCAKeys=f"{authority}.pub")
    scene.known_hosts.write_text(known_hosts_line(scene.address(6), scene.sshd(6).host_key))
    scene.authorize(6)
    scene.configure(f"Host n6\n  IdentityFile {key}")
    assert scene.run("n6").output == IN


def test_hashed_known_hosts_are_understood(scene: SshScene) -> None:
    subprocess.run(
        [program("ssh-keygen"), "-q", "-H", "-f", str(scene.known_hosts)],
        check=True,
        capture_output=True,
    )
    assert scene.address(3) not in scene.known_hosts.read_text()
    assert scene.run("n3").output == IN
    scene.known_hosts.write_text("")
    assert "its host key is not known" in error(scene, "n3")


def test_a_host_key_alias_is_looked_up_in_the_place_of_the_address(scene: SshScene) -> None:
    scene.known_hosts.write_text(f"kafka3.alias {scene.sshd(3).host_key}\n")
    scene.configure("Host n3\n  HostKeyAlias kafka3.alias\nHost n1\n  HostKeyAlias kafka3.alias")
    assert scene.run("n3").output == IN
    said = error(scene, "n1")
    assert "is not the one in" in said and "-R kafka3.alias" in said


def test_accept_new_adds_an_unknown_key_once_says_so_and_leaves_the_file_whole(
    scene: SshScene,
) -> None:
    scene.known_hosts.write_text("# mine, without a newline")
    scene.configure("Host n3 n4\n  ProxyJump n1\nHost *\n  StrictHostKeyChecking accept-new")
    said: list[str] = []

    def keep(text: str, *, code: str) -> None:
        said.append(f"{text} [{code}]")

    hosts = {name: scene.host(name, warn=keep) for name in ("n3", "n4") for _ in range(2)}
    calls = {
        (name, one): partial(run_on, hosts[name], "echo logged in")
        for name in hosts
        for one in range(4)
    }
    assert {result.output for result in in_parallel(calls).values()} == {IN}
    lines = scene.known_hosts.read_text().splitlines()
    assert len(lines) == 4 and lines[0] == "# mine, without a newline" and len(said) == 3
    assert (
        f"port {SSH_PORT}: its host key was not known, and is now in {scene.known_hosts}: "
        "ssh-ed25519 SHA256:" in said[0]
    )
    assert scene.run("n3").output == IN and len(scene.known_hosts.read_text().splitlines()) == 4


@pytest.mark.parametrize("checking", ["accept-new", "no", "off", "ask", "yes"])
def test_a_changed_host_key_is_refused_whatever_is_configured(
    scene: SshScene, checking: str
) -> None:
    scene.configure(f"Host *\n  StrictHostKeyChecking {checking}")
    before = known_hosts_line(scene.address(3), scene.sshd(1).host_key)
    scene.known_hosts.write_text(before)
    assert (
        f"is not the one in {scene.known_hosts}, line 1: the host was installed again, or somebody "
        "intercepts" in error(scene, "n3")
    )
    assert scene.known_hosts.read_text() == before and logins(scene, 3) == 0
    elsewhere = scene.folder / "system_known_hosts"
    elsewhere.write_text(before)
    scene.known_hosts.write_text("")
    scene.configure(
        f"Host *\n  StrictHostKeyChecking {checking}\n  GlobalKnownHostsFile {elsewhere}"
    )
    assert f"is not the one in {elsewhere}, line 1" in error(scene, "n3")
    assert scene.known_hosts.read_text() == ""


def test_a_revoked_host_key_is_refused_and_an_authority_is_said_not_to_be_supported(
    scene: SshScene,
) -> None:
    scene.configure("Host *\n  StrictHostKeyChecking accept-new")
    line = known_hosts_line(scene.address(3), scene.sshd(3).host_key)
    scene.known_hosts.write_text(f"{line}@revoked * {scene.sshd(3).host_key}\n")
    assert f"is revoked in {scene.known_hosts}, line 2" in error(scene, "n3")
    scene.configure()
    scene.known_hosts.write_text(f"@cert-authority * {scene.sshd(1).host_key}\n")
    assert "its host key is not known (@cert-authority lines are not supported)" in error(
        scene, "n3"
    )


def test_a_host_is_asked_for_a_key_of_a_kind_that_is_known(scene: SshScene) -> None:
    rsa = scene.key("host_rsa", kind="rsa")
    scene.sshd(7, HostKey=f"{rsa}\nHostKey {scene.folder / '7' / 'ssh_host_ed25519_key'}")
    scene.known_hosts.write_text(
        known_hosts_line(scene.address(7), " ".join(Path(f"{rsa}.pub").read_text().split()[:2]))
    )
    assert scene.run("n7").output == IN


def test_user_and_port_of_the_command_line_are_for_the_host_and_not_for_the_hops(
    scene: SshScene,
) -> None:
    scene.configure("Host n3\n  ProxyJump n1\n  Port 9\n  User nobody")
    options = SshOptions(user=getpass.getuser(), port=SSH_PORT)
    host = scene.host("n3", options=options)
    assert run_on(host, "echo logged in").output == IN
    assert host.typed() == f"ssh -l {getpass.getuser()} -p {SSH_PORT} n3"
    other = scene.ssh / "config"
    elsewhere = scene.folder / "elsewhere"
    other.rename(elsewhere)
    host = scene.host("n3", options=replace(options, config=elsewhere))
    assert run_on(host, "echo logged in").output == IN
    assert host.typed(terminal=True).startswith(f"ssh -t -F {elsewhere} -l")


@pytest.mark.parametrize("keyboard", [False, True])
def test_a_password_is_used_where_no_key_is_taken(scene: SshScene, keyboard: bool) -> None:
    with PasswordServer(scene.address(8), keyboard) as server:
        scene.known_hosts.write_text(known_hosts_line(scene.address(8), server.host_key))
        right, wrong = Passwords(ssh=Secret(PASSWORD)), Passwords(ssh=Secret("wrong"))
        assert run_on(scene.host("n8", right), "echo logged in").output == IN
        with pytest.raises(SshError, match="the password") as raised:
            run_on(scene.host("n8", wrong), "true")
        assert "wrong" not in str(raised.value)


@pytest.mark.parametrize("keyboard", [False, True])
def test_a_password_is_sent_to_no_host_on_the_way(scene: SshScene, keyboard: bool) -> None:
    with PasswordServer(scene.address(8), keyboard) as server:
        line = known_hosts_line(scene.address(8), server.host_key)
        scene.known_hosts.write_text(scene.known_hosts.read_text() + line)
        scene.configure("Host n3\n  ProxyJump n8")
        with pytest.raises(SshError, match=r"port 22022 \(on the way to n3\): login refused"):
            run_on(scene.host("n3", Passwords(ssh=Secret(PASSWORD))), "true")
        assert server.seen == []


@pytest.mark.parametrize(
    "setting",
    [
        "PreferredAuthentications publickey",
        "PasswordAuthentication no\n  KbdInteractiveAuthentication no",
    ],
)
@pytest.mark.parametrize("keyboard", [False, True])
def test_a_password_is_not_sent_where_ssh_would_not_send_it(
    scene: SshScene, setting: str, keyboard: bool
) -> None:
    with PasswordServer(scene.address(8), keyboard) as server:
        scene.known_hosts.write_text(known_hosts_line(scene.address(8), server.host_key))
        scene.configure(f"Host n8\n  {setting}")
        with pytest.raises(
            SshError, match="no password was sent, because PasswordAuthentication or Preferred"
        ):
            run_on(scene.host("n8", Passwords(ssh=Secret(PASSWORD))), "true")
        assert server.seen == []


def test_a_password_is_not_sent_to_a_host_whose_key_this_run_has_added(scene: SshScene) -> None:
    with PasswordServer(scene.address(8)) as server:
        scene.known_hosts.write_text("")
        scene.configure(last="Host *\n  StrictHostKeyChecking accept-new")
        first = scene.host("n8", Passwords(ssh=Secret(PASSWORD)))
        for _ in range(2):
            with pytest.raises(
                SshError, match="no password was sent, because this run has added the host key"
            ):
                run_on(first, "true")
        assert server.seen == [] and scene.address(8) in scene.known_hosts.read_text()
        later = scene.host("n8", Passwords(ssh=Secret(PASSWORD)))
        assert run_on(later, "echo logged in").output == IN
        assert server.seen == [PASSWORD]


def test_a_secret_for_a_command_is_not_sent_to_a_host_whose_key_this_run_has_added(
    scene: SshScene,
) -> None:
    scene.known_hosts.write_text(known_hosts_line(scene.address(1), scene.sshd(1).host_key))
    scene.configure("Host n3\n  ProxyJump n1", last="Host *\n  StrictHostKeyChecking accept-new")
    first = scene.host("n3")
    assert run_on(first, "echo logged in").output == IN
    file = scene.folder / "input"
    with pytest.raises(
        SshError, match="no password was sent, because this run has added the host key"
    ):
        run_on(first, f"cat >{file}", Secret("hunter2"))
    assert not file.exists()
    assert run_on(scene.host("n3"), "cat", Secret("hunter2")).output == "hunter2"


def test_a_host_whose_key_is_in_the_file_of_revoked_keys_is_refused(scene: SshScene) -> None:
    revoked = scene.folder / "revoked"
    revoked.write_text(f"# known to many\n{scene.sshd(3).host_key} stolen\n")
    scene.configure(f"Host n3 n1\n  RevokedHostKeys {revoked}")
    assert f"is revoked in {revoked}, line 2: nobody must log in there" in error(scene, "n3")
    assert scene.run("n1").output == IN
    subprocess.run(
        [program("ssh-keygen"), "-q", "-k", "-f", str(revoked), f"{scene.ssh / KEY}.pub"],
        check=True,
    )
    assert f"RevokedHostKeys {revoked}: is a KRL, which is not supported" in error(scene, "n1")
    revoked.unlink()
    assert f"RevokedHostKeys {revoked}: cannot be read" in error(scene, "n1")


def test_the_line_that_adds_a_host_key_adds_the_one_that_was_seen_alone(scene: SshScene) -> None:
    rsa = scene.key("other_host_key", kind="rsa")
    sshd = scene.sshd(9, HostKey=f"{rsa}\nHostKey {scene.folder / '9' / 'ssh_host_ed25519_key'}")
    scene.authorize(9, scene.ssh / KEY)
    scene.known_hosts.write_text("")
    line = error(scene, "n9").rpartition("then add it: ")[2].strip("`")
    assert line == f"ssh-keyscan -t ed25519 -p {SSH_PORT} {scene.address(9)} >> {scene.known_hosts}"
    subprocess.run(["sh", "-c", line], check=True, capture_output=True)
    added = [
        one for one in scene.known_hosts.read_text().split("\n") if one and not one.startswith("#")
    ]
    assert added == [known_hosts_line(scene.address(9), sshd.host_key).strip()]
    assert scene.run("n9").output == IN


def test_a_private_key_that_others_may_read_is_not_offered(scene: SshScene) -> None:
    shared = scene.key("shared")
    scene.authorize(3, shared)
    shared.chmod(0o644)
    scene.configure(f"Host n3\n  IdentityFile {shared}\n  IdentitiesOnly yes")
    said = error(scene, "n3")
    assert (
        f"{shared} cannot be used: others may use it (its mode is 0644), so ssh refuses it, too"
        in said
    )
    command = [
        program("ssh"),
        "-F",
        str(scene.ssh / "config"),
        "-o",
        f"UserKnownHostsFile={scene.known_hosts}",
    ]
    ended = subprocess.run(
        [*command, "-o", "BatchMode=yes", "n3", "true"], capture_output=True, text=True
    )
    assert ended.returncode == 255 and "UNPROTECTED PRIVATE KEY FILE" in ended.stderr


def test_a_password_is_in_no_process_list_and_no_task_inherits_it(scene: SshScene) -> None:
    """Also where it is in the environment of the run: what a ProxyCommand sees is what tasks
    see."""
    seen = scene.folder / "seen"
    dump = f"(env; cat /proc/[0-9]*/cmdline) >{seen}"
    with PasswordServer(scene.address(8)) as server:
        scene.known_hosts.write_text(known_hosts_line(scene.address(8), server.host_key))
        scene.configure(
            f'Host n8\n  ProxyCommand sh -c \'{dump}; exec "$0" -c "$1" %h %p\' {sys.executable} '
            f"{shlex.quote(PIPE)}"
        )
        secrets = {
            f"KAFKA_ROLLING_RESTART_{name}": PASSWORD for name in ("SSH_PASSWORD", "SUDO_PASSWORD")
        }
        assert scene.probe("n8", env=secrets) == IN
    assert "HOME=" in seen.read_text(errors="replace") and PASSWORD not in seen.read_text(
        errors="replace"
    )


def test_a_secret_for_a_command_is_its_standard_input_and_not_its_line(scene: SshScene) -> None:
    result = scene.run("n3", "read line && echo ${#line} && cat", Secret("hunter2"))
    assert result.output == "7" and "hunter2" not in str(result)


SETTINGS = """
Host first second
  HostName %h.example
  ProxyJump jump,you@[::1]:5
  User DOMAIN\\me
Match originalhost f*,!fourth host *.example
  Port 7
  HostKeyAlias "an alias"
Match user root !originalhost first
  Port=8
Host !first *
  StrictHostKeyChecking accept-new # as it should be
  Include {included}
  IdentityFile /after
Match exec "test %n = third" host third
  ProxyCommand nc -X 5 %h %p 2>/dev/null
  ProxyJump none
Match final host second.example
  HashKnownHosts yes
Host *
  IdentityFile /last
  IdentitiesOnly yes
  ProxyCommand none
  ProxyJump late
  Port 9
  UserKnownHostsFile /one "/two three"
"""
INCLUDED = """
IdentityFile /included
Host third
  Port 10
  IdentityFile /third
Match host fourth*
  User you
"""


@pytest.mark.parametrize("name", ["first", "second", "third", "fourth", "fifth"])
def test_a_configuration_says_what_ssh_reads_in_it(scene: SshScene, name: str) -> None:
    config, included = scene.folder / "settings", scene.folder / "included"
    config.write_text(SETTINGS.replace("{included}", str(included)))
    included.write_text(INCLUDED)
    told = subprocess.run(
        [program("ssh"), "-F", str(config), "-G", name], check=True, capture_output=True, text=True
    ).stdout
    found: dict[str, list[str]] = {}
    for line in told.splitlines():
        found.setdefault(line.partition(" ")[0], []).append(line.partition(" ")[2])
    target = SshConfig({"HOME": str(scene.home), "USER": "root"}, SshOptions(config=config)).host(
        name
    )
    assert [target.address, target.user, str(target.port)] == [
        found[key][0] for key in ("hostname", "user", "port")
    ]
    assert [target.alias] == found.get("hostkeyalias", [""])
    assert [str(path) for path in target.keys] == found["identityfile"]
    assert target.identities_only is (found["identitiesonly"] == ["yes"])
    assert target.adds_unknown is (found["stricthostkeychecking"] == ["accept-new"])
    assert target.hashes_names is (found["hashknownhosts"] == ["yes"])
    assert " ".join(map(str, target.known_hosts)) == found["userknownhostsfile"][0]
    assert [hop.name for hop in target.via] == [
        hop.rpartition("@")[2].removesuffix(":5").strip("[]")
        for hop in found.get("proxyjump", [""])[0].split(",")
        if hop
    ]
    assert bool(target.proxy_command) is ("proxycommand" in found)
