"""Kafka's own protocol beside ZooKeeper: what the brokers' metadata say of the partitions.

ZooKeeper tells the members, and no broker's metadata can be held against its leader there: a broker
that lags says what was. So two of them are read, beside the metrics, and what any of them says is
wrong counts. Brokers that do not answer on their listeners are no witnesses.
"""

import logging
from collections.abc import Collection, Mapping

from kafka_rolling_restart.clock import Clock
from kafka_rolling_restart.errors import RegistryUnavailable
from kafka_rolling_restart.model.cluster_state import ClusterState
from kafka_rolling_restart.model.problem import Problem
from kafka_rolling_restart.model.serving import Serving
from kafka_rolling_restart.registry.kafka.answers import Address
from kafka_rolling_restart.registry.kafka.witnesses import (
    WITNESSES,
    MetadataClient,
    as_serving,
    read_metadata,
    still_loading,
    union,
)
from kafka_rolling_restart.text import clean

LOG = logging.getLogger(__name__)
PING_S = 2.0
CANDIDATES = 10  # brokers that are asked whether they answer, to find the witnesses
MAX_WORDS = 300  # characters of a reason
LOST = (
    "the partitions are judged by the metrics alone, and whether group coordinators still load is "
    "not known"
)


class MetadataView:
    """What brokers say by Kafka's protocol. ``timeout`` (s) is for each question.

    It is of use only once `begin` found that the brokers answer; else it tells nothing.
    """

    def __init__(self, client: MetadataClient, clock: Clock, timeout: float) -> None:
        self._client = client
        self._clock = clock
        self._timeout = timeout
        self._addresses: dict[int, Address] = {}
        self._is_of_use = False

    def begin(self, addresses: Mapping[int, Address], known: int) -> list[Problem]:
        """Find out whether the brokers answer at these addresses; ``known`` is how many there are.
        Return what is to be said where they do not. Never raises."""
        self._addresses = dict(addresses)
        if len(addresses) < known:
            why = f"{known - len(addresses)} of {known} brokers have no listener that we can use"
            return [_unavailable(why)]
        state = self._read(frozenset(), self._timeout)
        self._is_of_use = not state.unknown
        return [_unavailable(state.unknown)] if state.unknown else []

    def state(
        self, restarted: Collection[int] = (), timeout: float | None = None
    ) -> ClusterState | None:
        """Return what two brokers say of the partitions, None where Kafka's protocol is not spoken
        here. Never raises."""
        if not self._is_of_use:
            return None
        return self._read(frozenset(restarted), timeout or self._timeout)

    def members(self) -> frozenset[int]:
        """Return the members by the brokers' metadata, none where they are not known. Never
        raises."""
        state = self.state(timeout=PING_S)
        if state is None or state.unknown:
            return frozenset()
        return state.members

    def serving(self, ids: Collection[int], timeout: float) -> dict[int, Serving]:
        """Tell of each broker whether its listener answers. Never raises."""
        found = {one: Serving(False, reason="its address is not known") for one in ids}
        wanted = {one: self._addresses[one] for one in ids if one in self._addresses}
        try:
            pings = self._client.serves(wanted, timeout) if wanted else {}
        except Exception as error:  # whatever it was, the answer is not known
            LOG.debug("it is not known who serves", exc_info=True)
            return {one: Serving(False, reason=_words(error)) for one in ids}
        found.update({one: as_serving(ping) for one, ping in pings.items()})
        return found

    def _read(self, restarted: frozenset[int], limit: float) -> ClusterState:
        asked_at = self._clock.now()
        try:
            witnesses = self._witnesses(restarted)
            told = read_metadata(self._client, witnesses, limit)
            asked = {one: self._addresses[one] for one in restarted if one in self._addresses}
            loading = still_loading(self._client, asked, limit)
        except Exception as error:  # whatever it was, nothing is known
            LOG.debug("the state of the cluster is not known", exc_info=True)
            return ClusterState(asked_at, self._clock.now(), unknown=_words(error))
        return ClusterState(
            asked_at,
            self._clock.now(),
            witnesses=tuple(told),
            members=frozenset(node.id for one in told.values() for node in one.brokers),
            partitions=max(one.partitions for one in told.values()),
            under_replicated=union([one.under_replicated for one in told.values()]),
            offline=union([one.offline for one in told.values()]),
            loading=loading,
            unknown=next((one.unknown for one in told.values() if one.unknown), ""),
        )

    def _witnesses(self, restarted: frozenset[int]) -> dict[int, Address]:
        """Return two brokers that answer now, other than these unless there are no others.

        Raises `RegistryUnavailable`.
        """
        others = [one for one in self._addresses if one not in restarted] or list(self._addresses)
        asked = {one: self._addresses[one] for one in others[:CANDIDATES]}
        pings = self._client.serves(asked, PING_S)
        answering = [one for one in asked if pings[one].answers][:WITNESSES]
        if not answering:
            why = "; ".join(dict.fromkeys(ping.reason for ping in pings.values()))
            raise RegistryUnavailable(
                f"no broker answers by Kafka's protocol: {why}", code="registry-unreachable"
            )
        return {one: self._addresses[one] for one in answering}


def _unavailable(why: str) -> Problem:
    text = (
        f"Kafka's own protocol is not spoken: {why}. So {LOST}. If the listeners need a login or "
        "TLS, give --command-config"
    )
    return Problem(text, code="kafka-protocol-unavailable")


def _words(error: Exception) -> str:
    return clean(str(error) or type(error).__name__, MAX_WORDS)
