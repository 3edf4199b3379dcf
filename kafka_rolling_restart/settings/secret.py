"""Where passwords come from: a prompt at the terminal, or an environment variable; never an
argument."""

import getpass
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field

from kafka_rolling_restart.errors import UsageError

PREFIX = "KAFKA_ROLLING_RESTART_"
SSH_PASSWORD, SUDO_PASSWORD, KEY_PASSPHRASE = "SSH_PASSWORD", "SUDO_PASSWORD", "KEY_PASSPHRASE"


@dataclass(frozen=True)
class Secret:
    """A password that no log, report or traceback shows by accident: only `reveal` tells it."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        """Return the password."""
        return self._text


@dataclass(frozen=True)
class Passwords:
    """What is known before anything is contacted."""

    ssh: Secret | None = None
    sudo: Secret | None = None
    passphrase: Secret | None = None


class Secrets:
    """Reads each password once, before anything is contacted.

    What came from ``environ`` is taken out of it, so that tasks and their programs do not inherit
    it. ``ask`` prompts without an echo; it is None where there is no terminal.
    """

    def __init__(
        self, environ: MutableMapping[str, str], ask: Callable[[str], str] | None = getpass.getpass
    ) -> None:
        self._environ = environ
        self._ask = ask

    def given(self, name: str) -> Secret | None:
        """Return the password in the environment variable ``KAFKA_ROLLING_RESTART_<name>``, None
        where it is not set.

        Raises `UsageError` for one that is not UTF-8.
        """
        text = self._environ.pop(PREFIX + name, None)
        if text is None:
            return None
        return _checked(text, f"{PREFIX}{name}")

    def forget(self, name: str) -> None:
        """Take a password that nothing wants out of the environment all the same: tasks are not to
        inherit it."""
        self._environ.pop(PREFIX + name, None)

    def need(self, name: str, prompt: str) -> Secret:
        """Return a password from the environment, or else from the person. Raises `UsageError`
        where there is neither."""
        secret = self.given(name)
        if secret is not None:
            return secret
        if self._ask is None:
            raise UsageError(
                f"{prompt}: there is no terminal to ask for it; set {PREFIX}{name} in the "
                "environment",
                code="password-missing",
            )
        return self.ask(prompt)

    @property
    def can_ask(self) -> bool:
        """Tell whether there is a terminal."""
        return self._ask is not None

    def ask(self, prompt: str) -> Secret:
        """Return what the person types. Raises `UsageError` where that cannot be read."""
        if self._ask is None:
            raise UsageError(
                f"{prompt}: there is no terminal to ask for it", code="password-missing"
            )
        try:
            typed = self._ask(f"{prompt}: ")
        except UnicodeDecodeError:
            raise _not_utf_8(prompt) from None  # the cause holds what was typed
        except (EOFError, OSError) as error:
            raise UsageError(
                f"{prompt}: it could not be read from the terminal ({error})",
                code="password-missing",
            ) from error
        return _checked(typed, prompt)

    def passwords(self, ask_ssh: bool, ask_sudo: bool) -> Passwords:
        """Return the passwords of the environment; ask for those that are not there and are to be
        asked for."""
        return Passwords(
            ssh=self.need(SSH_PASSWORD, "SSH password") if ask_ssh else self.given(SSH_PASSWORD),
            sudo=self.need(SUDO_PASSWORD, "sudo password")
            if ask_sudo
            else self.given(SUDO_PASSWORD),
            passphrase=self.given(KEY_PASSPHRASE),
        )


def _checked(text: str, where: str) -> Secret:
    """Return a password that can be sent. Raises `UsageError` for one with bytes that are not
    UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _not_utf_8(where) from None  # the cause holds the password
    return Secret(text)


def _not_utf_8(where: str) -> UsageError:
    return UsageError(
        f"{where}: the password is not valid UTF-8. Type it in UTF-8; check the locale (LANG)",
        code="password-not-utf8",
    )
