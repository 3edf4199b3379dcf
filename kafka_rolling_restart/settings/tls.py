"""TLS: the files that options name, read before anything is contacted, and its errors in plain
words."""

import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from kafka_rolling_restart.errors import UsageError
from kafka_rolling_restart.settings.paths import expanded
from kafka_rolling_restart.settings.secret import Secret

NO_CERT = ("CERTIFICATE_REQUIRED", "certificate required", "BAD_CERTIFICATE", "bad certificate")
# older servers send that for want of a certificate, and for ciphers
# the settings of a properties file
TRUST_STORE, KEY_STORE = "ssl.truststore.location", "ssl.keystore.location"
REFUSED = "alert handshake failure"
HUNG_UP = (
    "EOF occurred",
    "(EOF)",
    "handshake failure",
    "reset by peer",
    "without response",
    "Broken pipe",
    "connection broken",
)
MEANINGS = (  # what OpenSSL says, and what it means; in this order
    ("mismatch", "its certificate is for another name ({found})"),
    ("is not valid for", "its certificate is for another name ({found})"),
    ("certificate has expired", "its certificate has expired"),
    ("certificate is not yet valid", "its certificate is not valid yet: is the clock right?"),
    (
        "self-signed certificate",
        "its certificate is from an authority that we do not know: name that with {ca}",
    ),
    (
        "self signed certificate",
        "its certificate is from an authority that we do not know: name that with {ca}",
    ),
    (
        "unable to get local issuer",
        "its certificate is from an authority that we do not know: name that with {ca}",
    ),
    ("certificate verify failed", "its certificate is not to be trusted ({found})"),
    ("alert unknown ca", "it does not know the authority of our client certificate, {cert}"),
    ("alert certificate expired", "our client certificate, {cert}, has expired"),
    ("alert certificate", "it refuses our client certificate, {cert}"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS on this port"),
    ("record layer failure", "it does not speak TLS on this port"),
)


@dataclass(frozen=True)
class Tls:
    """How to speak TLS: the authorities that we trust and our certificate. ``option`` is what its
    options begin with, unless ``ca`` and ``cert`` name them."""

    option: str
    context: ssl.SSLContext = field(repr=False)
    has_cert: bool = False
    ca: str = ""
    cert: str = ""

    def explain(self, found: str) -> str:
        """Return an error of TLS in plain words; any other text as it is."""
        ca, cert = self.ca or f"{self.option}-ca", self.cert or f"{self.option}-cert"
        if any(said in found for said in NO_CERT):
            wish = (
                "it refuses our client certificate,"
                if self.has_cert
                else "it wants a client certificate: give"
            )
            return f"{wish} {cert}"
        for said, meaning in MEANINGS:
            if said in found:
                return meaning.format(found=_plain(found), ca=ca, cert=cert)
        if REFUSED in found:
            doubt = (
                "it refuses our client certificate"
                if self.has_cert
                else "it wants a client certificate: give"
            )
            return f"it refuses to speak TLS with us ({_plain(found)}). Probably {doubt} {cert}"
        if any(said in found for said in HUNG_UP):
            doubt = "refuse our" if self.has_cert else "want a"
            return (
                f"{found}: does it speak TLS on this port, and {doubt} client certificate ({cert})?"
            )
        return found


def _plain(found: str) -> str:
    """Return what OpenSSL says, without its code and the place in its source."""
    return found.rpartition("failed: ")[2].rpartition("] ")[2].partition(" (_ssl")[0]


def load_tls(option: str, ca: str | None, cert: str | None, key: str | None) -> Tls:
    """Read the files of ``option``-ca, -cert and -key (the certificate's file may hold the key).

    Without an authority those of the system are trusted. The names in certificates are always
    checked. Raises `UsageError` where a file cannot be read or is not what it is to be.
    """
    # TLS 1.2 or later, with the server's name checked
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is None:
        context.load_default_certs()
    else:
        _load_ca(context, f"{option}-ca", ca)
    if cert is not None:
        _load_cert(context, option, cert, key)
    return Tls(option, context, has_cert=cert is not None)


def _load_ca(context: ssl.SSLContext, option: str, ca: str) -> None:
    path = _readable(option, ca)
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        raise UsageError(
            f"{option} {ca}: it holds no certificate in PEM format", code="tls-file-unusable"
        ) from error


def _load_cert(context: ssl.SSLContext, option: str, cert: str, key: str | None) -> None:
    where = (
        f"{option}-cert {cert}" if key is None else f"{option}-cert {cert} and {option}-key {key}"
    )
    paths = (
        _readable(f"{option}-cert", cert),
        None if key is None else _readable(f"{option}-key", key),
    )
    try:
        context.load_cert_chain(*paths, password=_refuse_password)
    except _Encrypted as error:
        raise UsageError(
            f"{where}: the key is encrypted; decrypt it into a file that only you can read",
            code="tls-file-unusable",
        ) from error
    except (ssl.SSLError, OSError) as error:
        missing = "" if key is not None else f" (is the key in another file? Give {option}-key)"
        raise UsageError(
            f"{where}: no certificate with its key in PEM format{missing}", code="tls-file-unusable"
        ) from error


def _readable(option: str, name: str, shown: str = "") -> str:
    path = expanded(name)
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise UsageError(
            f"{shown or f'{option} {name}'}: {error.strerror}. Give a PEM file that this user can "
            "read",
            code="tls-file-unusable",
        ) from error
    return str(path)


class _Encrypted(Exception):
    """A key that wants a password."""


def _refuse_password() -> NoReturn:
    raise _Encrypted


@dataclass(frozen=True)
class Pem:
    """Certificates or a key in PEM format: a ``file``, or the ``text`` itself. ``where`` is how
    messages name it."""

    where: str
    file: str = ""
    text: str = field(default="", repr=False)


def make_tls(
    authorities: Pem | None,
    certificate: Pem | None,
    key: Pem | None,
    password: Secret | None,
    check_names: bool,
) -> Tls:
    """Return how to speak TLS with what a properties file of Kafka says.

    Without authorities those of the system are trusted. Without a ``key`` it is where the
    ``certificate`` is; the ``password`` opens it. Raises `UsageError` for what cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = check_names
    if authorities is None:
        context.load_default_certs()
    else:
        _trust(context, authorities)
    if certificate is not None:
        _show_certificate(context, certificate, key, password)
    return Tls("ssl", context, certificate is not None, TRUST_STORE, KEY_STORE)


def _trust(context: ssl.SSLContext, authorities: Pem) -> None:
    if authorities.file:
        _readable(authorities.where, authorities.file, shown=authorities.where)
    try:
        if authorities.file:
            context.load_verify_locations(expanded(authorities.file))
        else:
            context.load_verify_locations(cadata=authorities.text)
    except (ssl.SSLError, OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"{authorities.where}: it holds no certificate in PEM format", code="tls-file-unusable"
        ) from error


def _show_certificate(
    context: ssl.SSLContext, certificate: Pem, key: Pem | None, password: Secret | None
) -> None:
    where = certificate.where if key is None else f"{certificate.where} and {key.where}"
    reveal: Callable[[], str] = _refuse_password if password is None else password.reveal
    wrong = "its key is encrypted: set ssl.key.password" if password is None else ""
    try:
        with _as_file(certificate) as path, _as_file(key) as key_path:
            context.load_cert_chain(path, key_path or None, password=reveal)
    except _Encrypted as error:
        raise UsageError(f"{where}: {wrong}", code="tls-file-unusable") from error
    except (ssl.SSLError, OSError, ValueError) as error:
        doubt = "" if password is None else ", or ssl.key.password does not open it"
        raise UsageError(
            f"{where}: no certificate with its key in PEM format{doubt}", code="tls-file-unusable"
        ) from error


@contextmanager
def _as_file(pem: Pem | None) -> Iterator[str]:
    """Give the path of a file with this in it, "" for nothing. OpenSSL reads keys from files alone:
    one that only we can read, for as long as it is read."""
    if pem is None:
        yield ""
        return
    if pem.file:
        yield _readable(pem.where, pem.file, shown=pem.where)
        return
    handle, path = tempfile.mkstemp()
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(pem.text)
        yield path
    finally:
        os.unlink(path)
