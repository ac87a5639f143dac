"""The short way of the commonest checks never says more than the long way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.rules import Cells, Column, Kind, Scope, Undecided, compile_check

COLUMNS = {name: Column(index, Kind.number, 0) for index, name in enumerate("abcd")}
CELL = st.one_of(st.none(), st.integers(0, 3))
ROW = st.lists(CELL, min_size=4, max_size=4)


def holds(text: str, row: Cells, before: Cells | None) -> bool:
    """Whether a check holds, by its judgement."""
    try:
        return compile_check(text, COLUMNS).judge(Scope(row, [row], before, [before] if before else [])).passed
    except Undecided:
        return False


@pytest.mark.parametrize("text", ["a == b + c + d", "a == b + c", "a == previous(b)", "a == previous(a)"])
@given(row=ROW, before=st.one_of(st.none(), ROW))
def test_what_is_surely_so_is_judged_so(text: str, row: Cells, before: Cells | None) -> None:
    surely = compile_check(text, COLUMNS).surely
    assert surely is not None
    assert surely(row, before) is holds(text, row, before)


@pytest.mark.parametrize(
    "text",
    [
        "a <= b",
        "a == b - c",
        "a == 1",
        "a == previous(b + c)",
        "a == total(b)",
        "not a == b",
        "a == within(b)",
        "a == in_form(OTHER, b)",
    ],
)
def test_other_checks_have_no_short_way(text: str) -> None:
    assert compile_check(text, COLUMNS).surely is None
