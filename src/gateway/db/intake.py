"""Storing what was decided of pushes: the second of the intake's two statements (the first: ``db/known.py``).

Both take any number of pushes at once, and each is a transaction of its own, so that a report costs two round
trips and one commit however it comes. What the second relies on is checked again inside it: a clash with
another writer undoes all of it (``Overtaken``), and the pushes are judged again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import asyncpg

from gateway.db.base import Overtaken
from gateway.db.log import ADD, columns_of
from gateway.db.planning import planned_once
from gateway.db.relays import KeptRelay
from gateway.db.signatures import KeptSignature
from gateway.domain.entry import NewEntry

ROW_SEPARATOR = "\x1e"
"""The character between rows in one value; no code, figure or text of a report holds it."""


@dataclass(frozen=True, slots=True)
class NewReport:
    """A judged report as it is stored.

    ``codes``, ``figures`` and ``texts`` hold one PostgreSQL array literal a row, joined by ``ROW_SEPARATOR``: one
    value to send instead of one for each row. None where there are no rows, or no texts.
    """

    id: UUID
    agency: int
    form: int
    version: int
    period: str
    start: date
    end: date
    kind: str
    revision: int | None
    status: str
    counted: bool
    nil: str | None
    corrects: UUID | None
    ends: UUID | None
    reason: str | None
    client: UUID
    received_at: datetime
    late: bool | None
    sha256: bytes
    findings: str
    explanations: str
    receipt: str | None
    media_type: str
    body: bytes
    codes: str | None
    figures: str | None
    texts: str | None
    parts: Sequence[UUID] = ()
    relay: KeptRelay | None = None
    signature: KeptSignature | None = None
    query: str | None = None
    part: int | None = None


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """An accepted report's way to one connector."""

    id: UUID
    connector: int
    report: UUID
    event: str
    reason: str | None
    agency: int
    form: int
    period: str
    kind: str


@dataclass(frozen=True, slots=True)
class NewKey:
    """The answer to keep under an idempotency key."""

    client: UUID
    route: str
    key: str
    fingerprint: bytes
    status: int
    location: str
    media_type: str
    body: bytes


_SIGNED = """, signed AS (
    INSERT INTO report_signatures (report_id, jws, subject, issuer, serial, fingerprint, signed_at, trusted)
    SELECT * FROM unnest($61::uuid[], $62::text[], $63::text[], $64::text[], $65::text[], $66::text[],
             $67::timestamptz[], $68::boolean[])
)"""


def _storing(more: str = "") -> str:
    """The statement that stores, with another part where there is one."""
    return rf"""
WITH ended AS (
    UPDATE reports SET status = 'superseded', ended_xid = coalesce(ended_xid, pg_current_xact_id())
     WHERE ctid = ANY (ARRAY(SELECT place FROM unnest($2::uuid[]) AS e(id) CROSS JOIN LATERAL (
                              SELECT ctid AS place FROM reports r WHERE r.id = e.id OFFSET 0) AS h))
       AND status IN ('accepted', 'returned') RETURNING id
), heads AS (
    INSERT INTO reports (id, agency_id, form_id, form_version, period, period_start, period_end, kind, revision,
        status, nil, corrects, reason, client_id, received_at, late, sha256, findings, explanations, receipt, counted,
        query, part)
    SELECT id, agency_id, form_id, form_version, period, period_start, period_end, kind, revision,
        status, nil, corrects, reason, client_id, received_at, late, sha256, findings, explanations, receipt, counted,
        query, part
      FROM unnest($3::uuid[], $4::int[], $5::int[], $6::smallint[], $7::text[], $8::date[], $9::date[], $10::text[],
             $11::int[], $12::text[], $13::text[], $14::uuid[], $15::text[], $16::uuid[], $17::timestamptz[],
             $18::boolean[], $19::bytea[], $20::jsonb[], $21::jsonb[], $22::text[], $45::boolean[],
             $54::text[], $55::int[])
        AS h(id, agency_id, form_id, form_version, period, period_start, period_end, kind, revision,
             status, nil, corrects, reason, client_id, received_at, late, sha256, findings, explanations, receipt,
             counted, query, part)
     WHERE (SELECT count(*) FROM ended) >= 0  -- the old revision ends before the new one becomes current
), bodies AS (
    INSERT INTO payloads (year, agency_id, report_id, media_type, body)
    SELECT extract(year FROM period_end)::smallint, agency_id, id, media_type, body
      FROM unnest($9::date[], $4::int[], $3::uuid[], $23::text[], $24::bytea[])
        AS b(period_end, agency_id, id, media_type, body)
), rows AS (
    INSERT INTO report_rows (year, agency_id, report_id, number, codes, figures, texts)
    SELECT extract(year FROM period_end)::smallint, agency_id, id, number - 1,
           row_codes::text[], row_figures::numeric[], row_texts::text[]
      FROM unnest($9::date[], $4::int[], $3::uuid[], $25::text[], $26::text[], $27::text[])
        AS h(period_end, agency_id, id, codes, figures, texts)
     CROSS JOIN LATERAL ROWS FROM (string_to_table(codes, E'\x1e'), string_to_table(figures, E'\x1e'),
                                   string_to_table(texts, E'\x1e'))
           WITH ORDINALITY AS r(row_codes, row_figures, row_texts, number)
), events AS (
    INSERT INTO report_events (report_id, event, at, client_id, reason, replaces)
    SELECT id, CASE WHEN corrects IS NULL THEN 'accepted' ELSE 'corrected' END, (SELECT clock_timestamp()), client_id,
           reason, corrects
      FROM unnest($3::uuid[], $12::text[], $14::uuid[], $15::text[], $16::uuid[])
        AS e(id, status, corrects, reason, client_id)
     WHERE status = 'accepted'
), outbox AS (
    INSERT INTO deliveries (id, connector_id, report_id, event, reason, agency_id, form_id, period, kind)
    SELECT * FROM unnest($28::uuid[], $29::int[], $30::uuid[], $31::text[], $32::text[], $33::int[], $34::int[],
             $35::text[], $36::text[])
), lineage AS (
    INSERT INTO consolidation_parts (report_id, part_id) SELECT * FROM unnest($46::uuid[], $47::uuid[])
), relayed AS (
    INSERT INTO relays (report_id, issuer, received_at, revision, receipt, client_id)
    SELECT * FROM unnest($48::uuid[], $49::text[], $50::timestamptz[], $51::int[], $52::text[], $53::uuid[])
), answers AS (
    INSERT INTO idempotency_keys (client_id, route, key, fingerprint, status, location, media_type, body)
    SELECT * FROM unnest($37::uuid[], $38::text[], $39::text[], $40::bytea[], $41::smallint[], $42::text[],
             $43::text[], $44::bytea[])
), logged AS ({ADD.format("$56", "$57", "$58", "$59", "$60")}){more}
SELECT require((SELECT max(revision) FROM catalog_revisions) = $1::bigint, 'the catalogue moved'),
       require((SELECT count(*) FROM ended) = cardinality($2::uuid[]), 'a corrected report moved')
"""  # noqa: S608 - fixed words


_STORE, _STORE_SIGNED = planned_once(_storing()), planned_once(_storing(_SIGNED))
"""Nearly all reports are signed by nobody: what stores those does nothing about signatures."""


async def store(
    connection: Any,
    catalogue: int,
    reports: Sequence[NewReport],
    deliveries: Sequence[NewDelivery],
    keys: Sequence[NewKey],
    entries: Sequence[NewEntry],
) -> None:
    """Store judged reports with all that hangs on them, their entries of the log included, or nothing.

    Raises ``Overtaken`` when another writer stored a revision, ended a report, used a key or changed the
    catalogue since ``read_standing``.
    """
    arguments: list[object] = [
        catalogue,
        [each.ends for each in reports if each.ends is not None],
        [each.id for each in reports],
        [each.agency for each in reports],
        [each.form for each in reports],
        [each.version for each in reports],
        [each.period for each in reports],
        [each.start for each in reports],
        [each.end for each in reports],
        [each.kind for each in reports],
        [each.revision for each in reports],
        [each.status for each in reports],
        [each.nil for each in reports],
        [each.corrects for each in reports],
        [each.reason for each in reports],
        [each.client for each in reports],
        [each.received_at for each in reports],
        [each.late for each in reports],
        [each.sha256 for each in reports],
        [each.findings for each in reports],
        [each.explanations for each in reports],
        [each.receipt for each in reports],
        [each.media_type for each in reports],
        [each.body for each in reports],
        [each.codes for each in reports],
        [each.figures for each in reports],
        [each.texts for each in reports],
        [each.id for each in deliveries],
        [each.connector for each in deliveries],
        [each.report for each in deliveries],
        [each.event for each in deliveries],
        [each.reason for each in deliveries],
        [each.agency for each in deliveries],
        [each.form for each in deliveries],
        [each.period for each in deliveries],
        [each.kind for each in deliveries],
        [each.client for each in keys],
        [each.route for each in keys],
        [each.key for each in keys],
        [each.fingerprint for each in keys],
        [each.status for each in keys],
        [each.location for each in keys],
        [each.media_type for each in keys],
        [each.body for each in keys],
        [each.counted for each in reports],
        [each.id for each in reports for _ in each.parts],
        [part for each in reports for part in each.parts],
        *_relayed([(each.id, each.relay) for each in reports if each.relay is not None]),
        [each.query for each in reports],
        [each.part for each in reports],
        *columns_of(entries),
    ]
    signed = [(each.id, each.signature) for each in reports if each.signature is not None]
    try:
        if signed:
            await connection.fetchrow(_STORE_SIGNED, *arguments, *_signed(signed))
        else:
            await connection.fetchrow(_STORE, *arguments)
    except asyncpg.UniqueViolationError as error:
        raise Overtaken(error.constraint_name) from error
    except asyncpg.DeadlockDetectedError as error:  # the same keys in another order: PostgreSQL undid one of us
        raise Overtaken(str(error)) from error
    except asyncpg.PostgresError as error:
        if error.sqlstate != "GW001":
            raise
        raise Overtaken(str(error)) from error


def _relayed(found: Sequence[tuple[UUID, KeptRelay]]) -> list[list[object]]:
    return [
        [report for report, _ in found],
        [relay.issuer for _, relay in found],
        [relay.received_at for _, relay in found],
        [relay.revision for _, relay in found],
        [relay.receipt for _, relay in found],
        [relay.client_id for _, relay in found],
    ]


def _signed(found: Sequence[tuple[UUID, KeptSignature]]) -> list[list[object]]:
    signers = [signature.signer for _, signature in found]
    return [
        [report for report, _ in found],
        [signature.jws for _, signature in found],
        [signer.subject for signer in signers],
        [signer.issuer for signer in signers],
        [signer.serial for signer in signers],
        [signer.fingerprint for signer in signers],
        [signer.signed_at for signer in signers],
        [signature.trusted for _, signature in found],
    ]
