"""ZooKeeper over TLS, with logins and ACLs, against a real server; no broker is needed for most of
it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.security import OPEN_ACL_UNSAFE, make_acl, make_digest_acl

from kafka_rolling_restart.errors import LockHeld, Refused, RegistryDenied, RegistryUnavailable
from kafka_rolling_restart.registry.zookeeper import HOME, IDS, LOCK, ZooKeeper
from kafka_rolling_restart.settings.access import SASL, Login, ZooKeeperAccess
from kafka_rolling_restart.settings.secret import Secret
from kafka_rolling_restart.settings.tls import load_tls
from tests.certificates import Authority

from .jars import fetch_jars
from .subnet import claim_subnet
from .zookeeper import LOGIN, PORT, SECURE_PORT, ZooKeeperServer

NUMBERS = count(1)
REGISTRATION = json.dumps({"host": "n1", "endpoints": []}).encode()
BY_DIGEST = ZooKeeperAccess(login=Login("--zookeeper-user", LOGIN[0], Secret(LOGIN[1])))
WRONG = ZooKeeperAccess(login=Login("--zookeeper-user", LOGIN[0], Secret("hunter2")))
NOBODY = ZooKeeperAccess()
OWNER = make_digest_acl(*LOGIN, all=True)


@dataclass(frozen=True)
class Scene:
    """A server, its authority, and a chroot of its own in it with one registration."""

    address: str
    authority: Authority
    chroot: str
    admin: Any

    @property
    def hosts(self) -> str:
        return f"{self.address}:{PORT}{self.chroot}"

    @property
    def secure_hosts(self) -> str:
        return f"{self.address}:{SECURE_PORT}{self.chroot}"

    @property
    def folder(self) -> Path:
        return self.authority.folder

    def restrict(self, path: str, *acl: Any) -> None:
        """Give a path an ACL; make it where it is missing."""
        self.admin.ensure_path(self.chroot + path)
        self.admin.set_acls(self.chroot + path, list(acl))


@pytest.fixture(scope="module")
def server(
    lab_needs: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Authority]]:
    folder, subnet = tmp_path_factory.mktemp("zookeeper"), claim_subnet()
    address, authority = subnet.address(100), Authority(folder)
    one = ZooKeeperServer(address, folder / address, fetch_jars(), [address], authority)
    one.start()
    try:
        yield address, authority
    finally:
        one.kill()
        subnet.release()


@pytest.fixture
def scene(server: tuple[str, Authority]) -> Iterator[Scene]:
    admin = KazooClient(hosts=f"{server[0]}:{PORT}", auth_data=[("digest", ":".join(LOGIN))])
    admin.start(timeout=30)
    chroot = f"/{next(NUMBERS)}"
    admin.create(f"{chroot}{IDS}/1", REGISTRATION, makepath=True)
    yield Scene(*server, chroot, admin)
    admin.stop()
    admin.close()


@contextmanager
def connected(hosts: str, access: ZooKeeperAccess) -> Iterator[ZooKeeper]:
    zookeeper = ZooKeeper(hosts, timeout=5, access=access)
    with closing(zookeeper):
        zookeeper.connect()
        yield zookeeper


def over_tls(scene: Scene, ca: str = "ca", cert: str | None = "client") -> ZooKeeperAccess:
    client = str(scene.authority.issue(cert)) if cert == "client" else cert
    return ZooKeeperAccess(load_tls("--zookeeper", f"{scene.folder}/{ca}.pem", client, None))


def why_not(hosts: str, access: ZooKeeperAccess) -> str:
    """Connect in vain, and return what is said, which takes 15 s at the most."""
    began = time.monotonic()
    zookeeper = ZooKeeper(hosts, timeout=1.5, access=access)
    with pytest.raises(RegistryUnavailable) as raised, closing(zookeeper):
        zookeeper.connect()
    assert time.monotonic() - began < 15
    return str(raised.value)


def test_registrations_are_read_over_tls_with_a_client_certificate_and_a_login(
    scene: Scene,
) -> None:
    scene.restrict(f"{IDS}/1", OWNER)
    with connected(
        scene.secure_hosts, replace(over_tls(scene), login=BY_DIGEST.login)
    ) as zookeeper:
        assert zookeeper.brokers()[1].host == "n1"


def test_tls_that_does_not_come_about_is_said_in_plain_words(scene: Scene) -> None:
    other = Authority(scene.folder, "other")
    # for inet_aton, the same
    another_name = f"127.0.{int(scene.address.split('.')[2]) * 256 + 100}:{SECURE_PORT}"
    assert "it wants a client certificate: give --zookeeper-cert" in why_not(
        scene.secure_hosts, over_tls(scene, cert=None)
    )
    assert "an authority that we do not know" in why_not(
        scene.secure_hosts, over_tls(scene, "other")
    )
    assert "its certificate is for another name" in why_not(another_name, over_tls(scene))
    assert "does it want TLS (--zookeeper-tls)?" in why_not(scene.secure_hosts, NOBODY)
    assert "does it speak TLS on this port" in why_not(scene.hosts, over_tls(scene))
    stranger = over_tls(scene, cert=str(other.issue("stranger")))
    assert "it refuses our client certificate, --zookeeper-cert" in why_not(
        scene.secure_hosts, stranger
    )


@pytest.mark.parametrize("access", [NOBODY, WRONG])
def test_a_registration_that_may_not_be_read_is_said_with_its_path_and_the_right(
    scene: Scene, access: ZooKeeperAccess
) -> None:
    scene.restrict(f"{IDS}/1", OWNER)
    with connected(scene.hosts, access) as zookeeper, pytest.raises(RegistryDenied) as raised:
        zookeeper.brokers()
    assert f"does not let us read {IDS}/1: its ACL does not give the right `read`" in str(
        raised.value
    )
    hint = "is the password right?" if access.login else "--zookeeper-user"
    assert hint in str(raised.value) and "hunter2" not in str(raised.value)


def test_registrations_that_may_not_be_listed_are_said_with_their_path(scene: Scene) -> None:
    scene.restrict(IDS, OWNER)
    with (
        connected(scene.hosts, NOBODY) as zookeeper,
        pytest.raises(RegistryDenied, match=f"read {IDS}: "),
    ):
        zookeeper.brokers()


@pytest.mark.parametrize(
    ("path", "rights", "said"),
    [
        (
            "",
            {"read": True},
            "does not let us write below /: its ACL does not give the right `create`",
        ),
        (HOME, {"read": True, "delete": True}, f"does not let us write below {HOME}: "),
        (LOCK, {"read": True, "delete": True}, f"does not let us write below {LOCK}: "),
        (
            LOCK,
            {"create": True, "delete": True},
            f"does not let us read {LOCK}: its ACL does not give the right `read`",
        ),
        (LOCK, {"read": True, "create": True}, ""),  # its node goes with the session
        (LOCK, {"read": True, "create": True, "delete": True}, ""),
    ],
)
def test_a_right_that_the_lock_needs_is_missed_without_anything_being_written(
    scene: Scene, path: str, rights: dict[str, bool], said: str
) -> None:
    scene.restrict(path, OWNER, make_acl("world", "anyone", **rights))
    before = tree(scene)
    with connected(scene.hosts, NOBODY) as zookeeper:
        problem = zookeeper.lock_problem()
        assert (problem is not None) == bool(said)
        assert problem is None or (
            said in problem.text and problem.code == "zookeeper-access-denied"
        )
        if said and "read" in rights:
            with (
                pytest.raises(Refused, match="its ACL does not give the right"),
                zookeeper.lock({}),
            ):
                pass
        assert tree(scene) == before
        if not said:
            with zookeeper.lock({}) as lock:
                assert lock.still_held()
    with connected(scene.hosts, BY_DIGEST) as zookeeper:
        assert zookeeper.lock_problem() is None


def tree(scene: Scene, path: str = "") -> dict[str, Any]:
    """Return every node of the scene with its czxid and version."""
    whole = scene.chroot + path
    stat = scene.admin.exists(whole)
    nodes = {path: (stat.czxid, stat.version, stat.cversion, stat.aversion)}
    for name in scene.admin.get_children(whole):
        nodes |= tree(scene, f"{path}/{name}")
    return nodes


def test_a_lock_that_was_taken_with_a_login_can_be_taken_away_by_its_login_alone(
    scene: Scene,
) -> None:
    holder = {"user": "me", "host": "here", "pid": 1, "since": "now"}
    with (
        connected(scene.hosts, BY_DIGEST) as ours,
        connected(scene.hosts, BY_DIGEST) as mine_too,
        connected(scene.hosts, NOBODY) as theirs,
        ours.lock(holder) as lock,
    ):
        assert lock.still_held()
        with pytest.raises(LockHeld, match="me on here, pid 1, since now"), mine_too.lock({}):
            pass
        problem = theirs.lock_problem()
        assert problem is not None and f"write below {LOCK}" in problem.text
        node = f"{LOCK}/{theirs.children(LOCK)[0]}"
        assert json.loads(theirs._client.get(node)[0]) == holder
        for change in (theirs._client.delete, lambda path: theirs._client.set(path, b"")):
            with pytest.raises(NoAuthError):
                change(node)
        assert lock.still_held()


def test_a_lock_without_a_login_is_open_as_it_always_was(scene: Scene) -> None:
    with connected(scene.hosts, NOBODY) as zookeeper, zookeeper.lock({}):
        assert scene.admin.get_acls(scene.chroot + LOCK)[0] == OPEN_ACL_UNSAFE


def test_sasl_lets_in_who_has_the_password_and_says_where_it_was_wrong(scene: Scene) -> None:
    scene.restrict(f"{IDS}/1", make_acl("sasl", LOGIN[0], all=True))
    with connected(scene.hosts, replace(BY_DIGEST, scheme=SASL)) as zookeeper:
        assert zookeeper.brokers()[1].host == "n1"
        with zookeeper.lock({}):
            assert scene.admin.get_acls(scene.chroot + LOCK)[0][0] == make_acl(
                "sasl", LOGIN[0], all=True
            )
    said = why_not(scene.hosts, replace(WRONG, scheme=SASL))
    assert (
        said.endswith(f"refuses the login of --zookeeper-user {LOGIN[0]}") and "hunter2" not in said
    )


class Relay:
    """Stands between a client and a server; told to, it hangs up, and then once more in the middle
    of a login."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._current: socket.socket | None = None
        self.cut_logins = False
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def hang_up(self) -> None:
        """End the connection that there is."""
        if self._current is not None:
            self._current.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._current, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                threading.Thread(
                    target=self._carry, args=(self._current, server, True), daemon=True
                ).start()
                threading.Thread(
                    target=self._carry, args=(server, self._current, False), daemon=True
                ).start()

    def _carry(self, source: socket.socket, target: socket.socket, asks: bool) -> None:
        pieces = 0
        with suppress(OSError), source, target:
            while data := source.recv(65536):
                pieces += 1
                if asks and self.cut_logins and pieces == 2:  # the first opens the session
                    self.cuts += 1
                    source.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(data)


def test_a_login_that_is_cut_off_because_a_server_ends_does_not_end_a_run(scene: Scene) -> None:
    """kazoo takes it for a wrong password, and gives up for good."""
    with closing(Relay((scene.address, PORT))) as relay:
        access = replace(BY_DIGEST, scheme=SASL)
        with (
            connected(f"{relay.address}{scene.chroot}", access) as zookeeper,
            zookeeper.lock({}) as lock,
        ):
            relay.cut_logins = True
            relay.hang_up()
            deadline = time.monotonic() + 10
            while not relay.cuts and time.monotonic() < deadline:
                time.sleep(0.05)
            with pytest.raises(RegistryUnavailable):
                zookeeper.registrations(1)
            relay.cut_logins = False
            assert list(zookeeper.registrations()) == [1]
            assert lock.still_held()
