"""What is `http_json`'s own: what it sends, and what it makes of a refusal. The rest is in `test_conformance`."""

import hashlib
from base64 import b64decode

import pytest

from answering import AT, DISPATCH, KEY, SECRET, answering, outcome_with, send_to, upstream
from gateway.connectors.connector import ConnectorSettings
from gateway.connectors.registry import UnknownConnectorKind, open_connector
from gateway.connectors.signing import signature
from gateway.domain.delivery import Event, OutcomeClass

HTTP_JSON = "http_json"


async def test_the_body_and_what_identifies_it_reach_the_upstream_unchanged() -> None:
    async with upstream(answering("201 Created", body=b"{}")) as system:
        outcome = await send_to(HTTP_JSON, system.url, {"signing_secret": SECRET, "bearer": "a.token"})
    [(headers, body)] = system.requests
    assert outcome.kind is OutcomeClass.delivered
    assert body == DISPATCH.body
    assert headers["host"] == f"127.0.0.1:{system.port}"
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == f"{DISPATCH.report}:accepted"
    assert b64decode(headers["content-digest"][9:-1]) == hashlib.sha256(DISPATCH.body).digest()
    assert headers["webhook-id"] == str(DISPATCH.delivery)
    assert headers["webhook-timestamp"] == str(int(AT.timestamp()))
    assert headers["webhook-signature"] == signature(KEY, str(DISPATCH.delivery), AT, DISPATCH.body)
    assert headers["authorization"] == "Bearer a.token"
    assert headers["accept-encoding"] == "identity"


async def test_without_credentials_nothing_is_signed_or_authorized() -> None:
    async with upstream(answering("200 OK")) as system:
        await send_to(HTTP_JSON, system.url)
    [(headers, _)] = system.requests
    assert headers.keys().isdisjoint({"webhook-signature", "authorization", "cookie"})


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 422])
async def test_what_the_upstream_says_no_to_is_left_to_a_person(status: int) -> None:
    outcome = await outcome_with(HTTP_JSON, answering(f"{status} No", body=b"why"))
    assert (outcome.kind, outcome.status, outcome.reply) == (OutcomeClass.refused, status, "why")


async def test_a_reminder_left_over_from_a_webhook_is_refused_and_not_sent() -> None:
    async with upstream(answering("200 OK")) as system:
        reminder = DISPATCH._replace(report=None, event=Event.due)
        outcome = await send_to(HTTP_JSON, system.url, dispatch=reminder)
    assert (outcome.kind, outcome.status) == (OutcomeClass.refused, None)
    assert system.requests == []


def test_an_unknown_kind_does_not_open() -> None:
    with pytest.raises(UnknownConnectorKind, match="pigeon"):
        open_connector(ConnectorSettings(name="x", kind="pigeon", url="http://a.example/"))
