"""Obligations over HTTP: they follow from regimes and agencies, and say where each report stands."""

from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

import httpx
import pytest

from factories import a_form, a_regime, a_report, a_small_report, an_agency
from gateway.domain.calendar import civil_date
from gateway_under_test import NewClient, accepted, asked, every_item, findings, have, push, refused, rules, shown

FREQUENCIES = ["weekly", "monthly", "quarterly", "half_yearly", "nine_months", "annual", "ad_hoc"]
DEPARTMENTS = [f"H26.{number}" for number in range(10, 22)]
STATES = ["upcoming", "open", "overdue", "fulfilled", "late", "excused", "locked"]


def today() -> date:
    return civil_date(datetime.now(UTC))


def a_span(ended: int, days: int = 5) -> str:
    """A period of so many days that ended so many days ago (below 0: that will end)."""
    start = today() - timedelta(days=ended + days - 1)
    return f"{start}/P{days}D"


AHEAD, RUNNING, OPEN, OVERDUE, LOCKED = a_span(-30), a_span(-10, 20), a_span(10), a_span(35), a_span(100)
SPANS = [LOCKED, OVERDUE, OPEN, RUNNING, AHEAD]
"""Periods in order of time. With 20 days until the deadline and a lock 30 days later, each is in another state."""


@pytest.fixture
async def client(client_for: NewClient) -> httpx.AsyncClient:
    """A client of the whole country, with a form that may be reported for any period and is in no regime."""
    client = await client_for("catalog:write", "reports:write", "reports:read", "reports:review")
    await have(client, "/forms/TEST_01/versions/1", a_form(frequencies=FREQUENCIES))
    return client


@pytest.fixture
async def spanned(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """The same, and the departments of Ha Noi report the form for ``SPANS``."""
    regime = a_regime(
        kind="thematic",
        frequency="ad_hoc",
        periods=SPANS,
        deadlines={"default": {"days": 20}},
        lock_after_days=30,
    )
    await have(client, "/regimes/TEST", regime)
    return client


async def obligations(client: httpx.AsyncClient, **parameters: Any) -> list[dict[str, Any]]:
    return await every_item(client, "/obligations", **{"form": "TEST_01", "limit": 1000, **parameters})


async def the_one(client: httpx.AsyncClient, agency: str, period: str, **parameters: Any) -> dict[str, Any]:
    (found,) = await obligations(client, agency=agency, period=period, **parameters)
    return found


async def owing(client: httpx.AsyncClient, period: str, **parameters: Any) -> list[str]:
    return [each["agency"] for each in await obligations(client, period=period, **parameters)]


async def end(client: httpx.AsyncClient, report: str, how: str) -> None:
    answer = await client.post(f"/v1/reports/{report}/{how}", json={"reason": "Sai số liệu"})
    assert answer.status_code == 200, answer.text


NOT_APPLICABLE = {"nil": "not_applicable", "rows": []}
NOTHING_TO_REPORT = {"nil": "nothing_to_report", "rows": []}
STANDING: tuple[tuple[str, str, dict[str, Any] | None, str], ...] = (
    ("ahead", AHEAD, None, "upcoming"),
    ("running", RUNNING, None, "upcoming"),
    ("closed and not yet due", OPEN, None, "open"),
    ("past its deadline", OVERDUE, None, "overdue"),
    ("past its lock", LOCKED, None, "locked"),
    ("reported ahead", AHEAD, {}, "fulfilled"),
    ("reported while it runs", RUNNING, {}, "fulfilled"),
    ("reported in time", OPEN, {}, "fulfilled"),
    ("reported late", OVERDUE, {}, "late"),
    ("nothing to report, in time", OPEN, NOTHING_TO_REPORT, "fulfilled"),
    ("nothing to report, late", OVERDUE, NOTHING_TO_REPORT, "late"),
    ("not applicable, in time", OPEN, NOT_APPLICABLE, "excused"),
    ("not applicable, late", OVERDUE, NOT_APPLICABLE, "excused"),
)


@pytest.mark.parametrize(("why", "period", "sent", "state"), STANDING, ids=[why for why, _, _, _ in STANDING])
async def test_an_obligation_stands_where_its_day_and_its_report_put_it(
    spanned: httpx.AsyncClient, why: str, period: str, sent: dict[str, Any] | None, state: str
) -> None:
    if sent is not None:
        await accepted(spanned, a_small_report(period=period, **sent))
    assert (await the_one(spanned, "H26.18", period))["state"] == state, why
    others = {each["state"] for each in await obligations(spanned, period=period) if each["agency"] != "H26.18"}
    assert len(others) == 1
    for each in STATES:
        found = await owing(spanned, period, agency="H26.18", state=each)
        assert found == (["H26.18"] if each == state else [])


async def test_an_obligation_shows_its_days_and_the_current_report(spanned: httpx.AsyncClient) -> None:
    start, end_day = (today() - timedelta(days=days) for days in (14, 10))
    due, locks = end_day + timedelta(days=20), end_day + timedelta(days=50)
    expected = {
        "regime": "TEST",
        "form": "TEST_01",
        "agency": "H26.18",
        "name": "Sở Xây dựng thành phố Hà Nội",
        "period": OPEN,
        "kind": "own",
        "state": "open",
        "start": start.isoformat(),
        "cutoff": end_day.isoformat(),
        "deadline": due.isoformat(),
        "due": due.isoformat(),
        "locks_after": locks.isoformat(),
        "report": None,
    }
    found = await the_one(spanned, "H26.18", OPEN)
    assert found | {"name": expected["name"]} == expected
    assert "Hà Nội" in found["name"]
    taken = await accepted(spanned, a_small_report(period=OPEN))
    found = await the_one(spanned, "H26.18", OPEN)
    assert found["report"] == {
        "id": taken["id"],
        "revision": 1,
        "status": "accepted",
        "received_at": taken["received_at"],
        "late": False,
        "returned_on": None,
    }


async def test_an_obligation_follows_its_report_through_correction_return_and_withdrawal(
    spanned: httpx.AsyncClient,
) -> None:
    async def stands(period: str = OPEN) -> tuple[str, int | None, str | None]:
        found = await the_one(spanned, "H26.18", period)
        report = found["report"] or {"revision": None, "status": None}
        return found["state"], report["revision"], report["status"]

    rejected = await push(spanned, a_small_report(period=OPEN, rows=[{"sector": "LAND", "amount": -1}]))
    assert rejected.status_code == 422
    assert await stands() == ("open", None, None)
    first = await accepted(spanned, a_small_report(period=OPEN))
    second = await accepted(spanned, a_small_report(period=OPEN, corrects=first["id"]))
    assert await stands() == ("fulfilled", 2, "accepted")
    await end(spanned, second["id"], "return")
    assert await stands() == ("open", 2, "returned")
    assert (await the_one(spanned, "H26.18", OPEN))["report"]["returned_on"] == today().isoformat()
    third = await accepted(spanned, a_small_report(period=OPEN, corrects=second["id"], rows=[], nil="not_applicable"))
    assert await stands() == ("excused", 3, "accepted")
    await end(spanned, third["id"], "withdraw")
    assert await stands() == ("open", None, None)


async def test_a_returned_report_is_open_again_after_its_deadline(spanned: httpx.AsyncClient) -> None:
    taken = await accepted(spanned, a_small_report(period=OVERDUE))
    await end(spanned, taken["id"], "return")
    found = await the_one(spanned, "H26.18", OVERDUE)
    assert (found["state"], found["report"]["late"], found["report"]["status"]) == ("open", True, "returned")
    again = await accepted(spanned, a_small_report(period=OVERDUE, corrects=taken["id"], reason="sửa"))
    assert again["late"] is True
    assert (await the_one(spanned, "H26.18", OVERDUE))["state"] == "late"


async def test_several_states_may_be_asked_for(spanned: httpx.AsyncClient) -> None:
    await accepted(spanned, a_small_report(agency="H26.10", period=OPEN))
    await accepted(spanned, a_small_report(agency="H26.11", period=OVERDUE))
    everything = await obligations(spanned, period=",".join(SPANS))
    assert len(everything) == 60
    by_state = {state: [each for each in everything if each["state"] == state] for state in STATES}
    assert {state: len(found) for state, found in by_state.items()} == {
        "upcoming": 24,
        "open": 11,
        "overdue": 11,
        "fulfilled": 1,
        "late": 1,
        "excused": 0,
        "locked": 12,
    }
    for states in (["overdue", "locked"], ["late", "fulfilled", "excused"], STATES, STATES[:1] * 2):
        found = await obligations(spanned, period=",".join(SPANS), state=states)
        assert found == [each for each in everything if each["state"] in states]


@pytest.mark.parametrize("states", [[], ["upcoming"], ["overdue", "open"]], ids=str)
async def test_pages_hold_every_obligation_once_and_in_order(spanned: httpx.AsyncClient, states: list[str]) -> None:
    counts = {"upcoming": 24, "open": 12, "overdue": 12, "locked": 12}
    for limit in (1, 2, 7, 11, 12, 13, 48, 59, 60, 1000):
        found = await obligations(spanned, period=",".join(SPANS), limit=limit, state=states)
        places = [(each["cutoff"], each["form"], each["agency"]) for each in found]
        assert places == sorted(set(places))
        assert len(found) == sum(counts[each] for each in states or counts)


async def test_a_page_ends_where_the_list_ends(spanned: httpx.AsyncClient) -> None:
    for limit, more in ((11, True), (12, False), (13, False)):
        page = await asked(spanned, "/obligations", form="TEST_01", period=OPEN, limit=limit)
        assert (page["next"] is not None) is more


async def test_pages_lose_nothing_where_regimes_cut_one_period_differently(client: httpx.AsyncClient) -> None:
    for number, day in ((10, 20), (11, 5), (12, 28), (13, 14), (14, 5)):
        who = [{"agencies": [f"H26.{number}", f"H29.{number}"]}]
        await have(client, f"/regimes/R{number}", a_regime(code=f"R{number}", who=who, cutoff={"day": day}))
    periods = "2098-Q1,2098-Q2,2098-Q3"
    agencies = [f"{province}.{number}" for province in ("H26", "H29") for number in range(10, 15)]
    for limit in (1, 3, 5, 100):
        found = [(each["agency"], each["period"]) for each in await obligations(client, period=periods, limit=limit)]
        assert sorted(found) == sorted((agency, period) for agency in agencies for period in periods.split(","))


async def test_own_figures_and_a_consolidation_are_two_obligations(client: httpx.AsyncClient) -> None:
    who = [{"agencies": ["H26", "H26.18"]}, {"agencies": ["H26"], "report_kind": "consolidation"}]
    await have(client, "/regimes/TEST", a_regime(who=who))
    both = await obligations(client, period="2098-Q3")
    assert [(each["agency"], each["kind"]) for each in both] == [
        ("H26", "consolidation"),
        ("H26", "own"),
        ("H26.18", "own"),
    ]
    for kind in ("own", "consolidation"):
        found = await obligations(client, period="2098-Q3", kind=kind)
        assert found == [each for each in both if each["kind"] == kind]
    await accepted(client, a_small_report(agency="H26", kind="consolidation"))
    states = {(each["agency"], each["kind"]): each["state"] for each in await obligations(client, period="2098-Q3")}
    assert states == {
        ("H26", "consolidation"): "fulfilled",
        ("H26", "own"): "upcoming",
        ("H26.18", "own"): "upcoming",
    }
    for limit in (1, 2, 3):
        assert len(await obligations(client, period="2098-Q3", limit=limit)) == 3


async def test_obligations_are_asked_for_by_agency_subtree_form_and_period(client: httpx.AsyncClient) -> None:
    who = [{"levels": ["department", "province"], "under": "H26"}, {"agencies": ["H29.18"]}]
    await have(client, "/regimes/TEST", a_regime(who=who))
    assert await owing(client, "2098-Q3", under="H26") == ["H26", *DEPARTMENTS]
    assert await owing(client, "2098-Q3", under="H26.18") == ["H26.18"]
    assert await owing(client, "2098-Q3", agency="H26") == ["H26"]
    assert await owing(client, "2098-Q3", under="H29") == ["H29.18"]
    assert await owing(client, "2098-Q3", agency="G01") == []
    assert await owing(client, "2098", under="H26") == []
    assert await owing(client, "2098-Q1..2098-Q3", agency="H26.18") == ["H26.18"] * 3
    for form, expected in (("TEST_01", {"TEST_01"}), ("KTXH_01", set()), (None, {"TEST_01", "TTHC_06A"})):
        parameters = {"agency": "H26.18", "period": "2098-Q3"} | ({} if form is None else {"form": form})
        found = await every_item(client, "/obligations", **parameters)
        assert {each["form"] for each in found} == expected


async def test_the_whole_country_owes_the_bundled_form_for_three_quarters_and_the_year(
    country: httpx.AsyncClient,
) -> None:
    (commune,) = await obligations(country, form="TTHC_06A", period="2026-Q3", agency="H26.00004")
    assert commune["deadline"] == "2026-09-18"
    communes, departments, itself = 126, 12, 1
    for period in ("2026-Q1", "2026-Q2", "2026-Q3", "2026"):
        found = await owing(country, period, form="TTHC_06A", under="H26")
        assert len(set(found)) == len(found) == communes + departments + itself
    for period in ("2026-Q4", "2026-S1", "2026-9M", "2026-09", "2026-W30"):
        assert await owing(country, period, form="TTHC_06A", under="H26") == []
    assert len(await obligations(country, form="KTXH_01", period="2026-09")) == 34


async def test_a_client_sees_its_own_subtree_without_asking(spanned: httpx.AsyncClient, client_for: NewClient) -> None:
    await have(spanned, "/regimes/MORE", a_regime(code="MORE", who=[{"levels": ["department"]}], frequency="annual"))
    for agency, expected in (("H26.18", ["H26.18"]), ("H29.18", ["H29.18"]), ("H26", DEPARTMENTS)):
        own = await client_for("aggregates:read", agency=agency)
        assert await owing(own, "2098") == expected
    for asked_for in ({"agency": "H29"}, {"under": "H29"}, {"agency": "G01"}, {"under": "H99"}, {"agency": "H26"}):
        refused(await own_of(client_for, asked_for), 403, "forbidden")


async def own_of(client_for: NewClient, parameters: dict[str, str]) -> httpx.Response:
    own = await client_for("reports:read", agency="H26.18")
    return await own.get("/v1/obligations", params=parameters)


@pytest.mark.parametrize("name", ["H26.18", "H26-18", "h26.18", "GSO:01", "000.00.00.H26", "000-00-00-H26", "H26"])
async def test_an_agency_may_be_named_by_its_alias(
    spanned: httpx.AsyncClient, client_for: NewClient, name: str
) -> None:
    if name == "h26.18":
        refused(await spanned.get("/v1/obligations", params={"agency": name}), 404, "not-found")
        return
    expected = ["H26.18"] if "18" in name else DEPARTMENTS
    province = await client_for("reports:read", agency="H26")
    for each in (spanned, province):
        assert await owing(each, OPEN, under=name) == expected


@pytest.mark.parametrize(
    ("parameters", "status", "place"),
    [
        ({"agency": "H26", "under": "H26"}, 400, "agency"),
        ({"agency": "H99"}, 404, None),
        ({"under": "H99"}, 404, None),
        ({"form": "NOPE"}, 404, None),
        ({"form": ""}, 404, None),
        ({"form": "a\x00b"}, 400, "form"),
        ({"period": "2098-Q9"}, 400, "period"),
        ({"period": ""}, 400, "period"),
        ({"period": "2098-Q1,2098-Q1"}, 400, "period"),
        ({"period": "2098-Q3..2098-Q1"}, 400, "period"),
        ({"period": "2000-01..2099-12"}, 400, "period"),
        ({"state": "lost"}, 400, "state.0"),
        ({"kind": "draft"}, 400, "kind"),
        ({"limit": "0"}, 400, "limit"),
        ({"limit": "1001"}, 400, "limit"),
        ({"cursor": "x"}, 400, "cursor"),
        ({"cursor": "AAAA"}, 400, "cursor"),
        ({"cursor": "YXxifGN8ZHxl"}, 400, "cursor"),
    ],
    ids=str,
)
async def test_a_question_that_makes_no_sense_is_refused(
    country: httpx.AsyncClient, parameters: dict[str, str], status: int, place: str | None
) -> None:
    slug = {400: "malformed-request", 404: "not-found"}[status]
    problem = refused(await country.get("/v1/obligations", params=parameters), status, slug)
    if place is not None:
        assert [each["pointer"] for each in problem["errors"]] == [place]


async def test_without_a_period_those_of_the_last_year_that_have_begun_are_listed(client: httpx.AsyncClient) -> None:
    far, old, edge = a_span(400), a_span(370), a_span(360)
    spans = [far, old, edge, OPEN, RUNNING, a_span(-30, 29), AHEAD]
    changes = {"kind": "thematic", "frequency": "ad_hoc", "periods": spans, "who": [{"agencies": ["H26.18"]}]}
    await have(client, "/regimes/TEST", a_regime(**changes))
    found = [each["period"] for each in await obligations(client)]
    assert found == [edge, OPEN, RUNNING]
    bundled = await every_item(client, "/obligations", form="KTXH_01", agency="H26", limit=1000)
    starts = [date.fromisoformat(each["start"]) for each in bundled]
    assert all(start <= today() for start in starts)
    assert 11 <= len(bundled) <= 14
    assert [each["cutoff"] for each in bundled] == sorted(each["cutoff"] for each in bundled)


async def test_obligations_appear_and_go_with_their_regime(client: httpx.AsyncClient) -> None:
    assert await obligations(client, period="2098-Q3") == []
    await have(client, "/regimes/TEST", a_regime())
    assert await owing(client, "2098-Q3") == DEPARTMENTS
    await have(client, "/regimes/TEST", a_regime(valid_to="2098-09-13"))
    assert await owing(client, "2098-Q3") == []
    assert await owing(client, "2098-Q2") == DEPARTMENTS


async def agency(client: httpx.AsyncClient, **changes: Any) -> None:
    document = an_agency(**{"code": "H26.30", "level": "department", "parent": "H26", **changes})
    await have(client, f"/agencies/{document['code']}", document)


CHANGES: tuple[tuple[str, list[dict[str, Any]], list[str]], ...] = (
    ("always there", [{"valid_from": "2090-01-01"}], ["2098-Q1", "2098-Q2", "2098-Q3", "2098-Q4"]),
    ("created on a cut-off", [{"valid_from": "2098-06-14"}], ["2098-Q2", "2098-Q3", "2098-Q4"]),
    ("created the day after", [{"valid_from": "2098-06-15"}], ["2098-Q3", "2098-Q4"]),
    ("closed on a cut-off", [{"valid_from": "2090-01-01", "valid_to": "2098-06-14"}], ["2098-Q1", "2098-Q2"]),
    ("closed the day before", [{"valid_from": "2090-01-01", "valid_to": "2098-06-13"}], ["2098-Q1"]),
    ("there for a summer", [{"valid_from": "2098-06-15", "valid_to": "2098-09-20"}], ["2098-Q3"]),
    ("there between two cut-offs", [{"valid_from": "2098-06-15", "valid_to": "2098-09-13"}], []),
    (
        "moved to another province",
        [{"valid_from": "2090-01-01"}, {"valid_from": "2098-07-01", "parent": "H29"}],
        ["2098-Q1", "2098-Q2"],
    ),
    (
        "of another level from then on",
        [{"valid_from": "2090-01-01"}, {"valid_from": "2098-07-01", "level": "unit"}],
        ["2098-Q1", "2098-Q2"],
    ),
    (
        "renamed",
        [{"valid_from": "2090-01-01"}, {"valid_from": "2098-07-01", "name": "Tên mới"}],
        ["2098-Q1", "2098-Q2", "2098-Q3", "2098-Q4"],
    ),
    (
        "closed and opened again",
        [{"valid_from": "2090-01-01", "valid_to": "2098-05-01"}, {"valid_from": "2098-07-01"}],
        ["2098-Q1", "2098-Q3", "2098-Q4"],
    ),
    (
        "merged into another",
        [{"valid_from": "2090-01-01", "valid_to": "2098-06-30", "successor": "H26.18"}],
        ["2098-Q1", "2098-Q2"],
    ),
)


@pytest.mark.parametrize(("why", "versions", "expected"), CHANGES, ids=[why for why, _, _ in CHANGES])
async def test_an_agency_owes_what_ends_while_it_is_there(
    client: httpx.AsyncClient, why: str, versions: list[dict[str, Any]], expected: list[str]
) -> None:
    await have(client, "/regimes/TEST", a_regime())
    for version in versions:
        await agency(client, **version)
    year = "2098-Q1..2098-Q4"
    found = await obligations(client, agency="H26.30", period=year)
    assert [each["period"] for each in found] == expected, why
    by_period = {period: list(items) for period, items in groupby(await obligations(client, period=year), _period)}
    for period in ("2098-Q1", "2098-Q2", "2098-Q3", "2098-Q4"):
        codes = [each["agency"] for each in by_period[period]]
        assert codes == DEPARTMENTS + (["H26.30"] if period in expected else [])
        answer = await push(client, a_small_report(agency="H26.30", period=period))
        assert answer.status_code == (201 if period in expected else 422)


def _period(obligation: dict[str, Any]) -> str:
    period: str = obligation["period"]
    return period


async def test_an_obligation_has_the_agencys_name_and_deadline_of_its_period(client: httpx.AsyncClient) -> None:
    await agency(client, name="Tên cũ", valid_from="2090-01-01")
    await have(client, "/regimes/TEST", a_regime(who=[{"agencies": ["H26.30"]}]))
    await agency(client, name="Tên mới", level="unit", valid_from="2098-07-01")
    found = await obligations(client, agency="H26.30", period="2098-Q2,2098-Q3")
    assert [(each["name"], each["deadline"]) for each in found] == [
        ("Tên cũ", "2098-06-20"),
        ("Tên mới", "2098-09-18"),
    ]


async def test_a_merged_agencys_report_names_the_successor(client: httpx.AsyncClient) -> None:
    await have(client, "/regimes/TEST", a_regime())
    await agency(client, valid_from="2090-01-01", valid_to="2098-06-30", successor="H26.18")
    answer = await push(client, a_small_report(agency="H26.30"))
    (found,) = [each for each in findings(answer) if each["rule"] == "agency"]
    assert "H26.18" in found["message"]


async def test_63_provinces_owed_before_the_merger_and_34_after(country: httpx.AsyncClient) -> None:
    for period, number in (("2025-06", 63), ("2025-07", 34), ("2026-09", 34)):
        assert len(await obligations(country, form="KTXH_01", period=period)) == number
    assert await owing(country, "2025-06,2025-07", form="KTXH_01", agency="H40") == ["H40"]


async def test_what_is_not_owed_is_said_with_where_to_look(country: httpx.AsyncClient) -> None:
    answer = await push(country, a_report(period="2098-Q4"), Accept_Language="en")
    assert rules(findings(answer)) == ["obligation"]
    (finding,) = [each for each in shown(answer)["findings"] if each["rule"] == "obligation"]
    assert (finding["pointer"], finding["severity"]) == ("/period", "error")
    assert "/v1/obligations?agency=H26.18" in finding["message"]
