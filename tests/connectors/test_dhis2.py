"""What is `dhis2`'s own: what a report becomes there, and its answers of all generations. The rest is in
`test_conformance`."""

import json
from base64 import b64encode
from typing import Any

import pytest

from answering import DISPATCH, answering, outcome_with, send_to, settings, upstream
from gateway.connectors.connector import InvalidConnectorOptions, InvalidConnectorSettings
from gateway.connectors.registry import open_connector
from gateway.domain.delivery import Event, Outcome, OutcomeClass

DHIS2 = "dhis2"
RECEIVED, RESOLVED, LATE = "fbfJHSPpUQD", "cYeuwXTCPkU", "Jtf34kNZhzP"
LAND, CIVIL = "pq2XI5kz2BY", "PT59n8BQbqM"
UNIT, SET = "DiszpKrYNg8", "pBOMPrpg1QX"
OPTIONS: dict[str, Any] = {
    "forms": {
        "TTHC_06A": {
            "data_set": SET,
            "indicators": {"received_total": RECEIVED, "resolved_total": RESOLVED},
            "combos": [
                {"breakdowns": {"sector": "LAND"}, "category_option_combo": LAND},
                {
                    "breakdowns": {"sector": "CIVIL"},
                    "category_option_combo": CIVIL,
                    "indicators": {"received_total": LATE},
                },
            ],
        }
    },
    "org_units": {"H26.18": UNIT},
    "periods": {"{year}-9M": "{year}NineMonths", "2026-07-20/P14D": "20260720"},
}
CONFLICTS = [
    {"object": RECEIVED, "value": "Data element not found or not accessible", "errorCode": "E7610", "indexes": [0]},
    {"object": "x", "value": "Period is locked"},
]
COUNTS = {"imported": 1, "updated": 2, "ignored": 1, "deleted": 0}
SHORT_COUNTS = "1 imported, 2 updated, 1 ignored, 0 deleted"


def a_row(**changes: object) -> dict[str, object]:
    return {"sector": "LAND", "received_total": 2400, "resolved_total": 12.5, **changes}


async def sent(options: dict[str, Any] = OPTIONS, **changes: object) -> tuple[Outcome, dict[str, Any] | None]:
    """What became of a report, and what of it arrived."""
    report = json.loads(DISPATCH.body) | {"rows": [a_row()]} | changes
    dispatch = DISPATCH._replace(body=json.dumps(report).encode())
    async with upstream(answering("200 OK", body=json.dumps({"importCount": COUNTS}).encode())) as system:
        outcome = await send_to(DHIS2, system.url, dispatch=dispatch, options=options)
    return outcome, json.loads(system.requests[0][1]) if system.requests else None


async def judged(status: str, answer: dict[str, object]) -> Outcome:
    return await outcome_with(DHIS2, answering(status, body=json.dumps(answer).encode()))


# What is sent


async def test_a_report_becomes_a_data_value_set() -> None:
    outcome, body = await sent(rows=[a_row(), a_row(sector="CIVIL", received_total=7, resolved_total=None)])
    assert outcome.kind is OutcomeClass.delivered
    assert body == {
        "dataSet": SET,
        "period": "2026Q2",
        "orgUnit": UNIT,
        "dataValues": [
            {"dataElement": RECEIVED, "categoryOptionCombo": LAND, "value": "2400"},
            {"dataElement": RESOLVED, "categoryOptionCombo": LAND, "value": "12.5"},
            {"dataElement": LATE, "categoryOptionCombo": CIVIL, "value": "7"},
        ],
    }


async def test_it_goes_to_the_endpoint_below_the_url_with_a_token_or_a_password() -> None:
    async with upstream(answering("200 OK")) as system:
        await send_to(DHIS2, f"{system.url}/", {"token": "d2pat_x"})
        password = {"token": "", "username": "gateway", "password": "bí mật"}
        await send_to(DHIS2, system.url, password)
    assert system.targets == ["/reports/api/dataValueSets"] * 2
    basic = b64encode("gateway:bí mật".encode()).decode()
    assert [headers["authorization"] for headers, _ in system.requests] == ["ApiToken d2pat_x", f"Basic {basic}"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("2026", "2026"),
        ("2026-S1", "2026S1"),
        ("2026-Q3", "2026Q3"),
        ("2026-07", "202607"),
        ("2026-W05", "2026W5"),
        ("2025-9M", "2025NineMonths"),
        ("2026-07-20/P14D", "20260720"),
    ],
)
async def test_a_period_is_written_as_dhis2_does_or_as_the_options_say(code: str, expected: str) -> None:
    _, body = await sent(period=code)
    assert body is not None
    assert body["period"] == expected


async def test_a_correction_takes_back_what_it_does_not_have() -> None:
    _, body = await sent(revision=2, rows=[a_row(resolved_total=None)])
    assert body is not None
    assert body["dataValues"] == [
        {"dataElement": RECEIVED, "categoryOptionCombo": LAND, "value": "2400"},
        {"dataElement": RESOLVED, "categoryOptionCombo": LAND, "deleted": True},
        {"dataElement": LATE, "categoryOptionCombo": CIVIL, "deleted": True},
        {"dataElement": RESOLVED, "categoryOptionCombo": CIVIL, "deleted": True},
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"form": "KTXH_01"}, "options name no form KTXH_01"),
        ({"agency": "H26.19"}, "options name no org unit for agency H26.19"),
        ({"period": "2026-08-01/P7D"}, "options name no period for 2026-08-01/P7D"),
        ({"rows": [a_row(sector="TAX")]}, "options name no combo for sector TAX"),
        ({"rows": [{"sector": "LAND", "received_total": 1}]}, "the report has no indicator resolved_total"),
        ({"rows": [a_row(), a_row()]}, "options give two values of the report one place"),
    ],
)
async def test_a_report_that_the_options_leave_a_part_of_unnamed_is_not_sent(
    changes: dict[str, Any], words: str
) -> None:
    outcome, body = await sent(**changes)
    assert (outcome.kind, body) == (OutcomeClass.refused, None)
    assert outcome.reason.startswith(f"not sent: {words}")


async def test_rows_are_never_laid_over_each_other() -> None:
    options = OPTIONS | {"forms": {"TTHC_06A": {"indicators": {"received_total": RECEIVED}}}}
    outcome, body = await sent(options, rows=[a_row(), a_row(sector="CIVIL")])
    assert (outcome.kind, body) == (OutcomeClass.refused, None)


@pytest.mark.parametrize(
    ("event", "words"), [(Event.returned, "returned"), (Event.withdrawn, "withdrawn"), (Event.due, "reminder")]
)
async def test_what_a_data_value_set_cannot_say_is_left_to_a_person(event: Event, words: str) -> None:
    dispatch = DISPATCH._replace(event=event, report=None if event is Event.due else DISPATCH.report)
    async with upstream(answering("200 OK")) as system:
        outcome = await send_to(DHIS2, system.url, dispatch=dispatch)
    assert (outcome.kind, system.requests) == (OutcomeClass.refused, [])
    assert words in outcome.reason


# What is answered


def bare(**changes: object) -> dict[str, object]:
    """An import summary as servers up to 2.37 give it."""
    return {"responseType": "ImportSummary", "status": "SUCCESS", "importCount": COUNTS, **changes}


def wrapped(**changes: object) -> dict[str, object]:
    """The same as servers since 2.38 give it."""
    return {"httpStatus": "OK", "httpStatusCode": 200, "status": "OK", "response": bare(**changes)}


@pytest.mark.parametrize("answer", [bare(), wrapped(), bare(conflicts=[]), wrapped(conflicts=[], rejectedIndexes=[])])
async def test_a_summary_without_conflicts_is_a_delivery_that_tells_the_counts(answer: dict[str, object]) -> None:
    outcome = await judged("200 OK", answer)
    assert (outcome.kind, outcome.reason) == (
        OutcomeClass.delivered,
        f"taken: the upstream answered 200: {SHORT_COUNTS}",
    )


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        ("200 OK", bare(status="WARNING", conflicts=CONFLICTS)),
        ("200 OK", wrapped(status="WARNING", conflicts=CONFLICTS)),
        ("409 Conflict", bare(status="ERROR", conflicts=CONFLICTS)),
        ("409 Conflict", wrapped(status="ERROR", conflicts=CONFLICTS)),
    ],
    ids=["bare-200", "wrapped-200", "bare-409", "wrapped-409"],
)
async def test_conflicts_are_a_refusal_that_names_them(status: str, answer: dict[str, object]) -> None:
    outcome = await judged(status, answer)
    assert outcome.kind is OutcomeClass.refused
    assert outcome.reason == (
        f"refused: the upstream answered {status[:3]}: {SHORT_COUNTS}: "
        f"{RECEIVED}: Data element not found or not accessible (E7610); x: Period is locked"
    )


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (bare(status="ERROR", description="Wrong schema"), "Wrong schema"),
        (wrapped(rejectedIndexes=[3]), "values [3]"),
    ],
)
async def test_an_import_that_failed_without_a_conflict_is_refused_too(answer: dict[str, object], words: str) -> None:
    outcome = await judged("200 OK", answer)
    assert outcome.kind is OutcomeClass.refused
    assert words in outcome.reason


async def test_of_very_many_conflicts_some_are_told_and_the_rest_are_counted() -> None:
    outcome = await judged("409 Conflict", wrapped(status="ERROR", conflicts=CONFLICTS[1:] * 5000))
    assert outcome.reason.endswith("; x: Period is locked; and 4995 more")
    assert len(outcome.reason) < 500


async def test_what_a_conflict_quotes_is_printable_and_without_secrets() -> None:
    conflict = {"object": "\0", "value": "token d2pat_key"}
    outcome = await judged("409 Conflict", bare(conflicts=[conflict]))
    assert outcome.reason.endswith(": \ufffd: token ***")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>log in</html>",
        b"[]",
        b"",
        b'{"message":"Initiated DATAVALUE_IMPORT","response":{"id":"x","jobType":"DATAVALUE_IMPORT"}}',
    ],
    ids=["html", "array", "empty", "async"],
)
async def test_a_200_without_a_summary_proves_nothing(body: bytes) -> None:
    outcome = await outcome_with(DHIS2, answering("200 OK", body=body))
    assert (outcome.kind, outcome.status) == (OutcomeClass.ambiguous, 200)


async def test_a_409_without_a_summary_is_a_refusal() -> None:
    assert (await judged("409 Conflict", {"message": "no"})).kind is OutcomeClass.refused


# Settings


@pytest.mark.parametrize(
    "credentials",
    [
        {"token": ""},
        {"token": "two\r\nlines"},
        {"username": "a", "password": "b"},
        {"token": "", "username": "a:b", "password": "c"},
        {"token": "", "username": "a"},
    ],
)
def test_without_a_token_or_else_a_password_it_does_not_open(credentials: dict[str, str]) -> None:
    with pytest.raises(InvalidConnectorSettings):
        open_connector(settings(DHIS2, "http://a.example/", credentials))


def test_a_url_with_a_query_does_not_open() -> None:
    with pytest.raises(InvalidConnectorSettings, match="url"):
        open_connector(settings(DHIS2, "http://a.example/?x=1"))


@pytest.mark.parametrize(
    ("options", "places"),
    [
        ({"forms": {}}, ["/options/forms", "/options/org_units"]),
        (OPTIONS | {"org_units": {"H26.18": "short"}}, ["/options/org_units/H26.18"]),
        (OPTIONS | {"forms": {"F": {"indicators": {"a": 1}}}}, ["/options/forms/F/indicators/a"]),
        (
            OPTIONS | {"forms": {"F": {"indicators": {"a": RECEIVED}, "combos": [{"breakdowns": {}, "x": 1}]}}},
            ["/options/forms/F/combos/0/breakdowns", "/options/forms/F/combos/0/x"],
        ),
    ],
)
def test_every_wrong_option_is_named(options: dict[str, object], places: list[str]) -> None:
    with pytest.raises(InvalidConnectorOptions) as refusal:
        open_connector(settings(DHIS2, "http://a.example/", options=options))
    assert [each.pointer for each in refusal.value.places] == places
