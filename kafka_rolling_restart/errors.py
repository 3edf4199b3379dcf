"""The ways a run can end other than well: each kind knows its exit status and says the next
step."""

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol


class ExitStatus(IntEnum):
    """What cron reads. An interface: numbers are never reused (see README.rst, "Exit statuses")."""

    DONE = 0
    DEFECT = 1
    USAGE = 2
    REFUSED = 3
    STOPPED = 4
    BROKER_DOWN = 5
    LOCKED = 6


class RollingRestartError(Exception):
    """An expected end. The message is one line: what was seen, where, and what to do next.

    ``code`` is its name in the catalogue (see the folder codes).
    """

    status: int = ExitStatus.DEFECT

    def __init__(self, message: str = "", *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class UsageError(RollingRestartError):
    """Wrong usage or configuration: nothing was contacted."""

    status = ExitStatus.USAGE


class Refused(RollingRestartError):
    """The preflight, the first wait or the person said no: no broker was touched."""

    status = ExitStatus.REFUSED


class Stopped(RollingRestartError):
    """The roll ended part-way; every broker that it stopped is back."""

    status = ExitStatus.STOPPED


class BrokerDown(RollingRestartError):
    """The roll ended part-way and a broker may be down: a person is needed now."""

    status = ExitStatus.BROKER_DOWN


class LockHeld(RollingRestartError):
    """Another run restarts this cluster at this moment."""

    status = ExitStatus.LOCKED


# a killed run loses its lock after so long at the most, whatever the registry
LOCK_FADES_S = 15.0


def held_by(holder: str, fades_s: float = LOCK_FADES_S) -> LockHeld:
    """Return the error of a cluster that another run restarts. The lock of a run that was killed is
    gone after ``fades_s``."""
    return LockHeld(
        f"another run restarts this cluster: {holder}. Wait for that run, or stop it, then try "
        f"again. If it was killed, its lock disappears within {fades_s:g} s, and the broker that "
        "it was at may be DOWN",
        code="another-run",
    )


class Interrupted(BaseException):
    """A signal ended the run. Not an Exception, so that no library's `except Exception` swallows
    it."""

    def __init__(self, signal_number: int, name: str) -> None:
        super().__init__(f"ended by {name}")
        self.status = 128 + signal_number
        self.name = name
        self.code = "interrupted"


class Defect(RollingRestartError):
    """This program is wrong. Its cause is printed as a traceback before the message."""


class RegistryUnavailable(Exception):
    """The registry did not answer in time: what it holds is unknown, which is not the same as
    absent.

    ``advice`` is what to look at, in the registry's own words.
    """

    def __init__(self, message: str = "", advice: str = "", *, code: str = "") -> None:
        super().__init__(message)
        self.advice = advice
        self.code = code


class RegistryDenied(RegistryUnavailable):
    """The registry refuses our login, or a right is missing: what it holds is unknown, too."""


class SshError(Exception):
    """A command could not be run on a host, or its end was not seen.

    ``sent`` tells whether the command may have reached the host all the same.
    """

    def __init__(self, message: str, *, sent: bool = False, code: str = "") -> None:
        super().__init__(message)
        self.sent = sent
        self.code = code


# what there is against sending a command at this moment; nothing: it may be sent
Objection = Callable[[], str]


def no_objection() -> str:
    """Say nothing against sending a command."""
    return ""


class Warn(Protocol):
    """Hears of what went wrong though the run goes on. ``code`` is its name in the catalogue."""

    def __call__(self, text: str, *, code: str) -> None: ...
