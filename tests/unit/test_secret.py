from collections.abc import Callable

import pytest

from kafka_rolling_restart.errors import UsageError
from kafka_rolling_restart.settings.secret import Secret, Secrets


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
    assert (
        Secrets({}, asking("x")).need("SSH_PASSWORD", "SSH password").reveal() == "SSH password: x"
    )
    assert Secrets({}, asking("x")).given("SSH_PASSWORD") is None


def test_without_a_terminal_the_variable_is_named() -> None:
    with pytest.raises(UsageError, match="set KAFKA_ROLLING_RESTART_SSH_PASSWORD"):
        Secrets({}, None).need("SSH_PASSWORD", "SSH password")


def test_a_terminal_that_is_closed_is_said() -> None:
    def close(_prompt: str) -> str:
        raise EOFError

    with pytest.raises(UsageError, match="could not be read"):
        Secrets({}, close).need("SSH_PASSWORD", "SSH password")


def test_all_passwords_leave_the_environment_and_only_those_that_are_not_there_are_asked_for() -> (
    None
):
    names = ("SSH_PASSWORD", "SUDO_PASSWORD", "KEY_PASSPHRASE")
    environ = {f"KAFKA_ROLLING_RESTART_{name}": name.lower() for name in names}
    found = Secrets(environ, None).passwords(ask_ssh=True, ask_sudo=False)
    assert [one and one.reveal() for one in (found.ssh, found.sudo, found.passphrase)] == [
        name.lower() for name in names
    ]
    assert environ == {}
    asked = Secrets({}, asking("x")).passwords(ask_ssh=False, ask_sudo=True)
    assert asked.sudo is not None and asked.sudo.reveal() == "sudo password: x"
    assert asked.ssh is asked.passphrase is None


NOT_UTF_8 = "hunter2\udcff"  # as os.environ has a byte that is not UTF-8


def refused(call: Callable[[], object]) -> UsageError:
    with pytest.raises(UsageError, match="the password is not valid UTF-8") as raised:
        call()
    assert raised.value.__cause__ is None and raised.value.__suppress_context__
    assert "hunter2" not in f"{raised.value!r}"
    return raised.value


@pytest.mark.parametrize(
    "name", ["JMXPROXY_PASSWORD", "SSH_PASSWORD", "SUDO_PASSWORD", "KEY_PASSPHRASE"]
)
def test_a_password_that_is_not_utf_8_is_refused_where_it_is_given_and_not_told(name: str) -> None:
    secrets = Secrets({f"KAFKA_ROLLING_RESTART_{name}": NOT_UTF_8}, None)
    assert f"KAFKA_ROLLING_RESTART_{name}" in str(refused(lambda: secrets.given(name)))


def test_a_password_that_is_typed_in_another_encoding_is_refused_and_not_told() -> None:
    def decode(_prompt: str) -> str:
        return b"hunter2\xff".decode()

    assert "SSH password" in str(refused(lambda: Secrets({}, decode).ask("SSH password")))
    assert "SSH password" in str(
        refused(lambda: Secrets({}, lambda _prompt: NOT_UTF_8).ask("SSH password"))
    )


def test_a_password_that_nothing_wants_leaves_the_environment_whatever_it_is() -> None:
    environ = {"KAFKA_ROLLING_RESTART_JMX_PASSWORD": NOT_UTF_8}
    Secrets(environ, None).forget("JMX_PASSWORD")
    assert environ == {}
