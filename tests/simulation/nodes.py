"""The nodes of a KRaft cluster as they are: brokers, dedicated controllers, or both in one."""

from typing import TYPE_CHECKING

from kafka_rolling_restart.model.cluster_state import CAUGHT_UP_S
from tests.simulation.schedule import Nature
from tests.simulation.servers import Life, Server

if TYPE_CHECKING:
    from tests.simulation.world import World

LONGEST_STOP_S = 300.0  # how long a broker tries to leave in good order, as Kafka 4.1 does
FETCH_S = 0.2  # how far one that follows the quorum is behind


class Node(Server):
    """A node of a KRaft cluster. ``czxid`` stands for being a member: a broker that is not fenced,
    or a controller that follows the quorum."""

    def __init__(
        self, world: "World", place: int, nature: Nature, is_broker: bool, is_voter: bool
    ) -> None:
        super().__init__(world, place, nature)
        self.is_broker = is_broker
        self.is_voter = is_voter
        self.votes = is_voter
        self.left_at: float | None = None  # when it ceased to follow the quorum, if it did
        self.lag_since = self.lag_until = 0.0
        self.lie_age = self.lie_until = 0.0  # how old the metadata are that it passes off as new

    @property
    def lags(self) -> bool:
        return self.lag_until > self._clock.now()

    @property
    def has_open_port(self) -> bool:
        return self.life.answers and self.life.state in (3, 6)

    @property
    def loads(self) -> bool:
        """Tell whether its coordinators load, as they do for a while once it is a member."""
        at = self.life.registered_at
        return self.alive and (at is None or self._clock.now() < at + self.nature.loads)

    @property
    def behind_s(self) -> float:
        """How long (s) ago its metadata were last those of the quorum."""
        now = self._clock.now()
        if self.lags:
            return now - self.lag_since
        if self.frozen or not self.alive or self.left_at is not None:
            return now - (self.left_at if self.left_at is not None else now - 1e6)
        return FETCH_S

    @property
    def lies(self) -> bool:
        return self.lie_until > self._clock.now()

    @property
    def whole(self) -> bool:
        """Tell whether it is as it should be. Nobody can see of a liar that it lags, and of no node
        that it does since a moment ago."""
        return super().whole and (self.lies or self.behind_s <= CAUGHT_UP_S)

    # What is done to it
    def terminate(self) -> None:
        life, nature = self.life, self.nature
        if not life.alive or life.told_to_stop:
            return
        life.told_to_stop = True
        since = self._clock.now()
        if self.is_broker:
            self._step(life, 0, lambda: self._set_state(life, 6))
            self._step(life, nature.unregisters, lambda: self._leave(life, since))
        else:
            self._step(life, nature.unregisters, lambda: self._stop_following(life))
            self._step(life, nature.unregisters + nature.ends, lambda: self._end(life))

    def launch(self) -> None:
        if self.alive:
            return
        super().launch()
        life, nature = self.life, self.nature
        self.votes = False
        self._step(life, nature.answers + nature.recovers, lambda: self._follow(life))

    def freeze(self, seconds: float) -> None:
        if self.is_broker:
            super().freeze(seconds)
        elif self.alive:
            self.last_blow = self._clock.now()
            self.life.frozen_until = self._clock.now() + seconds
        if self.frozen:
            self.left_at = self._clock.now() if self.left_at is None else self.left_at
            self._clock.plan(seconds + 0.1, lambda: self._follow(self.life))
            self._world.look()

    def fence(self, seconds: float) -> None:
        """Be fenced by the controller for a while, as after a heartbeat that was late."""
        life = self.life
        if self.is_broker and self.registered:
            self.last_blow = self._clock.now()
            self._unregister(life)
            self._clock.plan(seconds, lambda: self._register_again(life))

    def lag(self, seconds: float) -> None:
        """Fall behind with the metadata for a while; whoever leads the quorum has none to fetch."""
        if self._world.controllers.leader is self:
            return
        now = self._clock.now()
        since = now if self.left_at is None else self.left_at
        self.lag_since = self.lag_since if self.lags else since
        self.lag_until = max(self.lag_until, now + seconds)
        self._clock.plan(CAUGHT_UP_S + 0.01, self._world.look)

    def lie(self, seconds: float) -> None:
        """Answer with the metadata of this moment for a while, and seem to be caught up."""
        now = self._clock.now()
        self.lie_age, self.lie_until = now, now + seconds

    def _follow(self, life: Life) -> None:
        if life is self.life and life.alive and not life.told_to_stop and not self.frozen:
            self.votes = self.is_voter
            if self.lags and self.left_at is not None:  # it has not caught up since it left
                self.lag_since = self.left_at
            self.left_at = None
            if not self.is_broker:
                self._join(life)
            self._world.look()

    def _join(self, life: Life) -> None:
        """Serve as a controller does: by following the quorum."""
        self.czxid, self._owner = self._world.next_czxid(), life
        life.answers, life.state = True, 3
        life.registered_at = life.registered_at or self._clock.now()
        self.caught_up = self.in_sync = True

    def _register(self, life: Life) -> None:
        if self.is_broker:
            super()._register(life)

    def _take_registration(self, life: Life) -> None:
        first = life.registered_at
        super()._take_registration(life)
        life.registered_at = life.registered_at if first is None else first
        self._clock.plan(self.nature.loads + 0.01, self._world.look)

    def _register_again(self, life: Life) -> None:
        if self.is_broker:
            super()._register_again(life)

    def _stop_following(self, life: Life) -> None:
        self.votes = life.answers = False
        if self.left_at is None:
            self.left_at = self._clock.now()
        if not self.is_broker and self._owner is life:
            self.czxid = None
            self.caught_up = False

    def _leave(self, life: Life, since: float) -> None:
        """End in good order: it is fenced, and goes; without the quorum, or while another broker
        lags, it waits."""
        if not self._world.lets_leave(self) and self._clock.now() - since < LONGEST_STOP_S:
            self._step(life, 1.0, lambda: self._leave(life, since))
            return
        self._unregister(life)
        silent = self.nature.falls_silent
        self._step(life, silent, lambda: setattr(life, "answers", False))
        self._step(life, silent + self.nature.ends, lambda: self._end(life))

    def _end(self, life: Life) -> None:
        self._stop_following(life)
        super()._end(life)
