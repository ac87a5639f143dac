"""What a form refuses: 422 with every finding at once, kept to be read and never counted."""

from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from factories import TTHC_COLUMNS, a_balanced_row, a_monthly_report, a_monthly_row, a_report, a_row, body, body_with
from gateway_under_test import accepted, counts, findings, push, rules, shown

Finding = dict[str, Any]


async def refusals(client: httpx.AsyncClient, document: object) -> list[Finding]:
    """The findings of a rejected report that refuse it."""
    return [each for each in findings(await push(client, document)) if each["severity"] != "warning"]


async def only_refusal(client: httpx.AsyncClient, document: object) -> Finding:
    found = await refusals(client, document)
    assert len(found) == 1, found
    return found[0]


async def test_a_total_off_by_one_names_its_cell_and_both_figures(province: httpx.AsyncClient) -> None:
    row = a_row(received_total=10361, received_online=10362, received_offline=0, carried_over=0)
    found = {each["rule"]: each for each in await refusals(province, a_report(rows=[row]))}
    assert found["R1"] == {
        "rule": "R1",
        "severity": "error",
        "pointer": "/rows/0/received_total",
        "row": {"sector": "LAND"},
        "indicator": "received_total",
        "expected": "10362",
        "actual": "10361",
        "difference": "-1",
        "message": found["R1"]["message"],
    }
    assert found["R1"]["message"].startswith("Cột (3)")
    assert (found["R4"]["expected"], found["R4"]["actual"], found["R4"]["difference"]) == ("2400", "10361", "7961")


@pytest.mark.parametrize(
    ("rule", "changes", "expected", "actual"),
    [
        ("R1", {"received_online": 2279}, "2399", "2400"),
        ("R2", {"resolved_early": 1749}, "2374", "2375"),
        ("R3", {"pending_in_time": 24}, "24", "25"),
        ("R4", {"received_total": 2401, "received_online": 2281}, "2400", "2401"),
    ],
)
async def test_each_arithmetic_rule_refuses_by_itself(
    province: httpx.AsyncClient, rule: str, changes: dict[str, int], expected: str, actual: str
) -> None:
    found = await only_refusal(province, a_report(rows=[a_row(**changes)]))
    assert (found["rule"], found["expected"], found["actual"], found["difference"]) == (rule, expected, actual, "1")


@pytest.mark.parametrize("column", TTHC_COLUMNS)
async def test_each_cell_must_be_a_whole_number_of_at_least_zero(province: httpx.AsyncClient, column: str) -> None:
    for literal in ("-1", "1.5", "1.0", '"5"', "true", "[]", "{}", "1e2"):
        sent = body_with(a_report(rows=[a_row(**{column: "@cell"})]), cell=literal)
        found = await only_refusal(province, sent)
        place = (found["rule"], found["pointer"], found["indicator"])
        assert place == ("type", f"/rows/0/{column}", column), literal


@pytest.mark.parametrize("column", TTHC_COLUMNS)
async def test_a_blank_in_a_required_cell_is_not_a_zero(province: httpx.AsyncClient, column: str) -> None:
    absent = a_row()
    del absent[column]
    for row in (absent, a_row(**{column: None})):
        found = await only_refusal(province, a_report(rows=[row]))
        assert (found["rule"], found["pointer"]) == ("required", f"/rows/0/{column}")


async def test_a_column_the_form_lacks_is_a_finding(province: httpx.AsyncClient) -> None:
    found = await only_refusal(province, a_report(rows=[a_row(**{"a/b~c": 1})]))
    assert (found["rule"], found["pointer"]) == ("column", "/rows/0/a~1b~0c")


async def test_a_code_outside_its_list_is_a_finding(province: httpx.AsyncClient) -> None:
    found = await only_refusal(province, a_report(rows=[a_row(sector="MOON")]))
    assert (found["rule"], found["pointer"]) == ("codelist", "/rows/0/sector")


async def test_a_row_without_its_breakdown_is_a_finding(province: httpx.AsyncClient) -> None:
    found = await only_refusal(province, a_report(rows=[a_row(sector=None)]))
    assert (found["rule"], found["pointer"]) == ("required", "/rows/0/sector")


async def test_a_breakdown_that_is_a_number_is_a_finding(province: httpx.AsyncClient) -> None:
    found = await only_refusal(province, a_report(rows=[a_row(sector=1)]))
    assert (found["rule"], found["pointer"]) == ("type", "/rows/0/sector")


async def test_a_repeated_row_is_a_finding_that_names_the_first(province: httpx.AsyncClient) -> None:
    rows = [a_balanced_row("LAND"), a_balanced_row("HOUSING"), a_balanced_row("LAND")]
    found = await only_refusal(province, a_report(rows=rows))
    assert (found["rule"], found["pointer"]) == ("duplicate", "/rows/2")
    assert "/rows/0" in found["message"]


@pytest.mark.parametrize("code", ["TOTAL", "_T", "Tổng cộng", "TỔNG SỐ", "tong_cong"])
async def test_the_total_row_is_never_taken_as_data(province: httpx.AsyncClient, code: str) -> None:
    rows = [a_balanced_row("LAND"), a_balanced_row(code)]
    found = await only_refusal(province, a_report(rows=rows))
    assert (found["rule"], found["pointer"]) == ("total_row", "/rows/1/sector")


async def test_no_rows_without_nil_is_a_finding(province: httpx.AsyncClient) -> None:
    found = await only_refusal(province, a_report(rows=[]))
    assert (found["rule"], found["pointer"]) == ("required", "/rows")


async def test_nil_with_rows_is_a_finding(province: httpx.AsyncClient) -> None:
    for nil in ("nothing_to_report", "not_applicable"):
        found = await only_refusal(province, a_report(nil=nil))
        assert found["pointer"] == "/rows"


async def test_a_closed_agency_is_refused_and_its_successor_named(country: httpx.AsyncClient) -> None:
    found = await only_refusal(country, a_report(agency="H40", period="2026-Q3"))
    assert (found["rule"], found["pointer"]) == ("agency", "/agency")
    assert "H42" in found["message"]


async def test_a_closed_agency_still_reports_for_a_period_it_was_there_for(country: httpx.AsyncClient) -> None:
    await accepted(country, a_report(agency="H40", period="2024-Q3"))


async def test_an_agency_that_closes_within_a_period_does_not_report_for_it(
    country: httpx.AsyncClient,
) -> None:
    await accepted(country, a_report(agency="H40", period="2025-Q2"))
    found = await only_refusal(country, a_report(agency="H40", period="2025"))
    assert found["rule"] == "agency"


async def test_an_agency_does_not_report_for_a_period_before_it_began(province: httpx.AsyncClient) -> None:
    found = await only_refusal(province, a_report(period="2024-Q3"))
    assert (found["rule"], found["pointer"]) == ("agency", "/agency")


async def test_a_period_before_the_form_began_is_refused(country: httpx.AsyncClient) -> None:
    found = await only_refusal(country, a_report(agency="H26", period="2020-Q1"))
    assert found["rule"] == "form_version"


@pytest.mark.parametrize("period", ["2098-07", "2098-S1", "2098-W30", "2098-9M", "2098-07-20/P14D"])
async def test_a_period_of_another_frequency_is_not_owed(province: httpx.AsyncClient, period: str) -> None:
    found = await only_refusal(province, a_report(period=period))
    assert (found["rule"], found["pointer"]) == ("obligation", "/period")


async def test_everything_that_is_wrong_is_said_at_once(country: httpx.AsyncClient) -> None:
    rows = [
        a_row(received_total=2401),
        a_row(sector="MOON", resolved_total=1),
        a_row(pending_total="25"),
        a_row(sector="TOTAL"),
        a_row(sector="HOUSING", carried_over=None, remark="x"),
    ]
    document = a_report(agency="H40", period="2026-07", rows=rows)
    found = await refusals(country, document)
    assert sorted((each["rule"], each["pointer"]) for each in found) == [
        ("R1", "/rows/0/received_total"),
        ("R2", "/rows/1/resolved_total"),
        ("R4", "/rows/0/received_total"),
        ("R4", "/rows/1/received_total"),
        ("agency", "/agency"),
        ("codelist", "/rows/1/sector"),
        ("column", "/rows/4/remark"),
        ("duplicate", "/rows/2"),
        ("obligation", "/period"),
        ("required", "/rows/4/carried_over"),
        ("total_row", "/rows/3/sector"),
        ("type", "/rows/2/pending_total"),
    ]


async def test_findings_are_in_vietnamese_unless_english_is_preferred(province: httpx.AsyncClient) -> None:
    wrong = a_report(rows=[a_row(received_total=2401)])
    for accept, beginning in (
        (None, "Cột (3)"),
        ("vi", "Cột (3)"),
        ("en", "Column (3)"),
        ("en-GB,vi;q=0.5", "Column (3)"),
        ("en;q=0.2, vi;q=0.9", "Cột (3)"),
        ("fr, *", "Cột (3)"),
        ("en;q=0", "Cột (3)"),
    ):
        headers = {} if accept is None else {"Accept_Language": accept}
        messages = [each["message"] for each in findings(await push(province, wrong, **headers))]
        assert any(message.startswith(beginning) for message in messages), accept


async def test_a_rejected_report_is_kept_and_read_but_has_no_revision_and_no_receipt(
    province: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    wrong = a_report(rows=[a_row(received_total=2401)])
    answer = await push(province, wrong)
    problem = shown(answer)
    assert answer.headers["location"] == f"/v1/reports/{problem['report']}"
    assert problem["revision"] is None
    kept = shown(await province.get(answer.headers["location"]))
    assert (kept["status"], kept["revision"], kept["receipt"], kept["late"]) == ("rejected", None, None, None)
    assert (kept["findings"], kept["rows"], kept["sha256"]) == (
        problem["findings"],
        wrong["rows"],
        problem["sha256"],
    )
    numbers = await counts(engine)
    assert (numbers["reports"], numbers["payloads"]) == (1, 1)
    assert (numbers["report_rows"], numbers["report_events"], numbers["deliveries"]) == (0, 0, 0)


async def test_a_rejected_report_does_not_stand_in_the_way_of_a_right_one(province: httpx.AsyncClient) -> None:
    assert (await push(province, a_report(rows=[a_row(received_total=2401)]))).status_code == 422
    assert (await accepted(province, a_report()))["revision"] == 1


async def test_the_bytes_of_a_rejected_report_are_judged_anew(province: httpx.AsyncClient) -> None:
    first = await push(province, a_report(rows=[]))
    again = await push(province, a_report(rows=[]))
    assert (first.status_code, again.status_code) == (422, 422)
    assert shown(first)["report"] != shown(again)["report"]


async def test_a_rejected_correction_leaves_the_current_report_as_it_was(province: httpx.AsyncClient) -> None:
    first = await accepted(province, a_report())
    wrong = a_report(corrects=first["id"], rows=[a_row(received_total=2401)])
    assert (await push(province, wrong)).status_code == 422
    kept = shown(await province.get(f"/v1/reports/{first['id']}"))
    assert (kept["status"], kept["ended"]) == ("accepted", None)


CARRIED = a_balanced_row(carried_over=7, pending=3)


async def test_a_difference_to_the_previous_period_needs_an_explanation(province: httpx.AsyncClient) -> None:
    await accepted(province, a_report(period="2098-Q2", rows=[a_balanced_row(pending=5)]))
    found = await only_refusal(province, a_report(rows=[CARRIED]))
    assert (found["rule"], found["severity"], found["pointer"]) == ("R6", "explain", "/rows/0/carried_over")
    assert (found["expected"], found["actual"], found["difference"]) == ("5", "7", "2")


async def test_an_explained_difference_is_accepted_and_kept_with_its_explanation(
    province: httpx.AsyncClient,
) -> None:
    await accepted(province, a_report(period="2098-Q2", rows=[a_balanced_row(pending=5)]))
    explanations = [{"rule": "R6", "row": {"sector": "LAND"}, "text": "Tiếp nhận từ đơn vị sáp nhập"}]
    taken = await accepted(province, a_report(rows=[CARRIED], explanations=explanations))
    assert rules(taken["findings"], "explain") == ["R6"]
    assert shown(await province.get(f"/v1/reports/{taken['id']}"))["explanations"] == explanations


@pytest.mark.parametrize(
    "explanation",
    [
        {"rule": "R6", "row": {"sector": "HOUSING"}, "text": "x"},
        {"rule": "R6", "text": "x"},
        {"rule": "R1", "row": {"sector": "LAND"}, "text": "x"},
    ],
    ids=["another row", "no row", "another rule"],
)
async def test_an_explanation_excuses_only_its_own_rule_and_row(
    province: httpx.AsyncClient, explanation: dict[str, object]
) -> None:
    await accepted(province, a_report(period="2098-Q2", rows=[a_balanced_row(pending=5)]))
    document = a_report(rows=[CARRIED], explanations=[explanation])
    assert (await only_refusal(province, document))["rule"] == "R6"


async def test_no_explanation_excuses_an_error(province: httpx.AsyncClient) -> None:
    explanation = {"rule": "R1", "row": {"sector": "LAND"}, "text": "x"}
    rows = [a_row(received_online=2279)]
    found = await only_refusal(province, a_report(rows=rows, explanations=[explanation]))
    assert found["rule"] == "R1"


async def test_an_explanation_of_an_unknown_rule_is_a_warning(province: httpx.AsyncClient) -> None:
    taken = await accepted(province, a_report(explanations=[{"rule": "R99", "text": "x"}]))
    found = {each["rule"]: each for each in taken["findings"]}
    assert (found["R99"]["severity"], found["R99"]["pointer"]) == ("warning", "/explanations/0/rule")


async def test_without_a_previous_report_the_rule_is_a_warning_said_once(province: httpx.AsyncClient) -> None:
    taken = await accepted(province, a_report(rows=[a_balanced_row("LAND"), a_balanced_row("HOUSING")]))
    assert [(each["rule"], each["severity"], each["pointer"]) for each in taken["findings"]] == [
        ("R6", "warning", "/rows")
    ]


async def test_a_row_absent_from_the_previous_report_counts_as_zero(province: httpx.AsyncClient) -> None:
    await accepted(province, a_report(period="2098-Q2", rows=[a_balanced_row("LAND")]))
    found = await only_refusal(province, a_report(rows=[a_balanced_row("HOUSING", carried_over=4)]))
    assert (found["rule"], found["expected"], found["actual"]) == ("R6", "0", "4")


async def test_the_first_quarter_follows_the_year_since_no_fourth_quarter_is_reported(
    province: httpx.AsyncClient,
) -> None:
    await accepted(province, a_report(period="2098", rows=[a_balanced_row(pending=9)]))
    found = await only_refusal(province, a_report(period="2099-Q1", rows=[a_balanced_row(carried_over=4)]))
    assert found["expected"] == "9"
    await accepted(province, a_report(period="2099-Q1", rows=[a_balanced_row(carried_over=9)]))


def over_quarters(carried_over: int, online: int) -> dict[str, Any]:
    """A row that begins with so many dossiers, takes in so many more and resolves them all."""
    resolved = carried_over + online
    figures = {"received_total": resolved, "received_online": online, "received_offline": 0}
    figures |= {"carried_over": carried_over, "resolved_total": resolved, "resolved_on_time": resolved}
    return a_balanced_row(carried_over=carried_over) | figures


async def report_quarters(client: httpx.AsyncClient) -> None:
    """Report the first three quarters of a year that begins with 4 dossiers, 10 taken in and resolved in each."""
    for quarter, carried_over in (("Q1", 4), ("Q2", 0), ("Q3", 0)):
        await accepted(client, a_report(period=f"2098-{quarter}", rows=[over_quarters(carried_over, 10)]))


async def test_a_year_has_at_least_what_its_quarters_had_and_begins_as_the_first_of_them(
    province: httpx.AsyncClient,
) -> None:
    await report_quarters(province)
    for online in (30, 45):  # no fourth quarter is reported: what came in it is in the year alone
        said = shown(await push(province, a_report(period="2098", rows=[over_quarters(4, online)]), to="/validate"))
        assert (said["accepted"], [each["rule"] for each in said["findings"]]) == (True, ["R6"])


async def test_a_year_that_disagrees_with_its_quarters_needs_an_explanation_for_each_rule(
    province: httpx.AsyncClient,
) -> None:
    await report_quarters(province)
    document = a_report(period="2098", rows=[over_quarters(5, 28)])
    found = {each["rule"]: each for each in await refusals(province, document)}
    assert {rule: each["severity"] for rule, each in found.items()} == dict.fromkeys(("R9A", "R9B", "R9C"), "explain")
    assert (found["R9B"]["expected"], found["R9B"]["actual"]) == ("4", "5")
    assert "(4)" in found["R9A"]["message"]
    row = {"sector": "LAND"}
    explained = [{"rule": rule, "row": row, "text": "Chuyển hồ sơ sang đơn vị khác"} for rule in found]
    assert (await push(province, document | {"explanations": explained[1:]})).status_code == 422
    taken = await accepted(province, document | {"explanations": explained})
    assert rules(taken["findings"], "explain") == ["R9A", "R9B", "R9C"]


async def test_a_year_without_a_quarter_is_accepted_with_warnings_that_name_it(province: httpx.AsyncClient) -> None:
    for quarter in ("Q1", "Q3"):
        await accepted(province, a_report(period=f"2098-{quarter}", rows=[over_quarters(0, 10)]))
    taken = await accepted(province, a_report(period="2098", rows=[over_quarters(0, 5), a_balanced_row("HOUSING")]))
    found = {each["rule"]: each for each in taken["findings"]}
    assert {rule: each["severity"] for rule, each in found.items()} == dict.fromkeys(("R6", "R9A", "R9C"), "warning")
    assert len(taken["findings"]) == 3
    assert "2098-Q2" in found["R9A"]["message"]


async def test_the_quarters_of_a_year_are_not_compared_with_anything_within(province: httpx.AsyncClient) -> None:
    taken = await accepted(province, a_report(period="2098-Q1", rows=[over_quarters(0, 10)]))
    assert [each["rule"] for each in taken["findings"]] == ["R6"]


async def test_the_previous_report_is_of_the_same_agency(country: httpx.AsyncClient) -> None:
    await accepted(country, a_report(period="2098-Q2", agency="H26.13", rows=[a_balanced_row(pending=5)]))
    taken = await accepted(country, a_report(rows=[CARRIED]))
    assert rules(taken["findings"], "warning") == ["R6"]


async def test_the_previous_report_is_the_corrected_one(province: httpx.AsyncClient) -> None:
    first = await accepted(province, a_report(period="2098-Q2", rows=[a_balanced_row(pending=5)]))
    await accepted(province, a_report(period="2098-Q2", rows=[a_balanced_row(pending=7)], corrects=first["id"]))
    assert (await accepted(province, a_report(rows=[CARRIED])))["findings"] == []


async def test_a_withdrawn_report_is_no_previous_report(province: httpx.AsyncClient) -> None:
    first = await accepted(province, a_report(period="2098-Q2", rows=[a_balanced_row(pending=5)]))
    await province.post(f"/v1/reports/{first['id']}/withdraw", json={"reason": "Nhầm"})
    taken = await accepted(province, a_report(rows=[CARRIED]))
    assert rules(taken["findings"], "warning") == ["R6"]


async def test_decimals_beyond_the_scale_are_a_finding_and_never_rounded(country: httpx.AsyncClient) -> None:
    for literal in ("5000.25", "5000.000000000000000000001", "12345678901234567.89"):
        sent = body_with(a_monthly_report(rows=[a_monthly_row(retail_sales="@n")]), n=literal)
        found = await only_refusal(country, sent)
        assert (found["rule"], found["indicator"]) == ("type", "retail_sales"), literal


async def test_a_percentage_lies_between_0_and_100_with_two_decimals(country: httpx.AsyncClient) -> None:
    for literal in ("100.01", "-0.01", "12.345", '"12"'):
        row = a_monthly_row(industrial_park_occupancy="@n")
        found = await only_refusal(country, body_with(a_monthly_report(rows=[row]), n=literal))
        assert (found["rule"], found["indicator"]) == ("type", "industrial_park_occupancy"), literal


async def test_a_boolean_is_true_or_false(country: httpx.AsyncClient) -> None:
    for cell in (1, 0, "true", "yes"):
        found = await only_refusal(country, a_monthly_report(rows=[a_monthly_row(is_preliminary=cell)]))
        assert found["rule"] == "type", cell


async def test_expected_figures_are_rounded_to_the_scale_of_their_column(country: httpx.AsyncClient) -> None:
    row = a_monthly_row(public_investment_plan=300, public_investment_disbursed=100, disbursement_rate=33.3)
    found = await only_refusal(country, a_monthly_report(rows=[row]))
    assert (found["expected"], found["actual"], found["difference"]) == ("33.33", "33.3", "-0.03")


async def test_a_warning_is_recorded_and_refuses_nothing(country: httpx.AsyncClient) -> None:
    taken = await accepted(country, a_monthly_report(rows=[a_monthly_row(budget_revenue=0)]))
    assert "R5" in rules(taken["findings"], "warning")
    kept = shown(await country.get(f"/v1/reports/{taken['id']}"))
    assert kept["findings"] == taken["findings"]


async def test_validating_says_what_pushing_would_and_stores_nothing(
    province: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    wrong = a_report(rows=[a_row(received_total=2401)])
    said = await push(province, wrong, to="/validate")
    assert (said.status_code, shown(said)["accepted"]) == (200, False)
    assert set((await counts(engine)).values()) == {0}
    assert shown(said)["findings"] == findings(await push(province, wrong))
    right = await push(province, a_report(), to="/validate")
    assert shown(right)["accepted"] is True


async def test_a_small_body_of_mistakes_does_not_make_a_huge_answer(province: httpx.AsyncClient) -> None:
    sent = body(a_report(rows=[{}] * 5000))
    assert len(sent) < 25_000
    answer = await push(province, sent, to="/validate")
    assert (answer.status_code, shown(answer)["accepted"]) == (200, False)
    assert len(answer.content) < 5_000_000
