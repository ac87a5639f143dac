"""The tables held against the log: a true history contradicts nothing, and whatever was changed in it is named."""

import asyncio
import hashlib
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple

import asyncpg
import httpx
import pytest
from joserfc.jwk import OKPKey
from uuid_utils.compat import uuid7

from factories import a_balanced_row, a_monthly_report, a_report, a_row, body
from files import CSV, a_csv, a_group, an_adx, push_file
from forwarding import REFUSED, TAKEN, claim, connect_upstream, finish
from gateway.access.accounts import trust
from gateway.api.deps import Gateway
from gateway.db.engine import driver
from gateway.evidence.held import Keys
from gateway.evidence.note import LogSigner, vkeys
from gateway.evidence.public import public_keys
from gateway.evidence.receipts import Signer, key_set
from gateway.evidence.sealer import Sealer
from gateway.flow.confront.walk import Confrontation
from gateway.keys import SigningKeys
from gateway_under_test import NewClient, accepted, add_account, bearer, connected, in_process, push
from signing import authority

ALL = ("reports:write", "reports:read", "reports:review", "operations", "catalog:write", "clients:write")


async def seal(gateway: Gateway) -> None:
    async with driver(gateway.engine) as connection:
        await Sealer(gateway.engine, LogSigner(gateway.keys.log, gateway.settings.issuer)).seal(connection)


def confrontation(gateway: Gateway) -> Confrontation:
    public = public_keys(gateway.keys, gateway.settings.issuer)
    return Confrontation(gateway.engine, gateway.catalogues, Keys(key_set(public), vkeys(public)))


async def contradictions(gateway: Gateway) -> list[str]:
    confronted = confrontation(gateway)
    found = [str(each) async for each in confronted.run()]
    assert confronted.audited is not None
    return found + [str(each) for each in confronted.audited.faults]


async def ended(client: httpx.AsyncClient, report: str, how: str) -> None:
    answer = await client.post(f"/v1/reports/{report}/{how}", json={"reason": f"lý do {how}"})
    assert answer.status_code == 200, answer.text


async def everything(gateway: Gateway, client: httpx.AsyncClient) -> None:
    """A history of everything that happens to reports; some of it is sealed at its end, some is not."""
    await seal(gateway)  # the log begins after the accounts of the test
    await connect_upstream(gateway, "http://127.0.0.1:9/", "up", what="all")
    first = await accepted(client, a_report(reason="lần đầu"))
    second = await accepted(client, a_report(corrects=first["id"], reason="bổ sung", rows=[a_balanced_row()]))
    await ended(client, second["id"], "return")
    third = await accepted(client, a_report(corrects=second["id"], reason="sửa"))
    await ended(client, third["id"], "withdraw")
    await accepted(client, a_report(rows=[a_balanced_row(), a_balanced_row("HOUSING")]))
    returned = await accepted(client, a_report(period="2098-Q2"))
    await ended(client, returned["id"], "return")
    await ended(client, returned["id"], "withdraw")
    await accepted(client, a_report(period="2097-Q2", rows=[], nil="nothing_to_report"))
    assert (await push(client, a_report(rows=[a_row(received_total=1)], period="2097-Q1"))).status_code == 422
    await accepted(client, a_monthly_report())
    explained = {"rule": "R6", "row": {"sector": "LAND"}, "text": "sáp nhập"}
    await accepted(client, a_report(period="2096-Q2", explanations=[explained]))
    await files(client)
    answer = await client.post("/v1/consolidations", json={"form": "TTHC_06A", "period": "2098-Q3", "agency": "H26"})
    assert answer.status_code == 201, answer.text
    content = body(a_report(period="2095-Q2"))
    signed = authority("CA").issue("Sở Nội vụ").sign(content)
    assert (await push(client, content, Report_Signature=signed)).status_code == 422  # by nobody known, and kept
    await relayed(gateway)
    await seal(gateway)
    await delivered(gateway, client)
    await put_aside(client)


async def files(client: httpx.AsyncClient) -> None:
    row = a_balanced_row()
    pushed = await push_file(client, a_csv([row]), CSV, form="TTHC_06A", agency="H26.18", period="2094-Q2")
    assert pushed.status_code == 201, pushed.text
    said = {"orgUnit": "H26.18", "dataSet": "TTHC_06A"}
    adx = an_adx(a_group([row], period="2093-04-01/P3M", **said), a_group([row], period="2093-07-01/P3M", **said))
    pushed = await push_file(client, adx, "application/adx+xml")
    assert pushed.status_code in {200, 201, 207}, pushed.text
    assert all(each.get("receipt") for each in pushed.json()["parts"]), pushed.text


async def relayed(gateway: Gateway) -> None:
    """A report that another gateway took first."""
    made = OKPKey.generate_key("Ed25519")
    lower = SigningKeys((OKPKey.import_key(made.as_pem(private=True), {"kid": "lower"}),))
    account = await add_account(gateway.engine, ("reports:relay",), "H26")
    async with connected(gateway.engine) as connection:
        await connection.execute("UPDATE clients SET made_at = made_at - interval '1 day' WHERE id = $1", account.id)
    await trust(
        gateway.engine, account.id, "https://h26.example", [{**lower.current.as_dict(private=False), "kid": "lower"}]
    )
    document, at = a_report(period="2092-Q2"), "2026-01-10T02:00:00.114200Z"
    said = {name: document[name] for name in ("agency", "form", "period")} | {"report": str(uuid7()), "kind": "own"}
    said |= {"sha256": hashlib.sha256(body(document)).hexdigest(), "revision": 3, "received_at": at}
    receipt = Signer(lower, "https://h26.example").sign(said, datetime.fromisoformat(at))
    headers = {"Report_Id": str(said["report"]), "Report_Received_At": at, "Report_Receipt": receipt}
    async with in_process(gateway, headers=bearer(gateway.tokens, account.id, ("reports:relay",), "H26")) as client:
        answer = await push(client, document, **headers)
        assert answer.status_code == 201, answer.text


async def delivered(gateway: Gateway, client: httpx.AsyncClient) -> None:
    """Deliveries come to every end there is."""
    for number, claimed in enumerate(await claim(gateway.engine, slots=8)):
        await finish(gateway.engine, claimed, TAKEN if number % 2 else REFUSED)
    assert (await client.post("/v1/connectors/up/retry", json={"reason": "thử lại"})).status_code == 200
    for number, claimed in enumerate(await claim(gateway.engine, slots=6)):
        await finish(gateway.engine, claimed, TAKEN if number % 2 else REFUSED)
    listed = (await client.get("/v1/deliveries", params={"state": "refused"})).json()["items"]
    assert (await client.post(f"/v1/deliveries/{listed[0]['id']}/retry")).status_code in {200, 409}
    pending = (await client.get("/v1/deliveries", params={"state": "pending"})).json()["items"]
    assert (await client.post(f"/v1/deliveries/{pending[0]['id']}/cancel", json={"reason": "bỏ"})).status_code == 200


async def put_aside(client: httpx.AsyncClient) -> None:
    for route in ("pause", "resume"):
        assert (await client.post(f"/v1/connectors/up/{route}")).status_code == 200


@pytest.fixture
async def operator(client_for: NewClient) -> httpx.AsyncClient:
    return await client_for(*ALL)


async def test_a_history_of_everything_contradicts_nothing(gateway: Gateway, operator: httpx.AsyncClient) -> None:
    await everything(gateway, operator)
    assert await contradictions(gateway) == []
    await seal(gateway)
    assert await contradictions(gateway) == []
    assert (await operator.delete("/v1/connectors/up")).status_code == 204
    assert await contradictions(gateway) == []


async def test_it_contradicts_nothing_while_others_write(gateway: Gateway, operator: httpx.AsyncClient) -> None:
    await seal(gateway)
    writing = True

    async def write(agency: str) -> None:
        current = None
        while writing:
            corrects = {} if current is None else {"corrects": current, "reason": "rà soát"}
            rows = [a_balanced_row(pending=next(numbers))]
            current = (await accepted(operator, a_report(agency=agency, rows=rows, **corrects)))["id"]
            if next(numbers) % 3 == 0:
                await ended(operator, current, "withdraw")
                current = None

    async def seal_on() -> None:
        while writing:
            await seal(gateway)

    numbers = itertools.count(1)
    work = [asyncio.create_task(each) for each in (write("H26.18"), write("H26.16"), seal_on())]
    try:
        counted = []
        for _ in range(12):
            confronted = confrontation(gateway)
            assert [str(each) async for each in confronted.run()] == []
            assert confronted.audited is not None
            assert not confronted.audited.faults
            counted.append(confronted.counted.reports)
        assert counted[-1] > counted[0] + 10
    finally:
        writing = False
        await asyncio.gather(*work)


class Tampering(NamedTuple):
    """A column, how its value is made another, and of which rows."""

    table: str
    column: str
    change: str
    where: str = "true"


def text(table: str, *columns: str, where: str = "true") -> list[Tampering]:
    return [Tampering(table, each, f"coalesce({each}, '') || '1'", where) for each in columns]


def number(table: str, *columns: str, where: str = "true") -> list[Tampering]:
    return [Tampering(table, each, f"coalesce({each}, 0) + 1", where) for each in columns]


KEPT = "status <> 'rejected'"
JUDGED = f"EXISTS (SELECT FROM reports r WHERE r.id = report_id AND r.{KEPT})"
ENDED = "state IN ('delivered', 'refused', 'exhausted', 'cancelled')"
TAMPERINGS = [
    *number("reports", "agency_id", "form_version", "revision"),
    *text("reports", "period", "receipt", "reason", "query"),
    Tampering("reports", "form_id", "(SELECT max(id) FROM forms f WHERE f.id <> form_id)"),
    Tampering("reports", "kind", "CASE kind WHEN 'own' THEN 'consolidation' ELSE 'own' END"),
    Tampering("reports", "part", "coalesce(part, 0) + 1", KEPT),
    *[
        Tampering("reports", "status", f"'{each}'", f"status NOT IN ('{each}', 'rejected')")
        for each in ("accepted", "superseded", "returned", "withdrawn")
    ],
    Tampering("reports", "status", "'accepted'", "status = 'rejected'"),
    Tampering("reports", "counted", "NOT counted", KEPT),
    Tampering("reports", "late", "late IS NOT TRUE"),
    Tampering("reports", "nil", "CASE WHEN nil IS NULL THEN 'not_applicable' END", KEPT),
    Tampering("reports", "corrects", "gen_random_uuid()"),
    Tampering("reports", "client_id", "gen_random_uuid()"),
    Tampering("reports", "id", "gen_random_uuid()"),
    Tampering("reports", "received_at", "received_at - interval '1 microsecond'"),
    Tampering("reports", "period_start", "period_start + 1", KEPT),
    Tampering("reports", "period_end", "period_end - 1", KEPT),
    Tampering("reports", "sha256", "set_byte(sha256, 7, 255 - get_byte(sha256, 7))"),
    Tampering("reports", "explanations", """explanations || '[{"rule": "R1"}]'""", KEPT),
    Tampering("reports", "recorded_xid", "(recorded_xid::text::bigint + 1)::text::xid8", KEPT),
    Tampering("reports", "ended_xid", "CASE WHEN ended_xid IS NULL THEN recorded_xid END", KEPT),
    *number("payloads", "agency_id", "year"),
    Tampering("payloads", "report_id", "gen_random_uuid()"),
    Tampering("payloads", "media_type", "'text/csv'", f"media_type = 'application/json' AND {JUDGED}"),
    Tampering("payloads", "body", "set_byte(body, length(body) - 3, 255 - get_byte(body, length(body) - 3))"),
    Tampering("payloads", "body", "'\\x00'::bytea"),
    *number("report_rows", "agency_id", "year"),
    Tampering("report_rows", "report_id", "gen_random_uuid()"),
    Tampering(
        "report_rows",
        "number",
        "number + 2",
        "number = 0 AND EXISTS (SELECT FROM report_rows o WHERE o.report_id = report_rows.report_id AND o.number = 1)",
    ),
    Tampering("report_rows", "codes", "ARRAY[codes[1] || 'X']"),
    Tampering("report_rows", "figures", "figures || 0"),
    Tampering("report_rows", "figures", "ARRAY[coalesce(figures[1], 0) + 1] || figures[2:]"),
    Tampering("report_rows", "figures", "ARRAY['NaN'::numeric] || figures[2:]"),
    Tampering("report_rows", "figures", "ARRAY[NULL::numeric] || figures[2:]", "figures[1] IS NOT NULL"),
    Tampering("report_rows", "texts", "ARRAY['khác']"),
    Tampering("report_events", "event", "CASE event WHEN 'accepted' THEN 'corrected' ELSE 'accepted' END"),
    Tampering("report_events", "at", "at - interval '6 minutes'"),
    *[Tampering("report_events", each, "gen_random_uuid()") for each in ("report_id", "client_id", "replaces")],
    *text("report_events", "reason"),
    Tampering("report_events", "connector_id", "1 + coalesce((SELECT max(id) - 1 FROM connectors), 0)"),
    Tampering("report_events", "recorded_xid", "(recorded_xid::text::bigint + 1)::text::xid8"),
    Tampering("relays", "receipt", "receipt || 'A'"),
    *text("relays", "issuer"),
    *number("relays", "revision"),
    Tampering("relays", "received_at", "received_at - interval '1 day'"),
    *text("report_signatures", "jws", "subject", "issuer", "serial", "fingerprint"),
    Tampering("report_signatures", "signed_at", "signed_at - interval '1 day'"),
    Tampering("deliveries", "id", "gen_random_uuid()", ENDED),
    Tampering("deliveries", "report_id", "gen_random_uuid()", ENDED),
    *number("deliveries", "connector_id", where=ENDED),
    *number("deliveries", "agency_id", "form_id"),
    *text("deliveries", "period"),
    *text("deliveries", "reason", where="event <> 'accepted'"),
    Tampering("deliveries", "kind", "'consolidation'", "kind = 'own'"),
    Tampering("deliveries", "event", "'withdrawn'", "event = 'accepted'"),
    Tampering("deliveries", "receipt", "'x'", "state = 'delivered'"),
    *[
        Tampering("deliveries", "state", f"'{each}'", f"state NOT IN ('{each}', 'sending')")
        for each in ("delivered", "refused", "exhausted", "cancelled")
    ],
    Tampering("deliveries", "state", "'pending'", "state IN ('delivered', 'cancelled')"),
    *text("agencies", "code", where="id IN (SELECT agency_id FROM reports)"),
    *text("log_texts", "text"),
    Tampering("log_texts", "salt", "set_byte(salt, 0, 255 - get_byte(salt, 0))"),
    Tampering("log_texts", "commitment", "set_byte(commitment, 0, 255 - get_byte(commitment, 0))"),
    Tampering("log_entries", "report_id", "gen_random_uuid()"),
    Tampering("log_entries", "entry", "set_byte(entry, 20, 255 - get_byte(entry, 20))"),
    Tampering("log_pending", "entry", "'{'::bytea"),
]
"""Every column that is compared, made another than it was."""
TRACES = ("reports", "payloads", "report_rows", "report_events", "deliveries", "relays", "report_signatures")


async def tampered(connection: asyncpg.Connection, tampering: Tampering, chance: random.Random) -> bool:
    """Change a row, whatever constraints say; False if there is none to change."""
    table, column, change, where = tampering
    rows = await connection.fetch(f"SELECT tableoid, ctid FROM {table} WHERE {where} ORDER BY tableoid, ctid")
    if not rows:
        return False
    row = chance.choice(rows)
    changed = await connection.execute(
        f"UPDATE {table} SET {column} = {change} WHERE tableoid = $1 AND ctid = $2",
        row["tableoid"],
        row["ctid"],
    )
    return changed == "UPDATE 1"


@asynccontextmanager
async def as_superuser(gateway: Gateway) -> AsyncIterator[asyncpg.Connection]:
    """A connection that may change everything, and by which nothing is changed in the end."""
    async with driver(gateway.engine) as connection:
        held = connection.transaction()
        await held.start()
        try:
            await connection.execute("SET LOCAL session_replication_role = replica")
            for row in await connection.fetch(
                "SELECT conrelid::regclass::text AS name, conname FROM pg_constraint WHERE contype = 'c'"
                " AND conparentid = 0 AND connamespace = 'public'::regnamespace"
            ):
                await connection.execute(f'ALTER TABLE {row["name"]} DROP CONSTRAINT "{row["conname"]}"')
            yield connection
        finally:
            await held.rollback()


async def named(gateway: Gateway, connection: asyncpg.Connection) -> list[str]:
    confronted = confrontation(gateway)
    found = [str(each) async for each in confronted.on(connection)]
    assert confronted.audited is not None
    return found + [str(each) for each in confronted.audited.faults]


async def test_whatever_a_superuser_changes_is_named(gateway: Gateway, operator: httpx.AsyncClient) -> None:
    await everything(gateway, operator)
    chance = random.Random(uuid7().int)  # noqa: S311
    missed: list[str] = []
    untried: set[Tampering] = set()
    async with as_superuser(gateway) as connection:
        assert await named(gateway, connection) == []
        for tampering in TAMPERINGS:
            change = connection.transaction()
            await change.start()
            if not await tampered(connection, tampering, chance):
                untried.add(tampering)
            elif not await named(gateway, connection):
                missed.append(str(tampering))
            await change.rollback()
    assert not missed, "\n".join(missed)
    assert not untried


async def test_whatever_a_superuser_takes_out_or_puts_in_is_named(
    gateway: Gateway, operator: httpx.AsyncClient
) -> None:
    await everything(gateway, operator)
    async with as_superuser(gateway) as connection:
        for table in TRACES:
            where = ENDED if table == "deliveries" else "true"
            for row in await connection.fetch(f"SELECT tableoid, ctid FROM {table} WHERE {where}"):
                change = connection.transaction()
                await change.start()
                await connection.execute(f"DELETE FROM {table} WHERE tableoid = $1 AND ctid = $2", *row)
                assert await named(gateway, connection), f"{table} {row}"
                await change.rollback()
