"""The sandbox behind its real server, with the real connector or with a careless sender in front of it."""

import asyncio
import json
import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from gateway.connectors.connector import Connector, ConnectorSettings, Dispatch
from gateway.connectors.http_json import content_digest
from gateway.connectors.registry import open_connector
from gateway.connectors.signing import signature
from gateway.domain.delivery import Event, OutcomeClass
from gateway.sandbox.server import sandbox_app, sandbox_server

KEY = b"a signing key of 32 bytes, or so"
SECRET = "whsec_" + b64encode(KEY).decode()
REPORT = UUID("01982222-0000-7000-8000-000000000002")
DELIVERY = UUID("01981111-0000-7000-8000-000000000001")
SHOWN = {
    "id": str(REPORT),
    "status": "accepted",
    "form": "TTHC_06A",
    "agency": "H26.18",
    "period": "2026-Q3",
    "revision": 1,
    "sha256": "ab" * 32,
    "rows": [],
}
BODY = json.dumps(SHOWN).encode()


@dataclass(frozen=True)
class Running:
    """A sandbox at work: a client for its own routes, and a connector that sends to it."""

    client: httpx.AsyncClient
    connector: Connector

    async def behave(self, **behaviour: object) -> None:
        (await self.client.post("/behaviour", json=behaviour)).raise_for_status()

    async def received(self, **query: str) -> list[dict[str, object]]:
        items: list[dict[str, object]] = (await self.client.get("/received", params=query)).json()["items"]
        return items


@asynccontextmanager
async def sandbox(
    secret: str | None = None,
    record: Path | None = None,
    credentials: Mapping[str, str] | None = None,
    deadline: float = 10,
) -> AsyncIterator[Running]:
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = sandbox_server(secret=secret, record=record)
    serving = asyncio.create_task(server.serve([listening]))
    connector = open_connector(
        ConnectorSettings("national", "http_json", f"{url}/reports", True, credentials, deadline)
    )
    try:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            yield Running(client, connector)
    finally:
        await connector.aclose()
        server.should_exit = True
        await serving
        listening.close()


def dispatch(event: Event = Event.accepted, body: bytes = BODY, report: UUID = REPORT) -> Dispatch:
    now = datetime.now(UTC)
    return Dispatch(DELIVERY, report, event, body, "application/json", now, now)


def headers(body: bytes = BODY, **changes: str) -> dict[str, str]:
    """What a careful sender sends with a body, but for the changes; an empty value leaves a header out."""
    now = datetime.now(UTC)
    sent = {
        "Content-Digest": content_digest(body),
        "Idempotency-Key": f"{REPORT}:accepted",
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature(KEY, "msg_1", now, body),
    } | {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in sent.items() if value}


async def test_a_report_arrives_once_and_its_repeats_are_counted(tmp_path: Path) -> None:
    record = tmp_path / "arrivals.jsonl"
    async with sandbox(record=record) as running:
        outcomes = [await running.connector.send(dispatch()) for _ in range(3)]
        [arrival] = await running.received()
    assert [outcome.status for outcome in outcomes] == [201, 200, 200]
    assert [json.loads(outcome.reply or "")["duplicate"] for outcome in outcomes] == [False, True, True]
    assert {name: arrival[name] for name in ("id", "event", "agency", "form", "period", "revision", "count")} == {
        "id": str(REPORT),
        "event": "accepted",
        "agency": "H26.18",
        "form": "TTHC_06A",
        "period": "2026-Q3",
        "revision": 1,
        "count": 3,
    }
    assert (arrival["report_sha256"], len(str(arrival["sha256"]))) == ("ab" * 32, 64)
    assert str(arrival["first_at"]) < str(arrival["last_at"])
    assert [json.loads(line)["count"] for line in record.read_text().splitlines()] == [1, 2, 3]


async def test_each_event_of_a_report_is_an_arrival_and_the_newest_is_listed_first() -> None:
    other = UUID(int=REPORT.int + 1)
    async with sandbox() as running:
        await running.connector.send(dispatch())
        for event in (Event.returned, Event.withdrawn):
            body = json.dumps({"event": event, "report": str(REPORT), "reason": "sai số liệu"}).encode()
            assert (await running.connector.send(dispatch(event, body))).status == 201
        await running.connector.send(dispatch(body=json.dumps({"id": str(other)}).encode(), report=other))
        listed = [(one["id"], one["event"]) for one in await running.received()]
        of_one = await running.received(report=str(REPORT))
        first = (await running.client.get("/received", params={"limit": "1"})).json()
        await running.client.delete("/received")
        left = (await running.client.get("/received")).json()
    assert listed == [
        (str(other), "accepted"),
        (str(REPORT), "withdrawn"),
        (str(REPORT), "returned"),
        (str(REPORT), "accepted"),
    ]
    assert len(of_one) == 3
    assert (len(first["items"]), first["total"]) == (1, 4)
    assert left == {"items": [], "total": 0}


async def test_a_key_that_comes_back_with_another_body_is_a_conflict() -> None:
    async with sandbox() as running:
        await running.connector.send(dispatch())
        outcome = await running.connector.send(dispatch(body=BODY.replace(b"H26.18", b"H26.19")))
        [arrival] = await running.received()
    assert (outcome.kind, outcome.status) == (OutcomeClass.refused, 409)
    assert (arrival["agency"], arrival["count"]) == ("H26.18", 1)


async def test_with_a_secret_only_reports_signed_with_it_are_taken() -> None:
    other = "whsec_" + b64encode(b"another signing key of 32 bytes.").decode()
    async with sandbox(SECRET, credentials={"signing_secret": SECRET}) as running:
        assert (await running.connector.send(dispatch())).status == 201
    for credentials in (None, {"signing_secret": other}):
        async with sandbox(SECRET, credentials=credentials) as running:
            assert (await running.connector.send(dispatch())).status == 401
            assert await running.received() == []


@pytest.mark.parametrize(
    ("changes", "body", "status", "reason"),
    [
        ({"Content_Digest": ""}, BODY, 400, "Content-Digest"),
        ({"Content_Digest": content_digest(b"other")}, BODY, 400, "Content-Digest"),
        ({"Idempotency_Key": ""}, BODY, 400, "Idempotency-Key"),
        ({"Idempotency_Key": f"{REPORT}:returned"}, BODY, 400, "Idempotency-Key"),
        ({"Idempotency_Key": f"{DELIVERY}:accepted"}, BODY, 400, "Idempotency-Key"),
        ({"webhook_id": ""}, BODY, 400, "webhook-id"),
        ({"webhook_timestamp": ""}, BODY, 400, "webhook-timestamp"),
        ({"webhook_timestamp": "1e9"}, BODY, 400, "webhook-timestamp"),
        ({"webhook_timestamp": "9" * 5000}, BODY, 400, "webhook-timestamp"),
        (
            {"webhook_timestamp": str(int((datetime.now(UTC) - timedelta(hours=1)).timestamp()))},
            BODY,
            400,
            "5 min",
        ),
        (
            {"webhook_timestamp": str(int((datetime.now(UTC) + timedelta(hours=1)).timestamp()))},
            BODY,
            400,
            "5 min",
        ),
        ({"webhook_signature": "v1,AAAA v1a,BBBB"}, BODY, 401, "webhook-signature"),
        ({"webhook_id": "msg_2"}, BODY, 401, "webhook-signature"),
        ({}, b"not JSON", 400, "strict JSON"),
        ({}, b'{"id": 1, "id": 2}', 400, "strict JSON"),
        ({}, b'{"agency": "H26"}', 400, "id"),
        ({}, b'{"event": "lost", "report": "x"}', 400, "report, event"),
        ({}, b"[]", 400, "the body"),
    ],
)
async def test_what_is_not_as_agreed_is_turned_away_with_the_reason(
    changes: dict[str, str], body: bytes, status: int, reason: str
) -> None:
    transport = httpx.ASGITransport(sandbox_app(SECRET))
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
        answer = await client.post("/reports", content=body, headers=headers(body, **changes))
        received = (await client.get("/received")).json()
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert reason in answer.json()["detail"]
    assert received["total"] == 0


async def test_one_of_several_signatures_is_enough_while_a_secret_is_changed() -> None:
    transport = httpx.ASGITransport(sandbox_app(SECRET))
    sent = headers()
    sent["webhook-signature"] = f"v1,AAAA {sent['webhook-signature']}"
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
        assert (await client.post("/reports", content=BODY, headers=sent)).status_code == 201


@pytest.mark.parametrize(
    ("behaviour", "kind", "status", "retry_after"),
    [
        ({"mode": "refuse"}, OutcomeClass.refused, 422, None),
        ({"mode": "refuse", "status": 500}, OutcomeClass.unreachable, 500, None),
        ({"mode": "throttle"}, OutcomeClass.throttled, 429, 1),
        ({"mode": "throttle", "status": 503, "retry_after": 7}, OutcomeClass.throttled, 503, 7),
        ({"mode": "throttle", "retry_after": 0}, OutcomeClass.throttled, 429, 0),
        ({"mode": "throttle", "retry_after": "soon"}, OutcomeClass.throttled, 429, None),
        ({"mode": "drop"}, OutcomeClass.ambiguous, None, None),
    ],
)
async def test_a_behaviour_holds_for_its_count_and_the_report_is_then_taken(
    behaviour: dict[str, object], kind: OutcomeClass, status: int | None, retry_after: int | None
) -> None:
    async with sandbox() as running:
        await running.behave(**behaviour, count=2)
        outcomes = [await running.connector.send(dispatch()) for _ in range(2)]
        kept = await running.received()
        then = await running.connector.send(dispatch())
    wait = None if retry_after is None else timedelta(seconds=retry_after)
    assert {(outcome.kind, outcome.status, outcome.retry_after) for outcome in outcomes} == {(kind, status, wait)}
    assert kept == []
    assert (then.kind, then.status) == (OutcomeClass.delivered, 201)


async def test_a_stall_keeps_the_report_without_saying_so_and_the_repeat_is_a_duplicate() -> None:
    async with sandbox(deadline=0.5) as running:
        await running.behave(mode="stall", count=1)
        stalled = await running.connector.send(dispatch())
        repeated = await running.connector.send(dispatch())
        [arrival] = await running.received()
    assert (stalled.kind, stalled.status) == (OutcomeClass.ambiguous, None)
    assert (repeated.kind, repeated.status) == (OutcomeClass.delivered, 200)
    assert arrival["count"] == 2


async def test_a_stall_shorter_than_the_patience_of_the_sender_ends_in_an_answer() -> None:
    async with sandbox() as running:
        await running.behave(mode="stall", seconds=0.1)
        assert (await running.connector.send(dispatch())).status == 201


async def test_a_behaviour_is_shown_and_lasts_until_another_is_set() -> None:
    async with sandbox() as running:
        await running.behave(mode="refuse")
        for _ in range(3):
            assert (await running.connector.send(dispatch())).status == 422
        assert (await running.client.get("/behaviour")).json()["mode"] == "refuse"
        await running.behave(mode="accept")
        assert (await running.connector.send(dispatch())).status == 201
        assert (await running.client.post("/behaviour", json={"mode": "explode"})).status_code == 422


async def test_it_says_what_it_is_and_that_it_is_alive() -> None:
    async with sandbox(SECRET) as running:
        about = (await running.client.get("/")).json()
        alive = await running.client.get("/healthz")
    assert "testing only" in about["en"]
    assert about["signature_required"] is True
    assert alive.status_code == 200
