"""Receiving: judged by the state that holds, stored by one statement or not at all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from factories import a_balanced_row, a_monthly_report, a_report, body, ndjson
from forwarding import connect_upstream
from gateway.api.deps import Gateway
from gateway.api.render import render
from gateway.app import build_gateway
from gateway.db.engine import open_engine
from gateway.domain.catalogue import Catalogue
from gateway.domain.report import Status
from gateway.errors import Forbidden, GatewayError, NotFound, RevisionConflict, Unavailable
from gateway.flow.judge import Knowledge, Revision, Stored, judge
from gateway.flow.prepare import Push, prepare
from gateway.flow.receive import MOST_BYTES, Intake
from gateway_under_test import (
    NOTHING,
    accepted,
    bearer,
    connected,
    counts,
    findings,
    in_process,
    push,
    refused,
    rules,
    shown,
    stalled_intake,
    until_waiting,
)

TODAY = date(2026, 9, 20)
AT = datetime(2026, 9, 20, 3, tzinfo=UTC)


@pytest.fixture
async def catalogue(gateway: Gateway) -> Catalogue:
    return await gateway.catalogues.newest()


def a_push(document: object | None = None, agency: str | None = None) -> Push:
    return Push(body(a_report() if document is None else document), "application/json", uuid7(), agency, "en")


def decided(
    gateway: Gateway, catalogue: Catalogue, document: object, *revisions: Revision, at: datetime = AT
) -> object:
    """What becomes of a report at a moment, after so many revisions of it."""
    prepared = prepare(a_push(document), catalogue, TODAY)
    knowledge = Knowledge(catalogue, at, revisions={prepared.key: list(revisions)})
    return judge(prepared, knowledge, render, gateway.intake.sign)


def stored(decision: object) -> Stored:
    assert isinstance(decision, Stored)
    return decision


def a_revision(number: int, status: Status, late: bool = False) -> Revision:
    return Revision(uuid7(), number, status, late, b"\0" * 32)


def midnight(day: int) -> datetime:
    """24:00 in Viet Nam of a day of September 2026, the last month of the third quarter."""
    return datetime(2026, 9, day, 17, tzinfo=UTC)


@pytest.mark.parametrize(("agency", "day"), [("H26", 25), ("G10", 25), ("H26.18", 20), ("H26.00004", 18)])
@pytest.mark.parametrize(
    ("since", "late"),
    [
        (timedelta(days=-30), False),
        (timedelta(microseconds=-1), False),
        (timedelta(), False),
        (timedelta(microseconds=1), True),
        (timedelta(days=400), True),
    ],
)
def test_a_report_is_late_after_24_00_of_its_levels_deadline(
    gateway: Gateway, catalogue: Catalogue, agency: str, day: int, since: timedelta, late: bool
) -> None:
    report = a_report(agency=agency, period="2026-Q3")
    assert stored(decided(gateway, catalogue, report, at=midnight(day) + since)).head.late is late


def test_between_two_deadlines_a_department_is_late_and_its_province_is_not(
    gateway: Gateway, catalogue: Catalogue
) -> None:
    at = midnight(22)
    heads = [
        stored(decided(gateway, catalogue, a_report(agency=agency, period="2026-Q3"), at=at)).head
        for agency in ("H26.18", "H26")
    ]
    assert [head.late for head in heads] == [True, False]


@pytest.mark.parametrize("status", [Status.accepted, Status.returned])
@pytest.mark.parametrize("late", [True, False])
def test_a_correction_is_as_late_as_what_it_corrects(
    gateway: Gateway, catalogue: Catalogue, status: Status, late: bool
) -> None:
    current = a_revision(3, status, late)
    report = a_report(period="2026-Q3", corrects=str(current.id))
    for at in (midnight(19), midnight(21)):
        decision = stored(decided(gateway, catalogue, report, current, at=at))
        assert (decision.head.late, decision.head.revision, decision.ends) == (late, 4, current.id)


def test_a_rejected_report_is_neither_late_nor_in_time(gateway: Gateway, catalogue: Catalogue) -> None:
    decision = stored(decided(gateway, catalogue, a_report(rows=[]), at=midnight(21)))
    assert (decision.head.status, decision.head.late, decision.head.receipt) == (Status.rejected, None, None)


def test_after_a_withdrawal_the_next_number_is_used(gateway: Gateway, catalogue: Catalogue) -> None:
    before = [a_revision(1, Status.superseded), a_revision(2, Status.withdrawn)]
    decision = stored(decided(gateway, catalogue, a_report(), *before))
    assert (decision.head.revision, decision.ends) == (3, None)


def test_correcting_an_older_withdrawn_revision_is_a_conflict(gateway: Gateway, catalogue: Catalogue) -> None:
    before = [a_revision(1, Status.withdrawn), a_revision(2, Status.withdrawn)]
    report = a_report(corrects=str(before[0].id))
    assert isinstance(decided(gateway, catalogue, report, *before), RevisionConflict)


@pytest.mark.parametrize(
    ("document", "root", "refusal"),
    [
        (a_report(form="X1"), None, NotFound),
        (a_report(agency="H99"), None, NotFound),
        (a_report(agency="H99"), "H26", Forbidden),
        (a_report(agency="H29"), "H26", Forbidden),
    ],
)
def test_what_a_push_names_has_to_exist_for_its_sender(
    catalogue: Catalogue, document: object, root: str | None, refusal: type[GatewayError]
) -> None:
    with pytest.raises(refusal):
        prepare(a_push(document, root), catalogue, TODAY)


def test_the_version_of_a_form_is_the_one_of_the_periods_last_day(catalogue: Catalogue) -> None:
    prepared = prepare(a_push(a_report(period="2026-Q3")), catalogue, TODAY)
    assert (prepared.form.version, prepared.period.end) == (1, date(2026, 9, 14))


@asynccontextmanager
async def failing(engine: AsyncEngine, table: str, at_commit: bool = False) -> AsyncIterator[None]:
    """While the block runs, whatever is stored in a table fails there: at once, or when all is committed."""
    when = (
        f"CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED"
        if at_commit
        else f"CREATE TRIGGER fail BEFORE INSERT ON {table}"
    )
    async with connected(engine) as connection:
        await connection.execute(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION 'planted'; END $$; {when} FOR EACH ROW EXECUTE FUNCTION fail()"
        )
        try:
            yield
        finally:
            await connection.execute("DROP FUNCTION fail CASCADE")


PARTS = ("reports", "report_rows", "payloads", "report_events", "deliveries", "idempotency_keys", "log_pending")


@pytest.mark.parametrize(("table", "at_commit"), [*((table, False) for table in PARTS), ("deliveries", True)])
async def test_a_report_whose_store_fails_in_any_part_leaves_no_part_of_itself(
    province: httpx.AsyncClient, gateway: Gateway, engine: AsyncEngine, table: str, at_commit: bool
) -> None:
    await connect_upstream(gateway, "https://upstream.example/reports", allow_private_addresses=False)
    before = await counts(engine)
    assert before == {**NOTHING, "connectors": 1, "log_pending": 1, "log_texts": 1}
    async with failing(engine, table, at_commit):
        refused(await push(province, a_report(), key="k"), 500, "internal-error")
        assert await counts(engine) == before
    await accepted(province, a_report(), key="k")
    assert await counts(engine) == {**before, **{part: before[part] + 1 for part in PARTS}}


async def test_a_correction_whose_store_fails_leaves_the_current_report_current(
    province: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    first = await accepted(province, a_report())
    before = await counts(engine)
    async with failing(engine, "idempotency_keys"):
        answer = await push(province, a_report(corrects=first["id"]), key="k")
        refused(answer, 500, "internal-error")
    assert await counts(engine) == before
    assert shown(await province.get(f"/v1/reports/{first['id']}"))["status"] == "accepted"


async def test_one_report_that_cannot_be_stored_does_not_fail_those_that_wait_with_it(
    country: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    async with connected(engine) as connection:
        await connection.execute(
            "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN IF NEW.period = '2098-07' THEN RAISE EXCEPTION 'poison'; END IF; RETURN NEW; END $$;"
            "CREATE TRIGGER poison BEFORE INSERT ON reports FOR EACH ROW EXECUTE FUNCTION poison()"
        )
        try:
            async with stalled_intake(connection):
                pushing = []
                for busy, number in enumerate((10, 11), start=1):  # every turn is taken, so the others wait
                    pushing.append(asyncio.create_task(push(country, a_report(agency=f"H26.{number}"))))
                    await until_waiting(connection, count=busy)
                for each in (a_report(agency="H26.12"), a_monthly_report(), a_report(agency="H26.13")):
                    pushing.append(asyncio.create_task(push(country, each)))
                await asyncio.sleep(0.1)
            answers = await asyncio.gather(*pushing)
        finally:
            await connection.execute("DROP FUNCTION poison CASCADE")
    assert [answer.status_code for answer in answers] == [201, 201, 201, 500, 201]
    assert (await counts(engine))["reports"] == 4


async def test_a_report_on_its_way_while_the_catalogue_changes_is_judged_again(
    province: httpx.AsyncClient, gateway: Gateway, engine: AsyncEngine
) -> None:
    await accepted(province, a_report(period="2098-Q1"))
    async with connected(engine) as connection, connection.transaction():
        # As ``record`` does: nobody stores a report until the new revision is there.
        await connection.execute("LOCK TABLE reports IN SHARE ROW EXCLUSIVE MODE")
        pushing = asyncio.create_task(push(province, a_report()))
        await until_waiting(connection, "relation")
        revision = await connection.fetchval(
            "INSERT INTO catalog_revisions (note) VALUES ('closed') RETURNING revision"
        )
        await connection.execute(
            "INSERT INTO catalog_entries (kind, code, variant, revision, document)"
            " SELECT kind, code, variant, $1, jsonb_set(document, '{valid_to}', '\"2098-06-30\"')"
            " FROM catalog_entries WHERE kind = 'form' AND code = 'TTHC_06A'",
            revision,
        )
    answer = await pushing
    assert rules(findings(answer)) == ["form_version"]


async def test_a_gateway_with_a_single_connection_takes_reports(province: httpx.AsyncClient, gateway: Gateway) -> None:
    settings = gateway.settings.model_copy(update={"database_pool": 1})
    engine = open_engine(settings, gateway.engine.url.render_as_string(hide_password=False))
    narrow = build_gateway(settings, engine)
    try:
        async with in_process(narrow, headers=province.headers) as client:
            answers = await asyncio.wait_for(
                asyncio.gather(
                    push(client, a_report(), key="k"),
                    push(client, ndjson(a_report(agency="H26.13")), to="/batch"),
                    client.get("/v1/reports"),
                ),
                5,
            )
    finally:
        await engine.dispose()
    assert [answer.status_code for answer in answers] == [201, 200, 200]


async def test_many_senders_at_once_are_each_answered_with_their_own_report(
    gateway: Gateway, engine: AsyncEngine
) -> None:
    async with in_process(gateway) as client:
        senders = [bearer(gateway.tokens, UUID(int=n), ["reports:write"], "H26") for n in range(4)]
        sent = [
            a_report(agency=f"H26.{10 + n % 12}", period=f"{2060 + n // 12}-Q3", rows=[a_balanced_row(pending=n)])
            for n in range(200)
        ]
        answers = await asyncio.gather(
            *(push(client, each, key=f"k{n}", **senders[n % 4]) for n, each in enumerate(sent))
        )
    for answer, each in zip(answers, sent, strict=True):
        taken = shown(answer)
        assert (answer.status_code, taken["agency"], taken["period"]) == (201, each["agency"], each["period"])
    kept = await counts(engine)
    assert {kept[name] for name in ("reports", "report_rows", "payloads", "report_events", "idempotency_keys")} == {200}


def test_knowledge_of_one_report_is_not_shared_with_another(gateway: Gateway, catalogue: Catalogue) -> None:
    knowledge = Knowledge(catalogue, AT)
    pushes = [a_push(a_report(agency=agency)) for agency in ("H26.18", "H26.13")]
    for each in pushes:
        prepared = prepare(each, catalogue, TODAY)
        assert stored(judge(prepared, knowledge, render, gateway.intake.sign)).head.revision == 1
    again = prepare(replace(pushes[0], body=pushes[0].body + b" "), catalogue, TODAY)
    assert isinstance(judge(again, knowledge, render, gateway.intake.sign), RevisionConflict)


def an_intake(**changes: float) -> Intake:
    """One that has nothing to judge with and nowhere to store: only whose turn it is can be asked of it."""
    return replace(Intake(None, None, None, None, turns=1), **changes)  # type: ignore[arg-type]


async def turns_of(sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many of pushes of these sizes, which wait together, are received in each turn."""
    taken: list[int] = []

    async def receive_all(_: object, pushes: list[Push]) -> list[NotFound]:
        taken.append(len(pushes))
        return [NotFound() for _ in pushes]

    monkeypatch.setattr(Intake, "receive_all", receive_all)
    intake = an_intake()
    waiting = [asyncio.create_task(intake.receive(replace(a_push(), body=bytes(size)))) for size in sizes]
    await asyncio.gather(*waiting)
    return taken


async def test_a_turn_is_bounded_by_its_bytes_and_one_larger_push_has_one_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    half = MOST_BYTES // 2
    assert await turns_of([half, half, 1, 3 * MOST_BYTES, 1], monkeypatch) == [2, 1, 1, 1]
    assert await turns_of([10] * 70, monkeypatch) == [64, 6]


async def test_a_push_that_comes_just_as_the_turns_are_over_waits_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(_: object, pushes: list[Push]) -> list[NotFound]:
        return [NotFound() for _ in pushes]

    monkeypatch.setattr(Intake, "receive_all", at_once)
    intake = an_intake()

    async def push_after_the_turn() -> object:
        await asyncio.sleep(0)  # by now the turn is over, and the loop has yet to tell
        return await intake.receive(a_push())

    async with asyncio.timeout(5):
        first = asyncio.create_task(intake.receive(a_push()))
        second = asyncio.create_task(push_after_the_turn())
        await asyncio.gather(first, second)


async def test_a_push_that_waited_too_long_for_its_turn_is_told_so_and_was_not_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def slow(_: object, pushes: list[Push]) -> list[NotFound]:
        await asyncio.sleep(0.2)
        return [NotFound() for _ in pushes]

    monkeypatch.setattr(Intake, "receive_all", slow)
    intake = an_intake(patience=0.1)
    first = asyncio.create_task(intake.receive(a_push()))
    await asyncio.sleep(0.02)
    with pytest.raises(Unavailable, match="not stored"):
        await intake.receive(a_push())
    assert isinstance(await first, NotFound)
