"""Pushing again: with a key or without one, a report is stored once and the sender learns the same."""

import asyncio

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from factories import a_balanced_row, a_report, a_row, body
from gateway.api.deps import Gateway
from gateway.app import build_app, build_gateway
from gateway_under_test import NOTHING, NewClient, accepted, counts, push, refused, shown

SAME = ("location", "content-type")


def whole(answer: httpx.Response) -> tuple[int, bytes, list[str | None]]:
    return answer.status_code, answer.content, [answer.headers.get(name) for name in SAME]


async def test_a_repeated_push_is_answered_byte_for_byte(province: httpx.AsyncClient, engine: AsyncEngine) -> None:
    first = await push(province, a_report(), key="2098-Q3/1")
    before = await counts(engine)
    again = await push(province, a_report(), key="2098-Q3/1")
    assert first.status_code == 201
    assert whole(again) == whole(first)
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert await counts(engine) == before


async def test_a_rejection_is_replayed_too_in_the_language_it_was_given_in(
    province: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    wrong = a_report(rows=[a_row(received_total=2401)])
    first = await push(province, wrong, key="k", Accept_Language="en")
    again = await push(province, wrong, key="k", Accept_Language="vi")
    assert first.status_code == 422
    assert whole(again) == whole(first)
    assert again.headers["idempotent-replayed"] == "true"
    assert (await counts(engine))["reports"] == 1


async def test_a_replay_outlives_what_became_of_the_report(province: httpx.AsyncClient) -> None:
    first = await push(province, a_report(), key="k")
    await province.post(f"{first.headers['location']}/withdraw", json={"reason": "Nhầm kỳ"})
    again = await push(province, a_report(), key="k")
    assert whole(again) == whole(first)


async def test_a_key_used_for_another_body_is_refused(province: httpx.AsyncClient, engine: AsyncEngine) -> None:
    await push(province, a_report(), key="k")
    for other in (a_report(period="2099-Q1"), body(a_report()) + b" "):
        refused(await push(province, other, key="k"), 422, "idempotency-key-reused")
    assert (await counts(engine))["reports"] == 1


async def test_a_key_used_with_another_query_is_refused(province: httpx.AsyncClient) -> None:
    await push(province, a_report(), key="k")
    refused(await push(province, a_report(), key="k", to="?a=1"), 422, "idempotency-key-reused")


async def test_a_key_belongs_to_its_client(client_for: NewClient, engine: AsyncEngine) -> None:
    one, other = await client_for(agency="H26"), await client_for(agency="H26")
    await accepted(one, a_report(), key="k")
    answer = await push(other, a_report(period="2099-Q1", rows=[a_balanced_row(carried_over=25)]), key="k")
    assert (answer.status_code, "idempotent-replayed" in answer.headers) == (201, False)
    assert (await counts(engine))["idempotency_keys"] == 2


async def test_a_key_is_not_used_up_by_what_leaves_no_trace(province: httpx.AsyncClient, engine: AsyncEngine) -> None:
    for refusal in (b"{", a_report(form="TTHC_99"), a_report(agency="H29"), a_report(classification="secret")):
        assert (await push(province, refusal, key="k")).status_code in {400, 403, 404}
    assert await counts(engine) == NOTHING
    await accepted(province, a_report(), key="k")
    assert (await push(province, a_report(reason="x"), key="other")).status_code == 409
    assert (await counts(engine))["idempotency_keys"] == 1


@pytest.mark.parametrize("key", ["x", "!~", "a" * 255, "/v1/reports?x=1&y=2", '"quoted"'])
async def test_a_key_is_any_visible_ascii(province: httpx.AsyncClient, key: str) -> None:
    assert (await push(province, a_report(), key=key)).status_code == 201
    assert (await push(province, a_report(), key=key)).headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("key", ["", "a" * 256, "two words", "kỳ 3", "tab\there", "\x7f"])
async def test_a_key_outside_its_grammar_is_malformed(
    province: httpx.AsyncClient, engine: AsyncEngine, key: str
) -> None:
    headers = [(b"content-type", b"application/json"), (b"idempotency-key", key.encode())]
    answer = await province.post("/v1/reports", content=body(a_report()), headers=headers)
    problem = refused(answer, 400, "malformed-request")
    assert [each["pointer"] for each in problem["errors"]] == ["Idempotency-Key"]
    assert await counts(engine) == NOTHING


async def test_two_keys_are_malformed(province: httpx.AsyncClient) -> None:
    headers = [("content-type", "application/json"), ("idempotency-key", "a"), ("idempotency-key", "b")]
    answer = await province.post("/v1/reports", content=body(a_report()), headers=headers)
    refused(answer, 400, "malformed-request")


async def test_the_same_bytes_without_a_key_answer_with_the_report_they_are(
    client_for: NewClient, engine: AsyncEngine
) -> None:
    one, other = await client_for(agency="H26"), await client_for(agency="H26.18")
    first = await accepted(one, a_report())
    for client, key in ((one, None), (other, None), (other, "k")):
        again = await push(client, a_report(), key=key)
        assert (again.status_code, shown(again)) == (200, first)
        assert again.headers["location"] == f"/v1/reports/{first['id']}"
    kept = await counts(engine)
    assert (kept["reports"], kept["idempotency_keys"]) == (1, 0)


async def test_the_bytes_of_a_superseded_revision_are_known_still(province: httpx.AsyncClient) -> None:
    first = await accepted(province, a_report())
    await accepted(province, a_report(corrects=first["id"]))
    again = await push(province, a_report())
    assert (again.status_code, shown(again)["id"], shown(again)["status"]) == (200, first["id"], "superseded")


async def test_the_bytes_of_a_withdrawn_report_make_a_new_one(province: httpx.AsyncClient) -> None:
    first = await accepted(province, a_report())
    await province.post(f"/v1/reports/{first['id']}/withdraw", json={"reason": "Nhầm kỳ"})
    second = await accepted(province, a_report())
    assert (second["revision"], second["sha256"]) == (2, first["sha256"])
    assert second["id"] != first["id"]


def several(gateway: Gateway, client: httpx.AsyncClient, count: int) -> list[httpx.AsyncClient]:
    """The client at several processes' gateways on one database."""
    apps = [build_app(build_gateway(gateway.settings, gateway.engine)) for _ in range(count)]
    return [
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway.test", headers=client.headers)
        for app in apps
    ]


async def test_fifty_pushes_at_once_with_one_key_store_one_report(
    province: httpx.AsyncClient, gateway: Gateway, engine: AsyncEngine
) -> None:
    processes = several(gateway, province, 3)
    answers = await asyncio.gather(*(push(processes[n % len(processes)], a_report(), key="k") for n in range(50)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    kept = await counts(engine)
    assert (kept["reports"], kept["payloads"], kept["report_events"], kept["idempotency_keys"]) == (1, 1, 1, 1)


async def test_fifty_equal_pushes_at_once_without_a_key_store_one_report(
    province: httpx.AsyncClient, gateway: Gateway, engine: AsyncEngine
) -> None:
    processes = several(gateway, province, 3)
    answers = await asyncio.gather(*(push(processes[n % len(processes)], a_report()) for n in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({answer.content for answer in answers}) == 1
    assert (await counts(engine))["reports"] == 1


async def test_of_twenty_different_first_revisions_at_once_one_is_taken(
    province: httpx.AsyncClient, gateway: Gateway, engine: AsyncEngine
) -> None:
    processes = several(gateway, province, 3)
    answers = await asyncio.gather(
        *(push(processes[n % len(processes)], a_report(reason=f"Bản {n}"), key=f"k{n}") for n in range(20))
    )
    taken = [answer for answer in answers if answer.status_code == 201]
    assert len(taken) == 1
    for answer in answers:
        if answer is not taken[0]:
            problem = refused(answer, 409, "revision-conflict")
            assert problem["current"] == {"id": shown(taken[0])["id"], "revision": 1}
    kept = await counts(engine)
    assert (kept["reports"], kept["idempotency_keys"]) == (1, 1)


async def test_of_twenty_corrections_of_one_report_at_once_one_is_taken(
    province: httpx.AsyncClient, gateway: Gateway
) -> None:
    first = await accepted(province, a_report())
    processes = several(gateway, province, 3)
    corrections = [a_report(corrects=first["id"], reason=f"Bản {n}") for n in range(20)]
    answers = await asyncio.gather(*(push(processes[n % len(processes)], each) for n, each in enumerate(corrections)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
    history = shown(await province.get(f"/v1/reports/{first['id']}/history"))["items"]
    assert [each["status"] for each in history] == ["superseded", "accepted"]
