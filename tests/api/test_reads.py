"""Reading reports back: one, its bytes, its receipt, its history, and lists of them."""

import json
from typing import Any
from uuid import UUID

import httpx
import pytest
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey
from uuid_utils.compat import uuid7

from factories import a_balanced_row, a_report, ndjson
from gateway_under_test import NewClient, accepted, push, refused, shown

ROUTES = ("", "/payload", "/history", "/receipt", "/difference")


@pytest.mark.parametrize("route", ROUTES)
async def test_a_report_outside_the_subtree_does_not_exist(client_for: NewClient, route: str) -> None:
    sender = await client_for(agency="H26.18")
    first = (await accepted(sender, a_report()))["id"]
    report = (await accepted(sender, a_report(corrects=first)))["id"]
    for agency in ("H29", "H26.13", "G01"):
        outsider = await client_for(agency=agency)
        refused(await outsider.get(f"/v1/reports/{report}{route}"), 404, "not-found")
    for above in ("H26.18", "H26", None):
        reader = await client_for("reports:read", agency=above)
        assert (await reader.get(f"/v1/reports/{report}{route}")).status_code == 200


@pytest.mark.parametrize("route", ROUTES)
async def test_an_unknown_report_is_not_found_and_no_id_is_malformed(country: httpx.AsyncClient, route: str) -> None:
    refused(await country.get(f"/v1/reports/{uuid7()}{route}"), 404, "not-found")
    for text in ("1", "0" * 36, "%00", "..%2f..", "x" * 5000):
        answer = await country.get(f"/v1/reports/{text}{route}")
        assert answer.status_code in {400, 404}, text
        assert answer.headers["content-type"] == "application/problem+json"


async def jwks(client: httpx.AsyncClient) -> KeySet:
    """The published keys, as anybody may fetch them."""
    answer = await client.get("/.well-known/jwks.json", headers={"Authorization": ""})
    return KeySet.import_key_set(answer.json())


async def test_a_receipt_verifies_with_the_published_keys_alone(province: httpx.AsyncClient) -> None:
    taken = await accepted(province, a_report())
    answer = await province.get(f"/v1/reports/{taken['id']}/receipt")
    assert (answer.text, answer.headers["content-type"]) == (taken["receipt"], "application/jose")
    verified = jws.deserialize_compact(answer.text, await jwks(province), algorithms=["Ed25519"])
    header = verified.headers()
    assert (header["alg"], header["typ"]) == ("Ed25519", "report-receipt+jws")
    claims = json.loads(verified.payload)
    assert claims.pop("iat") > 1_700_000_000
    assert claims == {
        "iss": "http://127.0.0.1:8000",
        "report": taken["id"],
        "sha256": taken["sha256"],
        "agency": "H26.18",
        "form": "TTHC_06A",
        "period": "2098-Q3",
        "kind": "own",
        "revision": 1,
        "received_at": taken["received_at"],
    }


async def test_a_receipt_changed_in_any_part_fails(province: httpx.AsyncClient) -> None:
    receipt = (await accepted(province, a_report()))["receipt"]
    keys = await jwks(province)
    for index in range(0, len(receipt) - 1, 7):
        letter = "A" if receipt[index] != "A" else "B"
        tampered = receipt[:index] + letter + receipt[index + 1 :]
        with pytest.raises((JoseError, ValueError)):
            jws.deserialize_compact(tampered, keys, algorithms=["Ed25519"])
    stranger = KeySet([OKPKey.generate_key("Ed25519")])
    with pytest.raises((JoseError, ValueError)):
        jws.deserialize_compact(receipt, stranger, algorithms=["Ed25519"])


async def test_only_public_halves_are_published(province: httpx.AsyncClient) -> None:
    answer = await province.get("/.well-known/jwks.json")
    for key in answer.json()["keys"]:
        assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("OKP", "Ed25519", "Ed25519", "sig")
        assert set(key) - {"vkey"} == {"kty", "crv", "x", "kid", "alg", "use"}  # of the log


async def test_a_rejected_report_has_bytes_and_an_empty_history_but_no_receipt(
    province: httpx.AsyncClient,
) -> None:
    report = shown(await push(province, a_report(rows=[])))["report"]
    refused(await province.get(f"/v1/reports/{report}/receipt"), 404, "not-found")
    assert shown(await province.get(f"/v1/reports/{report}/history")) == {"items": [], "next": None}
    assert (await province.get(f"/v1/reports/{report}/payload")).json() == a_report(rows=[])


async def fill(client: httpx.AsyncClient, count: int) -> list[str]:
    """So many reports, oldest first: quarters of two departments in turn."""
    sent = [
        a_report(agency=f"H26.{18 - n % 2}", period=f"{2030 + n // 6}-Q{n // 2 % 3 + 1}", rows=[a_balanced_row()])
        for n in range(count)
    ]
    answer = await push(client, ndjson(*sent), to="/batch")
    return [json.loads(line)["id"] for line in answer.text.splitlines()]


async def listed(client: httpx.AsyncClient, **asked: str | int) -> list[dict[str, Any]]:
    """Every item of a list, page after page."""
    items: list[dict[str, Any]] = []
    cursor: dict[str, str | int] = {}
    while True:
        page = shown(await client.get("/v1/reports", params={**asked, **cursor}))
        assert set(page) == {"items", "next"}
        items += page["items"]
        if page["next"] is None:
            return items
        cursor = {"cursor": page["next"]}


async def ids(client: httpx.AsyncClient, **asked: str | int) -> list[str]:
    return [item["id"] for item in await listed(client, **asked)]


@pytest.mark.parametrize("limit", [1, 7, 10, 30, 1000])
async def test_pages_hold_every_report_once_newest_first(province: httpx.AsyncClient, limit: int) -> None:
    made = await fill(province, 30)
    found = await ids(province, limit=limit)
    assert found == sorted(made, reverse=True)


async def test_a_page_ends_where_the_list_ends(province: httpx.AsyncClient) -> None:
    await fill(province, 4)
    assert shown(await province.get("/v1/reports", params={"limit": 4}))["next"] is None
    assert shown(await province.get("/v1/reports", params={"limit": 3}))["next"] is not None


async def test_reports_that_come_while_a_list_is_read_move_nothing(province: httpx.AsyncClient) -> None:
    made = await fill(province, 6)
    first = shown(await province.get("/v1/reports", params={"limit": 3}))
    await accepted(province, a_report(agency="H26"))
    second = shown(await province.get("/v1/reports", params={"limit": 3, "cursor": first["next"]}))
    found = [item["id"] for item in first["items"] + second["items"]]
    assert found == sorted(made, reverse=True)


async def test_a_list_shows_each_report_as_its_answer_did(province: httpx.AsyncClient) -> None:
    taken = await accepted(province, a_report())
    assert await listed(province) == [taken]


async def test_an_empty_list_is_empty(province: httpx.AsyncClient) -> None:
    assert shown(await province.get("/v1/reports")) == {"items": [], "next": None}


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "", "x", "1.0", "٣", "9" * 50, "1e2", " 5"])
async def test_a_limit_outside_1_to_1000_is_malformed(province: httpx.AsyncClient, limit: str) -> None:
    problem = refused(await province.get("/v1/reports", params={"limit": limit}), 400, "malformed-request")
    assert [each["pointer"] for each in problem["errors"]] == ["limit"]


@pytest.mark.parametrize("cursor", ["", "x", "====", "eA", "é", "AAAA", "x" * 3000, "MDE5OTg|", "MA\x00"])
async def test_a_cursor_that_is_not_ours_is_malformed(province: httpx.AsyncClient, cursor: str) -> None:
    problem = refused(await province.get("/v1/reports", params={"cursor": cursor}), 400, "malformed-request")
    assert [each["pointer"] for each in problem["errors"]] == ["cursor"]


async def consolidated(client: httpx.AsyncClient, **asked: str) -> str:
    answer = await client.post("/v1/consolidations", json=asked)
    assert answer.status_code == 201, answer.text
    report: str = shown(answer)["id"]
    return report


async def test_lists_are_filtered(client_for: NewClient) -> None:
    country = await client_for("reports:write", "reports:read", "reports:review")
    one = (await accepted(country, a_report(agency="H26.18")))["id"]
    two = await consolidated(country, form="TTHC_06A", period="2098-Q3", agency="H26")
    three = (await accepted(country, a_report(agency="H29", period="2099-Q1")))["id"]
    four = (await accepted(country, a_report(agency="H26", corrects=None)))["id"]
    rejected = shown(await push(country, a_report(agency="H26.13", rows=[])))["report"]
    five = (await accepted(country, a_report(agency="H26", corrects=four)))["id"]
    await country.post(f"/v1/reports/{three}/return", json={"reason": "x"})
    everything = [five, rejected, four, three, two, one]
    for asked, expected in (
        ({}, everything),
        ({"agency": "H26"}, [five, four, two]),
        ({"agency": "GSO:01"}, [five, four, two]),
        ({"under": "H26"}, [five, rejected, four, two, one]),
        ({"under": "H26.18"}, [one]),
        ({"period": "2099-Q1"}, [three]),
        ({"kind": "consolidation"}, [two]),
        ({"form": "TTHC_06A"}, everything),
        ({"form": "KTXH_01"}, []),
        ({"status": "rejected"}, [rejected]),
        ({"status": "superseded"}, [four]),
        ({"status": "returned"}, [three]),
        ({"status": "accepted", "under": "H26", "kind": "own"}, [five, one]),
    ):
        assert await ids(country, **asked) == expected, asked


async def test_a_client_lists_its_own_subtree_and_asks_for_no_other(client_for: NewClient) -> None:
    country = await client_for()
    own = (await accepted(country, a_report(agency="H26.18")))["id"]
    await accepted(country, a_report(agency="H29"))
    province = await client_for(agency="H26")
    assert await ids(province) == [own]
    for asked in ({"agency": "H29"}, {"under": "H29"}, {"under": "G01"}, {"agency": "H99"}, {"under": "H99"}):
        refused(await province.get("/v1/reports", params=asked), 403, "forbidden")


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"agency": "H26", "under": "H26"}, 400),
        ({"agency": "H99"}, 404),
        ({"under": "H99"}, 404),
        ({"form": "TTHC_99"}, 404),
        ({"kind": "draft"}, 400),
        ({"status": "lost"}, 400),
        ({"period": "2098-Q9"}, 400),
        ({"period": "a\x00b"}, 400),
        ({"form": "a\x00b"}, 400),
        ({"agency": "a\x00b"}, 400),
    ],
    ids=str,
)
async def test_a_filter_that_makes_no_sense_is_refused(
    country: httpx.AsyncClient, asked: dict[str, str], status: int
) -> None:
    answer = await country.get("/v1/reports", params=asked)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_ids_are_version_7(province: httpx.AsyncClient) -> None:
    assert {UUID(report).version for report in await fill(province, 3)} == {7}
