"""The rule language: what rules mean, what is refused at compile time, and that nothing hostile hurts."""

import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cache
from time import perf_counter
from typing import TypeAlias

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.domain.rules import (
    RESERVED,
    Cells,
    Codes,
    Column,
    Judgement,
    Kind,
    Number,
    OtherReport,
    RuleError,
    Scope,
    Undecided,
    compile_check,
    compile_formula,
    round_half_away,
    to_text,
)

Compile: TypeAlias = Callable[[str, Mapping[str, Column]], object]

COLUMNS = {
    "a": Column(0, Kind.number, 0),
    "b": Column(1, Kind.number, 0),
    "c": Column(2, Kind.number, 0),
    "rate": Column(3, Kind.number, 2),
    "open": Column(4, Kind.boolean, None),
    "shut": Column(5, Kind.boolean, None),
    "note": Column(6, Kind.text, None),
    "free": Column(7, Kind.number, None),
}


def a_row(
    a: Number | None = 6,
    b: Number | None = 4,
    c: Number | None = 2,
    rate: Number | None = Fraction(1, 4),
    open_: bool | None = True,
    shut: bool | None = False,
    free: Number | None = 0,
) -> Cells:
    return (a, b, c, rate, open_, shut, None, free)


def a_scope(
    row: Cells | None,
    previous_row: Cells | None = None,
    rows: Sequence[Cells] | None = None,
    previous_rows: Sequence[Cells] | None = None,
) -> Scope:
    return Scope(row, ([] if row is None else [row]) if rows is None else rows, previous_row, previous_rows)


def evaluate(text: str, scope: Scope | None = None) -> Number:
    return compile_formula(text, COLUMNS).evaluate(scope or a_scope(a_row()))


def judge(text: str, scope: Scope | None = None) -> Judgement:
    return compile_check(text, COLUMNS).judge(scope or a_scope(a_row()))


def undecided(decide: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(Undecided) as caught:
        decide()
    return caught.value.reason, caught.value.operand


def refusal(text: str, compile_: Compile = compile_check) -> RuleError:
    with pytest.raises(RuleError) as caught:
        compile_(text, COLUMNS)
    return caught.value


# What formulas give


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("0.05", Fraction(1, 20)),
        ("007.50", Fraction(15, 2)),
        ("a", 6),
        ("-a", -6),
        ("--a", 6),
        ("a - b - c", 0),
        ("a - (b - c)", 4),
        ("a / b / c", Fraction(3, 4)),
        ("a / b * c", 3),
        ("a + b * c", 14),
        ("(a + b) * c", 20),
        ("-a * b - -c", -22),
        ("2 * 3 + 4 * 5 - 6 / 3", 24),
        ("1 / 3 + 1 / 3 + 1 / 3", 1),
        ("0.1 + 0.2", Fraction(3, 10)),
        ("abs(c - a)", 4),
        ("min(a, b, c)", 2),
        ("max(a, b / 3, 6.5)", Fraction(13, 2)),
        ("round(a / 4, 0)", 2),
        ("round(1 / 8, 2)", Fraction(13, 100)),
        ("round(-1 / 8, 2)", Fraction(-13, 100)),
        ("if(open, a, b)", 6),
        ("if(not open, a, b)", 4),
        ("if(a > b, if(shut, 1, 2), 3)", 2),
        (" a\t+\r\n b ", 10),
    ],
)
def test_a_formula_gives_the_exact_number(text: str, value: Number) -> None:
    assert evaluate(text) == value


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a == 6", True),
        ("a != 6", False),
        ("a < 6 or b <= 4", True),
        ("a > b and b > c", True),
        ("open", True),
        ("not open", False),
        ("not open or true", True),
        ("not (open or true)", False),
        ("not a == b", True),
        ("shut or open and shut", False),
        ("(shut or open) and open", True),
        ("open == true", True),
        ("open != shut", True),
        ("(a == b) == shut", True),
        ("open == not shut", True),
        ("if(open, shut, true)", False),
        ("0.1 + 0.2 == 0.3", True),
        ("false", False),
    ],
)
def test_a_check_holds_or_not(text: str, holds: bool) -> None:
    assert judge(text).passed is holds


def test_a_check_tells_what_it_reads() -> None:
    check = compile_check("a == b + total(c) - previous(b)", COLUMNS)
    assert check.text == "a == b + total(c) - previous(b)"
    assert check.operands == {"a", "b", "c"}
    assert check.uses_previous
    assert check.row_level
    assert check.target == "a"


@pytest.mark.parametrize(
    ("text", "row_level"),
    [
        ("a > 0", True),
        ("total(a) > 0", False),
        ("total(a) > b", True),
        ("total(a) > total(previous(a))", False),
        ("total(a) > previous(total(a))", False),
        ("total(a) > previous(a)", True),
        ("previous(a + total(b)) > 0", True),
        ("within(a) > 0", True),
        ("within(total(a)) > total(last_within(b))", False),
        ("first_within(1) > 0", False),
        ("in_form(OTHER, x) > 0", True),
        ("in_form(OTHER, x / total(x)) > 0", True),
        ("in_form(OTHER, total(x)) > total(in_form(OTHER, y))", False),
        ("1 + 1 == 2", False),
    ],
)
def test_a_rule_is_judged_by_row_when_it_reads_a_figure_outside_total(text: str, row_level: bool) -> None:
    assert compile_check(text, COLUMNS).row_level is row_level


def test_a_rule_about_the_report_is_judged_without_a_row() -> None:
    assert judge("total(a) == 10", a_scope(None, rows=[a_row(a=4), a_row(a=6)])).passed


def test_a_rule_about_rows_cannot_be_judged_without_one() -> None:
    with pytest.raises(ValueError, match="row by row"):
        judge("a == 1", a_scope(None))
    with pytest.raises(ValueError, match="row by row"):
        evaluate("a", a_scope(None))


# Indicator == expression


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("a == b + c", "a"),
        ("(a) == b", "a"),
        ("a == a", "a"),
        ("open == (a > b)", "open"),
        ("b + c == a", None),
        ("total(a) == b", None),
        ("previous(a) == b", None),
        ("-a == b", None),
        ("a == b and b == c", None),
        ("not a == b", None),
        ("a != b", None),
        ("a >= b", None),
    ],
)
def test_the_target_is_a_plain_indicator_left_of_equality(text: str, target: str | None) -> None:
    assert compile_check(text, COLUMNS).target == target


def test_an_equation_says_what_was_expected_and_what_was_found() -> None:
    assert judge("a == b + c + 1") == Judgement(passed=False, expected=7, actual=6)
    assert judge("a == b + c") == Judgement(passed=True, expected=6, actual=6)


@pytest.mark.parametrize("text", ["a >= 7", "b + c == a + 1", "open == shut", "a == 7 or false"])
def test_other_shapes_expect_no_single_number(text: str) -> None:
    assert judge(text) == Judgement(passed=False, expected=None, actual=None)


@pytest.mark.parametrize(
    ("text", "row", "expected"),
    [
        ("a == b / c", a_row(a=3, b=5, c=2), 3),  # 2.5, away from zero
        ("a == b / c", a_row(a=-3, b=-5, c=2), -3),
        ("a == b / c", a_row(a=2, b=7, c=3), 2),
        ("rate == b / c", a_row(rate=Fraction(33, 100), b=1, c=3), Fraction(33, 100)),
        ("rate == b / c", a_row(rate=Fraction(67, 100), b=2, c=3), Fraction(67, 100)),
        ("rate == b / c", a_row(rate=Fraction(1, 2), b=1, c=2), Fraction(1, 2)),
        ("free == b / c", a_row(free=Fraction(3333333333, 10**10), b=1, c=3), Fraction(3333333333, 10**10)),
        ("rate == b / 8 + c / 8", a_row(rate=Fraction(1, 4), b=1, c=1), Fraction(1, 4)),  # not 0.13 + 0.13
    ],
)
def test_an_equation_rounds_once_at_the_end_to_the_scale_of_its_target(text: str, row: Cells, expected: Number) -> None:
    judgement = judge(text, a_scope(row))
    assert judgement.passed
    assert judgement.expected == expected


def test_other_comparisons_never_round() -> None:
    row = a_row(rate=Fraction(33, 100), b=1, c=3)
    assert not judge("b / c == rate", a_scope(row)).passed
    assert not judge("rate >= b / c", a_scope(row)).passed
    assert judge("round(b / c, 2) == rate", a_scope(row)).passed


# Blanks and divisions by zero


@pytest.mark.parametrize(
    ("text", "blank"),
    [
        ("a == b + c", a_row(a=None)),
        ("b + c == a", a_row(a=None)),
        ("a != b", a_row(a=None)),
        ("a == a", a_row(a=None)),
        ("b > 0 and a == 0", a_row(a=None)),
        ("if(a == 0, true, true)", a_row(a=None)),
        ("min(a, b) == 0", a_row(a=None)),
        ("total(a) == 0", a_row(a=None)),
    ],
)
def test_a_blank_operand_is_undecided_and_never_false(text: str, blank: Cells) -> None:
    assert undecided(lambda: judge(text, a_scope(blank))) == ("blank", "a")


@pytest.mark.parametrize(
    "text", ["open", "not open", "open == true", "open != shut", "open == (a > b)", "open or true"]
)
def test_a_blank_boolean_is_undecided(text: str) -> None:
    assert undecided(lambda: judge(text, a_scope(a_row(open_=None)))) == ("blank", "open")


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("shut and a == 0", False),
        ("b > 0 or a == 0", True),
        ("if(b > 0, true, a == 0)", True),
        ("b == 0 or c == 0 or true or a == 0", True),
        ("b == 0 or 1 / c > 0", True),
    ],
)
def test_an_operand_that_is_not_needed_may_be_blank(text: str, holds: bool) -> None:
    assert judge(text, a_scope(a_row(a=None))).passed is holds


def test_a_guard_protects_from_division_by_zero() -> None:
    assert judge("b == 0 or a / b <= 0.05", a_scope(a_row(b=0))).passed


@pytest.mark.parametrize(
    ("text", "divisor"),
    [
        ("a / free == 1", "free"),
        ("a / (b - 2  *\n c) == 1", "b - 2 * c"),
        ("a / ((b - b) * c) == 1", "(b - b) * c"),
        ("a / 0 == 1", "0"),
        ("a * 2 / (free) * 3 == 1", "free"),
        ("total(a / free) == 1", "free"),
    ],
)
def test_a_division_by_zero_is_undecided_and_names_the_divisor(text: str, divisor: str) -> None:
    assert undecided(lambda: judge(text)) == ("division_by_zero", divisor)


# total(…) and previous(…)


def test_a_total_skips_blanks() -> None:
    rows = [a_row(a=1), a_row(a=None), a_row(a=Fraction(1, 2)), a_row(a=Fraction(1, 3))]
    assert evaluate("total(a)", a_scope(None, rows=rows)) == Fraction(11, 6)


def test_a_total_skips_a_row_whose_expression_is_blank() -> None:
    assert evaluate("total(a + b)", a_scope(None, rows=[a_row(a=1, b=2), a_row(a=None, b=50)])) == 3


def test_a_total_of_blanks_only_is_blank() -> None:
    rows = [a_row(a=None), a_row(a=None, b=None)]
    assert undecided(lambda: evaluate("total(b * 0 + a)", a_scope(None, rows=rows))) == ("blank", "a")


def test_a_total_of_no_rows_is_zero() -> None:
    assert evaluate("total(a)", a_scope(None, rows=[])) == 0


def test_a_total_of_one_counts_the_rows() -> None:
    assert evaluate("total(if(open, 1, 0)) / total(1)", a_scope(None, rows=[a_row(), a_row(open_=False)])) == Fraction(
        1, 2
    )


def test_totals_are_computed_once_for_all_rows_of_a_report() -> None:
    rows = [a_row(a=count) for count in range(2000)]
    share = compile_check("a / total(a) + a / total(previous(a)) <= 1", COLUMNS)
    report = a_scope(None, rows=rows, previous_rows=rows)
    started = perf_counter()
    assert all(share.judge(report.at(row, None)).passed for row in rows)
    assert perf_counter() - started < 1  # 8 million additions would take longer


def test_a_scope_of_one_row_and_a_scope_within_a_report_agree() -> None:
    rows, before = [a_row(a=1), a_row(a=2)], [a_row(a=30), a_row(a=40)]
    for text in (
        "total(a)",
        "previous(total(a))",
        "a + total(a)",
        "previous(a) + a",
        "total(previous(a)) + a",
    ):
        report = a_scope(None, rows=rows, previous_rows=before)
        for row, previous_row in zip(rows, before, strict=True):
            alone = evaluate(text, Scope(row, rows, previous_row, before))
            assert evaluate(text, report.at(row, previous_row)) == alone


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("previous(a)", 60),
        ("previous(a - b)", 20),
        ("a - previous(a)", -54),
        ("previous(if(open, a, b))", 60),
        ("total(previous(a))", 67),
        ("previous(total(a))", 67),
        ("total((previous(a)))", 67),
        ("total(previous(a * 2))", 134),
        ("previous(a / total(a))", Fraction(60, 67)),
        ("total(a) - previous(total(a))", -61),
    ],
)
def test_previous_reads_the_preceding_report(text: str, value: Number) -> None:
    row, before = a_row(a=6), a_row(a=60, b=40)
    assert evaluate(text, a_scope(row, before, previous_rows=[before, a_row(a=7)])) == value


def test_a_row_absent_from_the_preceding_report_counts_as_zero_and_false() -> None:
    scope = a_scope(a_row(), None, previous_rows=[a_row(a=9)])
    assert evaluate("previous(a + b)", scope) == 0
    assert judge("not previous(open)", scope).passed
    assert judge("shut == previous(open)", scope).passed
    assert judge("previous(open)", scope) == Judgement(False, None, None)
    assert evaluate("previous(a + total(a))", scope) == 9
    assert undecided(lambda: evaluate("a / previous(b)", scope)) == ("division_by_zero", "previous(b)")


def test_a_preceding_report_without_rows_has_totals_of_zero() -> None:
    assert evaluate("total(previous(a))", a_scope(None, rows=[], previous_rows=[])) == 0


@pytest.mark.parametrize("text", ["previous( a ) > 0", "total(previous(a)) > 0", "a > previous(a)"])
def test_no_preceding_report_is_undecided(text: str) -> None:
    assert undecided(lambda: judge(text)) == (
        "no_previous_report",
        "previous( a )" if " a " in text else "previous(a)",
    )


def test_a_blank_in_the_preceding_report_is_undecided() -> None:
    before = a_row(a=None)
    scope = a_scope(a_row(), before, previous_rows=[before])
    assert undecided(lambda: judge("b == previous(a)", scope)) == ("blank", "a")
    assert undecided(lambda: judge("b == total(previous(a))", scope)) == ("blank", "a")


# Reports whose periods lie within this one


LAND, WATER = ("LAND",), ("WATER",)
OTHER_COLUMNS = {"x": 2, "y": 0}


def a_year(row: Cells | None, *quarters: Mapping[Codes, Cells] | None, rows: Sequence[Cells] | None = None) -> Scope:
    """A year, seen from its row of LAND if there is one, with as many quarters; None is one not there."""
    within = [
        (f"2026-Q{number}", None if quarter is None else OtherReport(quarter))
        for number, quarter in enumerate(quarters, start=1)
    ]
    found = ([] if row is None else [row]) if rows is None else rows
    return Scope(row, found, None, None, None if row is None else LAND, within)


QUARTERS: tuple[dict[Codes, Cells], ...] = (
    {LAND: a_row(a=1, b=10), WATER: a_row(a=100)},
    {WATER: a_row(a=200)},
    {LAND: a_row(a=3, b=30, open_=False), WATER: a_row(a=None)},
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("within(a)", 4),
        ("within(a + b)", 44),
        ("within(2)", 6),
        ("within(if(open, a, 0))", 1),
        ("first_within(a)", 1),
        ("last_within(b - a)", 27),
        ("if(last_within(open), 1, 0)", 0),
        ("a - within(a)", 2),
        ("within(total(a))", 304),
        ("total(within(a))", 304),
        ("total((within(a)))", 304),
        ("total(first_within(a))", 101),
        ("last_within(total(a))", 3),
        ("within(a / total(a))", 1 + Fraction(1, 101)),
        ("first_within(a) + last_within(a) - total(within(a))", -300),
    ],
)
def test_within_reads_the_reports_whose_periods_lie_within_this_one(text: str, value: Number) -> None:
    assert evaluate(text, a_year(a_row(a=6), *QUARTERS)) == value


def test_a_report_as_a_whole_is_held_against_those_within_it() -> None:
    year = a_year(None, *QUARTERS, rows=[a_row(a=4), a_row(a=300)])
    assert judge("total(a) == within(total(a))", year).passed
    assert not judge("total(a) == last_within(total(a))", year).passed


def test_a_row_absent_from_a_report_within_counts_as_zero_and_false() -> None:
    year = a_year(a_row(), {WATER: a_row(a=9)})
    assert evaluate("within(a + b)", year) == 0
    assert evaluate("last_within(a + total(a))", year) == 9
    assert judge("not first_within(open)", year).passed
    assert judge("first_within(open)", year) == Judgement(False, None, None)


def test_an_equation_within_says_what_was_expected() -> None:
    assert judge("a == within(a)", a_year(a_row(a=6), *QUARTERS)) == Judgement(False, expected=4, actual=6)


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("a == within(a)", "2026-Q2"),
        ("a == last_within(a)", "2026-Q4"),
        ("total(within(a)) == 0", "2026-Q2"),
        ("last_within(total(a)) == 0", "2026-Q4"),
    ],
)
def test_a_report_that_is_owed_within_and_not_there_is_undecided_and_named(text: str, period: str) -> None:
    year = a_year(a_row(), QUARTERS[0], None, QUARTERS[2], None)
    assert undecided(lambda: judge(text, year)) == ("no_report_within", period)


def test_the_earliest_and_the_latest_do_not_need_the_others() -> None:
    year = a_year(a_row(a=4), QUARTERS[0], None, QUARTERS[2])
    assert judge("a == first_within(a) + last_within(a)", year).passed


@pytest.mark.parametrize(
    "text",
    [
        "a == within(a)",
        "a == 1 and first_within(a) == 1",
        "if(a == 1, last_within(open), false)",
        "total(a) == total(within(a))",
    ],
)
def test_where_nothing_is_owed_within_a_check_about_it_holds(text: str) -> None:
    assert judge(text, a_year(a_row())) == Judgement(True, None, None)


@pytest.mark.parametrize("text", ["within(a)", "first_within(a)", "last_within(total(a))"])
def test_where_nothing_is_owed_within_there_is_no_number(text: str) -> None:
    assert undecided(lambda: evaluate(text, a_year(a_row()))) == ("no_report_within", text)


@pytest.mark.parametrize(
    ("text", "reason", "operand"),
    [
        ("b == within(a + b)", "blank", "a (2026-Q2)"),
        ("b == last_within(a)", "blank", "a (2026-Q2)"),
        ("b == total(within(a))", "blank", "a (2026-Q2)"),
        ("b == within(1 / (c - c))", "division_by_zero", "c - c (2026-Q1)"),
        ("a == within(c)", "blank", "a"),
    ],
)
def test_what_is_undecided_within_is_named_with_its_period(text: str, reason: str, operand: str) -> None:
    year = a_year(a_row(a=None), {LAND: a_row()}, {LAND: a_row(a=None)})
    assert undecided(lambda: judge(text, year)) == (reason, operand)


def test_a_sum_of_unlike_fractions_within_is_bounded() -> None:
    unlike: list[dict[Codes, Cells]] = [
        {LAND: a_row(a=number, b=3 * number + 1)} for number in range(10**29, 10**29 + 400)
    ]
    assert undecided(lambda: evaluate("within(a / b)", a_year(a_row(), *unlike))) == ("too_large", "within(…)")


def test_totals_of_other_reports_are_computed_once_for_all_rows() -> None:
    kept: dict[Codes, Cells] = {(f"{count}",): a_row(a=count) for count in range(2000)}
    year = Scope(None, list(kept.values()), None, None, within=[("2026-Q1", OtherReport(kept))])
    year.forms = {"OTHER": OtherReport(kept, OTHER_COLUMNS)}
    share = compile_check("a / within(total(a)) + a / in_form(OTHER, total(x)) <= 2", COLUMNS)
    started = perf_counter()
    assert all(share.judge(year.at(row, None, codes)).passed for codes, row in kept.items())
    assert perf_counter() - started < 1  # 8 million additions would take longer


# Another form of the same agency and period


def beside(row: Cells | None, other: Mapping[Codes, Cells] | None, rows: Sequence[Cells] = ()) -> Scope:
    """A report seen from its row of LAND if there is one, beside one of the form OTHER if there is one."""
    forms = {} if other is None else {"OTHER": OtherReport(other, OTHER_COLUMNS)}
    return Scope(row, rows, None, None, None if row is None else LAND, forms=forms)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("in_form(OTHER, x)", 5),
        ("in_form(OTHER, x - y)", 3),
        ("a + in_form(OTHER, if(x > y, x, y) / 2)", Fraction(17, 2)),
        ("in_form( OTHER , total(x) )", 55),
        ("total(in_form(OTHER, x * y))", 160),
        ("in_form(OTHER, x / total(x))", Fraction(1, 11)),
        ("in_form(OTHER, total(1))", 2),
        ("total(a) - in_form(OTHER, total(x))", -49),
    ],
)
def test_in_form_reads_the_other_form_by_the_names_of_its_indicators(text: str, value: Number) -> None:
    other: dict[Codes, Cells] = {LAND: (2, None, 5), WATER: (3, None, 50)}
    assert evaluate(text, beside(a_row(a=6), other, [a_row(a=6)])) == value


def test_a_name_inside_in_form_is_of_that_form_alone() -> None:
    scope = Scope(a_row(a=6), [], None, None, LAND, forms={"OTHER": OtherReport({LAND: (60,)}, {"a": 0})})
    assert judge("in_form(OTHER, a) == 10 * a", scope).passed
    assert compile_check("in_form(OTHER, b) == c", COLUMNS).operands == {"c"}


def test_a_row_absent_from_the_other_form_counts_as_zero() -> None:
    scope = beside(a_row(), {WATER: (7, None, 9)})
    assert evaluate("in_form(OTHER, x + y)", scope) == 0
    assert evaluate("in_form(OTHER, x + total(y))", scope) == 7
    assert judge("in_form(OTHER, x == 0)", scope).passed


@pytest.mark.parametrize("text", ["a == in_form(OTHER, x)", "total(in_form(OTHER, x)) == 0", "in_form(OTHER, 1) == 1"])
def test_no_report_of_the_other_form_is_undecided(text: str) -> None:
    assert undecided(lambda: judge(text, beside(a_row(), None))) == ("no_report_of_form", "OTHER")


@pytest.mark.parametrize(
    ("text", "reason", "operand"),
    [
        ("in_form(OTHER, y + x) == 0", "blank", "OTHER.x"),
        ("in_form(OTHER, total(x)) == 0", "blank", "OTHER.x"),
        ("in_form(OTHER, later) == 0", "blank", "OTHER.later"),
        ("in_form(OTHER, total(later)) == 0", "blank", "OTHER.later"),
        ("in_form(OTHER, 1 / y) == 0", "division_by_zero", "OTHER.y"),
        ("in_form(OTHER, 1 / (y - y)) == 0", "division_by_zero", "OTHER.(y - y)"),
    ],
)
def test_what_is_undecided_in_the_other_form_is_named_with_its_code(text: str, reason: str, operand: str) -> None:
    assert undecided(lambda: judge(text, beside(a_row(), {LAND: (0, None, None)}))) == (reason, operand)


def test_an_indicator_that_the_other_version_lacks_is_blank_in_an_absent_row_too() -> None:
    scope = beside(a_row(), {})
    assert undecided(lambda: evaluate("in_form(OTHER, later)", scope)) == ("blank", "OTHER.later")
    assert evaluate("in_form(OTHER, total(later))", scope) == 0


def test_a_rule_does_not_read_its_own_form_as_another_one() -> None:
    with pytest.raises(RuleError, match="in_form reads another form, and TEST_01 is this one") as caught:
        compile_check("a == in_form(TEST_01, b)", COLUMNS, "TEST_01")
    assert caught.value.position == 13


def test_a_check_tells_which_other_reports_it_reads() -> None:
    check = compile_check(
        "a == within(b) + in_form(SECOND, x + total(y)) + in_form(THIRD, total(z)) + in_form(FOURTH, total(1))", COLUMNS
    )
    assert (check.uses_previous, check.uses_within, check.reads_other_reports) == (False, True, True)
    assert check.operands == {"a", "b"}
    assert check.references == {("SECOND", "x"), ("SECOND", "y"), ("THIRD", "z")}
    assert check.forms_read == {"SECOND", "THIRD", "FOURTH"}
    assert check.forms_read_by_row == {"SECOND"}
    assert check.target == "a"
    plain = compile_check("a == b + total(c)", COLUMNS)
    assert (plain.uses_previous, plain.uses_within, plain.reads_other_reports) == (False, False, False)
    assert (plain.references, plain.forms_read, plain.forms_read_by_row) == (frozenset(), frozenset(), frozenset())


@pytest.mark.parametrize("word", ["within", "first_within", "last_within"])
def test_each_word_about_reports_within_is_noticed(word: str) -> None:
    assert compile_check(f"a == {word}(a)", COLUMNS).uses_within


def test_the_absence_of_a_report_is_told_from_what_a_report_lacks() -> None:
    assert Undecided("no_previous_report", "previous(a)").is_absence
    assert Undecided("no_report_within", "2026-Q1").is_absence
    assert Undecided("no_report_of_form", "OTHER").is_absence
    assert not Undecided("blank", "a").is_absence


# What is refused


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("", 0, "not the end"),
        ("  ", 2, "not the end"),
        ("a ==", 4, "not the end"),
        ("a == b c", 7, "'c' was not expected"),
        ("a == b)", 6, "')' was not expected"),
        ("(a == b", 7, "')' was expected, not the end"),
        ("a = b", 2, "Equality is written =="),
        ("a == b # c", 7, "'#' has no meaning"),
        ("a == “b”", 5, "no meaning"),
        ("a == ٣", 5, "no meaning"),
        ("a == 1e5", 5, "'1e5' is not a decimal number"),
        ("a == 1.", 5, "not a decimal number"),
        ("a == 1.2.3", 5, "not a decimal number"),
        ("a == .5", 5, "no meaning"),
        ("a == 1_000", 5, "not a decimal number"),
        ("a == " + "1" * 41, 5, "at most 40 characters"),
        ("missing == 1", 0, "'missing' is not an indicator"),
        ("A == 1", 0, "'A' is not an indicator"),
        ("a == note", 5, "note is a text"),
        ("a == and", 5, "not 'and'"),
        ("a == abs", 8, "'(' was expected"),
        ("a == sqrt(b)", 5, "'sqrt' is not an indicator"),
        ("a(1) == 1", 1, "not expected here"),
        ("a == b == c", 7, "cannot be chained"),
        ("a < b <= c", 6, "cannot be chained"),
        ("open == shut == open", 13, "cannot be chained"),
        ("open == a", 8, "needs a boolean here, and 'a' is a number"),
        ("a == open", 5, "needs a number here, and 'open' is a boolean"),
        ("open < shut", 0, "needs a number"),
        ("open + 1 == 2", 0, "'+' needs a number"),
        ("a * (b > c) == 2", 5, "'b > c' is a boolean"),
        ("-open == 2", 1, "'-' needs a number"),
        ("not a", 4, "'not' needs a boolean"),
        ("a and open", 0, "'and' needs a boolean"),
        ("open or a + b", 8, "'a + b' is a number"),
        ("a", 0, "A check needs a boolean"),
        ("if(a, true, false)", 3, "condition of if needs a boolean"),
        ("if(open, a, shut)", 12, "like the second, needs a number"),
        ("if(open, shut) == a", 0, "takes 3 operands, not 2"),
        ("abs(a, b) == 1", 0, "takes 1 operands, not 2"),
        ("min(a) == 1", 0, "at least 2 operands, not 1"),
        ("max() == 1", 4, "not ')'"),
        ("min(a, open) == 1", 7, "needs a number"),
        ("round(a) == 1", 0, "takes 2 operands"),
        ("round(a, b) == 1", 9, "plain number of decimals"),
        ("round(a, 11) == 1", 9, "from 0 to 10"),
        ("round(a, -1) == 1", 9, "plain number of decimals"),
        ("round(a, 2.0) == 1", 9, "plain number of decimals"),
        ("round(a, true) == 1", 9, "needs a number"),
        ("total(open) == 1", 6, "needs a number"),
        ("total(total(a)) == 1", 6, "cannot hold another one"),
        ("total(a + total(b)) == 1", 10, "cannot hold another one"),
        ("previous(b + previous(a)) == 1", 13, "cannot hold another one"),
        ("previous(total(previous(a))) == 1", 15, "cannot hold another one"),
        ("total(previous(total(a))) == 1", 15, "cannot hold another one"),
        ("total(a - previous(a)) == 1", 6, "must be the whole of it"),
        ("total(abs(previous(a))) == 1", 6, "must be the whole of it"),
        ("total(a - within(a)) == 1", 6, "Inside total(…), within(…) must be the whole of it"),
        ("total(2 * in_form(OTHER, x)) == 1", 6, "Inside total(…), in_form(…) must be the whole of it"),
        ("total(within(total(a))) == 1", 13, "total(…) cannot hold another one"),
        ("in_form(OTHER, total(x + total(y))) == 1", 25, "total(…) cannot hold another one"),
        ("within(within(a)) == 1", 7, "within(…) cannot hold another one"),
        ("within(a + first_within(a)) == 1", 11, "within(…) cannot hold first_within(…)"),
        ("last_within(total(previous(a))) == 1", 18, "last_within(…) cannot hold previous(…)"),
        ("previous(in_form(OTHER, x)) == 1", 9, "previous(…) cannot hold in_form(…)"),
        ("in_form(OTHER, in_form(THIRD, x)) == 1", 15, "in_form(…) cannot hold another one"),
        ("in_form(OTHER, x - within(x)) == 1", 19, "in_form(…) cannot hold within(…)"),
        ("within(open) == 1", 7, "within needs a number here, and 'open' is a boolean"),
        ("within(a, b) == 1", 8, "')' was expected, not ','"),
        ("within(note) == 1", 7, "note is a text"),
        ("within(x) == 1", 7, "'x' is not an indicator"),
        ("within == 1", 7, "'(' was expected"),
        ("in_form(x) == 1", 8, "needs the code of a form first, not 'x'"),
        ("in_form(total(x)) == 1", 8, "needs the code of a form first, not 'total'"),
        ("in_form(1, x) == 1", 8, "needs the code of a form first, not '1'"),
        ("in_form() == 1", 8, "needs the code of a form first, not ')'"),
        ("in_form(", 8, "needs the code of a form first, not the end"),
        ("in_form(Other, x) == 1", 8, "needs the code of a form first, not 'Other'"),
        ("in_form(O, x) == 1", 8, "needs the code of a form first, not 'O'"),
        ("in_form(" + "O" * 51 + ", x) == 1", 8, "needs the code of a form first"),
        ("in_form(OTHER) == 1", 13, "',' was expected, not ')'"),
        ("in_form(OTHER, ) == 1", 15, "not ')'"),
        ("in_form(OTHER, x, y) == 1", 16, "')' was expected, not ','"),
        ("in_form(OTHER, OTHER.x) == 1", 20, "'.' has no meaning"),
        ("in_form(OTHER, not x) == 1", 19, "'not' needs a boolean here, and 'x' is a number"),
        ("in_form(OTHER, inform(x)) == 1", 21, "')' was expected, not '('"),
        ("OTHER == 1", 0, "'OTHER' is not an indicator"),
    ],
)
def test_a_faulty_rule_is_refused_with_the_place_of_its_fault(text: str, position: int, says: str) -> None:
    error = refusal(text)
    assert error.position == position
    assert says in error.message
    assert str(error) == error.message
    assert error.message.endswith(".")


def test_a_formula_must_be_a_number() -> None:
    assert "A formula needs a number" in refusal("a > b", compile_formula).message


def test_the_words_of_the_language_are_reserved() -> None:
    functions = {"abs", "if", "min", "max", "round", "total"}
    elsewhere = {"previous", "within", "first_within", "last_within", "in_form"}
    assert {"and", "or", "not", "true", "false", *functions, *elsewhere} == RESERVED


def test_a_literal_division_by_zero_compiles_and_is_blank_later() -> None:
    assert undecided(lambda: evaluate("1 / 0")) == ("division_by_zero", "0")


# Hostile texts and figures


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "(" * 1_999,
        "(" * 999 + "a" + ")" * 999,
        "-" * 1_999 + "a",
        "not " * 400 + "open",
        "abs(" * 400 + "a" + ")" * 400,
        "if(open," * 200,
        "a" * 2_000,
        "1" * 2_000,
        "1." * 1_000,
        " " * 2_000,
        "a+" * 600 + "a > 0",
        "a==" * 600 + "a",
        "min(" + "a," * 600 + "a) > 0",
        "\x00",
        "a == \ud800",
        "=" * 2_000,
    ],
)
def test_a_hostile_text_is_refused_at_once(text: str) -> None:
    started = perf_counter()
    error = refusal(text)
    assert perf_counter() - started < 0.5
    assert len(error.message) < 200


def test_the_bounds_are_inclusive() -> None:
    assert evaluate("+".join(["a"] * 250)) == 1500  # 499 operands and operators
    assert "500 operands" in refusal("+".join(["a"] * 251), compile_formula).message
    assert evaluate("(" * 50 + "a" + ")" * 50) == 6
    assert "50 levels" in refusal("(" * 51 + "a" + ")" * 51, compile_formula).message
    assert evaluate("9" * 40) == 10**40 - 1
    assert evaluate("a" + " " * 1999) == 6
    assert "2000 characters" in refusal("a" + " " * 2000, compile_formula).message


def test_the_deepest_rule_that_compiles_needs_few_stack_frames() -> None:
    deepest = "open"
    for _ in range(34):  # each level is six deep in the tree
        deepest = f"if({deepest},1,a)*1+1==1 and true or shut"

    def below(frames: int) -> bool:
        return below(frames - 1) if frames else judge(deepest).passed in (True, False)

    assert below(sys.getrecursionlimit() - len_of_stack() - 600)


def len_of_stack() -> int:
    depth, frame = 0, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    return depth


def test_huge_figures_stay_exact_and_can_be_written() -> None:
    value = evaluate("*".join(["a"] * 10), a_scope(a_row(a=10**30 - 1)))
    assert value == (10**30 - 1) ** 10
    assert to_text(value, None).startswith("9" * 27)
    with pytest.raises(Undecided) as caught:
        evaluate("*".join(["a"] * 250), a_scope(a_row(a=10**30 - 1)))
    assert caught.value.reason == "too_large"


def test_a_total_of_unlike_fractions_is_bounded_in_time() -> None:
    rows = [a_row(a=number, b=3 * number + 1) for number in range(10**29, 10**29 + 2_000)]
    started = perf_counter()
    with pytest.raises(Undecided) as caught:
        evaluate("total(a / b)", a_scope(None, rows=rows))
    assert caught.value.reason == "too_large"
    assert perf_counter() - started < 2


@given(st.text(alphabet=st.sampled_from("ab01.()+-*/=<>!, \n") | st.characters(), max_size=60))
def test_any_text_compiles_or_is_refused_at_a_place_within_it(text: str) -> None:
    fault = fault_of(text, compile_check)
    assert fault is None or 0 <= fault.position <= len(text)


def fault_of(text: str, compile_: Compile) -> RuleError | None:
    try:
        compile_(text, COLUMNS)
    except RuleError as error:
        return error
    return None


# Python's own parser and arithmetic as the second opinion: each generated text comes with its Python
# rendering, built from the loosest operator to the tightest, so that precedence says what belongs together.

Rendering: TypeAlias = tuple[str, str]
Renderings: TypeAlias = st.SearchStrategy[Rendering]

literals = st.decimals(0, 20, places=1) | st.integers(0, 9)
plain_numbers: Renderings = st.sampled_from([(name, name) for name in ("a", "b", "c", "rate")]) | literals.map(
    lambda number: (f"{number}", f"Fraction('{number}')")
)
plain_claims: Renderings = st.sampled_from([("open", "open_"), ("shut", "shut"), ("true", "True"), ("false", "False")])


def filled(rule: str, python: str, *parts: Renderings) -> Renderings:
    """Both templates with the same parts in their places."""
    return st.tuples(*parts).map(
        lambda drawn: (
            rule.format(*(each[0] for each in drawn)),
            python.format(*(each[1] for each in drawn)),
        )
    )


def chained(part: Renderings, *signs: str) -> Renderings:
    """One to three parts with signs between them."""
    shapes = [f"{{0}} {sign} {{1}}" for sign in signs]
    pairs = st.one_of([filled(shape, shape, part, part) for shape in shapes])
    return st.one_of(part, part, pairs, *(filled(shape, shape, pairs, part) for shape in shapes))


@cache
def a_number(depth: int) -> Renderings:
    return chained(chained(a_factor(depth), "*", "/"), "+", "-")


@cache
def a_factor(depth: int) -> Renderings:
    if depth == 0:
        return plain_numbers
    inner = a_number(depth - 1)
    shapes = ["({0})", "-({0})", "abs({0})", "min({0}, {1})", "max({0}, {1})"]
    return st.one_of(
        plain_numbers,
        filled("-{0}", "-{0}", plain_numbers),
        *(filled(shape, shape, inner, inner) for shape in shapes),
        filled("round({0}, 1)", "half_away({0}, 1)", inner),
        filled("if({0}, {1}, {2})", "({1} if {0} else {2})", a_condition(depth - 1), inner, inner),
    )


@cache
def a_condition(depth: int) -> Renderings:
    return chained(chained(a_claim(depth), "and"), "or")


@cache
def a_claim(depth: int) -> Renderings:
    if depth == 0:
        return plain_claims
    number, inner = a_number(depth - 1), a_condition(depth - 1)
    comparisons = [f"{{0}} {sign} {{1}}" for sign in ("==", "!=", "<", "<=", ">", ">=")]
    return st.one_of(
        plain_claims,
        *(filled(shape, shape, number, number) for shape in ["not {0} < {1}", *comparisons]),
        *(filled(shape, shape, inner, inner) for shape in ("not ({0})", "({0}) == ({1})", "({0}) != ({1})")),
    )


figures = st.integers(-50, 50) | st.fractions(-5, 5, max_denominator=10)
rows = st.builds(a_row, figures, figures, figures, figures, st.booleans(), st.booleans())


def half_away(value: Fraction, places: int) -> Fraction:
    scaled = abs(value) * 10**places
    nearest = int(scaled) + (scaled - int(scaled) >= Fraction(1, 2))
    return Fraction(nearest if value > 0 else -nearest, 10**places)


def second_opinion(python: str, row: Cells) -> object:
    a, b, c, rate, open_, shut, *_ = row
    known = {"Fraction": Fraction, "half_away": half_away, "abs": abs, "min": min, "max": max}
    known |= {name: Fraction(value or 0) for name, value in zip("abc", (a, b, c), strict=True)}
    known |= {"rate": Fraction(rate or 0), "open_": open_, "shut": shut, "__builtins__": {}}
    try:
        return eval(python, known)  # noqa: S307  Python is the second opinion, on a text made here
    except ZeroDivisionError:
        return "division_by_zero"


def first_opinion(decide: Callable[[], object]) -> object:
    try:
        return decide()
    except Undecided as reason:
        return reason.reason


def is_short_enough(text: str, compile_: Compile) -> bool:
    """Whether it compiles; its size is all that can be wrong with a generated text."""
    fault = fault_of(text, compile_)
    assert fault is None or "at most" in fault.message
    return fault is None


@given(a_number(2), rows)
def test_formulas_agree_with_python_on_fractions(rendering: Rendering, row: Cells) -> None:
    rule, python = rendering
    if is_short_enough(rule, compile_formula):
        assert first_opinion(lambda: evaluate(rule, a_scope(row))) == second_opinion(python, row)


@given(a_condition(2), rows)
def test_checks_agree_with_python_on_fractions(rendering: Rendering, row: Cells) -> None:
    rule, python = rendering
    text = f"true and ({rule})"  # so that no equation is the whole, which would round
    if is_short_enough(text, compile_check):
        assert first_opinion(lambda: judge(text, a_scope(row)).passed) == second_opinion(python, row)


@given(
    st.sets(st.sampled_from("abc"), min_size=1),
    st.sampled_from(["a + b * c > 0", "a == b - c", "abs(a) >= b / 7 - c"]),
)
def test_a_rule_with_any_blank_names_one_of_the_blanks(blanks: set[str], text: str) -> None:
    row = a_row(**{name: None for name in blanks})
    reason, operand = undecided(lambda: judge(text, a_scope(row)))
    assert reason == "blank"
    assert operand in blanks


# Other reports, by what each of them says of itself

cells = st.builds(a_row, *[st.none() | figures] * 4, st.booleans(), st.booleans())
reports = st.dictionaries(st.sampled_from([LAND, WATER, ("ROADS",)]), cells, max_size=3)
ABOUT_A_ROW = ["a", "a - b * rate", "if(open, a, c)", "min(a, b) / total(a)", "a + total(if(shut, b, 1))"]
ABOUT_A_REPORT = ["total(a)", "total(a * b) - 2", "total(b / 3)"]


def says(report: Mapping[Codes, Cells], text: str) -> object:
    """What a report says of itself, from its row of LAND or one of zeros; or the reason why it says nothing."""
    nothing = a_row(0, 0, 0, 0, False, False, 0)
    return first_opinion(lambda: evaluate(text, Scope(report.get(LAND, nothing), list(report.values()), None, None)))


@given(st.lists(reports, min_size=1, max_size=4), st.sampled_from(ABOUT_A_ROW + ABOUT_A_REPORT))
def test_within_adds_up_what_each_report_says_of_itself(quarters: list[dict[Codes, Cells]], text: str) -> None:
    said = [says(quarter, text) for quarter in quarters]
    year = a_year(a_row(), *quarters)
    assert first_opinion(lambda: evaluate(f"first_within({text})", year)) == said[0]
    assert first_opinion(lambda: evaluate(f"last_within({text})", year)) == said[-1]
    reasons = [each for each in said if isinstance(each, str)]
    numbers = [each for each in said if isinstance(each, int | Fraction)]
    assert first_opinion(lambda: evaluate(f"within({text})", year)) == (reasons[0] if reasons else sum(numbers))


@given(reports, st.permutations("abc"), st.sampled_from(["a", "a - b * c", "min(a, b) / total(a)", *ABOUT_A_REPORT]))
def test_in_form_says_what_the_other_report_says_of_itself(
    report: dict[Codes, Cells], order: list[str], text: str
) -> None:
    moved = {codes: [row[COLUMNS[name].index] for name in order] for codes, row in report.items()}
    columns = {name: index for index, name in enumerate(order)}
    scope = Scope(a_row(), [], None, None, LAND, forms={"OTHER": OtherReport(moved, columns)})
    assert first_opinion(lambda: evaluate(f"in_form(OTHER, {text})", scope)) == says(report, text)


@pytest.mark.parametrize("word", ["within", "first_within", "last_within"])
@given(st.lists(reports, min_size=1, max_size=3), st.sampled_from(["a", "a * b - 2", "if(open, a, c)"]))
def test_total_and_another_report_change_places(word: str, quarters: list[dict[Codes, Cells]], text: str) -> None:
    year = a_year(None, *quarters)
    one = first_opinion(lambda: evaluate(f"total({word}({text}))", year))
    assert one == first_opinion(lambda: evaluate(f"{word}(total({text}))", year))


# Rounding and writing numbers


@pytest.mark.parametrize(
    ("value", "places", "rounded"),
    [
        (5, 0, 5),
        (Fraction(5, 2), 0, 3),
        (Fraction(-5, 2), 0, -3),
        (Fraction(49, 20), 1, Fraction(5, 2)),
        (Fraction(-49, 20), 1, Fraction(-5, 2)),
        (Fraction(1, 3), 2, Fraction(33, 100)),
        (Fraction(-1, 3), 0, 0),
        (Fraction(1, 4), 2, Fraction(1, 4)),
    ],
)
def test_a_half_is_rounded_away_from_zero(value: Number, places: int, rounded: Number) -> None:
    assert round_half_away(value, places) == rounded


@given(st.fractions(), st.integers(0, 10))
def test_rounding_moves_by_at_most_half_a_unit_and_only_once(value: Fraction, places: int) -> None:
    rounded = round_half_away(value, places)
    assert (rounded * 10**places).denominator == 1
    assert abs(rounded - value) <= Fraction(1, 2 * 10**places)
    assert round_half_away(rounded, places) == rounded
    assert round_half_away(-value, places) == -rounded


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [
        (2400, 0, "2400"),
        (0, None, "0"),
        (-7, None, "-7"),
        (Fraction(1, 2), None, "0.5"),
        (Fraction(-13, 4), 2, "-3.25"),
        (Fraction(-1, 100), None, "-0.01"),
        (Fraction(2400, 1), 2, "2400"),
        (Fraction(1, 8), 0, "0.125"),
        (Fraction(1, 3), 2, "0.33"),
        (Fraction(-2, 3), 2, "-0.67"),
        (Fraction(1, 3), None, "0.3333333333"),
        (Fraction(2999, 3000), 2, "1"),
        (Fraction(-1, 300), 2, "0"),
        (Fraction(5, 2) + Fraction(1, 3000), 0, "3"),
        (10**30, None, "1" + "0" * 30),
        (Fraction(1, 10**10), None, "0.0000000001"),
    ],
)
def test_a_number_is_written_in_plain_decimals(value: Number, scale: int | None, text: str) -> None:
    assert to_text(value, scale) == text


@given(st.decimals(allow_nan=False, allow_infinity=False, places=10, min_value=-(10**17), max_value=10**17))
@example(Decimal("-0.0000000001"))
def test_every_decimal_comes_back_from_its_text(number: Decimal) -> None:
    text = to_text(Fraction(number), 0)
    assert Fraction(text) == Fraction(number)
    assert set(text) <= set("-.0123456789")
    assert "." not in text or not text.endswith("0")
