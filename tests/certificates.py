"""A throwaway authority, and certificates of it for servers and clients."""

from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


class Authority:
    """An authority in a folder; every file that it writes is there, in PEM format."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(f"kafka-rolling-restart lab {name}")
        now = datetime.now(timezone.utc)
        builder = _builder(self._name, self._name, self._key.public_key(), now - DAY, now + DAY)
        certificate = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(
            certificate.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        )

    def issue(
        self, name: str, *addresses: str, days: int = 1, password: bytes | None = None
    ) -> Path:
        """Write a certificate with its key to one file; of a client where it is for no
        addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(timezone.utc)
        builder = _builder(
            _name(name), self._name, key.public_key(), now - 3 * DAY, now + days * DAY
        )
        if addresses:
            names = [x509.IPAddress(ip_address(address)) for address in addresses]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        hidden: KeySerializationEncryption = (
            BestAvailableEncryption(password) if password else NoEncryption()
        )
        file = self.folder / f"{name}.pem"
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden) + certificate)
        file.chmod(0o600)
        return file


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    begins: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
