"""Reports that came by way of another gateway: their first receipts, and the issuers whose receipts are trusted."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from gateway.db.base import Instant, metadata

relays = sa.Table(
    "relays",
    metadata,
    sa.Column("report_id", sa.Uuid, primary_key=True),
    # Whoever took the report first, and its word for that: when, and as which revision there.
    sa.Column("issuer", sa.Text, nullable=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("receipt", sa.Text, nullable=False),
    # The gateway that it came from last.
    sa.Column("client_id", sa.Uuid, nullable=False),
)

trusted_issuers = sa.Table(
    "trusted_issuers",
    metadata,
    sa.Column("client_id", sa.ForeignKey("clients.id"), primary_key=True),
    sa.Column("issuer", sa.Text, primary_key=True),
    # A JSON Web Key Set (RFC 7517) of public keys: the issuer's old ones are kept when new ones are added.
    sa.Column("keys", JSONB, nullable=False),
    sa.Column("changed_at", Instant, nullable=False, server_default=sa.func.now()),
)


@dataclass(frozen=True, slots=True)
class KeptRelay:
    """The first receipt of a report that came by way of another gateway, and the client that brought it."""

    issuer: str
    received_at: datetime
    revision: int
    receipt: str
    client_id: UUID


async def find_relay(connection: Any, report: UUID) -> KeptRelay | None:
    """How a report came; None where it was pushed here."""
    return (await find_relays(connection, [report])).get(report)


async def find_relays(connection: Any, reports: Sequence[UUID]) -> dict[UUID, KeptRelay]:
    """How those of some reports came that were not pushed here, by their ids."""
    rows = await connection.fetch(
        "SELECT report_id, issuer, received_at, revision, receipt, client_id FROM relays"
        " WHERE report_id = ANY ($1::uuid[])",
        reports,
    )
    return {report: KeptRelay(*rest) for report, *rest in rows}


async def find_issuer_keys(connection: Any, client: UUID, issuer: str) -> dict[str, Any] | None:
    """The key set by which a client's receipts of an issuer are verified; None where it is not trusted."""
    kept = await connection.fetchval(
        "SELECT keys::text FROM trusted_issuers WHERE client_id = $1 AND issuer = $2", client, issuer
    )
    found: dict[str, Any] | None = None if kept is None else json.loads(kept)
    return found


async def trust_issuer(connection: Any, client: UUID, issuer: str, keys: list[dict[str, Any]]) -> int:
    """Take receipts of an issuer from a client; keys that were known stay. How many keys there are now."""
    async with connection.transaction():
        await connection.execute("SELECT FROM clients WHERE id = $1 FOR UPDATE", client)
        known = await find_issuer_keys(connection, client, issuer) or {"keys": []}
        given = {key["kid"] for key in keys}
        merged = [key for key in known["keys"] if key["kid"] not in given] + keys
        await connection.execute(
            "INSERT INTO trusted_issuers (client_id, issuer, keys) VALUES ($1, $2, $3::jsonb)"
            " ON CONFLICT (client_id, issuer) DO UPDATE SET keys = excluded.keys, changed_at = now()",
            client,
            issuer,
            json.dumps({"keys": merged}),
        )
        return len(merged)
