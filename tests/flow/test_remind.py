"""Reminders on a real database: which are made on which day, once each, and what is sent of them."""

import asyncio
import json
from base64 import b64encode
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
import standardwebhooks

from answering import Answer, answering
from answering import upstream as receiving
from factories import a_form, a_report, a_small_report
from forwarding import (
    AWAY,
    BY,
    CLIENT,
    NOWHERE,
    REFUSED,
    anybody,
    attempts,
    claim,
    connect_upstream,
    deliveries,
    end,
    finish,
    receive,
    receive_revisions,
    states,
    until,
    until_all,
    working,
)
from gateway.api.deps import Gateway
from gateway.db.claims import Claimed
from gateway.db.engine import driver
from gateway.db.recording import cancel_claimed
from gateway.domain.calendar import civil_date
from gateway.domain.delivery import DEFAULT_SCHEDULE
from gateway.domain.period import VIETNAM
from gateway.domain.report import Status
from gateway.errors import StateConflict
from gateway.flow import connect, remind
from gateway.flow.connect import end_connector
from gateway.flow.forward import Message, message_of
from gateway.flow.remind import NothingToSend, Reminders
from gateway.flow.steer import Cause, give_up_delivery, retry_delivery
from gateway.flow.take_up import retry_connector
from gateway.worker import Worker
from gateway_under_test import NewClient, connected, load, push, shown

SECRET = "whsec_" + b64encode(b"a signing key of 32 bytes, or so").decode()
DEPARTMENT, PROVINCE = "H26.18", "H26"
DUE = date(2098, 9, 20)
"""When departments owe form II.06a for the third quarter of 2098; provinces, and theirs of the month, on the 25th."""
THREE_DAYS: dict[str, object] = {"due_in_days": 3, "overdue": True}

Day = Callable[[date], None]


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Day:
    """Sets the day that reminders, and changes of connectors, go by."""

    def set_day(day: date) -> None:
        noon = datetime.combine(day, time(12), VIETNAM)

        async def clock(_: object) -> datetime:
            return noon

        monkeypatch.setattr(remind, "clock", clock)
        monkeypatch.setattr(connect, "server_now", clock)

    return set_day


async def subscribe(gateway: Gateway, url: str = NOWHERE, name: str = "reminded", **changes: object) -> int:
    """A webhook that is reminded of the department H26.18's reports of form II.06a, and takes no report."""
    given: dict[str, object] = {
        "kind": "webhook",
        "what": "none",
        "forms": ["TTHC_06A"],
        "under": DEPARTMENT,
        "remind": THREE_DAYS,
        "credentials": {"signing_secret": SECRET},
    }
    return await connect_upstream(gateway, url, name, **{**given, **changes})


async def make(gateway: Gateway) -> int:
    """What a worker makes that has just been started."""
    return await Reminders(gateway.engine, gateway.catalogues).make()


async def made(gateway: Gateway) -> list[tuple[str, date]]:
    """Event and day of each reminder, in the order they were made."""
    return [(each["event"], each["owed_by"]) for each in await deliveries(gateway.engine) if not each["report_id"]]


async def message(gateway: Gateway, claimed: Claimed, day: date | None = None) -> Message:
    """What is sent of a delivery, on a day if it matters."""
    if day is not None:
        claimed = claimed._replace(claimed_at=datetime.combine(day, time(12), VIETNAM))
    async with driver(gateway.engine) as connection:
        return await message_of(connection, claimed, await gateway.catalogues.newest())


async def extend(gateway: Gateway, until: date, granted_on: date, **changes: object) -> None:
    document: dict[str, object] = {
        "id": str(uuid4()),
        "form": "TTHC_06A",
        "period": "2098-Q3",
        "agency": DEPARTMENT,
        "whose": "agency",
        "until": until.isoformat(),
        "reason": "mất điện",
        "granted_on": granted_on.isoformat(),
    }
    assert await load(gateway.engine, ("extension", document | changes)) == 1


async def load_regime(gateway: Gateway, due: date, **changes: object) -> str:
    """A regime of form TEST_01 for one ad hoc period, which the department H26.18 owes by a day; the period's code."""
    period = f"{due - timedelta(days=25)}/P10D"
    regime: dict[str, object] = {
        "code": "TEST_DOT_XUAT",
        "legal_basis": "thử",
        "forms": ["TEST_01"],
        "kind": "thematic",
        "frequency": "ad_hoc",
        "periods": [period],
        "who": [{"agencies": [DEPARTMENT]}],
        "deadlines": {"default": {"date": due.isoformat()}},
        "valid_to": (due + timedelta(days=30)).isoformat(),
    }
    form = a_form(frequencies=["quarterly", "ad_hoc"])
    await load(gateway.engine, ("form", form), ("regime", regime | changes))
    return period


# What is made.


async def test_an_obligation_is_reminded_of_once_before_it_is_due_and_once_after(gateway: Gateway, on: Day) -> None:
    on(date(2098, 9, 1))
    await subscribe(gateway)
    found: dict[int, int] = {}
    for day in range(12, 30):
        on(date(2098, 9, day))
        found[day] = await make(gateway) + await make(gateway)
    assert {day: count for day, count in found.items() if count} == {17: 1, 21: 1}
    assert await made(gateway) == [("due", DUE), ("overdue", DUE)]
    [due, _] = await deliveries(gateway.engine)
    ids = (await gateway.catalogues.newest()).agencies.ids
    assert (due["report_id"], due["agency_id"], due["period"], due["kind"], due["state"]) == (
        None,
        ids[DEPARTMENT],
        "2098-Q3",
        "own",
        "pending",
    )
    assert due["id"].version == 7


async def test_each_connector_is_reminded_of_what_it_asks_for(gateway: Gateway, on: Day) -> None:
    on(date(2098, 9, 1))
    await subscribe(gateway, name="all-of-hanoi", under=PROVINCE, forms=None)
    await subscribe(gateway, name="monthly", under=None, forms=["KTXH_01"], remind={"due_in_days": 0})
    await subscribe(gateway, name="too-late", remind={"overdue": True})
    on(date(2098, 9, 25))
    await make(gateway)
    async with connected(gateway.engine) as connection:
        rows = await connection.fetch(
            "SELECT c.name, f.code, event, count(*) FROM deliveries d JOIN connectors c ON c.id = connector_id"
            " JOIN forms f ON f.id = form_id JOIN agencies a ON a.id = agency_id GROUP BY 1, 2, 3"
        )
    counted = {(row["name"], row["code"], row["event"]): row["count"] for row in rows}
    catalogue = await gateway.catalogues.newest()
    owed = [each.agency for each in catalogue.obligations.owed("TTHC_06A", "2098-Q3")]
    hanoi = frozenset(catalogue.agencies.placed(DUE).subtree(PROVINCE))
    provinces = len(catalogue.obligations.owed("KTXH_01", "2098-09"))
    assert counted == {
        ("all-of-hanoi", "TTHC_06A", "due"): 1,
        ("all-of-hanoi", "KTXH_01", "due"): 1,
        ("all-of-hanoi", "TTHC_06A", "overdue"): len(hanoi.intersection(owed)) - 1,
        ("monthly", "KTXH_01", "due"): provinces,
        ("too-late", "TTHC_06A", "overdue"): 1,
    }


async def test_a_report_that_has_come_in_is_not_reminded_of_whatever_it_says(gateway: Gateway, on: Day) -> None:
    on(date(2098, 9, 1))
    await subscribe(gateway, under=PROVINCE)
    first, second = sorted(
        each.agency
        for each in (await gateway.catalogues.newest()).obligations.owed("TTHC_06A", "2098-Q3")
        if each.agency.startswith("H26.") and each.due == DUE
    )[:2]
    await receive(gateway, agency=first)
    await receive(gateway, agency=second, rows=[], nil="not_applicable")
    on(DUE)
    await make(gateway)
    ids = (await gateway.catalogues.newest()).agencies.ids
    reminded = {each["agency_id"] for each in await deliveries(gateway.engine)}
    assert reminded.isdisjoint({ids[first], ids[second]})
    assert reminded


async def test_a_rejected_report_is_no_report(gateway: Gateway, client_for: NewClient, on: Day) -> None:
    on(date(2098, 9, 1))
    await subscribe(gateway)
    rejected = await push(await client_for(), a_report(rows=[]))
    assert rejected.status_code == 422
    on(DUE)
    assert await make(gateway) == 1


async def test_a_report_that_was_withdrawn_is_reminded_of_again_the_next_day(gateway: Gateway, on: Day) -> None:
    on(date(2098, 9, 1))
    await subscribe(gateway)
    report = await receive(gateway)
    worker = Reminders(gateway.engine, gateway.catalogues)
    on(DUE)
    assert await worker.make() == 0
    await end(gateway, report, Status.withdrawn)
    assert await worker.make() == 0
    on(DUE + timedelta(days=1))
    assert await worker.make() == 1
    assert await made(gateway) == [("overdue", DUE)]


async def test_a_returned_report_is_owed_by_the_last_day_on_which_it_may_be_corrected(
    gateway: Gateway, on: Day
) -> None:
    on(date(2098, 9, 1))
    await subscribe(gateway)
    report = await receive(gateway)
    await end(gateway, report, Status.returned)
    async with connected(gateway.engine) as connection:
        await connection.execute("UPDATE report_events SET at = '2098-09-18T03:00:00Z' WHERE event = 'returned'")
    corrected_by = date(2098, 9, 28)
    for day in range(15, 30):
        on(date(2098, 9, day))
        await make(gateway)
    assert await made(gateway) == [("due", corrected_by), ("overdue", corrected_by)]
    [due, _] = await claim(gateway.engine)
    data = json.loads((await message(gateway, due, corrected_by)).body)
    assert (data["due"], data["report"]["id"], data["report"]["status"]) == ("2098-09-28", str(report), "returned")
    await receive(gateway, corrects=str(report), reason="đính chính", rows=[], nil="nothing_to_report")
    with pytest.raises(NothingToSend, match="has come in"):
        await message(gateway, due, corrected_by)


async def test_a_day_that_is_moved_by_an_extension_is_reminded_of_anew(gateway: Gateway, on: Day) -> None:
    on(date(2098, 9, 1))
    await subscribe(gateway)
    on(DUE - timedelta(days=1))
    assert await make(gateway) == 1
    later = date(2098, 10, 5)
    await extend(gateway, later, granted_on=DUE)
    found: list[date] = []
    for day in range(1, 25):
        on(DUE + timedelta(days=day))
        found += [DUE + timedelta(days=day)] * await make(gateway)
    assert found == [later - timedelta(days=3), later + timedelta(days=1)]
    assert await made(gateway) == [("due", DUE), ("due", later), ("overdue", later)]


async def test_an_obligation_that_was_overdue_is_so_again_when_its_extension_ends(gateway: Gateway, on: Day) -> None:
    on(date(2098, 9, 1))
    await subscribe(gateway, remind={"overdue": True})
    on(DUE + timedelta(days=1))
    await make(gateway)
    later = date(2098, 9, 24)
    await extend(gateway, later, granted_on=DUE + timedelta(days=2))
    for day in range(2, 10):
        on(DUE + timedelta(days=day))
        await make(gateway)
    assert await made(gateway) == [("overdue", DUE), ("overdue", later)]


async def test_a_missed_report_of_a_period_that_locks_at_once_is_told_of_as_well(gateway: Gateway, on: Day) -> None:
    await load_regime(gateway, DUE, lock_after_days=0)
    on(date(2098, 9, 1))
    await subscribe(gateway, forms=["TEST_01"])
    missed = DUE + timedelta(days=1)
    on(missed)
    await make(gateway)
    async with connected(gateway.engine) as connection:
        await connection.execute("UPDATE deliveries SET made_at = '2098-09-21T03:00:00Z'")
    [claimed] = await claim(gateway.engine)
    assert claimed.event == "overdue"
    assert json.loads((await message(gateway, claimed, missed)).body)["state"] == "locked"


async def test_a_new_connector_is_not_flooded_with_what_was_overdue_before(gateway: Gateway, on: Day) -> None:
    on(DUE + timedelta(days=5))
    await subscribe(gateway)
    await subscribe(gateway, name="wider", under=PROVINCE)
    await make(gateway)
    ids = {number: code for code, number in (await gateway.catalogues.newest()).agencies.ids.items()}
    assert [(ids[each["agency_id"]], each["event"]) for each in await deliveries(gateway.engine)] == [(PROVINCE, "due")]


async def test_asking_for_more_brings_nothing_older_and_asking_for_the_same_changes_nothing(
    gateway: Gateway, on: Day
) -> None:
    async def since() -> date | None:
        async with connected(gateway.engine) as connection:
            day: date | None = await connection.fetchval("SELECT remind_since FROM connectors")
        return day

    on(date(2098, 9, 1))
    await subscribe(gateway, remind=None, what="own")
    assert await since() is None
    on(date(2098, 9, 2))
    await subscribe(gateway)
    assert await since() == date(2098, 9, 2)
    on(date(2098, 9, 3))
    await subscribe(gateway, rate=5)
    assert await since() == date(2098, 9, 2)
    for day, change in ((4, {"under": PROVINCE}), (5, {"forms": None}), (6, {"remind": {"due_in_days": 1}})):
        on(date(2098, 9, day))
        await subscribe(gateway, **change)
        assert await since() == date(2098, 9, day)


async def test_workers_that_look_at_the_same_time_make_each_reminder_once(gateway: Gateway, on: Day) -> None:
    on(date(2098, 9, 1))
    await subscribe(gateway, under=PROVINCE)
    on(DUE)
    counts = await asyncio.gather(*[make(gateway) for _ in range(6)])
    assert sum(counts) == len(await deliveries(gateway.engine)) > 0
    assert await make(gateway) == 0
    assert max(Counter((each["agency_id"], each["event"]) for each in await deliveries(gateway.engine)).values()) == 1


async def test_a_worker_that_has_looked_looks_again_when_a_connector_asks_for_more(gateway: Gateway, on: Day) -> None:
    worker = Reminders(gateway.engine, gateway.catalogues)
    on(DUE)
    assert await worker.make() == 0
    await subscribe(gateway)
    assert [await worker.make() for _ in range(2)] == [1, 0]
    await subscribe(gateway, name="another")
    assert [await worker.make() for _ in range(2)] == [1, 0]


async def test_while_one_worker_looks_another_leaves_it_to_it_and_looks_later(gateway: Gateway, on: Day) -> None:
    on(date(2098, 9, 1))
    await subscribe(gateway)
    on(DUE)
    worker = Reminders(gateway.engine, gateway.catalogues)
    async with connected(gateway.engine) as other, other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock($1)", remind._LOCK)
        assert await asyncio.wait_for(worker.make(), 5) == 0
    assert await worker.make() == 1


async def test_what_falls_due_for_the_whole_country_on_one_day_is_made_in_one_go(gateway: Gateway, on: Day) -> None:
    on(date(2098, 9, 1))
    await subscribe(gateway, under=None, forms=None, remind={"due_in_days": 0})
    catalogue = await gateway.catalogues.newest()
    communes = [each for each in catalogue.obligations.owed("TTHC_06A", "2098-Q3") if each.due == date(2098, 9, 18)]
    assert len(communes) > 3000
    on(date(2098, 9, 18))
    statements = await _writes(gateway, lambda: make(gateway))
    assert statements == 1
    assert len(await deliveries(gateway.engine)) == len(communes)


async def _writes(gateway: Gateway, act: Callable[[], Awaitable[object]]) -> int:
    """How many statements that insert deliveries something takes."""
    async with connected(gateway.engine) as connection:
        await connection.execute(
            "CREATE TABLE written (); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN INSERT INTO written DEFAULT VALUES; RETURN NULL; END $$;"
            "CREATE TRIGGER note AFTER INSERT ON deliveries FOR EACH STATEMENT EXECUTE FUNCTION note()"
        )
        try:
            await act()
            count: int = await connection.fetchval("SELECT count(*) FROM written")
        finally:
            await connection.execute("DROP FUNCTION note CASCADE; DROP TABLE written")
    return count


# What is sent.


async def test_a_reminder_tells_of_the_obligation_as_the_api_shows_it(
    gateway: Gateway, client_for: NewClient, on: Day
) -> None:
    on(date(2098, 9, 1))
    await subscribe(gateway)
    on(DUE)
    await make(gateway)
    [claimed] = await claim(gateway.engine)
    sent = await message(gateway, claimed, DUE)
    answer = await (await client_for()).get(
        "/v1/obligations", params={"agency": DEPARTMENT, "form": "TTHC_06A", "period": "2098-Q3"}
    )
    [obligation] = shown(answer)["items"]
    assert json.loads(sent.body) == obligation
    assert (obligation["due"], obligation["name"]) == ("2098-09-20", obligation["name"])
    assert claimed.owed
    assert sent.occurred_at == claimed.owed.made_at


async def test_a_reminder_is_the_same_in_every_attempt(gateway: Gateway, on: Day) -> None:
    on(date(2098, 9, 1))
    await subscribe(gateway)
    on(DUE + timedelta(days=1))
    await make(gateway)
    [claimed] = await claim(gateway.engine)
    first = await message(gateway, claimed, DUE + timedelta(days=1))
    assert await message(gateway, claimed, DUE + timedelta(days=6)) == first


@pytest.mark.parametrize("what", ["came in", "extended", "passed", "closed"])
async def test_a_reminder_of_what_is_not_so_any_more_is_not_sent(gateway: Gateway, on: Day, what: str) -> None:
    on(date(2098, 9, 1))
    await subscribe(gateway)
    on(DUE)
    await make(gateway)
    [claimed] = await claim(gateway.engine)
    day, reason = DUE, "has come in"
    match what:
        case "came in":
            await receive(gateway)
        case "extended":
            await extend(gateway, date(2098, 10, 5), granted_on=DUE)
            reason = "owed by 2098-10-05"
        case "passed":
            day, reason = DUE + timedelta(days=1), "the day has passed"
        case _:
            closed: dict[str, object] = {"code": DEPARTMENT, "name": "Sở", "level": "department", "parent": PROVINCE}
            await load(gateway.engine, ("agency", closed | {"valid_from": "2026-01-01", "valid_to": "2098-01-01"}))
            reason = "not owed any more"
    with pytest.raises(NothingToSend, match=reason):
        await message(gateway, claimed, day)


async def test_a_worker_cancels_a_reminder_whose_report_has_come_in(gateway: Gateway, on: Day) -> None:
    on(date(2098, 9, 1))
    async with receiving(answering("200 OK")) as receiver:
        await subscribe(gateway, receiver.url)
        on(DUE)
        await make(gateway)
        await receive(gateway)
        async with working(gateway):
            await until_all(gateway.engine, "cancelled")
            [reminder] = await deliveries(gateway.engine)
            assert (reminder["outcome"], reminder["attempts"]) == ("not sent: the report has come in", 0)
            kept = await retry_delivery(gateway.engine, reminder["id"], anybody, Cause(CLIENT, "thử lại"))
            assert kept.state == "pending"
            await until_all(gateway.engine, "cancelled")
        assert receiver.requests == []
    assert await attempts(gateway.engine) == []


async def test_a_reminder_whose_end_could_not_be_recorded_is_let_go_and_cancelled_by_whoever_claims_it_next(
    gateway: Gateway, on: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    async def fails_once(*given: Any) -> bool:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ValueError("a fault of ours")
        return await cancel_claimed(*given)

    monkeypatch.setattr("gateway.sending.record.cancel_claimed", fails_once)
    on(date(2098, 9, 1))
    await subscribe(gateway)
    on(DUE)
    await make(gateway)
    await receive(gateway)
    async with working(gateway, lease_seconds=0.5) as [worker]:
        await until_all(gateway.engine, "cancelled")
        await until(partial(_holds_nothing, worker))
    assert tries == 2


async def _holds_nothing(worker: Worker) -> bool:
    return worker._leases.count == 0


async def test_a_worker_sends_signed_reminders_by_its_own_clock_and_once(gateway: Gateway) -> None:
    today = civil_date(datetime.now(UTC))
    await load_regime(gateway, today + timedelta(days=2))
    async with receiving(answering("204 No Content")) as receiver:
        await subscribe(gateway, receiver.url, forms=["TEST_01"])
        async with working(gateway, 2, remind_seconds=0.05):
            await until(lambda: _delivered(gateway, 1))
            await asyncio.sleep(0.3)
        async with working(gateway, remind_seconds=0.05):
            await asyncio.sleep(0.3)
        [(headers, body)] = receiver.requests
    told = standardwebhooks.Webhook(SECRET).verify(body, headers)
    [delivery] = await deliveries(gateway.engine)
    assert headers["webhook-id"] == str(delivery["id"])
    assert told["type"] == "obligation.due"
    assert datetime.fromisoformat(told["timestamp"]) == delivery["made_at"]
    assert (
        told["data"].items()
        >= {
            "agency": DEPARTMENT,
            "form": "TEST_01",
            "regime": "TEST_DOT_XUAT",
            "state": "open",
            "due": str(today + timedelta(days=2)),
            "deadline": str(today + timedelta(days=2)),
            "report": None,
        }.items()
    )


async def _delivered(gateway: Gateway, count: int) -> bool:
    return await states(gateway.engine) == ["delivered"] * count


async def test_a_worker_notices_an_extension_while_it_runs(gateway: Gateway) -> None:
    today = civil_date(datetime.now(UTC))
    period = await load_regime(gateway, today + timedelta(days=1))
    async with receiving(answering("200 OK")) as receiver:
        await subscribe(gateway, receiver.url, forms=["TEST_01"])
        async with working(gateway, remind_seconds=0.05):
            await until(lambda: _delivered(gateway, 1))
            await extend(gateway, today + timedelta(days=3), granted_on=today, form="TEST_01", period=period)
            await until(lambda: _delivered(gateway, 2))
        days = [json.loads(body)["data"]["due"] for _, body in receiver.requests]
    assert days == [str(today + timedelta(days=1)), str(today + timedelta(days=3))]


async def test_one_webhook_is_told_of_reports_and_of_obligations(gateway: Gateway) -> None:
    today = civil_date(datetime.now(UTC))
    await load_regime(gateway, today)
    async with receiving(answering("200 OK")) as receiver:
        await subscribe(gateway, receiver.url, what="own", forms=["TEST_01"])
        report = await receive(gateway, **a_small_report())
        await end(gateway, report, Status.returned, "thiếu số liệu")
        async with working(gateway, remind_seconds=0.05):
            await until(lambda: _delivered(gateway, 3))
        told = [json.loads(body) for _, body in receiver.requests]
    by_type: dict[str, Any] = {each["type"]: each for each in told}
    assert by_type.keys() == {"report.accepted", "report.returned", "obligation.due"}
    accepted, returned = by_type["report.accepted"], by_type["report.returned"]
    assert (accepted["data"]["id"], accepted["data"]["status"]) == (str(report), "accepted")
    assert accepted["timestamp"] == accepted["data"]["received_at"]
    assert returned["data"] == {"event": "returned", "report": str(report), "reason": "thiếu số liệu"}
    assert returned["timestamp"] > accepted["timestamp"]
    assert [each["type"] for each in told if each["type"].startswith("report")] == [
        "report.accepted",
        "report.returned",
    ]


async def test_a_webhook_that_asks_for_no_reports_is_given_none_new_or_old(gateway: Gateway) -> None:
    await receive(gateway)
    await subscribe(gateway, **{"from": "2020-01-01"})
    await receive(gateway, period="2098-Q2")
    assert await deliveries(gateway.engine) == []


async def test_a_receiver_that_fails_is_tried_again_and_one_that_is_gone_is_left_to_a_person(gateway: Gateway) -> None:
    today = civil_date(datetime.now(UTC))
    await load_regime(gateway, today)
    async with receiving(_in_turn("500 Oops", "404 Not Found", "410 Gone", "200 OK")) as receiver:
        await subscribe(gateway, receiver.url, forms=["TEST_01"])
        async with working(gateway, remind_seconds=0.05):
            await until_all(gateway.engine, "refused")
            [reminder] = await deliveries(gateway.engine)
            assert (await retry_connector(gateway.engine, "reminded", anybody, BY)).retried == 1
            await until_all(gateway.engine, "delivered")
        assert {headers["webhook-id"] for headers, _ in receiver.requests} == {str(reminder["id"])}
        assert len({body for _, body in receiver.requests}) == 1
    assert [(each["status"], each["outcome"]) for each in await attempts(gateway.engine)] == [
        (500, "unreachable"),
        (404, "unreachable"),
        (410, "refused"),
        (200, "delivered"),
    ]


def _in_turn(*statuses: str) -> Answer:
    left = iter(statuses)

    async def answer(writer: asyncio.StreamWriter) -> None:
        await answering(next(left))(writer)

    return answer


# Beside reports.


async def _a_reminder_and_a_report(gateway: Gateway, on: Day) -> tuple[UUID, UUID]:
    """Deliveries of one key to one connector: a reminder, and then the report it is of."""
    on(date(2098, 9, 1))
    await subscribe(gateway, what="own")
    on(DUE)
    await make(gateway)
    await receive(gateway)
    reminder, report = [each["id"] for each in await deliveries(gateway.engine)]
    return reminder, report


async def test_a_report_does_not_wait_for_a_reminder_that_is_stuck(gateway: Gateway, on: Day) -> None:
    reminder, report = await _a_reminder_and_a_report(gateway, on)
    both = await claim(gateway.engine)
    assert {each.id for each in both} == {reminder, report}
    for each in both:
        if each.id == reminder:
            await finish(gateway.engine, each, AWAY, DEFAULT_SCHEDULE)
        else:
            await finish(gateway.engine, each)
    assert await states(gateway.engine) == ["pending", "delivered"]


async def test_a_reminder_does_not_wait_for_reports_that_are_stuck_and_their_order_stays(
    gateway: Gateway, on: Day
) -> None:
    on(date(2098, 9, 1))
    await subscribe(gateway, what="own")
    first, second = await receive_revisions(gateway, 2)
    [claimed] = await claim(gateway.engine)
    assert claimed.report == first
    await finish(gateway.engine, claimed, AWAY, DEFAULT_SCHEDULE)
    await end(gateway, second, Status.withdrawn)
    on(DUE)
    assert await make(gateway) == 1
    [reminder] = await claim(gateway.engine)
    assert (reminder.report, reminder.event) == (None, "due")
    assert await claim(gateway.engine) == []


async def test_a_refused_reminder_may_be_taken_up_again_after_later_reports_arrived(gateway: Gateway, on: Day) -> None:
    reminder, report = await _a_reminder_and_a_report(gateway, on)
    for each in await claim(gateway.engine):
        await finish(gateway.engine, each, REFUSED if each.id == reminder else replace(REFUSED, status=500))
    for each_id in (reminder, report):
        await retry_delivery(gateway.engine, each_id, anybody, BY)
    for each in await claim(gateway.engine):
        if each.id == report:
            await finish(gateway.engine, each)
        else:
            await finish(gateway.engine, each, REFUSED)
    kept = await retry_delivery(gateway.engine, reminder, anybody, BY)
    assert kept.state == "pending"


async def test_a_report_may_be_taken_up_again_whatever_was_reminded_of_since(gateway: Gateway, on: Day) -> None:
    on(date(2098, 9, 1))
    await subscribe(gateway, what="own")
    report = await receive(gateway)
    [claimed] = await claim(gateway.engine)
    await finish(gateway.engine, claimed, REFUSED)
    async with connected(gateway.engine) as connection:
        await connection.execute("UPDATE reports SET status = 'withdrawn', ended_xid = pg_current_xact_id()")
    on(DUE)
    await make(gateway)
    [reminder] = await claim(gateway.engine)
    await finish(gateway.engine, reminder)
    assert (await retry_delivery(gateway.engine, claimed.id, anybody, BY)).report_id == report


# What operators do.


async def test_reminders_that_are_not_asked_for_any_more_are_cancelled(gateway: Gateway, on: Day) -> None:
    on(date(2098, 9, 1))
    await subscribe(gateway)
    for day in (DUE, DUE + timedelta(days=1)):
        on(day)
        await make(gateway)
    await subscribe(gateway, remind={"overdue": True})
    assert await states(gateway.engine) == ["cancelled", "pending"]
    await subscribe(gateway, remind=None, what="own")
    assert await states(gateway.engine) == ["cancelled", "cancelled"]
    assert {each["outcome"] for each in await deliveries(gateway.engine)} == {
        "the connector does not ask for it any more"
    }
    assert await make(gateway) == 0


async def test_a_reminder_is_cancelled_and_taken_up_like_any_delivery(gateway: Gateway, on: Day) -> None:
    on(date(2098, 9, 1))
    await subscribe(gateway)
    on(DUE)
    await make(gateway)
    [reminder] = [each["id"] for each in await deliveries(gateway.engine)]
    assert (
        await give_up_delivery(gateway.engine, reminder, anybody, Cause(CLIENT, "đã gọi điện"))
    ).state == "cancelled"
    assert await make(gateway) == 0
    assert (await retry_delivery(gateway.engine, reminder, anybody, BY)).state == "pending"
    await end_connector(gateway.engine, uuid4(), "reminded", anybody)
    assert await states(gateway.engine) == ["cancelled"]
    with pytest.raises(StateConflict):
        await retry_delivery(gateway.engine, reminder, anybody, BY)
    assert await make(gateway) == 0
