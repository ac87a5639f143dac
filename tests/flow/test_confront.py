"""The tables held against the log: a true history contradicts nothing, and whatever was changed in it is named."""

import asyncio
import hashlib
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import asyncpg
import httpx
import hypothesis
import pytest
from joserfc.jwk import OKPKey
from uuid_utils.compat import uuid7

from factories import a_balanced_row, a_codelist, a_form, a_monthly_report, a_regime, a_report, a_row, body
from files import CSV, a_csv, a_group, an_adx, push_file
from forwarding import REFUSED, TAKEN, claim, connect_upstream, finish
from gateway.access.accounts import trust
from gateway.api.deps import Gateway
from gateway.db.deadline import watch_of
from gateway.db.engine import driver
from gateway.evidence.held import Keys
from gateway.evidence.note import LogSigner, vkeys
from gateway.evidence.public import public_keys
from gateway.evidence.receipts import Signer, key_set
from gateway.evidence.sealer import Sealer
from gateway.flow.confront.walk import Confrontation
from gateway.flow.erase import erase
from gateway.keys import SigningKeys
from gateway_under_test import Account, NewClient, accepted, add_account, bearer, connected, have, in_process, push
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
    relay = await add_account(gateway.engine, ("reports:relay",), "H26")
    await seal(gateway)  # the log begins after the accounts of the test
    await asyncio.sleep(1.1)  # its first checkpoint says whole seconds, and what is of that second may be older
    await connect_upstream(gateway, "http://127.0.0.1:9/", "up", what="all")
    await amended(client)
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
    await relayed(gateway, relay)
    await seal(gateway)
    await delivered(gateway, client)
    await erased(gateway, client)
    await by_hand(gateway, client)


async def amended(client: httpx.AsyncClient) -> None:
    """What changes the catalogue."""
    await have(client, "/codelists/TEST_LIST", a_codelist("A", id="TEST_LIST"))
    await have(client, "/forms/TEST_01/versions/1", a_form())
    await have(client, "/regimes/TEST", a_regime())
    extension = {"form": "TTHC_06A", "period": "2098-Q3", "agency": "H26.18", "until": "2099-01-01", "reason": "bão lũ"}
    answer = await client.post("/v1/obligations/extensions", json=extension)
    assert answer.is_success, answer.text


async def files(client: httpx.AsyncClient) -> None:
    row = a_balanced_row()
    pushed = await push_file(client, a_csv([row]), CSV, form="TTHC_06A", agency="H26.18", period="2094-Q2")
    assert pushed.status_code == 201, pushed.text
    said = {"orgUnit": "H26.18", "dataSet": "TTHC_06A"}
    adx = an_adx(a_group([row], period="2093-04-01/P3M", **said), a_group([row], period="2093-07-01/P3M", **said))
    pushed = await push_file(client, adx, "application/adx+xml")
    assert pushed.status_code in {200, 201, 207}, pushed.text
    assert all(each.get("receipt") for each in pushed.json()["parts"]), pushed.text


async def relayed(gateway: Gateway, account: Account) -> None:
    """A report that another gateway took first."""
    made = OKPKey.generate_key("Ed25519")
    lower = SigningKeys((OKPKey.import_key(made.as_pem(private=True), {"kid": "lower"}),))
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


async def erased(gateway: Gateway, client: httpx.AsyncClient) -> None:
    """A report with a text, an explanation and a reason is erased."""
    explained = {"rule": "R6", "row": {"sector": "LAND"}, "text": "bà C nói"}
    report = await accepted(client, a_report(period="2091-Q2", reason="bà C", explanations=[explained]))
    async with connected(gateway.engine) as connection:
        await connection.execute("DELETE FROM deliveries WHERE report_id = $1", UUID(report["id"]))
    await erase(gateway.engine, gateway.catalogues, UUID(report["id"]), "Thanh tra", "yêu cầu của bà C")


async def by_hand(gateway: Gateway, client: httpx.AsyncClient) -> None:
    """What operators do: connectors, clients, signers, the catalogue."""
    for route in ("pause", "resume"):
        assert (await client.post(f"/v1/connectors/up/{route}")).status_code == 200
    retry = {"delays_seconds": [5, 600], "horizon_hours": 24}
    await connect_upstream(gateway, "http://127.0.0.1:9/", "gone")
    assert (await client.delete("/v1/connectors/gone")).status_code == 204
    await connect_upstream(gateway, "http://127.0.0.1:9/a", "gone", rate=Decimal("2.50"), under="H26", retry=retry)
    assert (await client.post("/v1/connectors/gone/pause")).status_code == 200
    asked = {"name": "Ông B", "scopes": ["reports:read"], "agency": "H26", "limits": {"requests_per_second": 20}}
    made = (await client.post("/v1/clients", json=asked)).json()
    for overlap in (0, 60):
        answer = await client.post(f"/v1/clients/{made['id']}/rotate", json={"overlap_seconds": overlap})
        assert answer.is_success, answer.text
    other = (await client.post("/v1/clients", json={"name": "Bà C", "scopes": ["operations"]})).json()
    limits = {"requests_per_second": 2.5, "burst": 7}
    assert (await client.put(f"/v1/clients/{other['id']}/limits", json=limits)).is_success
    gone = (await client.post("/v1/clients", json={"name": "Cũ", "scopes": ["operations"]})).json()
    assert (await client.post(f"/v1/clients/{gone['id']}/revoke")).is_success
    signers = {"signers": [{"subject": "CN=Bà D,C=VN"}, {"subject": "CN=Ông E,C=VN"}]}
    assert (await client.put("/v1/agencies/H26.18/signers", json=signers)).is_success


@pytest.fixture
async def operator(client_for: NewClient) -> httpx.AsyncClient:
    return await client_for(*ALL)


async def test_it_contradicts_nothing_while_others_write(gateway: Gateway, operator: httpx.AsyncClient) -> None:
    await seal(gateway)
    writing = True

    async def write(agency: str) -> None:
        current: str | None = None
        while writing:
            corrects: dict[str, object] = {} if current is None else {"corrects": current, "reason": "rà soát"}
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
        counted: list[int] = []
        while len(counted) < 5 or counted[-1] < counted[0] + 5:
            confronted = confrontation(gateway)
            assert [str(each) async for each in confronted.run()] == []
            assert confronted.audited is not None
            assert not confronted.audited.faults
            counted.append(confronted.counted.reports)
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
YOUNG = "made_at > (SELECT min(at) FROM log_checkpoints)"
OF_YOUNG = f"EXISTS (SELECT FROM clients c WHERE c.id = client_id AND c.{YOUNG})"
PRESENT = "removed_at IS NULL"
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
    *text("erasures", "by", "reason"),
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
    Tampering("report_events", "recorded_xid", "(recorded_xid::text::bigint + 1)::text::xid8", "event = 'accepted'"),
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
    *text("catalog_entries", "code", "variant", where="revision > 1"),
    Tampering("catalog_entries", "document", """jsonb_set(document, '{a}', '1')""", "revision > 1"),
    Tampering(
        "catalog_entries", "document", """jsonb_set(document, '{until}', '"2099-02-01"')""", "kind = 'extension'"
    ),
    Tampering("catalog_entries", "document", """jsonb_set(document, '{reason}', '"x"')""", "kind = 'extension'"),
    *text("clients", "name", "agency", where=YOUNG),
    Tampering("clients", "scopes", "scopes || '{clients:write}'", YOUNG),
    Tampering("clients", "certificate_bound", "NOT certificate_bound", YOUNG),
    Tampering("clients", "made_by", "gen_random_uuid()", YOUNG),
    Tampering("clients", "revoked_at", "CASE WHEN revoked_at IS NULL THEN now() END", YOUNG),
    *number("clients", "requests_per_second", "burst", "reports_per_day", where=YOUNG),
    Tampering("client_credentials", "secret_sha256", "sha256(secret_sha256)", OF_YOUNG),
    Tampering("client_credentials", "client_id", "(SELECT id FROM clients ORDER BY made_at LIMIT 1)", OF_YOUNG),
    Tampering("client_credentials", "expires_at", "NULL", "expires_at IS NOT NULL AND revoked_at IS NULL"),
    Tampering("client_credentials", "revoked_at", "NULL", "revoked_at IS NOT NULL"),
    Tampering("trusted_issuers", "keys", "replace(keys::text, 'lower', 'other')::jsonb"),
    Tampering("trusted_issuers", "keys", """replace(keys::text, '"x": "', '"x": "AA')::jsonb"""),
    *text("trusted_issuers", "issuer"),
    *text("signers", "subject"),
    Tampering("signers", "ended_at", "now()"),
    *number("signers", "agency_id"),
    *text("connectors", "name", "kind", "url", "under", where=PRESENT),
    *number("connectors", "concurrency", "rate", where=PRESENT),
    Tampering("connectors", "forms", "forms || '{X}'", PRESENT),
    Tampering("connectors", "what", "CASE what WHEN 'own' THEN 'all' ELSE 'own' END", PRESENT),
    Tampering("connectors", "from_day", "coalesce(from_day, '2020-01-01') + 1", PRESENT),
    Tampering("connectors", "allow_private_addresses", "NOT allow_private_addresses", PRESENT),
    *[
        Tampering("connectors", each, f"""coalesce(nullif({each}, 'null'), '{{}}') || '{{"a": 1}}'""", PRESENT)
        for each in ("options", "remind", "retry")
    ],
    *[
        Tampering("connectors", each, f"CASE WHEN {each} IS NULL THEN now() END", PRESENT)
        for each in ("paused_at", "removed_at")
    ],
    Tampering("connectors", "removed_at", "NULL", "removed_at IS NOT NULL"),
    *text("log_texts", "text"),
    Tampering("log_texts", "salt", "set_byte(salt, 0, 255 - get_byte(salt, 0))"),
    Tampering("log_texts", "commitment", "set_byte(commitment, 0, 255 - get_byte(commitment, 0))"),
    Tampering("log_entries", "report_id", "gen_random_uuid()"),
    Tampering("log_entries", "entry", "set_byte(entry, 20, 255 - get_byte(entry, 20))"),
    Tampering("log_pending", "entry", "'{'::bytea"),
]
"""Every column that is compared, made another than it was."""
TRACES = (
    "erasures",
    "reports",
    "payloads",
    "report_rows",
    "report_events",
    "deliveries",
    "relays",
    "report_signatures",
    "connectors",
)


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
    return bool(changed == "UPDATE 1")


@asynccontextmanager
async def as_superuser(gateway: Gateway) -> AsyncIterator[asyncpg.Connection]:
    """A connection that may change everything, and by which nothing is changed in the end."""
    async with driver(gateway.engine) as connection:
        watch_of(connection).rest()
        held = connection.transaction()
        await held.start()
        try:
            await connection.execute("SET LOCAL session_replication_role = replica")
            for row in await connection.fetch(
                "SELECT conrelid::regclass::text AS name, conname FROM pg_constraint WHERE contype IN ('c', 'u')"
                " AND conparentid = 0 AND conrelid::regclass::text = ANY ($1)",
                list(TRACES),
            ):
                await connection.execute(f'ALTER TABLE {row["name"]} DROP CONSTRAINT "{row["conname"]}"')
            await connection.execute("DROP INDEX uq_reports_current, uq_deliveries_reminder, uq_connectors_name")
            yield connection
        finally:
            await held.rollback()


async def named(gateway: Gateway, connection: asyncpg.Connection) -> list[str]:
    confronted = confrontation(gateway)
    found = [str(each) async for each in confronted.on(connection)]
    assert confronted.audited is not None
    return found + [str(each) for each in confronted.audited.faults]


@asynccontextmanager
async def undone(connection: asyncpg.Connection) -> AsyncIterator[None]:
    change = connection.transaction()
    await change.start()
    yield
    await change.rollback()


COPIED = {
    "reports": "id = gen_random_uuid(), period = '2050-Q1', revision = 1, status = 'accepted'",
    "report_events": "recorded_xid = '9'::xid8, seq = 1000000",
    "report_rows": "number = 1000",
    "deliveries": "id = gen_random_uuid(), seq = 1000000, connector_id = 77, state = 'delivered', claim = NULL",
    "clients": "id = gen_random_uuid(), made_at = now() + interval '1 minute'",
    "client_credentials": "id = gen_random_uuid(), valid_from = now() + interval '1 minute'",
    "signers": "id = 1000000, subject = 'CN=Kẻ khác', registered_at = now() + interval '1 minute'",
    "connectors": "id = 1000000, name = 'kẻ khác', made_at = now() + interval '1 minute', removed_at = NULL",
    "catalog_entries": "revision = (SELECT max(revision) FROM catalog_revisions)",
}
"""What a copy of a row has otherwise, that is put in beside it."""


async def changed(connection: asyncpg.Connection, chance: random.Random, every: bool) -> AsyncIterator[str]:
    """Change a row of each table and column (or of some of them), one after another; gives what was done."""
    for tampering in TAMPERINGS if every else chance.sample(TAMPERINGS, 12):
        async with undone(connection):
            assert await tampered(connection, tampering, chance), f"nothing to change: {tampering}"
            yield str(tampering)


async def taken_out(connection: asyncpg.Connection, chance: random.Random, every: bool) -> AsyncIterator[str]:
    for table in TRACES:
        where = ENDED if table == "deliveries" else "true"
        rows = await connection.fetch(f"SELECT tableoid, ctid FROM {table} WHERE {where}")
        for row in rows if every else chance.sample(rows, 1):
            async with undone(connection):
                await connection.execute(f"DELETE FROM {table} WHERE tableoid = $1 AND ctid = $2", *row)
                yield f"a row taken out of {table}"


async def put_in(connection: asyncpg.Connection) -> AsyncIterator[str]:
    for table, changes in COPIED.items():
        async with undone(connection):
            await connection.execute(f"CREATE TEMP TABLE one AS SELECT * FROM {table} LIMIT 1")
            await connection.execute(f"UPDATE one SET {changes}")
            await connection.execute(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM one")
            yield f"a row put into {table}"


async def test_a_true_history_contradicts_nothing_and_whatever_a_superuser_does_to_it_is_named(
    gateway: Gateway, operator: httpx.AsyncClient
) -> None:
    every = hypothesis.settings().max_examples > 100
    await everything(gateway, operator)
    if every:  # then it was all judged by a catalogue of the past, which takes a while to read
        await have(operator, "/codelists/TEST_LIST", a_codelist("A", "B", id="TEST_LIST"))
    assert await contradictions(gateway) == []  # some entries wait to be sealed
    seed = uuid7().int
    chance = random.Random(seed)  # noqa: S311
    missed = []
    async with as_superuser(gateway) as connection:
        for done in (changed(connection, chance, every), taken_out(connection, chance, every), put_in(connection)):
            missed += [each async for each in done if not await named(gateway, connection)]
    assert not missed, "\n".join([f"of the chances {seed}:", *missed])
    await seal(gateway)
    assert (await operator.delete("/v1/connectors/up")).status_code == 204
    assert await contradictions(gateway) == []
