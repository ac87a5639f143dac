"""What is `ndxp`'s own: the adapter's address and the session. How sessions are kept is in `test_lgsp`, the rest in
`test_conformance`."""

import asyncio
import json
from typing import Any

import pytest

from answering import DISPATCH, TOKEN, answering, connected, needed_options, send_to, settings, upstream
from gateway.connectors.connector import InvalidConnectorOptions, InvalidConnectorSettings
from gateway.connectors.registry import open_connector
from gateway.domain.delivery import Event, OutcomeClass

NDXP = "ndxp"
OPTIONS: dict[str, Any] = needed_options(NDXP, "http://a.example/") or {}
QUERY = "?dstcode=VN:GOV:000.00.00.G22:reports&providerurl=http%3A%2F%2Fprovider.example%3A8080%2Fapi%3Fv%3D1"


def with_login(**changes: object) -> dict[str, Any]:
    return OPTIONS | {"login": OPTIONS["login"] | changes}


async def test_the_report_follows_the_sign_in_through_the_adapter_to_the_provider() -> None:
    async with upstream(answering("200 OK")) as system:
        outcome = await send_to(NDXP, f"http://127.0.0.1:{system.port}/XrdAdapter/")
    assert outcome.kind is OutcomeClass.delivered
    [(_, login)] = system.sign_ins
    assert json.loads(login) == {"username": "h26", "password": "key"}
    [(headers, body)] = system.requests
    assert system.targets == [f"/XrdAdapter/RestService/forward/reports/push{QUERY}"]
    assert body == DISPATCH.body
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == f"{DISPATCH.report}:accepted"


async def test_how_the_provider_is_signed_in_to_is_data() -> None:
    options = with_login(
        username_field="user",
        password_field="pass",
        fields={"agency": "000.00.00.H26"},
        token="/data/session~1id",
        header="X-Session",
        prefix="",
    )
    sign_in = answering("200 OK", body=b'{"data": {"session/id": "of.this.session"}}')
    async with upstream(answering("200 OK"), sign_in=sign_in) as system:
        outcome = await send_to(NDXP, system.url, options=options)
    assert outcome.kind is OutcomeClass.delivered
    [(_, login)] = system.sign_ins
    assert json.loads(login) == {"agency": "000.00.00.H26", "user": "h26", "pass": "key"}
    [(headers, _)] = system.requests
    assert headers["x-session"] == "of.this.session"
    assert "authorization" not in headers


async def test_a_session_is_renewed_before_it_ends_or_when_it_is_not_taken_any_more() -> None:
    async with (
        upstream(answering("200 OK")) as system,
        connected(NDXP, system.url, options=with_login(seconds=1)) as connector,
    ):
        await connector.send(DISPATCH)
        await connector.send(DISPATCH)
        assert len(system.sign_ins) == 1
        await asyncio.sleep(0.85)
        await connector.send(DISPATCH)
        await asyncio.sleep(0.05)
        assert len(system.sign_ins) == 2
        system.answer = answering("401 Unauthorized")
        outcome = await connector.send(DISPATCH)
    assert (outcome.kind, len(system.sign_ins)) == (OutcomeClass.refused, 3)


async def test_without_a_session_a_delivery_waits_and_nothing_that_was_said_is_kept() -> None:
    sign_in = answering("200 OK", body=b'{"error": "wrong password", "other": "a.token"}')
    async with upstream(answering("200 OK"), sign_in=sign_in) as system:
        outcome = await send_to(NDXP, system.url)
    assert (outcome.kind, outcome.status, outcome.reply) == (OutcomeClass.unreachable, 200, None)
    assert "without a token" in outcome.reason
    assert system.requests == []


async def test_neither_the_session_nor_the_password_is_kept_of_a_reply() -> None:
    async with upstream(answering("400 No", body=f"{TOKEN} top.secret".encode())) as system:
        outcome = await send_to(NDXP, system.url, {"password": "top.secret"})
    assert outcome.reply == "*** ***"


async def test_a_reminder_left_over_from_a_webhook_is_refused_and_not_sent() -> None:
    async with upstream(answering("200 OK")) as system:
        outcome = await send_to(NDXP, system.url, dispatch=DISPATCH._replace(report=None, event=Event.due))
    assert (outcome.kind, system.requests, system.sign_ins) == (OutcomeClass.refused, [], [])


@pytest.mark.parametrize("credentials", [{"username": ""}, {"password": ""}])
def test_without_name_or_password_it_does_not_open(credentials: dict[str, str]) -> None:
    with pytest.raises(InvalidConnectorSettings, match="are needed"):
        open_connector(settings(NDXP, "http://a.example/", credentials))


@pytest.mark.parametrize(
    ("options", "place"),
    [
        (OPTIONS | {"dstcode": "VN:GOV:G22:reports"}, "/options/dstcode"),
        (OPTIONS | {"dstcode": "VN:GOV:000.00.00.G22"}, "/options/dstcode"),
        (OPTIONS | {"provider_url": "provider.example"}, "/options/provider_url"),
        (OPTIONS | {"service": "/a/../b"}, "/options/service"),
        (OPTIONS | {"service": "no/slash"}, "/options/service"),
        (with_login(token="token"), "/options/login/token"),
        (with_login(header="Host"), "/options/login/header"),
        (with_login(header="X: 1\r\nY"), "/options/login/header"),
        (with_login(prefix="two words "), "/options/login/prefix"),
        (with_login(seconds=0), "/options/login/seconds"),
        (with_login(password="not here"), "/options/login/password"),
    ],
)
def test_every_wrong_option_is_named(options: dict[str, object], place: str) -> None:
    with pytest.raises(InvalidConnectorOptions) as refusal:
        open_connector(settings(NDXP, "http://a.example/", options=options))
    assert [each.pointer for each in refusal.value.places] == [place]
