"""One broker's metrics through JMXProxy: a fresh reading, or why there is none. Only this module knows requests.

What JMXProxy does was measured on JMXProxy 3.4.0 in front of Kafka 3.9.1: it caches for 5 minutes by default,
answers for a stopped broker out of its cache, and forgets what it knows on DELETE (404 where it knew nothing).
"""

import json
import logging
from collections.abc import Callable
from copy import copy
from typing import Any

import requests
from requests.utils import requote_uri

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.cluster import Jvm, Metrics, Reading

LOG = logging.getLogger(__name__)
MAX_BODY = 64 * 1024  # bytes; a value is a few bytes, so anything longer is not one
MAX_VALUE = 2**63  # a Java long
RUNTIME = "java.lang:type=Runtime"
STATE = ("kafka.server", "KafkaServer", "BrokerState")
UNDER_REPLICATED = ("kafka.server", "ReplicaManager", "UnderReplicatedPartitions")
OFFLINE = ("kafka.controller", "KafkaController", "OfflinePartitionsCount")
CONTROLLERS = ("kafka.controller", "KafkaController", "ActiveControllerCount")


class _NoAnswer(Exception):
    def __init__(self, reason: str, *, silent: bool = False, no_proxy: bool = False) -> None:
        super().__init__(reason)
        self.silent = silent
        self.no_proxy = no_proxy


class _NotFound(_NoAnswer):
    """404: the proxy finds no JVM there, or the JVM has no such MBean (yet)."""


class JmxProxy:
    """The proxy of one broker. ``timeout`` (s) bounds connecting, each wait for bytes, and a whole body."""

    def __init__(
        self,
        host: str,
        port: int,
        prefix: str,
        timeout: float,
        clock: Clock,
        open_session: Callable[[], requests.Session] = requests.Session,
    ) -> None:
        named = f"[{host}]" if ":" in host else host
        self._where = f"JMXProxy at {named}:{port}"
        self._jvm_address = prefix.strip("/").rpartition("/")[2]
        self._endpoint = f"http://{named}:{port}/{prefix.strip('/')}"
        self._config = f"{self._endpoint.rpartition('/')[0]}/config"
        self._timeout = timeout
        self._clock = clock
        self._open_session = open_session
        self._cache_s: float | None = None
        self._name_first = False  # older brokers registered name=…,type=…
        self._prepared: dict[str, requests.PreparedRequest] = {}

    def read(self) -> Reading:
        """Read the broker's metrics now; never raises for what the network or the proxy does."""
        asked_at = self._clock.now()
        emptied, jvm, metrics, failure = True, None, None, None
        with self._open_session() as session:
            session.trust_env = False  # a proxy of the environment would be one more cache to lie to us
            try:
                emptied = self._empty(session)
                jvm = self._jvm(session)
                metrics = self._metrics(session)
            except _NoAnswer as error:
                failure = error
        answered_at = self._clock.now()
        what = str(failure) if failure else f"{jvm}, {metrics}"
        LOG.debug(
            "%s: %s (%.2f s, cache %s)", self._endpoint, what, answered_at - asked_at, "emptied" if emptied else "kept"
        )
        return Reading(
            asked_at=asked_at,
            answered_at=answered_at,
            emptied=emptied,
            cache_s=self._cache_s,
            jvm=jvm,
            metrics=metrics,
            reason=str(failure or ""),
            silent=failure is not None and failure.silent and jvm is None,
            no_proxy=failure is not None and failure.no_proxy,
            url=f"{self._endpoint}/{RUNTIME}/Uptime",
        )

    def _empty(self, session: requests.Session) -> bool:
        status, _ = self._request(session, "DELETE", self._endpoint)
        if status == 404 or 200 <= status < 300:  # 404: it had nothing to forget
            return True
        if self._cache_s is None:
            self._cache_s = self._cache_duration(session)
        return False

    def _cache_duration(self, session: requests.Session) -> float | None:
        try:
            milliseconds = self._get(session, self._config)["cache_duration"]
            return float(milliseconds) / 1000
        except (_NoAnswer, KeyError, TypeError, ValueError):
            return None

    def _jvm(self, session: requests.Session) -> Jvm:
        # The uptime comes first: whatever is read after it is at least as new as it is.
        uptime_ms = self._number(session, RUNTIME, "Uptime")
        start_ms = self._number(session, RUNTIME, "StartTime")
        return Jvm(start_ms, uptime_ms, _pid(self._get(session, f"{self._endpoint}/{RUNTIME}/Name")))

    def _metrics(self, session: requests.Session) -> Metrics:
        return Metrics(
            state=self._kafka(session, STATE),
            under_replicated=self._kafka(session, UNDER_REPLICATED),
            offline_partitions=self._kafka(session, OFFLINE),
            active_controllers=self._kafka(session, CONTROLLERS),
        )

    def _kafka(self, session: requests.Session, mbean: tuple[str, str, str]) -> int:
        try:
            return self._number(session, self._text(mbean), "Value")
        except _NotFound:
            self._name_first = not self._name_first
        try:
            return self._number(session, self._text(mbean), "Value")
        except _NotFound as error:
            raise _NoAnswer(f"its JVM answers, but has no metric {mbean[2]} yet") from error

    def _text(self, mbean: tuple[str, str, str]) -> str:
        domain, kind, name = mbean
        keys = [f"type={kind}", f"name={name}"]
        return f"{domain}:{','.join(reversed(keys) if self._name_first else keys)}"

    def _number(self, session: requests.Session, mbean: str, attribute: str) -> int:
        value = self._get(session, f"{self._endpoint}/{mbean}/{attribute}")
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_VALUE:
            raise _NoAnswer(
                f"{self._where} says {json.dumps(value)[:80]} for {mbean}/{attribute}, which is not a whole number"
            )
        return value

    def _get(self, session: requests.Session, url: str) -> Any:
        status, body = self._request(session, "GET", url)
        if status == 404:
            raise _NotFound(f"{self._where} answers 404: it reaches no JVM at {self._jvm_address}", silent=True)
        if status in (401, 403):
            meaning = "the JMX credentials are wrong" if status == 401 else f"{self._jvm_address} is not allowed there"
            raise _NoAnswer(f"{self._where} answers {status}: {meaning}")
        if status != 200:
            raise _NoAnswer(f"{self._where} answers with HTTP status {status}")
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            text = repr(body[:60].decode("utf-8", "replace")) if body else "nothing"
            raise _NoAnswer(f"{self._where} answers with what is not JSON: {text}") from error

    def _request(self, session: requests.Session, method: str, url: str) -> tuple[int, bytes]:
        deadline = self._clock.now() + self._timeout
        try:
            request = self._prepare(session, method, url)
            with session.send(request, timeout=self._timeout, allow_redirects=False, stream=True) as response:
                return response.status_code, self._body(response, deadline)
        except requests.Timeout as error:
            raise _NoAnswer(f"{self._where} did not answer within {self._timeout:g} s") from error
        except (requests.RequestException, OSError, ValueError) as error:
            refused = _is_refused(error)
            raise _NoAnswer(f"{self._where}: {_plain(error)}", silent=refused, no_proxy=refused) from error

    def _prepare(self, session: requests.Session, method: str, url: str) -> requests.PreparedRequest:
        """Return a request; all of one method differ by their address only, and preparing costs a third of a request."""
        if method not in self._prepared:
            self._prepared[method] = session.prepare_request(requests.Request(method, url))
        request = copy(self._prepared[method])
        request.url = requote_uri(url)
        return request

    def _body(self, response: requests.Response, deadline: float) -> bytes:
        body = b""
        for chunk in response.iter_content(4096):
            body += chunk
            if len(body) > MAX_BODY:
                raise _NoAnswer(f"{self._where} sends more than {MAX_BODY} bytes for one value")
            if self._clock.now() > deadline:
                raise _NoAnswer(f"{self._where} did not finish its answer within {self._timeout:g} s")
        return body


def _pid(name: object) -> int | None:
    pid = str(name).partition("@")[0]
    return int(pid) if pid.isascii() and pid.isdecimal() else None


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _is_refused(error: BaseException) -> bool:
    return any(isinstance(cause, ConnectionRefusedError) for cause in _causes(error))


def _plain(error: BaseException) -> str:
    """Say the innermost cause: what the system said, without the libraries' wrapping."""
    system = [cause for cause in _causes(error) if isinstance(cause, OSError) and cause.strerror]
    innermost = system[-1].strerror if system else str(_causes(error)[-1])
    return str(innermost or type(error).__name__)
