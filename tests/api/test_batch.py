"""Batches: every line is a report of its own, answered in order, and seen by the lines after it."""

import asyncio
import gzip
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from factories import a_balanced_row, a_report, a_row, body, ndjson
from gateway.api.deps import Gateway
from gateway_under_test import (
    NOTHING,
    NewClient,
    accepted,
    connected,
    counts,
    in_process,
    push,
    refused,
    rules,
    shown,
)

Lines = list[dict[str, Any]]


def lines_of(answer: httpx.Response) -> Lines:
    """The lines of an answer, once it is seen to be whole."""
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson"), answer.text
    assert answer.content.endswith(b"\n") or answer.content == b""
    return [json.loads(line) for line in answer.content.splitlines()]


async def batch(client: httpx.AsyncClient, sent: bytes, key: str | None = None, **headers: str) -> Lines:
    return lines_of(await push(client, sent, key, "/batch", **headers))


def statuses(lines: Lines) -> list[object]:
    """What became of each line: a report's status, or a problem's number."""
    return [line["status"] for line in lines]


async def test_each_line_is_answered_as_a_push_would_be_in_order(province: httpx.AsyncClient) -> None:
    sent = ndjson(
        a_report(agency="H26.18"),
        a_report(agency="H26.13", rows=[a_row(received_total=2401)]),
        a_report(agency="H29.13"),
        b"{",
        a_report(form="TTHC_99"),
        a_report(agency="H26.18", reason="khác"),
        a_report(agency="H26.12"),
    )
    lines = await batch(province, sent)
    assert [line["line"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert statuses(lines) == ["accepted", 422, 403, 400, 404, 409, "accepted"]
    assert lines[5]["current"] == {"id": lines[0]["id"], "revision": 1}
    assert rules(lines[1]["findings"]) == ["R1", "R4"]
    kept = shown(await province.get(f"/v1/reports/{lines[0]['id']}"))
    assert {**lines[0], "line": None} == {**{name: kept[name] for name in lines[0] if name != "line"}, "line": None}


async def test_a_refused_line_undoes_no_other(province: httpx.AsyncClient, engine: AsyncEngine) -> None:
    sent = ndjson(a_report(agency="H26.18"), a_report(agency="H26.13", rows=[]), b"nonsense")
    await batch(province, sent, key="k")
    kept = await counts(engine)
    assert (kept["reports"], kept["payloads"], kept["report_rows"], kept["report_events"]) == (2, 2, 1, 1)
    assert kept["idempotency_keys"] == 2


async def test_a_later_line_sees_earlier_ones(province: httpx.AsyncClient, engine: AsyncEngine) -> None:
    sent = ndjson(
        a_report(period="2098-Q1", rows=[a_balanced_row(pending=5)]),
        a_report(period="2098-Q2", rows=[a_balanced_row(carried_over=5, pending=8)]),
        a_report(period="2098-Q3", rows=[a_balanced_row(carried_over=7)]),
        a_report(period="2098-Q1", rows=[a_balanced_row(pending=5)]),
        a_report(period="2098-Q2", rows=[a_balanced_row()]),
    )
    lines = await batch(province, sent)
    assert statuses(lines) == ["accepted", "accepted", 422, "accepted", 409]
    assert lines[1]["findings"] == []
    assert (lines[2]["findings"][0]["expected"], lines[2]["findings"][0]["actual"]) == ("8", "7")
    assert lines[3]["id"] == lines[0]["id"]
    assert (await counts(engine))["reports"] == 3


async def test_a_line_corrects_a_report_from_before_the_batch(province: httpx.AsyncClient) -> None:
    first = await accepted(province, a_report())
    again = a_report(corrects=first["id"], reason="2")
    lines = await batch(province, ndjson(again, a_report(corrects=first["id"], reason="3"), again))
    assert statuses(lines) == ["accepted", 409, "accepted"]
    assert [lines[0]["revision"], lines[2]["id"]] == [2, lines[0]["id"]]


async def test_later_lines_see_earlier_ones_across_chunks(province: httpx.AsyncClient) -> None:
    sent = [a_report(reason="x")] + [b"{}"] * 200 + [a_report(reason="x"), a_report(reason="y")]
    lines = await batch(province, ndjson(*sent))
    assert (lines[201]["id"], lines[202]["status"]) == (lines[0]["id"], 409)


async def test_each_line_has_the_key_of_the_batch_and_its_number(
    province: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    sent = ndjson(a_report(agency="H26.18"), a_report(agency="H26.13", rows=[]), b"{")
    first = await push(province, sent, "k", "/batch")
    async with connected(engine) as connection:
        keys = await connection.fetch("SELECT key FROM idempotency_keys ORDER BY key")
    assert [row["key"] for row in keys] == ["k/1", "k/2"]
    again = await push(province, sent, "k", "/batch")
    without_ids = [json.loads(line) for line in first.content.splitlines()]
    assert lines_of(again) == without_ids
    assert (await counts(engine))["reports"] == 2


async def test_a_changed_line_under_the_same_key_is_refused_alone(province: httpx.AsyncClient) -> None:
    await batch(province, ndjson(a_report(agency="H26.18"), a_report(agency="H26.13")), key="k")
    lines = await batch(province, ndjson(a_report(agency="H26.18"), a_report(agency="H26.12")), key="k")
    assert statuses(lines) == ["accepted", 422]
    assert lines[1]["type"] == "urn:report-gateway:problem:idempotency-key-reused"


async def test_a_malformed_key_refuses_the_whole_batch(province: httpx.AsyncClient, engine: AsyncEngine) -> None:
    refused(await push(province, ndjson(a_report()), "two words", "/batch"), 400, "malformed-request")
    assert await counts(engine) == NOTHING


async def test_blank_lines_are_counted_and_not_answered_and_line_ends_are_not_hashed(
    province: httpx.AsyncClient,
) -> None:
    one, two = body(a_report(agency="H26.18")), body(a_report(agency="H26.13"))
    lines = await batch(province, b"\r\n" + one + b"\r\n\n   \n" + two)
    assert [line["line"] for line in lines] == [2, 5]
    assert [line["sha256"] for line in lines] == [hashlib.sha256(each).hexdigest() for each in (one, two)]


@pytest.mark.parametrize("sent", [b"", b"\n", b"\r\n \n\n"])
async def test_a_batch_of_nothing_is_answered_with_nothing(province: httpx.AsyncClient, sent: bytes) -> None:
    assert await batch(province, sent) == []


async def test_a_gzip_batch_is_inflated(province: httpx.AsyncClient) -> None:
    sent = gzip.compress(ndjson(a_report(agency="H26.18"), a_report(agency="H26.13")))
    assert statuses(await batch(province, sent, Content_Encoding="gzip")) == ["accepted", "accepted"]


async def test_a_batch_whose_gzip_breaks_off_keeps_nothing_it_does_not_answer(
    province: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    sent = gzip.compress(ndjson(a_report(agency="H26.18"), a_report(agency="H26.13")))[:-12]
    answer = await push(province, sent, "k", "/batch", Content_Encoding="gzip")
    refused(answer, 400, "malformed-request")
    assert await counts(engine) == NOTHING


async def test_a_line_is_found_however_the_body_is_cut(province: httpx.AsyncClient) -> None:
    sent = ndjson(a_report(agency="H26.18"), b"", a_report(agency="H26.13"), end=b"\r\n")

    async def byte_by_byte() -> AsyncIterator[bytes]:
        for index in range(len(sent)):
            yield sent[index : index + 1]

    headers = {"Content-Type": "application/x-ndjson"}
    answer = await province.post("/v1/reports/batch", content=byte_by_byte(), headers=headers)
    lines = lines_of(answer)
    assert [(line["line"], line["status"]) for line in lines] == [(1, "accepted"), (3, "accepted")]


async def test_a_line_that_is_too_long_is_refused_alone(province: httpx.AsyncClient, gateway: Gateway) -> None:
    small = replace(gateway, settings=gateway.settings.model_copy(update={"max_body_bytes": 1024}))
    async with in_process(small, headers=province.headers) as client:
        fits = body(a_report(agency="H26.18")).ljust(1024)
        too_long = body(a_report(agency="H26.13")).ljust(1025)
        lines = await batch(client, ndjson(fits, too_long, b"x" * 9999, a_report(agency="H26.12"), too_long))
    assert statuses(lines) == ["accepted", 413, 413, "accepted", 413]
    assert [line["line"] for line in lines] == [1, 2, 3, 4, 5]


async def test_a_batch_larger_than_its_limit_is_too_large(
    province: httpx.AsyncClient, gateway: Gateway, engine: AsyncEngine
) -> None:
    small = replace(gateway, settings=gateway.settings.model_copy(update={"max_batch_bytes": 1024}))
    async with in_process(small, headers=province.headers) as client:
        answer = await push(client, ndjson(a_report(), b" " * 1024), to="/batch")
    refused(answer, 413, "content-too-large")
    assert await counts(engine) == NOTHING


async def test_line_10_001_is_refused_and_the_rest_is_not_taken(
    province: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    sent = ndjson(a_report(agency="H26.18"), *[b"0"] * 9_999, a_report(agency="H26.13"), a_report(agency="H26.12"))
    lines = await batch(province, sent)
    assert len(lines) == 10_001
    assert (lines[0]["status"], {line["status"] for line in lines[1:10_000]}) == ("accepted", {400})
    assert (lines[-1]["line"], lines[-1]["type"]) == (10_001, "urn:report-gateway:problem:content-too-large")
    assert (await counts(engine))["reports"] == 1


async def test_ten_thousand_lines_are_taken(province: httpx.AsyncClient) -> None:
    lines = await batch(province, ndjson(*[b"0"] * 9_999, a_report()))
    assert (len(lines), lines[-1]["status"]) == (10_000, "accepted")


async def test_more_reports_than_one_chunk_holds_are_each_stored(client_for: NewClient, engine: AsyncEngine) -> None:
    country = await client_for()
    communes = [f"GSO:{number}" for number in ("00004", "00008")]
    quarters = [f"{year}-Q{quarter}" for year in range(2030, 2070) for quarter in (1, 2, 3)]
    row = a_balanced_row()
    sent = [a_report(agency=agency, period=period, rows=[row]) for agency in communes for period in quarters]
    lines = await batch(country, ndjson(*sent))
    assert statuses(lines) == ["accepted"] * 240
    assert len({line["id"] for line in lines}) == 240
    kept = await counts(engine)
    assert (kept["reports"], kept["report_rows"], kept["payloads"], kept["report_events"]) == (240,) * 4


async def test_two_batches_of_the_same_reports_in_opposite_order_are_both_answered(
    client_for: NewClient, engine: AsyncEngine
) -> None:
    one, other = await client_for(), await client_for()
    reports = [a_report(agency=f"H26.{number}", rows=[a_balanced_row()]) for number in range(10, 22)]
    async with connected(engine) as connection:  # each report takes a moment, so that the batches meet
        await connection.execute(
            "CREATE FUNCTION take_a_moment() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(0.005); RETURN NEW; END $$;"
            "CREATE TRIGGER take_a_moment BEFORE INSERT ON reports"
            " FOR EACH ROW EXECUTE FUNCTION take_a_moment()"
        )
        try:
            answers = await asyncio.gather(
                push(one, ndjson(*reports), to="/batch"), push(other, ndjson(*reports[::-1]), to="/batch")
            )
        finally:
            await connection.execute("DROP FUNCTION take_a_moment CASCADE")
    forward, backward = (lines_of(answer) for answer in answers)
    assert statuses(forward) == statuses(backward) == ["accepted"] * 12
    assert [line["id"] for line in forward] == [line["id"] for line in backward[::-1]]
