"""Reports that are not for the gateway to take: wrong sender, wrong wrapping, too large, classified."""

import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from factories import a_monthly_report, a_report, body
from gateway.api.deps import Gateway
from gateway.flow.unpack import READERS
from gateway_under_test import NOTHING, NewClient, accepted, counts, in_process, push, refused, shown


async def test_an_unknown_form_is_not_found(province: httpx.AsyncClient, engine: AsyncEngine) -> None:
    refused(await push(province, a_report(form="TTHC_99")), 404, "not-found")
    assert await counts(engine) == NOTHING


async def test_an_unknown_form_version_is_not_found(province: httpx.AsyncClient) -> None:
    refused(await push(province, a_report(form_version=9)), 404, "not-found")
    refused(await push(province, a_report(form_version=10**29)), 404, "not-found")


async def test_an_unknown_agency_is_not_found_by_a_client_of_the_country(
    country: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    refused(await push(country, a_report(agency="H99")), 404, "not-found")
    refused(await push(country, a_report(agency="H" + "2" * 35)), 404, "not-found")
    assert await counts(engine) == NOTHING


@pytest.mark.parametrize(
    "agency",
    ["H29", "H29.18", "G01", "H99", "H26.99", "H2", "GSO:79", "000.00.00.H29"],
    ids=lambda agency: f"outside {agency}",
)
async def test_an_agency_outside_the_subtree_is_forbidden_whether_or_not_it_exists(
    province: httpx.AsyncClient, engine: AsyncEngine, agency: str
) -> None:
    refused(await push(province, a_report(agency=agency)), 403, "forbidden")
    assert await counts(engine) == NOTHING


async def test_a_department_reports_for_itself_but_not_for_its_province(client_for: NewClient) -> None:
    department = await client_for(agency="H26.18")
    await accepted(department, a_report(agency="H26.18"))
    refused(await push(department, a_report(agency="H26")), 403, "forbidden")
    refused(await push(department, a_report(agency="H26.13")), 403, "forbidden")


async def test_a_legacy_code_is_not_mapped_by_its_structure_but_suggested(country: httpx.AsyncClient) -> None:
    problem = refused(await push(country, a_report(agency="000-00-18-H26")), 404, "not-found")
    assert problem["suggestion"] == "H26.18"


async def test_a_client_without_the_scope_is_told_which_it_lacks(client_for: NewClient, engine: AsyncEngine) -> None:
    reader = await client_for("reports:read", agency="H26")
    for route in ("", "/validate", "/batch"):
        problem = refused(await push(reader, a_report(), to=route), 403, "forbidden")
        assert problem["scope"] == "reports:write"
    assert await counts(engine) == NOTHING


@pytest.mark.parametrize("classification", ["secret", "mật", "", "NONE", "none "])
@pytest.mark.parametrize("route", ["", "/validate"])
async def test_a_classified_report_is_turned_away_and_nothing_of_it_is_kept(
    province: httpx.AsyncClient, engine: AsyncEngine, classification: str, route: str
) -> None:
    sent = a_report(classification=classification)
    refused(await push(province, sent, key="k", to=route), 403, "classified")
    assert await counts(engine) == NOTHING


async def test_a_classified_line_of_a_batch_is_turned_away_alone(
    province: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    lines = body(a_report(classification="secret")) + b"\n" + body(a_report())
    answer = await push(province, lines, key="k", to="/batch")
    assert '"status":403' in answer.text.splitlines()[0]
    kept = await counts(engine)
    assert (kept["reports"], kept["payloads"], kept["idempotency_keys"]) == (1, 1, 1)


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/xml",
        "application/x-ndjson",
        "application/json-patch+json",
        "application/json; charset=utf-16",
        'application/json; charset="iso-8859-1"',
        "json",
        "",
    ],
)
@pytest.mark.parametrize("route", ["", "/validate"])
async def test_another_media_type_or_charset_is_unsupported(
    province: httpx.AsyncClient, engine: AsyncEngine, media_type: str, route: str
) -> None:
    answer = await push(province, a_report(), to=route, Content_Type=media_type)
    problem = refused(answer, 415, "unsupported-media-type")
    assert problem["accepted"] == ["application/json", *READERS]
    assert await counts(engine) == NOTHING


@pytest.mark.parametrize(
    "media_type",
    ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"', "application/json ; charset=utf8"],
)
async def test_utf_8_may_be_said(province: httpx.AsyncClient, media_type: str) -> None:
    answer = await push(province, a_report(), Content_Type=media_type)
    assert answer.status_code == 201


async def test_a_batch_takes_ndjson_only(province: httpx.AsyncClient) -> None:
    answer = await push(province, a_report(), to="/batch", Content_Type="application/json")
    assert refused(answer, 415, "unsupported-media-type")["accepted"] == ["application/x-ndjson"]


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "x"])
async def test_another_content_encoding_is_unsupported(
    province: httpx.AsyncClient, engine: AsyncEngine, encoding: str
) -> None:
    for route in ("", "/batch"):
        answer = await push(province, a_report(), to=route, Content_Encoding=encoding)
        refused(answer, 415, "unsupported-media-type")
    assert await counts(engine) == NOTHING


async def test_a_gzip_body_is_hashed_after_decoding(province: httpx.AsyncClient) -> None:
    plain = body(a_report())
    first = await push(province, gzip.compress(plain), Content_Encoding="gzip")
    assert first.status_code == 201
    again = await push(province, plain)
    assert (again.status_code, shown(again)["id"]) == (200, shown(first)["id"])
    kept = await province.get(f"{first.headers['location']}/payload")
    assert kept.content == plain


DAMAGED = {
    "not gzip": body(a_report()),
    "cut off": gzip.compress(body(a_report()))[:-9],
    "without its check sum": gzip.compress(body(a_report()))[:-8],
    "wrong check sum": gzip.compress(body(a_report()))[:-8] + b"\0" * 8,
    "zlib instead": zlib.compress(body(a_report())),
    "followed by more": gzip.compress(body(a_report())) + b"more",
    "two members": gzip.compress(body(a_report())) * 2,
    "nothing": b"",
}


@pytest.mark.parametrize("sent", DAMAGED.values(), ids=DAMAGED.keys())
async def test_a_damaged_gzip_stream_is_malformed(
    province: httpx.AsyncClient, engine: AsyncEngine, sent: bytes
) -> None:
    refused(await push(province, sent, Content_Encoding="gzip"), 400, "malformed-request")
    assert await counts(engine) == NOTHING


async def test_a_gzip_bomb_is_refused_in_little_memory(
    province: httpx.AsyncClient, gateway: Gateway, engine: AsyncEngine
) -> None:
    bomb = gzip.compress(b" " * 120_000_000, compresslevel=9)
    assert len(bomb) < 150_000
    tracemalloc.start()
    try:
        answer = await push(province, bomb, Content_Encoding="gzip")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    refused(answer, 413, "content-too-large")
    limit = 3 * gateway.settings.max_body_bytes
    assert most < limit
    assert await counts(engine) == NOTHING


def a_small_gateway(gateway: Gateway) -> Gateway:
    """The gateway with room for bodies of 2,000 bytes."""
    return replace(gateway, settings=gateway.settings.model_copy(update={"max_body_bytes": 2000}))


async def test_a_body_larger_than_the_limit_is_too_large_whatever_length_it_declares(
    province: httpx.AsyncClient, gateway: Gateway, engine: AsyncEngine
) -> None:
    async with in_process(a_small_gateway(gateway), headers=province.headers) as client:
        at_the_limit = body(a_report(reason="x" * 1000)).ljust(2000)
        beyond = at_the_limit + b" "
        refused(await push(client, beyond), 413, "content-too-large")
        refused(await push(client, gzip.compress(beyond), Content_Encoding="gzip"), 413, "content-too-large")
        refused(await push(client, beyond, Content_Length="9" * 4000), 413, "content-too-large")

        async def in_two_pieces() -> AsyncIterator[bytes]:
            yield beyond[:1000]
            yield beyond[1000:]

        unannounced = await client.post(
            "/v1/reports", content=in_two_pieces(), headers={"Content-Type": "application/json"}
        )
        refused(unannounced, 413, "content-too-large")
        assert await counts(engine) == NOTHING
        assert (await push(client, at_the_limit)).status_code == 201


async def test_another_form_needs_no_other_code(country: httpx.AsyncClient) -> None:
    await accepted(country, a_monthly_report())
