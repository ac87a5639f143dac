"""Entries are RFC 8785, and hold nothing that a person wrote."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.entry import canonical, commitment, new_entry

AT = datetime(2026, 9, 20, 2, 15, 8, 114200, tzinfo=UTC)
NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_the_bytes_of_an_entry_are_those_of_rfc_8785(document: dict[str, object]) -> None:
    assert canonical(document) == rfc8785.dumps(document)  # type: ignore[arg-type]


def test_a_text_is_in_an_entry_by_its_salted_hash_alone() -> None:
    one, other = (new_entry("returned", AT, None, {}, texts={"reason": "Nguyễn Văn A"}) for _ in range(2))
    assert "Nguyễn".encode() not in one.entry
    [text] = one.texts
    assert commitment(text.salt, "Nguyễn Văn A").hex().encode() in one.entry
    assert one.entry != other.entry


def test_a_time_is_the_same_in_every_zone_and_nobody_is_null() -> None:
    there = AT.astimezone(timezone(timedelta(hours=7)))
    assert new_entry("x", AT, None, {}).entry == new_entry("x", there, UUID(int=0), {}).entry
    assert new_entry("x", AT, None, {}).entry == b'{"at":"2026-09-20T02:15:08.114200Z","by":null,"what":"x"}'
