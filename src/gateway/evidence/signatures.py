"""Signatures of reports: a detached JWS (RFC 7515, appendix F) over the exact bytes, with its certificate in ``x5c``.

The certificate is judged as of the time of signing, which the protected header says (``iat``, or ``sigT`` as in ETSI
TS 119 182-1); how far that may lie back is bounded, since whoever holds a key may claim any time.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.registry import HeaderParameter
from pydantic import TypeAdapter, ValidationError
from pydantic.types import AwareDatetime

from gateway.domain.exact import decode
from gateway.domain.signature import Signer
from gateway.errors import Text
from gateway.evidence.anchors import Anchored

LONGEST = 16 * 1024
"""Characters of a signature: a chain of three RSA certificates has about 9,000."""
SKEW = timedelta(seconds=60)
LEAST_RSA_BITS = 2048
_MOST_CERTIFICATES = 5
QUERY = "query"
"""The header parameter that has what is said of a file beside it, as in the address; it has to be in ``crit``."""
_UNDERSTOOD = frozenset({"b64", "sigT", "iat", "x5c", QUERY})
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.\.([A-Za-z0-9_-]+)")
_time = TypeAdapter(AwareDatetime)

Key = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class MalformedSignature(ValueError):
    """Not a detached compact JWS with a certificate and a time of signing; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Detached:
    """A signature as it came, taken apart; nothing about it has been proved."""

    jws: str
    algorithm: str
    chain: tuple[x509.Certificate, ...]
    signed_at: datetime
    query: str = ""

    @property
    def leaf(self) -> x509.Certificate:
        return self.chain[0]

    @property
    def signer(self) -> Signer:
        return Signer(
            subject_of(self.leaf),
            self.leaf.issuer.rfc4514_string(),
            f"{self.leaf.serial_number:x}",
            self.leaf.fingerprint(SHA256()).hex(),
            self.signed_at,
        )


def subject_of(certificate: x509.Certificate) -> str:
    """How a certificate names its holder, the same for the same name (RFC 4514)."""
    return certificate.subject.rfc4514_string()


def read_signature(text: str) -> Detached:
    """Take a signature apart. Raises ``MalformedSignature``."""
    parts = _COMPACT.fullmatch(text)
    if parts is None or len(text) > LONGEST:
        raise MalformedSignature(f"not a detached compact JWS (header..signature) of at most {LONGEST} characters")
    try:
        header = decode(base64.urlsafe_b64decode(parts[1] + "=="))
    except ValueError as error:
        raise MalformedSignature("its header is not strict JSON") from error
    if not isinstance(header, dict):
        raise MalformedSignature("its header is not a JSON object")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in {"Ed25519", "EdDSA", "ES256", "PS256", "RS256"}:
        raise MalformedSignature("alg is none of Ed25519, EdDSA, ES256, PS256, RS256")
    critical = header.get("crit", [])
    if not isinstance(critical, list) or not set(map(str, critical)) <= _UNDERSTOOD:
        raise MalformedSignature("crit names what is not understood here")
    if not isinstance(header.get("b64", True), bool):
        raise MalformedSignature("b64 is neither true nor false")
    query = header.get(QUERY, "")
    if not isinstance(query, str) or (QUERY in header) is not (QUERY in critical):
        raise MalformedSignature("query is no text, or not in crit")
    return Detached(text, algorithm, _chain(header.get("x5c")), _signed_at(header), query)


def _chain(given: Any) -> tuple[x509.Certificate, ...]:
    if not isinstance(given, list) or not 1 <= len(given) <= _MOST_CERTIFICATES:
        raise MalformedSignature(f"x5c is not a list of 1 to {_MOST_CERTIFICATES} certificates, the signer's first")
    try:
        chain = [x509.load_der_x509_certificate(base64.b64decode(each, validate=True)) for each in given]
        for each in chain:  # what is read later shall not fail then
            _ = each.subject.rfc4514_string(), each.issuer.rfc4514_string(), each.extensions
        _ = chain[0].public_key()
    except (ValueError, TypeError, binascii.Error, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise MalformedSignature("x5c holds what is no certificate") from error
    except Exception as error:  # the library's own, for keys of kinds that it does not know
        raise MalformedSignature("x5c holds a certificate that cannot be read") from error
    return tuple(chain)


def _signed_at(header: dict[str, Any]) -> datetime:
    try:
        if isinstance(header.get("sigT"), str):
            return _time.validate_python(header["sigT"]).astimezone(UTC)
        if type(header.get("iat")) is int:
            return datetime.fromtimestamp(header["iat"], UTC)
    except (ValidationError, ValueError, OverflowError, OSError) as error:
        raise MalformedSignature("its time of signing is no time") from error
    raise MalformedSignature("it says no time of signing: iat (seconds since 1970) or sigT (RFC 3339)")


def faults_of(
    signature: Detached, body: bytes, trusted: Anchored, received_at: datetime, oldest: timedelta
) -> tuple[Text, ...]:
    """Why a signature of a report that was received at a time does not hold, or is not trusted; empty where it is."""
    return tuple(_faults(signature, body, trusted, received_at, oldest))


def _faults(
    signature: Detached, body: bytes, trusted: Anchored, received_at: datetime, oldest: timedelta
) -> Iterator[Text]:
    if not _holds(signature, body):
        yield Text(
            "chữ ký không khớp với đúng các byte này và khóa của chứng thư",
            "it does not hold for exactly these bytes and the key of its certificate",
        )
    if signature.signed_at > received_at + SKEW:
        yield Text("thời điểm ký ở tương lai", "its time of signing lies in the future")
    if signature.signed_at < received_at - oldest:
        yield Text(
            f"thời điểm ký đã quá {int(oldest.total_seconds())} giây",
            f"it is older than {int(oldest.total_seconds())} s",
        )
    if not _may_sign(signature.leaf):
        yield Text(
            "chứng thư không có mục đích chữ ký số (keyUsage digitalSignature)",
            "its certificate is not for signing (keyUsage digitalSignature)",
        )
    path = _path(signature, trusted)
    if path is None:
        yield Text(
            "không dẫn được từ chứng thư tới tổ chức chứng thực được tin cậy ở đây, có hiệu lực lúc ký",
            "no path leads from its certificate to an authority trusted here, valid when it was signed",
        )
    elif _is_revoked(path, trusted, received_at):
        yield Text("chứng thư đã bị thu hồi", "its certificate is revoked")


def _key(signature: Detached) -> OKPKey | ECKey | RSAKey | None:
    """The certificate's key, if the algorithm is one of its kind: ``alg`` is chosen by the key, never the reverse."""
    key, algorithm = signature.leaf.public_key(), signature.algorithm
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if isinstance(key, ed25519.Ed25519PublicKey) and algorithm in {"Ed25519", "EdDSA"}:
        return OKPKey.import_key(pem)
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1) and algorithm == "ES256":
        return ECKey.import_key(pem)
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= LEAST_RSA_BITS and algorithm in {"PS256", "RS256"}:
        return RSAKey.import_key(pem)
    return None


class SignatureRegistry(jws.JWSRegistry):
    """What joserfc takes: one algorithm, headers as long as a chain of certificates makes them, bodies of any size."""

    max_header_length, max_payload_length = LONGEST, 1 << 31

    def __init__(self, algorithm: str) -> None:
        headers = {name: HeaderParameter("time of signing", kind) for name, kind in (("iat", "int"), ("sigT", "str"))}
        headers[QUERY] = HeaderParameter("parameters", "str")
        super().__init__(headers, [algorithm], strict_check_header=False)


def _holds(signature: Detached, body: bytes) -> bool:
    key = _key(signature)
    if key is None:
        return False
    try:
        jws.deserialize_compact(signature.jws, key, registry=SignatureRegistry(signature.algorithm), payload=body)
    except (JoseError, ValueError, TypeError):
        return False
    return True


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    except x509.ExtensionNotFound:
        return False


def _path(signature: Detached, trusted: Anchored) -> list[x509.Certificate] | None:
    """The way from the signer's certificate to an anchor, each valid when it was signed (RFC 5280, 6)."""
    if not trusted.anchors:
        return None
    signer = ExtensionPolicy.permit_all().require_present(x509.KeyUsage, Criticality.AGNOSTIC, None)
    policy = (
        PolicyBuilder()
        .store(Store(list(trusted.anchors)))
        .time(signature.signed_at)
        .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=signer)
    )
    try:
        between = [*signature.chain[1:], *trusted.intermediates]
        return policy.build_client_verifier().verify(signature.leaf, between).chain
    except (VerificationError, ValueError):
        return None


def _is_revoked(path: list[x509.Certificate], trusted: Anchored, received_at: datetime) -> bool:
    """Whether a certificate of a path was revoked before the report came: the claimed time of signing is no defence."""
    since = [
        trusted.revoked_at(certificate, issuer) for certificate, issuer in zip(path, [*path[1:], path[-1]], strict=True)
    ]
    return any(at is not None and at <= received_at for at in since)
