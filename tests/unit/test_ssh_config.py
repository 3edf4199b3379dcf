"""What an SSH configuration says of a host; tests/lab/test_openssh_says_so.py holds the same
against `ssh -G`."""

from pathlib import Path

import pytest

from kafka_rolling_restart.errors import UsageError
from kafka_rolling_restart.hosts.ssh.config import SshConfig, SshOptions, Target


class Home:
    """A home folder with an SSH configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ssh = folder / ".ssh"

    def write(self, text: str, name: str = "config") -> Path:
        self.ssh.mkdir(exist_ok=True)
        path = self.ssh / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def config(self, options: SshOptions | None = None) -> SshConfig:
        environ = {"HOME": str(self.folder), "USER": "me", "KEYS": "/keys"}
        return SshConfig(environ, options, system=self.folder / "etc")

    def host(self, text: str, name: str = "n1", options: SshOptions | None = None) -> Target:
        self.write(text)
        return self.config(options).host(name)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_host_that_nothing_is_said_of_is_reached_by_its_name(home: Home) -> None:
    target = home.config().host("n1")
    assert (target.address, target.port, target.user, target.via, target.proxy_command) == (
        "n1",
        22,
        "me",
        (),
        "",
    )
    assert target.keys == tuple(home.ssh / name for name in ("id_rsa", "id_ecdsa", "id_ed25519"))
    assert target.known_hosts == (home.ssh / "known_hosts", home.ssh / "known_hosts2")
    assert not target.names_keys and not target.adds_unknown


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("Host n1\n Port 1\nHost *\n Port 2", 1),  # the first wins
        ("Host n2\n Port 1\nHost * !n1\n Port 2\nPort 3", 22),
        ("Port 7\nHost n1\n Port 1", 7),
        ("hOsT=n1\n pOrT = 3", 3),
        ("Host n? # a comment\n Port 4 # another", 4),
        ('Host "n1"\n Port "5"', 5),
        ("Host N1\n Port 6", 22),  # Host is strict about capitals, and Match host is not
        ("Match host N1\n Port 6", 6),
        ("Match originalhost N1\n Port 6", 6),
        ("Match user ME\n Port 6", 22),
        (
            "Host n1,n2\n Port 6",
            22,
        ),  # a comma is a part of a name here, and separates names for Match
        ("Match host n1,n2\n Port 6", 6),
        ("Match host=n1 user = me\n Port 6", 6),
        ("# said\x0cPort 6", 22),  # lines end at \n alone
        ("# said\u2028Port 6", 22),
        ("# said\rPort 6", 22),
        ("Port 6\r\nUser x\r\n", 6),
        ("Match final\n HostName real\nMatch final host real\n Port 6", 22),  # too late for a name
        ("Match canonical\n Port 6\nMatch final\n User x", 6),
        ("CanonicalizeHostname yes\nMatch canonical\n Port 6", 6),
        ("CanonicalizeHostname no\nCanonicalDomains example\nPort 6", 6),
        ("Host n2\n Match localnetwork 10.0.0.0/8 host n2\n Port 5\nMatch all\n Port 6", 6),
        ("Match host real\n Port 1\nHost n1\n HostName real\nMatch host real\n Port 2", 2),
        ("Host n1\n HostName real\nMatch originalhost n1 !host n1\n Port 3", 3),
        ("Match user me localuser m*\n Port 4", 4),
        ("Match User you\n Port 5", 22),
        ("Match exec true\n Port 6", 6),
        ('HostName Real\nMatch exec "test %h%k%n = RealRealn1"\n Port 6', 6),
        ('HostName Real\nHostKeyAlias x\nMatch final exec "test %h%k%n = realxn1"\n Port 6', 6),
        ('Match originalhost n2 exec "touch /"\n Port 6\nMatch !exec "test %h = n1"\n Port 7', 22),
        ('Match exec "test \\"a b\\" = \\"a b\\""\n Port 6', 6),
        ('RemoteCommand echo "a\nPort 6', 6),
        ("Match all\n Port 8", 8),
        ("Match canonical\n Port 9", 22),
        ("Match final\n Port 10\nHost n1\n User you", 10),
        ("Match final\n Port 10\nHost n1\n Port 11", 11),
    ],
)
def test_the_first_setting_whose_conditions_hold_wins(home: Home, text: str, port: int) -> None:
    assert home.host(text).port == port


def test_a_block_holds_as_a_whole_although_it_changes_what_it_asked_for(home: Home) -> None:
    target = home.host(
        "Match host n1 user me\n HostName real\n User you\n Port 7\n StrictHostKeyChecking yes\n"
        " UserKnownHostsFile /mine\n ProxyJump bastion\n"
        "Host *\n User root\n StrictHostKeyChecking accept-new\n ProxyJump none\n Port 22"
    )
    assert (target.address, target.user, target.port, target.adds_unknown) == (
        "real",
        "you",
        7,
        False,
    )
    assert target.known_hosts == (Path("/mine"),) and [hop.name for hop in target.via] == [
        "bastion"
    ]


def test_a_block_that_does_not_hold_at_its_head_does_not_begin_to_hold_further_down(
    home: Home,
) -> None:
    home.write("HostName real", "some.conf")
    text = "Match host real\n Port 1\nHost n1\n Include some.conf\n Port 2"
    assert home.host(text).port == 2
    home.write("Match all\n HostName real\nMatch host real\n Port 3", "some.conf")
    assert home.host(text).port == 3


def test_include_is_followed_within_the_conditions_around_it(home: Home) -> None:
    home.write("Port 1\nHost n2\n User included", "some.conf")
    home.write("Host n1\n User all", "other.conf")
    text = (
        "Host n2\n Include some.conf\n User own\nHost *\n Include ~/.ssh/o*.conf\n IdentityFile x"
    )
    assert [home.host(text, name).port for name in ("n1", "n2")] == [22, 1]
    assert [home.host(text, name).user for name in ("n1", "n2", "n3")] == ["all", "included", "me"]
    assert [home.host(text, name).names_keys for name in ("n1", "n3")] == [True, True]
    assert home.host("Include not.there\nPort 5").port == 5


def test_a_file_that_includes_itself_is_an_error(home: Home) -> None:
    with pytest.raises(UsageError, match="does it include itself"):
        home.host("Include config")


@pytest.mark.parametrize(
    "text",
    [
        "Match host n1 localnetwork 10.0.0.0/8\n Port 1\nHost *\n Port 2",
        "Match localnetwork 10.0.0.0/8 host n1\n Port 1",
        "Match !tagged some\n Port 1",
    ],
)
def test_a_criterion_that_is_not_supported_is_an_error_where_it_decides(
    home: Home, text: str
) -> None:
    with pytest.raises(
        UsageError, match=r"line 1: Match \w+ is not supported, and decides here what holds for n1"
    ) as raised:
        home.host(text)
    assert raised.value.code == "ssh-config-unsupported"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CanonicalizeHostname yes\nCanonicalDomains example", "n1"),
        ("CanonicalizeHostname always\nCanonicalDomains example\nCanonicalizeMaxDots 2", "n1.a.b"),
        ("CanonicalizeHostname yes\nCanonicalizePermittedCNAMEs *:*", "n1.a.b"),
    ],
)
def test_a_name_that_ssh_would_look_up_and_replace_is_an_error(
    home: Home, text: str, name: str
) -> None:
    with pytest.raises(
        UsageError, match="CanonicalizeHostname is not supported where it may replace the name"
    ):
        home.host(text, name)


@pytest.mark.parametrize("name", ["n1.a.b", "10.0.0.1", "fd00::1"])
def test_a_name_that_ssh_leaves_as_it_is_needs_no_name_service(home: Home, name: str) -> None:
    text = "CanonicalizeHostname yes\nCanonicalDomains example\nMatch final\n Port 6"
    assert home.host(text, name).port == 6


def test_files_are_expanded(home: Home) -> None:
    text = (
        'IdentityFile ~/.ssh/%r@%h\nIdentityFile "${KEYS}/a b"\nIdentityFile '
        "none\nUserKnownHostsFile ~/one /two%%"
    )
    target = home.host(text)
    assert target.keys == (home.ssh / "me@n1", Path("/keys/a b"))
    assert target.known_hosts == (home.folder / "one", Path("/two%"))
    assert home.host("User DOMAIN\\me").user == "DOMAIN\\me"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Port x", "Port 'x' is not a port"),
        ("Port 99999", "is not a port"),
        ("Port", "'Port' is no setting with a value"),
        ('IdentityFile "a', "line 1: '\"a' has a quote without its partner"),
        ("IdentityFile %Q", "%Q in '%Q' is not supported"),
        ("IdentityFile ${NOT}/x", "the environment has no NOT"),
        ("User -oProxyCommand=x", "is no name to log in with"),
        ("User `touch`", "is no name to log in with"),
        ("ProxyJump a b@", "SSH configuration, for n1"),
        ("ProxyJump -oProxyCommand=x", "is no host name"),
        ("ProxyJump a:b", "is not [user@]host[:port]"),
        ("Match host", "line 1: Match host has no argument"),
        ("Match hots n1", "line 1: Match 'hots' is no criterion"),
        ("Match all host n1", "line 1: Match all stands beside other criteria"),
        ("Match # n1", "line 1: Match has no criterion"),
        ('Host ""', "line 1: Host has no pattern"),
        ("Port 5 6", "line 1: port has more than one value: '5 6'"),
        ('User ""', "line 1: user has no value"),
        (
            "UserKnownHostsFile none /x",
            "line 1: userknownhostsfile has 'none' beside another value",
        ),
        ("IdentitiesOnly maybe", "identitiesonly 'maybe' is neither yes nor no"),
        ("StrictHostKeyChecking maybe", "StrictHostKeyChecking 'maybe' is none of yes, "),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(home: Home, text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        home.host(text)
    assert said in str(raised.value) and "\n" not in str(raised.value)
    assert raised.value.code == (
        "ssh-config-unsupported" if "not supported" in said else "ssh-config-invalid"
    )


def test_a_file_that_others_may_write_is_refused_as_ssh_does(home: Home) -> None:
    home.write("Port 1").chmod(0o620)
    with pytest.raises(UsageError, match="others may write it") as raised:
        home.config()
    assert raised.value.code == "ssh-config-permissions"
    assert home.config(SshOptions(config=home.ssh / "config")).host("n1").port == 1


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_an_included_file_that_others_may_write_is_refused_wherever_it_is_included(
    home: Home, mode: int
) -> None:
    home.write("Port 1", "some.conf").chmod(mode)
    (home.folder / "etc").mkdir()
    (home.folder / "etc" / "ssh_config").write_text(f"Host n2\n Include {home.ssh}/some.conf")
    with pytest.raises(UsageError, match="some.conf: others may write it"):
        home.config()
    own = home.write("Host n2\n Include some.conf", "mine")
    with pytest.raises(UsageError, match="some.conf: others may write it"):
        home.config(SshOptions(config=own))
    (home.ssh / "some.conf").chmod(0o644)
    assert home.config(SshOptions(config=own)).host("n2").port == 1


def test_the_systems_configuration_comes_after_the_users(home: Home) -> None:
    (home.folder / "etc").mkdir()
    (home.folder / "etc" / "ssh_config").write_text(
        "Host *\n Port 2\n User root\n Include more.conf"
    )
    (home.folder / "etc" / "more.conf").write_text("HostKeyAlias alias")
    target = home.host("Host n1\n Port 1")
    assert (target.port, target.user, target.alias) == (1, "root", "alias")
    only = home.write("Port 3", "mine")
    target = home.config(SshOptions(config=only)).host("n1")
    assert (target.port, target.user, target.alias) == (3, "me", "")


def test_the_hops_are_looked_up_themselves_and_the_command_line_is_not_for_them(home: Home) -> None:
    text = (
        "Host n1\n ProxyJump a,you@[fd00::1]:7\nHost a\n ProxyCommand nc %h %p %r %n\n Port 5\n "
        "HostName a.example\n"
    )
    target = home.host(text, options=SshOptions(user="admin", port=9))
    first, second = target.via
    assert (target.user, target.port, target.proxy_command) == ("admin", 9, "")
    assert (first.user, first.port, first.proxy_command) == ("me", 5, "nc a.example 5 me a")
    assert (second.user, second.address, second.port, second.proxy_command) == (
        "you",
        "fd00::1",
        7,
        "",
    )


@pytest.mark.parametrize(
    ("text", "way"),
    [
        (
            "ProxyJump none\nProxyCommand nc",
            ((), "nc"),
        ),  # a jump that is none leaves room for a command
        ("ProxyJump none\nProxyJump a", ((), "")),
        ("Host n1\n ProxyJump a # b", (("a",), "")),
        ("ProxyCommand none\nProxyJump a", ((), "")),
        ("ProxyCommand nc\nProxyJump a", ((), "nc")),
        ("Match originalhost n1\n ProxyJump a\nMatch all\n ProxyCommand nc", (("a",), "")),
        ("Host n1\n ProxyJump b\nHost b\n ProxyJump a", (("a", "b"), "")),
        ("Host n1\n ProxyJump a,b\nHost b\n ProxyJump c", (("a", "b"), "")),
    ],
)
def test_whichever_proxy_comes_first_is_taken(
    home: Home, text: str, way: tuple[tuple[str, ...], str]
) -> None:
    target = home.host(text)
    assert (tuple(hop.name for hop in target.via), target.proxy_command) == way


def test_a_host_is_known_by_its_alias_or_its_address_and_port(home: Home) -> None:
    assert home.host("HostKeyAlias x\nPort 7").known_as == ("x",)
    assert home.host("HostName real").known_as == ("real",)
    assert home.host("Port 7").known_as == ("[n1]:7", "n1")


@pytest.mark.parametrize(
    ("text", "methods"),
    [
        ("", {"publickey", "password", "keyboard-interactive"}),
        ("PasswordAuthentication no", {"publickey", "keyboard-interactive"}),
        ("PasswordAuthentication no\nKbdInteractiveAuthentication no", {"publickey"}),
        ("ChallengeResponseAuthentication no", {"publickey", "password"}),
        ("PubkeyAuthentication no", {"password", "keyboard-interactive"}),
        ("PreferredAuthentications publickey", {"publickey"}),
        (
            "PreferredAuthentications gssapi-with-mic,password\nPubkeyAuthentication unbound",
            {"password"},
        ),
    ],
)
def test_the_ways_to_log_in_are_those_that_the_configuration_leaves(
    home: Home, text: str, methods: set[str]
) -> None:
    assert home.host(text).methods == methods


def test_revoked_host_keys_are_in_the_file_that_is_named(home: Home) -> None:
    assert home.host("RevokedHostKeys ~/.ssh/revoked").revoked_keys == home.ssh / "revoked"
    assert home.host("RevokedHostKeys none").revoked_keys is None is home.host("").revoked_keys


@pytest.mark.parametrize(
    ("checking", "adds"), [("accept-new", True), ("no", True), ("ask", False), ("yes", False)]
)
def test_unknown_keys_are_added_only_where_that_is_configured(
    home: Home, checking: str, adds: bool
) -> None:
    assert home.host(f"StrictHostKeyChecking {checking}").adds_unknown is adds


def test_the_line_that_a_person_types_is_quoted_and_has_the_same_options(home: Home) -> None:
    odd = home.write("", "my config; touch x")
    target = home.config(SshOptions(config=odd, user="admin", port=9)).host("n1")
    assert target.typed() == f"ssh -F '{odd}' -l admin -p 9 n1"
    assert home.config().host("n1").typed(terminal=True) == "ssh -t n1"


@pytest.mark.parametrize(
    "name", ["-oProxyCommand=x", "a;b", "a b", "a\x1bb", "$(x)", "", "a\n", "`x`"]
)
def test_no_name_reaches_a_shell_unless_it_is_a_host_name(home: Home, name: str) -> None:
    with pytest.raises(UsageError, match="is no host name"):
        home.host(f"Match exec 'touch {home.folder}/%n'\n Port 1", name)
    with pytest.raises(UsageError, match="is no host name"):
        SshOptions(template="{host}").name(name, 1)
    assert list(home.folder.iterdir()) == [home.ssh]


def test_a_template_makes_the_name_of_the_host_and_the_id() -> None:
    assert SshOptions(template="{host}.internal").name("n1", 7) == "n1.internal"
    assert SshOptions(template="broker-{id}").name("n1", 7) == "broker-7"
