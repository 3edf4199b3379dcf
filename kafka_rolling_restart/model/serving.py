"""Whether a node serves, by its own port or by the quorum."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Serving:
    """``refused``: nobody listens there, which is more than no answer. ``reason`` is why it does
    not serve, in words."""

    serves: bool
    refused: bool = False
    reason: str = ""
