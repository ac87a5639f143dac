"""Backtests: what a form's rules would say of reports that are stored, and nothing changed by asking."""

from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from factories import a_form, a_rule, a_small_report, an_indicator, body
from gateway.api.deps import Gateway
from gateway.domain.form_document import Severity
from gateway.domain.period import parse_period
from gateway.flow import backtest as module
from gateway.flow.backtest import backtest
from gateway_under_test import NewClient, accepted, connected, counts, push, refused, shown

TRIED = "/v1/forms/TEST_01/versions/{version}/backtest"
AT_MOST_5 = a_rule(check="amount <= 5")
BLANK = an_indicator(id="extra", required=False)


@pytest.fixture
async def editor(client_for: NewClient) -> httpx.AsyncClient:
    """A client of the whole country that writes forms and reports, once there is a form without rules."""
    client = await client_for("catalog:write", "reports:write", "reports:read")
    await put_form(client)
    return client


async def put_form(client: httpx.AsyncClient, **document: Any) -> None:
    form = a_form(**document)
    path = f"/v1/forms/{form['code']}/versions/{form['version']}"
    answer = await client.put(path, content=body(form), headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text


async def ask(
    client: httpx.AsyncClient, draft: object = None, period: str = "2098-Q3", version: int = 2, **asked: str
) -> httpx.Response:
    """Try a draft, or what is stored."""
    return await client.post(
        TRIED.format(version=version),
        params={"period": period, **asked},
        content=None if draft is None else body(draft),
        headers={} if draft is None else {"Content-Type": "application/json"},
    )


async def tried(client: httpx.AsyncClient, *rules: dict[str, Any], **asked: Any) -> dict[str, Any]:
    """What a next version with these rules says."""
    changes = asked.pop("form", {})
    answer = await ask(client, a_form(version=2, rules=list(rules), **changes), **asked)
    assert answer.status_code == 200, answer.text
    return shown(answer)


def of(amount: int | None, agency: str = "H26.18", **changes: object) -> dict[str, Any]:
    return a_small_report(agency=agency, rows=[{"sector": "LAND", "amount": amount}], **changes)


async def test_a_rule_of_a_draft_is_shown_with_the_reports_it_would_have_refused(editor: httpx.AsyncClient) -> None:
    await accepted(editor, of(5))
    wrong = await accepted(editor, of(6, agency="H26.13"))
    answer = await tried(editor, AT_MOST_5, a_rule(id="R2", severity="explain", check="amount == 6"))
    first, second = answer.pop("rules")
    assert answer == {
        "form": "TEST_01",
        "version": 2,
        "draft": True,
        "periods": ["2098-Q3"],
        "under": None,
        "reports": 2,
        "complete": True,
    }
    (example,) = first.pop("examples")
    assert first == {
        "rule": "R1",
        "severity": "error",
        "reports": 1,
        "findings": {"error": 1, "explain": 0, "warning": 0},
    }
    finding = example.pop("finding")
    assert example == {"agency": "H26.13", "kind": "own", "period": "2098-Q3", "report": wrong["id"]}
    assert (finding["pointer"], finding["row"]) == ("/rows/0", {"sector": "LAND"})
    assert (second["findings"]["explain"], second["examples"][0]["finding"]["expected"]) == (1, "6")


async def test_nothing_is_stored_and_no_version_is_made(editor: httpx.AsyncClient, engine: AsyncEngine) -> None:
    await accepted(editor, of(6))

    async def state() -> object:
        async with connected(engine) as connection:
            catalogue = await connection.fetchval("SELECT max(revision) FROM catalog_revisions")
        return await counts(engine), catalogue

    before = await state()
    await tried(editor, AT_MOST_5)
    assert await state() == before
    refused(await editor.get("/v1/forms/TEST_01/versions/2"), 404, "not-found")
    assert (await accepted(editor, of(6, agency="H26.13")))["findings"] == []


async def test_without_a_body_the_stored_version_is_tried(editor: httpx.AsyncClient) -> None:
    await put_form(editor, rules=[AT_MOST_5], valid_from="2099-01-01", version=2)
    await accepted(editor, of(6))
    answer = shown(await ask(editor, version=2))
    assert (answer["draft"], answer["version"], answer["rules"][0]["reports"]) == (False, 2, 1)
    assert shown(await ask(editor, version=1))["rules"] == []
    refused(await ask(editor, version=3), 404, "not-found")


async def test_a_rule_that_finds_nothing_is_listed_too(editor: httpx.AsyncClient) -> None:
    (rule,) = (await tried(editor, AT_MOST_5))["rules"]
    assert (rule["reports"], set(rule["findings"].values()), rule["examples"]) == (0, {0}, [])


async def test_only_the_current_reports_of_the_periods_asked_for_are_looked_at(editor: httpx.AsyncClient) -> None:
    first = await accepted(editor, of(6))
    await accepted(editor, of(5, corrects=first["id"], reason="x"))
    second = await accepted(editor, of(6, period="2098-Q2"))
    await accepted(editor, of(6, period="2098-Q1"))
    assert (await push(editor, of(None, period="2098-Q4"))).status_code == 422
    withdrawn = await accepted(editor, of(6, agency="H26.13"))
    await editor.post(f"/v1/reports/{withdrawn['id']}/withdraw", json={"reason": "x"})
    answer = await tried(editor, AT_MOST_5, period="2098-Q2..2098-Q4")
    assert (answer["periods"], answer["reports"]) == (["2098-Q2", "2098-Q3", "2098-Q4"], 2)
    assert [each["report"] for each in answer["rules"][0]["examples"]] == [second["id"]]


async def test_a_subtree_sees_its_own_reports_only(editor: httpx.AsyncClient, client_for: NewClient) -> None:
    for agency in ("H26.18", "H29.18", "H26.13"):
        await accepted(editor, of(6, agency=agency))
    province = await client_for("catalog:write", agency="H26")
    assert [(await tried(each, AT_MOST_5))["reports"] for each in (editor, province)] == [3, 2]
    answer = await tried(editor, AT_MOST_5, under="H26.13")
    assert (answer["under"], answer["reports"]) == ("H26.13", 1)
    refused(await ask(province, a_form(version=2), under="H29"), 403, "forbidden")


async def test_reports_of_another_version_are_read_by_indicator(editor: httpx.AsyncClient) -> None:
    await put_form(editor, indicators=[BLANK, an_indicator()])
    rows = [{"sector": "LAND", "extra": 1, "amount": 6}]
    await accepted(editor, a_small_report(rows=rows))
    later = [an_indicator(id="later", required=False), an_indicator(), BLANK]
    rules = [AT_MOST_5, a_rule(id="R2", check="extra == 1"), a_rule(id="R3", check="later == 1")]
    answer = await tried(editor, *rules, form={"indicators": later})
    assert [(each["findings"]["error"], each["findings"]["warning"]) for each in answer["rules"]] == [
        (1, 0),
        (0, 0),
        (0, 1),
    ]
    assert "later" in answer["rules"][2]["examples"][0]["finding"]["message"]


async def test_rules_see_the_same_other_reports_as_a_push(editor: httpx.AsyncClient) -> None:
    frequencies = {"frequencies": ["quarterly", "annual"]}
    await put_form(editor, **frequencies)
    await put_form(editor, code="TEST_02")
    regime = {
        "legal_basis": "…",
        "forms": ["TEST_01"],
        "frequency": "quarterly",
        "periods": ["Q2", "Q3", "Y"],
        "who": [{"under": "H26"}],
    }
    assert (await editor.put("/v1/regimes/TEST", json=regime)).status_code == 200
    for period, amount in (("2098-Q2", 1), ("2098-Q3", 3), ("2098", 5)):
        await accepted(editor, of(amount, period=period))
    await accepted(editor, of(2, form="TEST_02", period="2098-Q3"))
    checks = ["amount == previous(amount)", "amount == within(amount)", "amount == in_form(TEST_02, amount)"]
    rules = [a_rule(id=f"R{n}", check=check) for n, check in enumerate(checks)]
    answer = await tried(editor, *rules, form=frequencies, period="2098-Q2,2098-Q3,2098")
    told = [
        [(each["period"], each["finding"]["severity"], each["finding"]["expected"]) for each in rule["examples"]]
        for rule in answer["rules"]
    ]
    assert told == [
        [("2098-Q2", "warning", None), ("2098-Q3", "error", "1"), ("2098", "warning", None)],
        [("2098", "error", "4")],
        [("2098-Q2", "warning", None), ("2098-Q3", "error", "2"), ("2098", "warning", None)],
    ]
    before = (await tried(editor, *rules, form=frequencies, period="2098"))["rules"][1]["findings"]
    await editor.post(f"/v1/reports/{answer['rules'][0]['examples'][0]['report']}/withdraw", json={"reason": "x"})
    after = (await tried(editor, *rules, form=frequencies, period="2098"))["rules"][1]["findings"]
    assert ((before["error"], before["warning"]), (after["error"], after["warning"])) == ((1, 0), (0, 1))


async def test_reports_with_nothing_to_report_are_looked_at_and_break_no_rule(editor: httpx.AsyncClient) -> None:
    await accepted(editor, a_small_report(rows=[], nil="nothing_to_report"))
    answer = await tried(editor, a_rule(check="total(amount) > 0"))
    assert (answer["reports"], answer["rules"][0]["reports"]) == (1, 0)


async def test_examples_are_at_most_twenty_and_every_finding_is_counted(editor: httpx.AsyncClient) -> None:
    sectors = [code["code"] for code in shown(await editor.get("/v1/codelists/TTHC_SECTOR"))["codes"]]
    rows = [{"sector": sector, "amount": 6} for sector in sectors]
    for agency in ("H26.18", "H26.13"):
        await accepted(editor, a_small_report(agency=agency, rows=rows))
    (rule,) = (await tried(editor, AT_MOST_5))["rules"]
    assert (rule["reports"], rule["findings"]["error"], len(rule["examples"])) == (2, 60, 20)


async def test_a_draft_is_checked_as_if_it_were_loaded(editor: httpx.AsyncClient) -> None:
    for wrong, place in (
        (a_form(version=2, rules=[a_rule(check="amount >")]), "/rules/0/check"),
        (a_form(version=2, rules=[a_rule(check="amount == in_form(NOWHERE, x)")]), "/rules/0/check"),
        (a_form(version=2, title="x"), "/title"),
    ):
        problem = refused(await ask(editor, wrong), 422, "invalid-catalogue")
        assert [each["pointer"] for each in problem["errors"]] == [place]
    refused(await ask(editor, a_form(version=2, indicators=[an_indicator(unit="vnd")])), 409, "catalogue-conflict")
    refused(await ask(editor, a_form(version=3)), 400, "malformed-request")
    refused(await editor.post(TRIED.format(version=2)), 400, "malformed-request")
    refused(await ask(editor, a_form(version=2), period="2098-Q9"), 400, "malformed-request")
    sent = await editor.post(TRIED.format(version=2), params={"period": "2098-Q3"}, content=b"<form/>")
    refused(sent, 415, "unsupported-media-type")


async def test_a_form_that_nobody_knows_has_nothing_to_be_tried_on(editor: httpx.AsyncClient) -> None:
    path = "/v1/forms/NOWHERE/versions/1/backtest"
    answer = await editor.post(path, params={"period": "2098-Q3"}, json=a_form(code="NOWHERE"))
    refused(answer, 404, "not-found")


async def test_findings_are_in_the_language_asked_for(editor: httpx.AsyncClient) -> None:
    await accepted(editor, of(6))
    draft = a_form(version=2, rules=[AT_MOST_5])
    for language, message in (("vi", "Sai"), ("en", "Sai (en)")):
        editor.headers["Accept-Language"] = language
        (rule,) = shown(await ask(editor, draft))["rules"]
        assert rule["examples"][0]["finding"]["message"] == message


async def test_so_many_reports_and_so_much_time_are_enough_for_one_answer(
    editor: httpx.AsyncClient, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHUNK", 2)
    await put_form(editor, rules=[a_rule(severity="warning", check="amount <= 5")])
    for agency in ("H26.10", "H26.11", "H26.13", "H26.14", "H26.18"):
        await accepted(editor, of(6, agency=agency))
    catalogue = await gateway.catalogues.newest()
    form, periods = catalogue.forms["TEST_01"][0], [parse_period("2098-Q3")]
    for most, reports, is_complete in ((5, 5, True), (6, 5, True), (4, 4, False), (3, 3, False)):
        found = await backtest(gateway.engine, catalogue, form, periods, None, max_reports=most)
        assert (found.reports, found.is_complete) == (reports, is_complete)
        assert found.rules["R1"].findings == {Severity.warning: reports}
    found = await backtest(gateway.engine, catalogue, form, periods, None, max_seconds=-1)
    assert (found.reports, found.is_complete) == (0, False)


async def test_rules_that_are_too_much_for_a_report_that_is_stored_are_refused(
    editor: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = await accepted(editor, of(6))
    monkeypatch.setattr(module, "MAX_WORK", 10)
    problem = refused(await ask(editor, a_form(version=2, rules=[AT_MOST_5])), 413, "content-too-large")
    assert taken["id"] in problem["detail"]
