"""An answer of the database that never comes: nothing is promised that is not known, and a repeat finds it all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from proofs.faults.wire import Rule, Wire, drop, order_of
from proofs.statements import CLAIMING, RECORDING, STORING

from factories import a_report
from forwarding import attempts, connect_upstream, receive, states, until_all, upstream, working
from gateway.api.deps import Gateway
from gateway.db.engine import is_outage
from gateway.db.intake import store
from gateway.flow import receive as flow_receive
from gateway_under_test import (
    NOTHING,
    accepted,
    counts,
    in_process,
    push,
    shown,
)
from wired import wired


@asynccontextmanager
async def wired_client(gateway: Gateway, province: httpx.AsyncClient) -> AsyncIterator[tuple[Wire, httpx.AsyncClient]]:
    """The client, at a gateway behind a wire."""
    async with (
        wired(gateway) as (wire, far),
        in_process(far, headers={"Authorization": province.headers["Authorization"]}) as client,
    ):
        yield wire, client


def is_unknown(answer: httpx.Response) -> bool:
    """Whether an answer says that nobody knows, and promises nothing."""
    return (
        answer.status_code == 503
        and answer.headers["content-type"] == "application/problem+json"
        and int(answer.headers["retry-after"]) > 0
        and "receipt" not in shown(answer)
        and "location" not in answer.headers
    )


@pytest.mark.parametrize("key", ["k", None])
async def test_a_commit_whose_answer_is_lost_is_unknown_and_a_repeat_gives_the_one_report(
    gateway: Gateway, province: httpx.AsyncClient, key: str | None
) -> None:
    async with wired_client(gateway, province) as (wire, client):
        lost = wire.lose_answer(STORING)
        answer = await push(client, a_report(), key=key)
        assert lost.struck.is_set()
        assert is_unknown(answer)
        kept = await counts(gateway.engine)
        assert (kept["reports"], kept["idempotency_keys"]) == (1, 1 if key else 0)
        again = await push(client, a_report(), key=key)
        once_more = await push(client, a_report(), key=key)
    assert again.status_code == (201 if key else 200)
    assert ("idempotent-replayed" in again.headers) == bool(key)
    assert again.content == once_more.content
    assert shown(again)["receipt"]
    assert await counts(gateway.engine) == kept


async def test_a_statement_that_never_arrived_is_unknown_too_and_left_nothing(
    gateway: Gateway, province: httpx.AsyncClient
) -> None:
    async with wired_client(gateway, province) as (wire, client):
        wire.when(order_of(STORING), drop)
        assert is_unknown(await push(client, a_report(), key="k"))
        assert await counts(gateway.engine) == NOTHING
        await accepted(client, a_report(), key="k")


async def test_whoever_shares_a_commit_whose_answer_is_lost_is_told_the_same(
    gateway: Gateway, province: httpx.AsyncClient
) -> None:
    reports = [a_report(period=f"{year}-Q1") for year in range(2061, 2091)]
    async with wired_client(gateway, province) as (wire, client):
        wire.lose_answer(STORING, times=None)
        answers = await asyncio.gather(*(push(client, each, key=each["period"]) for each in reports))
        assert all(is_unknown(each) for each in answers)
        assert (await counts(gateway.engine))["reports"] == len(reports)
        wire.rules.clear()
        answers = await asyncio.gather(*(push(client, each, key=each["period"]) for each in reports))
    assert {each.status_code for each in answers} == {201}
    assert (await counts(gateway.engine))["reports"] == len(reports)


async def test_an_intake_that_takes_silence_for_a_commit_would_be_found_out(
    gateway: Gateway, province: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = store

    async def hopeful(*given: Any) -> None:
        try:
            await honest(*given)
        except Exception as error:
            if not is_outage(error):
                raise

    monkeypatch.setattr(flow_receive, "store", hopeful)
    async with wired_client(gateway, province) as (wire, client):
        wire.when(order_of(STORING), drop)
        answer = await push(client, a_report(), key="k")
    assert not is_unknown(answer)
    assert answer.status_code == 201
    assert await counts(gateway.engine) == NOTHING


def strike(wire: Wire, statement: str, is_done: bool) -> Rule:
    """Break the connection at a statement: once it is done, or before it arrives."""
    return wire.lose_answer(statement) if is_done else wire.when(order_of(statement), drop)


@pytest.mark.parametrize(
    ("statement", "is_done", "outcomes"),
    [
        (RECORDING, True, ["delivered"]),
        (RECORDING, False, ["delivered"]),
        (CLAIMING, True, ["ambiguous", "delivered"]),
        (CLAIMING, False, ["delivered"]),
    ],
    ids=["recorded", "not recorded", "claimed", "not claimed"],
)
async def test_a_delivery_whose_claim_or_record_was_cut_off_ends_delivered(
    gateway: Gateway, statement: str, is_done: bool, outcomes: list[str]
) -> None:
    async with wired(gateway) as (wire, far), upstream() as national:
        await connect_upstream(gateway, national.url)
        report = await receive(gateway)
        struck = strike(wire, statement, is_done)
        async with working(far, lease_seconds=1.0):
            await until_all(gateway.engine, "delivered")
        assert struck.struck.is_set()
        assert [(each["id"], each["count"]) for each in await national.received()] == [(str(report), 1)]
    assert [each["outcome"] for each in await attempts(gateway.engine)] == outcomes
    assert await states(gateway.engine) == ["delivered"]
