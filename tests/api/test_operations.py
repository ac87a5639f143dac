"""What operators see and do: connectors and deliveries, each within the operator's subtree."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from factories import a_report
from forwarding import (
    attempts,
    connect_upstream,
    deliveries,
    receive,
    receive_revisions,
    states,
    until,
    until_all,
    upstream,
    working,
)
from gateway.api.deps import Gateway
from gateway.flow import remind
from gateway.flow.remind import Reminders
from gateway_under_test import NewClient, accepted, connected, refused, shown

CLOSED = {"state": "closed", "failures": 0, "until": None}
"""The breaker of a connector that nothing has failed at."""
DOCUMENT: dict[str, Any] = {
    "kind": "http_json",
    "url": "https://upstream.example/reports",
    "forms": ["TTHC_06A"],
    "under": "H26",
    "what": "own",
    "remind": None,
    "from": None,
    "concurrency": 8,
    "rate": 2.5,
    "retry": None,
    "allow_private_addresses": False,
    "options": None,
}

LGSP: dict[str, Any] = {
    "kind": "lgsp",
    "options": {"token_url": "https://upstream.example/token", "scope": None},
    "credentials": {"client_id": "gateway", "client_secret": "s3cret"},
}
"""What makes the document one of an upstream behind an API manager."""
MAPPED: dict[str, Any] = {
    "codes": {"offices": {"H26.18": "000-00-18-H26"}},
    "accepted": {"method": "PUT", "path": "/{agency|offices}", "body": {"factor": 0.25}, "taken": {"/MSG": ["Done"]}},
}
"""Options that tell a report to a system of another shape."""
WEBHOOK: dict[str, Any] = {
    "kind": "webhook",
    "what": "none",
    "remind": {"due_in_days": 3, "overdue": True},
    "credentials": {"signing_secret": "whsec_" + "A" * 32},
}
"""What makes the document one of a webhook that is only reminded."""


@pytest.fixture
async def operator(client_for: NewClient) -> httpx.AsyncClient:
    """An operator of the whole country."""
    return await client_for("operations")


@pytest.fixture
async def provincial(client_for: NewClient) -> httpx.AsyncClient:
    """An operator of Ha Noi (H26)."""
    return await client_for("operations", agency="H26")


async def put(client: httpx.AsyncClient, name: str = "national", **changes: object) -> httpx.Response:
    return await client.put(f"/v1/connectors/{name}", json=DOCUMENT | changes)


def places(answer: httpx.Response) -> list[str]:
    return [each["pointer"] for each in refused(answer, 400, "malformed-request")["errors"]]


async def test_a_connector_is_made_read_back_changed_and_removed(operator: httpx.AsyncClient) -> None:
    made = await put(operator)
    assert made.status_code == 201, made.text
    connector = shown(made)
    expected = {"name": "national", "paused": False, "has_credentials": False, "made_at": connector["made_at"]}
    assert connector == DOCUMENT | expected
    assert shown(await operator.get("/v1/connectors/national")) == connector | {
        "breaker": CLOSED,
        "returns": None,
        "witness": None,
    }
    changed = await put(operator, url="https://other.example/", **{"from": "2026-01-01"})
    assert changed.status_code == 200
    assert shown(changed) == connector | {"url": "https://other.example/", "from": "2026-01-01"}
    assert shown(await operator.get("/v1/connectors")) == {"items": [shown(changed)], "next": None}
    assert (await operator.delete("/v1/connectors/national")).status_code == 204
    refused(await operator.get("/v1/connectors/national"), 404, "not-found")
    refused(await operator.delete("/v1/connectors/national"), 404, "not-found")
    assert shown(await operator.get("/v1/connectors"))["items"] == []


async def test_what_is_read_may_be_put_back_with_its_name(operator: httpx.AsyncClient) -> None:
    made = await operator.put("/v1/connectors/national", json=DOCUMENT | {"name": "national"})
    assert made.status_code == 201
    other = await operator.put("/v1/connectors/national", json=DOCUMENT | {"name": "other"})
    assert places(other) == ["/name"]


async def test_only_kind_and_url_are_required(operator: httpx.AsyncClient) -> None:
    document = {"kind": "http_json", "url": "https://upstream.example/"}
    answer = await operator.put("/v1/connectors/n", json=document)
    assert answer.status_code == 201
    defaults = {"forms": None, "under": None, "what": "own", "from": None, "concurrency": 8, "rate": None}
    assert shown(answer).items() >= (document | defaults).items()


async def test_credentials_are_never_read_back_and_stay_until_they_are_replaced(
    operator: httpx.AsyncClient, gateway: Gateway
) -> None:
    for given, has in (({"credentials": {"bearer": "s3cret"}}, True), ({}, True), ({"credentials": {}}, False)):
        answer = await put(operator, **given)
        assert shown(answer)["has_credentials"] is has
        assert "s3cret" not in answer.text
        async with connected(gateway.engine) as connection:
            kept = await connection.fetchval("SELECT credentials FROM connectors")
        assert (kept is not None) is has
        assert b"s3cret" not in (kept or b"")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"kind": "pigeon"}, ["/kind"]),
        ({"options": {"token_url": "https://upstream.example/token"}}, ["/options/token_url"]),
        ({"options": []}, ["/options"]),
        (LGSP | {"options": None}, ["/options/token_url"]),
        (LGSP | {"options": {"token_url": "x", "scope": 1}}, ["/options/scope"]),
        (LGSP | {"options": {"token_url": "x"}}, ["/options/token_url"]),
        (
            {"options": MAPPED | {"returned": {"body": ["{agency}"], "headers": {"Host": "x"}}}},
            ["/options/returned/headers/Host", "/options/returned/body/0"],
        ),
        (
            LGSP | {"options": LGSP["options"] | {"accepted": {"path": "//elsewhere.example"}}},
            ["/options/accepted/path"],
        ),
        ({"url": "https://upstream.example/?a=1", "options": MAPPED}, ["/url"]),
        (LGSP | {"credentials": {}}, ["/credentials"]),
        ({"kind": "ndxp"}, [f"/options/{name}" for name in ("dstcode", "provider_url", "service", "login")]),
        ({"kind": "dhis2", "what": "all"}, ["/what", "/options/forms", "/options/org_units"]),
        (LGSP | {"credentials": LGSP["credentials"] | {"ca_certificate": "x"}}, ["/credentials"]),
        ({"url": "ftp://upstream.example"}, ["/url"]),
        ({"url": "https://user:password@upstream.example"}, ["/url"]),
        ({"credentials": {"password": "x"}}, ["/credentials"]),
        ({"credentials": {"signing_secret": "short"}}, ["/credentials"]),
        ({"forms": ["TTHC_06A", "NO_SUCH"]}, ["/forms/1"]),
        ({"under": "Z99"}, ["/under"]),
        ({"from": "2999-01-01"}, ["/from"]),
        ({"from": "yesterday"}, ["/from"]),
        ({"what": "everything"}, ["/what"]),
        ({"concurrency": 0}, ["/concurrency"]),
        ({"concurrency": "8"}, ["/concurrency"]),
        ({"rate": 0}, ["/rate"]),
        ({"rate": "1"}, ["/rate"]),
        ({"schedule": []}, ["/schedule"]),
        ({"remind": {"overdue": True}}, ["/remind"]),
        ({"what": "none"}, ["/what"]),
        (WEBHOOK | {"credentials": {}}, ["/credentials"]),
        (WEBHOOK | {"credentials": {"signing_secret": "whsk_short"}}, ["/credentials"]),
        (WEBHOOK | {"remind": {}}, ["/remind"]),
        (WEBHOOK | {"remind": {"due_in_days": None, "overdue": False}}, ["/remind"]),
        (WEBHOOK | {"remind": {"due_in_days": -1}}, ["/remind/due_in_days"]),
        (WEBHOOK | {"remind": {"due_in_days": 61}}, ["/remind/due_in_days"]),
        (WEBHOOK | {"remind": {"due_in_days": True}}, ["/remind/due_in_days"]),
        (WEBHOOK | {"remind": {"late": True}}, ["/remind/late"]),
        (WEBHOOK | {"remind": None}, ["/what"]),
        ({"url": "ftp://x", "forms": ["NO"], "under": "Z99"}, ["/forms/0", "/url", "/under"]),
    ],
)
async def test_every_wrong_place_of_a_connector_is_named_at_once(
    operator: httpx.AsyncClient, changes: dict[str, Any], expected: list[str]
) -> None:
    answer = await put(operator, **changes)
    assert places(answer) == expected
    assert "password" not in answer.text.replace("credentials named password", "").replace("user and password", "")


async def test_a_mapping_is_read_back_as_it_was_written(operator: httpx.AsyncClient) -> None:
    made = await put(operator, options=MAPPED)
    assert made.status_code == 201, made.text
    assert shown(await operator.get("/v1/connectors/national"))["options"] == MAPPED


async def test_an_unsupported_kind_is_told_what_is_supported(operator: httpx.AsyncClient) -> None:
    [place] = refused(await put(operator, kind="pigeon"), 400, "malformed-request")["errors"]
    assert "http_json, webhook" in place["message"]


async def test_a_webhook_that_is_reminded_is_made_and_read_back(operator: httpx.AsyncClient) -> None:
    made = await put(operator, **WEBHOOK)
    assert made.status_code == 201, made.text
    assert shown(made).items() >= {"kind": "webhook", "what": "none", "has_credentials": True}.items()
    assert shown(made)["remind"] == WEBHOOK["remind"]
    assert shown(await operator.get("/v1/connectors/national"))["remind"] == WEBHOOK["remind"]
    overdue = await put(operator, **WEBHOOK | {"remind": {"overdue": True}})
    assert shown(overdue)["remind"] == {"due_in_days": None, "overdue": True}


async def test_options_are_read_back_and_credentials_stay_only_where_those_lead(operator: httpx.AsyncClient) -> None:
    made = await put(operator, **LGSP)
    assert made.status_code == 201, made.text
    assert shown(made)["options"] == LGSP["options"]
    assert shown(await operator.get("/v1/connectors/national")) == shown(made) | {
        "breaker": CLOSED,
        "returns": None,
        "witness": None,
    }
    kept = {name: value for name, value in LGSP.items() if name != "credentials"}
    assert (await put(operator, **kept | {"rate": None})).status_code == 200
    elsewhere = kept | {"options": {"token_url": "https://other.example/token"}}
    assert places(await put(operator, **elsewhere)) == ["/credentials"]
    assert (await put(operator, **LGSP | elsewhere)).status_code == 200


async def test_credentials_that_are_kept_are_judged_by_the_kind_they_are_kept_for(operator: httpx.AsyncClient) -> None:
    kept = {name: value for name, value in WEBHOOK.items() if name != "credentials"}
    assert places(await put(operator, **kept)) == ["/credentials"]
    await put(operator, credentials={"bearer": "a.token"})
    assert places(await put(operator, **kept)) == ["/credentials"]
    await put(operator, **WEBHOOK)
    assert (await put(operator, **kept)).status_code == 200
    assert (await put(operator, kind="http_json")).status_code == 200


async def test_credentials_that_no_key_opens_any_more_are_given_anew(
    operator: httpx.AsyncClient, gateway: Gateway
) -> None:
    await put(operator, **WEBHOOK)
    async with connected(gateway.engine) as connection:
        await connection.execute("UPDATE connectors SET credentials = 'of another key'")
    kept = {name: value for name, value in WEBHOOK.items() if name != "credentials"}
    assert places(await put(operator, **kept)) == ["/credentials"]
    assert (await put(operator, **WEBHOOK)).status_code == 200


@pytest.mark.parametrize("name", ["National", "9lives", "a" * 64, "a_b", "-a"])
async def test_a_connector_s_name_is_lower_case_letters_digits_and_hyphens(
    operator: httpx.AsyncClient, name: str
) -> None:
    refused(await put(operator, name), 400, "malformed-request")


async def test_the_name_of_a_removed_connector_is_free_for_another(
    operator: httpx.AsyncClient, gateway: Gateway
) -> None:
    await put(operator)
    await receive(gateway)
    await operator.delete("/v1/connectors/national")
    assert (await put(operator)).status_code == 201
    await receive(gateway, period="2098-Q2")
    items = shown(await operator.get("/v1/deliveries", params={"connector": "national"}))["items"]
    assert [each["state"] for each in items] == ["pending", "cancelled"]


async def test_lists_of_connectors_come_in_pages_by_name(operator: httpx.AsyncClient) -> None:
    for name in ("b", "c", "a"):
        await put(operator, name)
    first = shown(await operator.get("/v1/connectors", params={"limit": 2}))
    second = shown(await operator.get("/v1/connectors", params={"limit": 2, "cursor": first["next"]}))
    assert [each["name"] for each in first["items"] + second["items"]] == ["a", "b", "c"]
    assert second["next"] is None


async def test_an_operator_of_a_subtree_makes_connectors_for_it_alone(provincial: httpx.AsyncClient) -> None:
    assert places(await put(provincial, under=None)) == ["/under"]
    refused(await put(provincial, under="H01"), 403, "forbidden")
    assert (await put(provincial, under="H26.18")).status_code == 201


async def test_what_lies_outside_an_operator_s_subtree_does_not_exist(
    operator: httpx.AsyncClient, provincial: httpx.AsyncClient, gateway: Gateway
) -> None:
    await put(operator, "country", under=None)
    await put(operator, "neighbour", under="H01")
    await put(operator, "own", under="H26")
    await receive(gateway)
    assert [each["name"] for each in shown(await provincial.get("/v1/connectors"))["items"]] == ["own"]
    for name in ("country", "neighbour"):
        for answer in (
            await provincial.get(f"/v1/connectors/{name}"),
            await put(provincial, name, under="H26"),
            await provincial.post(f"/v1/connectors/{name}/pause"),
            await provincial.post(f"/v1/connectors/{name}/retry"),
            await provincial.delete(f"/v1/connectors/{name}"),
            await provincial.get("/v1/deliveries", params={"connector": name}),
        ):
            refused(answer, 404, "not-found")
    both = shown(await operator.get("/v1/deliveries"))["items"]
    assert {each["connector"] for each in both} == {"country", "own"}
    [own] = shown(await provincial.get("/v1/deliveries"))["items"]
    assert own["connector"] == "own"
    [hidden] = [each["id"] for each in both if each["connector"] == "country"]
    refused(await provincial.get(f"/v1/deliveries/{hidden}"), 404, "not-found")
    for action in ("retry", "cancel"):
        refused(await provincial.post(f"/v1/deliveries/{hidden}/{action}"), 404, "not-found")
    assert await states(gateway.engine) == ["pending", "pending"]


async def test_operations_need_their_scope(client_for: NewClient) -> None:
    reader = await client_for("reports:read", "catalog:write")
    for answer in (await reader.get("/v1/connectors"), await put(reader), await reader.get("/v1/deliveries")):
        assert refused(answer, 403, "forbidden")["scope"] == "operations"


async def test_a_new_connector_is_seen_by_the_next_push_of_an_api_that_runs(
    operator: httpx.AsyncClient, country: httpx.AsyncClient, gateway: Gateway
) -> None:
    await accepted(country, a_report(period="2098-Q3"))
    await put(operator)
    await accepted(country, a_report(period="2098-Q2"))
    await operator.delete("/v1/connectors/national")
    await accepted(country, a_report(period="2098-Q1"))
    assert len(await deliveries(gateway.engine)) == 1


async def test_a_first_day_brings_older_reports_along(operator: httpx.AsyncClient, gateway: Gateway) -> None:
    reports = await receive_revisions(gateway, 2)
    await put(operator, **{"from": "2020-01-01"})
    items = shown(await operator.get("/v1/deliveries"))["items"]
    assert {each["report"] for each in items} == {str(report) for report in reports}


async def test_a_paused_connector_gathers_deliveries_and_a_resumed_one_sends_them(
    operator: httpx.AsyncClient, gateway: Gateway
) -> None:
    async with upstream() as national, working(gateway):
        await connect_upstream(gateway, national.url)
        for _ in range(2):
            paused = shown(await operator.post("/v1/connectors/national/pause"))
        assert paused["paused"] is True
        await receive(gateway)
        assert await national.received() == []
        assert await states(gateway.engine) == ["pending"]
        assert shown(await operator.post("/v1/connectors/national/resume"))["paused"] is False
        await until_all(gateway.engine, "delivered")


async def test_a_refused_delivery_shows_its_attempts_and_is_retried(
    operator: httpx.AsyncClient, gateway: Gateway
) -> None:
    async with upstream() as national, working(gateway):
        await connect_upstream(gateway, national.url)
        await national.behave(mode="refuse", count=1)
        report = await receive(gateway)
        await until_all(gateway.engine, "refused")
        [delivery] = shown(await operator.get("/v1/deliveries", params={"state": "refused"}))["items"]
        full = shown(await operator.get(f"/v1/deliveries/{delivery['id']}"))
        [attempt] = full.pop("history")
        assert full.pop("interventions") == []
        assert full == delivery
        retried = await operator.post(f"/v1/deliveries/{delivery['id']}/retry", json={"reason": "đã sửa"})
        assert shown(retried)["outcome"] == "taken up again by an operator: đã sửa"
        await until_all(gateway.engine, "delivered")
        refused(await operator.post(f"/v1/deliveries/{delivery['id']}/retry"), 409, "state-conflict")
        refused(await operator.post(f"/v1/deliveries/{delivery['id']}/cancel"), 409, "state-conflict")
    assert delivery | {"id": 0, "made_at": 0, "finished_at": 0} == {
        "receipt": None,
        "id": 0,
        "connector": "national",
        "report": str(report),
        "event": "accepted",
        "state": "refused",
        "agency": "H26.18",
        "form": "TTHC_06A",
        "period": "2098-Q3",
        "kind": "own",
        "owed_by": None,
        "made_at": 0,
        "due_at": None,
        "attempts": 1,
        "finished_at": 0,
        "outcome": "refused: the upstream answered 422",
    }
    assert (attempt["number"], attempt["outcome"], attempt["status"]) == (1, "refused", 422)
    assert "told to refuse" in attempt["reply"]
    assert len(await attempts(gateway.engine)) == 2


async def test_retrying_or_cancelling_again_changes_nothing(operator: httpx.AsyncClient, gateway: Gateway) -> None:
    await put(operator)
    await receive(gateway)
    [delivery] = shown(await operator.get("/v1/deliveries"))["items"]
    route = f"/v1/deliveries/{delivery['id']}"
    assert shown(await operator.post(f"{route}/retry"))["state"] == "pending"
    for _ in range(2):
        cancelled = shown(await operator.post(f"{route}/cancel", json={"reason": "gửi bằng văn bản"}))
        assert (cancelled["state"], cancelled["due_at"]) == ("cancelled", None)
        assert cancelled["outcome"] == "cancelled by an operator: gửi bằng văn bản"
    again = shown(await operator.post(f"{route}/retry"))
    assert (again["state"], again["finished_at"]) == ("pending", None)
    assert shown(await operator.post("/v1/connectors/national/retry"))["retried"] == 0


async def test_a_delivery_that_was_passed_by_a_later_one_cannot_be_retried(
    operator: httpx.AsyncClient, gateway: Gateway
) -> None:
    async with upstream() as national, working(gateway):
        await connect_upstream(gateway, national.url)
        await national.behave(mode="refuse", count=1)
        first, _ = await receive_revisions(gateway, 2)
        await until_all_final(gateway)
        [delivery] = shown(await operator.get("/v1/deliveries", params={"report": str(first)}))["items"]
        problem = refused(await operator.post(f"/v1/deliveries/{delivery['id']}/retry"), 409, "state-conflict")
        assert problem["state"] == "refused"
        again = shown(await operator.post("/v1/connectors/national/retry"))
        assert (again["retried"], again["passed"]) == (0, 1)


async def until_all_final(gateway: Gateway) -> None:
    async def final() -> bool:
        return sorted(await states(gateway.engine)) == ["delivered", "refused"]

    await until(final, told=lambda: deliveries(gateway.engine))


async def test_deliveries_come_in_pages_newest_first_and_by_what_is_asked(
    operator: httpx.AsyncClient, gateway: Gateway
) -> None:
    await put(operator, "one")
    await put(operator, "two")
    reports = [await receive(gateway, period=f"2098-Q{quarter}") for quarter in (3, 2, 1)]
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = shown(await operator.get("/v1/deliveries", params={"limit": 4} | ({"cursor": cursor} if cursor else {})))
        found, cursor = found + page["items"], page["next"]
    assert [each["id"] for each in found] == sorted((each["id"] for each in found), reverse=True)
    assert [each["report"] for each in found] == [str(report) for report in reversed(reports) for _ in range(2)]

    async def asked(**query: str) -> int:
        return len(shown(await operator.get("/v1/deliveries", params=query))["items"])

    assert await asked(connector="one") == 3
    assert await asked(report=str(reports[0])) == 2
    assert await asked(report=str(reports[0]), connector="two", state="pending") == 1
    assert await asked(state="refused") == 0
    assert await asked(report=str(uuid4())) == 0


async def test_a_reminder_is_listed_retried_and_cancelled_like_any_delivery(
    operator: httpx.AsyncClient, provincial: httpx.AsyncClient, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def clock(_: object) -> datetime:
        return datetime(2098, 9, 18, 5, tzinfo=UTC)

    monkeypatch.setattr(remind, "clock", clock)
    await put(operator, **WEBHOOK | {"under": "H26.18"})
    await put(operator, "neighbour", **WEBHOOK | {"under": "H01.18"})
    assert await Reminders(gateway.engine, gateway.catalogues).make() == 2
    [reminder] = shown(await operator.get("/v1/deliveries", params={"connector": "national"}))["items"]
    assert reminder | {"id": 0, "made_at": 0, "due_at": 0} == {
        "receipt": None,
        "id": 0,
        "connector": "national",
        "report": None,
        "event": "due",
        "state": "pending",
        "agency": "H26.18",
        "form": "TTHC_06A",
        "period": "2098-Q3",
        "kind": "own",
        "owed_by": "2098-09-20",
        "made_at": 0,
        "due_at": 0,
        "attempts": 0,
        "finished_at": None,
        "outcome": None,
    }
    address = f"/v1/deliveries/{reminder['id']}"
    assert shown(await operator.get(address)) == reminder | {"history": [], "interventions": []}
    assert [each["id"] for each in shown(await provincial.get("/v1/deliveries"))["items"]] == [reminder["id"]]
    assert shown(await provincial.post(f"{address}/cancel", json={"reason": "đã gọi điện"}))["state"] == "cancelled"
    assert shown(await provincial.post(f"{address}/retry"))["state"] == "pending"


@pytest.mark.parametrize(
    ("query", "status", "slug"),
    [
        ({"connector": "none"}, 404, "not-found"),
        ({"state": "lost"}, 400, "malformed-request"),
        ({"report": "1"}, 400, "malformed-request"),
        ({"limit": "1001"}, 400, "malformed-request"),
        ({"cursor": "!"}, 400, "malformed-request"),
    ],
)
async def test_a_list_of_deliveries_that_cannot_be_given_is_refused(
    operator: httpx.AsyncClient, query: dict[str, str], status: int, slug: str
) -> None:
    refused(await operator.get("/v1/deliveries", params=query), status, slug)


async def test_an_unknown_delivery_is_not_found(operator: httpx.AsyncClient) -> None:
    unknown: UUID = uuid4()
    refused(await operator.get(f"/v1/deliveries/{unknown}"), 404, "not-found")
    refused(await operator.post(f"/v1/deliveries/{unknown}/retry"), 404, "not-found")
    refused(await operator.get("/v1/deliveries/not-an-id"), 400, "malformed-request")


async def test_a_body_that_is_not_strict_json_is_refused(operator: httpx.AsyncClient) -> None:
    answer = await operator.put(
        "/v1/connectors/national",
        content=b'{"kind": "http_json", "kind": "http_json"}',
        headers={"Content-Type": "application/json"},
    )
    refused(answer, 400, "malformed-request")
    refused(await operator.put("/v1/connectors/national", content=b"{}"), 415, "unsupported-media-type")


# Chosen by a filter.


async def test_deliveries_are_listed_and_taken_up_by_the_same_filter(
    operator: httpx.AsyncClient, gateway: Gateway
) -> None:
    await connect_upstream(gateway, "http://127.0.0.1:9/reports")
    wanted = [await receive(gateway, period=period) for period in ("2098-Q2", "2096-Q2")]
    other = await receive(gateway, agency="H01.18")
    async with connected(gateway.engine) as connection:
        await connection.execute("UPDATE deliveries SET state = 'refused', finished_at = now()")

    async def listed(**query: str) -> set[UUID]:
        answer = shown(await operator.get("/v1/deliveries", params=query))
        return {UUID(each["report"]) for each in answer["items"]}

    assert await listed(under="H26") == await listed(agency="H26.18") == set(wanted)
    assert await listed(agency="H01.18", form="TTHC_06A", kind="own", event="accepted") == {other}
    assert await listed(period="2098-Q2") == {wanted[0]}
    assert await listed(made_from="2020-01-01T00:00:00Z", ended_from="2020-01-01T00:00:00Z") == {*wanted, other}
    assert await listed(made_to="2020-01-01T00:00:00Z") == await listed(ended_to="2020-01-01T00:00:00Z") == set()

    path, chosen = "/v1/connectors/national/retry", {"under": "H26", "state": "refused"}
    done = shown(await operator.post(path, params=chosen, json={"reason": "đã mở lại"}))
    assert (done["retried"], done["passed"]) == (2, 0)
    assert await listed(state="pending") == set(wanted)
    [act] = shown(await operator.get("/v1/connectors/national/interventions"))["items"]
    assert (act["id"], act["act"], act["reason"]) == (done["intervention"], "retry", "đã mở lại")
    assert (act["wanted"], act["touched"]) == (chosen, 2)
    [delivery] = shown(await operator.get("/v1/deliveries", params={"report": str(wanted[0])}))["items"]
    assert shown(await operator.get(f"/v1/deliveries/{delivery['id']}"))["interventions"] == [act]


@pytest.mark.parametrize(
    "query", [{"froms": "2026"}, {"state": "delivered"}, {"period": "2026-Q9"}, {"made_from": "2026-01-01T00:00:00"}]
)
async def test_a_retry_by_a_filter_that_is_not_one_takes_up_nothing(
    operator: httpx.AsyncClient, gateway: Gateway, query: dict[str, str]
) -> None:
    await connect_upstream(gateway, "http://127.0.0.1:9/reports")
    await receive(gateway)
    async with connected(gateway.engine) as connection:
        await connection.execute("UPDATE deliveries SET state = 'refused', finished_at = now()")
    refused(await operator.post("/v1/connectors/national/retry", params=query), 400, "malformed-request")
    assert await states(gateway.engine) == ["refused"]


async def test_pausing_resuming_and_cancelling_are_kept_with_who_and_why(
    operator: httpx.AsyncClient, gateway: Gateway
) -> None:
    await connect_upstream(gateway, "http://127.0.0.1:9/reports")
    await receive(gateway)
    [delivery] = await deliveries(gateway.engine)
    because = {"reason": "bảo trì"}
    for _ in range(2):
        assert (await operator.post("/v1/connectors/national/pause", json=because)).status_code == 200
        assert (await operator.post(f"/v1/deliveries/{delivery['id']}/cancel", json=because)).status_code == 200
    await operator.post("/v1/connectors/national/resume")
    acts = shown(await operator.get("/v1/connectors/national/interventions"))["items"]
    assert [(each["act"], each["reason"]) for each in acts] == [
        ("resume", None),
        ("cancel", "bảo trì"),
        ("pause", "bảo trì"),
    ]
    assert len({each["client"] for each in acts}) == 1


async def test_what_was_done_to_a_connector_of_another_subtree_is_not_read_by_whom_it_is_handed_to(
    operator: httpx.AsyncClient, gateway: Gateway, client_for: NewClient
) -> None:
    await connect_upstream(gateway, "http://127.0.0.1:9/reports", under="H26")
    await receive(gateway)
    [delivery] = await deliveries(gateway.engine)
    await operator.post("/v1/connectors/national/pause", json={"reason": "nợ phí"})
    await operator.post(f"/v1/deliveries/{delivery['id']}/cancel", json={"reason": "nhầm"})
    await connect_upstream(gateway, "http://127.0.0.1:9/reports", under="H01")
    await operator.post("/v1/connectors/national/resume", json={"reason": "của Hà Giang"})

    async def read(reader: httpx.AsyncClient) -> list[str]:
        found = shown(await reader.get("/v1/connectors/national/interventions", params={"limit": "10"}))["items"]
        return [each["reason"] for each in found]

    heir = await client_for("operations", agency="H01")
    assert await read(heir) == ["của Hà Giang"]
    assert shown(await heir.get(f"/v1/deliveries/{delivery['id']}")).get("interventions", []) == []
    assert await read(operator) == ["của Hà Giang", "nhầm", "nợ phí"]
    assert len(shown(await operator.get(f"/v1/deliveries/{delivery['id']}"))["interventions"]) == 1
    await connect_upstream(gateway, "http://127.0.0.1:9/reports", under="H26")
    assert await read(await client_for("operations", agency="H26")) == ["nhầm", "nợ phí"]


# Retry schedules.


async def test_a_retry_schedule_is_read_back_and_gone_with_the_next_document_without_one(
    operator: httpx.AsyncClient,
) -> None:
    schedule = {"delays_seconds": [10, 60, 3600], "horizon_hours": 48}
    assert shown(await put(operator, retry=schedule))["retry"] == schedule
    assert shown(await operator.get("/v1/connectors/national"))["retry"] == schedule
    assert shown(await put(operator))["retry"] is None


@pytest.mark.parametrize(
    ("schedule", "place"),
    [
        ({"delays_seconds": [], "horizon_hours": 1}, "/retry/delays_seconds"),
        ({"delays_seconds": [0], "horizon_hours": 1}, "/retry/delays_seconds/0"),
        ({"delays_seconds": [1.5], "horizon_hours": 1}, "/retry/delays_seconds/0"),
        ({"delays_seconds": [7 * 86_400 + 1], "horizon_hours": 1}, "/retry/delays_seconds/0"),
        ({"delays_seconds": [60] * 51, "horizon_hours": 1}, "/retry/delays_seconds"),
        ({"delays_seconds": [60], "horizon_hours": 0}, "/retry/horizon_hours"),
        ({"delays_seconds": [60_000], "horizon_hours": 673}, "/retry/horizon_hours"),
        ({"delays_seconds": [60]}, "/retry/horizon_hours"),
        ({"delays_seconds": [1], "horizon_hours": 1}, "/retry"),
        ({"delays_seconds": [60], "horizon_hours": 1, "jitter": 0}, "/retry/jitter"),
    ],
)
async def test_a_retry_schedule_out_of_bounds_is_refused_by_its_place(
    operator: httpx.AsyncClient, schedule: dict[str, Any], place: str
) -> None:
    assert places(await put(operator, retry=schedule)) == [place]
