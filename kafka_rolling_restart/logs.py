"""What --verbose shows of our own modules' logging, and the second -v of the libraries'; no secrets at any level."""

import logging
import re
import sys
import warnings

from kafka_rolling_restart.report import Report

OURS = __package__
LIBRARIES = ("kazoo", "paramiko", "urllib3")
MASK = "***"
NAME = r"pass(?:word|wd|phrase)?|secret|token|auth(?:orization)?|credentials?|challenge"  # SASL's: a hash of one
SCHEME = r"(?:Basic|Bearer|Digest)\s+"
VALUE = r"""b?'(?:[^'\\]|\\.)*'|b?"(?:[^"\\]|\\.)*"|[^\s,;)'"]+"""
NAMED_SECRET = re.compile(rf"""(?i)((?:{NAME})['"]?\s*[=:]\s*)(?:{SCHEME})?(?:{VALUE})""")
SECRET_OPTION = re.compile(rf"""(?i)(?<![\w-])(--?[\w-]{{0,40}}?(?:{NAME})\s+)(?:{VALUE})""")
SECRET_IN_ADDRESS = re.compile(r"://[^/\s]+@")


def masked(text: str) -> str:
    """Return a text without what looks like a secret: ``password=...``, ``--token ...``, ``://user:password@host``."""
    for pattern in (NAMED_SECRET, SECRET_OPTION):
        text = pattern.sub(rf"\1{MASK}", text)
    return SECRET_IN_ADDRESS.sub(f"://{MASK}@", text)


class Bridge(logging.Handler):
    """Hands log records to the report. It has no lock: a signal that comes while one is held would leave it locked."""

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
            self._report.detail(masked(record.getMessage()), record.name.removeprefix(f"{OURS}."))
        except Exception:  # a library's record that cannot be formatted is not to end what the library does for us
            self.handleError(record)


def listen(report: Report, verbose: int) -> None:
    """Show as much of all logging as --verbose wants (0, 1 or 2), and nothing of it on stderr, which cron mails."""
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
