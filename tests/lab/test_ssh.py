"""Our SSH against OpenSSH's own programs."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_rolling_restart.errors import SshError, UsageError
from kafka_rolling_restart.parallel import in_parallel
from kafka_rolling_restart.secret import Passwords, Secret
from kafka_rolling_restart.ssh_config import SshOptions

from .needs import program
from .ssh_files import KEY, SSH_PORT, known_hosts_line
from .ssh_scene import PASSPHRASE, SshScene

IN = "logged in"
PIPE = (
    "import os, socket, sys, threading; s = socket.create_connection((sys.argv[1], int(sys.argv[2])));"
    "copy = lambda read, write: [write(d) for d in iter(lambda: read(65536), b'')];"
    "threading.Thread(target=copy, args=(lambda n: os.read(0, n), s.sendall), daemon=True).start();"
    "copy(s.recv, lambda d: os.write(1, d))"
)


@pytest.fixture(scope="module")
def scene_of_module(lab_needs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshScene]:
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
        f"Host n3\n  ProxyJump n1,someone@n4:{SSH_PORT}\nHost n4\n  Port 9\n  IdentityFile {other}\n  ProxyJump n2"
    )
    assert "ssh someone@" in error(scene, "n3")
    scene.configure(f"Host n3\n  ProxyJump n1,n4:{SSH_PORT}\nHost n4\n  Port 9\n  IdentityFile {other}\n  ProxyJump n2")
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
    assert f"@{scene.address(1)} port {SSH_PORT} (on the way to n3): its host key is not known" in said
    scene.known_hosts.write_text(known_hosts_line(scene.address(1), scene.sshd(1).host_key))
    said = error(scene, "n3")
    assert f"@{scene.address(3)} port {SSH_PORT}: its host key is not known" in said
    assert "ssh -o StrictHostKeyChecking=accept-new n3 true" in said  # ssh-keyscan does not go through hops
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
        f"Host n3\n  ProxyCommand {program('ssh')} -F {config} -o UserKnownHostsFile={scene.known_hosts} "
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


def test_a_proxy_command_that_hangs_is_ended_with_the_login_and_its_process_is_gone(scene: SshScene) -> None:
    file = scene.folder / "pid"
    scene.configure(f"Host n3\n  ProxyCommand sh -c 'trap \"\" TERM HUP; echo $$ >{file}; while :; do sleep 1; done'")
    began = time.monotonic()
    with pytest.raises(SshError, match="not logged in after 1 s"):
        scene.host("n3", login_s=1).run("true", 1)
    assert time.monotonic() - began < 5
    assert is_gone(int(file.read_text()))


def test_the_process_of_a_proxy_command_is_gone_after_the_session_and_has_one_of_its_own_meanwhile(
    scene: SshScene,
) -> None:
    file = scene.folder / "pid"
    scene.configure(
        f'Host n3\n  ProxyCommand sh -c \'echo $$ >{file}; exec "$0" -c "$1" %h %p\' {sys.executable} {shlex.quote(PIPE)}'
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
    scene.configure("Host n1\n  ProxyJump none\nHost n3\n  ProxyJump n1\nHost *\n  ProxyCommand false")
    assert scene.run("n3").output == IN
    assert (logins(scene, 1), logins(scene, 3)) == (1, 2)
