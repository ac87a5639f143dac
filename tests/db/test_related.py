"""Looking up the reports that rules look at: straight through an index, whatever the plan was made on."""

import os

import asyncpg
import pytest

from gateway.db.related import found_reports
from gateway_under_test import databases, run


async def _plan(url: str) -> list[str]:
    """How PostgreSQL would look reports up for anybody, whatever is asked for."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        await connection.execute("PREPARE look(int[], int[], text[], text[], date[]) AS SELECT" + found_reports(1))
        lines = await connection.fetch("EXPLAIN EXECUTE look('{1}', '{1}', '{own}', '{2026-Q1}', '{2026-03-14}')")
    finally:
        await connection.close()
    return [line[0].strip() for line in lines]


def test_a_plan_made_on_empty_tables_leads_straight_to_each_report(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """On a database of its own: in that of the other tests, what they left behind may have been analysed."""
    base = tmp_path_factory.getbasetemp()
    with databases((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "databases") as url:
        assert url != database_url
        plan = run(_plan(url))
    walks = [line.split("Scan using ")[1].split(" on ")[0] for line in plan if " on reports " in line]
    assert walks == ["uq_reports_current", "uq_reports_agency_id_form_id_kind_period_revision"]
