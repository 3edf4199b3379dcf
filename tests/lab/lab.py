"""A Kafka cluster with ZooKeeper on loopback addresses, with SSH, service scripts and metrics, and
handles to make it misbehave."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.certificates import Authority

from .base import (
    BOOT_TIMEOUT,
    CLUSTER,
    CLUSTER_TYPE,
    PARTITIONS,
    RUN_TIMEOUT,
    TOPIC,
    BaseLab,
    spread,
)
from .broker import (
    ACTIVE_CONTROLLERS,
    OFFLINE_PARTITIONS,
    RUNNING,
    STATE,
    UNDER_REPLICATED,
)
from .daemon import LabError, wait_for
from .jars import fetch_jars
from .observer import Observer
from .settings import zookeeper_settings
from .subnet import ZOOKEEPER_HOST, Subnet
from .zookeeper import CHROOT, PORT, SECURE_PORT, ZooKeeperServer

__all__ = ["CLUSTER", "CLUSTER_TYPE", "RUN_TIMEOUT", "TOPIC", "Lab"]

LOCK = "/kafka-rolling-restart/lock"


class Lab(BaseLab):
    """A cluster with ZooKeeper that lives for as long as the `with` block."""

    def __init__(self, brokers: int = 3, zookeepers: int = 1) -> None:
        super().__init__()
        if brokers not in range(1, ZOOKEEPER_HOST) or zookeepers not in (1, 3):
            raise ValueError("a lab has 1 to 99 brokers and 1 or 3 ZooKeeper servers")
        self._brokers = range(1, brokers + 1)
        self._zookeepers = range(ZOOKEEPER_HOST, ZOOKEEPER_HOST + zookeepers)
        self.ensemble: list[ZooKeeperServer] = []
        self._observer: Observer | None = None

    @property
    def zookeeper(self) -> str:
        """The cluster's ZooKeeper servers and its chroot."""
        return ",".join(f"{server.address}:{PORT}" for server in self.ensemble) + CHROOT

    @property
    def where(self) -> str:
        """What tells of the brokers, and its address."""
        return f"ZooKeeper: {self.zookeeper}"

    @property
    def secure_zookeeper(self) -> str:
        """The same over TLS."""
        return ",".join(f"{server.address}:{SECURE_PORT}" for server in self.ensemble) + CHROOT

    @property
    def observer(self) -> Observer:
        """The witness."""
        if self._observer is None:
            raise LabError("the lab has not booted")
        return self._observer

    def why_unhealthy(self) -> str:
        """Tell the first thing that is wrong with the cluster, or nothing."""
        for host in self.hosts:
            if (state := host.metric(STATE)) != RUNNING:
                return f"broker {host.id} is in state {state}"
        for metric, wanted in (
            (UNDER_REPLICATED, 0),
            (ACTIVE_CONTROLLERS, 1),
            (OFFLINE_PARTITIONS, 0),
        ):
            values = [host.metric(metric) for host in self.hosts]
            if None in values or sum(values) != wanted:
                return f"{metric[0]} is {values}"
        registered = self.observer.registered()
        return (
            ""
            if len(registered) == len(self.hosts)
            else f"only {sorted(registered)} are registered"
        )

    def mend(self) -> None:
        """Take every fault off; a broker that is down stays down, and what happened is not
        forgotten."""
        for server in self.ensemble:
            server.thaw()
            server.start()
        super().mend()

    def _forget_locks(self) -> None:
        """Delete the locks of runs that ended while ZooKeeper was away: they live until their
        session times out."""
        client = self.observer.client
        if client.exists(LOCK):
            for name in client.get_children(LOCK):
                client.delete(f"{LOCK}/{name}")

    def _end_observer(self) -> None:
        if self._observer is not None:
            self._observer.stop()

    def _end_others(self) -> Iterable[Callable[[], None]]:
        return [server.kill for server in self.ensemble]

    def _discovery(self) -> Mapping[str, Any]:
        return {"broker_list": self.broker_list, "zookeeper": self.zookeeper}

    def _boot(self, subnet: Subnet) -> None:
        jars = fetch_jars()
        addresses = [subnet.address(number) for number in self._zookeepers]
        self.authority = Authority(self.folder)
        self.ensemble = [
            ZooKeeperServer(address, self.folder / address, jars, addresses, self.authority)
            for address in addresses
        ]
        for server in self.ensemble:
            server.start()
        self.hosts = [self._make_host(number) for number in self._brokers]
        for host in self.hosts:
            host.install(jars, zookeeper_settings(host, self.zookeeper, len(self.hosts)))
            host.boot()
        self._write_home()
        wait_for("every broker runs", self._all_run, BOOT_TIMEOUT, self.hosts[0].log)
        self._observer = Observer(self.zookeeper, list(self._brokers), self.pids)
        self._observer.start()
        self._make_topic()
        self.wait_healthy(BOOT_TIMEOUT)
        self.observer.clear()

    def _all_run(self) -> bool:
        self._check_up(*self.ensemble, *self.hosts, *(host.sshd for host in self.hosts))
        return all(host.metric(STATE) == RUNNING for host in self.hosts)

    def _make_topic(self) -> None:
        """Make the topic as the old admin tools do, through ZooKeeper, with the leaders spread
        evenly."""
        assignment = spread(list(self._brokers))
        topic = json.dumps({"version": 1, "partitions": assignment}).encode()
        self.observer.client.create(
            f"/config/topics/{TOPIC}", b'{"version":1,"config":{}}', makepath=True
        )
        self.observer.client.create(f"/brokers/topics/{TOPIC}", topic)
        wait_for("the topic is made", self._topic_is_made, BOOT_TIMEOUT, self.hosts[0].log)

    def _topic_is_made(self) -> bool:
        states = f"/brokers/topics/{TOPIC}/partitions/{PARTITIONS - 1}/state"
        return self.observer.client.exists(states) is not None
