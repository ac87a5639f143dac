"""Kind `gateway`: what is sent to the one above, and what its receipt has to say."""

import asyncio
import json
from datetime import timedelta
from uuid import UUID

import pytest
from joserfc.jwk import OKPKey

from answering import (
    ABOVE,
    AT,
    DISPATCH,
    SIGN_INS,
    TOKEN,
    Answer,
    acknowledged,
    answering,
    connected,
    published,
    send_to,
    upstream,
)
from gateway.connectors.connector import Answers, Follows, UpstreamSilent
from gateway.domain.delivery import Event, OutcomeClass

TAKEN = answering("201 Created", body=acknowledged())


async def test_a_report_goes_as_it_was_pushed_with_what_its_first_receipt_says() -> None:
    async with upstream(TAKEN) as system:
        told = DISPATCH._replace(media_type="text/csv", query="form=TTHC_06A&part=2")
        outcome = await send_to("gateway", system.url, dispatch=told)
        [(headers, body)] = system.requests
        [(signing_in, form)] = system.sign_ins[:1]
    assert outcome.kind is OutcomeClass.delivered
    assert system.targets == ["/reports/v1/reports?form=TTHC_06A&part=2"]
    assert body == DISPATCH.body
    assert headers["content-type"] == "text/csv"
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["report-id"] == str(DISPATCH.report)
    assert headers["report-received-at"] == "2026-07-20T07:00:00.000000Z"
    assert headers["report-receipt"] == "the.first.receipt"
    assert "idempotency-key" not in headers  # a report that was refused may come again, and be judged again
    assert (signing_in["authorization"].split()[0], form) == ("Basic", b"grant_type=client_credentials")


@pytest.mark.parametrize(("event", "end"), [(Event.returned, "return"), (Event.withdrawn, "withdraw")])
async def test_what_became_of_a_report_is_told_of_the_same_id(event: Event, end: str) -> None:
    told = DISPATCH._replace(event=event, body=b'{"reason":"sai"}', occurred_at=AT - timedelta(minutes=1))
    async with upstream(answering("200 OK", body=b"{}")) as system:
        outcome = await send_to("gateway", system.url, dispatch=told)
        [(headers, body)] = system.requests
    assert outcome.kind is OutcomeClass.delivered
    assert system.targets == [f"/reports/v1/reports/{DISPATCH.report}/{end}"]
    assert (headers["report-ended-at"], body) == ("2026-07-20T07:59:00.000000Z", b'{"reason":"sai"}')


async def test_the_receipt_of_the_one_above_is_verified_and_kept() -> None:
    answer = acknowledged()
    async with upstream(answering("201 Created", body=answer)) as system:
        outcome = await send_to("gateway", system.url)
    assert outcome.receipt == json.loads(answer)["receipt"]


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (acknowledged(report="01990000-0000-7000-8000-000000000009"), OutcomeClass.refused, "another report (01990000"),
        (acknowledged(sha256="00" * 32), OutcomeClass.refused, "another sha256"),
        (acknowledged(OKPKey.generate_key("Ed25519", {"kid": "above-1"})), OutcomeClass.refused, "not with a receipt"),
        (b'{"receipt":"a.b.c"}', OutcomeClass.refused, "not with a receipt that holds"),
        (b'{"receipt":null}', OutcomeClass.ambiguous, "not with a receipt"),
        (b"[]", OutcomeClass.ambiguous, "not with a receipt"),
        (b"taken, thank you", OutcomeClass.ambiguous, "not with a receipt"),
    ],
)
async def test_without_a_receipt_that_holds_nothing_is_delivered(answer: bytes, kind: OutcomeClass, words: str) -> None:
    async with upstream(answering("201 Created", body=answer)) as system:
        outcome = await send_to("gateway", system.url)
    assert (outcome.kind, outcome.receipt) == (kind, None)
    assert words in outcome.reason


async def test_keys_that_are_new_above_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = OKPKey.import_key(OKPKey.generate_key("Ed25519").as_pem(private=True), {"kid": "above-2"})
    answers = {"now": acknowledged()}

    async def answer(writer: asyncio.StreamWriter) -> None:
        await answering("200 OK", body=answers["now"])(writer)

    async with upstream(answer) as system, connected("gateway", system.url) as connector:
        kinds = [(await connector.send(DISPATCH)).kind for _ in range(2)]
        answers["now"] = acknowledged(newer)
        kinds.append((await connector.send(DISPATCH)).kind)  # its key is not published
        monkeypatch.setitem(SIGN_INS, "/jwks.json", published(ABOVE, newer))
        kinds += [(await connector.send(DISPATCH)).kind for _ in range(2)]
        asked = [headers for headers, body in system.sign_ins if not body]
    assert [kind.value for kind in kinds] == ["delivered", "delivered", "refused", "delivered", "delivered"]
    assert len(asked) == 3


async def test_a_client_that_may_not_relay_waits_until_it_may() -> None:
    async with upstream(answering("403 Forbidden", body=b'{"title":"no"}')) as system:
        outcome = await send_to("gateway", system.url)
    assert outcome.kind is OutcomeClass.unreachable
    assert "does not let" in outcome.reason


PAGE = {
    "items": [{"report": {"id": str(DISPATCH.report)}, "reason": "sai"}],
    "next": "MTA",
    "more": False,
}


async def test_it_tells_what_was_returned_above() -> None:
    async with (
        upstream(answering("200 OK", body=json.dumps(PAGE).encode())) as system,
        connected("gateway", system.url) as connector,
    ):
        assert isinstance(connector, Follows)
        found = await connector.returns("OQ")
    assert [(each.report, each.reason) for each in found.items] == [(DISPATCH.report, "sai")]
    assert (found.cursor, found.has_more) == ("MTA", False)
    assert system.targets == ["/reports/v1/changes?change=returned&limit=1000&cursor=OQ"]


@pytest.mark.parametrize(
    "answer",
    [
        answering("200 OK", body=b"[]"),
        answering("200 OK", body=b"{"),
        answering("200 OK", body=b'{"items":[{}],"next":"a","more":false}'),
        answering("404 Not Found", body=b"{}"),
        answering("500 Internal Server Error"),
    ],
)
async def test_what_cannot_be_read_of_what_was_returned_or_held_is_said(answer: Answer) -> None:
    async with upstream(answer) as system, connected("gateway", system.url) as connector:
        assert isinstance(connector, Follows)
        with pytest.raises(UpstreamSilent):
            await connector.returns(None)
        assert isinstance(connector, Answers)
        with pytest.raises(UpstreamSilent):
            [each async for each in connector.holdings(None, None)]


async def test_it_tells_what_is_held_above() -> None:
    item = {"id": "01982222-0000-7000-8000-000000000002", "sha256": "ab", "status": "accepted"}
    body = json.dumps({"items": [item], "next": None}).encode()
    async with upstream(answering("200 OK", body=body)) as system, connected("gateway", system.url) as connector:
        assert isinstance(connector, Answers)
        found = [each async for each in connector.holdings("TTHC_06A", "2026-Q1")]
    assert [(each.report, each.sha256, each.status) for each in found] == [(UUID(item["id"]), "ab", "accepted")]
    assert system.targets == ["/reports/v1/reports?limit=1000&form=TTHC_06A&period=2026-Q1"]
