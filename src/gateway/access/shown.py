"""What whoever manages clients sees of them."""

from typing import Any

from sqlalchemy import Row

from gateway.access.documents import LimitsDocument
from gateway.db.clients import KeptClient


def client_shown(kept: KeptClient) -> dict[str, Any]:
    """A client as whoever manages it sees it."""
    row = kept.row
    uses = [each.last_used_at for each in kept.credentials if each.last_used_at is not None]
    return {
        "id": row.id,
        "name": row.name,
        "agency": row.agency,
        "scopes": row.scopes,
        "made_at": row.made_at,
        "made_by": row.made_by,
        "revoked_at": row.revoked_at,
        "last_used_at": max(uses, default=None),
        "certificate_bound": row.certificate_bound,
        "limits": {each: getattr(row, each) for each in LimitsDocument.model_fields},
        "credentials": [_credential_shown(each) for each in kept.credentials],
    }


def _credential_shown(row: Row[Any]) -> dict[str, Any]:
    keys = None if row.keys is None else [{"kid": key["kid"], "alg": key["alg"]} for key in row.keys["keys"]]
    return {"keys": keys} | {
        name: getattr(row, name)
        for name in (
            "id",
            "kind",
            "uri",
            "valid_from",
            "expires_at",
            "revoked_at",
            "last_used_at",
            "last_address",
        )
    }
