"""Erasing a report: what people wrote is gone everywhere, and everything that was proved stays proved."""

import json
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import httpx
import pytest
from uuid_utils.compat import uuid7

from factories import a_breakdown, a_form, a_regime, a_report, a_row, an_indicator, body
from files import CSV, a_csv, push_file
from forwarding import claim, connect_upstream, finish
from gateway.api.deps import Gateway
from gateway.db.engine import driver
from gateway.errors import Erased, NotFound, StateConflict
from gateway.evidence.note import LogSigner
from gateway.evidence.proofs import read_proof
from gateway.evidence.sealer import Sealer
from gateway.flow.erase import erase
from gateway_under_test import NewClient, accepted, asked, connected, have, refused
from signing import authority

SECRET = "bà Nguyễn Thị C, số 12"
ALL = ("reports:write", "reports:read", "reports:review", "operations", "catalog:write", "aggregates:read")


async def seal(gateway: Gateway) -> None:
    async with driver(gateway.engine) as connection:
        await Sealer(gateway.engine, LogSigner(gateway.keys.log, gateway.settings.issuer)).seal(connection)


async def a_told_report(client: httpx.AsyncClient) -> dict[str, Any]:
    """A report with a person in every text of it."""
    noted = [an_indicator(id="amount"), an_indicator(id="note", type="text", over_agencies="none", over_time="none")]
    await have(client, "/forms/TEST_01/versions/1", a_form(indicators=noted, rules=[], breakdowns=[a_breakdown()]))
    await have(client, "/regimes/TEST", a_regime())
    row = {"sector": "LAND", "amount": 7, "note": SECRET}
    explained = {"rule": "X", "row": {"sector": "LAND"}, "text": SECRET}
    document = a_report(form="TEST_01", rows=[row], reason=SECRET, explanations=[explained])
    return await accepted(client, document)


async def everywhere(gateway: Gateway) -> list[str]:
    """The tables in which the person is still to be found."""
    async with connected(gateway.engine) as connection:
        tables = [
            row["name"]
            for row in await connection.fetch(
                "SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            )
        ]
        return [
            table
            for table in tables
            if await connection.fetchval(f"SELECT count(*) FROM {table} t WHERE t::text LIKE $1", f"%{SECRET}%")
        ]


async def test_what_people_wrote_is_gone_and_what_was_proved_stays_proved(
    gateway: Gateway, client_for: NewClient
) -> None:
    client = await client_for(*ALL)
    await connect_upstream(gateway, "http://127.0.0.1:9/", forms=None)
    head = await a_told_report(client)
    report, path = UUID(head["id"]), f"/v1/reports/{head['id']}"
    await client.post(f"{path}/return", json={"reason": SECRET})
    for _ in range(2):
        for claimed in await claim(gateway.engine):
            await finish(gateway.engine, claimed)
    await seal(gateway)
    proof = (await client.get(f"{path}/proof")).json()
    sums = {"form": "TEST_01", "period": head["period"]}
    before = await asked(client, "/aggregates", **sums)
    assert await everywhere(gateway)

    await erase(gateway.engine, gateway.catalogues, report, "Thanh tra", "theo yêu cầu")

    assert await everywhere(gateway) == []
    problem = refused(await client.get(f"{path}/payload"), 410, "erased")
    assert problem["reason"] == "theo yêu cầu"
    assert problem["erased_at"]
    shown = await asked(client, f"/reports/{report}")
    assert (shown["rows"], shown["reason"], shown["explanations"]) == (
        [{"sector": "LAND", "amount": 7, "note": None}],
        None,
        [],
    )
    assert await asked(client, "/aggregates", **sums) == before
    assert (await client.get(f"{path}/receipt")).text
    read_proof(proof).verify(LogSigner(gateway.keys.log, gateway.settings.issuer).verifiers)
    again = await client.get(f"{path}/proof")
    read_proof(again.json()).verify(LogSigner(gateway.keys.log, gateway.settings.issuer).verifiers)
    await seal(gateway)
    async with connected(gateway.engine) as connection:
        said = json.loads(await connection.fetchval("SELECT entry FROM log_entries ORDER BY index DESC LIMIT 1"))
    assert (said["what"], said["report"], said["by"]) == ("erased", str(report), None)
    with pytest.raises(Erased):
        await erase(gateway.engine, gateway.catalogues, report, "Thanh tra", "lần nữa")


async def test_a_report_on_its_way_or_one_that_was_changed_is_not_erased(
    gateway: Gateway, country: httpx.AsyncClient
) -> None:
    with pytest.raises(NotFound):
        await erase(gateway.engine, gateway.catalogues, uuid7(), "x", "x")
    changed = await accepted(country, a_report(period="2097-Q3"))
    async with connected(gateway.engine) as connection:
        await connection.execute("UPDATE report_rows SET figures[1] = 1")
    with pytest.raises(StateConflict, match="It was changed"):
        await erase(gateway.engine, gateway.catalogues, UUID(changed["id"]), "x", "x")
    await connect_upstream(gateway, "http://127.0.0.1:9/")
    underway = await accepted(country, body(a_report()))
    with pytest.raises(StateConflict, match="have not ended"):
        await erase(gateway.engine, gateway.catalogues, UUID(underway["id"]), "x", "x")


async def test_what_came_beside_a_file_is_erased_with_it(gateway: Gateway, country: httpx.AsyncClient) -> None:
    said: dict[str, Any] = {"form": "TTHC_06A", "agency": "H26.18", "period": "2098-Q3", "reason": SECRET}
    signature = authority("CA").issue("Sở Nội vụ").sign(a_csv([a_row()]), query=urlencode(said))
    header = [("Report-Signature", signature)]
    rejected = await push_file(country, a_csv([a_row()]), CSV, headers=header, **said)  # signed by nobody known
    pushed = await push_file(country, a_csv([a_row()]), CSV, **said)
    for report in (rejected.json()["report"], pushed.json()["id"]):
        await erase(gateway.engine, gateway.catalogues, UUID(report), "Thanh tra", "theo yêu cầu")
        assert (await asked(country, f"/reports/{report}"))["reason"] is None
    assert await everywhere(gateway) == []
    async with connected(gateway.engine) as connection:
        kept = await connection.fetch("SELECT query, reason FROM reports")
        signed = await connection.fetchval("SELECT count(*) FROM report_signatures")
    assert ([tuple(each) for each in kept], signed) == ([("", None)] * 2, 0)
