"""Gateways above one another: a province's forwards to a ministry's, and that to the national one."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from factories import a_report, a_row, body
from federation import Level, at_work, connect, levels
from files import CSV, a_csv, push_file
from forwarding import until
from gateway.db.engine import driver
from gateway.db.signatures import set_signers
from gateway_under_test import Account, accepted, add_account, asked, databases, push, refused, shown
from signing import authority
from signing import trust as trust_anchors
from workbooks import XLSX, a_workbook

EVERYTHING = ("reports:write", "reports:read", "reports:review", "aggregates:read", "operations")


@pytest.fixture(scope="module")
def three_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    base = tmp_path_factory.getbasetemp()
    directory = (base if base.name.startswith("pytest-") else base.parent) / "databases"
    with ExitStack() as stack:
        yield [stack.enter_context(databases(directory)) for _ in range(3)]


@pytest.fixture
async def chain(three_databases: list[str], tmp_path: Path) -> AsyncIterator[list[Level]]:
    """Three gateways that are not connected yet, the lowest first."""
    async with levels(three_databases, tmp_path) as found:
        yield found


async def one(level: Level) -> Account:
    return await add_account(level.gateway.engine, EVERYTHING, None)


async def held(level: Level, account: Account, report: str) -> dict[str, Any] | None:
    """A report as a gateway shows it; None where it does not hold it."""
    async with level.client(account, EVERYTHING) as client:
        answer = await client.get(f"/v1/reports/{report}")
    return shown(answer) if answer.status_code == 200 else None


async def until_delivered(level: Level, report: str) -> None:
    """Wait until a gateway has recorded that a report was delivered: a moment after it is there."""
    async with level.client(await one(level), EVERYTHING) as client:

        async def is_delivered() -> bool:
            found = await asked(client, "/deliveries", report=report)
            return {each["state"] for each in found["items"]} == {"delivered"}

        await until(is_delivered)


async def until_status(level: Level, report: str, status: str) -> dict[str, Any]:
    """Wait until a gateway holds a report with a status; how it shows it."""
    account, found = await one(level), dict[str, Any]()

    async def has() -> bool:
        now = await held(level, account, report)
        found.update(now or {})
        return now is not None and now["status"] == status

    await until(has, 60, lambda: outcomes(level))
    return found


async def outcomes(level: Level) -> list[object]:
    async with driver(level.gateway.engine) as connection:
        return [
            tuple(row) for row in await connection.fetch("SELECT event, state, outcome FROM deliveries ORDER BY seq")
        ]


async def payload(level: Level, report: str) -> tuple[str, bytes]:
    async with level.client(await one(level), EVERYTHING) as client:
        answer = await client.get(f"/v1/reports/{report}/payload")
        return answer.headers["content-type"], answer.content


async def total(level: Level) -> object:
    async with level.client(await one(level), EVERYTHING) as client:
        answer = await asked(client, "/aggregates", form="TTHC_06A", period="2026-Q1", indicator="received_online")
    return answer["rows"][0]["received_online"]


def row(online: int) -> list[dict[str, Any]]:
    return [a_row(received_online=online, received_offline=2385 - online)]


REPORT = {"period": "2026-Q1"}


async def test_two_hops_keep_id_bytes_hash_and_first_receipt(chain: list[Level]) -> None:
    province, ministry, national = chain
    await connect(province, ministry)
    await connect(ministry, national, trusted=[province])
    sent = body(a_report(**REPORT))
    async with province.client(await one(province), EVERYTHING) as client, at_work(province, ministry):
        report = await accepted(client, sent)
        above = await until_status(national, report["id"], "accepted")
        await until_delivered(ministry, report["id"])
    for name in ("id", "sha256", "form", "agency", "period", "kind", "revision", "late", "status"):
        assert above[name] == report[name], name
    assert above["relayed"] == {
        "issuer": province.url,
        "received_at": report["received_at"],
        "receipt": report["receipt"],
    }
    assert above["receipt"] != report["receipt"]
    assert await payload(national, report["id"]) == ("application/json", sent)
    middle = await held(ministry, await one(ministry), report["id"])
    assert middle is not None
    async with ministry.client(await one(ministry), EVERYTHING) as client:
        [delivery] = (await asked(client, "/deliveries", report=report["id"]))["items"]
    assert (delivery["state"], delivery["receipt"]) == ("delivered", above["receipt"])


async def test_a_signature_travels_up_with_the_bytes_it_is_over(chain: list[Level], tmp_path: Path) -> None:
    province, ministry, national = chain
    await connect(province, ministry)
    await connect(ministry, national, trusted=[province])
    ca = authority("Root CA")
    signer, sent = ca.issue("Sở Tư pháp"), body(a_report(**REPORT))
    for each in (province, ministry):
        trust_anchors(tmp_path / "anchors", ca=ca)
        each.gateway.anchors.__init__(tmp_path / "anchors")  # type: ignore[misc]
    async with driver(province.gateway.engine) as connection:
        agency = (await province.gateway.catalogues.newest()).agencies.ids["H26.18"]
        await set_signers(connection, agency, [signer.subject], None)
    signature = signer.sign(sent)
    async with province.client(await one(province), EVERYTHING) as client, at_work(province, ministry):
        answer = await push(client, sent, Report_Signature=signature)
        assert answer.status_code == 201, answer.text
        above = await until_status(national, answer.json()["id"], "accepted")
    assert (above["signer"]["subject"], above["signer"]["trusted"]) == (signer.subject, False)
    assert {(each["rule"], each["severity"]) for each in above["findings"]} >= {("signature", "warning")}
    async with national.client(await one(national), EVERYTHING) as client:
        assert (await client.get(f"/v1/reports/{above['id']}/signature")).text == signature


async def test_corrections_and_withdrawals_travel_up(chain: list[Level]) -> None:
    province, ministry, national = chain
    await connect(province, ministry)
    await connect(ministry, national, trusted=[province])
    async with province.client(await one(province), EVERYTHING) as client, at_work(province, ministry):
        first = await accepted(client, a_report(**REPORT, rows=row(2280)))
        second = await accepted(client, a_report(**REPORT, rows=row(2270), corrects=first["id"], reason="sai"))
        above = await until_status(national, second["id"], "accepted")
        assert (above["revision"], above["corrects"]) == (2, first["id"])
        assert (await held(national, await one(national), first["id"]) or {})["status"] == "superseded"
        assert await total(national) == 2270
        answer = await client.post(f"/v1/reports/{second['id']}/withdraw", json={"reason": "nhầm kỳ"})
        assert answer.status_code == 200
        gone = await until_status(national, second["id"], "withdrawn")
        assert gone["ended"]["reason"] == "nhầm kỳ"
        third = await accepted(client, a_report(**REPORT, rows=row(2260)))
        await until_status(national, third["id"], "accepted")
        assert await total(national) == 2260


async def test_a_return_made_above_travels_back_down_and_its_correction_up(chain: list[Level]) -> None:
    province, ministry, national = chain
    await connect(province, ministry)
    await connect(ministry, national, trusted=[province])
    async with (
        province.client(await one(province), EVERYTHING) as client,
        national.client(await one(national), EVERYTHING) as reviewer,
        at_work(province, ministry),
    ):
        report = await accepted(client, a_report(**REPORT))
        await until_status(national, report["id"], "accepted")
        answer = await reviewer.post(f"/v1/reports/{report['id']}/return", json={"reason": "lệch kỳ trước"})
        assert answer.status_code == 200
        below = await until_status(province, report["id"], "returned")
        assert below["ended"]["reason"] == "lệch kỳ trước"
        history = await asked(client, f"/reports/{report['id']}/history")
        assert [(each["event"], each["connector"]) for each in history["items"][0]["events"]] == [
            ("accepted", None),
            ("returned", "upper"),
        ]
        mended = await accepted(client, a_report(**REPORT, rows=row(2200), corrects=report["id"], reason="đã sửa"))
        await until_status(national, mended["id"], "accepted")
        assert await total(national) == 2200


async def test_a_return_made_between_travels_both_ways(chain: list[Level]) -> None:
    province, ministry, national = chain
    await connect(province, ministry)
    await connect(ministry, national, trusted=[province])
    async with (
        province.client(await one(province), EVERYTHING) as client,
        ministry.client(await one(ministry), EVERYTHING) as reviewer,
        at_work(province, ministry),
    ):
        report = await accepted(client, a_report(**REPORT))
        await until_status(national, report["id"], "accepted")
        answer = await reviewer.post(f"/v1/reports/{report['id']}/return", json={"reason": "thiếu lĩnh vực"})
        assert answer.status_code == 200
        for level in (national, province):
            assert (await until_status(level, report["id"], "returned"))["ended"]["reason"] == "thiếu lĩnh vực"


async def test_what_was_taken_during_an_outage_between_gateways_arrives_after_it_as_it_was_received(
    chain: list[Level],
) -> None:
    province, _, national = chain
    await connect(province, national)
    await national.door.shut()
    async with province.client(await one(province), EVERYTHING) as client, at_work(province):
        report = await accepted(client, a_report(**REPORT))

        async def has_failed() -> bool:
            return "could not sign in" in str(await outcomes(province))

        await until(has_failed, 20, lambda: outcomes(province))
        async with driver(national.gateway.engine) as connection:
            back = await connection.fetchval("SELECT now()")
        await national.door.open()
        above = await until_status(national, report["id"], "accepted")
    assert above["relayed"]["received_at"] == report["received_at"]
    assert datetime.fromisoformat(report["received_at"]) < back < datetime.fromisoformat(above["received_at"])


async def forget(level: Level, *reports: str) -> None:
    """Lose reports, as a backup that is restored loses them."""
    async with driver(level.gateway.engine) as connection, connection.transaction():
        for table in ("report_rows", "payloads", "report_events", "relays", "deliveries"):
            await connection.execute(f"DELETE FROM {table} WHERE report_id = ANY ($1::uuid[])", list(reports))
        await connection.execute("DELETE FROM reports WHERE id = ANY ($1::uuid[])", list(reports))


async def reconciled(level: Level, **asked_for: object) -> dict[str, Any]:
    async with level.client(await one(level), EVERYTHING) as client:
        return await asked(client, "/connectors/upper/reconciliation", **asked_for)


async def test_what_the_one_above_lost_is_found_and_sent_again(chain: list[Level]) -> None:
    province, _, national = chain
    await connect(province, national)
    async with province.client(await one(province), EVERYTHING) as client, at_work(province):
        reports = [await accepted(client, a_report(**REPORT, agency=f"H26.{number}")) for number in (18, 19, 20)]
        ended = await accepted(client, a_report(**REPORT, agency="H26.21"))
        for each in (*reports, ended):
            await until_status(national, each["id"], "accepted")
        await client.post(f"/v1/reports/{ended['id']}/withdraw", json={"reason": "nhầm"})
        await until_status(national, ended["id"], "withdrawn")
        assert await reconciled(province) | {"at": None} == {
            "connector": "upper",
            "at": None,
            "compared": 4,
            "agreed": 4,
            "not_sent": 0,
            "differing": 0,
            "healed": 0,
            "differences": [],
        }
        await forget(national, reports[1]["id"], ended["id"])
        seen = await reconciled(province, heal=False)
        assert (seen["compared"], seen["differing"], seen["healed"]) == (4, 2, 0)
        assert [each["report"] for each in seen["differences"]] == [ended["id"], reports[1]["id"]]
        assert (await reconciled(province, form="TTHC_06A", period="2026-Q2", heal=False))["compared"] == 0
        assert (await reconciled(province))["healed"] == 2
        again = await until_status(national, reports[1]["id"], "accepted")
        assert again["relayed"]["received_at"] == reports[1]["received_at"]
        await until_status(national, ended["id"], "withdrawn")
    assert (await reconciled(province))["differing"] == 0


async def test_a_lost_correction_is_sent_again_and_a_lost_revision_that_it_passed_is_not(chain: list[Level]) -> None:
    province, _, national = chain
    await connect(province, national)
    async with province.client(await one(province), EVERYTHING) as client, at_work(province):
        first = await accepted(client, a_report(**REPORT, rows=row(2280)))
        second = await accepted(client, a_report(**REPORT, rows=row(2270), corrects=first["id"], reason="sai"))
        await until_status(national, second["id"], "accepted")
        await forget(national, first["id"])
        [passed] = (await reconciled(province))["differences"]
        assert (passed["report"], passed["what"], passed["healed"]) == (first["id"], "missing", False)
        await forget(national, second["id"])
        assert (await reconciled(province))["healed"] == 2
        assert (await until_status(national, second["id"], "accepted"))["corrects"] == first["id"]
        assert await total(national) == 2270


async def test_an_upstream_that_is_away_or_cannot_be_asked_is_said_to_be(chain: list[Level]) -> None:
    province, _, national = chain
    await connect(province, national)
    await national.door.shut()
    async with province.client(await one(province), EVERYTHING) as client:
        problem = refused(await client.get("/v1/connectors/upper/reconciliation"), 502, "upstream-failed")
        assert "sign in" in problem["detail"]
        other = {"kind": "http_json", "url": national.url, "allow_private_addresses": True, "credentials": {}}
        assert (await client.put("/v1/connectors/upper", json=other)).status_code == 200
        refused(await client.get("/v1/connectors/upper/reconciliation"), 409, "state-conflict")


async def test_why_an_upstream_cannot_be_followed_is_seen(chain: list[Level]) -> None:
    province, _, national = chain
    await connect(province, national)
    await national.door.shut()
    async with province.client(await one(province), EVERYTHING) as client:

        async def followed() -> dict[str, Any]:
            found: dict[str, Any] = (await asked(client, "/connectors/upper"))["returns"] or {}
            return found

        async def has_failed() -> bool:
            return "could not connect" in str((await followed()).get("failure"))

        async def works() -> bool:
            now = await followed()
            return now["failure"] is None and now["followed_at"] is not None

        async with at_work(province):
            await until(has_failed, 20)
            await national.door.open()
            await until(works, 20)


async def test_a_file_travels_up_as_it_was_pushed_with_what_was_said_of_it(chain: list[Level]) -> None:
    province, ministry, national = chain
    await connect(province, ministry)
    await connect(ministry, national, trusted=[province])
    rows = [{"agency": each, "period": "2026-Q1", **a_row()} for each in ("H26.18", "H26.19")]
    one_by_one = a_workbook([a_row(sector="HOUSING")])
    said: dict[str, Any] = {
        "form": "TTHC_06A",
        "agency": "H26.19",
        "period": "2026-Q1",
        "reason": "Bổ sung, 10 hồ sơ & khác",
    }
    async with province.client(await one(province), EVERYTHING) as client, at_work(province, ministry):
        parts = shown(await push_file(client, a_csv(rows), CSV, form="TTHC_06A"))["parts"]
        second = shown(await push_file(client, one_by_one, XLSX, **said, corrects=parts[1]["id"]))
        above = await until_status(national, second["id"], "accepted")
        first = await until_status(national, parts[0]["id"], "accepted")
    assert (first["part"], first["agency"], first["rows"]) == (1, "H26.18", [a_row()])
    assert (above["corrects"], above["reason"]) == (parts[1]["id"], said["reason"])
    assert above["rows"] == [a_row(sector="HOUSING")]
    assert await payload(national, second["id"]) == (XLSX, one_by_one)
    assert (await payload(national, first["id"]))[1] == a_csv(rows)
    assert (await held(national, await one(national), parts[1]["id"]) or {})["status"] == "superseded"
