"""Secrets that an upstream repeats in other letters: none is kept, and nothing else is taken out."""

import html
import json
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connectors.hide import hide

SECRET = 'Mật/khẩu+=\\"<1> ~\U0001f511'
WAYS = {
    "as it is": SECRET,
    "JSON": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "JSON in ASCII": json.dumps(SECRET)[1:-1],
    "JSON as PHP writes it": json.dumps(SECRET)[1:-1].replace("/", "\\/"),
    "JSON as .NET writes it": json.dumps(SECRET)[1:-1].replace("+", "\\u002B").replace("<", "\\u003C"),
    "JSON within JSON": json.dumps(json.dumps(SECRET))[3:-3],
    "a URL": quote(SECRET, safe=""),
    "a URL in small letters": quote(SECRET, safe="").lower().replace("m", "M", 1),
    "a form": quote_plus(SECRET),
    "HTML": html.escape(SECRET),
    "HTML by numbers": "".join(f"&#{ord(char)};" if not char.isalnum() else char for char in SECRET),
}


@pytest.mark.parametrize("written", WAYS.values(), ids=WAYS)
def test_a_secret_is_taken_out_however_it_is_written(written: str) -> None:
    assert hide(f"token {written}, again {written}.", ["other", SECRET]) == "token ***, again ***."


def test_looking_for_the_secret_alone_would_miss_most() -> None:
    """The negative control of the test above."""
    assert sum(SECRET in written for written in WAYS.values()) == 1


def test_what_is_no_secret_stays() -> None:
    text = 'Đã ghi nhận "Mật/khẩu" 100% \\u0110 &lt;'
    assert hide(text, [SECRET, ""]) == text


@given(st.text(min_size=1), st.text())
def test_no_secret_is_left_in_any_text(secret: str, text: str) -> None:
    assert secret in "***" or secret not in hide(text, [secret]).replace("***", "\0" if secret != "\0" else "\1")
    assert hide(f"{text}{json.dumps(secret)[1:-1]}", [secret]).count("***") >= 1


def test_a_text_of_nothing_but_escapes_takes_no_time() -> None:
    began = time.perf_counter()
    for text in ("\\" * 16_384, "&#" + "0" * 16_384, "%5c" * 5_000):
        hide(text, ["\\\\\\\\/\\\\\\\\", "/" * 40, SECRET])
    assert time.perf_counter() - began < 1
