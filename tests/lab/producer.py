"""A producer that never stops writing, and the count of what became of its records."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Any

# type: ignore[import-untyped,unused-ignore]
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from .daemon import LabError
from .host_scripts.process import wait_until

RATE = 200  # records/s
FLUSH_TIMEOUT = 60  # s
READ_TIMEOUT = 60.0  # s
POLL = 500  # ms


@dataclass(frozen=True)
class Produced:
    """What became of the records: those that Kafka acknowledged, and those that were read back
    afterwards."""

    acknowledged: int
    failed: int
    read_back: int
    lost: tuple[int, ...]
    longest_gap_s: float


class Producer:
    """Writes numbered records to a topic with acks=all, in a thread, from `start` to `finish`."""

    def __init__(self, broker_list: Sequence[str], topic: str, rate: float = RATE) -> None:
        self._broker_list = list(broker_list)
        self._topic = topic
        self._pause = 1 / rate
        self._run = uuid.uuid4().hex
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._acknowledged: dict[int, float] = {}
        self._failed: set[int] = set()
        self._thread = threading.Thread(target=self._write, name="producer", daemon=True)

    def __enter__(self) -> Producer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()

    def start(self) -> None:
        """Begin to write, after what the topic holds now."""
        self._begin = self._ends()
        self._producer = KafkaProducer(
            bootstrap_servers=self._broker_list,
            acks="all",
            enable_idempotence=True,
            delivery_timeout_ms=FLUSH_TIMEOUT * 1000,
            request_timeout_ms=10000,
            reconnect_backoff_max_ms=500,
        )
        self._thread.start()

    def acknowledged(self) -> int:
        """Tell how many records Kafka has acknowledged so far."""
        return len(self._acknowledged)

    def finish(self) -> Produced:
        """Stop, wait for what is under way, and read everything back."""
        self._ended.set()
        self._thread.join(FLUSH_TIMEOUT)
        self._producer.flush(timeout=FLUSH_TIMEOUT)
        self._producer.close(timeout=FLUSH_TIMEOUT)
        read_back = self._read_back()
        with self._lock:
            times = sorted(self._acknowledged.values())
            lost = tuple(sorted(self._acknowledged.keys() - read_back))
            failed = len(self._failed)
        gap = max((later - earlier for earlier, later in pairwise(times)), default=0.0)
        return Produced(len(times), failed, len(read_back), lost, gap)

    def _write(self) -> None:
        number = 0
        while not self._ended.wait(self._pause):
            record = f"{self._run} {number}".encode()
            future = self._producer.send(self._topic, record, key=str(number).encode())
            future.add_callback(self._on_acknowledged, number).add_errback(self._on_failed, number)
            number += 1

    def _on_acknowledged(self, number: int, metadata: object) -> None:
        with self._lock:
            self._acknowledged[number] = time.monotonic()

    def _on_failed(self, number: int, error: BaseException) -> None:
        with self._lock:
            self._failed.add(number)

    def _ends(self) -> dict[TopicPartition, int]:
        consumer = KafkaConsumer(bootstrap_servers=self._broker_list)
        try:
            # A consumer that has only just connected may not know the topic yet, and then names no
            # partitions.
            if not wait_until(
                lambda: bool(consumer.partitions_for_topic(self._topic)), READ_TIMEOUT, POLL / 1000
            ):
                raise LabError(f"Kafka does not tell the partitions of {self._topic}")
            numbers = consumer.partitions_for_topic(self._topic)
            ends: dict[TopicPartition, int] = consumer.end_offsets(
                [TopicPartition(self._topic, n) for n in numbers]
            )
            return ends
        finally:
            consumer.close()

    def _read_back(self) -> set[int]:
        """Read the topic from where this run began to where it is now; return the numbers of this
        run's records."""
        ends = self._ends()
        consumer = KafkaConsumer(bootstrap_servers=self._broker_list, enable_auto_commit=False)
        found: set[int] = set()
        try:
            consumer.assign(list(ends))
            for partition in ends:
                consumer.seek(partition, self._begin[partition])
            deadline = time.monotonic() + READ_TIMEOUT
            while any(consumer.position(partition) < end for partition, end in ends.items()):
                if time.monotonic() > deadline:
                    break
                found |= self._numbers(consumer.poll(timeout_ms=POLL))
        finally:
            consumer.close()
        return found

    def _numbers(self, batches: dict[TopicPartition, list[object]]) -> set[int]:
        records: list[Any] = [record for batch in batches.values() for record in batch]
        values = [record.value.decode().split() for record in records]
        return {int(number) for run, number in values if run == self._run}
