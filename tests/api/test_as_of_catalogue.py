"""Past states, when it is not a report that changes: whatever is done to deadlines, regimes, forms, code lists and
agencies, an answer of before is repeated byte for byte."""

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import date
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from factories import a_code, a_codelist, a_form, a_regime, a_small_report, an_agency, an_indicator
from gateway.api import deps
from gateway.api.deps import Gateway
from gateway_under_test import NewClient, accepted, asked, have, load

SCOPES = ("aggregates:read", "catalog:write", "operations", "reports:read", "reports:write")
FORM = {"form": "TEST_01", "period": "2097-Q2,2097-Q3"}
GROUPED = FORM | {"by": "agency,period"}
JSON, CSV, NDJSON = "application/json", "text/csv", "application/x-ndjson"
QUESTIONS = [
    *(("/v1/aggregates", GROUPED, accept) for accept in (JSON, CSV, NDJSON)),
    ("/v1/aggregates", GROUPED | {"agencies": "reorganised"}, CSV),
    ("/v1/aggregates", GROUPED | {"agencies": "reorganised", "under": "X26"}, JSON),
    ("/v1/aggregates", {"form": "TEST_01", "period": "2097-Q2..2097-Q3", "by": "kind"}, JSON),
    ("/v1/observations", FORM, JSON),
    ("/v1/observations", FORM | {"under": "X26"}, CSV),
    ("/v1/observations", FORM | {"under": "X26"}, NDJSON),
]
SDMX = [
    ("/sdmx/v2/data/dataflow/VNGOV/TEST_01", "application/vnd.sdmx.data+csv;version=2.0.0"),
    ("/sdmx/v2/data/dataflow/VNGOV/TEST_01/1.0.0", "application/vnd.sdmx.data+xml;version=3.0.0"),
    ("/sdmx/v1/data/TEST_01", "application/vnd.sdmx.genericdata+xml;version=2.1"),
    ("/sdmx/v2/availability/dataflow/VNGOV/TEST_01", "application/vnd.sdmx.structure+json;version=2.0.0"),
    ("/sdmx/v2/structure/datastructure/VNGOV/TEST_01", "application/vnd.sdmx.structure+xml;version=3.0.0"),
    ("/sdmx/v1/codelist/VNGOV/TEST_CODES+TEST_CODES-T/latest", "*/*"),
]
KINDS = [{"id": "kind", "codelist": "TEST_CODES", "total": "sum", "title": {"vi": "Loại", "en": "Kind"}}]
_OF_NOW = re.compile(rb'<mes:(ID|Prepared)>[^<]*<|"id":"M[0-9a-f]{32}","prepared":"[^"]*"|/sdmx/v[^"]*')
"""What a message says of itself: when it was made."""

Change = Callable[[httpx.AsyncClient, Callable[[date], None]], Awaitable[object]]


@pytest.fixture
def on(app: FastAPI) -> Iterator[Callable[[date], None]]:
    """Sets the day that it is."""

    def set_day(day: date) -> None:
        app.dependency_overrides[deps.today] = lambda: day

    set_day(date(2098, 6, 1))
    yield set_day
    del app.dependency_overrides[deps.today]


def an_office(code: str, parent: str = "X26", **changes: object) -> dict[str, Any]:
    return an_agency(code=code, name=code, level="department", parent=parent, valid_from="2020-01-01", **changes)


def a_regime_of(*agencies: str, **changes: object) -> dict[str, Any]:
    return a_regime(who=[{"agencies": [*agencies]}], valid_from="2090-01-01", **changes)


def a_form_of_kinds(**changes: object) -> dict[str, Any]:
    return a_form(breakdowns=KINDS, **changes)


@pytest.fixture
async def client(client_for: NewClient, gateway: Gateway) -> httpx.AsyncClient:
    """A client of a country of two provinces, with three of four reports that are owed of each of two quarters."""
    client = await client_for(*SCOPES)
    offices = ("X26.1", "X26.2", "X26.3", "X29.1")
    await load(
        gateway.engine,
        *(("agency", an_agency(code=each, level="province", parent=None, name=each)) for each in ("X26", "X29")),
        *(("agency", an_office(each, each[:3])) for each in offices),
        ("codelist", a_codelist("A", "B")),
        ("form", a_form_of_kinds()),
        ("regime", a_regime_of(*offices)),
    )
    for number, agency in enumerate(("X26.1", "X26.2", "X29.1"), start=1):
        for period in ("2097-Q2", "2097-Q3"):
            rows = [{"kind": "A", "amount": number}, {"kind": "B", "amount": 10 * number}]
            await accepted(client, a_small_report(agency=agency, period=period, rows=rows))
    return client


async def extend(client: httpx.AsyncClient, _: object) -> None:
    given = {"form": "TEST_01", "period": "2097-Q3", "agency": "X26.3", "until": "2099-01-01", "reason": "bão"}
    answer = await client.post("/v1/obligations/extensions", json=given)
    assert answer.status_code == 201, answer.text


async def bind_others(client: httpx.AsyncClient, _: object) -> None:
    await have(client, "/regimes/TEST", a_regime_of("X26.1", "X26.2"))


async def end_the_regime(client: httpx.AsyncClient, _: object) -> None:
    await have(client, "/regimes/TEST", a_regime_of("X26.1", "X26.2", "X26.3", "X29.1", valid_to="2097-05-01"))


async def add_a_version(client: httpx.AsyncClient, _: object) -> None:
    more = [an_indicator(), an_indicator(id="more", required=False)]
    await have(
        client, "/forms/TEST_01/versions/2", a_form_of_kinds(version=2, valid_from="2097-06-20", indicators=more)
    )


async def close_a_code(client: httpx.AsyncClient, _: object) -> None:
    codes = [a_code("A", valid_to="2097-06-01"), a_code("B")]
    await have(client, "/codelists/TEST_CODES", a_codelist() | {"codes": codes})


async def merge(client: httpx.AsyncClient, _: object) -> None:
    await have(client, "/agencies/X29.1", an_office("X29.1", "X29", valid_to="2097-08-01", successor="X26.1"))


async def merge_a_province(client: httpx.AsyncClient, _: object) -> None:
    await have(client, "/agencies/X29.1", an_office("X29.1", "X29", valid_to="2098-02-01", successor="X26.1"))
    closed = {"valid_to": "2098-02-01", "successor": "X26"}
    await have(client, "/agencies/X29", an_agency(code="X29", level="province", parent=None, name="X29", **closed))


async def move(client: httpx.AsyncClient, _: object) -> None:
    await have(client, "/agencies/X26.2", an_office("X26.2", "X29") | {"valid_from": "2097-07-01"})


CHANGES: list[tuple[list[Change], str]] = [
    ([extend, bind_others], "by': 'agency,period'"),
    ([add_a_version, close_a_code, merge], "reorganised"),
    ([move, merge_a_province, end_the_regime], "v1/aggregates"),
]
"""What is done, one after another, and an answer that has to differ then."""


def _content(answer: httpx.Response) -> bytes:
    assert answer.status_code == 200, answer.text[:500]
    return _OF_NOW.sub(b"", answer.content)


Answers = dict[str, tuple[str, bytes]]


async def _answers(client: httpx.AsyncClient, then: Answers | None = None) -> Answers:
    """Every question's answer and the state it named; asked again, each of the state that it named then."""
    found: Answers = {}
    for path, given, accept in QUESTIONS:
        name = f"{path} {given} {accept}"
        past = {} if then is None else {"as_of": then[name][0]}
        answer = await client.get(path, params=given | past, headers={"Accept": accept})
        state = answer.json()["as_of"] if accept == JSON else answer.headers["as-of"]
        found[name] = state, _content(answer)
    for path, accept in SDMX:
        past = {} if then is None else {"asOf": _state(then)}
        answer = await client.get(path, params=past, headers={"Accept": accept})
        found[f"{path} {accept}"] = answer.headers.get("as-of", ""), _content(answer)
    return found


async def test_whatever_is_done_to_the_catalogue_an_answer_of_before_is_repeated_byte_for_byte(
    client: httpx.AsyncClient, on: Callable[[date], None]
) -> None:
    """Deadlines, regimes, form versions, codes and agencies change in turn; then every state is asked for again."""
    stages = [await _answers(client)]
    for changes, moves in CHANGES:
        for change in changes:
            await change(client, on)
        stages.append(await _answers(client))
        changed = {name for name in stages[-1] if stages[-1][name][1] != _as_named(stages[-2][name], stages[-1][name])}
        assert any(moves in name for name in changed), f"nothing of {moves} is seen to change"
    owed = [json.loads(stage[f"/v1/aggregates {GROUPED} {JSON}"][1]) for stage in stages]
    assert [each["expected"] for each in owed] == [8, 4, 4, None]
    assert [each["missing"] for each in owed] == [2, 0, 0, None]
    for stage in stages:
        assert await _answers(client, stage) == stage


def _state(answers: Answers) -> str:
    return answers[f"/v1/aggregates {GROUPED} {JSON}"][0]


def _as_named(one: tuple[str, bytes], other: tuple[str, bytes]) -> bytes:
    """An answer as it would be had it named the state that the other names."""
    return one[1].replace(f'"as_of":"{one[0]}"'.encode(), f'"as_of":"{other[0]}"'.encode())


async def test_a_reform_that_was_known_before_it_began_moves_no_answer_of_before(
    client: httpx.AsyncClient, on: Callable[[date], None]
) -> None:
    """Which organisation is today's moves with the days, and nothing is stored then."""
    later = an_office("X29.1", "X29", valid_to="2098-12-31", successor="X26.1")
    await have(client, "/agencies/X29.1", later)
    asked_for = GROUPED | {"agencies": "reorganised"}
    before = await client.get("/v1/aggregates", params=asked_for)
    on(date(2099, 6, 1))
    now = await client.get("/v1/aggregates", params=asked_for)
    assert now.json()["rows"] != before.json()["rows"]
    again = await client.get("/v1/aggregates", params=asked_for | {"as_of": before.json()["as_of"]})
    assert again.content == before.content


async def test_structures_of_then_are_those_of_the_catalogue_of_then(
    client: httpx.AsyncClient, on: Callable[[date], None]
) -> None:
    flows = "/sdmx/v2/structure/dataflow/VNGOV/TEST_01"
    accept = {"Accept": "application/vnd.sdmx.structure+json;version=2.0.0"}

    async def versions(address: str, **query: str) -> list[str]:
        answer = await client.get(address, params=query, headers=accept)
        assert answer.status_code == 200, answer.text
        return [each["version"] for each in answer.json()["data"]["dataflows"]]

    then = (await asked(client, "/aggregates", **FORM, by="period"))["as_of"]
    await add_a_version(client, on)
    assert await versions(f"{flows}/*") == ["1.0.0", "2.0.0"]
    assert await versions(flows) == ["2.0.0"]
    assert await versions(f"{flows}/*", asOf=then) == await versions(flows, asOf=then) == ["1.0.0"]
    for address, status in ((f"{flows}/2.0.0?asOf={then}", 404), (f"{flows}?asOf=2098-01-01", 400)):
        assert (await client.get(address, headers=accept)).status_code == status


async def test_a_stranger_cannot_make_the_past_be_read(client: httpx.AsyncClient) -> None:
    answer = await client.get("/sdmx/v2/structure/dataflow?asOf=1", headers={"Authorization": "Basic eDp5"})
    assert answer.status_code == 401
