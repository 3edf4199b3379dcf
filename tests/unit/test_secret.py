from collections.abc import Callable

import pytest

from kafka_rolling_restart.errors import UsageError
from kafka_rolling_restart.secret import Secret, Secrets


def asking(answer: str) -> Callable[[str], str]:
    return lambda prompt: f"{prompt}{answer}"


def test_a_secret_is_shown_by_nothing_but_reveal() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret!r} {secret} {[secret]}"
    assert secret.reveal() == "hunter2"


def test_a_password_of_the_environment_is_not_left_for_tasks_to_inherit() -> None:
    environ = {"KAFKA_ROLLING_RESTART_SSH_PASSWORD": "hunter2", "HOME": "/home/me"}
    assert Secrets(environ, None).need("SSH_PASSWORD", "SSH password").reveal() == "hunter2"
    assert environ == {"HOME": "/home/me"}


def test_a_password_that_is_not_in_the_environment_is_asked_for() -> None:
    assert Secrets({}, asking("x")).need("SSH_PASSWORD", "SSH password").reveal() == "SSH password: x"
    assert Secrets({}, asking("x")).given("SSH_PASSWORD") is None


def test_without_a_terminal_the_variable_is_named() -> None:
    with pytest.raises(UsageError, match="set KAFKA_ROLLING_RESTART_SSH_PASSWORD"):
        Secrets({}, None).need("SSH_PASSWORD", "SSH password")


def test_a_terminal_that_is_closed_is_said() -> None:
    def close(_prompt: str) -> str:
        raise EOFError

    with pytest.raises(UsageError, match="could not be read"):
        Secrets({}, close).need("SSH_PASSWORD", "SSH password")
