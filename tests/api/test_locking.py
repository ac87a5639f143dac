"""Locked periods, the extensions that open them again, and returns."""

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from factories import a_form, a_monthly_report, a_monthly_row, a_regime, a_report, a_small_report, ndjson
from gateway.domain.calendar import civil_date
from gateway_under_test import (
    NOTHING,
    NewClient,
    accepted,
    asked,
    connected,
    counts,
    every_item,
    have,
    load,
    push,
    refused,
    shown,
)

SCOPES = ("catalog:write", "reports:write", "reports:read", "reports:review", "operations")
LONG_AGO = "2025-03"
"""A month that has been locked since 5 April 2025."""
FAR = "2098-12-01"


def day(ago: int) -> date:
    """The day so many days ago; below 0 lies ahead."""
    return civil_date(datetime.now(UTC)) - timedelta(days=ago)


PERIOD = f"{day(44)}/P5D"
"""It ended 40 days ago; a report was due 20 days ago."""


@pytest.fixture
async def client(client_for: NewClient) -> httpx.AsyncClient:
    """A client of the whole country, with a form that departments of Ha Noi report for ``PERIOD``."""
    client = await client_for(*SCOPES)
    await have(client, "/forms/TEST_01/versions/1", a_form(frequencies=["ad_hoc", "monthly"]))
    await regime(client, None)
    return client


async def regime(client: httpx.AsyncClient, lock_after_days: int | None, **changes: object) -> None:
    """Let the period lock so many days after its deadline: 30 is open still, 10 is locked."""
    document = a_regime(
        kind="thematic",
        frequency="ad_hoc",
        periods=[PERIOD],
        deadlines={"default": {"days": 20}},
        lock_after_days=lock_after_days,
        receiver="H26",
        **changes,
    )
    await have(client, "/regimes/TEST", document)


def a_late_report(**changes: object) -> dict[str, Any]:
    return a_small_report(period=PERIOD, **changes)


async def the_one(client: httpx.AsyncClient, agency: str = "H26.18", period: str = PERIOD) -> dict[str, Any]:
    (found,) = await every_item(client, "/obligations", agency=agency, period=period)
    return found


async def extend(client: httpx.AsyncClient, **changes: object) -> httpx.Response:
    document: dict[str, Any] = {"form": "TEST_01", "period": PERIOD, "until": FAR, "reason": "Mất kết nối do bão"}
    return await client.post("/v1/obligations/extensions", json=document | changes)


async def extended(client: httpx.AsyncClient, **changes: object) -> dict[str, Any]:
    answer = await extend(client, **changes)
    assert answer.status_code == 201, answer.text
    return shown(answer)


async def end(client: httpx.AsyncClient, report: str, how: str) -> httpx.Response:
    return await client.post(f"/v1/reports/{report}/{how}", json={"reason": "Sai số liệu"})


async def test_a_report_for_a_locked_period_is_refused_with_what_to_do_and_nothing_is_kept(
    client: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    before = await counts(engine)
    problem = refused(await push(client, a_monthly_report(period=LONG_AGO), key="k"), 409, "period-locked")
    locked = {"locked_since": "2025-04-05", "deadline": "2025-03-25", "regime": "KTXH", "ask": "G22"}
    assert {name: problem[name] for name in locked} == locked
    for word in ("H26", LONG_AGO, "KTXH_01", "G22"):
        assert word in problem["detail"]
    assert await counts(engine) == before == NOTHING | {"log_pending": before["log_pending"]}


async def test_a_lock_begins_the_day_after_the_last_day(client: httpx.AsyncClient) -> None:
    await regime(client, 20)
    assert (await the_one(client))["locks_after"] == day(0).isoformat()
    assert (await accepted(client, a_late_report(agency="H26.10")))["late"] is True
    await regime(client, 19)
    problem = refused(await push(client, a_late_report()), 409, "period-locked")
    assert (problem["locked_since"], problem["deadline"]) == (day(0).isoformat(), day(20).isoformat())
    assert (problem["regime"], problem["ask"]) == ("TEST", "H26")
    assert (await the_one(client))["state"] == "locked"


async def test_a_regime_that_never_locks_takes_reports_of_any_age(client: httpx.AsyncClient) -> None:
    assert (await accepted(client, a_report(period="2021-Q1", agency="H26")))["late"] is True
    assert (await accepted(client, a_late_report()))["late"] is True


async def test_who_should_be_asked_may_be_the_government(client: httpx.AsyncClient) -> None:
    await regime(client, 10)
    document = await asked(client, "/regimes/TEST")
    await have(client, "/regimes/TEST", document | {"receiver": None})
    problem = refused(await push(client, a_late_report()), 409, "period-locked")
    assert problem["ask"] is None
    assert "Chính phủ" in problem["detail"]


async def test_a_locked_line_of_a_batch_undoes_no_other(client: httpx.AsyncClient) -> None:
    sent = ndjson(a_monthly_report(), a_monthly_report(period=LONG_AGO), a_monthly_report(agency="H29"))
    answer = await push(client, sent, to="/batch")
    statuses = [line.count('"status":"accepted"') or line.count("period-locked") * 409 for line in answer.text.split()]
    assert [each for each in statuses if each] == [1, 409, 1]


async def test_bytes_that_were_kept_are_answered_after_the_lock_as_before(client: httpx.AsyncClient) -> None:
    first = await push(client, a_late_report(), key="k")
    await regime(client, 10)
    again = await push(client, a_late_report())
    assert (again.status_code, shown(again)["id"]) == (200, shown(first)["id"])
    replayed = await push(client, a_late_report(), key="k")
    assert (replayed.status_code, replayed.content) == (201, first.content)
    refused(await push(client, a_late_report(reason="khác")), 409, "period-locked")


async def test_what_was_accepted_before_the_lock_counts_and_is_not_shown_as_locked(client: httpx.AsyncClient) -> None:
    await accepted(client, a_late_report())
    await accepted(client, a_late_report(agency="H26.10", nil="not_applicable", rows=[]))
    await regime(client, 10)
    states = {each["agency"]: each["state"] for each in await every_item(client, "/obligations", period=PERIOD)}
    assert states.pop("H26.18") == "late"
    assert states.pop("H26.10") == "excused"
    assert set(states.values()) == {"locked"}


async def test_a_locked_report_is_neither_corrected_nor_withdrawn(
    client: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    first = await accepted(client, a_late_report())
    await regime(client, 10)
    before = await counts(engine)
    refused(await push(client, a_late_report(corrects=first["id"], reason="sửa")), 409, "period-locked")
    problem = refused(await end(client, first["id"], "withdraw"), 409, "period-locked")
    assert (problem["regime"], problem["ask"]) == ("TEST", "H26")
    assert await counts(engine) == before
    assert (await asked(client, f"/reports/{first['id']}"))["status"] == "accepted"


async def test_a_withdrawal_before_the_lock_may_be_repeated_after_it(client: httpx.AsyncClient) -> None:
    first = await accepted(client, a_late_report())
    assert (await end(client, first["id"], "withdraw")).status_code == 200
    await regime(client, 10)
    assert shown(await end(client, first["id"], "withdraw"))["status"] == "withdrawn"


async def test_a_rejected_report_of_a_locked_period_is_refused_as_locked_not_judged(
    client: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    await regime(client, 10)
    before = await counts(engine)
    refused(await push(client, a_late_report(rows=[])), 409, "period-locked")
    assert await counts(engine) == before


async def test_an_extension_opens_the_period_for_one_agency_and_stays_on_record(client: httpx.AsyncClient) -> None:
    granted = await extended(client, form="KTXH_01", period=LONG_AGO, agency="H26")
    assert granted == {
        "id": granted["id"],
        "form": "KTXH_01",
        "period": LONG_AGO,
        "agency": "H26",
        "whose": "agency",
        "until": FAR,
        "reason": "Mất kết nối do bão",
        "granted_on": day(0).isoformat(),
    }
    found = await the_one(client, "H26", LONG_AGO)
    assert (found["state"], found["deadline"], found["due"], found["locks_after"]) == ("open", "2025-03-25", FAR, FAR)
    assert (await accepted(client, a_monthly_report(period=LONG_AGO)))["late"] is True
    assert (await the_one(client, "H26", LONG_AGO))["state"] == "late"
    refused(await push(client, a_monthly_report(period=LONG_AGO, agency="H29")), 409, "period-locked")
    refused(await push(client, a_monthly_report(period="2025-04")), 409, "period-locked")
    assert (await asked(client, "/obligations/extensions"))["items"] == [granted]


async def test_corrections_and_withdrawals_are_open_again_too(client: httpx.AsyncClient) -> None:
    first = await accepted(client, a_late_report())
    await regime(client, 10)
    await extended(client, agency="H26.18", until=day(0).isoformat())
    second = await accepted(client, a_late_report(corrects=first["id"], rows=[{"sector": "LAND", "amount": 6}]))
    assert second["late"] is True
    assert shown(await end(client, second["id"], "withdraw"))["status"] == "withdrawn"
    assert (await accepted(client, a_late_report(reason="gửi lại")))["late"] is True


@pytest.mark.parametrize(
    ("whose", "opened"),
    [
        ({"agency": "H26.18"}, {"H26.18"}),
        ({"agency": "H26-18"}, {"H26.18"}),
        ({"under": "H26.18"}, {"H26.18"}),
        ({"under": "H26"}, {f"H26.{number}" for number in range(10, 22)}),
        ({"under": "000.00.00.H26"}, {f"H26.{number}" for number in range(10, 22)}),
        ({"agency": "H26.18", "under": None}, {"H26.18"}),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
async def test_an_extension_is_for_whom_it_names(
    client: httpx.AsyncClient, whose: dict[str, Any], opened: set[str]
) -> None:
    await regime(client, 10)
    await extended(client, **whose)
    found = await every_item(client, "/obligations", period=PERIOD)
    assert {each["agency"] for each in found if each["state"] == "open"} == opened
    assert {each["agency"] for each in found if each["state"] == "locked"} == {
        each["agency"] for each in found
    } - opened
    for agency in ("H26.18", "H26.10"):
        answer = await push(client, a_late_report(agency=agency))
        assert answer.status_code == (201 if agency in opened else 409)


async def test_a_level_above_extends_for_all_below_it_but_not_for_itself(
    client: httpx.AsyncClient, client_for: NewClient
) -> None:
    await regime(client, 10, who=[{"levels": ["department", "province"], "under": "H26"}])
    province = await client_for("operations", agency="H26")
    granted = await extended(province, under="H26")
    assert (granted["agency"], granted["whose"]) == ("H26", "below")
    found = {each["agency"]: each["state"] for each in await every_item(client, "/obligations", period=PERIOD)}
    assert found.pop("H26") == "locked"
    assert set(found.values()) == {"open"}
    assert (await extended(client, under="H26"))["whose"] == "subtree"
    assert (await the_one(client, "H26"))["state"] == "open"


WHO_MAY: tuple[tuple[str | None, dict[str, str]], ...] = (
    (None, {"agency": "H26.18"}),
    (None, {"agency": "H26"}),
    (None, {"under": "H26"}),
    ("H26", {"agency": "H26.18"}),
    ("H26", {"under": "H26.18"}),
    ("H26", {"under": "H26"}),
)
WHO_MAY_NOT: tuple[tuple[str | None, dict[str, str], int], ...] = (
    ("H26", {"agency": "H26"}, 403),
    ("H26", {"agency": "000.00.00.H26"}, 403),
    ("H26.18", {"agency": "H26.18"}, 403),
    ("H26.18", {"agency": "H26.10"}, 403),
    ("H26.18", {"agency": "H26"}, 403),
    ("H26.18", {"under": "H26"}, 403),
    ("H26.18", {"under": "H26.18"}, 409),
    ("H29", {"agency": "H26.18"}, 403),
    ("H29", {"under": "H26"}, 403),
    ("H29", {"under": "H29"}, 409),
    ("H29", {"agency": "H99"}, 403),
    (None, {"agency": "H99"}, 404),
    (None, {"under": ""}, 404),
)


async def test_only_a_level_above_extends(client: httpx.AsyncClient, client_for: NewClient) -> None:
    await regime(client, 10, who=[{"levels": ["department", "province"], "under": "H26"}])
    slugs = {403: "forbidden", 404: "not-found", 409: "state-conflict"}
    for caller, whose, status in WHO_MAY_NOT:
        refused(await extend(await client_for("operations", agency=caller), **whose), status, slugs[status])
    assert (await asked(client, "/obligations/extensions"))["items"] == []
    for caller, whose in WHO_MAY:
        await extended(await client_for("operations", agency=caller), **whose)
    assert len((await asked(client, "/obligations/extensions"))["items"]) == len(WHO_MAY)


async def test_extending_takes_the_scope_of_operations(client: httpx.AsyncClient, client_for: NewClient) -> None:
    other = await client_for("reports:write", "reports:read", "reports:review", "catalog:write")
    assert refused(await extend(other, agency="H26.18"), 403, "forbidden")["scope"] == "operations"


NOTHING_OWED: tuple[dict[str, Any], ...] = (
    {"agency": "H26"},
    {"agency": "H29.18"},
    {"under": "H29"},
    {"agency": "H26.18", "period": "2025-03"},
    {"agency": "H26.18", "form": "KTXH_01", "period": "2025-03"},
    {"agency": "H26", "form": "KTXH_01", "period": "2025-Q1"},
    {"under": "H26.18", "form": "KTXH_01", "period": "2025-03"},
)


async def test_what_nobody_owes_is_not_extended(client: httpx.AsyncClient) -> None:
    for changes in NOTHING_OWED:
        refused(await extend(client, **changes), 409, "state-conflict")
    assert (await asked(client, "/obligations/extensions"))["items"] == []


MALFORMED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"until": day(1).isoformat()}, "/until"),
    ({"until": "2025-01-01"}, "/until"),
    ({"until": "tomorrow"}, "/until"),
    ({"until": "2098-W01-1"}, "/until"),
    ({"until": "2098-02-30"}, "/until"),
    ({"until": None}, "/until"),
    ({"until": 5}, "/until"),
    ({"agency": None}, "/agency"),
    ({"under": "H26"}, "/agency"),
    ({"agency": 5}, "/agency"),
    ({"period": "2025-03,2025-04"}, "/period"),
    ({"period": "2025-03..2025-04"}, "/period"),
    ({"period": "2025-13"}, "/period"),
    ({"period": ""}, "/period"),
    ({"reason": ""}, "/reason"),
    ({"reason": "  \n "}, "/reason"),
    ({"reason": "x" * 4001}, "/reason"),
    ({"reason": None}, "/reason"),
    ({"note": "x"}, "/note"),
    ({"granted_on": "2025-03-01"}, "/granted_on"),
)


async def test_a_malformed_extension_names_its_place(client: httpx.AsyncClient) -> None:
    for changes, place in MALFORMED:
        problem = refused(await extend(client, **({"agency": "H26.18"} | changes)), 400, "malformed-request")
        assert [each["pointer"].lstrip("/") for each in problem["errors"]] == [place.lstrip("/")], changes
    assert (await asked(client, "/obligations/extensions"))["items"] == []


async def test_an_extension_of_an_unknown_form_is_not_found(client: httpx.AsyncClient) -> None:
    refused(await extend(client, agency="H26.18", form="NOPE"), 404, "not-found")


@pytest.mark.parametrize("until", ["9999-12-31", "2199-12-31"])
async def test_an_extension_far_ahead_leaves_everything_answering(client: httpx.AsyncClient, until: str) -> None:
    answer = await extend(client, form="KTXH_01", period="2098-07", agency="H26", until=until)
    assert answer.status_code in {201, 400}, answer.text
    assert len(await every_item(client, "/obligations", period="2098-07")) == 34
    assert (await accepted(client, a_monthly_report()))["late"] is False


MOVED: tuple[tuple[str, int, int, bool, str], ...] = (
    ("granted before the deadline", 25, -1, False, "fulfilled"),
    ("granted on the deadline's day", 20, -1, False, "fulfilled"),
    ("granted on the deadline's day until today", 20, 0, False, "fulfilled"),
    ("granted the day after", 19, -1, True, "late"),
    ("granted before the deadline, and over", 25, 5, True, "late"),
    ("granted before the deadline until before it", 30, 22, True, "late"),
)


@pytest.mark.parametrize(("why", "granted", "until", "late", "state"), MOVED, ids=[each[0] for each in MOVED])
async def test_more_time_granted_by_the_deadline_moves_it_and_granted_later_only_opens_the_period(
    client: httpx.AsyncClient, engine: AsyncEngine, why: str, granted: int, until: int, late: bool, state: str
) -> None:
    await regime(client, 30)
    await load(engine, ("extension", an_extension(granted, until)))
    found = await the_one(client)
    moved = granted >= 20 and until < 20
    assert found["deadline"] == day(until if moved else 20).isoformat(), why
    assert found["due"] == day(min(until, 20)).isoformat()
    assert found["locks_after"] == day((until if moved else 20) - 30).isoformat()
    assert (await accepted(client, a_late_report()))["late"] is late
    assert (await the_one(client))["state"] == state


def an_extension(granted: int, until: int, **changes: object) -> dict[str, Any]:
    """An extension as it was recorded so many days ago, until so many days ago."""
    return {
        "id": str(uuid7()),
        "form": "TEST_01",
        "period": PERIOD,
        "agency": "H26.18",
        "whose": "agency",
        "until": day(until).isoformat(),
        "reason": "bão",
        "granted_on": day(granted).isoformat(),
        **changes,
    }


async def test_an_opened_period_locks_again_when_the_time_given_is_over(
    client: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    await regime(client, 10)
    await load(engine, ("extension", an_extension(9, 1)))
    problem = refused(await push(client, a_late_report()), 409, "period-locked")
    assert problem["locked_since"] == day(0).isoformat()
    assert (await the_one(client))["state"] == "locked"
    await extended(client, agency="H26.18", until=day(0).isoformat())
    assert (await accepted(client, a_late_report()))["late"] is True


async def test_the_longest_of_several_extensions_holds(client: httpx.AsyncClient, engine: AsyncEngine) -> None:
    await regime(client, 10)
    for granted, until, changes in ((9, -3, {}), (5, 2, {"agency": "H26", "whose": "below"}), (3, -1, {})):
        await load(engine, ("extension", an_extension(granted, until, **changes)))
    found = await the_one(client)
    assert (found["deadline"], found["due"], found["locks_after"]) == (
        day(20).isoformat(),
        day(-3).isoformat(),
        day(-3).isoformat(),
    )
    assert (await the_one(client, "H26.10"))["due"] == day(2).isoformat()


async def test_deadlines_may_be_moved_more_than_once(client: httpx.AsyncClient, engine: AsyncEngine) -> None:
    await regime(client, 10)
    await load(engine, ("extension", an_extension(21, 12)), ("extension", an_extension(13, -1)))
    found = await the_one(client)
    assert (found["deadline"], found["locks_after"]) == (day(-1).isoformat(), day(-11).isoformat())
    assert (await accepted(client, a_late_report()))["late"] is False


async def test_a_period_ahead_is_extended_too(client: httpx.AsyncClient) -> None:
    await extended(client, form="KTXH_01", period="2098-07", under="H26", until="2098-08-20")
    found = await the_one(client, "H26", "2098-07")
    assert (found["state"], found["deadline"], found["locks_after"]) == ("upcoming", "2098-08-20", "2098-08-30")
    assert (await the_one(client, "H29", "2098-07"))["deadline"] == "2098-07-25"


async def pass_days(engine: AsyncEngine, report: str, days: int) -> None:
    """Let so many days pass since a report was returned."""
    async with connected(engine) as connection:
        await connection.execute(
            "UPDATE report_events SET at = at - make_interval(days => $2) WHERE report_id = $1 AND event = 'returned'",
            report,
            days,
        )


REOPENED: tuple[tuple[int, int | None, int, bool], ...] = (
    (10, None, 0, True),
    (10, None, 10, True),
    (10, None, 11, False),
    (10, 3, 3, True),
    (10, 3, 4, False),
    (10, 15, 15, True),
    (10, 15, 16, False),
    (0, None, 10, True),
    (0, None, 11, False),
)
"""Lock after so many days, reopened for so many, days that have passed since the return, and whether it is open."""


@pytest.mark.parametrize(("lock", "reopen", "passed", "is_open"), REOPENED, ids=str)
async def test_a_return_opens_a_locked_period_for_the_days_of_its_regime(
    client: httpx.AsyncClient, engine: AsyncEngine, lock: int, reopen: int | None, passed: int, is_open: bool
) -> None:
    first = await accepted(client, a_late_report())
    await regime(client, lock, reopen_days=reopen)
    assert shown(await end(client, first["id"], "return"))["status"] == "returned"
    await pass_days(engine, first["id"], passed)
    found = await the_one(client)
    assert found["state"] == ("open" if is_open else "locked")
    assert found["report"]["returned_on"] == day(passed).isoformat()
    correction = await push(client, a_late_report(corrects=first["id"], reason="sửa"))
    if not is_open:
        refused(correction, 409, "period-locked")
        refused(await end(client, first["id"], "withdraw"), 409, "period-locked")
        assert (await the_one(client))["report"]["status"] == "returned"
        return
    assert (correction.status_code, shown(correction)["late"]) == (201, True)
    assert (await the_one(client))["state"] == "late"
    refused(await push(client, a_late_report(agency="H26.10")), 409, "period-locked")


async def test_a_returned_and_withdrawn_report_may_be_sent_anew_within_those_days(
    client: httpx.AsyncClient,
) -> None:
    first = await accepted(client, a_late_report())
    await regime(client, 10)
    assert (await end(client, first["id"], "return")).status_code == 200
    assert (await end(client, first["id"], "withdraw")).status_code == 200
    assert (await the_one(client, "H26.18"))["state"] == "open"
    second = await accepted(client, a_late_report(reason="gửi lại"))
    assert second["revision"] == 2


async def test_within_the_days_of_a_return_a_correction_may_itself_be_corrected(client: httpx.AsyncClient) -> None:
    first = await accepted(client, a_late_report())
    await regime(client, 10)
    assert (await end(client, first["id"], "return")).status_code == 200
    second = await accepted(client, a_late_report(corrects=first["id"], reason="sửa"))
    third = await accepted(client, a_late_report(corrects=second["id"], reason="sửa nữa"))
    assert third["revision"] == 3


async def test_a_withdrawn_report_is_not_taken_again_once_those_days_are_over(
    client: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    first = await accepted(client, a_late_report())
    await regime(client, 10)
    assert (await end(client, first["id"], "return")).status_code == 200
    assert (await end(client, first["id"], "withdraw")).status_code == 200
    async with connected(engine) as connection:
        await connection.execute("UPDATE report_events SET at = at - interval '11 days'")
    assert (await the_one(client, "H26.18"))["state"] == "locked"
    refused(await push(client, a_late_report(reason="gửi lại")), 409, "period-locked")


async def test_a_return_reopens_for_its_agency_only(client: httpx.AsyncClient) -> None:
    first = await accepted(client, a_late_report())
    other = await accepted(client, a_late_report(agency="H26.10"))
    await regime(client, 10)
    await end(client, first["id"], "return")
    refused(await push(client, a_late_report(agency="H26.10", corrects=other["id"], reason="x")), 409, "period-locked")
    await accepted(client, a_late_report(corrects=first["id"], reason="x"))


async def test_the_sender_sees_why_and_a_correction_inherits_that_it_was_on_time(
    client: httpx.AsyncClient, client_for: NewClient, engine: AsyncEngine
) -> None:
    await load(engine, ("extension", an_extension(20, -1)))
    sender = await client_for(agency="H26.18")
    first = await accepted(sender, a_late_report())
    assert first["late"] is False
    reviewer = await client_for("reports:review", agency="H26")
    assert (await end(reviewer, first["id"], "return")).status_code == 200
    seen = await asked(sender, f"/reports/{first['id']}")
    assert (seen["status"], seen["ended"]["reason"]) == ("returned", "Sai số liệu")
    (found,) = await every_item(sender, "/obligations", period=PERIOD)
    assert (found["state"], found["report"]["id"]) == ("open", first["id"])
    second = await accepted(sender, a_late_report(corrects=first["id"], reason="sửa"))
    assert second["late"] is False
    assert (await the_one(sender))["state"] == "fulfilled"


async def test_a_long_lock_does_not_shorten_what_a_return_gives(client: httpx.AsyncClient, engine: AsyncEngine) -> None:
    await regime(client, 30, reopen_days=2)
    first = await accepted(client, a_late_report())
    await end(client, first["id"], "return")
    await pass_days(engine, first["id"], 5)
    assert (await the_one(client))["state"] == "overdue", "the days of the return are over, the lock has not come"
    await accepted(client, a_late_report(corrects=first["id"], reason="sửa"))


Fill = Callable[[], Awaitable[list[dict[str, Any]]]]


@pytest.fixture
def fill(client: httpx.AsyncClient) -> Fill:
    async def fill() -> list[dict[str, Any]]:
        """Extensions for several agencies, forms and periods, oldest first."""
        return [
            await extended(client, agency="H26.18"),
            await extended(client, under="H26"),
            await extended(client, form="KTXH_01", period="2025-03", agency="H29"),
            await extended(client, form="KTXH_01", period="2025-04", under="H26"),
            await extended(client, agency="H26.18", reason="thêm lần nữa"),
        ]

    return fill


@pytest.mark.parametrize("limit", [1, 2, 5, 1000])
async def test_extensions_are_listed_newest_first(client: httpx.AsyncClient, fill: Fill, limit: int) -> None:
    made = await fill()
    assert await every_item(client, "/obligations/extensions", limit=limit) == made[::-1]


async def test_extensions_are_filtered_and_bounded_by_the_subtree(
    client: httpx.AsyncClient, client_for: NewClient, fill: Fill
) -> None:
    made = await fill()

    async def places(client: httpx.AsyncClient, **parameters: Any) -> list[int]:
        return [made.index(each) for each in await every_item(client, "/obligations/extensions", **parameters)][::-1]

    assert await places(client, agency="H26.18") == [0, 4]
    assert await places(client, under="H26") == [0, 1, 3, 4]
    assert await places(client, form="KTXH_01") == [2, 3]
    assert await places(client, period="2025-03,2025-04") == [2, 3]
    assert await places(client, period=PERIOD, agency="H26") == [1]
    province = await client_for("reports:read", agency="H29")
    assert await places(province) == [2]
    for parameters in ({"agency": "H26"}, {"under": "H26.18"}):
        refused(await province.get("/v1/obligations/extensions", params=parameters), 403, "forbidden")
    for parameters in ({"period": "x"}, {"agency": "H29", "under": "H29"}, {"cursor": "x"}, {"limit": "0"}):
        refused(await client.get("/v1/obligations/extensions", params=parameters), 400, "malformed-request")


async def test_what_is_only_tried_is_judged_without_the_lock(client: httpx.AsyncClient) -> None:
    document = a_monthly_report(period=LONG_AGO, rows=[a_monthly_row(retail_sales=-1)])
    answer = await push(client, document, to="/validate")
    assert (answer.status_code, shown(answer)["accepted"]) == (200, False)
