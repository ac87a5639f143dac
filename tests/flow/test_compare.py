"""Comparing revisions: what a correction changed, read back from storage."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from factories import (
    a_balanced_row,
    a_form,
    a_monthly_report,
    a_monthly_row,
    a_report,
    a_row,
    a_small_report,
    body_with,
)
from gateway.api.deps import Gateway
from gateway.db.engine import driver
from gateway.db.reading import find_report
from gateway.domain.exact import decode, encode
from gateway.errors import MalformedRequest, NotFound
from gateway.flow.compare import compare
from gateway_under_test import NewClient, accepted, load, push, shown


async def compared(gateway: Gateway, report: str, against: str | None = None) -> dict[str, Any]:
    """What ``compare`` says of a report, as JSON shows it."""
    catalogue = await gateway.catalogues.newest()
    async with driver(gateway.engine) as connection:
        kept = await find_report(connection, UUID(report), catalogue)
        assert kept is not None
        found = await compare(connection, kept, UUID(against) if against else None, catalogue)
    value = decode(encode(found))
    assert isinstance(value, dict)
    return value


def told(found: dict[str, Any]) -> list[tuple[str, str, dict[str, tuple[object, object, str | None]]]]:
    """Each changed row, how, and its figures: before, after and the difference."""
    return [
        (
            *row["row"].values(),
            row["change"],
            {each["indicator"]: (each["before"], each["after"], each["difference"]) for each in row["indicators"]},
        )
        for row in found["rows"]
    ]


async def test_a_correction_is_compared_with_the_revision_it_corrects(
    gateway: Gateway, province: httpx.AsyncClient
) -> None:
    first = await accepted(province, a_report(rows=[a_row(), a_balanced_row("HEALTH", pending=1)]))
    changed = a_row(received_total=2410, received_online=2290, resolved_total=2385, resolved_early=1760)
    second = await accepted(
        province,
        a_report(
            rows=[a_balanced_row("HOUSING"), changed],
            corrects=first["id"],
            reason="Bổ sung 10 hồ sơ",
            explanations=[{"rule": "R6", "row": {"sector": "LAND"}, "text": "Đơn vị sáp nhập"}],
        ),
    )
    found = await compared(gateway, second["id"])
    assert found["from"] == {name: first[name] for name in ("id", "revision", "received_at")}
    assert found["to"] == {name: second[name] for name in ("id", "revision", "received_at")} | {
        "reason": "Bổ sung 10 hồ sơ"
    }
    assert found["nil"] is None
    assert found["explanations"] == {
        "added": [{"rule": "R6", "row": {"sector": "LAND"}, "text": "Đơn vị sáp nhập"}],
        "removed": [],
    }
    added, corrected, removed = told(found)
    assert added == ("HOUSING", "added", added[2])
    assert added[2]["received_total"] == (None, 10, None)
    assert corrected == (
        "LAND",
        "changed",
        {
            "received_total": (2400, 2410, "10"),
            "received_online": (2280, 2290, "10"),
            "resolved_total": (2375, 2385, "10"),
            "resolved_early": (1750, 1760, "10"),
        },
    )
    assert removed == ("HEALTH", "removed", removed[2])
    assert removed[2]["pending_total"] == (1, None, None)
    assert found["rows"][1]["indicators"][0]["column"] == "(3)"


async def test_any_revision_of_the_same_report_may_be_compared_either_way(
    gateway: Gateway, province: httpx.AsyncClient
) -> None:
    first = await accepted(province, a_report(rows=[a_balanced_row(pending=1)]))
    second = await accepted(province, a_report(rows=[a_balanced_row(pending=2)], corrects=first["id"]))
    third = await accepted(province, a_report(rows=[a_balanced_row(pending=4)], corrects=second["id"]))
    onwards = await compared(gateway, third["id"], first["id"])
    assert told(onwards)[0][2]["pending_total"] == (1, 4, "3")
    back = await compared(gateway, first["id"], third["id"])
    assert told(back)[0][2]["pending_total"] == (4, 1, "-3")
    assert (back["from"]["revision"], back["to"]["revision"]) == (3, 1)
    assert told(await compared(gateway, third["id"], third["id"])) == []


async def test_decimals_texts_and_flags_are_compared_as_they_were_sent(
    gateway: Gateway, country: httpx.AsyncClient
) -> None:
    first = await accepted(country, a_monthly_report(rows=[a_monthly_row(remark="tạm tính", is_preliminary=True)]))
    row = a_monthly_row(retail_sales="@sales", remark="chính thức", is_preliminary=False)
    sent = body_with(
        a_monthly_report(rows=[row], corrects=first["id"], reason="Số chính thức"),
        sales="123456789012345678901234567890.1",
    )
    second = await accepted(country, sent)
    [(_, _, figures)] = told(await compared(gateway, second["id"]))
    assert figures.pop("retail_sales")[2] == "123456789012345678901234562890.1"
    assert figures == {"remark": ("tạm tính", "chính thức", None), "is_preliminary": (True, False, None)}


async def test_a_nil_report_that_replaces_figures_is_told_as_such(
    gateway: Gateway, province: httpx.AsyncClient
) -> None:
    first = await accepted(province, a_report())
    second = await accepted(province, a_report(rows=[], nil="nothing_to_report", corrects=first["id"], reason="Nhầm"))
    found = await compared(gateway, second["id"])
    assert found["nil"] == {"before": None, "after": "nothing_to_report"}
    assert [(row["row"], row["change"]) for row in found["rows"]] == [({"sector": "LAND"}, "removed")]


async def test_a_correction_by_a_newer_form_version_is_told_in_its_words(
    gateway: Gateway, province: httpx.AsyncClient
) -> None:
    first = await accepted(province, a_report())
    catalogue = await gateway.catalogues.newest()
    document = decode(encode(catalogue.forms["TTHC_06A"][-1].document.model_dump()))
    added = dict(document["indicators"][1], id="received_post", column="(14)", required=False)
    await load(gateway.engine, ("form", document | {"version": 2, "indicators": [*document["indicators"], added]}))
    second = await accepted(
        province, a_report(rows=[a_row(received_post=9)], form_version=2, corrects=first["id"], reason="Biểu mới")
    )
    [row] = (await compared(gateway, second["id"]))["rows"]
    assert [(each["indicator"], each["column"], each["after"]) for each in row["indicators"]] == [
        ("received_post", "(14)", 9)
    ]


async def test_a_first_revision_corrects_nothing(gateway: Gateway, province: httpx.AsyncClient) -> None:
    first = await accepted(province, a_report())
    with pytest.raises(NotFound, match="A first revision corrects nothing"):
        await compared(gateway, first["id"])


async def test_a_report_after_a_withdrawn_one_says_with_what_it_is_compared(
    gateway: Gateway, client_for: NewClient
) -> None:
    client = await client_for(agency="H26")
    first = await accepted(client, a_report())
    answer = await client.post(f"/v1/reports/{first['id']}/withdraw", json={"reason": "Nhầm kỳ"})
    assert answer.status_code == 200
    second = await accepted(client, a_report(rows=[a_balanced_row(pending=1)]))
    with pytest.raises(NotFound, match="'from'"):
        await compared(gateway, second["id"])
    assert told(await compared(gateway, second["id"], first["id"]))[0][1] == "changed"


async def test_a_rejected_report_is_no_revision(gateway: Gateway, province: httpx.AsyncClient) -> None:
    first = await accepted(province, a_report())
    wrong = a_report(corrects=first["id"], rows=[a_row(received_total=2401)])
    rejected = shown(await push(province, wrong))["report"]
    with pytest.raises(NotFound, match="rejected"):
        await compared(gateway, rejected)
    with pytest.raises(MalformedRequest) as refusal:
        await compared(gateway, first["id"], rejected)
    assert [each.pointer for each in refusal.value.errors] == ["from"]


@pytest.mark.parametrize("other", [{"period": "2098-Q1"}, {"agency": "H26.19"}, {"kind": "consolidation"}])
async def test_a_report_of_another_key_is_refused_by_the_parameter_s_name(
    gateway: Gateway, province: httpx.AsyncClient, other: dict[str, object]
) -> None:
    await load(gateway.engine, ("form", a_form()))
    first = await accepted(province, a_small_report())
    stranger = await accepted(province, a_small_report(**other))
    with pytest.raises(MalformedRequest) as refusal:
        await compared(gateway, first["id"], stranger["id"])
    assert [each.pointer for each in refusal.value.errors] == ["from"]
