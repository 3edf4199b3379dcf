"""One broker's metrics through JMXProxy: a fresh reading, or why there is none.

What JMXProxy does was measured on JMXProxy 3.4.0 in front of Kafka 3.9.1: it caches for 5 minutes
by default, answers for a stopped broker out of its cache, and forgets what it knows on DELETE (404
where it knew nothing). The JVM's own credentials it takes as a form that is posted to the address
of the value; it answers 401 without `WWW-Authenticate` where they are wrong, so a 401 with it comes
from something in front.
"""

import json
import logging
import math
import shlex
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.utils import requote_uri

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.metrics.http import open_session as open_bounded_session
from kafka_rolling_restart.model.broker import Jvm, Metrics, Sample
from kafka_rolling_restart.settings.access import MetricsAccess
from kafka_rolling_restart.text import said

LOG = logging.getLogger(__name__)
MAX_BODY = 64 * 1024  # bytes; a value is a few bytes, so anything longer is not one
MAX_VALUE = 2**63  # a Java long
MAX_PID = 10  # digits
MAX_CACHE_S = 3600.0  # an answer may be so old; longer than that nobody waits for a newer one
RUNTIME = "java.lang:type=Runtime"
STATE = ("kafka.server", "KafkaServer", "BrokerState")
UNDER_REPLICATED = ("kafka.server", "ReplicaManager", "UnderReplicatedPartitions")
OFFLINE = ("kafka.controller", "KafkaController", "OfflinePartitionsCount")
CONTROLLERS = ("kafka.controller", "KafkaController", "ActiveControllerCount")


class _NoAnswer(Exception):
    def __init__(self, reason: str, *, silent: bool = False, no_proxy: bool = False) -> None:
        super().__init__(said(reason))
        self.silent = silent
        self.no_proxy = no_proxy


class _NotFound(_NoAnswer):
    """404: the proxy finds no JVM there, or the JVM has no such MBean (yet)."""


@dataclass(frozen=True)
class _Answer:
    """What came back; ``wants_login`` and ``location`` out of its headers."""

    status: int
    body: bytes
    wants_login: bool
    location: str


@dataclass(frozen=True)
class _Look:
    """One reading of all that is read, which is over at ``deadline`` (monotonic s), whatever the
    answers do."""

    session: requests.Session
    deadline: float


class JmxProxy:
    """The metrics of one broker. ``access.timeout`` (s) bounds a reading as a whole.

    ``has_controller``: its JVM has the MBeans of the controller, as no broker of KRaft has that is
    not a controller, too.
    """

    tells_process = True

    def __init__(
        self,
        host: str,
        access: MetricsAccess,
        clock: Clock,
        open_session: Callable[[], requests.Session] | None = None,
        has_controller: bool = True,
    ) -> None:
        self._endpoint = access.endpoint(host)
        self._where = f"JMXProxy at {urlsplit(self._endpoint).netloc}"
        self._jvm_address = self._endpoint.rpartition("/")[2]
        self._config = f"{self._endpoint.rpartition('/')[0]}/config"
        self._access = access
        self._timeout = access.timeout
        self._late = f"{self._where} did not answer within {access.timeout:g} s"
        self._clock = clock
        self._has_controller = has_controller
        self._open_session = open_session or partial(open_bounded_session, access.tls)
        self._cache_s: float | None = None
        self._name_first = False  # older brokers registered name=…,type=…
        self._prepared: dict[str, requests.PreparedRequest] = {}

    def read(self) -> Sample:
        """Read the broker's metrics now; never raises for what the network or the proxy does."""
        asked_at = self._clock.now()
        cache_flushed, jvm, metrics, failure = True, None, None, None
        with self._open_session() as session:
            look = _Look(session, asked_at + self._timeout)
            try:
                self._set_up(session)
                cache_flushed = self._empty(look)
                jvm = self._jvm(look)
                metrics = self._metrics(look)
            except _NoAnswer as error:
                failure = error
            except (
                Exception
            ) as error:  # whatever an answer makes a parser do: a broker may be down meanwhile
                LOG.debug("%s: cannot be read", self._endpoint, exc_info=True)
                failure = _NoAnswer(
                    f"{self._where} answers with what cannot be read ({type(error).__name__})"
                )
        answered_at = self._clock.now()
        what = str(failure) if failure else f"{jvm}, {metrics}"
        LOG.debug(
            "%s: %s (%.2f s, cache %s)",
            self._endpoint,
            what,
            answered_at - asked_at,
            "cache_flushed" if cache_flushed else "kept",
        )
        max_age = self._max_age(cache_flushed)
        return Sample(
            asked_at=asked_at,
            answered_at=answered_at,
            jvm=jvm,
            metrics=metrics,
            reason=str(failure or ""),
            silent=failure is not None and failure.silent and jvm is None,
            source_is_down=failure is not None and failure.no_proxy,
            max_age=max_age,
            age_note=_age_note(max_age),
            source="JMXProxy",
            advice=self._advice(failure),
        )

    def _max_age(self, cache_flushed: bool) -> float:
        """Return how old (s) what the proxy said may be."""
        if cache_flushed:
            return 0.0
        return math.inf if self._cache_s is None else self._cache_s

    def _advice(self, failure: "_NoAnswer | None") -> str:
        """Say what a person looks at, unless the failure names it itself, and types to see the
        same."""
        if failure is None:
            return "Allow DELETE there, or set its cache duration to 0"
        see = f"Try: curl -i {shlex.quote(f'{self._endpoint}/{RUNTIME}/Uptime')}"
        if "--" in str(failure):
            return see
        if failure.no_proxy:
            return f"Look whether JMXProxy runs there, and at --jmxproxy-port. {see}"
        if failure.silent:
            return f"Look whether the broker runs, and at the JMX port in --jmxproxy-prefix. {see}"
        return f"Look at --jmxproxy-port and --jmxproxy-prefix. {see}"

    def _set_up(self, session: requests.Session) -> None:
        session.trust_env = False  # no proxies, no .netrc
        # what is compressed may be a thousand times as long
        session.headers["Accept-Encoding"] = "identity"
        if self._access.login is not None:
            user, password = self._access.login.user, self._access.login.password.reveal()
            session.auth = requests.auth.HTTPBasicAuth(user.encode(), password.encode())

    def _empty(self, look: _Look) -> bool:
        status = self._request(look, "DELETE", self._endpoint).status
        if status == 404 or 200 <= status < 300:  # 404: it had nothing to forget
            return True
        if self._cache_s is None:
            self._cache_s = self._cache_duration(look)
        return False

    def _cache_duration(self, look: _Look) -> float | None:
        try:
            seconds = (
                float(self._value(self._request(look, "GET", self._config))["cache_duration"])
                / 1000
            )
        except (_NoAnswer, KeyError, TypeError, ValueError, OverflowError):
            return None
        return seconds if 0 <= seconds <= MAX_CACHE_S else None

    def _jvm(self, look: _Look) -> Jvm:
        # The uptime comes first: whatever is read after it is at least as new as it is.
        uptime_ms = self._number(look, RUNTIME, "Uptime")
        start_ms = self._number(look, RUNTIME, "StartTime")
        return Jvm(start_ms, uptime_ms, _pid(self._get(look, f"{self._endpoint}/{RUNTIME}/Name")))

    def _metrics(self, look: _Look) -> Metrics:
        state = self._kafka(look, STATE)
        under_replicated = self._kafka(look, UNDER_REPLICATED)
        if not self._has_controller:
            return Metrics(state, under_replicated)
        return Metrics(
            state=state,
            under_replicated=under_replicated,
            offline_partitions=self._kafka(look, OFFLINE),
            active_controllers=self._kafka(look, CONTROLLERS),
        )

    def _kafka(self, look: _Look, mbean: tuple[str, str, str]) -> int:
        try:
            return self._number(look, self._text(mbean), "Value")
        except _NotFound:
            self._name_first = not self._name_first
        try:
            return self._number(look, self._text(mbean), "Value")
        except _NotFound as error:
            raise _NoAnswer(f"its JVM answers, but has no metric {mbean[2]} yet") from error

    def _text(self, mbean: tuple[str, str, str]) -> str:
        domain, kind, name = mbean
        keys = [f"type={kind}", f"name={name}"]
        return f"{domain}:{','.join(reversed(keys) if self._name_first else keys)}"

    def _number(self, look: _Look, mbean: str, attribute: str) -> int:
        value = self._get(look, f"{self._endpoint}/{mbean}/{attribute}")
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_VALUE:
            raise _NoAnswer(
                f"{self._where} says {json.dumps(value)[:80]} for {mbean}/{attribute}, which is "
                "not a whole number"
            )
        return value

    def _get(self, look: _Look, url: str) -> Any:
        jmx = self._access.jmx_login
        if jmx is None:
            return self._value(self._request(look, "GET", url))
        form = {"username": jmx.user, "password": jmx.password.reveal()}
        return self._value(self._request(look, "POST", url, form))

    def _value(self, answer: _Answer) -> Any:
        if answer.status == 404:
            raise _NotFound(
                f"{self._where} answers 404: it reaches no JVM at {self._jvm_address}", silent=True
            )
        if answer.status != 200:
            raise _NoAnswer(f"{self._where} answers {self._refusal(answer)}")
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            text = repr(answer.body[:60].decode("utf-8", "replace")) if answer.body else "nothing"
            raise _NoAnswer(f"{self._where} answers with what is not JSON: {text}") from error

    def _refusal(self, answer: _Answer) -> str:
        if answer.status == 401:
            return f"401: {self._wrong_login(answer.wants_login)}"
        if answer.status == 403:
            return f"403: {self._jvm_address} is not allowed there"
        if 300 <= answer.status < 400:
            return (
                f"with HTTP status {answer.status}: it redirects to {_place(answer.location)}, "
                "which is not followed"
            )
        return f"with HTTP status {answer.status}"

    def _wrong_login(self, wants_login: bool) -> str:
        login, kind = self._access.jmx_login, "JMX"
        if wants_login:
            login, kind = self._access.login, "HTTP"
        if login is not None:
            return f"the {kind} credentials are wrong: those of {login}"
        return (
            f"it wants {kind} credentials: give "
            f"{'--jmxproxy-user' if wants_login else '--jmx-user'}"
        )

    def _request(
        self, look: _Look, method: str, url: str, form: dict[str, str] | None = None
    ) -> _Answer:
        left = look.deadline - self._clock.now()
        if left <= 0:
            raise _NoAnswer(self._late)
        try:
            request = self._prepare(look.session, method, url, form)
            with look.session.send(
                request, timeout=left, allow_redirects=False, stream=True
            ) as response:
                return self._answer(response, look.deadline)
        except (requests.RequestException, OSError, ValueError) as error:
            raise self._no_answer(error) from error

    def _prepare(
        self, session: requests.Session, method: str, url: str, form: dict[str, str] | None
    ) -> requests.PreparedRequest:
        """Return a request; all of one method differ by their address only, and preparing costs a
        third of a request."""
        if method not in self._prepared:
            self._prepared[method] = session.prepare_request(
                requests.Request(method, url, data=form)
            )
        request = copy(self._prepared[method])
        request.url = requote_uri(url)
        return request

    def _no_answer(self, error: Exception) -> _NoAnswer:
        if isinstance(error, requests.Timeout) or any(
            isinstance(cause, TimeoutError) for cause in _causes(error)
        ):
            return _NoAnswer(self._late)
        refused = _is_refused(error)
        found = _plain(error)
        # One proxy for all that is away tells nothing of any broker.
        return _NoAnswer(
            f"{self._where}: {self._access.tls.explain(found) if self._access.tls else found}",
            silent=refused and self._access.host is None,
            no_proxy=refused,
        )

    def _answer(self, response: requests.Response, deadline: float) -> _Answer:
        headers = response.headers
        encoding = headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise _NoAnswer(
                f"{self._where} sends a compressed answer ({encoding[:40]!r}), which was not asked "
                "for"
            )
        return _Answer(
            response.status_code,
            self._body(response, deadline),
            wants_login="WWW-Authenticate" in headers,
            location=headers.get("Location", ""),
        )

    def _body(self, response: requests.Response, deadline: float) -> bytes:
        body = b""
        for chunk in response.iter_content(4096):
            body += chunk
            if len(body) > MAX_BODY:
                raise _NoAnswer(f"{self._where} sends more than {MAX_BODY} bytes for one value")
            if self._clock.now() > deadline:
                raise _NoAnswer(self._late)
        return body


def _place(location: str) -> str:
    """Return the host that a redirect leads to."""
    try:
        host = urlsplit(location).hostname
    except ValueError:
        host = None
    return repr((host or location)[:80])


def _pid(name: object) -> int | None:
    pid = str(name).partition("@")[0]
    return int(pid) if pid.isascii() and pid.isdecimal() and len(pid) <= MAX_PID else None


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
    return said(str(innermost or type(error).__name__))


def _age_note(max_age: float) -> str:
    """Say that the proxy keeps its answers, or nothing."""
    if max_age == 0:
        return ""
    kept = "for an unknown time" if math.isinf(max_age) else f"for {max_age:g} s"
    return f"its JMXProxy refuses to empty its cache (DELETE), and keeps answers {kept}"
