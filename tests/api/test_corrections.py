"""Correcting, returning and withdrawing: nothing is overwritten, and what counts is always one revision."""

from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from factories import a_balanced_row, a_report, a_row
from gateway_under_test import NewClient, accepted, connected, counts, push, refused, shown

REASON = {"reason": "Số liệu lĩnh vực đất đai lệch so với kỳ trước."}


async def read(client: httpx.AsyncClient, report: str) -> dict[str, Any]:
    return shown(await client.get(f"/v1/reports/{report}"))


async def history(client: httpx.AsyncClient, report: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = shown(await client.get(f"/v1/reports/{report}/history"))["items"]
    return items


async def end(client: httpx.AsyncClient, report: str, how: str, reason: object = REASON) -> httpx.Response:
    """Return or withdraw a report."""
    return await client.post(f"/v1/reports/{report}/{how}", json=reason)


async def test_a_second_report_of_a_key_is_a_conflict_that_names_the_current_one(
    province: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    first = await accepted(province, a_report())
    problem = refused(await push(province, a_report(reason="x")), 409, "revision-conflict")
    assert problem["current"] == {"id": first["id"], "revision": 1}
    assert (await counts(engine))["reports"] == 1


async def test_corrections_make_a_chain_of_revisions(province: httpx.AsyncClient) -> None:
    first = await accepted(province, a_report())
    second = await accepted(province, a_report(corrects=first["id"], reason="Bổ sung hồ sơ giấy"))
    third = await accepted(province, a_report(corrects=second["id"], rows=[a_balanced_row()]))
    assert [each["revision"] for each in (first, second, third)] == [1, 2, 3]
    assert [each["corrects"] for each in (first, second, third)] == [None, first["id"], second["id"]]
    for report in (first, second, third):
        revisions = await history(province, report["id"])
        assert [each["id"] for each in revisions] == [first["id"], second["id"], third["id"]]
        assert [each["status"] for each in revisions] == ["superseded", "superseded", "accepted"]
        assert [each["reason"] for each in revisions] == [None, "Bổ sung hồ sơ giấy", None]
        events = [[event["event"] for event in each["events"]] for each in revisions]
        assert events == [["accepted"], ["corrected"], ["corrected"]]
    assert (await read(province, first["id"]))["rows"] == a_report()["rows"]


@pytest.mark.parametrize("status", ["stale", "rejected", "unknown"])
async def test_correcting_what_is_not_current_is_a_conflict(province: httpx.AsyncClient, status: str) -> None:
    first = await accepted(province, a_report())
    second = await accepted(province, a_report(corrects=first["id"]))
    wrong = a_report(corrects=second["id"], rows=[a_row(received_total=2401)])
    rejected = shown(await push(province, wrong))["report"]
    corrects = {"stale": first["id"], "rejected": rejected, "unknown": str(uuid7())}[status]
    answer = await push(province, a_report(corrects=corrects, reason="x"))
    assert refused(answer, 409, "revision-conflict")["current"] == {"id": second["id"], "revision": 2}


async def test_correcting_what_was_never_reported_is_a_conflict(province: httpx.AsyncClient) -> None:
    answer = await push(province, a_report(corrects=str(uuid7())))
    assert refused(answer, 409, "revision-conflict")["current"] is None


async def test_a_report_of_another_key_cannot_be_corrected(province: httpx.AsyncClient) -> None:
    other = await accepted(province, a_report(period="2098-Q1"))
    refused(await push(province, a_report(corrects=other["id"])), 409, "revision-conflict")
    assert (await read(province, other["id"]))["status"] == "accepted"


async def test_a_withdrawn_report_stops_counting_and_a_new_one_needs_no_corrects(
    province: httpx.AsyncClient,
) -> None:
    first = await accepted(province, a_report())
    answer = await end(province, first["id"], "withdraw")
    withdrawn = shown(answer)
    assert (answer.status_code, withdrawn["status"]) == (200, "withdrawn")
    assert (withdrawn["ended"]["event"], withdrawn["ended"]["reason"]) == ("withdrawn", REASON["reason"])
    assert withdrawn["rows"] == a_report()["rows"]
    assert withdrawn == await read(province, first["id"])
    second = await accepted(province, a_report(reason="Gửi lại"))
    assert (second["revision"], second["corrects"]) == (2, None)


async def test_a_new_report_may_name_the_withdrawn_one_it_corrects(province: httpx.AsyncClient) -> None:
    first = await accepted(province, a_report())
    await end(province, first["id"], "withdraw")
    second = await accepted(province, a_report(corrects=first["id"]))
    assert (second["revision"], (await read(province, first["id"]))["status"]) == (2, "withdrawn")


async def test_a_returned_report_waits_for_its_correction(client_for: NewClient) -> None:
    sender = await client_for(agency="H26.18")
    reviewer = await client_for("reports:review", "reports:read", agency="H26")
    first = await accepted(sender, a_report())
    answer = await end(reviewer, first["id"], "return")
    returned = shown(answer)
    assert (answer.status_code, returned["status"]) == (200, "returned")
    assert (returned["ended"]["event"], returned["ended"]["reason"]) == ("returned", REASON["reason"])
    problem = refused(await push(sender, a_report(reason="x")), 409, "revision-conflict")
    assert problem["current"] == {"id": first["id"], "revision": 1}
    second = await accepted(sender, a_report(corrects=first["id"], reason="Đã sửa"))
    assert second["revision"] == 2
    revisions = await history(sender, first["id"])
    assert [each["status"] for each in revisions] == ["superseded", "accepted"]
    assert [event["event"] for event in revisions[0]["events"]] == ["accepted", "returned"]


async def test_the_same_bytes_do_not_bring_a_returned_report_back(client_for: NewClient) -> None:
    sender = await client_for(agency="H26.18")
    reviewer = await client_for("reports:review", agency="H26")
    first = await accepted(sender, a_report())
    await end(reviewer, first["id"], "return")
    again = await push(sender, a_report())
    assert (again.status_code, shown(again)["status"]) == (200, "returned")


@pytest.mark.parametrize("how", ["return", "withdraw"])
async def test_doing_it_again_changes_nothing(client_for: NewClient, engine: AsyncEngine, how: str) -> None:
    client = await client_for("reports:write", "reports:review", "reports:read", agency="H26")
    report = (await accepted(client, a_report()))["id"]
    first = await end(client, report, how)
    before = await counts(engine)
    again = await end(client, report, how, {"reason": "Lý do khác"})
    assert (again.status_code, again.content) == (200, first.content)
    assert await counts(engine) == before


async def test_a_returned_report_may_be_withdrawn(client_for: NewClient) -> None:
    client = await client_for("reports:write", "reports:review", "reports:read", agency="H26")
    report = (await accepted(client, a_report()))["id"]
    await end(client, report, "return")
    withdrawn = shown(await end(client, report, "withdraw", {"reason": "Bỏ"}))
    assert (withdrawn["status"], withdrawn["ended"]["reason"]) == ("withdrawn", "Bỏ")


@pytest.mark.parametrize(
    ("status", "how"),
    [
        ("superseded", "return"),
        ("superseded", "withdraw"),
        ("rejected", "return"),
        ("rejected", "withdraw"),
        ("withdrawn", "return"),
    ],
)
async def test_other_states_do_not_allow_it(client_for: NewClient, status: str, how: str) -> None:
    client = await client_for("reports:write", "reports:review", "reports:read", agency="H26")
    if status == "rejected":
        report = shown(await push(client, a_report(rows=[])))["report"]
    else:
        report = (await accepted(client, a_report()))["id"]
    if status == "superseded":
        await accepted(client, a_report(corrects=report))
    if status == "withdrawn":
        await end(client, report, "withdraw")
    refused(await end(client, report, how), 409, "state-conflict")
    assert (await read(client, report))["status"] == status


async def test_only_a_level_above_returns_a_report(client_for: NewClient) -> None:
    report = (await accepted(await client_for(agency="H26.18"), a_report()))["id"]
    itself = await client_for("reports:review", agency="H26.18")
    refused(await end(itself, report, "return"), 403, "forbidden")
    for outside in ("H29", "H26.13", "G01"):
        outsider = await client_for("reports:review", agency=outside)
        refused(await end(outsider, report, "return"), 404, "not-found")
    country = await client_for("reports:review")
    assert (await end(country, report, "return")).status_code == 200


async def test_an_outsider_cannot_withdraw(client_for: NewClient) -> None:
    sender = await client_for(agency="H26.18")
    report = (await accepted(sender, a_report()))["id"]
    refused(await end(await client_for(agency="H29"), report, "withdraw"), 404, "not-found")
    assert (await read(sender, report))["status"] == "accepted"


async def test_an_unknown_report_is_not_found(client_for: NewClient) -> None:
    client = await client_for("reports:write", "reports:review")
    for how in ("return", "withdraw"):
        refused(await end(client, str(uuid7()), how), 404, "not-found")


BAD_REASONS = {
    "missing": b"{}",
    "null": b'{"reason": null}',
    "empty": b'{"reason": ""}',
    "a number": b'{"reason": 1}',
    "too long": b'{"reason": "%s"}' % (b"x" * 4001),
    "another field": b'{"reason": "x", "by": "y"}',
    "not JSON": b"reason",
    "nothing": b"",
    "a NUL": b'{"reason": "a\\u0000"}',
    "half a surrogate pair": b'{"reason": "\\ud800"}',
    "NaN": b'{"reason": NaN}',
    "a duplicate key": b'{"reason": "x", "reason": "y"}',
    "a byte order mark": b'\xef\xbb\xbf{"reason": "x"}',
}


@pytest.mark.parametrize("sent", BAD_REASONS.values(), ids=BAD_REASONS.keys())
@pytest.mark.parametrize("how", ["return", "withdraw"])
async def test_a_reason_is_required_and_as_strict_as_a_report(client_for: NewClient, how: str, sent: bytes) -> None:
    client = await client_for("reports:write", "reports:review", "reports:read", agency="H26")
    report = (await accepted(client, a_report()))["id"]
    answer = await client.post(
        f"/v1/reports/{report}/{how}", content=sent, headers={"Content-Type": "application/json"}
    )
    refused(answer, 400, "malformed-request")
    assert (await read(client, report))["status"] == "accepted"


async def test_a_reason_in_another_media_type_is_unsupported(province: httpx.AsyncClient) -> None:
    report = (await accepted(province, a_report()))["id"]
    answer = await province.post(
        f"/v1/reports/{report}/withdraw", content=b'{"reason": "x"}', headers={"Content-Type": "text/plain"}
    )
    refused(answer, 415, "unsupported-media-type")


async def test_a_correction_inherits_whether_the_first_report_was_late(
    province: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    first = await accepted(province, a_report(period="2025-Q3"))
    assert first["late"] is True
    async with connected(engine) as connection:  # as if it had come before the deadline
        await connection.execute("UPDATE reports SET late = false, received_at = '2025-09-20Z'")
    second = await accepted(province, a_report(period="2025-Q3", corrects=first["id"]))
    assert second["late"] is False


async def test_a_late_report_stays_late_when_it_is_corrected(province: httpx.AsyncClient) -> None:
    first = await accepted(province, a_report(period="2025-Q3"))
    second = await accepted(province, a_report(period="2025-Q3", corrects=first["id"]))
    assert (first["late"], second["late"]) == (True, True)
