"""Receipts: the gateway's signed word that it accepted exactly these bytes (JWS, RFC 7515; Ed25519, RFC 9864)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from gateway.keys import SigningKeys

RECEIPT_TYPE = "report-receipt+jws"


class InvalidReceipt(ValueError):
    """The receipt was not signed by any of the keys given, or is not a receipt."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs receipts in the name of ``issuer``."""

    keys: SigningKeys
    issuer: str

    def sign(self, claims: Mapping[str, object], at: datetime) -> str:
        """The compact JWS over claims, issued at ``at``."""
        header = {"alg": "Ed25519", "kid": self.keys.current.kid, "typ": RECEIPT_TYPE}
        payload = {"iss": self.issuer, "iat": int(at.timestamp()), **claims}
        content = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
        return jws.serialize_compact(header, content.encode(), self.keys.current, algorithms=["Ed25519"])


def verify_receipt(receipt: str, keys: KeySet) -> dict[str, Any]:
    """The claims of a receipt; raises ``InvalidReceipt`` unless one of the keys signed it."""
    try:
        verified = jws.deserialize_compact(receipt.strip(), keys, algorithms=["Ed25519", "EdDSA"])
    except (JoseError, ValueError) as error:
        raise InvalidReceipt(f"not signed by these keys: {error}") from error
    if verified.headers().get("typ") != RECEIPT_TYPE:
        raise InvalidReceipt("a signed message, but not a receipt")
    claims: dict[str, Any] = json.loads(verified.payload)
    return claims
