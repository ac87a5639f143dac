"""Current reports as rules look at them: found by their period or its last day, with rows; and which there are."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

import msgspec


class LookUp(msgspec.Struct, frozen=True):
    """Which current report to look for: that of a period, or those of whatever period ends on a day."""

    agency: int
    form: int
    kind: str
    period: str | None
    end: date | None


class KnownReport(msgspec.Struct, frozen=True):
    """A current report that was looked for (``n``: by which look-up, from 1), with its rows' codes and figures."""

    n: int
    id: UUID
    period: str
    start: date
    end: date
    version: int
    rows: list[tuple[list[str], list[str | None]]]


LOOK_UPS = 5
"""Parameters that look-ups take in a statement."""


def found_reports(first: int) -> str:
    """A JSON list of what look-ups find, for a statement whose parameters from the ``first`` on are theirs.

    OFFSET 0 keeps each look-up a walk through an index of the agency's own reports, whatever the plan was made on.
    """
    agencies, forms, kinds, periods, ends = (f"${first + place}" for place in range(LOOK_UPS))
    return f"""
(SELECT coalesce(json_agg(json_build_object('n', l.n, 'id', p.id, 'period', p.period, 'start', p.period_start,
            'end', p.period_end, 'version', p.form_version, 'rows',
            (SELECT coalesce(json_agg(json_build_array(codes, figures::text[]) ORDER BY number), '[]')
               FROM report_rows r
              WHERE r.year = extract(year FROM p.period_end)::smallint
                AND r.agency_id = l.agency_id AND r.report_id = p.id))), '[]')::text
   FROM unnest({agencies}::int[], {forms}::int[], {kinds}::text[], {periods}::text[], {ends}::date[])
        WITH ORDINALITY AS l(agency_id, form_id, kind, period, period_end, n)
  CROSS JOIN LATERAL (
        (SELECT h.id, h.period, h.period_start, h.period_end, h.form_version FROM reports h
          WHERE h.agency_id = l.agency_id AND h.form_id = l.form_id AND h.kind = l.kind
            AND h.period_end = l.period_end AND h.status IN ('accepted', 'returned'))
        UNION ALL
        (SELECT h.id, h.period, h.period_start, h.period_end, h.form_version FROM reports h
          WHERE h.agency_id = l.agency_id AND h.form_id = l.form_id AND h.kind = l.kind
            AND h.period = l.period AND h.status IN ('accepted', 'returned'))
        OFFSET 0) p)
"""  # noqa: S608 - made of parameter numbers and fixed words


def arguments(look_ups: Sequence[LookUp]) -> list[object]:
    """The parameters of ``found_reports``."""
    return [
        [each.agency for each in look_ups],
        [each.form for each in look_ups],
        [each.kind for each in look_ups],
        [each.period for each in look_ups],
        [each.end for each in look_ups],
    ]


def decoded(found: str) -> list[KnownReport]:
    """The JSON list that ``found_reports`` gives."""
    return msgspec.json.decode(found, type=list[KnownReport])


async def find_reports(connection: Any, look_ups: Sequence[LookUp]) -> list[KnownReport]:
    """The current reports that look-ups find, in one statement and so in one snapshot."""
    return decoded(await connection.fetchval("SELECT" + found_reports(1), *arguments(look_ups)))


class CurrentKey(msgspec.Struct, frozen=True):
    """Whose current report of a form it is, and of which period."""

    agency: int
    kind: str
    period: str
    start: date
    end: date


async def current_keys(
    connection: Any, form: int, periods: Sequence[str], agencies: Sequence[int] | None, most: int
) -> list[CurrentKey]:
    """The keys of a form's current reports of some periods, by period, agency and kind; ``agencies`` None is all."""
    rows = await connection.fetch(
        "SELECT agency_id, kind, period, period_start, period_end FROM reports"
        " WHERE form_id = $1 AND period = ANY ($2::text[]) AND ($3::int[] IS NULL OR agency_id = ANY ($3))"
        " AND (status = 'accepted' OR status = 'returned') ORDER BY period_end, period, agency_id, kind LIMIT $4",
        form,
        periods,
        agencies,
        most,
    )
    return [CurrentKey(*row) for row in rows]
