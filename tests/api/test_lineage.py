"""Lineage: the reports behind a cell, and nothing else, add up to it; each with its receipt and its deliveries."""

from typing import Any

import httpx
import pytest

from factories import a_balanced_row, a_form, a_report, a_small_report, an_indicator
from gateway.api.deps import Gateway
from gateway_under_test import NewClient, accepted, asked, connected, load, refused

Q3 = {"form": "TTHC_06A", "period": "2098-Q3", "under": "H26"}


@pytest.fixture
async def client(client_for: NewClient) -> httpx.AsyncClient:
    return await client_for("aggregates:read", "reports:write", "operations")


async def lineage(client: httpx.AsyncClient, **asked_for: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The cell and all its reports, page after page."""
    page = await asked(client, "/aggregates/lineage", limit=2, **asked_for)
    items, first = page["items"], page
    while page["next"] is not None:
        page = await asked(client, "/aggregates/lineage", limit=2, **asked_for, cursor=page["next"])
        assert (page["cell"], page["as_of"]) == (first["cell"], first["as_of"])
        items += page["items"]
    return first["cell"], items


async def pushed(client: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    rows = [a_balanced_row("LAND", 1, 1), a_balanced_row("HEALTH", 2, 2)]
    codes = ("H26", "H26.18", "H26.19", "H26.20", "H29")
    return {code: await accepted(client, a_report(agency=code, rows=rows)) for code in codes}


async def test_every_cell_is_the_sum_of_the_reports_behind_it(client: httpx.AsyncClient) -> None:
    reports = await pushed(client)
    for by in ("agency", "agency,sector", "agency,level,period,sector", "level", "sector", ""):
        rows = (await asked(client, "/aggregates", **Q3, by=by))["rows"]
        assert rows
        for row in rows:
            keys = {name: str(row[name]).lower() if name == "own" else row[name] for name in by.split(",") if name}
            keys |= {"own": str(row["own"]).lower()} if "own" in row else {}
            keys.pop("period", None)
            cell, items = await lineage(client, **Q3, by=by, indicator="received_total", **keys)
            assert cell["value"] == row["received_total"]
            assert sum(each["values"]["received_total"] for each in items) == cell["value"]
            assert sum(each["values"]["received_online"] for each in items) == row["received_online"]
            behind = {each["agency"] for each in items}
            assert behind == ({row["agency"]} if "agency" in row else behind & {"H26", "H26.18", "H26.19", "H26.20"})
            for each in items:
                kept = reports[each["agency"]]
                assert (each["report"], each["receipt"], each["sha256"]) == (
                    kept["id"],
                    kept["receipt"],
                    kept["sha256"],
                )


async def test_a_past_cell_names_the_reports_of_then(client: httpx.AsyncClient) -> None:
    first = (await pushed(client))["H26.18"]
    before = await asked(client, "/aggregates", **Q3, by="agency")
    rows = [a_balanced_row("LAND", 5, 5)]
    second = await accepted(client, a_report(agency="H26.18", rows=rows, corrects=first["id"], reason="sai"))
    keys = {"by": "agency", "agency": "H26.18", "indicator": "pending_total"}
    _, items = await lineage(client, **Q3, **keys)
    assert [(each["report"], each["revision"]) for each in items] == [(second["id"], 2)]
    cell, items = await lineage(client, **Q3, **keys, as_of=before["as_of"])
    assert [(each["report"], each["revision"]) for each in items] == [(first["id"], 1)]
    assert cell["value"] == next(row["pending_total"] for row in before["rows"] if row["agency"] == "H26.18")


async def test_what_an_upstream_acknowledged_is_with_its_report(client: httpx.AsyncClient, gateway: Gateway) -> None:
    connector = {"kind": "http_json", "url": "https://upstream.example/reports", "what": "own"}
    assert (await client.put("/v1/connectors/national", json=connector)).status_code in {200, 201}
    report = await accepted(client, a_report(agency="H26.18", rows=[a_balanced_row()]))
    _, [item] = await lineage(client, **Q3, indicator="received_total")
    [delivery] = item["deliveries"]
    assert (delivery["connector"], delivery["state"], delivery["acknowledged_at"]) == ("national", "pending", None)
    async with connected(gateway.engine) as connection:
        await connection.execute(
            "UPDATE deliveries SET state = 'delivered', finished_at = now(), receipt = 'theirs' WHERE report_id = $1",
            report["id"],
        )
    _, [item] = await lineage(client, **Q3, indicator="received_total")
    [delivery] = item["deliveries"]
    assert (delivery["state"], delivery["receipt"]) == ("delivered", "theirs")
    assert delivery["acknowledged_at"] is not None


@pytest.mark.parametrize(
    ("question", "status", "place"),
    [
        ({"indicator": "received_total,received_online"}, 400, "indicator"),
        ({"indicator": "received_total", "by": "agency"}, 400, "agency"),
        ({"indicator": "received_total", "nonsense": "x"}, 400, "nonsense"),
        ({"indicator": "received_total", "by": "period", "period": "2098-Q2,2098-Q3"}, 400, "period"),
        ({"indicator": "received_total", "cursor": "abc"}, 400, "cursor"),
        ({"indicator": "received_total", "by": "agency", "agency": "H26.21"}, 404, None),
    ],
)
async def test_a_question_that_is_not_of_one_cell_is_refused(
    client: httpx.AsyncClient, question: dict[str, str], status: int, place: str | None
) -> None:
    await pushed(client)
    answer = await client.get("/v1/aggregates/lineage", params={**Q3, **question})
    problem = refused(answer, status, "not-found" if status == 404 else "malformed-request")
    assert place is None or [each["pointer"] for each in problem["errors"]] == [place]


async def test_what_must_not_be_added_is_not_added_here_either(client: httpx.AsyncClient, gateway: Gateway) -> None:
    share = an_indicator(id="share", type="percent", unit="percent", over_agencies="none", over_time="none")
    await load(gateway.engine, ("form", a_form(indicators=[an_indicator(), share])))
    rows = [{"sector": sector, "amount": 5, "share": 60} for sector in ("LAND", "HEALTH")]
    await accepted(client, a_small_report(rows=rows))
    question = {"form": "TEST_01", "period": "2098-Q3", "indicator": "share"}
    cell, [item] = await lineage(client, **question)
    assert (cell["value"], item["rows"], item["values"]) == (None, 2, {"share": None})
    cell, [item] = await lineage(client, **question, by="sector", sector="LAND")
    assert (cell["value"], item["rows"], item["values"]) == (60, 1, {"share": 60})
