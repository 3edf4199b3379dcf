"""The answer to a MetadataRequest, read partition by partition: what is as it should be is only
counted.

Made for large clusters: objects for all partitions would take 164 MiB for 100,000 of them.
The layout is that of MetadataResponse.json in Apache Kafka 4.1.1, versions 1 to 13.
"""

import struct

from kafka_rolling_restart.model.cluster_state import Partition
from kafka_rolling_restart.registry.kafka.answers import KafkaNode, Metadata
from kafka_rolling_restart.text import said

FIRST_VERSION, LAST_VERSION = 1, 13
FLEXIBLE, WITH_TOPIC_ID, WITH_ERROR = 9, 10, 13
UUID_BYTES = 16
NO_ERROR = 0
# UNKNOWN_TOPIC_OR_PARTITION and LEADER_NOT_AVAILABLE of a whole topic: it is being deleted, or made
PASSING = (3, 5)
TOPIC_DENIED = 29
MOST_KEPT = 500_000  # more than that is no cluster: an answer is not to fill our memory
SHOWN_TOPICS = 3


class Unreadable(Exception):
    """The bytes are not the answer that they should be."""


def read_metadata(data: bytes, version: int, begins: int = 0) -> Metadata:
    """Return what a MetadataResponse says that ``begins`` behind its header. Raises
    `Unreadable`."""
    try:
        return _Answer(data, version, begins).read()
    except (struct.error, IndexError, UnicodeDecodeError, OverflowError) as error:
        raise Unreadable("the answer ends too early, or is not Kafka's") from error


class _Answer:
    """One answer, and how far it is read."""

    def __init__(self, data: bytes, version: int, begins: int) -> None:
        self._data = data
        self._at = begins
        self._version = version
        self._flexible = version >= FLEXIBLE
        self._partitions = 0
        self._under_replicated: list[Partition] = []
        self._offline: list[Partition] = []
        self._unknown: list[str] = []

    def read(self) -> Metadata:
        if self._version >= 3:
            self._skip(4)  # throttle_time_ms
        brokers = tuple(self._broker() for _ in range(self._count()))
        if self._version >= 2:
            self._text()  # cluster_id
        self._skip(4)  # controller_id
        for _ in range(self._count()):
            self._topic()
        if 8 <= self._version <= 10:
            self._skip(4)  # cluster_authorized_operations
        if self._version >= WITH_ERROR:
            self._top_level_error()
        self._tags()
        if self._at != len(self._data):
            raise Unreadable(f"the answer has {len(self._data) - self._at} bytes too many")
        return Metadata(
            brokers,
            self._partitions,
            tuple(self._under_replicated),
            tuple(self._offline),
            self._what_is_unknown(),
        )

    def _broker(self) -> KafkaNode:
        node_id = self._number(">i")
        host = self._text()
        port = self._number(">i")
        rack = self._text()
        self._tags()
        return KafkaNode(node_id, host, port, rack)

    def _topic(self) -> None:
        error = self._number(">h")
        name = self._text()
        if self._version >= WITH_TOPIC_ID:
            self._skip(UUID_BYTES)
        self._skip(1)  # is_internal
        count = self._count()
        self._partitions += count
        for _ in range(count):
            self._partition(name)
        if self._version >= 8:
            self._skip(4)  # topic_authorized_operations
        self._tags()
        self._note_error(name, error)

    def _partition(self, topic: str) -> None:
        if self._version >= 7:
            error, number, leader, _ = struct.unpack_from(">hiii", self._data, self._at)
            self._at += 14
        else:
            error, number, leader = struct.unpack_from(">hii", self._data, self._at)
            self._at += 10
        replicas_at, replicas = self._ids()
        isr_at, isr = self._ids()
        if self._version >= 5:
            self._ids()  # offline_replicas
        self._tags()
        is_offline = error != NO_ERROR or leader < 0
        if not is_offline and isr >= replicas:
            return
        partition = Partition(
            topic,
            number,
            self._ids_at(replicas_at, replicas),
            self._ids_at(isr_at, isr),
            leader if leader >= 0 else None,
        )
        if isr < replicas:
            self._under_replicated.append(partition)
        if is_offline:
            self._offline.append(partition)
        if len(self._under_replicated) + len(self._offline) > MOST_KEPT:
            raise Unreadable(f"more than {MOST_KEPT} partitions are said not to be as they should")

    def _note_error(self, name: str, error: int) -> None:
        if error == NO_ERROR or error in PASSING or len(self._unknown) > SHOWN_TOPICS:
            return
        why = "we may not describe it" if error == TOPIC_DENIED else f"Kafka's error {error}"
        self._unknown.append(f"topic {said(name)}: {why}")

    def _what_is_unknown(self) -> str:
        shown = self._unknown[:SHOWN_TOPICS]
        if len(self._unknown) > SHOWN_TOPICS:
            shown.append("and more")
        return "; ".join(shown)

    def _top_level_error(self) -> None:
        error = self._number(">h")
        if error != NO_ERROR:
            self._unknown.insert(0, f"all topics: Kafka's error {error}")

    def _ids(self) -> tuple[int, int]:
        """Pass over a list of ids; return where it begins, and how many there are."""
        count = self._count()
        begins = self._at
        self._at += 4 * count
        return begins, count

    def _ids_at(self, begins: int, count: int) -> tuple[int, ...]:
        return struct.unpack_from(f">{count}i", self._data, begins)

    def _count(self) -> int:
        if self._flexible:
            return max(self._varint() - 1, 0)
        return max(self._number(">i"), 0)

    def _text(self) -> str:
        size = self._varint() - 1 if self._flexible else self._number(">h")
        if size <= 0:
            return ""
        begins = self._at
        self._skip(size)
        return self._data[begins : self._at].decode()

    def _tags(self) -> None:
        if not self._flexible:
            return
        for _ in range(self._varint()):
            self._varint()
            self._skip(self._varint())

    def _varint(self) -> int:
        first = self._data[self._at]
        self._at += 1
        if first < 0x80:
            return first
        value, shift = first & 0x7F, 7
        while shift <= 28:
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise Unreadable("a number in the answer is too long")

    def _number(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return int(value)

    def _skip(self, size: int) -> None:
        self._at += size
        if self._at > len(self._data):
            raise Unreadable("the answer ends too early")
