"""What is `lgsp`'s own: how tokens are got, kept, renewed and replaced. The rest is in `test_conformance`."""

import asyncio
import json
import time
from base64 import b64encode
from datetime import timedelta
from typing import Any

import pytest

from answering import (
    DISPATCH,
    PATIENT,
    SHORT,
    TOKEN,
    Answer,
    answering,
    connected,
    needed_options,
    saying,
    send_to,
    settings,
    upstream,
)
from gateway.connectors.connector import InvalidConnectorOptions, InvalidConnectorSettings
from gateway.connectors.registry import open_connector
from gateway.domain.delivery import Event, Outcome, OutcomeClass

LGSP = "lgsp"


def granting(token: str = TOKEN, **more: object) -> Answer:
    return answering("200 OK", body=json.dumps({"access_token": token, **more}).encode())


def in_turn(*answers: Answer) -> Answer:
    """One answer after the other, the last of them for ever."""
    left = list(answers)

    async def answer(writer: asyncio.StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(writer)

    return answer


async def signed_in_with(sign_in: Answer, deadline: float = PATIENT) -> Outcome:
    """What becomes of a delivery where signing in goes like this; nothing of it may be sent."""
    async with upstream(answering("200 OK"), sign_in=sign_in) as system:
        outcome = await send_to(LGSP, system.url, deadline=deadline)
    assert system.requests == []
    return outcome


async def test_a_report_goes_with_a_token_got_for_the_client_s_name_and_secret() -> None:
    async with upstream(answering("201 Created")) as system:
        options = {**(needed_options(LGSP, system.url) or {}), "scope": "reports:write am_default"}
        credentials = {"client_id": "H26 gateway", "client_secret": "a:b/c"}
        outcome = await send_to(LGSP, system.url, credentials, options=options)
    assert outcome.kind is OutcomeClass.delivered
    [(asked, form)] = system.sign_ins
    assert asked["authorization"] == "Basic " + b64encode(b"H26+gateway:a%3Ab%2Fc").decode()
    assert asked["content-type"] == "application/x-www-form-urlencoded"
    assert form == b"grant_type=client_credentials&scope=reports%3Awrite+am_default"
    [(headers, body)] = system.requests
    assert body == DISPATCH.body
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["idempotency-key"] == f"{DISPATCH.report}:accepted"
    assert headers["content-digest"].startswith("sha-256=:")


async def test_many_attempts_at_once_ask_for_one_token() -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        await granting(expires_in=3600)(writer)

    async with upstream(answering("200 OK"), sign_in=slow) as system, connected(LGSP, system.url) as connector:
        outcomes = await asyncio.gather(*(connector.send(DISPATCH) for _ in range(40)))
    assert {outcome.kind for outcome in outcomes} == {OutcomeClass.delivered}
    assert (len(system.requests), len(system.sign_ins)) == (40, 1)


@pytest.mark.parametrize("lifetime", [{"expires_in": 3600}, {"expires_in": "3600"}, {}, {"expires_in": None}])
async def test_a_token_is_kept_as_long_as_it_holds(lifetime: dict[str, Any]) -> None:
    async with (
        upstream(answering("200 OK"), sign_in=granting(**lifetime)) as system,
        connected(LGSP, system.url) as connector,
    ):
        for _ in range(3):
            await connector.send(DISPATCH)
    assert len(system.sign_ins) == 1


async def test_a_token_is_renewed_before_it_ends_and_nothing_waits_for_it() -> None:
    sign_in = in_turn(granting("first", expires_in=1), granting("second", expires_in=3600))
    async with upstream(answering("200 OK"), sign_in=sign_in) as system, connected(LGSP, system.url) as connector:
        await connector.send(DISPATCH)
        await asyncio.sleep(0.82)
        await connector.send(DISPATCH)
        await asyncio.sleep(0.05)
        await connector.send(DISPATCH)
    assert [headers["authorization"][7:] for headers, _ in system.requests] == ["first", "first", "second"]
    assert len(system.sign_ins) == 2


async def test_a_token_that_still_holds_is_used_on_where_renewing_it_fails() -> None:
    sign_in = in_turn(granting("first", expires_in=1), answering("503 No"))
    async with upstream(answering("200 OK"), sign_in=sign_in) as system, connected(LGSP, system.url) as connector:
        await connector.send(DISPATCH)
        await asyncio.sleep(0.85)
        outcome = await connector.send(DISPATCH)
        await asyncio.sleep(0.2)
        ended = await connector.send(DISPATCH)
    assert (outcome.kind, len(system.sign_ins)) == (OutcomeClass.delivered, 3)
    assert (ended.kind, ended.status) == (OutcomeClass.unreachable, 503)
    assert len(system.requests) == 2


async def test_a_token_that_is_not_taken_any_more_is_replaced_within_the_attempt() -> None:
    answer = in_turn(answering("200 OK"), answering("401 Unauthorized"), answering("200 OK"))
    sign_in = in_turn(granting("first"), granting("second"))
    async with upstream(answer, sign_in=sign_in) as system, connected(LGSP, system.url) as connector:
        await connector.send(DISPATCH)
        outcome = await connector.send(DISPATCH)
    assert outcome.kind is OutcomeClass.delivered
    bearers = [headers["authorization"] for headers, _ in system.requests]
    assert bearers == ["Bearer first", "Bearer first", "Bearer second"]


async def test_many_attempts_whose_token_is_not_taken_any_more_ask_for_one_other() -> None:
    tokens = iter(range(100))

    async def sign_in(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        await granting(f"token-{next(tokens)}")(writer)

    async with upstream(answering("200 OK"), sign_in=sign_in) as system, connected(LGSP, system.url) as connector:

        async def only_the_second(writer: asyncio.StreamWriter) -> None:
            is_old = system.requests[-1][0]["authorization"] == "Bearer token-0"
            await answering("401 Unauthorized" if is_old else "200 OK")(writer)

        await connector.send(DISPATCH)
        system.answer = only_the_second
        outcomes = await asyncio.gather(*(connector.send(DISPATCH) for _ in range(10)))
    assert {outcome.kind for outcome in outcomes} == {OutcomeClass.delivered}
    assert len(system.sign_ins) == 2


async def test_a_new_token_that_is_not_taken_either_is_a_refusal_and_is_not_kept() -> None:
    no = answering("401 Unauthorized", body=b"no")
    async with upstream(no) as system, connected(LGSP, system.url) as connector:
        outcome = await connector.send(DISPATCH)
        assert len(system.requests) == 2
        system.answer = answering("200 OK")
        await connector.send(DISPATCH)
    assert (outcome.kind, outcome.status, outcome.reply) == (OutcomeClass.refused, 401, "no")
    assert len(system.sign_ins) == 3


async def test_the_second_try_has_no_more_time_than_the_attempt_had() -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(SHORT * 0.6)
        await answering("401 Unauthorized")(writer)

    started = time.monotonic()
    async with upstream(slow) as system:
        outcome = await send_to(LGSP, system.url, deadline=SHORT)
    assert outcome.kind is OutcomeClass.ambiguous
    assert time.monotonic() - started < SHORT + 1


@pytest.mark.parametrize(
    ("sign_in", "status"),
    [
        (answering("401 Unauthorized", body=b'{"error": "invalid_client"}'), 401),
        (answering("400 Bad Request"), 400),
        (answering("302 Found", "Location: /login"), 302),
        (answering("500 Oh"), 500),
        (answering("200 OK", body=b"<html>"), 200),
        (answering("200 OK", body=b"[]"), 200),
        (answering("200 OK", body=b'{"access_token": 1}'), 200),
        (answering("200 OK", body=b'{"access_token": "two\\r\\nlines: 1"}'), 200),
        (saying(b"not HTTP\r\n\r\n"), None),
    ],
    ids=["401", "400", "302", "500", "html", "array", "number", "two-lines", "not-http"],
)
async def test_where_there_is_no_token_a_delivery_waits_and_says_why(sign_in: Answer, status: int | None) -> None:
    outcome = await signed_in_with(sign_in)
    assert (outcome.kind, outcome.status) == (OutcomeClass.unreachable, status)
    assert outcome.reason.startswith("not sent: could not sign in: ")
    assert str(status or "") in outcome.reason


async def test_a_token_url_that_stalls_leaves_the_delivery_surely_unsent() -> None:
    outcome = await signed_in_with(lambda _: asyncio.sleep(60), deadline=SHORT)
    assert outcome.kind is OutcomeClass.unreachable
    assert outcome.reason.startswith("not sent: ")


async def test_a_token_url_that_asks_to_wait_is_waited_for() -> None:
    outcome = await signed_in_with(answering("429 Too Many Requests", "Retry-After: 7"))
    assert (outcome.kind, outcome.retry_after) == (OutcomeClass.throttled, timedelta(seconds=7))


async def test_neither_the_token_nor_what_it_was_got_with_is_kept_of_a_reply() -> None:
    basic = b64encode(b"gateway:key").decode()
    async with upstream(answering("400 No", body=f"{TOKEN} {basic}".encode())) as system:
        outcome = await send_to(LGSP, system.url)
    assert outcome.reply == "*** ***"
    echo = await signed_in_with(answering("400 No", body=basic.encode()))
    assert echo.reply == "***"


async def test_a_reminder_left_over_from_a_webhook_is_refused_and_not_sent() -> None:
    async with upstream(answering("200 OK")) as system:
        outcome = await send_to(LGSP, system.url, dispatch=DISPATCH._replace(report=None, event=Event.due))
    assert (outcome.kind, system.requests, system.sign_ins) == (OutcomeClass.refused, [], [])


async def test_a_private_token_url_is_not_connected_to() -> None:
    async with upstream(answering("200 OK")) as system:
        outcome = await send_to(LGSP, "http://1.1.1.1/reports", private=False, options=needed_options(LGSP, system.url))
    assert outcome.kind is OutcomeClass.unreachable
    assert "may not connect to" in outcome.reason
    assert system.sign_ins == []


@pytest.mark.parametrize("credentials", [{"client_id": ""}, {"client_secret": ""}])
def test_without_name_or_secret_it_does_not_open(credentials: dict[str, str]) -> None:
    with pytest.raises(InvalidConnectorSettings, match="are needed"):
        open_connector(settings(LGSP, "http://a.example/", credentials))


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"other": 1}, "/options/other"),
        ({"token_url": 1}, "/options/token_url"),
        ({"token_url": "ftp://a.example/"}, "/options/token_url"),
        ({"token_url": "http://user:pw@a.example/"}, "/options/token_url"),
        ({"token_url": "http://a.example/", "scope": 'a"b'}, "/options/scope"),
    ],
)
def test_every_wrong_option_is_named(options: dict[str, object], place: str) -> None:
    with pytest.raises(InvalidConnectorOptions) as refusal:
        open_connector(settings(LGSP, "http://a.example/", options=options))
    assert place in [each.pointer for each in refusal.value.places]
