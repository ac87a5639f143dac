"""Validation by itself: a form and a report in, all findings out."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import pytest

from factories import a_breakdown, a_rule, a_small_report, agencies, an_agency, an_indicator, body, body_with, compiled
from gateway.domain.form import Form
from gateway.domain.period import parse_period
from gateway.domain.rules import Cells, OtherReport
from gateway.flow.read import read_submission
from gateway.flow.related import Related
from gateway.flow.validate import Verdict, validate

CODES = {"sector": frozenset({"LAND", "WATER"})}
AGENCIES = agencies(
    an_agency(code="H26.18", parent=None, valid_from="2025-03-01"),
    an_agency(code="H40", parent=None, valid_from=None, valid_to="2025-06-30", successor="H42"),
    an_agency(code="H42", parent=None, valid_from=None),
)
NO_ROW: dict[tuple[str, ...], Cells] = {}


def judged(
    form: Form,
    *rows: dict[str, object],
    previous: dict[tuple[str, ...], Cells] | None = None,
    within: Sequence[tuple[str, OtherReport | None]] = (),
    forms: Mapping[str, OtherReport] | None = None,
    sent: bytes | None = None,
    **changes: object,
) -> Verdict:
    """What validation says of a report of so many rows."""
    submission = read_submission(sent or body(a_small_report(rows=list(rows), **changes)))
    period = parse_period(submission.period)
    related = Related(previous, within, forms or {})
    return validate(submission, form, period, AGENCIES, submission.agency, CODES, related)


def told(verdict: Verdict) -> list[tuple[str, str, str]]:
    return [(each.rule, each.severity.value, each.pointer) for each in verdict.findings]


def land(amount: object = 5, **cells: object) -> dict[str, object]:
    return {"sector": "LAND", "amount": amount, **cells}


def water(amount: object = 5, **cells: object) -> dict[str, object]:
    return {"sector": "WATER", "amount": amount, **cells}


def form_with(*rules: dict[str, Any], indicators: Sequence[dict[str, Any]] = ()) -> Form:
    return compiled(rules=list(rules), indicators=[an_indicator(), *indicators])


OPTIONAL = an_indicator(id="extra", required=False)


def test_a_report_that_follows_its_form_has_no_findings() -> None:
    verdict = judged(form_with(a_rule()), land(), water(7))
    assert (verdict.findings, verdict.refused) == ([], False)
    assert [(row.codes, row.cells) for row in verdict.rows] == [(("LAND",), [5]), (("WATER",), [7])]


def test_an_absent_cell_and_a_null_are_the_same_blank() -> None:
    form = form_with(indicators=[OPTIONAL])
    absent, null = judged(form, land()), judged(form, land(extra=None))
    assert absent.rows == null.rows
    assert absent.rows[0].cells == [5, None]


def test_a_blank_operand_is_a_warning_that_names_it_and_not_a_crash() -> None:
    form = form_with(a_rule(check="amount == extra + 1"), indicators=[OPTIONAL])
    verdict = judged(form, land())
    assert told(verdict) == [("R1", "warning", "/rows/0/extra")]
    assert "extra" in verdict.findings[0].message.en
    assert not verdict.refused


def test_a_blank_in_a_required_cell_is_said_once_and_not_again_by_each_rule() -> None:
    verdict = judged(form_with(a_rule(), a_rule(id="R2", check="amount < 9")), land(None))
    assert told(verdict) == [("required", "error", "/rows/0/amount")]


def test_a_wrong_cell_silences_only_the_rules_that_read_it() -> None:
    form = form_with(a_rule(check="amount == 0"), a_rule(id="R2", check="extra == 0"), indicators=[OPTIONAL])
    assert told(judged(form, land("5", extra=1))) == [
        ("type", "error", "/rows/0/amount"),
        ("R2", "error", "/rows/0/extra"),
    ]


def test_a_division_by_zero_is_a_warning() -> None:
    form = form_with(a_rule(check="amount / extra > 1"), indicators=[OPTIONAL])
    verdict = judged(form, land(extra=0))
    assert told(verdict) == [("R1", "warning", "/rows/0/extra")]


def test_expected_actual_and_difference_are_exact_strings() -> None:
    form = form_with(
        a_rule(check="rate == amount / 3"),
        indicators=[an_indicator(id="rate", type="decimal", scale=3)],
    )
    sent = body_with(a_small_report(rows=[land(10, rate="@rate")]), rate="3.334")
    found = judged(form, sent=sent).findings[0]
    assert (found.expected, found.actual, found.difference, found.indicator) == ("3.333", "3.334", "0.001", "rate")


def test_a_rule_of_another_shape_has_no_figures() -> None:
    found = judged(form_with(a_rule(check="amount > 9")), land()).findings[0]
    assert (found.expected, found.actual, found.difference, found.indicator) == (None, None, None, None)
    assert found.pointer == "/rows/0"


def test_a_rule_over_the_whole_report_is_said_once() -> None:
    verdict = judged(form_with(a_rule(check="total(amount) < 10")), land(), water())
    assert told(verdict) == [("R1", "error", "/rows")]
    assert verdict.findings[0].row is None


def test_repeated_and_total_rows_do_not_count_towards_a_total() -> None:
    form = form_with(a_rule(check="total(amount) == 10"))
    verdict = judged(form, land(), water(), land(), {"sector": "TOTAL", "amount": 10})
    assert [rule for rule, _, _ in told(verdict)] == ["duplicate", "total_row"]


def test_an_explained_difference_does_not_refuse_but_is_recorded() -> None:
    form = form_with(a_rule(severity="explain", check="amount == 4"))
    explanation = {"rule": "R1", "row": {"sector": "LAND"}, "text": "Sáp nhập"}
    without, explained = judged(form, land()), judged(form, land(), explanations=[explanation])
    assert (without.refused, explained.refused) == (True, False)
    assert told(without) == told(explained) == [("R1", "explain", "/rows/0/amount")]


def test_each_row_needs_its_own_explanation() -> None:
    form = form_with(a_rule(severity="explain", check="amount == 4"))
    explanation = {"rule": "R1", "row": {"sector": "LAND"}, "text": "Sáp nhập"}
    assert judged(form, land(), water(), explanations=[explanation]).refused


def test_a_rule_over_the_whole_report_is_explained_without_a_row() -> None:
    form = form_with(a_rule(severity="explain", check="total(amount) == 4"))
    assert not judged(form, land(), explanations=[{"rule": "R1", "text": "Sáp nhập"}]).refused


def test_a_warning_never_refuses() -> None:
    verdict = judged(form_with(a_rule(severity="warning", check="amount == 4")), land())
    assert (told(verdict), verdict.refused) == ([("R1", "warning", "/rows/0/amount")], False)


CARRY = a_rule(check="amount == previous(amount)")


def test_the_previous_figure_is_of_the_same_row() -> None:
    before: dict[tuple[str, ...], Cells] = {("LAND",): [5], ("WATER",): [9]}
    verdict = judged(form_with(CARRY), land(5), water(5), previous=before)
    assert [(each.row, each.expected) for each in verdict.findings] == [({"sector": "WATER"}, "9")]


def test_a_row_absent_from_the_previous_report_is_zero() -> None:
    assert judged(form_with(CARRY), land(0), previous={("WATER",): [9]}).findings == []
    assert judged(form_with(CARRY), land(0), previous=NO_ROW).findings == []


def test_no_previous_report_is_one_warning_for_the_whole_report() -> None:
    assert told(judged(form_with(CARRY), land(), water())) == [("R1", "warning", "/rows")]


def test_previous_decimals_are_exact() -> None:
    form = compiled(
        indicators=[an_indicator(type="decimal", scale=1)],
        rules=[a_rule(check="amount == previous(amount) * 3")],
    )
    sent = body_with(a_small_report(rows=[land("@n")]), n="0.3")
    assert judged(form, sent=sent, previous={("LAND",): [Fraction(1, 10)]}).findings == []


SUM = a_rule(check="amount == within(amount)")
FIRST, SECOND = OtherReport({("LAND",): [2], ("WATER",): [1]}), OtherReport({("LAND",): [3]})


def test_the_reports_within_are_added_up_for_the_same_row() -> None:
    verdict = judged(form_with(SUM), land(5), water(5), within=[("2098-Q1", FIRST), ("2098-Q2", SECOND)])
    assert [(each.row, each.expected) for each in verdict.findings] == [({"sector": "WATER"}, "1")]


def test_a_report_that_is_missing_within_is_one_warning_that_names_its_period() -> None:
    verdict = judged(form_with(SUM), land(5), water(5), within=[("2098-Q1", FIRST), ("2098-Q2", None)])
    assert told(verdict) == [("R1", "warning", "/rows")]
    assert "2098-Q2" in verdict.findings[0].message.en
    assert "2098-Q2" in verdict.findings[0].message.vi


def test_each_rule_says_by_itself_that_a_report_is_missing() -> None:
    form = form_with(SUM, SUM | {"id": "R2"}, a_rule(id="R3", check="amount == first_within(amount)"))
    verdict = judged(form, land(2), within=[("2098-Q1", FIRST), ("2098-Q2", None)])
    assert told(verdict) == [("R1", "warning", "/rows"), ("R2", "warning", "/rows")]


def test_a_rule_that_needs_no_report_for_some_rows_is_judged_on_those() -> None:
    form = form_with(a_rule(check="amount == 0 or amount == within(amount)", severity="error"))
    verdict = judged(form, land(0), water(5), within=[("2098-Q1", None)])
    assert told(verdict) == [("R1", "warning", "/rows")]
    assert judged(form, land(0), water(0), within=[("2098-Q1", None)]).findings == []


def test_where_no_report_is_owed_within_the_rule_is_silent() -> None:
    assert judged(form_with(SUM), land(5)).findings == []


def test_a_blank_in_a_report_within_is_named_with_its_period() -> None:
    form = form_with(a_rule(check="amount >= within(extra)"), indicators=[OPTIONAL])
    verdict = judged(form, land(5), within=[("2098-Q1", OtherReport({("LAND",): [5, None]}))])
    assert told(verdict) == [("R1", "warning", "/rows/0")]
    assert "extra (2098-Q1)" in verdict.findings[0].message.en


OTHER = a_rule(check="amount == in_form(TEST_02, sum)")


def test_another_form_is_read_wherever_its_version_has_the_figure() -> None:
    for place in (0, 3):
        other = OtherReport({("LAND",): [None] * place + [4]}, {"sum": place})
        (found,) = judged(form_with(OTHER), land(5), forms={"TEST_02": other}).findings
        assert (found.expected, found.actual) == ("4", "5")


def test_no_report_of_another_form_is_one_warning_that_names_the_form() -> None:
    verdict = judged(form_with(OTHER), land(), water())
    assert told(verdict) == [("R1", "warning", "/rows")]
    assert "TEST_02" in verdict.findings[0].message.en
    assert "TEST_02" in verdict.findings[0].message.vi


def test_nothing_to_report_needs_no_rows_and_breaks_no_rule() -> None:
    form = form_with(a_rule(check="total(amount) > 0"), CARRY | {"id": "R2"})
    verdict = judged(form, nil="nothing_to_report")
    assert (verdict.findings, verdict.refused) == ([], False)


@pytest.mark.parametrize(
    ("agency", "period", "finding"),
    [
        ("H40", "2025-Q2", None),
        ("H40", "2025-Q3", "H42"),
        ("H40", "2026", "H42"),
        ("H26.18", "2025-Q1", None),
        ("H26.18", "2024-Q3", "2024-09-14"),
    ],
)
def test_an_agency_reports_for_periods_whose_last_day_it_saw(agency: str, period: str, finding: str | None) -> None:
    form = compiled(frequencies=["quarterly", "annual"])
    verdict = judged(form, land(), agency=agency, period=period)
    assert [each.rule for each in verdict.findings] == ([] if finding is None else ["agency"])
    assert finding is None or finding in verdict.findings[0].message.vi


def test_a_form_without_breakdowns_has_one_row() -> None:
    form = compiled(breakdowns=[])
    assert judged(form, {"amount": 1}).findings == []
    assert told(judged(form, {"amount": 1}, {"amount": 2})) == [("duplicate", "error", "/rows/1")]


def test_two_breakdowns_make_a_row_together() -> None:
    form = compiled(breakdowns=[a_breakdown(), a_breakdown(id="other")])
    codes = {**CODES, "other": frozenset({"A", "B"})}
    rows = [{"sector": "LAND", "other": code, "amount": 1} for code in ("A", "B", "A")]
    submission = read_submission(body(a_small_report(rows=rows)))
    period = parse_period("2098-Q3")
    verdict = validate(submission, form, period, AGENCIES, "H26.18", codes)
    assert told(verdict) == [("duplicate", "error", "/rows/2")]


def test_the_message_of_a_wrong_cell_says_what_belongs_there() -> None:
    for indicator, words in (
        (an_indicator(min=1, max=9), "an integer, not below 1, not above 9"),
        (an_indicator(type="decimal", scale=2, min=None), "a number with at most 2 decimals"),
        (an_indicator(type="percent", over_agencies="none", over_time="none"), "not below 0, not above 100"),
        (an_indicator(type="boolean", min=None, over_agencies="none", over_time="none"), "true or false"),
        (an_indicator(type="text", min=None, over_agencies="none", over_time="none"), "a string"),
    ):
        found = judged(compiled(indicators=[indicator]), land([])).findings[0]
        assert (found.rule, words in found.message.en) == ("type", True), found.message.en


def test_a_finding_shows_nothing_of_a_wrong_cell() -> None:
    found = judged(form_with(), land("0123456789")).findings[0]
    assert "0123456789" not in str(found)


def test_the_same_report_always_gives_the_same_findings() -> None:
    form = form_with(a_rule(check="amount == 4"), CARRY | {"id": "R2"}, indicators=[OPTIONAL])
    rows = (land(None, x=1), water("5"), land(), land(sector="TOTAL"))
    assert judged(form, *rows) == judged(form, *rows)
