"""Trust anchors: the certificate authorities whose word about signers is taken, as files in one directory.

``*.pem``, ``*.crt`` and ``*.cer`` hold certificates: those that name themselves as their issuer are anchors, others are
intermediate ones that signers need not send along. ``*.crl`` hold lists of what was revoked (RFC 5280, 5). PEM or DER.
"""

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog
from cryptography import x509

from gateway.errors import Hindrance

CERTIFICATES, LISTS = frozenset({".pem", ".crt", ".cer"}), frozenset({".crl"})
_LOOK_SECONDS = 5.0
_PEM = b"-----BEGIN"

log = structlog.get_logger()


class UnreadableAnchors(Hindrance):
    """The directory of trust anchors, or a file of it, cannot be read; the message says which."""


@dataclass(frozen=True, slots=True)
class Anchored:
    """What the directory held when it was read last."""

    anchors: tuple[x509.Certificate, ...] = ()
    intermediates: tuple[x509.Certificate, ...] = ()
    lists: tuple[x509.CertificateRevocationList, ...] = ()

    def revoked_at(self, certificate: x509.Certificate, issuer: x509.Certificate) -> datetime | None:
        """Since when a certificate is revoked, by a list that its issuer signed; None where none says so."""
        key = issuer.public_key()
        for each in self.lists:
            if each.issuer != certificate.issuer or not each.is_signature_valid(key):  # type: ignore[arg-type]
                continue
            found = each.get_revoked_certificate_by_serial_number(certificate.serial_number)
            if found is not None:
                return found.revocation_date_utc
        return None


class Anchors:
    """The trust anchors of a directory, read anew some seconds after it has changed; none without a directory."""

    def __init__(self, directory: Path | None) -> None:
        """Raises ``UnreadableAnchors``."""
        self._directory = directory
        self._seen = self._look()
        self._held = self._read()
        self._looked_at = time.monotonic()

    def current(self) -> Anchored:
        """What is trusted now. A file that cannot be read changes nothing, and is told in the log."""
        if self._directory is None or time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return self._held
        self._looked_at = time.monotonic()
        try:
            seen = self._look()
            if seen != self._seen:
                self._held, self._seen = self._read(), seen
                log.info("trust anchors read", anchors=len(self._held.anchors), lists=len(self._held.lists))
        except UnreadableAnchors as error:
            log.error("trust anchors could not be read", reason=str(error))
        return self._held

    def _look(self) -> list[tuple[str, int, int]]:
        if self._directory is None:
            return []
        try:
            found = [each for each in self._directory.iterdir() if each.suffix.lower() in CERTIFICATES | LISTS]
            return sorted((each.name, each.stat().st_mtime_ns, each.stat().st_size) for each in found)
        except OSError as error:
            raise UnreadableAnchors(f"GATEWAY_TRUST_ANCHORS_DIR {self._directory}: {error.strerror}") from error

    def _read(self) -> Anchored:
        certificates: list[x509.Certificate] = []
        lists: list[x509.CertificateRevocationList] = []
        for name, _, _ in self._seen if self._directory is None else self._look():
            path = (self._directory or Path()) / name
            try:
                content = path.read_bytes()
                if path.suffix.lower() in LISTS:
                    is_pem = content.lstrip().startswith(_PEM)
                    lists.append(x509.load_pem_x509_crl(content) if is_pem else x509.load_der_x509_crl(content))
                elif _PEM in content:
                    certificates += x509.load_pem_x509_certificates(content)
                else:
                    certificates.append(x509.load_der_x509_certificate(content))
            except OSError as error:
                raise UnreadableAnchors(f"{path}: {error.strerror}") from error
            except ValueError as error:
                raise UnreadableAnchors(f"{path} is not what its name says: {error}") from error
        return Anchored(
            tuple(each for each in certificates if each.subject == each.issuer),
            tuple(each for each in certificates if each.subject != each.issuer),
            tuple(lists),
        )
