"""What --verbose shows of our own modules' logging, and the second -v of the libraries'; no secrets
at any level."""

import logging
import sys
import warnings

from kafka_rolling_restart.output.report import Report
from kafka_rolling_restart.text import masked

OURS = __package__.partition(".")[0]
LIBRARIES = ("asyncio", "kafka", "kazoo", "paramiko", "urllib3")


class Bridge(logging.Handler):
    """Hands log records to the report. It has no lock: a signal that comes while one is held would
    leave it locked."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report

    def createLock(self) -> None:
        """Make none: the report takes what it is given from any thread."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Tell a record, without the lock that Python 3.13 takes for granted here."""
        wanted = bool(self.filter(record))
        if wanted:
            self.emit(record)
        return wanted

    def emit(self, record: logging.LogRecord) -> None:
        """Tell a record as a detail."""
        try:
            self._report.detail(masked(record.getMessage()), _origin(record.name))
        # a library's record that cannot be formatted is not to end what the library does for us
        except Exception:
            self.handleError(record)


def _origin(name: str) -> str:
    """Return what a logger is called: one of ours by its module alone."""
    if name.startswith(f"{OURS}."):
        return name.rpartition(".")[2]
    return name


def listen(report: Report, verbose: int) -> None:
    """Show as much of all logging as --verbose wants (0, 1 or 2), and nothing of it on stderr,
    which cron mails."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.raiseExceptions = False
    bridge = Bridge(report)
    for name in (OURS, *LIBRARIES):
        logger = logging.getLogger(name)
        wanted = verbose > (0 if name == OURS else 1)
        logger.setLevel(logging.DEBUG if wanted else logging.CRITICAL)
        logger.handlers[:] = [bridge if wanted else logging.NullHandler()]
        logger.propagate = False
