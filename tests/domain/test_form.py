"""Forms: what a document must say, and what is compiled from it."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from factories import a_breakdown, a_form, a_rule, a_title, an_indicator, compiled
from gateway.domain.document import faults
from gateway.domain.form import TIMES_WITHIN, Form, FormFault, rule_faults
from gateway.domain.form_document import FormDocument
from gateway.domain.rules import RESERVED


def refused(**changes: object) -> list[str]:
    """The places of a document that the model refuses."""
    with pytest.raises(ValidationError) as refusal:
        FormDocument.model_validate(a_form(**changes))
    return [place.pointer for place in faults(refusal.value)]


def misfits(**changes: object) -> list[tuple[object, ...]]:
    """The places of a document whose parts do not fit each other."""
    document = FormDocument.model_validate(a_form(**changes))
    with pytest.raises(FormFault) as refusal:
        Form(document)
    return [place for place, _ in refusal.value.faults]


def test_a_form_is_read_as_it_was_written() -> None:
    document = a_form(rules=[a_rule()], indicators=[an_indicator(min=0, max=9)])
    served = FormDocument.model_validate(document).model_dump(mode="json")
    assert served["indicators"][0]["id"] == "amount"
    assert FormDocument.model_validate(FormDocument.model_validate(document).model_dump()).code == "TEST_01"


@pytest.mark.parametrize("code", ["a", "A", "1A", "TEST-01", "Test", "TEST 01", "A" * 51, "Á1", "A1\n"])
def test_a_code_is_a_name_that_sdmx_takes(code: str) -> None:
    assert refused(code=code) == ["/code"]


@pytest.mark.parametrize("name", ["A", "1a", "_a", "a-b", "a b", "", "a" * 50, "số", "a\n"])
def test_a_column_is_a_plain_name(name: str) -> None:
    assert refused(indicators=[an_indicator(id=name)]) == ["/indicators/0/id"]
    assert refused(breakdowns=[a_breakdown(id=name)]) == ["/breakdowns/0/id"]


@pytest.mark.parametrize("version", [0, 1000, "1", 1.0, True, None])
def test_a_version_is_a_number_from_1_to_999(version: object) -> None:
    assert refused(version=version) == ["/version"]


@pytest.mark.parametrize("day", ["2026-02-30", "26-01-01", 20260101, "2026-1-1", "2026-01-01T00:00:00", ""])
def test_a_day_is_written_year_month_day(day: object) -> None:
    assert refused(valid_from=day) == ["/valid_from"]


def test_a_form_cannot_end_before_it_begins() -> None:
    assert refused(valid_from="2026-01-02", valid_to="2026-01-01") == [""]
    assert compiled(valid_from="2026-01-01", valid_to="2026-01-01").document.valid_to is not None


def test_a_form_has_indicators_and_frequencies() -> None:
    assert refused(indicators=[]) == ["/indicators"]
    assert refused(frequencies=[]) == ["/frequencies"]


def test_every_title_is_in_two_languages() -> None:
    assert refused(title={"vi": "Biểu"}) == ["/title/en"]
    assert refused(title={"vi": "", "en": "x"}) == ["/title/vi"]
    assert refused(indicators=[an_indicator(title="x")]) == ["/indicators/0/title"]


INCONSISTENT: dict[str, dict[str, Any]] = {
    "a decimal without a scale": {"type": "decimal"},
    "an integer with a scale": {"scale": 0},
    "the first of agencies": {"over_agencies": "first"},
    "the last of agencies": {"over_agencies": "last"},
    "a text that is added": {"type": "text", "min": None},
    "a boolean with a last": {"type": "boolean", "min": None, "over_agencies": "none", "over_time": "last"},
    "a percentage that is added": {"type": "percent", "over_agencies": "none"},
    "a formula without a need": {"formula": "1"},
    "a need without a formula": {"over_time": "formula"},
}


@pytest.mark.parametrize("changes", INCONSISTENT.values(), ids=INCONSISTENT.keys())
def test_an_indicator_agrees_with_its_type(changes: dict[str, Any]) -> None:
    assert refused(indicators=[an_indicator(**changes)]) == ["/indicators/0"]


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "money"},
        {"scale": -1, "type": "decimal"},
        {"scale": 11, "type": "decimal"},
        {"min": "0"},
        {"min": 0.5},
        {"over_time": "average"},
        {"required": 1},
        {"note": "x"},
    ],
    ids=str,
)
def test_an_indicator_is_strict(changes: dict[str, object]) -> None:
    assert len(refused(indicators=[an_indicator(**changes)])) == 1


def test_every_fault_of_a_document_is_told_at_once() -> None:
    places = refused(code="x", version=0, note=1, indicators=[an_indicator(id="A"), an_indicator(type="x")])
    assert sorted(places) == ["/code", "/indicators/0/id", "/indicators/1/type", "/note", "/version"]


def test_names_are_used_once_across_breakdowns_and_indicators() -> None:
    assert misfits(indicators=[an_indicator(), an_indicator()]) == [("indicators", 1, "id")]
    assert misfits(breakdowns=[a_breakdown(id="amount")]) == [("indicators", 0, "id")]


@pytest.mark.parametrize("name", ["agency", "period", "level", "own", *sorted(RESERVED)])
def test_names_of_result_columns_and_of_the_rule_language_are_reserved(name: str) -> None:
    assert misfits(indicators=[an_indicator(id=name)]) == [("indicators", 0, "id")]
    assert misfits(breakdowns=[a_breakdown(id=name)]) == [("breakdowns", 0, "id")]


def test_rules_have_names_of_their_own() -> None:
    assert misfits(rules=[a_rule(), a_rule()]) == [("rules", 1, "id")]
    for name in ("column", "type", "required", "codelist", "duplicate", "total_row", "agency", "form_version"):
        assert misfits(rules=[a_rule(id=name)]) == [("rules", 0, "id")]
    assert misfits(rules=[a_rule(id="obligation")]) == [("rules", 0, "id")]


@pytest.mark.parametrize("check", ["", "amount", "amount +", "1 == 'x'", "missing == 1", "sector == 1", "amount = 1"])
def test_a_rule_that_does_not_compile_is_told_with_its_place(check: str) -> None:
    assert misfits(rules=[a_rule(id="R0"), a_rule(check=check)]) == [("rules", 1, "check")]


@pytest.mark.parametrize(
    "formula",
    [
        "amount +",
        "missing",
        "amount > 1",
        "rate",
        "total(amount)",
        "previous(amount)",
        "within(amount)",
        "amount - last_within(amount)",
        "in_form(OTHER_01, amount)",
    ],
)
def test_a_formula_reads_plain_figures_of_its_own_row(formula: str) -> None:
    derived = an_indicator(id="rate", over_time="formula", formula=formula)
    places = misfits(indicators=[an_indicator(), derived])
    assert set(places) == {("indicators", 1, "formula")}


def test_a_formula_does_not_read_another_formula() -> None:
    one = an_indicator(id="one", over_time="formula", formula="amount")
    two = an_indicator(id="two", over_time="formula", formula="one")
    assert misfits(indicators=[an_indicator(), one, two]) == [("indicators", 2, "formula")]


def test_bounds_have_as_many_digits_as_a_figure_may() -> None:
    assert misfits(indicators=[an_indicator(max=10**30)]) == [("indicators", 0)]
    many = Decimal("0.12345678901")
    assert misfits(indicators=[an_indicator(type="decimal", scale=2, min=many)]) == [("indicators", 0)]


def test_a_lower_bound_above_the_upper_one_is_refused() -> None:
    assert refused(indicators=[an_indicator(min=5, max=4)]) == ["/indicators/0"]


def rows(form: Form, *cells: object) -> list[list[object]]:
    """The cells of rows as the form's model reads them."""
    return [form.in_order(row) for row in form.rows_model.validate_python(list(cells))]


@pytest.mark.parametrize(
    ("changes", "right", "wrong"),
    [
        ({}, [0, 5, 10**30 - 1], [-1, 10**30, Decimal("1.0"), True, "5", [], 1.0]),
        ({"min": -3, "max": 4}, [-3, 4], [-4, 5]),
        ({"min": None}, [-(10**30) + 1], [-(10**30)]),
        (
            {"type": "decimal", "scale": 2, "min": None},
            [0, 7, Decimal("-1.25"), Decimal("9" * 30 + ".99"), Decimal("1.50"), Decimal("1E+3")],
            [Decimal("1.255"), Decimal("1E+30"), Decimal("1E-3"), True, "1.5", 10**30],
        ),
        (
            {"type": "percent", "over_agencies": "none", "over_time": "none", "min": None},
            [0, 100, Decimal("99.99")],
            [101, Decimal("100.01"), Decimal("-0.01"), Decimal("1.001"), True],
        ),
        (
            {"type": "percent", "over_agencies": "none", "over_time": "none", "min": None, "max": 250},
            [250],
            [251, -1],
        ),
        (
            {"type": "boolean", "over_agencies": "none", "over_time": "none", "min": None},
            [True, False],
            [0, 1, "true"],
        ),
        (
            {"type": "text", "over_agencies": "none", "over_time": "none", "min": None},
            ["", "a", "x" * 4000, "dòng\n2\t😀"],
            ["x" * 4001, 1, True, "\x01"],
        ),
    ],
    ids=["integer", "bounded", "negative", "decimal", "percent", "percent above 100", "boolean", "text"],
)
def test_a_cell_holds_what_its_type_says_and_nothing_else(
    changes: dict[str, Any], right: list[object], wrong: list[object]
) -> None:
    form = compiled(indicators=[an_indicator(**changes)])
    for cell in right:
        assert rows(form, {"sector": "LAND", "amount": cell}) == [["LAND", cell]]
    for cell in wrong:
        with pytest.raises(ValidationError):
            rows(form, {"sector": "LAND", "amount": cell})


def test_every_cell_may_be_blank_and_no_other_column_is_taken() -> None:
    assert rows(compiled(), {}, {"amount": None}) == [[None, None], [None, None]]
    with pytest.raises(ValidationError):
        rows(compiled(), {"other": 1})


def test_figures_and_texts_are_kept_apart_in_the_order_of_the_indicators() -> None:
    apart = {"over_agencies": "none", "over_time": "none", "min": None, "required": False}
    form = compiled(
        indicators=[
            an_indicator(id="note", type="text", **apart),
            an_indicator(id="amount"),
            an_indicator(id="final", type="boolean", **apart),
            an_indicator(id="remark", type="text", **apart),
            an_indicator(id="rate", type="percent", **apart),
        ]
    )
    assert (form.number_positions, form.text_positions, form.exact_positions) == ([1, 2, 4], [0, 3], [4])
    assert (dict(form.value_index), dict(form.text_index)) == (
        {"amount": 1, "final": 2, "rate": 3},
        {"note": 1, "remark": 2},
    )
    assert form.required_positions == [1]


def test_a_form_knows_whether_its_rules_look_back() -> None:
    assert not compiled(rules=[a_rule()]).uses_previous
    assert compiled(rules=[a_rule(check="amount == previous(amount)")]).uses_previous


def test_a_form_knows_which_other_reports_its_rules_look_at() -> None:
    checks = ["amount == within(amount)", "amount >= in_form(BY_ROW, x)", "total(amount) > in_form(WHOLE, total(y))"]
    form = compiled(rules=[a_rule(id=f"R{place}", check=check) for place, check in enumerate(checks)])
    assert form.uses_within
    assert form.forms_read == {"BY_ROW", "WHOLE"}
    assert form.forms_read_by_row == {"BY_ROW"}
    assert form.references == {("BY_ROW", "x"), ("WHOLE", "y")}
    plain = compiled(rules=[a_rule()])
    assert (plain.uses_within, plain.forms_read, plain.references) == (False, frozenset(), frozenset())


def test_a_rule_does_not_read_its_own_form_as_another_one() -> None:
    assert misfits(rules=[a_rule(check="amount == in_form(TEST_01, amount)")]) == [("rules", 0, "check")]
    document = a_form(rules=[a_rule(check="amount == in_form(TEST_01, amount)")])
    assert [place for place, _ in rule_faults(document)] == [("rules", 0, "check")]


def test_a_rule_about_the_reports_within_weighs_as_often_as_it_is_read() -> None:
    plain, year = "amount > 0", "amount == within(amount)"
    form = compiled(rules=[a_rule(check=plain), a_rule(id="R2", check=year)])
    once, often = (rule.check.weight for rule in form.rules)
    assert (once, often) == (len(plain) + 30, len(year) + 40)
    assert form.weight == once + TIMES_WITHIN * often


def test_a_product_weighs_more_than_a_sum_and_many_digits_end_it() -> None:
    summed, multiplied = (
        compiled(rules=[a_rule(check=check)]).weight for check in ("amount + 1 > 0", "amount * 1 > 0")
    )
    assert multiplied == summed + 50


def test_titles_are_told_in_both_languages() -> None:
    assert compiled(title=a_title("Biểu")).document.title.text == ("Biểu", "Biểu (en)")
