"""The feed of changes: each exactly once, in order, whoever commits when."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest

from factories import a_report, a_row
from forwarding import until
from gateway.api.deps import Gateway
from gateway.app import build_gateway
from gateway.db.engine import open_engine
from gateway.settings import Settings
from gateway_under_test import NewClient, accepted, asked, connected, in_process, refused

Q1 = {"period": "2026-Q1"}
WRITERS = 64


@pytest.fixture
async def client(client_for: NewClient) -> httpx.AsyncClient:
    return await client_for("reports:write", "reports:read", "reports:review", "aggregates:read")


def departments(gateway: Gateway) -> list[str]:
    assert gateway.catalogues.held
    found = [each for each in gateway.catalogues.held.agencies.ids if each.startswith("H") and each.count(".") == 1]
    return found


async def changes(client: httpx.AsyncClient, count: int, **asked_for: object) -> dict[str, Any]:
    """A page of changes once it has so many: a transaction that is older and still open, of another test's database
    on the same server, keeps them back for a moment."""
    page: dict[str, Any] = {}

    async def has_all() -> bool:
        page.update(await asked(client, "/changes", **asked_for))
        return len(page["items"]) >= count

    await until(has_all)
    return page


async def told(client: httpx.AsyncClient, count: int, **asked_for: object) -> list[tuple[str, str]]:
    page = await changes(client, count, **asked_for)
    return [(each["change"], each["report"]["id"]) for each in page["items"]]


async def test_what_became_of_reports_is_told_in_order_and_each_as_it_was_then(client: httpx.AsyncClient) -> None:
    first = await accepted(client, a_report(**Q1))
    rows = [a_row(received_online=2270, received_offline=115)]
    second = await accepted(client, a_report(**Q1, rows=rows, corrects=first["id"], reason="sai"))
    for end in ("return", "withdraw"):
        await client.post(f"/v1/reports/{second['id']}/{end}", json={"reason": end})
    page = await changes(client, 4)
    assert [(each["change"], each["report"]["id"], each["replaces"], each["reason"]) for each in page["items"]] == [
        ("accepted", first["id"], None, None),
        ("corrected", second["id"], first["id"], "sai"),
        ("returned", second["id"], None, "return"),
        ("withdrawn", second["id"], None, "withdraw"),
    ]
    assert [each["report"]["status"] for each in page["items"]] == ["accepted", "accepted", "returned", "withdrawn"]
    assert "receipt" not in page["items"][0]["report"]
    assert page["more"] is False
    empty = await asked(client, "/changes", cursor=page["next"])
    assert (empty["items"], empty["more"]) == ([], False)
    assert empty["next"]


async def test_pages_follow_one_another_without_a_gap(client: httpx.AsyncClient, gateway: Gateway) -> None:
    reports = [(await accepted(client, a_report(**Q1, agency=each)))["id"] for each in departments(gateway)[:7]]
    await changes(client, 7)
    found, cursor = [], None
    while True:
        page = await asked(client, "/changes", limit=3, **({} if cursor is None else {"cursor": cursor}))
        found += [each["report"]["id"] for each in page["items"]]
        cursor = page["next"]
        if not page["more"]:
            break
    assert found == reports


async def test_only_what_is_asked_for_and_covered_is_told(client: httpx.AsyncClient, client_for: NewClient) -> None:
    mine = (await accepted(client, a_report(**Q1)))["id"]
    other = (await accepted(client, a_report(**Q1, agency="H29.18")))["id"]
    await client.post(f"/v1/reports/{mine}/return", json={"reason": "x"})
    assert await told(client, 1, change="returned") == [("returned", mine)]
    assert await told(client, 1, under="H29") == [("accepted", other)]
    province = await client_for("reports:relay", agency="H29")
    assert await told(province, 1) == [("accepted", other)]
    refused(await province.get("/v1/changes", params={"under": "H26"}), 403, "forbidden")
    assert await told(client, 3, form="TTHC_06A") == [
        ("accepted", mine),
        ("accepted", other),
        ("returned", mine),
    ]


async def test_a_few_among_many_are_found_though_no_page_looks_at_all(
    client: httpx.AsyncClient, gateway: Gateway
) -> None:
    mine = (await accepted(client, a_report(**Q1)))["id"]
    async with connected(gateway.engine) as connection:
        await connection.execute(
            "INSERT INTO report_events (report_id, event, at, client_id)"
            " SELECT report_id, 'accepted', at, client_id FROM report_events, generate_series(1, 100)"
        )
    await client.post(f"/v1/reports/{mine}/return", json={"reason": "x"})
    cursor, pages = "", 0
    while True:
        asked_for = {"change": "returned", "limit": 1} | ({"cursor": cursor} if cursor else {})
        page = await asked(client, "/changes", **asked_for)
        cursor, pages = page["next"], pages + 1
        if page["items"]:
            break
    assert page["items"][0]["report"]["id"] == mine
    assert pages > 1


async def test_the_place_in_the_feed_is_never_beyond_what_is_stored(
    client: httpx.AsyncClient, gateway: Gateway
) -> None:
    """A PostgreSQL that was killed gives the number of a transaction that stored nothing to one that may store."""
    await accepted(client, a_report(**Q1))
    place = (await changes(client, 1))["next"]
    async with connected(gateway.engine) as connection:
        for _ in range(20):
            await connection.fetchval("SELECT pg_current_xact_id()")
    assert (await asked(client, "/changes"))["next"] == place
    assert (await asked(client, "/changes", cursor=place))["next"] == place


async def test_what_commits_late_comes_after_all_that_was_told_before(
    client: httpx.AsyncClient, gateway: Gateway
) -> None:
    """A reader who went on from the highest number that was committed would miss it: the naive cursor does, here."""
    report = (await accepted(client, a_report(**Q1)))["id"]
    insert = (
        "INSERT INTO report_events (report_id, event, at, client_id, reason)"
        " SELECT report_id, 'returned', at, client_id, $1 FROM report_events WHERE event = 'accepted'"
        " RETURNING seq"
    )
    cursor = (await changes(client, 1))["next"]
    async with connected(gateway.engine) as slow, connected(gateway.engine) as quick:
        late = slow.transaction()
        await late.start()
        early_number = await slow.fetchval(insert, "slow")
        later_number = await quick.fetchval(insert, "quick")
        assert early_number < later_number
        during = await asked(client, "/changes", cursor=cursor)
        naive = await quick.fetchval("SELECT max(seq) FROM report_events")
        await late.commit()
        after = await changes(client, 2, cursor=during["next"])
        missed = await quick.fetchval("SELECT count(*) FROM report_events WHERE seq > $1", naive)
    assert during["items"] == []
    assert [each["reason"] for each in after["items"]] == ["slow", "quick"]
    assert missed == 0
    assert {each["report"]["id"] for each in after["items"]} == {report}


@asynccontextmanager
async def slow_commits(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """While the block runs, every transaction stays open for a while, up to a tenth of a second, once it has written
    an event: so that they commit in another order than they were numbered in."""
    await connection.execute(
        "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(random() * 0.1); RETURN NULL; END $$;"
        "CREATE TRIGGER linger AFTER INSERT ON report_events FOR EACH STATEMENT EXECUTE FUNCTION linger()"
    )
    try:
        yield
    finally:
        await connection.execute("DROP FUNCTION linger CASCADE")


@pytest.fixture
async def many_at_once(
    settings: Settings, database_url: str, client_for: NewClient
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway that keeps as many transactions open as there are writers."""
    roomy = open_engine(settings.model_copy(update={"database_pool": WRITERS}), database_url)
    wide = build_gateway(settings, roomy)
    wide.intake.turns = WRITERS
    known = await client_for("reports:write", "reports:review")
    async with in_process(wide, headers=known.headers, timeout=30) as client:
        yield client
    await roomy.dispose()


async def write(client: httpx.AsyncClient, agency: str) -> list[tuple[str, str]]:
    """The story of one report: pushed, corrected, returned, corrected, withdrawn."""
    told: list[tuple[str, str]] = []
    current: str | None = None
    for number in range(3):
        rows = [a_row(received_online=2280 - number, received_offline=105 + number)]
        reason = None if current is None else "sai"
        pushed = await accepted(client, a_report(**Q1, agency=agency, rows=rows, corrects=current, reason=reason))
        told.append(("accepted" if current is None else "corrected", pushed["id"]))
        current = pushed["id"]
        if number > 0:
            end = ("return", "withdraw")[number - 1]
            answer = await client.post(f"/v1/reports/{current}/{end}", json={"reason": end})
            assert answer.status_code == 200, answer.text
            told.append((("returned", "withdrawn")[number - 1], str(current)))
    return told


async def test_every_change_is_told_once_and_in_order_however_commits_overtake_one_another(
    client: httpx.AsyncClient, many_at_once: httpx.AsyncClient, gateway: Gateway
) -> None:
    """A reader who goes on from the highest number seen misses some of them: the naive cursor does, in the same run."""
    done = asyncio.Event()

    async def read(limit: int) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        cursor: dict[str, str] = {}
        while True:
            was_done = done.is_set()
            page = await asked(client, "/changes", limit=limit, **cursor)
            found += [(each["change"], each["report"]["id"]) for each in page["items"]]
            cursor = {"cursor": page["next"]}
            if was_done and not page["more"] and len(found) >= WRITERS * 5:
                return found

    async def read_naively(connection: asyncpg.Connection) -> list[int]:
        found: list[int] = [0]
        while True:
            was_done = done.is_set()
            rows = await connection.fetch("SELECT seq FROM report_events WHERE seq > $1 ORDER BY seq", found[-1])
            found += [row["seq"] for row in rows]
            if was_done:
                return found[1:]
            await asyncio.sleep(0.01)

    async with connected(gateway.engine) as connection, connected(gateway.engine) as another:
        reading = [asyncio.create_task(read(limit)) for limit in (3, 50, 500)]
        reading_naively = asyncio.create_task(read_naively(another))
        async with slow_commits(connection):
            stories = await asyncio.gather(*(write(many_at_once, each) for each in departments(gateway)[:WRITERS]))
        done.set()
        told = await asyncio.wait_for(asyncio.gather(*reading), 30)
        kept = await connection.fetch("SELECT event, report_id::text FROM report_events ORDER BY recorded_xid, seq")
        numbers = {row["seq"] for row in await connection.fetch("SELECT seq FROM report_events")}
    happened = [(row["event"], row["report_id"]) for row in kept]
    assert sorted(happened) == sorted(each for story in stories for each in story)
    assert told == [happened] * 3
    places = {each: place for place, each in enumerate(happened)}
    assert all([places[each] for each in story] == sorted(places[each] for each in story) for story in stories)
    assert numbers - set(await reading_naively), "commits overtook one another, so that a number tells nothing"


@pytest.mark.parametrize("cursor", ["x", "MTA", "MXwy fA", "LTF8MQ", "OTk5OTk5OTk5OTk5OTk5OTk5OTl8MQ"])
async def test_a_cursor_that_is_not_ours_is_refused(client: httpx.AsyncClient, cursor: str) -> None:
    refused(await client.get("/v1/changes", params={"cursor": cursor}), 400, "malformed-request")
