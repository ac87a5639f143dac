"""Certificates that sign themselves, for servers on loopback and for clients of theirs."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate and its private key, in PEM."""

    certificate: str
    key: str

    def tls(self, folder: Path, client: str | None = None) -> ssl.SSLContext:
        """A server's TLS by this certificate, for clients that show one that ``client`` signed, if it is given."""
        both = folder / "both.pem"
        both.write_text(self.key + self.certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(both)
        if client is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=client)
        return context


def certified(name: str, ended: timedelta = timedelta()) -> Certified:
    """A certificate for a name, and for the address 127.0.0.2: good for an hour, unless it has ``ended`` before."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.2"))]
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1) - ended)
        .not_valid_after(now - ended if ended else now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Certified(certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode())
