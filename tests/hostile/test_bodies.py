"""Every body of the corpus on every route that writes, as the routes themselves say: refused, and nothing is stored.

A new route is covered by what it says of itself: its example is what the corpus is made from.
"""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from statistics import median
from typing import Any, NamedTuple

import pytest
from fastapi import FastAPI
from hypothesis import settings

from corpus import CANARY, FORM, JSON, KEYS, LINES, Hostile, bomb, hostile_forms, hostile_json, hostile_lines, text
from described import DOCUMENT
from factories import a_report
from forwarding import connect_upstream, deliveries
from gateway.access.scopes import Scope
from gateway.api.deps import Gateway
from gateway_under_test import NewClient, accepted, add_account, bearer, connected

FREE = frozenset({"options"})
"""Members that may hold anything: what is in them is judged by the kind of connector alone."""
PREFIX = "urn:report-gateway:problem:"


class Write(NamedTuple):
    """A route that changes something."""

    method: str
    path: str
    media_type: str | None
    example: Any
    operation: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


FILES = ("text/csv", "application/adx+xml", "application/vnd.")
"""Notations of files: what is hostile in those is made for each in ``tests/formats/test_hostile.py``."""


def writes() -> Iterator[Write]:
    """Every route that writes, with a document that it takes."""
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            if method == "get":
                continue
            for media_type, content in operation.get("requestBody", {"content": {None: {}}})["content"].items():
                if media_type is not None and media_type.startswith(FILES):
                    continue
                example = _made_to_fit(path, _example(content))
                yield Write(method.upper(), path, media_type, example, operation)


def _example(content: dict[str, Any]) -> Any:
    schema = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    examples = content.get("examples") or DOCUMENT["components"]["schemas"].get(schema, {}).get("examples") or [None]
    first = next(iter(examples.values()))["value"] if isinstance(examples, dict) else examples[0]
    example = content.get("example", first)
    return json.loads(example.split("\n")[0]) if isinstance(example, str) else example


def _made_to_fit(path: str, example: Any) -> Any:
    """A draft is tried on the reports of a form that is there."""
    return example | {"code": "TTHC_06A", "version": 2} if path.endswith("/backtest") else example


WRITES = list(writes())
WITH_BODY = [each for each in WRITES if each.media_type is not None]


FEWEST = 300
"""How many bodies each route is tried with, at least."""


def corpus_of(route: Write) -> list[Hostile]:
    """The bodies for a route: some, other ones for each route; all of them in the long profile."""
    match route.media_type:
        case "application/json":
            made = list(hostile_json(route.example, FREE))
        case "application/x-ndjson":
            made = list(hostile_lines(route.example, FREE))
        case _:
            made = list(hostile_forms())
    needs_one = route.operation["requestBody"]["required"]
    made = [each for each in made if each.content or needs_one]
    steps = 1 if settings().max_examples > 100 else max(1, len(made) // FEWEST)
    return made[WITH_BODY.index(route) % steps :: steps]


class Answer(NamedTuple):
    status: int
    fields: list[tuple[bytes, bytes]]
    content: bytes
    seconds: float
    """Of this process's own time: nobody else's load counts."""

    def field(self, name: bytes) -> str:
        return next((value.decode() for field, value in self.fields if field == name), "")


class Caller:
    """Calls the API in this process, with nothing in between that would mend what is sent."""

    def __init__(self, app: FastAPI, token: str, values: dict[str, str]) -> None:
        self.app, self.token, self.values = app, token, values

    async def __call__(self, route: Write, hostile: Hostile, *fields: tuple[str, str]) -> Answer:
        path = self.path(route)
        content, sent = hostile.content, [*hostile.fields, *fields]
        length = ("content-length", str(len(content)))
        sent.append(length if hostile.chunks == 1 else ("transfer-encoding", "chunked"))
        if "/oauth/" not in path:
            sent.append(("authorization", self.token))
        needed = [each for each in route.operation.get("parameters", ()) if each["in"] == "query" and each["required"]]
        query = "&".join(f"{each['name']}=2026-Q3" for each in needed)
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": route.method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(b"host", b"gateway.test"), *((k.encode(), v.encode()) for k, v in sent)],
            "client": ("127.0.0.1", 1),
            "server": ("gateway.test", 80),
            "scheme": "http",
            "root_path": "",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
        }
        size = -(-len(content) // hostile.chunks) or 1
        parts = [content[at : at + size] for at in range(0, len(content), size)] or [b""]
        messages: list[Any] = []

        async def receive() -> dict[str, Any]:
            if not parts:  # the client waits for its answer
                await asyncio.Event().wait()
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        async def send(message: Any) -> None:
            messages.append(message)

        began = time.process_time()
        await self.app(scope, receive, send)
        seconds = time.process_time() - began
        start, *rest = messages
        return Answer(start["status"], start["headers"], b"".join(each.get("body", b"") for each in rest), seconds)

    def path(self, route: Write) -> str:
        """The address of something that is there, or of what the example speaks of."""
        named = route.example if isinstance(route.example, dict) else {}
        values = {"code": "TTHC_06A", "version": "1"} | self.values
        return re.sub(r"{(\w+)}", lambda name: str(named.get(name[1], values.get(name[1]))), route.path)


@pytest.fixture
async def caller(app: FastAPI, gateway: Gateway, client_for: NewClient) -> Caller:
    scopes = [scope.value for scope in Scope if scope is not Scope.reports_relay]
    account = await add_account(gateway.engine, scopes, None)
    country = await client_for(*scopes)
    await connect_upstream(gateway, "http://127.0.0.1:9/x", "national")
    report = (await accepted(country, a_report()))["id"]
    delivery, *_ = await deliveries(gateway.engine)
    values = {"report": report, "client": str(account.id), "name": "national", "delivery": str(delivery["id"])}
    token = bearer(gateway.tokens, account.id, scopes, None)["Authorization"]
    return Caller(app, token, values)


_KEPT = {
    "reports": " WHERE status <> 'rejected'",
    "log_pending": """ WHERE position('"what":"rejected"'::bytea IN entry) = 0""",
}


async def standing(gateway: Gateway) -> dict[str, object]:
    """What every table holds; of reports, what was not rejected; so of the log."""
    async with connected(gateway.engine) as connection:
        names = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            " AND NOT relispartition ORDER BY relname"
        )
        found = {}
        for (name,) in names:
            if name in {"failed_attempts", "client_buckets", "client_days", "payloads"}:
                continue
            only = _KEPT.get(name, "")
            found[name] = await connection.fetchval(f'SELECT count(*) FROM "{name}"{only}')
        changed = "SELECT max(revision) FROM catalog_revisions"
        return found | {"catalogue": await connection.fetchval(changed)}


def wrong_with(route: Write, hostile: Hostile, answer: Answer) -> str | None:
    """Why an answer is not the one that such a body gets; None where it is."""
    if not answer.field(b"x-request-id"):
        return "no id"
    if CANARY.encode() in _values_of(answer):
        return f"repeats what was sent: {answer.content[:300]!r}"
    if route.path.endswith("/batch") and answer.status == 200:
        lines = [json.loads(line) for line in answer.content.splitlines()]
        if all(400 <= line["status"] < 500 and line["type"].startswith(PREFIX) for line in lines):
            return None
        return f"a line was taken: {answer.content[:300]!r}"
    if route.path.endswith("/validate") and answer.status == 200:
        return None if json.loads(answer.content)["accepted"] is False else "it would be accepted"
    if not 400 <= answer.status < 500:
        return f"{answer.status} {answer.content[:300]!r}"
    said = json.loads(answer.content)
    if route.path == "/oauth/token" and answer.field(b"content-type") == JSON:
        return None if set(said) == {"error", "error_description"} else f"no error of OAuth: {said}"
    is_problem = answer.field(b"content-type") == "application/problem+json" and said["type"].startswith(PREFIX)
    return None if is_problem and said["status"] == answer.status else f"no problem: {answer.content[:300]!r}"


def _values_of(answer: Answer) -> bytes:
    """What an answer says, without the names of places and the cells that are complained about."""
    return re.sub(rb'"(pointer|actual|row)":("(\\.|[^"\\])*"|{[^}]*})', b"", answer.content)


@pytest.mark.parametrize("route", WITH_BODY, ids=[each.name for each in WITH_BODY])
async def test_a_body_that_means_no_good_is_refused_at_once_and_leaves_nothing(
    caller: Caller, gateway: Gateway, route: Write
) -> None:
    hostile = corpus_of(route)
    assert len({(each.content, each.fields, each.chunks) for each in hostile}) >= FEWEST
    before = await standing(gateway)
    harmless = Hostile("nothing", b"[]", (("content-type", route.media_type or JSON),))
    usual = median([(await caller(route, harmless)).seconds for _ in range(9)])
    found = []
    for each in hostile:
        answer = await caller(route, each)
        if wrong := wrong_with(route, each, answer):
            found.append(f"{each.name}: {wrong}")
        # A millisecond for each 4 KiB is far more than reading takes, and far less than what explodes.
        most, seconds = 0.1 + 20 * usual + len(each.content) / 4_000_000, answer.seconds
        for _ in range(2 if seconds > most else 0):  # the garbage of the whole run may have been collected in it
            seconds = min(seconds, (await caller(route, each)).seconds)
        if seconds > most:
            found.append(f"{each.name}: {seconds:.3f} s of {len(each.content)} bytes; usually {usual:.4f} s")
    assert not found, "\n".join(found[:20])
    assert await standing(gateway) == before


@pytest.mark.parametrize("route", [each for each in WITH_BODY if each.media_type == JSON], ids=lambda each: each.name)
async def test_the_document_that_the_corpus_is_made_from_is_none_of_it(caller: Caller, route: Write) -> None:
    """The control: what is refused is what was done to the document, not the document."""
    answer = await caller(route, Hostile("as it should be", text(route.example)))
    if route.name == "PUT /v1/connectors/{name}":  # its example has no real secret
        assert b"signing_secret" in answer.content
        return
    assert answer.status not in {400, 401, 413, 415} or b"Network" in answer.content, answer.content[:300]


async def test_a_table_that_gained_a_row_would_be_seen(caller: Caller, gateway: Gateway) -> None:
    """The control of what is counted."""
    before = await standing(gateway)
    (push,) = (each for each in WITH_BODY if each.name == "POST /v1/reports")
    assert (await caller(push, Hostile("good", text(a_report(agency="H29.18"))))).status == 201
    assert await standing(gateway) != before


@pytest.mark.parametrize("route", [each for each in WITH_BODY if each.media_type != FORM], ids=lambda each: each.name)
async def test_a_bomb_is_put_out_before_it_fills_the_memory(caller: Caller, route: Write) -> None:
    media_type = route.media_type or JSON
    sent = bomb(64 * 1024 * 1024)
    packed = Hostile(sent.name, sent.content, (("content-type", media_type), ("content-encoding", "gzip")))
    answer = await caller(route, packed)
    if media_type == LINES:
        assert (answer.status, answer.content.count(b"content-too-large")) == (200, 1)
    else:
        assert (answer.status, b"content-too-large" in answer.content) == (413, True)


@pytest.mark.parametrize("route", [each for each in WRITES if each.media_type is None], ids=lambda each: each.name)
async def test_a_route_that_takes_no_body_does_not_look_at_one(caller: Caller, route: Write) -> None:
    caller.values = dict.fromkeys(caller.values, "01998a3e-5f10-7c4e-9b1a-3d5f7a9c1e20") | {"name": "nobody"}
    for content in (b"", b"{}", b"NaN", b"[" * 100_000, b"\x00" * 1_000_000):
        answer = await caller(route, Hostile("any", content))
        assert (answer.status, wrong_with(route, Hostile("any", content), answer)) == (404, None)


@pytest.mark.parametrize("key", KEYS)
async def test_an_idempotency_key_that_is_none_is_refused(caller: Caller, gateway: Gateway, key: str) -> None:
    for route in WITH_BODY:
        if any(each["name"] == "Idempotency-Key" for each in route.operation.get("parameters", ())):
            good = Hostile("good", text(a_report(agency="H29.18")), (("content-type", route.media_type or JSON),))
            for fields in ([("idempotency-key", key)], [("idempotency-key", "a"), ("idempotency-key", "b")]):
                answer = await caller(route, good, *fields)
                assert (answer.status, b"Idempotency-Key" in answer.content) == (400, True)
    async with connected(gateway.engine) as connection:
        assert await connection.fetchval("SELECT count(*) FROM reports") == 1
