"""ZooKeeper: which brokers are registered, which one is the controller, and the lock. Only this module knows kazoo."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoAuthError, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError

from kafka_rolling_restart.cluster import HOST, Broker
from kafka_rolling_restart.errors import LockHeld, Refused, Stopped, UsageError, ZooKeeperUnavailable
from kafka_rolling_restart.parallel import NotInTime, aside

IDS = "/brokers/ids"
GOODBYE_S = 2.0
MAX_RACK = 40  # characters that are shown
MAX_REGISTRATION = 64 * 1024  # bytes; a broker's are less than 2 KiB, and ZooKeeper takes 1 MiB from anybody
MAX_HOST = 255  # characters of a name in DNS
SHOWN = 80  # characters of what somebody registered
LOOK = "Look at it with zookeeper-shell"
RETRY = {"max_tries": -1, "delay": 0.1, "max_delay": 1.0}  # by default kazoo soon waits for minutes between its tries
FAILURES = (KazooException, KazooTimeoutError, OSError, RuntimeError)  # kazoo raises the last for answers in disorder
LOCK = "/kafka-rolling-restart/lock"
ENDPOINT = re.compile(r"[^:/\s]+://(?:\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<host>[^:/\[\]\s]*)):-?\d+\Z")


class ZooKeeper:
    """A connection to an ensemble, with a limit (``timeout``, s) on every question.

    Every question raises `ZooKeeperUnavailable` when it is not answered in time. Before each, the server is
    told to catch up with its leader (`sync`), because a follower that lags answers with the past.
    """

    def __init__(self, hosts: str, timeout: float = 10) -> None:
        self.hosts = hosts
        self.timeout = timeout
        try:
            self._client: Any = KazooClient(hosts=hosts, connection_retry=RETRY)
        except ValueError as error:
            raise UsageError(f"ZooKeeper {hosts!r} is not 'host:port,host:port/chroot': {error}") from error

    def connect(self) -> None:
        """Connect for the first time; kazoo reconnects by itself afterwards."""
        try:
            aside(partial(self._client.start, timeout=self.timeout), self.timeout + GOODBYE_S)
        except (*FAILURES, NotInTime, ValueError) as error:
            raise ZooKeeperUnavailable(
                f"ZooKeeper at {self.hosts} does not answer: {error or 'no reason given'}"
            ) from error

    def close(self) -> None:
        """End the session; the lock goes with it."""
        ending = threading.Thread(target=self._end, daemon=True)
        ending.start()
        ending.join(GOODBYE_S)

    def _end(self) -> None:
        with suppress(Exception):  # the session then ends by its timeout, and nobody is to wait for it
            self._client.stop()
            self._client.close()

    def brokers(self, listener: str | None = None) -> dict[int, Broker]:
        """Return the registered brokers by id, each with the host of its ``listener``, if one is named.

        Raises `Refused` for a registration without a usable host, or without that listener.
        """
        asked = {broker_id: self._client.get_async(f"{IDS}/{broker_id}") for broker_id in self._ids()}
        found = {broker_id: self._broker(broker_id, answer, listener) for broker_id, answer in asked.items()}
        return {broker_id: broker for broker_id, broker in found.items() if broker is not None}

    def registrations(self, patience: float | None = None) -> dict[int, int]:
        """Return the creation id (czxid) of each registration by broker id; what they hold is not looked at.

        ``patience`` (s) is how long each answer is waited for, instead of the connection's own timeout.
        """
        asked = {broker_id: self._client.exists_async(f"{IDS}/{broker_id}") for broker_id in self._ids(patience)}
        found = {broker_id: self._ask(answer, patience) for broker_id, answer in asked.items()}
        return {broker_id: stat.czxid for broker_id, stat in found.items() if stat is not None}

    def registration(self, broker_id: int, patience: float | None = None) -> int | None:
        """Return the creation id of one broker's registration, or None where there is none; ``patience`` as above."""
        self._sync(patience)
        stat = self._ask(self._client.exists_async(f"{IDS}/{broker_id}"), patience)
        return None if stat is None else int(stat.czxid)

    def controller(self) -> int | None:
        """Return the controller's broker id, or None during an election."""
        self._sync()
        try:
            data, _ = self._ask(self._client.get_async("/controller"))
            return int(json.loads(data)["brokerid"])
        except NoNodeError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ZooKeeperUnavailable(f"/controller at {self.hosts} cannot be understood: {error}") from error

    def children(self, path: str, patience: float | None = None) -> list[str]:
        """Return the names below a path, none where it is not there."""
        try:
            return sorted(self._ask(self._client.get_children_async(path), patience))
        except NoNodeError:
            return []

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
        self._ask(self._client.sync_async("/"), timeout)

    def _ask(self, answer: Any, timeout: float | None = None) -> Any:
        try:
            return answer.get(timeout=timeout or self.timeout)
        except NoNodeError:
            raise
        except NoAuthError as error:
            raise ZooKeeperUnavailable(f"ZooKeeper at {self.hosts} does not let us read: {error!r}") from error
        except FAILURES as error:
            raise ZooKeeperUnavailable(f"ZooKeeper at {self.hosts} does not answer: {error!r}") from error

    def _broker(self, broker_id: int, answer: Any, listener: str | None) -> Broker | None:
        try:
            data, stat = self._ask(answer)
        except NoNodeError:
            return None
        return Broker(broker_id, host_of(broker_id, data, listener), stat.czxid, _rack(data))


def host_of(broker_id: int, registration: bytes, listener: str | None = None) -> str:
    """Return the host from a registration's JSON: its ``host``, else that of its first endpoint; or a listener's.

    Raises `Refused` where there is none, or one that is no host name (it goes into an SSH and an HTTP address).
    """
    if len(registration) > MAX_REGISTRATION:
        raise Refused(f"{IDS}/{broker_id} holds {len(registration)} bytes, which is no broker's. {LOOK}")
    try:
        content = json.loads(registration)
        endpoints = list(map(str, content.get("endpoints") or []))
        if listener is not None:
            named = _listener_host(broker_id, endpoints, listener)
        else:
            named = content.get("host") or next(filter(None, map(_endpoint_host, endpoints)), None)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise Refused(f"{IDS}/{broker_id} cannot be understood: {str(error)[:SHOWN]}. {LOOK}") from error
    if not isinstance(named, str) or len(named) > MAX_HOST or not HOST.match(named):
        raise Refused(f"{IDS}/{broker_id} holds no usable host: {str(named)[:SHOWN]!r}. {LOOK}")
    return named


def _listener_host(broker_id: int, endpoints: list[str], listener: str) -> str | None:
    """Return the host of a listener; its name is upper case in Kafka."""
    by_name = {endpoint.partition("://")[0].upper(): endpoint for endpoint in endpoints}
    if listener.upper() not in by_name:
        there = ", ".join(sorted(by_name))[:SHOWN]
        raise Refused(f"broker {broker_id} has no listener {listener!r} in {IDS}/{broker_id}; it has: {there!r}")
    return _endpoint_host(by_name[listener.upper()])


def _rack(registration: bytes) -> str:
    """Return the rack from a registration's JSON that was found to be a usable one."""
    rack = json.loads(registration).get("rack")
    return rack[:MAX_RACK] if isinstance(rack, str) else ""


def _endpoint_host(endpoint: str) -> str | None:
    match = ENDPOINT.match(endpoint)
    return (match["v6"] or match["host"]) if match else None


class Lock:
    """One run at a time for each cluster: an ephemeral node that shows who holds it and dies with the session."""

    def __init__(self, zookeeper: ZooKeeper, holder: dict[str, object]) -> None:
        self._zookeeper = zookeeper
        self._client = zookeeper._client
        self._holder = holder
        self._lock: Any = None

    def take(self) -> None:
        """Take the lock at once. Raises `LockHeld` where another run has it."""
        self._zookeeper._sync()
        self._lock = self._client.Lock(LOCK, json.dumps(self._holder))
        try:
            others = aside(self._try, self._zookeeper.timeout)  # kazoo's lock waits without a bound
        except NoAuthError as error:
            raise Refused(
                f"ZooKeeper does not let us write {LOCK}: the rights to create and delete there are missing"
            ) from error
        except (*FAILURES, NotInTime) as error:
            raise ZooKeeperUnavailable(f"ZooKeeper at {self._zookeeper.hosts} does not answer: {error!r}") from error
        if others is not None:
            raise LockHeld(f"another run restarts this cluster: {_who(others)}. Let it end, or stop it, then try again")

    def _try(self) -> list[str] | None:
        """Try to take the lock; return None where it is ours, else what its contenders say of themselves."""
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

    def hold(self) -> bool:
        """Make sure that the lock is ours; take it again where the session was lost. Return whether that was so.

        Raises `Stopped` where somebody else has it now.
        """
        if self.still_held():
            return False
        try:
            self.take()
        except (LockHeld, Refused) as error:
            raise Stopped(f"the lock was lost with the ZooKeeper session, and since then {error}") from error
        return True

    def show(self, broker: Broker) -> None:
        """Let others see at which broker we are."""
        data = json.dumps({**self._holder, "broker": broker.id}).encode()
        try:
            self._zookeeper._ask(self._client.set_async(f"{LOCK}/{self._lock.node}", data))
        except NoNodeError as error:
            raise Stopped(f"our lock {LOCK}/{self._lock.node} was taken away. Find out by whom") from error

    def release(self) -> None:
        """Let go of the lock; where ZooKeeper does not answer it goes with the session."""
        if self._client.connected and self._lock.is_acquired:
            try:
                self._zookeeper._ask(self._client.delete_async(f"{LOCK}/{self._lock.node}"), GOODBYE_S)
            except (ZooKeeperUnavailable, NoNodeError):
                return


def _who(contenders: list[str]) -> str:
    try:
        holder = json.loads(contenders[0])
        at = f", at broker {holder['broker']}" if "broker" in holder else ""
        return f"{holder['user']} on {holder['host']}, pid {holder['pid']}, since {holder['since']}{at}"
    except (IndexError, ValueError, KeyError, TypeError):
        return f"who it is cannot be read from {LOCK}"
