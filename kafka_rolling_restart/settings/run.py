"""What the person set for a run."""

from dataclasses import dataclass

BROKERS, CONTROLLERS, ALL = "brokers", "controllers", "all"
ROLES = (BROKERS, CONTROLLERS, ALL)


@dataclass(frozen=True)
class RunSettings:
    """Which brokers, with which commands, and how carefully. ``started_before`` is an age (s).

    ``roles`` is one of `ROLES`; combined nodes are brokers.

    ``wanted_folder`` is where the configuration was to be; ``needs_answer`` that a person has to
    say yes.
    """

    stop_command: str
    start_command: str
    skip: int = 0
    broker_ids: tuple[int, ...] = ()
    started_before: float | None = None
    listener: str | None = None
    wanted_folder: str | None = None
    allow_hosts: tuple[str, ...] = ()
    dry_run: bool = False
    roles: str = BROKERS
    controllers_first: bool = True
    no_confirm: bool = False

    @property
    def needs_answer(self) -> bool:
        """Whether a person is asked before anything is touched."""
        return not self.no_confirm and not self.dry_run
