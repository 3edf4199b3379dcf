"""Whether sudo asks, by its listing; the listings are those of sudo 1.9.13."""

import pytest

from kafka_rolling_restart.hosts.sudo import Answer, asks_for_password

HEAD = (
    "Matching Defaults entries for me on n1:\n    env_reset, secure_path=/usr/bin{}\n\nUser me "
    "may run the following:\n"
)
STOP = "/usr/sbin/service kafka stop"
FREE, ASKS, UNKNOWN = Answer.FREE, Answer.ASKS, Answer.UNKNOWN


def entry(*commands: str, options: str = "", users: str = "root") -> str:
    """Return an entry as `sudo -ll` lists it."""
    shown = f"    Options: {options}\n" if options else ""
    return f"\nSudoers entry:\n    RunAsUsers: {users}\n{shown}    Commands:\n" + "".join(
        f"\t{one}\n" for one in commands
    )


def free(*commands: str, users: str = "root") -> str:
    return entry(*commands, options="!authenticate", users=users)


ALL = entry("ALL", users="ALL")
SERVICE = (STOP, "/bin/sh -c *")
DIGEST = "sha256:0000000000000000000000000000000000000000000000000000000000000000"


def answer(
    entries: str, command: str = STOP, defaults: str = "", is_validated: bool = False
) -> Answer:
    return asks_for_password(HEAD.format(defaults) + entries, command, is_validated)


@pytest.mark.parametrize(
    ("entries", "command", "expected"),
    [
        (
            free("/usr/bin/true") + ALL,
            STOP,
            ASKS,
        ),  # `sudo -n -l` lets this one pass, and `sudo -n` then asks
        (ALL + free("/usr/bin/true"), STOP, ASKS),
        (ALL + free(*SERVICE), STOP, FREE),
        (free(*SERVICE) + ALL, STOP, ASKS),  # the last match decides
        (ALL + free(*SERVICE), "/usr/sbin/service kafka start", ASKS),
        (ALL + free(*SERVICE), "/usr/bin/sh -c service kafka stop && true", FREE),
        (ALL + entry(*SERVICE, options="setenv"), STOP, ASKS),
        (free("ALL"), STOP, FREE),
        (ALL + free("ALL", users="kafka"), STOP, ASKS),  # not as root
        (ALL + free("ALL", users="ALL, !root"), STOP, ASKS),
        (ALL + free("ALL", users="!daemon, #0"), STOP, FREE),
        (ALL + free("/usr/sbin/service"), STOP, FREE),  # any arguments
        (ALL + free('/usr/sbin/service ""'), STOP, ASKS),  # none
        (ALL + free('/usr/sbin/service ""'), "/usr/sbin/service", FREE),
        (ALL + free("/usr/sbin/"), STOP, FREE),  # what is in that folder
        (ALL + free("/usr/*/service kafka *"), STOP, FREE),
        (ALL + free("/*/service"), STOP, UNKNOWN),  # the wildcard is in no slash, and a link may be
    ],
)
def test_the_last_matching_entry_says_whether_sudo_asks(
    entries: str, command: str, expected: Answer
) -> None:
    assert answer(entries, command) is expected


@pytest.mark.parametrize(
    "last",
    [
        free("^/usr/sbin/service kafka (start|stop)$"),
        free("/usr/sbin/service ^kafka (start|stop)$"),
        free(f"{DIGEST} {STOP}"),
        free(f"{DIGEST}\n        {STOP}"),  # as sudo breaks a long line
        free("/usr/sbin/service kafka\\ stop"),
        free("/opt/bin/service kafka stop"),  # sudo compares files, and this may be a link to ours
        free(STOP, users="%admins"),
        free(STOP, users="root") + entry(f"!{STOP}"),
        free(f"!{STOP}"),  # sudo has said that it is allowed
    ],
)
def test_an_entry_that_only_sudo_can_judge_leaves_it_unknown_whether_it_asks(last: str) -> None:
    assert answer(ALL + last) is UNKNOWN


def test_entries_of_which_any_may_decide_count_where_they_agree() -> None:
    assert answer(ALL + entry("^/usr/sbin/service .*$")) is ASKS
    assert answer(free("ALL") + free("^/usr/sbin/service .*$")) is FREE
    assert answer(ALL + free("^/usr/sbin/service .*$") + free(STOP)) is FREE
    # nothing else is there that could allow it
    assert answer(free("^/usr/sbin/service .*$")) is FREE
    assert answer("") is UNKNOWN


def test_a_long_command_is_put_together_again() -> None:
    command = f"/usr/bin/sh -c {'true && ' * 12}true"
    words = command.split()
    broken = f"{' '.join(words[:9])}\n        {' '.join(words[9:])}"
    assert answer(ALL + free(broken), command) is FREE


@pytest.mark.parametrize(
    "source", ["LDAP Role: kafka", "SSSD Role: kafka", "Sudoers entry: /etc/sudoers.d/kafka"]
)
def test_an_entry_from_elsewhere_is_an_entry(source: str) -> None:
    assert answer(free("/usr/bin/true") + ALL.replace("Sudoers entry:", source)) is ASKS


@pytest.mark.parametrize(
    "defaults",
    [
        ", !authenticate",
        ", runas_default=kafka",
        "\n\nRunas and Command-specific defaults for me:\n    Defaults!ALL !authenticate",
    ],
)
def test_settings_that_override_the_entries_leave_it_unknown(defaults: str) -> None:
    assert answer(ALL, defaults=defaults) is UNKNOWN
    assert answer(ALL, defaults=defaults, is_validated=True) is FREE


def test_a_validation_without_a_password_is_an_answer_unless_sudo_validates_otherwise() -> None:
    assert answer(ALL, is_validated=True) is FREE
    assert answer(free("/usr/bin/true") + ALL, defaults=", verifypw=any", is_validated=True) is ASKS
    assert (
        answer(ALL, defaults=", verifypw=never, exempt_group=wheel", is_validated=True) is UNKNOWN
    )
