"""A properties file of a Kafka client, as Kafka's own tools take it (--command-config): how Kafka's
protocol is to be spoken.

The syntax is that of java.util.Properties (Java 17). Settings that say nothing about security are
left to Kafka's tools, unknown ones included. No message has the value of a setting that may be
secret.
"""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kafka_rolling_restart.errors import UsageError
from kafka_rolling_restart.settings.access import KafkaAccess, Login
from kafka_rolling_restart.settings.paths import expanded
from kafka_rolling_restart.settings.secret import Secret
from kafka_rolling_restart.settings.tls import Pem, Tls, make_tls
from kafka_rolling_restart.text import said

MOST = 2**20  # bytes of a file
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
DEFAULT_PROTOCOL, DEFAULT_MECHANISM = "PLAINTEXT", "GSSAPI"  # Kafka's own
MODULES = {  # what may log in by which mechanism
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}
MECHANISMS = ", ".join(MODULES)
PEM, JKS, PKCS12 = "PEM", "JKS", "PKCS12"
DEFAULT_STORE = JKS
BLANK = " \t\f"
ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
LINE_END = re.compile(r"\r\n|\r|\n")
HEX = re.compile(r"[0-9A-Fa-f]{4}")
BOM = "\ufeff"
# one word of a JAAS configuration: quoted with escapes, or without blanks
WORD = re.compile(
    r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s"'=;]+)|([=;]))""", re.DOTALL
)
SETTING_OF_JAAS, SECURITY = "sasl.jaas.config", "security.protocol"
MECHANISM, KEY_PASSWORD = "sasl.mechanism", "ssl.key.password"
TRUST_STORE, KEY_STORE = "ssl.truststore", "ssl.keystore"
PROVIDERS = "config.providers"
CHECK_NAMES = "ssl.endpoint.identification.algorithm"


def read_client_properties(name: str, timeout: float) -> KafkaAccess:
    """Read a properties file; ``timeout`` (s) is that of each answer.

    Raises `UsageError` for a file that cannot be read, or a setting that is wrong or not supported.
    """
    settings = _Settings(name, parse_properties(_read(name), name))
    if settings.get(PROVIDERS):
        raise settings.unsupported(
            PROVIDERS, "values from elsewhere are not supported. Write the values into the file"
        )
    protocol = settings.get(SECURITY, DEFAULT_PROTOCOL).upper()
    if protocol not in PROTOCOLS:
        raise settings.wrong(SECURITY, f"{said(protocol)} is none of {', '.join(PROTOCOLS)}")
    tls = _tls(settings) if protocol.endswith("SSL") else None
    if not protocol.startswith("SASL"):
        return KafkaAccess(timeout, tls)
    mechanism = _mechanism(settings)
    return KafkaAccess(timeout, tls, _login(settings, mechanism), mechanism)


def parse_properties(text: str, name: str) -> dict[str, str]:
    """Return the settings of a text in the syntax of java.util.Properties; the last of two with the
    same name counts. Raises `UsageError` for an escape that is none."""
    found: dict[str, str] = {}
    for number, line in _logical_lines(text):
        key, value = _split(line)
        try:
            found[_unescaped(key)] = _unescaped(value)
        except ValueError as error:
            raise UsageError(
                f"{name}, line {number}: {error}", code="command-config-invalid"
            ) from error
    return found


def _read(name: str) -> str:
    path = expanded(name)
    try:
        with path.open("rb") as file:
            data = file.read(MOST + 1)
    except OSError as error:
        raise UsageError(
            f"{name}: {error.strerror}. Give a properties file that this user can read",
            code="command-config-unreadable",
        ) from error
    except ValueError as error:  # a NUL in the name
        raise UsageError(
            f"{name}: this is not a file name", code="command-config-unreadable"
        ) from error
    if len(data) > MOST:
        raise UsageError(
            f"{name}: longer than {MOST} bytes, so it is no properties file",
            code="command-config-unreadable",
        )
    if b"\0" in data:
        raise UsageError(
            f"{name}: it has binary data, so it is no properties file",
            code="command-config-invalid",
        )
    return _decoded(data)


def _decoded(data: bytes) -> str:
    """Return the text of a file: Kafka's tools read ISO 8859-1, and people write UTF-8.

    A password with other letters than English ones, written in UTF-8, is read by Kafka's tools as
    ISO 8859-1, and fails there: nobody has such a file that works, so UTF-8 is tried first.
    """
    try:
        return data.decode("utf-8").removeprefix(BOM)
    except UnicodeDecodeError:
        return data.decode("iso-8859-1")


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line with its number, joined with those that continue it; no blank ones, no
    comments."""
    joined, began = "", 0
    for number, natural in enumerate(LINE_END.split(text), 1):
        line = natural.lstrip(BLANK)
        if not began:
            if not line or line[0] in "#!":
                continue
            began = number
        if _is_continued(line):
            joined += line[:-1]
            continue
        yield began, joined + line
        joined, began = "", 0
    if began:
        yield began, joined


def _is_continued(line: str) -> bool:
    """Tell whether a line ends with an odd number of backslashes."""
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _split(line: str) -> tuple[str, str]:
    """Return the name and the value of a line, both with their escapes."""
    at = 0
    while at < len(line) and line[at] not in f"=:{BLANK}":
        at += 2 if line[at] == "\\" else 1
    key, rest = line[:at], line[at:].lstrip(BLANK)
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(BLANK)
    return key, rest


def _unescaped(text: str) -> str:
    """Return a text without its escapes. Raises `ValueError` for one that is none."""
    found: list[str] = []
    at = 0
    while at < len(text):
        if text[at] != "\\":
            found.append(text[at])
            at += 1
            continue
        letter = text[at + 1 : at + 2]
        at += 2
        if letter != "u":
            found.append(ESCAPES.get(letter, letter))
            continue
        code = text[at : at + 4]
        if not HEX.fullmatch(code):
            raise ValueError("behind \\u there must be four hexadecimal digits")
        found.append(chr(int(code, 16)))
        at += 4
    # two escapes may be the halves of one character
    joined = "".join(found)
    return joined.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass(frozen=True)
class _Settings:
    """The settings of a file, and how to say that one of them is wrong."""

    file: str
    values: Mapping[str, str]

    def get(self, key: str, default: str = "") -> str:
        """Return a setting without blanks around it, the default where it is not set."""
        return self.values.get(key, default).strip()

    def wrong(self, key: str, why: str) -> UsageError:
        """Return the error of a setting that is not valid."""
        return UsageError(f"{self.file}: {key}: {why}", code="command-config-invalid")

    def unsupported(self, key: str, why: str) -> UsageError:
        """Return the error of a setting that Kafka's tools know and we do not."""
        return UsageError(f"{self.file}: {key}: {why}", code="command-config-unsupported")


def _mechanism(settings: _Settings) -> str:
    mechanism = settings.get(MECHANISM, DEFAULT_MECHANISM).upper()
    if mechanism in MODULES:
        return mechanism
    default = "" if MECHANISM in settings.values else " (Kafka's default)"
    raise settings.unsupported(
        MECHANISM,
        f"{said(mechanism)}{default} is not supported. Use one of {MECHANISMS}, or SSL with a "
        "client certificate",
    )


def _login(settings: _Settings, mechanism: str) -> Login:
    """Return who logs in, as sasl.jaas.config says it."""
    text = settings.get(SETTING_OF_JAAS)
    if not text:
        raise settings.wrong(
            SETTING_OF_JAAS,
            f"it is missing. {mechanism} needs `{MODULES[mechanism]} required "
            'username="NAME" password="PASSWORD";`',
        )
    module, options = _jaas(settings, text)
    if module.rpartition(".")[2] != MODULES[mechanism].rpartition(".")[2]:
        raise settings.wrong(
            SETTING_OF_JAAS,
            f"its login module does not log in by {mechanism}; {MODULES[mechanism]} does",
        )
    missing = [one for one in ("username", "password") if not options.get(one)]
    if missing:
        raise settings.wrong(SETTING_OF_JAAS, f"it has no {' and no '.join(missing)}")
    return Login(
        f"{settings.file}: {SETTING_OF_JAAS}", options["username"], Secret(options["password"])
    )


def _jaas(settings: _Settings, text: str) -> tuple[str, dict[str, str]]:
    """Return the module and the options of a JAAS configuration. No error has a part of it: any
    part may be the password."""
    words = _jaas_words(settings, text)
    if len(words) < 2 or words[-1] != ";" or ";" in words[:-1]:
        raise settings.wrong(SETTING_OF_JAAS, "it must be one login module, with ; at its end")
    module, options = words[0], words[2:-1]
    keys, equals, values = options[::3], options[1::3], options[2::3]
    if len(options) % 3 or any(one != "=" for one in equals):
        raise settings.wrong(
            SETTING_OF_JAAS, 'behind the module and `required` there must be NAME="VALUE" only'
        )
    return module, {key: _plain(value) for key, value in zip(keys, values, strict=True)}


def _jaas_words(settings: _Settings, text: str) -> list[str]:
    """Return the words: those in quotes keep a quote in front, so that no value is a sign."""
    words: list[str] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        found = WORD.match(text, at)
        if found is None:
            raise settings.wrong(SETTING_OF_JAAS, "a quote in it is not closed")
        double, single, bare, sign = found.groups()
        quoted = double if double is not None else single
        words.append(f'"{quoted}' if quoted is not None else bare or sign)
        at = found.end()
    return words


def _plain(word: str) -> str:
    """Return a word without its quote and the escapes in it."""
    if not word.startswith('"'):
        return word
    return re.sub(r"\\(.)", lambda one: ESCAPES.get(one[1], one[1]), word[1:], flags=re.DOTALL)


def _tls(settings: _Settings) -> Tls:
    """Return how TLS is spoken: whom we trust, and our certificate."""
    algorithm = settings.get(CHECK_NAMES, "https").lower()
    if algorithm not in ("", "https"):
        raise settings.wrong(CHECK_NAMES, "it must be https, or empty for no check of host names")
    authorities = _authorities(settings)
    certificate, key = _certificate(settings)
    password = settings.values.get(KEY_PASSWORD, "")
    return make_tls(
        authorities,
        certificate,
        key,
        None if not password else Secret(password),
        check_names=algorithm == "https",
    )


def _authorities(settings: _Settings) -> Pem | None:
    inline = settings.get("ssl.truststore.certificates")
    location = settings.get("ssl.truststore.location")
    if not inline and not location:
        return None
    _expect_pem(settings, TRUST_STORE, location, _trusted_as_pem)
    if inline:
        return Pem(f"{settings.file}: ssl.truststore.certificates", text=_lines(inline))
    return Pem(f"{settings.file}: ssl.truststore.location {location}", file=location)


def _certificate(settings: _Settings) -> tuple[Pem | None, Pem | None]:
    """Return our certificate and its key; a key that is None is with the certificate."""
    chain, key = settings.get("ssl.keystore.certificate.chain"), settings.get("ssl.keystore.key")
    location = settings.get("ssl.keystore.location")
    if not chain and not key and not location:
        return None, None
    _expect_pem(settings, KEY_STORE, location, _key_as_pem)
    if location and not chain and not key:
        return Pem(f"{settings.file}: ssl.keystore.location {location}", file=location), None
    if not chain or not key:
        missing = "ssl.keystore.key" if chain else "ssl.keystore.certificate.chain"
        raise settings.wrong(missing, "it is missing: a certificate and its key belong together")
    return (
        Pem(f"{settings.file}: ssl.keystore.certificate.chain", text=_lines(chain)),
        Pem(f"{settings.file}: ssl.keystore.key", text=_lines(key)),
    )


def _expect_pem(
    settings: _Settings, store: str, location: str, convert: Callable[[str, str], str]
) -> None:
    """Raise `UsageError` where a store is not PEM, with the command that makes it so."""
    key = f"{store}.type"
    kind = settings.get(key, DEFAULT_STORE).upper()
    if kind == PEM:
        return
    default = "" if key in settings.values else " (Kafka's default)"
    if not location:
        raise settings.wrong(
            key, f"{said(kind)}{default}, with certificates in PEM format: set PEM"
        )
    if kind not in (JKS, PKCS12, "P12"):
        raise settings.unsupported(key, f"{said(kind)} is not supported. Use PEM")
    also = ", and ssl.key.password to the pass phrase" if store == KEY_STORE else ""
    raise settings.unsupported(
        key,
        f"{said(kind)}{default} is not supported. Convert it: `{convert(location, kind)}`, then "
        f"set {store}.type=PEM and {store}.location={_pem_name(location)}{also}",
    )


def _trusted_as_pem(location: str, _kind: str) -> str:
    """Return the command that writes the authorities of a Java key store as PEM."""
    store, pem = shlex.quote(location), shlex.quote(_pem_name(location))
    return f"keytool -list -rfc -keystore {store} > {pem}"


def _key_as_pem(location: str, kind: str) -> str:
    """Return the commands that write the key and the certificate of a Java key store as PEM."""
    store, pem = shlex.quote(location), shlex.quote(_pem_name(location))
    if kind != JKS:
        return f"(umask 077; openssl pkcs12 -in {store} -out {pem})"
    middle = shlex.quote(f"{Path(location).with_suffix('')}.converted.p12")
    return (
        f"(umask 077; keytool -importkeystore -srckeystore {store} -destkeystore {middle} "
        f"-deststoretype PKCS12 && openssl pkcs12 -in {middle} -out {pem})"
    )


def _pem_name(location: str) -> str:
    return f"{Path(location).with_suffix('')}.pem"


def _lines(text: str) -> str:
    """Return a certificate or key in PEM with its lines, which stand in one line of the file where
    nobody wrote \\n."""
    body = re.compile(r"(-----BEGIN [A-Z0-9 ]+-----)(.*?)(-----END [A-Z0-9 ]+-----)", re.DOTALL)

    def broken(found: re.Match[str]) -> str:
        headers, _, rest = found[2].rpartition(":")
        if headers:  # an old kind of encrypted key, whose headers need their lines
            return found[0]
        letters = "".join(rest.split())
        rows = [letters[at : at + 64] for at in range(0, len(letters), 64)]
        return "\n".join([found[1], *rows, found[3]]) + "\n"

    return body.sub(broken, text)
