"""Consolidating: exact, in any order, level by level or at once; and explanations that cite whom they come from."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import a_breakdown, an_indicator, compiled
from gateway.domain.consolidation import MAX_EXPLANATIONS, MAX_TEXT, SHORTENED, Row, Source, consolidate, inherit
from gateway.domain.exact import decode, encode
from gateway.domain.form import Form
from gateway.domain.recompute import recomputed
from gateway.domain.report import Submission
from gateway.domain.rules import round_half_away

NEVER = {"over_agencies": "none", "over_time": "none", "required": False, "min": None}
SUM = {"over_agencies": "sum", "over_time": "none", "required": False, "min": None}
FORMULA = {"over_agencies": "formula", "over_time": "none", "required": False, "min": None}
FORM = compiled(
    breakdowns=[a_breakdown(), a_breakdown(id="stage", total="none")],
    indicators=[
        an_indicator(id="plan", type="decimal", scale=2, **SUM),
        an_indicator(id="spent", **SUM),
        an_indicator(id="share", type="decimal", scale=3, formula="spent / plan", **FORMULA),
        an_indicator(id="both", formula="if(spent > 0, spent, 0 - spent) * 2", **FORMULA),
        an_indicator(id="mean", type="decimal", scale=1, **NEVER),
        an_indicator(id="final", type="boolean", **NEVER),
        an_indicator(id="note", type="text", **NEVER),
    ],
)


def source(form: Form, *rows: Mapping[str, Any]) -> Source:
    """A report of rows that hold codes and values side by side."""
    count = len(form.breakdowns)
    ordered = [form.in_order(dict(row)) for row in rows]
    return Source(form, [Row(tuple(cells[:count]), cells[count:]) for cells in ordered])


def a_row(sector: str = "LAND", stage: str = "ACTUAL", **cells: object) -> dict[str, object]:
    return {"sector": sector, "stage": stage, **cells}


def combined(*rows: Mapping[str, Any], form: Form = FORM) -> list[dict[str, object]]:
    """The consolidation of reports of one row each."""
    return consolidate(form, [source(form, row) for row in rows])


def test_rows_of_the_same_codes_become_one_and_stand_by_their_codes() -> None:
    found = consolidate(
        FORM,
        [
            source(FORM, a_row("WATER", spent=1), a_row("LAND", "PLAN", spent=2)),
            source(FORM, a_row("LAND", "PLAN", spent=4), a_row("LAND", "ACTUAL", spent=8)),
        ],
    )
    assert [(row["sector"], row["stage"], row["spent"]) for row in found] == [
        ("LAND", "ACTUAL", 8),
        ("LAND", "PLAN", 6),
        ("WATER", "ACTUAL", 1),
    ]


def test_nothing_consolidates_to_no_rows() -> None:
    assert consolidate(FORM, []) == consolidate(FORM, [Source(FORM, [])]) == []


def test_a_form_without_breakdowns_has_one_row() -> None:
    form = compiled(breakdowns=[])
    assert combined({"amount": 1}, {"amount": 2}, form=form) == [{"amount": 3}]


def test_blanks_are_skipped_and_nothing_but_blanks_stays_blank() -> None:
    assert combined(a_row(plan=Decimal("1.10")), a_row(), a_row(plan=Decimal("2.20"))) == [a_row(plan=Decimal("3.30"))]
    assert combined(a_row(), a_row()) == [a_row()]


def test_a_zero_is_not_a_blank() -> None:
    assert combined(a_row(spent=0), a_row())[0]["spent"] == 0


def test_sums_keep_every_digit() -> None:
    large = Decimal("9" * 29 + ".99")
    assert combined(a_row(plan=large), a_row(plan=Decimal("-0.01")), a_row(plan=large))[0]["plan"] == Decimal(
        "1" + "9" * 29 + ".97"
    )


def test_a_formula_is_computed_from_the_sums_and_rounded_once_half_away_from_zero() -> None:
    rows = [a_row(plan=Decimal(1), spent=1, share=Decimal(1)), a_row(plan=Decimal(31), spent=1, share=Decimal("0.032"))]
    assert combined(*rows)[0]["share"] == Decimal("0.063"), "2 of 32 is 0.0625"
    minus = [row | {"spent": -1} for row in rows]
    assert combined(*minus)[0]["share"] == Decimal("-0.063")


@pytest.mark.parametrize("rows", [(a_row(spent=1), a_row(spent=2)), (a_row(spent=1, plan=Decimal(0)), a_row(spent=2))])
def test_a_formula_that_cannot_be_computed_is_blank(rows: tuple[dict[str, object], ...]) -> None:
    assert "share" not in combined(*rows)[0]


def test_a_formula_keeps_more_digits_than_a_usual_decimal() -> None:
    figures = {"spent": int("9" * 30), "plan": Decimal("0.01")}
    assert recomputed(FORM, FORM.indicators[2], figures) == Decimal("9" * 30 + "00")
    form = compiled(
        indicators=[
            an_indicator(type="decimal", scale=2, **SUM),
            an_indicator(id="same", type="decimal", scale=2, formula="amount + 0", **FORMULA),
        ]
    )
    cell = Decimal("123456789012345678901234567890.12")
    assert recomputed(form, form.indicators[1], {"amount": cell}) == cell


def test_what_is_never_combined_is_blank_in_a_row_of_more_than_one_source() -> None:
    whole: dict[str, Any] = {"mean": Decimal("1.5"), "final": True, "note": "tạm tính"}
    assert combined(a_row(**whole), a_row(**whole)) == [a_row()]


def test_a_row_of_one_source_keeps_its_own_figures() -> None:
    own = a_row(
        plan=Decimal("4.00"), spent=1, share=Decimal("0.333"), both=7, mean=Decimal("1.5"), final=False, note="a"
    )
    assert combined(own, a_row("WATER", spent=2, plan=Decimal(1)))[0] == own, "even where the formula would differ"


def test_the_same_figures_give_the_same_bytes_however_they_were_written() -> None:
    ways = [combined(a_row(plan=Decimal(text)), a_row(plan=Decimal("0.5"))) for text in ("1", "1.0", "1.00")]
    ways += [combined(a_row(plan=Decimal(text))) for text in ("1.5", "1.50")]
    assert {encode(way) for way in ways} == {b'[{"sector":"LAND","stage":"ACTUAL","plan":1.50}]'}


def test_sources_of_other_form_versions_are_read_by_indicator() -> None:
    old = compiled(indicators=[an_indicator(id="gone"), an_indicator()])
    new = compiled(version=2, indicators=[an_indicator(), an_indicator(id="added")])
    found = consolidate(
        new,
        [
            source(old, {"sector": "LAND", "gone": 9, "amount": 1}, {"sector": "WATER", "gone": 9, "amount": 5}),
            source(new, {"sector": "LAND", "amount": 2, "added": 3}),
        ],
    )
    assert found == [{"sector": "LAND", "amount": 3, "added": 3}, {"sector": "WATER", "amount": 5}]


def test_decimals_that_the_form_version_no_longer_has_are_rounded_after_adding() -> None:
    fine, coarse = (
        compiled(version=version, indicators=[an_indicator(type="decimal", scale=scale, **SUM)])
        for version, scale in ((1, 2), (2, 1))
    )
    rows = [{"sector": "LAND", "amount": Decimal("0.04")}, {"sector": "LAND", "amount": Decimal("0.01")}]
    assert consolidate(coarse, [source(fine, row) for row in rows])[0]["amount"] == Decimal("0.1")
    assert consolidate(coarse, [source(fine, {"sector": "LAND", "amount": Decimal("-0.25")})])[0]["amount"] == Decimal(
        "-0.3"
    )


# Any tree of reports, checked against a recount in fractions.

DECIMAL = st.decimals(min_value=-(10**12), max_value=10**12, places=2, allow_nan=False, allow_infinity=False)
CELLS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "plan": DECIMAL,
        "spent": st.integers(-(10**6), 10**20),
        "share": st.decimals(-5, 5, places=3),
        "both": st.integers(0, 9),
        "mean": st.decimals(0, 9, places=1),
        "final": st.booleans(),
        "note": st.sampled_from(["tạm tính", "chính thức"]),
    },
)
REPORT = st.dictionaries(
    st.tuples(st.sampled_from(["LAND", "WATER", "ROAD"]), st.sampled_from(["PLAN", "ACTUAL"])), CELLS, max_size=4
).map(lambda rows: [a_row(*codes, **cells) for codes, cells in rows.items()])
PROVINCE = st.lists(REPORT, max_size=4)
COUNTRY = st.lists(PROVINCE, max_size=4)
Report = list[dict[str, object]]


def from_reports(reports: Iterable[Report]) -> list[dict[str, object]]:
    return consolidate(FORM, [source(FORM, *rows) for rows in reports])


@given(COUNTRY)
def test_level_by_level_gives_the_same_as_all_at_once(country: list[list[Report]]) -> None:
    provinces = [from_reports(province) for province in country]
    assert from_reports(provinces) == from_reports(chain.from_iterable(country))


@given(COUNTRY)
def test_what_goes_up_a_level_may_be_read_back_from_its_bytes(country: list[list[Report]]) -> None:
    provinces = [FORM.rows_model.validate_python(decode(encode(from_reports(province)))) for province in country]
    assert encode(from_reports(provinces)) == encode(from_reports(chain.from_iterable(country)))


@given(PROVINCE, st.randoms(use_true_random=False))
def test_the_order_of_sources_and_of_their_rows_does_not_matter(province: list[Report], chance: Any) -> None:
    shuffled = [chance.sample(rows, len(rows)) for rows in chance.sample(province, len(province))]
    assert encode(from_reports(shuffled)) == encode(from_reports(province))


@given(PROVINCE)
def test_sums_and_formulas_are_those_of_a_recount_in_fractions(province: list[Report]) -> None:
    found = {(row["sector"], row["stage"]): row for row in from_reports(province)}
    rows = list(chain.from_iterable(province))
    assert found.keys() == {(row["sector"], row["stage"]) for row in rows}
    for codes, row in found.items():
        parts = [each for each in rows if (each["sector"], each["stage"]) == codes]
        sums: dict[str, Fraction | None] = {}
        for name in ("plan", "spent"):
            cells = [Fraction(str(part[name])) for part in parts if name in part]
            sums[name] = sum(cells, Fraction()) if cells else None
            assert row.get(name) == (None if sums[name] is None else sums[name])
        if len(parts) > 1:
            plan, spent = sums["plan"], sums["spent"]
            share = None if not plan or spent is None else round_half_away(spent / plan, 3)
            assert row.get("share") == share
            assert row.get("both") == (None if spent is None else abs(spent) * 2)
            assert not {"mean", "final", "note"} & row.keys()
        else:
            assert row == parts[0]


@given(PROVINCE)
def test_rows_are_such_as_may_be_pushed(province: list[Report]) -> None:
    found = from_reports(province)
    assert FORM.rows_model.validate_python(decode(encode(found))) == found
    for row in found:
        for indicator in FORM.indicators:
            cell = row.get(indicator.id)
            assert not isinstance(cell, Decimal) or cell.as_tuple().exponent == -indicator.places


# Explanations.


def an_explanation(text: str, rule: str = "R6", row: dict[str, str] | None = None) -> dict[str, Any]:
    return {"rule": rule, "row": row, "text": text}


LAND, WATER = {"sector": "LAND"}, {"sector": "WATER"}


def test_one_explanation_for_each_rule_and_row_cites_every_child() -> None:
    found = inherit(
        [
            ("H26.19", [an_explanation("Chuyển kỳ", row=LAND), an_explanation("Lũ", row=WATER)]),
            ("H26.18", [an_explanation("Sáp nhập", row=LAND), an_explanation("Lệch", rule="R1")]),
        ]
    )
    assert found == [
        an_explanation("H26.18: Lệch", rule="R1"),
        an_explanation("H26.18: Sáp nhập; H26.19: Chuyển kỳ", row=LAND),
        an_explanation("H26.19: Lũ", row=WATER),
    ]


def test_a_child_that_explains_twice_is_cited_twice() -> None:
    [found] = inherit([("H26.18", [an_explanation("một"), an_explanation("hai")])])
    assert found["text"] == "H26.18: một; H26.18: hai"


def test_the_whole_report_is_named_by_no_row_in_whichever_way() -> None:
    absent = {"rule": "R6", "text": "a"}
    [found] = inherit([("H1", [absent]), ("H2", [an_explanation("b", row={})]), ("H3", [an_explanation("c")])])
    assert found == an_explanation("H1: a; H2: b; H3: c")


def test_a_row_is_the_same_in_whichever_order_its_breakdowns_are_named() -> None:
    one, other = {"sector": "LAND", "stage": "PLAN"}, {"stage": "PLAN", "sector": "LAND"}
    [found] = inherit([("H1", [an_explanation("a", row=one)]), ("H2", [an_explanation("b", row=other)])])
    assert found["row"] == one


def test_a_text_that_grows_too_long_ends_by_saying_where_the_rest_is() -> None:
    exact = MAX_TEXT - len("H1: ; H2: ")
    [whole] = inherit([("H1", [an_explanation("x" * (exact - 1))]), ("H2", [an_explanation("y")])])
    assert (len(whole["text"]), whole["text"][-6:]) == (MAX_TEXT, " H2: y"[-6:])
    [cut] = inherit([("H1", [an_explanation("x" * exact)]), ("H2", [an_explanation("y")])])
    assert len(cut["text"]) == MAX_TEXT
    assert cut["text"].endswith("x" + SHORTENED)


def test_as_many_explanations_as_one_report_may_hold() -> None:
    many = [an_explanation("x" * 4000, rule=f"R{number:05}") for number in range(MAX_EXPLANATIONS + 1)]
    found = inherit([("H26.18", many)])
    assert [each["rule"] for each in found] == [each["rule"] for each in many[:-1]]
    report = {"form": "TEST_01", "agency": "H26", "period": "2098-Q3", "rows": [], "explanations": found}
    assert len(Submission.model_validate(report).explanations or ()) == MAX_EXPLANATIONS


def test_without_explanations_nothing_is_inherited() -> None:
    assert inherit([]) == inherit([("H26.18", [])]) == []
