import pytest

from kafka_rolling_restart.sudo import is_free_of_password

ALL = "Sudoers entry:\n    RunAsUsers: ALL\n    RunAsGroups: ALL\n    Commands:\n ALL\n"
TRUE = "Sudoers entry:\n    RunAsUsers: root\n    Options: !authenticate\n    Commands:\n /usr/bin/true\n"
SERVICE = "Sudoers entry:\n    RunAsUsers: root\n    Options: {}\n    Commands:\n /usr/sbin/service kafka stop\n /bin/sh -c *\n"
HEAD = (
    "Matching Defaults entries for me on n1:\n    env_reset, secure_path=/usr/bin\n\nUser me may run the following:\n"
)
STOP = "/usr/sbin/service kafka stop"


@pytest.mark.parametrize(
    ("entries", "command", "free"),
    [
        (TRUE + ALL, STOP, False),  # `sudo -n -l` lets this one pass, and `sudo -n` then asks
        (ALL + TRUE, STOP, False),
        (ALL + SERVICE.format("!authenticate"), STOP, True),
        (SERVICE.format("!authenticate") + ALL, STOP, False),  # the last match decides
        (ALL + SERVICE.format("!authenticate"), "/usr/sbin/service kafka start", False),
        (ALL + SERVICE.format("!authenticate"), "/usr/bin/sh -c service kafka stop && true", True),
        (ALL + SERVICE.format("setenv"), STOP, False),
        (ALL.replace("RunAsGroups: ALL", "Options: !authenticate"), STOP, True),
        (TRUE.replace("root", "kafka").replace("/usr/bin/true", "ALL"), STOP, False),  # not as root
        ("", STOP, False),
    ],
)
def test_the_last_matching_entry_says_whether_sudo_asks(entries: str, command: str, free: bool) -> None:
    assert is_free_of_password(HEAD + entries, command) is free
