"""What the gateway's parser takes, other parsers read in the same way: nobody downstream sees another figure."""

import json
from decimal import Decimal

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.domain.exact import decode, encode

SECOND = msgspec.json.Decoder(float_hook=Decimal)
NUMBERS = st.from_regex(r"\A-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?\Z")
PIECES = st.sampled_from(
    [
        *'{}[]:,"\\ \n\t',
        *"0123456789.-+eE",
        "true",
        "false",
        "null",
        "NaN",
        "Infinity",
        '"a"',
        '"b"',
        "\\u0061",
        "\\ud83d\\ude00",
    ]
)


def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


def refuse(text: str) -> None:
    raise AssertionError(text)


def agree(text: bytes) -> None:
    """If the gateway takes it, so do the others, and with every digit; a name is there once."""
    try:
        value = decode(text)
    except ValueError:
        return
    other = json.loads(text, parse_float=Decimal, parse_constant=refuse, object_pairs_hook=unique)
    assert alike(value, other), text
    assert alike(SECOND.decode(encode(value)), other), text


def alike(one: object, other: object) -> bool:
    """Equal, and of the same kind: 1 is not true, and 1.0 is not 1."""
    match one, other:
        case dict(), dict():
            return list(one) == list(other) and all(alike(one[name], other[name]) for name in one)
        case list(), list():
            return len(one) == len(other) and all(map(alike, one, other))
    return one == other and isinstance(one, bool) == isinstance(other, bool)


@given(NUMBERS)
@example("-0")
@example("0.1234567890123456789012345")
@example("123456789012345678901234567890.0123456789")
@example("1e400")
@example("9007199254740993")
def test_every_number_is_read_with_every_digit(text: str) -> None:
    agree(text.encode())


@given(st.lists(PIECES, max_size=12).map("".join))
@example('{"a":1,"\\u0061":2}')
@example('"\\ud800"')
@example("[1,]")
def test_whatever_is_taken_is_taken_alike(text: str) -> None:
    agree(text.encode())


@given(st.binary(max_size=20))
def test_bytes_are_taken_alike(text: bytes) -> None:
    agree(b'"' + text + b'"')
