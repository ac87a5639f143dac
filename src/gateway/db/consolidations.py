"""Consolidations in storage: the reports each was made from, and the rows of those."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from gateway.db.reading import KeptRow


@dataclass(frozen=True, slots=True)
class PartRows:
    """What a consolidation takes from one report: its form version, rows and explanations."""

    agency_id: int
    form_version: int
    explanations: list[dict[str, Any]]
    rows: list[KeptRow]


@dataclass(frozen=True, slots=True)
class KeptPart:
    """A report that a consolidation was made from, as it is now."""

    report: UUID
    agency_id: int
    kind: str
    revision: int
    status: str


async def find_part_rows(connection: Any, reports: Sequence[UUID]) -> dict[UUID, PartRows]:
    """The rows of reports, as they were sent."""
    heads = await connection.fetch(
        "SELECT id, agency_id, form_version, explanations::text AS explanations,"
        " extract(year FROM period_end)::smallint AS year FROM reports WHERE id = ANY ($1::uuid[])",
        list(reports),
    )
    found = {
        head["id"]: PartRows(head["agency_id"], head["form_version"], msgspec.json.decode(head["explanations"]), [])
        for head in heads
    }
    rows = await connection.fetch(
        "SELECT report_id, codes, figures, texts FROM report_rows"
        " WHERE year = ANY ($1::smallint[]) AND agency_id = ANY ($2::int[]) AND report_id = ANY ($3::uuid[])"
        " ORDER BY report_id, number",
        sorted({head["year"] for head in heads}),
        [head["agency_id"] for head in heads],
        list(reports),
    )
    for row in rows:
        found[row["report_id"]].rows.append(KeptRow(row["codes"], row["figures"], row["texts"]))
    return found


async def find_parts(connection: Any, report: UUID) -> list[KeptPart]:
    """The reports that a consolidation was made from, by agency; none for a report that came from outside."""
    rows = await connection.fetch(
        "SELECT r.id, r.agency_id, r.kind, r.revision, r.status FROM consolidation_parts p"
        " JOIN reports r ON r.id = p.part_id WHERE p.report_id = $1 ORDER BY r.agency_id, r.kind DESC",
        report,
    )
    return [KeptPart(row["id"], row["agency_id"], row["kind"], row["revision"], row["status"]) for row in rows]


async def find_consolidations(
    connection: Any,
    form: int | None,
    period: str | None,
    agencies: Sequence[int] | None,
    before: UUID | None,
    limit: int,
) -> list[UUID]:
    """Current consolidations that were made here, newest first."""
    rows = await connection.fetch(
        "SELECT id FROM reports r WHERE kind = 'consolidation' AND status IN ('accepted', 'returned')"
        " AND EXISTS (SELECT FROM consolidation_parts p WHERE p.report_id = r.id)"
        " AND ($1::int IS NULL OR form_id = $1) AND ($2::text IS NULL OR period = $2)"
        " AND ($3::int[] IS NULL OR agency_id = ANY ($3)) AND ($4::uuid IS NULL OR id < $4) ORDER BY id DESC LIMIT $5",
        form,
        period,
        agencies,
        before,
        limit,
    )
    return [row["id"] for row in rows]
