"""What pushes have to be judged by, in one statement and so in one snapshot, however many they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from gateway.db.planning import planned_once
from gateway.db.related import KnownReport, LookUp, arguments, decoded, found_reports


class KeyQuery(msgspec.Struct, frozen=True):
    """What must be known about one push, besides the reports that its rules look at.

    ``report`` is the id that it brings along, if it comes by way of another gateway.
    """

    agency: int
    form: int
    kind: str
    period: str
    client: UUID
    route: str
    key: str | None
    report: UUID | None = None


class KnownRevision(msgspec.Struct, frozen=True):
    """A kept revision of a push's key (``n``: which push). ``relayed``: its number where it was taken first.

    ``query`` and ``part``: what was said of its bytes beside them, where they are not JSON.
    """

    n: int
    id: UUID
    revision: int
    status: str
    late: bool | None
    sha256: str
    returned_at: datetime | None
    relayed: int | None
    query: str | None
    part: int | None


class KnownKey(msgspec.Struct, frozen=True):
    """An answer kept under a push's idempotency key."""

    n: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What was known when the pushes were judged, and when that was by the database's clock.

    ``reports`` are those ids of the pushes that reports have already, of whichever key.
    """

    at: datetime
    catalogue: int
    revisions: list[KnownRevision]
    related: list[KnownReport]
    keys: list[KnownKey]
    reports: frozenset[UUID]


# OFFSET 0 keeps each look-up a walk through its index for one push at a time: a plan made while the tables were
# empty, and kept by the connection, would otherwise read them whole for ever after.
_STANDING = """
WITH asked AS (
    SELECT * FROM unnest($1::int[], $2::int[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::uuid[])
        WITH ORDINALITY AS a(agency_id, form_id, kind, period, client_id, route, key, report_id, n)
)
SELECT
    clock_timestamp() AS at,
    (SELECT coalesce(max(revision), 0) FROM catalog_revisions) AS catalogue,
    (SELECT coalesce(json_agg(r.found), '[]')::text FROM asked a CROSS JOIN LATERAL (
        SELECT json_build_object('n', a.n, 'id', h.id, 'revision', h.revision, 'status', h.status,
                                 'late', h.late, 'sha256', encode(h.sha256, 'hex'), 'returned_at',
                                 (SELECT max(at) FROM report_events e
                                   WHERE e.report_id = h.id AND e.event = 'returned'),
                                 'relayed', (SELECT l.revision FROM relays l WHERE l.report_id = h.id),
                                 'query', h.query, 'part', h.part) AS found
          FROM reports h
         WHERE h.agency_id = a.agency_id AND h.form_id = a.form_id AND h.kind = a.kind AND h.period = a.period
           AND h.revision IS NOT NULL OFFSET 0) r) AS revisions,
    {} AS related,
    (SELECT coalesce(json_agg(k.found), '[]')::text FROM asked a CROSS JOIN LATERAL (
        SELECT json_build_object('n', a.n, 'fingerprint', encode(i.fingerprint, 'hex')) AS found
          FROM idempotency_keys i
         WHERE i.client_id = a.client_id AND i.route = a.route AND i.key = a.key OFFSET 0) k) AS keys,
    CASE WHEN array_remove($8::uuid[], NULL) <> '{{}}' THEN known_reports($8::uuid[]) END AS reports
"""
_ALONE = planned_once(_STANDING.format("'[]'"))
_RELATED = planned_once(_STANDING.format(found_reports(9)))


async def read_standing(connection: Any, queries: Sequence[KeyQuery], look_ups: Sequence[LookUp]) -> Standing:
    """Everything the pushes have to be judged by, in one statement and so in one snapshot."""
    row = await connection.fetchrow(
        _RELATED if look_ups else _ALONE,
        [each.agency for each in queries],
        [each.form for each in queries],
        [each.kind for each in queries],
        [each.period for each in queries],
        [each.client for each in queries],
        [each.route for each in queries],
        [each.key for each in queries],
        [each.report for each in queries],
        *(arguments(look_ups) if look_ups else ()),
    )
    return Standing(
        row["at"],
        row["catalogue"],
        msgspec.json.decode(row["revisions"], type=list[KnownRevision]),
        decoded(row["related"]),
        msgspec.json.decode(row["keys"], type=list[KnownKey]),
        frozenset(row["reports"] or ()),
    )
