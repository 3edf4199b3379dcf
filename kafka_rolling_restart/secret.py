"""Where passwords come from: a prompt at the terminal, or an environment variable; never an argument."""

import getpass
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field

from kafka_rolling_restart.errors import UsageError

PREFIX = "KAFKA_ROLLING_RESTART_"


@dataclass(frozen=True)
class Secret:
    """A password that no log, report or traceback shows by accident: only `reveal` tells it."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        """Return the password."""
        return self._text


class Secrets:
    """Reads each password once, before anything is contacted.

    What came from ``environ`` is taken out of it, so that tasks and their programs do not inherit it. ``ask`` prompts
    without an echo; it is None where there is no terminal.
    """

    def __init__(self, environ: MutableMapping[str, str], ask: Callable[[str], str] | None = getpass.getpass) -> None:
        self._environ = environ
        self._ask = ask

    def given(self, name: str) -> Secret | None:
        """Return the password in the environment variable ``KAFKA_ROLLING_RESTART_<name>``, None where it is not set."""
        text = self._environ.pop(PREFIX + name, None)
        return Secret(text) if text is not None else None

    def need(self, name: str, prompt: str) -> Secret:
        """Return a password from the environment, or else from the person. Raises `UsageError` where there is neither."""
        secret = self.given(name)
        if secret is not None:
            return secret
        if self._ask is None:
            raise UsageError(f"{prompt}: there is no terminal to ask for it; set {PREFIX}{name} in the environment")
        try:
            return Secret(self._ask(f"{prompt}: "))
        except (EOFError, OSError) as error:
            raise UsageError(f"{prompt}: it could not be read from the terminal ({error})") from error
