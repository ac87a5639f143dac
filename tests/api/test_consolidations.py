"""Consolidations: a parent's report made of its children's, kept in step with them, forwarded, never counted twice."""

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from factories import (
    TTHC_COLUMNS,
    a_balanced_row,
    a_form,
    a_regime,
    a_report,
    a_rule,
    a_small_report,
    an_agency,
    an_indicator,
)
from gateway_under_test import NewClient, accepted, asked, counts, every_item, findings, have, push, refused, shown

SCOPES = ("catalog:write", "reports:write", "reports:read", "reports:review", "aggregates:read", "operations")
Q1, Q2, Q3 = "2098-Q1", "2098-Q2", "2098-Q3"


@pytest.fixture
async def client(client_for: NewClient) -> httpx.AsyncClient:
    return await client_for(*SCOPES)


async def consolidate(client: httpx.AsyncClient, **changes: object) -> httpx.Response:
    """Ask for the consolidation of form II.06a by Ha Noi."""
    document: dict[str, Any] = {"form": "TTHC_06A", "period": Q3, "agency": "H26", **changes}
    return await client.post("/v1/consolidations", json=document)


async def consolidated(client: httpx.AsyncClient, status: int = 201, **changes: object) -> dict[str, Any]:
    answer = await consolidate(client, **changes)
    assert answer.status_code == status, answer.text[:500]
    if status == 201:
        assert answer.headers["location"] == f"/v1/reports/{shown(answer)['id']}"
    return shown(answer)


async def lineage(client: httpx.AsyncClient, report: str) -> dict[str, Any]:
    found: dict[str, Any] = (await asked(client, f"/reports/{report}"))["consolidation"]
    return found


async def changed(client: httpx.AsyncClient, report: str) -> dict[str, str]:
    """What has changed since a consolidation was made, by agency."""
    found = await lineage(client, report)
    assert found["stale"] is bool(found["changes"])
    return {each["agency"]: each["change"] for each in found["changes"]}


async def end(client: httpx.AsyncClient, report: str, how: str) -> None:
    answer = await client.post(f"/v1/reports/{report}/{how}", json={"reason": "Sai số liệu"})
    assert answer.status_code == 200, answer.text


def agencies(found: list[dict[str, Any]]) -> list[str]:
    return [each["agency"] for each in found]


async def three(client: httpx.AsyncClient, period: str = Q3) -> dict[str, str]:
    """Reports of Ha Noi, a department and a commune; their ids by agency."""
    made = {}
    for agency, sector, pending in (("H26", "LAND", 1), ("H26.18", "LAND", 20), ("H26.00004", "HEALTH", 300)):
        rows = [a_balanced_row(sector, 0, pending), a_balanced_row("HOUSING", 0, pending)]
        made[agency] = (await accepted(client, a_report(agency=agency, period=period, rows=rows)))["id"]
    return made


async def figures(client: httpx.AsyncClient, form: str = "TTHC_06A", **parameters: str) -> list[dict[str, Any]]:
    """The rows of an aggregate by sector."""
    given = {"form": form, "period": Q3, "under": "H26", "by": "sector", **parameters}
    rows: list[dict[str, Any]] = (await asked(client, "/aggregates", **given))["rows"]
    return rows


async def test_a_consolidation_has_the_sums_of_the_children_and_its_own(client: httpx.AsyncClient) -> None:
    parts = await three(client)
    counted = await figures(client)
    made = await consolidated(client)
    assert {name: made[name] for name in ("form", "agency", "period", "kind", "revision", "status", "corrects")} == {
        "form": "TTHC_06A",
        "agency": "H26",
        "period": Q3,
        "kind": "consolidation",
        "revision": 1,
        "status": "accepted",
        "corrects": None,
    }
    assert made["rows"] == counted
    pending = {row["sector"]: row["pending_total"] for row in made["rows"]}
    assert pending == {"HEALTH": 300, "HOUSING": 321, "LAND": 21}
    found = made["consolidation"]
    assert (found["stale"], found["changes"], found["late"]) == (False, [], [])
    assert {each["agency"]: each["report"] for each in found["parts"]} == parts
    assert {(each["kind"], each["revision"], each["status"]) for each in found["parts"]} == {("own", 1, "accepted")}
    assert len(found["missing"]) == 139 - 3
    assert {"agency": "H26.10", "kind": "own", "returned": False} in found["missing"]
    assert made == await asked(client, f"/reports/{made['id']}")
    assert (made["late"], made["nil"], made["receipt"] is not None) == (False, None, True)


async def test_it_is_a_report_with_bytes_receipt_and_history_like_any_other(client: httpx.AsyncClient) -> None:
    await three(client)
    made = await consolidated(client)
    payload = await asked(client, f"/reports/{made['id']}/payload")
    assert (payload["agency"], payload["kind"], len(payload["rows"])) == ("H26", "consolidation", 3)
    assert (await client.get(f"/v1/reports/{made['id']}/receipt")).text == made["receipt"]
    history = await asked(client, f"/reports/{made['id']}/history")
    assert [each["id"] for each in history["items"]] == [made["id"]]
    listed = await every_item(client, "/reports", kind="consolidation")
    assert [each["id"] for each in listed] == [made["id"]]


async def test_an_own_report_has_no_lineage(client: httpx.AsyncClient) -> None:
    parts = await three(client)
    assert (await asked(client, f"/reports/{parts['H26']}"))["consolidation"] is None


async def test_it_is_never_counted(client: httpx.AsyncClient) -> None:
    await three(client)
    wholes = [{"under": "H26"}, {"under": "H26", "by": "agency"}, {"by": "agency"}, {"by": "level"}]
    views = [{"form": "TTHC_06A", "period": Q3, **each} for each in wholes]
    before = [await asked(client, "/aggregates", **each) for each in views]
    for _ in range(2):
        made = await consolidated(client)
        after = [await asked(client, "/aggregates", **each) for each in views]
        for one, other in zip(before, after, strict=True):
            assert one | {"as_of": None} == other | {"as_of": None}
        single = await asked(client, "/observations", form="TTHC_06A", period=Q3, limit=1000)
        assert made["id"] not in {each["report"] for each in single["items"]}
        (own,) = await every_item(client, "/obligations", agency="H26", period=Q3)
        await accepted(
            client,
            a_report(agency="H26", corrects=own["report"]["id"], rows=[a_balanced_row("LAND", 0, 2)]),
        )
        before = [await asked(client, "/aggregates", **each) for each in views]


async def test_children_with_nothing_to_report_are_parts_without_rows(client: httpx.AsyncClient) -> None:
    for agency, nil in (("H26.10", "not_applicable"), ("H26.11", "not_applicable")):
        await accepted(client, a_report(agency=agency, rows=[], nil=nil))
    made = await consolidated(client)
    assert (made["rows"], made["nil"], len(made["consolidation"]["parts"])) == ([], "not_applicable", 2)
    await accepted(client, a_report(agency="H26.12", rows=[], nil="nothing_to_report"))
    made = await consolidated(client)
    assert (made["rows"], made["nil"]) == ([], "nothing_to_report")
    await accepted(client, a_report(agency="H26.13", rows=[a_balanced_row("LAND", 0, 7)]))
    made = await consolidated(client)
    assert ([row["pending_total"] for row in made["rows"]], made["nil"], made["revision"]) == ([7], None, 3)
    assert len(made["consolidation"]["parts"]) == 4
    assert len(made["consolidation"]["missing"]) == 139 - 4


async def test_it_names_who_is_missing_late_and_returned(client: httpx.AsyncClient) -> None:
    late = "2021-Q1"
    for agency in ("G01", "G02"):
        await have(
            client,
            f"/agencies/{agency}.50",
            an_agency(code=f"{agency}.50", parent=agency, level="unit", valid_from="2015-01-01"),
        )
    await have(
        client,
        "/agencies/G01.51",
        an_agency(code="G01.51", parent="G01", level="unit", valid_from="2015-01-01"),
    )
    await accepted(client, a_report(agency="G01.50", period=late))
    sent_back = await accepted(client, a_report(agency="G01.51", period=late))
    await end(client, sent_back["id"], "return")
    found = (await consolidated(client, agency="G01", period=late))["consolidation"]
    assert found["late"] == ["G01.50"]
    assert found["missing"] == [
        {"agency": "G01", "kind": "own", "returned": False},
        {"agency": "G01.51", "kind": "own", "returned": True},
    ]


async def test_a_complete_one_may_be_demanded(client: httpx.AsyncClient, engine: AsyncEngine) -> None:
    await department_form(client)
    await accepted(client, a_small_report(agency="H26.18"))
    returned = await accepted(client, a_small_report(agency="H26.10"))
    await end(client, returned["id"], "return")
    before = await counts(engine)
    problem = refused(await consolidate(client, form="TEST_01", require_complete=True), 409, "consolidation-incomplete")
    assert problem["missing"] == [
        {"agency": f"H26.{number}", "kind": "own", "returned": number == 10} for number in range(10, 22) if number != 18
    ]
    assert await counts(engine) == before
    for number in range(10, 22):
        corrects = {"corrects": returned["id"]} if number == 10 else {}
        if number != 18:
            await accepted(client, a_small_report(agency=f"H26.{number}", **corrects))
    made = await consolidated(client, form="TEST_01", require_complete=True)
    assert (made["consolidation"]["missing"], made["rows"]) == ([], [{"sector": "LAND", "amount": 60}])


async def department_form(client: httpx.AsyncClient, **changes: object) -> None:
    """A form that the departments of Ha Noi report."""
    await have(client, "/forms/TEST_01/versions/1", a_form(**changes))
    await have(client, "/regimes/TEST", a_regime())


async def test_nothing_to_consolidate_is_a_conflict(client: httpx.AsyncClient, engine: AsyncEngine) -> None:
    before = await counts(engine)
    refused(await consolidate(client), 409, "state-conflict")
    rejected = await push(client, a_report(agency="H26.18", rows=[]))
    assert rejected.status_code == 422
    refused(await consolidate(client), 409, "state-conflict")
    refused(await consolidate(client, period="2098-Q4"), 409, "state-conflict")
    of_the_rejected = {"reports": 1, "payloads": 1, "log_pending": before["log_pending"] + 1}
    assert await counts(engine) == before | of_the_rejected
    one = await accepted(client, a_report(agency="H26.18"))
    await end(client, one["id"], "withdraw")
    refused(await consolidate(client), 409, "state-conflict")


async def test_made_again_with_nothing_changed_it_is_the_same_one(
    client: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    await three(client)
    first = await consolidated(client)
    before = await counts(engine)
    for changes in ({}, {"reason": "lần nữa"}, {"agency": "000.00.00.H26"}, {"agency": "GSO:01"}):
        assert await consolidated(client, 200, **changes) == first
    assert await counts(engine) == before


CHANGES = ("corrected", "returned", "withdrawn", "reported")


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("agency", ["H26.18", "H26"])
async def test_a_changed_part_makes_it_stale_and_one_call_makes_it_anew(
    client: httpx.AsyncClient, change: str, agency: str
) -> None:
    parts = await three(client)
    if change == "reported":
        await end(client, parts[agency], "withdraw")
    first = await consolidated(client)
    assert await changed(client, first["id"]) == {}
    now = await make(client, change, agency, parts[agency])
    assert await changed(client, first["id"]) == {agency: change}
    (found,) = (await lineage(client, first["id"]))["changes"]
    assert (found["was"], found["now"]) == (None if change == "reported" else parts[agency], now)
    assert [each["id"] for each in await every_item(client, "/consolidations", stale="true")] == [first["id"]]
    second = await consolidated(client)
    assert (second["revision"], second["corrects"], second["status"]) == (2, first["id"], "accepted")
    assert agency in second["reason"]
    assert change in second["reason"]
    assert second["rows"] == await figures(client)
    assert second["consolidation"]["stale"] is False
    assert (await asked(client, f"/reports/{first['id']}"))["status"] == "superseded"
    assert await every_item(client, "/consolidations", stale="true") == []
    difference = await asked(client, f"/reports/{second['id']}/difference")
    assert difference["rows"]


async def make(client: httpx.AsyncClient, change: str, agency: str, report: str) -> str | None:
    """Let a part change; the report that is its agency's accepted one then."""
    if change in {"returned", "withdrawn"}:
        await end(client, report, {"returned": "return", "withdrawn": "withdraw"}[change])
        return None
    rows = [a_balanced_row("CONSTRUCTION", 0, 50)]
    corrects = {"corrects": report} if change == "corrected" else {}
    made: str = (await accepted(client, a_report(agency=agency, rows=rows, **corrects)))["id"]
    return made


async def test_several_changes_are_named_together_and_a_reason_may_be_given(client: httpx.AsyncClient) -> None:
    parts = await three(client)
    first = await consolidated(client)
    await make(client, "corrected", "H26.18", parts["H26.18"])
    await make(client, "withdrawn", "H26.00004", parts["H26.00004"])
    await make(client, "reported", "H26.10", "")
    assert await changed(client, first["id"]) == {
        "H26.00004": "withdrawn",
        "H26.10": "reported",
        "H26.18": "corrected",
    }
    second = await consolidated(client, reason="Tổng hợp lại theo công văn")
    assert second["reason"] == "Tổng hợp lại theo công văn"
    difference = await asked(client, f"/reports/{second['id']}/difference")
    before = {row["sector"]: row for row in first["rows"]}
    after = {row["sector"]: row for row in second["rows"]}
    seen = {each["row"]["sector"]: each["change"] for each in difference["rows"]}
    expected = {sector for sector in before | after if before.get(sector) != after.get(sector)}
    assert set(seen) == expected


async def test_a_part_that_changes_and_changes_back_is_another_part(client: httpx.AsyncClient) -> None:
    parts = await three(client)
    first = await consolidated(client)
    payload = await asked(client, f"/reports/{parts['H26']}/payload")
    changed_once = await make(client, "corrected", "H26", parts["H26"])
    await accepted(client, payload | {"corrects": changed_once, "reason": "như cũ"})
    assert await changed(client, first["id"]) == {"H26": "corrected"}
    second = await consolidated(client)
    assert (second["rows"], second["revision"]) == (first["rows"], 2)


async def test_a_returned_consolidation_is_made_anew_once_a_part_has_changed(client: httpx.AsyncClient) -> None:
    await three(client)
    first = await consolidated(client)
    await end(client, first["id"], "return")
    assert (await asked(client, f"/reports/{first['id']}"))["status"] == "returned"
    await make(client, "reported", "H26.10", "")
    second = await consolidated(client)
    assert (second["status"], second["revision"], second["corrects"]) == ("accepted", 2, first["id"])


async def test_a_withdrawn_consolidation_may_be_made_again(client: httpx.AsyncClient) -> None:
    await three(client)
    first = await consolidated(client)
    await end(client, first["id"], "withdraw")
    assert await every_item(client, "/consolidations") == []
    second = await consolidated(client)
    assert (second["revision"], second["status"], second["rows"]) == (2, "accepted", first["rows"])


async def explained(client: httpx.AsyncClient, agency: str, carried: int, text: str) -> None:
    explanation = {"rule": "R6", "row": {"sector": "LAND"}, "text": text}
    rows = [a_balanced_row("LAND", carried, 1)]
    await accepted(client, a_report(agency=agency, period=Q3, rows=rows, explanations=[explanation]))


async def test_explanations_of_the_children_are_inherited_and_cited(client: httpx.AsyncClient) -> None:
    await three(client, Q2)
    await consolidated(client, period=Q2)
    await explained(client, "H26.18", 25, "Tiếp nhận từ đơn vị sáp nhập")
    await explained(client, "H26.00004", 9, "Chuyển hồ sơ")
    await accepted(client, a_report(agency="H26", period=Q3, rows=[a_balanced_row("LAND", 1, 1)]))
    made = await consolidated(client)
    (given,) = made["explanations"]
    assert (given["rule"], given["row"]) == ("R6", {"sector": "LAND"})
    assert given["text"] == "H26.00004: Chuyển hồ sơ; H26.18: Tiếp nhận từ đơn vị sáp nhập"
    cited = {(each["row"] or {}).get("sector"): each for each in made["findings"] if each["rule"] == "R6"}
    assert cited["LAND"]["severity"] == "warning"
    assert (cited["LAND"]["expected"], cited["LAND"]["actual"]) == ("21", "35")
    for text in ("H26.18", "Tiếp nhận từ đơn vị sáp nhập", "H26.00004", "Chuyển hồ sơ"):
        assert text in cited["LAND"]["message"]
    assert {each["severity"] for each in made["findings"]} == {"warning"}


async def test_what_nobody_explained_below_is_a_warning_that_says_so(client: httpx.AsyncClient) -> None:
    for agency in ("H26.18", "H26.10"):
        rows = [a_balanced_row("LAND", 0, 5)]
        await accepted(client, a_report(agency=agency, period=Q2, rows=rows))
    await consolidated(client, period=Q2)
    await accepted(client, a_report(agency="H26.18", period=Q3, rows=[a_balanced_row("LAND", 5, 1)]))
    made = await consolidated(client)
    (finding,) = [each for each in made["findings"] if each["rule"] == "R6"]
    assert (finding["severity"], finding["expected"], finding["actual"]) == ("warning", "10", "5")
    assert "Không có giải trình ở cấp dưới" in finding["message"]


async def test_without_a_consolidation_before_it_a_look_back_is_a_warning(client: httpx.AsyncClient) -> None:
    await three(client, Q2)
    await accepted(client, a_report(agency="H26.18", period=Q3, rows=[a_balanced_row("LAND", 20, 1)]))
    made = await consolidated(client)
    assert [(each["rule"], each["severity"]) for each in made["findings"]] == [("R6", "warning")]


RATES = a_form(
    indicators=[
        an_indicator(),
        an_indicator(id="money", type="decimal", scale=2, unit="billion_vnd"),
        an_indicator(
            id="rate",
            type="percent",
            unit="percent",
            min=None,
            over_agencies="formula",
            over_time="formula",
            formula="money / amount * 100",
        ),
        an_indicator(id="price", type="decimal", scale=1, over_agencies="none", over_time="none"),
        an_indicator(id="note", type="text", unit=None, min=None, over_agencies="none", over_time="none"),
        an_indicator(id="flag", type="boolean", unit=None, min=None, over_agencies="none", over_time="none"),
    ],
    rules=[a_rule(check="rate == round(money / amount * 100, 2)")],
)


async def test_formulas_are_recomputed_and_what_has_no_sum_is_blank(client: httpx.AsyncClient) -> None:
    await have(client, "/forms/TEST_01/versions/1", RATES)
    await have(client, "/regimes/TEST", a_regime())
    said = {"price": 1.5, "note": "Ước tính", "flag": True}
    for agency, rows in (
        ("H26.10", [{"sector": "LAND", "amount": 3, "money": 0.1, "rate": 3.33, **said}]),
        ("H26.11", [{"sector": "LAND", "amount": 3, "money": 0.2, "rate": 6.67, **said}]),
        ("H26.12", [{"sector": "HEALTH", "amount": 7, "money": 0.07, "rate": 1, **said}]),
    ):
        await accepted(client, a_small_report(agency=agency, rows=rows))
    made = await consolidated(client, form="TEST_01")
    alone, together = made["rows"]
    assert alone == {"sector": "HEALTH", "amount": 7, "money": 0.07, "rate": 1, **said}
    assert together == {
        "sector": "LAND",
        "amount": 6,
        "money": 0.3,
        "rate": 5,
        "price": None,
        "note": None,
        "flag": None,
    }
    counted = await figures(client, form="TEST_01")
    assert [{**row, "rate": round(row["rate"], 2)} for row in counted] == made["rows"]


async def test_sums_that_a_rule_refuses_are_rejected_with_their_findings_and_kept(client: httpx.AsyncClient) -> None:
    await department_form(client, indicators=[an_indicator(max=8)])
    for number in (10, 11):
        await accepted(client, a_small_report(agency=f"H26.{number}"))
    answer = await consolidate(client, form="TEST_01")
    (finding,) = findings(answer)
    assert (finding["pointer"], finding["severity"]) == ("/rows/0/amount", "error")
    kept = await asked(client, f"/reports/{shown(answer)['report']}")
    assert (kept["status"], kept["kind"], kept["revision"]) == ("rejected", "consolidation", None)
    assert await every_item(client, "/consolidations") == []


async def test_a_form_version_of_the_period_is_used(client: httpx.AsyncClient) -> None:
    await department_form(client)
    wider = a_form(version=2, valid_from="2098-09-01", indicators=[an_indicator(), an_indicator(id="more")])
    await have(client, "/forms/TEST_01/versions/2", wider)
    await accepted(client, a_small_report(agency="H26.10", period=Q2))
    await accepted(client, a_small_report(agency="H26.10", rows=[{"sector": "LAND", "amount": 5, "more": 2}]))
    for period, version, row in (
        (Q2, 1, {"sector": "LAND", "amount": 5}),
        (Q3, 2, {"sector": "LAND", "amount": 5, "more": 2}),
    ):
        made = await consolidated(client, form="TEST_01", period=period)
        assert (made["form_version"], made["rows"]) == (version, [row])


async def levels(client: httpx.AsyncClient) -> None:
    """A form that communes report, and a district and the province above them consolidate."""
    await have(client, "/forms/TEST_01/versions/1", a_form())
    for document in (
        an_agency(code="H26.50", level="district", parent="H26"),
        an_agency(code="H26.51", level="district", parent="H26"),
        an_agency(code="H26.50.01", level="commune", parent="H26.50"),
        an_agency(code="H26.50.02", level="commune", parent="H26.50"),
        an_agency(code="H26.51.01", level="commune", parent="H26.51"),
        an_agency(code="H26.52", level="commune", parent="H26"),
    ):
        await have(client, f"/agencies/{document['code']}", document)
    who = [
        {"agencies": ["H26.50.01", "H26.50.02", "H26.51.01", "H26.52", "H26.50"]},
        {"agencies": ["H26", "H26.50", "H26.51"], "report_kind": "consolidation"},
    ]
    await have(client, "/regimes/TEST", a_regime(who=who))


async def amounts(client: httpx.AsyncClient, **by_agency: int) -> dict[str, str]:
    """Reports of so much; an underscore stands for a dot. Their ids by agency."""
    made = {}
    for name, amount in by_agency.items():
        agency = name.replace("_", ".")
        rows = [{"sector": "LAND", "amount": amount}]
        made[agency] = (await accepted(client, a_small_report(agency=agency, rows=rows)))["id"]
    return made


def amount(report: dict[str, Any]) -> int:
    (row,) = report["rows"]
    number: int = row["amount"]
    return number


async def states(client: httpx.AsyncClient, kind: str) -> dict[str, str]:
    found = await every_item(client, "/obligations", form="TEST_01", period=Q3, kind=kind)
    return {each["agency"]: each["state"] for each in found}


async def test_consolidation_goes_level_by_level(client: httpx.AsyncClient) -> None:
    await levels(client)
    parts = await amounts(client, H26_50_01=1, H26_50_02=20, H26_50=300, H26_51_01=4000, H26_52=50000)
    province = await consolidated(client, form="TEST_01")
    assert amount(province) == 50300, "a district that has consolidated nothing gives its own"
    assert province["consolidation"]["missing"] == [
        {"agency": "H26.50", "kind": "consolidation", "returned": False},
        {"agency": "H26.51", "kind": "consolidation", "returned": False},
    ]
    assert set(agencies(province["consolidation"]["parts"])) == {"H26.50", "H26.52"}
    district = await consolidated(client, form="TEST_01", agency="H26.50")
    assert (amount(district), district["consolidation"]["missing"]) == (321, [])
    assert await changed(client, province["id"]) == {"H26.50": "consolidated"}
    other = await consolidated(client, form="TEST_01", agency="H26.51", require_complete=True)
    assert amount(other) == 4000
    province = await consolidated(client, form="TEST_01", require_complete=True)
    assert (amount(province), province["revision"]) == (54321, 2)
    kinds = {each["agency"]: (each["kind"], each["report"]) for each in province["consolidation"]["parts"]}
    assert kinds == {
        "H26.50": ("consolidation", district["id"]),
        "H26.51": ("consolidation", other["id"]),
        "H26.52": ("own", parts["H26.52"]),
    }
    total = await figures(client, form="TEST_01")
    assert [row["amount"] for row in total] == [54321]
    assert await states(client, "consolidation") == dict.fromkeys(["H26", "H26.50", "H26.51"], "fulfilled")


async def test_a_change_below_climbs_level_by_level(client: httpx.AsyncClient) -> None:
    await levels(client)
    parts = await amounts(client, H26_50_01=1, H26_50_02=20, H26_52=50000)
    district = await consolidated(client, form="TEST_01", agency="H26.50")
    province = await consolidated(client, form="TEST_01")
    rows = [{"sector": "LAND", "amount": 2}]
    await accepted(client, a_small_report(agency="H26.50.01", corrects=parts["H26.50.01"], rows=rows))
    assert await changed(client, district["id"]) == {"H26.50.01": "corrected"}
    assert await changed(client, province["id"]) == {}
    district = await consolidated(client, form="TEST_01", agency="H26.50")
    assert await changed(client, province["id"]) == {"H26.50": "corrected"}
    province = await consolidated(client, form="TEST_01")
    assert (amount(district), amount(province), province["revision"]) == (22, 50022, 2)
    await end(client, district["id"], "return")
    assert await changed(client, province["id"]) == {"H26.50": "returned"}
    (missing, _) = (await lineage(client, province["id"]))["missing"]
    assert missing == {"agency": "H26.50", "kind": "consolidation", "returned": True}


async def test_a_consolidation_received_from_below_is_a_part_too(client: httpx.AsyncClient) -> None:
    await levels(client)
    await amounts(client, H26_52=5)
    rows = [{"sector": "LAND", "amount": 70}]
    sent = await accepted(client, a_small_report(agency="H26.50", kind="consolidation", rows=rows))
    made = await consolidated(client, form="TEST_01")
    assert amount(made) == 75
    assert sent["id"] in {each["report"] for each in made["consolidation"]["parts"]}
    assert await lineage(client, sent["id"]) is None
    assert await every_item(client, "/consolidations") == [await one_of(client, made["id"])]


async def one_of(client: httpx.AsyncClient, report: str) -> dict[str, Any]:
    """A consolidation as lists show it."""
    found = await asked(client, f"/reports/{report}")
    return {
        name: value
        for name, value in found.items()
        if name not in {"nil", "reason", "explanations", "ended", "rows", "relayed", "signer"}
    }


async def test_a_received_consolidation_counts_where_its_parts_are_not_owed_here(client: httpx.AsyncClient) -> None:
    await have(client, "/forms/TEST_01/versions/1", a_form())
    who = [{"agencies": ["H26", "H29"], "report_kind": "consolidation"}, {"levels": ["department"], "under": "H26"}]
    await have(client, "/regimes/TEST", a_regime(who=who))
    await amounts(client, H26_18=7)
    for agency in ("H26", "H29"):
        rows = [{"sector": "LAND", "amount": 100}]
        await accepted(client, a_small_report(agency=agency, kind="consolidation", rows=rows))
    found = await asked(client, "/aggregates", form="TEST_01", period=Q3, by="agency")
    assert {row["agency"]: row["amount"] for row in found["rows"]} == {"H26": 7, "H29": 100}
    assert (found["reports"], found["expected"], found["missing"]) == (2, 13, 11)
    single = await asked(client, "/observations", form="TEST_01", period=Q3)
    assert sorted(each["value"] for each in single["items"]) == [7, 100]


async def test_a_received_consolidation_of_an_event_is_not_counted_beside_its_parts(client: httpx.AsyncClient) -> None:
    await have(client, "/forms/TEST_01/versions/1", a_form(frequencies=["ad_hoc"]))
    who = [{"agencies": ["H26"], "report_kind": "consolidation"}, {"levels": ["department"], "under": "H26"}]
    await have(client, "/regimes/TEST", a_regime(kind="ad_hoc", frequency="ad_hoc", who=who))
    period = "2098-07-20/P14D"
    for agency, kind in (("H26.18", "own"), ("H26", "consolidation")):
        await accepted(client, a_small_report(agency=agency, kind=kind, period=period))
    found = await asked(client, "/aggregates", form="TEST_01", period=period)
    assert [row["amount"] for row in found["rows"]] == [5]


async def test_a_consolidation_that_nobody_owes_is_made_here_but_not_taken_from_outside(
    client: httpx.AsyncClient,
) -> None:
    await three(client)
    answer = await push(client, a_report(agency="H26", kind="consolidation"))
    assert [each["rule"] for each in findings(answer) if each["severity"] == "error"] == ["obligation"]
    await consolidated(client)


async def test_it_is_late_where_it_is_owed_and_the_deadline_has_passed(client: httpx.AsyncClient) -> None:
    await have(client, "/forms/TEST_01/versions/1", a_form())
    who = [{"agencies": ["H26.18"]}, {"agencies": ["H26"], "report_kind": "consolidation"}]
    await have(client, "/regimes/TEST", a_regime(who=who))
    for period, late in (("2025-Q3", True), (Q3, False)):
        await accepted(client, a_small_report(period=period))
        made = await consolidated(client, form="TEST_01", period=period)
        assert made["late"] is late
        (owed,) = await every_item(client, "/obligations", agency="H26", form="TEST_01", period=period)
        assert owed["state"] == ("late" if late else "fulfilled")


async def test_it_is_made_of_a_locked_period_too(client: httpx.AsyncClient) -> None:
    await have(client, "/forms/TEST_01/versions/1", a_form())
    who = [{"agencies": ["H26.18"]}, {"agencies": ["H26"], "report_kind": "consolidation"}]
    await have(client, "/regimes/TEST", a_regime(who=who))
    await accepted(client, a_small_report(period="2025-Q3"))
    await have(client, "/regimes/TEST", a_regime(who=who, lock_after_days=5))
    refused(await push(client, a_small_report(period="2025-Q3", reason="x")), 409, "period-locked")
    made = await consolidated(client, form="TEST_01", period="2025-Q3")
    assert (made["status"], made["late"]) == ("accepted", True)


async def test_it_is_made_by_the_days_of_the_regime_that_binds_its_agency(client: httpx.AsyncClient) -> None:
    await have(client, "/forms/TEST_01/versions/1", a_form())
    for number, (province, day) in enumerate((("H26", 14), ("H29", 20), ("H24", 5))):
        who = [{"levels": ["department"], "under": province}]
        await have(client, f"/regimes/R{number}", a_regime(code=f"R{number}", who=who, cutoff={"day": day}))
    for province in ("H26", "H29", "H24"):
        await accepted(client, a_small_report(agency=f"{province}.18"))
    for province in ("H26", "H29", "H24"):
        made = await consolidated(client, form="TEST_01", agency=province)
        assert (amount(made), made["period"]) == (5, Q3)
        assert await changed(client, made["id"]) == {}


async def connect(client: httpx.AsyncClient, name: str, **changes: object) -> None:
    document = {"kind": "http_json", "url": "http://upstream.test/reports", **changes}
    answer = await client.put(f"/v1/connectors/{name}", json=document)
    assert answer.status_code == 201, answer.text


async def test_it_is_forwarded_to_those_who_take_consolidations(client: httpx.AsyncClient) -> None:
    for name, changes in (
        ("sums", {"what": "consolidation"}),
        ("figures", {"what": "own"}),
        ("everything", {"what": "all"}),
        ("elsewhere", {"what": "consolidation", "under": "H29"}),
    ):
        await connect(client, name, **changes)
    parts = await three(client)
    first = await consolidated(client)
    own = sorted(parts.values())

    async def sent(connector: str) -> list[tuple[str, str]]:
        found = await every_item(client, "/deliveries", connector=connector)
        return sorted((each["report"], each["event"]) for each in found)

    assert await sent("sums") == [(first["id"], "accepted")]
    assert await sent("figures") == [(report, "accepted") for report in own]
    assert await sent("everything") == sorted((report, "accepted") for report in [*own, first["id"]])
    assert await sent("elsewhere") == []
    await consolidated(client, 200)
    correction = await make(client, "corrected", "H26.18", parts["H26.18"])
    second = await consolidated(client)
    assert await sent("sums") == sorted([(first["id"], "accepted"), (second["id"], "accepted")])
    assert (correction, "accepted") in await sent("figures")
    await end(client, second["id"], "withdraw")
    assert (second["id"], "withdrawn") in await sent("sums")


WHO_MAY_NOT: tuple[tuple[str | None, tuple[str, ...], dict[str, Any], int], ...] = (
    ("H26", ("reports:read", "reports:review", "aggregates:read", "operations"), {}, 403),
    ("H29", ("reports:write",), {}, 403),
    ("H26.18", ("reports:write",), {}, 403),
    ("H26", ("reports:write",), {"agency": "H29"}, 403),
    ("H26", ("reports:write",), {"agency": "H99"}, 403),
    (None, ("reports:write",), {"agency": "H99"}, 404),
    (None, ("reports:write",), {"form": "NOPE"}, 404),
)


async def test_one_is_made_for_agencies_of_the_clients_subtree_only(
    client: httpx.AsyncClient, client_for: NewClient, engine: AsyncEngine
) -> None:
    await three(client)
    before = await counts(engine)
    for agency, scopes, changes, status in WHO_MAY_NOT:
        answer = await consolidate(await client_for(*scopes, agency=agency), **changes)
        refused(answer, status, {403: "forbidden", 404: "not-found"}[status])
    assert await counts(engine) == before
    for agency, below in (("H26", "H26.18"), (None, "H26.00004")):
        await consolidated(await client_for("reports:write", agency=agency), agency=below)


async def test_a_malformed_request_names_its_place(client: httpx.AsyncClient) -> None:
    for changes, place in (
        ({"period": "2098-Q9"}, "/period"),
        ({"period": ""}, "/period"),
        ({"period": None}, "/period"),
        ({"period": "2098-Q1,2098-Q2"}, "/period"),
        ({"form": 5}, "/form"),
        ({"form": ""}, "/form"),
        ({"agency": None}, "/agency"),
        ({"agency": []}, "/agency"),
        ({"require_complete": "yes"}, "/require_complete"),
        ({"reason": ""}, "/reason"),
        ({"reason": "x" * 4001}, "/reason"),
        ({"rows": []}, "/rows"),
    ):
        problem = refused(await consolidate(client, **changes), 400, "malformed-request")
        assert [each["pointer"] for each in problem["errors"]] == [place], changes


async def test_two_at_once_make_one_revision(client: httpx.AsyncClient, client_for: NewClient) -> None:
    parts = await three(client)
    other = await client_for("reports:write", agency="H26")
    for revision in (1, 2):
        answers = await asyncio.gather(*(consolidate(each) for each in (client, other, client, other)))
        assert sorted(each.status_code for each in answers) == [200, 200, 200, 201]
        assert {(shown(each)["id"], shown(each)["revision"]) for each in answers} == {
            (shown(answers[0])["id"], revision)
        }
        history = await asked(client, f"/reports/{shown(answers[0])['id']}/history")
        assert len(history["items"]) == revision
        if revision == 1:
            await make(client, "corrected", "H26", parts["H26"])


async def test_a_part_that_changes_meanwhile_is_seen_at_once_or_makes_it_stale(client: httpx.AsyncClient) -> None:
    parts = await three(client)
    answer, correction = await asyncio.gather(consolidate(client), make(client, "corrected", "H26", parts["H26"]))
    made = shown(answer)
    used = {each["agency"]: each["report"] for each in made["consolidation"]["parts"]}
    if used["H26"] == correction:
        assert await changed(client, made["id"]) == {}
    else:
        assert await changed(client, made["id"]) == {"H26": "corrected"}


async def fill(client: httpx.AsyncClient) -> dict[str, str]:
    """Consolidations by what tells them apart, of which that of ``H29`` is stale."""
    await three(client)
    await three(client, Q2)
    other = await accepted(client, a_report(agency="H29.18"))
    made = {
        "H26.18": await consolidated(client, agency="H26.18"),
        "H26 Q3": await consolidated(client),
        "H26 Q2": await consolidated(client, period=Q2),
        "H29": await consolidated(client, agency="H29"),
    }
    await end(client, other["id"], "return")
    return {name: each["id"] for name, each in made.items()}


async def test_consolidations_are_listed_newest_first_and_filtered(
    client: httpx.AsyncClient, client_for: NewClient
) -> None:
    made = await fill(client)

    async def names(client: httpx.AsyncClient, **parameters: Any) -> list[str]:
        found = [each["id"] for each in await every_item(client, "/consolidations", **parameters)]
        assert found == sorted(found, reverse=True)
        return [name for name, report in made.items() if report in found]

    everything = list(made)
    for parameters, expected in (
        ({}, everything),
        ({"agency": "H26"}, ["H26 Q3", "H26 Q2"]),
        ({"under": "H26"}, ["H26.18", "H26 Q3", "H26 Q2"]),
        ({"under": "H26.18"}, ["H26.18"]),
        ({"period": Q2}, ["H26 Q2"]),
        ({"form": "TTHC_06A"}, everything),
        ({"form": "KTXH_01"}, []),
        ({"stale": "true"}, ["H29"]),
        ({"stale": "false"}, ["H26.18", "H26 Q3", "H26 Q2"]),
        ({"stale": "true", "under": "H26"}, []),
        ({"limit": 1}, everything),
        ({"limit": 3, "stale": "false"}, ["H26.18", "H26 Q3", "H26 Q2"]),
    ):
        assert await names(client, **parameters) == expected, parameters
    province = await client_for("reports:read", agency="H29")
    assert await names(province) == ["H29"]
    refused(await province.get("/v1/consolidations", params={"under": "H26"}), 403, "forbidden")
    for parameters in ({"period": "x"}, {"limit": "0"}, {"cursor": "x"}, {"stale": "perhaps"}):
        refused(await client.get("/v1/consolidations", params=parameters), 400, "malformed-request")
    for parameters in ({"form": "NOPE"}, {"agency": "H99"}):
        refused(await client.get("/v1/consolidations", params=parameters), 404, "not-found")


async def test_a_list_shows_what_the_report_shows(client: httpx.AsyncClient) -> None:
    await three(client)
    made = await consolidated(client)
    (listed,) = await every_item(client, "/consolidations")
    assert listed == await one_of(client, made["id"])


async def test_columns_are_those_of_the_form(client: httpx.AsyncClient) -> None:
    await three(client)
    (row, *_) = (await consolidated(client))["rows"]
    assert list(row) == ["sector", *TTHC_COLUMNS]
