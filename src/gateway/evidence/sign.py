"""Signing a report as its agency: what a local system does with its certificate before it pushes."""

import base64
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from gateway.evidence.signatures import LEAST_RSA_BITS, QUERY, SignatureRegistry


class CannotSign(ValueError):
    """The key or the certificate does not do; the message says why."""


def sign_report(
    body: bytes, key: bytes, certificates: bytes, at: datetime, password: bytes | None = None, query: str = ""
) -> str:
    """The value of ``Report-Signature`` for a body, by a private key and its certificate chain, both PEM.

    ``query`` are the parameters that go with a file that is not JSON, as in the address. Raises ``CannotSign``.
    """
    try:
        chain = x509.load_pem_x509_certificates(certificates)
        private = load_pem_private_key(key, password)
    except (ValueError, TypeError) as error:
        raise CannotSign(f"the key or the certificate cannot be read: {error}") from error
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    signing: OKPKey | ECKey | RSAKey
    if isinstance(private, ed25519.Ed25519PrivateKey):
        algorithm, signing = "Ed25519", OKPKey.import_key(pem)
    elif isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(private.curve, ec.SECP256R1):
        algorithm, signing = "ES256", ECKey.import_key(pem)
    elif isinstance(private, rsa.RSAPrivateKey) and private.key_size >= LEAST_RSA_BITS:
        algorithm, signing = "PS256", RSAKey.import_key(pem)
    else:
        raise CannotSign(f"the key is none of Ed25519, P-256 and RSA of {LEAST_RSA_BITS} bits")
    if private.public_key() != chain[0].public_key():
        raise CannotSign("the first certificate is not that of the key")
    x5c = [base64.b64encode(each.public_bytes(Encoding.DER)).decode() for each in chain]
    header: dict[str, object] = {"alg": algorithm, "x5c": x5c, "iat": int(at.timestamp())}
    if query:
        header |= {QUERY: query, "crit": [QUERY]}
    whole = jws.serialize_compact(header, body, signing, registry=SignatureRegistry(algorithm))
    head, _, signature = whole.split(".")
    return f"{head}..{signature}"
