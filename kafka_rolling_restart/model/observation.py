"""What one witness of a broker says at one moment: the registry, its metrics, or its host."""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum


class Presence(Enum):
    """Whether the broker is there. UNKNOWN: it could not be told now. BLIND: this witness can never
    tell it here."""

    PRESENT = "present"
    ABSENT = "absent"
    UNKNOWN = "unknown"
    BLIND = "blind"


@dataclass(frozen=True)
class Observation:
    """``identity`` is that of one life of the broker, where the witness can tell lives apart; else
    None.

    ``words`` is what the witness saw, in its own words, as a clause of a sentence about the broker.
    """

    presence: Presence
    identity: Hashable | None = None
    words: str = ""

    @property
    def is_present(self) -> bool:
        """Tell whether the broker is certainly there."""
        return self.presence is Presence.PRESENT

    @property
    def is_absent(self) -> bool:
        """Tell whether the broker is certainly not there."""
        return self.presence is Presence.ABSENT
