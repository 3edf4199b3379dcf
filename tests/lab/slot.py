"""The one lab that a worker has at a time."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import cast

from .base import AnyLab, BaseLab


@dataclass(frozen=True)
class KraftKind:
    """What kind of a KRaft lab a test wants."""

    combined: bool = False
    version: str = "4.1"
    secure: bool = False

    def __str__(self) -> str:
        name = f"{'combined' if self.combined else 'dedicated'}-{self.version}"
        return f"{name}-secure" if self.secure else name


class Slot:
    """Holds a lab; when a test wants one of another kind, the lab that there was ends first."""

    def __init__(self) -> None:
        self._lab: BaseLab | None = None
        self._kind: Hashable = None

    def hold(self, kind: Hashable, make: Callable[[], AnyLab]) -> AnyLab:
        """Return the lab of a kind, reset; boot it with ``make`` unless it is the one held. A kind
        is always made by the same class."""
        if self._lab is None or self._kind != kind:
            self.end()
            lab = make()
            self._lab = lab.__enter__()
            self._kind = kind
        self._lab.reset()
        return cast(AnyLab, self._lab)

    def end(self) -> None:
        """End the lab that is held, if any."""
        lab, self._lab, self._kind = self._lab, None, None
        if lab is not None:
            lab.__exit__(None, None, None)
