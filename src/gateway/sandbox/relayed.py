"""What makes the sandbox a gateway above: it takes relayed reports, gives receipts for them, and tells what it holds.

Like the rest of the sandbox it checks what a careful receiver checks: the digest, and that the first receipt is for
just these bytes under this id. Who signed that receipt it does not know; a real gateway is told by
``gateway client trust``.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jiter
from joserfc import jws
from joserfc.jwk import OKPKey

RECEIPT = "report-receipt+jws"


class NotARelay(ValueError):
    """What arrived is not a relayed report as agreed on; the message says why."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """A relayed report: what its first receipt says of it."""

    id: UUID
    sha256: str
    agency: str
    form: str
    period: str
    revision: int


@dataclass(frozen=True, slots=True)
class Stamp:
    """Signs the sandbox's own receipts, by a key that is gone with its process."""

    key: OKPKey = field(default_factory=lambda: _key())

    def public(self) -> dict[str, list[dict[str, Any]]]:
        """The JSON Web Key Set (RFC 7517) that verifies its receipts."""
        return {"keys": [{**self.key.as_dict(private=False), "kid": self.key.kid, "alg": "Ed25519", "use": "sig"}]}

    def receipt(self, report: Relayed, kind: str) -> str:
        """The compact JWS over what was taken."""
        claims = {
            "iss": "sandbox",
            "iat": int(datetime.now(UTC).timestamp()),
            "report": str(report.id),
            "sha256": report.sha256,
            "agency": report.agency,
            "form": report.form,
            "period": report.period,
            "kind": kind,
            "revision": report.revision,
            "received_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        }
        header = {"alg": "Ed25519", "kid": self.key.kid, "typ": RECEIPT}
        return jws.serialize_compact(header, json.dumps(claims).encode(), self.key, algorithms=["Ed25519"])


def read_relayed(headers: Mapping[str, str], body: bytes) -> Relayed:
    """The report that headers and body are of. Raises ``NotARelay``."""
    try:
        payload = headers["report-receipt"].split(".")[1]
        claims = jiter.from_json(base64.urlsafe_b64decode(payload + "=="))
        found = Relayed(
            UUID(claims["report"]),
            str(claims["sha256"]),
            str(claims["agency"]),
            str(claims["form"]),
            str(claims["period"]),
            int(claims["revision"]),
        )
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise NotARelay("Report-Receipt is not a receipt") from error
    if headers.get("report-id") != str(found.id):
        raise NotARelay("Report-Id is not that of the first receipt")
    if headers.get("report-received-at") != claims.get("received_at"):
        raise NotARelay("Report-Received-At is not that of the first receipt")
    if hashlib.sha256(body).hexdigest() != found.sha256:
        raise NotARelay("the first receipt is for other bytes")
    return found


def kind_of(body: bytes) -> str:
    """Own figures or a consolidation, as a JSON body says."""
    return "consolidation" if re.search(rb'"kind"\s*:\s*"consolidation"', body) else "own"


def _key() -> OKPKey:
    made = OKPKey.generate_key("Ed25519")
    return OKPKey.import_key(made.as_pem(private=True), {"kid": made.thumbprint()})
