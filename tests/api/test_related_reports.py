"""Rules about other reports: the year against its quarters, and one form against another, as pushes meet them."""

import json
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from factories import a_breakdown, a_form, a_rule, a_small_report, an_agency, an_indicator, body, ndjson
from gateway_under_test import NewClient, accepted, findings, load, push, refused, rules, shown

QUARTERS = ("2098-Q1", "2098-Q2", "2098-Q3", "2098-Q4")
BLANK = an_indicator(id="extra", required=False)


@pytest.fixture
async def editor(client_for: NewClient) -> httpx.AsyncClient:
    """A client of the whole country that changes the catalogue, and pushes."""
    return await client_for("catalog:write", "reports:write", "reports:read", "reports:review")


async def put(client: httpx.AsyncClient, path: str, document: object) -> httpx.Response:
    return await client.put(f"/v1{path}", content=body(document), headers={"Content-Type": "application/json"})


async def put_form(client: httpx.AsyncClient, **document: Any) -> None:
    """Add a version of a form that quarters and years are reported of."""
    form = a_form(frequencies=["quarterly", "annual"], **document)
    answer = await put(client, f"/forms/{form['code']}/versions/{form['version']}", form)
    assert answer.status_code == 200, answer.text


async def put_regime(client: httpx.AsyncClient, *forms: str) -> None:
    """Everyone in Ha Noi owes these forms for each quarter and the year."""
    regime = {
        "legal_basis": "…",
        "forms": list(forms),
        "frequency": "quarterly",
        "periods": ["Q1", "Q2", "Q3", "Q4", "Y"],
        "who": [{"under": "H26"}],
    }
    answer = await put(client, "/regimes/TEST", regime)
    assert answer.status_code == 200, answer.text


def a_quarter(period: str, land: int, **changes: object) -> dict[str, Any]:
    return a_small_report(period=period, rows=[{"sector": "LAND", "amount": land}], **changes)


def a_year(land: int, **changes: object) -> dict[str, Any]:
    return a_quarter("2098", land, **changes)


async def quarters(client: httpx.AsyncClient, *amounts: int) -> list[dict[str, Any]]:
    """Report the quarters of the year."""
    pairs = zip(QUARTERS, amounts, strict=False)
    return [await accepted(client, a_quarter(period, amount)) for period, amount in pairs]


def lines_of(batch: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in batch.text.splitlines()]


def told(found: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(each["rule"], each["severity"], each["pointer"]) for each in found]


@pytest.fixture
async def yearly(editor: httpx.AsyncClient) -> httpx.AsyncClient:
    """The editor, once a form is there whose year is the sum of its quarters, and everyone in Ha Noi owes it."""
    await put_form(editor, rules=[a_rule(check="amount == within(amount)")])
    await put_regime(editor, "TEST_01")
    return editor


async def test_a_year_that_is_the_sum_of_its_quarters_has_no_findings(yearly: httpx.AsyncClient) -> None:
    for each in await quarters(yearly, 1, 2, 3, 4):
        assert each["findings"] == []
    assert (await accepted(yearly, a_year(10)))["findings"] == []


async def test_a_year_that_is_not_the_sum_of_its_quarters_is_refused_with_both_figures(
    yearly: httpx.AsyncClient,
) -> None:
    await quarters(yearly, 1, 2, 3, 4)
    (found,) = findings(await push(yearly, a_year(11)))
    assert told([found]) == [("R1", "error", "/rows/0/amount")]
    assert (found["expected"], found["actual"], found["difference"]) == ("10", "11", "1")


async def test_a_quarter_that_is_missing_is_named_in_one_warning(yearly: httpx.AsyncClient) -> None:
    for period in ("2098-Q1", "2098-Q3", "2098-Q4"):
        await accepted(yearly, a_quarter(period, 1))
    rows = [{"sector": sector, "amount": 99} for sector in ("LAND", "HOUSING", "CULTURE")]
    (found,) = (await accepted(yearly, a_small_report(period="2098", rows=rows)))["findings"]
    assert told([found]) == [("R1", "warning", "/rows")]
    assert "2098-Q2" in found["message"]


async def test_a_corrected_quarter_counts_as_it_was_corrected(yearly: httpx.AsyncClient) -> None:
    first, *_ = await quarters(yearly, 1, 2, 3, 4)
    year = await accepted(yearly, a_year(10))
    await accepted(yearly, a_quarter("2098-Q1", 5, corrects=first["id"], reason="x"))
    assert rules(findings(await push(yearly, a_year(10, corrects=year["id"], reason="x")))) == ["R1"]
    assert (await accepted(yearly, a_year(14, corrects=year["id"])))["findings"] == []


async def test_a_rejected_or_withdrawn_quarter_is_missing_and_a_returned_one_is_there(
    yearly: httpx.AsyncClient, client_for: NewClient
) -> None:
    first, second, _ = await quarters(yearly, 1, 2, 3)
    assert (await push(yearly, a_small_report(period="2098-Q4", rows=[]))).status_code == 422
    reviewer = await client_for("reports:review", agency="H26")
    for client, report, how in ((reviewer, first, "return"), (yearly, second, "withdraw")):
        answer = await client.post(f"/v1/reports/{report['id']}/{how}", json={"reason": "x"})
        assert answer.status_code == 200, answer.text
    year = await accepted(yearly, a_year(10))
    assert "2098-Q2" in year["findings"][0]["message"]
    await accepted(yearly, a_quarter("2098-Q2", 2))
    year = await accepted(yearly, a_year(10, corrects=year["id"]))
    assert "2098-Q4" in year["findings"][0]["message"]
    await accepted(yearly, a_quarter("2098-Q4", 4))
    assert (await accepted(yearly, a_year(10, corrects=year["id"], reason="x")))["findings"] == []


async def test_quarters_and_their_year_may_come_in_one_batch(yearly: httpx.AsyncClient) -> None:
    sent = [a_quarter(period, 2) for period in QUARTERS]
    answer = await push(yearly, ndjson(*sent, a_year(8), a_year(9, agency="H26.13")), to="/batch")
    lines = lines_of(answer)
    assert [line["status"] for line in lines] == ["accepted"] * 6
    assert lines[4]["findings"] == []
    assert told(lines[5]["findings"]) == [("R1", "warning", "/rows")]


async def test_a_wrong_year_in_a_batch_is_refused_by_the_lines_before_it(yearly: httpx.AsyncClient) -> None:
    first = await accepted(yearly, a_quarter("2098-Q1", 1))
    sent = [
        *(a_quarter(period, 2) for period in QUARTERS[1:]),
        a_quarter("2098-Q1", 2, corrects=first["id"], reason="x"),
        a_year(7),
        a_year(8),
    ]
    answer = await push(yearly, ndjson(*sent), to="/batch")
    lines = lines_of(answer)
    assert [line["status"] for line in lines] == [*["accepted"] * 4, 422, "accepted"]
    assert lines[4]["findings"][0]["expected"] == "8"


async def test_a_quarter_with_nothing_to_report_counts_zero(yearly: httpx.AsyncClient) -> None:
    await quarters(yearly, 1, 2, 3)
    await accepted(yearly, a_small_report(period="2098-Q4", rows=[], nil="nothing_to_report"))
    assert rules(findings(await push(yearly, a_year(7)))) == ["R1"]
    assert (await accepted(yearly, a_year(6)))["findings"] == []


async def test_a_year_with_nothing_to_report_is_not_compared(yearly: httpx.AsyncClient) -> None:
    await quarters(yearly, 1, 2, 3, 4)
    taken = await accepted(yearly, a_small_report(period="2098", rows=[], nil="nothing_to_report"))
    assert taken["findings"] == []


async def test_an_agency_created_in_the_middle_of_a_year_owes_the_quarters_since(yearly: httpx.AsyncClient) -> None:
    await put(yearly, "/agencies/H26.18.01", an_agency(valid_from="2098-07-01"))
    for period, amount in (("2098-Q3", 3), ("2098-Q4", 4)):
        await accepted(yearly, a_quarter(period, amount, agency="H26.18.01"))
    assert rules(findings(await push(yearly, a_year(8, agency="H26.18.01")))) == ["R1"]
    assert (await accepted(yearly, a_year(7, agency="H26.18.01")))["findings"] == []


async def test_only_quarters_of_the_same_agency_are_looked_at(yearly: httpx.AsyncClient) -> None:
    for period in QUARTERS:
        await accepted(yearly, a_quarter(period, 1, agency="H26.13"))
    assert rules((await accepted(yearly, a_year(4)))["findings"], "warning") == ["R1"]


async def test_where_nothing_is_owed_within_a_period_the_rule_holds(editor: httpx.AsyncClient) -> None:
    await put_form(editor, rules=[a_rule(check="amount == within(amount)")])
    assert (await accepted(editor, a_year(99)))["findings"] == []


async def test_a_row_that_only_a_quarter_has_is_seen_by_a_total(editor: httpx.AsyncClient) -> None:
    checks = ["amount == within(amount)", "total(amount) == within(total(amount))"]
    await put_form(editor, rules=[a_rule(id=f"R{n}", check=check) for n, check in enumerate(checks)])
    await put_regime(editor, "TEST_01")
    await quarters(editor, 1, 1, 1)
    rows = [{"sector": "LAND", "amount": 1}, {"sector": "HOUSING", "amount": 5}]
    await accepted(editor, a_small_report(period="2098-Q4", rows=rows))
    assert told(findings(await push(editor, a_year(4)))) == [("R1", "error", "/rows")]


async def test_the_first_and_the_last_of_the_quarters_are_read_alone(editor: httpx.AsyncClient) -> None:
    checks = ["amount >= first_within(amount)", "amount >= last_within(amount)"]
    await put_form(editor, rules=[a_rule(id=f"R{n}", check=check) for n, check in enumerate(checks)])
    await put_regime(editor, "TEST_01")
    await accepted(editor, a_quarter("2098-Q1", 5))
    assert told(findings(await push(editor, a_year(4)))) == [("R1", "warning", "/rows"), ("R0", "error", "/rows/0")]
    await accepted(editor, a_quarter("2098-Q4", 9))
    assert rules(findings(await push(editor, a_year(5)))) == ["R1"]
    assert (await accepted(editor, a_year(9)))["findings"] == []


async def test_quarters_sent_under_another_version_are_read_by_indicator(editor: httpx.AsyncClient) -> None:
    before = [an_indicator(id="other", required=False), an_indicator()]
    await put_form(editor, indicators=before, valid_to="2098-09-30")
    after = [an_indicator(), BLANK, an_indicator(id="other", required=False)]
    checks = ["amount == within(amount)", "other == within(other)", "extra == within(extra)"]
    second = [a_rule(id=f"R{n}", check=check) for n, check in enumerate(checks)]
    await put_form(editor, version=2, valid_from="2098-10-01", indicators=after, rules=second)
    await put_regime(editor, "TEST_01")
    for period in QUARTERS:
        rows = [{"sector": "LAND", "amount": 2, "other": 30}]
        await accepted(editor, a_small_report(period=period, rows=rows))
    rows = [{"sector": "LAND", "amount": 8, "other": 121, "extra": 0}]
    found = findings(await push(editor, a_small_report(period="2098", rows=rows)))
    assert told(found) == [("R1", "error", "/rows/0/other"), ("R2", "warning", "/rows/0/extra")]
    assert found[0]["expected"] == "120"
    assert "extra (2098-Q1)" in found[1]["message"]


async def test_validating_looks_at_the_same_reports_as_pushing(yearly: httpx.AsyncClient) -> None:
    await quarters(yearly, 1, 2, 3, 4)
    for amount in (10, 11):
        said = shown(await push(yearly, a_year(amount), to="/validate"))
        assert said["accepted"] is (amount == 10)


MATCHES = a_rule(check="amount == in_form(TEST_02, amount)")


def of_other(amount: int = 5, **changes: object) -> dict[str, Any]:
    """A report of the form that the first one reads."""
    rows = [{"sector": "LAND", "amount": amount}]
    return {**a_small_report(form="TEST_02", rows=rows), **changes}


@pytest.fixture
async def matched(editor: httpx.AsyncClient) -> httpx.AsyncClient:
    """The editor, once there are two forms of which one must agree with the other row by row."""
    await put_form(editor, code="TEST_02")
    await put_form(editor, rules=[MATCHES])
    return editor


async def test_a_report_that_agrees_with_the_other_form_has_no_findings(matched: httpx.AsyncClient) -> None:
    assert (await accepted(matched, of_other()))["findings"] == []
    assert (await accepted(matched, a_small_report()))["findings"] == []


async def test_a_report_that_disagrees_with_the_other_form_is_refused(matched: httpx.AsyncClient) -> None:
    await accepted(matched, of_other(6))
    (found,) = findings(await push(matched, a_small_report()))
    assert told([found]) == [("R1", "error", "/rows/0/amount")]
    assert (found["expected"], found["actual"]) == ("6", "5")


async def test_without_a_report_of_the_other_form_one_warning_names_it(matched: httpx.AsyncClient) -> None:
    rows = [{"sector": sector, "amount": 5} for sector in ("LAND", "HOUSING")]
    (found,) = (await accepted(matched, a_small_report(rows=rows)))["findings"]
    assert told([found]) == [("R1", "warning", "/rows")]
    assert "TEST_02" in found["message"]


@pytest.mark.parametrize("other", [{"agency": "H26.13"}, {"period": "2098-Q2"}, {"kind": "consolidation"}])
async def test_the_other_report_is_of_the_same_agency_period_and_kind(
    matched: httpx.AsyncClient, other: dict[str, Any]
) -> None:
    await accepted(matched, of_other(**other))
    assert rules((await accepted(matched, a_small_report()))["findings"], "warning") == ["R1"]


async def test_a_row_that_the_other_report_lacks_counts_zero_and_so_does_nothing_to_report(
    matched: httpx.AsyncClient,
) -> None:
    await accepted(matched, of_other())
    rows = [{"sector": "LAND", "amount": 5}, {"sector": "HOUSING", "amount": 0}]
    await accepted(matched, a_small_report(rows=rows))
    await accepted(matched, of_other(agency="H26.13", rows=[], nil="nothing_to_report"))
    (found,) = findings(await push(matched, a_small_report(agency="H26.13")))
    assert found["expected"] == "0"


async def test_another_form_that_came_earlier_in_the_batch_is_looked_at(matched: httpx.AsyncClient) -> None:
    answer = await push(matched, ndjson(of_other(6), a_small_report()), to="/batch")
    lines = lines_of(answer)
    assert [line["status"] for line in lines] == ["accepted", 422]
    assert lines[1]["findings"][0]["expected"] == "6"


async def test_a_report_of_another_version_of_the_other_form_is_read_by_indicator(editor: httpx.AsyncClient) -> None:
    note = an_indicator(id="note", type="text", unit=None, min=None, required=False)
    note |= {"over_agencies": "none", "over_time": "none"}
    await put_form(editor, code="TEST_02", indicators=[note, an_indicator()], valid_to="2098-06-30")
    await put_form(editor, code="TEST_02", version=2, valid_from="2098-07-01", indicators=[an_indicator(), BLANK])
    extra = a_rule(id="R2", check="total(amount) >= in_form(TEST_02, total(extra))")
    await put_form(editor, rules=[MATCHES, extra])
    await accepted(editor, of_other(6, period="2098-Q2", rows=[{"sector": "LAND", "note": "x", "amount": 6}]))
    found = findings(await push(editor, a_small_report(period="2098-Q2")))
    assert sorted(told(found)) == [("R1", "error", "/rows/0/amount"), ("R2", "warning", "/rows")]
    assert "TEST_02.extra" in str(found)
    await accepted(editor, of_other(rows=[{"sector": "LAND", "amount": 5, "extra": 1}]))
    assert (await accepted(editor, a_small_report()))["findings"] == []


async def test_previous_within_and_another_form_are_read_together(editor: httpx.AsyncClient) -> None:
    await put_form(editor, code="TEST_02")
    checks = ["amount == within(amount)", "amount >= previous(amount)", "amount == in_form(TEST_02, amount)"]
    await put_form(editor, rules=[a_rule(id=f"R{n}", check=check) for n, check in enumerate(checks)])
    await put_regime(editor, "TEST_01", "TEST_02")
    await accepted(editor, a_quarter("2097", 100))
    for period in QUARTERS:
        await accepted(editor, of_other(100, period=period))
        assert (await accepted(editor, a_quarter(period, 100)))["findings"] == []
    await accepted(editor, of_other(7, period="2098"))
    found = findings(await push(editor, a_year(99)))
    assert sorted(rules(found)) == ["R0", "R1", "R2"]
    assert [each["expected"] for each in found if each["rule"] != "R1"] == ["400", "7"]


def places(answer: httpx.Response) -> list[str]:
    """Where a refused form is wrong."""
    return [each["pointer"] for each in refused(answer, 422, "invalid-catalogue")["errors"]]


async def test_what_a_rule_reads_of_another_form_must_be_there(editor: httpx.AsyncClient) -> None:
    flag = an_indicator(id="flag", type="boolean", unit=None, min=None, over_agencies="none", over_time="none")
    await put_form(editor, code="TEST_02", indicators=[an_indicator(), flag])
    checks = [
        "amount == in_form(NOWHERE, amount)",
        "amount == in_form(TEST_02, missing)",
        "amount == in_form(TEST_02, flag)",
        "amount == in_form(TEST_02, amount)",
    ]
    wrong = a_form(rules=[a_rule(id=f"R{n}", check=check) for n, check in enumerate(checks)])
    assert places(await put(editor, "/forms/TEST_01/versions/1", wrong)) == [
        "/rules/0/check",
        "/rules/1/check",
        "/rules/2/check",
    ]


async def test_forms_of_other_breakdowns_are_compared_by_their_totals_only(editor: httpx.AsyncClient) -> None:
    await put_form(editor, code="TEST_02", breakdowns=[a_breakdown(id="field")])
    by_row, by_total = MATCHES, a_rule(check="total(amount) == in_form(TEST_02, total(amount))")
    path = "/forms/TEST_01/versions/1"
    assert places(await put(editor, path, a_form(rules=[by_row]))) == ["/rules/0/check"]
    assert (await put(editor, path, a_form(rules=[by_total]))).status_code == 200
    await accepted(editor, of_other(6, rows=[{"field": "LAND", "amount": 6}]))
    assert rules(findings(await push(editor, a_small_report()))) == ["R1"]


async def test_forms_that_read_each_other_may_be_loaded_together(engine: AsyncEngine) -> None:
    one = a_form(rules=[MATCHES])
    other = a_form(code="TEST_02", rules=[a_rule(check="amount == in_form(TEST_01, amount)")])
    assert await load(engine, ("form", one), ("form", other)) == 2


async def test_a_form_that_others_read_keeps_what_they_read_of_it(matched: httpx.AsyncClient) -> None:
    path = "/forms/TEST_02/versions/1"
    for change in ({"indicators": [an_indicator(id="sum")]}, {"breakdowns": [a_breakdown(id="field")]}):
        problem = refused(await put(matched, path, a_form(code="TEST_02", **change)), 422, "invalid-catalogue")
        (error,) = problem["errors"]
        assert "TEST_01" in error["message"]
        assert "R1" in error["message"]
    more = a_form(code="TEST_02", indicators=[an_indicator(), BLANK])
    assert (await put(matched, path, more)).status_code == 200


@pytest.mark.parametrize("over", ["over_agencies", "over_time"])
async def test_a_formula_over_what_is_never_combined_is_refused(editor: httpx.AsyncClient, over: str) -> None:
    lost = an_indicator(id="lost", **{over: "none"})
    formula = an_indicator(id="double", formula="lost * 2", **{over: "formula"})
    wrong = a_form(indicators=[an_indicator(), lost, formula])
    problem = refused(await put(editor, "/forms/TEST_01/versions/1", wrong), 422, "invalid-catalogue")
    (error,) = problem["errors"]
    assert error["pointer"] == "/indicators/2/formula"
    assert f"{over} của lost" in error["message"]
