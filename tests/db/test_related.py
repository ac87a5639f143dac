"""Looking up the reports that rules look at: straight through an index, whatever the plan was made on."""

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.related import found_reports
from gateway_under_test import connected


async def test_a_plan_made_on_empty_tables_leads_straight_to_each_report(engine: AsyncEngine) -> None:
    async with connected(engine) as connection:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        await connection.execute("PREPARE look(int[], int[], text[], text[], date[]) AS SELECT" + found_reports(1))
        lines = await connection.fetch("EXPLAIN EXECUTE look('{1}', '{1}', '{own}', '{2026-Q1}', '{2026-03-14}')")
    plan = [line[0].strip() for line in lines]
    walks = [line.split("Scan using ")[1].split(" on ")[0] for line in plan if " on reports " in line]
    assert walks == ["uq_reports_current", "uq_reports_agency_id_form_id_kind_period_revision"]
    assert not any("Seq Scan on reports " in line for line in plan)
