"""ZooKeeper: which brokers are registered, which one is the controller, and the lock."""

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from kazoo.exceptions import InvalidACLError, KazooException, NoAuthError, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KeeperState
from kazoo.security import Permissions

from kafka_rolling_restart.errors import (
    LockHeld,
    Refused,
    RegistryDenied,
    RegistryUnavailable,
    Stopped,
    UsageError,
    held_by,
)
from kafka_rolling_restart.model.broker import HOST, Broker
from kafka_rolling_restart.model.cluster_state import ClusterState
from kafka_rolling_restart.model.observation import Observation, Presence
from kafka_rolling_restart.model.problem import Problem
from kafka_rolling_restart.parallel import Background, NotInTime, call_in_thread, in_parallel
from kafka_rolling_restart.registry import holder as holders
from kafka_rolling_restart.registry.kafka.answers import Address
from kafka_rolling_restart.registry.kazoo_client import Listener, make_client
from kafka_rolling_restart.registry.metadata_view import MetadataView
from kafka_rolling_restart.settings.access import PLAINTEXT, ZooKeeperAccess
from kafka_rolling_restart.text import clean, said

LOG = logging.getLogger(__name__)
IDS = "/brokers/ids"
GOODBYE_S = 2.0
CLIENT_PORT = 2181
ACCEPTS = "accepts connections, and says nothing"
TIMED_OUT = "Connection time-out"  # as kazoo says it
MAX_RACK = 40  # characters that are shown
# bytes; a broker's are less than 2 KiB, and ZooKeeper takes 1 MiB from anybody
MAX_REGISTRATION = 64 * 1024
MAX_HOST = 255  # characters of a name in DNS
SHOWN = 80  # characters of what somebody registered
# kazoo raises the last for answers in disorder
FAILURES = (
    KazooException,
    KazooTimeoutError,
    OSError,
    RuntimeError,
)
SEARCH_DEPTH = 3  # names in a chroot that is searched for: /kafka/prod/east
SEARCH_WIDTH = 300  # nodes of one depth that are looked at
NO_CHROOTS = {
    "zookeeper",
    "brokers",
    "config",
    "admin",
    "controller",
    "consumers",
    "kafka-rolling-restart",
}
POLL_S = 0.02
SOON_S = 0.3  # a server that is well answers within that
ADVICE = (
    "Look whether ZooKeeper runs, and at the address (--zookeeper, or `zookeeper` in the "
    "configuration)"
)
DENIED_ADVICE = (
    "Look at the ACL with getAcl in zookeeper-shell; give the login that has the right "
    "(--zookeeper-user)"
)
QUESTIONS = 3  # of one look at all registrations, each of which may take its whole timeout
FIRST, FEW = 3, 10  # chroots that are named in an address, and in a list
REGISTERED, UNREGISTERED = "registered in /brokers/ids", "not registered in /brokers/ids"
SILENT = Observation(Presence.UNKNOWN, words="ZooKeeper does not answer")
HOME = "/kafka-rolling-restart"
MIGRATION = "/migration"  # made by the controllers of KRaft that take over (Kafka 3.4 to 3.9)
MIGRATING = (
    "this cluster is on its way from ZooKeeper to KRaft (/migration is there). A broker that "
    "starts in KRaft mode leaves /brokers/ids for ever, and this run would wait for it in vain. "
    "Restart the brokers over ZooKeeper only while they stay in ZooKeeper mode"
)
IN_KRAFT = (
    "not registered in /brokers/ids, but a member by Kafka's own metadata: it runs in KRaft mode "
    "by now, and is not down. Name the cluster with --bootstrap-server from now on"
)
LOCK = f"{HOME}/lock"
ENDED = (KeeperState.CLOSED, KeeperState.AUTH_FAILED)
ENDPOINT = re.compile(r"[^:/\s]+://(?:\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<host>[^:/\[\]\s]*)):-?\d+\Z")


class ZooKeeper:
    """A connection to an ensemble, with a limit (``timeout``, s) on every question.

    Every question raises `RegistryUnavailable` when it is not answered in time. Before each, the
    server is told to catch up with its leader (`sync`), because a follower that lags answers with
    the past.
    """

    poll_s = 0.1  # one question over an open connection

    def __init__(
        self,
        hosts: str,
        timeout: float = 10,
        access: ZooKeeperAccess | None = None,
        view: MetadataView | None = None,
        protocol: str = PLAINTEXT,
    ) -> None:
        self.hosts = hosts
        self.timeout = timeout
        self._access = access or ZooKeeperAccess()
        self._view = view
        self._protocol = protocol
        self._notes: list[Problem] = []
        self._is_migrating = False
        self._addresses: dict[int, Address] = {}  # of listeners that speak our protocol
        self._listener = Listener()
        self._opened = False
        self._session: tuple[int, bytes] | None = None
        try:
            self._client = make_client(hosts, self._access, self._listener)
        except ValueError as error:
            raise UsageError(
                f"ZooKeeper {hosts!r} is not 'host:port,host:port/chroot': {error}",
                code="zookeeper-address-invalid",
            ) from error

    def connect(self) -> None:
        """Connect for the first time; kazoo reconnects by itself afterwards.

        Raises `RegistryUnavailable`: at once where no server can be reached, else after ``timeout``
        s; that is `RegistryDenied` where the login is refused.
        """
        self._listener.heard = ""
        try:
            self._start()
            # a login by SASL may fail only now
            self._client.sync_async("/").get(timeout=self.timeout)
        except (*FAILURES, NotInTime, ValueError) as error:
            raise self._not_connected(error) from error
        self._opened = True

    def _start(self) -> None:
        """Start the client. At first find out meanwhile whether it can succeed: kazoo tries in
        silence until the end."""
        starting = Background(partial(self._client.start, timeout=self.timeout))
        trying: dict[str, Background[Exception | None]] = {}
        began = time.monotonic()
        while not starting.ended:
            waited = time.monotonic() - began
            if waited > self.timeout + GOODBYE_S:
                raise NotInTime(f"no answer within {self.timeout:g} s")
            if waited > SOON_S and not trying and not self._opened:
                trying = {server: Background(partial(_try, server)) for server in self._servers}
            if trying and all(one.ended and _is_definite(one.result()) for one in trying.values()):
                why = ", ".join(
                    f"{server}: {_plain(one.result())}" for server, one in trying.items()
                )
                raise RegistryUnavailable(
                    f"ZooKeeper at {self.hosts} cannot be reached: {why}",
                    ADVICE,
                    code="registry-unreachable",
                )
            time.sleep(POLL_S)
        starting.result()

    @property
    def _servers(self) -> list[str]:
        return [server.strip() for server in self.hosts.partition("/")[0].split(",")]

    def _not_connected(self, error: Exception) -> RegistryUnavailable:
        if self._listener.login_failed:
            return RegistryDenied(
                f"ZooKeeper at {self.hosts} refuses the login of {self._access.login}",
                DENIED_ADVICE,
                code="zookeeper-login-refused",
            )
        seen, heard = self._why_not(), self._listener.why(self._access.tls)
        # What a server did to the connection tells more than that it accepts one; what was heard
        # may be of another server.
        telling = (
            heard and ACCEPTS in seen and heard not in seen and not heard.startswith(TIMED_OUT)
        )
        why = heard if telling else seen or said(str(error))
        return RegistryUnavailable(
            f"ZooKeeper at {self.hosts} does not answer within {self.timeout:g} s: {why}",
            ADVICE,
            code="registry-unreachable",
        )

    def _why_not(self) -> str:
        """Try each server once, because kazoo does not tell why it could not connect."""
        seen = in_parallel({one: partial(_reach, one) for one in self._servers}, limit=GOODBYE_S)
        return ", ".join(f"{one}: {seen.get(one, 'no connection')}" for one in self._servers)

    def close(self) -> None:
        """End the session; the lock goes with it."""
        self._opened = False
        ending = threading.Thread(target=_end, args=(self._client,), daemon=True)
        with suppress(RuntimeError):  # no more threads: then the server ends the session
            ending.start()
            ending.join(GOODBYE_S)

    def _revive(self) -> None:
        """Connect anew where kazoo gave up, as it does when a server ends in the middle of our
        login.

        The session is the same while the server knows it, and our lock with it.
        """
        if self._opened and self._client.client_state in ENDED:
            with suppress(RuntimeError):  # as in close()
                threading.Thread(target=_end, args=(self._client,), daemon=True).start()
            self._client = make_client(self.hosts, self._access, self._listener, self._session)
            self.connect()

    def brokers(self, listener: str | None = None) -> dict[int, Broker]:
        """Return the registered brokers by id, each with the host of its ``listener``, if one is
        named.

        Raises `Refused` for a registration without a usable host, or without that listener.
        """
        asked = {one: self._client.get_async(f"{IDS}/{one}") for one in self._ids()}
        found = {
            broker_id: self._broker(broker_id, answer, listener)
            for broker_id, answer in asked.items()
        }
        known = {broker_id: one for broker_id, one in found.items() if one is not None}
        self._notes = [] if self._view is None else self._view.begin(self._addresses, len(known))
        self._is_migrating = self._exists(MIGRATION)
        if self._is_migrating:
            self._notes.append(Problem(MIGRATING, code="migration-in-progress"))
        return known

    def registrations(self, patience: float | None = None) -> dict[int, int]:
        """Return the creation id (czxid) of each registration by broker id; what they hold is not
        looked at.

        ``patience`` (s) is how long each answer is waited for, instead of the connection's own
        timeout.
        """
        asked = {
            broker_id: self._client.exists_async(f"{IDS}/{broker_id}")
            for broker_id in self._ids(patience)
        }
        found = {one: self._ask(answer, patience, f"{IDS}/{one}") for one, answer in asked.items()}
        return {broker_id: stat.czxid for broker_id, stat in found.items() if stat is not None}

    def registration(self, broker_id: int, patience: float | None = None) -> int | None:
        """Return the creation id of one broker's registration, or None where there is none;
        ``patience`` as above."""
        self._sync(patience)
        stat = self._ask(
            self._client.exists_async(f"{IDS}/{broker_id}"), patience, f"{IDS}/{broker_id}"
        )
        return None if stat is None else int(stat.czxid)

    def observe(self, ids: Collection[int], timeout: float | None = None) -> dict[int, Observation]:
        """Say of each broker whether it is registered now, within ``timeout`` s for each answer.
        Never raises."""
        try:
            found = self._czxids(ids, timeout)
        except Exception:  # whatever it was, the answer is not known
            LOG.debug("the registrations are not known", exc_info=True)
            return dict.fromkeys(ids, SILENT)
        return {one: self._explained(one, _observation(found.get(one))) for one in ids}

    def _explained(self, broker_id: int, seen: Observation) -> Observation:
        """Say of a broker that left ZooKeeper for KRaft that it did."""
        if not seen.is_absent or not self._is_migrating or self._view is None:
            return seen
        if broker_id not in self._view.members():
            return seen
        return replace(seen, words=IN_KRAFT)

    def _czxids(self, ids: Collection[int], timeout: float | None) -> dict[int, int]:
        if len(ids) != 1:
            return self.registrations(timeout)
        (broker_id,) = ids
        czxid = self.registration(broker_id, timeout)
        return {} if czxid is None else {broker_id: czxid}

    def state(
        self, restarted: Collection[int] = (), timeout: float | None = None
    ) -> ClusterState | None:
        """Return what the brokers say of the partitions, None where Kafka's protocol is not spoken.
        Never raises."""
        return None if self._view is None else self._view.state(restarted, timeout)

    def quorum(self, timeout: float | None = None) -> None:
        """Tell that there is no quorum of Kafka's own."""

    @property
    def where(self) -> str:
        """What it is and its address, for the plan."""
        return f"ZooKeeper {self.hosts}"

    @property
    def longest_check_s(self) -> float:
        """How long (s) one look at all registrations may take."""
        return QUESTIONS * self.timeout

    def notes(self) -> list[Problem]:
        """Tell whether Kafka's protocol is not spoken, and what is lost by that; and whether the
        cluster is on its way to KRaft."""
        return self._notes

    def why_nobody(self) -> str:
        """Say what may be wrong where no broker is registered. Raises `RegistryUnavailable`."""
        return (
            f"no broker is registered in /brokers/ids at {self.hosts}. "
            f"{wrong_chroot(self.hosts, self.chroots())}"
        )

    def controller(self) -> int | None:
        """Return the controller's broker id, or None during an election."""
        self._sync()
        try:
            data, _ = self._ask(self._client.get_async("/controller"), path="/controller")
        except NoNodeError:
            return None
        try:
            return controller_id(data)
        except ValueError as error:
            raise RegistryUnavailable(
                f"/controller at {self.hosts} cannot be understood: {error}",
                ADVICE,
                code="registration-invalid",
            ) from error

    def children(self, path: str, patience: float | None = None) -> list[str]:
        """Return the names below a path, none where it is not there."""
        try:
            return sorted(self._ask(self._client.get_children_async(path), patience, path))
        except NoNodeError:
            return []

    def chroots(self) -> list[str]:
        """Return the chroots of this ensemble that have a /brokers/ids, the root as ``/``; a search
        of bounded depth.

        Raises `RegistryUnavailable`.
        """
        whole = ZooKeeper(",".join(self._servers), self.timeout, self._access)
        with closing(whole):
            whole.connect()
            return whole._search()

    def _search(self) -> list[str]:
        found, level = [], [""]
        for _ in range(SEARCH_DEPTH + 1):
            asked = {path: self._client.exists_async(f"{path}{IDS}") for path in level}
            found += [path or "/" for path, answer in asked.items() if self._answer_if_any(answer)]
            below = {path: self._client.get_children_async(path or "/") for path in level}
            names = {path: self._answer_if_any(answer) or [] for path, answer in below.items()}
            level = [
                f"{path}/{one}"
                for path in level
                for one in sorted(names[path])
                if one not in NO_CHROOTS
            ]
            level = level[:SEARCH_WIDTH]
        return found

    def _answer_if_any(self, answer: Any) -> Any:
        """Return an answer; None where there is no such node, or where it may not be read."""
        try:
            return self._ask(answer)
        except (NoNodeError, RegistryDenied):
            return None

    @contextmanager
    def lock(self, holder: dict[str, object]) -> Iterator["Lock"]:
        """Hold the cluster's lock for the block. Raises `LockHeld`, which tells who holds it."""
        lock = Lock(self, holder)
        lock.take()
        try:
            yield lock
        finally:
            lock.release()

    def _ids(self, patience: float | None = None) -> list[int]:
        self._sync(patience)
        return sorted(int(name) for name in self.children(IDS, patience) if name.isdigit())

    def _sync(self, timeout: float | None = None) -> None:
        self._revive()
        self._ask(self._client.sync_async("/"), timeout)
        self._session = self._client.client_id or self._session

    def _ask(self, answer: Any, timeout: float | None = None, path: str = "/") -> Any:
        try:
            return answer.get(timeout=timeout or self.timeout)
        except NoNodeError:
            raise
        except NoAuthError as error:
            raise self._denied(path, "read") from error
        except FAILURES as error:
            raise self._no_answer(error) from error

    def _no_answer(self, error: BaseException) -> RegistryUnavailable:
        why = said(str(error)) or type(error).__name__
        return RegistryUnavailable(
            f"ZooKeeper at {self.hosts} does not answer: {why}", ADVICE, code="registry-unreachable"
        )

    def _denied(self, path: str, right: str) -> RegistryDenied:
        login = self._access.login
        # Of the scheme digest, ZooKeeper takes any password, and a wrong one is another person.
        verb = "read" if right == "read" else "write below"
        whose = (
            f"to {login} (is the password right?)"
            if login
            else "to who has no login (--zookeeper-user)"
        )
        return RegistryDenied(
            f"ZooKeeper at {self.hosts} does not let us {verb} {path}: its ACL does not give the "
            f"right `{right}` {whose}",
            DENIED_ADVICE,
            code="zookeeper-access-denied",
        )

    def lock_problem(self) -> Problem | None:
        """Tell why the lock could not be held for lack of rights, if so. Nothing is written.

        A transaction is refused as a whole when one of its steps fails, as the last one here always
        does; which step failed first tells the right that is missing.
        """
        try:
            missing = [path for path in (HOME, LOCK) if not self._exists(path)]
            results = self._ask(_probe(self._client, missing).commit_async())
            self.children(LOCK)
        except RegistryDenied as error:
            return _as_problem(error)
        parents = [path.rpartition("/")[0] or "/" for path in missing]
        for path, result in zip([*parents, LOCK], results, strict=False):
            if isinstance(result, NoAuthError):
                return _as_problem(self._denied(path, "create"))
            if isinstance(result, InvalidACLError):
                text = (
                    f"ZooKeeper at {self.hosts} does not accept {self._access.login} in an ACL. "
                    "Check that this authentication scheme is set up there"
                )
                return Problem(text, code="zookeeper-access-denied")
        return None

    def lock_note(self) -> str:
        """Tell that anybody may take away the lock that our login protects, or nothing. Nothing is
        written."""
        if self._access.login is None:  # then it is open to all in any case
            return ""
        open_to_all = [path for path in (HOME, LOCK) if self._lets_all_delete(path)]
        if not open_to_all:
            return ""
        close = "; ".join(f"setAcl {path} auth::cdrwa,world:anyone:r" for path in open_to_all)
        return (
            f"anyone can delete what is in {' and in '.join(open_to_all)}, the lock included, "
            "because its ACL allows it: a run without a login made it. To close it, log in to "
            f"zookeeper-shell as {self._access.login} and run there: `{close}`"
        )

    def _lets_all_delete(self, path: str) -> bool:
        try:
            acls, _ = self._ask(self._client.get_acls_async(path), path=path)
        except (NoNodeError, RegistryDenied):  # it will be ours, or cannot be looked at
            return False
        # who may change the ACL may give themselves the other
        rights = Permissions.DELETE | Permissions.ADMIN
        return any(acl.id.scheme == "world" and acl.perms & rights for acl in acls)

    def lock_holder(self) -> str:
        """Tell who holds the lock now, or nothing. Nothing is written."""
        names = self.children(LOCK)
        if not names:
            return ""
        # kazoo: the lowest of the sequence has it
        first = min(names, key=lambda name: name.rpartition("__")[2])
        try:
            data, _ = self._ask(self._client.get_async(f"{LOCK}/{first}"), path=LOCK)
        except NoNodeError:  # it ended just now
            return ""
        return _who([data.decode("utf-8", "replace")])

    def _exists(self, path: str) -> bool:
        return self._ask(self._client.exists_async(path), path=path) is not None

    def _broker(self, broker_id: int, answer: Any, listener: str | None) -> Broker | None:
        try:
            data, stat = self._ask(answer, path=f"{IDS}/{broker_id}")
        except NoNodeError:
            return None
        broker = Broker(broker_id, host_of(broker_id, data, listener), stat.czxid, _rack(data))
        if (address := kafka_address(data, self._protocol)) is not None:
            self._addresses[broker_id] = address
        return broker


def _as_problem(error: RegistryUnavailable) -> Problem:
    return Problem(str(error), code=error.code)


def _try(server: str) -> Exception | None:
    """Connect to a server, as `host`, `host:port` or `[address]:port`; return what it failed with,
    if it did."""
    host, colon, port = server.rpartition(":")
    if not colon or server.endswith("]"):
        host, port = server, str(CLIENT_PORT)
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=GOODBYE_S).close()
    except (OSError, ValueError) as error:
        return error
    return None


def _is_definite(error: Exception | None) -> bool:
    """Tell whether to wait would be in vain: a name that is unknown or a port that is refused, and
    not mere silence."""
    return error is not None and not isinstance(error, TimeoutError)


def _plain(error: Exception | None) -> str:
    return ACCEPTS if error is None else str(getattr(error, "strerror", None) or error)


def _reach(server: str) -> str:
    """Say what comes of connecting to a server."""
    return _plain(_try(server))


def _observation(czxid: int | None) -> Observation:
    if czxid is None:
        return Observation(Presence.ABSENT, words=UNREGISTERED)
    return Observation(Presence.PRESENT, czxid, REGISTERED)


def controller_id(registration: bytes) -> int:
    """Return the broker id from the JSON of /controller. Raises `ValueError` for what holds
    none."""
    try:
        return int(json.loads(registration)["brokerid"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise ValueError(clean(str(error), SHOWN)) from error


def host_of(broker_id: int, registration: bytes, listener: str | None = None) -> str:
    """Return the host from a registration's JSON: its ``host``, else that of its first endpoint; or
    a listener's.

    Raises `Refused` where there is none, or one that is no host name (it goes into an SSH and an
    HTTP address).
    """
    if len(registration) > MAX_REGISTRATION:
        raise Refused(
            f"{IDS}/{broker_id} has {len(registration)} bytes, more than any broker registers. "
            f"{_look(broker_id)}",
            code="registration-invalid",
        )
    try:
        content = json.loads(registration)
        endpoints = list(map(str, content.get("endpoints") or []))
        if listener is not None:
            named = _listener_host(broker_id, endpoints, listener)
        else:
            named = content.get("host") or next(filter(None, map(_endpoint_host, endpoints)), None)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise Refused(
            f"{IDS}/{broker_id} cannot be understood: {clean(str(error), SHOWN)}. "
            f"{_look(broker_id)}",
            code="registration-invalid",
        ) from error
    if not isinstance(named, str) or len(named) > MAX_HOST or not HOST.match(named):
        seen = "none" if named is None else repr(str(named)[:SHOWN])
        raise Refused(
            f"{IDS}/{broker_id} has no usable host: {seen}. Check advertised.listeners of broker "
            f"{broker_id}. {_look(broker_id)}",
            code="registration-invalid",
        )
    return named


def _look(broker_id: int) -> str:
    return f"To read it: `get {IDS}/{broker_id}` in zookeeper-shell.sh HOST:2181/CHROOT"


def _listener_host(broker_id: int, endpoints: list[str], listener: str) -> str | None:
    """Return the host of a listener; its name is upper case in Kafka."""
    by_name = {endpoint.partition("://")[0].upper(): endpoint for endpoint in endpoints}
    if listener.upper() not in by_name:
        there = clean(", ".join(sorted(by_name)), SHOWN)
        raise Refused(
            f"broker {broker_id} has no listener {listener!r} in {IDS}/{broker_id}; it has: "
            f"{there!r}",
            code="listener-unknown",
        )
    return _endpoint_host(by_name[listener.upper()])


def kafka_address(registration: bytes, protocol: str) -> Address | None:
    """Return where a broker listens that speaks this security protocol, None where it does nowhere.

    The registration was found to be a usable one. Kafka before 0.10.2 names no protocols: there the
    listeners have the names of their protocols.
    """
    content = json.loads(registration)
    protocols = content.get("listener_security_protocol_map")
    endpoints = content.get("endpoints")
    for endpoint in endpoints if isinstance(endpoints, list) else []:
        name, _, address = str(endpoint).partition("://")
        spoken = protocols.get(name, name) if isinstance(protocols, dict) else name
        host, port = _endpoint_host(str(endpoint)), address.rpartition(":")[2]
        if spoken == protocol and host and HOST.match(host) and port.isdecimal():
            return host, int(port)
    return None


def _rack(registration: bytes) -> str:
    """Return the rack from a registration's JSON that was found to be a usable one."""
    rack = json.loads(registration).get("rack")
    return clean(rack, MAX_RACK) if isinstance(rack, str) else ""


def _endpoint_host(endpoint: str) -> str | None:
    match = ENDPOINT.match(endpoint)
    return (match["v6"] or match["host"]) if match else None


def _end(client: Any) -> None:
    with suppress(Exception):  # the session then ends by its timeout, and nobody is to wait for it
        client.stop()
        client.close()


def _probe(client: Any, missing: list[str]) -> Any:
    """Return a transaction that would make what is missing and take the lock, if its last step did
    not fail."""
    transaction = client.transaction()
    for path in [*missing, f"{LOCK}/probe", f"{LOCK}/probe"]:  # the second one is there already
        transaction.create(path)
    return transaction


class Lock:
    """One run at a time for each cluster: an ephemeral node that shows who holds it and dies with
    the session."""

    loss = "with the ZooKeeper session"

    def __init__(self, zookeeper: ZooKeeper, holder: dict[str, object]) -> None:
        self._zookeeper = zookeeper
        self._holder = holder
        self._lock: Any = None

    @property
    def _client(self) -> Any:
        return self._zookeeper._client

    def take(self) -> None:
        """Take the lock at once. Raises `LockHeld` where another run has it."""
        self._zookeeper._sync()
        self._lock = self._client.Lock(LOCK, json.dumps(self._holder))
        try:
            # kazoo's lock waits without a bound
            others = call_in_thread(self._try, self._zookeeper.timeout)
        except NoAuthError as error:
            problem = self._zookeeper.lock_problem()
            why = problem.text if problem else f"ZooKeeper does not let us write {LOCK}"
            raise Refused(why, code="zookeeper-access-denied") from error
        except (*FAILURES, NotInTime) as error:
            raise self._zookeeper._no_answer(error) from error
        if others is not None:
            raise held_by(_who(others))

    def _try(self) -> list[str] | None:
        """Try to take the lock; return None where it is ours, else what its contenders say of
        themselves."""
        return None if self._lock.acquire(blocking=False) else list(self._lock.contenders())

    def still_held(self) -> bool:
        """Tell whether our node is there and belongs to the session that we have now."""
        self._zookeeper._sync()
        try:
            _, stat = self._zookeeper._ask(self._client.get_async(f"{LOCK}/{self._lock.node}"))
        except NoNodeError:
            return False
        session = self._client.client_id  # None while there is no connection
        return session is not None and bool(stat.ephemeralOwner == session[0])

    def ensure_held(self) -> bool:
        """Make sure that the lock is ours; take it again where the session was lost. Return whether
        that was so.

        Raises `Stopped` where somebody else has it now.
        """
        if self.still_held():
            return False
        try:
            self.take()
        except (LockHeld, Refused) as error:
            raise Stopped(
                f"the lock was lost with the ZooKeeper session, and since then {error}",
                code="lock-lost",
            ) from error
        return True

    def show(self, brokers: Sequence[Broker]) -> None:
        """Let others see at which brokers we are."""
        data = json.dumps(holders.at_brokers(self._holder, brokers)).encode()
        try:
            self._zookeeper._ask(self._client.set_async(f"{LOCK}/{self._lock.node}", data))
        except NoNodeError as error:
            raise Stopped(
                f"our lock {LOCK}/{self._lock.node} was deleted. Find out by whom before "
                "continuing",
                code="lock-lost",
            ) from error

    def release(self) -> None:
        """Let go of the lock; where ZooKeeper does not answer it goes with the session."""
        if self._client.connected and self._lock.is_acquired:
            try:
                self._zookeeper._ask(
                    self._client.delete_async(f"{LOCK}/{self._lock.node}"), GOODBYE_S
                )
            except Exception:  # how the run ended is known, and is not changed by this
                LOG.debug("the lock could not be let go of", exc_info=True)


def _who(contenders: list[str]) -> str:
    return holders.words(contenders[0] if contenders else "", LOCK)


def wrong_chroot(hosts: str, chroots: Sequence[str]) -> str:
    """Say what may be wrong where no broker is registered. ``chroots`` are those that have a
    /brokers/ids."""
    servers, _, path = hosts.partition("/")
    ours = f"/{path.strip('/')}"
    if ours in chroots:
        others = [chroot for chroot in chroots if chroot != ours]
        elsewhere = (
            f", or give another chroot, which is the path behind the servers: {_some(others)}"
            if others
            else ""
        )
        return f"It is there, and empty: start the brokers{elsewhere}"
    if not chroots:
        return (
            "No other chroot (the path behind the servers) has a /brokers/ids either: is this "
            "the ZooKeeper of Kafka? A KRaft cluster has none, and is not supported"
        )
    addresses = " or ".join(f"{servers}{chroot.rstrip('/')}" for chroot in chroots[:FIRST])
    return f"/brokers/ids is under {_some(chroots)}: give {addresses} as the address"


def _some(chroots: Sequence[str]) -> str:
    more = f" and {len(chroots) - FEW} more" if len(chroots) > FEW else ""
    return f"{', '.join(chroots[:FEW])}{more}"
