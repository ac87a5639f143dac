"""What has come in for a period: the current report of each agency, without its figures."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from gateway.domain.calendar import civil_date
from gateway.domain.obligation import Standing
from gateway.domain.period import Period
from gateway.domain.report import Nil, ReportKind, Status

Key = tuple[int, Period, int, ReportKind]
"""Storage key of the form, period, storage key of the agency, and kind."""
Name = tuple[int, str, int, ReportKind]
"""The same with the period's code."""
Standings = dict[Name, Standing]

_COLUMNS = """h.form_id, h.period, h.agency_id, h.kind, h.id, h.revision, h.status, h.nil, h.late, h.received_at,
       CASE WHEN h.status = 'returned' THEN
           (SELECT max(at) FROM report_events e WHERE e.report_id = h.id AND e.event = 'returned') END AS returned_at"""

_OF_PERIODS = f"""
SELECT {_COLUMNS}
  FROM unnest($1::int[], $2::text[]) AS a(form_id, period)
 CROSS JOIN LATERAL (
    SELECT * FROM reports WHERE form_id = a.form_id AND period = a.period AND status = 'accepted'
     UNION ALL
    SELECT * FROM reports WHERE form_id = a.form_id AND period = a.period AND status = 'returned') h
"""  # noqa: S608 - fixed words

# OFFSET 0 keeps this a walk through the index of current reports, one obligation at a time.
_OF_AGENCIES = f"""
SELECT h.* FROM unnest($1::int[], $2::text[], $3::int[], $4::text[], $5::date[])
                AS a(form_id, period, agency_id, kind, period_end)
 CROSS JOIN LATERAL (
    SELECT {_COLUMNS} FROM reports h
     WHERE h.agency_id = a.agency_id AND h.form_id = a.form_id AND h.kind = a.kind
       AND h.period_end = a.period_end AND h.period = a.period
       AND h.status IN ('accepted', 'returned') OFFSET 0) h
"""  # noqa: S608 - fixed words


async def standings_of_periods(connection: Any, asked: Sequence[tuple[int, str]]) -> Standings:
    """The current reports of everybody for some (storage key of the form, period)."""
    rows = await connection.fetch(_OF_PERIODS, [form for form, _ in asked], [period for _, period in asked])
    return _by_key(rows)


async def standings_of(connection: Any, asked: Sequence[Key]) -> Standings:
    """The current reports for some (storage key of the form, period, storage key of the agency, kind)."""
    rows = await connection.fetch(
        _OF_AGENCIES,
        [form for form, _, _, _ in asked],
        [period.code for _, period, _, _ in asked],
        [agency for _, _, agency, _ in asked],
        [kind.value for _, _, _, kind in asked],
        [period.end for _, period, _, _ in asked],
    )
    return _by_key(rows)


# The unique index of revisions leads to them; OFFSET 0 as above.
_RETURNS = """
SELECT a.form_id, a.period, a.agency_id, a.kind, max(e.at) AS returned_at
  FROM unnest($1::int[], $2::text[], $3::int[], $4::text[]) AS a(form_id, period, agency_id, kind)
 CROSS JOIN LATERAL (
    SELECT h.id FROM reports h
     WHERE h.agency_id = a.agency_id AND h.form_id = a.form_id AND h.kind = a.kind AND h.period = a.period
       AND h.revision IS NOT NULL OFFSET 0) h
  JOIN report_events e ON e.report_id = h.id AND e.event = 'returned'
 GROUP BY 1, 2, 3, 4
"""


async def last_returns(connection: Any, asked: Sequence[Key]) -> dict[Name, date]:
    """The day on which a report was last returned, whatever has become of it since."""
    rows = await connection.fetch(
        _RETURNS,
        [form for form, _, _, _ in asked],
        [period.code for _, period, _, _ in asked],
        [agency for _, _, agency, _ in asked],
        [kind.value for _, _, _, kind in asked],
    )
    return {
        (row["form_id"], row["period"], row["agency_id"], _KINDS[row["kind"]]): civil_date(row["returned_at"])
        for row in rows
    }


def _by_key(rows: Sequence[Any]) -> Standings:
    return {(row["form_id"], row["period"], row["agency_id"], _KINDS[row["kind"]]): _standing(row) for row in rows}


_KINDS = {kind.value: kind for kind in ReportKind}
_STATUSES = {status.value: status for status in Status}
_NILS = {None: None} | {nil.value: nil for nil in Nil}


def _standing(row: Any) -> Standing:
    returned = row["returned_at"]
    return Standing(
        row["id"],
        row["revision"],
        _STATUSES[row["status"]],
        _NILS[row["nil"]],
        row["late"],
        row["received_at"],
        None if returned is None else civil_date(returned),
    )
