"""Erasures: that the bytes and the texts of a report are gone, who had it done, when and why. Only added to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from gateway.db.base import Instant, metadata

erasures = sa.Table(
    "erasures",
    metadata,
    sa.Column("report_id", sa.Uuid, primary_key=True),
    sa.Column("at", Instant, nullable=False, server_default=sa.func.now()),
    # Whoever gave the command says who ordered it: it is no client of the API.
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Erasure:
    """What is left where the bytes were."""

    at: datetime
    by: str
    reason: str


async def find_erasures(connection: Any, reports: Sequence[UUID]) -> dict[UUID, Erasure]:
    """Those of some reports that were erased."""
    rows = await connection.fetch(
        "SELECT report_id, at, by, reason FROM erasures WHERE report_id = ANY ($1::uuid[])", reports
    )
    return {row["report_id"]: Erasure(row["at"], row["by"], row["reason"]) for row in rows}


_ERASE_WHERE_IT_LIES = (
    "UPDATE report_rows SET texts = array_fill(NULL::text, ARRAY[cardinality(texts)])"
    " WHERE report_id = $1 AND agency_id = $2 AND year = $3 AND cardinality(texts) > 0",
    "DELETE FROM payloads WHERE report_id = $1 AND agency_id = $2 AND year = $3",
)
_ERASE = (
    # What came beside the bytes says as much as they do, and the signature has it too; without bytes it proves nothing.
    "DELETE FROM report_signatures WHERE report_id = $1",
    "UPDATE reports SET reason = NULL, explanations = '[]', query = left(query, 0) WHERE id = $1",
    "UPDATE report_events SET reason = NULL WHERE report_id = $1",
    "UPDATE deliveries SET reason = NULL WHERE report_id = $1",
    "UPDATE attempts SET reply = NULL WHERE delivery_id IN (SELECT id FROM deliveries WHERE report_id = $1)",
)


async def is_on_its_way(connection: Any, report: UUID) -> bool:
    """Whether a delivery of a report has not ended; and keep others from beginning it again meanwhile."""
    rows = await connection.fetch("SELECT state FROM deliveries WHERE report_id = $1 FOR UPDATE", report)
    return any(row["state"] in {"pending", "sending"} for row in rows)


async def erase_report(
    connection: Any, place: tuple[UUID, int, int], commitments: Sequence[bytes], by: str, reason: str
) -> None:
    """Erase a report's bytes and all texts that people wrote, with those beside the log; its figures stay.

    ``place`` is its id, its agency's storage key and its year.
    """
    report, *_ = place
    for statement in _ERASE_WHERE_IT_LIES:
        await connection.execute(statement, *place)
    for statement in _ERASE:
        await connection.execute(statement, report)
    await connection.execute("DELETE FROM log_texts WHERE commitment = ANY ($1::bytea[])", commitments)
    await connection.execute("INSERT INTO erasures (report_id, by, reason) VALUES ($1, $2, $3)", report, by, reason)
