"""Certificate authorities and signers of a test, made when it runs."""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from gateway.evidence.sign import sign_report

Private: TypeAlias = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
HOUR = timedelta(hours=1)


def named(name: str) -> x509.Name:
    attributes = [(NameOID.COUNTRY_NAME, "VN"), (NameOID.COMMON_NAME, name)]
    return x509.Name([x509.NameAttribute(each, value) for each, value in attributes])


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its private key, and those above it that go along."""

    certificate: x509.Certificate
    key: Private
    above: tuple[x509.Certificate, ...] = ()

    @property
    def subject(self) -> str:
        return self.certificate.subject.rfc4514_string()

    @property
    def chain(self) -> bytes:
        return b"".join(each.public_bytes(Encoding.PEM) for each in (self.certificate, *self.above))

    @property
    def private(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, body: bytes, at: datetime | None = None, query: str = "") -> str:
        """The detached signature of a body, and of the parameters that go with it."""
        return sign_report(body, self.private, self.chain, at or datetime.now(UTC), query=query)

    def issue(
        self,
        name: str,
        key: Private | None = None,
        *,
        is_authority: bool = False,
        may_sign: bool = True,
        since: timedelta = HOUR,
        until: timedelta = HOUR,
    ) -> "Certificate":
        """A certificate by this one."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        made = _certificate(named(name), key, self.certificate.subject, self.key, is_authority, may_sign, since, until)
        is_root = self.certificate.subject == self.certificate.issuer
        return Certificate(made, key, () if is_root else (self.certificate, *self.above))

    def revoke(self, *revoked: "Certificate", at: datetime | None = None) -> bytes:
        """A revocation list by this one, in PEM."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder(self.certificate.subject, now - HOUR, now + HOUR)
        for each in revoked:
            entry = x509.RevokedCertificateBuilder(each.certificate.serial_number, at or now - HOUR)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.PEM)


def authority(name: str) -> Certificate:
    """A certificate authority that nobody is above."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Certificate(_certificate(named(name), key, named(name), key, True, False, HOUR * 24, HOUR * 24), key)


def _certificate(
    subject: x509.Name,
    key: Private,
    issuer: x509.Name,
    by: Private,
    is_authority: bool,
    may_sign: bool,
    since: timedelta,
    until: timedelta,
) -> x509.Certificate:
    now = datetime.now(UTC)
    usage = x509.KeyUsage(may_sign, False, False, False, False, is_authority, is_authority, False, False)
    return (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - since)
        .not_valid_after(now + until)
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(usage if may_sign or is_authority else _AGREEING, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
        .sign(by, SHA256())
    )


_AGREEING = x509.KeyUsage(False, False, False, False, True, False, False, False, False)


def trust(directory: Path, **certificates: Certificate) -> None:
    """Put certificates among the trust anchors of a directory."""
    directory.mkdir(exist_ok=True)
    for name, each in certificates.items():
        (directory / f"{name}.pem").write_bytes(each.certificate.public_bytes(Encoding.PEM))


def with_header(signature: str, **changes: Any) -> str:
    """A signature whose protected header says something else; None takes a member away."""
    head, _, rest = signature.split(".")
    header = json.loads(base64.urlsafe_b64decode(head + "==")) | changes
    said = json.dumps({name: value for name, value in header.items() if value is not None}).encode()
    return f"{base64.urlsafe_b64encode(said).rstrip(b'=').decode()}..{rest}"
