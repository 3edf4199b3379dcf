"""Properties files as Kafka's own tools take them."""

import os
import ssl
from pathlib import Path

import pytest

from kafka_rolling_restart.cli.client_properties import parse_properties, read_client_properties
from kafka_rolling_restart.clock import SystemClock
from kafka_rolling_restart.errors import UsageError
from kafka_rolling_restart.registry.kafka.answers import KafkaUnavailable
from kafka_rolling_restart.registry.kafka.client import KafkaClient
from kafka_rolling_restart.settings.access import KafkaAccess
from tests.certificates import Authority
from tests.fake_kafka import FakeKafka

SECRET = "hunter2"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


def written(folder: Path, text: str | bytes) -> str:
    path = folder / "client.properties"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def read(folder: Path, *lines: str) -> KafkaAccess:
    return read_client_properties(written(folder, "\n".join(lines)), 7.0)


def refused(folder: Path, *lines: str) -> UsageError:
    with pytest.raises(UsageError) as wrong:
        read(folder, *lines)
    message = str(wrong.value)
    assert message.startswith(str(folder / "client.properties")) and "\n" not in message
    assert SECRET not in message
    return wrong.value


def sasl(jaas: str, mechanism: str = "SCRAM-SHA-512") -> tuple[str, ...]:
    return (
        "security.protocol=SASL_PLAINTEXT",
        f"sasl.mechanism={mechanism}",
        f"sasl.jaas.config={jaas}",
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a=b", {"a": "b"}),
        ("a:b", {"a": "b"}),
        ("a b", {"a": "b"}),
        ("  a  =  b  ", {"a": "b  "}),
        ("a \t : = b", {"a": "= b"}),
        ("a", {"a": ""}),
        ("a=", {"a": ""}),
        ("=b", {"": "b"}),
        ("# c\n! d\n \t# e\na=b#c", {"a": "b#c"}),
        ("a=b\\\n   c\\\n\td", {"a": "bcd"}),
        ("a=b\\\\\nc=d", {"a": "b\\", "c": "d"}),
        ("a=b\\\n# no comment", {"a": "b# no comment"}),
        ("a=b\\", {"a": "b"}),
        ("# c\\\na=b", {"a": "b"}),
        ("a\\=b\\:c\\ d=e", {"a=b:c d": "e"}),
        ("a=\\u0041\\u00e9\\ud83d\\ude00", {"a": "Aé😀"}),
        ('a=\\t\\n\\r\\f\\z\\"', {"a": '\t\n\r\fz"'}),
        ("a=1\r\nb=2\rc=3", {"a": "1", "b": "2", "c": "3"}),
        ("a=1\na=2", {"a": "2"}),
        ("\n \n", {}),
        ("a=\u2028b", {"a": "\u2028b"}),
    ],
)
def test_a_file_is_read_as_java_reads_it(text: str, found: dict[str, str]) -> None:
    assert parse_properties(text, "f") == found


@pytest.mark.parametrize("text", ["x=1\na=\\u12", "x=1\na=\\u12g4", "x=1\na=\\u"])
def test_an_escape_that_is_none_is_said_with_its_line(text: str) -> None:
    with pytest.raises(UsageError, match="^f, line 2: behind .u there must be four hex"):
        parse_properties(text, "f")


def test_an_empty_file_is_plaintext_without_a_login(tmp_path: Path) -> None:
    assert read(tmp_path) == KafkaAccess(7.0)


def test_settings_that_say_nothing_about_security_are_ignored(tmp_path: Path) -> None:
    lines = ("bootstrap.servers=x:1", "request.timeout.ms=never", "unknown=1", "ssl.protocol=x")
    assert read(tmp_path, *lines) == KafkaAccess(7.0)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"])
def test_a_login_is_read_with_its_mechanism(tmp_path: Path, mechanism: str) -> None:
    module = PLAIN if mechanism == "PLAIN" else SCRAM
    jaas = f'{module} required username="alice" password="{SECRET}";'
    access = read(tmp_path, *sasl(jaas, mechanism))
    assert access.login is not None and access.tls is None
    assert (access.login.user, access.login.password.reveal()) == ("alice", SECRET)
    assert access.sasl_mechanism == mechanism
    assert SECRET not in repr(access) and SECRET not in str(access.login)


@pytest.mark.parametrize(
    ("jaas", "user", "password"),
    [
        (f'{SCRAM} required \\\n  username="a" \\\n  password="b;c=d e";', "a", "b;c=d e"),
        (f"{SCRAM} required username='a' password='b\"c';", "a", 'b"c'),
        (f'{SCRAM} required username="a" password="b\\\\"c";', "a", 'b"c'),
        (f'{SCRAM} required username="a" password="b\\\\\\\\c";', "a", "b\\c"),
        (f"{SCRAM} required username=a password=b ;  ", "a", "b"),
        (f'{SCRAM} required password = "=" username = ";" tokenauth="x";', ";", "="),
        (f'{SCRAM} required username="a" password="\\u00e9";', "a", "é"),
        (f'{SCRAM} required username="a" password="é";', "a", "é"),
    ],
)
def test_the_name_and_the_password_may_be_quoted(
    tmp_path: Path, jaas: str, user: str, password: str
) -> None:
    login = read(tmp_path, *sasl(jaas)).login
    assert login is not None
    assert (login.user, login.password.reveal()) == (user, password)


@pytest.mark.parametrize(
    "jaas",
    [
        "",
        SECRET,
        f"{SCRAM} required username=a password={SECRET}",
        f'{SCRAM} required username="a" password="{SECRET};',
        f'{SCRAM} username="a" password="{SECRET}";',
        f'{SCRAM} required username="a";',
        f'{SCRAM} required password="{SECRET}";',
        f'{SCRAM} required username="a" password "{SECRET}";',
        f'{SCRAM} required username="a" password="{SECRET}"; {SCRAM} required;',
        f'{PLAIN} required username="a" password="{SECRET}";',
        f'"{SECRET}" required username="a" password="b";',
        ";;;",
        "=;",
    ],
)
def test_a_login_that_cannot_be_read_is_said_and_never_shown(tmp_path: Path, jaas: str) -> None:
    wrong = refused(tmp_path, *sasl(jaas))
    assert "sasl.jaas.config: " in str(wrong) and wrong.code == "command-config-invalid"


@pytest.mark.parametrize("mechanism", ["GSSAPI", "OAUTHBEARER", "SCRAM-SHA-1"])
def test_another_mechanism_is_refused_with_those_there_are(tmp_path: Path, mechanism: str) -> None:
    wrong = refused(tmp_path, *sasl("x", mechanism))
    assert f"sasl.mechanism: {mechanism} is not supported. Use one of PLAIN, SCRAM" in str(wrong)
    assert wrong.code == "command-config-unsupported"


def test_the_mechanism_that_kafka_takes_by_default_is_named(tmp_path: Path) -> None:
    wrong = refused(tmp_path, "security.protocol=SASL_SSL")
    assert "sasl.mechanism: GSSAPI (Kafka's default) is not supported" in str(wrong)


def test_a_protocol_that_is_none_is_said(tmp_path: Path) -> None:
    assert "security.protocol: TLS is none of PLAINTEXT, SSL," in str(
        refused(tmp_path, "security.protocol=TLS")
    )


def test_a_password_that_is_kept_elsewhere_is_refused_and_not_sent_as_it_stands(
    tmp_path: Path,
) -> None:
    wrong = refused(tmp_path, "config.providers=file", *sasl("${file:/etc/secret:password}"))
    assert "config.providers: values from elsewhere are not supported" in str(wrong)


# TLS


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def on_one_line(path: Path) -> str:
    return path.read_text().replace("\n", " ")


def parts(path: Path) -> tuple[str, str]:
    """Return the key and the certificate of a file, each with escaped ends of lines."""
    key, certificate = path.read_text().split("-----BEGIN CERTIFICATE-----")
    return key.replace("\n", "\\n"), f"-----BEGIN CERTIFICATE-----{certificate}".replace(
        "\n", "\\n"
    )


def trusting(authority: Authority) -> tuple[str, ...]:
    return (
        "security.protocol=SSL",
        "ssl.truststore.type=PEM",
        f"ssl.truststore.location={authority.file}",
    )


def node_of(authority: Authority, *addresses: str, wants_ours: bool = False) -> FakeKafka:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("server", *addresses))
    context.load_verify_locations(authority.file)
    if wants_ours:
        context.verify_mode = ssl.CERT_REQUIRED
    return FakeKafka(tls=context)


def asked(access: KafkaAccess, node: FakeKafka) -> str:
    with node:
        return KafkaClient(access, SystemClock()).cluster(node.address, 10).cluster_id


def test_an_authority_in_a_file_is_trusted(tmp_path: Path, authority: Authority) -> None:
    access = read(tmp_path, *trusting(authority))
    assert asked(access, node_of(authority, "127.0.0.1")) == "fake-cluster"


def test_an_authority_in_the_properties_is_trusted_also_on_one_line(
    tmp_path: Path, authority: Authority
) -> None:
    access = read(
        tmp_path,
        "security.protocol=ssl",
        "ssl.truststore.type=PEM",
        f"ssl.truststore.certificates={on_one_line(authority.file)}",
    )
    assert asked(access, node_of(authority, "127.0.0.1")) == "fake-cluster"


def test_names_in_certificates_are_checked_unless_the_file_says_otherwise(
    tmp_path: Path, authority: Authority
) -> None:
    node = node_of(authority, "127.0.0.9")
    with pytest.raises(KafkaUnavailable, match="TLS: its certificate is for another name"):
        asked(read(tmp_path, *trusting(authority)), node)
    lines = (*trusting(authority), "ssl.endpoint.identification.algorithm=")
    assert asked(read(tmp_path, *lines), node_of(authority, "127.0.0.9")) == "fake-cluster"
    assert "ssl.endpoint.identification.algorithm: it must be https" in str(
        refused(tmp_path, *trusting(authority), "ssl.endpoint.identification.algorithm=no")
    )


@pytest.mark.parametrize("password", [None, b"hunter2"])
@pytest.mark.parametrize("is_inline", [False, True])
def test_our_certificate_is_shown_from_a_file_and_from_the_properties(
    tmp_path: Path, authority: Authority, password: bytes | None, is_inline: bool
) -> None:
    ours = authority.issue("ours", password=password)
    key, certificate = parts(ours)
    store: tuple[str, ...] = (f"ssl.keystore.location={ours}",)
    if is_inline:
        store = (f"ssl.keystore.key={key}", f"ssl.keystore.certificate.chain={certificate}")
    secret = () if password is None else (f"ssl.key.password={SECRET}",)
    access = read(tmp_path, *trusting(authority), "ssl.keystore.type=PEM", *store, *secret)
    assert asked(access, node_of(authority, "127.0.0.1", wants_ours=True)) == "fake-cluster"


def test_a_missing_client_certificate_names_the_setting(
    tmp_path: Path, authority: Authority
) -> None:
    access = read(tmp_path, *trusting(authority))
    with pytest.raises(KafkaUnavailable, match="client certificate.*ssl.keystore.location"):
        asked(access, node_of(authority, "127.0.0.1", wants_ours=True))


def test_an_encrypted_key_wants_its_password_and_the_right_one(
    tmp_path: Path, authority: Authority
) -> None:
    ours = authority.issue("ours", password=b"right")
    store = (*trusting(authority), "ssl.keystore.type=PEM", f"ssl.keystore.location={ours}")
    assert "encrypted: set ssl.key.password" in str(refused(tmp_path, *store))
    wrong = refused(tmp_path, *store, f"ssl.key.password={SECRET}")
    assert "ssl.key.password does not open it" in str(wrong)


def test_half_of_a_certificate_names_the_other_half(tmp_path: Path, authority: Authority) -> None:
    key, certificate = parts(authority.issue("ours"))
    store = (*trusting(authority), "ssl.keystore.type=PEM")
    assert "ssl.keystore.certificate.chain: it is missing" in str(
        refused(tmp_path, *store, f"ssl.keystore.key={key}")
    )
    assert "ssl.keystore.key: it is missing" in str(
        refused(tmp_path, *store, f"ssl.keystore.certificate.chain={certificate}")
    )


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            ("ssl.truststore.location=/etc/k/my trust.jks",),
            "ssl.truststore.type: JKS (Kafka's default) is not supported. Convert it: `keytool "
            "-list -rfc -keystore '/etc/k/my trust.jks' > '/etc/k/my trust.pem'`",
        ),
        (
            ("ssl.keystore.location=/etc/k/key.jks", "ssl.keystore.type=jks"),
            "`(umask 077; keytool -importkeystore -srckeystore /etc/k/key.jks -destkeystore "
            "/etc/k/key.converted.p12 -deststoretype PKCS12 && openssl pkcs12 -in "
            "/etc/k/key.converted.p12 -out /etc/k/key.pem)`, then set ssl.keystore.type=PEM and "
            "ssl.keystore.location=/etc/k/key.pem, and ssl.key.password to the pass phrase",
        ),
        (
            ("ssl.keystore.location=/etc/k/key.p12", "ssl.keystore.type=PKCS12"),
            "`(umask 077; openssl pkcs12 -in /etc/k/key.p12 -out /etc/k/key.pem)`",
        ),
        (("ssl.truststore.location=x", "ssl.truststore.type=BKS"), "BKS is not supported. Use PEM"),
    ],
)
def test_a_java_key_store_is_refused_with_the_command_that_converts_it(
    tmp_path: Path, lines: tuple[str, ...], words: str
) -> None:
    wrong = refused(tmp_path, "security.protocol=SSL", f"ssl.keystore.password={SECRET}", *lines)
    assert words in str(wrong) and wrong.code == "command-config-unsupported"


def test_a_store_that_holds_nothing_is_said(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    store = ("security.protocol=SSL", "ssl.truststore.type=PEM")
    for line in (
        f"ssl.truststore.location={empty}",
        "ssl.truststore.certificates=nothing",
        "ssl.truststore.certificates=é",
    ):
        assert "no certificate in PEM format" in str(refused(tmp_path, *store, line))
    assert "No such file" in str(refused(tmp_path, *store, "ssl.truststore.location=/no/file"))


def test_stores_are_not_read_where_no_tls_is_spoken(tmp_path: Path) -> None:
    assert read(tmp_path, "ssl.truststore.location=/no/file").tls is None


# the file itself


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none.properties: No such file") as wrong:
        read_client_properties(str(tmp_path / "none.properties"), 1)
    assert wrong.value.code == "command-config-unreadable"


@pytest.mark.skipif(os.getuid() == 0, reason="root may read every file")
def test_a_file_that_we_may_not_read_is_one_line(tmp_path: Path) -> None:
    name = written(tmp_path, "a=b")
    Path(name).chmod(0)
    with pytest.raises(UsageError, match="Permission denied"):
        read_client_properties(name, 1)


def test_a_folder_and_a_name_that_is_none_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Is a directory"):
        read_client_properties(str(tmp_path), 1)
    with pytest.raises(UsageError, match="not a file name"):
        read_client_properties("a\0b", 1)


def test_a_file_that_is_far_too_long_is_one_line(tmp_path: Path) -> None:
    name = written(tmp_path, b"a=" + b"b" * 2**20)
    with pytest.raises(UsageError, match="longer than 1048576 bytes"):
        read_client_properties(name, 1)


def test_a_binary_file_is_one_line(tmp_path: Path) -> None:
    name = written(tmp_path, b"\xfe\xed\xfe\xed\0\0")
    with pytest.raises(UsageError, match="it has binary data"):
        read_client_properties(name, 1)


def test_latin_1_and_utf_8_with_a_mark_are_read(tmp_path: Path) -> None:
    jaas = f'sasl.jaas.config={SCRAM} required username="a" password="é";'
    text = "\n".join(["security.protocol=SASL_PLAINTEXT", "sasl.mechanism=SCRAM-SHA-256", jaas])
    for data in (text.encode("latin-1"), b"\xef\xbb\xbf" + text.encode()):
        login = read_client_properties(written(tmp_path, data), 1).login
        assert login is not None and login.password.reveal() == "é"
