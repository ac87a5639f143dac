"""Texts that mean no good where they come out again: in a spreadsheet, in a log, in a header."""

import json
from decimal import Decimal

import httpx
import pytest

from gateway.api.head import trace_of
from gateway.formats.csv import csv_lines
from gateway.logs import _line


@pytest.mark.parametrize("text", ['=HYPERLINK("http://x")', "+1", "-1+1", "@SUM(1)", "\t=1", "\r=1"])
def test_no_text_is_a_formula_in_a_spreadsheet(text: str) -> None:
    assert csv_lines(["a"], [{"a": text}]).decode().lstrip('"').startswith("'")


def test_figures_and_codes_are_written_as_they_are() -> None:
    row = {"a": Decimal("-1.50"), "b": -2, "c": "H26.18", "d": "2026-Q1", "e": None, "f": "1-2"}
    assert csv_lines(list(row), [row]) == b"-1.50,-2,H26.18,2026-Q1,,1-2\r\n"


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\nb", "\x1b[31m", "\x9b31m", "\u202etxt.exe", "\u2028", "\u200b", "\x00", "\x7f"]
)
def test_a_text_neither_ends_a_line_of_the_log_nor_steers_who_reads_it(text: str) -> None:
    line = _line({"event": text, "who": "Hà Nội"}, repr)
    assert line.isprintable()
    assert json.loads(line) == {"event": text, "who": "Hà Nội"}
    assert "Hà Nội" in line


WORDS = ["a\x01b", "a b", "a" * 65, "é", "\u202e", "", "<script>", "a;b", '"a"', "a\x7f"]


@pytest.mark.parametrize("word", WORDS)
async def test_a_request_id_that_is_no_plain_token_is_not_given_back(country: httpx.AsyncClient, word: str) -> None:
    answer = await country.get("/healthz", headers=[(b"X-Request-Id", word.encode())])
    assert answer.headers["x-request-id"] != word
    assert len(answer.headers["x-request-id"]) == 36


async def test_a_request_id_that_is_one_is_given_back(country: httpx.AsyncClient) -> None:
    answer = await country.get("/healthz", headers={"X-Request-Id": "abc.DEF_1-2"})
    assert answer.headers["x-request-id"] == "abc.DEF_1-2"


def test_the_trace_of_a_request_is_known_if_it_is_named_well() -> None:
    trace = b"4bf92f3577b34da6a3ce929d0e0e4736"
    assert trace_of(b"00-" + trace + b"-00f067aa0ba902b7-01") == trace.decode()
    for wrong in (
        b"",
        trace,
        b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01",
        b"00-" + trace.upper() + b"-00f067aa0ba902b7-01",
    ):
        assert trace_of(wrong) is None


@pytest.mark.parametrize("path", ["/v1/forms/%2e%2e", "/v1//forms", "//v1/forms", "/v1/forms/..%2fclients", "/v1/forms/%00", "/v1/agencies/%ff", "/docs/static/..%2f..%2fpyproject.toml", "/docs/static/%2e%2e/%2e%2e/a", "/v1/forms;x=1", "/V1/forms", "/v1/forms/%252e"])  # fmt: skip  # noqa: E501
async def test_a_path_that_goes_round_leads_nowhere(country: httpx.AsyncClient, path: str) -> None:
    answer = await country.get(path)
    assert answer.status_code in {400, 404}
    assert answer.headers["content-type"] == "application/problem+json"
