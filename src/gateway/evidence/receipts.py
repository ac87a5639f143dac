"""Receipts: the gateway's signed word that it accepted exactly these bytes (JWS, RFC 7515; Ed25519, RFC 9864)."""

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from gateway.domain.exact import decode, encode
from gateway.keys import SigningKeys

RECEIPT_TYPE = "report-receipt+jws"


class InvalidReceipt(ValueError):
    """The receipt was not signed by any of the keys given, or is not a receipt."""


class Signer:
    """Signs receipts in the name of ``issuer``; the header is the same for all and made once."""

    def __init__(self, keys: SigningKeys, issuer: str) -> None:
        header = {"alg": "Ed25519", "kid": keys.current.kid, "typ": RECEIPT_TYPE}
        self._issuer = issuer
        self._header = _segment(encode(header))
        key = keys.current.get_op_key("sign")
        if not isinstance(key, Ed25519PrivateKey):
            raise TypeError("receipts are signed with Ed25519")
        self._key = key

    def sign(self, claims: Mapping[str, object], at: datetime) -> str:
        """The compact JWS (RFC 7515, 7.1) over claims, issued at ``at``."""
        payload = {"iss": self._issuer, "iat": int(at.timestamp()), **claims}
        message = self._header + b"." + _segment(encode(payload))
        return (message + b"." + _segment(self._key.sign(message))).decode()


def _segment(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def verify_receipt(receipt: str, keys: KeySet) -> dict[str, Any]:
    """The claims of a receipt; raises ``InvalidReceipt`` unless one of the keys signed it."""
    try:
        verified = jws.deserialize_compact(receipt.strip(), keys, algorithms=["Ed25519", "EdDSA"])
    except (JoseError, ValueError) as error:
        raise InvalidReceipt(f"not signed by these keys: {error}") from error
    if verified.headers().get("typ") != RECEIPT_TYPE:
        raise InvalidReceipt("a signed message, but not a receipt")
    claims: dict[str, Any] = decode(verified.payload)
    return claims
