"""What systemd did by itself to the unit of the broker in hand."""

from kafka_rolling_restart.hosts.base import FoundProcess
from kafka_rolling_restart.model.observation import Presence

# by systemd's own words for how a run of a unit ended: `Result=` in systemctl(1). A JVM that was
# told to end by SIGTERM has `exit-code` where the unit does not name 143 as a success.
KILLED_BY = {
    "timeout": "systemd killed it, as its stop took longer than the unit's TimeoutStopSec",
    "signal": "a signal killed it",
    "core-dump": "its JVM crashed",
    "oom-kill": "the kernel killed it, as its memory was used up",
    "watchdog": "systemd's watchdog killed it",
}


class UnitHistory:
    """Follows the unit from look to look."""

    def __init__(self) -> None:
        self._fewest: int | None = None
        self.restarts = 0  # since the first look; those that are certain
        self.killed_by = ""
        self.gave_up = False  # after it started it again

    def note(self, found: FoundProcess) -> None:
        """Take notice of what a look at the host showed.

        systemd counts the restarts that it made by itself, and begins at 0 again when the unit is
        started by a command. So those beyond the fewest that were seen were made since then.
        """
        self.gave_up = False
        if found.restarts is None:
            return
        if self._fewest is None or found.restarts < self._fewest:
            self._fewest = found.restarts
        self.restarts = found.restarts - self._fewest
        if found.presence is Presence.ABSENT:
            self.killed_by = KILLED_BY.get(found.result, "")
            # Result= stays `exit-code` after "start request repeated too quickly" (systemd 252)
            self.gave_up = found.has_failed and self.restarts > 0
