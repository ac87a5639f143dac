"""What an upstream holds, as it lists it: every page, every shape, and never a list that may have gaps."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest

from answering import answering, settings, upstream
from gateway.connectors.connector import Answers, InvalidConnectorOptions, InvalidConnectorSettings, UpstreamSilent
from gateway.connectors.registry import open_connector
from gateway.domain.upstream import Held

OLD, NEW = UUID("01982222-0000-7000-8000-000000000001"), UUID("01982222-0000-7000-8000-000000000002")
HASH = "ab" * 32
LISTING: Mapping[str, Any] = {"path": "/held", "items": "/list", "id": "/maBaoCao", "sha256": "/bam"}


def item(report: UUID | str, **more: object) -> dict[str, object]:
    return {"maBaoCao": str(report), "bam": HASH.upper(), **more}


async def held_by(
    *pages: object, asked: tuple[str | None, str | None] = (None, None), **options: Any
) -> tuple[list[Held], list[str]]:
    """What is read of an upstream that gives these pages in turn, and what it was asked for."""
    answers = iter(pages)

    async def answer(writer: asyncio.StreamWriter) -> None:
        page = next(answers)
        await answering("200 OK", body=page if isinstance(page, bytes) else json.dumps(page).encode())(writer)

    async with upstream(answer) as system:
        listing = {"reconciliation": {name: value for name, value in {**LISTING, **options}.items() if value}}
        given = settings("http_json", system.url, {"bearer": "a.token"}, options=listing)
        connector = open_connector(given)
        try:
            assert isinstance(connector, Answers)
            found = [each async for each in connector.holdings(*asked)]
        finally:
            await connector.aclose()
        assert {headers["authorization"] for headers, _ in system.requests} == {"Bearer a.token"}
    return found, system.targets


async def test_reports_come_newest_first_whatever_their_order_in_the_list() -> None:
    found, _ = await held_by({"list": [item(OLD), item(NEW)]})
    assert found == [Held(NEW, HASH, "accepted"), Held(OLD, HASH, "accepted")]


async def test_the_answer_may_be_the_list_itself() -> None:
    found, _ = await held_by([item(OLD)], items=None)
    assert [each.report for each in found] == [OLD]


async def test_pages_are_followed_by_what_comes_next_or_by_their_numbers() -> None:
    pages = [{"list": [item(OLD)], "sau": "a/b"}, {"list": [item(NEW)], "sau": None}]
    by_cursor, asked = await held_by(*pages, next="/sau", parameter="cursor")
    assert asked == ["/reports/held", "/reports/held?cursor=a%2Fb"]
    by_number, asked = await held_by(*pages, {"list": []}, path="/held?n=1", first_page=1, parameter="trang")
    assert asked == [f"/reports/held?n=1&trang={number}" for number in (1, 2, 3)]
    assert [each.report for each in by_cursor] == [each.report for each in by_number] == [NEW, OLD]


async def test_only_what_is_held_counts_and_what_has_ended_says_so() -> None:
    pages = {
        "list": [
            item(NEW, loai="nhan"),
            {"maBaoCao": str(NEW), "loai": "thuHoi"},
            item(OLD, loai="nhap"),
            item("not one of ours", loai="nhan"),
        ]
    }
    found, _ = await held_by(pages, where={"/loai": ["nhan"]}, ended={"/loai": ["thuHoi", "traLai"]})
    assert found == [Held(NEW, HASH, "withdrawn")]


async def test_a_form_and_a_period_are_looked_for_in_the_items_or_else_not_asked_for() -> None:
    pages = {"list": [item(OLD, bieu="A", ky="2026-Q1"), item(NEW, bieu="A", ky="2026-Q2")]}
    found, _ = await held_by(pages, asked=("A", "2026-Q2"), form="/bieu", period="/ky")
    assert [each.report for each in found] == [NEW]
    with pytest.raises(UpstreamSilent, match="where the period"):
        await held_by(pages, asked=("A", "2026-Q2"), form="/bieu")


@pytest.mark.parametrize(
    ("pages", "options", "words"),
    [
        ([{"list": [item(OLD)], "tong": 2}], {"total": "/tong"}, "lists 1 items and says that there are 2"),
        ([{"list": [item(OLD)], "sau": "x"}] * 2, {"next": "/sau", "parameter": "c"}, "no end"),
        ([{"other": []}], {}, "not where options say"),
        ([{"list": [{"khac": 1}]}], {}, "none of its items"),
        ([b"<html>"], {}, "not JSON"),
    ],
)
async def test_a_list_that_may_have_gaps_is_no_answer(pages: list[object], options: dict[str, Any], words: str) -> None:
    with pytest.raises(UpstreamSilent, match=words):
        await held_by(*pages, **options)


async def test_an_upstream_that_does_not_list_is_silent() -> None:
    async with upstream(answering("500 No")) as system:
        connector = open_connector(settings("http_json", system.url, options={"reconciliation": dict(LISTING)}))
        assert isinstance(connector, Answers)
        with pytest.raises(UpstreamSilent, match="500"):
            _ = [each async for each in connector.holdings(None, None)]
        await connector.aclose()


def test_without_the_option_it_cannot_be_asked() -> None:
    assert not isinstance(open_connector(settings("http_json", "http://a.example/")), Answers)


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"path": "/../held"}, "/options/reconciliation/path"),
        ({"path": "/{form}"}, "/options/reconciliation/path"),
        ({"id": "maBaoCao"}, "/options/reconciliation/id"),
        ({"next": "/sau"}, "/options/reconciliation"),
        ({"next": "/sau", "first_page": 1, "parameter": "p"}, "/options/reconciliation"),
    ],
)
def test_what_is_wrong_with_it_is_told_by_its_place(options: dict[str, object], place: str) -> None:
    with pytest.raises(InvalidConnectorOptions) as wrong:
        open_connector(settings("http_json", "http://a.example/", options={"reconciliation": {**LISTING, **options}}))
    assert [each.pointer for each in wrong.value.places] == [place]


def test_no_path_follows_a_url_with_a_query() -> None:
    with pytest.raises(InvalidConnectorSettings, match="url"):
        open_connector(settings("http_json", "http://a.example/?a=1", options={"reconciliation": dict(LISTING)}))
