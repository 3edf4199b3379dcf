"""The brokers as they are: their JVMs and their registrations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.schedule import Nature

if TYPE_CHECKING:
    from tests.simulation.world import World

SESSION_S = 18.0  # Kafka's zookeeper.session.timeout.ms
SUPERVISOR_S = 3.0  # until a JVM that died by itself is launched again


@dataclass(eq=False)
class Life:
    """One JVM of a broker. ``state`` is None while it has no KafkaServer yet."""

    pid: int
    born: float
    start_ms: int  # as its host's clock showed it
    alive: bool = True
    answers: bool = False
    state: int | None = None
    told_to_stop: bool = False
    frozen_until: float = 0.0
    registered_at: float | None = None
    killed_by_us: bool = False  # by a command of ours, at its end
    ended_at: float | None = None


class Server:
    """A broker as it is: its JVMs, its registration, and what the others wait for of it."""

    def __init__(self, world: "World", place: int, nature: Nature) -> None:
        self.id = place + 1
        self.nature = nature
        self._world = world
        self._clock = world.clock
        born = self._clock.now() - 5000 - place
        self.lives = [
            Life(100 * self.id, born, round(born * 1000), True, True, 3, registered_at=0.0)
        ]
        self.czxid: int | None = world.next_czxid()
        self._owner = self.life
        self.wanted = True  # by whoever looks after the service on the host
        self.caught_up = True
        self.in_sync = True  # as far as the others have noticed
        self.last_blow = 0.0  # when somebody other than the tool last did something to it

    @property
    def life(self) -> Life:
        return self.lives[-1]

    @property
    def alive(self) -> bool:
        return self.life.alive

    @property
    def frozen(self) -> bool:
        return self.life.alive and self.life.frozen_until > self._clock.now()

    @property
    def registered(self) -> bool:
        """Tell whether the JVM that is alive is the one that is registered."""
        return self.alive and self.czxid is not None and self._owner is self.life

    @property
    def whole(self) -> bool:
        return self.registered and self.life.state == 3 and self.caught_up and not self.frozen

    # What is done to it
    def terminate(self) -> None:
        """Take a SIGTERM: a controlled shutdown."""
        life, nature = self.life, self.nature
        if not life.alive or life.told_to_stop:
            return
        life.told_to_stop = True
        self._step(life, 0, lambda: self._set_state(life, 6))
        self._step(life, nature.unregisters, lambda: self._unregister(life))
        self._step(
            life, nature.unregisters + nature.falls_silent, lambda: setattr(life, "answers", False)
        )
        self._step(
            life, nature.unregisters + nature.falls_silent + nature.ends, lambda: self._end(life)
        )

    def die(self, life: Life) -> None:
        """End without a goodbye: it stays registered until its session times out."""
        if not life.alive:
            return
        self.last_blow = self._clock.now()
        self._end(life)
        if self.wanted and self.nature.supervised:
            self._clock.plan(SUPERVISOR_S, self._launch_if_wanted)

    def freeze(self, seconds: float) -> None:
        life = self.life
        if not life.alive:
            return
        self.last_blow = self._clock.now()
        life.frozen_until = self._clock.now() + seconds
        if seconds > self._world.session_s and self._owner is life:
            self._clock.plan(self._world.session_s, lambda: self._unregister(life))
            self._clock.plan(seconds + 1, lambda: self._register_again(life))

    def launch(self) -> None:
        """Take a start: it does nothing where a process is there."""
        if self.alive:
            return
        self.wanted = True
        shown = self._clock.now() + self.nature.clock * len(self.lives)
        life = Life(self.life.pid + 1, self._clock.now(), round(shown * 1000))
        self.lives.append(life)
        nature, number = self.nature, len(self.lives) - 2
        self._step(life, nature.answers, lambda: setattr(life, "answers", True))
        self._step(life, nature.answers + nature.recovers / 2, lambda: self._set_state(life, 1))
        self._step(life, nature.answers + nature.recovers, lambda: self._set_state(life, 2))
        self._step(
            life, nature.answers + nature.recovers + nature.registers, lambda: self._register(life)
        )
        if number < len(nature.lives):
            self._clock.plan(nature.lives[number], lambda: self.die(life))

    def lose_session(self) -> None:
        """Lose the session, and register again in the same JVM."""
        life = self.life
        if self._owner is life and self.czxid is not None:
            self.last_blow = self._clock.now()
            self._unregister(life)
            self._clock.plan(1.5, lambda: self._register_again(life))

    def restart_by_somebody(self) -> None:
        self.last_blow = self._clock.now()
        self.terminate()
        self._launch_once_ended(self.life)

    def _launch_once_ended(self, life: Life) -> None:
        if life.alive:
            self._clock.plan(1, lambda: self._launch_once_ended(life))
        else:
            self.last_blow = self._clock.now()
            self.launch()

    def _launch_if_wanted(self) -> None:
        if self.wanted:
            self.last_blow = self._clock.now()
            self.launch()

    def _step(self, life: Life, seconds: float, step: Callable[[], None]) -> None:
        """Plan what a JVM does of itself: not before it is thawed, and not after its end."""

        def take() -> None:
            now = self._clock.now()
            if life.frozen_until > now:
                self._step(life, life.frozen_until - now + 0.1, step)
            elif life.alive:
                step()
                self._world.look()

        self._clock.plan(seconds, take)

    def _set_state(self, life: Life, state: int) -> None:
        if not (life.told_to_stop and state < 6):
            life.state = state

    def _end(self, life: Life) -> None:
        life.alive = life.answers = False
        life.ended_at = self._clock.now()
        self.caught_up = False
        if self._owner is life and self.czxid is not None:
            self._clock.plan(self._world.session_s, lambda: self._expire(life))
        self._world.look()

    def _expire(self, life: Life) -> None:
        if self._world.registry_away:
            self._clock.plan(self._world.session_s, lambda: self._expire(life))
        else:
            self._unregister(life)

    def _unregister(self, life: Life) -> None:
        if self._owner is life and self.czxid is not None and not self._world.registry_away:
            self.czxid = None
            self.caught_up = self.in_sync = False
            self._world.elect_soon()
            self._world.look()

    def _register(self, life: Life) -> None:
        late = (
            self._clock.now() - life.born
            > self._world.session_s + self.nature.answers + self.nature.recovers
        )
        if self._world.registry_away and self.nature.needs_zookeeper and late:
            self.die(life)
        elif self._world.registry_away or self.czxid is not None:
            self._step(life, 1, lambda: self._register(life))
        elif not life.told_to_stop:
            self._take_registration(life)
            self._step(life, self.nature.runs, lambda: self._set_state(life, 3))

    def _register_again(self, life: Life) -> None:
        if life.alive and not life.told_to_stop and self.czxid is None and life is self.life:
            if self._world.registry_away:
                self._clock.plan(1, lambda: self._register_again(life))
            else:
                self._take_registration(life)

    def _take_registration(self, life: Life) -> None:
        self.czxid, self._owner = self._world.next_czxid(), life
        life.registered_at = self._clock.now()
        self._step(life, self.nature.runs + self.nature.catches_up, lambda: self._catch_up(life))
        self._world.elect_soon()

    def _catch_up(self, life: Life) -> None:
        if self._owner is life and self.czxid is not None:
            self.caught_up = self.in_sync = True
