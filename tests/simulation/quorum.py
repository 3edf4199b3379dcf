"""The metadata quorum of a KRaft cluster as it is, and as its leader describes it."""

from typing import TYPE_CHECKING

from kafka_rolling_restart.model.cluster_state import CAUGHT_UP_S, Quorum, QuorumReplica
from tests.simulation.clock import FOREVER
from tests.simulation.nodes import FETCH_S, Node

if TYPE_CHECKING:
    from tests.simulation.world import World

RESIGNS_S = 3.0  # until a leader without a majority gives up
RECORD_S = 0.5  # from one record that the leader writes to the next
FIRST_FETCH_S = 0.5  # after an election, until the leader has heard of the others


class Controllers:
    """The voters. ``history`` is which of them were caught up, from when on."""

    def __init__(self, world: "World", voters: list[Node]) -> None:
        self._world, self._clock = world, world.clock
        self.voters = voters
        self.leader: Node | None = voters[0]
        self.epoch = 1
        self.cut_until = 0.0  # they do not reach each other
        self._elected_at = 0.0
        self._is_electing = self._is_resigning = False
        self.history: list[tuple[float, frozenset[int]]] = [
            (0.0, frozenset(one.id for one in voters))
        ]

    @property
    def majority(self) -> int:
        return len(self.voters) // 2 + 1

    @property
    def has_majority(self) -> bool:
        able = [one for one in self.voters if self._is_able(one)]
        return len(able) >= self.majority and self.cut_until <= self._clock.now()

    @property
    def commits(self) -> bool:
        """Tell whether anything can change in the metadata."""
        leader = self.leader
        return leader is not None and self._is_able(leader) and self.has_majority

    @property
    def whole(self) -> bool:
        """Tell whether all is well, as far as its leader can have noticed by now."""
        return self.commits and all(self._is_able_lately(one) for one in self.voters)

    def _is_able_lately(self, one: Node) -> bool:
        return self._is_able(one) or one.behind_s <= CAUGHT_UP_S

    def _is_able(self, one: Node) -> bool:
        lags = one.lags and one is not self.leader
        return one.alive and one.votes and not one.frozen and not lags

    def notice(self) -> None:
        """Take notice of what happened to the voters."""
        able = frozenset(one.id for one in self.voters if self._is_able(one))
        if self.cut_until > self._clock.now():
            able = frozenset()
        if self.history[-1][1] != able:
            self.history.append((self._clock.now(), able))
            self._clock.plan(CAUGHT_UP_S + 0.01, self._world.look)
        if self.leader is not None and not self._is_able(self.leader):
            self.leader = None
        if self.leader is None and not self._is_electing:
            self._is_electing = True
            self._clock.plan(self._world.schedule.election, self._elect)
        if self.leader is not None and not self.has_majority and not self._is_resigning:
            self._is_resigning = True
            self._clock.plan(RESIGNS_S, self._resign)

    def were_caught_up(self, since: float, until: float) -> list[frozenset[int]]:
        """Return which voters were caught up at each moment between the two."""
        ends = [at for at, _ in self.history[1:]] + [FOREVER]
        return [
            ids
            for (at, ids), end in zip(self.history, ends, strict=True)
            if at <= until and end >= since
        ]

    def _elect(self) -> None:
        self._is_electing = False
        if self.has_majority:
            self.leader = next(one for one in self.voters if self._is_able(one))
            self.epoch += 1
            self._elected_at = self._clock.now()
            self._world.look()
        else:
            self._is_electing = True
            self._clock.plan(1.0, self._elect)

    def _resign(self) -> None:
        self._is_resigning = False
        if not self.has_majority and self.leader is not None:
            self.leader = None
            self._world.look()

    def describe(self, brokers: list[Node]) -> Quorum | None:
        """Return the quorum as its leader describes it, None where nobody leads it."""
        if self.leader is None:
            return None
        voters = tuple(self._replica(one) for one in self.voters)
        observers = tuple(
            QuorumReplica(one.id, FETCH_S if one.lies else one.behind_s)
            for one in brokers
            if not one.is_voter
        )
        return Quorum(self.leader.id, self.epoch, voters, observers)

    def _replica(self, voter: Node) -> QuorumReplica:
        behind = self._behind(voter)
        if behind is None:
            return QuorumReplica(voter.id, None)
        return QuorumReplica(voter.id, behind, int((self._clock.now() - behind) / RECORD_S))

    def _behind(self, voter: Node) -> float | None:
        now = self._clock.now()
        if voter is self.leader:
            return 0.0
        behind = voter.behind_s
        if self.cut_until > now:
            behind = max(behind, now - self.history[-1][0])
        heard_at = now - behind
        if heard_at < self._elected_at or now - self._elected_at < FIRST_FETCH_S:
            return None
        return behind
