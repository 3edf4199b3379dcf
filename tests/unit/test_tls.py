"""TLS against a real server with throwaway certificates: what is trusted, and what is said where it
fails."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from kafka_rolling_restart.clock import SystemClock
from kafka_rolling_restart.errors import UsageError
from kafka_rolling_restart.metrics.jmxproxy import JmxProxy
from kafka_rolling_restart.model.broker import Sample
from kafka_rolling_restart.settings.access import MetricsAccess
from kafka_rolling_restart.settings.tls import Tls, load_tls
from tests.certificates import Authority
from tests.sockets import listening

ONE = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def serving(
    certificate: Path | None, clients: Path | None = None, oldest: bool = False
) -> Iterator[int]:
    """Serve 1 over TLS, or in plain where there is no certificate; yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate is not None:
        context.load_cert_chain(certificate)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    if oldest:
        context.maximum_version = ssl.TLSVersion.TLSv1_2

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            plain = certificate is None
            with (
                connection if plain else context.wrap_socket(connection, server_side=True) as secure
            ):
                while secure.recv(65536):
                    secure.sendall(ONE)

    with listening(serve) as port:
        yield port


def read(port: int, tls: Tls | None) -> Sample:
    return JmxProxy(
        "127.0.0.1", MetricsAccess(port, "jmxproxy/n", 5, tls=tls), SystemClock()
    ).read()


def trusting(ca: Path, cert: Path | None = None) -> Tls:
    return load_tls("--jmxproxy", str(ca), str(cert) if cert else None, None)


@pytest.mark.parametrize("oldest", [False, True])
def test_an_authority_and_a_client_certificate_are_enough(
    authority: Authority, oldest: bool
) -> None:
    server, client = authority.issue("server", "127.0.0.1"), authority.issue("client")
    with serving(server, authority.file, oldest) as port:
        found = read(port, trusting(authority.file, client))
    assert found.metrics is not None, found.reason


def test_a_key_may_be_in_a_file_of_its_own(authority: Authority, tmp_path: Path) -> None:
    both = authority.issue("client").read_text()
    key, certificate = tmp_path / "key", tmp_path / "cert"
    key.write_text(both.partition("-----BEGIN CERTIFICATE")[0])
    certificate.write_text(both.partition("END PRIVATE KEY-----\n")[2])
    assert load_tls("--jmxproxy", None, str(certificate), str(key)).has_cert


def test_an_authority_that_is_given_is_the_only_one(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    other = Authority(authority.folder, "other")
    with serving(authority.issue("server", "127.0.0.1")) as port:
        assert read(port, load_tls("--jmxproxy", None, None, None)).metrics is not None
        tls = trusting(other.file)
        assert "an authority that we do not know" in read(port, tls).reason
    assert len(tls.context.get_ca_certs()) == 1


def test_the_name_in_a_certificate_is_checked(authority: Authority) -> None:
    with serving(authority.issue("server", "127.0.0.9")) as port:
        reason = read(port, trusting(authority.file)).reason
    assert "its certificate is for another name (IP address mismatch" in reason


def test_a_certificate_that_has_expired_is_said(authority: Authority) -> None:
    with serving(authority.issue("server", "127.0.0.1", days=-1)) as port:
        assert read(port, trusting(authority.file)).reason.endswith(": its certificate has expired")


@pytest.mark.parametrize("oldest", [False, True])
def test_a_server_that_wants_a_client_certificate_is_said(
    authority: Authority, oldest: bool
) -> None:
    with serving(authority.issue("server", "127.0.0.1"), authority.file, oldest) as port:
        reason = read(port, trusting(authority.file)).reason
    assert "want" in reason and "a client certificate" in reason and "--jmxproxy-cert" in reason


def test_a_client_certificate_of_an_authority_that_the_server_does_not_know_is_said(
    authority: Authority,
) -> None:
    stranger = Authority(authority.folder, "other").issue("client")
    with serving(authority.issue("server", "127.0.0.1"), authority.file) as port:
        reason = read(port, trusting(authority.file, stranger)).reason
    assert "our client certificate" in reason and "--jmxproxy-cert" in reason


def test_a_server_without_tls_is_said(authority: Authority) -> None:
    with serving(None) as port:
        assert "it does not speak TLS on this port" in read(port, trusting(authority.file)).reason


@pytest.mark.parametrize(
    ("ca", "cert", "key", "said"),
    [
        ("none.pem", None, None, "--jmxproxy-ca {folder}/none.pem: No such file or directory"),
        (".", None, None, "--jmxproxy-ca {folder}/.: Is a directory"),
        (
            "junk.pem",
            None,
            None,
            "--jmxproxy-ca {folder}/junk.pem: it holds no certificate in PEM format",
        ),
        (
            "empty.pem",
            None,
            None,
            "--jmxproxy-ca {folder}/empty.pem: it holds no certificate in PEM format",
        ),
        ("ca.pem", "none.pem", None, "--jmxproxy-cert {folder}/none.pem: No such file"),
        ("ca.pem", "client.pem", "none.pem", "--jmxproxy-key {folder}/none.pem: No such file"),
        (
            "ca.pem",
            "ca.pem",
            None,
            "no certificate with its key in PEM format (is the key in another file?",
        ),
        (
            "ca.pem",
            "ca.pem",
            "client.pem",
            "ca.pem and --jmxproxy-key {folder}/client.pem: no certificate with its key",
        ),
        ("ca.pem", "locked.pem", None, "--jmxproxy-cert {folder}/locked.pem: the key is encrypted"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_said_in_one_line(
    authority: Authority, ca: str, cert: str | None, key: str | None, said: str
) -> None:
    folder = authority.folder
    authority.issue("client")
    authority.issue("locked", password=b"hunter2")
    (folder / "junk.pem").write_bytes(b"\x00junk")
    (folder / "empty.pem").touch()
    paths = [None if name is None else f"{folder}/{name}" for name in (ca, cert, key)]
    with pytest.raises(UsageError) as raised:
        load_tls("--jmxproxy", *paths)
    assert said.format(folder=folder) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "found",
    [  # of OpenSSL 3.0, where the server is a newer Java or speaks TLS 1.2; and of OpenSSL 3.2
        "[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] sslv3 alert handshake failure (_ssl.c:1007)",
        "[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] ssl/tls alert handshake failure (_ssl.c:1028)",
        "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)",
        "[SSL: SSLV3_ALERT_BAD_CERTIFICATE] sslv3 alert bad certificate (_ssl.c:2580)",
    ],
)
def test_a_server_that_wants_a_client_certificate_is_said_whatever_it_calls_that(
    authority: Authority, found: str
) -> None:
    without = trusting(authority.file).explain(found)
    assert "it wants a client certificate: give --jmxproxy-cert" in without
    assert "does it speak TLS" not in without
    given = trusting(authority.file, authority.issue("client")).explain(found)
    assert "it refuses our client certificate" in given and "--jmxproxy-cert" in given


@pytest.mark.parametrize(
    "found",
    [
        "EOF occurred in violation of protocol (_ssl.c:1007)",
        "TLS/SSL connection has been closed (EOF) (_ssl.c:992)",  # seen on Debian 12
        "Connection reset by peer",
    ],
)
def test_a_server_that_hangs_up_may_not_speak_tls_at_all(authority: Authority, found: str) -> None:
    said = trusting(authority.file).explain(found)
    assert said.startswith(
        f"{found}: does it speak TLS on this port, and want a client certificate"
    )
