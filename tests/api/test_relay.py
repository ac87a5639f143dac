"""Relay: what another gateway may bring along, and what it is not believed."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from joserfc.jwk import OKPKey
from uuid_utils.compat import uuid7

from factories import a_form, a_regime, a_report, a_row, a_small_report, body
from gateway.access.accounts import trust
from gateway.api.deps import Gateway
from gateway.evidence.receipts import Signer
from gateway.keys import SigningKeys
from gateway_under_test import (
    NOTHING,
    NewClient,
    accepted,
    add_account,
    asked,
    bearer,
    counts,
    findings,
    have,
    in_process,
    push,
    refused,
    shown,
)

ISSUER = "https://h26.example"
REGIMENTAL = a_regime(deadlines={"default": {"day": 25}}, lock_after_days=10, receiver="H26")
"""A report of the first quarter of 2026 is due on 25 March and locked since 5 April."""


def keys(kid: str = "h26-1") -> SigningKeys:
    made = OKPKey.generate_key("Ed25519")
    return SigningKeys((OKPKey.import_key(made.as_pem(private=True), {"kid": kid}),))


LOWER = keys()
Relay = Callable[..., dict[str, str]]


def public(signing: SigningKeys) -> list[dict[str, Any]]:
    return [{**key.as_dict(private=False), "kid": key.kid} for key in signing.all]


def relayed(document: dict[str, Any], at: str, signing: SigningKeys = LOWER, **claims: object) -> dict[str, str]:
    """What a gateway says of a report that it took first at a time; ``claims`` differ from the truth."""
    report = str(claims.get("report") or uuid7())
    said = {
        "report": report,
        "sha256": hashlib.sha256(body(document)).hexdigest(),
        "agency": document["agency"],
        "form": document["form"],
        "period": document["period"],
        "kind": "own",
        "revision": 1,
        "received_at": at,
        **claims,
    }
    receipt = Signer(signing, str(claims.get("iss", ISSUER))).sign(said, datetime.fromisoformat(at))
    return {"Report-Id": report, "Report-Received-At": at, "Report-Receipt": receipt}


@pytest.fixture
async def relay(gateway: Gateway) -> httpx.AsyncClient:
    """The client that stands for the gateway of Ha Noi."""
    account = await add_account(gateway.engine, ("reports:relay",), "H26")
    await trust(gateway.engine, account.id, ISSUER, public(LOWER))
    return in_process(gateway, headers=bearer(gateway.tokens, account.id, ("reports:relay",), "H26"))


@pytest.fixture
async def reader(client_for: NewClient) -> httpx.AsyncClient:
    return await client_for("reports:read", "reports:write", "reports:review", "catalog:write")


JANUARY, IN_TIME, TOO_LATE, LOCKED = (
    "2026-01-10T02:00:00.114200Z",
    "2026-03-20T02:00:00.114200Z",
    "2026-04-01T02:00:00.114200Z",
    "2026-06-01T02:00:00.114200Z",
)
QUARTER = a_report(period="2026-Q1")


async def bring(
    client: httpx.AsyncClient, document: dict[str, Any], at: str = IN_TIME, **claims: Any
) -> httpx.Response:
    headers = {"Content-Type": "application/json"} | relayed(document, at, **claims)
    return await client.post("/v1/reports", content=body(document), headers=headers)


async def test_a_relayed_report_keeps_its_id_and_its_first_receipt(
    relay: httpx.AsyncClient, reader: httpx.AsyncClient
) -> None:
    told = relayed(QUARTER, IN_TIME)
    answer = await push(relay, QUARTER, **told)
    assert (answer.status_code, answer.json()["id"]) == (201, told["Report-Id"])
    found = await asked(reader, f"/reports/{told['Report-Id']}")
    assert found["relayed"] == {"issuer": ISSUER, "received_at": IN_TIME, "receipt": told["Report-Receipt"]}
    again = await push(relay, QUARTER, **told)
    assert (again.status_code, again.json()["id"]) == (200, told["Report-Id"])


@pytest.mark.parametrize(("at", "late"), [(IN_TIME, False), (TOO_LATE, True)])
async def test_a_relayed_report_is_as_late_as_when_it_was_received_first(
    relay: httpx.AsyncClient, reader: httpx.AsyncClient, at: str, late: bool
) -> None:
    await have(reader, "/forms/TEST_01/versions/1", a_form())
    await have(reader, "/regimes/TEST", REGIMENTAL)
    answer = await bring(relay, a_small_report(period="2026-Q1"), at)
    assert (answer.status_code, answer.json().get("late")) == (201, late), answer.text


async def test_a_period_that_has_locked_since_takes_what_was_received_before_and_nothing_else(
    relay: httpx.AsyncClient, reader: httpx.AsyncClient
) -> None:
    await have(reader, "/forms/TEST_01/versions/1", a_form())
    await have(reader, "/regimes/TEST", REGIMENTAL)
    document = a_small_report(period="2026-Q1")
    refused(await push(reader, document), 409, "period-locked")
    refused(await bring(relay, document, LOCKED), 409, "period-locked")
    taken = shown(await bring(relay, document, IN_TIME))
    refused(await end(relay, taken["id"], "withdraw"), 409, "period-locked")
    refused(await end(relay, taken["id"], "withdraw", LOCKED), 409, "period-locked")
    assert (await end(relay, taken["id"], "withdraw", TOO_LATE)).json()["status"] == "withdrawn"


async def end(client: httpx.AsyncClient, report: str, how: str, at: str | None = None) -> httpx.Response:
    headers = {} if at is None else {"Report-Ended-At": at}
    return await client.post(f"/v1/reports/{report}/{how}", json={"reason": "nhầm kỳ"}, headers=headers)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"iss": "https://h29.example"}, "may not speak"),
        ({"signing": keys()}, "cannot be verified"),
        ({"sha256": "00" * 32}, "another report: sha256"),
        ({"agency": "H26.19"}, "another report: agency"),
        ({"form": "TTHC_06B"}, "another report: form"),
        ({"period": "2026-Q2"}, "another report: period"),
        ({"kind": "consolidation"}, "another report: kind"),
        ({"revision": "1"}, "wrong type"),
        ({"received_at": "yesterday"}, "wrong type"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
async def test_a_first_receipt_that_does_not_hold_is_not_believed(
    gateway: Gateway, relay: httpx.AsyncClient, wrong: dict[str, Any], words: str
) -> None:
    problem = refused(
        await push(relay, QUARTER, Accept_Language="en", **relayed(QUARTER, IN_TIME, **wrong)), 403, "untrusted-receipt"
    )
    assert words in problem["detail"]
    assert await counts(gateway.engine) == {**NOTHING, "log_pending": 1}  # that the issuer is trusted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Report-Id", "01990000-0000-7000-8000-000000000009"),
        ("Report-Received-At", JANUARY),
        ("Report-Receipt", "a.b.c"),
        ("Report-Receipt", "x"),
    ],
)
async def test_what_is_said_beside_a_receipt_must_be_what_it_says(
    relay: httpx.AsyncClient, name: str, value: str
) -> None:
    refused(await push(relay, QUARTER, **relayed(QUARTER, IN_TIME) | {name: value}), 403, "untrusted-receipt")


@pytest.mark.parametrize("name", ["Report-Id", "Report-Received-At", "Report-Receipt"])
async def test_a_relayed_report_comes_with_all_that_is_said_of_it(relay: httpx.AsyncClient, name: str) -> None:
    told = {header: value for header, value in relayed(QUARTER, IN_TIME).items() if header != name}
    assert refused(await push(relay, QUARTER, **told), 400, "malformed-request")["errors"][0]["pointer"] == name


async def test_without_the_scope_nobody_says_when_a_report_was_received(reader: httpx.AsyncClient) -> None:
    problem = refused(await bring(reader, QUARTER), 403, "forbidden")
    assert problem["scope"] == "reports:relay"


async def test_with_the_scope_to_relay_alone_nothing_is_pushed(relay: httpx.AsyncClient) -> None:
    assert refused(await push(relay, QUARTER), 403, "forbidden")["scope"] == "reports:write"


async def test_what_lies_outside_its_subtree_a_gateway_may_not_relay(relay: httpx.AsyncClient) -> None:
    refused(await bring(relay, a_report(period="2026-Q1", agency="H29.18")), 403, "forbidden")


async def test_a_relayed_report_that_rules_refuse_can_come_again_under_its_id(
    relay: httpx.AsyncClient, reader: httpx.AsyncClient
) -> None:
    wrong = a_report(period="2026-Q1", rows=[a_row(received_total=2401)])
    told = relayed(wrong, IN_TIME)
    answer = await push(relay, wrong, **told)
    assert findings(answer)
    assert answer.json()["report"] != told["Report-Id"]
    right = await push(relay, QUARTER, **relayed(QUARTER, IN_TIME, report=told["Report-Id"]))
    assert (right.status_code, right.json()["id"]) == (201, told["Report-Id"])


def revision(number: int, corrects: str | None) -> dict[str, Any]:
    rows = [a_row(received_online=2280 - number, received_offline=105 + number)]
    return a_report(period="2026-Q1", rows=rows, corrects=corrects, reason="sai")


async def test_a_correction_is_taken_though_the_revision_before_it_was_refused_here(
    relay: httpx.AsyncClient, reader: httpx.AsyncClient
) -> None:
    first = shown(await bring(relay, revision(1, None), revision=1))
    refused_here = str(uuid7())
    third = await bring(relay, revision(3, refused_here), revision=3)
    assert (third.status_code, third.json()["corrects"]) == (201, first["id"]), third.text
    assert (await asked(reader, f"/reports/{first['id']}"))["status"] == "superseded"


async def test_a_revision_that_a_later_one_has_passed_is_not_taken(relay: httpx.AsyncClient) -> None:
    await bring(relay, revision(3, str(uuid7())), revision=3)
    refused(await bring(relay, revision(2, str(uuid7())), revision=2), 409, "revision-conflict")


async def test_what_was_pushed_here_is_not_replaced_by_what_is_relayed(
    relay: httpx.AsyncClient, reader: httpx.AsyncClient
) -> None:
    await accepted(reader, revision(1, None))
    refused(await bring(relay, revision(2, None)), 409, "revision-conflict")


async def test_an_id_that_another_report_has_is_not_given_again(
    gateway: Gateway, relay: httpx.AsyncClient, reader: httpx.AsyncClient
) -> None:
    there = await accepted(reader, a_report(period="2026-Q1", agency="H26.19"))
    kept = await counts(gateway.engine)
    refused(await bring(relay, QUARTER, report=there["id"]), 409, "state-conflict")
    assert await counts(gateway.engine) == kept


async def test_a_gateway_tells_what_became_of_the_reports_that_it_brought_and_of_no_others(
    relay: httpx.AsyncClient, reader: httpx.AsyncClient
) -> None:
    brought = shown(await bring(relay, QUARTER))["id"]
    other = (await accepted(reader, a_report(period="2026-Q1", agency="H26.19")))["id"]
    for how, scope in (("return", "reports:review"), ("withdraw", "reports:write")):
        assert refused(await end(relay, other, how), 403, "forbidden")["scope"] == scope
        assert (await end(relay, brought, how)).status_code == 200


async def test_keys_that_were_trusted_once_still_verify_when_newer_ones_are_added(
    gateway: Gateway, client_for: NewClient
) -> None:
    account = await add_account(gateway.engine, ("reports:relay",), "H26")
    newer = keys("h26-2")
    assert await trust(gateway.engine, account.id, ISSUER, public(LOWER)) == 1
    assert await trust(gateway.engine, account.id, ISSUER, public(newer)) == 2
    client = in_process(gateway, headers=bearer(gateway.tokens, account.id, ("reports:relay",), "H26"))
    for number, signing in enumerate((LOWER, newer)):
        document = a_report(period="2026-Q1", agency=f"H26.{number + 18}")
        assert (await push(client, document, **relayed(document, IN_TIME, signing))).status_code == 201


async def test_a_time_of_receipt_that_lies_ahead_is_no_excuse(
    relay: httpx.AsyncClient, reader: httpx.AsyncClient
) -> None:
    answer = await bring(relay, QUARTER, "2097-01-01T00:00:00.000000Z")
    assert answer.status_code == 201
    assert answer.json()["late"] is True
    assert datetime.fromisoformat(answer.json()["received_at"]) < datetime.now(UTC)
