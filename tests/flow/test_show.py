"""Rows as JSON: the same, however they are made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import an_indicator, compiled
from gateway.db.reading import WrittenRow
from gateway.domain.exact import decode, encode
from gateway.domain.form import Form
from gateway.flow.show import row_shown, row_written

WHOLE = an_indicator(id="whole")
EXACT = an_indicator(id="exact", type="decimal", scale=2)
FLAG = an_indicator(id="flag", type="boolean", over_agencies="none", over_time="none")
WORDS = an_indicator(id="words", type="text", over_agencies="none", over_time="none")
NUMBERS = compiled(indicators=[WHOLE, EXACT])
WHOLE_NUMBERS = compiled(indicators=[WHOLE, an_indicator(id="other")])
ALL = compiled(indicators=[FLAG, WHOLE, WORDS, EXACT])

whole = st.one_of(st.none(), st.integers(-(10**15), 10**15).map(str), st.integers(-99, 99).map(lambda n: f"{n}.00"))
exact = st.one_of(st.none(), st.decimals(-(10**9), 10**9, places=2).map(lambda n: f"{n:f}"))
flag = st.sampled_from([None, "0", "1"])


def written(code: str, *figures: str | None, texts: list[str | None] | None = None) -> WrittenRow:
    """A row whose figures are written as PostgreSQL writes an array."""
    return WrittenRow([code], "{" + ",".join("NULL" if each is None else each for each in figures) + "}", texts)


def agree(form: Form, row: WrittenRow) -> None:
    assert row_written(form, row) == encode(row_shown(form, row.read()))


@given(st.text(min_size=1), whole, exact)
def test_a_row_of_numbers_is_written_as_it_is_shown(code: str, first: str | None, second: str | None) -> None:
    agree(NUMBERS, written(code, first, second))


@given(whole, whole)
def test_a_row_of_whole_numbers_is_written_as_it_is_shown(first: str | None, second: str | None) -> None:
    agree(WHOLE_NUMBERS, written("LAND", first, second))


@given(flag, whole, st.one_of(st.none(), st.text()), exact)
def test_a_row_with_texts_is_written_as_it_is_shown(
    first: str | None, second: str | None, words: str | None, last: str | None
) -> None:
    agree(ALL, written("LAND", first, second, last, texts=[words]))


@pytest.mark.parametrize(("kept", "shown"), [("{5.00,2.50}", b'{"sector":"LAND","whole":5,"exact":2.50}')])
def test_an_integer_that_was_pushed_with_a_fraction_of_noughts_is_shown_without(kept: str, shown: bytes) -> None:
    row = row_written(NUMBERS, WrittenRow(["LAND"], kept, None))
    assert row == shown
    assert decode(row)["whole"] == 5
