"""A KRaft cluster as the tool sees it by Kafka's protocol: its members, its state, its quorum, and
who serves."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from kafka_rolling_restart.errors import RegistryUnavailable
from kafka_rolling_restart.metrics.none import NoMetrics, read_all
from kafka_rolling_restart.model.broker import Sample
from kafka_rolling_restart.model.cluster_state import CAUGHT_UP_S, ClusterState, Partition, Quorum
from kafka_rolling_restart.model.observation import Observation, Presence
from kafka_rolling_restart.model.serving import Serving
from tests.simulation.clock import QUESTION_S
from tests.simulation.hosts import is_beside_the_main_thread
from tests.simulation.nodes import Node
from tests.simulation.registry import UNKNOWN

if TYPE_CHECKING:
    from tests.simulation.world import World

CATCH_UP_S = 3.0  # how long a broker is waited for that has all that the quorum has
STEP_S = 0.5  # from one question to the quorum to the next
ANSWER_S = 0.05  # one answer
WITNESSES = 2


class View:
    """What the metadata say at a moment: the members, and who is in sync."""

    def __init__(self, nodes: list[Node]) -> None:
        brokers = [one for one in nodes if one.is_broker]
        self.members = frozenset(one.id for one in brokers if one.czxid is not None)
        self.brokers = tuple(one.id for one in brokers)
        self.in_sync = tuple(one.id for one in brokers if one.in_sync)

    def same_as(self, other: "View") -> bool:
        return (self.members, self.in_sync) == (other.members, other.in_sync)

    @property
    def under_replicated(self) -> tuple[Partition, ...]:
        if len(self.in_sync) == len(self.brokers):
            return ()
        leader = self.in_sync[0] if self.in_sync else None
        return (Partition("topic", 0, self.brokers, self.in_sync, leader),)


class Metadata:
    """The metadata as they were from when on."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._views = [(0.0, View(nodes))]

    def note(self, now: float) -> None:
        view = View(self._nodes)
        if not view.same_as(self._views[-1][1]):
            self._views.append((now, view))

    def at(self, moment: float) -> View:
        return next(view for at, view in reversed(self._views) if at <= moment)


class KraftRegistry:
    """The cluster as the tool sees it."""

    poll_s = 0.5

    def __init__(self, world: "World", nodes: list[Node]) -> None:
        self._world, self._clock = world, world.clock
        self._nodes = nodes
        self._brokers = [one for one in nodes if one.is_broker]

    # Questions that may have no answer

    def ask(self, patience: float | None = None) -> None:
        """Ask anything that does not need the quorum."""
        self._world.pay()
        if self._world.registry_away_from_us:
            self._clock.sleep(patience or QUESTION_S)
            raise RegistryUnavailable("the cluster does not answer")

    def quorum(self, timeout: float | None = None) -> Quorum:
        self.ask(timeout)
        until = self._clock.now() + (timeout or QUESTION_S)
        while True:
            self._clock.sleep(ANSWER_S)
            described = self._world.controllers.describe(self._brokers)
            if described is not None and self._somebody_forwards:
                return described
            if self._clock.now() >= until:
                raise RegistryUnavailable("the quorum does not answer")
            self._clock.sleep(STEP_S)

    @property
    def _somebody_forwards(self) -> bool:
        return any(one.has_open_port and not one.frozen for one in self._brokers)

    def _current(self, without: Collection[int], limit: float) -> list[Node]:
        """Return the brokers that have all that the quorum has now."""
        until = self._clock.now() + min(limit, CATCH_UP_S)
        while True:
            found = self._witnesses(without) if self._world.controllers.commits else []
            if found:
                return found
            if self._clock.now() >= until:
                raise RegistryUnavailable("no broker has fetched what the quorum's leader has")
            self._clock.sleep(STEP_S)

    def _witnesses(self, without: Collection[int]) -> list[Node]:
        others = [one for one in self._brokers if one.id not in without] or self._brokers
        return [
            one
            for one in others
            if one.has_open_port and not one.frozen and (not one.lags or one.lies)
        ]

    def _view(self, witness: Node) -> View:
        now = self._clock.now()
        return self._world.metadata.at(witness.lie_age if witness.lies else now)

    # What the tool asks

    def observe(self, ids: Collection[int], timeout: float | None = None) -> dict[int, Observation]:
        is_check = len(ids) > 1 and not is_beside_the_main_thread()
        began = self._clock.now()
        if len(ids) == 1:
            self._world.look_for_excuse(next(iter(ids)) - 1)
        try:
            found = self._observe(ids, timeout or QUESTION_S)
        except RegistryUnavailable:
            found = dict.fromkeys(ids, UNKNOWN)
        if is_check:
            self._world.checks.append((self._world.read_since or began, self._clock.now()))
        return found

    def _observe(self, ids: Collection[int], limit: float) -> dict[int, Observation]:
        if is_beside_the_main_thread():
            if self._world.registry_away or self._world.registry_away_from_us:
                return dict.fromkeys(ids, UNKNOWN)
            witnesses, quorum = self._witnesses(ids), self._world.controllers.describe([])
            if not witnesses or quorum is None:
                return dict.fromkeys(ids, UNKNOWN)
        else:
            quorum = self.quorum(limit)
            witnesses = self._current(ids, limit)
        view = self._view(witnesses[0])
        return {one: self._observation(one, view, quorum) for one in ids}

    def _observation(self, node_id: int, view: View, quorum: Quorum) -> Observation:
        if not self._nodes[node_id - 1].is_broker:
            replica = quorum.replica(node_id)
            if replica is not None and replica.is_caught_up:
                return Observation(Presence.PRESENT, words="a voter that is caught up")
            return Observation(Presence.ABSENT, words="a voter that does not follow the quorum")
        if node_id in view.members:
            return Observation(Presence.PRESENT, words="a member of the cluster")
        return Observation(Presence.ABSENT, words="fenced by the controller")

    def state(self, restarted: Collection[int] = (), timeout: float | None = None) -> ClusterState:
        asked_at = self._clock.now()
        try:
            return self._state(asked_at, restarted, timeout or QUESTION_S)
        except RegistryUnavailable as error:
            return ClusterState(asked_at, self._clock.now(), unknown=str(error))
        finally:
            began, _ = self._world.checks[-1]
            self._world.checks[-1] = (began, self._clock.now())

    def _state(self, asked_at: float, restarted: Collection[int], limit: float) -> ClusterState:
        before = self.quorum(limit)
        witnesses = self._current(restarted, limit)[:WITNESSES]
        if self._world.unread_until > self._clock.now():
            raise RegistryUnavailable("the metadata of the partitions cannot be read")
        views = [self._view(one) for one in witnesses]
        self._clock.sleep(ANSWER_S)
        loading = tuple(one.id for one in self._brokers if one.id in restarted and one.loads)
        after = self.quorum(limit)
        changed = (before.leader, before.epoch) != (after.leader, after.epoch)
        found = {one for view in views for one in view.under_replicated}
        return ClusterState(
            asked_at,
            self._clock.now(),
            witnesses=tuple(one.id for one in witnesses),
            members=frozenset().union(*(view.members for view in views)),
            partitions=1,
            under_replicated=tuple(sorted(found, key=str)),
            loading=loading,
            quorum=after,
            unknown="the quorum elected another leader during the check" if changed else "",
        )

    # Who serves

    def serving(self, ids: Collection[int], timeout: float) -> dict[int, Serving]:
        if self._world.has_no_threads:
            return {one: Serving(False, reason="can't start new thread") for one in ids}
        nodes = [self._nodes[one - 1] for one in ids]
        takes = max((self._takes(one, timeout) for one in nodes), default=0.0)
        if is_beside_the_main_thread():
            for one in nodes:
                self._world.proxies[one.id - 1].debt = takes
            return {one.id: self._serving(one) for one in nodes}
        if len(nodes) > 1:
            self._world.read_since = self._clock.now()
        self._clock.sleep(takes / 2)
        found = {one.id: self._serving(one) for one in nodes}
        self._clock.sleep(takes / 2)
        return found

    def _takes(self, node: Node, timeout: float) -> float:
        is_silent = node.frozen or self._world.registry_away_from_us
        return timeout if is_silent else node.nature.read

    def _serving(self, node: Node) -> Serving:
        port = self._world.proxies[node.id - 1]
        port.read_at = self._clock.now()
        port.news += 1
        if self._world.registry_away_from_us:
            return Serving(False, reason="no answer")
        if not node.is_broker:
            return self._serving_controller(node)
        if node.frozen:
            return Serving(False, reason="no answer")
        if not node.has_open_port:
            return Serving(False, refused=True, reason="nobody listens on its port")
        return Serving(True)

    def _serving_controller(self, node: Node) -> Serving:
        quorum = self._world.controllers.describe([])
        replica = quorum.replica(node.id) if quorum is not None else None
        if replica is None:
            return Serving(False, reason="the quorum does not answer")
        if replica.behind_s is not None and replica.behind_s <= CAUGHT_UP_S:
            return Serving(True)
        return Serving(False, refused=True, reason="a voter that does not follow the quorum")


class Port:
    """What the world remembers of the questions to one node."""

    lying = False

    def __init__(self) -> None:
        self.stale_until = self.garbage_until = self.down_until = 0.0
        self.debt = 0.0
        self.read_at = 0.0
        self.news = 0


def source(world: "World", registry: KraftRegistry, node: Node) -> NoMetrics:
    """Return the source of a node of which no metrics tell."""
    return NoMetrics(node.id, registry.serving, world.clock, QUESTION_S)


def read_many(
    world: "World", registry: KraftRegistry
) -> Callable[[Collection[int]], dict[int, Sample]]:
    """Return what asks many nodes at the same time whether they serve."""

    def read(ids: Collection[int]) -> dict[int, Sample]:
        return read_all(ids, registry.serving, world.clock, QUESTION_S)

    return read
