"""A report that is taken: what the answer says, and that every digit and letter of it is kept."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jiter
import pytest

from factories import a_balanced_row, a_monthly_report, a_monthly_row, a_report, a_row, body, body_with
from gateway_under_test import accepted, push, shown


def exact(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object an answer holds, its numbers digit for digit."""
    value: dict[str, Any] = jiter.from_json(answer.content, float_mode="decimal")
    return value


async def test_the_answer_to_a_push_is_the_report_as_it_was_taken(province: httpx.AsyncClient) -> None:
    sent = body(a_report())
    before = datetime.now(UTC)
    answer = await push(province, sent)
    taken = shown(answer)
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/reports/{taken['id']}"
    assert answer.headers["content-type"] == "application/json"
    assert "idempotent-replayed" not in answer.headers
    received_at = datetime.fromisoformat(taken.pop("received_at"))
    assert before - timedelta(seconds=5) < received_at < datetime.now(UTC) + timedelta(seconds=5)
    assert received_at.utcoffset() == timedelta()
    assert taken.pop("receipt").count(".") == 2
    assert [each["rule"] for each in taken.pop("findings")] == ["R6"]
    assert taken == {
        "id": taken["id"],
        "status": "accepted",
        "form": "TTHC_06A",
        "form_version": 1,
        "agency": "H26.18",
        "period": "2098-Q3",
        "kind": "own",
        "revision": 1,
        "corrects": None,
        "late": False,
        "sha256": hashlib.sha256(sent).hexdigest(),
    }
    assert taken["id"][14] == "7"


async def test_a_report_is_read_back_as_it_was_pushed(province: httpx.AsyncClient) -> None:
    rows = [a_balanced_row("LAND", pending=1), a_balanced_row("HOUSING"), a_balanced_row("CONSTRUCTION")]
    taken = await accepted(province, a_report(rows=rows, reason="Kỳ đầu"))
    read = shown(await province.get(f"/v1/reports/{taken['id']}"))
    assert read.pop("rows") == rows
    said: dict[str, object] = {"nil": None, "reason": "Kỳ đầu", "explanations": []}
    assert read == taken | said | {"ended": None, "consolidation": None, "relayed": None, "signer": None}


DIGITS = ("0.1", "5000.0", "123456789012345678901234567890.1", "9" * 30 + ".9", "0", "10", "7e2", "1.5E1")


@pytest.mark.parametrize("literal", DIGITS)
async def test_a_decimal_keeps_every_digit_in_bytes_and_rows(country: httpx.AsyncClient, literal: str) -> None:
    sent = body_with(a_monthly_report(rows=[a_monthly_row(retail_sales="@n")]), n=literal)
    taken = await accepted(country, sent)
    read = exact(await country.get(f"/v1/reports/{taken['id']}"))
    pushed = jiter.from_json(sent, float_mode="decimal")
    assert read["rows"][0]["retail_sales"] == pushed["rows"][0]["retail_sales"]
    assert (await country.get(f"/v1/reports/{taken['id']}/payload")).content == sent


async def test_a_whole_number_of_thirty_digits_is_exact(province: httpx.AsyncClient) -> None:
    largest = 10**30 - 1
    row = a_row(
        received_total=largest,
        received_online=largest,
        received_offline=0,
        carried_over=0,
        resolved_total=largest,
        resolved_early=largest,
        resolved_on_time=0,
        pending_total=0,
        pending_in_time=0,
    )
    taken = await accepted(province, a_report(rows=[row]))
    assert exact(await province.get(f"/v1/reports/{taken['id']}"))["rows"] == [row]


async def test_every_type_of_cell_and_every_blank_comes_back(country: httpx.AsyncClient) -> None:
    remark = 'Dấu "nháy", \\ {ngoặc}, dấu phẩy; xuống\ndòng\tNULL 😀'
    rows = [
        a_monthly_row(stage="PLAN"),
        a_monthly_row(stage="ESTIMATE", is_preliminary=True, remark=remark, international_visitors=0),
        a_monthly_row(stage="ACTUAL", is_preliminary=False, remark="", industrial_park_occupancy=71.25),
    ]
    blanks = {
        "industrial_production_index": None,
        "exports": None,
        "international_visitors": None,
        "new_enterprises": None,
        "industrial_park_occupancy": None,
        "is_preliminary": None,
        "remark": None,
    }
    taken = await accepted(country, a_monthly_report(rows=rows))
    read = shown(await country.get(f"/v1/reports/{taken['id']}"))
    assert read["rows"] == [{**blanks, **row} for row in rows]
    assert read["rows"][1]["is_preliminary"] is True
    assert read["rows"][1]["international_visitors"] == 0


@pytest.mark.parametrize("text", ["NULL", '"', "\\", "{}", ",", " ", "\u2028", "'; DROP TABLE reports; --", "é"])
async def test_a_text_is_kept_letter_for_letter(country: httpx.AsyncClient, text: str) -> None:
    taken = await accepted(country, a_monthly_report(rows=[a_monthly_row(remark=text)]))
    read = shown(await country.get(f"/v1/reports/{taken['id']}"))
    assert read["rows"][0]["remark"] == text


@pytest.mark.parametrize("nil", ["nothing_to_report", "not_applicable"])
async def test_nothing_to_report_is_a_report(province: httpx.AsyncClient, nil: str) -> None:
    taken = await accepted(province, a_report(rows=[], nil=nil))
    read = shown(await province.get(f"/v1/reports/{taken['id']}"))
    assert (read["status"], read["nil"], read["rows"], read["findings"]) == ("accepted", nil, [], [])


async def test_the_bytes_are_kept_as_they_came_blanks_and_order_included(province: httpx.AsyncClient) -> None:
    sent = b" \n" + body(a_report()).replace(b", ", b" ,\t") + b"\r\n "
    taken = await accepted(province, sent)
    kept = await province.get(f"/v1/reports/{taken['id']}/payload")
    assert (kept.content, kept.headers["content-type"]) == (sent, "application/json")
    assert taken["sha256"] == hashlib.sha256(sent).hexdigest()


async def test_a_form_version_may_be_named(province: httpx.AsyncClient) -> None:
    assert (await accepted(province, a_report(form_version=1)))["form_version"] == 1


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("H26.18", "H26.18"),
        ("H26-18", "H26.18"),
        ("H26_18", "H26.18"),
        (" H26/18 ", "H26.18"),
        ("000.00.00.H26", "H26"),
        ("000-00-00-H26", "H26"),
        ("GSO:01", "H26"),
        ("GSO:00004", "H26.00004"),
    ],
)
async def test_an_agency_may_be_named_by_an_alias_and_other_separators(
    province: httpx.AsyncClient, written: str, code: str
) -> None:
    assert (await accepted(province, a_report(agency=written)))["agency"] == code


async def test_two_ways_to_write_an_agency_are_one_report(province: httpx.AsyncClient) -> None:
    first = await accepted(province, a_report(agency="H26"))
    again = await push(province, a_report(agency="GSO:01"))
    assert (again.status_code, shown(again)["current"]["id"]) == (409, first["id"])


async def test_a_period_without_a_deadline_is_never_late_and_a_past_one_is(country: httpx.AsyncClient) -> None:
    assert (await accepted(country, a_report(agency="H26", period="2021-Q1")))["late"] is True
    assert (await accepted(country, a_report(agency="H26", period="2098-Q1")))["late"] is False
