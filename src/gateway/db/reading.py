"""Reading reports back: heads, rows, bytes, history, lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from gateway.domain.catalogue import Catalogue
from gateway.domain.report import Finding, Head, ReportKind, Status

HEAD_COLUMNS = """
       id, status, form_id, form_version, agency_id, period, kind, revision, corrects, received_at, late,
       encode(sha256, 'hex') AS sha256, findings::text AS findings, receipt, reason, nil, query, part,
       explanations::text AS explanations,
       extract(year FROM period_end)::smallint AS year
"""
"""What ``kept_report`` reads of the table ``reports``."""
_HEAD = f"SELECT {HEAD_COLUMNS} FROM reports "  # noqa: S608 - fixed words

_findings = msgspec.json.Decoder(list[Finding])


class KeptReport(NamedTuple):
    """A report as it is kept: its head, and where its rows and bytes are."""

    head: Head
    agency_id: int
    form_id: int
    year: int
    reason: str | None
    nil: str | None
    explanations: list[dict[str, Any]]
    query: str | None = None
    """The parameters that came with its bytes, where those are not JSON."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer kept under an idempotency key."""

    status: int
    body: bytes
    media_type: str
    location: str


class KeptRow(NamedTuple):
    """One row of a report, in the order of its form version's breakdowns and indicators."""

    codes: list[str]
    figures: list[Any]
    texts: list[str | None] | None


class WrittenRow(NamedTuple):
    """The same row with its figures as PostgreSQL writes an array of numerics."""

    codes: list[str]
    figures: str
    texts: list[str | None] | None

    def read(self) -> KeptRow:
        return KeptRow(self.codes, _numbers(self.figures), self.texts)


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
        findings=_findings.decode(row["findings"]) if row["findings"] != "[]" else [],
        receipt=row["receipt"],
        part=row["part"],
    )
    explanations = msgspec.json.decode(row["explanations"])
    return KeptReport(
        head, row["agency_id"], row["form_id"], row["year"], row["reason"], row["nil"], explanations, row["query"]
    )


async def find_report(connection: Any, report: UUID, catalogue: Catalogue) -> KeptReport | None:
    """A report by its id, whoever sent it."""
    return (await find_kept(connection, [report], catalogue)).get(report)


async def find_kept(connection: Any, reports: Sequence[UUID], catalogue: Catalogue) -> dict[UUID, KeptReport]:
    """Those of some reports that there are, by their ids."""
    rows = await connection.fetch(_HEAD + "WHERE id = ANY ($1::uuid[])", reports)
    return {row["id"]: kept_report(row, catalogue) for row in rows}


async def find_head(connection: Any, report: UUID, catalogue: Catalogue) -> Head:
    """The head of a report that is known to exist."""
    return kept_report(await connection.fetchrow(_HEAD + "WHERE id = $1", report), catalogue).head


_EACH = """
 FROM unnest($1::smallint[], $2::int[], $3::uuid[]) AS given(year, agency, report)
CROSS JOIN LATERAL (SELECT * FROM {} WHERE year = given.year AND agency_id = given.agency AND report_id = given.report
                     {}) AS kept
"""
_ROWS = "SELECT report, codes, figures::text, texts" + _EACH.format("report_rows", "ORDER BY number LIMIT $4")
_PAYLOADS = "SELECT report, media_type, body" + _EACH.format("payloads", "LIMIT 1")


async def find_rows(connection: Any, kept: KeptReport) -> list[KeptRow]:
    """An accepted report's rows, as they were sent."""
    return [row.read() for row in (await find_written_rows(connection, [kept]))[kept.head.id]]


async def find_written_rows(
    connection: Any, kept: Sequence[KeptReport], at_most: int | None = None
) -> dict[UUID, list[WrittenRow]]:
    """The rows of accepted reports by the ids of the reports, without those that have too many."""
    found: dict[UUID, list[WrittenRow]] = {each.head.id: [] for each in kept}
    limit = None if at_most is None else at_most + 1
    for report, *row in await connection.fetch(_ROWS, *_places(kept), limit):
        found[report].append(WrittenRow(*row))
    return found if at_most is None else {report: rows for report, rows in found.items() if len(rows) <= at_most}


async def find_payload(connection: Any, kept: KeptReport) -> tuple[str, bytes] | None:
    """The media type and the compressed bytes of a report."""
    return (await find_payloads(connection, [kept])).get(kept.head.id)


async def find_payloads(connection: Any, kept: Sequence[KeptReport]) -> dict[UUID, tuple[str, bytes]]:
    """The media types and the compressed bytes of reports, by their ids."""
    return await payloads_at(connection, *_places(kept))


async def payloads_at(
    connection: Any, years: Sequence[int], agencies: Sequence[int], reports: Sequence[UUID]
) -> dict[UUID, tuple[str, bytes]]:
    """The same, by where they are."""
    rows = await connection.fetch(_PAYLOADS, years, agencies, reports)
    return {report: (media_type, body) for report, media_type, body in rows}


async def rows_at(
    connection: Any, years: Sequence[int], agencies: Sequence[int], reports: Sequence[UUID]
) -> dict[UUID, list[KeptRow]]:
    """The rows of reports, by where they are."""
    found: dict[UUID, list[KeptRow]] = {}
    for report, codes, figures, texts in await connection.fetch(_ROWS, years, agencies, reports, None):
        found.setdefault(report, []).append(KeptRow(codes, _numbers(figures), texts))
    return found


def _numbers(array: str) -> list[Decimal | None]:
    """An array of numerics as PostgreSQL writes it: the driver takes six times as long for its binary form."""
    return [None if each == "NULL" else Decimal(each) for each in array[1:-1].split(",")] if array != "{}" else []


def _places(kept: Sequence[KeptReport]) -> tuple[list[int], list[int], list[UUID]]:
    """The keys of what hangs on reports: years, agencies and ids."""
    return [each.year for each in kept], [each.agency_id for each in kept], [each.head.id for each in kept]


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
