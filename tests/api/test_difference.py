"""What a correction changed, over the API."""

import httpx
from uuid_utils.compat import uuid7

from factories import a_report, a_row
from gateway_under_test import NewClient, accepted, refused, shown


async def test_a_correction_is_shown_beside_what_it_corrects(
    client_for: NewClient, province: httpx.AsyncClient
) -> None:
    first = await accepted(province, a_report())
    changed = a_row(received_total=2410, received_online=2290, resolved_total=2385, resolved_early=1760)
    second = await accepted(province, a_report(rows=[changed], corrects=first["id"], reason="Bổ sung 10 hồ sơ"))
    address = f"/v1/reports/{second['id']}/difference"
    found = shown(await province.get(address))
    assert (found["from"]["id"], found["to"]["id"]) == (first["id"], second["id"])
    assert (found["from"]["revision"], found["to"]["revision"], found["to"]["reason"]) == (1, 2, "Bổ sung 10 hồ sơ")
    [row] = found["rows"]
    figures = [(each["indicator"], each["before"], each["after"], each["difference"]) for each in row["indicators"]]
    assert figures[0] == ("received_total", 2400, 2410, "10")
    assert shown(await province.get(address, params={"from": first["id"]})) == found
    outsider = await client_for("reports:read", agency="H29")
    refused(await outsider.get(address), 404, "not-found")


async def test_what_cannot_be_compared_is_refused_with_its_reason(province: httpx.AsyncClient) -> None:
    first = await accepted(province, a_report())
    address = f"/v1/reports/{first['id']}/difference"
    english = {"Accept-Language": "en"}
    problem = refused(await province.get(address, headers=english), 404, "not-found")
    assert problem["detail"] == "A first revision corrects nothing."
    for wrong in (str(uuid7()), "abc"):
        problem = refused(await province.get(address, params={"from": wrong}), 400, "malformed-request")
        assert [each["pointer"] for each in problem["errors"]] == ["from"]
