"""What brokers say of the partitions and of themselves, by Kafka's own protocol, for any
registry."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from kafka_rolling_restart.errors import RegistryUnavailable
from kafka_rolling_restart.model.cluster_state import Partition
from kafka_rolling_restart.model.serving import Serving
from kafka_rolling_restart.parallel import in_parallel
from kafka_rolling_restart.registry.kafka.answers import Address, Metadata, Ping

LOG = logging.getLogger(__name__)
WITNESSES = 2  # brokers whose metadata is read
GRACE_S = 0.2


class MetadataClient(Protocol):
    """Asks single brokers; timeouts are in s. Raises `RegistryUnavailable`, but for `serves`."""

    def metadata(self, address: Address, timeout: float) -> Metadata: ...

    def serves(self, addresses: Mapping[int, Address], timeout: float) -> Mapping[int, Ping]: ...

    def loading(self, address: Address, timeout: float) -> bool: ...


def read_metadata(
    client: MetadataClient, witnesses: Mapping[int, Address], limit: float
) -> dict[int, Metadata]:
    """Read the metadata of all these brokers at the same time, within ``limit`` s.

    Raises `RegistryUnavailable` where one of them does not answer.
    """
    calls: dict[int, Callable[[], Metadata]] = {
        one: partial(client.metadata, address, limit) for one, address in witnesses.items()
    }
    told = in_parallel(calls, limit=limit + GRACE_S)
    if len(told) < len(witnesses):
        late = ", ".join(f"broker {one}" for one in witnesses if one not in told)
        raise RegistryUnavailable(
            f"the metadata of the partitions was not there within {limit:g} s: {late}",
            code="registry-unreachable",
        )
    return told


def still_loading(
    client: MetadataClient, addresses: Mapping[int, Address], limit: float
) -> tuple[int, ...]:
    """Return which of these brokers still load group coordinators, or do not say."""
    calls = {
        one: partial(_is_loading, client, address, limit) for one, address in addresses.items()
    }
    told = in_parallel(calls, limit=limit + GRACE_S) if calls else {}
    return tuple(one for one in sorted(addresses) if told.get(one, True))


def _is_loading(client: MetadataClient, address: Address, limit: float) -> bool:
    try:
        return client.loading(address, limit)
    except RegistryUnavailable:
        return True  # it was restarted, and is to answer before it counts as well


def union(found: Sequence[tuple[Partition, ...]]) -> tuple[Partition, ...]:
    """Return the partitions that any witness names, each once, in order."""
    by_name = {(one.topic, one.number): one for partitions in found for one in partitions}
    return tuple(by_name[name] for name in sorted(by_name))


def as_serving(ping: Ping) -> Serving:
    """Return what a ping of its listener says of a broker."""
    return Serving(ping.answers, ping.refused, ping.reason)
