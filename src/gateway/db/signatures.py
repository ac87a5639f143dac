"""Signatures of reports as they came, and who may sign for which agency."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from gateway.db.base import Instant, metadata
from gateway.domain.signature import Signer

report_signatures = sa.Table(
    "report_signatures",
    metadata,
    sa.Column("report_id", sa.Uuid, primary_key=True),
    # The detached JWS as it came: with the report's bytes it can be verified by anybody, at any time.
    sa.Column("jws", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("issuer", sa.Text, nullable=False),
    sa.Column("serial", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("signed_at", Instant, nullable=False),
    # Whether it held, and its signer was trusted for the agency, when the report came.
    sa.Column("trusted", sa.Boolean, nullable=False),
)

signers = sa.Table(
    "signers",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("agency_id", sa.Integer, nullable=False),
    # The holder's name in the certificate (RFC 4514): it stays when a certificate is renewed.
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("registered_at", Instant, nullable=False, server_default=sa.func.now()),
    sa.Column("registered_by", sa.Uuid),
    sa.Column("ended_at", Instant),
    sa.Index("uq_signers_current", "agency_id", "subject", unique=True, postgresql_where=sa.text("ended_at is null")),
    sa.Index(None, "subject"),
)


@dataclass(frozen=True, slots=True)
class KeptSignature:
    """A report's signature as it is kept."""

    jws: str
    signer: Signer
    trusted: bool


async def find_signature(connection: Any, report: UUID) -> KeptSignature | None:
    """The signature of a report; None of one that is not signed."""
    return (await find_signatures(connection, [report])).get(report)


async def find_signatures(connection: Any, reports: Sequence[UUID]) -> dict[UUID, KeptSignature]:
    """The signatures of those of some reports that are signed, by their ids."""
    rows = await connection.fetch(
        "SELECT report_id, jws, trusted, subject, issuer, serial, fingerprint, signed_at FROM report_signatures"
        " WHERE report_id = ANY ($1::uuid[])",
        reports,
    )
    return {report: KeptSignature(jws, Signer(*signer), trusted) for report, jws, trusted, *signer in rows}


async def find_signed_for(connection: Any, subject: str, at: datetime) -> list[int]:
    """The agencies that a signer may sign for, or might at a time."""
    rows = await connection.fetch(
        "SELECT DISTINCT agency_id FROM signers WHERE subject = $1 AND (ended_at IS NULL OR ended_at > $2)", subject, at
    )
    return [row["agency_id"] for row in rows]


async def find_signers(connection: Any, agency: int) -> list[tuple[str, datetime]]:
    """Who may sign for an agency, and since when they are registered."""
    rows = await connection.fetch(
        "SELECT subject, registered_at FROM signers WHERE agency_id = $1 AND ended_at IS NULL ORDER BY subject", agency
    )
    return [(row["subject"], row["registered_at"]) for row in rows]


async def set_signers(connection: Any, agency: int, subjects: Sequence[str], by: UUID | None) -> bool:
    """Have exactly these sign for an agency from now on; who might before stays on record. Whether it changed who may.

    In a transaction.
    """
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext('signers'), $1)", agency)
    ended = await connection.fetch(
        "UPDATE signers SET ended_at = now() WHERE agency_id = $1 AND ended_at IS NULL AND NOT subject = ANY ($2)"
        " RETURNING 1",
        agency,
        list(subjects),
    )
    added = await connection.fetch(
        "INSERT INTO signers (agency_id, subject, registered_by) SELECT $1, given, $3 FROM unnest($2::text[]) given"
        " WHERE NOT EXISTS (SELECT FROM signers s WHERE s.agency_id = $1 AND s.subject = given"
        " AND s.ended_at IS NULL) RETURNING 1",
        agency,
        list(subjects),
        by,
    )
    return bool(ended or added)
