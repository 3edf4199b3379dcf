"""One connection for many questions, on a host that is as long as its answers."""

from typing import Any

import pytest

from kafka_rolling_restart.cluster import CommandResult
from kafka_rolling_restart.errors import SshError
from kafka_rolling_restart.secret import Secret
from kafka_rolling_restart.ssh import SshLine


class FakeHost:
    """A host that lets us in or not, and whose sessions break on demand."""

    def __init__(self) -> None:
        self.logins = 0
        self.refuses = self.breaks = False

    def connect(self) -> "FakeHost":
        self.logins += 1
        if self.refuses:
            raise SshError("Connection refused")
        return self

    def run(self, command: str, limit: float, secret: Secret | None = None) -> CommandResult:
        if self.breaks:
            self.breaks = False
            raise SshError("the connection broke", sent=True)
        return CommandResult(command, 0, "", 0.1)

    def close(self) -> None:
        pass


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


def line_to(host: Any) -> SshLine:
    return SshLine(host)


def test_many_questions_take_one_login(host: FakeHost) -> None:
    line = line_to(host)
    for _ in range(5):
        line.run("ps", 1)
    assert host.logins == 1


def test_a_connection_that_broke_is_made_anew_and_the_question_asked_again(host: FakeHost) -> None:
    line = line_to(host)
    line.run("ps", 1)
    host.breaks = True
    assert line.run("ps", 1).status == 0
    assert host.logins == 2


def test_a_host_that_does_not_let_us_in_is_not_asked_again_at_once(host: FakeHost) -> None:
    line, host.refuses = line_to(host), True
    for _ in range(5):
        with pytest.raises(SshError, match="Connection refused"):
            line.run("ps", 1)
    assert host.logins == 1
