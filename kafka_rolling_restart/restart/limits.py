"""The time limits of one broker's restart."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """All in s. ``waiting`` is --unhealthy-time-limit: gone and back together may take so long."""

    waiting: float
    poll: float = 0.5  # from one look to the next
    registration_poll: float = 0.1  # from one look at the registration alone to the next
    grace: float = 15.0  # how long a command that ended is given before its effect must show
    # before a start that failed is sent again; twice as long after each, up to ``longest``
    again: float = 15.0
    # before a start that ended well, and of which nothing is seen, is sent again; as above
    again_unseen: float = 60.0
    longest: float = 240.0
    # a start command may give up after so long or after ``waiting`` (systemd: 90 s)
    start_gives_up: float = 120.0
    resend: float = 10.0  # before a start command that did not reach the host is sent again
    # a broker that took the whole limit to go is given this long to come back
    last_chance: float = 60.0
    # a broker tries for so long to stop in good order, and then ends (measured on Kafka 4.1), with
    # some time for what follows
    longest_stop: float = 330.0
    news: float = 60.0  # from one line about what is still waited for to the next
