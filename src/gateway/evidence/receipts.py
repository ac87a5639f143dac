"""Receipts: the gateway's signed word that it accepted exactly these bytes (JWS, RFC 7515; Ed25519, RFC 9864)."""

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from gateway.domain.exact import decode, encode

if TYPE_CHECKING:
    from gateway.keys import SigningKeys  # brings the settings along, which a verifier has none of

RECEIPT_TYPE = "report-receipt+jws"


class InvalidReceipt(ValueError):
    """The receipt was not signed by any of the keys given, or is not a receipt."""


class Signer:
    """Signs receipts in the name of ``issuer``; the header is the same for all of a key, and made once."""

    def __init__(self, keys: "SigningKeys", issuer: str) -> None:
        self._issuer, self._keys = issuer, keys
        self._current = self._take(keys.current)

    def _take(self, key: OKPKey) -> OKPKey:
        signing = key.get_op_key("sign")
        if not isinstance(signing, Ed25519PrivateKey):
            raise TypeError("receipts are signed with Ed25519")
        self._header = _segment(encode({"alg": "Ed25519", "kid": key.kid, "typ": RECEIPT_TYPE}))
        self._key = signing
        return key

    def sign(self, claims: Mapping[str, object], at: datetime) -> str:
        """The compact JWS (RFC 7515, 7.1) over claims, issued at ``at``."""
        if (current := self._keys.current) is not self._current:
            self._current = self._take(current)
        payload = {"iss": self._issuer, "iat": int(at.timestamp()), **claims}
        message = self._header + b"." + _segment(encode(payload))
        return (message + b"." + _segment(self._key.sign(message))).decode()


def _segment(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def key_set(document: Any) -> KeySet:
    """The public keys of a JSON Web Key Set (RFC 7517) that receipts are verified by, each with its id.

    Raises ``ValueError`` for anything else, a private key above all.
    """
    try:
        members = [member for member in document["keys"] if "vkey" not in member]  # those are the log's
        if any("d" in member or not member["kid"] for member in members):
            raise ValueError("a key is private, or has no id")
        return KeySet.import_key_set({"keys": members})
    except (JoseError, LookupError, TypeError, AttributeError) as error:
        raise ValueError("not a JSON Web Key Set of public keys") from error


def issuer_of(receipt: str) -> str:
    """Who a receipt says that it is from, which nothing has proved yet. Raises ``InvalidReceipt``."""
    try:
        claims = decode(base64.urlsafe_b64decode(receipt.split(".")[1] + "=="))
        issuer = claims["iss"]
    except (ValueError, LookupError, TypeError) as error:
        raise InvalidReceipt("not a compact JWS with an issuer") from error
    if not isinstance(issuer, str):
        raise InvalidReceipt("its issuer is not a string")
    return issuer


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
