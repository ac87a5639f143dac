"""Looking up the reports that rules look at: by an index of the agency's own, whatever the plan was made on."""

import os

import asyncpg
import pytest

from gateway.db.related import found_reports
from gateway.db.roles import Role
from gateway_under_test import databases, run

OWN = {"uq_reports_current", "uq_reports_agency_id_form_id_kind_period_revision"}
"""Indexes that begin with the agency: whoever looks through them meets no other agency's reports."""
_FILL = """
INSERT INTO reports (id, agency_id, form_id, form_version, period, period_start, period_end, kind, revision, status,
                     client_id, received_at, sha256, findings, explanations, receipt)
SELECT gen_random_uuid(), agency, 1, 1, '2098-Q3', '2098-06-15', '2098-09-14', 'own', 1, 'accepted',
       gen_random_uuid(), now(), '', '[]', '[]', '-' FROM generate_series(1, $1) AS agency
"""


async def _walks(url: str, reports: int, is_analysed: bool) -> set[str]:
    """The indexes by which PostgreSQL would look reports up for a request of one agency, whatever is asked for."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(_FILL, reports)
        if is_analysed:
            await connection.execute("ANALYZE reports")
        await connection.execute(f"SET ROLE {Role.api}; SET gateway.subtree = '{{1}}'")
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        await connection.execute("PREPARE look(int[], int[], text[], text[], date[]) AS SELECT" + found_reports(1))
        lines = await connection.fetch("EXPLAIN EXECUTE look('{1}', '{1}', '{own}', '{2026-Q1}', '{2026-03-14}')")
    finally:
        await connection.close()
    scans = [line[0] for line in lines if " on reports " in line[0]]
    return {line.split("Scan using ")[1].split(" on ")[0] for line in scans}


@pytest.mark.parametrize(
    ("reports", "is_analysed"), [(0, False), (640, False), (640, True), (20_000, False), (20_000, True)]
)
def test_a_look_up_meets_no_reports_of_others_whatever_its_plan_was_made_on(
    database_url: str, tmp_path_factory: pytest.TempPathFactory, reports: int, is_analysed: bool
) -> None:
    """On a database of its own: in that of the other tests, what they left behind may have been analysed.

    Analysed while empty, a table is read whole, index or not; PostgreSQL analyses it again, and drops such plans, when
    it has grown.
    """
    base = tmp_path_factory.getbasetemp()
    with databases((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "databases") as url:
        assert url != database_url
        assert run(_walks(url, reports, is_analysed)) <= OWN
