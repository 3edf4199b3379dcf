"""Files and folders as a person names them."""

from collections.abc import Mapping
from pathlib import Path

from kafka_rolling_restart.errors import UsageError


def home(environ: Mapping[str, str]) -> Path:
    """Return the home folder. Raises `UsageError` where there is none, as for a uid that has no
    entry in passwd."""
    return Path(environ["HOME"]) if environ.get("HOME") else expanded("~")


def expanded(path: str) -> Path:
    """Return a path with its ``~`` or ``~user`` replaced. Raises `UsageError` where that user has
    no home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"{path}: no home folder is known for it; set HOME, or give the whole path",
            code="home-unknown",
        ) from error


def home_hint(environ: Mapping[str, str]) -> str:
    """Say which ~ was meant where none was given: cron's daemons and `env -i` give none, and SSH's
    files are there."""
    if environ.get("HOME"):
        return ""
    return f" (HOME is not set: ~/.ssh was that of {home(environ)})"
