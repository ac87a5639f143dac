"""Reading reports back: heads, rows, bytes, history, lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from gateway.domain.catalogue import Catalogue
from gateway.domain.report import Finding, Head, ReportKind, Status

HEAD_COLUMNS = """
       id, status, form_id, form_version, agency_id, period, kind, revision, corrects, received_at, late,
       encode(sha256, 'hex') AS sha256, findings::text AS findings, receipt, reason, nil,
       explanations::text AS explanations,
       extract(year FROM period_end)::smallint AS year
"""
"""What ``kept_report`` reads of the table ``reports``."""
_HEAD = f"SELECT {HEAD_COLUMNS} FROM reports "  # noqa: S608 - fixed words

_findings = msgspec.json.Decoder(list[Finding])


@dataclass(frozen=True, slots=True)
class KeptReport:
    """A report as it is kept: its head, and where its rows and bytes are."""

    head: Head
    agency_id: int
    form_id: int
    year: int
    reason: str | None
    nil: str | None
    explanations: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer kept under an idempotency key."""

    status: int
    body: bytes
    media_type: str
    location: str


@dataclass(frozen=True, slots=True)
class KeptRow:
    """One row of a report, in the order of its form version's breakdowns and indicators."""

    codes: list[str]
    figures: list[Any]
    texts: list[str | None] | None


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """Something that happened to a report."""

    event: str
    at: Any
    reason: str | None
    replaces: UUID | None
    connector: str | None


def kept_report(row: Any, catalogue: Catalogue) -> KeptReport:
    """A report from the columns of its head."""
    head = Head(
        id=row["id"],
        status=Status(row["status"]),
        form=catalogue.form_codes[row["form_id"]],
        form_version=row["form_version"],
        agency=catalogue.agencies.codes[row["agency_id"]],
        period=row["period"],
        kind=ReportKind(row["kind"]),
        revision=row["revision"],
        corrects=row["corrects"],
        received_at=row["received_at"],
        late=row["late"],
        sha256=row["sha256"],
        findings=_findings.decode(row["findings"]),
        receipt=row["receipt"],
    )
    explanations = msgspec.json.decode(row["explanations"])
    return KeptReport(head, row["agency_id"], row["form_id"], row["year"], row["reason"], row["nil"], explanations)


async def find_report(connection: Any, report: UUID, catalogue: Catalogue) -> KeptReport | None:
    """A report by its id, whoever sent it."""
    row = await connection.fetchrow(_HEAD + "WHERE id = $1", report)
    return None if row is None else kept_report(row, catalogue)


async def find_head(connection: Any, report: UUID, catalogue: Catalogue) -> Head:
    """The head of a report that is known to exist."""
    return kept_report(await connection.fetchrow(_HEAD + "WHERE id = $1", report), catalogue).head


async def find_rows(connection: Any, kept: KeptReport) -> list[KeptRow]:
    """An accepted report's rows, as they were sent."""
    rows = await connection.fetch(
        "SELECT codes, figures, texts FROM report_rows"
        " WHERE year = $1 AND agency_id = $2 AND report_id = $3 ORDER BY number",
        kept.year,
        kept.agency_id,
        kept.head.id,
    )
    return [KeptRow(row["codes"], row["figures"], row["texts"]) for row in rows]


async def find_payload(connection: Any, kept: KeptReport) -> tuple[str, bytes] | None:
    """The media type and the compressed bytes of a report."""
    row = await connection.fetchrow(
        "SELECT media_type, body FROM payloads WHERE year = $1 AND agency_id = $2 AND report_id = $3",
        kept.year,
        kept.agency_id,
        kept.head.id,
    )
    return None if row is None else (row["media_type"], row["body"])


async def find_revisions(connection: Any, kept: KeptReport, catalogue: Catalogue) -> list[KeptReport]:
    """Every kept revision of a report's key, oldest first."""
    head = kept.head
    rows = await connection.fetch(
        _HEAD + "WHERE agency_id = $1 AND form_id = $2 AND kind = $3 AND period = $4"
        " AND revision IS NOT NULL ORDER BY revision",
        kept.agency_id,
        kept.form_id,
        head.kind.value,
        head.period,
    )
    return [kept_report(row, catalogue) for row in rows]


async def find_events(connection: Any, reports: Sequence[UUID]) -> dict[UUID, list[KeptEvent]]:
    """What happened to each of some reports, oldest first."""
    rows = await connection.fetch(
        "SELECT report_id, event, at, reason, replaces,"
        " (SELECT name FROM connectors c WHERE c.id = connector_id) AS connector FROM report_events"
        " WHERE report_id = ANY ($1::uuid[]) ORDER BY seq",
        list(reports),
    )
    found: dict[UUID, list[KeptEvent]] = {report: [] for report in reports}
    for row in rows:
        found[row["report_id"]].append(
            KeptEvent(row["event"], row["at"], row["reason"], row["replaces"], row["connector"])
        )
    return found


async def find_answer(connection: Any, client: UUID, route: str, key: str) -> KeptAnswer:
    """The answer kept under an idempotency key that is known to be there."""
    row = await connection.fetchrow(
        "SELECT status, body, media_type, location FROM idempotency_keys"
        " WHERE client_id = $1 AND route = $2 AND key = $3",
        client,
        route,
        key,
    )
    return KeptAnswer(row["status"], row["body"], row["media_type"], row["location"])


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which reports to list. ``agencies`` None is all; ``before`` the last id of the page before."""

    agencies: list[int] | None
    form: int | None = None
    period: str | None = None
    kind: str | None = None
    status: str | None = None
    before: UUID | None = None
    limit: int = 100


async def find_reports(connection: Any, wanted: Wanted, catalogue: Catalogue) -> list[KeptReport]:
    """Reports, newest first."""
    rows = await connection.fetch(
        _HEAD + "WHERE ($1::int[] IS NULL OR agency_id = ANY ($1)) AND ($2::int IS NULL OR form_id = $2)"
        " AND ($3::text IS NULL OR period = $3) AND ($4::text IS NULL OR kind = $4)"
        " AND ($5::text IS NULL OR status = $5) AND ($6::uuid IS NULL OR id < $6) ORDER BY id DESC LIMIT $7",
        wanted.agencies,
        wanted.form,
        wanted.period,
        wanted.kind,
        wanted.status,
        wanted.before,
        wanted.limit,
    )
    return [kept_report(row, catalogue) for row in rows]
